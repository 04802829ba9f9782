# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How config_tree makes a host what the plan says: stage, judge, replace, keep, put back.

The whole tree is staged, the checkers judge it, everything is written beside its place, and only then renamed. What can fail for want of
room or rights fails before the first rename; whatever fails after it is undone from hard links to the very inodes that were replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import pwd
import shlex
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._config_tree import (
    CHECKER_SECONDS,
    NEW_SUFFIX,
    OLD_SUFFIX,
    SEARCH_PATH,
    Accounts,
    Attributes,
    ConfigTreeError,
    DirectoryChange,
    FileChange,
    Loaded,
    Places,
    Plan,
    Tree,
    beside,
    known_path,
    lstat,
    make_plan,
    name_of,
    names,
    previous,
    read,
    read_known,
    remembered,
    run,
    scrub,
    target,
)

STAGED = "{staged}"
LOCK_SECONDS = 300  # longer than any other call's checkers should take
OUTPUT_READ = 50_000  # characters of what a checker prints that are looked at
OUTPUT_CHARACTERS = 2000  # of these, told to the operator


@dataclass
class Outcome:
    plan: Plan
    warnings: list[str] = field(default_factory=list)


def converge(tree: Tree, places: Places, *, check: bool = False, loaded: Loaded | None = None, judge: bool = False) -> Outcome:
    """Makes the file system what the tree says, or fails and leaves it as it was. C(judge): also where no file differs. Raises ConfigTreeError."""
    try:
        plan = make_plan(tree, places, check=check, loaded=loaded)
        urgent = plan.differs or judge or bool(plan.leftovers and not check)
        if not urgent and not _stale(places):
            return Outcome(plan)
        with _lock(places, wait=urgent) as locked:
            if not locked:
                return Outcome(plan)  # the staged tree that was seen is not stale but somebody's at work
            _sweep(places)
            plan = make_plan(tree, places, check=check, loaded=loaded)
            outcome = Outcome(plan)
            if not check:
                for path in plan.leftovers:
                    _remove(path)
            if plan.differs or judge:
                with _staged(tree, places) as root:
                    outcome.warnings += _judge(tree, plan, root, check=check)
            if plan.differs and not check:
                _replace(plan, places)
            return outcome
    except OSError as error:
        raise ConfigTreeError(_explain(error)) from error


def remember(params: Mapping[str, Any], places: Places) -> None:
    """Keeps on the host what this call says of its files: who reads them, which are secret, what judges them. Raises ConfigTreeError."""
    try:
        before = read_known(places)
        after = remembered(before, params)
        if after == before:
            return
        path = known_path(places)
        _private(places.state)
        temporary = beside(path, NEW_SUFFIX)
        _remove(temporary)
        _write(temporary, json.dumps(after, indent=1).encode(), Attributes(None, None, 0o600))
        os.rename(temporary, path)
    except OSError as error:
        raise ConfigTreeError(_explain(error)) from error


def _explain(error: OSError) -> str:
    where = error.filename2 or error.filename
    what = error.strerror or str(error)
    if error.errno in (errno.EBUSY, errno.EXDEV):
        what = "a mount point cannot be replaced by a rename"
    elif error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0:
        what += " (the task needs become)"
    return f"{what}: {target(os.fsdecode(where))}" if where else what


def _make_directories(path: str) -> None:
    """Like os.makedirs, but the umask has no say."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for name in reversed(missing):
        os.mkdir(name)
        os.chmod(name, 0o755)


def _private(path: str) -> str:
    """Makes a 0700 directory of our own, or fails when the name is somebody else's."""
    _make_directories(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ConfigTreeError(
            f"{path} is not a directory of user {name_of(pwd.getpwuid, os.geteuid())}: remove it, config_tree keeps its work there"
        )
    if stat.S_IMODE(status.st_mode) != 0o700:
        os.chmod(path, 0o700)
    return path


def _stale(places: Places) -> list[str]:
    return [os.path.join(places.work, name) for name in names(places.work) if name.startswith("staged-")]


def _sweep(places: Places) -> None:
    """Only under the lock: then every staged tree is one of a run that was killed."""
    for path in _stale(places):
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _lock(places: Places, *, wait: bool, seconds: float = LOCK_SECONDS) -> Iterator[bool]:
    """One call at a time on a host. The kernel lets go of the lock of a process that dies."""
    descriptor = os.open(os.path.join(_private(places.work), "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not wait:
                    yield False
                    return
                if time.monotonic() >= end:
                    raise ConfigTreeError(
                        f"another config_tree holds {places.work}/lock for over {seconds:.0f} s: see what hangs there"
                    ) from None
                time.sleep(0.1)
        yield True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _staged(tree: Tree, places: Places) -> Iterator[str]:
    """The whole tree below a 0700 directory, with the owners and modes that it will have."""
    if not tree.validate:
        yield ""
        return
    accounts = Accounts()
    root = tempfile.mkdtemp(prefix="staged-", dir=places.work)
    try:
        for directory in sorted(tree.directories, key=lambda item: item.path):
            _make_directories(root + directory.path)
        for file in tree.files:
            _make_directories(os.path.dirname(root + file.dest))
            after = Attributes(accounts.uid(file.owner, file.dest), accounts.gid(file.group, file.dest), file.mode)
            _write(root + file.dest, file.content, after, sync=False)
        for path, leads in tree.links:
            _make_directories(os.path.dirname(root + path))
            os.symlink(root + leads if leads.startswith("/etc/") else leads, root + path)
        for directory in sorted(tree.directories, key=lambda item: item.path, reverse=True):
            uid = -1 if directory.owner is None else accounts.uid(directory.owner, directory.path)
            gid = -1 if directory.group is None else accounts.gid(directory.group, directory.path)
            os.chown(root + directory.path, -1 if uid is None else uid, -1 if gid is None else gid)
            if directory.mode is not None:
                os.chmod(root + directory.path, directory.mode)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _judge(tree: Tree, plan: Plan, root: str, *, check: bool) -> list[str]:
    """Runs the checkers on the staged tree; returns warnings. Raises ConfigTreeError with what the first that refuses says."""
    warnings = []
    for command in tree.validate:
        words = [word.replace(STAGED, root) for word in command]
        if shutil.which(words[0], path=SEARCH_PATH) is None:
            if not check:
                raise ConfigTreeError(
                    f"the checker {words[0]} is not on this host: install its package before this task; nothing was replaced"
                )
            warnings.append(f"not validated in check mode: {words[0]} is not installed yet ({shlex.join(command)})")
            continue
        code, output, errors = run(words)
        if code == 0:
            continue
        output = "\n".join(text.strip()[-OUTPUT_READ:] for text in (output, errors) if text.strip())
        secrets = [file.content.decode("utf-8", "replace") for file in tree.files if file.secret]
        if secrets:
            public = [*tree.public, *(file.content.decode("utf-8", "replace") for file in tree.files if not file.secret)]
            public += [file.dest for file in tree.files] + [root] + [word for item in tree.validate for word in item]
            output = scrub(output, secrets, public)
        output = output.replace(root, STAGED)[-OUTPUT_CHARACTERS:].strip()
        how = f"took over {CHECKER_SECONDS} s" if code is None else f"ended with {code}"
        changes = ", ".join([change.dest for change in plan.files] or plan.changed_directories)
        raise ConfigTreeError(
            f"{shlex.join(command)} refuses the configuration ({how}): {output or 'it printed nothing'}. "
            f"Nothing was replaced; would have changed: {changes}",
            command=list(command),
            rc=code,
            stderr=output,
            would_change=[change.dest for change in plan.files],
        )
    return warnings


def _write(path: str, content: bytes, attributes: Attributes, *, sync: bool = True) -> None:
    """A new file, never readable by more than its mode says, not even for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        _own(stream.fileno(), attributes)
        if sync:
            os.fsync(stream.fileno())


def _own(descriptor: int, attributes: Attributes) -> None:
    status = os.fstat(descriptor)
    uid, gid = attributes.uid, attributes.gid
    if (uid is not None and uid != status.st_uid) or (gid is not None and gid != status.st_gid):
        os.fchown(descriptor, -1 if uid is None else uid, -1 if gid is None else gid)
    os.fchmod(descriptor, attributes.mode)


def _own_directory(path: str, attributes: Attributes) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _own(descriptor, attributes)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(plan: Plan, places: Places) -> None:
    """All or nothing: prepare beside each place, then rename; on any error undo in reverse."""
    undo: list[Callable[[], None]] = []
    kept: list[tuple[str | None, str]] = []
    try:
        for directory in plan.directories:
            _make_directory(directory, undo)
        for change in plan.files:
            if change.file is not None and change.after is not None:
                temporary = beside(change.dest, NEW_SUFFIX)
                undo.append(functools.partial(_remove, temporary))
                _write(temporary, change.file.content, change.after)
        for change in plan.files:
            kept.append(_keep(change, places, undo))
        for change in plan.files:
            _rename(change, undo)
        for name, final in kept:
            if name is None:
                with contextlib.suppress(NotADirectoryError):  # what is a directory now was a file when it was kept
                    _remove(final)
            else:
                os.rename(name, final)
    except BaseException as error:
        _put_back(undo, error)
        raise
    for change in plan.files:
        _remove(beside(change.dest, OLD_SUFFIX))
    for parent in sorted(
        {os.path.dirname(change.dest) for change in plan.files} | {os.path.dirname(item.path) for item in plan.directories}
    ):
        _sync_directory(parent)


def _make_directory(change: DirectoryChange, undo: list[Callable[[], None]]) -> None:
    before = change.before
    if before is None:
        os.mkdir(change.path, 0o700)
        undo.append(lambda: os.rmdir(change.path))
    else:
        undo.append(lambda: _own_directory(change.path, before))
    _own_directory(change.path, change.after)


def _rename(change: FileChange, undo: list[Callable[[], None]]) -> None:
    old = beside(change.dest, OLD_SUFFIX)
    if change.file is None:
        os.rename(change.dest, old)
        undo.append(lambda: os.rename(old, change.dest))
        return
    if change.before is None:
        undo.append(lambda: _remove(change.dest))
    else:
        os.link(change.dest, old, follow_symlinks=False)
        undo.append(lambda: _remove(old))  # a rename onto another link of the same file does nothing
        undo.append(lambda: os.rename(old, change.dest))
    os.rename(beside(change.dest, NEW_SUFFIX), change.dest)


def _put_back(undo: list[Callable[[], None]], error: BaseException) -> None:
    failed = []
    for step in reversed(undo):
        try:
            step()
        except OSError as problem:
            failed.append(str(problem))
    if failed:
        raise ConfigTreeError(
            f"{error}; and putting back failed: {'; '.join(failed)}. Run the play again when the cause is mended"
        ) from error
    if isinstance(error, OSError):
        raise ConfigTreeError(f"{_explain(error)}; everything that was replaced has been put back") from error


def _keep(change: FileChange, places: Places, undo: list[Callable[[], None]]) -> tuple[str | None, str]:
    """Writes what is about to be replaced beside its place among the kept versions: (temporary name, final name).

    No temporary name: there was nothing before, so nothing may be kept that a rollback would bring back.
    """
    _private(places.state)
    root = _private(previous(places))
    final = root + change.dest
    if change.before is None:
        return None, final
    parent = root
    for part in change.dest.strip("/").split("/")[:-1]:
        parent = os.path.join(parent, part)
        status = lstat(parent)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            os.unlink(parent)
            status = None
        if status is None:
            os.mkdir(parent, 0o700)
    if os.path.isdir(final) and not os.path.islink(final):
        shutil.rmtree(final)
    temporary = beside(final, NEW_SUFFIX)
    undo.append(functools.partial(_remove, temporary))
    _remove(temporary)
    if change.link is not None:
        os.symlink(change.link, temporary)
    else:
        content = change.content_before if change.content_before is not None else read(change.dest)
        _write(temporary, content, change.before)
    return temporary, final
