# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks dpkg which packages are missing before it has apt install them: where none is, no Python starts on the host."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.arxos.platform.plugins.module_utils import _packages


class ActionModule(ActionBase):
    """One C(dpkg-query) by the host's shell, and ansible.builtin.apt where something is missing."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(["name", "policy_rc_d"])

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _spec, arguments = self.validate_argument_spec(
            {"name": {"type": "list", "elements": "str", "required": True}, "policy_rc_d": {"type": "int"}},
        )
        wanted = arguments["name"]
        try:
            _packages.check(wanted)
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error
        # It exits with 1 where it does not know a package, which is an answer; what it knows stands on its output all the same.
        asked = self._low_level_execute_command(f"{_packages.QUERY} {shlex.join(wanted)} 2>/dev/null") if wanted else {"stdout": ""}
        missing = _packages.missing(wanted, str(asked.get("stdout", "")))
        result.update(changed=False, missing=missing)
        if missing:
            settings = {key: arguments[key] for key in ("policy_rc_d",) if arguments[key] is not None}
            result.update(
                self._execute_module(
                    module_name="ansible.builtin.apt",
                    module_args={"name": wanted, "install_recommends": False, "cache_valid_time": 86400, "lock_timeout": 300, **settings},
                    task_vars=task_vars,
                )
            )
        return result
