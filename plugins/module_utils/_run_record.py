# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of a run: lines of JSON that are written as it goes, and what can be read from them. Nothing is opened here.

A line has C(event) and C(at), and by its event

    run_begun    id, who, controller, version, ansible, playbook, inventory, limit, tags, skip_tags, check, inputs (names alone)
    stage_begun  stage ("2/8 Hosts"), offset (seconds since the run began)
    step         stage, task, seconds, ok (hosts), changed (their names), failures ({host: first line of the message})
    stage_ended  stage, seconds, tasks, changed, failed (hosts)
    evidence     name, file, sha256, bytes, content (where it is not long)
    run_ended    seconds, rc, verdict, summary

A run without its last line is INCOMPLETE, whatever came of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}")
STAGE = re.compile(r"^\((\d+)/(\d+)\) ([^|]+?)(?: \| .*)?$")
INCOMPLETE = "INCOMPLETE"
MESSAGE_LENGTH = 400


@dataclass
class Stage:
    """One stage: when it began after the run did, and what it came to; C(seconds) is None where it did not end."""

    stage: str
    offset: float = 0.0
    seconds: float | None = None
    tasks: int = 0
    changed: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass
class Record:
    """What the lines of a run say. Times are ISO 8601 in UTC."""

    id: str = ""
    began: str = ""
    seen: str = ""
    who: str = ""
    controller: str = ""
    version: str = ""
    playbook: str = ""
    limit: str = ""
    tags: list[str] = field(default_factory=list)
    skip_tags: list[str] = field(default_factory=list)
    check: bool = False
    verdict: str = INCOMPLETE
    rc: int | None = None
    seconds: float = 0.0
    stages: list[Stage] = field(default_factory=list)
    task: str = ""
    failures: list[dict[str, str]] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, str] = field(default_factory=dict)

    @property
    def stopped_in(self) -> str:
        """The stage that did not end; empty where all did."""
        return next((stage.stage for stage in self.stages if stage.seconds is None), "")

    def same_way(self, other: Record) -> bool:
        """Whether both ran the same playbook in the same way, so that their times can be compared."""
        return [getattr(self, name) for name in _WAY] == [getattr(other, name) for name in _WAY]

    def as_dict(self) -> dict[str, Any]:
        """All of it, of plain types."""
        return asdict(self)


_WAY = ("playbook", "limit", "tags", "skip_tags", "check")
_HEAD = ("id", "who", "controller", "version", "playbook", "limit", "tags", "skip_tags", "check")


def new_id(now: float, salt: str) -> str:
    """An id that sorts by time. C(salt) tells apart what begins in the same second."""
    return f"{stamp(now).replace('-', '').replace(':', '')}-{salt[:4]:0<4}"


def stamp(now: float) -> str:
    """A moment as it stands in a record."""
    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> float:
    """Seconds since 1970 of a moment as it stands in a record; 0 for what is none."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return 0.0


def line(event: str, at: float, fields: Mapping[str, Any]) -> str:
    """One line of a record, with its end."""
    return json.dumps({"event": event, "at": stamp(at), **fields}, separators=(",", ":"), default=str) + "\n"


def first_line(message: Any) -> str:
    """What a step's failure is told by."""
    lines = [text.strip() for text in str(message or "").splitlines() if text.strip()]
    return lines[0][:MESSAGE_LENGTH] if lines else "failed"


def events(text: str) -> list[dict[str, Any]]:
    """The lines of a record. One that a run was killed in is left out."""
    found = []
    for row in text.split("\n"):
        try:
            event = json.loads(row)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            found.append(event)
    return found


def parse(text: str, run: str = "") -> Record:
    """What a record says; C(run) is its id where no line has it."""
    record = Record(id=run)
    stages: dict[str, Stage] = {}
    for event in events(text):
        record.seen = max(record.seen, str(event.get("at", "")))
        kind = event["event"]
        if kind == "run_begun":
            record.began = str(event.get("at", ""))
            for name in _HEAD:
                setattr(record, name, event.get(name, getattr(record, name)))
        elif kind == "stage_begun":
            stages[event["stage"]] = Stage(event["stage"], float(event.get("offset", 0)))
        elif kind == "stage_ended":
            stage = stages.setdefault(event["stage"], Stage(event["stage"]))
            stage.seconds, stage.tasks, stage.changed = float(event["seconds"]), int(event["tasks"]), int(event["changed"])
            stage.failed = list(event.get("failed", []))
        elif kind == "step":
            record.task = str(event.get("task", ""))
            for host in event.get("changed", []):
                record.changed[host] = record.changed.get(host, 0) + 1
            for host, message in event.get("failures", {}).items():
                record.failures.append({"stage": event.get("stage", ""), "task": record.task, "host": host, "message": message})
        elif kind == "evidence":
            record.evidence.append({name: event.get(name, "") for name in ("name", "file", "sha256", "bytes")})
        elif kind == "run_ended":
            record.verdict, record.rc, record.seconds = str(event["verdict"]), int(event["rc"]), float(event["seconds"])
            record.summary = {str(name): str(value) for name, value in event.get("summary", {}).items()}
    record.stages = list(stages.values())
    if record.verdict == INCOMPLETE and record.began:
        record.seconds = max(0.0, moment(record.seen) - moment(record.began))
    return record


def from_dict(given: Mapping[str, Any]) -> Record:
    """A record of what C(Record.as_dict) made."""
    known = {name: given[name] for name in Record.__dataclass_fields__ if name in given and name != "stages"}
    return Record(**known, stages=[Stage(**stage) for stage in given.get("stages", [])])


def last_of(records: Iterable[Record], like: Record, complete: bool = False) -> Record | None:
    """The newest that ran the same way; with C(complete), that came to a good end."""
    found = [each for each in records if each.same_way(like) and each.id != like.id and (each.verdict == "ok" or not complete)]
    return max(found, key=lambda each: each.id, default=None)


def chosen_for_log(text: str) -> list[str]:
    """The lines that the log of a platform gets: all but steps that changed nothing, and without what evidence says."""
    chosen = []
    for event in events(text):
        if event["event"] == "step" and not event.get("changed") and not event.get("failures"):
            continue
        event.pop("content", None)
        chosen.append(json.dumps(event, separators=(",", ":")))
    return chosen


def minutes(seconds: float) -> str:
    """Seconds as C(m:ss), from an hour on as C(h:mm:ss)."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}" if whole < 3600 else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def ago(seconds: float) -> str:
    """How long something has been, in one word."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def where_it_stopped(record: Record) -> str:
    """What a run that did not come to a good end had finished, and where it stopped, in a sentence; empty for one that did."""
    if record.verdict == "ok":
        return ""
    done = [stage.stage for stage in record.stages if stage.seconds is not None and not stage.failed]
    failed = record.failures[-1] if record.failures else None
    stage = record.stopped_in or (failed["stage"] if failed else "") or (record.stages[-1].stage if record.stages else "")
    task = failed["task"] if failed else record.task
    end = "was cut off" if record.verdict == INCOMPLETE else "failed"
    return (
        f"The last run ({record.id} by {record.who}) {end} after {minutes(record.seconds)}"
        + (f" in {stage}" if stage else " before its first stage")
        + (f", {'at' if failed else 'after'} '{task}'" if task else "")
        + (f" on {failed['host']}" if failed else "")
        + f". Done were {', '.join(done) if done else 'no stages'}."
    )


def merged(copies: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Records that several hosts keep, each once, the newest first. A copy may be older than another: the one that says more is taken."""
    best: dict[str, Record] = {}
    for copy in copies:
        record = from_dict(copy)
        known = best.get(record.id)
        if known is None or (record.verdict != INCOMPLETE, record.seen) > (known.verdict != INCOMPLETE, known.seen):
            best[record.id] = record
    return sorted(best.values(), key=lambda each: each.id, reverse=True)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in rows]


def history(records: Sequence[Record], running: str = "") -> list[str]:
    """Runs as lines, a line each. C(running) is the id of the one that holds the lock."""
    rows = [["run", "began (UTC)", "who", "playbook", "verdict", "time", "stages"]]
    for record in records:
        verdict = "running" if record.id == running and record.verdict == INCOMPLETE else record.verdict
        ended = [stage.stage for stage in record.stages if stage.seconds is not None and not stage.failed]
        stages = str(len(ended))
        if record.verdict != "ok":
            last = record.stopped_in or next((stage.stage for stage in reversed(record.stages) if stage.failed), "")
            stages += f", {'now' if verdict == 'running' else 'stopped'} in {last}" if last else ""
        began = record.began.replace("T", " ").rstrip("Z")
        rows.append([record.id, began, record.who, record.playbook, verdict, minutes(record.seconds), stages])
    return table(rows) if records else ["No run has left a record here."]


def story(record: Record, running: str = "") -> list[str]:
    """One run in full."""
    verdict = "running" if record.id == running and record.verdict == INCOMPLETE else record.verdict
    lines = [
        f"{record.id}: {record.playbook} by {record.who} on {record.controller}, collection {record.version}",
        f"{record.began}, {minutes(record.seconds)}, {verdict}" + (f" (rc {record.rc})" if record.rc is not None else ""),
    ]
    given = [f"limit {record.limit}" if record.limit else "", f"tags {','.join(record.tags)}" if record.tags not in ([], ["all"]) else ""]
    lines += [", ".join(filter(None, given))] if any(given) else []
    if record.stages:
        rows = [["stage", "time", "tasks", "changed", ""]]
        for stage in record.stages:
            time = minutes(stage.seconds) if stage.seconds is not None else "-"
            state = "FAILED" if stage.failed else "" if stage.seconds is not None else "not ended"
            rows.append([stage.stage, time, str(stage.tasks), str(stage.changed), state])
        lines += ["", *table(rows)]
    changed = ", ".join(f"{host} {count}" for host, count in sorted(record.changed.items())) or "nothing"
    lines += ["", f"Changed: {changed}"]
    lines += [f"Failed:  {each['host']} in {each['stage']}: {each['task']}: {each['message']}" for each in record.failures]
    lines += [f"Evidence: {each['name']}, {each['bytes']} bytes, sha256 {each['sha256']}" for each in record.evidence]
    lines += [f"{name}: {value}" for name, value in record.summary.items()]
    return lines
