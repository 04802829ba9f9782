# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run as it goes: its stages, steps and hosts, the lines of its record and those that an operator reads. Apart from Ansible, with clocks of one's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._run_record import STAGE, Record, minutes

# Plays of the run itself, which are no stage of it: playbooks/run_begin.yml.
OWN = "Run | "


@dataclass
class Step:
    """One task while its hosts come back."""

    task: str
    stage: str
    began: float
    asked: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    ok: int = 0
    changed: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass
class Stage:
    """One stage while it runs, and after."""

    title: str
    offset: float
    began: float
    seconds: float = 0.0
    tasks: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Run:
    """C(emit) gets each line of the record as (event, fields). C(last) is the run to compare with."""

    def __init__(
        self,
        emit: Callable[[str, Mapping[str, Any]], None],
        last: Record | None = None,
        every: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.emit, self.last, self.every, self.clock = emit, last, every, clock
        self.began = self.shown = clock()
        self.stages: list[Stage] = []
        self.numbered = False
        self.steps: dict[str, Step] = {}
        self.current: Step | None = None
        self.hosts = 0

    @staticmethod
    def opens(play: str) -> bool:
        """Whether a run begins to be one with this play."""
        return bool(STAGE.match(play)) or play.startswith(OWN)

    def _ran(self) -> float:
        return self.clock() - self.began

    def _then(self, title: str) -> Any:
        return next((stage for stage in self.last.stages if stage.stage == title), None) if self.last else None

    def play(self, name: str) -> str | None:
        """Notes a play's start; a line to show when it begins another stage, else None."""
        self._end_steps()
        self.hosts = 0
        match = STAGE.match(name)
        if match:
            number, total, what = match.groups()
            title, said = f"{number}/{total} {what}", f"Stage {number} of {total}: {what}"
        elif self.numbered or " | " not in name or name.startswith(OWN):
            return None
        else:
            title = said = name.partition(" | ")[0]
        self.numbered = self.numbered or bool(match)
        if self.stages and self.stages[-1].title == title:
            return None
        self._end_stage()
        now = self.clock()
        stage = Stage(title, self._ran(), now)
        self.stages.append(stage)
        self.emit("stage_begun", {"stage": title, "offset": round(stage.offset, 1)})
        self.shown = now
        then = self._then(title)
        return f"{said} ({minutes(stage.offset)} so far{', the last run ' + minutes(then.offset) if then else ''})"

    def task(self, key: str, name: str) -> None:
        """Notes a task's start. With the linear strategy the one before it is over."""
        self._end_steps()
        self.current = self.steps[key] = Step(name, self.stages[-1].title if self.stages else "", self.clock())

    def asked(self, host: str) -> None:
        """Notes that a host was asked to do the task."""
        if self.current:
            self.current.asked.add(host)
            self.hosts = max(self.hosts, len(self.current.asked))

    def result(self, key: str, task: str, host: str, changed: bool = False, failure: str | None = None, skipped: bool = False) -> None:
        """Notes a task's result on a host."""
        step = self.steps.get(key)
        if step is None:  # it comes in after its task was thought to be over
            step = self.steps[key] = Step(task, self.stages[-1].title if self.stages else "", self.clock())
        step.done.add(host)
        if skipped:
            return
        step.ok += failure is None
        if changed:
            step.changed.append(host)
        if failure is not None:
            step.failures[host] = failure
        if self.stages:
            stage = self.stages[-1]
            stage.tasks += 1
            if changed:
                stage.changed[host] = stage.changed.get(host, 0) + 1
            if failure is not None:
                stage.failed[host] = f"{task}: {failure}"

    def progress(self) -> str | None:
        """A line to show where none was for a while: the stage, hosts done, the time so far and what it was the last time."""
        now = self.clock()
        if not self.stages or self.current is None or now - self.shown < self.every:
            return None
        self.shown = now
        stage, step = self.stages[-1], self.current
        then = self._then(stage.title)
        spent = minutes(now - stage.began) + (f" of {minutes(then.seconds)} the last time" if then and then.seconds is not None else "")
        return f"{stage.title}: {len(step.done)} of {self.hosts} hosts done with '{step.task}', {spent}; {minutes(self._ran())} so far"

    def _end_steps(self) -> None:
        now = self.clock()
        for step in self.steps.values():
            if step.ok or step.failures:
                fields: dict[str, Any] = {"stage": step.stage, "task": step.task, "seconds": round(now - step.began, 2), "ok": step.ok}
                fields.update({"changed": sorted(step.changed)} if step.changed else {})
                fields.update({"failures": step.failures} if step.failures else {})
                self.emit("step", fields)
        self.steps.clear()
        self.current = None

    def _end_stage(self) -> None:
        if not self.stages:
            return
        stage = self.stages[-1]
        stage.seconds = self.clock() - stage.began
        changed = sum(stage.changed.values())
        fields = {"stage": stage.title, "seconds": round(stage.seconds, 1), "tasks": stage.tasks, "changed": changed}
        self.emit("stage_ended", {**fields, "failed": sorted(stage.failed)} if stage.failed else fields)

    def end(self, rc: int, platform: Mapping[str, Any]) -> list[str]:
        """Ends the run in its record. The lines that an operator reads then; C(platform): what the run says of the platform."""
        self._end_steps()
        self._end_stage()
        seconds = self._ran()
        summary = {str(name): str(value) for name, value in platform.items()}
        fields: dict[str, Any] = {"seconds": round(seconds, 1), "rc": rc, "verdict": "failed" if rc else "ok"}
        self.emit("run_ended", {**fields, "summary": summary} if summary else fields)
        return self._summary(seconds, platform)

    def _summary(self, seconds: float, platform: Mapping[str, Any]) -> list[str]:
        if not self.stages:
            return [f"{key}: {value}" for key, value in platform.items()]
        width = max(9, *(len(stage.title) for stage in self.stages))
        before = f"  {'last':>6}" if self.last else ""
        lines = [f"{'Stage':<{width}}  {'time':>6}{before}  {'tasks':>5}  {'changed':>7}"]
        for stage in self.stages:
            then = self._then(stage.title)
            before = f"  {minutes(then.seconds) if then and then.seconds is not None else '-':>6}" if self.last else ""
            changes = sum(stage.changed.values())
            lines.append(
                f"{stage.title:<{width}}  {minutes(stage.seconds):>6}{before}  {stage.tasks:>5}  {changes:>7}"
                + ("  FAILED" if stage.failed else "")
            )
        before = f"  {minutes(self.last.seconds):>6}" if self.last else ""
        lines += [f"{'Whole run':<{width}}  {minutes(seconds):>6}{before}", ""]
        changed: dict[str, int] = {}
        for stage in self.stages:
            for host, count in stage.changed.items():
                changed[host] = changed.get(host, 0) + count
        lines.append("Changed: " + (", ".join(f"{host} {count}" for host, count in sorted(changed.items())) or "nothing"))
        for stage in self.stages:
            lines.extend(f"Failed:  {host} in {stage.title}: {failure}" for host, failure in stage.failed.items())
        lines.extend(f"{key}: {value}" for key, value in platform.items())
        return lines
