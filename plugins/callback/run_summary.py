# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Progress while a run goes on, and a summary at its end that an operator can read."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_summary
type: notification
author: The arxos.platform maintainers (@arxos)
version_added: 0.1.0
short_description: Says which stage a run is in, and sums the run up
description:
  - Plays whose names begin like "(4/8) Database" make up a stage. When a stage begins, its number, name and the time so far are shown.
  - At the end it shows how long each stage took, what was changed on which host, what failed, and what the run says of the platform through
    M(ansible.builtin.set_stats) under C(arxos_summary), a dictionary of lines.
  - Of type notification, so that standard output stays that of ansible-runner and AWX. Plays without a stage leave it silent.
requirements:
  - Enabled by C(callbacks_enabled = arxos.platform.run_summary).
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible.plugins.callback import CallbackBase

STAGE = re.compile(r"^\((\d+)/(\d+)\) ([^|]+?)(?: \| .*)?$")


@dataclass
class Stage:
    """One stage: its title, when it began and ended (seconds of a monotonic clock), and what happened in it."""

    title: str
    began: float
    ended: float = 0.0
    tasks: int = 0
    changed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def minutes(seconds: float) -> str:
    """Seconds as C(m:ss)."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Run:
    """Stages of a run as it goes, apart from Ansible so that it can be tested with a clock of one's own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self.stages: list[Stage] = []

    def play(self, name: str) -> str | None:
        """Notes a play's start; a line to show when it begins another stage, else None."""
        match = STAGE.match(name)
        if not match:
            return None
        number, total, title = match.groups()
        label = f"{number}/{total} {title}"
        if self.stages and self.stages[-1].title == label:
            return None
        now = self.clock()
        if self.stages:
            self.stages[-1].ended = now
        self.stages.append(Stage(label, now))
        return f"Stage {number} of {total}: {title} ({minutes(now - self.began)} so far)"

    def result(self, host: str, task: str, changed: bool = False, failure: str | None = None) -> None:
        """Notes a task's result on a host."""
        if not self.stages:
            return
        stage = self.stages[-1]
        stage.tasks += 1
        if changed:
            stage.changed.setdefault(host, []).append(task)
        if failure is not None:
            stage.failed[host] = f"{task}: {failure}"

    def summary(self, platform: dict[str, Any]) -> list[str]:
        """The lines that an operator reads at the end; none when no stage ran. C(platform): what the run says of the platform."""
        if not self.stages:
            return []
        now = self.clock()
        self.stages[-1].ended = now
        width = max(len(stage.title) for stage in self.stages)
        lines = [f"{'Stage':<{width}}  {'time':>6}  {'tasks':>5}  {'changed':>7}"]
        for stage in self.stages:
            changes = sum(len(tasks) for tasks in stage.changed.values())
            verdict = "  FAILED" if stage.failed else ""
            lines.append(f"{stage.title:<{width}}  {minutes(stage.ended - stage.began):>6}  {stage.tasks:>5}  {changes:>7}{verdict}")
        lines.append(f"{'Whole run':<{width}}  {minutes(now - self.began):>6}")
        changed: dict[str, int] = {}
        for stage in self.stages:
            for host, tasks in stage.changed.items():
                changed[host] = changed.get(host, 0) + len(tasks)
        lines.append("")
        lines.append("Changed: " + (", ".join(f"{host} {count}" for host, count in sorted(changed.items())) or "nothing"))
        for stage in self.stages:
            lines.extend(f"Failed:  {host} in {stage.title}: {failure}" for host, failure in stage.failed.items())
        lines.extend(f"{key}: {value}" for key, value in platform.items())
        return lines


class CallbackModule(CallbackBase):
    """Feeds a C(Run) from Ansible's events and shows its lines."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "arxos.platform.run_summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.run = Run()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Shows the stage that begins."""
        line = self.run.play(play.get_name())
        if line:
            self._display.display(f"\n>>> {line}", color="bright blue")

    def v2_runner_on_ok(self, result: Any) -> None:
        """Counts a task that went well."""
        self.run.result(result._host.get_name(), result._task.get_name(), changed=bool(result._result.get("changed")))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Keeps what failed; the message alone, since the rest may be long."""
        message = str(result._result.get("msg", "failed")).splitlines() or ["failed"]
        self.run.result(result._host.get_name(), result._task.get_name(), failure=None if ignore_errors else message[0])

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Keeps who could not be reached."""
        self.run.result(result._host.get_name(), result._task.get_name(), failure="host could not be reached")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Shows the summary."""
        platform = stats.custom.get("_run", {}).get("arxos_summary", {})
        lines = self.run.summary(platform)
        if lines:
            self._display.display("\n" + "\n".join(lines))
