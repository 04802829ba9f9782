# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the daily run says of partitions. The catalogue is a stand-in; on a real one it is tried in molecule/database/tests/test_partition_timer.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _partition_timer as subject
from ansible_collections.arxos.platform.plugins.module_utils._partitions import PartitionError

TABLE = {"schema": "s", "table": "t", "column": "at", "interval": "month", "future": 2}
MONTHS = ["2026-11", "2026-12", "2027-01"]


class FakeError(Exception):
    pass


class Session:
    """Connection and cursor in one, on a catalogue of one table."""

    closed = False

    def __init__(self, months: list[str], in_recovery: bool = False, default_rows: int | None = None) -> None:
        self.months, self.in_recovery, self.default_rows = months, in_recovery, default_rows
        self.changes: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def execute(self, statement: str, values: Any = None) -> None:
        if "pg_is_in_recovery" in statement:
            self.rows = [{"clock": "2026-11-23T08:00:00", "in_recovery": self.in_recovery, "version": 150000}]
        elif "pg_partitioned_table" in statement and "position" in statement:
            self.rows = [self.partition(month) for month in self.months]
            if self.default_rows is not None:
                self.rows.append({**self.partition("2026-01"), "partition_name": "rest", "bounds": "DEFAULT"})
        elif "min(" in statement:
            self.rows = [{"rows": self.default_rows, "first": "2031-01-01 00:00:00+00", "last": "2031-02-01 00:00:00+00"}]
        elif values is None and not statement.startswith("SELECT"):
            self.changes.append(statement)
        else:
            self.rows = []

    @staticmethod
    def partition(month: str) -> dict[str, Any]:
        year, number = map(int, month.split("-"))
        upper = f"{year + number // 12}-{number % 12 + 1:02d}"
        bounds = f"FOR VALUES FROM ('{month}-01 00:00:00+00') TO ('{upper}-01 00:00:00+00')"
        row = {"position": 0, "has_schema": True, "oid": 7, "kind": "p", "strategy": "r", "keys": 1, "column": "at"}
        row |= {"type": "timestamp with time zone", "default_oid": 0, "partition_oid": 8, "partition_schema": "s"}
        return row | {"partition_name": f"t_{month}", "bounds": bounds, "pending": False}

    def fetchall(self) -> list[dict[str, Any]]:
        return self.rows

    def close(self) -> None:
        pass


def run(session: Session, **given: Any) -> subject.Outcome:
    return subject.run({"database": "d", "tables": [{**TABLE, **given}]}, lambda name: (session, session, FakeError))


def test_all_is_well() -> None:
    outcome = run(Session(MONTHS))
    assert outcome == subject.Outcome(True, [subject.Figures("s.t", 2, 2, 0)])


def test_a_replica_only_looks_and_says_what_it_lacks() -> None:
    session = Session(MONTHS[:2], in_recovery=True)
    outcome = run(session)
    assert (outcome.leader, session.changes) == (False, [])
    assert outcome.problems == ["s.t: the next 1 months have a partition, wanted 2"]
    assert run(Session(["2026-12"], in_recovery=True)).problems == ["s.t: the present month has no partition"]


def test_rows_outside_of_every_partition_are_told_with_their_range() -> None:
    outcome = run(Session(MONTHS, default_rows=3))
    assert outcome.tables == [subject.Figures("s.t", 2, 2, 3)]
    assert outcome.problems == [
        "s.t: 3 rows are outside of every partition but the default one, from 2031-01-01 00:00:00+00 to 2031-02-01 00:00:00+00"
    ]


def test_a_table_that_is_not_there_and_wrong_settings_are_problems() -> None:
    assert run(Session(MONTHS), column="another").problems == ["Nothing was changed:", "- s.t: it is partitioned by at, wanted another"]
    assert run(Session(MONTHS, in_recovery=True), column="another").problems == ["s.t: it is partitioned by at, wanted another"]
    assert run(Session(MONTHS), future=-1).problems == ["table s.t: future is -1, which is not 0 to 10000"]


def test_figures_hold_all_that_an_alarm_needs() -> None:
    text = subject.metrics(subject.Outcome(True, [subject.Figures('s."t', 3, -1, 7)], problems=["x"]), 200.5, 100.25)
    lines = text.splitlines()
    for line in (
        "arxos_partitions_success 0",
        "arxos_partitions_last_success_timestamp_seconds 100.25",
        "arxos_partitions_last_run_timestamp_seconds 200.5",
        "arxos_partitions_problems 1",
        "arxos_partitions_leader 1",
        'arxos_partitions_ahead{table="s.\\"t"} -1',
        'arxos_partitions_wanted{table="s.\\"t"} 3',
        'arxos_partitions_default_rows{table="s.\\"t"} 7',
    ):
        assert line in lines
    good = subject.metrics(subject.Outcome(False), 1764000000.123456, 100)
    assert "arxos_partitions_success 1\n" in good
    assert subject.last_success_in(good) == pytest.approx(1764000000.123456, abs=0.01)
    assert [subject.last_success_in(text) for text in ("", subject.SUCCESS_AT + " x")] == [0.0, 0.0]


def test_the_program_writes_figures_also_when_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published, config, target = tmp_path / "published", tmp_path / "config", tmp_path / "metrics"
    published.write_text(f"{subject.SUCCESS_AT} 123\n")
    config.write_text(json.dumps({"database": "d", "published": str(published), "tables": [TABLE]}))

    def refuse(name: str) -> Any:
        raise PartitionError("the database cannot be reached: gone")

    assert subject.main([str(config), str(target)], refuse) == 1
    assert "arxos_partitions_success 0\n" in target.read_text()
    assert subject.last_success_in(target.read_text()) == 123
    assert capsys.readouterr().err == "the database cannot be reached: gone\n"
    session = Session(MONTHS)
    assert subject.main([str(config), str(target)], lambda name: (session, session, FakeError)) == 0
    assert "arxos_partitions_success 1\n" in target.read_text()
