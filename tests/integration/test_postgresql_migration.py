# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module postgresql_migration against a real PostgreSQL: the primary of the lab's database tier, in a database of its own, with others at work in it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .scratch_database import ScratchDatabase

ADD = "ALTER TABLE arxos_prod.doors ADD COLUMN colour text;"
FILL = "UPDATE arxos_prod.doors SET colour = 'red'; ALTER TABLE arxos_prod.doors ALTER COLUMN colour SET DEFAULT '100 % red';"
INDEX = "-- arxos: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS doors_colour_idx ON arxos_prod.doors (colour);"
HISTORY = "SELECT string_agg(name || ' ' || release, ', ' ORDER BY name) FROM arxos_migrations.history WHERE finished_at IS NOT NULL"


class Migrated(ScratchDatabase):
    """A database with one table, and a folder of migrations on its host."""

    name = "arxos_migration_test"
    folder = "/tmp/arxos_migration_test"

    def begin(self) -> None:
        self.create()
        self.sql("CREATE TABLE arxos_prod.doors (id int PRIMARY KEY); INSERT INTO arxos_prod.doors SELECT generate_series(1, 1000)")
        subprocess.run(["docker", "exec", self.host, "rm", "-rf", self.folder], check=True)

    def files(self, **files: str) -> None:
        """Write these, by number: C(m1) is 0001_m.sql."""
        for name, text in files.items():
            path = f"{self.folder}/{int(name[1:]):04d}_m.sql"
            script = f"mkdir -p {self.folder}; cat > {path}; chmod 0644 {path}"
            subprocess.run(["docker", "exec", "-i", self.host, "sh", "-c", script], input=text, text=True, check=True)

    def migration(self, check: bool = False, **given: Any) -> list[str]:
        arguments = {"login_db": self.name, "login_user": "postgres", "directory": self.folder, "release": "1.1.0", **given}
        return self.raw_command(arguments, "postgresql_migration") + (["--check"] if check else [])

    def migrate(self, check: bool = False, **given: Any) -> dict[str, Any]:
        return self.answer(self.start(self.migration(check, **given)))

    def holder(self, seconds: float) -> subprocess.Popen[str]:
        """Another session that reads the table, in a transaction that it does not end for so long."""
        beside = self.session("BEGIN; SELECT count(*) FROM arxos_prod.doors")
        assert beside.stdin
        beside.stdin.write(f"SELECT pg_sleep({seconds}); COMMIT;\n")
        beside.stdin.close()
        return beside


@pytest.fixture
def database() -> Iterator[Migrated]:
    made = Migrated()
    made.begin()
    yield made
    made.drop()
    subprocess.run(["docker", "exec", made.host, "rm", "-rf", made.folder], check=True)


def good(answer: dict[str, Any]) -> list[str]:
    """The names of what was run."""
    assert not answer.get("failed"), answer.get("msg")
    return [ran["name"] for ran in answer["applied"]]


def failed(answer: dict[str, Any]) -> str:
    assert answer.get("failed") and "Traceback" not in str(answer), answer
    return answer["msg"]


def test_each_runs_once_in_order_and_is_noted(database: Migrated) -> None:
    database.files(m1=ADD, m2=FILL, m10=INDEX)
    planned = database.migrate(check=True)
    assert planned["changed"] and [entry["name"] for entry in planned["due"]] == ["0001_m.sql", "0002_m.sql", "0010_m.sql"]
    assert database.sql("SELECT to_regnamespace('arxos_migrations') IS NULL") == "t"
    assert good(database.migrate()) == ["0001_m.sql", "0002_m.sql", "0010_m.sql"]
    assert database.sql("SELECT count(*) FROM arxos_prod.doors WHERE colour = 'red'") == "1000"
    assert database.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'arxos_prod.doors_colour_idx'::regclass") == "t"
    assert database.sql(HISTORY) == "0001_m.sql 1.1.0, 0002_m.sql 1.1.0, 0010_m.sql 1.1.0"
    again = database.migrate(release="1.2.0")
    assert (again["changed"], good(again)) == (False, [])
    database.files(m11="SELECT 1")
    assert good(database.migrate(release="1.2.0")) == ["0011_m.sql"]


def test_a_lock_that_another_holds_is_waited_for_in_short_turns(database: Migrated) -> None:
    database.files(m1=ADD)
    beside = database.holder(4)
    answer = database.migrate(lock_timeout=0.5)
    assert good(answer) == ["0001_m.sql"]
    assert answer["applied"][0]["retries"] >= 1
    beside.wait()
    assert database.sql("SELECT count(*) FROM information_schema.columns WHERE column_name = 'colour'") == "1"


def test_others_get_through_between_two_turns(database: Migrated) -> None:
    """Who waits behind the migration's wish for the table waits no longer than its patience."""
    database.files(m1=ADD)
    beside = database.holder(6)
    started = database.start(database.migration(lock_timeout=1))
    waits = []
    while started.poll() is None:
        began = time.monotonic()
        database.sql("SELECT count(*) FROM arxos_prod.doors")
        waits.append(time.monotonic() - began)
    assert good(database.answer(started)) == ["0001_m.sql"]
    beside.wait()
    assert max(waits) < 2.5, waits


def test_it_is_given_up_with_nothing_changed_and_done_later(database: Migrated) -> None:
    database.files(m1=ADD, m2="SELECT 1")
    beside = database.holder(8)
    message = failed(database.migrate(lock_timeout=0.3, lock_tries=2))
    assert "0001_m.sql: canceling statement due to lock timeout" in message and "tried 2 times" in message
    assert database.sql("SELECT count(*) FROM arxos_migrations.history") == "0"
    beside.wait()
    assert good(database.migrate()) == ["0001_m.sql", "0002_m.sql"]


def test_a_failure_keeps_what_was_before_it_and_nothing_of_itself(database: Migrated) -> None:
    database.files(m1=ADD, m2=FILL + " UPDATE arxos_prod.doors SET id = 1;", m3="SELECT 1")
    answer = database.migrate()
    assert "0002_m.sql: duplicate key" in failed(answer)
    assert answer["changed"] and [ran["name"] for ran in answer["applied"]] == ["0001_m.sql"]
    assert database.sql(HISTORY) == "0001_m.sql 1.1.0"
    assert database.sql("SELECT count(*) FROM arxos_prod.doors WHERE colour IS NOT NULL") == "0"
    database.files(m2=FILL)
    assert good(database.migrate(release="1.1.1")) == ["0002_m.sql", "0003_m.sql"]


def test_history_is_not_rewritten(database: Migrated) -> None:
    database.files(m1=ADD, m3="SELECT 1")
    good(database.migrate())
    database.files(m1=ADD + " -- better", m2=FILL)
    for check in (True, False):
        assert failed(database.migrate(check=check)).splitlines() == [
            "0001_m.sql was changed after it had been applied: put it back as it was, and write another",
            "0002_m.sql comes before 0003_m.sql, which has been applied: give it a later number",
        ]


def test_an_index_build_that_did_not_end_is_begun_anew(database: Migrated) -> None:
    good_index = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('arxos_prod.doors_colour_idx')"
    database.files(m1=ADD)
    good(database.migrate())
    database.files(m2=INDEX + "\nINSERT INTO arxos_prod.doors VALUES (5000);")
    writer = database.session("BEGIN; INSERT INTO arxos_prod.doors VALUES (2000)")
    assert "lock timeout" in failed(database.migrate(lock_timeout=0.5, lock_tries=1))
    assert database.sql(good_index) == "f"
    writer.communicate("COMMIT;\n")
    assert good(database.migrate()) == ["0002_m.sql"]
    assert database.sql(good_index) == "t"
    assert database.sql("SELECT count(*) FROM arxos_prod.doors WHERE id = 5000") == "1"


def test_a_session_that_is_ended_on_the_way_comes_back(database: Migrated) -> None:
    database.files(m1=ADD, m2="SELECT pg_sleep(3)", m3="INSERT INTO arxos_prod.doors VALUES (3000)")
    started = database.start(database.migration())
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3)%' AND pid <> pg_backend_pid()"
    killed = 0
    while started.poll() is None and not killed:
        killed = int(database.sql(end))
    answer = database.answer(started)
    assert killed == 1
    assert good(answer) == ["0001_m.sql", "0002_m.sql", "0003_m.sql"]
    assert [ran["retries"] for ran in answer["applied"]] == [0, 1, 0]


def test_two_runs_at_once_do_it_once(database: Migrated) -> None:
    database.files(m1=ADD, m2="SELECT pg_sleep(1)", m3="INSERT INTO arxos_prod.doors VALUES (3000)")
    both = [database.start(database.migration()) for _ in range(2)]
    ran = [good(database.answer(started)) for started in both]
    assert sorted(ran, key=len) == [[], ["0001_m.sql", "0002_m.sql", "0003_m.sql"]]


def test_what_the_owner_does_not_own_stays_as_it_is(database: Migrated) -> None:
    """Migrations run as a role that can do no more than own: here one that owns nothing."""
    database.roles("arxos_migration_guest")
    database.sql(
        f"GRANT CREATE ON DATABASE {database.name} TO arxos_migration_guest; GRANT USAGE ON SCHEMA arxos_prod TO arxos_migration_guest"
    )
    database.files(m1=ADD)
    as_guest = {"connect_params": {"options": "-c role=arxos_migration_guest"}}
    assert "must be owner of table doors" in failed(database.migrate(**as_guest))
    database.sql("DROP SCHEMA IF EXISTS arxos_migrations CASCADE; REVOKE ALL ON SCHEMA arxos_prod FROM arxos_migration_guest")
    database.sql(f"REVOKE ALL ON DATABASE {database.name} FROM arxos_migration_guest")
