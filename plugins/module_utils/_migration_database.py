# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs migrations in a database: what is noted there, one run at a time, and again when a lock is busy or the leader has changed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.arxos.platform.plugins.module_utils._migrations import (
    NEW_INDEX,
    Applied,
    Due,
    Migration,
    MigrationError,
    Step,
    bare,
    due,
)

SCHEMA, TABLE = "arxos_migrations", "arxos_migrations.history"
MOST_PAUSE = 30.0
_BUSY = ("55P03", "40P01", "40001")  # lock_not_available, deadlock_detected, serialization_failure
_LOST = ("08", "57P")  # classes: connection exception, operator intervention (shutdown)
_MAKE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {TABLE} (name text PRIMARY KEY, checksum text NOT NULL, steps int NOT NULL, release text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz)
"""
_NOTE = f"""
INSERT INTO {TABLE} (name, checksum, steps, release, finished_at)
VALUES (%(name)s, %(checksum)s, %(steps)s, %(release)s, CASE WHEN %(finished)s THEN clock_timestamp() END)
ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, steps = excluded.steps, release = excluded.release, finished_at = excluded.finished_at
"""
_LOOK = """
SELECT pg_is_in_recovery() AS in_recovery, current_setting('server_version_num')::int AS version,
       to_regclass(%(table)s) IS NOT NULL AS has_history
"""
_ALONE = "SELECT pg_try_advisory_lock(hashtext('arxos.platform.postgresql_migration')) AS alone"
_BROKEN = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%(name)s) AND NOT indisvalid"


class Clock(Protocol):
    """What waiting needs of a clock; module C(time) is one."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


@dataclass
class Ran:
    """One migration that was run: seconds with all waiting, and how often a step was tried again."""

    name: str
    seconds: float = 0.0
    retries: int = 0


@dataclass
class Done:
    """What was run, also where something failed after it."""

    applied: list[Ran] = field(default_factory=list)


class _Busy(Exception):
    """A lock was not to be had in time."""


class _Lost(Exception):
    """The connection is gone, and whether the last step is done is not known."""


class Database:
    """A session that can be had again. C(connect) gives connection, cursor with rows by name, and class of errors; it raises MigrationError
    where there is none."""

    def __init__(
        self, connect: Callable[[], tuple[Any, Any, type[Exception]]], lock_timeout: float, lock_tries: int, clock: Clock = time
    ) -> None:
        self._connect, self._tries, self._clock = connect, lock_tries, clock
        self._lock_timeout = f"{max(1, round(lock_timeout * 1000))}ms"
        self.version = 0
        self._has_history = self._ready = False
        try:
            self._open()
        except _Lost as error:
            raise MigrationError(str(error)) from error

    def _open(self) -> None:
        try:
            self._connection, self._cursor, self._errors = self._connect()
        except MigrationError as error:
            raise _Lost(str(error)) from error
        row = self._rows(_LOOK, {"table": TABLE})[0]
        if row["in_recovery"]:
            raise _Lost("this server is a replica, which takes no changes")
        self.version, self._has_history = row["version"] // 10000, row["has_history"]

    def close(self) -> None:
        self._connection.close()

    def applied(self) -> dict[str, Applied]:
        """What has been noted. Raises MigrationError."""
        if not self._has_history:
            return {}
        rows = self._rows(f"SELECT name, checksum, steps, finished_at IS NOT NULL AS finished FROM {TABLE}")
        return {row["name"]: Applied(row["checksum"], row["steps"], row["finished"]) for row in rows}

    def run(self, migrations: Sequence[Migration], release: str, done: Done) -> None:
        """Run what is due, alone. Raises MigrationError at the first that cannot be run; what was run before it stays and stands in C(done)."""
        self._patiently("migrations", lambda: None)
        for entry in due(migrations, self.applied()):
            began, ran = self._clock.monotonic(), Ran(entry.migration.name)
            for number in range(entry.done, len(entry.migration.steps)):
                self._patiently(entry.migration.name, lambda entry=entry, number=number: self._step(entry, number, release), ran)  # type: ignore[misc]
            ran.seconds = round(self._clock.monotonic() - began, 3)
            done.applied.append(ran)

    def _prepare(self) -> None:
        """Make the session one that may change things. One that was lost may still have its lock for a while."""
        if self._connection.closed:
            self._open()
        if not self._rows(_ALONE)[0]["alone"]:
            raise _Busy("another run is at work")
        self._execute(f"SET lock_timeout = '{self._lock_timeout}'")
        if not self._has_history:
            self._execute(_MAKE)
            self._has_history = True
        self._ready = True

    def _step(self, entry: Due, number: int, release: str) -> None:
        """One step with the note of it. Does nothing where the note is there, which a lost connection may have kept from us."""
        migration = entry.migration
        noted = self.applied().get(migration.name)
        if noted and noted.steps > number:
            return
        step, last = migration.steps[number], number + 1 == len(migration.steps)
        note = {
            "name": migration.name,
            "checksum": migration.checksum_of(number + 1),
            "steps": number + 1,
            "release": release,
            "finished": last,
        }
        if step.transactional:
            self._execute("BEGIN")
            try:
                self._execute(f"SET LOCAL lock_timeout = '{self._lock_timeout}'")
                self._execute(";\n".join(step.statements) + "\n;")
                self._execute(_NOTE, note)
                self._execute("COMMIT")
            except BaseException:
                self._abandon()
                raise
        else:
            self._remove_broken_index(step)
            self._execute(step.statements[0])
            self._execute(_NOTE, note)

    def _abandon(self) -> None:
        with contextlib.suppress(self._errors):  # where the session is gone, its transaction is gone with it
            self._cursor.execute("ROLLBACK")

    def _remove_broken_index(self, step: Step) -> None:
        """What a build that did not come to its end left under the name: IF NOT EXISTS would take it for good."""
        found = NEW_INDEX.match(bare(step.statements[0]))
        if found:
            name = ".".join(part for part in (found.group(2), found.group(1)) if part)
            if self._rows(_BROKEN, {"name": name}):
                self._execute(f"DROP INDEX CONCURRENTLY {name}")

    def _patiently(self, what: str, act: Callable[[], None], ran: Ran | None = None) -> None:
        """Act, and again when a lock is busy or the session is lost, after pauses that double: in between others get through."""
        for turn in range(self._tries):
            try:
                if not self._ready:
                    self._prepare()
                return act()
            except (_Busy, _Lost) as error:
                if isinstance(error, _Lost):
                    self._ready = False
                    self._connection.close()
                if turn + 1 == self._tries:
                    raise MigrationError(f"{what}: {error} (tried {self._tries} times)") from error
                if ran:
                    ran.retries += 1
                self._clock.sleep(min(MOST_PAUSE, 2.0**turn))
            except MigrationError as error:
                raise MigrationError(f"{what}: {error}") from error

    def _execute(self, statement: str, values: dict[str, Any] | None = None) -> None:
        try:
            self._cursor.execute(statement, values)
        except self._errors as error:
            raise self._meaning(error) from error

    def _rows(self, query: str, values: dict[str, Any] | None = None) -> list[Any]:
        try:
            self._cursor.execute(query, values)
            return list(self._cursor.fetchall())
        except self._errors as error:
            raise self._meaning(error) from error

    def _meaning(self, error: Exception) -> Exception:
        code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        text = " ".join(str(error).split())
        if code is None or self._connection.closed or code.startswith(_LOST):
            return _Lost(f"the connection to the database is lost: {text}")
        return _Busy(text) if code in _BUSY else MigrationError(text)
