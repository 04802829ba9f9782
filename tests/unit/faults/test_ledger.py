# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from faults.ledger import (
    NOT_READ,
    NOT_WRITTEN,
    READ_DONE,
    RECOVERS,
    RETRIED,
    SILENT,
    WRITES,
    WRITTEN,
    Gap,
    Ledger,
    Line,
    Sight,
    Term,
    parse,
    terms,
    two_writers,
)


def ledger(*acknowledged: float, worker: int = 0) -> Ledger:
    """A ledger of one worker whose writes were acknowledged at these seconds."""
    return Ledger("m", [Line(WRITTEN, worker, number, at - 0.01, at) for number, at in enumerate(acknowledged)])


def looks(member: str, states: str, start: float = 0.0) -> list[Sight]:
    """A look a second, each of 0.1 s: w writes, r recovers, - silent."""
    kinds = {"w": WRITES, "r": RECOVERS, "-": SILENT}
    return [Sight(member, kinds[state], start + second, start + second + 0.1) for second, state in enumerate(states)]


def test_lost_is_what_was_acknowledged_and_is_not_there() -> None:
    lines = [Line(WRITTEN, 0, 1, 0, 1), Line(WRITTEN, 1, 1, 0, 1), Line(NOT_WRITTEN, 0, 2, 1, 2, "gone"), Line(WRITTEN, 0, 3, 2, 3)]
    seen = Ledger("m", lines)
    assert seen.acknowledged == {"m-0-1", "m-1-1", "m-0-3"}
    assert seen.lost({"m-0-1", "m-1-1", "m-0-3"}) == []
    assert seen.lost({"m-0-1", "m-0-2", "m-1-1", "somebody else's"}) == ["m-0-3"]
    assert seen.lost([]) == ["m-0-1", "m-0-3", "m-1-1"]


def test_gap_is_the_longest_time_without_an_acknowledged_write() -> None:
    assert ledger(1, 2, 9, 10).gap(0, 11) == Gap(2, 9)
    assert ledger(1, 2, 9, 10).gap(0, 11).seconds == 7


def test_gap_counts_from_the_fault_and_to_the_end() -> None:
    assert ledger(1, 2, 9, 10).gap(5, 10.5) == Gap(5, 9)
    assert ledger(1, 2, 3).gap(2.5, 9) == Gap(3, 9, open=True)
    assert ledger().gap(3, 9) == Gap(3, 9, open=True)
    assert ledger(1, 10).gap(3, 9) == Gap(3, 9, open=True)


def test_gap_ends_with_the_acknowledgement_and_not_with_the_attempt() -> None:
    assert Ledger("m", [Line(WRITTEN, 0, 1, 1, 8), Line(NOT_WRITTEN, 0, 2, 8, 9, "x")]).gap(0, 10) == Gap(0, 8)


def test_a_gap_of_one_writer_that_others_hide() -> None:
    lines = [*ledger(1, 9).lines, *ledger(1, 3, 5, 7, 9, worker=1).lines]
    assert Ledger("m", lines).gap(0, 10).seconds == 2
    assert Ledger("m", lines).worst_writer(0, 10) == Gap(1, 9)


def test_a_writer_that_never_wrote_had_no_writes_all_the_time() -> None:
    lines = [*ledger(1, 2, 3).lines, Line(NOT_WRITTEN, 1, 1, 0, 1, "x")]
    assert Ledger("m", lines).worst_writer(0, 4) == Gap(0, 4, open=True)


def test_errors_are_counted_by_what_they_say() -> None:
    lines = [
        Line(NOT_WRITTEN, 0, 1, 0, 1, "a"),
        Line(NOT_WRITTEN, 0, 2, 1, 2, "a"),
        Line(NOT_READ, 1, 1, 0, 1, "b"),
        Line(RETRIED, 1, 2, 0, 1, "c"),
    ]
    assert Ledger("m", lines).errors() == {"a": 2, "b": 1}
    assert Ledger("m", lines).errors(NOT_READ) == {"b": 1}


def test_lines_survive_the_way_and_a_torn_end() -> None:
    line = Line(READ_DONE, 3, 7, 1.5, 1.75, "")
    text = json.dumps([line.kind, line.worker, line.number, line.began, line.ended, line.words])
    assert parse([text, text]) == [line, line]
    assert parse([text, text[:9]]) == [line]
    with pytest.raises(ValueError, match="line 1"):
        parse([text[:9], text])


def test_terms_are_runs_of_looks_that_found_it_writing() -> None:
    assert terms(looks("a", "rwww-ww")) == [Term("a", 1.1, 3), Term("a", 5.1, 6)]
    assert terms(looks("a", "rr--")) == []
    assert terms(looks("a", "-w-")) == [Term("a", 1.1, 1.1)]


def test_one_writer_after_the_other_is_no_conflict() -> None:
    assert two_writers([*looks("a", "wwwr--rr"), *looks("b", "rrrrrwww"), *looks("c", "rrrrrrrr")]) == []


def test_two_writers_at_once_are_found_wherever_they_overlap() -> None:
    both = two_writers([*looks("a", "wwwwwrrr"), *looks("b", "rrrrwwww", start=-0.5)])
    assert [(first.member, second.member) for first, second in both] == [("a", "b")]
    inside = two_writers([*looks("a", "wwwwwwww"), *looks("b", "rrrwrrrr", start=0.5)])
    assert len(inside) == 1


def test_a_member_that_comes_back_as_writer_does_not_conflict_with_itself() -> None:
    assert two_writers(looks("a", "ww-ww")) == []
