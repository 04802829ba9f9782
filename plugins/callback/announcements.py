# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells those who shall know of a run, by the channels that the inventory names."""

from __future__ import annotations

DOCUMENTATION = r"""
name: announcements
type: notification
author: The arxos.platform maintainers (@arxos)
version_added: 0.1.0
short_description: Announces a run by email, chat, pager and webhook
description:
  - Tells audiences of a run before it begins, at every stage, at an interval while it goes on, when it fails, and after it with figures. Who is told what,
    and by which channel, is C(arxos_announcements) in the inventory (C(docs/announcements.md)).
  - Only plays whose names begin like "(4/9) Database", and only of the playbooks that C(arxos_announcements.playbooks) names, C(go_live), C(deploy),
    C(rollback*) and C(take_back) by default. C(announce.yml) tells what is planned. Check mode announces nothing, nor does a run with C(arxos_announce) false.
  - Messages are sent beside the run by a process for each channel with a time limit, in their order. A channel that is dead or slow neither stops the run nor
    slows it; at the end at most C(arxos_announcements.wait_seconds) are waited for what is still to be sent, and which channel failed, why and how often
    is shown, and is part of the run's summary.
  - Addresses of channels hold secrets. They are shown nowhere, and given to the processes by a pipe.
notes:
  - What a run says of the platform through M(ansible.builtin.set_stats) under C(arxos_summary) is part of the messages that follow.
requirements:
  - The Python package apprise on the controller. Where it is missing the run goes on and says so.
  - Enabled by C(callbacks_enabled = arxos.platform.announcements), before the callback that shows the summary.
"""

import atexit
import importlib.util
import os
import threading
from collections.abc import Mapping
from typing import Any

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible_collections.arxos.platform.plugins.module_utils import _announcements
from ansible_collections.arxos.platform.plugins.plugin_utils import _announcement_delivery, _controller

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEMPLATES = os.path.join(COLLECTION, "playbooks", "templates", "announcements")
SAID = ("arxos_environment", "arxos_domain", "arxos_announce")


def plain(value: Any) -> Any:
    """A value as plain data, whatever Ansible has wrapped it in."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def handled(task: Any) -> bool:
    """Whether a block around a task has a rescue."""
    parent = getattr(task, "_parent", None)
    while parent is not None:
        if getattr(parent, "rescue", None):
            return True
        parent = getattr(parent, "_parent", None)
    return False


def first_line(result: Mapping[str, Any]) -> str:
    """What a failed result says, short."""
    lines = str(result.get("msg") or "failed").strip().splitlines() or ["failed"]
    return lines[0][:300]


class CallbackModule(CallbackBase):
    """Feeds an C(Announcer) from Ansible's events, and hands its messages on."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "arxos.platform.announcements"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.playbook = ""
        self.decided = False
        self.pending = ""
        self.announcer: _announcements.Announcer | None = None
        self.delivery: _announcement_delivery.Delivery | None = None
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.process = os.getpid()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Notes which playbook it is."""
        self.playbook = os.path.splitext(os.path.basename(str(playbook._file_name)))[0]

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Notes a stage that may begin: where its playbook was imported under a condition that does not hold, all of it is skipped."""
        self.pending = ""
        if context.CLIARGS.get("check") or _announcements.stage_of(play.get_name()) is None:
            return
        if not self.decided:
            self.decided = True
            self._begin(play)
        self.pending = play.get_name() if self.announcer else ""

    def v2_runner_on_ok(self, result: Any) -> None:
        """Counts what was changed, and keeps what the run says of the platform."""
        self._arrived()
        if not self.announcer:
            return
        said = result._result.get("ansible_stats", {}).get("data", {}).get("arxos_summary")
        with self.lock:
            if result._result.get("changed"):
                self.announcer.changes(result._host.get_name())
            if isinstance(said, Mapping):
                self.announcer.learns(plain(said))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Escalates a failure that no rescue of the playbook takes care of."""
        if not ignore_errors:
            self._failed(result, first_line(result._result), handled(result._task))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Escalates the loss of a host."""
        self._failed(result, "the host could not be reached", bool(getattr(result._task, "ignore_unreachable", False)))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Announces the end with its figures, and says what became of the announcements."""
        if self.announcer is None:
            return
        failed = {host for host, count in stats.failures.items() if count}
        with self.lock:
            failed |= {host for host in stats.dark if host in self.announcer.failures}
        summary = plain(stats.custom.get("_run", {}).get("arxos_summary", {}))
        line = self._end(sorted(failed), summary)
        if line:
            stats.set_custom_stats("arxos_summary", {**summary, "Announcements": line})

    def _begin(self, play: Any) -> None:
        """Reads the inventory's data and starts, where this run is to be announced."""
        raw, said = self._variables(play)
        if not raw or not boolean(said.get("arxos_announce", True), strict=False):
            return
        try:
            data = plain(raw())
        except Exception as error:  # whatever a template of an operator does wrong; its text could hold a part of an address
            self._off(f"arxos_announcements cannot be rendered ({type(error).__name__})")
            return
        faults = _announcements.faults(data)
        if faults:
            self._off("; ".join(f"{where} {problem}" for where, problem, _remedy in faults))
            return
        settings = _announcements.settings(data)
        if not settings.channels or not _announcements.announced(self.playbook, settings.playbooks):
            return
        if importlib.util.find_spec("apprise") is None:
            self._off("the Python package apprise is not installed (requirements.txt)")
            return
        folders = [play.get_loader().path_dwim(settings.templates)] if settings.templates else []
        self.announcer = _announcements.Announcer(
            settings, self.playbook, str(said.get("arxos_environment", "")), str(said.get("arxos_domain", ""))
        )
        self.delivery = _announcement_delivery.Delivery(settings, [*folders, TEMPLATES])
        schedule = _announcements.Schedule(settings.interval)
        threading.Thread(target=self._progress, args=(schedule,), name="announcements interval", daemon=True).start()
        # A run that is broken off, by Ctrl-C or an error of Ansible's own, comes to no end of which callbacks are told.
        atexit.register(self._broken_off)

    def _variables(self, play: Any) -> tuple[Any, dict[str, Any]]:
        """C(arxos_announcements) as something to call for its value, and rendered variables, as a host of the inventory has them."""
        manager = play.get_variable_manager()
        hosts = manager._inventory.get_groups_dict().get("all") or ["localhost"]
        variables = manager.get_vars(play=play, host=manager._inventory.get_host(hosts[0]))
        if "arxos_announcements" not in variables:
            return None, {}
        templar = Templar(loader=play.get_loader(), variables=variables)
        said = {}
        for name in SAID:
            if name in variables:
                said[name] = templar.template(variables[name])
        return lambda: templar.template(variables["arxos_announcements"]), said

    def _arrived(self) -> None:
        """Announces the stage that has something to do, and with the first that the run begins."""
        if self.pending and self.announcer and self.delivery:
            name, self.pending = self.pending, ""
            with self.lock:
                self.announcer.run_id = self.announcer.run_id or _controller.run_id()
                self.delivery.put(self.announcer.play(name))

    def _failed(self, result: Any, message: str, has_rescue: bool) -> None:
        self._arrived()
        if self.announcer and self.delivery:
            with self.lock:
                self.delivery.put(self.announcer.failed(result._host.get_name(), result._task.get_name(), message, has_rescue))

    def _progress(self, schedule: _announcements.Schedule) -> None:
        """The thread of the interval."""
        while not self.over.wait(schedule.due_in()):
            if schedule.due() and self.announcer and self.delivery:
                with self.lock:
                    self.delivery.put(self.announcer.progress())

    def _end(self, failed: list[str], figures: dict[str, Any], broken_off: bool = False) -> str:
        """The last messages; what became of all of them, on a line."""
        if self.over.is_set() or not self.announcer or not self.delivery:
            return ""
        self.over.set()
        with self.lock:
            self.delivery.put(self.announcer.ended(failed, figures, broken_off))
        line, well = self.delivery.finish(self.announcer.settings.wait)
        if not well:
            self._display.warning(f"Announcements: {line}")
        return line

    def _broken_off(self) -> None:
        # Not in a process that was forked from this one.
        if os.getpid() == self.process:
            self._end([], {}, broken_off=True)

    def _off(self, why: str) -> None:
        self._display.warning(f"Announcements are off: {why}.")
