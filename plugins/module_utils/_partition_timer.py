# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The daily run on a database host, as a program: what M(arxos.platform.postgresql_partition) does, on the leader, and what came of it in figures.

    python3 -m ansible_collections.arxos.platform.plugins.module_utils._partition_timer /etc/arxos/partitions.json METRICS

The role sends this file and the three that it stands on to the host. A replica only looks. It ends with 1 where something is wrong.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._partition_converge import converge
from ansible_collections.arxos.platform.plugins.module_utils._partition_database import Database
from ansible_collections.arxos.platform.plugins.module_utils._partitions import PartitionError, Table, ahead, parse_moment, table_faults

LOCK_TIMEOUT, LOCK_TRIES = 2.0, 10
SUCCESS_AT = "arxos_partitions_last_success_timestamp_seconds"


@dataclass(frozen=True)
class Figures:
    """One table: intervals wanted and present after the present one (-1: not even that), and rows in its default partition."""

    table: str
    wanted: int
    ahead: int
    default_rows: int


@dataclass
class Outcome:
    """What came of a run; without problems it was a success."""

    leader: bool | None = None
    tables: list[Figures] = field(default_factory=list)
    changes: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def table_of(given: dict[str, Any]) -> Table:
    """A table of the configuration, which has the options of the module."""
    return Table(
        given["schema"],
        given["table"],
        given["interval"],
        future=given["future"],
        retention=given.get("retention"),
        drop=given.get("retention_action") == "drop",
    )


def work(database: Database, given: Sequence[dict[str, Any]], outcome: Outcome) -> None:
    """Bring the tables to what the clock wants where this is the leader, then measure them. Fills the outcome. Raises PartitionError."""
    tables, columns = [table_of(entry) for entry in given], [entry.get("column") for entry in given]
    outcome.leader = not database.in_recovery
    faults = table_faults(tables)
    if faults:
        raise PartitionError("; ".join(faults))
    if outcome.leader:
        answer: dict[str, Any] = {}
        try:
            outcome.problems += converge(database, tables, columns, answer)
        except PartitionError as error:
            outcome.problems += str(error).splitlines()
        outcome.changes = {what: answer[what] for what in ("created", "attached", "detached", "dropped") if answer.get(what)}
    found, unfit = database.read(tables, columns)
    outcome.problems += [fault for fault in unfit if not outcome.leader]
    now = parse_moment(database.clock)
    for table, entry in zip(tables, found):
        if not entry.oid:
            continue
        rows, first, last = database.count_default(entry)
        figures = Figures(str(table), table.future, ahead(now, table.interval, entry.partitions), rows)
        outcome.tables.append(figures)
        if figures.ahead < 0:
            outcome.problems.append(f"{table}: the present {table.interval} has no partition")
        elif figures.ahead < figures.wanted:
            outcome.problems.append(f"{table}: the next {figures.ahead} {table.interval}s have a partition, wanted {figures.wanted}")
        if rows:
            outcome.problems.append(f"{table}: {rows} rows are outside of every partition but the default one, from {first} to {last}")


def metrics(outcome: Outcome, now: float, last_success: float) -> str:
    """The outcome in the text format of node-exporter's collector; times are seconds since 1970."""
    good = not outcome.problems
    plain: list[tuple[str, str, float | int]] = [
        ("success", "Whether the last run left nothing wrong.", int(good)),
        ("last_success_timestamp_seconds", "When a run last left nothing wrong.", now if good else last_success),
        ("last_run_timestamp_seconds", "When the last run was.", now),
        ("problems", "What the last run found wrong and could not mend; the journal has it in words.", len(outcome.problems)),
    ]
    if outcome.leader is not None:
        plain.append(("leader", "Whether the host was the leader, which is where changes are made.", int(outcome.leader)))
    lines = []
    for name, text, value in plain:
        lines += [
            f"# HELP arxos_partitions_{name} {text}",
            f"# TYPE arxos_partitions_{name} gauge",
            f"arxos_partitions_{name} {value:.15g}",
        ]
    for name, text in (
        ("ahead", "Intervals after the present one that have a partition, -1 where the present one has none."),
        ("wanted", "Intervals after the present one that shall have a partition."),
        ("default_rows", "Rows in the default partition."),
    ):
        lines += [f"# HELP arxos_partitions_{name} {text}", f"# TYPE arxos_partitions_{name} gauge"]
        lines += [f"arxos_partitions_{name}{{table={json.dumps(entry.table)}}} {getattr(entry, name)}" for entry in outcome.tables]
    return "\n".join(lines) + "\n"


def last_success_in(text: str) -> float:
    """When the run before was a success; 0 where that is not known."""
    for line in text.splitlines():
        name, _separator, value = line.partition(" ")
        if name == SUCCESS_AT:
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 0.0


def run(config: dict[str, Any], connect: Callable[[str], tuple[Any, Any, type[Exception]]]) -> Outcome:
    """One run. C(connect) gives connection, cursor and class of errors for a database."""
    outcome = Outcome()
    try:
        connection, cursor, errors = connect(config["database"])
        try:
            work(Database(connection, cursor, errors, LOCK_TIMEOUT, LOCK_TRIES, reading=True), config["tables"], outcome)
        finally:
            connection.close()
    except PartitionError as error:
        outcome.problems += str(error).splitlines()
    return outcome


def connect_locally(name: str) -> tuple[Any, Any, type[Exception]]:
    """Over the local socket, as the user that this runs as."""
    import psycopg2
    import psycopg2.extras

    try:
        connection = psycopg2.connect(dbname=name, application_name="arxos-partitions", connect_timeout=10)
    except psycopg2.Error as error:
        raise PartitionError(f"the database cannot be reached: {' '.join(str(error).split())}") from None
    connection.autocommit = True
    return connection, connection.cursor(cursor_factory=psycopg2.extras.DictCursor), psycopg2.Error


def main(arguments: Sequence[str], connect: Callable[[str], tuple[Any, Any, type[Exception]]] = connect_locally) -> int:
    """Run, write the figures where the second argument says, and say what was done and what is wrong."""
    config, target = json.loads(Path(arguments[0]).read_text()), Path(arguments[1])
    published = Path(config["published"])
    outcome = run(config, connect)
    before = published.read_text() if published.exists() else ""
    target.write_text(metrics(outcome, time.time(), last_success_in(before)))
    for what, names in outcome.changes.items():
        sys.stdout.write(f"{what}: {', '.join(names)}\n")
    for problem in outcome.problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
