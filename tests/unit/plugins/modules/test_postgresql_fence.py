# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is not archived is pushed before anything is thrown away, and only a clean stop is a fence. The real thing is in tests/faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils._guard import GuardError
from ansible_collections.arxos.platform.plugins.modules import postgresql_fence


def test_wrong_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    with patch_module_args({}), pytest.raises(SystemExit):
        postgresql_fence.main()
    answer = json.loads(capsys.readouterr().out)
    for fault in ("bin_directory", "ca_cert", "data_directory", "restapi_url"):
        assert fault in answer["msg"]


class FakeModule:
    """run_command that answers from a table of programs."""

    def __init__(self, answers: dict[str, tuple[int, str, str]]) -> None:
        self.answers, self.commands = answers, []

    def run_command(self, command: list[str], **_more: Any) -> tuple[int, str, str]:
        self.commands.append(command)
        return next(answer for word, answer in self.answers.items() if any(word in part for part in command))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    status = tmp_path / "pg_wal/archive_status"
    status.mkdir(parents=True)
    for name in (
        "000000010000000000000002.done",
        "000000010000000000000004.ready",
        "000000010000000000000003.ready",
        "00000002.history.ready",
    ):
        (status / name).touch()
    return tmp_path


def test_what_is_not_archived_yet_is_pushed_in_order(data: Path) -> None:
    module = FakeModule({"archive-push": (0, "", "")})
    given = {"data_directory": str(data), "archive_command": ["pgbackrest", "archive-push"]}
    pushed = postgresql_fence._archive(module, given)
    assert pushed == ["000000010000000000000003", "000000010000000000000004", "00000002.history"]
    assert [command[-1] for command in module.commands] == [str(data / "pg_wal" / name) for name in pushed]
    assert all(command[:4] == ["runuser", "-u", "postgres", "--"] for command in module.commands)
    assert postgresql_fence._archive(module, given) == []


def test_an_archive_that_refuses_stops_the_rollback(data: Path) -> None:
    module = FakeModule({"archive-push": (1, "", "no route")})
    with pytest.raises(GuardError, match=r"000000010000000000000003 cannot be archived.*nothing was thrown away: no route"):
        postgresql_fence._archive(module, {"data_directory": str(data), "archive_command": ["pgbackrest", "archive-push"]})
    assert len(list((data / "pg_wal/archive_status").glob("*.ready"))) == 3


CONTROL = (
    "Database cluster state:               {}\nLatest checkpoint location:           0/5000028\nLatest checkpoint's TimeLineID:       3\n"
    "Latest checkpoint's NextXID:          2:871\n"
)


@pytest.mark.parametrize("state", ["shut down", "shut down in recovery"])
def test_where_the_wal_ended(state: str) -> None:
    found = postgresql_fence._control_data(
        FakeModule({"pg_controldata": (0, CONTROL.format(state), "")}), {"bin_directory": "/b", "data_directory": "/d"}
    )
    assert found == {"lsn": "0/5000028", "timeline": 3, "next_xid": (2 << 32) + 871}


@pytest.mark.parametrize("state", ["in production", "in archive recovery"])
def test_a_crash_is_no_fence(state: str) -> None:
    module = FakeModule({"pg_controldata": (0, CONTROL.format(state), "")})
    with pytest.raises(GuardError, match=f"not stopped cleanly .{state}"):
        postgresql_fence._control_data(module, {"bin_directory": "/b", "data_directory": "/d"})


def test_without_a_pause_nothing_is_stopped() -> None:
    class Host:
        def patroni(self, *_words: Any) -> tuple[int, Any]:
            return 200, {"state": "running"}

    module = FakeModule({})
    with pytest.raises(GuardError, match="not paused"):
        postgresql_fence._fence(module, Host(), {}, True)
    assert module.commands == []
