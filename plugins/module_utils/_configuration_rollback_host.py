# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a host's C(/etc) goes back to a commit: staged whole, judged, replaced all or nothing by config_tree's own machinery, and read again by its units.

What was there before is a commit with a name of its own. When a unit does not take up what came back, the host goes to that one.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import stat
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _config_tree as ct
from ansible_collections.arxos.platform.plugins.module_utils import _config_tree_apply as apply
from ansible_collections.arxos.platform.plugins.module_utils._configuration_rollback import (
    ETC,
    TAGS,
    Entry,
    Owned,
    Plan,
    RollbackError,
    Seal,
    State,
    make_plan,
    own_file,
    parse_seals,
    parse_tree,
    state_of,
)

METADATA = ".etckeeper"
_SECONDS = 300  # that one command of git or systemd may take
Run = Callable[[list[str]], tuple[int, str, str]]


def git(directory: str, *words: str, given: bytes = b"") -> bytes:
    """Standard output of git in a directory. Raises RollbackError."""
    command = ["git", "-C", directory, "-c", "core.quotePath=false", *words]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RollbackError(f"git {words[0]}: {error}") from error
    if done.returncode:
        raise RollbackError(f"git {words[0]} of {directory}: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout


class Etc:
    """C(/etc) with its history. C(commit) makes a commit of it under a message."""

    def __init__(self, directory: str = ETC, commit: Callable[[str], None] | None = None) -> None:
        self.directory = directory
        self._commit = commit or self._etckeeper
        self._owner, self._group = str(_name(pwd.getpwuid, os.geteuid())), str(_name(grp.getgrgid, os.getegid()))
        self.contents: dict[str, bytes] = {}  # by sha, of what was read from the host

    def _etckeeper(self, message: str) -> None:
        done = subprocess.run(["etckeeper", "commit", message], capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            raise RollbackError(f"etckeeper commit: {(done.stderr or done.stdout).strip()[-500:]}")

    def kept(self) -> bool:
        return os.path.isdir(os.path.join(self.directory, ".git"))

    def seals(self) -> list[Seal]:
        if not self.kept():
            return []
        form = "%(refname:lstrip=3)%09%(objectname)%09%(*objectname)%09%(contents:subject)"
        return parse_seals(git(self.directory, "for-each-ref", f"--format={form}", TAGS).decode())

    def seal(self, name: str) -> Seal:
        """The seal of a name. Raises RollbackError."""
        seals = self.seals()
        for seal in seals:
            if seal.name == name:
                return seal
        known = ", ".join(seal.name for seal in seals[:5]) or "none"
        raise RollbackError(f"{self.directory} has no commit of run {name}; the newest that it has: {known}")

    def dirty(self) -> list[str]:
        """What no commit has, by relative paths."""
        if not self.kept():
            return []
        records = git(self.directory, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split(b"\0")
        return [os.fsdecode(record[3:]) for record in records if record]

    def state(self, commit: str) -> State:
        """C(/etc) as a commit has it."""
        tree = parse_tree(git(self.directory, "ls-tree", "-r", "-z", "--full-tree", commit))
        shas = [sha for mode, sha in tree.values() if mode == "120000"]
        if METADATA in tree:
            shas.append(tree[METADATA][1])
        blobs = self.blobs(shas)
        metadata = blobs[tree[METADATA][1]].decode("utf-8", "surrogateescape") if METADATA in tree else ""
        links = {sha: os.fsdecode(content) for sha, content in blobs.items()}
        return state_of(tree, metadata, links, self.directory, self._owner, self._group)

    def blobs(self, shas: Iterable[str]) -> dict[str, bytes]:
        """Contents by their shas, of one call."""
        wanted = list(dict.fromkeys(shas))
        answer = git(self.directory, "cat-file", "--batch", given="".join(f"{sha}\n" for sha in wanted).encode()) if wanted else b""
        found, at = {}, 0
        for sha in wanted:
            end = answer.index(b"\n", at)
            size = int(answer[at:end].split()[2])
            found[sha] = answer[end + 1 : end + 1 + size]
            at = end + 1 + size + 1
        return found

    def present(self) -> State:
        """C(/etc) as it is, of what etckeeper would commit."""
        listed = git(self.directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
        entries: dict[str, Entry] = {}
        directories: dict[str, Owned] = {}
        for name in {os.fsdecode(path) for path in listed if path}:
            if own_file(name):
                continue
            path = os.path.join(self.directory, name)
            status = ct.lstat(path)
            if status is None:
                continue
            if stat.S_ISLNK(status.st_mode):
                entries[path] = Entry(leads=os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                content = ct.read(path)
                sha = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
                self.contents[sha] = content
                entries[path] = Entry(sha, _owned(status))
        for parent, names, _files in os.walk(self.directory):
            names[:] = [name for name in names if parent != self.directory or name != ".git"]
            for name in names:
                path = os.path.join(parent, name)
                if not os.path.islink(path):
                    directories[path] = _owned(os.lstat(path))
        return State(entries, directories)

    def keep(self, name: str, secrets: str, message: str) -> Seal:
        """What is there now under a name, in a commit of its own where no commit has it. A name that is there already stays what it is."""
        for seal in self.seals():
            if seal.name == name:
                return seal
        if self.dirty() or self.state("HEAD").entries != self.present().entries:
            self._commit(message)
        said = json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "secrets": secrets})
        who = ("-c", "user.name=arxos.platform", "-c", "user.email=root@localhost")
        git(self.directory, *who, "tag", "--annotate", "--message", said, TAGS.removeprefix("refs/tags/") + name, "HEAD")
        return self.seal(name)


def _owned(status: os.stat_result) -> Owned:
    return Owned(str(_name(pwd.getpwuid, status.st_uid)), str(_name(grp.getgrgid, status.st_gid)), stat.S_IMODE(status.st_mode))


def _name(look: Callable[[int], Any], number: int) -> str:
    try:
        return str(look(number)[0])
    except KeyError:
        return str(number)


def conffiles(run: Run) -> frozenset[str]:
    """Files that an installed package brought as its configuration."""
    rc, out, _err = run(["dpkg-query", "--show", "--showformat=${Conffiles}\n"])
    lines = (line.split() for line in out.splitlines()) if rc == 0 else ()
    return frozenset(words[0] for words in lines if len(words) == 2)  # a third word says that it is obsolete


# ---------------------------------------------------------------- units


class Units:
    """systemd of the host."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def put_in_force(self, wanted: Mapping[str, str], *, reread: bool) -> list[str]:
        """Has each unit take up its files: reload before restart. What does not run is left alone, but one that comes back is started where it is to
        run at boot, and one that has no file any more is stopped. Returns what was done. Raises RollbackError.
        """
        if reread:
            self._do("daemon-reload")
        done = []
        plain = [unit for unit, how in wanted.items() if how != "own"]
        for unit, seen in self._look(plain).items():
            active = seen.get("ActiveState") in ("active", "reloading", "activating")
            if seen.get("LoadState") in ("not-found", "masked"):
                verb = "stop" if active else ""
            elif not active:
                verb = "start" if wanted[unit] == "start" and seen.get("UnitFileState") == "enabled" else ""
            else:
                verb = "reload" if wanted[unit] == "reload" and seen.get("CanReload") == "yes" else "restart"
            if verb:
                self._do(verb, unit)
                done.append(f"{verb} {unit}")
        return done

    def _look(self, units: list[str]) -> dict[str, dict[str, str]]:
        if not units:
            return {}
        text = self._do("show", "--property=LoadState,ActiveState,UnitFileState,CanReload", "--", *units)
        blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.strip().split("\n\n")]
        return dict(zip(units, blocks))

    def _do(self, *words: str) -> str:
        rc, out, err = self._run(["systemctl", *words])
        if rc:
            raise RollbackError(f"systemctl {' '.join(words)}: {(err or out).strip()[-500:]}")
        return out


# ---------------------------------------------------------------- going


@dataclass
class Outcome:
    """What was found and done. C(refused) says in check mode why it would fail."""

    plan: Plan = field(default_factory=Plan)
    commit: str = ""
    same_secrets: bool = False
    done: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refused: str = ""


@dataclass
class Way:
    """Everything that going back needs of a host."""

    etc: Etc
    places: ct.Places
    units: Units
    run: Run
    secrets: str = ""  # the mark of the secrets of today
    kept: tuple[str, ...] = ()
    conffiles: Collection[str] | None = None

    def look(self, name: str) -> tuple[Outcome, State, State]:
        """What going to a run's commit comes to, and C(/etc) of now and of then. Raises RollbackError."""
        if not self.etc.kept():
            raise RollbackError(f"{self.etc.directory} is not kept by etckeeper on this host: run playbooks/hosts.yml")
        known = ct.read_known(self.places)
        if not known.get("checks"):
            raise RollbackError(
                "no role has noted yet on this host how its files are judged: run playbooks/go_live.yml once, which changes nothing else"
            )
        seal = self.etc.seal(name)
        same = bool(self.secrets) and seal.secrets == self.secrets
        if self.conffiles is None:
            self.conffiles = conffiles(self.run)
        now, then = self.etc.present(), self.etc.state(seal.commit)
        plan = make_plan(now, then, known, same_secrets=same, conffiles=self.conffiles, kept=self.kept)
        return Outcome(plan, seal.commit, same), now, then

    def check(self, name: str) -> Outcome:
        """What would be done, and in C(refused) what a daemon has against it. Raises RollbackError where there is no way at all."""
        outcome, now, then = self.look(name)
        try:
            outcome.warnings += self._replace(outcome.plan, now, then, check=True)
        except ct.ConfigTreeError as error:
            outcome.refused = str(error)
        return outcome

    def go(self, name: str, before: str) -> Outcome:
        """Goes to the commit of a run; what was there is C(before) from then on. A call that was killed is finished by the next of the same names.

        Raises RollbackError with the host as it was before, where a daemon refuses the files or does not take them up.
        """
        outcome, now, then = self.look(name)
        found = self.etc.keep(before, self.secrets, f"arxos.platform: before going back to {name}")
        # Of all that this rollback changes: an earlier call may have replaced files, and died before a unit read them.
        known = ct.read_known(self.places)
        whole = make_plan(
            self.etc.state(found.commit), then, known, same_secrets=outcome.same_secrets, conffiles=self.conffiles or (), kept=self.kept
        )
        units = {**whole.units, **outcome.plan.units}
        reread = any(path.startswith("/etc/systemd/") for path in [change.path for change in [*whole.changes, *outcome.plan.changes]])
        outcome.plan.units = units
        try:
            outcome.warnings += self._replace(outcome.plan, now, then, check=False)
        except ct.ConfigTreeError as error:
            raise RollbackError(str(error)) from error
        try:
            self._link(outcome.plan, then)
            outcome.done = self.units.put_in_force(units, reread=reread)
        except (RollbackError, OSError) as error:
            raise RollbackError(f"{error}. {self._put_back(found, units, reread)}") from error
        return outcome

    def _put_back(self, found: Seal, units: Mapping[str, str], reread: bool) -> str:
        """To what was there before, unjudged: it was in force. Says how that went."""
        try:
            now, then = self.etc.present(), self.etc.state(found.commit)
            plan = make_plan(now, then, ct.read_known(self.places), same_secrets=True, kept=self.kept)
            plan.checks = []
            self._replace(plan, now, then, check=False)
            self._link(plan, then)
            self.units.put_in_force(units, reread=reread)
        except (RollbackError, ct.ConfigTreeError, OSError) as error:
            return f"Putting back what was there before failed too ({error}); it is the commit of {found.name}"
        return "What was there before is there again"

    def _replace(self, plan: Plan, now: State, then: State, *, check: bool) -> list[str]:
        """Stages C(/etc) as it will be, has it judged and replaces what differs. Returns warnings. Raises ConfigTreeError."""
        if not plan.changes and not plan.directories:
            return []
        tree = self._tree(plan, now, then)
        outcome = apply.converge(tree, self.places, check=check, loaded=lambda _units: {}, judge=bool(plan.changes))
        if not check:
            for change in plan.changes:
                if change.what == "gone":
                    self._remove_empty(os.path.dirname(change.path), then)
        return outcome.warnings

    def _tree(self, plan: Plan, now: State, then: State) -> ct.Tree:
        """C(/etc) as it will be: the commit's files, of those that stay the host's, and what checks need from elsewhere."""
        going = {change.path for change in plan.changes}
        final = {path: then.entries.get(path) if path in going else entry for path, entry in {**then.entries, **now.entries}.items()}
        final = {path: entry for path, entry in final.items() if path in going or path in now.entries}
        files = {path: entry for path, entry in final.items() if entry is not None and entry.leads is None and entry.owned}
        contents = {**self.etc.contents, **self.etc.blobs(entry.sha for entry in files.values() if entry.sha not in self.etc.contents)}
        known = ct.read_known(self.places).get("files", {})
        tree_files = [
            ct.File(
                dest=path,
                content=contents[entry.sha],
                owner=entry.owned.owner,
                group=entry.owned.group,
                mode=entry.owned.mode,
                secret=bool(known[path].get("secret")) if path in known else entry.private,
            )
            for path, entry in files.items()
            if entry.owned
        ]
        outside = {
            path for check in plan.checks for path in check["files"] if path not in final and not path.startswith(self.etc.directory + "/")
        }
        for path in sorted(outside):
            status = ct.lstat(path)
            if status is not None and stat.S_ISREG(status.st_mode):
                owned = _owned(status)
                secret = bool(known.get(path, {}).get("secret"))
                tree_files.append(ct.File(path, ct.read(path), owned.owner, owned.group, owned.mode, secret))
        directories = [then.directories[path] for path in plan.directories]
        return ct.Tree(
            files=tuple(tree_files),
            directories=tuple(
                ct.Directory(path, owned.owner, owned.group, owned.mode) for path, owned in zip(plan.directories, directories)
            ),
            absent=tuple(change.path for change in plan.changes if change.what == "gone"),
            validate=tuple(tuple(check["command"]) for check in plan.checks),
            links=tuple((path, entry.leads) for path, entry in final.items() if entry is not None and entry.leads is not None),
        )

    def _link(self, plan: Plan, then: State) -> None:
        for change in plan.changes:
            leads = then.entries[change.path].leads if change.path in then.entries else None
            if leads is not None and not (os.path.islink(change.path) and os.readlink(change.path) == leads):
                os.makedirs(os.path.dirname(change.path), exist_ok=True)
                temporary = ct.beside(change.path, ct.NEW_SUFFIX)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                os.symlink(leads, temporary)
                os.rename(temporary, change.path)

    def _remove_empty(self, directory: str, then: State) -> None:
        """Directories that the commit does not have, from the innermost out."""
        while directory.startswith(self.etc.directory + "/") and directory not in then.directories and not os.listdir(directory):
            os.rmdir(directory)
            directory = os.path.dirname(directory)
