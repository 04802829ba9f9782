# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading, refusing and planning of Redis Cluster topologies, without a server."""

from __future__ import annotations

import itertools
import random

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _redis_cluster as rc


def places(hosts: int = 3, each: int = 2, zones: str = "abcdefghij") -> list[rc.Place]:
    return [
        rc.Place(f"10.0.0.{host}", 6379 + index, f"cache{host}", zones[(host - 1) % len(zones)])
        for host in range(1, hosts + 1)
        for index in range(each)
    ]


def node(place: rc.Place | None, ident: str = "", **facts: object) -> rc.Node:
    base: dict[str, object] = {
        "id": ident or str(place),
        "address": place.address if place else "10.0.9.9",
        "port": place.port if place else 6379,
        "place": place,
        "role": "master",
        "master": None,
        "slots": set(),
        "migrating": {},
        "importing": {},
        "reachable": True,
        "failed": False,
        "keys": 0,
        "joined": True,
    }
    return rc.Node(**{**base, **facts})  # type: ignore[arg-type]


def bare(where: list[rc.Place]) -> dict[str, rc.Node]:
    return {str(place): node(place, joined=index == 0) for index, place in enumerate(where)}


def formed(where: list[rc.Place], replicas: int = 1) -> dict[str, rc.Node]:
    return rc.plan(bare(where), where, replicas).nodes


def kinds(plan: rc.Plan) -> list[str]:
    return [kind for kind, _group in itertools.groupby(action.kind for action in plan.actions)]


def failover(nodes: dict[str, rc.Node], new: str) -> None:
    old = nodes[nodes[new].master or ""]
    nodes[new].role, nodes[new].master, nodes[new].slots = "master", None, old.slots
    old.role, old.master, old.slots = "replica", new, set()


def safe(nodes: dict[str, rc.Node], where: list[rc.Place], replicas: int = 1) -> None:
    """The invariants of a right cluster, written down a second time and from the outside."""
    masters = [item for item in nodes.values() if item.role == "master"]
    assert len(nodes) == len(where) and all(item.place and item.joined for item in nodes.values())
    assert len(masters) == len(where) // (1 + replicas)
    assert sorted(slot for item in masters for slot in item.slots) == list(range(16384))
    counts = [len(item.slots) for item in masters]
    assert max(counts) - min(counts) <= 1
    for master in masters:
        followers = [item for item in nodes.values() if item.master == master.id]
        assert len(followers) == replicas
        assert all(item.host != master.host for item in followers)
    for host in {place.host for place in where}:
        assert len([item for item in masters if item.host != host]) > len(masters) // 2, f"without {host} there is no majority"
    assert not any(item.migrating or item.importing for item in nodes.values())


# --- reading ---------------------------------------------------------------------------------------------------------------------------

NODES = """\
aaa 172.30.20.41:6379@16379 myself,master - 0 0 1 connected 0-5460 [93->-bbb] [5461-<-ccc]
bbb 172.30.20.42:6379@16379,cache2 master,fail? - 0 1700000000000 2 connected 5461 5463-10922
ccc 172.30.20.43:6379@16379,,shard-id=x slave aaa 0 1700000000000 1 disconnected
ddd :0@0 slave,noaddr bbb 1 1 0 disconnected
eee fe80::1:6379@16379 handshake - 0 0 0 connected
"""


def test_cluster_nodes_is_read() -> None:
    rows = rc.parse_nodes(NODES)
    assert list(rows) == ["aaa", "bbb", "ccc", "ddd", "eee"]
    assert (rows["aaa"].address, rows["aaa"].port, rows["aaa"].epoch, len(rows["aaa"].slots)) == ("172.30.20.41", 6379, 1, 5461)
    assert rows["aaa"].migrating == {93: "bbb"} and rows["aaa"].importing == {5461: "ccc"}
    assert rows["bbb"].slots == {5461, *range(5463, 10923)} and rows["bbb"].address == "172.30.20.42"
    assert rows["ccc"].master == "aaa" and not rows["ccc"].connected
    assert rows["ddd"].address == "" and rows["eee"].address == "fe80::1" and not rows["eee"].known


@pytest.mark.parametrize("text", ["nonsense", "a b c d e f g h", "aaa 1.2.3.4:x@1 master - 0 0 1 connected"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(rc.RedisClusterError, match="cannot read this line"):
        rc.parse_nodes(text)


def test_slots_are_written_as_redis_does() -> None:
    assert rc.ranges([3, 1, 2, 7, 9, 10]) == "1-3,7,9-10"
    assert rc.ranges([]) == ""


def view(place: rc.Place | None, text: str, keys: int = 0) -> rc.View:
    rows = rc.parse_nodes(text)
    return rc.View(place, next(row.id for row in rows.values() if "myself" in row.flags), rows, keys)


def test_an_instance_is_believed_about_itself() -> None:
    first, second = places(2, 1)
    views = [
        view(first, "a 10.0.0.1:6379@1 myself,master - 0 0 1 connected 0-10\nb 10.0.0.2:6379@1 master - 0 0 2 connected 11-20"),
        view(second, "a 10.0.0.1:6379@1 master - 0 0 1 connected 0-10\nb 127.0.0.1:6379@1 myself,slave a 0 0 2 connected"),
    ]
    nodes = rc.merge(views)
    assert nodes["b"].role == "replica" and nodes["b"].slots == set() and str(nodes["b"]) == "10.0.0.2:6379"
    assert all(item.joined for item in nodes.values())
    assert "another cluster" in rc.disagreement(views)


def test_a_slot_that_two_claim_belongs_to_the_newest_epoch() -> None:
    first, second = places(2, 1)
    views = [
        view(first, "a 10.0.0.1:6379@1 myself,master - 0 0 1 connected 0-10\nb 10.0.0.2:6379@1 master - 0 0 2 connected 5-20"),
        view(second, "a 10.0.0.1:6379@1 master - 0 0 1 connected 0-10\nb 10.0.0.2:6379@1 myself,master - 0 0 2 connected 5-20"),
    ]
    nodes = rc.merge(views)
    assert nodes["a"].slots == set(range(5)) and nodes["b"].slots == set(range(5, 21))


def test_views_of_a_cluster_at_rest_agree() -> None:
    first, second = places(2, 1)
    lines = "a 10.0.0.1:6379@1 {}master - 0 0 1 connected 0-10\nb 10.0.0.2:6379@1 {}slave a 0 0 1 connected"
    assert rc.disagreement([view(first, lines.format("myself,", "")), view(second, lines.format("", "myself,"))]) == ""
    waiting = lines.format("myself,", "fail?,")
    assert "not done with 10.0.0.2" in rc.disagreement([view(first, waiting)])


# --- refusing --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "replicas", "fault"),
    [
        (places(2), 1, "3 hosts and 3 masters at least"),
        (places(3, 1), 1, "cannot be split"),
        (places(3, 1) * 2, 1, "listed twice"),
        (places(3), 9, "replicas is 9"),
        (places(3), -1, "replicas is -1"),
        ([rc.Place("10.0.0.1", 60000, "x")] * 6, 1, "not within 1 to 55535"),
        ([rc.Place("", 6379, "x")] * 6, 1, "needs an address"),
        ([*places(2, 1), *places(3, 5)[10:], rc.Place("10.0.0.3", 9000, "cache3")], 1, "host cache3 has 6 of 8"),
        ([], 1, "0 instances on 0 hosts"),
    ],
)
def test_wrong_input_is_named(where: list[rc.Place], replicas: int, fault: str) -> None:
    assert any(fault in item for item in rc.input_faults(where, replicas)), rc.input_faults(where, replicas)


@pytest.mark.parametrize(("hosts", "each", "replicas"), [(3, 2, 1), (4, 2, 1), (3, 3, 2), (6, 1, 1), (10, 2, 1), (3, 1, 0)])
def test_right_input_is_accepted(hosts: int, each: int, replicas: int) -> None:
    assert rc.input_faults(places(hosts, each), replicas) == []


def lone(place: rc.Place, slots: str = "", keys: int = 0) -> rc.View:
    return view(place, f"{place} {place}@1 myself,master - 0 0 1 connected {slots}", keys)


def faults(views: list[rc.View]) -> str:
    return "\n".join(rc.state_faults(views, rc.merge(views)))


def test_fresh_instances_are_accepted() -> None:
    assert faults([lone(place) for place in places()]) == ""


def test_an_instance_with_data_is_refused() -> None:
    views = [lone(place) for place in places()]
    views[1].keys = 7
    assert "10.0.0.1:6380 holds 7 keys but is in no cluster" in faults(views)
    assert "10.0.0.1:6379 serves slots on its own" in faults([lone(places()[0], "0-16383"), *views[2:]])


def together(members: list[tuple[rc.Place | None, str]], answering: int) -> list[rc.View]:
    """One cluster of masters; the first `answering` give their view."""
    views = []
    for index in range(answering):
        lines = [
            f"id-{address} {address}@1 {'myself,' if position == index else ''}master - 0 0 {position} connected {position * 10}"
            for position, (_place, address) in enumerate(members)
        ]
        views.append(view(members[index][0], "\n".join(lines)))
    return views


def test_an_instance_of_another_cluster_is_refused() -> None:
    where = places()
    foreign: list[tuple[rc.Place | None, str]] = [(where[0], str(where[0]))] + [(None, f"10.9.9.{item}:6379") for item in range(3)]
    message = faults(together(foreign, 1) + [lone(place) for place in where[1:]])
    assert "10.0.0.1:6379 belong to another cluster" in message and "10.9.9.2:6379" in message


def test_instances_of_two_clusters_are_refused() -> None:
    where = places()
    first = together([(place, str(place)) for place in where[:3]], 3)
    second = together([(place, str(place)) for place in where[3:]], 3)
    assert "2 different clusters" in faults(first + second)


def test_one_that_is_gone_with_its_slots_is_refused_and_one_that_lives_unseen_as_well() -> None:
    where = places()
    members: list[tuple[rc.Place | None, str]] = [(place, str(place)) for place in where] + [(None, "10.9.9.9:6379")]
    assert "lives, says the cluster" in faults(together(members, 6))
    views = together(members, 6)
    for item in views:
        item.rows["id-10.9.9.9:6379"].flags = frozenset({"master", "fail"})
    assert "nobody took over its slots 60" in faults(views)
    for item in views:
        item.rows["id-10.9.9.9:6379"].slots = set()
    assert faults(views) == ""


def test_one_that_was_emptied_is_not_taken_for_one_with_slots() -> None:
    where = places()
    views = together([(place, str(place)) for place in where], 6)
    own = views[5].rows[views[5].id]
    own.slots = set()
    views[5].rows = {own.id: own}
    assert faults(views) == ""
    assert not rc.merge(views)[own.id].joined


# --- planning --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hosts", "each", "replicas"), [(3, 2, 1), (4, 2, 1), (5, 2, 1), (3, 3, 2), (6, 1, 1), (10, 2, 1), (6, 3, 2)])
def test_bare_instances_become_a_cluster(hosts: int, each: int, replicas: int) -> None:
    where = places(hosts, each)
    plan = rc.plan(bare(where), where, replicas)
    assert kinds(plan) == ["meet", "replicate", "add"]
    safe(plan.nodes, where, replicas)
    assert rc.plan(plan.nodes, where, replicas).actions == []


def test_replicas_go_round_in_a_ring() -> None:
    nodes = formed(places())
    assert [nodes[f"10.0.0.{host}:6380"].master for host in (1, 2, 3)] == ["10.0.0.2:6379", "10.0.0.3:6379", "10.0.0.1:6379"]
    assert rc.ranges(nodes["10.0.0.1:6379"].slots) == "0-5461"


def test_replicas_go_to_other_zones_where_there_are_some() -> None:
    where = places(6, 2, zones="aabbcc")
    nodes = formed(where)
    for item in nodes.values():
        if item.role == "replica" and item.place:
            master = nodes[item.master or ""]
            assert master.place and master.place.zone != item.place.zone
    one_zone = places(3, 2, zones="aaa")
    safe(formed(one_zone), one_zone)


def one_zone_shards(nodes: dict[str, rc.Node]) -> list[str]:
    """Replicas in the zone of their master."""
    zones = {item.id: item.place.zone if item.place else "" for item in nodes.values()}
    return [item.id for item in nodes.values() if item.role == "replica" and zones[item.id] == zones[item.master or ""]]


@pytest.mark.parametrize("zones", ["abca", "abcb", "abcab", "abccba", "abcabcabc"])
def test_a_shard_is_never_within_one_zone_while_hosts_come_and_go(zones: str) -> None:
    most = places(len(zones), 2, zones)
    nodes: dict[str, rc.Node] = bare(most[:6])
    for hosts in [*range(3, len(zones) + 1), *range(len(zones) - 1, 2, -1)]:
        where = most[: 2 * hosts]
        for item in nodes.values():
            item.place = item.place if item.place in where else None
        for place in where:
            nodes.setdefault(str(place), node(place, joined=False))
        nodes = rc.plan(nodes, where).nodes
        safe(nodes, where)
        assert one_zone_shards(nodes) == [], hosts
        assert rc.plan(nodes, where).actions == []


def test_a_replica_in_its_masters_zone_moves_when_another_zone_has_a_seat() -> None:
    where = places(4, 2, zones="aabb")
    nodes = formed(where)
    replicas = sorted((item for item in nodes.values() if item.role == "replica"), key=lambda item: item.id)
    for item, master in zip(replicas, ["10.0.0.2:6379", "10.0.0.1:6379", "10.0.0.4:6379", "10.0.0.3:6379"]):
        item.master = master
    assert len(one_zone_shards(nodes)) == 4
    plan = rc.plan(nodes, where)
    assert one_zone_shards(plan.nodes) == [] and kinds(plan) == ["replicate"]
    safe(plan.nodes, where)


def test_where_zones_are_too_few_a_replica_stays_where_it_is() -> None:
    where = places(4, 2, zones="aaab")
    nodes = formed(where)
    safe(nodes, where)
    assert len(one_zone_shards(nodes)) == 2
    assert rc.plan(nodes, where).actions == []


def test_balancing_spreads_masters_over_hosts_and_zones() -> None:
    where = places(6, 2, zones="aabbcc")
    nodes = formed(where)
    for host in (1, 2, 3):
        taken = [item.id for item in nodes.values() if item.host == f"cache{host}" and item.role == "master"]
        for ident in rc.drain(nodes, where, 1, f"cache{host}").actions:
            failover(nodes, ident.node)
        assert taken and not [item for item in nodes.values() if item.host == f"cache{host}" and item.role == "master"]
    plan = rc.plan(nodes, where, even=True)
    assert set(kinds(plan)) == {"failover"}
    safe(plan.nodes, where)
    masters = [item.place for item in plan.nodes.values() if item.role == "master" and item.place]
    assert len({place.host for place in masters}) == 6 and rc.plan(plan.nodes, where, even=True).actions == []


def test_adding_a_host_moves_a_fair_share_and_nothing_else() -> None:
    before, where = formed(places(3)), places(4)
    for place in where[6:]:
        before[str(place)] = node(place, joined=False)
    plan = rc.plan(before, where)
    safe(plan.nodes, where)
    assert kinds(plan) == ["meet", "replicate", "move"]
    assert sum(len(action.slots) for action in plan.actions if action.kind == "move") == 4096
    assert {action.node for action in plan.actions if action.kind == "move"} == {"10.0.0.4:6379"}
    assert [action.node for action in plan.actions if action.kind == "replicate"][0] == "10.0.0.4:6380", "the new one first"
    assert rc.plan(plan.nodes, where).actions == []


@pytest.mark.parametrize("gone", [1, 2, 4])
def test_removing_a_host_empties_it_first(gone: int) -> None:
    before = formed(places(4))
    where = [place for place in places(4) if place.host != f"cache{gone}"]
    for item in before.values():
        if item.host == f"cache{gone}":
            item.place = None
    plan = rc.plan(before, where)
    safe(plan.nodes, where)
    assert kinds(plan)[-2:] == ["reset", "forget"]
    assert len([action for action in plan.actions if action.kind == "forget"]) == 2
    lost = {action.node for action in plan.actions if action.kind == "reset"}
    last_move = max(index for index, action in enumerate(plan.actions) if action.kind in ("move", "failover"))
    assert last_move < min(index for index, action in enumerate(plan.actions) if action.kind == "reset") and len(lost) == 2


def test_replacing_a_host_hands_over_without_moving_slots() -> None:
    before, where = formed(places(3)), places(4)[2:]
    for item in before.values():
        if item.host == "cache1":
            item.place = None
    for place in where[4:]:
        before[str(place)] = node(place, joined=False)
    plan = rc.plan(before, where)
    safe(plan.nodes, where)
    assert "move" not in kinds(plan) and "failover" in kinds(plan)


def test_a_host_that_was_lost_and_made_anew() -> None:
    nodes = formed(places(3))
    failover(nodes, "10.0.0.3:6380")  # cache1's master is lost, its replica took over
    for port in (6379, 6380):
        old = nodes.pop(f"10.0.0.1:{port}")
        old.id, old.place, old.reachable, old.failed = f"old-{port}", None, False, True
        nodes[old.id] = old
        place = rc.Place("10.0.0.1", port, "cache1", "a")
        nodes[str(place)] = node(place, joined=False)
    for item in nodes.values():
        if item.master == "10.0.0.1:6379":
            item.master = "old-6379"
    plan = rc.plan(nodes, places(3))
    safe(plan.nodes, places(3))
    assert "reset" not in kinds(plan), "nobody answers there"
    assert len([action for action in plan.actions if action.kind == "forget"]) == 2


def test_a_failover_that_is_safe_is_left_alone() -> None:
    nodes = formed(places(3))
    for port in (1, 2, 3):
        failover(nodes, f"10.0.0.{port}:6380")
    safe(nodes, places(3))
    assert rc.plan(nodes, places(3)).actions == []


def test_two_masters_on_one_host_of_three_are_spread_again() -> None:
    nodes = formed(places(3))
    failover(nodes, "10.0.0.1:6380")
    plan = rc.plan(nodes, places(3))
    assert kinds(plan) == ["failover"] and len(plan.actions) == 1
    safe(plan.nodes, places(3))


def test_with_many_masters_two_on_a_host_are_no_danger() -> None:
    nodes = formed(places(6))
    failover(nodes, "10.0.0.1:6380")
    assert rc.plan(nodes, places(6)).actions == []


def test_a_zone_must_not_hold_the_majority_either() -> None:
    where = places(6, 2, zones="aabbcc")
    nodes = formed(where)
    taken = [item.id for item in nodes.values() if item.place and item.place.zone == "a" and item.role == "replica"]
    for item in taken:
        failover(nodes, item)
    plan = rc.plan(nodes, where)
    count = [item for item in plan.nodes.values() if item.role == "master" and item.place and item.place.zone == "a"]
    assert len(count) <= 2


def test_a_replica_on_its_masters_host_is_moved() -> None:
    nodes = formed(places(3))
    for host in (1, 2, 3):
        nodes[f"10.0.0.{host}:6380"].master = f"10.0.0.{host}:6379"
    plan = rc.plan(nodes, places(3))
    assert kinds(plan) == ["replicate"]
    safe(plan.nodes, places(3))


def test_uneven_slots_are_moved_as_little_as_possible() -> None:
    nodes = formed(places(3))
    first, second = nodes["10.0.0.1:6379"], nodes["10.0.0.2:6379"]
    for slot in sorted(second.slots)[:100]:
        second.slots.discard(slot)
        first.slots.add(slot)
    plan = rc.plan(nodes, places(3))
    assert [len(action.slots) for action in plan.actions if action.kind == "move"] == [100]
    safe(plan.nodes, places(3))


def test_slots_left_half_way_are_finished_first() -> None:
    nodes = formed(places(3))
    nodes["10.0.0.1:6379"].migrating = {5: "10.0.0.2:6379", 6: "10.0.0.2:6379"}
    nodes["10.0.0.2:6379"].importing = {5: "10.0.0.1:6379", 7: "10.0.0.1:6379"}
    nodes["10.0.0.3:6379"].importing = {11000: "10.0.0.1:6379"}  # its own already: the mark is stale
    plan = rc.plan(nodes, places(3))
    assert plan.actions[0].kind == "open" and set(plan.actions[0].slots) == {5, 6}
    assert rc.Action("stable", "10.0.0.3:6379", "", (11000,)) in plan.actions
    safe(plan.nodes, places(3))
    nodes["10.0.0.1:6379"].migrating = {5: "gone"}
    nodes["10.0.0.2:6379"].importing = nodes["10.0.0.3:6379"].importing = {}
    assert [action.kind for action in rc.plan(nodes, places(3)).actions] == ["stable"]


def test_a_slot_that_only_its_importer_knows_is_served_there() -> None:
    nodes = formed(places(3))
    nodes["10.0.0.1:6379"].slots.discard(5)
    nodes["10.0.0.2:6379"].importing = {5: "x"}
    assert rc.plan(nodes, places(3)).actions[0] == rc.Action("add", "10.0.0.2:6379", "", (5,))


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_that_stops_anywhere_is_finished_by_the_next(seed: int) -> None:
    """Plays the first n steps of growing 3 to 4 hosts, replacing and forming, then plans anew."""
    rng = random.Random(seed)
    start = formed(places(3)) if seed % 2 else bare(places(3))
    where = places(4) if seed % 4 > 1 else places(3)
    for place in where:
        start.setdefault(str(place), node(place, joined=False))
    whole = rc.plan(start, where)
    for stop in range(len(whole.actions) + 1):
        planner = rc._Planner(start, where, 1)
        for action in whole.actions[:stop]:
            part = action.slots[: rng.randint(0, len(action.slots))] if action.slots and rng.random() < 0.5 else action.slots
            planner.do(action.kind, action.node, action.other, part)
        again = rc.plan(planner.nodes, where)
        safe(again.nodes, where)
        assert rc.plan(again.nodes, where).actions == []


@pytest.mark.parametrize("seed", range(60))
def test_any_topology_becomes_right(seed: int) -> None:
    """Masters, replicas and slots at random, with hosts that come and go."""
    rng = random.Random(seed)
    hosts = rng.randint(3, 7)
    where = places(hosts, 2, zones=rng.choice(["abc", "aab", "a", "abcdefg"]))
    everyone = where + [rc.Place(f"10.0.1.{item}", 6379, f"old{item}") for item in range(rng.randint(0, 3))]
    nodes = {str(place): node(place) for place in everyone}
    ids = list(nodes)
    rng.shuffle(ids)
    masters = ids[: rng.randint(1, len(ids))]
    for slot in range(0, 16384, 64):
        if rng.random() < 0.97:
            nodes[rng.choice(masters)].slots.update(range(slot, slot + 64))
    for ident in ids:
        if ident not in masters and rng.random() < 0.8:
            nodes[ident].role, nodes[ident].master = "replica", rng.choice(masters)
    for place in everyone[len(where) :]:
        nodes[str(place)].place = None
    plan = rc.plan(nodes, where)
    safe(plan.nodes, where)
    assert rc.plan(plan.nodes, where).actions == []


def test_draining_a_host_makes_it_replicas_only() -> None:
    nodes = formed(places(3))
    plan = rc.drain(nodes, places(3), 1, "cache1")
    assert [action.kind for action in plan.actions] == ["failover"]
    assert not [item for item in plan.nodes.values() if item.host == "cache1" and item.role == "master"]
    assert rc.drain(plan.nodes, places(3), 1, "cache1").actions == []
    nodes["10.0.0.3:6380"].reachable = False
    with pytest.raises(rc.RedisClusterError, match="no replica on another host"):
        rc.drain(nodes, places(3), 1, "cache1")


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(rc.RedisClusterError, match="none of the instances"):
        rc.plan({}, places(3))


def test_the_topology_is_told_in_lines() -> None:
    nodes = formed(places(3))
    text = rc.render(nodes)
    assert text.splitlines()[0] == "slots 0-5461 (5462): master 10.0.0.1:6379 (cache1), replicas 10.0.0.3:6380 (cache3)"
    assert rc.render(bare(places(3))).count("not in the cluster") == 5
    nodes["10.0.0.1:6379"].migrating = {5: "x"}
    assert "open slots at 10.0.0.1:6379: 5 migrating" in rc.render(nodes)
    assert rc.topology(nodes)[0]["replicas"] == ["10.0.0.3:6380"]


def test_every_step_has_words() -> None:
    for kind in ("meet", "open", "stable", "add", "move", "replicate", "failover", "detach", "reset", "forget"):
        assert rc.describe(rc.Action(kind, "a", "b", (1,)), {})
