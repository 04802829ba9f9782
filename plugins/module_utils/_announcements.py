# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is told what of a run, and when: from C(arxos_announcements) and what happens to messages, without sending any.

An address of a channel holds secrets. It is part of C(Channel) alone: of no fault, no message and no report.
"""

from __future__ import annotations

import datetime
import fnmatch
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

STAGE = re.compile(r"^\((\d+)/(\d+)\) ([^|]+?)(?: \| .*)?$")
ADDRESS = re.compile(r"[a-z][a-z0-9]+://[^\s/?]\S*")

EVENTS = ("before", "stage", "progress", "failure", "after")
# SPEC 8: everybody hears before and after. A failure goes by the escalation table, and to audiences that name it in their events.
AUDIENCES: dict[str, tuple[str, ...]] = {
    "executives": ("before", "after"),
    "development": ("before", "stage", "after"),
    "operations": ("before", "stage", "progress", "after"),
    "support": ("before", "progress", "after"),
    "end_users": ("before", "after"),
}
ESCALATION = {"technical": "development", "performance": "operations", "user": "support", "critical": "executives"}
# What kind a failure is, searched in "playbook | stage | task | message"; one that is neither of performance nor of users is technical.
KINDS = {
    "performance": r"\bload\b|soak|p9[59]|latency|throughput|response time|capacity",
    "user": r"acceptance|\buat\b|training",
    "critical": r"^(rollback|take_back)|data loss|split.?brain|corrupt",
}
NUMBERS = {"interval_minutes": 30, "timeout_seconds": 15, "wait_seconds": 20}
GO_LIVE = ("at", "downtime", "news", "support", "training", "feedback")
KEYS = ("channels", "audiences", "go_live", "escalation", "kinds", "playbooks", "templates", *NUMBERS)
PLAYBOOKS = ("go_live", "deploy", "rollback*", "take_back")
# Stages that a run may be refused in before it touched anything: nobody is told that it begins until they are over.
REFUSING = ("Preflight", "Plan", "Fitting plan")
# Its one stage tells what is planned, and is no run of it.
PLANNING = "announce"
TITLES = {
    "go_live": "Go-live",
    "deploy": "Release",
    PLANNING: "Go-live",
    "rollback": "Full rollback",
    "take_back": "Return after a failure",
}
# What go_live of the data plans. Of all others it is told what they do, for everybody to read.
PLANNED = ("go_live", PLANNING)
DOES = {
    "deploy": "A new release is put in place, host by host.",
    "rollback": "The service goes back to an earlier state, and is closed meanwhile.",
    "rollback_application": "The application goes back to an earlier release, host by host.",
    "rollback_configuration": "The configuration goes back to an earlier state, host by host.",
    "rollback_database": "The database goes back to an earlier state, and the service does not answer meanwhile.",
    "take_back": "What a run that failed has changed goes back.",
}


@dataclass(frozen=True)
class Stage:
    """A stage, as names of plays tell it."""

    number: int
    total: int
    title: str


@dataclass(frozen=True)
class Channel:
    """A way to somebody. address: as apprise takes it. events: those that it takes, whoever the audience is."""

    address: str = field(repr=False)
    events: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """C(arxos_announcements) with its defaults. audiences: names to (channels, events). Times are in seconds."""

    channels: Mapping[str, Channel]
    audiences: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    go_live: Mapping[str, Any]
    escalation: Mapping[str, str]
    kinds: Mapping[str, re.Pattern[str]]
    playbooks: tuple[str, ...]
    templates: str
    interval: float
    timeout: float
    wait: float


@dataclass(frozen=True)
class Message:
    """One text for one channel; facts: what templates are given."""

    channel: str
    audience: str
    event: str
    level: str
    facts: Mapping[str, Any]


def stage_of(play: str) -> Stage | None:
    """The stage that a play belongs to: C(stage_of("(4/9) Database | Patroni")) is C(Stage(4, 8, "Database"))."""
    match = STAGE.match(play)
    return Stage(int(match.group(1)), int(match.group(2)), match.group(3)) if match else None


def minutes(seconds: float) -> str:
    """Seconds as C(m:ss)."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# -- what the inventory says -------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """A name as it is; anything else may be an address at the wrong place."""
    return str(value) if re.fullmatch(r"[\w.*-]{1,40}", str(value)) else "(hidden)"


def faults(data: object, takes: Callable[[str], bool] | None = None) -> list[tuple[str, str, str]]:
    """What is wrong with C(arxos_announcements): where, the problem and what to write instead, without any address.

    takes: whether an address is one that the library can use, where the library is there to be asked.
    """
    if not isinstance(data, Mapping):
        return [("arxos_announcements", "is no mapping", "write channels, audiences and go_live into it (docs/announcements.md)")]
    found: list[tuple[str, str, str]] = []

    def fault(where: str, problem: str, remedy: str) -> None:
        found.append((f"arxos_announcements.{where}", problem, remedy))

    def known(where: str, values: object, choices: Iterable[str], what: str) -> list[str]:
        choices = list(choices)
        if isinstance(values, str) or not isinstance(values, (list, tuple, Mapping)):
            fault(where, "is no list" if not isinstance(values, Mapping) else "is no mapping", f"write a list of {what}")
            return []
        for value in values:
            if value not in choices:
                fault(where, f"has {shown(value)}, which is none", f"write {what}: {', '.join(choices) or 'there are none yet'}")
        return [value for value in values if value in choices]

    def mapping(where: str, value: object) -> Mapping[str, Any]:
        if isinstance(value, Mapping):
            return value
        fault(where, "is no mapping", "write one (docs/announcements.md)")
        return {}

    for key in data:
        if key not in KEYS:
            fault(shown(key), "is not known", f"write one of {', '.join(KEYS)}")
    channels = mapping("channels", data.get("channels") or {})
    for name, channel in channels.items():
        where = f"channels.{shown(name)}"
        channel = mapping(where, channel)
        address = str(channel.get("url") or "")
        if not ADDRESS.fullmatch(address) or (takes is not None and not takes(address)):
            fault(
                f"{where}.url",
                "is no address of a channel (hidden)",
                "write one as apprise takes it, such as mailtos://..., slack://... or jsons://...",
            )
        if "events" in channel:
            known(f"{where}.events", channel["events"], EVENTS, "events")
        for key in set(channel) - {"url", "events"}:
            fault(f"{where}.{shown(key)}", "is not known", "write url and events")
    reached = set()
    audiences = mapping("audiences", data.get("audiences") or {})
    known("audiences", audiences, AUDIENCES, "audiences")
    for name in [name for name in audiences if name in AUDIENCES]:
        audience = mapping(f"audiences.{name}", audiences[name])
        if known(f"audiences.{name}.channels", audience.get("channels", []), channels, "channels"):
            reached.add(name)
        if "events" in audience:
            known(f"audiences.{name}.events", audience["events"], EVENTS, "events")
    table = mapping("escalation", data.get("escalation") or {})
    known("escalation", table, ESCALATION, "kinds of failure")
    for kind, name in {**ESCALATION, **table}.items():
        if kind in ESCALATION and name not in AUDIENCES:
            fault(f"escalation.{kind}", f"goes to {shown(name)}, which is no audience", f"write one of {', '.join(AUDIENCES)}")
        elif kind in ESCALATION and channels and name not in reached:
            fault(
                f"escalation.{kind}", f"goes to {name}, which has no channel", f"give it one in audiences.{name}.channels, or name another"
            )
    kinds = mapping("kinds", data.get("kinds") or {})
    for kind in known("kinds", kinds, KINDS, "kinds of failure"):
        try:
            re.compile(str(kinds[kind]))
        except re.error as error:
            fault(f"kinds.{kind}", f"is no regular expression: {error}", "correct it")
    for key in NUMBERS:
        value = data.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            fault(key, "is no number over 0", "write one")
    if "playbooks" in data and (isinstance(data["playbooks"], str) or not isinstance(data["playbooks"], (list, tuple))):
        fault("playbooks", "is no list", "write names of playbooks, such as go_live or rollback*")
    facts = mapping("go_live", data.get("go_live") or {})
    for key in set(facts) - set(GO_LIVE):
        fault(f"go_live.{shown(key)}", "is not known", f"write {', '.join(GO_LIVE)}")
    if channels and not str(facts.get("support") or "").strip():
        fault("go_live.support", "is missing", "write whom people ask, and how")
    if not isinstance(facts.get("news") or [], (list, tuple)):
        fault("go_live.news", "is no list", "write what is new, a line each")
    return sorted(found)


def settings(data: Mapping[str, Any]) -> Settings:
    """C(arxos_announcements) without faults, with the defaults of what it does not say."""
    facts = data.get("go_live") or {}
    numbers = {key: float(data.get(key, default)) for key, default in NUMBERS.items()}
    return Settings(
        channels={
            name: Channel(channel["url"], tuple(channel.get("events", EVENTS))) for name, channel in (data.get("channels") or {}).items()
        },
        audiences={
            name: (tuple(audience.get("channels", ())), tuple(audience.get("events", AUDIENCES[name])))
            for name, audience in sorted((data.get("audiences") or {}).items(), key=lambda item: list(AUDIENCES).index(item[0]))
        },
        go_live={
            "news": [str(line) for line in facts.get("news") or []],
            **{key: str(facts.get(key) or "").strip() for key in GO_LIVE if key != "news"},
        },
        escalation={**ESCALATION, **(data.get("escalation") or {})},
        kinds={kind: re.compile(str(form), re.IGNORECASE) for kind, form in {**KINDS, **(data.get("kinds") or {})}.items()},
        playbooks=tuple(str(name) for name in data.get("playbooks", PLAYBOOKS)),
        templates=str(data.get("templates") or ""),
        interval=numbers["interval_minutes"] * 60,
        timeout=numbers["timeout_seconds"],
        wait=numbers["wait_seconds"],
    )


def announced(playbook: str, playbooks: Iterable[str]) -> bool:
    """Whether runs of a playbook, by its name without folder and ending, are announced."""
    return playbook == PLANNING or any(fnmatch.fnmatchcase(playbook, form) for form in playbooks)


# -- what is said ------------------------------------------------------------------------------------------------------


def utc_now() -> str:
    """Now, as C(2026-12-01 20:00 UTC)."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


class Announcer:
    """What a run has come to, and the messages that its events give. One call at a time: the caller has the lock."""

    def __init__(
        self,
        settings: Settings,
        playbook: str,
        environment: str = "",
        domain: str = "",
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], str] = utc_now,
    ) -> None:
        self.settings = settings
        self.playbook = playbook
        self.about = {"environment": environment, "domain": domain}
        self.run_id = ""
        self.clock = clock
        self.began = clock()
        self.began_at = today()
        self.stage: Stage | None = None
        self.changed: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.issues: list[str] = []
        self.figures: dict[str, str] = {}
        self.escalated: set[tuple[Stage | None, tuple[str, ...]]] = set()
        self.held: list[Message] = []
        self.over = False

    @property
    def planning(self) -> bool:
        """Whether this only tells what is planned."""
        return self.playbook == PLANNING

    @property
    def plan(self) -> dict[str, Any]:
        """What was planned of this playbook; of one that is not planned, whom people ask."""
        plan = dict(self.settings.go_live)
        return plan if self.playbook in PLANNED else {**dict.fromkeys(plan, ""), "news": [], "support": plan["support"]}

    def play(self, name: str) -> list[Message]:
        """A play begins."""
        stage = stage_of(name)
        if stage is None or stage == self.stage or self.over:
            return []
        first, held, self.stage = self.stage is None, bool(self.held), stage
        messages = [*self.held, *(self._messages("before") if first else []), *([] if self.planning else self._messages("stage"))]
        self.held = messages if (first or held) and stage.title in REFUSING else []
        return [] if self.held else messages

    def changes(self, host: str) -> None:
        """A task changed something on a host."""
        self.changed[host] = self.changed.get(host, 0) + 1

    def learns(self, figures: Mapping[str, Any]) -> None:
        """The run says something of the platform."""
        self.figures.update({str(key): str(value) for key, value in figures.items()})

    def progress(self) -> list[Message]:
        """The interval is over."""
        return [] if self.stage is None or self.over or self.planning or self.held else self._messages("progress")

    def failed(self, host: str, task: str, message: str, handled: bool = False) -> list[Message]:
        """A task failed on a host. handled: the play has a rescue for it, so that it is an issue and may still end well."""
        text = f"{host}: {task}: {message}"
        if handled or self.stage is None:
            self.issues.append(text)
            return []
        self.failures.setdefault(host, f"{task}: {message}")
        return self._escalate(text)

    def ended(self, failed: Iterable[str], figures: Mapping[str, Any] | None = None, broken_off: bool = False) -> list[Message]:
        """The run is over. failed: hosts that it failed on, figures: what it says of the platform."""
        if self.stage is None or self.over or self.planning:
            return []
        lost = {host: self.failures.get(host, "failed") for host in failed}
        messages = []
        if (lost or broken_off) and not self.escalated:
            last = "the run was broken off" if broken_off else next(iter(self.issues[-1:]), "the run failed")
            messages = self._escalate(last)
        self.failures = lost
        self.over = True
        self.learns(figures or {})
        if self.held:
            return messages  # refused, or nothing was to be done: what nobody heard the beginning of has no end
        result = "broken off" if broken_off else "failed" if lost else "done"
        return [*messages, *self._messages("after", result=result)]

    def kinds(self, text: str) -> tuple[str, ...]:
        """Kinds of a failure, for the escalation table."""
        title = self.stage.title if self.stage else ""
        found = [kind for kind, form in self.settings.kinds.items() if form.search(f"{self.playbook} | {title} | {text}")]
        if self.held:
            found = [kind for kind in found if kind != "critical"]  # a refusal is none
        return tuple(found if set(found) - {"critical"} else ["technical", *found])

    def _escalate(self, text: str) -> list[Message]:
        kinds = self.kinds(text)
        # Twenty hosts that fail alike are one message; the figures at the end have them all.
        if (self.stage, kinds) in self.escalated:
            return []
        self.escalated.add((self.stage, kinds))
        audiences = {self.settings.escalation[kind] for kind in kinds}
        return self._messages("failure", audiences, failure=text, kinds=list(kinds))

    def _messages(self, event: str, escalated: Iterable[str] = (), **more: Any) -> list[Message]:
        result = more.get("result", "")
        level = "failure" if event == "failure" or result not in ("", "done") else "success" if result else "info"
        facts = {
            **self.about,
            "event": event,
            "planned": self.planning,
            "title": TITLES.get(self.playbook) or self.playbook.replace("_", " ").capitalize(),
            "run": self.run_id,
            "stage": {"number": self.stage.number, "total": self.stage.total, "title": self.stage.title} if self.stage else {},
            "began": self.began_at,
            "elapsed": minutes(self.clock() - self.began),
            "changed": dict(sorted(self.changed.items())),
            "failed": dict(sorted(self.failures.items())),
            "issues": self.issues[-5:],
            "failure": "",
            "kinds": [],
            "result": "",
            "figures": dict(self.figures),
            "does": DOES.get(self.playbook, ""),
            "go_live": self.plan,
            **more,
        }
        return [
            Message(channel, audience, event, level, {**facts, "audience": audience})
            for audience, (channels, events) in self.settings.audiences.items()
            if event in events or audience in escalated
            for channel in channels
            if event in self.settings.channels[channel].events
        ]


class Schedule:
    """Every so many seconds of a clock, without drift, and once where several were missed."""

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = interval
        self.clock = clock
        self.next = clock() + interval

    def due_in(self) -> float:
        """Seconds until the next time, 0 where it has come."""
        return max(0.0, self.next - self.clock())

    def due(self) -> bool:
        """Whether the time has come; the next one follows."""
        late = self.clock() - self.next
        if late < 0:
            return False
        self.next += (late // self.interval + 1) * self.interval
        return True


# -- what becomes of it ------------------------------------------------------------------------------------------------


class Outbox:
    """Messages that wait for one channel, in order, and what became of the others. One call at a time: the caller has the lock."""

    def __init__(self, name: str, most: int = 100) -> None:
        self.name = name
        self.most = most
        self.waiting: deque[Message] = deque()
        self.sent = 0
        self.reasons: Counter[str] = Counter()

    def put(self, message: Message) -> None:
        """One more. News of progress replace older ones that still wait; the oldest goes where too many wait."""
        if message.event == "progress":
            stale = [each for each in self.waiting if each.event == "progress" and each.audience == message.audience]
            for each in stale:
                self.waiting.remove(each)
        self.waiting.append(message)
        if len(self.waiting) > self.most:
            self.waiting.popleft()
            self.reasons["too many were waiting"] += 1

    def take(self) -> Message | None:
        """The next one to send."""
        return self.waiting.popleft() if self.waiting else None

    def done(self, reason: str = "") -> None:
        """What became of the one that was taken; no reason means that it was sent."""
        if reason:
            self.reasons[reason] += 1
        else:
            self.sent += 1

    def close(self, reason: str) -> None:
        """Nothing more is sent."""
        self.reasons.update({reason: len(self.waiting)} if self.waiting else {})
        self.waiting.clear()

    @property
    def failed(self) -> int:
        """How many were not sent."""
        return sum(self.reasons.values())


def report(outboxes: Iterable[Outbox]) -> str:
    """What became of all messages, on one line: C(9 sent; mail failed 2 times (connection refused))."""
    boxes = list(outboxes)
    parts = [f"{sum(box.sent for box in boxes)} sent"]
    for box in boxes:
        if box.failed:
            times = "once" if box.failed == 1 else f"{box.failed} times"
            why = ", ".join(f"{reason}{f' {count}x' if len(box.reasons) > 1 else ''}" for reason, count in box.reasons.most_common())
            parts.append(f"{box.name} failed {times} ({why})")
    return "; ".join(parts)
