# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a client was told, kept beside what the database has: a write that was acknowledged and is not there is lost.

As a program it is the client, and connects as the application does (psycopg; verified TLS, SCRAM, the endpoint of its host). It lives in the network of
an application host and speaks lines of JSON, [kind, worker, number, began, ended, words], until its input is closed:

    {"connection": {"hostaddr": ..., "password": ...}, "write": {"port": 5000, ...}, "read": {"port": 5001, ...},
     "writers": 4, "readers": 0, "pause": 0.01, "mark": "ledger-1a2b"}   on standard input, in one line

A write inserts one row named `<mark>-<worker>-<number>`, one transaction a row. A read counts the rows named `<mark>`, of which there is one; a read that
breaks is tried once more on a new connection, as a pool does that checks its connections. All times are of CLOCK_MONOTONIC, which the hosts of a lab share.

The rest is arithmetic on such lines, and knows neither database nor clock.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

WRITE = "INSERT INTO buildings (name) VALUES (%s)"
READ = "SELECT count(*) FROM buildings WHERE name = %s"

# Kinds of lines. A read that was answered by its second attempt is `retried`.
WRITTEN, NOT_WRITTEN, READ_DONE, RETRIED, NOT_READ = "written", "not written", "read", "retried", "not read"
# What a watcher saw of one member of the database at one moment.
WRITES, RECOVERS, SILENT = "writes", "recovers", "silent"


@dataclass(frozen=True)
class Line:
    """One attempt of a client: from when to when in seconds, and what the error said."""

    kind: str
    worker: int
    number: int
    began: float
    ended: float
    words: str = ""


@dataclass(frozen=True)
class Gap:
    """A time without an acknowledged write. `open` when it had not ended at the end of what was looked at."""

    began: float
    ended: float
    open: bool = False

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class Sight:
    """What one look at a member gave, and from when to when it took."""

    member: str
    state: str
    began: float
    ended: float


def parse(text: Iterable[str]) -> list[Line]:
    """Lines of the program. The last may be cut off where the program was killed; any other that is no line is an error (ValueError)."""
    lines = list(text)
    parsed = []
    for position, line in enumerate(lines):
        try:
            parsed.append(Line(*json.loads(line)))
        except (ValueError, TypeError):
            if position < len(lines) - 1:
                raise ValueError(f"line {position + 1} of the ledger is {line!r}") from None
    return parsed


class Ledger:
    """All that the clients of one run were told."""

    def __init__(self, mark: str, lines: Iterable[Line]) -> None:
        self.mark = mark
        self.lines = sorted(lines, key=lambda line: line.ended)

    def of(self, *kinds: str) -> list[Line]:
        return [line for line in self.lines if line.kind in kinds]

    def row(self, line: Line) -> str:
        """The name of the row that a write made."""
        return f"{self.mark}-{line.worker}-{line.number}"

    @property
    def acknowledged(self) -> set[str]:
        return {self.row(line) for line in self.of(WRITTEN)}

    def lost(self, present: Iterable[str]) -> list[str]:
        """Names of rows that were acknowledged and are not present. The other way round, present and not acknowledged, is nobody's loss."""
        return sorted(self.acknowledged - set(present))

    def gap(self, began: float, ended: float) -> Gap:
        """The longest time without an acknowledged write by anybody between two moments (the edges count as if something was written there)."""
        moments = [line.ended for line in self.of(WRITTEN) if began < line.ended < ended]
        edges = [began, *moments, ended]
        longest = max(range(len(edges) - 1), key=lambda index: edges[index + 1] - edges[index])
        return Gap(edges[longest], edges[longest + 1], open=longest == len(edges) - 2)

    def worst_writer(self, began: float, ended: float) -> Gap:
        """The longest gap that any one writer had."""
        workers = {line.worker for line in self.of(WRITTEN, NOT_WRITTEN)}
        each = [Ledger(self.mark, [line for line in self.lines if line.worker == worker]).gap(began, ended) for worker in workers]
        return max(each, key=lambda gap: gap.seconds, default=Gap(began, ended, open=True))

    def errors(self, *kinds: str) -> dict[str, int]:
        """What errors said, and how often."""
        count: dict[str, int] = {}
        for line in self.of(*(kinds or (NOT_WRITTEN, NOT_READ))):
            count[line.words] = count.get(line.words, 0) + 1
        return count


@dataclass(frozen=True)
class Term:
    """A time in which each look at a member found that it takes writes."""

    member: str
    began: float
    ended: float


def terms(sights: Iterable[Sight]) -> list[Term]:
    """Runs of looks that found a member taking writes. From the end of the first to the begin of the last it certainly did."""
    found: list[Term] = []
    by_member: dict[str, list[Sight]] = {}
    for sight in sights:
        by_member.setdefault(sight.member, []).append(sight)
    for member, seen in by_member.items():
        run: list[Sight] = []
        for sight in [*sorted(seen, key=lambda sight: sight.began), Sight(member, SILENT, 0, 0)]:
            if sight.state == WRITES:
                run.append(sight)
            elif run:
                found.append(Term(member, run[0].ended, max(run[0].ended, run[-1].began)))
                run = []
    return sorted(found, key=lambda term: term.began)


def two_writers(sights: Iterable[Sight]) -> list[tuple[Term, Term]]:
    """Pairs of terms of different members that overlap. One moment that both have is enough."""
    found = terms(sights)
    return [
        (first, second)
        for position, first in enumerate(found)
        for second in found[position + 1 :]
        if first.member != second.member and max(first.began, second.began) <= min(first.ended, second.ended)
    ]


# The program -------------------------------------------------------------------------------------------------------------


class Client:
    """One worker with a connection of its own."""

    def __init__(self, order: dict[str, Any], worker: int, stop: threading.Event) -> None:
        self.order, self.worker, self.stop = order, worker, stop
        self.connection: Any = None

    def connect(self, session: str, where: dict[str, Any]) -> Any:
        import psycopg

        if self.connection is None:
            self.connection = psycopg.connect(
                **self.order["connection"], **where, target_session_attrs=session, autocommit=True, prepare_threshold=None
            )
        return self.connection

    def drop(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def tell(self, kind: str, number: int, began: float, words: str = "") -> None:
        line = json.dumps([kind, self.worker, number, round(began, 4), round(time.monotonic(), 4), words]) + "\n"
        os.write(1, line.encode())  # one call, so that lines of workers do not mix

    def attempt(self, statement: str, name: str, session: str, where: dict[str, Any]) -> str:
        """What went wrong, or nothing."""
        import psycopg

        try:
            cursor = self.connect(session, where).execute(statement, (name,))
            return "" if cursor.description is None or cursor.fetchone() == (1,) else "the row is not there"
        except psycopg.Error as error:
            self.drop()
            return " ".join(str(error).split())[:200] or type(error).__name__

    def write(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            began = time.monotonic()
            words = self.attempt(WRITE, f"{self.order['mark']}-{self.worker}-{number}", "read-write", self.order["write"])
            self.tell(NOT_WRITTEN if words else WRITTEN, number, began, words)
            self.stop.wait(0.05 if words else self.order["pause"])

    def read(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            began = time.monotonic()
            first = self.attempt(READ, self.order["mark"], "any", self.order["read"])
            second = self.attempt(READ, self.order["mark"], "any", self.order["read"]) if first else ""
            self.tell(NOT_READ if second else RETRIED if first else READ_DONE, number, began, second or first)
            self.stop.wait(0.05 if second else self.order["pause"])


def main(arguments: Sequence[str]) -> int:
    order = json.loads(sys.stdin.readline())
    stop = threading.Event()
    clients = [Client(order, worker, stop) for worker in range(order["writers"] + order["readers"])]
    for client in clients:
        threading.Thread(target=client.write if client.worker < order["writers"] else client.read, daemon=True).start()
    sys.stdin.read()  # until whoever started this closes it, or is no more
    stop.set()
    time.sleep(0.2)
    os._exit(0)  # a worker that hangs in the network is left behind


if __name__ == "__main__":
    sys.exit(main(sys.argv))
