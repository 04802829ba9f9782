# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looking at a cluster and playing plans on it, against instances made of dictionaries and a clock that tests move."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _redis_cluster as rc
from ansible_collections.arxos.platform.plugins.module_utils import _redis_cluster_apply as apply

PASSWORD = "correct horse"


class Killed(BaseException):
    """The run ends here, without a chance to tidy up."""


@dataclass
class Instance:
    address: str
    port: int
    id: str
    role: str = "master"
    master: str = ""
    slots: set[int] = field(default_factory=set)
    migrating: dict[int, str] = field(default_factory=dict)
    importing: dict[int, str] = field(default_factory=dict)
    keys: dict[int, set[bytes]] = field(default_factory=dict)
    knows: set[str] = field(default_factory=set)
    up: bool = True
    syncing: int = 0  # questions until the link to its master is up

    @property
    def name(self) -> str:
        return f"{self.address}:{self.port}"


class World:
    """Instances whose gossip takes no time, and which refuse what real ones refuse."""

    def __init__(self, places: Sequence[rc.Place]) -> None:
        self.instances = {str(place): Instance(place.address, place.port, f"id-{place}") for place in places}
        self.writes = 0
        self.kill_after: int | None = None
        self.now = 0.0
        for item in self.instances.values():
            item.knows = {item.id}

    def add(self, place: rc.Place) -> None:
        self.instances[str(place)] = Instance(place.address, place.port, f"id-{place}", knows={f"id-{place}"})

    def by_id(self, ident: str) -> Instance:
        return next(item for item in self.instances.values() if item.id == ident)

    def connect(self, address: str, port: int) -> FakeLink:
        item = self.instances.get(f"{address}:{port}")
        if item is None or not item.up:
            raise apply.Unreachable(f"{address}:{port} does not answer")
        return FakeLink(self, item)

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def write(self) -> None:
        self.writes += 1
        if self.kill_after is not None and self.writes > self.kill_after:
            raise Killed

    def failover(self, name: str) -> None:
        new = self.instances[name]
        old = self.by_id(new.master)
        new.role, new.master, new.slots = "master", "", old.slots
        old.role, old.master, old.slots = "slave", new.id, set()
        new.keys, old.keys = old.keys, new.keys
        new.migrating, old.migrating = old.migrating, {}
        for item in self.instances.values():
            if item.master == old.id:
                item.master = new.id


class FakeLink:
    def __init__(self, world: World, item: Instance) -> None:
        self.world, self.item = world, item

    def close(self) -> None:
        pass

    def call(self, *words: str | int) -> Any:
        return self.pipeline([words])[0]

    def pipeline(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        if not self.item.up:
            raise apply.Unreachable(f"{self.item.name} hung up")
        return [self.one([str(word) if not isinstance(word, bytes) else word for word in words]) for words in commands]

    def one(self, words: list[Any]) -> Any:
        name = "_".join(words[:2]).lower() if words[0] == "CLUSTER" else words[0].lower()
        arguments = words[2:] if words[0] == "CLUSTER" else words[1:]
        return getattr(self, name)(*arguments)

    def check(self, condition: bool, message: str) -> None:
        if not condition:
            raise apply.Refused(f"{self.item.name} refuses: ERR {message}")

    # questions

    def ping(self) -> bytes:
        return b"PONG"

    def dbsize(self) -> int:
        return sum(map(len, self.item.keys.values()))

    def role(self) -> list[bytes]:
        return [self.item.role.encode()]

    def info(self, _section: str) -> bytes:
        if self.item.role == "master":
            return b"role:master\r\n"
        self.item.syncing -= 1
        status = "up" if self.item.syncing < 0 else "down"
        return f"role:slave\r\nmaster_link_status:{status}\r\nmaster_host:x\r\nmaster_port:1".encode()

    def cluster_info(self) -> bytes:
        covered = {slot for item in self.world.instances.values() if item.id in self.item.knows for slot in item.slots}
        return f"cluster_state:ok\r\ncluster_slots_ok:{len(covered)}\r\n".encode()

    def cluster_nodes(self) -> bytes:
        lines = []
        known = {item.id: item for item in self.world.instances.values()}
        for ident in sorted(self.item.knows):
            item = known.get(ident)
            if item is None:  # it was emptied and has a new id
                lines.append(f"{ident} 10.9.9.9:1@1 master,fail - 0 0 0 disconnected")
                continue
            flags = ("myself," if item is self.item else "") + item.role + ("" if item.up else ",fail")
            slots = [part.replace(",", " ") for part in [rc.ranges(item.slots)] if part]
            if item is self.item:
                slots += [f"[{slot}->-{other}]" for slot, other in item.migrating.items()]
                slots += [f"[{slot}-<-{other}]" for slot, other in item.importing.items()]
            lines.append(f"{ident} {item.name}@1 {flags} {item.master or '-'} 0 0 1 connected {' '.join(slots)}")
        return "\n".join(lines).encode()

    def cluster_countkeysinslot(self, slot: str) -> int:
        return len(self.item.keys.get(int(slot), ()))

    def cluster_getkeysinslot(self, slot: str, count: str) -> list[bytes]:
        return sorted(self.item.keys.get(int(slot), ()))[: int(count)]

    # changes

    def cluster_meet(self, address: str, port: str) -> bytes:
        self.world.write()
        other = self.world.instances[f"{address}:{port}"]
        everybody = self.item.knows | other.knows
        for item in self.world.instances.values():
            if item.id in everybody:
                item.knows = set(everybody)
        return b"OK"

    def cluster_addslotsrange(self, *bounds: str) -> bytes:
        self.world.write()
        for first, last in zip(bounds[::2], bounds[1::2]):
            for slot in range(int(first), int(last) + 1):
                owners = [item for item in self.world.instances.values() if slot in item.slots and item.id in self.item.knows]
                self.check(not owners, f"Slot {slot} is already busy")
                self.item.slots.add(slot)
                self.item.importing.pop(slot, None)
        return b"OK"

    def cluster_replicate(self, master: str) -> bytes:
        self.world.write()
        self.check(master in self.item.knows, "Unknown node")
        self.check(self.world.by_id(master).role == "master", "I can only replicate a master")
        self.check(self.item.role == "slave" or not (self.item.slots or self.item.keys), "To set a master the node must be empty")
        self.item.role, self.item.master, self.item.keys, self.item.syncing = "slave", master, {}, 3
        return b"OK"

    def cluster_setslot(self, word: str, what: str, other: str = "") -> bytes:
        self.world.write()
        slot = int(word)
        self.check(self.item.role == "master", "You can use SETSLOT only with masters.")
        if what == "IMPORTING":
            self.check(slot not in self.item.slots, f"I'm already the owner of hash slot {slot}")
            self.item.importing[slot] = other
        elif what == "MIGRATING":
            self.check(slot in self.item.slots, f"I'm not the owner of hash slot {slot}")
            self.item.migrating[slot] = other
        elif what == "STABLE":
            self.item.importing.pop(slot, None)
            self.item.migrating.pop(slot, None)
        elif what == "NODE":
            if other != self.item.id and slot in self.item.slots:
                self.check(not self.item.keys.get(slot), "Can't assign hashslot to a different node while I still hold keys")
            if slot in self.item.slots and other != self.item.id:
                self.item.migrating.pop(slot, None)
            if other == self.item.id:
                self.item.importing.pop(slot, None)
            for item in self.world.instances.values():
                item.slots.discard(slot)
            self.world.by_id(other).slots.add(slot)
        return b"OK"

    def migrate(self, address: str, port: str, *words: Any) -> bytes:
        self.world.write()
        assert list(words[:7]) == ["", "0", "8000", "REPLACE", "AUTH2", "admin", PASSWORD] and words[7] == "KEYS"
        target = self.world.instances[f"{address}:{port}"]
        for key in words[8:]:
            slot = next(slot for slot, keys in self.item.keys.items() if key in keys)
            self.check(slot in target.importing and slot in self.item.migrating, "MOVED")
            target.keys.setdefault(slot, set()).add(key)
            self.item.keys[slot].discard(key)
            if not self.item.keys[slot]:
                del self.item.keys[slot]
        return b"OK"

    def cluster_failover(self) -> bytes:
        self.world.write()
        self.check(self.item.role == "slave", "You should send CLUSTER FAILOVER to a replica")
        self.world.failover(self.item.name)
        return b"OK"

    def cluster_reset(self, how: str) -> bytes:
        self.world.write()
        self.check(self.item.role == "slave" or not self.item.keys, "CLUSTER RESET can't be called with master nodes containing keys")
        self.item.role, self.item.master, self.item.slots, self.item.keys = "master", "", set(), {}
        if how == "HARD":
            self.item.id += "+"
        self.item.knows = {self.item.id}
        return b"OK"

    def cluster_forget(self, ident: str) -> bytes:
        self.world.write()
        self.check(ident in self.item.knows, "Unknown node " + ident)
        self.check(ident != self.item.master, "Can't forget my master!")
        self.item.knows.discard(ident)
        return b"OK"


def places(hosts: Sequence[int] = (1, 2, 3), each: int = 2) -> list[rc.Place]:
    return [rc.Place(f"10.0.0.{host}", 6379 + index, f"cache{host}", "abcdefghi"[host]) for host in hosts for index in range(each)]


def run(world: World, where: Sequence[rc.Place], *, check: bool = False, replicas: int = 1, drain: str = "") -> apply.Outcome:
    cluster = apply.Cluster(where, world.connect, "admin", PASSWORD, 30, apply.Time(world.clock, world.pause))
    make_plan = functools.partial(rc.drain, host=drain) if drain else rc.plan
    try:
        return cluster.converge(functools.partial(make_plan, places=where, replicas=replicas), check=check)
    finally:
        cluster.close()


def formed(hosts: Sequence[int] = (1, 2, 3)) -> World:
    """A cluster with two keys in every 64th slot."""
    world = World(places(hosts))
    run(world, places(hosts))
    for slot in range(0, 16384, 64):
        owner = next(item for item in world.instances.values() if slot in item.slots)
        owner.keys[slot] = {b"%d-a" % slot, b"%d-b" % slot}
    return world


def right(world: World, where: Sequence[rc.Place]) -> None:
    mine = [world.instances[str(place)] for place in where]
    ids = {item.id for item in mine}
    masters = [item for item in mine if item.role == "master"]
    assert all(item.knows == ids for item in mine)
    assert len(masters) == len(where) // 2
    assert sorted(slot for item in masters for slot in item.slots) == list(range(16384))
    assert len({item.address for item in masters}) == len(masters)
    for item in mine:
        assert not item.migrating and not item.importing
        if item.role == "slave":
            assert world.by_id(item.master).address != item.address
    for item in masters:
        assert all(slot in item.slots for slot, keys in item.keys.items() if keys)


def keys(world: World) -> set[bytes]:
    return {key for item in world.instances.values() if item.role == "master" for found in item.keys.values() for key in found}


def test_bare_instances_are_made_a_cluster_once() -> None:
    world = World(places())
    outcome = run(world, places())
    right(world, places())
    assert len(outcome.steps) == 5 + 3 + 3 and outcome.steps[0] == "10.0.0.1:6380 joins"
    writes = world.writes
    again = run(world, places())
    assert again.steps == [] and world.writes == writes


def test_check_mode_tells_and_does_nothing() -> None:
    world = World(places())
    outcome = run(world, places(), check=True)
    assert world.writes == 0 and len(outcome.steps) == 11
    assert rc.render(outcome.before) != rc.render(outcome.after)
    assert "slots 0-5461 (5462): master 10.0.0.1:6379 (cache1), replicas 10.0.0.3:6380 (cache3)" in rc.render(outcome.after)


def test_a_host_is_added_and_removed_with_all_keys() -> None:
    world = formed()
    before = keys(world)
    four = places((1, 2, 3, 4))
    for place in four[6:]:
        world.add(place)
    run(world, four)
    right(world, four)
    assert keys(world) == before
    three = places((1, 3, 4))
    outcome = run(world, three)
    right(world, three)
    assert keys(world) == before
    gone = [world.instances[f"10.0.0.2:{port}"] for port in (6379, 6380)]
    assert all(item.knows == {item.id} and not item.keys and not item.slots for item in gone)
    assert outcome.steps[-1].startswith("all forget")
    assert run(world, three).steps == []


def test_a_safe_failover_stays_and_an_unsafe_one_is_mended() -> None:
    world = formed()
    world.failover("10.0.0.1:6380")
    assert len(run(world, places()).steps) == 1
    right(world, places())
    for name in [item.name for item in world.instances.values() if item.role == "slave"]:
        world.failover(name)
    right(world, places())
    assert run(world, places()).steps == []


def test_a_lost_host_made_anew_takes_its_place() -> None:
    world = formed()
    before = keys(world)
    world.failover("10.0.0.3:6380")
    for port in (6379, 6380):
        item = world.instances[f"10.0.0.1:{port}"]
        old = item.id
        world.instances[item.name] = Instance(item.address, item.port, old + "-new", knows={old + "-new"})
        for other in world.instances.values():
            if other.master == old:
                other.master = ""
    run(world, places())
    right(world, places())
    assert keys(world) == before


@pytest.mark.parametrize("way", ["form", "grow", "shrink", "replace"])
def test_a_run_that_was_killed_is_finished_by_the_next(way: str) -> None:
    """After each write of forming, and after ever larger numbers of those of moving slots."""
    kill, finished = 0, False
    while not finished:
        world = World(places()) if way == "form" else formed((1, 2, 3, 4)) if way == "shrink" else formed()
        where = {"form": places(), "grow": places((1, 2, 3, 4)), "shrink": places((1, 2, 4)), "replace": places((2, 3, 4))}[way]
        for place in where:
            if str(place) not in world.instances:
                world.add(place)
        before = keys(world)
        world.writes, world.kill_after = 0, kill
        try:
            run(world, where)
            finished = True
        except Killed:
            world.kill_after = None
            run(world, where)
        right(world, where)
        assert keys(world) == before
        assert run(world, where).steps == []
        kill = kill + 1 if way == "form" else kill * 3 + 1


def test_draining_moves_masters_away_and_nothing_else() -> None:
    world = formed()
    assert run(world, places(), drain="cache2").steps == ["10.0.0.1:6380 takes over from 10.0.0.2:6379"]
    assert [item.role for item in world.instances.values() if item.address == "10.0.0.2"] == ["slave", "slave"]
    assert run(world, places(), drain="cache2").steps == []


def test_nothing_is_taken_from_a_cluster_that_is_not_healthy() -> None:
    world = formed()
    world.instances["10.0.0.3:6380"].syncing = 10**9
    cluster = apply.Cluster(places(), world.connect, "admin", PASSWORD, 30, apply.Time(world.clock, world.pause))
    writes = world.writes
    with pytest.raises(rc.RedisClusterError, match="before anything is taken from it: not within 30 s: 10.0.0.3:6380 is a replica"):
        cluster.converge(functools.partial(rc.drain, places=places(), replicas=1, host="cache1"), check=False, healthy=True)
    assert world.writes == writes


def test_keys_are_carried_in_few_round_trips_and_none_is_left() -> None:
    assert apply._groups({1: 40, 2: 0, 3: 60, 4: 1, 5: 500, 6: 1}, 100) == [[1, 3], [4], [5], [6]]
    assert apply._groups({7: 0}, 100) == []
    world = formed()
    for item in world.instances.values():
        for slot in item.keys:
            item.keys[slot] = {b"%d-%d" % (slot, number) for number in range(1 + slot // 64 % 250)}
    before, four = keys(world), places((1, 2, 3, 4))
    for place in four[6:]:
        world.add(place)
    run(world, four)
    right(world, four)
    assert keys(world) == before


def test_an_instance_that_does_not_answer_is_waited_for_and_then_named() -> None:
    world = World(places())
    world.instances["10.0.0.2:6380"].up = False
    with pytest.raises(rc.RedisClusterError, match=r"all instances answer: not within 30 s: 10\.0\.0\.2:6380 does not answer"):
        run(world, places())
    assert 30 <= world.now < 31 and world.writes == 0


def test_data_outside_the_cluster_is_refused_with_all_faults() -> None:
    world = World(places())
    world.instances["10.0.0.1:6379"].keys = {1: {b"x"}}
    world.instances["10.0.0.2:6379"].slots = {1}
    with pytest.raises(rc.RedisClusterError) as caught:
        run(world, places())
    assert "10.0.0.1:6379 holds 1 keys" in str(caught.value) and "10.0.0.2:6379 serves slots on its own" in str(caught.value)
    assert world.writes == 0


def test_another_cluster_is_refused() -> None:
    world = formed((1, 2, 3))
    for place in places((7, 8)):
        world.add(place)
    with pytest.raises(rc.RedisClusterError, match="belong to another cluster"):
        run(world, places((1, 7, 8)))
    assert keys(world)


def test_one_instance_under_two_addresses_is_refused() -> None:
    world = World(places())
    world.instances["10.0.0.2:6379"] = world.instances["10.0.0.1:6379"]
    with pytest.raises(rc.RedisClusterError, match="one and the same instance"):
        run(world, places())


def test_a_replica_that_never_syncs_is_named() -> None:
    world = formed()
    world.instances["10.0.0.1:6380"].syncing = 10**9
    with pytest.raises(rc.RedisClusterError, match=r"healthy: not within 30 s: 10\.0\.0\.1:6380 is a replica whose link to x:1 is down"):
        run(world, places())


def test_what_an_instance_refuses_is_told_with_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(places())

    def refuse(self: FakeLink, *_words: str) -> None:
        self.check(False, "no")

    monkeypatch.setattr(FakeLink, "cluster_meet", refuse)
    with pytest.raises(rc.RedisClusterError, match=r"10\.0\.0\.1:6380 joins: 10\.0\.0\.1:6379 refuses: ERR no"):
        run(world, places())


def test_a_cluster_that_never_rests_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    world = formed()
    outcomes = iter(range(100))
    cluster = apply.Cluster(places(), world.connect, "admin", PASSWORD, 30, apply.Time(world.clock, world.pause))

    def restless(nodes: dict[str, rc.Node]) -> rc.Plan:
        next(outcomes)
        return rc.Plan([rc.Action("stable", "id-10.0.0.1:6379", "", (1,))], nodes)

    with pytest.raises(rc.RedisClusterError, match="something else changes this cluster"):
        cluster.converge(restless, check=False)
    assert next(outcomes) == apply.ROUNDS + 1


def test_the_waiter_looks_at_once_and_ends_in_time() -> None:
    world = World([])
    time = apply.Time(world.clock, world.pause)
    time.wait("x", lambda: "", 0)
    assert world.now == 0
    with pytest.raises(rc.RedisClusterError, match="x: not within 2 s: why"):
        time.wait("x", lambda: "why", 2)
    assert 2 <= world.now < 2.2
