# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module postgresql_partition against a real PostgreSQL: the primary of the lab's database tier, in a database of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .scratch_database import ScratchDatabase

NOVEMBER = "2026-11-23T08:00:00Z"


@pytest.fixture(scope="module")
def database() -> Iterator[ScratchDatabase]:
    made = ScratchDatabase()
    made.create()
    yield made
    made.drop()


def failed(answer: dict[str, Any]) -> str:
    """The message of a failure, which is never a traceback."""
    assert answer.get("failed"), answer
    assert "Traceback" not in str(answer)
    return answer["msg"]


def good(answer: dict[str, Any]) -> dict[str, Any]:
    assert not answer.get("failed"), answer.get("msg")
    return answer


def test_monthly_table_of_the_platform(database: ScratchDatabase) -> None:
    database.roles("arxos_partition_owner", "arxos partition reader")
    database.buildings("buildings")
    database.sql("""
        ALTER TABLE arxos_prod.buildings OWNER TO arxos_partition_owner;
        GRANT SELECT, INSERT ON arxos_prod.buildings TO "arxos partition reader" WITH GRANT OPTION;
        GRANT SELECT ON arxos_prod.buildings TO PUBLIC;
        GRANT UPDATE (name) ON arxos_prod.buildings TO "arxos partition reader";
    """)
    table = {"table": "buildings", "column": "created_at", "past": 1, "future": 2}
    wanted = [f"arxos_prod.buildings_{month}" for month in ("2026_10", "2026_11", "2026_12", "2027_01")]

    planned = good(database.run(table, now=NOVEMBER, check=True))
    assert planned["changed"] and planned["created"] == wanted
    assert planned["diff"]["before"] == {"arxos_prod.buildings": []}
    assert planned["diff"]["after"]["arxos_prod.buildings"][1] == "buildings_2026_11 [2026-11-01, 2026-12-01)"
    assert database.partitions("buildings") == []

    made = good(database.run(table, now=NOVEMBER))
    assert (made["changed"], made["created"], made["attached"], made["gaps"]) == (True, wanted, wanted, [])
    assert made["diff"] == planned["diff"]
    again = good(database.run(table, now=NOVEMBER))
    assert (again["changed"], again["created"], again["partitions"]) == (False, [], 4)

    database.sql(
        "INSERT INTO arxos_prod.buildings (name, created_at) VALUES ('a', '2026-11-30 23:59:59.999999+00'), ('b', '2026-12-01 00:00+00')"
    )
    assert database.sql("SELECT name FROM arxos_prod.buildings_2026_12") == "b"
    kept = 'SELECT array_agg(x ORDER BY x::text COLLATE "C") FROM (SELECT {what} AS x FROM {table}) q'
    indexes = "regexp_replace(indexdef, 'INDEX \\S+ ON (ONLY )?\\S+', '')"
    for name in ("buildings", "buildings_2026_12"):
        where = f"pg_indexes WHERE schemaname = 'arxos_prod' AND tablename = '{name}'"
        assert database.sql(f"SELECT count(*) FROM {where}") == "4"
        rights = f"pg_class, aclexplode(relacl) a WHERE oid = 'arxos_prod.{name}'::regclass"
        assert database.sql(kept.format(what=indexes, table=where)) == database.sql(
            kept.format(what=indexes, table=where.replace("buildings_2026_12", "buildings"))
        )
        assert database.sql(kept.format(what="a::text", table=rights)) == database.sql(
            kept.format(what="a::text", table=rights.replace("buildings_2026_12", "buildings"))
        )
    assert (
        database.sql("SELECT relowner::regrole FROM pg_class WHERE oid = 'arxos_prod.buildings_2026_12'::regclass")
        == "arxos_partition_owner"
    )
    assert database.sql("SELECT has_column_privilege('arxos partition reader', 'arxos_prod.buildings_2026_12', 'name', 'UPDATE')") == "t"


def test_row_security_is_not_gone_round(database: ScratchDatabase) -> None:
    database.buildings("guarded")
    database.sql("ALTER TABLE arxos_prod.guarded ENABLE ROW LEVEL SECURITY; GRANT SELECT ON arxos_prod.guarded TO PUBLIC")
    good(database.run({"table": "guarded", "future": 0}, now=NOVEMBER))
    assert (
        database.sql("SELECT count(*) FROM pg_class WHERE oid = 'arxos_prod.guarded_2026_11'::regclass AND relacl::text LIKE '%{=r%'")
        == "0"
    )


def test_clock_at_31_december(database: ScratchDatabase) -> None:
    expected = {
        "day": ("date", ["2026_12_30", "2026_12_31", "2027_01_01"]),
        "week": ("timestamp", ["2026_w52", "2026_w53", "2027_w01"]),
        "month": ("timestamptz", ["2026_11", "2026_12", "2027_01"]),
        "year": ("timestamptz", ["2025", "2026", "2027"]),
    }
    tables = [{"table": f"at_{interval}", "interval": interval, "past": 1, "future": 1} for interval in expected]
    for interval, (key, _names) in expected.items():
        database.buildings(f"at_{interval}", key=key)
    good(database.run(*tables, now="2026-12-31T23:59:59.999999Z"))
    for interval, (_key, names) in expected.items():
        assert database.partitions(f"at_{interval}") == [f"at_{interval}_{name}" for name in names]
        database.sql(f"INSERT INTO arxos_prod.at_{interval} (name, created_at) VALUES ('a', '2026-12-31 23:59:59'), ('b', '2027-01-01')")
    # An hour east of UTC the year has begun, and here it has not.
    assert not good(database.run(*tables, now="2027-01-01T00:59:59+01:00"))["changed"]


def test_hole_in_the_middle(database: ScratchDatabase) -> None:
    database.buildings("holed")
    good(database.run({"table": "holed", "past": 9, "future": 1}, now=NOVEMBER))
    database.sql("DROP TABLE arxos_prod.holed_2026_05; DROP TABLE arxos_prod.holed_2026_06")
    seen = good(database.run({"table": "holed", "future": 1, "fill_gaps": False}, now=NOVEMBER))
    assert not seen["changed"]
    assert seen["gaps"][0] == {
        "table": "arxos_prod.holed", "partition": "arxos_prod.holed_2026_05", "from": "2026-05-01", "to": "2026-06-01", "filled": False,
    }  # fmt: skip
    filled = good(database.run({"table": "holed", "future": 1}, now=NOVEMBER))
    assert filled["created"] == ["arxos_prod.holed_2026_05", "arxos_prod.holed_2026_06"]
    assert [gap["filled"] for gap in filled["gaps"]] == [True, True]


def test_partitions_that_do_not_fit_are_named_before_anything_is_changed(database: ScratchDatabase) -> None:
    database.buildings("crossed", "slanted", "open_end", "innocent")
    database.sql("""
        CREATE TABLE arxos_prod.quarter PARTITION OF arxos_prod.crossed FOR VALUES FROM ('2026-10-01 00:00+00') TO ('2027-01-01 00:00+00');
        CREATE TABLE arxos_prod.berlin PARTITION OF arxos_prod.slanted FOR VALUES FROM ('2026-03-01 00:00+01') TO ('2026-04-01 00:00+01');
        CREATE TABLE arxos_prod.rest PARTITION OF arxos_prod.open_end FOR VALUES FROM ('2027-01-01 00:00+00') TO (MAXVALUE);
    """)
    names = ("crossed", "slanted", "open_end", "innocent")
    for check in (True, False):
        message = failed(database.run(*({"table": name, "future": 3} for name in names), now=NOVEMBER, check=check))
        assert message.splitlines() == [
            "Nothing was changed:",
            "- arxos_prod.crossed: partition arxos_prod.quarter [2026-10-01, 2027-01-01) overlaps [2026-11-01, 2026-12-01), which is wanted (and 1 more)",
            "- arxos_prod.slanted: partition arxos_prod.berlin [2026-02-28T23:00:00Z, 2026-03-31T23:00:00Z) is not one month of UTC",
            "- arxos_prod.open_end: partition arxos_prod.rest [2027-01-01, MAXVALUE) overlaps [2027-01-01, 2027-02-01), which is wanted (and 1 more)",
        ]
    assert database.partitions("innocent") == []
    # Where nothing wanted lies beyond it, an open end is as good as another.
    assert good(database.run({"table": "open_end", "future": 1}, now=NOVEMBER))["created"] == [
        "arxos_prod.open_end_2026_11",
        "arxos_prod.open_end_2026_12",
    ]


def test_names_that_are_taken(database: ScratchDatabase) -> None:
    database.buildings("taken")
    database.sql("""
        CREATE VIEW arxos_prod.taken_2026_11 AS SELECT 1 AS one;
        CREATE TABLE arxos_prod.taken_2026_12 AS SELECT 1 AS one;
        CREATE TABLE arxos_prod.taken_2027_01 PARTITION OF arxos_prod.taken FOR VALUES FROM ('2027-02-01 00:00+00') TO ('2027-03-01 00:00+00');
    """)
    message = failed(database.run({"table": "taken", "future": 3}, now=NOVEMBER))
    assert "arxos_prod.taken_2026_11 exists, but is no ordinary table" in message
    assert "arxos_prod.taken_2026_12 exists, is not attached and holds rows" in message
    assert "arxos_prod.taken_2027_01 exists, but is a partition with another range" in message
    assert database.partitions("taken") == ["taken_2027_01"]


def test_rows_in_the_default_partition(database: ScratchDatabase) -> None:
    database.buildings("spilled")
    database.sql("""
        CREATE TABLE arxos_prod.spilled_default PARTITION OF arxos_prod.spilled DEFAULT;
        ALTER TABLE arxos_prod.spilled ADD COLUMN length int GENERATED ALWAYS AS (char_length(name)) STORED;
        INSERT INTO arxos_prod.spilled (name, created_at) VALUES ('a', '2026-12-05'), ('bb', '2026-12-06'), ('c', '2031-01-01');
    """)
    table = {"table": "spilled", "future": 2}
    for check in (True, False):
        refused = database.run(table, now=NOVEMBER, check=check)
        assert "the default partition has 2 rows of [2026-12-01, 2027-01-01), so arxos_prod.spilled_2026_12 is not created" in failed(
            refused
        )
        assert refused["created"] == ["arxos_prod.spilled_2026_11", "arxos_prod.spilled_2027_01"]
        assert refused["default_rows"] == [
            {
                "table": "arxos_prod.spilled",
                "partition": "arxos_prod.spilled_2026_12",
                "from": "2026-12-01",
                "to": "2027-01-01",
                "rows": 2,
            }  # fmt: skip
        ]
    assert database.partitions("spilled") == ["spilled_2026_11", "spilled_2027_01", "spilled_default"]
    moved = good(database.run({**table, "default_rows": "move"}, now=NOVEMBER))
    assert moved["attached"] == ["arxos_prod.spilled_2026_12"]
    assert database.sql("SELECT name, length FROM arxos_prod.spilled_2026_12 ORDER BY 1") == "a|1\nbb|2"
    assert database.sql("SELECT name FROM arxos_prod.spilled_default") == "c"


def test_large_default_partition_is_not_scanned_under_a_lock(database: ScratchDatabase) -> None:
    database.buildings("large")
    database.sql("""
        CREATE TABLE arxos_prod.large_default PARTITION OF arxos_prod.large DEFAULT;
        INSERT INTO arxos_prod.large (name, created_at) SELECT repeat('x', 250), '2031-01-01' FROM generate_series(1, 70000);
    """)
    good(database.run({"table": "large", "future": 2}, now=NOVEMBER))
    assert database.partitions("large") == ["large_2026_11", "large_2026_12", "large_2027_01", "large_default"]
    assert database.sql("SELECT count(*) FROM pg_constraint WHERE conname = 'arxos_partition_guard'") == "0"


def test_retention(database: ScratchDatabase) -> None:
    database.buildings("aged", "aged_with_default", "aged_for_good")
    database.sql("CREATE TABLE arxos_prod.aged_default PARTITION OF arxos_prod.aged_with_default DEFAULT")
    names = ("aged", "aged_with_default", "aged_for_good")
    good(database.run(*({"table": name, "past": 3, "future": 0} for name in names), now=NOVEMBER))
    keep = {"past": 1, "future": 0, "retention": 1}
    tables = [{"table": name, **keep, "retention_action": "drop" if name == "aged_for_good" else "detach"} for name in names]
    planned = good(database.run(*tables, now=NOVEMBER, check=True))
    assert len(database.partitions("aged")) == 4
    done = good(database.run(*tables, now=NOVEMBER))
    assert done["detached"] == [f"arxos_prod.{name}_2026_{month}" for name in names[:2] for month in ("08", "09")]
    assert done["dropped"] == [f"arxos_prod.aged_for_good_2026_{month}" for month in ("08", "09")]
    assert (planned["detached"], planned["dropped"], planned["diff"]) == (done["detached"], done["dropped"], done["diff"])
    assert database.partitions("aged") == ["aged_2026_10", "aged_2026_11"]
    assert (
        database.sql("SELECT to_regclass('arxos_prod.aged_2026_08') IS NOT NULL, to_regclass('arxos_prod.aged_for_good_2026_08')") == "t|"
    )
    assert not good(database.run(*tables, now=NOVEMBER))["changed"]


def test_half_detached_partition_is_finished(database: ScratchDatabase) -> None:
    database.buildings("halved")
    good(database.run({"table": "halved", "past": 2, "future": 0}, now=NOVEMBER))
    table = {"table": "halved", "future": 0, "retention": 1}
    reader = database.session("BEGIN; SELECT count(*) FROM arxos_prod.halved")
    message = failed(database.run(table, now=NOVEMBER, lock_timeout=0.3, lock_tries=1))
    assert "arxos_prod.halved_2026_09 is not detached" in message
    assert database.sql("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == "1"
    reader.communicate("ROLLBACK;\n")
    done = good(database.run(table, now=NOVEMBER))
    assert done["detached"] == ["arxos_prod.halved_2026_09"]
    assert database.partitions("halved") == ["halved_2026_10", "halved_2026_11"]


def test_killed_between_create_and_attach(database: ScratchDatabase) -> None:
    database.buildings("killed")
    table = {"table": "killed", "future": 2}
    blocker = database.session("BEGIN; LOCK TABLE arxos_prod.killed IN SHARE UPDATE EXCLUSIVE MODE")
    run = database.start(database.command([table], now=NOVEMBER, lock_timeout=60))
    attaching = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'ALTER TABLE%ATTACH%' AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 60
    while database.sql(f"SELECT count(*) {attaching}") == "0":
        assert time.monotonic() < deadline and run.poll() is None
    database.sql(f"SELECT pg_terminate_backend(pid) {attaching}")
    assert "the connection to the database is lost" in failed(database.answer(run))
    blocker.communicate("ROLLBACK;\n")
    assert database.partitions("killed") == []
    assert database.sql("SELECT to_regclass('arxos_prod.killed_2027_01') IS NOT NULL") == "t"
    done = good(database.run(table, now=NOVEMBER))
    assert (done["created"], len(done["attached"])) == ([], 3)
    assert len(database.partitions("killed")) == 3


def test_a_locked_table_is_named_and_does_not_stop_the_others(database: ScratchDatabase) -> None:
    database.buildings("locked", "unlocked")
    blocker = database.session("BEGIN; LOCK TABLE arxos_prod.locked IN SHARE UPDATE EXCLUSIVE MODE")
    answer = database.run({"table": "locked"}, {"table": "unlocked"}, now=NOVEMBER, lock_timeout=0.2, lock_tries=2)
    assert "arxos_prod.locked: arxos_prod.locked_2026_11, " in failed(answer)
    assert "(tried 2 times)" in answer["msg"] and "unlocked" not in answer["msg"]
    assert len(database.partitions("unlocked")) == 4 and database.partitions("locked") == []
    blocker.communicate("ROLLBACK;\n")
    assert len(good(database.run({"table": "locked"}, {"table": "unlocked"}, now=NOVEMBER))["attached"]) == 4


def test_two_runs_at_once(database: ScratchDatabase) -> None:
    names = [f"twice_{number}" for number in range(20)]
    database.buildings(*names)
    command = database.command([{"table": name, "future": 3} for name in names], now=NOVEMBER)
    answers = [good(database.answer(run)) for run in [database.start(command), database.start(command)]]
    assert sum(len(answer["created"]) for answer in answers) == 80


@pytest.mark.parametrize(
    ("tables", "given", "faults"),
    [
        (["plain", "listed", "paired", "computed", "nothing", 'inject"; DROP TABLE plain; --'], {}, [
            "plain: it is not partitioned by range", "listed: it is not partitioned by range", "paired: it is partitioned by more than one column",
            "computed: it is partitioned by more than one column or by an expression", "nothing: there is no such table",
            '--: there is no such table',
        ]),
        ([{"table": "numbered", "column": "created_at"}, {"table": "numbered_too"}, {"table": "x", "schema": "nowhere"}], {}, [
            "numbered: it is partitioned by n, wanted created_at", "numbered_too: its key n is bigint", "nowhere.x: there is no such schema",
        ]),
        (["dated"], {"now": "9999-12-01"}, ["outside the years 1 to 9999"]),
        (["plain"], {"login_db": "no_such_database"}, ["no_such_database"]),
    ],
)  # fmt: skip
def test_wrong_arguments(database: ScratchDatabase, tables: list[Any], given: dict[str, Any], faults: list[str]) -> None:
    database.sql("""
        CREATE TABLE IF NOT EXISTS arxos_prod.plain (created_at timestamptz);
        CREATE TABLE IF NOT EXISTS arxos_prod.listed (a text) PARTITION BY LIST (a);
        CREATE TABLE IF NOT EXISTS arxos_prod.paired (a date, b date) PARTITION BY RANGE (a, b);
        CREATE TABLE IF NOT EXISTS arxos_prod.computed (a timestamp) PARTITION BY RANGE (date_trunc('day', a));
        CREATE TABLE IF NOT EXISTS arxos_prod.numbered (n bigint) PARTITION BY RANGE (n);
        CREATE TABLE IF NOT EXISTS arxos_prod.numbered_too (n bigint) PARTITION BY RANGE (n);
        CREATE TABLE IF NOT EXISTS arxos_prod.dated (a date) PARTITION BY RANGE (a);
    """)
    message = failed(database.run(*({"table": table} if isinstance(table, str) else table for table in tables), **given))
    for fault in faults:
        assert fault in message


def plain_look(database: ScratchDatabase) -> float:
    """Seconds of the server for the bounds of every partition, without a word of them being sent: what no look at them can go below."""
    plan = database.sql(
        "EXPLAIN (ANALYZE, TIMING off, FORMAT json) "
        "SELECT count(pg_get_expr(relpartbound, 0)) FROM pg_class WHERE relispartition AND relkind = 'r'"
    )
    return json.loads(plan)[0]["Execution Time"] / 1000


def test_500_tables_in_one_call(database: ScratchDatabase) -> None:
    """500 tables by 8 partitions in one call; then nothing to do for 4000 partitions, looked at by one query: a query for each table takes a multiple of
    it. Its seconds are measured by tests/bench/partitions (aim 0.1).
    """
    names = [f"many_{number:03d}" for number in range(500)]
    database.buildings(*names)
    tables = [{"table": name, "future": 7} for name in names]
    start = time.monotonic()
    made = good(database.run(*tables, now=NOVEMBER))
    seconds = time.monotonic() - start
    assert len(made["created"]) == len(made["attached"]) == 4000
    print(f"4000 partitions of 500 tables made in {seconds:.1f} s, {seconds / 4:.2f} ms each")
    database.sql("ANALYZE pg_catalog.pg_class, pg_catalog.pg_inherits")
    looks: list[float] = []
    plain: list[float] = []
    for _look in range(4):
        again = good(database.run(*tables, now=NOVEMBER))
        assert (again["changed"], again["partitions"]) == (False, 4000)
        looks.append(again["query_seconds"])
        plain.append(plain_look(database))
    print(f"4000 partitions looked at in {min(looks):.3f} s, {min(looks) / min(plain):.1f} times what their bounds take")
    assert min(looks) <= 10 * min(plain)  # a query for each table: 50 times
