# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looking at a cluster and changing it, against members made of dictionaries that answer as Patroni 3.0 and 4.0 do, and a clock that tests move."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _patroni
from ansible_collections.arxos.platform.plugins.module_utils._patroni import PatroniError, Refused, Unreachable

LOOP = 5  # seconds of Patroni's loop
BOOT = 1  # seconds that a start of PostgreSQL takes


@dataclass
class Fake:
    """A member and its PostgreSQL."""

    name: str
    started: int = 1  # counts starts
    ready_at: float = 0
    up: bool = True  # its REST API
    pending: bool = False
    stubborn: int = 0  # restarts that leave it pending, unless the leader was restarted in place
    tags: dict[str, Any] = field(default_factory=dict)
    loops: int = 1000
    streams: bool = True
    asleep: bool = False  # its loop hangs


class World:
    """A cluster of three. What it is told to do is noted in `told`."""

    def __init__(self, release: str, mode: Any = True) -> None:
        self.release = release
        self.now = 0.0
        self.next_loop = float(LOOP)
        self.members = {name: Fake(name) for name in ("db1", "db2", "db3")}
        self.leader: str | None = "db1"
        self.synchronous = ["db2"] if mode is True else ["db2", "db3"] if mode == "quorum" else []
        self.configuration: dict[str, Any] = {"ttl": 20, "synchronous_mode": mode, "postgresql": {"parameters": {"jit": "off", "x": 1}}}
        self.told: list[str] = []
        self.answers: dict[str, list[tuple[int, Any]]] = {}  # to give once, by method and path
        self.calls = 0

    # time

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        while self.now >= self.next_loop:
            self.next_loop += LOOP
            for member in self.members.values():
                member.loops += 0 if member.asleep else LOOP
            self.pick()

    def pick(self) -> None:
        """Who is synchronous from now on."""
        able = [name for name in self.streaming() if not self.members[name].tags.get("nosync")]
        mode = self.configuration.get("synchronous_mode")
        count = len(able) if mode == "quorum" else self.configuration.get("synchronous_node_count", 1) if mode else 0
        keep = [name for name in self.synchronous if name in able]
        self.synchronous = (keep + [name for name in able if name not in keep])[:count]

    def streaming(self) -> list[str]:
        return [
            name
            for name, member in self.members.items()
            if name != self.leader and member.streams and self.now >= member.ready_at and self.running(self.leader)
        ]

    def running(self, name: str | None) -> bool:
        return name is not None and self.now >= self.members[name].ready_at

    def start(self, name: str) -> None:
        self.members[name].started += 1
        self.members[name].ready_at = self.now + BOOT

    # requests

    def http(self, method: str, url: str, body: dict[str, Any] | None, seconds: float) -> _patroni.Answer:
        self.calls += 1
        host, _, path = url.removeprefix("https://").partition("/")
        member = self.members[host.removesuffix(":8008")]
        if not member.up:
            raise Unreachable(f"{url} does not answer: refused")
        waiting = self.answers.get(f"{method} /{path}")
        if waiting:
            status, text = waiting.pop(0)
            if status == 0:
                raise Unreachable(text)
            return _patroni.Answer(status, text)
        answer = getattr(self, f"{method.lower()}_{path}")(member, body)
        return answer if isinstance(answer, _patroni.Answer) else _patroni.Answer(200, answer)

    def get_cluster(self, _member: Fake, _body: Any) -> dict[str, Any]:
        found = []
        for name, member in self.members.items():
            role = "replica"
            if name == self.leader:
                role = "leader"
            elif name in self.synchronous:
                role = "quorum_standby" if self.configuration["synchronous_mode"] == "quorum" else "sync_standby"
            state = "running" if self.running(name) else "starting"
            if self.release == "4.0" and name in self.streaming():
                state = "streaming"
            item = {"name": name, "role": role, "state": state, "api_url": f"https://{name}:8008/patroni", "timeline": 1}
            if role != "leader":
                item["lag"] = 0 if member.streams else "unknown"
            if member.pending:
                item["pending_restart"] = True
            if member.tags:
                item["tags"] = member.tags
            found.append(item)
        return {"members": found, **({"pause": True} if self.configuration.get("pause") else {})}

    def get_config(self, _member: Fake, _body: Any) -> dict[str, Any]:
        return copy.deepcopy(self.configuration)

    def get_patroni(self, member: Fake, _body: Any) -> dict[str, Any]:
        leads = member.name == self.leader
        found: dict[str, Any] = {
            "state": "running" if self.running(member.name) else "starting",
            "role": ("master" if self.release == "3.0" else "primary") if leads else "replica",
            "dcs_last_seen": member.loops,
        }
        if self.running(member.name):
            found["postmaster_start_time"] = f"start {member.started}"
        if leads:
            found["replication"] = [{"application_name": name, "state": "streaming"} for name in self.streaming()]
        if member.pending:
            found["pending_restart"] = True
        if self.configuration.get("pause"):
            found["pause"] = True
        return found

    def patch_config(self, _member: Fake, body: dict[str, Any]) -> dict[str, Any]:
        self.told.append(f"PATCH {body}")
        self.configuration = _patroni.merge(self.configuration, body)
        return self.configuration

    def post_switchover(self, _member: Fake, body: dict[str, Any]) -> _patroni.Answer:
        if body["leader"] != self.leader:
            return _patroni.Answer(412, "leader name does not match")
        if self.configuration["synchronous_mode"] is True and body["candidate"] not in self.synchronous:
            return _patroni.Answer(412, "candidate name does not match with sync_standby")
        self.told.append(f"switchover {self.leader} {body['candidate']}")
        self.start(body["leader"])
        self.leader = body["candidate"]
        self.synchronous = []
        return _patroni.Answer(200, f'Successfully switched over to "{self.leader}"')

    def post_restart(self, member: Fake, body: dict[str, Any]) -> str:
        self.told.append(f"restart {member.name}")
        self.start(member.name)
        if member.name == self.leader:
            for other in self.members.values():
                other.stubborn = 0
            member.pending = False
        elif member.stubborn == 0:
            member.pending = False
        return "restarted successfully"

    def post_reinitialize(self, member: Fake, body: dict[str, Any]) -> _patroni.Answer | str:
        assert body == {"force": True}
        self.told.append(f"reinitialize {member.name}")
        self.start(member.name)
        member.streams = True
        return "reinitialize started"


@pytest.fixture(params=["3.0", "4.0"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def cluster(world: World, *, check: bool = False, timeout: float = 60) -> _patroni.Cluster:
    endpoints = [f"https://{name}:8008" for name in world.members]
    return _patroni.Cluster(endpoints, world.http, _patroni.Time(world.clock, world.pause), timeout, check=check)


# Configuration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "change", "purge", "patch"),
    [
        ({"ttl": 20}, {"ttl": 20}, False, {}),
        ({"ttl": 20}, {"ttl": "20"}, False, {}),
        ({"ttl": 20}, {"ttl": 30}, False, {"ttl": 30}),
        ({"ttl": 20}, {"ttl": None}, False, {"ttl": None}),
        ({}, {"ttl": None}, False, {}),
        ({}, {"a": {"b": 1, "c": None}}, False, {"a": {"b": 1}}),
        ({"a": 1}, {"a": {"b": 1}}, False, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": 1}, False, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2}}, False, {"a": {"b": 2}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, False, {"a": {"b": None}}),
        ({"a": [1, 2]}, {"a": [2, 1]}, False, {"a": [2, 1]}),
        ({"postgresql": {"parameters": {"x": 1, "y": 2}}}, {"postgresql": {"parameters": {"x": 1}}}, False, {}),
        (
            {"postgresql": {"parameters": {"x": 1, "y": 2}, "use_slots": True}},
            {"postgresql": {"parameters": {"x": 1}}},
            True,
            {"postgresql": {"parameters": {"y": None}}},
        ),
        ({"postgresql": {"parameters": {"x": 1}}}, {"ttl": 5}, True, {"ttl": 5, "postgresql": {"parameters": {"x": None}}}),
        ({"synchronous_mode": True}, {"synchronous_mode": "quorum"}, False, {"synchronous_mode": "quorum"}),
    ],
)
def test_only_what_differs_is_written(before: dict[str, Any], change: dict[str, Any], purge: bool, patch: dict[str, Any]) -> None:
    wanted = _patroni.wanted_configuration(before, change, purge=purge)
    assert _patroni.difference(before, wanted) == patch
    assert _patroni.merge(before, patch) == wanted, "Patroni would come to something else"
    assert _patroni.difference(wanted, _patroni.wanted_configuration(wanted, change, purge=purge)) == {}, (
        "a second run would change it again"
    )


def test_configuration_is_in_force_everywhere_when_it_returns(world: World) -> None:
    this = cluster(world)
    this.configure({"ttl": 30, "postgresql": {"parameters": {"x": None}}}, purge=False)
    assert world.told == ["PATCH {'ttl': 30, 'postgresql': {'parameters': {'x': None}}}"]
    assert this.steps == ["configuration: postgresql.parameters.x, ttl"]
    assert world.now >= LOOP + 0.1, "members had no time for two loops"
    this.configure({"ttl": 30}, purge=False)
    assert len(world.told) == 1


def test_a_member_that_does_not_take_it_over_is_named(world: World) -> None:
    world.members["db3"].asleep = True
    with pytest.raises(PatroniError, match=r"all members take the configuration over: not within 60 s: db3 did not go through"):
        cluster(world).configure({"ttl": 30}, purge=False)


def test_a_member_that_was_cut_off_is_waited_for_only_where_it_is_wanted(world: World) -> None:
    world.members["db3"].up = False
    with pytest.raises(PatroniError, match="db3:8008/patroni does not answer"):
        cluster(world).configure({"ttl": 30}, purge=False)
    staying = _patroni.Cluster(["https://db1:8008", "https://db2:8008"], world.http, _patroni.Time(world.clock, world.pause), 60)
    staying.configure({"ttl": 31}, purge=False)
    staying.pause(True)
    assert (world.configuration["ttl"], world.configuration["pause"]) == (31, True)


def test_two_who_change_it_at_once(world: World) -> None:
    world.answers["PATCH /config"] = [(409, "Conflict")] * 2
    cluster(world).configure({"ttl": 30}, purge=False)
    assert world.configuration["ttl"] == 30
    world.answers["PATCH /config"] = [(409, "Conflict")] * _patroni.CONFLICTS
    with pytest.raises(Refused, match="somebody else changes"):
        cluster(world).configure({"ttl": 31}, purge=False)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, "no auth header received", "refuses the password: give `username` and `password` of restapi.authentication"),
        (403, "Access is denied", "takes no changes from this host: run this on a member, or add the host to restapi.allowlist"),
        (503, "no configuration", "the configuration is refused with 503: no configuration"),
    ],
)
def test_what_patroni_refuses_says_what_to_do(world: World, status: int, body: str, told: str) -> None:
    world.answers["PATCH /config"] = [(status, body)]
    with pytest.raises(Refused, match=told):
        cluster(world).configure({"ttl": 30}, purge=False)


# Looking ------------------------------------------------------------------------------------------------------------


def test_any_endpoint_will_do(world: World) -> None:
    world.members["db1"].up = world.members["db2"].up = False
    world.leader = "db3"
    assert cluster(world).look().leader == "db3"
    world.members["db3"].up = False
    with pytest.raises(Unreachable, match="(?s)no member answers; is patroni.service running.*db1.*db2.*db3"):
        cluster(world).look()


@pytest.mark.parametrize(("status", "body"), [(200, "hello"), (200, {"hello": 1}), (502, {"members": []}), (200, ["x"])])
def test_what_is_not_patroni_is_not_believed(world: World, status: int, body: Any) -> None:
    world.answers["GET /cluster"] = [(status, body)] * 3
    with pytest.raises(Unreachable, match="/cluster"):
        cluster(world).look()


def test_summary(world: World) -> None:
    world.members["db3"].streams = False
    found = _patroni.summary(cluster(world).look())
    assert (found["leader"], found["paused"]) == ("db1", False)
    rows = [(item["name"], item["role"], item["lag"], item["streaming"]) for item in found["members"]]
    assert rows == [("db1", "leader", None, False), ("db2", "sync_standby", 0, True), ("db3", "replica", None, False)]


def lone(world: World) -> None:
    world.leader = None


def stopped(world: World) -> None:
    world.members["db1"].ready_at = 99


def behind(world: World) -> None:
    world.members["db3"].streams = False


def unnoted(world: World) -> None:
    world.synchronous = []


def unwilling(world: World) -> None:
    world.synchronous = []
    for name in ("db2", "db3"):
        world.members[name].tags = {"nosync": True}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda world: None, ""),
        (lone, "no member leads"),
        (stopped, "db1 leads and is starting"),
        (behind, "not streaming from db1: db3 (running), db4 (not registered)"),
        (unnoted, "Patroni has noted no replica of db1 as synchronous yet"),
        (unwilling, ""),
    ],
)
def test_what_is_not_whole_is_told(world: World, fault: Callable[[World], None], reason: str) -> None:
    fault(world)
    wanted = {"db1", "db2", "db3"} | ({"db4"} if fault is behind else set())
    assert cluster(world).look().missing(wanted) == reason


@pytest.mark.parametrize(
    ("stored", "mode"),
    [(True, "on"), ("on", "on"), (False, "off"), ("off", "off"), (None, "off"), ("quorum", "quorum"), ("true", "on")],
)
def test_synchronous_mode_as_it_may_be_stored(world: World, stored: Any, mode: str) -> None:
    world.configuration["synchronous_mode"] = stored
    assert cluster(world).look().synchronous_mode == mode


# Switching over -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leader", "candidate", "told"),
    [
        (None, None, ["switchover db1 db2"]),
        (None, "db2", ["switchover db1 db2"]),
        ("db1", None, ["switchover db1 db2"]),
        ("db1", "db2", ["switchover db1 db2"]),
        (None, "db1", []),
        ("db2", None, []),
        ("db3", "db1", []),
    ],
)
def test_switchover(world: World, leader: str | None, candidate: str | None, told: list[str]) -> None:
    planned = cluster(world, check=True)
    planned.switch_over(leader, candidate)
    assert world.told == []
    this = cluster(world)
    this.switch_over(leader, candidate)
    assert world.told == told
    assert this.steps == planned.steps == [f"db2 takes over from {line.split()[1]}" for line in told]
    view = this.look()
    assert view.missing({"db1", "db2", "db3"}) == "", "it returned before the cluster was whole"
    if candidate:
        again = cluster(world)
        again.switch_over(None, candidate)
        assert again.steps == []


def test_a_candidate_that_commits_do_not_wait_for_is_made_synchronous_first(world: World) -> None:
    cluster(world).switch_over(candidate="db3")
    assert world.told == ["PATCH {'synchronous_node_count': 2}", "switchover db1 db3", "PATCH {'synchronous_node_count': None}"]
    assert "synchronous_node_count" not in world.configuration


def test_the_number_of_synchronous_replicas_is_put_back_when_it_fails(world: World) -> None:
    world.configuration["synchronous_node_count"] = 1
    world.answers["POST /switchover"] = [(503, "Switchover failed")]
    with pytest.raises(Refused, match="the switchover to db3 failed: Switchover failed"):
        cluster(world).switch_over(candidate="db3")
    assert world.configuration["synchronous_node_count"] == 1


def test_quorum_needs_no_such_thing() -> None:
    world = World("4.0", "quorum")
    cluster(world).switch_over(candidate="db3")
    assert world.told == ["switchover db1 db3"]


def test_asynchronous() -> None:
    world = World("4.0", False)
    cluster(world).switch_over()
    assert world.told == ["switchover db1 db2"]


@pytest.mark.parametrize(
    "answers",
    [
        [(412, "switchover is not possible: no good candidates have been found")],
        [(0, "db1 does not answer: reset by peer")],
        [(412, "candidate name does not match with sync_standby"), (0, "reset")],
    ],
)
def test_what_may_pass_is_asked_again(world: World, answers: list[tuple[int, Any]]) -> None:
    world.answers["POST /switchover"] = answers
    cluster(world).switch_over(candidate="db2")
    assert world.leader == "db2"


def test_the_outcome_counts_and_not_the_answer(world: World) -> None:
    def lost_answer(member: Fake, body: dict[str, Any]) -> _patroni.Answer:
        World.post_switchover(world, member, body)
        raise Unreachable("reset by peer")

    world.post_switchover = lost_answer  # type: ignore[method-assign]
    cluster(world).switch_over(candidate="db2")
    assert (world.leader, world.told) == ("db2", ["switchover db1 db2"])


def tagged(world: World) -> None:
    world.members["db3"].tags = {"nofailover": True}


def never_first(world: World) -> None:
    world.members["db3"].tags = {"failover_priority": 0}


def paused(world: World) -> None:
    world.configuration["pause"] = True


def nobody_fit(world: World) -> None:
    world.members["db2"].tags = world.members["db3"].tags = {"nofailover": True}


@pytest.mark.parametrize(
    ("fault", "leader", "candidate", "told"),
    [
        (lambda world: None, None, "db9", "db9: no such member. There are db1, db2, db3"),
        (lambda world: None, "db2", "db3", "db2 does not lead, db1 does"),
        (behind, None, "db3", r"db3 cannot take over: it does not stream \(it is running\)"),
        (tagged, None, "db3", "db3 cannot take over: it is tagged so that it never leads"),
        (never_first, None, "db3", "db3 cannot take over: it is tagged so that it never leads"),
        (paused, None, "db2", "Patroni is paused and must not switch over"),
        (nobody_fit, None, None, "no replica may take over: all are tagged"),
        (lone, None, None, "the cluster is whole: not within 60 s: no member leads"),
    ],
)
def test_switchover_is_refused(world: World, fault: Callable[[World], None], leader: str | None, candidate: str | None, told: str) -> None:
    fault(world)
    with pytest.raises(PatroniError, match=told):
        cluster(world).switch_over(leader, candidate)
    assert world.told == []


def test_who_comes_to_lead_while_it_waits_is_not_relieved(world: World) -> None:
    world.leader = None
    pause = world.pause

    def elect(seconds: float) -> None:
        pause(seconds)
        if world.now > 3:
            world.leader = "db2"

    this = _patroni.Cluster(["https://db1:8008"], world.http, _patroni.Time(world.clock, elect), 60)
    this.switch_over(leader="db1")
    assert (world.leader, world.told) == ("db2", [])


# Restarting ---------------------------------------------------------------------------------------------------------


def test_all_are_restarted_the_leader_by_a_switchover(world: World) -> None:
    planned = cluster(world, check=True)
    planned.restart(only_pending=False)
    assert (world.told, planned.steps) == ([], ["restart db2", "restart db3", "restart db1"])
    cluster(world).restart(only_pending=False)
    assert world.told == ["restart db2", "restart db3", "switchover db1 db2"]
    assert [member.started for member in world.members.values()] == [2, 2, 2]


def test_only_what_is_pending_is_restarted(world: World) -> None:
    this = cluster(world)
    this.restart(only_pending=True)
    assert this.steps == []
    world.members["db3"].pending = True
    this.restart(only_pending=True)
    assert world.told == ["restart db3"]


def test_a_leader_that_stays_pending_after_it_was_relieved_is_restarted(world: World) -> None:
    world.members["db1"].pending = True
    cluster(world).restart(only_pending=True)
    assert world.told == ["switchover db1 db2", "restart db1"]


def test_what_replicas_can_take_over_only_after_the_leader(world: World) -> None:
    for member in world.members.values():
        member.pending, member.stubborn = True, 1
    cluster(world).restart(only_pending=True)
    assert world.told == ["restart db2", "restart db3", "restart db1", "restart db2", "restart db3"]


def test_what_stays_pending_is_told(world: World) -> None:
    world.members["db2"].pending, world.members["db2"].stubborn = True, 99
    with pytest.raises(Refused, match="a restart is still pending on db2"):
        cluster(world).restart(only_pending=True)


def test_a_leader_without_replicas_is_restarted_in_place(world: World) -> None:
    del world.members["db2"], world.members["db3"]
    world.synchronous = []
    cluster(world).restart(only_pending=False)
    assert world.told == ["restart db1"]


def test_named_members_only(world: World) -> None:
    cluster(world).restart(["db3"], only_pending=False)
    assert world.told == ["restart db3"]
    with pytest.raises(Refused, match="db9: no such member"):
        cluster(world).restart(["db9"], only_pending=False)


def test_a_replica_that_does_not_come_back_stops_it(world: World) -> None:
    world.members["db2"].streams = True

    def crash(member: Fake, _body: Any) -> str:
        world.told.append(f"restart {member.name}")
        member.streams = False
        return "restarted successfully"

    world.post_restart = crash  # type: ignore[assignment, method-assign]
    with pytest.raises(PatroniError, match="the cluster is whole: not within 60 s: not streaming from db1: db2"):
        cluster(world).restart(only_pending=False)
    assert world.told == ["restart db2"], "went on to the next member"


def test_a_restart_that_is_refused(world: World) -> None:
    world.answers["POST /restart"] = [(503, "restart already in progress")]
    with pytest.raises(Refused, match="db2 refuses /restart: restart already in progress"):
        cluster(world).restart(only_pending=False)


def test_a_paused_cluster_is_not_restarted(world: World) -> None:
    paused(world)
    with pytest.raises(Refused, match="Patroni is paused and must not restart"):
        cluster(world).restart(only_pending=False)


# Pausing and cloning ------------------------------------------------------------------------------------------------


def test_pause_and_resume(world: World) -> None:
    this = cluster(world)
    for wanted, told in ((False, []), (True, ["PATCH {'pause': True}"]), (True, []), (False, ["PATCH {'pause': None}"])):
        world.told = []
        this.pause(wanted)
        assert world.told == told
        assert this.look().paused is wanted
    planned = cluster(world, check=True)
    planned.pause(True)
    assert (planned.steps, this.look().paused) == (["pause"], False)


def test_cloning(world: World) -> None:
    behind(world)
    planned = cluster(world, check=True)
    planned.reinitialize(["db3", "db2"])
    assert (world.told, planned.steps) == ([], ["clone db3", "clone db2"])
    this = cluster(world)
    this.reinitialize(["db3", "db2"])
    assert world.told == ["reinitialize db3", "reinitialize db2"]
    assert this.look().missing(["db2", "db3"]) == ""


def test_the_leader_is_never_cloned(world: World) -> None:
    with pytest.raises(Refused, match="db1 leads and cannot be cloned: switch over first"):
        cluster(world).reinitialize(["db3", "db1"])
    world.leader = None
    with pytest.raises(Refused, match="no member leads to clone from"):
        cluster(world).reinitialize(["db3"])
    assert world.told == []


def test_a_clone_that_does_not_come_is_told(world: World) -> None:
    def hang(member: Fake, _body: Any) -> str:
        member.ready_at = 1e9
        return "reinitialize started"

    world.post_reinitialize = hang  # type: ignore[assignment, method-assign]
    with pytest.raises(PatroniError, match="not streaming from db1: db3"):
        cluster(world).reinitialize(["db3"])
