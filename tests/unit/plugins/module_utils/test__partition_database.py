# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How changes are made: in batches, again when a lock is busy, in smaller parts when something is refused. The session is a stand-in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _partition_database as subject
from ansible_collections.arxos.platform.plugins.module_utils._partitions import Parent, Partition, PartitionError, Plan, Table, Window

WINDOW = Window(datetime(2026, 12, 1), datetime(2027, 1, 1))


class FakeError(Exception):
    def __init__(self, text: str, pgcode: str | None) -> None:
        super().__init__(text)
        self.pgcode = pgcode


class Session:
    """Connection and cursor in one. C(troubles) maps a piece of a statement to the codes that it fails with, one after the other."""

    closed = False

    def __init__(self, in_recovery: bool = False, version: int = 150000, **troubles: list[str | None]) -> None:
        self.opening = {"clock": "2026-11-23T08:00:00", "in_recovery": in_recovery, "version": version}
        self.troubles = troubles
        self.done: list[str] = []
        self.tried: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def execute(self, statement: str, values: Any = None) -> None:
        self.rows = (
            [self.opening] if values and "lock_timeout" in values else [{"pending": True}] if "inhdetachpending" in statement else []
        )
        self.tried.append(statement)
        for piece, codes in self.troubles.items():
            if piece in statement and codes:
                raise FakeError(f"{piece} is\n  in trouble", codes.pop(0))
        if not values:
            self.done.append(statement)

    def fetchall(self) -> list[dict[str, Any]]:
        return self.rows


def database(session: Session, tries: int = 3) -> subject.Database:
    return subject.Database(session, session, FakeError, 2, tries)


def jobs(*names: str, **given: Any) -> list[subject.Job]:
    made = []
    for name in names:
        table = Table("s", name.split("_")[0], "month")
        parent = Parent("s", table.name, "at", "date", "me", default=("s", "rest") if given else None)
        made.append(subject.Job(table, parent, WINDOW, name, **given))
    return made


def test_a_replica_and_an_old_server_are_refused() -> None:
    with pytest.raises(PartitionError, match="this server is a replica"):
        database(Session(in_recovery=True))
    with pytest.raises(PartitionError, match="PostgreSQL 14 or newer is needed, this is 13"):
        database(Session(version=130012))


def test_two_round_trips_a_batch() -> None:
    session, done = Session(), subject.Done()
    database(session).make(jobs(*(f"t{n}_a" for n in range(subject.BATCH + 1))), done)
    assert len(session.done) == 4
    assert session.done[0].count("CREATE TABLE") == session.done[1].count("ATTACH") == subject.BATCH
    assert done.created == done.attached == [f"s.t{n}_a" for n in range(subject.BATCH + 1)]
    assert done.failures == []


def test_a_busy_lock_is_tried_for_again() -> None:
    session, done = Session(ATTACH=["55P03", "40P01"]), subject.Done()
    database(session).make(jobs("a_1", "a_2"), done)
    assert (done.attached, done.failures) == (["s.a_1", "s.a_2"], [])


def test_a_table_that_stays_busy_is_named_and_the_others_go_on() -> None:
    session, done = Session(**{'"s"."b" ATTACH': ["55P03"] * 9}), subject.Done()
    database(session).make(jobs("a_1", "b_1", "b_2", "c_1"), done)
    assert done.created == ["s.a_1", "s.b_1", "s.b_2", "s.c_1"]
    assert done.attached == ["s.a_1", "s.c_1"]
    assert done.failures == ['s.b: s.b_1, s.b_2: "s"."b" ATTACH is in trouble (tried 3 times)']
    assert len([statement for statement in session.tried if '"s"."b" ATTACH' in statement]) == 1 + 3


def test_one_partition_that_is_refused_does_not_stop_its_table() -> None:
    session, done = Session(**{'CREATE TABLE "s"."a_2"': ["42501"] * 9}), subject.Done()
    database(session).make(jobs("a_1", "a_2", "a_3", "b_1"), done)
    assert done.attached == ["s.a_1", "s.a_3", "s.b_1"]
    assert done.failures == ['s.a: s.a_2: CREATE TABLE "s"."a_2" is in trouble']


def test_a_lost_connection_ends_it() -> None:
    with pytest.raises(PartitionError, match="the connection to the database is lost"):
        database(Session(ATTACH=[None])).make(jobs("a_1"), subject.Done())


def test_what_exists_is_attached_but_not_created() -> None:
    session, done = Session(), subject.Done()
    database(session).make(jobs("a_1", exists=True), done)
    assert (done.created, done.attached) == ([], ["s.a_1"])
    assert "CREATE" not in " ".join(session.done) and "OWNER TO" in session.done[0]


def test_rows_are_moved_one_partition_a_transaction() -> None:
    session, done = Session(), subject.Done()
    database(session).make(jobs("a_1", "a_2", rows=3), done)
    assert done.attached == ["s.a_1", "s.a_2"]
    assert [statement.count("DELETE FROM") for statement in session.done] == [0, 1, 1]


def test_a_large_default_partition_is_guarded_first() -> None:
    session, done = Session(), subject.Done()
    database(session).make(jobs("a_1", "a_2", guarded=True), done)
    assert done.attached == ["s.a_1", "s.a_2"]
    _create, add, validate, attach = session.done
    assert "NOT VALID" in add and "VALIDATE" in validate
    assert attach.count("ATTACH") == 2 and attach.endswith("DROP CONSTRAINT IF EXISTS arxos_partition_guard")


def test_a_guard_that_fails_is_taken_away() -> None:
    session, done = Session(VALIDATE=["23514"]), subject.Done()
    database(session).make(jobs("a_1", guarded=True), done)
    assert (done.attached, done.failures) == ([], ["s.a: s.a_1: VALIDATE is in trouble"])
    assert session.done[-1].endswith("DROP CONSTRAINT IF EXISTS arxos_partition_guard")


OLD = Partition("s", "t_old", WINDOW)


def test_detach_concurrently_and_finish_when_it_was_interrupted() -> None:
    session, done = Session(CONCURRENTLY=["55P03"]), subject.Done()
    database(session).expire(Plan(Table("s", "t", "month"), expire=[OLD]), False, done)
    assert session.done == ['ALTER TABLE "s"."t" DETACH PARTITION "s"."t_old" FINALIZE']
    assert done.detached == ["s.t_old"]


def test_drop_is_one_transaction() -> None:
    session, done = Session(), subject.Done()
    database(session).expire(Plan(Table("s", "t", "month", drop=True), expire=[OLD]), False, done)
    assert session.done == ['ALTER TABLE "s"."t" DETACH PARTITION "s"."t_old"; DROP TABLE "s"."t_old"']
    assert (done.detached, done.dropped) == ([], ["s.t_old"])


def test_detach_that_is_refused() -> None:
    session, done = Session(DETACH=["23503"] * 9), subject.Done()
    database(session).expire(Plan(Table("s", "t", "month"), expire=[OLD]), True, done)
    database(session).finalize(Plan(Table("s", "t", "month"), finalize=[OLD]), done)
    assert done.failures == ["s.t: s.t_old is not detached: DETACH is in trouble", "s.t: s.t_old stays half detached: DETACH is in trouble"]


def test_another_run() -> None:
    with pytest.raises(PartitionError, match="another run changes partitions"):
        database(Session(advisory=["55P03"] * 9)).lock_out_others()
