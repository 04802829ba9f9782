# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration of a whole platform goes back to what a run left, under users at 100 requests a second who notice nothing; what a daemon does not take
is refused on every host; and what was killed on its way is finished.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api_clients import Clients
from .rolling_back import GROUPS, HOSTS, deviation, etc, finished, play, play_and_kill, unfinished
from .whole import FEW, Figure, judge, run, users

LIMITS = "/etc/nginx/arxos/limits.conf"


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with users(tmp_path_factory.mktemp("users")) as found:
        yield found


def state(name: str) -> None:
    """A run that leaves what is there now under a name."""
    play("seal.yml", "-e", f"arxos_run_id={name}")


def name(what: str) -> str:
    """A name is used once on a platform."""
    return f"{what}-{int(time.time())}"


def worsen() -> None:
    """What a bad run would have changed: files of daemons at the edge, of the application's hosts, of the tiers behind, and one that belongs to nobody."""
    for host in GROUPS["edge"]:
        run(
            host,
            f"echo '# worse' >>{LIMITS}; chmod 0600 {LIMITS}; systemctl reload nginx",
        )
        run(host, "echo '# nobody' >/etc/nginx/arxos/by-hand.conf")
    for host in GROUPS["app"]:
        run(
            host,
            "echo '# worse' >>/etc/systemd/system/arxos-api.service; echo '# worse' >>/etc/pgbouncer/pools.ini; systemctl daemon-reload",
        )
    for host in GROUPS["database"]:
        run(host, "echo '# worse' >>/etc/default/etcd")
    for host in HOSTS:
        run(host, "mkdir -p /etc/arxos-test/empty && echo x >/etc/arxos-test/file && ln -s file /etc/arxos-test/link")


def test_users_notice_nothing_when_the_configuration_goes_back(clients: Clients, figure: Figure) -> None:
    good, bad = name("good"), name("bad")
    state(good)
    before = {host: etc(host) for host in HOSTS}
    started = {host: run(host, "systemctl show -P ExecMainStartTimestampMonotonic nginx.service") for host in GROUPS["edge"]}
    worsen()
    state(bad)
    run("edge1", "echo '# not committed' >>/etc/nginx/arxos/by-hand.conf")
    said = play("rollback_configuration.yml", "--check")
    assert f"Back to run {good}" in said and "edge1: /etc/nginx/arxos/limits.conf changed (nginx.service)" in said
    assert "edge1: 1 changes that no commit has are committed first" in said
    assert {host for host in HOSTS if etc(host) == before[host]} == set()
    with clients.at_work() as came:
        began = time.monotonic()
        play("rollback_configuration.yml", *FEW)
        figure("rollback configuration: seconds", f"{time.monotonic() - began:.0f}")
    judge(came, "rollback configuration: users", figure, rate=90)  # all hosts are read and judged beside them, on the same processors
    assert {host for host in HOSTS if etc(host) != before[host]} == set()
    assert {host: run(host, "systemctl show -P ExecMainStartTimestampMonotonic nginx.service") for host in GROUPS["edge"]} == started
    assert unfinished("configuration") == []
    # Nothing is lost, and the history went forward.
    kept = finished("configuration")["plan"]["before"]
    assert "not committed" in run("edge1", f"git -C /etc show arxos/{kept}:nginx/arxos/by-hand.conf")
    for host in HOSTS:
        run(host, f"git -C /etc merge-base --is-ancestor arxos/{bad} HEAD && git -C /etc merge-base --is-ancestor arxos/{kept} HEAD")
    run("app1", "systemctl is-active arxos-api.service pgbouncer.service haproxy.service")
    # Nor does the same command go to the run that it has taken back.
    assert f"The state of run {good} is there since the last rollback; -e rollback_run={bad} goes to" in play("rollback_configuration.yml")
    assert {host for host in HOSTS if etc(host) != before[host]} == set()


def test_a_commit_that_a_daemon_does_not_take_is_refused_and_nothing_changes(figure: Figure) -> None:
    broken, mended = name("broken"), name("mended")
    good = run("edge2", f"cat {LIMITS}")
    run("edge2", f"echo 'no_such_directive on;' >>{LIMITS}")
    state(broken)
    run("edge2", f"sed -i '$d' {LIMITS}")
    for host in GROUPS["app"]:
        run(host, "echo mended >/etc/arxos-mended")
    state(mended)
    assert run("edge2", f"cat {LIMITS}") == good
    before = {host: etc(host) for host in HOSTS}
    heads = {host: run(host, "git -C /etc rev-parse HEAD") for host in HOSTS}
    refused = play("rollback_configuration.yml", "-e", f"rollback_run={broken}", fails=True)
    assert "Nothing was touched: edge2: nginx" in refused and "no_such_directive" in refused
    assert {host for host in HOSTS if etc(host) != before[host]} == set()
    assert {host: run(host, "git -C /etc rev-parse HEAD") for host in HOSTS} == heads and unfinished("configuration") == []
    figure("rollback configuration: a bad commit", "refused")
    nowhere = play("rollback_configuration.yml", "-e", "rollback_run=never", fails=True)
    assert "has no commit of run never" in nowhere
    over = play("rollback_configuration.yml", "-e", "configuration_rollback_budget_seconds=1", fails=True)
    assert "and the budget is 1 s" in over


def test_certificates_and_secrets_that_changed_since_stay() -> None:
    then, setting = name("then"), name("setting")
    state(then)
    key = run("edge1", "sha256sum /etc/ssl/arxos/host.key")
    play("rotate_certificates.yml", "--limit", "edge1")
    assert run("edge1", "sha256sum /etc/ssl/arxos/host.key") != key
    key = run("edge1", "sha256sum /etc/ssl/arxos/host.key")
    environment = run("app1", f"echo '# {setting}' >>/etc/arxos/api.env; sha256sum /etc/arxos/api.env")
    state(name("since"))
    # As after a rotation: the mark of today is another.
    said = play("rollback_configuration.yml", "-e", f"rollback_run={then}", "-e", "arxos_secrets_mark=another")
    assert "/etc/ssl/arxos/host stays: certificate or key" in said and "/etc/arxos/api.env stays: secret, and secrets have changed" in said
    assert run("edge1", "sha256sum /etc/ssl/arxos/host.key") == key and run("app1", "sha256sum /etc/arxos/api.env") == environment
    # With the secrets of then the file of secrets goes back as well; certificates never do.
    play("rollback_configuration.yml", "-e", f"rollback_run={then}")
    assert run("edge1", "sha256sum /etc/ssl/arxos/host.key") == key and setting not in run("app1", "cat /etc/arxos/api.env")


@pytest.mark.parametrize(
    ("task", "times"), [("Go |", 1), ("Go |", 2), ("See that the host serves", 1), ("Note the turn", 3), ("Seal the host", 1)]
)
def test_a_rollback_that_was_killed_is_finished_by_the_next(task: str, times: int, tmp_path: Path) -> None:
    good = name("good")
    state(good)
    before = {host: etc(host) for host in HOSTS}
    worsen()
    state(name("bad"))
    play_and_kill(task, tmp_path / "log", "rollback_configuration.yml", times=times)
    if task != "Seal the host":
        assert "is not finished: finish it first" in play("rollback_configuration.yml", "-e", "rollback_run=another", fails=True)
    assert "Goes on with what was begun" in play("rollback_configuration.yml")
    assert {host for host in HOSTS if etc(host) != before[host]} == set()
    assert unfinished("configuration") == []
    for host in GROUPS["edge"]:
        assert " down" not in run(host, "cat /etc/nginx/arxos/upstream.conf"), "a host stays drained"


def test_the_host_that_does_not_get_well_is_put_back_and_the_others_too() -> None:
    """The unit of then cannot run here any more: its checker finds nothing wrong with it, and it does not get healthy."""
    script = "sed -i 's/^ExecStart=.*/ExecStart=\\/bin\\/sleep infinity/' /etc/systemd/system/arxos-api.service"
    before = run("app2", "cat /etc/systemd/system/arxos-api.service")
    run("app2", f"cp /etc/systemd/system/arxos-api.service /root/unit; {script}")
    state(name("ill"))
    run("app2", "cp /root/unit /etc/systemd/system/arxos-api.service")
    for host in GROUPS["app"]:
        run(host, "echo well >/etc/arxos-well")
    state(name("well"))
    now = {host: etc(host) for host in HOSTS}
    said = play("rollback_configuration.yml", fails=True)
    assert "was stopped, and every host that had gone it was put back: app2:" in said
    assert run("app2", "cat /etc/systemd/system/arxos-api.service") == before
    assert {host for host in HOSTS if etc(host) != now[host]} == set() and unfinished("configuration") == []
    run("app2", "systemctl is-active arxos-api.service")


def test_a_rehearsal_measures_what_the_next_estimate_says(figure: Figure) -> None:
    state(name("good"))
    worsen()
    state(name("bad"))
    now = {host: etc(host) for host in HOSTS}
    play("rollback_configuration.yml", "-e", "rehearse=true")
    assert {host for host in HOSTS if etc(host) != now[host]} == set()
    # The state of before the rehearsal is there under two names now; that of the good run is the third last.
    good = finished("configuration")["plan"]["to"]
    play("rollback_configuration.yml", "-e", f"rollback_run={good}")
    done = finished("configuration")
    figure("rollback configuration: estimate", f"{done['plan']['estimate_seconds']} s, {deviation(done):+.0%}: {done['done']}")
    assert abs(deviation(done)) <= 0.25
    assert "this inventory says that it is production" in play(
        "rollback_configuration.yml", "-e", "rehearse=true", "-e", "arxos_environment=production", fails=True
    )
