# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks systemctl which units do not run before ansible.builtin.systemd_service runs them: where all do, no Python starts on the host."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.arxos.platform.plugins.module_utils import _units


class ActionModule(ActionBase):
    """One C(systemctl show) by the host's shell, and ansible.builtin.systemd_service for each unit that wants something done."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(["daemon_reload", "name", "no_block"])

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(
            {
                "name": {"type": "list", "elements": "str", "required": True},
                "daemon_reload": {"type": "bool", "default": False},
                "no_block": {"type": "bool", "default": False},
            },
        )
        names: list[str] = arguments["name"]
        asked = self._low_level_execute_command(f"{_units.QUERY} {shlex.join(names)}") if names else {"stdout": ""}
        state = _units.judge(names, str(asked.get("stdout", "")))
        reload = bool(names) and (state.reload or arguments["daemon_reload"])
        result.update(changed=False, started=[])
        # Where all run, the first carries what systemd has to read again.
        for name in state.wanting or (names[:1] if reload else []):
            answer = self._execute_module(
                module_name="ansible.builtin.systemd_service",
                module_args={"name": name, "enabled": True, "state": "started", "daemon_reload": reload, "no_block": arguments["no_block"]},
                task_vars=task_vars,
            )
            reload = False
            if answer.get("failed"):
                return {**result, **answer, "started": result["started"]}
            if answer.get("changed"):
                result["changed"] = True
                result["started"].append(name)
        return result
