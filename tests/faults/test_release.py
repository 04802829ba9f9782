# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases go over the hosts while users work: a good one is taken, a slow one, one that leaks errors and one whose host dies are taken back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api_clients import Clients
from .rolling_back import deploy
from .whole import LAB, Figure, build, docker, ended, hosts, judge, play, release, run, started, under_way, users

APPS = hosts("app")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with users(tmp_path_factory.mktemp("users")) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def releases(tmp_path_factory: pytest.TempPathFactory) -> None:
    """1.1.0 to 1.1.2 are well, 1.2.0 is slow, 1.3.0 leaks errors, 1.4.0 takes away what it has brought."""
    contract = tmp_path_factory.mktemp("migrations") / "9999_drop.sql"
    contract.write_text("-- arxos: contract 1.4.0\nALTER TABLE arxos_prod.buildings DROP COLUMN IF EXISTS description;\n")
    for version in ("1.1.0", "1.1.1", "1.1.2"):
        build(version)
    build("1.2.0", "--delay-ms", "2500")
    build("1.3.0", "--error-rate", "0.3")
    build("1.4.0", "--migration", str(contract))


def wanted(version: str) -> tuple[str, str]:
    return "-e", f"arxos_api_version={version}"


def test_a_good_release_is_watched_and_taken(clients: Clients, figure: Figure) -> None:
    with clients.at_work() as came:
        time.sleep(3)
        began = time.monotonic()
        played = play("deploy.yml", *wanted("1.1.0")).ok()
        figure("deploy of three hosts", f"{time.monotonic() - began:.0f} s")
        time.sleep(3)
    judge(came, "deploy", figure)
    assert {release(host) for host in APPS} == {"1.1.0"}
    assert {run(host, "readlink /opt/arxos/previous; ls /opt/arxos/leaving", check=False) for host in APPS} == {"releases/1.0.0"}
    assert "Watched:" in played.said and all(f"{host}: " in played.words.split("Watched:")[1] for host in APPS)
    assert "0.0 % failed" in played.words


def test_a_slow_release_is_taken_back_from_the_canary_before_anybody_notices_more_than_that(clients: Clients, figure: Figure) -> None:
    before = {host: started(host) for host in APPS}
    with clients.at_work() as came:
        time.sleep(3)
        played = play("deploy.yml", *wanted("1.2.0"))
        time.sleep(3)
    assert played.code != 0, played.said[-3000:]
    assert {release(host) for host in APPS} == {"1.1.0"}
    verdict = played.words.split("was stopped")[-1]
    assert f"{APPS[0]}: 95 % of" in verdict and "wanted 2000 ms at most" in verdict and f"Put back: {APPS[0]}." in verdict, verdict
    assert [host for host in APPS if started(host) != before[host]] == [APPS[0]]
    assert {run(host, "readlink /opt/arxos/previous") for host in APPS} == {"releases/1.0.0"}, "a bad release is one to go back to"
    assert "Evidence: " in verdict and "not kept" not in verdict, verdict
    judge(came, "canary that is slow, taken back", figure, rate=90)


def test_a_release_that_leaks_errors_is_taken_back_and_only_the_canary_leaked(clients: Clients, figure: Figure) -> None:
    with clients.at_work() as came:
        time.sleep(3)
        played = play("deploy.yml", *wanted("1.3.0"))
        ended_at = time.time()
        time.sleep(5)
    figure("canary that leaks errors, taken back", came)
    assert played.code != 0 and f"{APPS[0]}: " in played.words.split("was stopped")[-1], played.said[-3000:]
    assert "wanted 1 % at most" in played.words
    assert {release(host) for host in APPS} == {"1.1.0"}
    assert came.failures and all("leaks errors" in failure for _when, failure in came.failures), came.failures[:5]
    # Of every third request, which it got, it failed three in ten, until it was out.
    assert len(came.failures) < 0.05 * sum(came.answers.values()) and all(when < ended_at for when, _failure in came.failures)


def test_without_users_nobody_can_tell_and_the_variable_decides() -> None:
    short = ("-e", "arxos_release_soak_seconds=2")
    played = play("deploy.yml", *wanted("1.1.1"), *short, "-e", "arxos_release_inconclusive=stop")
    assert played.code != 0 and f"{APPS[0]}: not known whether it does well" in played.words, played.said[-3000:]
    assert {release(host) for host in APPS} == {"1.1.0"}
    played = play("deploy.yml", *wanted("1.1.1"), *short, "-e", "arxos_release_batch=2").ok()
    assert {release(host) for host in APPS} == {"1.1.1"}
    assert "requests or more say something" in played.words or "no request" in played.words
    refused = play("deploy.yml", *wanted("1.1.0"), "-e", "arxos_release_batch=3")
    assert refused.code != 0 and "write 1 to 2 of the 3" in refused.words and refused.unchanged(), refused.said[-2000:]


def test_a_host_that_dies_in_its_batch_stays_drained_and_the_others_go_back(clients: Clients, figure: Figure, tmp_path: Path) -> None:
    log, dies = tmp_path / "log", APPS[1]
    before = release(dies)
    with clients.at_work() as came:
        time.sleep(3)
        try:
            with under_way(log, "deploy.yml", *wanted("1.1.2")) as wait_for:
                wait_for(f"TASK [Switch and wait until healthy | {dies}]")
                docker("kill", f"{LAB}-{dies}")
            played = ended(log)
            assert played.code != 0, played.said[-3000:]
            assert {release(host) for host in APPS if host != dies} == {before}
            verdict = played.words.split("was stopped")[-1]
            assert f"{dies}: " in verdict and f"Put back: {APPS[0]}." in verdict and f"Not put back, look there: {dies}" in verdict, verdict
            assert "Evidence: " in verdict and "not kept" not in verdict
            for edge in hosts("edge"):
                assert run(edge, "grep -c down /etc/nginx/arxos/upstream.conf") == "1"
            time.sleep(3)
        finally:
            docker("start", f"{LAB}-{dies}")
            run(dies, "timeout 120 systemctl is-system-running --wait; true")
    judge(came, "host that died in its batch", figure)
    play("deploy.yml", *wanted("1.1.2")).ok()
    assert {release(host) for host in APPS} == {"1.1.2"}
    assert run(hosts("edge")[0], "grep -c down /etc/nginx/arxos/upstream.conf", check=False) == "0"


def test_a_release_does_not_take_away_what_it_has_brought_itself() -> None:
    played = play("deploy.yml", *wanted("1.4.0"))
    assert played.code != 0 and "bring it in a release after 1.4.0" in played.words, played.said[-3000:]
    assert {release(host) for host in APPS} == {"1.1.2"}


def test_users_notice_nothing_when_the_application_goes_back(clients: Clients, figure: Figure) -> None:
    for version in ("1.1.1", "1.1.2"):
        deploy(version)
    with clients.at_work() as came:
        time.sleep(3)
        began = time.monotonic()
        play("rollback_application.yml").ok()
        figure("rollback of three hosts", f"{time.monotonic() - began:.0f} s")
        time.sleep(3)
    judge(came, "rollback application", figure)
    assert {release(host) for host in APPS} == {"1.1.1"}
