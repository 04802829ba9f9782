# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module as Ansible runs it: what it reads, what it refuses before it asks the database, and what it answers. What it does is in
test__migration_database.py and tests/integration/test_postgresql_migration.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils._migrations import Applied, MigrationError, sha256
from ansible_collections.arxos.platform.plugins.module_utils._postgresql import Unreachable
from ansible_collections.arxos.platform.plugins.modules import postgresql_migration

SECRET = "s3cret-s3cret"
GIVEN = {"login_db": "d", "login_user": "o", "login_password": SECRET, "release": "1.1.0"}


class FakeDatabase:
    history: dict[str, Applied] = {}
    trouble = ""

    def __init__(self, connect: Any, lock_timeout: float, lock_tries: int) -> None:
        assert (lock_timeout, lock_tries) == (3, 8)
        connect()
        self.version = 15

    def applied(self) -> dict[str, Applied]:
        return self.history

    def run(self, migrations: Any, release: str, done: Any) -> None:
        done.applied.append(Ran(migrations[0].name))
        if self.trouble:
            raise MigrationError(self.trouble)

    def close(self) -> None:
        pass


class Ran:
    def __init__(self, name: str) -> None:
        self.name, self.seconds, self.retries = name, 0.1, 2


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def ran(files: dict[str, str] | None = None, connect: Any = lambda module: None, **given: Any) -> dict[str, Any]:
        folder = tmp_path / "migrations"
        if files is not None:
            folder.mkdir(exist_ok=True)
            for name, text in files.items():
                (folder / name).write_text(text)
        monkeypatch.setattr(postgresql_migration, "Database", FakeDatabase)
        monkeypatch.setattr(postgresql_migration, "connect", connect)
        with patch_module_args({**GIVEN, "directory": str(folder), **given}), pytest.raises(SystemExit):
            postgresql_migration.main()
        told = capsys.readouterr().out
        assert SECRET not in told
        answer: dict[str, Any] = json.loads(told)
        assert "exception" not in answer
        return answer

    monkeypatch.setattr(FakeDatabase, "history", {})
    monkeypatch.setattr(FakeDatabase, "trouble", "")
    return ran


ADD = {"0001_add.sql": "ALTER TABLE doors ADD COLUMN colour text"}


def test_what_is_due_is_run_and_told(run: Any) -> None:
    answer = run(ADD)
    assert answer["changed"] and answer["applied"] == [{"name": "0001_add.sql", "seconds": 0.1, "retries": 2}]
    assert answer["due"] == [{"name": "0001_add.sql", "sql": ADD["0001_add.sql"] + ";\n", "transactional": True, "contract": ""}]
    assert (answer["postgresql"], answer["diff"]["after"]) == (15, "0001_add.sql\n")


def test_check_mode_tells_what_would_be(run: Any) -> None:
    answer = run(ADD, _ansible_check_mode=True)
    assert (answer["changed"], answer["applied"], len(answer["due"])) == (True, [], 1)


def test_nothing_is_due(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDatabase, "history", {"0001_add.sql": Applied(sha256(ADD["0001_add.sql"]), 1, True)})
    assert (run(ADD)["changed"], run(ADD)["due"]) == (False, [])


def test_a_release_without_migrations_asks_no_database(run: Any) -> None:
    def never(module: Any) -> None:
        raise AssertionError("asked")

    assert run(connect=never) == {**run(connect=never), "changed": False, "applied": [], "due": []}


def test_what_was_run_before_a_failure_is_told_with_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDatabase, "trouble", "0002: no")
    answer = run(ADD)
    assert answer["failed"] and answer["msg"] == "0002: no" and answer["changed"] and len(answer["applied"]) == 1


def test_a_folder_that_holds_something_else_is_refused_before_the_database_is_asked(run: Any) -> None:
    def never(module: Any) -> None:
        raise AssertionError("asked")

    answer = run({"0001_add.sql": "BEGIN", "notes.txt": "x"}, connect=never)
    assert "0001_add.sql: 'BEGIN'" in answer["msg"] and "notes.txt: a migration is named like" in answer["msg"]
    assert "python is not given" in run({"alembic.ini": ""}, connect=never)["msg"]
    assert "no user nobody-at-all" in run({"alembic.ini": ""}, connect=never, python="/usr/bin/python3", python_user="nobody-at-all")["msg"]


def test_a_database_that_is_not_there(run: Any) -> None:
    def refuse(module: Any) -> None:
        raise Unreachable("connection refused")

    assert run(ADD, connect=refuse)["msg"] == "the database cannot be reached: connection refused"


def test_wrong_parameters(run: Any) -> None:
    answer = run(ADD, lock_timeout=0, lock_tries=0)
    assert "lock_timeout is 0" in answer["msg"] and "lock_tries is 0" in answer["msg"]


def test_what_takes_away_waits_for_those_that_need_it(run: Any) -> None:
    drop = {"0001_drop.sql": "-- arxos: contract 1.0.5\nALTER TABLE doors DROP COLUMN colour;\n"}
    answer = run(drop, needed_releases=["1.0.0", "1.0.5"])
    assert answer["failed"] and "1.0.0 runs now" in answer["msg"] and answer["applied"] == []
    answer = run(drop, needed_releases=["1.0.5"])
    assert answer["changed"] and answer["due"][0]["contract"] == "1.0.5"
