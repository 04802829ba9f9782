# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at one host, and takes a host that cannot be looked at for a finding, not for an end of the run."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.arxos.platform.plugins.module_utils import _preflight

RESOURCES = "df -Pm 2>/dev/null; grep MemTotal /proc/meminfo"


class ActionModule(ActionBase):
    """Facts by ansible.builtin.setup, and sizes of disks and memory by one more command over the same connection."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(["gather_subset"])

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        result.update(changed=False, reached=False, reason="")
        try:
            found = self._execute_module(
                module_name="ansible.legacy.setup",
                module_args={"gather_subset": self._task.args.get("gather_subset", ["min"])},
                task_vars=task_vars,
            )
            if found.get("failed"):
                result["reason"] = _preflight.first_line(_why(found))
                return result
            resources = self._low_level_execute_command(RESOURCES)
        except Exception as error:  # a wrong key, a missing sudo rule and a host that is down all raise something else
            result["reason"] = _preflight.first_line(str(error))
            return result
        # The second tells the plays that come later that there is nothing to gather.
        result["ansible_facts"] = {**found["ansible_facts"], "_ansible_facts_gathered": True}
        result["_ansible_verbose_override"] = True
        filesystems, memory = _preflight.parse_resources(str(resources.get("stdout", "")))
        result.update(reached=True, memory=memory, filesystems={mount: list(sizes) for mount, sizes in filesystems.items()})
        return result


def _why(found: dict[str, Any]) -> str:
    """What a module that gave no result left behind: mostly what the shell or the container engine said."""
    return next((text for text in (str(found.get(key) or "").strip() for key in ("module_stderr", "module_stdout", "msg")) if text), "")
