# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plays a playbook at the end of another, in its process: with its inventory, its variables and the passwords that it was given."""

from __future__ import annotations

from typing import Any

from ansible.executor.task_queue_manager import AnsibleEndPlay, TaskQueueManager
from ansible.playbook import Playbook
from ansible.playbook.play import Play


class _Quiet(TaskQueueManager):
    """Shows nothing, and keeps what its tasks returned."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.returned: list[dict[str, Any]] = []
        # --start-at-task is about the playbook that was called.
        self._start_at_done = True

    def load_callbacks(self) -> None:
        """None: they belong to the run that ends."""

    def send_callback(self, method_name: str, *args: Any, **kwargs: Any) -> None:
        """Keeps results, the items of a loop each for itself."""
        if method_name in ("v2_runner_on_ok", "v2_runner_on_failed", "v2_runner_on_unreachable"):
            found = args[0].as_callback_task_result().result
            self.returned += found["results"] if isinstance(found.get("results"), list) else [dict(found)]


def play(path: str, after: Play, passwords: dict[str, str | None]) -> list[dict[str, Any]]:
    """Plays C(path) after the play C(after). What its tasks returned, in their order. Raises what Ansible does."""
    variables, loader = after.get_variable_manager(), after.get_loader()
    inventory = variables._inventory
    inventory.remove_restriction()
    manager = _Quiet(inventory=inventory, variable_manager=variables, loader=loader, passwords=passwords)
    try:
        for each in Playbook.load(path, variable_manager=variables, loader=loader).get_plays():
            try:
                manager.run(each)
            except AnsibleEndPlay:
                continue
    finally:
        manager.cleanup()
    return manager.returned
