# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd_service runs for units that want something done, and for no other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.action.units import ActionModule

GOOD = "ActiveState=active\nUnitFileState=enabled\n"
DOWN = GOOD.replace("=active", "=inactive")
STALE = "NeedDaemonReload=yes\n"


def run(
    monkeypatch: pytest.MonkeyPatch, answer: str, results: list[dict[str, Any]] | None = None, **arguments: Any
) -> tuple[dict[str, Any], list[Any]]:
    """The action's result, and what systemd_service was asked: (unit, whether to read files again)."""
    asked: list[Any] = []
    queue = list(results or [])

    def service(_action: ActionModule, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        assert module_name == "ansible.builtin.systemd_service"
        assert (module_args["enabled"], module_args["state"]) == (True, "started")
        asked.append((module_args["name"], module_args["daemon_reload"]))
        return queue.pop(0) if queue else {"changed": True}

    monkeypatch.setattr(ActionModule, "_low_level_execute_command", lambda _action, _command: {"stdout": answer})
    monkeypatch.setattr(ActionModule, "_execute_module", service)
    task = SimpleNamespace(args=arguments, check_mode=False, async_val=0, action="arxos.platform.units", diff=False)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    action = ActionModule(task=task, connection=connection, play_context=None, loader=None, templar=None, shared_loader_obj=None)
    return action.run(task_vars={}), asked


NAMES = ["a.service", "b.timer"]


@pytest.mark.parametrize(
    ("answer", "arguments", "asked"),
    [
        (f"{GOOD}\n{GOOD}", {}, []),
        (f"{GOOD}\n{DOWN}", {}, [("b.timer", False)]),
        (f"{DOWN}\n{DOWN}", {"daemon_reload": True}, [("a.service", True), ("b.timer", False)]),
        (f"{STALE}{GOOD}\n{GOOD}", {}, [("a.service", True)]),
        (f"{GOOD}\n{GOOD}", {"daemon_reload": True}, [("a.service", True)]),
    ],
)
def test_what_is_asked(monkeypatch: pytest.MonkeyPatch, answer: str, arguments: dict[str, Any], asked: list[Any]) -> None:
    assert run(monkeypatch, answer, name=NAMES, **arguments)[1] == asked


def test_reading_files_again_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _asked = run(monkeypatch, f"{STALE}{GOOD}\n{GOOD}", [{"changed": False}], name=NAMES)
    assert (result["changed"], result["started"]) == (False, [])


def test_what_was_started_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _asked = run(monkeypatch, f"{GOOD}\n{DOWN}", name=NAMES)
    assert (result["changed"], result["started"]) == (True, ["b.timer"])


def test_it_stops_at_the_first_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    result, asked = run(monkeypatch, "", [{"failed": True, "msg": "Could not find the requested service a.service: host"}], name=NAMES)
    assert (result["failed"], len(asked), result["started"]) == (True, 1, [])
