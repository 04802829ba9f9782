# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""preflight_facts takes a host that cannot be looked at for a finding: whatever happens, the task itself is well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.arxos.platform.plugins.action.preflight_facts import ActionModule

DF = "Filesystem 1048576-blocks Used Available Capacity Mounted on\n/dev/vda 1000 100 900 10% /\nMemTotal: 2048 kB\n"


def look(monkeypatch: pytest.MonkeyPatch, setup: Any, resources: Any) -> dict[str, Any]:
    """What the action returns when the module and the command return, or raise, what is given."""

    def answer(value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(ActionModule, "_execute_module", lambda _self, **_kwargs: answer(setup))
    monkeypatch.setattr(ActionModule, "_low_level_execute_command", lambda _self, _command: answer(resources))
    task = SimpleNamespace(args={"gather_subset": ["min"]}, check_mode=True, async_val=0, action="arxos.platform.preflight_facts")
    action = ActionModule(
        task=task,
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=None,
        loader=None,
        templar=None,
        shared_loader_obj=None,
    )
    return action.run(task_vars={})


def test_a_host_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    result = look(monkeypatch, {"ansible_facts": {"ansible_distribution": "Debian"}}, {"stdout": DF})
    assert result["reached"] is True and result["changed"] is False
    assert result["ansible_facts"] == {"ansible_distribution": "Debian", "_ansible_facts_gathered": True}
    assert (result["filesystems"], result["memory"]) == ({"/": [1000, 900]}, 2)


@pytest.mark.parametrize(
    ("setup", "resources", "reason"),
    [
        (
            AnsibleConnectionFailure("ssh: connect to host 192.0.2.1 port 22: timed out"),
            {},
            "ssh: connect to host 192.0.2.1 port 22: timed out",
        ),
        (
            {"failed": True, "module_stderr": " \n", "module_stdout": "sudo: a password is required\n", "msg": "no"},
            {},
            "sudo: a password is required",
        ),
        ({"failed": True, "msg": "no python"}, {}, "no python"),
        ({"ansible_facts": {}}, RuntimeError("gone"), "gone"),
    ],
)
def test_a_host_that_does_not(monkeypatch: pytest.MonkeyPatch, setup: Any, resources: Any, reason: str) -> None:
    result = look(monkeypatch, setup, resources)
    assert not result.get("failed") and not result.get("unreachable")
    assert (result["reached"], result["reason"]) == (False, reason)
    assert "ansible_facts" not in result
