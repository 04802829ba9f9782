# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module says to PostgreSQL, and in which order: the locks are held until the other session has the same view, and not while it counts."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.modules import postgresql_fingerprint as module


class Session:
    """A connection and its cursor, which note what they are told in one list."""

    def __init__(self, name: str, said: list[str]) -> None:
        self.name, self.said = name, said
        self.last = ""

    def cursor(self, **_arguments: Any) -> Session:
        return self

    def execute(self, query: str, _parameters: Any = None) -> None:
        self.last = " ".join(query.split())
        self.said.append(f"{self.name}: {self.last}")

    def fetchone(self) -> dict[str, Any]:
        return {"snapshot": "0000-1", "lsn": "0/5000148"} if "count(*)" not in self.last else {"rows": 2, "checksum": "-7"}

    def fetchall(self) -> list[dict[str, Any]]:
        return [{"schema": "arxos_prod", "name": "Odd name", "quoted": 'arxos_prod."Odd name"'}]

    def rollback(self) -> None:
        self.said.append(f"{self.name}: ROLLBACK")


@pytest.fixture(autouse=True)
def _cursors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.postgres, "pg_cursor_args", {}, raising=False)


def said(point: str | None) -> tuple[list[str], dict[str, Any]]:
    lines: list[str] = []
    return lines, module.fingerprint(Session("hold", lines), Session("read", lines), point, 5)


def test_writers_are_held_until_the_view_is_taken_over_and_no_longer() -> None:
    lines, answer = said("drill")
    order = [
        next(number for number, line in enumerate(lines) if line.startswith(start))
        for start in (
            "hold: LOCK TABLE",
            "hold: SELECT pg_export_snapshot",
            "hold: SELECT pg_create_restore_point",
            "read: SET TRANSACTION SNAPSHOT",
        )
    ]
    assert order == sorted(order)
    assert lines.index("hold: ROLLBACK") > order[-1]
    assert lines.index("hold: ROLLBACK") < next(number for number, line in enumerate(lines) if "count(*)" in line)
    assert answer["tables"] == {"arxos_prod.Odd name": {"rows": 2, "checksum": "-7"}}
    assert (answer["rows"], answer["restore_point"], answer["lsn"]) == (2, "drill", "0/5000148")


def test_without_a_point_nobody_is_held() -> None:
    lines, answer = said(None)
    assert not [line for line in lines if "LOCK" in line or "restore_point" in line]
    assert "lsn" not in answer


@pytest.mark.parametrize(
    ("point", "timeout", "found"),
    [("x" * 63, 1, []), ("x" * 64, 1, ["restore_point"]), ("", 5, ["restore_point"]), (None, 0, ["lock_timeout"])],
)
def test_arguments_are_judged(point: str | None, timeout: int, found: list[str]) -> None:
    assert [fault.split()[0] for fault in module.faults(point, timeout)] == found
