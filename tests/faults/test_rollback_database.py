# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A migration drops a table, and it is found after a minute of traffic: both rungs bring it back, drop only what was agreed to, and keep the rest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .cluster import ROOT, Cluster, HostError, Observation, until
from .ledger import WRITTEN

TRAFFIC_SECONDS = 60
BACK_SECONDS = 10
# A name is used once on a platform.
RUN = int(time.time())
Figure = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def no_guard(whole: None) -> Iterator[None]:
    """Nothing is held before a test, nor after it."""
    yield
    play("release_guard.yml")


def command(playbook: str, *arguments: str) -> list[str]:
    """A playbook on the hosts of the tier, without the application servers: clients here are the test's own."""
    limit = ["--limit", "database,localhost"]
    return [
        str(ROOT / ".venv/bin/ansible-playbook"),
        "-i",
        str(ROOT / "inventories/lab"),
        str(ROOT / "playbooks" / playbook),
        *limit,
        *arguments,
    ]


def play(playbook: str, *arguments: str, fails: bool = False) -> str:
    """What a playbook said."""
    done = subprocess.run(
        command(playbook, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False, stdin=subprocess.DEVNULL
    )
    assert bool(done.returncode) is fails, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def changed(output: str) -> int:
    """How often the recap says that something was changed."""
    return sum(int(line.split("changed=")[1].split()[0]) for line in output.splitlines() if "changed=" in line)


def version() -> str:
    return "17" if os.environ.get("LAB_DEBIAN") == "13" else "15"


def ill(cluster: Cluster) -> None:
    """The bad migration."""
    cluster.sql(cluster.leader, "DROP TABLE arxos_prod.symbols")


def well(cluster: Cluster, member: str) -> bool:
    """Whether the table is there again with its rows, for writing."""
    return (
        cluster.sql(member, "SELECT count(*) || ' ' || pg_is_in_recovery() FROM arxos_prod.symbols WHERE name LIKE 'precious%'")
        == "100 false"
    )


def fill(cluster: Cluster) -> None:
    cluster.sql(
        cluster.leader,
        "DELETE FROM arxos_prod.symbols WHERE name LIKE 'precious%';"
        " INSERT INTO arxos_prod.symbols (name, definition) SELECT 'precious ' || n, '{}' FROM generate_series(1, 100) n",
    )


class Back:
    """Watches who has the table and takes writes, and when that began."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.at, self.down, self.member = cluster, 0.0, 0.0, ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Back:
        self._thread.start()
        return self

    def __exit__(self, *_ignored: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set() and not self.at:
            if not self.down and not self.cluster.leaders():
                self.down = time.monotonic()
            for member in self.cluster.members:
                with contextlib.suppress(HostError, subprocess.TimeoutExpired):
                    if well(self.cluster, member):
                        self.at, self.member = time.monotonic(), member
            time.sleep(0.1)


def acknowledged(watch: Observation, began: float, ended: float) -> set[str]:
    """Rows whose writing began and was acknowledged between two moments."""
    return {
        f"{watch.mark}-{line.worker}-{line.number}"
        for line in watch.lines()
        if line.kind == WRITTEN and began < line.began and line.ended < ended
    }


def rows(cluster: Cluster, watch: Observation) -> set[str]:
    return set(cluster.sql(cluster.leader, f"SELECT name FROM arxos_prod.buildings WHERE name LIKE '{watch.mark}-%'").split())


def rows_in_archive(cluster: Cluster, member: str, timeline: int, watch: Observation) -> set[str]:
    """What the state has that was backed up first: the archive of its timeline, laid into an empty directory and started there."""
    script = f"""
set -e
dir=/var/lib/postgresql/before; rm -rf $dir; install -d -m 0700 $dir
pgbackrest --stanza=arxos --pg1-path=$dir --archive-mode=off --type=default --target-timeline={timeline} restore >&2
bin=/usr/lib/postgresql/{version()}/bin
$bin/pg_ctl -D $dir -w -t 300 -o '-p 5999 -c listen_addresses= -c unix_socket_directories=/tmp' start >&2
for i in $(seq 300); do [ "$(psql -XAtq -h /tmp -p 5999 -d postgres -c 'select pg_is_in_recovery()')" = f ] && break; sleep 0.5; done
psql -XAtq -h /tmp -p 5999 -d arxos_production -c "SELECT name FROM arxos_prod.buildings WHERE name LIKE '{watch.mark}-%'"
$bin/pg_ctl -D $dir -m immediate stop >&2; rm -rf $dir
"""
    return set(cluster.run(member, "bash", "-c", script, user="postgres", timeout=600).split())


def journal(cluster: Cluster, member: str) -> dict[str, Any]:
    """The journal of the newest finished rollback."""
    return dict(json.loads(cluster.run(member, "sh", "-c", "cat $(ls -t /var/lib/arxos/database_rollback.2*.json | head -1)")))


def held(cluster: Cluster) -> str:
    """The member that runs outside of Patroni."""
    active = ["systemctl", "is-active", "arxos-held-postgresql.service"]
    return next(name for name in cluster.members if cluster.run(name, *active, check=False) == "active")


def drill(cluster: Cluster, figure: Figure, release: str, *arguments: str) -> tuple[Back, dict[str, Any]]:
    """A release goes wrong under writes, and is rolled back. Nothing is lost but what was agreed to, and that is in the archive."""
    fill(cluster)
    before = cluster.leader
    with Observation(cluster, readers=0) as watch:
        play("guard_database.yml", "-e", f"release={release}")
        point = time.monotonic()
        ill(cluster)
        time.sleep(TRAFFIC_SECONDS)
        with Back(cluster) as back:
            play("rollback_database.yml", "-e", f"to={release}", "-e", "accept_data_loss=true", *arguments)
            until(30, lambda: back.at > 0, "the table is back")
        end = time.monotonic()
        watch.writes_again(end)
        dropped, kept = acknowledged(watch, point, back.down), acknowledged(watch, back.at, time.monotonic() - 0.5)
    cluster.wait_until_whole(180)
    done = journal(cluster, before)
    figure(f"rollback {done['plan']['rung']}: data back after", f"{back.at - back.down:.1f} s; {len(dropped)} rows dropped")
    figure(f"rollback {done['plan']['rung']}: steps", ", ".join(f"{step} {seconds:.1f}" for step, seconds in done["done"].items()))
    assert len(dropped) > 100 and len(kept) > 10
    present = rows(cluster, watch)
    assert kept <= present, f"{len(kept - present)} acknowledged after it are lost"
    assert not dropped & present, "it went back to another state than that of the point"
    archived = rows_in_archive(cluster, before, done["fence"]["timeline"], watch)
    assert dropped <= archived, f"{len(dropped - archived)} of {len(dropped)} that were dropped are not in the archive"
    lost = {f"{watch.mark}-{line.worker}-{line.number}" for line in watch._lines if line.kind == WRITTEN} - present - archived
    assert lost == set(), f"acknowledged, and neither in the database nor in the archive: {len(lost)}"
    return back, done


def test_a_guard_is_held_beside_a_synchronous_replica_and_given_back(cluster: Cluster, figure: Figure) -> None:
    leader = cluster.leader
    checked = play("guard_database.yml", "-e", f"release=g.1.{RUN}", "--check")
    assert cluster.faults() == [] and f"will be held at g.1.{RUN}@" in checked
    began = time.monotonic()
    play("guard_database.yml", "-e", f"release=g.1.{RUN}")
    figure("guard: held after", f"{time.monotonic() - began:.1f} s")
    guard = held(cluster)
    assert cluster.leader == leader
    assert cluster.sql(leader, "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')") == "1"
    assert cluster.sql(leader, f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{guard}' AND active") == "0"
    cluster.sql(leader, f"INSERT INTO arxos_prod.buildings (name) VALUES ('after {RUN}')")
    time.sleep(2)
    assert cluster.sql(guard, f"SELECT count(*) FROM arxos_prod.buildings WHERE name = 'after {RUN}'") == "0"
    assert changed(play("guard_database.yml", "-e", f"release=g.1.{RUN}")) == 0
    assert "release it first" in play("guard_database.yml", "-e", f"release=g.2.{RUN}", fails=True)
    cluster.docker("restart", guard)
    stands = f"SELECT pg_get_wal_replay_pause_state() || ' ' || (SELECT count(*) FROM arxos_prod.buildings WHERE name = 'after {RUN}')"
    until(60, lambda: cluster.sql(guard, stands) == "paused 0", "the guard stands where it stood, after its host was started anew")
    began = time.monotonic()
    play("release_guard.yml")
    cluster.wait_until_whole(60)
    figure("guard: released after", f"{time.monotonic() - began:.1f} s")
    assert cluster.sql(guard, f"SELECT count(*) FROM arxos_prod.buildings WHERE name = 'after {RUN}'") == "1"
    assert changed(play("release_guard.yml")) == 0
    assert "none can be, afterwards" in play("guard_database.yml", "-e", f"release=g.1.{RUN}", fails=True)


def test_a_guard_that_was_held_for_long_is_cloned_when_it_is_released(cluster: Cluster) -> None:
    leader = cluster.leader
    play("guard_database.yml", "-e", f"release=g.3.{RUN}")
    guard = held(cluster)
    kept = int(cluster.sql(leader, "SELECT setting::int / 16 FROM pg_settings WHERE name = 'wal_keep_size'"))
    for _segment in range(kept + 4):
        cluster.sql(leader, "INSERT INTO arxos_prod.buildings (name) VALUES ('filler'); SELECT pg_switch_wal()")
    cluster.sql(leader, "CHECKPOINT")
    cluster.sql(leader, "CHECKPOINT")
    play("release_guard.yml")
    cluster.wait_until_whole(60)
    wanted = cluster.sql(leader, "SELECT count(*) FROM arxos_prod.buildings WHERE name = 'filler'")
    assert cluster.sql(guard, "SELECT count(*) FROM arxos_prod.buildings WHERE name = 'filler'") == wanted


def test_the_guard_brings_a_dropped_table_back(cluster: Cluster, figure: Figure) -> None:
    back, done = drill(cluster, figure, f"d.1.{RUN}")
    assert done["plan"]["rung"] == "guard" and back.member == done["plan"]["open_on"]
    assert back.at - back.down <= BACK_SECONDS


def test_the_backup_brings_it_back_within_its_estimate(cluster: Cluster, figure: Figure) -> None:
    _back, first = drill(cluster, figure, f"d.2.{RUN}", "-e", "rung=backup")  # measures this platform
    _back, done = drill(cluster, figure, f"d.3.{RUN}", "-e", "rung=backup")
    assert first["plan"]["rung"] == done["plan"]["rung"] == "backup"
    seconds, estimate = sum(value for step, value in done["done"].items() if step != "plan"), done["plan"]["estimate_seconds"]
    figure("rollback backup: estimate and measured", f"{estimate:.0f} s, {seconds:.0f} s ({seconds / estimate - 1:+.0%})")
    assert abs(seconds / estimate - 1) <= 0.25


def test_without_consent_it_says_what_it_would_drop(cluster: Cluster) -> None:
    leader = cluster.leader
    play("guard_database.yml", "-e", f"release=r.1.{RUN}")
    for number in range(7):
        cluster.sql(leader, f"INSERT INTO arxos_prod.buildings (name) VALUES ('r.1 {number}')")
    since = cluster.sql(
        leader,
        f"SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI') FROM arxos_platform.restore_points WHERE name = 'r.1.{RUN}'",
        "postgres",
    )
    time.sleep(2)  # until the statistics have counted them
    refused = " ".join(play("rollback_database.yml", "-e", f"to=r.1.{RUN}", fails=True).split())
    assert f"all writes since {since}" in refused and "7 inserted" in refused and "accept_data_loss=true" in refused
    checked = " ".join(play("rollback_database.yml", "-e", f"to=r.1.{RUN}", "--check").split())
    assert "7 inserted" in checked and "opens" in checked
    over = play(
        "rollback_database.yml", "-e", f"to=r.1.{RUN}", "-e", "accept_data_loss=true", "-e", "rollback_budget_seconds=1", fails=True
    )
    assert "and the budget is 1 s" in " ".join(over.split())
    assert cluster.leader == leader and not cluster.patroni(leader, "cluster").get("pause")
    assert cluster.run(leader, "sh", "-c", "ls /var/lib/arxos/database_rollback.json", check=False) == ""


# The last of what each is killed at has not been noted in the journal.
@pytest.mark.parametrize(
    ("rung", "task"),
    [
        ("guard", "Stop PostgreSQL wherever"),
        ("guard", "Open it"),
        ("guard", "Note that it is open"),
        ("backup", "Note where the present state ended"),
        ("backup", "Note that it is restored"),
        ("backup", "Give the cluster back"),
    ],
)
def test_a_rollback_that_was_killed_is_finished_by_the_next(cluster: Cluster, rung: str, task: str, tmp_path: Path) -> None:
    release = f"k.{int(time.time())}"
    fill(cluster)
    play("guard_database.yml", "-e", f"release={release}")
    ill(cluster)
    words = ["-e", f"to={release}", "-e", "accept_data_loss=true", "-e", f"rung={rung}"]
    log = tmp_path / "log"
    with log.open("wb") as out:
        run = subprocess.Popen(
            command("rollback_database.yml", *words), cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
        until(300, lambda: f"TASK [{task}" in log.read_text(errors="replace") or run.poll() is not None, f"the task {task}")
        assert run.poll() is None, log.read_text(errors="replace")[-3000:]
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert f"TASK [{task}" in log.read_text(errors="replace"), log.read_text(errors="replace")[-3000:]
    assert "is not finished" in play("rollback_database.yml", "-e", "to=2026-01-01T00:00:00Z", fails=True)
    assert "Goes on with what was begun" in play("rollback_database.yml", *words)
    cluster.wait_until_whole(120)
    assert well(cluster, cluster.leader)
