# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The front door is closed and opened while users work: they are told so, nobody's connection breaks, and nothing undoes it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from .api_clients import DOMAIN, Clients
from .whole import ADDRESS, LAB, Figure, docker, hosts, judge, play, run, users

EDGES = hosts("edge")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with users(tmp_path_factory.mktemp("users")) as found:
        yield found


@pytest.fixture(autouse=True)
def opened() -> Iterator[None]:
    """Open before and after."""
    yield
    for edge in EDGES:
        run(edge, "nginx-traffic open")


def traffic(state: str, *arguments: str) -> str:
    return play("traffic.yml", "-e", f"arxos_traffic={state}", *arguments).ok().said


def ask(clients: Clients, path: str, accept: str = "*/*") -> requests.Response:
    return clients.users[0].session.get(f"https://{DOMAIN}{path}", headers={"Accept": accept}, timeout=30)


def from_elsewhere(path: str) -> int:
    """What a host gets that is none of the administrators'."""
    at = f"--resolve {DOMAIN}:443:{ADDRESS} https://{DOMAIN}{path}"
    return int(run(EDGES[0], f"curl -s -o /dev/null -w '%{{http_code}}' --cacert /etc/ssl/arxos/ca.crt {at}"))


def test_users_are_told_that_it_is_closed_and_no_connection_breaks(clients: Clients, figure: Figure) -> None:
    with clients.at_work() as came:
        time.sleep(3)
        began = time.time()
        assert "Traffic: closed" in traffic("closed")
        closed_at = time.time()
        health, api, page = ask(clients, "/health/"), ask(clients, "/api/v1/symbols"), ask(clients, "/", "text/html,*/*;q=0.8")
        time.sleep(5)
        traffic("open")
        opened_at = time.time()
        time.sleep(5)
    figure("closing and opening", came)
    assert health.status_code == 200 and health.json()["status"] == "healthy"
    assert api.status_code == 503 and api.headers["Retry-After"] == "120" and "closed for maintenance" in api.json()["detail"]
    assert page.status_code == 503 and page.text.startswith("<!DOCTYPE html>") and page.headers["Cache-Control"] == "no-store"
    others = {what: number for what, number in came.answers.items() if not what.endswith((" 200", " 201", " 503"))}
    assert others == {}, "a request got no answer, or another than that it is closed"
    assert len(came.failures) > 100 and all("closed for maintenance" in failure for _when, failure in came.failures)
    assert all(began <= when <= opened_at + 0.5 for when, _failure in came.failures)
    assert sum(when >= closed_at for when, _failure in came.failures) > 100
    assert came.rate >= 95, str(came)


def test_reloads_cut_off_nobody_who_is_at_work(clients: Clients, figure: Figure) -> None:
    """Without the notice before a reload, about one request in seven reloads was lost."""
    with clients.at_work() as came:
        time.sleep(3)
        for _round in range(20):
            for edge in EDGES:
                run(edge, "systemctl reload nginx.service")
        time.sleep(3)
    judge(came, f"20 reloads of {len(EDGES)} edge hosts", figure)


def test_nothing_undoes_it(clients: Clients) -> None:
    traffic("closed")
    assert play("traffic.yml", "-e", "arxos_traffic=closed").ok().unchanged()
    assert play("edge.yml", "--tags", "nginx").ok().unchanged()
    assert "Traffic: closed" in play("open.yml").ok().said
    checked = play("traffic.yml", "-e", "arxos_traffic=open", "--check").ok()
    assert not checked.unchanged() and ask(clients, "/").status_code == 503
    for edge in EDGES:
        docker("restart", "-t", "10", f"{LAB}-{edge}")
        run(edge, "timeout 120 systemctl is-system-running --wait; true")
    end = time.monotonic() + 60
    while True:
        try:
            assert ask(clients, "/").status_code == 503
            break
        except requests.ConnectionError:
            assert time.monotonic() < end
            time.sleep(0.5)
    assert "traffic: closed" in play("status.yml").said


def test_a_preview_is_for_the_named_alone(clients: Clients) -> None:
    assert from_elsewhere("/") == 200
    traffic("preview")
    assert ask(clients, "/").status_code == 200 and from_elsewhere("/") == 503 and from_elsewhere("/health/") == 200
    traffic("preview", "-e", '{"arxos_preview_networks": ["192.0.2.0/24"]}')
    assert ask(clients, "/").status_code == 503
    assert play("traffic.yml", "-e", '{"arxos_traffic": "preview", "arxos_preview_networks": ["192.0.2.0/24"]}').ok().unchanged()
    traffic("open")
    assert ask(clients, "/").status_code == 200 and from_elsewhere("/") == 200
    # Who gets a preview is of the inventory again.
    play("edge.yml", "--tags", "nginx").ok()


@pytest.mark.parametrize("state", ["ajar", ""])
def test_what_it_does_not_know_is_refused_in_words(state: str) -> None:
    played = play("traffic.yml", "-e", f"arxos_traffic={state}")
    assert played.code != 0 and "takes closed" in played.words and played.unchanged(), played.said[-2000:]


def test_an_edge_that_never_was_open_is_closed_until_the_last_stage_opens_it(clients: Clients) -> None:
    for edge in EDGES:
        run(edge, "echo 'edge new;' >/var/lib/nginx-traffic/traffic.map && systemctl reload nginx.service")
    assert ask(clients, "/").status_code == 503 and ask(clients, "/health/").status_code == 200
    assert "Traffic: open" in play("open.yml").ok().said
    assert ask(clients, "/").status_code == 200
