# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What M(arxos.platform.postgresql_partition) reads from a database, and how it makes changes there without holding a long lock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.arxos.platform.plugins.module_utils._partitions import (
    LITERALS,
    Parent,
    Partition,
    PartitionError,
    Plan,
    Table,
    Window,
    attach_sql,
    create_sql,
    detach_sql,
    guard_sql,
    inside_sql,
    move_sql,
    order,
    parse_bounds,
    partition_name,
    quote,
    unguard_sql,
)

# Partitions made by one transaction: each takes about ten of the server's locks (max_locks_per_transaction * max_connections of them).
BATCH = 40
# A default partition larger than this is proven free of rows before it is locked; scanning this much takes some 10 ms.
GUARD_BYTES = 16 << 20
_BUSY = ("55P03", "40P01")  # lock_not_available, deadlock_detected

_OPEN = """
SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', false), set_config('statement_timeout', '0', false),
       set_config('lock_timeout', %(lock_timeout)s, false),
       to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') AS clock, pg_is_in_recovery() AS in_recovery,
       current_setting('server_version_num')::int AS version
"""

_CATALOGUE = """
SELECT w.position::int - 1 AS position, n.oid IS NOT NULL AS has_schema, c.oid, c.relkind::text AS kind, t.partstrat::text AS strategy,
       t.partnatts AS keys, a.attname::text AS column, format_type(a.atttypid, NULL) AS type, t.partdefid AS default_oid,
       p.oid AS partition_oid, pn.nspname::text AS partition_schema, p.relname::text AS partition_name,
       pg_get_expr(p.relpartbound, 0) AS bounds, i.inhdetachpending AS pending
  FROM unnest(%(schemas)s::name[], %(names)s::name[]) WITH ORDINALITY AS w (schema, name, position)
  LEFT JOIN pg_namespace n ON n.nspname = w.schema
  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  LEFT JOIN pg_partitioned_table t ON t.partrelid = c.oid
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = t.partattrs[0] AND a.attnum > 0
  LEFT JOIN pg_inherits i ON i.inhparent = t.partrelid
  LEFT JOIN pg_class p ON p.oid = i.inhrelid
  LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
"""

# Row security is the parent's: a privilege on the partition itself would go round it.
_DETAILS = """
SELECT c.oid, pg_get_userbyid(c.relowner)::text AS owner, pg_get_userbyid(c.relowner) = current_user AS own,
       ts.spcname::text AS tablespace, am.amname::text AS access_method,
       COALESCE(pg_relation_size(t.partdefid::regclass), 0) AS default_bytes,
       (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
       CASE WHEN NOT c.relrowsecurity THEN (
         SELECT json_agg(json_build_array(g.rolname, x.privileges, x.columns, x.is_grantable) ORDER BY g.rolname, x.columns::text)
           FROM (SELECT e.grantee, e.is_grantable, '[]'::json AS columns, json_agg(e.privilege_type ORDER BY e.privilege_type) AS privileges
                   FROM aclexplode(c.relacl) e GROUP BY e.grantee, e.is_grantable
                  UNION ALL
                 SELECT e.grantee, e.is_grantable, json_build_array(a.attname), json_agg(e.privilege_type ORDER BY e.privilege_type)
                   FROM pg_attribute a, aclexplode(a.attacl) e
                  WHERE a.attrelid = c.oid AND NOT a.attisdropped GROUP BY e.grantee, e.is_grantable, a.attname) x
           LEFT JOIN pg_roles g ON g.oid = x.grantee
          WHERE x.grantee <> c.relowner AND (x.grantee = 0 OR g.oid IS NOT NULL)) END AS grants
  FROM pg_class c
  JOIN pg_partitioned_table t ON t.partrelid = c.oid
  LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
  LEFT JOIN pg_am am ON am.oid = c.relam
 WHERE c.oid = ANY (%(oids)s::oid[])
"""

_TAKEN = """
SELECT w.position::int - 1 AS position, c.relkind::text AS kind, c.relispartition AS attached
  FROM unnest(%(schemas)s::name[], %(names)s::name[]) WITH ORDINALITY AS w (schema, name, position)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
"""


@dataclass
class Found:
    """What the catalogue says of one table."""

    oid: int
    column: str
    column_type: str
    partitions: list[Partition] = field(default_factory=list)

    @property
    def default(self) -> Partition | None:
        return next((partition for partition in self.partitions if partition.window is None), None)


@dataclass(frozen=True)
class Job:
    """One partition that is to be made; C(exists) says that its table is there already, C(rows) that the default partition has rows of it."""

    table: Table
    parent: Parent
    window: Window
    name: str
    exists: bool = False
    rows: int = 0
    guarded: bool = False

    def __str__(self) -> str:
        return f"{self.table.schema}.{self.name}"


@dataclass
class Done:
    """What was made, and what could not be."""

    created: list[str] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)
    detached: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class _Busy(Exception):
    """A lock was not to be had in time."""


class _Refused(Exception):
    """The database refused the statement."""


class Database:
    """One session. C(connection) is psycopg's in autocommit, whose rows are had by name; C(errors) is psycopg's class of errors.

    Raises PartitionError on a server that is too old, and on a replica unless it is only read.
    """

    def __init__(
        self, connection: Any, cursor: Any, errors: type[Exception], lock_timeout: float, lock_tries: int, reading: bool = False
    ) -> None:
        self._connection, self._cursor, self._errors, self._tries = connection, cursor, errors, lock_tries
        self.query_seconds = 0.0
        row = self._rows(_OPEN, {"lock_timeout": f"{max(1, round(lock_timeout * 1000))}ms"})[0]
        self.clock: str = row["clock"]
        self.in_recovery: bool = row["in_recovery"]
        if self.in_recovery and not reading:
            raise PartitionError("this server is a replica, which takes no changes; run on the primary")
        if row["version"] < 140000:
            raise PartitionError(f"PostgreSQL 14 or newer is needed, this is {row['version'] // 10000}")

    # Reading

    def read(self, tables: Sequence[Table], columns: Sequence[str | None]) -> tuple[list[Found], list[str]]:
        """What the catalogue has of the tables, by one query, and the faults of those that cannot be worked on."""
        start = time.monotonic()
        rows = self._rows(_CATALOGUE, {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]})
        self.query_seconds = time.monotonic() - start
        found: list[Found | None] = [None] * len(tables)
        faults: dict[int, str] = {}
        for row in rows:
            position = row["position"]
            entry = found[position]
            if entry is None and position not in faults:
                fault = _unfit(row, columns[position])
                if fault:
                    faults[position] = f"{tables[position]}: {fault}"
                    continue
                entry = found[position] = Found(row["oid"], row["column"], row["type"])
            if entry is not None and row["partition_oid"] is not None:
                partition = Partition(
                    row["partition_schema"], row["partition_name"], parse_bounds(row["bounds"]) if row["bounds"] else None, row["pending"]
                )
                entry.partitions.append(partition)
        for entry in found:
            if entry is not None:
                entry.partitions.sort(key=order)
        return [entry or Found(0, "", "") for entry in found], [faults[position] for position in sorted(faults)]

    def count_default(self, entry: Found) -> tuple[int, str, str]:
        """How many rows the default partition holds, and the first and last value of the key among them."""
        if entry.default is None:
            return 0, "", ""
        column, table = quote(entry.column), quote(entry.default.schema, entry.default.name)
        row = self._rows(f"SELECT count(*) AS rows, min({column})::text AS first, max({column})::text AS last FROM {table}")[0]
        return row["rows"], row["first"] or "", row["last"] or ""

    def jobs(self, plans: Sequence[Plan], found: Sequence[Found]) -> tuple[list[Job], list[str]]:
        """A job for each partition that is to be made, and the faults that stand in the way."""
        wanted = [(plan, entry) for plan, entry in zip(plans, found) if plan.create]
        if not wanted:
            return [], []
        details = {row["oid"]: row for row in self._rows(_DETAILS, {"oids": [entry.oid for _plan, entry in wanted]})}
        jobs = []
        for plan, entry in wanted:
            row = details[entry.oid]
            default = entry.default
            parent = Parent(
                schema=plan.table.schema,
                name=plan.table.name,
                column=entry.column,
                column_type=entry.column_type,
                owner=row["owner"],
                own=row["own"],
                columns=tuple(row["columns"] or ()),
                grants=tuple((name, tuple(privileges), tuple(columns), able) for name, privileges, columns, able in row["grants"] or ()),
                tablespace=row["tablespace"],
                access_method=row["access_method"],
                default=(default.schema, default.name) if default else None,
            )
            guarded = row["default_bytes"] > GUARD_BYTES
            for window in plan.create:
                name = partition_name(plan.table.name, plan.table.interval, window.lower)
                jobs.append(Job(plan.table, parent, window, name, guarded=guarded))
        return self._look_at_names(jobs)

    def _look_at_names(self, jobs: list[Job]) -> tuple[list[Job], list[str]]:
        rows = self._rows(_TAKEN, {"schemas": [job.table.schema for job in jobs], "names": [job.name for job in jobs]})
        taken = {row["position"]: row for row in rows}
        faults, left = [], []
        for position in sorted(taken):
            job, row = jobs[position], taken[position]
            if row["kind"] != "r" or row["attached"]:
                what = "a partition with another range or of another table" if row["attached"] else "no ordinary table"
                faults.append(f"{job.table}: {job} exists, but is {what}; rename it, {job.window} wants its name")
            else:
                left.append(position)
        holding = self._ask([f"SELECT EXISTS (SELECT FROM {quote(jobs[position].table.schema, jobs[position].name)})" for position in left])
        for position, holds in zip(left, holding):
            job = jobs[position]
            if holds:
                faults.append(
                    f"{job.table}: {job} exists, is not attached and holds rows; rename it, or attach it for {job.window} yourself"
                )
            jobs[position] = Job(job.table, job.parent, job.window, job.name, True, job.rows, job.guarded)
        with_default = [position for position, job in enumerate(jobs) if job.parent.default]
        counts = self._ask(
            [
                f"SELECT count(*) FROM {quote(*(job.parent.default or ()))} WHERE {inside_sql(job.parent, job.window)}"
                for job in (jobs[position] for position in with_default)
            ]
        )
        for position, rows_inside in zip(with_default, counts):
            job = jobs[position]
            jobs[position] = Job(job.table, job.parent, job.window, job.name, job.exists, rows_inside, job.guarded)
        return jobs, faults

    def _ask(self, queries: Sequence[str]) -> list[Any]:
        """The one value that each query has, many queries a round trip."""
        answers: list[Any] = []
        for some in _batches(queries, 200):
            text = " UNION ALL ".join(f"SELECT {number} AS number, ({query})::text AS value" for number, query in enumerate(some))
            values = {row["number"]: row["value"] for row in self._rows(text)}
            answers += [
                value == "true" if value in ("true", "false") else int(value) for value in (values[number] for number in range(len(some)))
            ]
        return answers

    # Changing

    def lock_out_others(self) -> None:
        """Keep a second run from making the same changes at the same time, until this session ends."""
        try:
            self._patiently("SELECT pg_advisory_lock(hashtext('arxos.platform.postgresql_partition'))")
        except _Busy:
            raise PartitionError("another run changes partitions of this database at the moment") from None

    def make(self, jobs: Sequence[Job], done: Done) -> None:
        """Create, then attach, some partitions a transaction. What fails is tried again in smaller parts, and does not stop the rest."""
        for batch in _batches(jobs, BATCH):
            ready = self._run([job for job in batch if not job.exists], lambda job: create_sql(job.parent, job.name), done)
            done.created += [str(job) for job in ready]
            ready += self._run([job for job in batch if job.exists], lambda job: create_sql(job.parent, job.name, exists=True), done)
            ready.sort(key=batch.index)
            plain = [job for job in ready if not job.rows and not job.guarded]
            attached = self._run(plain, lambda job: [attach_sql(job.parent, job.name, job.window)], done)
            for job in ready:
                if job.rows:
                    attached += self._run([job], lambda job: move_sql(job.parent, job.name, job.window), done)
            guarded: dict[Table, list[Job]] = {}
            for job in ready:
                if job.guarded and not job.rows:
                    guarded.setdefault(job.table, []).append(job)
            for some in guarded.values():
                attached += self._attach_guarded(some, done)
            done.attached += [str(job) for job in sorted(attached, key=batch.index)]

    def _attach_guarded(self, jobs: list[Job], done: Done) -> list[Job]:
        parent = jobs[0].parent
        try:
            for statement in guard_sql(parent, [job.window for job in jobs]):
                self._patiently(statement)
            self._patiently("; ".join([attach_sql(parent, job.name, job.window) for job in jobs] + [unguard_sql(parent)]))
            return jobs
        except (_Busy, _Refused) as error:
            done.failures.append(f"{jobs[0].table}: {', '.join(map(str, jobs))}: {error}")
            self._run(jobs[:1], lambda job: [unguard_sql(job.parent)], done)
            return []

    def _run(self, jobs: list[Job], statements: Callable[[Job], list[str]], done: Done) -> list[Job]:
        """Run the jobs' statements as one transaction; when that fails, table by table, and then job by job. Returns the jobs that went well."""
        if not jobs:
            return []
        tables = list(dict.fromkeys(job.table for job in jobs))
        text = ";\n".join(statement for job in jobs for statement in statements(job))
        try:
            if len(tables) > 1:
                self._execute(text)
            else:
                self._patiently(text)
            return jobs
        except (_Busy, _Refused) as error:
            if len(tables) > 1:
                parts = [[job for job in jobs if job.table == table] for table in tables]
            elif len(jobs) > 1 and isinstance(error, _Refused):
                parts = [[job] for job in jobs]
            else:
                done.failures.append(f"{tables[0]}: {', '.join(map(str, jobs))}: {error}")
                return []
        return [job for part in parts for job in self._run(part, statements, done)]

    def finalize(self, plan: Plan, done: Done) -> None:
        """Finish detaching what an interrupted run left half detached."""
        for partition in plan.finalize:
            try:
                self._patiently(detach_sql(quote(plan.table.schema, plan.table.name), partition, False))
                done.detached.append(str(partition))
            except (_Busy, _Refused) as error:
                done.failures.append(f"{plan.table}: {partition} stays half detached: {error}")

    def expire(self, plan: Plan, has_default: bool, done: Done) -> None:
        """Detach, or drop, the partitions that are older than the retention."""
        parent = quote(plan.table.schema, plan.table.name)
        for partition in plan.expire:
            try:
                if plan.table.drop:
                    self._patiently(f"{detach_sql(parent, partition, False)}; DROP TABLE {quote(partition.schema, partition.name)}")
                    done.dropped.append(str(partition))
                else:
                    self._detach(parent, partition, not has_default)
                    done.detached.append(str(partition))
            except (_Busy, _Refused) as error:
                done.failures.append(f"{plan.table}: {partition} is not {'dropped' if plan.table.drop else 'detached'}: {error}")

    def _detach(self, parent: str, partition: Partition, concurrently: bool) -> None:
        try:
            if concurrently:
                self._execute(detach_sql(parent, partition, True))
            else:
                self._patiently(detach_sql(parent, partition, False))
        except _Busy:
            # Interrupted, it leaves the partition half detached or as it was.
            query = "SELECT inhdetachpending AS pending FROM pg_inherits WHERE inhrelid = to_regclass(%(name)s)"
            rows = self._rows(query, {"name": quote(partition.schema, partition.name)})
            pending = bool(rows and rows[0]["pending"])
            again = Partition(partition.schema, partition.name, partition.window, pending)
            self._patiently(detach_sql(parent, again, concurrently))

    # The session

    def _patiently(self, statement: str) -> None:
        """Try again when a lock is not to be had in time: in between, whoever waited behind this session gets through."""
        for left in reversed(range(self._tries)):
            try:
                return self._execute(statement)
            except _Busy:
                if not left:
                    raise

    def _execute(self, statement: str) -> None:
        """One round trip; several statements of it are one transaction."""
        try:
            self._cursor.execute(statement)
        except self._errors as error:
            raise self._meaning(error) from error

    def _rows(self, query: str, values: dict[str, Any] | None = None) -> list[Any]:
        try:
            self._cursor.execute(query, values)
            return list(self._cursor.fetchall())
        except self._errors as error:
            raise PartitionError(str(self._meaning(error))) from error

    def _meaning(self, error: Exception) -> Exception:
        code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        text = " ".join(str(error).split())
        if code is None or self._connection.closed:
            return PartitionError(f"the connection to the database is lost: {text}")
        return _Busy(f"{text} (tried {self._tries} times)") if code in _BUSY else _Refused(text)


def _unfit(row: Any, column: str | None) -> str | None:
    """Why partitions of the table cannot be made, if they cannot."""
    if row["oid"] is None:
        return "there is no such table" if row["has_schema"] else "there is no such schema"
    if row["kind"] != "p" or row["strategy"] != "r":
        return "it is not partitioned by range"
    if row["keys"] != 1 or row["column"] is None:
        return "it is partitioned by more than one column or by an expression"
    if column and column != row["column"]:
        return f"it is partitioned by {row['column']}, wanted {column}"
    if row["type"] not in LITERALS:
        return f"its key {row['column']} is {row['type']}, wanted {', '.join(LITERALS)}"
    return None


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
