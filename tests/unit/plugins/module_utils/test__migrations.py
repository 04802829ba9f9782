# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a file of migrations holds, what is due of a release, and what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _migrations as subject
from ansible_collections.arxos.platform.plugins.module_utils._migrations import Applied, Due, Migration, MigrationError, Step

ADD = "-- why\nALTER TABLE doors ADD COLUMN colour text;\nUPDATE doors SET colour = 'a;b';\n"
INDEX = "-- arxos: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON doors (colour);\nANALYZE doors;\n"


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []),
        (" ;; -- nothing; at all\n /* ; /* ; */ ; */ ;", []),
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';', \"a;b\", E'it\\'s;', 'it''s;'; SELECT 2;", ["SELECT ';', \"a;b\", E'it\\'s;', 'it''s;'", "SELECT 2"]),
        ("SELECT 1 -- a; b\n; SELECT /* c; /* d; */ e; */ 2;", ["SELECT 1 -- a; b", "SELECT /* c; /* d; */ e; */ 2"]),
        ("DO $$ BEGIN; $$; DO $x$ $$;$$ ; $x$; SELECT 1", ["DO $$ BEGIN; $$", "DO $x$ $$;$$ ; $x$", "SELECT 1"]),
        ("SELECT $1; SELECT a$b$; SELECT 2", ["SELECT $1", "SELECT a$b$", "SELECT 2"]),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3",
            ["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", "SELECT 3"],
        ),
    ],
)
def test_statements_of_a_script(script: str, statements: list[str]) -> None:
    assert subject.split(script) == statements


def test_a_file_is_one_step_and_one_without_transaction_has_a_step_a_statement() -> None:
    add, index = subject.parse_files({"0010_index.sql": INDEX, "0009_add.sql": ADD})
    assert (add.name, add.checksum, len(add.steps), add.steps[0].transactional) == ("0009_add.sql", subject.sha256(ADD), 1, True)
    assert [(step.transactional, len(step.statements)) for step in index.steps] == [(False, 1), (False, 1)]
    assert add.sql == ADD.strip() + "\n"


def test_every_fault_of_a_folder_at_once() -> None:
    files = {
        "1_short.sql": "SELECT 1",
        "README.md": "",
        "0001_a.sql": "BEGIN; SELECT 1; /* now */ COMMIT;",
        "0001_b.sql": "-- arxos: in-a-hurry\nSELECT 1",
        "0002_c.sql": "-- nothing",
        "0003_d.sql": "\\connect other\n; COPY doors FROM STDIN",
        "0005_e.sql": "create unique index concurrently i on doors (a); REINDEX (VERBOSE) INDEX CONCURRENTLY i",
        "0004_fine.sql": "SAVEPOINT a; ROLLBACK TO SAVEPOINT a; SELECT 'COMMIT'",
    }
    with pytest.raises(MigrationError) as caught:
        subject.parse_files(files)
    assert str(caught.value).splitlines() == [
        "1_short.sql: a migration is named like 0001_add_colour.sql",
        "README.md: a migration is named like 0001_add_colour.sql",
        "0001_a.sql: 'BEGIN': transactions are made here; write -- arxos: no-transaction where there shall be none",
        "0001_a.sql: 'COMMIT': transactions are made here; write -- arxos: no-transaction where there shall be none",
        "0001_b.sql: 0001_a.sql has the same number",
        "0001_b.sql: arxos: in-a-hurry is unknown, there are no-transaction and contract",
        "0002_c.sql: it has no statement",
        "0003_d.sql: '\\\\connect other' is psql's, not SQL",
        "0003_d.sql: 'COPY doors FROM STDIN' is psql's, not SQL",
        "0005_e.sql: 'create unique index concurrently i on doors (a)' cannot be run in a transaction; write -- arxos: no-transaction",
        "0005_e.sql: 'REINDEX (VERBOSE) INDEX CONCURRENTLY i' cannot be run in a transaction; write -- arxos: no-transaction",
    ]


def test_a_revision_of_alembic_has_the_transactions_that_it_renders() -> None:
    sql = "BEGIN;\n\nCREATE TABLE x ();\n\nINSERT INTO alembic_version VALUES ('a');\n\nCOMMIT;\n\n"
    made = subject.parse_revision("alembic:a", "source", sql)
    assert made == Migration(
        "alembic:a", subject.sha256("source"), (Step(("CREATE TABLE x ()", "INSERT INTO alembic_version VALUES ('a')")),)
    )
    sql = "BEGIN; COMMIT; CREATE INDEX CONCURRENTLY i ON x (y); BEGIN; UPDATE alembic_version SET version_num='b'; COMMIT;"
    assert [step.transactional for step in subject.parse_revision("alembic:b", "", sql).steps] == [False, True]
    for wrong in ("BEGIN; BEGIN;", "COMMIT;", "BEGIN; SELECT 1;", "BEGIN; ROLLBACK;"):
        with pytest.raises(MigrationError):
            subject.parse_revision("alembic:c", "", wrong)


def migration(name: str, *statements: str) -> Migration:
    return Migration(name, subject.sha256(name), tuple(Step((statement,), False) for statement in statements))


def done(one: Migration, steps: int | None = None) -> Applied:
    count = len(one.steps) if steps is None else steps
    return Applied(one.checksum_of(count), count, count == len(one.steps))


A, B, C = migration("a", "1"), migration("b", "1", "2"), migration("c", "1")


def test_what_is_due() -> None:
    assert subject.due([A, B, C], {}) == [Due(A), Due(B), Due(C)]
    assert subject.due([A, B, C], {"a": done(A), "b": done(B)}) == [Due(C)]
    assert subject.due([A, B, C], {"a": done(A), "b": done(B, 1)}) == [Due(B, 1), Due(C)]
    assert subject.due([A], {"a": done(A), "z": done(C)}) == [], "a release that goes back does not know the newer ones"


def test_what_follows_the_steps_that_are_done_may_change_and_those_may_not() -> None:
    mended = Migration("b", "other", (B.steps[0], Step(("mended",), False)))
    assert subject.due([mended], {"b": done(B, 1)}) == [Due(mended, 1)]
    with pytest.raises(MigrationError, match="b stopped after 1 steps, and those were changed since"):
        subject.due([migration("b", "changed", "2")], {"b": done(B, 1)})
    with pytest.raises(MigrationError, match="b stopped after 1 steps"):
        subject.due([migration("b", "1")], {"b": done(B, 1)})


def test_history_is_not_rewritten() -> None:
    with pytest.raises(MigrationError) as caught:
        subject.due([A, B, Migration("c", "other", C.steps)], {"a": done(A), "c": done(C)})
    assert str(caught.value).splitlines() == [
        "c was changed after it had been applied: put it back as it was, and write another",
        "b comes before c, which has been applied: give it a later number",
    ]


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE INDEX CONCURRENTLY i ON doors (x)", (None, "i")),
        ('create unique index concurrently if not exists "I i" on only s.doors (x)', ("s", '"I i"')),
        ('CREATE INDEX CONCURRENTLY i ON "S"."D" (x)', ('"S"', "i")),
        ("CREATE INDEX i ON doors (x)", None),
        ("DROP INDEX CONCURRENTLY i", None),
    ],
)
def test_the_index_that_a_statement_builds(statement: str, name: tuple[str | None, str] | None) -> None:
    found = subject.NEW_INDEX.match(statement)
    assert (found and (found.group(2), found.group(1))) == name


DROP = "-- arxos: contract 1.2.0\nALTER TABLE doors DROP COLUMN colour;\n"


def test_what_contracts_says_since_when_nobody_needs_it() -> None:
    sql, expands = subject.parse_files({"0007_drop.sql": DROP, "0008_add.sql": ADD})
    assert (sql.contract, expands.contract) == ("1.2.0", "")
    revision = subject.parse_revision("alembic:a", "# arxos: contract 1.2.0\ndef upgrade(): ...\n", "BEGIN; SELECT 1; COMMIT;")
    assert revision.contract == "1.2.0"
    for line, fault in (("contract", "names no release"), ("contract soon", "'soon' is no version"), ("contracts 1.2.0", "is unknown")):
        with pytest.raises(MigrationError, match=rf"0001_a\.sql: .*{fault}"):
            subject.parse_files({"0001_a.sql": f"-- arxos: {line}\nSELECT 1;"})
    with pytest.raises(MigrationError, match="alembic:a: .* names no release"):
        subject.parse_revision("alembic:a", "# arxos: contract\n", "BEGIN; SELECT 1; COMMIT;")


@pytest.mark.parametrize(
    ("release", "needed", "faults"),
    [
        ("1.3.0", ["1.2.0", "1.2.1", "1.3.0", ""], []),
        ("1.3.0", [], []),  # a new platform
        ("1.10.0", ["1.9.0"], []),
        ("1.2.0", ["1.2.0"], ["and 1.2.0 brings it: bring it in a release after 1.2.0"]),
        ("1.3.0", ["1.2.0", "1.1.9"], ["and 1.1.9 runs now or would be gone back to: bring it in a later release, once that is over"]),
        ("1.3.0", ["1.10.0", "1.2.0rc1", "1.0.0"], ["and 1.0.0 and 1.2.0rc1 run now or"]),
        ("1.2.0", ["1.1.0"], ["bring it in a release after 1.2.0", "and 1.1.0 runs now"]),
        ("1.3.0", ["stable"], ["'stable' is no version"]),
    ],
)
def test_what_contracts_waits_until_nobody_needs_what_it_takes_away(release: str, needed: list[str], faults: list[str]) -> None:
    wanted = subject.due(subject.parse_files({"0007_drop.sql": DROP, "0008_add.sql": ADD}), {})
    found = subject.contract_faults(wanted, release, needed)
    assert len(found) == len(faults) and all(
        fault in line and "0007_drop.sql" in line for fault, line in zip(faults, found, strict=True)
    ), found


def test_the_oldest_release_that_can_do_with_all_of_them() -> None:
    assert subject.oldest([ADD, DROP, "# arxos: contract 1.10.0\n", "-- arxos: contract 1.9.0\n"]) == "1.10.0"
    assert subject.oldest([ADD]) == ""
    with pytest.raises(MigrationError):
        subject.oldest(["-- arxos: contract later\n"])
