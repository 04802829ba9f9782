# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""postgresql_restore_point, postgresql_guard, postgresql_rollback_info: what they refuse before they touch anything, and what
is only in them. What they do to PostgreSQL and Patroni is in tests/faults/test_rollback_database.py."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils._guard import GuardError
from ansible_collections.arxos.platform.plugins.modules import (
    postgresql_guard,
    postgresql_restore_point,
    postgresql_rollback_info,
)


@pytest.mark.parametrize(
    ("module", "given", "faults"),
    [
        (postgresql_restore_point, {}, ["missing required arguments: name"]),
        (postgresql_restore_point, {"name": "a b"}, ["name is 'a b'"]),
        (postgresql_restore_point, {"name": "x" * 41, "label": "y" * 64}, ["wanted at most 40", "longer than PostgreSQL's 63 bytes"]),
        (postgresql_guard, {}, ["missing required arguments: data_directory, state"]),
        (postgresql_guard, {"state": "armed", "label": "x", "data_directory": "/d"}, ["bin_directory"]),
        (postgresql_guard, {"state": "held", "data_directory": "/d"}, ["label: say what is held"]),
        (postgresql_guard, {"state": "held", "label": "x; rm", "data_directory": "/d"}, ["label is 'x; rm'"]),
        (
            postgresql_guard,
            {"state": "opened", "label": "x", "ca_cert": "/c", "restapi_url": "http://y", "data_directory": "/d"},
            ["restapi_url: wanted an https"],
        ),
        (postgresql_rollback_info, {"colour": "red"}, ["nsupported", "colour"]),
    ],
)
def test_wrong_parameters(capsys: pytest.CaptureFixture[str], module: Any, given: dict[str, Any], faults: list[str]) -> None:
    with patch_module_args(given), pytest.raises(SystemExit):
        module.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] and "exception" not in answer
    for fault in faults:
        assert fault in answer["msg"]


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("{")

    class Host:
        def read(self, path: str) -> str:
            return Path(path).read_text()

    with pytest.raises(GuardError, match="is damaged .*: move it away"):
        postgresql_rollback_info._document(Host(), str(tmp_path / "journal"))


class Session:
    """A connection to a database and its cursor, which note what changes something. C(noted) are migrations by database that are noted since."""

    def __init__(self, said: list[str], database: str, recorded: bool, noted: dict[str, int]) -> None:
        self.said, self.database, self.recorded, self.noted, self.last = said, database, recorded, noted, ""

    def cursor(self, **_arguments: Any) -> Session:
        return self

    def execute(self, query: str, _parameters: Any = None) -> None:
        self.last = " ".join(query.split())
        if self.last.startswith(("DELETE", "INSERT", "CREATE")):
            self.said.append(self.last.split(" (")[0])
            self.recorded = self.last.startswith("INSERT")

    def fetchone(self) -> dict[str, Any] | None:
        if "FROM arxos_platform.restore_points" in self.last:
            return {"name": "1.2.0", "label": "1.2.0@monday", "created_at": "2026-11-23T08:19:49.123456Z"} if self.recorded else None
        answer = {"replica": False, "prepared": True, "migrated": self.database in self.noted, "rows": {}, "now": "2026-11-27T08:00:00Z"}
        return {**answer, "noted": self.noted.get(self.database)}

    def fetchall(self) -> list[dict[str, Any]]:
        return [{"datname": "arxos_production"}, {"datname": "other"}]

    def commit(self) -> None:
        self.said.append("COMMIT")

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("recorded", "given", "noted", "said"),
    [
        (False, {"renew": True}, {}, ["INSERT INTO arxos_platform.restore_points", "COMMIT"]),
        (True, {}, {}, ["COMMIT"]),
        # Another attempt, whose place does not know of the first.
        (
            True,
            {"renew": True},
            {"arxos_production": 0},
            [
                "DELETE FROM arxos_platform.restore_points WHERE name = %(name)s",
                "COMMIT",
                "INSERT INTO arxos_platform.restore_points",
                "COMMIT",
            ],
        ),
        # The first has left some of its migrations.
        (True, {"renew": True}, {"arxos_production": 0, "other": 1}, ["COMMIT"]),
        (True, {"renew": True, "_ansible_check_mode": True}, {}, ["COMMIT"]),
    ],
)
def test_another_attempt_at_a_release_has_a_place_of_its_own(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    recorded: bool,
    given: dict[str, Any],
    noted: dict[str, int],
    said: list[str],
) -> None:
    module = postgresql_restore_point
    lines: list[str] = []
    monkeypatch.setattr(module.postgres, "ensure_required_libs", lambda _module: None)
    monkeypatch.setattr(module.postgres, "pg_cursor_args", {}, raising=False)
    monkeypatch.setattr(module.postgres, "psycopg", SimpleNamespace(Error=OSError), raising=False)
    monkeypatch.setattr(module, "_connect", lambda _module, database: Session(lines, database, recorded, noted))
    with patch_module_args({"name": "1.2.0", **given}), pytest.raises(SystemExit):
        module.main()
    answer = json.loads(capsys.readouterr().out)
    assert lines == said and answer["changed"] is (len(said) > 1 or "_ansible_check_mode" in given)
