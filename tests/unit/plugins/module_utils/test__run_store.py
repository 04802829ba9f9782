# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder of a host: one lock whoever comes at the same time, and the newest records."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _run_record
from ansible_collections.arxos.platform.plugins.module_utils import _run_store as subject
from ansible_collections.arxos.platform.plugins.module_utils._run_lock import Holder, Process


def run(number: int) -> Holder:
    return Holder(f"20261126T0315{number:02}Z-0000", "jane", "go_live.yml", Process("c1", "m1", "boot1", "pid:[1]", 100 + number, "5000"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "arxos/runs"
    subject.make(path)
    return path


def test_the_folder_and_the_lock_are_not_for_everybody(folder: Path) -> None:
    subject.make(folder)
    subject.take(folder, run(1), 600)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, folder / "lock")] == [0o755, 0o750, 0o640]


def test_one_has_it_and_gives_it_back(folder: Path) -> None:
    times = iter([1000.0, 1000.0, 1100.0, 1100.0, 1200.0, 1200.0, 1200.0])
    first = subject.take(folder, run(1), 600, clock=lambda: next(times))
    assert (first.acquired, first.why, first.before, first.holder.since) == (True, "free", None, 1000.0)
    again = subject.take(folder, run(1), 600, clock=lambda: next(times))
    assert (again.why, again.holder.since, again.holder.renewed_at) == ("ours", 1000.0, 1100.0)
    second = subject.take(folder, run(2), 600, clock=lambda: next(times))
    assert (second.acquired, second.why, second.holder.id) == (False, "held", run(1).id)
    assert subject.give_back(folder, run(2)) is not None and subject.holder(folder) is not None
    assert subject.give_back(folder, run(1)) is not None and subject.holder(folder) is None
    assert subject.give_back(folder, run(1)) is None


@pytest.mark.parametrize(
    ("given", "why"), [({"gone": run(1).id}, "gone"), ({"take_over": run(1).id}, "asked"), ({"lease": -1.0}, "expired")]
)
def test_that_of_a_dead_run_is_taken_over(folder: Path, given: dict[str, str], why: str) -> None:
    subject.take(folder, run(1), 600)
    taken = subject.take(folder, run(2), **{"lease": 600.0, **given})  # type: ignore[arg-type]
    assert (taken.acquired, taken.why, taken.before and taken.before.id, taken.holder.id) == (True, why, run(1).id, run(2).id)


def test_two_keepers_that_are_one_host_are_no_majority(folder: Path) -> None:
    first, second = (replace(run(1), keeper=keeper) for keeper in ("database1", "database2"))
    for _again in range(2):
        assert subject.take(folder, first, 600).acquired
        with pytest.raises(ValueError, match="this host is database1 too: ansible_host"):
            subject.take(folder, second, 600)
    assert subject.give_back(folder, second) is not None and subject.holder(folder) is None


def test_one_that_is_dead_for_sure_is_freed_by_hand(folder: Path) -> None:
    subject.take(folder, run(1), 600)
    subject.give_back(folder, run(2), take_over=run(1).id)
    assert subject.holder(folder) is None


def test_waiting_ends_when_the_other_gives_way_and_when_the_time_is_up(folder: Path) -> None:
    subject.take(folder, run(1), 600)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            subject.give_back(folder, run(1))

    assert subject.take(folder, run(2), 600, wait=15, pause=pause).acquired and len(pauses) == 3
    now = [0.0]
    taken = subject.take(folder, run(3), 1e12, wait=2, clock=lambda: now[0], pause=lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert not taken.acquired and now[0] == 2


def test_of_many_at_the_same_moment_one_gets_it(folder: Path) -> None:
    taken: list[subject.Taken] = []
    start = threading.Barrier(8)

    def come(number: int) -> None:
        start.wait()
        taken.append(subject.take(folder, run(number), 600))

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [each for each in taken if each.acquired]
    assert {each.holder.id for each in taken} == {winner.holder.id}


def test_a_lock_that_cannot_be_read_is_somebodys_until_its_time_is_up(folder: Path) -> None:
    (folder / "lock").write_text("{")
    assert not subject.take(folder, run(1), 600).acquired
    assert subject.take(folder, run(1), 600, take_over="unreadable").acquired


def test_records_grow_and_the_newest_stay(folder: Path) -> None:
    text = _run_record.line("run_begun", 0, {"id": run(5).id, "who": "jane"})
    subject.keep(folder, {run(5).id: text}, 3)
    subject.keep(folder, {run(5).id: text + text}, 3)
    subject.keep(folder, {run(5).id: text, "../../etc/passwd": "x", "nonsense": "x"}, 3)
    assert (folder / f"{run(5).id}.jsonl").read_text() == text + text
    assert stat.S_IMODE((folder / f"{run(5).id}.jsonl").stat().st_mode) == 0o640
    for number in (1, 2, 7, 6):
        subject.keep(folder, {run(number).id: text}, 3)
    assert [path.stem for path in subject.files(folder)] == [run(number).id for number in (7, 6, 5)]
    assert sorted(path.name for path in folder.iterdir()) == [f"{run(number).id}.jsonl" for number in (5, 6, 7)]
    assert [record.who for record in subject.records(folder, limit=1)] == ["jane"]
    assert [record.began for record in subject.records(folder, run=run(6).id)] == ["1970-01-01T00:00:00Z"]
    assert subject.records(folder, run=replace(run(6), id="x").id) == [] and subject.records(folder / "none") == []
