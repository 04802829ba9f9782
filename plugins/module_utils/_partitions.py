# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time partitions: the grid of windows, what is to be done for a table, and the SQL that does it. No database is asked here.

Moments are naive C(datetime) in UTC. A window is half open: its lower bound belongs to it, its upper bound does not. C(BEGIN) and C(END)
stand for MINVALUE and MAXVALUE, for the infinities, and for whatever lies outside the years 1 to 9999.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

INTERVALS = ("day", "week", "month", "year")
BEGIN, END = datetime.min, datetime.max
# More windows missing between two partitions than this is no hole, but a partition that strayed (a row of 1970, say).
MOST_GAPS = 400
# PostgreSQL cuts longer names (NAMEDATALEN - 1).
MOST_NAME_BYTES = 63
GUARD = "arxos_partition_guard"
# What PostgreSQL calls the types of key that have a calendar, and how their literals are written.
LITERALS = {
    "date": "%04d-%02d-%02d",
    "timestamp without time zone": "%04d-%02d-%02d 00:00:00",
    "timestamp with time zone": "%04d-%02d-%02d 00:00:00+00",
}

_MOMENT = re.compile(
    r"^(\d{4,})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)?)?"
    r"\s*(?:(Z)|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?( BC)?$"
)
_BOUNDS = re.compile(r"^FOR VALUES FROM \(('(?:[^']|'')*'|MINVALUE|MAXVALUE)\) TO \(('(?:[^']|'')*'|MINVALUE|MAXVALUE)\)$")


class PartitionError(Exception):
    """Something that keeps partitions from being made; the text says what, and what to do."""


@dataclass(frozen=True)
class Window:
    """One place of the grid."""

    lower: datetime
    upper: datetime

    def __str__(self) -> str:
        return f"[{show(self.lower)}, {show(self.upper)})"

    def overlaps(self, other: Window) -> bool:
        return self.lower < other.upper and other.lower < self.upper


@dataclass(frozen=True)
class Table:
    """What is wanted of one table. C(past), C(future) and C(retention) count intervals."""

    schema: str
    name: str
    interval: str
    past: int = 0
    future: int = 0
    retention: int | None = None
    drop: bool = False
    fill_gaps: bool = True
    move: bool = False

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Partition:
    """A partition that exists. The default partition has no window; a pending one is half detached."""

    schema: str
    name: str
    window: Window | None
    pending: bool = False

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def order(partition: Partition) -> tuple[datetime, str]:
    """The order of time, the default partition last."""
    return partition.window.lower if partition.window else END, partition.name


@dataclass
class Plan:
    """What is to be done for a table; with faults, nothing is."""

    table: Table
    create: list[Window] = field(default_factory=list)
    gaps: list[Window] = field(default_factory=list)
    finalize: list[Partition] = field(default_factory=list)
    expire: list[Partition] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        return bool(self.create or self.finalize or self.expire)


# The grid ------------------------------------------------------------------------------------------------------------


def floor(moment: datetime, interval: str) -> datetime:
    """The start of the interval that the moment lies in. Weeks start on Monday, as ISO 8601 has it."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "day":
        return day
    if interval == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "month" else day.replace(month=1, day=1)


def step(start: datetime, interval: str, count: int) -> datetime:
    """The start of the interval C(count) intervals away. Raises PartitionError outside the years 1 to 9999."""
    try:
        if interval in ("day", "week"):
            return start + timedelta(days=count * (7 if interval == "week" else 1))
        months = start.year * 12 + start.month - 1 + count * (12 if interval == "year" else 1)
        return start.replace(year=months // 12, month=months % 12 + 1)
    except (OverflowError, ValueError):
        raise PartitionError(f"{count} {interval}s from {show(start)} is outside the years 1 to 9999") from None


def windows(now: datetime, interval: str, past: int, future: int) -> list[Window]:
    """The window of now, with C(past) before it and C(future) after it."""
    start = floor(now, interval)
    edges = [step(start, interval, count) for count in range(-past, future + 2)]
    return [Window(lower, upper) for lower, upper in zip(edges, edges[1:])]


def fits(window: Window, interval: str) -> bool:
    """Whether the window is a place of the grid, or starts or ends where one does when its other end is open."""
    if window.lower == BEGIN or window.upper == END:
        return all(edge in (BEGIN, END) or floor(edge, interval) == edge for edge in (window.lower, window.upper))
    return floor(window.lower, interval) == window.lower and step(window.lower, interval, 1) == window.upper


def ahead(now: datetime, interval: str, partitions: list[Partition], most: int = 1000) -> int:
    """How many intervals after the present one have a partition without a hole before them; -1 where the present one has none."""
    covered = [partition.window for partition in partitions if partition.window is not None and not partition.pending]
    count, place = -1, floor(now, interval)
    while count < most and any(window.lower <= place and step(place, interval, 1) <= window.upper for window in covered):
        count, place = count + 1, step(place, interval, 1)
    return count


def partition_name(table: str, interval: str, start: datetime) -> str:
    """C(table_2026_01_31), C(table_2026_w05) (ISO year and week), C(table_2026_01) or C(table_2026)."""
    if interval == "week":
        year, week, _day = start.isocalendar()
        return f"{table}_{year:04d}_w{week:02d}"
    parts = {"day": (start.month, start.day), "month": (start.month,), "year": ()}[interval]
    return "_".join([f"{table}_{start.year:04d}"] + [f"{part:02d}" for part in parts])


def show(moment: datetime) -> str:
    """The moment as a message and a result have it."""
    if moment in (BEGIN, END):
        return "MINVALUE" if moment == BEGIN else "MAXVALUE"
    midnight = (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
    return moment.strftime("%Y-%m-%d").zfill(10) if midnight else moment.isoformat().zfill(19) + "Z"


def parse_moment(text: str) -> datetime:
    """A moment of ISO 8601 or of PostgreSQL's ISO date style; without a zone it is UTC. Raises PartitionError."""
    if text in ("infinity", "-infinity"):
        return END if text == "infinity" else BEGIN
    found = _MOMENT.match(text.strip())
    if not found:
        raise PartitionError(f"{ascii(text)} is no moment like 2026-12-31T23:59:59Z")
    year, month, day, hour, minute, second, fraction, _zulu, sign, off_hours, off_minutes, off_seconds, before_christ = found.groups()
    if before_christ:
        return BEGIN
    if int(year) > 9999:
        return END
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "0").ljust(6, "0"))
        )
        offset = timedelta(hours=int(off_hours or 0), minutes=int(off_minutes or 0), seconds=int(off_seconds or 0))
        return moment + offset if sign == "-" else moment - offset
    except (ValueError, OverflowError):
        raise PartitionError(f"{ascii(text)} is no moment like 2026-12-31T23:59:59Z") from None


@lru_cache(maxsize=4096)
def parse_bounds(expression: str) -> Window | None:
    """What C(pg_get_expr(relpartbound, oid)) says of a partition by range on one column; None is DEFAULT. Raises PartitionError."""
    if expression == "DEFAULT":
        return None
    found = _BOUNDS.match(expression)
    if not found:
        raise PartitionError(f"{ascii(expression)} is no range of one column")
    edges = [
        BEGIN if text == "MINVALUE" else END if text == "MAXVALUE" else parse_moment(text[1:-1].replace("''", "'"))
        for text in found.groups()
    ]
    return Window(edges[0], edges[1])


# The plan ------------------------------------------------------------------------------------------------------------


def table_faults(tables: list[Table]) -> list[str]:
    """Every fault in what is wanted, a line each."""
    found = ["tables: give at least one"] if not tables else []
    seen: set[str] = set()
    for table in tables:
        who = f"table {table}"
        if str(table) in seen:
            found.append(f"{who} is given twice")
        seen.add(str(table))
        for key, value in (("schema", table.schema), ("table", table.name)):
            if not value or "\0" in value:
                found.append(f"{who}: {key} is no name")
        for key, count in (("past", table.past), ("future", table.future), ("retention", table.retention)):
            if count is not None and not 0 <= count <= 10000:
                found.append(f"{who}: {key} is {count}, which is not 0 to 10000")
        if table.retention is not None and table.retention < table.past:
            found.append(f"{who}: retention {table.retention} would detach what past {table.past} creates")
        if table.drop and table.retention is None:
            found.append(f"{who}: retention_action drop needs retention")
        longest = partition_name(table.name, table.interval, datetime(2026, 12, 31))
        if len(longest.encode()) > MOST_NAME_BYTES:
            found.append(f"{who}: a partition's name, like {longest}, is longer than PostgreSQL's {MOST_NAME_BYTES} bytes")
    return found


def plan(table: Table, now: datetime, partitions: list[Partition]) -> Plan:
    """What makes the partitions that exist into those that are wanted. Raises PartitionError when the calendar ends."""
    made = Plan(table)
    wanted = windows(now, table.interval, table.past, table.future)
    cutoff = BEGIN if table.retention is None else step(floor(now, table.interval), table.interval, -table.retention)
    made.finalize = [partition for partition in partitions if partition.pending]
    live = [(partition, partition.window) for partition in partitions if partition.window is not None and not partition.pending]
    for partition, window in live:
        crossed = [place for place in wanted if place.overlaps(window) and place != window]
        where = f"{table}: partition {partition} {window}"
        if crossed:
            made.faults.append(f"{where} overlaps {crossed[0]}, which is wanted{f' (and {len(crossed) - 1} more)' if crossed[1:] else ''}")
        elif not fits(window, table.interval):
            made.faults.append(f"{where} is not one {table.interval} of UTC")
    if made.faults:
        return made
    made.expire = [partition for partition, window in live if window.upper <= cutoff]
    kept = [window for _partition, window in live if window.upper > cutoff]
    holes = _holes(table.interval, sorted({*kept, *wanted}, key=lambda window: window.lower))
    if holes is None:
        made.faults.append(f"{table}: more than {MOST_GAPS} {table.interval}s are missing between partitions; set fill_gaps to false")
        return made
    present = set(kept)
    missing = [window for window in wanted if window not in present]
    first, last = min((window.lower for window in kept), default=END), max((window.upper for window in kept), default=BEGIN)
    made.gaps = sorted(
        set(holes).union(window for window in missing if first < window.lower and window.upper < last), key=lambda window: window.lower
    )
    made.create = sorted(set(missing).union(holes if table.fill_gaps else []), key=lambda window: window.lower)
    return made


def _holes(interval: str, ordered: list[Window]) -> list[Window] | None:
    """The places of the grid that lie between windows and are not covered; None when they are too many to be holes."""
    holes: list[Window] = []
    for before, after in zip(ordered, ordered[1:]):
        lower = before.upper
        while lower < after.lower:
            upper = step(lower, interval, 1)
            holes.append(Window(lower, upper))
            lower = upper
            if len(holes) > MOST_GAPS:
                return None
    return holes


# SQL -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parent:
    """What a new partition takes over from its table. A grant is (grantee or None for PUBLIC, privileges, columns, grantable).

    C(own) says that the owner is the session's user, who owns what it creates anyway.
    """

    schema: str
    name: str
    column: str
    column_type: str
    owner: str
    own: bool = False
    columns: tuple[str, ...] = ()
    grants: tuple[tuple[str | None, tuple[str, ...], tuple[str, ...], bool], ...] = ()
    tablespace: str | None = None
    access_method: str | None = None
    default: tuple[str, str] | None = None

    @property
    def sql(self) -> str:
        return quote(self.schema, self.name)


def quote(*names: str) -> str:
    """A name, or a name in a schema, as SQL has it."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(moment: datetime, column_type: str) -> str:
    return "'" + LITERALS[column_type] % (moment.year, moment.month, moment.day) + "'"


def create_sql(parent: Parent, name: str, exists: bool = False) -> list[str]:
    """Statements that make the table that is to be attached: columns, defaults, checks, indexes, owner and privileges of its parent.

    An identity column stays the parent's: PostgreSQL 17 refuses to attach a table that has its own.
    """
    child = quote(parent.schema, name)
    made = [f"CREATE TABLE {child} (LIKE {parent.sql} INCLUDING ALL EXCLUDING IDENTITY)"]
    made[0] += f" USING {quote(parent.access_method)}" if parent.access_method else ""
    made[0] += f" TABLESPACE {quote(parent.tablespace)}" if parent.tablespace else ""
    if exists:
        made = []
    if exists or not parent.own:
        made.append(f"ALTER TABLE {child} OWNER TO {quote(parent.owner)}")
    for grantee, privileges, columns, grantable in parent.grants:
        on = f" ({', '.join(quote(column) for column in columns)})" if columns else ""
        made.append(
            f"GRANT {', '.join(privilege + on for privilege in privileges)} ON TABLE {child} TO {quote(grantee) if grantee else 'PUBLIC'}"
            + (" WITH GRANT OPTION" if grantable else "")
        )
    return made


def attach_sql(parent: Parent, name: str, window: Window) -> str:
    lower, upper = (literal(edge, parent.column_type) for edge in (window.lower, window.upper))
    return f"ALTER TABLE {parent.sql} ATTACH PARTITION {quote(parent.schema, name)} FOR VALUES FROM ({lower}) TO ({upper})"


def inside_sql(parent: Parent, window: Window) -> str:
    """The condition of rows that belong into the window."""
    column = quote(parent.column)
    return f"{column} >= {literal(window.lower, parent.column_type)} AND {column} < {literal(window.upper, parent.column_type)}"


def default_of(parent: Parent) -> str:
    """The quoted name of the default partition; ValueError where the caller did not look whether there is one."""
    if parent.default is None:
        raise ValueError("this table has no default partition")
    return quote(*parent.default)


def guard_sql(parent: Parent, places: list[Window]) -> list[str]:
    """Statements, each a transaction of its own, that prove the default partition free of the windows before its table is locked.

    ATTACH scans the default partition under an exclusive lock, unless a valid constraint shows that it need not.
    """
    default, column = default_of(parent), quote(parent.column)
    free = " AND ".join(
        f"({column} IS NULL OR {column} < {literal(place.lower, parent.column_type)}"
        f" OR {column} >= {literal(place.upper, parent.column_type)})"
        for place in merged(places)
    )
    return [
        f"{unguard_sql(parent)}; ALTER TABLE {default} ADD CONSTRAINT {GUARD} CHECK ({free}) NOT VALID",
        f"ALTER TABLE {default} VALIDATE CONSTRAINT {GUARD}",
    ]


def unguard_sql(parent: Parent) -> str:
    return f"ALTER TABLE {default_of(parent)} DROP CONSTRAINT IF EXISTS {GUARD}"


def merged(places: list[Window]) -> list[Window]:
    """Windows that touch, as one."""
    made: list[Window] = []
    for place in sorted(places, key=lambda window: window.lower):
        if made and made[-1].upper == place.lower:
            made[-1] = Window(made[-1].lower, place.upper)
        else:
            made.append(place)
    return made


def move_sql(parent: Parent, name: str, window: Window) -> list[str]:
    """Statements of one transaction that move the window's rows out of the default partition and attach the new one.

    No trigger fires and no foreign key acts: the rows do not leave the table.
    """
    default, child = default_of(parent), quote(parent.schema, name)
    columns = ", ".join(quote(column) for column in parent.columns)
    return [
        f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE",
        "SET LOCAL session_replication_role = replica",
        f"WITH gone AS (DELETE FROM {default} WHERE {inside_sql(parent, window)} RETURNING {columns})"
        f" INSERT INTO {child} ({columns}) SELECT {columns} FROM gone",
        "SET LOCAL session_replication_role = origin",
        attach_sql(parent, name, window),
    ]


def detach_sql(parent: str, partition: Partition, concurrently: bool) -> str:
    """Concurrently it takes no exclusive lock on the table, but PostgreSQL has that only for tables without a default partition."""
    ending = " FINALIZE" if partition.pending else " CONCURRENTLY" if concurrently else ""
    return f"ALTER TABLE {parent} DETACH PARTITION {quote(partition.schema, partition.name)}{ending}"
