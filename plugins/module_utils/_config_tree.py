# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What config_tree is asked for and what that differs from: the wish, the plan, the diff. Only reads; knows nothing of AnsibleModule."""

from __future__ import annotations

import base64
import binascii
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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
            "units": {"type": "list", "elements": "str"},
        },
    },
    "absent": {"type": "list", "elements": "str", "default": []},
    "validate": {"type": "list", "elements": "raw", "default": []},
    "units": {"type": "list", "elements": "str", "default": []},
    "state_directory": {"type": "str", "default": "/var/lib/arxos/config_tree"},
    "rendered": {"type": "str", "no_log": True},
}

NEW_SUFFIX, OLD_SUFFIX = ".arxos-new", ".arxos-old"
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(?:service|socket|timer|target|mount|path|slice)")
LEFTOVER = re.compile(r"\..+\.arxos-(?:new|old)")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHECKER_SECONDS = 120  # a checker that takes longer hangs
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
    units: tuple[str, ...] = ()


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
    units: tuple[str, ...] = ()  # that read what is removed; the files have their own
    public: tuple[str, ...] = ()  # text that may be shown although a secret file has it too
    links: tuple[tuple[str, str], ...] = ()  # symbolic links that the staged tree has as well, and where they lead; no role makes any


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
    owner, group = params["owner"] or "root", params["group"] or "root"
    mode = "0644" if params["mode"] is None else params["mode"]
    units = _units(params["units"], faults)
    files = tuple(
        File(
            dest=_path(item["dest"], "dest", faults),
            content=contents.get(item["dest"], "").encode("utf-8", "surrogateescape"),
            owner=item["owner"] or owner,
            group=item["group"] or group,
            mode=_mode(mode if item["mode"] is None else item["mode"], item["dest"], faults),
            secret=bool(item["secret"]),
            units=units if item["units"] is None else _units(item["units"], faults),
        )
        for item in params["files"] or []
    )
    directories = tuple(
        Directory(
            path=_path(item["path"], "directory", faults),
            owner=item["owner"] or None,
            group=item["group"] or None,
            mode=None if item["mode"] is None else _mode(item["mode"], item["path"], faults),
            exclusive=_patterns(item, faults),
        )
        for item in params["directories"] or []
    )
    absent = tuple(_path(item, "absent", faults) for item in params["absent"] or [])
    validate = tuple(_command(item, faults) for item in params["validate"] or [])
    _path(params["state_directory"], "state_directory", faults)
    if not faults:
        faults += _contradictions(files, directories, absent)
    _refuse(faults)
    return Tree(files, directories, absent, validate, units, tuple(public))


def _refuse(faults: Iterable[str]) -> None:
    """All faults in one message, each once."""
    unique = list(dict.fromkeys(faults))
    if unique:
        raise ConfigTreeError("; ".join(unique), faults=unique)


def _path(value: Any, what: str, faults: list[str]) -> str:
    if not isinstance(value, str):
        faults.append(f"{what} is not given as a path")
        return ""
    if not value.startswith("/") or value == "/" or "\0" in value or os.path.normpath(value) != value or value.startswith("//"):
        faults.append(f"{what} {value!r} is not an absolute path without '.', '..' and trailing '/'")
    elif any(len(os.fsencode(part)) > 255 - len(NEW_SUFFIX) - 1 for part in value.split("/")) or len(os.fsencode(value)) > 2048:
        faults.append(f"{what} {value!r} is too long")
    elif value.endswith((NEW_SUFFIX, OLD_SUFFIX)):
        faults.append(f"{what} {value!r} ends like a temporary file of config_tree")
    return value


def _mode(value: Any, where: Any, faults: list[str]) -> int:
    if isinstance(value, str) and re.fullmatch(r"0?[0-7]{3,4}", value):
        return int(value, 8)
    faults.append(f"mode {value!r} of {where} is not a quoted octal string such as '0644'")
    return 0


def _units(value: Iterable[Any] | None, faults: list[str]) -> tuple[str, ...]:
    units = tuple(str(unit) for unit in value or ())
    faults += [f"{unit!r} is not the full name of a unit, such as nginx.service" for unit in units if not UNIT.fullmatch(unit)]
    return units


def _patterns(item: Mapping[str, Any], faults: list[str]) -> tuple[str, ...]:
    patterns = tuple(str(pattern) for pattern in item["exclusive"] or ())
    faults += [
        f"exclusive pattern {name!r} of {item['path']} is not a pattern of file names" for name in patterns if not name or "/" in name
    ]
    return patterns


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


# ---------------------------------------------------------------- what stays known of it on the host


def remembered(known: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """What the host knows of its configuration, after one more call: C(files), by path with C(secret) and, where the role named some, C(units);
    C(checks), each a C(command) and the C(files) that it judges.

    A call says how its files are judged now: a check of nothing but these that it does not bring is forgotten. Files that a role does not bring
    any more stay known, since a commit of C(/etc) may have them still.
    """
    files = {path: dict(entry) for path, entry in known.get("files", {}).items()}
    dests = [item["dest"] for item in params["files"] or []]
    for item in params["files"] or []:
        entry: dict[str, Any] = {"secret": bool(item["secret"])}
        if item["units"] is not None or params["units"]:
            entry["units"] = list(params["units"] if item["units"] is None else item["units"])
        files[item["dest"]] = entry
    commands = [list(_command(item, [])) for item in params["validate"] or []]
    checks = []
    for check in known.get("checks", []):
        if check["command"] in commands:
            commands.remove(check["command"])
            checks.append({"command": check["command"], "files": sorted({*check["files"], *dests})})
        elif not subjects(check) <= set(dests):
            checks.append({"command": list(check["command"]), "files": list(check["files"])})
    checks += [{"command": command, "files": sorted(dests)} for command in commands]
    return {"files": dict(sorted(files.items())), "checks": sorted(checks, key=lambda check: (check["files"], check["command"]))}


def subjects(check: Mapping[str, Any]) -> set[str]:
    """The files that a known check names: those below C({staged}) that its command has, by a pattern or a directory too; all where it names none."""
    named = [path.rstrip("/") for word in check["command"] for path in re.findall(r"\{staged\}([^\s;,\"']*)", word)]
    return {
        file
        for file in check["files"]
        if not any(named) or any(path and (fnmatch.fnmatchcase(file, path) or file.startswith(path + "/")) for path in named)
    }


def read_known(places: Places) -> dict[str, Any]:
    """What is known, empty where nothing is, or what is there cannot be read: the next go-live writes it anew."""
    try:
        found = json.loads(read(known_path(places)))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"files", "checks"} <= found.keys() else {}


def known_path(places: Places) -> str:
    return os.path.join(places.state, "known.json")


# ---------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Attributes:
    """Owner, group, permission bits. None stands for an owner or group that does not exist yet (check mode)."""

    uid: int | None
    gid: int | None
    mode: int

    def __str__(self) -> str:
        return f"{name_of(pwd.getpwuid, self.uid)}:{name_of(grp.getgrgid, self.gid)} {self.mode:04o}"


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


Loaded = Callable[[list[str]], dict[str, float]]


@dataclass(frozen=True)
class Plan:
    files: tuple[FileChange, ...] = ()
    directories: tuple[DirectoryChange, ...] = ()
    pending: tuple[tuple[str, str | None], ...] = ()  # (file that is as it shall be, unit that has not read it since it was written)
    leftovers: tuple[str, ...] = ()  # of a killed run

    @property
    def differs(self) -> bool:
        return bool(self.files or self.directories)

    @property
    def changed(self) -> bool:
        return self.differs or bool(self.pending)

    @property
    def changed_files(self) -> list[str]:
        return list(dict.fromkeys([change.dest for change in self.files] + [path for path, unit in self.pending]))

    @property
    def changed_directories(self) -> list[str]:
        return [change.path for change in self.directories]


def name_of(look: Callable[[int], Any], number: int | None) -> str:
    if number is None:
        return "?"
    try:
        return str(look(number)[0])
    except KeyError:
        return str(number)


def _attributes(status: os.stat_result) -> Attributes:
    return Attributes(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


class Accounts:
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


def make_plan(tree: Tree, places: Places, *, check: bool = False, loaded: Loaded | None = None) -> Plan:
    """What differs between the wish and the file system; only reads. Raises ConfigTreeError for what it will not touch.

    `loaded` tells when each active unit was last started, restarted or reloaded (seconds since the epoch).
    """
    accounts = Accounts()
    faults: list[str] = []
    directories = _plan_directories(tree, accounts, faults)
    files: list[FileChange] = []
    doomed, leftovers = _doomed(tree, places)
    for file in tree.files:
        leftovers += _leftovers(file.dest)
        status = lstat(file.dest)
        if status is not None and not stat.S_ISREG(status.st_mode):
            faults.append(_refusal(file.dest, status))
            continue
        after = Attributes(accounts.uid(file.owner, file.dest), accounts.gid(file.group, file.dest), file.mode)
        content = None if status is None else read(file.dest)
        before = None if status is None else _attributes(status)
        if before != after or content != file.content:
            files.append(FileChange(file.dest, before, after, content, file))
    for path in doomed:
        leftovers += _leftovers(path)
        status = lstat(path)
        if status is None:
            continue
        if stat.S_ISLNK(status.st_mode):
            files.append(FileChange(path, _attributes(status), None, None, None, os.readlink(path)))
        elif stat.S_ISREG(status.st_mode):
            files.append(FileChange(path, _attributes(status), None, None, None))
        else:
            faults.append(f"{path} is a directory or a special file: config_tree removes only files and symbolic links")
    _refuse(faults)
    if not check:
        accounts.refuse_missing()
    changing = {change.dest for change in files}
    pending = _pending(tree, [path for path in doomed if path not in changing], changing, places, loaded or loaded_units)
    return Plan(tuple(files), tuple(directories), tuple(pending), tuple(dict.fromkeys(leftovers)))


def _doomed(tree: Tree, places: Places) -> tuple[list[str], list[str]]:
    """What shall not exist, whether it still does or once did; and leftovers that were met on the way."""
    wanted = {file.dest for file in tree.files} | {directory.path for directory in tree.directories}
    doomed, leftovers = list(tree.absent), []
    for directory in tree.directories:
        listed = [*names(directory.path), *names(previous(places) + directory.path)] if directory.exclusive else []
        for name in dict.fromkeys(listed):
            path = os.path.join(directory.path, name)
            if LEFTOVER.fullmatch(name):
                leftovers += [path] if os.path.lexists(path) else []
            elif path not in wanted and path not in doomed and matches(name, directory.exclusive):
                status = lstat(path)
                if status is None or not stat.S_ISDIR(status.st_mode):
                    doomed.append(path)
    return doomed, leftovers


def _pending(tree: Tree, gone: list[str], changing: set[str], places: Places, loaded: Loaded) -> list[tuple[str, str | None]]:
    """Files that are as they shall be, but that nobody may have been told of because an earlier run was killed: (file, unit).

    Either that run died between the files (no unit is named then), or the unit was last (re)started or reloaded before the file was
    written. A removed file is as old as its kept version, which is written when the file goes.
    """
    reads = [(file.dest, file.dest, file.units) for file in tree.files] + [(path, previous(places) + path, tree.units) for path in gone]
    reads = [read for read in reads if read[0] not in changing]
    pending: list[tuple[str, str | None]] = [(path, None) for path, witness, readers in reads if os.path.lexists(beside(path, OLD_SUFFIX))]
    units = list(dict.fromkeys(unit for path, witness, readers in reads for unit in readers))
    times = loaded(units) if units else {}
    for path, witness, readers in reads:
        status = lstat(witness)
        pending += [(path, unit) for unit in readers if status is not None and unit in times and times[unit] < status.st_mtime]
    return pending


def loaded_units(units: list[str]) -> dict[str, float]:
    """When each active unit last changed its state, which a reload does too, in seconds since the epoch."""
    words = ["systemctl", "show", "--property=ActiveState,StateChangeTimestampMonotonic", "--", *units]
    if shutil.which(words[0], path=SEARCH_PATH) is None:
        return {}
    code, output, _errors = run(words)
    if code != 0:
        return {}
    boot = time.time() - time.monotonic()
    times = {}
    for unit, block in zip(units, output.strip().split("\n\n")):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        since = values.get("StateChangeTimestampMonotonic", "")
        if values.get("ActiveState") in ("active", "reloading") and since.isdigit():
            times[unit] = boot + int(since) / 1_000_000
    return times


def run(words: list[str]) -> tuple[int | None, str, str]:
    """Exit code (None: it took too long and was killed), standard output and standard error of a command without a shell."""
    environment = {**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8"}
    code: int | None
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env=environment, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=CHECKER_SECONDS)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            code = None
    return code, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """As a shell matches: a leading dot has to be asked for."""
    return any(fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith(".")) for pattern in patterns)


def _plan_directories(tree: Tree, accounts: Accounts, faults: list[str]) -> list[DirectoryChange]:
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
        status = lstat(path)
        if status is not None and stat.S_ISLNK(status.st_mode) and directory is None and status.st_uid in (0, os.geteuid()):
            status = _stat(path)  # such as /lib or /var/run: root's own link on the way is followed, anyone else's is not
        if status is not None and not stat.S_ISDIR(status.st_mode):
            faults.append(_refusal(path, status, "directory"))
            continue
        before = None if status is None else _attributes(status)
        fallback = before or Attributes(os.geteuid(), os.getegid(), 0o755)
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
        return f"{path} is a symbolic link to {os.readlink(path)}, which is neither followed nor replaced: manage its target, or remove the link"
    return f"{path} exists and is not a {wanted}: remove it first"


def lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def previous(places: Places) -> str:
    return os.path.join(places.state, "previous")


def names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def beside(path: str, suffix: str) -> str:
    """Hidden, and of a name that no daemon's include pattern matches."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}{suffix}")


def target(path: str) -> str:
    """The file that a temporary file stands beside, or the path itself."""
    name = os.path.basename(path)
    return os.path.join(os.path.dirname(path), name[1 : -len(NEW_SUFFIX)]) if LEFTOVER.fullmatch(name) else path


def _leftovers(path: str) -> list[str]:
    return [name for name in (beside(path, NEW_SUFFIX), beside(path, OLD_SUFFIX)) if os.path.lexists(name)]


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
    for path, unit in plan.pending:
        diff.append(
            {
                "before_header": path,
                "after_header": f"{path} (as an earlier run left it)",
                "before": f"{unit} last read it before that\n" if unit else "that run was killed\n",
                "after": "to be read again\n",
            }
        )
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

    Checkers quote, cut and escape what they complain about, so whole secrets are not enough to look for. What public text has too stays.
    """
    shown = "\n".join(public)
    words: set[str] = set()
    shingles: set[str] = set()
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
