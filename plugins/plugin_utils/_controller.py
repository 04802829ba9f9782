# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run that this process is part of: its id, its folder on the controller, its process, and who began it.

The callback run_record says it once, in the environment (ARXOS_RUN_ID, ARXOS_RUNS), for workers are forks of the process that loads callbacks. Without the
callback an id is made of the process, which is the same for all of them.
"""

from __future__ import annotations

import getpass
import hashlib
import multiprocessing
import os
import platform
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants
from ansible_collections.arxos.platform.plugins.module_utils import _run_lock, _run_record
from ansible_collections.arxos.platform.plugins.module_utils._run_lock import Process

RUN_ID, RUNS = "ARXOS_RUN_ID", "ARXOS_RUNS"
RECORD = "record.jsonl"
HELD = "arxos_run_held"  # which run_begin.yml sets once this run has the platform


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def started(pid: int) -> str | None:
    """When a process began, in ticks since boot; nothing for one that is not there, None for one of which the system does not tell that."""
    # Field 22 of proc(5); the name before it may hold anything, brackets too.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) > 19:
        return fields[19] if fields[0] not in "ZX" else ""
    # /proc may be mounted so that processes of other users cannot be seen there (hidepid): those are there all the same.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return None


def process() -> Process:
    """The process of ansible-playbook, asked from it or from one of its workers."""
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent is not None and parent.pid else os.getpid()
    try:
        pids = os.readlink("/proc/self/ns/pid")
    except OSError:
        pids = ""
    return Process(platform.node(), _read("/etc/machine-id"), _read("/proc/sys/kernel/random/boot_id"), pids, pid, started(pid) or "")


def is_dead(holder: Mapping[str, Any]) -> bool:
    """Whether the holder of a lock is known to be dead, seen from this controller."""
    try:
        return bool(holder) and _run_lock.is_gone(_run_lock.holder_from_dict(holder).process, process(), started)
    except ValueError:
        return False


def salt(of: Process) -> str:
    """What tells apart the ids of two processes that begin in the same second."""
    return hashlib.sha256(f"{of.host} {of.boot} {of.pids} {of.pid} {of.started}".encode()).hexdigest()[:4]


def run_id() -> str:
    """The id of this run."""
    given = os.environ.get(RUN_ID, "")
    if _run_record.ID.fullmatch(given):
        return given
    mine = process()
    booted = re.search(r"^btime (\d+)$", _read("/proc/stat"), re.MULTILINE)
    began = int(booted[1]) + int(mine.started) / os.sysconf("SC_CLK_TCK") if booted and mine.started else time.time()
    return _run_record.new_id(began, salt(mine))


def runs() -> Path:
    """Where the records of this controller are: what the callback says, else beside ansible.cfg."""
    given = os.environ.get(RUNS, "")
    if given:
        return Path(given).expanduser().absolute()
    return (Path(constants.CONFIG_FILE).parent if constants.CONFIG_FILE else Path.cwd()).absolute() / ".ansible/runs"


def who(extra: Mapping[str, Any]) -> str:
    """Whoever began the run: the user of AWX where that runs it, else of this system."""
    try:
        system = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        system = str(os.getuid())
    return str(extra.get("awx_user_name") or system)


def read(run: str) -> str:
    """What the record of a run says so far; nothing where this controller has none."""
    try:
        return (runs() / run / RECORD).read_text(encoding="utf-8")
    except OSError:
        return ""


def records() -> list[_run_record.Record]:
    """The records of this controller, the newest first."""
    found = sorted((path for path in runs().glob(f"*/{RECORD}") if _run_record.ID.fullmatch(path.parent.name)), reverse=True)
    return [_run_record.parse(path.read_text(encoding="utf-8", errors="replace"), path.parent.name) for path in found]


@dataclass
class Folder:
    """The folder of one run, for its owner alone. Methods raise OSError."""

    path: Path

    @classmethod
    def of_this_run(cls) -> Folder:
        """Makes it where it is not there."""
        path = runs() / run_id()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path)

    def append(self, event: str, fields: Mapping[str, Any]) -> None:
        """One more line of the record. Each is one write, so that workers may write too."""
        descriptor = os.open(self.path / RECORD, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, _run_record.line(event, time.time(), fields).encode())
        finally:
            os.close(descriptor)

    def store(self, name: str, content: bytes) -> Path:
        """A file of evidence; what is there under that name already is kept, and this one gets a number."""
        folder = self.path / "evidence"
        folder.mkdir(mode=0o700, exist_ok=True)
        number = 1
        while True:
            path = folder / (name if number == 1 else f"{name}-{number}")
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                number += 1
                continue
            with open(descriptor, "wb") as stream:
                stream.write(content)
            return path


def elsewhere() -> None:
    """From here on records are kept in a folder of the system's for what is temporary. Raises OSError."""
    os.environ[RUNS] = tempfile.mkdtemp(prefix="arxos-runs-")
