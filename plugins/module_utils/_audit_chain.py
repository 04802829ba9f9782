# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chain of the audit archive: lines that each carry the hash of all before them, in objects that each name the one before. Pure.

An object is gzip of JSON lines. The first says which object it is, the sha256 of the one before as it is stored, and where the lines of
that one ended; then comes each line of the log with its number and its hash::

    {"format": 1, "object": 7, "previous": "<sha256>", "lines": 41, "chain": "<hash of line 40>", "first": 41, "created": 1795600000}
    {"n": 41, "h": "<hash>", "l": "the line as it was received"}

The hash of a line is sha256 over the hash before it, its number and itself. What follows from that: nothing in the middle can be changed, taken
out, put in or moved without all that came after being written anew; and of the end there is a head, C({object, key, sha256, last, chain}),
which is kept elsewhere.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 1
NOTHING = "0" * 64
# Of one object more faults than these tell nothing new.
MAXIMUM_FAULTS = 20
_KEY = re.compile(r"/(\d{10})\.jsonl\.gz$")


class ChainError(Exception):
    """What was read is no part of a chain; the message says why."""


@dataclass(frozen=True)
class Head:
    """The end of a chain: its last object, that object's key and sha256, and number and hash of the last line. The default is an empty chain."""

    object: int = 0
    key: str = ""
    sha256: str = NOTHING
    last: int = 0
    chain: str = NOTHING


@dataclass(frozen=True)
class Segment:
    """An object that is to be stored: its key and bytes, and the head once it is."""

    key: str
    body: bytes
    head: Head


@dataclass
class Verdict:
    """What a check found: objects and lines that were read, and what is wrong, one text each."""

    objects: int
    lines: int
    faults: list[str]


def key_of(prefix: str, number: int) -> str:
    """The key of an object. Listed by name they are in order."""
    return f"{prefix.rstrip('/')}/{number:010d}.jsonl.gz"


def number_of(key: str) -> int:
    """The number in a key, 0 where it is no object of a chain."""
    found = _KEY.search(key)
    return int(found.group(1)) if found else 0


def line_hash(before: str, number: int, line: str) -> str:
    """The hash of a line that has this number and follows the hash C(before)."""
    return hashlib.sha256(f"{before}\n{number}\n{line}".encode("utf-8", "surrogateescape")).hexdigest()


def segment(head: Head, lines: Iterable[str], prefix: str, now: float) -> Segment:
    """The next object after a head. The same input gives the same bytes."""
    number, last, chain = head.object + 1, head.last, head.chain
    first = {"format": FORMAT, "object": number, "previous": head.sha256, "chain": chain, "first": last + 1, "created": int(now)}
    written = [json.dumps(first)]
    for line in lines:
        last += 1
        chain = line_hash(chain, last, line)
        written.append(json.dumps({"n": last, "h": chain, "l": line}))
    body = gzip.compress(("\n".join(written) + "\n").encode(), mtime=0)
    key = key_of(prefix, number)
    return Segment(key, body, Head(number, key, hashlib.sha256(body).hexdigest(), last, chain))


def opened(body: bytes) -> tuple[dict[str, Any], list[str]]:
    """The first line of an object, and the lines after it as they stand. Raises ChainError where it is not readable at all."""
    try:
        first, *lines = gzip.decompress(body).decode().splitlines()
        header = json.loads(first)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ChainError(f"is not readable: {error}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ChainError("does not begin as an object of the archive does")
    return header, lines


def check_lines(before: Head, header: Mapping[str, Any], lines: Sequence[str], anchored: bool = True) -> tuple[Head, list[str]]:
    """Follow the lines of an object from the end of the one before. Returns where they end, and what is wrong with them.

    A fault moves nothing: what follows it is compared with the hash that stands there, so that each fault is told where it is.
    anchored: whether C(before) is known; else the object is believed where it begins.
    """
    faults = []
    number, chain = before.last, before.chain
    if not anchored:
        number, chain = int(header.get("first", 1)) - 1, str(header.get("chain", NOTHING))
    elif (header.get("first"), header.get("chain")) != (number + 1, chain):
        faults.append(f"begins after line {int(header.get('first', 1)) - 1}, and the object before ends with line {number}")
    for position, text in enumerate(lines, 1):
        try:
            entry = json.loads(text)
            found, stored, line = int(entry["n"]), str(entry["h"]), str(entry["l"])
        except (ValueError, TypeError, KeyError):
            faults.append(f"entry {position} is not readable")
            continue
        wanted = number + 1
        if found > wanted:
            faults.append(f"line {wanted} is missing" if found == wanted + 1 else f"lines {wanted} to {found - 1} are missing")
        elif found < wanted:
            faults.append(f"line {found} stands after line {number}")
        if found == wanted and line_hash(chain, found, line) != stored:
            faults.append(f"line {found} is not the one that was archived, or one before it is not")
        number, chain = found, stored
    return Head(last=number, chain=chain), faults


def verify(
    keys: Iterable[str], read: Callable[[str], bytes], head: Head | None, prefix: str, oldest: int = 1, expired_before: float = 0
) -> Verdict:
    """Check a chain against its head.

    keys: those that are stored below the prefix. read: the bytes of a key. head: what is kept elsewhere, or None when that is lost, and the end
    cannot be judged. oldest: the object to begin with; what is before it must only be there. expired_before: the bucket may have dropped what was
    made before this moment. What C(read) raises, but for ChainError, goes through.
    """
    numbers: dict[int, str] = {}
    faults = []
    for key in sorted(keys):
        number = number_of(key)
        if not number or key != key_of(prefix, number):
            faults.append(f"{key}: does not belong into the archive")
        else:
            numbers[number] = key
    end = head.object if head else max(numbers, default=0)
    faults += [
        f"{numbers[number]}: is after the head, which is object {end}: it was not written by this host"
        for number in sorted(numbers)
        if number > end
    ]
    begin = min((number for number in numbers if number <= end), default=1)
    if begin > 1 and _created(read, numbers[begin]) > expired_before:
        begin = 1
    faults += [f"{key_of(prefix, number)}: is missing" for number in range(begin, end + 1) if number not in numbers]
    oldest = max(oldest, begin)

    before, anchored, count = Head(), oldest <= 1, 0
    seen: dict[int, str] = {}
    named: dict[int, str] = {end: head.sha256} if head else {}
    for number in range(oldest, end + 1):
        if number not in numbers:
            before, anchored = Head(), False
            continue
        key = numbers[number]
        try:
            body = read(key)
            seen[number] = hashlib.sha256(body).hexdigest()
            header, lines = opened(body)
        except ChainError as error:
            faults.append(f"{key}: {error}")
            before, anchored = Head(), False
            continue
        if header.get("object") != number:
            faults.append(f"{key}: says that it is object {header.get('object')}")
        named[number - 1] = str(header.get("previous"))
        before, wrong = check_lines(before, header, lines, anchored)
        anchored = True
        count += len(lines)
        faults += [f"{key}: {fault}" for fault in wrong[:MAXIMUM_FAULTS]]
        if len(wrong) > MAXIMUM_FAULTS:
            faults.append(f"{key}: and {len(wrong) - MAXIMUM_FAULTS} faults more")
    for number, found in seen.items():
        wanted = named.get(number)
        if wanted not in (None, found):
            by = "the head" if head and number == end else f"object {number + 1}"
            faults.append(f"{numbers[number]}: was replaced, {by} names another sha256 of it")
    if head and end in seen and (before.last, before.chain) != (head.last, head.chain):
        faults.append(f"{key_of(prefix, end)}: ends with line {before.last}, and the head says line {head.last}")
    if oldest <= 1 and named.get(0, NOTHING) != NOTHING:
        faults.append(f"{key_of(prefix, 1)}: names an object before it")
    return Verdict(len(seen), count, faults)


def _created(read: Callable[[str], bytes], key: str) -> float:
    """When an object was made, as it says itself; now and ever after where it says nothing."""
    try:
        return float(opened(read(key))[0].get("created", "inf"))
    except (ChainError, ValueError, TypeError):
        return float("inf")


def head_to_json(head: Head) -> str:
    """A head as it is kept."""
    return json.dumps(asdict(head)) + "\n"


def head_from_json(text: str) -> Head:
    """A head that was kept. Raises ChainError."""
    try:
        return Head(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise ChainError(f"the head is not readable: {error}") from error


def head_of(body: bytes, key: str) -> Head:
    """The head after an object, from itself: for a host that has lost its own. Raises ChainError."""
    header, lines = opened(body)
    before, faults = check_lines(Head(), header, lines, anchored=False)
    if faults or number_of(key) != header.get("object"):
        raise ChainError(f"{key}: {'; '.join(faults) or 'is another object'}")
    return Head(number_of(key), key, hashlib.sha256(body).hexdigest(), before.last, before.chain)
