# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release that went wrong is taken back with its database and configuration, within a tenth of the budget; refused without consent; finished when it was
killed; and rehearsed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from .api_clients import DOMAIN, resolved
from .cluster import Cluster
from .rolling_back import GROUPS, HOSTS, deploy, deviation, etc, finished, play, play_and_kill, releases, seconds, unfinished
from .whole import ADDRESS, Figure, build, run, secrets
from .whole import play as look

TENTH = 180  # seconds, of 30 minutes


@pytest.fixture(scope="module")
def built() -> None:
    """The release that goes wrong."""
    build("1.1.0")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("ca") / "ca.crt"
    path.write_text(secrets()["vault_certificates_ca_certificate"])
    with resolved(ADDRESS):
        yield str(path)


@pytest.fixture
def night(built: None, whole: None) -> Iterator[str]:
    """A guard, a release, another configuration, and a run more. The name of the guard."""
    point = f"full.{int(time.time())}"
    for host in HOSTS:  # of a case that failed: it would be sealed as the state of before
        run(host, "rm -rf /etc/arxos-test; sed -i '/^# worse$/d' /etc/nginx/arxos/limits.conf 2>/dev/null || true")
    deploy("1.0.0")
    play("seal.yml", "-e", f"arxos_run_id=before-{point}")
    play("guard_database.yml", "-e", f"release={point}")
    deploy("1.1.0")
    for host in GROUPS["edge"]:
        run(host, "echo '# worse' >>/etc/nginx/arxos/limits.conf && systemctl reload nginx")
    for host in HOSTS:
        run(host, "mkdir -p /etc/arxos-test && echo x >/etc/arxos-test/file")
    # Of two runs since then, neither is that of before.
    play("seal.yml", "-e", f"arxos_run_id=after-{point}")
    play("seal.yml", "-e", f"arxos_run_id=later-{point}")
    yield point
    play("release_guard.yml")


def write(cluster: Cluster, count: int, mark: str) -> None:
    for number in range(count):
        cluster.sql(cluster.leader, f"INSERT INTO arxos_prod.buildings (name) VALUES ('{mark} {number}')")
    time.sleep(2)  # until the statistics have counted them


def inserted(said: str) -> int:
    """Rows that a plan says it drops: those of a test, and what migrations of the release have noted."""
    found = re.search(r"rows (\d+) inserted", said)
    return int(found[1]) if found else 0


def rows(cluster: Cluster, mark: str) -> str:
    return cluster.sql(cluster.leader, f"SELECT count(*) FROM arxos_prod.buildings WHERE name LIKE '{mark} %'")


def front_door(ca: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"https://{DOMAIN}/api/v1/symbols?query=door", verify=ca, timeout=10).status_code


def assert_back(cluster: Cluster, point: str, ca: str) -> None:
    assert releases() == {"1.0.0"}
    assert rows(cluster, f"after {point}") == "0"
    assert {host for host in HOSTS if run(host, "ls /etc/arxos-test/file 2>/dev/null", check=False)} == set()
    assert "# worse" not in run("edge1", "cat /etc/nginx/arxos/limits.conf")
    assert unfinished("full") == unfinished("configuration") == unfinished("database") == []
    assert front_door(ca) in (200, 401, 403)
    cluster.wait_until_whole(120)


def assert_stays() -> None:
    """The release that was left is no release to go back to."""
    assert "1.0.0 is live since the last rollback" in play("rollback_application.yml", "--check") and unfinished("application") == []


def test_everything_goes_back_within_a_tenth_of_its_budget(night: str, cluster: Cluster, ca: str, figure: Figure) -> None:
    write(cluster, 7, f"after {night}")
    point = ("-e", f"to={night}")
    before = {host: etc(host) for host in HOSTS}

    refused = play("rollback.yml", *point, fails=True)
    since = cluster.sql(
        cluster.leader,
        f"SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI') FROM arxos_platform.restore_points WHERE name = '{night}'",
        "postgres",
    )
    assert f"all writes since {since}" in refused and "accept_data_loss=true" in refused and inserted(refused) >= 7
    over = play("rollback.yml", *point, "-e", "accept_data_loss=true", "-e", "full_rollback_budget_seconds=1", fails=True)
    assert "and the budget is 1 s" in over
    checked = play("rollback.yml", *point, "--check")
    assert "Nobody is served from the first step to the last" in checked and inserted(checked) >= 7
    # None of these has touched anything.
    assert {host for host in HOSTS if etc(host) != before[host]} == set() and releases() == {"1.1.0"}
    assert rows(cluster, f"after {night}") == "7" and unfinished("full") == [] and front_door(ca) in (200, 401, 403)

    began = time.monotonic()
    play("rollback.yml", *point, "-e", "accept_data_loss=true")
    took = time.monotonic() - began
    done = finished("full")
    figure("rollback full: the whole run", f"{took:.0f} s")
    figure("rollback full: steps", f"{seconds(done):.0f} s: {done['done']}")
    assert_back(cluster, night, ca)
    assert_stays()
    assert seconds(done) <= TENTH and took <= TENTH


def test_the_next_estimate_is_what_it_took(night: str, cluster: Cluster, ca: str, figure: Figure) -> None:
    play("rollback.yml", "-e", f"to={night}", "-e", "accept_data_loss=true")
    done = finished("full")
    figure(
        "rollback full: estimate", f"{done['plan']['estimate_seconds']} s, {deviation(done):+.0%}: {done['plan']['steps']}; {done['done']}"
    )
    assert_back(cluster, night, ca)
    assert abs(deviation(done)) <= 0.25


@pytest.mark.parametrize(
    ("task", "times"),
    [
        ("Stop it", 1),
        ("Stop PostgreSQL wherever", 1),
        ("Note that it is sound", 1),
        ("Close the database's own journal", 1),
        ("Make the release the live one", 1),
        ("Go |", 2),
        ("Note it", 4),
        ("Seal the host", 1),
    ],
)
def test_a_rollback_that_was_killed_is_finished_by_the_next(
    night: str, cluster: Cluster, ca: str, task: str, times: int, tmp_path: Path
) -> None:
    write(cluster, 3, f"after {night}")
    words = ("rollback.yml", "-e", f"to={night}", "-e", "accept_data_loss=true")
    play_and_kill(task, tmp_path / "log", *words, times=times)
    assert "Goes on with what was begun" in play(*words)
    assert_back(cluster, night, ca)
    assert_stays()


def test_it_is_rehearsed_and_everything_is_as_before(night: str, cluster: Cluster, ca: str, figure: Figure) -> None:
    play("release_guard.yml")
    write(cluster, 3, f"kept {night}")
    before = {host: etc(host) for host in HOSTS}
    play("traffic.yml", "-e", "arxos_traffic=closed")
    play("rollback.yml", "-e", "rehearse=true", "-e", "accept_data_loss=true")
    assert {run(host, "nginx-traffic status").strip() for host in GROUPS["edge"]} == {"closed"}
    play("traffic.yml", "-e", "arxos_traffic=open")
    done = finished("full")
    figure("rollback full: rehearsed", f"{seconds(done):.0f} s: {done['done']}")
    assert releases() == {"1.1.0"} and rows(cluster, f"kept {night}") == "3"
    assert {host for host in HOSTS if etc(host) != before[host]} == set()
    assert front_door(ca) in (200, 401, 403) and unfinished("full") == unfinished("application") == []
    assert run(GROUPS["database"][0], "cat /var/lib/arxos/full_rollback_rates.json")


def test_the_application_alone_goes_back_in_30_seconds_as_estimated(built: None, figure: Figure) -> None:
    deploy("1.0.0")
    deploy("1.1.0")
    play("rollback_application.yml", "-e", "rehearse=true")
    assert releases() == {"1.1.0"}
    assert "and the budget is 1 s" in play("rollback_application.yml", "-e", "application_rollback_budget_seconds=1", fails=True)
    assert "Back to 1.0.0: 3 of 3 hosts, from 1.1.0" in play("rollback_application.yml", "--check") and releases() == {"1.1.0"}
    play("rollback_application.yml")
    done = finished("application")
    figure("rollback application: steps", f"{done['done']}; {done['plan']['estimate_seconds']} s estimated, {deviation(done):+.0%}")
    assert releases() == {"1.0.0"} and unfinished("application") == []
    assert seconds(done) <= 30 and abs(deviation(done)) <= 0.25
    # Nor does the same command go back to what it has left.
    assert "1.0.0 is live since the last rollback" in play("rollback_application.yml")
    assert releases() == {"1.0.0"} and unfinished("application") == []


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_application_rollback_that_was_killed_is_finished_by_the_next(built: None, times: int, tmp_path: Path) -> None:
    deploy("1.0.0")
    deploy("1.1.0")
    play_and_kill("Make the release the live one", tmp_path / "log", "rollback_application.yml", times=times)
    begun = "a rollback of the application to 1.0.0 was begun at"
    # It is shown from the first host that has switched.
    assert (begun in look("status.yml").words) is ("1.0.0" in releases())
    play("rollback_application.yml")
    assert begun not in play("status.yml")
    assert releases() == {"1.0.0"} and unfinished("application") == []
