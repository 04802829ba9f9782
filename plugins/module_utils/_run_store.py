# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder in which a host keeps the lock of the platform and the records of its runs. Every function raises OSError."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.arxos.platform.plugins.module_utils._run_lock import Holder, holder_from_json, holder_to_json, judge
from ansible_collections.arxos.platform.plugins.module_utils._run_record import ID, Record, parse

READERS = "adm"


@dataclass(frozen=True)
class Taken:
    """What came of an attempt: whether the lock is ours, why or why not, who holds it now and who did before."""

    acquired: bool
    why: str
    holder: Holder
    before: Holder | None


def _for_readers(path: Path, mode: int) -> None:
    os.chmod(path, mode)
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            os.chown(path, 0, grp.getgrnam(READERS).gr_gid)


def make(folder: Path) -> None:
    """Have the folder there."""
    if not folder.is_dir():
        if not folder.parent.is_dir():
            folder.parent.mkdir(parents=True)
            os.chmod(folder.parent, 0o755)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
    _for_readers(folder, 0o750)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process of this host at a time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, text: str) -> None:
    """Put a file in its place in one step, with what it says on the disk before."""
    new = path.with_name(f".{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    _for_readers(new, 0o640)
    new.replace(path)


def holder(folder: Path) -> Holder | None:
    """Who holds the lock. One that cannot be read is somebody's whose name is not known."""
    path = folder / "lock"
    try:
        return holder_from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        written = path.stat().st_mtime
        return Holder("unreadable", since=written, renewed_at=written)


def take(
    folder: Path,
    mine: Holder,
    lease: float,
    take_over: str = "",
    gone: str = "",
    wait: float = 0.0,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> Taken:
    """Take the lock, or renew it. C(lease): seconds; C(wait): seconds to wait for a holder that is about to give way. Raises ValueError where this
    run has it here already under the name of another keeper: their majority would be that of one host."""
    until = clock() + wait
    while True:
        with _alone(folder):
            now, before = clock(), holder(folder)
            why = judge(before, mine, now, lease, take_over, gone)
            if why == "ours" and before is not None and before.keeper not in ("", mine.keeper):
                raise ValueError(
                    f"this host is {before.keeper} too: ansible_host leads there. A delegated task keeps the inventory_hostname of the host that it comes "
                    "from, so make ansible_host of a variable that each host has for itself"
                )
            if why != "held" or before is None:
                since = before.since if before is not None and why == "ours" else now
                held = replace(mine, since=since, renewed_at=now)
                _write(folder / "lock", holder_to_json(held))
                return Taken(True, why, held, before)
        if clock() >= until:
            return Taken(False, why, before, before)
        pause(0.5)


def give_back(folder: Path, mine: Holder, take_over: str = "") -> Holder | None:
    """Remove the lock where it is ours, or that of the run that is named. Who held it."""
    with _alone(folder):
        before = holder(folder)
        if before is not None and (mine.is_same(before) or before.id == take_over):
            (folder / "lock").unlink()
        return before


def keep(folder: Path, records: Mapping[str, str], newest: int) -> None:
    """Keep records by their ids, and of all of them so many. A record only ever grows, so what is shorter than what is there is an older copy."""
    with _alone(folder):
        for run, text in records.items():
            path = folder / f"{run}.jsonl"
            if ID.fullmatch(run) and (not path.exists() or path.stat().st_size < len(text.encode())):
                _write(path, text)
        for old in files(folder)[newest:]:
            old.unlink()


def files(folder: Path) -> list[Path]:
    """Records, the newest first."""
    return sorted((path for path in folder.glob("*.jsonl") if ID.fullmatch(path.stem)), reverse=True)


def records(folder: Path, limit: int = 0, run: str = "") -> list[Record]:
    """Records that are kept here, the newest first: so many of them, or that one."""
    chosen = [path for path in files(folder) if run in ("", path.stem)]
    return [parse(path.read_text(encoding="utf-8", errors="replace"), path.stem) for path in (chosen[:limit] if limit else chosen)]
