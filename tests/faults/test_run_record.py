# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two controllers at once, a go-live and a deploy that are killed, a host that is away: who may run on the platform then, and what is known of those that
did not come to their end.

They want the whole platform of the lab that LAB_NAME names, and leave it as they found it. A second controller is this machine with processes and a name
of its own (unshare), as an execution environment is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _run_record

from .cluster import Cluster, until
from .whole import kill

ROOT = Path(__file__).resolve().parents[2]
RUNS = "/var/lib/arxos/runs"
ELSEWHERE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh"]
Figure = Callable[[str, object], None]


class Control:
    """A controller with a folder of its own for what it keeps of its runs."""

    def __init__(self, runs: Path, elsewhere: bool = False) -> None:
        self.runs, self.elsewhere = runs, elsewhere

    def command(self, playbook: str, *arguments: str) -> list[str]:
        words = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventories/lab", f"playbooks/{playbook}", *arguments]
        return [*ELSEWHERE, *words] if self.elsewhere else words

    def start(self, playbook: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(playbook, *arguments),
            cwd=ROOT,
            env={**os.environ, "ARXOS_RUNS": str(self.runs), "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def play(self, playbook: str, *arguments: str, rc: int = 0) -> str:
        """What a run showed, without the breaks that YAML puts into long lines."""
        process = self.start(playbook, *arguments)
        shown = process.communicate(timeout=1500)[0]
        assert process.returncode == rc, shown[-5000:]
        assert "Traceback" not in shown
        return " ".join(shown.split())

    def started(self, playbook: str, stage: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        """A run that has begun a stage, and its id."""
        before = set(self.runs.glob("*"))
        process = self.start(playbook, *arguments)
        # Nobody reads what it shows, and a full pipe would stop it.
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)

        def begun() -> Path | None:
            with contextlib.suppress(TypeError, BlockingIOError):
                process.stdout.read()  # type: ignore[union-attr]
            assert process.poll() is None
            new = set(self.runs.glob("*")) - before
            return next(
                (
                    path
                    for path in new
                    if '"stage_begun"' in (path / "record.jsonl").read_text() and stage in (path / "record.jsonl").read_text()
                ),
                None,
            )

        return process, until(900, begun, f"{playbook} in {stage}").name


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path / "runs")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Control:
    return Control(tmp_path / "elsewhere", elsewhere=True)


@pytest.fixture(autouse=True)
def nobody_runs(cluster: Cluster) -> Iterator[None]:
    """No test begins or ends with a lock."""
    assert held(cluster) == []
    yield
    left = held(cluster)
    for member in cluster.members:
        cluster.run(member, "rm", "-f", f"{RUNS}/lock", check=False)
    assert left == []


def held(cluster: Cluster) -> list[str]:
    """The ids in the locks of the hosts that keep it."""
    texts = [cluster.run(member, "sh", "-c", f"cat {RUNS}/lock 2>/dev/null || true") for member in cluster.members]
    return [json.loads(text)["id"] for text in texts if text]


def kept(cluster: Cluster, member: str, run: str) -> _run_record.Record:
    """What a host has of a run."""
    return _run_record.parse(cluster.run(member, "sh", "-c", f"cat {RUNS}/{run}.jsonl 2>/dev/null || true"), run)


def newest(control: Control) -> _run_record.Record:
    path = max(control.runs.glob("*/record.jsonl"))
    return _run_record.parse(path.read_text(), path.parent.name)


def test_a_run_leaves_its_record_on_the_platform_and_in_its_log(control: Control, cluster: Cluster, figure: Figure) -> None:
    began = time.monotonic()
    shown = control.play("cache.yml")
    record = newest(control)
    assert (record.verdict, [stage.stage for stage in record.stages]) == ("ok", ["5/9 Cache"])
    assert f"also on {', '.join(cluster.members[:3])}" in shown
    for member in cluster.members[:3]:
        assert kept(cluster, member, record.id) == record
        assert cluster.run(member, "stat", "-c", "%a %U:%G", f"{RUNS}/{record.id}.jsonl") == "640 root:adm"
        assert cluster.run(member, "stat", "-c", "%a %U:%G", RUNS) == "750 root:adm"
    text = (control.runs / record.id / "record.jsonl").read_text()
    lock = next(event for event in _run_record.events(text) if event.get("task", "").startswith("Take the lock"))
    figure("taking the lock on three hosts", f"{lock['seconds']} s of {time.monotonic() - began:.0f} s")
    # The audit archive takes it from here.
    log = f"/var/log/arxos-hosts/{cluster.members[0]}/arxos-run.log"
    logged = until(
        60, lambda: (said := cluster.run("monitoring1", "sh", "-c", f"grep {record.id} {log}")) and "run_begun" in said and said, "the log"
    )
    assert "run_begun" in logged


def test_two_controllers_at_once(control: Control, elsewhere: Control, cluster: Cluster) -> None:
    started = [each.start("cache.yml") for each in (control, elsewhere)]
    outputs = [" ".join(process.communicate(timeout=600)[0].split()) for process in started]
    assert sorted(process.returncode for process in started) == [0, 2], outputs
    loser = [process.returncode for process in started].index(2)
    winner = newest((control, elsewhere)[1 - loser])
    assert re.search(rf"Another run has this platform: cache.yml by \S+ on \S+ \({winner.id}\), since 2\S+Z \(\d+ s ago\)", outputs[loser])
    assert "(5/9) Cache" not in outputs[loser]
    told = control.play("history.yml", "-e", "runs=2")
    assert winner.id in told and newest((control, elsewhere)[loser]).id in told


def test_a_killed_go_live_is_incomplete_and_the_next_takes_over(control: Control, cluster: Cluster, figure: Figure) -> None:
    process, dead = control.started("go_live.yml", "4/9 Database")
    kill(process)
    assert held(cluster) == [dead] * 3
    for member in cluster.members[:3]:
        assert kept(cluster, member, dead).verdict == _run_record.INCOMPLETE
    assert re.search(rf"run go_live.yml by \S+ on \S+ \({dead}\), since .*: it is dead", control.play("status.yml"))
    assert re.search(rf"{dead} \S+ \S+ \S+ go_live.yml INCOMPLETE", control.play("history.yml"))

    began = time.monotonic()
    shown = control.play("go_live.yml")
    figure("go-live after one that was killed", f"{time.monotonic() - began:.0f} s")
    assert f"The last run ({dead} by" in shown and "was cut off after" in shown and "in 4/9 Database" in shown
    assert "Done were 1/9 Preflight, 2/9 Hosts, 3/9 Storage." in shown
    assert "The lock was taken over from go_live.yml by" in shown and "its process is gone." in shown
    assert "Changed: nothing" in shown
    # What the dead one had done after it took the lock was on its controller alone.
    left = kept(cluster, cluster.members[0], dead)
    assert (left.stopped_in, left.verdict) == ("4/9 Database", _run_record.INCOMPLETE)
    assert re.search(rf"{dead} \S+ \S+ \S+ go_live.yml INCOMPLETE \S+ 3, stopped in 4/9 Database", control.play("history.yml"))
    told = control.play("history.yml", "-e", f"run={dead}")
    assert "4/9 Database -" in told and "not ended" in told
    assert f"last run go_live.yml by {left.who}: ok" in control.play("status.yml")


def test_one_that_is_killed_elsewhere_keeps_the_lock_until_somebody_says_that_it_is_dead(
    control: Control, elsewhere: Control, cluster: Cluster
) -> None:
    process, dead = elsewhere.started("cache.yml", "5/9 Cache")
    kill(process)
    refused = control.play("cache.yml", rc=2)
    assert f"on elsewhere ({dead}), since" in refused and f"-e arxos_run_take_over={dead}" in refused
    assert "as was asked for" in control.play("cache.yml", "-e", f"arxos_run_take_over={dead}")


def test_a_killed_deploy_is_taken_up(control: Control, cluster: Cluster) -> None:
    build = [sys.executable, "tests/reference_app/build_release.py", "--output", "dist", "--version", "1.1.0"]
    subprocess.run(build, check=True, cwd=ROOT)
    release = ("-e", "arxos_api_version=1.1.0")
    before = cluster.run(cluster.apps[0], "readlink", "/opt/arxos/current")
    try:
        process, dead = control.started("deploy.yml", "2/3 Switch", *release)
        kill(process)
        shown = control.play("deploy.yml", *release)
        assert f"({dead} by" in shown and "in 2/3 Switch" in shown and "its process is gone." in shown
        assert {Path(cluster.run(app, "readlink", "/opt/arxos/current")).name for app in cluster.apps} == {"1.1.0"}
    finally:
        control.play("rollback_application.yml", "-e", f"rollback_version={Path(before).name}")
    verdicts = {record: kept(cluster, cluster.members[1], record).verdict for record in (dead, newest(control).id)}
    assert verdicts == {dead: _run_record.INCOMPLETE, newest(control).id: "ok"}


def test_a_failed_run_gives_the_lock_back(control: Control, elsewhere: Control, cluster: Cluster) -> None:
    elsewhere.play("deploy.yml", "-e", "arxos_api_version=9.9.9", rc=2)
    assert held(cluster) == []
    record = newest(elsewhere)
    assert record.verdict == "failed" and record.failures
    assert kept(cluster, cluster.members[2], record.id) == record
    assert record.failures[0]["message"] in control.play("history.yml", "-e", f"run={record.id}")


def test_a_host_that_is_away_stops_nobody(control: Control, cluster: Cluster) -> None:
    away = cluster.members[0]
    cluster.docker("stop", away)
    try:
        shown = control.play("cache.yml")
        assert f"{away}, which keeps it too, cannot be asked" in shown and f"also on {', '.join(cluster.members[1:3])}" in shown
        assert newest(control).id in control.play("history.yml")
    finally:
        cluster.docker("start", away)
        cluster.wait_until_whole(180)


def test_nothing_of_the_platform_is_in_the_record_that_is_a_secret(control: Control, cluster: Cluster) -> None:
    control.play("go_live.yml", "--check", "--diff", "-vvv")
    text = max(control.runs.glob("*/record.jsonl")).read_text()
    values: dict[str, Any] = {name: value for name, value in cluster.secrets.items() if name.startswith("vault_")}
    assert [name for name, value in values.items() if max(str(value).splitlines(), key=len) in text] == []
    assert held(cluster) == []
