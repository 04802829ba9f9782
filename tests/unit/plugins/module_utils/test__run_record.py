# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a record says: lines as they are written, what is read from them, also where a run was killed, and how it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _run_record as subject

ID = "20261126T031500Z-3f9a"
NOW = 1_795_662_900.0  # 2026-11-26T03:15:00Z


def begun(run: str = ID, **given: Any) -> str:
    head = {"id": run, "who": "jane", "controller": "c1", "version": "0.1.0", "playbook": "go_live.yml", "limit": "", "tags": ["all"]}
    return subject.line("run_begun", NOW, {**head, "skip_tags": [], "check": False, **given})


def stage(title: str, offset: float, seconds: float | None, failed: tuple[str, ...] = ()) -> str:
    text = subject.line("stage_begun", NOW + offset, {"stage": title, "offset": offset})
    if seconds is None:
        return text
    fields = {"stage": title, "seconds": seconds, "tasks": 4, "changed": 1, "failed": list(failed)}
    return text + subject.line("stage_ended", NOW + offset + seconds, fields)


def step(title: str, task: str, at: float, **given: Any) -> str:
    return subject.line("step", NOW + at, {"stage": title, "task": task, "seconds": 1.0, "ok": 2, **given})


def ended(rc: int = 0, seconds: float = 60.0, **given: Any) -> str:
    return subject.line("run_ended", NOW + seconds, {"seconds": seconds, "rc": rc, "verdict": "failed" if rc else "ok", **given})


WHOLE = (
    begun()
    + stage("1/2 Hosts", 1, 40)
    + step("1/2 Hosts", "Install packages", 30, changed=["db1", "db2"])
    + subject.line("evidence", NOW + 41, {"name": "x.txt", "file": "evidence/x.txt", "sha256": "ab", "bytes": 2, "content": "hi"})
    + stage("2/2 Cache", 41, 19)
    + ended(summary={"Release": "1.0.0"})
)
KILLED = begun() + stage("1/2 Hosts", 1, 40) + stage("2/2 Cache", 41, None) + step("2/2 Cache", "Form it", 63) + '{"event":"step","at":"20'


def test_an_id_sorts_by_time_and_a_moment_comes_back() -> None:
    assert subject.new_id(NOW, "3f9ab") == ID and subject.ID.fullmatch(subject.new_id(NOW, "")) is not None
    assert subject.moment(subject.stamp(NOW)) == NOW and subject.moment("yesterday") == 0


def test_a_whole_record() -> None:
    record = subject.parse(WHOLE)
    assert (record.id, record.began, record.verdict, record.rc, record.seconds) == (ID, "2026-11-26T03:15:00Z", "ok", 0, 60.0)
    assert [(each.stage, each.offset, each.seconds) for each in record.stages] == [("1/2 Hosts", 1, 40), ("2/2 Cache", 41, 19)]
    assert record.changed == {"db1": 1, "db2": 1} and record.summary == {"Release": "1.0.0"}
    assert record.evidence == [{"name": "x.txt", "file": "evidence/x.txt", "sha256": "ab", "bytes": 2}]
    assert subject.where_it_stopped(record) == "" and record.stopped_in == ""
    assert subject.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_a_killed_run_is_incomplete_and_its_torn_line_is_left_out() -> None:
    record = subject.parse(KILLED)
    assert (record.verdict, record.rc, record.seconds, record.stopped_in) == (subject.INCOMPLETE, None, 63.0, "2/2 Cache")
    assert subject.where_it_stopped(record) == (
        f"The last run ({ID} by jane) was cut off after 1:03 in 2/2 Cache, after 'Form it'. Done were 1/2 Hosts."
    )


def test_a_failed_run_says_where() -> None:
    text = (
        begun()
        + stage("1/2 Hosts", 1, 40, ("db1",))
        + step("1/2 Hosts", "Install packages", 30, failures={"db1": "no room"})
        + ended(2, 41.0)
    )
    record = subject.parse(text)
    assert record.failures == [{"stage": "1/2 Hosts", "task": "Install packages", "host": "db1", "message": "no room"}]
    said = f"The last run ({ID} by jane) failed after 0:41 in 1/2 Hosts, at 'Install packages' on db1. Done were no stages."
    assert subject.where_it_stopped(record) == said


def test_lines_without_a_beginning_are_somebodys() -> None:
    record = subject.parse(subject.line("evidence", NOW, {"name": "x", "file": "x", "sha256": "ab", "bytes": 1}) + "[]\nnonsense\n", ID)
    assert (record.id, record.verdict, len(record.evidence)) == (ID, subject.INCOMPLETE, 1)
    assert "before its first stage" in subject.where_it_stopped(record)


def test_times_are_compared_with_runs_of_the_same_way_alone() -> None:
    def record(second: int, verdict: str = "ok", **given: Any) -> subject.Record:
        return subject.Record(id=f"20261126T03150{second}Z-3f9a", playbook="go_live.yml", verdict=verdict, **given)

    known = [record(1), record(2, "failed"), record(3, limit="app"), record(4, check=True), record(5, tags=["firewall"]), record(9)]
    like = record(9)
    last, complete = subject.last_of(known, like), subject.last_of(known, like, complete=True)
    assert last is not None and last.id.startswith("20261126T031502")
    assert complete is not None and complete.id.startswith("20261126T031501")
    assert subject.last_of([], like) is None


@pytest.mark.parametrize(("message", "line"), [("a\nb", "a"), ("\n  b ", "b"), (None, "failed"), ("", "failed"), ("x" * 900, "x" * 400)])
def test_first_line(message: Any, line: str) -> None:
    assert subject.first_line(message) == line


def test_the_log_gets_what_changed_or_failed_and_nothing_that_evidence_says() -> None:
    chosen = subject.chosen_for_log(WHOLE + step("2/2 Cache", "Look", 50))
    assert [json.loads(each)["event"] for each in chosen] == [
        "run_begun",
        "stage_begun",
        "stage_ended",
        "step",
        "evidence",
        "stage_begun",
        "stage_ended",
        "run_ended",
    ]
    assert "hi" not in "".join(chosen) and '"sha256":"ab"' in "".join(chosen)


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3599, "59:59"), (3661, "1:01:01")])
def test_minutes(seconds: float, said: str) -> None:
    assert subject.minutes(seconds) == said


def test_of_several_copies_the_one_that_says_more_is_taken() -> None:
    older, newer = subject.parse(begun()), subject.parse(KILLED)
    other = subject.parse(begun("20261126T041500Z-0000") + ended())
    found = subject.merged([older.as_dict(), newer.as_dict(), older.as_dict(), other.as_dict()])
    assert [each.id for each in found] == [other.id, ID]
    assert found[1].stopped_in == "2/2 Cache"
    assert subject.merged([subject.parse(WHOLE).as_dict(), newer.as_dict()])[0].verdict == "ok"


def test_history_is_a_line_each() -> None:
    failed = subject.parse(begun("20261126T021500Z-0001") + stage("1/2 Hosts", 1, 40, ("db1",)) + ended(2))
    assert subject.history([subject.parse(WHOLE), subject.parse(KILLED), failed], running="") == [
        "run                    began (UTC)          who   playbook     verdict     time  stages",
        f"{ID}  2026-11-26 03:15:00  jane  go_live.yml  ok          1:00  2",
        f"{ID}  2026-11-26 03:15:00  jane  go_live.yml  INCOMPLETE  1:03  1, stopped in 2/2 Cache",
        "20261126T021500Z-0001  2026-11-26 03:15:00  jane  go_live.yml  failed      1:00  0, stopped in 1/2 Hosts",
    ]
    assert "running" in subject.history([subject.parse(KILLED)], running=ID)[1]
    assert subject.history([]) == ["No run has left a record here."]


def test_one_run_in_full() -> None:
    text = begun(limit="app", tags=["firewall"]) + WHOLE.split("\n", 1)[1]
    assert subject.story(subject.parse(text)) == [
        f"{ID}: go_live.yml by jane on c1, collection 0.1.0",
        "2026-11-26T03:15:00Z, 1:00, ok (rc 0)",
        "limit app, tags firewall",
        "",
        "stage      time  tasks  changed",
        "1/2 Hosts  0:40  4      1",
        "2/2 Cache  0:19  4      1",
        "",
        "Changed: db1 1, db2 1",
        "Evidence: x.txt, 2 bytes, sha256 ab",
        "Release: 1.0.0",
    ]
    told = "\n".join(subject.story(subject.parse(KILLED + "\n" + step("2/2 Cache", "Form it", 64, failures={"c1": "no"}))))
    assert "INCOMPLETE" in told and "not ended" in told and "Failed:  c1 in 2/2 Cache: Form it: no" in told
