# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes a file of secrets from one step of a rotation to the next. No value ever leaves this process but into the file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.arxos.platform.plugins.module_utils import _rotation, _secrets
from ansible_collections.arxos.platform.plugins.plugin_utils._vault_file import ARGUMENTS, VaultFile

NEXT = "_next"


class ActionModule(ActionBase):
    """Begins, goes on and finishes; the module of the same name has the documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(
            argument_spec={
                **ARGUMENTS,
                "state": {"type": "str", "choices": ["begun", "advanced"], "required": True},
                "phase": {"type": "str", "choices": list(_rotation.PHASES)},
                "groups": {"type": "dict", "default": {}},
                "only": {"type": "list", "elements": "str", "default": []},
                "kinds": {"type": "dict", "default": {}},
                "keeps": {"type": "dict", "default": {}},
                "supplied": {"type": "list", "elements": "str", "default": []},
                "pinned": {"type": "dict", "default": {}, "no_log": True},
                "in_use": {"type": "dict", "default": {}, "no_log": True},
                "days": {"type": "float", "default": 90},
                "at_once": {"type": "bool", "default": False},
            },
            required_if=[("state", "advanced", ["phase"])],
        )
        file = VaultFile(self._loader, args["path"], args["encrypt"], args["password_file"])
        if not os.path.exists(file.path):
            raise AnsibleActionFail(f"{file.path} is not there: name the file of secrets that the inventory reads with -e secrets_path=")
        self._refuse_other_values(file, args["in_use"])
        try:
            before, now = _rotation.read(file.content), time.time()
            changes: Mapping[str, str | None]
            if args["state"] == "begun":
                after, changes = self._begun(before, file, args, now, result)
            elif before.phase == args["phase"]:
                values = {name: str(file.content.get(name) or "") for name in before.moving}
                after, changes = _rotation.advanced(before, values, now)
            else:
                after, changes = before, {}
        except _rotation.RotationError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(changed=after != before or bool(changes) or not file.is_as_wanted, path=file.path, **_rotation.shown(after, now))
        if result["changed"] and not self._task.check_mode:
            self._write(file, {**changes, **_rotation.written(after)})
        return result

    def _begun(
        self, before: _rotation.State, file: VaultFile, args: Mapping[str, Any], now: float, result: dict[str, Any]
    ) -> tuple[_rotation.State, dict[str, str | None]]:
        """The state in which a run has something to do, and what else the file gets."""
        groups = {group: list(names) for group, names in args["groups"].items()}
        unknown = sorted(set(args["only"]) - set(groups))
        if unknown:
            raise AnsibleActionFail(f"only: there is no {', '.join(unknown)}; write some of {', '.join(groups)}")
        keeps = {str(name): int(seconds) for name, seconds in args["keeps"].items()}
        if before.phase:
            self._refuse_another(before, args, result)
            return _rotation.hastened(before, keeps), {}
        chosen = {group: names for group, names in groups.items() if group in (args["only"] or groups)}
        wanted, given = {}, {}
        for group in chosen if args["at_once"] else _rotation.due(before, chosen, args["days"], now):
            # What somebody else issues comes as <name>_next, by hand. A pair of keys comes together.
            missing = [n for n in chosen[group] if n in args["supplied"] and _secrets.is_missing(file.content.get(n + NEXT))]
            left = {name for each in missing for name in chosen[group] if _purpose(name) == _purpose(each)}
            if left:
                result.setdefault("warnings", []).append(
                    f"{', '.join(sorted(left))} stay as they are: somebody else issues them. Write each new one into {file.path} as <name>{NEXT}."
                )
            wanted[group] = [name for name in chosen[group] if name not in left]
            given.update({name: str(file.content[name + NEXT]) for name in wanted[group] if name in args["supplied"]})
        wanted = {group: names for group, names in wanted.items() if names}
        if not wanted:
            return (_rotation.expiring(before, groups, now), {}) if _rotation.expired(before, now) else (before, {})
        absent = sorted(name for names in wanted.values() for name in names if _secrets.is_missing(file.content.get(name)))
        if absent:
            raise AnsibleActionFail(
                f"{', '.join(absent)} cannot be rotated: {file.path} does not hold a value. Run generate_secrets.yml first."
            )
        for name, value in given.items():
            weakness = _secrets.weakness(value, str(args["kinds"].get(name, "")))
            if weakness or value == str(file.content[name]):
                raise AnsibleActionFail(f"{name}{NEXT} {weakness or 'is what is in use'}: write the new one, as its issuer gave it")
        after = _rotation.begun(before, wanted, keeps, lambda name: given.get(name) or _secrets.make(str(args["kinds"][name])))
        pinned = {name: str(value) for name, value in args["pinned"].items() if _secrets.is_missing(file.content.get(name))}
        return after, {**pinned, **dict.fromkeys((name + NEXT for name in given), None)}

    def _refuse_another(self, under_way: _rotation.State, args: Mapping[str, Any], result: dict[str, Any]) -> None:
        """Who asks for a group has it when the run ends, or is told that it was another's rotation which this run finished."""
        what = f"a rotation of {', '.join(under_way.groups)} is under way, in step {under_way.phase}"
        left = [group for group in args["only"] if group not in under_way.groups]
        if left and len(left) == len(args["only"]):
            raise AnsibleActionFail(f"only: {', '.join(left)} has to wait, {what}: finish it without -e rotate=, then run this again")
        if left or args["at_once"]:
            result.setdefault("warnings", []).append(
                f"This run begins no rotation, {what}: it finishes that one. Run it again for another."
            )

    def _refuse_other_values(self, file: VaultFile, in_use: Mapping[str, Any]) -> None:
        other = sorted(name for name, value in in_use.items() if str(file.content.get(name)) != str(value))
        if other:
            raise AnsibleActionFail(
                f"{', '.join(other)} of this run are not those in {file.path}: they come from extra variables or another file, where a rotation "
                "cannot change them. Have the inventory read this file, or name the one that it reads with -e secrets_path="
            )

    def _write(self, file: VaultFile, changes: Mapping[str, Any]) -> None:
        """Only what reads back as it is meant replaces the file."""
        text = _secrets.rewritten(file.text, changes)
        wanted = {name: value for name, value in {**file.content, **changes}.items() if value is not None}
        try:
            reads_back = file.parsed(text) == wanted
        except AnsibleActionFail:
            reads_back = False
        if not reads_back:
            raise AnsibleActionFail(
                f"{file.path} cannot be rewritten: write it as plain lines of the form name: value. Nothing was changed."
            )
        file.write(text)


def _purpose(name: str) -> str:
    """What the two parts of a pair of keys have in common."""
    return name.removesuffix("_access_key").removesuffix("_secret_key")
