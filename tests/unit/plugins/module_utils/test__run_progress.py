# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run as it goes, with a clock of the test's own: what is shown, and what is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _run_record
from ansible_collections.arxos.platform.plugins.module_utils._run_progress import Run


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Told:
    """A run, its clock, and its lines."""

    def __init__(self, last: _run_record.Record | None = None) -> None:
        self.clock = Clock()
        self.lines: list[tuple[str, Mapping[str, Any]]] = []
        self.run = Run(lambda event, fields: self.lines.append((event, fields)), last, every=60, clock=self.clock)

    def text(self) -> str:
        return "".join(_run_record.line(event, 0, fields) for event, fields in self.lines)


LAST = _run_record.Record(
    id="20261126T031500Z-3f9a",
    seconds=100,
    stages=[_run_record.Stage("1/2 Hosts", 0, 50.0), _run_record.Stage("2/2 Cache", 50, 49.0)],
)


def test_a_stage_of_several_plays_is_announced_once() -> None:
    told = Told()
    assert told.run.play("(4/8) Database | Patroni") == "Stage 4 of 8: Database (0:00 so far)"
    assert told.run.play("(4/8) Database | Schema") is None
    assert told.run.play("Seal | Something without a number") is None
    assert [event for event, _fields in told.lines] == ["stage_begun"]


def test_plays_without_numbers_are_stages_where_there_are_no_others() -> None:
    run = Told().run
    assert run.play("Run | One at a time") is None
    assert run.play("Scale | Who is a member already") == "Scale (0:00 so far)"
    assert run.play("Scale | A host that stays leads") is None
    assert run.play("Make the hosts") is None
    assert run.play("(2/8) Hosts | Packages") == "Stage 2 of 8: Hosts (0:00 so far)"
    assert Run.opens("(1/2) X") and Run.opens("Run | One at a time") and not Run.opens("Scale | X") and not Run.opens("Status")


def test_times_changes_and_failures_stand_in_the_summary_and_in_the_record() -> None:
    told = Told()
    told.run.play("(1/2) Hosts | Packages")
    told.run.task("t1", "Install packages")
    told.run.result("t1", "Install packages", "db1", changed=True)
    told.run.result("t1", "Install packages", "db2")
    told.run.result("t1", "Install packages", "db3", skipped=True)
    told.clock.now = 61.5
    told.run.play("(2/2) Cache")
    told.run.task("t2", "Form the cluster")
    told.run.result("t2", "Form the cluster", "cache1", failure="no quorum")
    told.run.task("t3", "Skipped by all")
    told.run.result("t3", "Skipped by all", "cache1", skipped=True)
    told.clock.now = 70.0
    assert told.run.end(2, {"Platform": "https://api.arxos.test/"}) == [
        "Stage        time  tasks  changed",
        "1/2 Hosts    1:01      2        1",
        "2/2 Cache    0:08      1        0  FAILED",
        "Whole run    1:10",
        "",
        "Changed: db1 1",
        "Failed:  cache1 in 2/2 Cache: Form the cluster: no quorum",
        "Platform: https://api.arxos.test/",
    ]
    steps = [fields for event, fields in told.lines if event == "step"]
    assert steps == [
        {"stage": "1/2 Hosts", "task": "Install packages", "seconds": 61.5, "ok": 2, "changed": ["db1"]},
        {"stage": "2/2 Cache", "task": "Form the cluster", "seconds": 0.0, "ok": 0, "failures": {"cache1": "no quorum"}},
    ]
    record = _run_record.parse(told.text())
    assert (record.verdict, record.rc, record.seconds) == ("failed", 2, 70.0)
    assert [(stage.stage, stage.seconds, stage.failed) for stage in record.stages] == [
        ("1/2 Hosts", 61.5, []),
        ("2/2 Cache", 8.5, ["cache1"]),
    ]
    assert record.summary == {"Platform": "https://api.arxos.test/"}


def test_the_last_run_stands_beside_this_one() -> None:
    told = Told(LAST)
    assert told.run.play("(1/2) Hosts | Packages") == "Stage 1 of 2: Hosts (0:00 so far, the last run 0:00)"
    told.clock.now = 40
    assert told.run.play("(2/2) Cache") == "Stage 2 of 2: Cache (0:40 so far, the last run 0:50)"
    told.clock.now = 80
    assert told.run.end(0, {})[:4] == [
        "Stage        time    last  tasks  changed",
        "1/2 Hosts    0:40    0:50      0        0",
        "2/2 Cache    0:40    0:49      0        0",
        "Whole run    1:20    1:40",
    ]


def test_what_takes_long_says_how_far_it_is() -> None:
    told = Told(LAST)
    told.run.play("(1/2) Hosts | Packages")
    told.run.task("t1", "Install packages")
    for host in ("a", "b", "c"):
        told.run.asked(host)
    told.run.result("t1", "Install packages", "a")
    assert told.run.progress() is None
    told.clock.now = 65
    told.run.result("t1", "Install packages", "b", skipped=True)
    assert told.run.progress() == "1/2 Hosts: 2 of 3 hosts done with 'Install packages', 1:05 of 0:50 the last time; 1:05 so far"
    assert told.run.progress() is None
    told.clock.now = 130
    told.run.task("t2", "Configure")
    assert told.run.progress() == "1/2 Hosts: 0 of 3 hosts done with 'Configure', 2:10 of 0:50 the last time; 2:10 so far"


def test_a_result_that_comes_late_is_not_lost() -> None:
    told = Told()
    told.run.play("(1/1) Hosts")
    told.run.task("t1", "One")
    told.run.task("t2", "Two")
    told.run.result("t1", "One", "a", changed=True)
    told.run.end(0, {})
    assert [(fields["task"], fields["changed"]) for event, fields in told.lines if event == "step"] == [("One", ["a"])]


def test_a_run_without_stages_says_what_it_has_to_say() -> None:
    assert Told().run.end(0, {"Guard": "database2"}) == ["Guard: database2"]
