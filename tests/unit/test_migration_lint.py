# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The linter of migrations with the platform's rules: what blocks or breaks others is refused, what the platform sees to itself is not asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]
SQUAWK = Path(sys.executable).parent / "squawk"
MIGRATIONS = sorted((ROOT / "tests/reference_app/migrations").glob("*/*.sql"))


def lint(sql: str, *arguments: str, rules: str = "squawk.toml") -> subprocess.CompletedProcess[str]:
    words = [
        str(SQUAWK),
        "--config",
        str(ROOT / "roles/arxos_api/files" / rules),
        "--reporter",
        "gcc",
        "--pg-version",
        "15",
        *arguments,
    ]
    return subprocess.run(words, input=sql, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.name)
def test_migrations_of_the_reference_application_pass(path: Path) -> None:
    sql = path.read_text()
    answer = lint(sql, *([] if "no-transaction" in sql else ["--assume-in-transaction"]))
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("ALTER TABLE doors ADD COLUMN colour text NOT NULL", "adding-required-field"),
        ("CREATE INDEX i ON doors (colour)", "require-concurrent-index-creation"),
        ("CREATE INDEX CONCURRENTLY i ON doors (colour)", "prefer-robust-stmts"),
        ("ALTER TABLE doors DROP COLUMN colour", "ban-drop-column"),
        ("ALTER TABLE doors RENAME COLUMN a TO b", "renaming-column"),
        ("ALTER TABLE doors ALTER COLUMN a TYPE bigint", "changing-column-type"),
        ("DROP TABLE doors", "ban-drop-table"),
        ("SELEC 1", "syntax-error"),
    ],
)
def test_what_blocks_or_breaks_others_is_refused(statement: str, rule: str) -> None:
    answer = lint(statement + ";\n", "--assume-in-transaction")
    assert answer.returncode != 0 and rule in answer.stdout, answer.stdout


def test_a_file_that_knows_better_says_so() -> None:
    assert (
        lint("-- squawk-ignore ban-drop-column\nALTER TABLE doors DROP COLUMN IF EXISTS colour;\n", "--assume-in-transaction").returncode
        == 0
    )


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE doors DROP COLUMN IF EXISTS colour",
        "DROP TABLE IF EXISTS doors",
        "ALTER TABLE doors DROP CONSTRAINT IF EXISTS c",
        "ALTER TABLE doors ALTER COLUMN colour DROP NOT NULL",
    ],
)
def test_what_says_that_it_contracts_may_take_away(statement: str) -> None:
    for rules, code in (("squawk.toml", 1), ("squawk-contract.toml", 0)):
        answer = lint(statement + ";\n", "--assume-in-transaction", rules=rules)
        assert answer.returncode == code, answer.stdout
    assert lint("ALTER TABLE doors RENAME COLUMN a TO b;\n", "--assume-in-transaction", rules="squawk-contract.toml").returncode == 1


def test_but_for_that_its_rules_are_the_same() -> None:
    expands, contracts = (
        tomllib.loads((ROOT / "roles/arxos_api/files" / name).read_text())["excluded_rules"]
        for name in ("squawk.toml", "squawk-contract.toml")
    )
    assert contracts[: len(expands)] == expands and all(rule.startswith("ban-drop-") for rule in contracts[len(expands) :])
