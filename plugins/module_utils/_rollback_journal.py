# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a rollback notes on hosts: the journal of one that is not finished, those of the finished, and what they measured."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DIRECTORY = "/var/lib/arxos"
KEPT = 20  # finished ones


class JournalError(Exception):
    """What is wrong, for people."""


@dataclass(frozen=True)
class Notes:
    """The notes of the rollbacks of one kind (C(name)) in a directory."""

    name: str
    directory: str = DIRECTORY

    @property
    def path(self) -> str:
        return os.path.join(self.directory, f"{self.name}_rollback.json")

    @property
    def rates_path(self) -> str:
        return os.path.join(self.directory, f"{self.name}_rollback_rates.json")

    def journal(self) -> dict[str, Any]:
        """The rollback that is not finished, empty where there is none. Raises JournalError."""
        return _read(self.path)

    def finished(self) -> dict[str, Any]:
        """The newest that is finished, empty where there is none, or where what is left of it cannot be read: nothing hangs on it but a hint."""
        names = self._finished_names()
        with contextlib.suppress(JournalError):
            return _read(os.path.join(self.directory, names[-1])) if names else {}
        return {}

    def _finished_names(self) -> list[str]:
        """Files of the finished ones, the newest last."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(name for name in os.listdir(self.directory) if name.startswith(f"{self.name}_rollback.2"))
        return []

    def rates(self) -> dict[str, Any]:
        return _read(self.rates_path)

    def note(self, journal: Mapping[str, Any]) -> bool:
        """Writes the journal; whether it was another before. Raises JournalError."""
        return _write(self.path, journal, 0o600)

    def learn(self, rates: Mapping[str, Any]) -> bool:
        return _write(self.rates_path, rates, 0o644)

    def finish(self) -> bool:
        """Keeps the journal beside those of before, under when it began; whether there was one. Raises JournalError."""
        journal = self.journal()
        if not journal:
            return False
        try:
            os.replace(self.path, os.path.join(self.directory, f"{self.name}_rollback.{journal.get('began', 'unknown')}.json"))
            for name in self._finished_names()[:-KEPT]:
                os.unlink(os.path.join(self.directory, name))
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror}") from error
        return True

    def drop(self) -> bool:
        """Forgets a rollback that is over without an end; whether there was one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
            return True
        return False


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise JournalError(f"{path} is damaged ({error}): move it away") from error


def _write(path: str, document: Mapping[str, Any], mode: int) -> bool:
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    try:
        with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as stream:
            if stream.read() == text:
                return False
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path + ".new", "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(path + ".new", path)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error
    return True
