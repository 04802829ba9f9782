# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Completes a file of secrets on the controller. No value ever leaves this process but into the file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.arxos.platform.plugins.module_utils import _rotation, _secrets
from ansible_collections.arxos.platform.plugins.plugin_utils._vault_file import ARGUMENTS, VaultFile


class ActionModule(ActionBase):
    """Reads, completes, encrypts and writes; the module of the same name has the documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(
            argument_spec={
                **ARGUMENTS,
                "secrets": {"type": "dict", "required": True, "no_log": False},
                "values": {"type": "dict", "default": {}, "no_log": True},
                "supplied": {"type": "list", "elements": "str", "default": []},
            }
        )
        unknown = sorted({str(kind) for kind in args["secrets"].values()} - {*_secrets.KINDS, "pem"})
        if unknown:
            raise AnsibleActionFail(f"secrets: unknown kind {', '.join(unknown)}; write one of {', '.join([*_secrets.KINDS, 'pem'])}")
        file = VaultFile(self._loader, args["path"], args["encrypt"], args["password_file"])
        present = file.content
        added, later = self._wanted(args, present)
        completed = file.text
        if added:
            known = present.get(_rotation.MADE_AT)
            made_at = {**(known if isinstance(known, Mapping) else {}), **dict.fromkeys(added, _rotation.stamp(time.time()))}
            completed = _secrets.rewritten(_secrets.completed(completed, added), {_rotation.MADE_AT: dict(sorted(made_at.items()))})
        parsed = file.parsed(completed)
        if any(parsed.get(name) in (None, "") for name in added):
            raise AnsibleActionFail(f"{file.path} cannot be completed: write it as plain lines of the form name: value")
        if later:
            result["warnings"] = [f"{', '.join(later)} must be written into {file.path} by hand: somebody else issues them."]
        for name, kind in args["secrets"].items():
            weakness = (
                _secrets.weakness(present[name], kind) if kind in _secrets.KINDS and not _secrets.is_missing(present.get(name)) else None
            )
            if weakness:
                result.setdefault("warnings", []).append(f"{name} was kept, but it {weakness}: preflight will refuse it.")
        result.update(
            changed=bool(added) or not file.is_as_wanted,
            path=file.path,
            added=sorted(added),
            kept=sorted(name for name in args["secrets"] if not _secrets.is_missing(present.get(name))),
            encrypted=file.encrypted,
        )
        if result["changed"] and not self._task.check_mode:
            file.write(completed)
        return result

    def _wanted(self, args: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
        """Values to add, and names that nobody here can make."""
        added, later = {}, []
        for name, kind in args["secrets"].items():
            if not _secrets.is_missing(present.get(name)):
                continue
            if name in args["supplied"]:
                later.append(name)
            elif not _secrets.is_missing(args["values"].get(name)):
                added[name] = str(args["values"][name])
            elif kind != "pem":
                added[name] = _secrets.make(kind)
            elif not self._task.check_mode:
                raise AnsibleActionFail(f"{name} is missing but not its counterpart: restore it, or remove both to have a new pair made")
        return added, later
