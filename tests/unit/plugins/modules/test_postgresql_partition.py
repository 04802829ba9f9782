# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module refuses before it connects. What it does is in tests/integration/test_postgresql_partition.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.modules import postgresql_partition


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, ["missing required arguments: login_db, tables"]),
        ({"tables": []}, ["tables: give at least one"]),
        ({"tables": "nonsense"}, ["tables"]),
        ({"tables": [7]}, ["tables"]),
        ({"tables": [{"table": "x", "interval": "hour"}, {"interval": "day"}]}, ["value of interval must be one of", "arguments: table"]),
        ({"tables": [{"table": "x", "interval": "day", "future": "many", "past": {}}]}, ["'future'", "'past'"]),
        ({"tables": [{"table": "x", "interval": "day", "colour": "red"}]}, ["unsupported: tables.colour"]),
        ({"tables": [{"table": "x" * 60, "interval": "day"}]}, ["longer than PostgreSQL's 63 bytes"]),
        (
            {
                "tables": [
                    {"table": "x", "interval": "month", "past": 2, "retention": 1},
                    {"table": "x", "interval": "month", "future": -1, "retention_action": "drop"},
                ],
                "now": "tomorrow",
                "lock_timeout": "nan",
                "lock_tries": 0,
            },
            [
                "retention 1 would detach",
                "given twice",
                "future is -1",
                "drop needs retention",
                "now: 'tomorrow'",
                "timeout is nan",
                "tries is 0",
            ],
        ),
    ],
)
def test_wrong_parameters(capsys: pytest.CaptureFixture[str], given: dict[str, Any], faults: list[str]) -> None:
    with patch_module_args({"login_db": "x", **given} if given else {}), pytest.raises(SystemExit):
        postgresql_partition.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] and "exception" not in answer
    for fault in faults:
        assert fault in answer["msg"]
