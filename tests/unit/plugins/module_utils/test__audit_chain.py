# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._audit_chain import (
    NOTHING,
    ChainError,
    Head,
    check_lines,
    head_from_json,
    head_of,
    head_to_json,
    key_of,
    line_hash,
    number_of,
    opened,
    segment,
    verify,
)

PREFIX = "audit/m1"
OBJECTS = 4
LINES = 5


class Stored:
    """A chain of four objects with five lines each, and ways to tamper with it as somebody with the key of the bucket could."""

    def __init__(self) -> None:
        self.head = Head()
        self.bodies: dict[str, bytes] = {}
        for number in range(OBJECTS):
            made = segment(self.head, [f"event {number * LINES + each + 1}" for each in range(LINES)], PREFIX, 1000.0 + number)
            self.bodies[made.key], self.head = made.body, made.head

    def faults(self, head: Head | None | str = "", oldest: int = 1) -> list[str]:
        kept = self.head if isinstance(head, str) else head
        return verify(self.bodies, self.bodies.__getitem__, kept, PREFIX, oldest).faults

    def edit(self, number: int, change: Callable[[dict[str, Any], list[dict[str, Any]]], list[dict[str, Any]] | None]) -> None:
        """Rewrite an object."""
        key = key_of(PREFIX, number)
        header, lines = opened(self.bodies[key])
        entries = [json.loads(line) for line in lines]
        entries = change(header, entries) or entries
        self.bodies[key] = gzip.compress("\n".join(json.dumps(each) for each in [header, *entries]).encode() + b"\n", mtime=0)


@pytest.fixture
def stored() -> Stored:
    return Stored()


def test_a_chain_that_nobody_touched_has_no_fault_and_is_counted(stored: Stored) -> None:
    verdict = verify(stored.bodies, stored.bodies.__getitem__, stored.head, PREFIX)
    assert (verdict.objects, verdict.lines, verdict.faults) == (OBJECTS, OBJECTS * LINES, [])
    assert verify([], {}.__getitem__, Head(), PREFIX).faults == []


def test_a_line_is_hashed_with_all_before_it() -> None:
    made = segment(Head(), ["one", "two"], PREFIX, 0)
    header, lines = opened(made.body)
    assert header == {"format": 1, "object": 1, "previous": NOTHING, "chain": NOTHING, "first": 1, "created": 0}
    first = hashlib.sha256(f"{NOTHING}\n1\none".encode()).hexdigest()
    assert [json.loads(line) for line in lines] == [
        {"n": 1, "h": first, "l": "one"},
        {"n": 2, "h": hashlib.sha256(f"{first}\n2\ntwo".encode()).hexdigest(), "l": "two"},
    ]
    assert made.head == Head(1, "audit/m1/0000000001.jsonl.gz", hashlib.sha256(made.body).hexdigest(), 2, json.loads(lines[1])["h"])


def test_a_changed_line_is_named(stored: Stored) -> None:
    stored.edit(2, lambda _header, entries: entries[2].update(l="event of somebody else"))
    first, second = stored.faults()
    assert first == "audit/m1/0000000002.jsonl.gz: line 8 is not the one that was archived, or one before it is not"
    assert second == "audit/m1/0000000002.jsonl.gz: was replaced, object 3 names another sha256 of it"


def test_a_changed_line_with_a_hash_that_fits_breaks_the_one_after_it(stored: Stored) -> None:
    def change(_header: Any, entries: list[dict[str, Any]]) -> None:
        entries[2].update(l="other", h=line_hash(entries[1]["h"], 8, "other"))

    stored.edit(2, change)
    assert [fault for fault in stored.faults() if "line 9 is not" in fault]


def test_a_removed_line_is_named(stored: Stored) -> None:
    stored.edit(3, lambda _header, entries: [entries[0], *entries[2:]])
    assert "audit/m1/0000000003.jsonl.gz: line 12 is missing" in stored.faults()
    stored.edit(3, lambda _header, entries: [entries[0], *entries[2:]])
    assert "audit/m1/0000000003.jsonl.gz: lines 12 to 13 are missing" in stored.faults()


def test_a_removed_line_whose_gap_was_closed_is_found(stored: Stored) -> None:
    def change(_header: Any, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        left = [entries[0], *entries[2:]]
        for number, entry in enumerate(left, 11):
            entry["n"] = number
        return left

    stored.edit(3, change)
    faults = stored.faults()
    assert "audit/m1/0000000003.jsonl.gz: line 12 is not the one that was archived, or one before it is not" in faults
    assert any(
        fault.startswith("audit/m1/0000000004.jsonl.gz: begins after line 15, and the object before ends with line 14") for fault in faults
    )


def test_swapped_lines_are_named(stored: Stored) -> None:
    stored.edit(1, lambda _header, entries: [entries[0], entries[2], entries[1], *entries[3:]])
    faults = stored.faults()
    assert "audit/m1/0000000001.jsonl.gz: line 2 is missing" in faults
    assert "audit/m1/0000000001.jsonl.gz: line 2 stands after line 3" in faults


def test_swapped_texts_are_named(stored: Stored) -> None:
    def change(_header: Any, entries: list[dict[str, Any]]) -> None:
        entries[1]["l"], entries[2]["l"] = entries[2]["l"], entries[1]["l"]

    stored.edit(1, change)
    assert len([fault for fault in stored.faults() if "line 2 is not" in fault or "line 3 is not" in fault]) == 2


def test_an_inserted_line_is_found(stored: Stored) -> None:
    stored.edit(2, lambda _header, entries: [*entries[:2], {**entries[1], "l": "never happened"}, *entries[2:]])
    assert any("line 7 stands after line 7" in fault for fault in stored.faults())


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_missing_object_is_named_and_the_rest_is_still_checked(stored: Stored, number: int) -> None:
    del stored.bodies[key_of(PREFIX, number)]
    assert f"audit/m1/{number:010d}.jsonl.gz: is missing" in stored.faults()
    other = 4 if number < 4 else 3
    stored.edit(other, lambda _header, entries: entries[4].update(l="x"))
    assert any(f"line {other * LINES} is not" in fault for fault in stored.faults())


def test_a_truncated_tail_is_found_by_the_head_alone(stored: Stored) -> None:
    for number in (3, 4):
        del stored.bodies[key_of(PREFIX, number)]
    assert stored.faults() == [f"audit/m1/{number:010d}.jsonl.gz: is missing" for number in (3, 4)]
    assert stored.faults(head=None) == [], "without a head nobody can know"


def test_lines_cut_off_the_end_are_found(stored: Stored) -> None:
    stored.edit(4, lambda _header, entries: entries[:3])
    assert stored.faults() == [
        "audit/m1/0000000004.jsonl.gz: was replaced, the head names another sha256 of it",
        "audit/m1/0000000004.jsonl.gz: ends with line 18, and the head says line 20",
    ]


def test_an_end_that_was_written_anew_as_a_whole_is_found(stored: Stored) -> None:
    """With hashes that all fit: whoever can write to the bucket can make them. What cannot be made is the head."""
    head = Head()
    for number in range(1, OBJECTS + 1):
        texts = [json.loads(line)["l"] for line in opened(stored.bodies[key_of(PREFIX, number)])[1]]
        made = segment(head, ["forged" if text == "event 9" else text for text in texts], PREFIX, 1000.0 + number - 1)
        stored.bodies[made.key], head = made.body, made.head
    assert stored.faults(head=None) == []
    assert stored.faults() == [
        "audit/m1/0000000004.jsonl.gz: was replaced, the head names another sha256 of it",
        "audit/m1/0000000004.jsonl.gz: ends with line 20, and the head says line 20",
    ]


def test_an_object_replaced_by_another_of_the_chain_is_found(stored: Stored) -> None:
    stored.bodies[key_of(PREFIX, 2)] = stored.bodies[key_of(PREFIX, 3)]
    faults = stored.faults()
    assert "audit/m1/0000000002.jsonl.gz: says that it is object 3" in faults
    assert "audit/m1/0000000002.jsonl.gz: was replaced, object 3 names another sha256 of it" in faults


def test_swapped_objects_are_found(stored: Stored) -> None:
    second, third = key_of(PREFIX, 2), key_of(PREFIX, 3)
    stored.bodies[second], stored.bodies[third] = stored.bodies[third], stored.bodies[second]
    assert {fault.split(":")[0] for fault in stored.faults()} >= {second, third}


@pytest.mark.parametrize(
    "body", [b"", b"no gzip", gzip.compress(b""), gzip.compress(b"[]\n"), gzip.compress(b'{"format": 9}\n'), gzip.compress(b"\xff")]
)
def test_what_is_no_object_is_named(stored: Stored, body: bytes) -> None:
    stored.bodies[key_of(PREFIX, 2)] = body
    faults = stored.faults()
    assert any(fault.startswith("audit/m1/0000000002.jsonl.gz: ") for fault in faults)
    assert "audit/m1/0000000002.jsonl.gz: was replaced, object 3 names another sha256 of it" in faults


def test_an_object_that_breaks_off_is_named(stored: Stored) -> None:
    key = key_of(PREFIX, 3)
    stored.bodies[key] = stored.bodies[key][:-12]
    assert any(fault.startswith(f"{key}: is not readable") for fault in stored.faults())


def test_entries_that_are_none_are_named(stored: Stored) -> None:
    stored.edit(2, lambda _header, entries: [entries[0], {"x": 1}, *entries[2:]])
    assert "audit/m1/0000000002.jsonl.gz: entry 2 is not readable" in stored.faults()


def test_what_does_not_belong_there_is_told(stored: Stored) -> None:
    stored.bodies["audit/m1/note.txt"] = b"x"
    made = segment(stored.head, ["more"], PREFIX, 0)
    stored.bodies[made.key] = made.body
    assert stored.faults() == [
        "audit/m1/note.txt: does not belong into the archive",
        "audit/m1/0000000005.jsonl.gz: is after the head, which is object 4: it was not written by this host",
    ]


def test_a_later_part_is_checked_by_what_comes_after_it(stored: Stored) -> None:
    stored.edit(1, lambda _header, entries: entries[0].update(l="old"))
    assert stored.faults(oldest=2) == [], "what is before is not read"
    stored.edit(3, lambda _header, entries: entries[0].update(l="new"))
    assert any("line 11 is not" in fault for fault in stored.faults(oldest=2))


def test_a_wrong_head_is_no_agreement(stored: Stored) -> None:
    assert stored.faults(head=replace(stored.head, chain=NOTHING)) != []


def test_faults_of_one_object_are_not_told_without_end(stored: Stored) -> None:
    made = segment(Head(), [str(number) for number in range(100)], PREFIX, 0)
    header, lines = opened(made.body)
    _end, faults = check_lines(Head(), header, [line.replace('"l": "', '"l": "x') for line in lines])
    assert len(faults) == 100
    body = gzip.compress("\n".join([json.dumps(header), *(line.replace('"l": "', '"l": "x') for line in lines)]).encode())
    found = verify([made.key], {made.key: body}.__getitem__, replace(made.head, sha256=hashlib.sha256(body).hexdigest()), PREFIX).faults
    assert len(found) == 21 and found[-1].endswith("and 80 faults more")


def test_heads_are_kept_and_found_again(stored: Stored) -> None:
    assert head_from_json(head_to_json(stored.head)) == stored.head
    assert head_of(stored.bodies[stored.head.key], stored.head.key) == stored.head
    for text in ("", "{}{", '{"unknown": 1}', "[1]"):
        with pytest.raises(ChainError):
            head_from_json(text)
    stored.edit(4, lambda _header, entries: entries[1].update(l="x"))
    with pytest.raises(ChainError, match="line 17 is not"):
        head_of(stored.bodies[stored.head.key], stored.head.key)


def test_lines_of_any_characters_survive() -> None:
    texts = ['{"a": "b\\"c"}', "ü\u2028\x85 \x00", "\t", "x" * 100_000]
    made = segment(Head(), texts, PREFIX, 0)
    assert [json.loads(line)["l"] for line in opened(made.body)[1]] == texts
    assert verify([made.key], {made.key: made.body}.__getitem__, made.head, PREFIX).faults == []


def test_keys_have_numbers() -> None:
    assert number_of(key_of("a/b/", 12)) == 12
    assert number_of("a/b/12.jsonl.gz") == number_of("a/0000000012.jsonl") == 0


def test_what_is_older_than_its_time_may_be_gone_and_nothing_else(stored: Stored) -> None:
    """Object N was made at second 999 + N."""
    del stored.bodies[key_of(PREFIX, 1)], stored.bodies[key_of(PREFIX, 2)]

    def faults(expired_before: float) -> list[str]:
        return verify(stored.bodies, stored.bodies.__getitem__, stored.head, PREFIX, expired_before=expired_before).faults

    assert faults(1002.0) == []
    assert faults(1001.0) == [f"audit/m1/{number:010d}.jsonl.gz: is missing" for number in (1, 2)]
    del stored.bodies[key_of(PREFIX, 3)]
    assert len(faults(1002.0)) == 3
    stored.bodies[key_of(PREFIX, 4)] = b"x"
    assert len([fault for fault in faults(9999.0) if "is missing" in fault]) == 3
