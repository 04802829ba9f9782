# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pgBackRest tells of its repository, and what follows from it: which backup reaches a target, what is due, how long a restore takes.

Times are seconds since 1970 unless a name says otherwise, sizes are bytes, positions in the WAL (LSN) are integers.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

SEGMENT = 16 * 1024 * 1024  # of WAL; Patroni founds its clusters with initdb's default
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Codes of a stanza's status in `info`
OK, NO_PATH, NO_BACKUP, NO_DATA, UNREADABLE = 0, 1, 2, 3, 99
# Taken before anything was measured on a host: less than half of what the slowest machine gave that this was tried on.
DEFAULT_RATE = {"restore": 60e6, "replay": 30e6}
OVERHEAD_SECONDS = 2.0  # manifest, connections, the last sync
SAMPLES = 5


class PgbackrestError(Exception):
    """What went wrong with backups, and what to do, in one message."""


class TargetError(PgbackrestError):
    """The repository does not reach the point that was asked for."""


@dataclass(frozen=True)
class Backup:
    """One backup. C(size) is the database's, C(delta) what was copied for this one, C(repo_delta) what that takes in the repository."""

    label: str
    type: str
    start: int
    stop: int
    lsn_stop: int
    wal_start: str
    wal_stop: str
    size: int
    delta: int
    repo_delta: int
    page_errors: bool = False

    @property
    def seconds(self) -> int:
        return max(self.stop - self.start, 1)

    def as_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "type": self.type,
            "started_at": show_time(self.start),
            "stopped_at": show_time(self.stop),
            "seconds": self.seconds,
            "lsn_stop": show_lsn(self.lsn_stop),
            "wal_start": self.wal_start,
            "wal_stop": self.wal_stop,
            "size": self.size,
            "copied": self.delta,
            "stored": self.repo_delta,
            "bytes_per_second": self.delta // self.seconds,
            "page_errors": self.page_errors,
        }


@dataclass(frozen=True)
class Stanza:
    """A cluster in the repository. C(archive) is the folder of its WAL, such as V(15-1), C(wal_max) the newest segment in it."""

    name: str
    code: int
    message: str
    backups: tuple[Backup, ...] = ()
    archive: str = ""
    wal_min: str = ""
    wal_max: str = ""
    cipher: str = "none"

    @property
    def exists(self) -> bool:
        return self.code in (OK, NO_BACKUP)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.message,
            "ok": self.code == OK,
            "encrypted": self.cipher != "none",
            "wal_min": self.wal_min,
            "wal_max": self.wal_max,
            "backups": [backup.as_dict() for backup in self.backups],
        }


def parse_info(text: str, name: str) -> Stanza:
    """The stanza in the output of C(pgbackrest info --output=json). Raises PgbackrestError."""
    try:
        listed = json.loads(text)
        found = next((entry for entry in listed if entry["name"] == name), None)
        if found is None:
            return Stanza(name, NO_PATH, "missing stanza path")
        if found["status"]["code"] == UNREADABLE:
            told = (repo["status"] for repo in found.get("repo", ()))
            reasons = {" ".join(status["message"].split())[:300] for status in told if status["code"] == UNREADABLE}
            raise PgbackrestError(f"pgbackrest info: {'; '.join(sorted(reasons)) or found['status']['message']}")
        # The last archive is that of the present system; those before an upgrade come first.
        archive: dict[str, Any] = found["archive"][-1] if found["archive"] else {}
        return Stanza(
            name,
            found["status"]["code"],
            found["status"]["message"],
            tuple(_backup(entry) for entry in found["backup"]),
            archive.get("id") or "",
            archive.get("min") or "",
            archive.get("max") or "",
            found.get("cipher", "none"),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PgbackrestError(f"pgbackrest info answered something else than expected: {error!r}: {text[:200]}") from error


def _backup(entry: Mapping[str, Any]) -> Backup:
    info = entry["info"]
    return Backup(
        entry["label"],
        entry["type"],
        entry["timestamp"]["start"],
        entry["timestamp"]["stop"],
        parse_lsn(entry["lsn"]["stop"]),
        entry["archive"]["start"],
        entry["archive"]["stop"],
        info["size"],
        info["delta"],
        info["repository"]["delta"],
        bool(entry.get("error")),
    )


# Places in the WAL and in time -----------------------------------------------------------------------------------------


def parse_lsn(text: str) -> int:
    """The integer of C(0/4000028). Raises PgbackrestError."""
    match = re.fullmatch(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", text)
    if not match:
        raise PgbackrestError(f"{text!r} is no position in the WAL such as 0/4000028")
    return (int(match[1], 16) << 32) + int(match[2], 16)


def show_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def segment_number(wal: str) -> int:
    """The position of a segment in the WAL, whatever its timeline."""
    return int(wal[8:16], 16) * 256 + int(wal[16:24], 16)


def segment_at(lsn: int) -> int:
    """The number of the segment that holds the byte before a position, which is the last one that has to be there to reach it."""
    return max(lsn - 1, 0) // SEGMENT


def _name_of(number: int) -> str:
    return f"{number // 256:08X}{number % 256:08X}"


def show_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """ISO 8601, UTC where it names no zone. Raises PgbackrestError."""
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError as error:
        raise PgbackrestError(f"{text!r} is no moment such as 2026-11-24T14:20:02Z") from error
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()


@dataclass(frozen=True)
class Archive:
    """The segments of WAL in the repository by number, and when the newest arrived."""

    segments: frozenset[int] = frozenset()
    newest_at: float = 0

    def missing(self, first: int, last: int) -> list[int]:
        return [number for number in range(first, last + 1) if number not in self.segments]


def parse_archive(text: str) -> Archive:
    """What C(pgbackrest repo-ls --recurse --output=json) tells of the folder of a stanza's WAL. Raises PgbackrestError."""
    try:
        listed: dict[str, dict[str, Any]] = json.loads(text)
    except ValueError as error:
        raise PgbackrestError(f"pgbackrest repo-ls answered something else than expected: {text[:200]}") from error
    found: dict[int, float] = {}
    for path, entry in listed.items():
        # A segment that a failed leader left unfinished carries `.partial` before its checksum, and proves nothing.
        match = re.search(r"(?:^|/)([0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?$", path)
        if match:
            number = segment_number(match[1])
            found[number] = max(found.get(number, 0), float(entry.get("time") or 0))
    return Archive(frozenset(found), max(found.values(), default=0))


def holes(stanza: Stanza, archive: Archive) -> list[str]:
    """The segments that are missing between the oldest backup and the newest WAL, without their timeline."""
    if not stanza.backups or not archive.segments:
        return []
    first = min(segment_number(backup.wal_start) for backup in stanza.backups)
    last = max([*archive.segments, *(segment_number(backup.wal_stop) for backup in stanza.backups)])
    return [_name_of(number) for number in archive.missing(first, last)]


# What a restore takes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """Where a restore shall end. C(value) is the name, or the moment in ISO 8601; C(lsn) where a named point lies."""

    type: str = "default"
    value: str = ""
    lsn: str = ""
    backup: str = ""


@dataclass(frozen=True)
class Plan:
    """The backup that a restore begins with, and the WAL that it replays."""

    backup: Backup
    segments: int

    @property
    def wal_bytes(self) -> int:
        return self.segments * SEGMENT


def choose(stanza: Stanza, archive: Archive, target: Target, now: float) -> Plan:
    """The newest backup from which the target is reached, with all the WAL that this needs in the archive. Raises TargetError."""
    if not stanza.backups:
        raise TargetError(f"stanza {stanza.name} has no backup: {stanza.message}")
    candidates = [backup for backup in stanza.backups if target.backup in ("", backup.label)]
    if not candidates:
        raise TargetError(f"there is no backup {target.backup}; there are {', '.join(backup.label for backup in stanza.backups)}")
    last = max(archive.segments, default=-1)
    if target.type == "time":
        moment = parse_time(target.value)
        if moment > now:
            raise TargetError(f"{target.value} has not come yet")
        if moment > archive.newest_at:
            raise TargetError(f"the archive reaches {show_time(archive.newest_at)}, which is before {target.value}")
        fitting = [backup for backup in candidates if backup.stop < moment]
        earliest = show_time(min(backup.stop for backup in candidates))
    elif target.lsn:
        lsn = parse_lsn(target.lsn)
        if segment_at(lsn) > last:
            raise TargetError(f"the archive ends before {target.lsn}, its newest segment is {stanza.wal_max or 'none'}")
        last = segment_at(lsn)
        fitting = [backup for backup in candidates if backup.lsn_stop < lsn]
        earliest = show_lsn(min(backup.lsn_stop for backup in candidates))
    else:
        fitting, earliest = candidates, ""
    if not fitting:
        raise TargetError(f"{target.lsn or target.value} lies before the end of the first backup that could reach it, {earliest}")
    backup = max(fitting, key=lambda backup: (backup.stop, backup.label))
    first = segment_number(backup.wal_start)
    if target.type == "immediate":
        last = segment_number(backup.wal_stop)
    last = max(last, segment_number(backup.wal_stop))
    missing = archive.missing(first, last)
    if missing:
        raise TargetError(
            f"the archive has a hole after backup {backup.label}: {len(missing)} segments, the first is {_name_of(missing[0])}"
        )
    return Plan(backup, last - first + 1)


@dataclass(frozen=True)
class Sample:
    """A restore or a replay that was measured."""

    kind: str
    bytes: int
    seconds: float


def read_samples(text: str) -> list[Sample]:
    """What was measured before; a file that is none is no reason not to restore."""
    try:
        return [Sample(str(item["kind"]), int(item["bytes"]), float(item["seconds"])) for item in json.loads(text)]
    except (ValueError, KeyError, TypeError):
        return []


def add_sample(samples: Sequence[Sample], new: Sample) -> str:
    """The file with one more, the newest of each kind only."""
    kept = [item for item in samples if item.kind != new.kind] + [item for item in samples if item.kind == new.kind][1 - SAMPLES :]
    return json.dumps([vars(item) for item in [*kept, new]], indent=2) + "\n"


def rate(kind: str, samples: Sequence[Sample]) -> tuple[float, bool]:
    """Bytes a second of C(restore) or C(replay), and whether that was measured on this host."""
    found = [
        item.bytes / max(item.seconds - OVERHEAD_SECONDS, item.seconds / 10) for item in samples if item.kind == kind and item.seconds > 0
    ]
    return (statistics.median(found[-SAMPLES:]), True) if found else (DEFAULT_RATE[kind], False)


@dataclass(frozen=True)
class Estimate:
    """Seconds that copying and replaying will take."""

    restore_seconds: float
    replay_seconds: float
    measured: bool

    @property
    def seconds(self) -> float:
        return self.restore_seconds + self.replay_seconds


def estimate(plan: Plan, samples: Sequence[Sample]) -> Estimate:
    """The time that a plan takes at the rates that this host has shown."""
    restore, measured = rate("restore", samples)
    replay, _measured = rate("replay", samples)
    return Estimate(round(OVERHEAD_SECONDS + plan.backup.size / restore, 1), round(plan.wal_bytes / replay, 1), measured)


# What is due, and who does it ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Schedule:
    """A full backup on one day of the week and a differential one on the others, at one hour UTC; incremental ones in between."""

    full_day: str = "Sun"
    hour: int = 1
    incremental_hours: int = 4


def due(schedule: Schedule, backups: Iterable[Backup], now: float) -> str:
    """The type of the backup that should have been made by now and was not, or nothing. One that failed stays due."""
    moment = datetime.fromtimestamp(now, timezone.utc)
    daily = moment.replace(hour=schedule.hour, minute=0, second=0, microsecond=0)
    if daily > moment:
        daily -= timedelta(days=1)
    weekly = daily - timedelta(days=(daily.weekday() - DAYS.index(schedule.full_day)) % 7)
    step = timedelta(hours=schedule.incremental_hours)
    latest = daily + (moment - daily) // step * step
    made = list(backups)
    for kind, counts, since in (("full", {"full"}, weekly), ("diff", {"full", "diff"}, daily), ("incr", {"full", "diff", "incr"}, latest)):
        if not any(backup.type in counts and backup.start >= since.timestamp() for backup in made):
            return kind
    return ""


def newest(backups: Iterable[Backup], kind: str = "incr") -> Backup | None:
    """The newest backup that is at least of that kind: a full one is as good as a differential one."""
    counts = {"full": {"full"}, "diff": {"full", "diff"}, "incr": {"full", "diff", "incr"}}[kind]
    return max((backup for backup in backups if backup.type in counts), key=lambda backup: backup.stop, default=None)


def acting_member(cluster: Mapping[str, Any]) -> str:
    """The one member that makes backups, of C(/cluster) of Patroni: the first healthy replica by name, else the leader."""
    replicas: list[str] = []
    leaders: list[str] = []
    for member in cluster.get("members", []):
        if member.get("state") in ("running", "streaming"):
            (leaders if member.get("role") in ("leader", "master", "standby_leader") else replicas).append(str(member["name"]))
    return min(replicas or leaders, default="")


# What verify found -----------------------------------------------------------------------------------------------------

NOISE = re.compile(r"(verify command (begin|end)|stanza:|status:)")
LOGGED = re.compile(r"^(?:\d{4}-\d\d-\d\d [\d:.]+ )?P\d\d\s+(INFO|WARN|ERROR|DETAIL): (.*)$")


@dataclass(frozen=True)
class Verdict:
    """Whether everything was as it was written, and which files were not."""

    ok: bool
    faults: list[str] = field(default_factory=list)
    checked: int = 0


def parse_verify(output: str) -> Verdict:
    """What C(pgbackrest verify --output=text --verbose --log-level-console=info) says: 2.45 ends with 0 whatever it found."""
    faults: list[str] = []
    summary: list[str] = []
    for line in output.splitlines():
        match = LOGGED.match(line)
        if match and not NOISE.match(match[2]):
            faults.append(match[2].strip())
        elif not match:
            summary.append(line.strip())
    states = re.findall(r"^status: (\w+)", "\n".join(summary), re.MULTILINE)
    broken = [line for line in summary if re.search(r"status: invalid|^No usable|^\w.*(in progress).*error", line)]
    checked = sum(int(count) for count in re.findall(r"total (?:WAL|files) checked: (\d+)", "\n".join(dict.fromkeys(summary))))
    if not states:
        raise PgbackrestError(f"pgbackrest verify said nothing about the repository: {output.strip()[-300:]}")
    fine = all(state == "ok" for state in states) and not broken
    return Verdict(fine, [] if fine else faults + list(dict.fromkeys(broken)), checked)


# Figures for node-exporter ---------------------------------------------------------------------------------------------


def render_metrics(figures: Mapping[str, tuple[str, float]]) -> str:
    """Text of gauges: names (with labels) to what they mean and their value."""
    lines: list[str] = []
    for name, (meaning, value) in figures.items():
        bare = name.partition("{")[0]
        if f"# TYPE {bare} gauge" not in lines:
            lines += [f"# HELP {bare} {meaning}", f"# TYPE {bare} gauge"]
        lines.append(f"{name} {value:.15g}")
    return "\n".join(lines) + "\n"


def metric_of(text: str, name: str) -> float | None:
    """A figure that an earlier run wrote."""
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(match[1]) if match else None
