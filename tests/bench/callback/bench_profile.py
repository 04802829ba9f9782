# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes one JSON line a task to the file named by BENCH_PROFILE: its stage, its name, seconds, and results by kind and host."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: bench_profile
type: notification
author: The arxos.platform maintainers (@arxos)
short_description: Where the time of a run goes
description: For tests/bench/run.py alone.
"""


class CallbackModule(CallbackBase):
    """Times tasks. With the linear strategy a task ends where the next begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "bench_profile"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stage = ""
        self.record: dict[str, Any] | None = None
        self.began = 0.0
        self.file = open(os.environ.get("BENCH_PROFILE", os.devnull), "w", buffering=1)  # noqa: SIM115

    def _end(self) -> None:
        if self.record:
            self.record["seconds"] = round(time.monotonic() - self.began, 3)
            self.file.write(json.dumps(self.record) + "\n")
        self.record = None

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._end()
        match = re.match(r"\((\d+/\d+)\) ([^|]+)", play.get_name())
        self.stage = f"{match[1]} {match[2].strip()}" if match else self.stage

    def _begin(self, task: Any) -> None:
        self._end()
        self.began = time.monotonic()
        self.record = {"stage": self.stage, "task": task.get_name(), "action": task.action, "ok": {}, "skipped": 0}

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._begin(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._begin(task)

    def _count(self, result: Any) -> None:
        if self.record:
            host = result.host.get_name() if hasattr(result, "host") else result._host.get_name()
            self.record["ok"][host] = self.record["ok"].get(host, 0) + 1

    v2_runner_on_ok = _count

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._count(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        if self.record:
            self.record["skipped"] += 1

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end()
