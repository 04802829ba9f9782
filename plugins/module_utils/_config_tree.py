# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What config_tree does on a host: plan, stage, judge, replace, keep, put back. Knows nothing of AnsibleModule.

Order of the work: L(parse) the wish, L(plan) the difference to the file system, and when there is one L(apply): stage the whole tree, let the
checkers judge it, write everything beside its place, and only then rename. What can fail for want of room or rights fails before the first rename;
whatever fails after it is undone from hard links to the very inodes that were replaced.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import fnmatch
import grp
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ARGUMENT_SPEC: dict[str, Any] = {
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "raw", "default": "0644"},
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mode": {"type": "raw"},
            "exclusive": {"type": "list", "elements": "str", "default": []},
        },
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "dest": {"type": "str", "required": True},
            "template": {"type": "str"},
            "content": {"type": "raw"},
            "vars": {"type": "dict"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mode": {"type": "raw"},
            "secret": {"type": "bool", "default": False, "no_log": False},
        },
    },
    "absent": {"type": "list", "elements": "str", "default": []},
    "validate": {"type": "list", "elements": "raw", "default": []},
    "state_directory": {"type": "str", "default": "/var/lib/arxos/config_tree"},
    "rendered": {"type": "str", "no_log": True},
}

STAGED = "{staged}"
NEW_SUFFIX, OLD_SUFFIX = ".arxos-new", ".arxos-old"
LEFTOVER = re.compile(r"\..+\.arxos-(?:new|old)")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHECKER_SECONDS = 120  # a checker that takes longer hangs
LOCK_SECONDS = 300  # longer than any other call's checkers should take
OUTPUT_CHARACTERS = 2000  # of a checker, told to the operator
DIFF_BYTES = 104448  # the limit of Ansible's own modules
SHINGLE = 6  # characters that output and a secret have to share to be masked
MASK = "********"


class ConfigTreeError(Exception):
    """The one error of this file: a message that says what to do, and facts for the module's result."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts


# ---------------------------------------------------------------- the wish


@dataclass(frozen=True)
class File:
    """A file as it shall be."""

    dest: str
    content: bytes
    owner: str
    group: str
    mode: int
    secret: bool = False


@dataclass(frozen=True)
class Directory:
    """A directory as it shall be; None leaves that attribute of an existing directory alone."""

    path: str
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    exclusive: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """Everything that one call asks for."""

    files: tuple[File, ...] = ()
    directories: tuple[Directory, ...] = ()
    absent: tuple[str, ...] = ()
    validate: tuple[tuple[str, ...], ...] = ()
    public: tuple[str, ...] = ()  # text that may be shown although a secret file has it too


@dataclass(frozen=True)
class Places:
    """Where config_tree keeps its own things: `state` outlives a boot, `work` need not. Both are 0700."""

    state: str
    work: str


def default_work_directory() -> str:
    """/run for root, so that what a killed run left staged is gone with the next boot at the latest."""
    return "/run/arxos-config-tree" if os.geteuid() == 0 else os.path.join(tempfile.gettempdir(), f"arxos-config-tree-{os.geteuid()}")


def pack(contents: Mapping[str, str], public: Iterable[str]) -> str:
    """One opaque string of {dest: content}: it is compressed, and nothing of it can be read in a log."""
    text = json.dumps({"contents": dict(contents), "public": list(public)})
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogateescape"))).decode()


def unpack(rendered: str) -> tuple[dict[str, str], list[str]]:
    """The reverse of pack. Raises ConfigTreeError."""
    try:
        data = json.loads(zlib.decompress(base64.b64decode(rendered, validate=True)).decode("utf-8", "surrogateescape"))
        return dict(data["contents"]), list(data["public"])
    except (ValueError, KeyError, TypeError, binascii.Error, zlib.error):
        raise ConfigTreeError(
            "rendered is not what the config_tree action makes: leave it out, and call arxos.platform.config_tree as a task"
        ) from None


def parse(params: Mapping[str, Any], contents: Mapping[str, str], public: Iterable[str] = ()) -> Tree:
    """The wish, from parameters that passed ARGUMENT_SPEC. Raises one ConfigTreeError that names every fault."""
    faults: list[str] = []

    def path(value: str, what: str) -> str:
        if not value.startswith("/") or value == "/" or "\0" in value or os.path.normpath(value) != value or value.startswith("//"):
            faults.append(f"{what} {value!r} is not an absolute path without '.', '..' and trailing '/'")
        elif len(os.fsencode(os.path.basename(value))) > 255 - len(NEW_SUFFIX) - 1:
            faults.append(f"{what} {value!r} has a name that is too long")
        elif value.endswith((NEW_SUFFIX, OLD_SUFFIX)):
            faults.append(f"{what} {value!r} ends like this module's temporary files")
        return value

    def mode(value: Any, where: str) -> int:
        if isinstance(value, str) and re.fullmatch(r"0?[0-7]{3,4}", value):
            return int(value, 8)
        faults.append(f"mode {value!r} of {where} is not a quoted octal string such as '0644'")
        return 0

    default_mode = params["mode"] if params["mode"] is not None else "0644"
    files = tuple(
        File(
            dest=path(item["dest"], "dest"),
            content=contents.get(item["dest"], "").encode("utf-8", "surrogateescape"),
            owner=item["owner"] or params["owner"] or "root",
            group=item["group"] or params["group"] or "root",
            mode=mode(default_mode if item["mode"] is None else item["mode"], item["dest"]),
            secret=bool(item["secret"]),
        )
        for item in params["files"] or []
    )
    directories = tuple(
        Directory(
            path=path(item["path"], "directory"),
            owner=item["owner"],
            group=item["group"],
            mode=None if item["mode"] is None else mode(item["mode"], item["path"]),
            exclusive=tuple(item["exclusive"] or ()),
        )
        for item in params["directories"] or []
    )
    absent = tuple(path(item, "absent") for item in params["absent"] or [])
    for directory in directories:
        faults += [
            f"exclusive pattern {pattern!r} of {directory.path} is not a pattern of file names"
            for pattern in directory.exclusive
            if not pattern or "/" in pattern
        ]
    faults += _contradictions(files, directories, absent)
    validate = tuple(_command(item, faults) for item in params["validate"] or [])
    path(params["state_directory"], "state_directory")
    if faults:
        raise ConfigTreeError("; ".join(dict.fromkeys(faults)), faults=list(dict.fromkeys(faults)))
    return Tree(files, directories, absent, validate, tuple(public))


def _command(item: Any, faults: list[str]) -> tuple[str, ...]:
    """The arguments of one checker; a string is split like a shell would split it, but no shell ever runs."""
    try:
        words = shlex.split(item) if isinstance(item, str) else [str(word) for word in item] if isinstance(item, (list, tuple)) else []
    except ValueError as error:
        faults.append(f"validate command {item!r} cannot be split into arguments ({error})")
        return ()
    if not words or not words[0] or any("\0" in word for word in words):
        faults.append(f"validate command {item!r} is neither a command line nor a list of arguments")
    return tuple(words)


def _contradictions(files: tuple[File, ...], directories: tuple[Directory, ...], absent: tuple[str, ...]) -> list[str]:
    faults = []
    kinds = (
        [(file.dest, "files") for file in files]
        + [(item.path, "directories") for item in directories]
        + [(item, "absent") for item in absent]
    )
    seen: dict[str, str] = {}
    for name, kind in kinds:
        if name in seen:
            faults.append(f"{name} is given twice, under {seen[name]} and under {kind}")
        seen.setdefault(name, kind)
    for name in seen:
        parent = os.path.dirname(name)
        while parent != os.path.dirname(parent):
            if seen.get(parent) == "files" or (seen.get(parent) == "absent" and seen[name] != "absent"):
                faults.append(f"{name} lies below {parent}, which is given under {seen[parent]}")
            parent = os.path.dirname(parent)
    return faults


# ---------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Attributes:
    """Owner, group, permission bits. None stands for an owner or group that does not exist yet (check mode)."""

    uid: int | None
    gid: int | None
    mode: int

    def __str__(self) -> str:
        return f"{_name(pwd.getpwuid, self.uid)}:{_name(grp.getgrgid, self.gid)} {self.mode:04o}"


@dataclass(frozen=True)
class FileChange:
    """`before` None: the file is new. `file` None: it goes. `link` is the target when a symbolic link goes."""

    dest: str
    before: Attributes | None
    after: Attributes | None
    content_before: bytes | None
    file: File | None
    link: str | None = None

    @property
    def content_differs(self) -> bool:
        return self.file is None or self.content_before != self.file.content


@dataclass(frozen=True)
class DirectoryChange:
    """`before` None: the directory is new."""

    path: str
    before: Attributes | None
    after: Attributes


@dataclass(frozen=True)
class Plan:
    files: tuple[FileChange, ...] = ()
    directories: tuple[DirectoryChange, ...] = ()
    leftovers: tuple[str, ...] = ()  # of a killed run

    @property
    def changed(self) -> bool:
        return bool(self.files or self.directories)

    @property
    def changed_files(self) -> list[str]:
        return [change.dest for change in self.files]

    @property
    def changed_directories(self) -> list[str]:
        return [change.path for change in self.directories]


def _name(look: Callable[[int], Any], number: int | None) -> str:
    if number is None:
        return "?"
    try:
        return str(look(number)[0])
    except KeyError:
        return str(number)


def _attributes(status: os.stat_result) -> Attributes:
    return Attributes(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


class _Accounts:
    """Looks names up once, and remembers which do not exist and who needs them."""

    def __init__(self) -> None:
        self.missing: dict[tuple[str, str], list[str]] = {}
        self._known: dict[tuple[str, str], int | None] = {}

    def uid(self, name: str, path: str) -> int | None:
        return self._number("user", name, path, lambda: pwd.getpwnam(name).pw_uid)

    def gid(self, name: str, path: str) -> int | None:
        return self._number("group", name, path, lambda: grp.getgrnam(name).gr_gid)

    def _number(self, kind: str, name: str, path: str, look: Callable[[], int]) -> int | None:
        if name.isascii() and name.isdigit():
            return int(name)
        key = (kind, name)
        if key not in self._known:
            try:
                self._known[key] = look()
            except (KeyError, ValueError):
                self._known[key] = None
        if self._known[key] is None:
            self.missing.setdefault(key, []).append(path)
        return self._known[key]

    def refuse_missing(self) -> None:
        if self.missing:
            raise ConfigTreeError(
                "; ".join(
                    f"{kind} {name} does not exist: create it in an earlier task (its package, ansible.builtin.{kind}), or name another "
                    f"{'owner' if kind == 'user' else 'group'} for {', '.join(paths)}"
                    for (kind, name), paths in self.missing.items()
                ),
                missing=[f"{kind} {name}" for kind, name in self.missing],
            )


def make_plan(tree: Tree, *, check: bool = False) -> Plan:
    """What differs between the wish and the file system; only reads. Raises ConfigTreeError for what it will not touch."""
    accounts, faults = _Accounts(), []
    directories = _plan_directories(tree, accounts, faults)
    files: list[FileChange] = []
    leftovers: list[str] = []
    for file in tree.files:
        leftovers += _leftovers(file.dest)
        status = _lstat(file.dest)
        if status is not None and not stat.S_ISREG(status.st_mode):
            faults.append(_refusal(file.dest, status))
            continue
        after = Attributes(accounts.uid(file.owner, file.dest), accounts.gid(file.group, file.dest), file.mode)
        content = None if status is None else _read(file.dest)
        before = None if status is None else _attributes(status)
        if before != after or content != file.content:
            files.append(FileChange(file.dest, before, after, content, file))
    wanted = {file.dest for file in tree.files} | {item.path for item in tree.directories}
    doomed = list(tree.absent)
    for directory in tree.directories:
        for name in _names(directory.path) if directory.exclusive else ():
            path = os.path.join(directory.path, name)
            if LEFTOVER.fullmatch(name):
                leftovers.append(path)
            elif path not in wanted and path not in doomed and matches(name, directory.exclusive):
                status = _lstat(path)
                if status is not None and not stat.S_ISDIR(status.st_mode):
                    doomed.append(path)
    for path in doomed:
        leftovers += _leftovers(path)
        status = _lstat(path)
        if status is None:
            continue
        if stat.S_ISLNK(status.st_mode):
            files.append(FileChange(path, _attributes(status), None, None, None, os.readlink(path)))
        elif stat.S_ISREG(status.st_mode):
            files.append(FileChange(path, _attributes(status), None, None, None))
        else:
            faults.append(f"{path} is a directory or a special file: config_tree removes only files and symbolic links")
    if faults:
        raise ConfigTreeError("; ".join(dict.fromkeys(faults)), faults=list(dict.fromkeys(faults)))
    if not check:
        accounts.refuse_missing()
    return Plan(tuple(files), tuple(directories), tuple(dict.fromkeys(leftovers)))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """As a shell matches: a leading dot has to be asked for."""
    return any(fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith(".")) for pattern in patterns)


def _plan_directories(tree: Tree, accounts: _Accounts, faults: list[str]) -> list[DirectoryChange]:
    """Parents come before children, whatever the order of the wish."""
    declared = {directory.path: directory for directory in tree.directories}
    wanted = set(declared)
    for path in [file.dest for file in tree.files] + list(declared):
        parent = os.path.dirname(path)
        while parent != "/":
            wanted.add(parent)
            parent = os.path.dirname(parent)
    changes = []
    for path in sorted(wanted):
        directory = declared.get(path)
        status = _lstat(path)
        if status is not None and stat.S_ISLNK(status.st_mode) and directory is None and status.st_uid in (0, os.geteuid()):
            status = _stat(path)  # such as /lib or /var/run: root's own link on the way is followed, anyone else's is not
        if status is not None and not stat.S_ISDIR(status.st_mode):
            faults.append(_refusal(path, status, "directory"))
            continue
        before = None if status is None else _attributes(status)
        fallback = before or Attributes(0 if os.geteuid() == 0 else os.geteuid(), 0 if os.geteuid() == 0 else os.getegid(), 0o755)
        after = fallback
        if directory is not None:
            after = Attributes(
                fallback.uid if directory.owner is None else accounts.uid(directory.owner, path),
                fallback.gid if directory.group is None else accounts.gid(directory.group, path),
                fallback.mode if directory.mode is None else directory.mode,
            )
        if before != after:
            changes.append(DirectoryChange(path, before, after))
    return changes


def _refusal(path: str, status: os.stat_result, wanted: str = "regular file") -> str:
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a symbolic link to {os.readlink(path)}: manage its target, or remove the link first (a link is neither followed nor replaced)"
    return f"{path} exists and is not a {wanted}: remove it first"


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _beside(path: str, suffix: str) -> str:
    """Hidden, and of a name that no daemon's include pattern matches."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}{suffix}")


def _leftovers(path: str) -> list[str]:
    return [name for name in (_beside(path, NEW_SUFFIX), _beside(path, OLD_SUFFIX)) if os.path.lexists(name)]


# ---------------------------------------------------------------- the diff


def make_diff(plan: Plan) -> list[dict[str, str]]:
    """One entry a path, one more where attributes change. Of a secret file, and of a file that goes, the content is never in it."""
    diff = []
    for directory in plan.directories:
        diff.append(_attributes_diff(directory.path, directory.before, directory.after, "directory"))
    for change in plan.files:
        if change.file is None:
            gone = f"symbolic link to {change.link}" if change.link is not None else "file"
            diff.append(
                {
                    "before_header": change.dest,
                    "after_header": f"{change.dest} (absent)",
                    "before": f"{gone}, {change.before}\n",
                    "after": "",
                }
            )
            continue
        if change.content_differs:
            secret = change.file.secret
            before = "" if change.content_before is None else "(secret content)\n" if secret else _text(change.content_before)
            after = (
                "(secret content, it differs)\n"
                if secret and change.before
                else "(secret content)\n"
                if secret
                else _text(change.file.content)
            )
            diff.append(
                {
                    "before_header": change.dest if change.before else f"{change.dest} (absent)",
                    "after_header": change.dest if change.before else f"{change.dest} ({change.after})",
                    "before": before,
                    "after": after,
                }
            )
        if change.before and change.after and change.before != change.after:
            diff.append(_attributes_diff(change.dest, change.before, change.after, "attributes"))
    return diff


def _attributes_diff(path: str, before: Attributes | None, after: Attributes, what: str) -> dict[str, str]:
    return {
        "before_header": f"{path} ({what})" if before else f"{path} (absent)",
        "after_header": f"{path} ({what})",
        "before": f"{before}\n" if before else "",
        "after": f"{after}\n",
    }


def _text(content: bytes) -> str:
    if len(content) > DIFF_BYTES:
        return f"({len(content)} bytes, too many to show)\n"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return f"({len(content)} bytes that are not text)\n"
    return f"({len(content)} bytes that are not text)\n" if "\0" in text else text


# ---------------------------------------------------------------- secrets in the output of checkers


def scrub(text: str, secrets: Iterable[str], public: Iterable[str]) -> str:
    """Masks what the text shares with secrets: runs of SHINGLE or more characters, and whole words of three or more.

    Checkers quote, cut and escape what they complain about, so whole secrets are not enough to look for. What public text has as well stays.
    """
    shown = "\n".join(public)
    words, shingles = set(), set()
    for secret in secrets:
        for word in secret.split():
            shingles.update(word[start : start + SHINGLE] for start in range(len(word) - SHINGLE + 1))
            words.update(part for part in [word, *re.findall(r"\w+", word)] if 3 <= len(part) < SHINGLE)
    shingles -= {shown[start : start + SHINGLE] for start in range(len(shown) - SHINGLE + 1)}
    words -= set(re.findall(r"\w+", shown)) | set(shown.split())
    hidden = [False] * len(text)
    for start in range(len(text) - SHINGLE + 1):
        if text[start : start + SHINGLE] in shingles:
            hidden[start : start + SHINGLE] = [True] * SHINGLE
    for match in re.finditer(r"\w+|\S+", text):
        if match.group() in words:
            hidden[match.start() : match.end()] = [True] * len(match.group())
    pieces, last = [], False
    for character, mask in zip(text, hidden):
        if not mask:
            pieces.append(character)
        elif not last:
            pieces.append(MASK)
        last = mask
    return "".join(pieces)


# ---------------------------------------------------------------- the work


@dataclass
class Outcome:
    plan: Plan
    warnings: list[str] = field(default_factory=list)


def converge(tree: Tree, places: Places, *, check: bool = False) -> Outcome:
    """Makes the file system what the tree says, or fails and leaves it as it was. Raises ConfigTreeError."""
    try:
        plan = make_plan(tree, check=check)
        if not plan.changed and not plan.leftovers and not _stale(places):
            return Outcome(plan)
        with _lock(places, wait=plan.changed or bool(plan.leftovers)) as locked:
            if not locked:
                return Outcome(plan)
            _sweep(places)
            plan = make_plan(tree, check=check)
            outcome = Outcome(plan)
            if not check:
                for path in plan.leftovers:
                    _remove(path)
            if plan.changed:
                with _staged(tree, places) as root:
                    outcome.warnings += _judge(tree, plan, root, check=check)
                if not check:
                    _replace(plan, places)
            return outcome
    except OSError as error:
        raise ConfigTreeError(f"{error.strerror or error}: {error.filename}" if error.filename else str(error)) from error


def _private(path: str) -> str:
    """Makes a 0700 directory of our own, or fails when the name is somebody else's."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ConfigTreeError(
            f"{path} is not a directory of user {_name(pwd.getpwuid, os.geteuid())}: remove it, config_tree keeps its work there"
        )
    if stat.S_IMODE(status.st_mode) != 0o700:
        os.chmod(path, 0o700)
    return path


def _stale(places: Places) -> list[str]:
    return [os.path.join(places.work, name) for name in _names(places.work) if name.startswith("staged-")]


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
                        f"another config_tree has been at work on this host for {seconds:.0f} s: see what hangs (fuser {places.work}/lock)"
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
    accounts = _Accounts()
    root = tempfile.mkdtemp(prefix="staged-", dir=places.work)
    try:
        for directory in sorted(tree.directories, key=lambda item: item.path):
            os.makedirs(root + directory.path, mode=0o755, exist_ok=True)
        for file in tree.files:
            os.makedirs(os.path.dirname(root + file.dest), mode=0o755, exist_ok=True)
            after = Attributes(accounts.uid(file.owner, file.dest), accounts.gid(file.group, file.dest), file.mode)
            _write(root + file.dest, file.content, after, sync=False)
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
        code, output = _run(words)
        if code == 0:
            continue
        secrets = [file.content.decode("utf-8", "replace") for file in tree.files if file.secret]
        if secrets:
            public = [*tree.public, *(file.content.decode("utf-8", "replace") for file in tree.files if not file.secret)]
            public += [file.dest for file in tree.files] + [root] + [word for item in tree.validate for word in item]
            output = scrub(output, secrets, public)
        output = output.replace(root, STAGED)[-OUTPUT_CHARACTERS:].strip()
        how = f"took over {CHECKER_SECONDS} s" if code is None else f"ended with {code}"
        changes = ", ".join(plan.changed_files) or ", ".join(plan.changed_directories)
        raise ConfigTreeError(
            f"{shlex.join(command)} refuses the configuration ({how}): {output or 'it printed nothing'}. Nothing was replaced; would have changed: {changes}",
            command=list(command),
            rc=code,
            stderr=output,
            would_change=plan.changed_files,
        )
    return warnings


def _run(words: list[str]) -> tuple[int | None, str]:
    """Exit code, or None when it was killed for taking too long, and what it printed: standard error, or else standard output."""
    environment = {**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env=environment, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=CHECKER_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            return None, (errors or output).decode("utf-8", "replace")
    return process.returncode, (errors.strip() or output).decode("utf-8", "replace")


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
    try:
        for directory in plan.directories:
            _make_directory(directory, undo)
        for change in plan.files:
            if change.file is not None and change.after is not None:
                temporary = _beside(change.dest, NEW_SUFFIX)
                undo.append(lambda name=temporary: _remove(name))  # type: ignore[misc]
                _write(temporary, change.file.content, change.after)
        kept = [_keep(change, places) for change in plan.files]
        for change in plan.files:
            _rename(change, undo)
        for temporary, final in kept:
            if temporary is None:
                _remove(final)
            else:
                os.rename(temporary, final)
    except BaseException as error:
        _put_back(undo, error)
        raise
    for change in plan.files:
        _remove(_beside(change.dest, OLD_SUFFIX))
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
    old = _beside(change.dest, OLD_SUFFIX)
    if change.file is None:
        os.rename(change.dest, old)
        undo.append(lambda: os.rename(old, change.dest))
        return
    if change.before is None:
        undo.append(lambda: _remove(change.dest))
    else:
        os.link(change.dest, old, follow_symlinks=False)
        undo.append(lambda: os.rename(old, change.dest))
    os.rename(_beside(change.dest, NEW_SUFFIX), change.dest)


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
        where = error.filename2 or error.filename
        raise ConfigTreeError(
            f"{error.strerror or error}{f': {where}' if where else ''}; everything that was replaced has been put back"
        ) from error


def _keep(change: FileChange, places: Places) -> tuple[str | None, str]:
    """Writes what is about to be replaced beside its place among the kept versions: (temporary name, final name).

    No temporary name: there was nothing before, so nothing may be kept that a rollback would bring back.
    """
    _private(places.state)
    root = _private(os.path.join(places.state, "previous"))
    final = root + change.dest
    if change.before is None:
        return None, final
    parent = root
    for part in change.dest.strip("/").split("/")[:-1]:
        parent = os.path.join(parent, part)
        status = _lstat(parent)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            os.unlink(parent)
            status = None
        if status is None:
            os.mkdir(parent, 0o700)
    if os.path.isdir(final) and not os.path.islink(final):
        shutil.rmtree(final)
    temporary = _beside(final, NEW_SUFFIX)
    _remove(temporary)
    if change.link is not None:
        os.symlink(change.link, temporary)
    else:
        content = change.content_before if change.content_before is not None else _read(change.dest)
        _write(temporary, content, change.before)
    return temporary, final
