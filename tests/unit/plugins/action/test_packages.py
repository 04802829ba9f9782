# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""apt runs where dpkg misses something, and nowhere else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.arxos.platform.plugins.action.packages import ActionModule


class Host:
    """A host whose dpkg gives one answer; keeps what was asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
        self.commands: list[str] = []
        self.installed: list[dict[str, Any]] = []

        def query(_action: ActionModule, command: str) -> dict[str, Any]:
            self.commands.append(command)
            return {"rc": 1, "stdout": answer, "stderr": ""}

        def apt(_action: ActionModule, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
            assert module_name == "ansible.builtin.apt"
            self.installed.append(module_args)
            return {"changed": True}

        monkeypatch.setattr(ActionModule, "_low_level_execute_command", query)
        monkeypatch.setattr(ActionModule, "_execute_module", apt)

    def run(self, **arguments: Any) -> dict[str, Any]:
        task = SimpleNamespace(args=arguments, check_mode=False, async_val=0, action="arxos.platform.packages", diff=False)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
        action = ActionModule(task=task, connection=connection, play_context=None, loader=None, templar=None, shared_loader_obj=None)
        return action.run(task_vars={})


def test_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, "haproxy installed\nprocps installed\n")
    result = host.run(name=["haproxy", "procps"], policy_rc_d=101)
    assert (result["changed"], result["missing"], host.installed) == (False, [], [])
    assert host.commands == ["dpkg-query --show --showformat='${Package} ${db:Status-Status}\\n' haproxy procps 2>/dev/null"]


def test_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, "procps installed\n")
    result = host.run(name=["haproxy", "procps"], policy_rc_d=101)
    assert (result["changed"], result["missing"]) == (True, ["haproxy"])
    assert [(asked["name"], asked["policy_rc_d"], asked["install_recommends"]) for asked in host.installed] == [
        (["haproxy", "procps"], 101, False)
    ]


def test_no_policy_is_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, "")
    host.run(name="nftables")
    assert "policy_rc_d" not in host.installed[0]


def test_nothing_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, "")
    assert host.run(name=[])["changed"] is False
    assert host.commands == host.installed == []


def test_a_version_is_refused_before_the_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, "")
    with pytest.raises(AnsibleActionFail, match="ansible.builtin.apt"):
        host.run(name=["haproxy=2.6"])
    assert host.commands == []
