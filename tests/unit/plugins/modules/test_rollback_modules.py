# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""postgresql_restore_point, postgresql_guard, postgresql_rollback_info: what they refuse before they touch anything, and what
is only in them. What they do to PostgreSQL and Patroni is in tests/faults/test_rollback_database.py."""

from __future__ import annotations

import json
from pathlib import Path
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
