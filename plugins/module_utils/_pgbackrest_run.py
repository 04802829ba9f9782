# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commands of pgBackRest, called as the user of the cluster. How a command is run is handed in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest import (
    Archive,
    Backup,
    PgbackrestError,
    Stanza,
    Verdict,
    holes,
    newest,
    parse_archive,
    parse_info,
    parse_verify,
)

# Takes a command, returns its exit code, standard output and standard error.
Run = Callable[[Sequence[str]], "tuple[int, str, str]"]

# Its number for "unable to acquire lock": the timer makes a backup, or an operator does. It has no option to wait for that, so it is asked again.
LOCKED = 50
LOCKED_SECONDS = 3600
LOCKED_PAUSE = 5


class CommandFailed(PgbackrestError):
    """pgBackRest ended with an error. C(code) is its own number of it."""

    def __init__(self, command: str, code: int, output: str) -> None:
        self.code = code
        self.reason = reason(output)
        super().__init__(f"pgbackrest {command}: {self.reason or f'ended with {code}'}")


def reason(output: str) -> str:
    """The error in what pgBackRest printed, with the lines that belong to it, on one line."""
    match = re.search(r"ERROR: (\[\d+\]: .*(?:\n(?!\S*\s*P\d\d\s|\d{4}-).*)*)", output)
    return re.sub(r"\s+", " ", match[1]).strip() if match else " ".join(output.split())[-300:]


class Repository:
    """A stanza and what can be done with it. Every method raises PgbackrestError."""

    def __init__(self, run: Run, stanza: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._run = run
        self._stanza = stanza
        self._pause = pause

    def call(self, command: str, *arguments: str, stanza: bool = True) -> str:
        """What a command prints. What another pgBackRest keeps it from is done when that one has ended, which is waited for an hour."""
        words = ["pgbackrest", *([f"--stanza={self._stanza}"] if stanza else []), *arguments]
        code, output, errors = self._run(words)
        for _look in range(LOCKED_SECONDS // LOCKED_PAUSE):
            if code != LOCKED:
                break
            self._pause(LOCKED_PAUSE)
            code, output, errors = self._run(words)
        if code != 0:
            raise CommandFailed(command, code, f"{errors}\n{output}")
        return output

    def info(self) -> Stanza:
        return parse_info(self.call("info", "--output=json", "info"), self._stanza)

    def create(self) -> None:
        """Make the stanza. Needs a leader that runs."""
        self.call("stanza-create", "stanza-create")

    def check(self) -> None:
        """Have the leader switch its WAL, and see that segment arrive."""
        self.call("check", "check")

    def archive(self, stanza: Stanza) -> Archive:
        if not stanza.archive:
            return Archive()
        return parse_archive(
            self.call("repo-ls", "--recurse", "--output=json", "repo-ls", f"archive/{stanza.name}/{stanza.archive}", stanza=False)
        )

    def back_up(self, kind: str) -> Backup:
        """Make a backup, from a replica where one can be found. pgBackRest makes the first one a full one."""
        before = {backup.label for backup in self.info().backups}
        try:
            self.call("backup", f"--type={kind}", "backup")
        except CommandFailed as error:
            if "unable to find standby" not in error.reason:
                raise
            self.call("backup", f"--type={kind}", "--no-backup-standby", "backup")
        made = newest(backup for backup in self.info().backups if backup.label not in before)
        if made is None:
            raise PgbackrestError("pgbackrest backup ended well, and the repository has no new backup")
        return made

    def verify(self) -> Verdict:
        """Read and check everything in the repository; and look for WAL that is not there, which pgBackRest 2.45 does not."""
        words = ["pgbackrest", f"--stanza={self._stanza}", "--output=text", "--verbose", "--log-level-console=info", "verify"]
        code, output, errors = self._run(words)
        try:
            verdict = parse_verify(output)
        except PgbackrestError:
            if code != 0:
                raise CommandFailed("verify", code, f"{errors}\n{output}") from None
            raise
        stanza = self.info()
        missing = [f"WAL segment {name} is missing" for name in holes(stanza, self.archive(stanza))]
        return Verdict(verdict.ok and code == 0 and not missing, verdict.faults + missing, verdict.checked)
