# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the timers of role audit_archive run on the host that collects the logs, as a program; an operator calls it as C(arxos-audit-archive).

    python3 -m ansible_collections.arxos.platform.plugins.module_utils._audit_archive archive|verify|head SETTINGS [--days N] [--figures FILE]

C(archive) stores what was collected since as the next object of the chain (_audit_chain), C(verify) reads it back, C(head) prints its end.
It ends with 1 where something is wrong, and says what.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ansible_collections.arxos.platform.plugins.module_utils._audit_chain import (
    ChainError,
    Head,
    Segment,
    head_from_json,
    head_of,
    head_to_json,
    number_of,
    segment,
    verify,
)

# rsyslog writes a file of the spool for a minute; what it still holds back then is written a little later.
SETTLED_SECONDS = 120
# An archive of so many days may have dropped what is older, and a bucket does that some days late or early.
LIFECYCLE_SECONDS = 7 * 86400
# An object is made of so much at most, so that none has to be read into memory that is too large for it.
SEGMENT_BYTES = 32 << 20
# About two and a half minutes of a store that cannot be reached, as when all hosts start at once after a power cut.
PATIENCE = {"mode": "standard", "total_max_attempts": 20}
LAST = "last_success_timestamp_seconds"

Figures = dict[str, "tuple[str, float]"]


class ArchiveError(Exception):
    """What keeps the archive from being written or read, for the operator."""


class Store(Protocol):
    """Where objects are."""

    def listed(self, key: str = "") -> dict[str, float]: ...

    def read(self, key: str) -> bytes: ...

    def write(self, key: str, body: bytes) -> None: ...

    def replaced(self) -> dict[str, int]: ...


class Bucket:
    """A bucket of S3, below a prefix. Every method raises ArchiveError, and nothing in it deletes."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise ArchiveError(f"python3-boto3 is not installed: {error}") from error
        self._errors = (BotoCoreError, ClientError)
        self._bucket, self._prefix = settings["bucket"], settings["prefix"].rstrip("/") + "/"
        self._client = boto3.client(
            "s3",
            endpoint_url=settings["endpoint"] or None,
            region_name=settings["region"],
            aws_access_key_id=settings["access_key"],
            aws_secret_access_key=settings["secret_key"],
            verify=settings["ca_file"] or True,
            config=Config(connect_timeout=10, read_timeout=60, retries=PATIENCE),
        )

    def _call(self, name: str, **given: Any) -> Any:
        try:
            return getattr(self._client, name)(Bucket=self._bucket, **given)
        except self._errors as error:
            raise ArchiveError(f"{name} of bucket {self._bucket}: {error}") from error

    def listed(self, key: str = "") -> dict[str, float]:
        """Every key below the prefix, or this one where it is there, and when it was stored."""
        found: dict[str, float] = {}
        more: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=key or self._prefix, **more)
            found.update({entry["Key"]: entry["LastModified"].timestamp() for entry in page.get("Contents", [])})
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, key: str) -> bytes:
        answer = self._call("get_object", Key=key)
        try:
            return bytes(answer["Body"].read())
        except Exception as error:  # what breaks off while a body is read has classes of urllib3 as well
            raise ArchiveError(f"get_object of {key}: {error}") from error

    def write(self, key: str, body: bytes) -> None:
        self._call("put_object", Key=key, Body=body, ContentType="application/gzip")

    def replaced(self) -> dict[str, int]:
        """Keys below the prefix that were stored more than once and not with the same bytes, and how many versions of each the bucket keeps."""
        tags: dict[str, list[str]] = {}
        more: dict[str, str] = {}
        while True:
            page = self._call("list_object_versions", Prefix=self._prefix, **more)
            for entry in page.get("Versions", []):
                tags.setdefault(entry["Key"], []).append(str(entry["ETag"]))
            if not page.get("IsTruncated"):
                return {key: len(found) for key, found in tags.items() if len(set(found)) > 1}
            more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}


def write_file(path: Path, content: bytes) -> None:
    """Put a file in its place in one step, on the disk."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Archive:
    """The chain of one host: its head and what is on its way in a folder, its objects in a store."""

    def __init__(self, settings: Mapping[str, Any], store: Callable[[], Store], clock: Callable[[], float] = time.time) -> None:
        self._prefix, self._spool = settings["prefix"], Path(settings["spool"])
        self._days = int(settings["retention_days"])
        self._head, self._pending, self._body = (Path(settings["state"], name) for name in ("head.json", "pending.json", "pending.gz"))
        self._make_store, self._clock = store, clock
        self._made: Store | None = None

    @property
    def store(self) -> Store:
        self._made = self._made or self._make_store()
        return self._made

    def head(self) -> Head | None:
        """The head that this host keeps; None where it has none."""
        return head_from_json(self._head.read_text(encoding="utf-8")) if self._head.exists() else None

    def archive(self, say: Callable[[str], None]) -> tuple[Head, int]:
        """Store what has settled in the spool. Returns the head and how many lines came to it. Raises ArchiveError and ChainError."""
        head = self.head()
        if head is None:
            head = self._found_again(say)
            write_file(self._head, head_to_json(head).encode())
        before = head.last
        head = self._finish(head, say)
        while True:
            made, files = self._next(head)
            if made is None:
                self._remove(files)
                return head, head.last - before
            self._begin(made, files)
            head = self._finish(head, say)

    def _found_again(self, say: Callable[[str], None]) -> Head:
        """The head of a host that has none: that of the newest object, or of nothing."""
        number, key = max(((number_of(key), key) for key in self.store.listed()), default=(0, ""))
        if not number:
            return Head()
        head = head_of(self.store.read(key), key)
        say(f"this host kept no head: it is taken from {key}, so that whether objects after that were removed cannot be told")
        return head

    def _next(self, head: Head) -> tuple[Segment | None, list[Path]]:
        lines: list[str] = []
        files: list[Path] = []
        size = 0
        for path in sorted(self._spool.glob("*.jsonl")):
            found = path.stat()
            if self._clock() - found.st_mtime < SETTLED_SECONDS or (files and size + found.st_size > SEGMENT_BYTES):
                break
            files.append(path)
            size += found.st_size
            # Not splitlines(), which also breaks where Unicode would.
            lines += [line for line in path.read_bytes().decode("utf-8", "replace").split("\n") if line]
        return (segment(head, lines, self._prefix, self._clock()) if lines else None), files

    def _begin(self, made: Segment, files: Sequence[Path]) -> None:
        """From here on this object is the next one, whatever happens: it is stored with these bytes or not at all."""
        write_file(self._body, made.body)
        plan = {"head": json.loads(head_to_json(made.head)), "files": [path.name for path in files]}
        write_file(self._pending, json.dumps(plan).encode())

    def _finish(self, head: Head, say: Callable[[str], None]) -> Head:
        """Store the object that was begun, read it back, move the head, and only then forget the files that it was made of."""
        if not self._pending.exists():
            return head
        plan = json.loads(self._pending.read_text(encoding="utf-8"))
        after = Head(**plan["head"])
        if after.object == head.object + 1:
            body = self._body.read_bytes()
            there = after.key in self.store.listed(after.key)
            if there and self.store.read(after.key) != body:
                raise ArchiveError(f"{after.key} is stored already, and is not what this host would store: run arxos-audit-archive verify")
            if not there:
                self.store.write(after.key, body)
                if self.store.read(after.key) != body:
                    raise ArchiveError(f"{after.key} was stored, and is read back otherwise")
            write_file(self._head, head_to_json(after).encode())
            head = after
            # This line goes to the journal, and with it to the log and the SIEM: a head that is in other hands.
            say(f"archived {after.key} sha256 {after.sha256} last line {after.last} chain {after.chain}")
        elif after.object != head.object:
            raise ArchiveError(f"what is on its way is object {after.object}, and the head is object {head.object}: restore {self._head}")
        self._remove([self._spool / name for name in plan["files"]])
        self._pending.unlink()
        self._body.unlink(missing_ok=True)
        return head

    @staticmethod
    def _remove(files: Sequence[Path]) -> None:
        for path in files:
            path.unlink(missing_ok=True)

    def verify(self, days: int = 0) -> tuple[int, int, list[str]]:
        """Check the archive, or what was stored in the last days of it. Returns objects, lines and faults. Raises ArchiveError and ChainError."""
        head = self.head()
        stored = self.store.listed()
        oldest = 1
        if days:
            since = self._clock() - days * 86400
            # One before it as well, for what the first of them names.
            oldest = max(1, min((number_of(key) for key, at in stored.items() if at >= since and number_of(key)), default=1) - 1)
        expired = self._clock() - self._days * 86400 + LIFECYCLE_SECONDS
        verdict = verify(stored, self.store.read, head, self._prefix, oldest, expired)
        # Whoever has the key of the archive and this host can make a chain anew that is whole, and a head that fits. What was there before, the bucket keeps.
        faults = [
            *verdict.faults,
            *(
                f"{key}: was stored anew with other content, and what it replaced is kept in {count} versions"
                for key, count in sorted(self.store.replaced().items())
            ),
        ]
        if head is None and stored:
            faults = [*faults, "this host keeps no head, so that the end of the archive cannot be judged"]
        return verdict.objects, verdict.lines, faults


def waiting(spool: Path, now: float) -> tuple[int, float]:
    """Bytes in the spool, and for how many seconds the oldest has been waiting."""
    found = [path.stat() for path in spool.glob("*.jsonl")]
    return sum(each.st_size for each in found), max((now - each.st_mtime for each in found), default=0.0)


def render(figures: Figures) -> str:
    """Figures in the text format of node-exporter's collector."""
    lines = []
    for name, (text, value) in figures.items():
        bare = name.partition("{")[0]
        lines += [f"# HELP {bare} {text}", f"# TYPE {bare} gauge", f"{name} {value:.15g}"]
    return "\n".join(lines) + "\n"


def value_in(text: str, name: str) -> float:
    """A figure of a file that was written before; 0 where it has none."""
    for line in text.splitlines():
        found, _separator, value = line.partition(" ")
        if found == name:
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 0.0


def do(
    job: str, archive: Archive, settings: Mapping[str, Any], days: int, now: float, say: Callable[[str], None]
) -> tuple[Figures, list[str]]:
    """One job; what it measured and what is wrong."""
    figures: Figures = {}
    problems: list[str] = []
    try:
        if job == "archive":
            head, added = archive.archive(say)
            figures["arxos_audit_archive_objects"] = ("Objects in the chain", head.object)
            figures["arxos_audit_archive_lines"] = ("Lines in the chain", head.last)
            figures["arxos_audit_archive_added_lines"] = ("Lines that the last run added", added)
        else:
            objects, lines, problems = archive.verify(days)
            figures["arxos_audit_verify_objects"] = ("Objects that were read", objects)
            figures["arxos_audit_verify_lines"] = ("Lines that were checked", lines)
            figures["arxos_audit_verify_faults"] = ("Faults that were found", len(problems))
            if not problems:
                say(f"{objects} objects with {lines} lines are as they were archived")
    except (ArchiveError, ChainError, OSError, ValueError) as error:
        problems = [str(error)]
    if job == "archive":
        size, oldest = waiting(Path(settings["spool"]), now)
        figures["arxos_audit_archive_waiting_bytes"] = ("What waits to be archived", size)
        figures["arxos_audit_archive_waiting_seconds"] = ("For how long the oldest of it has been waiting", oldest)
    return figures, problems


def main(arguments: Sequence[str], store: Callable[[Mapping[str, Any]], Store] = Bucket, clock: Callable[[], float] = time.time) -> int:
    """Does a job, says what came of it and writes its figures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="arxos-audit-archive", description="The audit archive of this host.")
    parser.add_argument("job", choices=["archive", "verify", "head"])
    parser.add_argument("settings", help=argparse.SUPPRESS)
    parser.add_argument("--days", type=int, default=0, help="verify what was stored in so many days only")
    parser.add_argument("--figures", default="", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")

    try:
        settings = json.loads(Path(given.settings).read_text(encoding="utf-8"))
        archive = Archive(settings, lambda: store(settings), clock)
        if given.job == "head":
            say(head_to_json(archive.head() or Head()).strip())
            return 0
    except (OSError, ValueError, ChainError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    figures, problems = do(given.job, archive, settings, given.days, clock(), say)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if given.figures:
        prefix = f"arxos_audit_{given.job}"
        published = Path(settings["metrics"], f"{prefix}.prom")
        before = value_in(published.read_text(encoding="utf-8"), f"{prefix}_{LAST}") if published.exists() else 0
        figures[f"{prefix}_success"] = ("Whether the last run found nothing wrong", float(not problems))
        figures[f"{prefix}_{LAST}"] = ("When a run last found nothing wrong; 0 if none did", before if problems else clock())
        figures[f"{prefix}_last_run_timestamp_seconds"] = ("When the last run ended", clock())
        Path(given.figures).write_text(render(figures), encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
