# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of a run, its progress while it goes on, and a summary at its end that an operator can read."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_record
type: notification
author: The arxos.platform maintainers (@arxos)
version_added: 0.1.0
short_description: Writes the record of a run, shows its progress, and sums it up
description:
  - Plays whose names begin like "(4/9) Database" make up a stage. When a stage begins, its number, name and the time so far are shown beside those of
    the last run of the same playbook, and where a stage takes long, how many hosts are done with the task.
  - The record is JSON lines in C(<path>/<id>/record.jsonl), written as the run goes; a run without its last line is INCOMPLETE. Results that C(no_log)
    hides are never looked at. Where the folder cannot be written, this is said once, and the run goes on.
  - At the end it shows how long each stage took, what was changed on which host, what failed, and what the run says of the platform through
    M(ansible.builtin.set_stats) under C(arxos_summary), a dictionary of lines.
  - Where the run took the lock of the platform (C(playbooks/run_begin.yml)), C(playbooks/run_end.yml) is played then, whatever came of the run. It
    gives the lock back and leaves the record on the platform.
  - Where C(go_live.yml), C(rollback.yml) or C(take_back.yml) fails after it took the lock, C(playbooks/tell_failure.yml) is played before, which tells users
    on the status page that it takes longer.
  - Of type notification, so that standard output stays that of ansible-runner and AWX. Plays without a stage leave it silent.
requirements:
  - Enabled by C(callbacks_enabled = arxos.platform.run_record).
options:
  path:
    description: Folder of the records on the controller. Without it C(.ansible/runs) beside C(ansible.cfg), or below the current folder where there is none.
    type: path
    env:
      - name: ARXOS_RUNS
    ini:
      - section: callback_run_record
        key: path
  keep:
    description: How many records are kept there.
    type: int
    default: 50
    env:
      - name: ARXOS_RUNS_KEEP
    ini:
      - section: callback_run_record
        key: keep
  progress_seconds:
    description: Seconds without a new stage after which a line says how far the run is.
    type: int
    default: 60
    env:
      - name: ARXOS_PROGRESS_SECONDS
    ini:
      - section: callback_run_record
        key: progress_seconds
"""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__
from ansible_collections.arxos.platform.plugins.module_utils import _run_record
from ansible_collections.arxos.platform.plugins.module_utils._run_progress import Run
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller, _playing

COLLECTION = Path(__file__).resolve().parents[2]
RUN_END = COLLECTION / "playbooks/run_end.yml"
TELL_FAILURE = COLLECTION / "playbooks/tell_failure.yml"
USERS_WAIT = ("go_live.yml", "rollback.yml", "take_back.yml")  # their end is what users are waiting for
LOCK = ("arxos.platform.run_lock", "run_lock")


def version() -> str:
    """The version of the collection, and in a checkout its commit."""
    found = ""
    for name, pattern in (("galaxy.yml", r"^version: *(\S+)"), ("MANIFEST.json", r'"version": *"([^"]+)"')):
        with contextlib.suppress(OSError):
            match = re.search(pattern, (COLLECTION / name).read_text(encoding="utf-8"), re.MULTILINE)
            found = found or (match[1] if match else "")
    if (COLLECTION / ".git").exists():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = ["git", "-C", str(COLLECTION), "rev-parse", "--short", "HEAD"]
            commit = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
            return f"{found} ({commit})"
    return found


class CallbackModule(CallbackBase):
    """Feeds a C(Run) from Ansible's events, writes its lines and shows them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "arxos.platform.run_record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.run: Run | None = None
        self.record = _run_record.Record()
        self.earlier: list[_run_record.Record] = []
        self.folder: _controller.Folder | None = None
        self.playbook = ""
        self.passwords: dict[str, str | None] = {}
        self.last_play: Any = None
        self.locked = self.held = False

    def set_play_context(self, play_context: Any) -> None:
        """Keeps the passwords of the run for what is played at its end."""
        self.passwords = {"conn_pass": play_context.password, "become_pass": play_context.become_pass}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Gives the run its id, which plays have as C(arxos_run_id)."""
        self.run, self.folder, self.locked, self.held = None, None, False, False
        self.playbook = os.path.basename(playbook._file_name)
        os.environ[_controller.RUN_ID] = _run_record.new_id(time.time(), _controller.salt(_controller.process()))
        if self.get_option("path"):
            os.environ[_controller.RUNS] = self.get_option("path")
        os.environ[_controller.RUNS] = str(_controller.runs())

    def _begin(self, play: Any) -> Run:
        """The first play with a stage makes it a run."""
        given, extra = context.CLIARGS, play.get_variable_manager().extra_vars
        self.record = _run_record.Record(
            id=_controller.run_id(),
            who=_controller.who(extra),
            controller=_controller.process().host,
            version=version(),
            playbook=self.playbook,
            limit=given.get("subset") or "",
            tags=list(given.get("tags") or []),
            skip_tags=list(given.get("skip_tags") or []),
            check=bool(given.get("check")),
        )
        self.earlier = []
        try:
            self.earlier = _controller.records()
            self.folder = _controller.Folder.of_this_run()
            self._prune()
        except OSError as error:
            self._put_elsewhere(error)
        last = _run_record.last_of(self.earlier, self.record)
        run = Run(self._emit, _run_record.last_of(self.earlier, self.record, complete=True), self.get_option("progress_seconds"))
        head = {
            name: getattr(self.record, name)
            for name in ("id", "who", "controller", "version", "playbook", "limit", "tags", "skip_tags", "check")
        }
        self._emit("run_begun", {**head, "ansible": __version__, "inventory": list(given.get("inventory") or []), "inputs": sorted(extra)})
        self._display.display(
            f"\nRun {self.record.id}: {self.playbook}{' in check mode' if self.record.check else ''}", color="bright blue"
        )
        self._tell_of(last)
        return run

    def _put_elsewhere(self, error: OSError) -> None:
        said = f"The record of this run cannot be kept in {_controller.runs()} ({error.strerror})"
        self.folder = None
        try:
            _controller.elsewhere()
            self.folder = _controller.Folder.of_this_run()
            said += f"; it is in {self.folder.path} instead"
        except OSError:
            said += ", nor anywhere else on this controller"
        self._display.warning(f"{said}.")

    def _prune(self) -> None:
        folders = sorted((path for path in _controller.runs().iterdir() if _run_record.ID.fullmatch(path.name)), reverse=True)
        for path in folders[self.get_option("keep") :]:
            shutil.rmtree(path, ignore_errors=True)

    def _emit(self, event: str, fields: Mapping[str, Any]) -> None:
        if self.folder is None:
            return
        try:
            self.folder.append(event, fields)
        except OSError as error:
            self._put_elsewhere(error)

    def _tell_of(self, last: _run_record.Record | None) -> None:
        """Where the last run stopped, where that did not come to its end."""
        said = _run_record.where_it_stopped(last) if last else ""
        if said:
            self._display.display(f"{said} This one goes from the start, and leaves alone what is right already.", color="bright blue")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Shows the stage that begins."""
        self.last_play = play
        name = play.get_name()
        if self.run is None and Run.opens(name):
            self.run = self._begin(play)
        line = self.run.play(name) if self.run else None
        if line:
            self._display.display(f"\n>>> {line}", color="bright blue")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Notes the step that begins."""
        if self.run:
            self.run.task(task._uuid, task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Notes the step that begins."""
        if self.run:
            self.run.task(task._uuid, task.get_name())

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Counts the hosts that are to be done."""
        if self.run:
            self.run.asked(host.get_name())

    def _result(self, result: Any, failure: str | None = None, changed: bool = False, skipped: bool = False) -> None:
        if not self.run:
            return
        task = result.task
        self.run.result(task._uuid, task.get_name(), result.host.get_name(), changed, failure, skipped)
        line = self.run.progress()
        if line:
            self._display.display(f"... {line}", color="bright blue")

    def v2_runner_on_ok(self, result: Any) -> None:
        """Counts a task that went well."""
        if self.run and result.task.action in LOCK:
            self._learn(result.result)
        # Who is refused has asked for the lock as well.
        self.held = self.held or _controller.HELD in (result.result.get("ansible_facts") or {})
        self._result(result, changed=result.is_changed())

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Counts a host that had nothing to do."""
        self._result(result, skipped=True)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Keeps what failed; the first line of the message alone, and of what is hidden nothing."""
        self._result(result, None if ignore_errors else self._why(result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Keeps who could not be reached."""
        ignored = result.task_fields.get("ignore_unreachable")
        self._result(result, None if ignored else "host could not be reached")

    @staticmethod
    def _why(result: Any) -> str:
        found = result.result
        if result.task.no_log or found.get("_ansible_no_log") or "censored" in found:
            return "hidden, for it may hold secrets"
        items = [item for item in found.get("results") or [] if isinstance(item, Mapping) and item.get("failed")]
        if items and (items[0].get("_ansible_no_log") or "censored" in items[0]):
            return "hidden, for it may hold secrets"
        return _run_record.first_line((items[0] if items else found).get("msg"))

    def _learn(self, found: Mapping[str, Any]) -> None:
        """What hosts of the platform say of runs before this one, which may have come from another controller."""
        self.locked = True
        answers = [each for each in found.get("results") or [found] if isinstance(each, Mapping)]
        for name in ("last", "complete"):
            told = [_run_record.from_dict(each[name]) for each in answers if each.get(name)]
            newest = max(told, key=lambda each: each.id, default=None)
            if not self.run or newest is None or newest.id == self.record.id:
                continue
            known = _run_record.last_of(self.earlier, self.record)
            if name == "last" and newest.id > (known.id if known else ""):
                self._tell_of(newest)
            elif name == "complete" and (self.run.last is None or newest.id > self.run.last.id):
                self.run.last = newest

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Ends the record, gives the lock back, and shows the summary."""
        if not self.run:
            return
        platform = stats.custom.get("_run", {}).get("arxos_summary", {})
        rc = 4 if stats.dark else 2 if stats.failures else 0
        lines = self.run.end(rc, platform)
        self.run = None
        if rc and self.held and self.playbook in USERS_WAIT:
            self._tell_users()
        if self.folder:
            lines.append(f"Record: {self.folder.path / _controller.RECORD}{self._end_on_platform()}")
        elif self.locked:
            self._end_on_platform()
        self._display.display("\n" + "\n".join(lines))

    def _tell_users(self) -> None:
        """Plays tell_failure.yml, while the platform is this run's still."""
        try:
            _playing.play(str(TELL_FAILURE), self.last_play, self.passwords, "users_told")
        except Exception as error:  # whatever it is, the lock is still to be given back
            self._display.warning(f"Users were not told on the status page that it takes longer: {_run_record.first_line(error)}")

    def _end_on_platform(self) -> str:
        """Plays run_end.yml; which hosts have the record."""
        if not self.locked:
            return ""
        try:
            answers = _playing.play(str(RUN_END), self.last_play, self.passwords, "run_end")
        except Exception as error:  # whatever it is, the run itself is over, and its summary is still to be shown
            self._display.warning(f"The lock was not given back, and the record not left on the platform: {_run_record.first_line(error)}")
            return ""
        for answer in answers:
            if answer.get("problem"):
                self._display.warning(f"The lock was not given back on {answer.get('keeper')}: {answer['problem']}")
        if not answers:
            self._display.warning("The lock was not given back, and the record not left on the platform: run_end.yml did not run.")
        hosts = [str(answer["keeper"]) for answer in answers if answer.get("kept")]
        return f", also on {', '.join(hosts)}" if hosts else ""
