# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How migrations are run: noted with what they do, again when a lock is busy, on from where a lost session left them. The session is a stand-in."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _migration_database as subject
from ansible_collections.arxos.platform.plugins.module_utils._migrations import MigrationError, parse_files

ADD = "ALTER TABLE doors ADD COLUMN colour text"
INDEX = "-- arxos: no-transaction\nCREATE INDEX CONCURRENTLY i ON doors (colour);\nANALYZE doors;"


class FakeError(Exception):
    def __init__(self, text: str, pgcode: str | None) -> None:
        super().__init__(text)
        self.pgcode = pgcode


class Server:
    """A database that keeps what was committed. C(troubles): a piece of a statement, and the codes that it fails with, one after the other."""

    def __init__(self, **troubles: list[str | None]) -> None:
        self.troubles = {name.replace("_", " "): codes for name, codes in troubles.items()}
        self.history: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []
        self.invalid: list[str] = []
        self.in_recovery = False
        self.held = 0
        self.sessions = 0

    def connect(self) -> tuple[Any, Any, type[Exception]]:
        self.sessions += 1
        session = Session(self)
        return session, session, FakeError


class Session:
    def __init__(self, server: Server) -> None:
        self.server, self.closed = server, False
        self.rows: list[dict[str, Any]] = []
        self.pending: list[dict[str, Any]] | None = None

    def execute(self, statement: str, values: Any = None) -> None:
        server = self.server
        for piece, codes in server.troubles.items():
            if piece in statement and codes:
                code = codes.pop(0)
                if code == "done":  # the server did it, and the answer was lost
                    self.act(statement, values)
                    code = "08006"
                raise FakeError(f"{piece} is\n in trouble", code)
        self.act(statement, values)

    def act(self, statement: str, values: Any) -> None:
        server = self.server
        if "pg_is_in_recovery" in statement:
            self.rows = [{"in_recovery": server.in_recovery, "version": 150020, "has_history": True}]
        elif "pg_try_advisory_lock" in statement:
            self.rows = [{"alone": server.held == 0}]
            server.held = max(0, server.held - 1)
        elif statement.startswith("SELECT name"):
            self.rows = [{**row, "name": name} for name, row in server.history.items()]
        elif "indisvalid" in statement:
            self.rows = [{}] if values["name"] in server.invalid else []
        elif statement == "BEGIN":
            self.pending = []
        elif statement == "COMMIT":
            server.history.update({note["name"]: note for note in self.pending or []})
            server.log.append("COMMIT")
            self.pending = None
        elif statement == "ROLLBACK":
            self.pending = None
        elif values and "checksum" in values:
            note = {"name": values["name"], "checksum": values["checksum"], "steps": values["steps"], "finished": values["finished"]}
            if self.pending is None:
                server.history[note["name"]] = note
            else:
                self.pending.append(note)
        elif not statement.startswith("SET"):
            server.log.append(statement.strip().rstrip(";").strip())

    def fetchall(self) -> list[dict[str, Any]]:
        return self.rows

    def close(self) -> None:
        self.closed = True


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)


def run(server: Server, clock: Clock | None = None, tries: int = 4, **files: str) -> subject.Done:
    done = subject.Done()
    database = subject.Database(server.connect, 3, tries, clock or Clock())
    try:
        database.run(parse_files({f"000{number}_m.sql": text for number, text in enumerate(files.values(), 1)}), "1.1.0", done)
    finally:
        database.close()
    return done


def test_each_runs_once_with_its_note() -> None:
    server = Server()
    assert [ran.name for ran in run(server, a=ADD, b=INDEX).applied] == ["0001_m.sql", "0002_m.sql"]
    assert server.log == [ADD, "COMMIT", INDEX.splitlines()[0] + "\n" + INDEX.splitlines()[1][:-1], "ANALYZE doors"]
    assert {name: (row["steps"], row["finished"]) for name, row in server.history.items()} == {
        "0001_m.sql": (1, True),
        "0002_m.sql": (2, True),
    }
    before = list(server.log)
    assert run(server, a=ADD, b=INDEX).applied == []
    assert server.log == before


def test_a_busy_lock_is_tried_for_again_with_pauses_that_double() -> None:
    server, clock = Server(ALTER=["55P03", "40P01", "55P03"]), Clock()
    [ran] = run(server, clock, a=ADD).applied
    assert (ran.retries, clock.slept, ran.seconds) == (3, [1, 2, 4], 7)
    assert server.log == [ADD, "COMMIT"]


def test_it_is_given_up_in_the_end_and_nothing_of_it_stays() -> None:
    server, clock = Server(ALTER=["55P03"] * 9), Clock()
    with pytest.raises(MigrationError, match=r"0001_m.sql: ALTER is in trouble \(tried 4 times\)"):
        run(server, clock, a=ADD, b=INDEX)
    assert (server.history, server.log, clock.slept) == ({}, [], [1, 2, 4])


def test_a_failure_stops_there_and_the_next_run_goes_on_there() -> None:
    server = Server(ANALYZE=["42P01"])
    with pytest.raises(MigrationError, match="0002_m.sql: ANALYZE is in trouble$"):
        run(server, a=ADD, b=INDEX, c="SELECT 3")
    assert server.history["0002_m.sql"]["steps"] == 1 and not server.history["0002_m.sql"]["finished"]
    server.log.clear()
    assert [ran.name for ran in run(server, a=ADD, b=INDEX, c="SELECT 3").applied] == ["0002_m.sql", "0003_m.sql"]
    assert server.log == ["ANALYZE doors", "SELECT 3", "COMMIT"]


def test_a_session_lost_before_the_commit_is_begun_anew_and_one_lost_after_it_is_not_done_twice() -> None:
    for code in ("57P01", "done"):
        server = Server(COMMIT=[code])
        assert run(server, a=ADD).applied[0].retries == 1
        assert server.log.count("COMMIT") == 1 and server.sessions == 2
        assert server.history["0001_m.sql"]["finished"]


def test_the_lock_of_a_lost_session_is_waited_for() -> None:
    server, clock = Server(), Clock()
    server.held = 2
    run(server, clock, a=ADD)
    assert clock.slept == [1, 2]
    server.held = 99
    with pytest.raises(MigrationError, match="another run is at work"):
        run(server, a=ADD)


def test_a_replica_is_waited_out_while_the_leader_changes() -> None:
    server = Server()
    server.in_recovery = True
    with pytest.raises(MigrationError, match="this server is a replica"):
        subject.Database(server.connect, 3, 2, Clock())


def test_an_index_that_a_stopped_build_left_is_removed_first() -> None:
    server = Server()
    server.invalid = ["i"]
    run(server, a=INDEX)
    assert server.log[0] == "DROP INDEX CONCURRENTLY i"
