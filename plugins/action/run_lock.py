# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes and gives back the lock on one host for the run that this process is. Only the controller knows whether a process of its own is dead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.arxos.platform.plugins.module_utils import _run_lock, _run_record
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller

CALLBACK = (
    "The callback arxos.platform.run_record is not enabled, so the lock is not given back when the run ends, and no record is kept: "
    "set ANSIBLE_CALLBACKS_ENABLED=arxos.platform.run_record"
)


class ActionModule(ActionBase):
    """The module of the same name has the documentation. A host that cannot be asked is an answer, not the end of the run."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        if self._task.check_mode:
            return {**result, "changed": False, "skipped": True, "msg": "A run in check mode takes no lock."}
        run, process = _controller.run_id(), _controller.process()
        written = _controller.read(run)
        said = _run_record.parse(written, run)
        keeper = str(self._task.delegate_to or (task_vars or {}).get("inventory_hostname", ""))
        holder = _run_lock.Holder(run, said.who or _controller.who(task_vars or {}), said.playbook, process, keeper=keeper)
        given = {**self._task.args, "holder": asdict(holder), "records": {run: written} if written else {}}
        result.update(mine=run, **self._ask(given, task_vars))
        there = self._holder(result)
        if there and not result.get("acquired") and _run_lock.is_gone(there.process, process, _controller.started):
            left = _controller.read(there.id)
            more = {**given, "gone": there.id, "records": {**given["records"], **({there.id: left} if left else {})}}
            result.update(self._ask(more, task_vars))
        if given.get("state", "present") == "present" and _controller.RUN_ID not in os.environ:
            result.setdefault("warnings", []).append(CALLBACK)
        return result

    def _ask(self, given: Mapping[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        try:
            answer = self._execute_module(module_name="arxos.platform.run_lock", module_args=dict(given), task_vars=task_vars)
        except Exception as error:  # a wrong key, a missing sudo rule and a host that is down all raise something else
            answer = {"failed": True, "msg": str(error)}
        answer.pop("invocation", None)  # it has the record
        if answer.get("failed") or answer.get("unreachable"):
            said = (str(answer.get(key) or "").strip() for key in ("module_stderr", "module_stdout", "msg"))
            return {"changed": False, "acquired": False, "problem": _run_record.first_line(next(filter(None, said), ""))}
        return answer

    @staticmethod
    def _holder(result: Mapping[str, Any]) -> _run_lock.Holder | None:
        try:
            return _run_lock.holder_from_dict(result["holder"]) if result.get("holder") else None
        except ValueError:
            return None
