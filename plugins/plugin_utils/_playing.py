# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plays a playbook at the end of another, in its process: with its inventory, its variables and the passwords that it was given."""

from __future__ import annotations

from typing import Any

from ansible.executor.playbook_executor import PlaybookExecutor
from ansible.executor.task_queue_manager import AnsibleEndPlay, TaskQueueManager
from ansible.playbook import Playbook
from ansible.playbook.play import Play


class _Quiet(TaskQueueManager):
    """Tells nobody, neither on standard output nor callbacks, which belong to the run that ends."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        # --start-at-task is about the playbook that was called.
        self._start_at_done = True

    def load_callbacks(self) -> None:
        """Loads none."""

    def send_callback(self, method_name: str, *args: Any, **kwargs: Any) -> None:
        """Sends nothing."""


def play(path: str, after: Play, passwords: dict[str, str | None], registered: str) -> list[dict[str, Any]]:
    """Plays C(path) after the play C(after). What the loop returned that it registers under a name. Raises what Ansible does."""
    variables, loader = after.get_variable_manager(), after.get_loader()
    inventory = variables._inventory
    inventory.remove_restriction()
    manager = _Quiet(inventory=inventory, variable_manager=variables, loader=loader, passwords=passwords)
    found: dict[str, Any] = {}
    try:
        for each in Playbook.load(path, variable_manager=variables, loader=loader).get_plays():
            try:
                manager.run(each)
            except AnsibleEndPlay:
                continue
            for host in inventory.get_hosts(each.hosts):
                found = found or variables.get_vars(play=each, host=host, include_hostvars=False).get(registered) or {}
    finally:
        manager.cleanup()
    return [dict(result) for result in found.get("results", [])]


def follow(path: str, after: Play, passwords: dict[str, str | None]) -> int:
    """Runs C(path) as a run of its own after the one whose last play is C(after), for all to see. Its exit code; raises what Ansible does."""
    variables = after.get_variable_manager()
    executor = PlaybookExecutor([path], variables._inventory, variables, after.get_loader(), passwords)
    return int(executor.run())
