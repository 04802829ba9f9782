# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which files of C(/etc) go back to a commit of etckeeper, which are left as they are and why, who reads them and what judges them.

Pure: what the commit, the host and config_tree's notes (C(known)) say is handed in. The host's side is C(_configuration_rollback_host).
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._config_tree import subjects
from ansible_collections.arxos.platform.plugins.module_utils._guard import DROP_IN, UNIT_FILE

ETC = "/etc"
TAGS = "refs/tags/arxos/"
BEFORE = "-before"  # ends the name of what a rollback found

# Never goes back, whatever the commit has: reason to patterns, in which * is also a slash.
KEPT: dict[str, tuple[str, ...]] = {
    "certificate or key": ("/etc/ssl/*", "/etc/letsencrypt/*", "/etc/ca-certificates*", "/etc/ssh/ssh_host_*", "/etc/wireguard/*.key"),
    "account": (
        *(f"/etc/{name}{end}" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid") for end in ("", "-")),
        "/etc/security/opasswd*",
        "/etc/security/totp/*",
    ),
    "the machine's own": (
        *(
            f"/etc/{name}"
            for name in ("machine-id", "hostname", "hosts", "resolv.conf", "fstab", "mtab", "adjtime", "localtime", "timezone")
        ),
        *(f"/etc/{name}/*" for name in ("network", "netplan", "systemd/network", "cloud")),
    ),
    # What the firewall proved and a guard of the database are not configuration: they say how things stand.
    "state": ("/etc/.updated", "/etc/nftables.proved*", UNIT_FILE, DROP_IN),
    "package": ("/etc/alternatives/*", "/etc/rc?.d/*", "/etc/ld.so.cache"),
}

# Below these one directory belongs to many: a neighbour says nothing about a file.
COMMON = frozenset(
    (
        "apt",
        "arxos",
        "audit",
        "cron.d",
        "cron.daily",
        "default",
        "init.d",
        "logrotate.d",
        "modprobe.d",
        "pam.d",
        "profile.d",
        "security",
        "ssh",
    )
    + ("ssl", "sudoers.d", "sysctl.d", "systemd", "sysusers.d", "tmpfiles.d", "udev")
)
# Readers that no role names to config_tree, since its handler asks for more than a changed file.
READERS = {"/etc/nftables.conf": "nftables.service", "/etc/pam.d/sshd": "ssh.service", "/etc/arxos/api.env": "arxos-api.service"}
# What a reload does not bring, although the unit has one. tests/unit/test_rollback_wiring.py holds it to the handlers of the roles.
RESTARTED_FOR = ("/etc/pgbouncer/pgbouncer.ini", "/etc/pgbouncer/hosts", "/etc/fail2ban/fail2ban.local", "/etc/arxos/api.env")
RESTARTED = frozenset({"rsyslog.service", "seaweedfs.service", "systemd-journald.service"})
# Units whose role has a way of its own to take up a change, with a way back: the playbook goes it.
OWN_WAY = re.compile(r"ssh\.service|nftables\.service|redis-server@\d+\.service")
# A checker that puts in force what it judges; the unit that loads it for good judges instead.
LOADERS = ("auditctl",)

_UNIT = r"[A-Za-z0-9:_.\\@-]+\.(?:service|socket|timer|target|mount|path|slice|scope)"
_UNIT_FILE = re.compile(rf"/etc/systemd/system/(?:[^/]+\.(?:wants|requires)/)?({_UNIT})(?:\.d/[^/]+)?")


class RollbackError(Exception):
    """What is wrong, for people."""


@dataclass(frozen=True)
class Owned:
    """Whose a file or directory is: names as etckeeper has them, a number where there is no name."""

    owner: str
    group: str
    mode: int


@dataclass(frozen=True)
class Entry:
    """A file (C(sha) is git's name of its content) or a symbolic link (C(leads) is its target)."""

    sha: str = ""
    owned: Owned | None = None
    leads: str | None = None

    @property
    def is_link(self) -> bool:
        return self.leads is not None

    @property
    def private(self) -> bool:
        return self.owned is not None and not self.owned.mode & 0o004


@dataclass(frozen=True)
class State:
    """C(/etc) at one moment, by absolute paths."""

    entries: Mapping[str, Entry]
    directories: Mapping[str, Owned]


@dataclass(frozen=True)
class Seal:
    """What a run left: a commit of C(/etc) under the run's name. C(secrets) is the mark of the secrets of then."""

    name: str
    commit: str
    at: str = ""
    secrets: str = ""


@dataclass(frozen=True)
class Change:
    """C(what) is new, changed or gone, as seen from the host."""

    path: str
    what: str
    units: tuple[str, ...] = ()


@dataclass
class Plan:
    """What goes back, what does not (path to reason), and what has to read it again (unit to reload, restart, start or own)."""

    changes: list[Change] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)


# ---------------------------------------------------------------- what git and etckeeper say


def parse_seals(text: str) -> list[Seal]:
    """Of lines C(name, tag or commit, its commit, message), newest first. A tag that no seal made is left out."""
    found = []
    for line in text.splitlines():
        name, itself, commit, message = (line.split("\t") + [""] * 3)[:4]
        try:
            said = json.loads(message)
        except ValueError:
            continue
        if name and isinstance(said, dict):
            found.append(Seal(name, commit or itself, str(said.get("at", "")), str(said.get("secrets", ""))))
    return sorted(found, key=lambda seal: (seal.at, seal.name), reverse=True)


def parse_tree(listing: bytes) -> dict[str, tuple[str, str]]:
    """Path to (mode, sha) of C(git ls-tree -r -z); what is no file and no link is left out."""
    found = {}
    for record in listing.split(b"\0"):
        if not record:
            continue
        words, _tab, path = record.partition(b"\t")
        mode, kind, sha = words.split()
        if kind == b"blob":
            found[os.fsdecode(path)] = (mode.decode(), sha.decode())
    return found


def parse_metadata(text: str, owner: str = "root", group: str = "root") -> tuple[dict[str, Owned], list[str]]:
    """Whose what is, by relative path, and which directories are empty, of the file C(.etckeeper). What it does not name is C(owner)'s.

    Its lines are commands of a shell: C(maybe chown 'redis' './redis/users.acl'), C(mkdir -p './opt').
    """
    said: dict[str, dict[str, str]] = {}
    empty = []
    for line in text.splitlines():
        if not line.startswith(("maybe ", "mkdir ")):
            continue
        words = shlex.split(line)
        path = os.path.normpath(words[-1])
        if words[0] == "mkdir":
            empty.append(path)
        elif len(words) == 4:
            said.setdefault(path, {})[words[1]] = words[2]
    owned = {
        path: Owned(entry.get("chown", owner), entry.get("chgrp", group), int(entry["chmod"], 8))
        for path, entry in said.items()
        if "chmod" in entry
    }
    return owned, empty


def state_of(tree: Mapping[str, tuple[str, str]], metadata: str, links: Mapping[str, str], root: str, owner: str, group: str) -> State:
    """C(/etc) as a commit has it. C(links) has where each link leads, by its sha."""
    owned, empty = parse_metadata(metadata, owner, group)
    entries = {}
    for path, (mode, sha) in tree.items():
        if own_file(path):
            continue
        if mode == "120000":
            entries[f"{root}/{path}"] = Entry(leads=links[sha])
        else:
            entries[f"{root}/{path}"] = Entry(sha, owned.get(path, Owned(owner, group, 0o755 if mode == "100755" else 0o644)))
    directories = {os.path.dirname(path) for path in tree} | set(empty)
    for path in list(directories):
        while path := os.path.dirname(path):
            directories.add(path)
    return State(entries, {f"{root}/{path}": owned[path] for path in directories if path not in ("", ".") and path in owned})


def own_file(path: str) -> bool:
    """Whether a relative path is a file of etckeeper or git, which every commit makes anew."""
    return path == ".etckeeper" or path.startswith(".git")


# ---------------------------------------------------------------- what goes back


def make_plan(
    now: State, then: State, known: Mapping[str, Any], *, same_secrets: bool, conffiles: Collection[str] = (), kept: Iterable[str] = ()
) -> Plan:
    """From C(now) to C(then). C(same_secrets): no secret of the platform has changed in between; C(kept): more patterns that stay."""
    plan = Plan()
    patterns = [(pattern, reason) for reason, group in (*KEPT.items(), ("asked for", tuple(kept))) for pattern in group]
    for path in sorted(now.entries.keys() | then.entries.keys()):
        before, after = now.entries.get(path), then.entries.get(path)
        if before == after:
            continue
        reason = _why_kept(path, before, after, patterns, known.get("files", {}), same_secrets, conffiles)
        if reason:
            plan.kept[path] = reason
        else:
            what = "new" if before is None else "gone" if after is None else "changed"
            plan.changes.append(Change(path, what, tuple(readers(path, known))))
    for path, owned in sorted(then.directories.items()):
        if now.directories.get(path) != owned and not any(fnmatch.fnmatchcase(path + "/", pattern) for pattern, _reason in patterns):
            plan.directories.append(path)
    plan.units = units_of(plan.changes)
    plan.checks = [check for check in known.get("checks", []) if _judges(check, plan.changes)]
    return plan


def _why_kept(
    path: str,
    before: Entry | None,
    after: Entry | None,
    patterns: Iterable[tuple[str, str]],
    files: Mapping[str, Mapping[str, Any]],
    same_secrets: bool,
    conffiles: Collection[str],
) -> str:
    """Why a path stays as it is; empty when it goes back."""
    for pattern, reason in patterns:
        if fnmatch.fnmatchcase(path, pattern):
            return reason
    both = [entry for entry in (before, after) if entry is not None]
    if any(_leads_out(path, entry) for entry in both) or (after is None and path in conffiles):
        return "package"
    if len({entry.is_link for entry in both}) > 1:
        return "a link on one side and a file on the other"
    if path in files:
        return "secret, and secrets have changed since" if files[path].get("secret") and not same_secrets else ""
    return "private, and of no role" if any(entry.private for entry in both) else ""


def _leads_out(path: str, entry: Entry) -> bool:
    """A link to what a package brought. One to /dev/null masks a unit, which is configuration."""
    if entry.leads is None or entry.leads == "/dev/null":
        return False
    top = "/" + path.split("/")[1]
    return not os.path.normpath(os.path.join(os.path.dirname(path), entry.leads)).startswith(top + "/")


def readers(path: str, known: Mapping[str, Any]) -> list[str]:
    """The units that read a file: those that its role named, else what its place tells."""
    files = known.get("files", {})
    if "units" in files.get(path, {}):
        return list(files[path]["units"])
    if path in READERS:
        return [READERS[path]]
    match = _UNIT_FILE.fullmatch(path)
    if match:
        return [match[1]]
    place = _daemon(path)
    return list(
        dict.fromkeys(unit for other, entry in files.items() if place and _daemon(other) == place for unit in entry.get("units", []))
    )


def _daemon(path: str) -> str:
    """The directory of C(/etc) that is one daemon's own; empty for a place of many."""
    parts = path.split("/")
    return parts[2] if len(parts) > 3 and parts[1] == "etc" and parts[2] not in COMMON else ""


def units_of(changes: Iterable[Change]) -> dict[str, str]:
    """Unit to how it takes up what changed: reload where that brings it, else restart, start where the unit itself comes back; own where its role
    has a way of its own.
    """
    order = ["reload", "restart", "start", "own"]
    found: dict[str, str] = {}
    for change in changes:
        match = _UNIT_FILE.fullmatch(change.path)
        for unit in change.units:
            how = "reload"
            if OWN_WAY.fullmatch(unit):
                how = "own"
            elif match is not None and match[1] == unit and change.what == "new" and not change.path.endswith(".conf"):
                how = "start"
            elif (
                (match is not None and match[1].split("@")[0] == unit.split("@")[0])
                or unit in RESTARTED
                or any(fnmatch.fnmatchcase(change.path, name) for name in RESTARTED_FOR)
            ):
                how = "restart"
            found[unit] = max(how, found.get(unit, how), key=order.index)
    return {unit: found[unit] for unit in sorted(found, key=lambda name: (order.index(found[name]), name))}


def _judges(check: Mapping[str, Any], changes: Iterable[Change]) -> bool:
    """Whether a check that config_tree knows is of what changes."""
    if any(loader in word for word in check["command"] for loader in LOADERS):
        return False
    named = subjects(check)
    places = {_daemon(path) for path in named} - {""}
    for change in changes:
        # A drop-in is judged with the unit that it is of.
        unit = re.sub(r"\.d/[^/]+$", "", change.path)
        if change.path in named or unit in named or _daemon(change.path) in places:
            return True
    return False
