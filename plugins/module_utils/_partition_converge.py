# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what the clock wants of tables to what a database has: the work of M(arxos.platform.postgresql_partition), and of the daily timer."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._partition_database import Database, Done, Found, Job
from ansible_collections.arxos.platform.plugins.module_utils._partitions import (
    Partition,
    PartitionError,
    Plan,
    Table,
    Window,
    order,
    parse_moment,
    partition_name,
    plan,
    show,
)


def converge(
    database: Database,
    tables: list[Table],
    columns: list[str | None],
    answer: dict[str, Any],
    moment: str | None = None,
    check: bool = False,
    diff: bool = False,
) -> list[str]:
    """Bring the tables to what is wanted at a moment (the database's now), or in check mode say what that takes.

    Fills the answer with what the module returns; returns what could not be done, a line each. Raises PartitionError where nothing was changed.
    """
    now = parse_moment(moment or database.clock)

    def look() -> tuple[list[Found], list[Plan], list[Job]]:
        found, faults = database.read(tables, columns)
        plans = [] if faults else [plan(table, now, entry.partitions) for table, entry in zip(tables, found)]
        faults += [fault for made in plans for fault in made.faults]
        jobs: list[Job] = []
        if not faults:
            jobs, faults = database.jobs(plans, found)
        if faults:
            raise PartitionError("\n".join(["Nothing was changed:"] + ["- " + fault for fault in faults]))
        return found, plans, jobs

    found, plans, jobs = look()
    if any(made.changes for made in plans) and not check:
        database.lock_out_others()
        found, plans, jobs = look()
    refused = [job for job in jobs if job.rows and not job.table.move]
    wanted = [job for job in jobs if job not in refused]
    done = Done()
    answer.update(
        now=show(now),
        partitions=sum(len(entry.partitions) for entry in found),
        query_seconds=round(database.query_seconds, 4),
        gaps=[_gap(made, window) for made in plans for window in made.gaps],
        default_rows=[_place(job.table, job.window) | {"rows": job.rows} for job in jobs if job.rows],
    )
    failures = [
        f"{job.table}: the default partition has {job.rows} rows of {job.window}, so {job} is not created;"
        " move or delete them, or set default_rows to move"
        for job in refused
    ]
    start = time.monotonic()
    try:
        if check:
            done = _prediction(plans, wanted)
        else:
            _apply(database, found, plans, wanted, done)
    finally:
        answer["change_seconds"] = round(time.monotonic() - start, 4)
        answer.update(created=done.created, attached=done.attached, detached=done.detached, dropped=done.dropped)
        answer["changed"] = bool(done.created or done.attached or done.detached or done.dropped)
        if diff:
            answer["diff"] = _diff(plans, found, wanted, done)
    return failures + done.failures


def _apply(database: Database, found: list[Found], plans: list[Plan], jobs: list[Job], done: Done) -> None:
    for made in plans:
        database.finalize(made, done)
    database.make(jobs, done)
    for made, entry in zip(plans, found):
        database.expire(made, entry.default is not None, done)


def _prediction(plans: list[Plan], jobs: list[Job]) -> Done:
    expired = [(made.table.drop, str(partition)) for made in plans for partition in made.expire]
    return Done(
        created=[str(job) for job in jobs if not job.exists],
        attached=[str(job) for job in jobs],
        detached=[str(partition) for made in plans for partition in made.finalize] + [name for drop, name in expired if not drop],
        dropped=[name for drop, name in expired if drop],
    )


def _place(table: Table, window: Window) -> dict[str, Any]:
    name = partition_name(table.name, table.interval, window.lower)
    return {"table": str(table), "partition": f"{table.schema}.{name}", "from": show(window.lower), "to": show(window.upper)}


def _gap(made: Plan, window: Window) -> dict[str, Any]:
    return _place(made.table, window) | {"filled": window in made.create}


def _diff(plans: list[Plan], found: list[Found], jobs: list[Job], done: Done) -> dict[str, Any]:
    """The partitions of the tables that change, before and after."""
    gone, new = set(done.detached + done.dropped), set(done.attached)
    before, after = {}, {}
    for made, entry in zip(plans, found):
        attached = [Partition(job.table.schema, job.name, job.window) for job in jobs if job.table == made.table and str(job) in new]
        left = [partition for partition in entry.partitions if str(partition) not in gone]
        if attached or left != entry.partitions:
            before[str(made.table)] = [_line(partition) for partition in entry.partitions]
            after[str(made.table)] = [_line(partition) for partition in sorted(left + attached, key=order)]
    return {"before": before, "after": after}


def _line(partition: Partition) -> str:
    return f"{partition.name} {partition.window or 'DEFAULT'}"
