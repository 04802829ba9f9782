# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may run: a dead holder is told from one that lives, and what several hosts say comes to one verdict."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _run_lock as subject
from ansible_collections.arxos.platform.plugins.module_utils._run_lock import INITIAL, Holder, Process

HERE = Process("c1", "m1", "boot1", INITIAL, 100, "5000")
MINE = Holder("20261126T031500Z-3f9a", "jane", "go_live.yml", HERE)
OTHER = Holder("20261126T031400Z-aaaa", "joe", "deploy.yml", replace(HERE, pid=90, started="4000"), since=1000.0, renewed_at=1060.0)


def test_a_holder_comes_back_as_it_was_written() -> None:
    assert subject.holder_from_json(subject.holder_to_json(OTHER)) == OTHER
    for text in ("", "[]", "{}", '{"id": "x", "process": {"colour": 1}}', '{"process": {}}'):
        with pytest.raises(ValueError):
            subject.holder_from_json(text)


@pytest.mark.parametrize(
    ("there", "started", "gone"),
    [
        (HERE, "5000", False),
        (HERE, "", True),  # no such process
        (HERE, "9000", True),  # another one has its number
        (replace(HERE, pids="pid:[4026532000]"), "", False),  # a container of this machine: its processes are not seen from here
        (replace(HERE, boot="boot0"), "5000", True),  # this machine was started anew
        (replace(HERE, boot="boot0", machine="m2"), "", False),  # another machine of this name
        (replace(HERE, boot="boot0", host="c2"), "", False),  # another one that was made of the same image
        (replace(HERE, boot="boot0", pids="pid:[4026532000]"), "", False),
        (replace(HERE, started=""), "", False),  # a system that tells nothing
        (Process(), "", False),
    ],
)
def test_who_is_gone(there: Process, started: str, gone: bool) -> None:
    assert subject.is_gone(there, HERE, lambda _pid: started) is gone


def test_where_this_system_tells_nothing_nobody_is_gone() -> None:
    assert not subject.is_gone(HERE, Process("c1"), lambda _pid: "")
    nothing = Holder("a", process=Process("mac", pid=7))
    assert nothing.is_same(nothing) and not nothing.is_same(replace(nothing, id="b"))


@pytest.mark.parametrize(
    ("current", "now", "given", "word"),
    [
        (None, 1100, {}, "free"),
        (replace(MINE, id="an id of before"), 1100, {}, "ours"),
        (OTHER, 1100, {}, "held"),
        (OTHER, 1100, {"gone": OTHER.id}, "gone"),
        (OTHER, 1100, {"gone": MINE.id}, "held"),
        (OTHER, 1100, {"take_over": OTHER.id}, "asked"),
        (OTHER, 1100, {"take_over": "20261126T000000Z-0000"}, "held"),
        (OTHER, 1060 + 600, {}, "held"),
        (OTHER, 1060 + 601, {}, "expired"),
    ],
)
def test_judge(current: Holder | None, now: float, given: dict[str, str], word: str) -> None:
    assert subject.judge(current, MINE, now, 600, **given) == word


def answer(keeper: str, holder: Holder | None = MINE, **given: Any) -> dict[str, Any]:
    """What a host says whose lock this holder has."""
    found = {
        "acquired": holder is MINE,
        "holder": asdict(holder) if holder else {},
        "before": {},
        "why": "free" if holder is MINE else "held",
    }
    return {"keeper": keeper, "mine": MINE.id, "now": 1120.0, **found, **given}


def away(keeper: str) -> dict[str, Any]:
    return {"keeper": keeper, "mine": MINE.id, "acquired": False, "problem": "timed out"}


def test_a_majority_is_enough() -> None:
    for answers in ([answer("a"), answer("b"), answer("c")], [answer("a"), answer("b"), answer("c", OTHER)], [answer("a")]):
        assert subject.verdict(answers, 240) == {"held": True, "wait": False, "message": "This run has the lock."}
    found = subject.verdict([answer("a"), away("b"), answer("c")], 240)
    assert found["held"] and found["message"] == "b, which keeps it too, cannot be asked: timed out."


def test_the_second_is_told_who_holds_it_since_when_and_what_to_do() -> None:
    found = subject.verdict([answer("a", OTHER), answer("b", OTHER), answer("c")], 240)
    assert not found["held"] and not found["wait"]
    assert found["message"] == (
        "Another run has this platform: deploy.yml by joe on c1 (20261126T031400Z-aaaa), since 1970-01-01T00:16:40Z (2 min ago), last sign 60 s ago. "
        "Wait for its end. One that is dead is taken over by itself: from its own controller at once, else 240 minutes after its last sign. "
        "If you know that it is dead: -e arxos_run_take_over=20261126T031400Z-aaaa"
    )


def test_too_few_that_can_be_asked() -> None:
    found = subject.verdict([answer("a"), away("b"), away("c")], 240)
    assert not found["held"] and not found["wait"]
    assert found["message"].startswith(
        "Only 1 of the 3 hosts that keep the lock of this platform can be asked, and it takes 2: b: timed out; c: timed out."
    )


def test_of_two_with_one_host_each_the_one_that_began_first_waits() -> None:
    later = replace(OTHER, id="20261126T031501Z-0000")
    assert subject.verdict([answer("a"), answer("b", later), away("c")], 240)["wait"]
    assert not subject.verdict([answer("a"), answer("b", OTHER), away("c")], 240)["wait"]
    assert not subject.verdict([answer("a", later), answer("b", later), away("c")], 240)["wait"]
    again = [answer("a"), answer("b", later), away("c"), {"keeper": "a", "skipped": True}, answer("b", why="free")]
    assert subject.verdict(again, 240)["held"]


def test_what_was_taken_over_is_said() -> None:
    taken = [answer(keeper, why="gone", before=asdict(OTHER)) for keeper in "abc"]
    assert subject.verdict(taken, 240)["message"] == (
        "The lock was taken over from deploy.yml by joe on c1 (20261126T031400Z-aaaa), since 1970-01-01T00:16:40Z (2 min ago), last sign 60 s ago: "
        "its process is gone."
    )


def test_the_holder_is_who_most_name() -> None:
    mine, other = asdict(MINE), asdict(OTHER)
    assert subject.holder_of([mine, mine, other])["id"] == MINE.id
    assert subject.holder_of([mine, {}, {}]) == {} and subject.holder_of([]) == {} and subject.holder_of([mine, other]) == {}
