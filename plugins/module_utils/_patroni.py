# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a cluster under Patroni is looked at and told to change, over its REST API. It knows no HTTP library and no clock: both are handed in.

Written against Patroni 3.0 and 4.0, whose answers differ: 3.0 does not say in C(/cluster) which replicas stream, so that is always read from the
leader's own C(/patroni); and only 4.0 has quorum commit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

INTERVAL = 0.25  # seconds between two looks
ANSWER_SECONDS = 5.0  # for what is answered from memory or etcd
LOOPS = 2  # of Patroni, after which what it was told to reload is in force: one may have begun before
ROUNDS = 4  # of restarts: a lowered max_connections takes the replicas, the leader, and the replicas once more
CONFLICTS = 5  # of changes to the configuration at the same time, until it is somebody's fault

Json = dict[str, Any]


class PatroniError(Exception):
    """What went wrong and what to do next, for people."""


class Unreachable(PatroniError):
    """No answer now; there may be one later."""


class Refused(PatroniError):
    """An answer that will stay: wrong password, wrong certificate, something that this cluster cannot do."""


@dataclass(frozen=True)
class Answer:
    """Status of the response, and its body: JSON where it is that, else text."""

    status: int
    body: Any = None


class Http(Protocol):
    """One request: method, URL, JSON to send or None, seconds to wait. Raises Unreachable without an answer, Refused for a wrong certificate."""

    def __call__(self, method: str, url: str, body: Json | None, seconds: float) -> Answer: ...


@dataclass
class Time:
    """The clock and how to wait, in seconds; tests hand in their own."""

    clock: Callable[[], float]
    pause: Callable[[float], None]


@dataclass(frozen=True)
class Member:
    """One member as C(/cluster) has it. C(lag) is bytes behind the leader, None when unknown."""

    name: str
    role: str
    state: str
    url: str
    timeline: int | None = None
    lag: int | None = None
    pending_restart: bool = False
    tags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def synchronous(self) -> bool:
        return self.role in ("sync_standby", "quorum_standby")

    @property
    def may_lead(self) -> bool:
        # 4.0 also writes nofailover as failover_priority 0.
        return not self.tags.get("nofailover") and str(self.tags.get("failover_priority", 1)) != "0"


@dataclass(frozen=True)
class View:
    """The cluster at one moment. C(streaming) are the replicas that stream from the leader."""

    members: Mapping[str, Member]
    leader: str | None
    paused: bool
    streaming: frozenset[str]
    configuration: Json

    @property
    def synchronous_mode(self) -> str:
        """C(off), C(on) or C(quorum)."""
        mode = str(self.configuration.get("synchronous_mode", "off")).lower()
        return {"true": "on", "false": "off", "none": "off"}.get(mode, mode)

    def candidates(self) -> list[Member]:
        """Replicas that may take over without loss, best first."""
        found = [item for item in self.members.values() if item.name in self.streaming and item.may_lead]
        if self.synchronous_mode != "off":
            found = [item for item in found if item.synchronous]
        return sorted(found, key=lambda item: (item.lag is None, item.lag or 0, item.name))

    def missing(self, wanted: Collection[str] = ()) -> str:
        """Why this cluster is not whole: it has a leader, C(wanted) stream from it, and one of them could take over. Empty when it is."""
        leader = self.members.get(self.leader or "")
        if leader is None:
            return "no member leads"
        if leader.state != "running":
            return f"{leader.name} leads and is {leader.state or 'of unknown state'}"
        late = [name for name in sorted(wanted) if name != self.leader and name not in self.streaming]
        if late:
            states = [f"{name} ({self.members[name].state})" if name in self.members else f"{name} (not registered)" for name in late]
            return f"not streaming from {leader.name}: {', '.join(states)}"
        able = [item for item in self.members.values() if item.name in self.streaming and item.may_lead and not item.tags.get("nosync")]
        if self.synchronous_mode != "off" and able and not any(item.synchronous for item in able):
            return f"Patroni has noted no replica of {leader.name} as synchronous yet"
        return ""


@dataclass
class Outcome:
    before: View
    after: View
    steps: list[str] = field(default_factory=list)


# Pure -----------------------------------------------------------------------------------------------------------------


def base_url(url: str) -> str:
    """Of a member's C(api_url), such as C(https://192.0.2.1:8008/patroni), what requests start with."""
    return url.rstrip("/").removesuffix("/patroni")


def parse_members(document: Any) -> dict[str, Member]:
    """Members by name, of the answer to C(/cluster). Raises Unreachable when it is not one."""
    if not isinstance(document, dict) or not isinstance(document.get("members"), list):
        raise Unreachable("the answer to /cluster has no members: is this Patroni?")
    members = {}
    for item in document["members"]:
        lag = item.get("lag")
        members[item["name"]] = Member(
            name=item["name"],
            role=item.get("role", ""),
            state=item.get("state", ""),
            url=base_url(item.get("api_url", "")),
            timeline=item.get("timeline"),
            lag=lag if isinstance(lag, int) else None,
            pending_restart=bool(item.get("pending_restart")),
            tags=item.get("tags") or {},
        )
    return members


def merge(configuration: Json, change: Json) -> Json:
    """The configuration after a PATCH: mappings merge, null removes, everything else replaces.

    Like Patroni, takes values for equal whose text is: it would not store C(100) over C("100"), so that every run would want to.
    """
    merged = copy.deepcopy(configuration)
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = merge(inner if isinstance(inner, dict) else {}, value)
        elif name not in merged or str(merged[name]) != str(value):
            merged[name] = value
    return merged


def difference(configuration: Json, wanted: Json) -> Json:
    """The smallest PATCH that takes C(configuration) to C(wanted)."""
    change: Json = dict.fromkeys(name for name in configuration if name not in wanted)
    for name, value in wanted.items():
        found = configuration.get(name)
        if isinstance(value, dict) and isinstance(found, dict):
            inner = difference(found, value)
            if inner:
                change[name] = inner
        elif name not in configuration or found != value:
            change[name] = value
    return change


def wanted_configuration(configuration: Json, change: Json, *, purge: bool) -> Json:
    """What the configuration shall be; with C(purge), without parameters of PostgreSQL that C(change) does not have."""
    wanted = merge(configuration, change)
    if purge:
        named = (change.get("postgresql") or {}).get("parameters") or {}
        parameters = (wanted.get("postgresql") or {}).get("parameters") or {}
        for name in [name for name in parameters if name not in named]:
            del parameters[name]
    return wanted


def paths(change: Json, above: str = "") -> list[str]:
    """Names of what a PATCH changes, such as C(postgresql.parameters.work_mem)."""
    found = []
    for name, value in change.items():
        found += paths(value, f"{above}{name}.") if isinstance(value, dict) and value else [above + name]
    return found


def summary(view: View) -> Json:
    """The cluster as the module returns it."""
    return {
        "leader": view.leader,
        "paused": view.paused,
        "configuration": view.configuration,
        "members": [
            {
                "name": item.name,
                "role": item.role,
                "state": item.state,
                "timeline": item.timeline,
                "lag": item.lag,
                "streaming": item.name in view.streaming,
                "pending_restart": item.pending_restart,
            }
            for item in view.members.values()
        ],
    }


def state(view: View) -> Json:
    """What a diff shows of a cluster."""
    return {"leader": view.leader, "paused": view.paused, "configuration": view.configuration}


# Looking and doing ----------------------------------------------------------------------------------------------------


class Cluster:
    """The cluster that C(endpoints), base URLs of members, belong to. With C(check), what would change it is noted and not done."""

    def __init__(self, endpoints: Iterable[str], http: Http, time: Time, timeout: float, *, check: bool = False) -> None:
        self._endpoints = [base_url(url) for url in endpoints]
        self._named = frozenset(self._endpoints)
        self._http = http
        self._time = time
        self._timeout = timeout
        self._check = check
        self.steps: list[str] = []

    def look(self) -> View:
        """Raises Unreachable when no endpoint answers, with the reason of each."""
        reasons = []
        for url in list(self._endpoints):
            try:
                document = self._get(url, "/cluster")
                members = parse_members(document)
                configuration = self._get(url, "/config")
            except Unreachable as error:
                reasons.append(str(error))
                continue
            self._endpoints.sort(key=lambda item: item != url)  # the one that answers comes first from now on
            leader = next((item for item in members.values() if item.role in ("leader", "standby_leader")), None)
            return View(
                members=members,
                leader=leader.name if leader else None,
                paused=bool(document.get("pause")),
                streaming=self._streaming(leader),
                configuration=configuration,
            )
        raise Unreachable("no member answers; is patroni.service running, and has etcd a quorum?\n" + "\n".join(reasons))

    def configure(self, change: Json, *, purge: bool) -> None:
        """Merges C(change) into the configuration and waits until every member has it in force."""
        view = self.look()
        patch = difference(view.configuration, wanted_configuration(view.configuration, change, purge=purge))
        if not patch:
            return
        self.steps.append("configuration: " + ", ".join(sorted(paths(patch))))
        if not self._check:
            self._patch(patch)
            self.settle()

    def settle(self) -> None:
        """Waits until every member has gone through its loop, so that what it was told to reload is in force and a restart it needs is known."""
        seen: dict[str, list[int]] = {}

        def missing() -> str:
            late = []
            for name, status in self._all_status().items():
                times = seen.setdefault(name, [])
                now = status.get("dcs_last_seen")
                if isinstance(now, int) and now not in times:
                    times.append(now)
                if len(times) <= LOOPS:
                    late.append(name)
            return f"{', '.join(late)} did not go through their loop" if late else ""

        self._wait("all members take the configuration over", missing)

    def pause(self, wanted: bool) -> None:
        """Takes Patroni's hands off the cluster, or gives it back, and waits until every member knows."""
        if self.look().paused is wanted:
            return
        self.steps.append("pause" if wanted else "resume")
        if self._check:
            return
        self._patch({"pause": True if wanted else None})

        def missing() -> str:
            late = [name for name, status in self._all_status().items() if bool(status.get("pause")) is not wanted]
            return f"{', '.join(late)} did not" if late else ""

        self._wait(f"all members {'pause' if wanted else 'resume'}", missing)

    def switch_over(self, leader: str | None = None, candidate: str | None = None) -> None:
        """Makes C(candidate) lead, or anybody fit when C(leader) leads (whoever leads, when neither is given). Waits until the cluster is whole."""

        def done(view: View) -> bool:
            if view.leader == candidate or (candidate is None and leader not in (None, view.leader)):
                return True
            if leader not in (None, view.leader):
                raise Refused(f"{leader} does not lead, {view.leader} does. Leave `leader` out, or name {view.leader}.")
            return False

        view = self.look()
        self._know(view, [name for name in (leader, candidate) if name])
        if view.leader is not None and done(view):
            return
        self._refuse_paused(view, "switch over")
        if self._check:
            self.steps.append(f"{candidate or self._best(view)} takes over from {view.leader or 'nobody'}")
            return
        view = self._whole(())
        if not done(view):
            self._hand_over(view, candidate or self._best(view))

    def restart(self, names: Collection[str] = (), *, only_pending: bool) -> None:
        """Restarts PostgreSQL on C(names) (on all, when empty): replicas one at a time, the leader last and after it was relieved."""
        view = self.look()
        self._know(view, names)
        chosen = [name for name in view.members if (not names or name in names)]
        if only_pending:
            chosen = [name for name in chosen if view.members[name].pending_restart]
        if not chosen:
            return
        self._refuse_paused(view, "restart")
        if self._check:
            self.steps += [f"restart {name}" for name in sorted(chosen, key=lambda name: (name == view.leader, name))]
            return
        for _round in range(ROUNDS):
            self._restart_round(sorted(chosen), only_pending)
            if not only_pending:
                return
            view = self.look()
            chosen = [name for name in chosen if self._status(view.members[name]).get("pending_restart")]
            if not chosen:
                return
        raise Refused(f"a restart is still pending on {', '.join(chosen)}: look in the journal of patroni.service there")

    def reinitialize(self, names: Collection[str]) -> None:
        """Throws away the data of the replicas C(names), one after the other, and has them cloned anew. Waits until each streams."""
        view = self.look()
        self._know(view, names)
        if view.leader is None or view.leader in names:
            raise Refused(
                f"{view.leader} leads and cannot be cloned: switch over first" if view.leader else "no member leads to clone from"
            )
        self._refuse_paused(view, "reinitialize")
        for name in names:
            self.steps.append(f"clone {name}")
            if self._check:
                continue
            member = self.look().members[name]
            before = self._status(member).get("postmaster_start_time")
            self._post(member, "/reinitialize", {"force": True})
            self._whole([name], since={name: before})

    # parts of these

    def _restart_round(self, names: list[str], only_pending: bool) -> None:
        view = self._whole(())
        for name in names:
            if name != view.leader:
                self._restart_member(name)
        if view.leader not in names:
            return
        leader = view.leader or ""
        view = self._whole(())
        fit = [item for item in view.candidates() if not (only_pending and self._status(item).get("pending_restart"))]
        if view.leader != leader:
            pass  # it lost the lead meanwhile, and its PostgreSQL was restarted for that
        elif fit:
            self._hand_over(view, fit[0].name)  # which restarts the old leader's PostgreSQL
        else:
            self._restart_member(leader)  # alone, or with settings that replicas take over only after the leader
            return
        if only_pending and self._status(self.look().members[leader]).get("pending_restart"):
            self._restart_member(leader)

    def _restart_member(self, name: str) -> None:
        """A replica that commits wait for is relieved of that by Patroni before it goes down."""
        view = self.look()
        self.steps.append(f"restart {name}")
        member = view.members[name]
        before = self._status(member).get("postmaster_start_time")
        wanted = set(view.streaming) | {name}
        self._post(member, "/restart", {"timeout": int(self._timeout)})
        self._whole(wanted, since={name: before})

    def _hand_over(self, view: View, candidate: str) -> None:
        old = view.leader or ""
        member = view.members[candidate]
        if candidate not in view.streaming or not member.may_lead:
            why = "is tagged so that it never leads" if candidate in view.streaming else f"does not stream (it is {member.state})"
            raise Refused(f"{candidate} cannot take over: it {why}. Mend it, or name another candidate.")
        self.steps.append(f"{candidate} takes over from {old}")
        widened = view.synchronous_mode == "on" and not member.synchronous
        count = view.configuration.get("synchronous_node_count")
        wanted = set(view.streaming) | {old}
        started = self._status(view.members[old]).get("postmaster_start_time")
        try:
            if widened:  # so that it has every acknowledged write before it leads
                self._patch({"synchronous_node_count": len(view.streaming)})
                self._wait(
                    f"{candidate} becomes synchronous", lambda: "" if self.look().members[candidate].synchronous else "it is not yet"
                )
            self._wait(f"{candidate} takes over from {old}", lambda: self._ask_switchover(old, candidate))
        finally:
            if widened:
                self._wait("the number of synchronous replicas is put back", lambda: self._patch({"synchronous_node_count": count}))
        self._wait(f"{candidate} leads", lambda: "" if self.look().leader == candidate else f"{self.look().leader} does")
        self._whole(wanted, since={old: started})

    def _ask_switchover(self, leader: str, candidate: str) -> str:
        """Why Patroni will not do it yet, empty when it has begun. What it says before it has looked at everything (412) may change."""
        view = self.look()
        now = view.members.get(view.leader or "")
        if now is None or now.name == candidate:
            return "" if now else "no member leads"
        body = {"leader": leader, "candidate": candidate}
        answer = self._call("POST", now.url, "/switchover", body, max(self._timeout, 30))
        text = str(answer.body).strip()
        if answer.status == 412:
            return text
        if answer.status == 200 and "instead of" in text or answer.status != 200 and "status unknown" not in text:
            raise Refused(
                f"the switchover to {candidate} failed: {text}. Who leads is as `patronictl list` says; its reason is in the journal there."
            )
        return ""

    def _best(self, view: View) -> str:
        fit = view.candidates()
        if not fit:
            raise Refused(
                "no replica may take over: "
                + (view.missing(set(view.members)) or "all are tagged so that they never lead")
                + ". Mend a replica first; `patronictl failover` does without, and loses what no replica has."
            )
        return fit[0].name

    def _whole(self, wanted: Collection[str], since: Mapping[str, Any] | None = None) -> View:
        """Waits until the cluster is whole with C(wanted), and PostgreSQL of C(since) was started at another time than noted there."""
        found: list[View] = []

        def missing() -> str:
            view = self.look()
            found.append(view)
            reason = view.missing(wanted)
            for name, start in ({} if reason else since or {}).items():
                status = self._status(view.members[name])
                if status.get("state") != "running" or status.get("postmaster_start_time") in (None, start):
                    return f"{name} was not started anew"
            return reason

        self._wait("the cluster is whole", missing)
        return found[-1]

    def _wait(self, what: str, missing: Callable[[], str | None]) -> None:
        """Returns when C(missing) returns nothing. Raises PatroniError with what it last returned."""
        end = self._time.clock() + self._timeout
        while True:
            try:
                reason = missing()
            except Unreachable as error:
                reason = str(error)
            except KeyError as error:
                reason = f"{error.args[0]} is not registered"
            if not reason:
                return
            if self._time.clock() >= end:
                raise PatroniError(f"{what}: not within {self._timeout:g} s: {reason}")
            self._time.pause(INTERVAL)

    @staticmethod
    def _know(view: View, names: Iterable[str]) -> None:
        unknown = [name for name in names if name not in view.members]
        if unknown:
            raise Refused(f"{', '.join(unknown)}: no such member. There are {', '.join(view.members)}.")

    @staticmethod
    def _refuse_paused(view: View, what: str) -> None:
        if view.paused:
            raise Refused(f"Patroni is paused and must not {what}: somebody is at work here. When that is over, use state=resumed first.")

    # requests

    def _streaming(self, leader: Member | None) -> frozenset[str]:
        try:
            replication = (self._status(leader).get("replication") or []) if leader else []
        except Unreachable:
            replication = []
        return frozenset(item["application_name"] for item in replication if item.get("state") == "streaming")

    def _status(self, member: Member) -> Json:
        return self._get(member.url, "/patroni")

    def _all_status(self) -> dict[str, Json]:
        """What members say of themselves. One that is no endpoint and does not answer is leaving: it was cut off, and stays registered until it is off."""
        found = {}
        for member in self.look().members.values():
            try:
                found[member.name] = self._status(member)
            except Unreachable:
                if member.url in self._named:
                    raise
        return found

    def _get(self, url: str, path: str) -> Json:
        answer = self._call("GET", url, path, None, ANSWER_SECONDS)
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise Unreachable(f"{url}{path} answers {answer.status}: {str(answer.body)[:200]}")
        return answer.body

    def _post(self, member: Member, path: str, body: Json) -> None:
        answer = self._call("POST", member.url, path, body, max(self._timeout, 30))
        if answer.status != 200 and "still starting" not in str(answer.body):
            raise Refused(f"{member.name} refuses {path}: {str(answer.body).strip()}. Look in the journal of patroni.service there.")

    def _patch(self, change: Json) -> None:
        for _attempt in range(CONFLICTS):
            self.look()  # finds a member that answers
            answer = self._call("PATCH", self._endpoints[0], "/config", change, ANSWER_SECONDS)
            if answer.status == 200:
                return
            if answer.status != 409:
                raise Refused(f"the configuration is refused with {answer.status}: {str(answer.body).strip()}")
        raise Refused("somebody else changes the configuration again and again: stop that first")

    def _call(self, method: str, url: str, path: str, body: Json | None, seconds: float) -> Answer:
        answer = self._http(method, url + path, body, seconds)
        if answer.status == 401:
            raise Refused(f"{url} refuses the password: give `username` and `password` of restapi.authentication in its configuration")
        if answer.status == 403:
            raise Refused(f"{url} takes no changes from this host: run this on a member, or add the host to restapi.allowlist")
        return answer
