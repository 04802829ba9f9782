# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The calendar of partitions, the plan and its SQL, without a database."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._partitions import (
    BEGIN,
    END,
    MOST_GAPS,
    Parent,
    Partition,
    PartitionError,
    Plan,
    Table,
    Window,
    attach_sql,
    create_sql,
    detach_sql,
    fits,
    floor,
    guard_sql,
    merged,
    move_sql,
    order,
    parse_bounds,
    parse_moment,
    partition_name,
    plan,
    quote,
    show,
    step,
    table_faults,
    unguard_sql,
    windows,
)

LAST_SECOND = datetime(2026, 12, 31, 23, 59, 59, 999999)
NOVEMBER = datetime(2026, 11, 23, 8, 19, 49)


def span(lower: str, upper: str) -> Window:
    return Window(
        BEGIN if lower == "MINVALUE" else datetime.fromisoformat(lower), END if upper == "MAXVALUE" else datetime.fromisoformat(upper)
    )


@pytest.mark.parametrize(
    ("now", "interval", "start", "name"),
    [
        (LAST_SECOND, "day", "2026-12-31", "t_2026_12_31"),
        (LAST_SECOND, "week", "2026-12-28", "t_2026_w53"),
        (LAST_SECOND, "month", "2026-12-01", "t_2026_12"),
        (LAST_SECOND, "year", "2026-01-01", "t_2026"),
        (datetime(2027, 1, 1), "day", "2027-01-01", "t_2027_01_01"),
        (datetime(2027, 1, 1), "week", "2026-12-28", "t_2026_w53"),
        (datetime(2027, 1, 3, 23), "week", "2026-12-28", "t_2026_w53"),
        (datetime(2027, 1, 4), "week", "2027-01-04", "t_2027_w01"),
        (datetime(2027, 1, 1), "month", "2027-01-01", "t_2027_01"),
        (datetime(2025, 12, 29), "week", "2025-12-29", "t_2026_w01"),
        (datetime(2028, 2, 29, 12), "day", "2028-02-29", "t_2028_02_29"),
        (datetime(2028, 2, 29, 12), "month", "2028-02-01", "t_2028_02"),
        (datetime(987, 6, 5), "year", "0987-01-01", "t_0987"),
    ],
)
def test_floor_and_name(now: datetime, interval: str, start: str, name: str) -> None:
    assert floor(now, interval) == datetime.fromisoformat(start)
    assert partition_name("t", interval, floor(now, interval)) == name


@pytest.mark.parametrize(
    ("start", "interval", "count", "there"),
    [
        ("2026-12-31", "day", 1, "2027-01-01"),
        ("2028-02-28", "day", 1, "2028-02-29"),
        ("2027-02-28", "day", 1, "2027-03-01"),
        ("2026-12-28", "week", 1, "2027-01-04"),
        ("2026-12-01", "month", 1, "2027-01-01"),
        ("2026-12-01", "month", 13, "2028-01-01"),
        ("2026-01-01", "month", -1, "2025-12-01"),
        ("2026-01-01", "month", -25, "2023-12-01"),
        ("2026-01-01", "year", -6, "2020-01-01"),
        ("2026-01-01", "year", 0, "2026-01-01"),
    ],
)
def test_step(start: str, interval: str, count: int, there: str) -> None:
    assert step(datetime.fromisoformat(start), interval, count) == datetime.fromisoformat(there)


@pytest.mark.parametrize(("interval", "count"), [("day", 10**7), ("week", -(10**6)), ("month", 10**6), ("year", -2026), ("year", 10**12)])
def test_step_out_of_the_calendar(interval: str, count: int) -> None:
    with pytest.raises(PartitionError, match="outside the years 1 to 9999"):
        step(datetime(2026, 1, 1), interval, count)


def test_windows_follow_each_other_over_the_years() -> None:
    for interval in ("day", "week", "month", "year"):
        places = windows(LAST_SECOND, interval, 100, 100)
        assert len(places) == 201
        assert all(before.upper == after.lower for before, after in zip(places, places[1:]))
        assert all(fits(place, interval) for place in places)
        assert places[100].lower <= LAST_SECOND < places[100].upper
        assert len({partition_name("t", interval, place.lower) for place in places}) == 201


@pytest.mark.parametrize(
    ("window", "interval", "answer"),
    [
        (span("2026-02-01", "2026-03-01"), "month", True),
        (span("2026-02-01", "2026-04-01"), "month", False),
        (span("2026-02-02", "2026-03-02"), "month", False),
        (span("2026-02-01T01:00", "2026-03-01T01:00"), "month", False),
        (span("2026-12-28", "2027-01-04"), "week", True),
        (span("2026-12-27", "2027-01-03"), "week", False),
        (span("2026-01-01", "2027-01-01"), "year", True),
        (span("MINVALUE", "2026-03-01"), "month", True),
        (span("MINVALUE", "2026-03-02"), "month", False),
        (span("2026-03-01", "MAXVALUE"), "month", True),
        (span("MINVALUE", "MAXVALUE"), "month", True),
        (span("9999-12-01", "9999-12-31"), "day", False),
    ],
)
def test_fits(window: Window, interval: str, answer: bool) -> None:
    assert fits(window, interval) is answer


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-31", "2026-12-31"),
        ("2026-12-31 23:59", "2026-12-31T23:59"),
        ("2026-12-31T23:59:59Z", "2026-12-31T23:59:59"),
        ("2027-01-01T00:59:59+01:00", "2026-12-31T23:59:59"),
        ("2026-12-31 18:59:59-05", "2026-12-31T23:59:59"),
        ("2026-12-31 23:59:59.5+0530", "2026-12-31T18:29:59.500000"),
        ("1890-01-01 00:00:00+00:53:28", "1889-12-31T23:06:32"),
        ("0001-01-01", "0001-01-01"),
    ],
)
def test_parse_moment(text: str, moment: str) -> None:
    assert parse_moment(text) == datetime.fromisoformat(moment)


def test_parse_moment_beyond_the_calendar() -> None:
    assert parse_moment("infinity") == parse_moment("10000-01-01 00:00:00+00") == END
    assert parse_moment("-infinity") == parse_moment("0044-03-15 00:00:00+00 BC") == BEGIN


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-13-01", "2026-02-29", "2026-01-01T25:00", "31.12.2026", "0001-01-01T00:00+01", "2026-1-1"]
)
def test_parse_moment_refuses(text: str) -> None:
    with pytest.raises(PartitionError, match="is no moment like"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("expression", "window"),
    [
        ("DEFAULT", None),
        ("FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00')", span("2026-01-01", "2026-02-01")),
        ("FOR VALUES FROM ('2026-01-01 00:00:00+01') TO ('2026-02-01 00:00:00+01')", span("2025-12-31T23:00", "2026-01-31T23:00")),
        ("FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')", span("2026-01-01", "2026-02-01")),
        ("FOR VALUES FROM (MINVALUE) TO ('2026-02-01 00:00:00')", span("MINVALUE", "2026-02-01")),
        ("FOR VALUES FROM ('2026-02-01 00:00:00') TO (MAXVALUE)", span("2026-02-01", "MAXVALUE")),
        ("FOR VALUES FROM ('-infinity') TO ('infinity')", span("MINVALUE", "MAXVALUE")),
    ],
)
def test_parse_bounds(expression: str, window: Window | None) -> None:
    assert parse_bounds(expression) == window


@pytest.mark.parametrize("expression", ["FOR VALUES IN ('a')", "FOR VALUES FROM ('a') TO ('b')", "FOR VALUES FROM (1) TO (2)", ""])
def test_parse_bounds_refuses(expression: str) -> None:
    with pytest.raises(PartitionError):
        parse_bounds(expression)


def test_show() -> None:
    assert str(span("MINVALUE", "2026-01-01T12:00")) == "[MINVALUE, 2026-01-01T12:00:00Z)"
    assert str(span("0987-01-01", "MAXVALUE")) == "[0987-01-01, MAXVALUE)"
    assert show(NOVEMBER) == "2026-11-23T08:19:49Z"


# The plan ------------------------------------------------------------------------------------------------------------

MONTHLY = Table("s", "t", "month", past=1, future=2)


def have(*starts: str, interval: str = "month", pending: tuple[str, ...] = ()) -> list[Partition]:
    edges = [datetime.fromisoformat(start) for start in starts]
    return [
        Partition("s", partition_name("t", interval, edge), Window(edge, step(edge, interval, 1)), start in pending)
        for edge, start in zip(edges, starts)
    ]


def starts(places: list[Window]) -> list[str]:
    return [show(place.lower) for place in places]


def test_plan_of_a_new_table() -> None:
    made = plan(MONTHLY, NOVEMBER, [])
    assert starts(made.create) == ["2026-10-01", "2026-11-01", "2026-12-01", "2027-01-01"]
    assert made.changes and not (made.gaps or made.expire or made.finalize or made.faults)


def test_plan_with_nothing_to_do() -> None:
    partitions = [*have("2026-10-01", "2026-11-01", "2026-12-01", "2027-01-01"), Partition("s", "rest", None)]
    assert plan(MONTHLY, NOVEMBER, partitions) == Plan(MONTHLY)


def test_plan_follows_the_clock_over_the_new_year() -> None:
    partitions = have("2026-10-01", "2026-11-01", "2026-12-01", "2027-01-01")
    assert plan(Table("s", "t", "month", future=1), LAST_SECOND, partitions).create == []
    assert starts(plan(Table("s", "t", "month", future=1), LAST_SECOND + timedelta(microseconds=1), partitions).create) == ["2027-02-01"]


def test_plan_finds_holes() -> None:
    partitions = have("2026-05-01", "2026-08-01", "2026-10-01", "2026-12-01", "2027-01-01")
    made = plan(MONTHLY, NOVEMBER, partitions)
    assert starts(made.gaps) == starts(made.create) == ["2026-06-01", "2026-07-01", "2026-09-01", "2026-11-01"]
    kept = plan(Table("s", "t", "month", 1, 2, fill_gaps=False), NOVEMBER, partitions)
    assert (starts(kept.gaps), starts(kept.create)) == (starts(made.gaps), ["2026-11-01"])


def test_plan_fills_between_what_exists_and_what_is_wanted() -> None:
    """Nobody ran for three months, so what was future then is a hole now."""
    made = plan(Table("s", "t", "month", 0, 1), NOVEMBER, have("2026-07-01"))
    assert starts(made.gaps) == ["2026-08-01", "2026-09-01", "2026-10-01"]
    assert starts(made.create) == [*starts(made.gaps), "2026-11-01", "2026-12-01"]
    kept = plan(Table("s", "t", "month", 0, 1, fill_gaps=False), NOVEMBER, have("2026-07-01"))
    assert starts(kept.create) == ["2026-11-01", "2026-12-01"]


def test_a_plan_that_was_carried_out_leaves_nothing_to_do() -> None:
    chance = random.Random(20261231)
    for _trial in range(300):
        interval = chance.choice(["day", "week", "month", "year"])
        past = chance.randrange(4)
        table = Table(
            "s",
            "t",
            interval,
            past,
            chance.randrange(6),
            chance.choice([None, past + chance.randrange(3)]),
            fill_gaps=chance.random() < 0.7,
        )
        now = datetime(2026, 12, 28) + timedelta(hours=chance.randrange(24 * 400))
        partitions = [
            Partition("s", partition_name("t", interval, place.lower), place)
            for place in windows(now, interval, 9, 9)
            if chance.random() < 0.4
        ]
        made = plan(table, now, partitions)
        assert not made.faults
        left = [partition for partition in partitions if partition not in made.expire]
        left += [Partition("s", partition_name("t", interval, place.lower), place) for place in made.create]
        assert len({partition.window for partition in left}) == len(left)
        again = plan(table, now, left)
        assert not again.changes and not again.faults
        assert set(windows(now, interval, table.past, table.future)) <= {partition.window for partition in left}
        assert table.fill_gaps is False or again.gaps == []


def test_plan_refuses_to_fill_an_age() -> None:
    partitions = have("1970-01-01", "2026-11-01", interval="month")
    assert plan(MONTHLY, NOVEMBER, partitions).faults == [
        f"s.t: more than {MOST_GAPS} months are missing between partitions; set fill_gaps to false"
    ]
    assert starts(plan(Table("s", "t", "month", fill_gaps=False), NOVEMBER, partitions).create) == []


@pytest.mark.parametrize(
    ("window", "fault"),
    [
        (span("2026-11-15", "2026-12-15"), "overlaps [2026-11-01, 2026-12-01), which is wanted (and 1 more)"),
        (span("2026-12-01", "2026-12-02"), "overlaps [2026-12-01, 2027-01-01), which is wanted"),
        (span("2026-01-01", "2027-01-01"), "overlaps [2026-10-01, 2026-11-01), which is wanted (and 2 more)"),
        (span("MINVALUE", "2026-11-01"), "overlaps [2026-10-01, 2026-11-01), which is wanted"),
        (span("2027-01-01", "MAXVALUE"), "overlaps [2027-01-01, 2027-02-01), which is wanted"),
        (span("2026-03-01", "2026-05-01"), "is not one month of UTC"),
        (span("2026-02-28T23:00", "2026-03-31T22:00"), "is not one month of UTC"),
        (span("2027-02-02", "MAXVALUE"), "is not one month of UTC"),
    ],
)
def test_plan_names_what_does_not_fit(window: Window, fault: str) -> None:
    made = plan(MONTHLY, NOVEMBER, [Partition("s", "odd", window)])
    assert made.faults == [f"s.t: partition s.odd {window} {fault}"]
    assert not made.changes


def test_plan_takes_open_ends_beside_the_window() -> None:
    partitions = [Partition("s", "old", span("MINVALUE", "2026-09-01")), Partition("s", "rest", span("2027-02-01", "MAXVALUE"))]
    made = plan(MONTHLY, NOVEMBER, partitions)
    assert starts(made.create) == ["2026-09-01", "2026-10-01", "2026-11-01", "2026-12-01", "2027-01-01"]
    assert made.gaps == made.create


def test_plan_of_retention() -> None:
    partitions = [
        Partition("s", "old", span("MINVALUE", "2026-06-01")),
        *have("2026-07-01", "2026-08-01", "2026-09-01", "2026-10-01", "2026-11-01"),
    ]
    made = plan(Table("s", "t", "month", 0, 0, retention=2), NOVEMBER, partitions)
    assert [partition.name for partition in made.expire] == ["old", "t_2026_07", "t_2026_08"]
    assert made.create == made.gaps == []
    assert plan(Table("s", "t", "month", 0, 0, retention=0), NOVEMBER, have("2026-10-01", "2026-11-01")).expire == have("2026-10-01")


def test_plan_finishes_what_is_half_detached() -> None:
    partitions = have("2026-08-01", "2026-10-01", "2026-11-01", pending=("2026-08-01",))
    made = plan(Table("s", "t", "month", 1, 0, retention=1), NOVEMBER, partitions)
    assert (made.finalize, made.expire, made.create) == (partitions[:1], [], [])


def test_order_puts_the_default_last() -> None:
    rest, [october, november] = Partition("s", "a", None), have("2026-10-01", "2026-11-01")
    assert sorted([rest, november, october], key=order) == [october, november, rest]


def test_table_faults() -> None:
    assert table_faults([MONTHLY, Table("other", "t", "year")]) == []
    assert table_faults([]) == ["tables: give at least one"]
    assert table_faults(
        [
            Table("s", "t", "month", past=3, retention=2),
            Table("s", "t", "day", future=10001, drop=True),
            Table("", "x\0", "day"),
            Table("s", "ä" * 27, "day"),
            Table("s", "ä" * 26, "day"),
        ]
    ) == [
        "table s.t: retention 2 would detach what past 3 creates",
        "table s.t is given twice",
        "table s.t: future is 10001, which is not 0 to 10000",
        "table s.t: retention_action drop needs retention",
        "table .x\0: schema is no name",
        "table .x\0: table is no name",
        f"table s.{'ä' * 27}: a partition's name, like {'ä' * 27}_2026_12_31, is longer than PostgreSQL's 63 bytes",
    ]


# SQL -----------------------------------------------------------------------------------------------------------------

PARENT = Parent("s", 't"x', "at", "timestamp with time zone", "own er", columns=("id", "at"), default=("s", "rest"))
DECEMBER, JANUARY = span("2026-12-01", "2027-01-01"), span("2027-01-01", "2027-02-01")


def test_names_are_quoted() -> None:
    assert quote("a") == '"a"'
    assert quote("s", 'x"; DROP TABLE y; --') == '"s"."x""; DROP TABLE y; --"'


def test_create_takes_over_owner_and_privileges() -> None:
    parent = Parent(
        "s", "t", "at", "date", "me", grants=(("app", ("INSERT", "SELECT"), (), True), (None, ("SELECT",), ("id", "a b"), False)),
        tablespace="fast", access_method="heap",
    )  # fmt: skip
    assert create_sql(parent, "t_2026") == [
        'CREATE TABLE "s"."t_2026" (LIKE "s"."t" INCLUDING ALL EXCLUDING IDENTITY) USING "heap" TABLESPACE "fast"',
        'ALTER TABLE "s"."t_2026" OWNER TO "me"',
        'GRANT INSERT, SELECT ON TABLE "s"."t_2026" TO "app" WITH GRANT OPTION',
        'GRANT SELECT ("id", "a b") ON TABLE "s"."t_2026" TO PUBLIC',
    ]
    assert create_sql(parent, "t_2026", exists=True) == create_sql(parent, "t_2026")[1:]
    mine = Parent("s", "t", "at", "date", "me", own=True)
    assert [len(create_sql(mine, "t_2026", exists)) for exists in (False, True)] == [1, 1]
    assert create_sql(mine, "t_2026", True) == ['ALTER TABLE "s"."t_2026" OWNER TO "me"']


@pytest.mark.parametrize(
    ("kind", "literal"),
    [
        ("date", "2026-12-01"),
        ("timestamp without time zone", "2026-12-01 00:00:00"),
        ("timestamp with time zone", "2026-12-01 00:00:00+00"),
    ],
)
def test_attach_writes_the_bounds_as_the_key_has_them(kind: str, literal: str) -> None:
    text = attach_sql(Parent("s", "t", "at", kind, "me"), "t_2026_12", DECEMBER)
    assert text == (
        f'ALTER TABLE "s"."t" ATTACH PARTITION "s"."t_2026_12" FOR VALUES FROM (\'{literal}\') TO (\'{literal.replace("2026-12", "2027-01")}\')'
    )


def test_guard_proves_all_windows_at_once() -> None:
    later = span("2027-05-01", "2027-06-01")
    assert merged([JANUARY, later, DECEMBER]) == [Window(DECEMBER.lower, JANUARY.upper), later]
    add, validate = guard_sql(PARENT, [DECEMBER, later, JANUARY])
    assert add == (
        'ALTER TABLE "s"."rest" DROP CONSTRAINT IF EXISTS arxos_partition_guard; ALTER TABLE "s"."rest" ADD CONSTRAINT arxos_partition_guard CHECK ('
        '("at" IS NULL OR "at" < \'2026-12-01 00:00:00+00\' OR "at" >= \'2027-02-01 00:00:00+00\') AND '
        '("at" IS NULL OR "at" < \'2027-05-01 00:00:00+00\' OR "at" >= \'2027-06-01 00:00:00+00\')) NOT VALID'
    )
    assert validate == 'ALTER TABLE "s"."rest" VALIDATE CONSTRAINT arxos_partition_guard'
    assert unguard_sql(PARENT).endswith("DROP CONSTRAINT IF EXISTS arxos_partition_guard")


def test_move_fires_nothing() -> None:
    lock, quiet, move, loud, attach = move_sql(PARENT, "t_2026_12", DECEMBER)
    assert lock == 'LOCK TABLE "s"."rest" IN ACCESS EXCLUSIVE MODE'
    assert (quiet, loud) == ("SET LOCAL session_replication_role = replica", "SET LOCAL session_replication_role = origin")
    assert move == (
        'WITH gone AS (DELETE FROM "s"."rest" WHERE "at" >= \'2026-12-01 00:00:00+00\' AND "at" < \'2027-01-01 00:00:00+00\' RETURNING "id", "at")'
        ' INSERT INTO "s"."t_2026_12" ("id", "at") SELECT "id", "at" FROM gone'
    )
    assert attach == attach_sql(PARENT, "t_2026_12", DECEMBER)


def test_detach() -> None:
    whole, half = have("2026-11-01", "2026-12-01", pending=("2026-12-01",))
    assert detach_sql('"s"."t"', whole, True) == 'ALTER TABLE "s"."t" DETACH PARTITION "s"."t_2026_11" CONCURRENTLY'
    assert detach_sql('"s"."t"', whole, False) == 'ALTER TABLE "s"."t" DETACH PARTITION "s"."t_2026_11"'
    assert detach_sql('"s"."t"', half, True) == 'ALTER TABLE "s"."t" DETACH PARTITION "s"."t_2026_12" FINALIZE'
