# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module as Ansible runs it, on a session made here: one transaction, nothing in check mode, no secret in any answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils import _roles
from ansible_collections.arxos.platform.plugins.module_utils._postgresql import Session
from ansible_collections.arxos.platform.plugins.modules import postgresql_role

SECRET = "s3cret-s3cret"
ROLE = {"name": "reports", "password": SECRET, "settings": {"default_transaction_read_only": True}}


class FakeError(Exception):
    pass


class Cursor:
    def __init__(self, rows: list[dict[str, Any]], trouble: str = "") -> None:
        self.rows, self.trouble, self.done = rows, trouble, []  # type: ignore[var-annotated]

    def execute(self, statement: str, values: Any = None) -> None:
        if self.trouble and self.trouble in statement:
            raise FakeError(f"it is refused\nLINE 1: {statement}")
        self.done.append(statement)

    def fetchall(self) -> list[dict[str, Any]]:
        return self.rows


def there(password: str = SECRET, **given: Any) -> dict[str, Any]:
    row = {"name": "reports", "attributes": ["LOGIN", "INHERIT"], "member_of": [], "settings": ["default_transaction_read_only=on"]}
    return {**row, "password": _roles.verifier(password, b"salt"), **given}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def ran(cursor: Cursor, **given: Any) -> dict[str, Any]:
        @contextmanager
        def opened(module: Any) -> Iterator[Session]:
            yield Session(None, cursor, FakeError)

        monkeypatch.setattr(postgresql_role, "session", opened)
        with patch_module_args({"roles": [ROLE], **given}), pytest.raises(SystemExit):
            postgresql_role.main()
        told = capsys.readouterr().out
        assert SECRET not in told and "SCRAM" not in told
        answer: dict[str, Any] = json.loads(told)
        assert "exception" not in answer
        return answer

    return ran


def test_a_new_role_in_one_transaction_of_which_the_log_hears_nothing(run: Any) -> None:
    cursor = Cursor([])
    answer = run(cursor)
    assert (answer["changed"], answer["created"], answer["altered"]) == (True, ["reports"], [])
    look, quiet, begin, *changes, commit = cursor.done
    assert (quiet, begin, commit) == (_roles.QUIET, "BEGIN", "COMMIT") and "pg_authid" in look
    assert len(changes) == 3 and not any(";" in change for change in changes), "a script of many would be audited with the verifier in it"
    assert answer["diff"]["after"]["reports"]["password"] == "another"


def test_nothing_in_check_mode(run: Any) -> None:
    cursor = Cursor([there("other")])
    answer = run(cursor, _ansible_check_mode=True)
    assert (answer["changed"], answer["altered"]) == (True, ["reports"])
    assert len(cursor.done) == 1


def test_a_role_that_is_right_is_left_alone(run: Any) -> None:
    cursor = Cursor([there()])
    answer = run(cursor)
    assert (answer["changed"], len(cursor.done), answer["diff"]) == (False, 1, {"before": {}, "after": {}})


def test_a_refusal_does_not_quote_the_statement(run: Any) -> None:
    answer = run(Cursor([], trouble="PASSWORD"))
    assert answer["failed"] and answer["msg"] == "The database refused: it is refused"


def test_wrong_parameters(run: Any) -> None:
    answer = run(Cursor([]), roles=[{"name": "pg_x"}, {"name": "pg_x", "settings": {"a b": 1}}])
    for fault in ("role pg_x: a name", "role pg_x is given twice", "a b is no name of a setting"):
        assert fault in answer["msg"]
