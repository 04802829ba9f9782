# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What NGINX's access log says of each application server: how many requests came to it, how many of them failed there, and how long they took.

A mark says how far the log was read: the file's inode and an offset. A log that is rotated meanwhile is read on to its end, and then the new one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BETWEEN = re.compile(r", | : ")  # servers that were tried one after another, and those of an internal redirect


@dataclass
class Tally:
    """Requests that came to one server, those of them that failed there, and how many took how many milliseconds (in three digits)."""

    requests: int = 0
    errors: int = 0
    times: dict[int, int] = field(default_factory=dict)

    def add(self, failed: bool, milliseconds: int | None) -> None:
        self.requests += 1
        self.errors += failed
        if milliseconds is not None:
            place = rounded(milliseconds)
            self.times[place] = self.times.get(place, 0) + 1

    def __add__(self, other: Tally) -> Tally:
        times = {place: self.times.get(place, 0) + other.times.get(place, 0) for place in self.times.keys() | other.times.keys()}
        return Tally(self.requests + other.requests, self.errors + other.errors, times)

    def as_dict(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "times": {str(place): count for place, count in sorted(self.times.items())},
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Tally:
        """From what C(as_dict) made, its keys as JSON has them."""
        return cls(int(found["requests"]), int(found["errors"]), {int(place): int(count) for place, count in found["times"].items()})


def rounded(milliseconds: int) -> int:
    """In three digits, so that figures of several hosts can be added and stay few."""
    step = max(1, 10 ** (len(str(milliseconds)) - 3))
    return (milliseconds + step // 2) // step * step


def attempts(line: str) -> Iterator[tuple[str, bool, int | None]]:
    """Server, whether it failed there, and milliseconds, for each server that a request came to. A line that is none is nothing.

    A request that one server failed and another answered is a failure of the first; a client that left is nobody's.
    """
    try:
        entry = json.loads(line)
        servers, statuses, times = (
            _BETWEEN.split(entry[key]) if entry[key] else [] for key in ("upstreams", "upstream_status", "upstream_seconds")
        )
    except (ValueError, KeyError, TypeError):
        return
    if len(servers) == len(statuses) == len(times):
        for server, status, seconds in zip(servers, statuses, times, strict=True):
            yield server, status.isdigit() and int(status) >= 500, _milliseconds(seconds)


def _milliseconds(seconds: str) -> int | None:
    try:
        return round(float(seconds) * 1000)
    except ValueError:
        return None


def count(lines: Iterable[str], tallies: dict[str, Tally]) -> None:
    """Add what lines say to the tallies by server."""
    for line in lines:
        for server, failed, milliseconds in attempts(line):
            tallies.setdefault(server, Tally()).add(failed, milliseconds)


def end_of(log: Path) -> str:
    """The mark of the log's end as it is now. Raises OSError."""
    found = log.stat()
    return f"{found.st_ino} {found.st_size}"


def count_since(log: Path, mark: str, tallies: dict[str, Tally]) -> str:
    """Add what was written since the mark; the new mark. Raises OSError, and ValueError for what is no mark."""
    inode, offset = (int(word) for word in mark.split())
    with log.open("rb") as stream:
        here = os.fstat(stream.fileno())
        if here.st_ino != inode:
            rotated = log.with_name(f"{log.name}.1")
            if rotated.exists() and rotated.stat().st_ino == inode:
                with rotated.open("rb") as before:
                    before.seek(offset)
                    count((line.decode("utf-8", "replace") for line in before), tallies)
            offset = 0
        elif here.st_size < offset:
            offset = 0
        stream.seek(offset)
        for raw in stream:
            if not raw.endswith(b"\n"):  # it is being written
                break
            offset += len(raw)
            count((raw.decode("utf-8", "replace"),), tallies)
    return f"{here.st_ino} {offset}"


def last_lines(log: Path, servers: Iterable[str], most: int, within: int = 4 << 20) -> list[str]:
    """The last lines about any of these servers, among the last C(within) bytes. Raises OSError."""
    wanted = set(servers)
    with log.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - within))
        text = stream.read(within).decode("utf-8", "replace")
    found = [line for line in text.splitlines() if any(server in wanted for server, _failed, _milliseconds in attempts(line))]
    return found[-most:]
