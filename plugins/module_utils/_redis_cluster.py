# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a Redis Cluster shall look like, and the steps from what it looks like to there. Pure: nothing here talks to a server.

A cluster is right when every instance of the inventory is in it and no other, all 16384 slots are served, spread evenly over one master
for each `1 + replicas` instances, every master has its replicas on other hosts, and no host carries so many masters that the rest would
have no majority to promote replicas without it. Any such topology is accepted as it is: a failover is not undone without need.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SLOTS = 16384  # the hash slots of a Redis Cluster, by its specification
MIN_MASTERS = 3  # fewer have no majority when one is lost
FLIPS = 6  # how many planned failovers are tried at most to spread masters over hosts: each host that is lost asks for few


class RedisClusterError(Exception):
    """Why the cluster is not, or must not be, made what was asked for. The message is for the operator."""


@dataclass(frozen=True)
class Place:
    """An instance of the inventory. `host` is the fault domain: two instances of one host are lost together."""

    address: str
    port: int
    host: str
    zone: str = ""

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass
class Row:
    """One line of CLUSTER NODES, as one instance sees another (or itself)."""

    id: str
    address: str
    port: int
    flags: frozenset[str]
    master: str | None
    epoch: int
    connected: bool
    slots: set[int] = field(default_factory=set)
    migrating: dict[int, str] = field(default_factory=dict)  # slot: id of the instance that it goes to
    importing: dict[int, str] = field(default_factory=dict)  # slot: id of the instance that it comes from

    @property
    def known(self) -> bool:
        return "handshake" not in self.flags


@dataclass
class View:
    """What one instance answers: its own id, its CLUSTER NODES, its number of keys. `place` is None for one not in the inventory."""

    place: Place | None
    id: str
    rows: dict[str, Row]
    keys: int = 0

    @property
    def alone(self) -> bool:
        return not [row for row in self.rows.values() if row.known and row.id != self.id]


@dataclass
class Node:
    """An instance as all views together tell it."""

    id: str
    address: str
    port: int
    place: Place | None
    role: str  # master or replica
    master: str | None
    slots: set[int]
    migrating: dict[int, str]
    importing: dict[int, str]
    reachable: bool
    failed: bool  # the cluster says so
    keys: int
    joined: bool  # in the cluster that the inventory is about

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def host(self) -> str:
        return self.place.host if self.place else ""


@dataclass(frozen=True)
class Action:
    """One step. `node` and `other` are ids.

    meet: node is introduced to other. open: slots that are half way are finished, from other to node. stable: node drops its marks on
    slots. add: unserved slots go to node. move: slots go to node, from other. replicate: node follows other. failover: node takes over
    from other. detach: node, a replica, becomes an empty master. reset: node is emptied and leaves. forget: everybody forgets node.
    """

    kind: str
    node: str
    other: str = ""
    slots: tuple[int, ...] = ()


@dataclass
class Plan:
    actions: list[Action]
    nodes: dict[str, Node]  # as they will be


# --- reading ---------------------------------------------------------------------------------------------------------------------------


def parse_nodes(text: str) -> dict[str, Row]:
    """CLUSTER NODES as {id: Row}. Raises RedisClusterError on anything else."""
    rows: dict[str, Row] = {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        # 7.0 appends ",hostname" to the address, later ones more fields like it.
        found = re.match(r"^(.*):(\d+)(?:@\d+)?(?:,.*)?$", words[1]) if len(words) >= 8 else None
        if not found or not words[6].isdigit():
            raise RedisClusterError(f"cannot read this line of CLUSTER NODES: {line[:200]}")
        master = None if words[3] == "-" else words[3]
        row = Row(
            words[0], found[1].strip("[]"), int(found[2]), frozenset(words[2].split(",")), master, int(words[6]), words[7] == "connected"
        )
        for word in words[8:]:
            if word.startswith("["):
                slot, arrow, other = re.split(r"(->-|-<-)", word[1:-1])
                (row.migrating if arrow == "->-" else row.importing)[int(slot)] = other
            else:
                first, _dash, last = word.partition("-")
                row.slots.update(range(int(first), int(last or first) + 1))
        rows[row.id] = row
    return rows


def merge(views: Sequence[View]) -> dict[str, Node]:
    """All views as one. What a view says of itself counts; of an instance that has no view, what the newest epoch says."""
    nodes: dict[str, Node] = {}
    viewed = {view.id: view for view in views}
    joined = _main_component(views)
    everything = [row for view in views for row in view.rows.values() if row.known]
    for row in sorted(everything, key=lambda row: row.epoch):
        view = viewed.get(row.id)
        if view is not None:
            row = view.rows[view.id]
        elif row.id in nodes and "noaddr" in row.flags:
            continue
        nodes[row.id] = Node(
            id=row.id,
            address=view.place.address if view and view.place else row.address,
            port=view.place.port if view and view.place else row.port,
            place=view.place if view else None,
            role="replica" if "slave" in row.flags else "master",
            master=row.master,
            slots=set(row.slots),
            migrating=dict(row.migrating),
            importing=dict(row.importing),
            reachable=view is not None,
            failed=False,
            keys=view.keys if view else 0,
            joined=row.id in joined,
        )
    for row in everything:
        if {"fail", "noaddr"} & row.flags:
            nodes[row.id].failed = True
    _settle_claims(nodes, views)
    return nodes


def _settle_claims(nodes: dict[str, Node], views: Sequence[View]) -> None:
    """A slot that several claim belongs to the one with the newest epoch, as the cluster itself decides it."""
    epochs: dict[str, int] = {}
    for view in views:
        for row in view.rows.values():
            epochs[row.id] = max(epochs.get(row.id, 0), row.epoch)
    owner: dict[int, str] = {}
    for node in sorted((node for node in nodes.values() if node.joined), key=lambda node: epochs[node.id]):
        for slot in node.slots:
            if slot in owner:
                nodes[owner[slot]].slots.discard(slot)
            owner[slot] = node.id


def _components(views: Sequence[View]) -> list[set[str]]:
    """Which instances hold together: they know each other, or one that answers knows one that does not."""
    viewed = {view.id: view for view in views}
    groups: list[set[str]] = []
    for view in views:
        group = {view.id}
        for row in view.rows.values():
            other = viewed.get(row.id)
            if row.known and (other is None or view.id in other.rows):
                group.add(row.id)
        for known in [item for item in groups if item & group]:
            groups.remove(known)
            group |= known
        groups.append(group)
    return groups


def _main_component(views: Sequence[View]) -> set[str]:
    groups = _components(views)
    serving = _serving(views)
    order = {view.id: index for index, view in enumerate(views)}
    return max(
        groups, key=lambda group: (bool(group & serving), len(group), -min(order.get(item, len(order)) for item in group)), default=set()
    )


def _serving(views: Sequence[View]) -> set[str]:
    """Who serves slots. What an instance says of itself counts: the others may not have heard yet that it was emptied."""
    viewed = {view.id for view in views}
    return {row.id for view in views for row in view.rows.values() if row.slots and (row.id == view.id or row.id not in viewed)}


def disagreement(views: Sequence[View]) -> str:
    """Empty when all views tell the same of everybody; else what they differ in. It passes by itself, or a plan mends it."""
    pictures = {}
    for view in views:
        waiting = [str(row.address) for row in view.rows.values() if not row.known or "fail?" in row.flags]
        if waiting:
            return f"{_name(view)} is not done with {', '.join(sorted(waiting))}"
        pictures[_name(view)] = {
            row.id: ("slave" in row.flags, row.master, frozenset(row.slots), "fail" in row.flags) for row in view.rows.values()
        }
    names = list(pictures)
    for name in names[1:]:
        if pictures[name] != pictures[names[0]]:
            return f"{name} sees another cluster than {names[0]}"
    return ""


def _name(view: View) -> str:
    return str(view.place) if view.place else view.id


# --- refusing --------------------------------------------------------------------------------------------------------------------------


def input_faults(places: Sequence[Place], replicas: int) -> list[str]:
    """What is wrong with the input, without looking at any server."""
    faults = []
    seen: set[str] = set()
    for place in places:
        if str(place) in seen:
            faults.append(f"{place} is listed twice")
        seen.add(str(place))
        if not place.address or not place.host:
            faults.append(f"{place} needs an address and a host")
        if not 0 < place.port <= 55535:  # the cluster bus listens 10000 above
            faults.append(f"port {place.port} of {place.address} is not within 1 to 55535")
    if not 0 <= replicas <= 5:
        faults.append(f"replicas is {replicas}, wanted 0 to 5")
        return faults
    size = 1 + replicas
    if len(places) % size:
        faults.append(f"{len(places)} instances cannot be split in groups of 1 master and {replicas} replicas")
    masters = len(places) // size
    hosts: dict[str, int] = {}
    for place in places:
        hosts[place.host] = hosts.get(place.host, 0) + 1
    if masters < MIN_MASTERS or len(hosts) < MIN_MASTERS:
        faults.append(
            f"{len(places)} instances on {len(hosts)} hosts make {masters} masters: a cluster that survives the loss of a host needs"
            f" {MIN_MASTERS} hosts and {MIN_MASTERS} masters at least"
        )
    elif replicas:
        crowded = [host for host, count in hosts.items() if count > max(size, masters)]
        faults += [f"host {host} has {hosts[host]} of {len(places)} instances: spread them more evenly" for host in crowded]
    return faults


def state_faults(views: Sequence[View], nodes: dict[str, Node]) -> list[str]:
    """Why this cluster must not be touched: data would be lost, or it is somebody else's."""
    faults = []
    serving = _serving(views)
    for view in views:
        if not view.alone:
            continue
        if view.id in serving:
            faults.append(
                f"{_name(view)} serves slots on its own: it is a cluster with its own data. Empty it (FLUSHALL, CLUSTER RESET) to use it here"
            )
        elif view.keys:
            faults.append(
                f"{_name(view)} holds {view.keys} keys but is in no cluster: save what is needed and empty it (FLUSHALL) to use it here"
            )
    groups = [group for group in _components(views) if group & serving and len(group) > 1]
    if len(groups) > 1:
        names = "; ".join(", ".join(sorted(str(nodes[item]) for item in group if item in nodes)) for group in groups)
        faults.append(f"these instances belong to {len(groups)} different clusters that serve slots: {names}")
    strangers = [node for node in nodes.values() if node.joined and node.place is None and not node.failed]
    ours = [node for node in nodes.values() if node.joined and node.place is not None]
    if len(strangers) >= len(ours) and strangers:
        faults.append(
            f"{', '.join(sorted(map(str, ours)))} belong to another cluster: {len(strangers)} of its instances are not in the inventory"
            f" ({', '.join(sorted(map(str, strangers)))}). To shrink a cluster by half or more, do it in steps"
        )
        return faults
    for node in nodes.values():
        if not node.joined or node.reachable:
            continue
        if not node.failed:
            faults.append(
                f"{node} is to be removed and lives, says the cluster, but does not answer here: let this host reach it, or stop it"
            )
        elif node.slots:
            faults.append(
                f"{node} does not answer and nobody took over its slots {ranges(node.slots)}: start it again,"
                " or its data is lost (CLUSTER FAILOVER TAKEOVER on a replica that it has, CLUSTER FORGET on all where it has none)"
            )
    for node in nodes.values():
        if node.joined and node.place and node.role == "master" and not node.slots and not node.importing and node.keys:
            faults.append(f"{node} serves no slots but holds {node.keys} keys: save what is needed and empty it (FLUSHALL)")
    return faults


# --- planning --------------------------------------------------------------------------------------------------------------------------


def plan(nodes: dict[str, Node], places: Sequence[Place], replicas: int = 1, *, even: bool = False) -> Plan:
    """The steps that make the cluster right, in order; none when it is. Raises RedisClusterError when there is no way.

    With `even` the masters are spread over hosts and zones as evenly as failovers can, not only as far as safety asks for.
    """
    planner = _Planner(nodes, places, replicas)
    planner.meet()
    planner.finish_open_slots()
    masters = planner.choose_masters()
    planner.place_replicas(masters, early=True)
    planner.spread_slots(masters)
    planner.place_replicas(masters, early=False)
    planner.spread_masters(even=even)
    planner.remove_strangers()
    return Plan(planner.actions, planner.nodes)


def drain(nodes: dict[str, Node], places: Sequence[Place], replicas: int, host: str) -> Plan:
    """The planned failovers after which `host` carries no master that serves slots."""
    planner = _Planner(nodes, places, replicas)
    for master in [node for node in planner.mine() if node.host == host and node.role == "master" and node.slots]:
        elsewhere = [node for node in planner.replicas_of(master.id) if node.host != host and node.place and node.reachable]
        if not elsewhere:
            raise RedisClusterError(f"{master} on {host} serves slots and has no replica on another host that could take over")
        planner.do("failover", min(elsewhere, key=lambda node: (planner.load()[node.host], planner.order(node))).id, master.id)
    return Plan(planner.actions, planner.nodes)


class _Planner:
    """Plays each step on a copy of the cluster, so that the next one is chosen on what will be there."""

    def __init__(self, nodes: dict[str, Node], places: Sequence[Place], replicas: int) -> None:
        self.nodes = copy.deepcopy(nodes)
        self.places = list(places)
        self.replicas = replicas
        self.actions: list[Action] = []
        self.count = len(places) // (1 + replicas)  # of masters
        self.hosts = list(dict.fromkeys(place.host for place in places))
        self._assigned: dict[str, str] | None = None

    # what there is

    def mine(self) -> list[Node]:
        """The instances of the inventory, in its order."""
        return sorted((node for node in self.nodes.values() if node.place), key=self.order)

    def order(self, node: Node) -> int:
        return self.places.index(node.place) if node.place else len(self.places)

    def serving(self) -> list[Node]:
        found = (node for node in self.nodes.values() if node.joined and node.role == "master" and node.slots)
        return sorted(found, key=lambda node: (self.order(node), node.id))

    def replicas_of(self, master: str) -> list[Node]:
        found = (node for node in self.nodes.values() if node.joined and node.role == "replica" and node.master == master)
        return sorted(found, key=lambda node: (self.order(node), node.id))

    def load(self, masters: Iterable[Node] | None = None) -> dict[str, int]:
        """How many masters each host carries."""
        load = dict.fromkeys(self.hosts, 0)
        for node in self.serving() if masters is None else masters:
            if node.place:
                load[node.host] += 1
        return load

    # what is done

    def do(self, kind: str, node: str, other: str = "", slots: Iterable[int] = ()) -> None:
        action = Action(kind, node, other, tuple(sorted(slots)))
        self.actions.append(action)
        subject = self.nodes[node]
        source = self.nodes.get(other)
        if kind == "meet":
            subject.joined = True
        elif kind == "stable":
            for slot in action.slots:
                subject.migrating.pop(slot, None)
                subject.importing.pop(slot, None)
        elif kind in ("add", "move", "open"):
            for owner in self.nodes.values():
                owner.slots.difference_update(action.slots)
            subject.slots.update(action.slots)
            for slot in action.slots:
                for item in [subject] + ([source] if source else []):
                    item.migrating.pop(slot, None)
                    item.importing.pop(slot, None)
        elif kind == "replicate":
            subject.role, subject.master, subject.keys = "replica", other, 0
        elif kind == "failover" and source:
            subject.role, subject.master, subject.slots = "master", None, source.slots
            source.role, source.master, source.slots = "replica", node, set()
            for item in self.nodes.values():
                if item.master == other and item.id != node:
                    item.master = node
        elif kind == "detach":
            subject.role, subject.master, subject.keys = "master", None, 0
        elif kind == "reset":
            subject.role, subject.master, subject.slots = "master", None, set()
        elif kind == "forget":
            del self.nodes[node]

    def meet(self) -> None:
        joined = [node for node in self.mine() if node.joined]
        if not joined:
            raise RedisClusterError("none of the instances answers")
        for node in self.mine():
            if not node.joined:
                self.do("meet", node.id, joined[0].id)

    def finish_open_slots(self) -> None:
        """A slot that was left half way is brought to where it went: the keys that went ahead are there."""
        for node in [item for item in self.nodes.values() if item.joined and item.reachable]:
            routes: dict[tuple[str, str], list[int]] = {}
            for slot, target in node.migrating.items():
                if slot in node.slots and target in self.nodes and self.nodes[target].role == "master" and self.nodes[target].reachable:
                    routes.setdefault((target, node.id), []).append(slot)
            owners = {slot: item.id for item in self.nodes.values() for slot in item.slots if slot in node.importing}
            for slot in node.importing:
                owner = owners.get(slot)
                if node.role == "master" and owner and owner != node.id and self.nodes[owner].reachable:
                    routes.setdefault((node.id, owner), []).append(slot)
                elif node.role == "master" and owner is None:
                    routes.setdefault((node.id, ""), []).append(slot)
            for (target, source), slots in routes.items():
                self.do("open" if source else "add", target, source, slots)
        for node in [item for item in self.nodes.values() if item.joined and item.reachable]:
            stale = {*node.migrating, *node.importing}
            if stale:
                self.do("stable", node.id, slots=stale)

    def choose_masters(self) -> list[Node]:
        """The masters that shall serve: those that do as far as they can stay, then empty ones on the hosts with the fewest."""
        ranked: list[tuple[int, int, int, str, Node, Node | None]] = []
        for node in self.serving():
            heirs = [item for item in self.replicas_of(node.id) if item.place and item.reachable]
            if node.place:
                ranked.append((0, -len(node.slots), self.order(node), node.id, node, None))
            elif heirs:
                heir = min(heirs, key=lambda item: (self.load()[item.host], self.order(item)))
                ranked.append((1, -len(node.slots), self.order(node), node.id, node, heir))
        kept: list[Node] = []
        for _rank, _slots, _order, _id, node, successor in sorted(ranked, key=lambda item: item[:4])[: self.count]:
            if successor is not None:
                self.do("failover", successor.id, node.id)
            kept.append(successor or node)
        while len(kept) < self.count:
            kept.append(self._new_master(kept))
        return sorted(kept, key=self.order)

    def _new_master(self, kept: list[Node]) -> Node:
        load = self.load(kept)
        chosen = {node.id for node in kept}
        free = [node for node in self.mine() if node.id not in chosen and not node.slots]
        empty = [node for node in free if node.role == "master"]
        if empty:
            # One that has replicas was chosen by a run that was cut short.
            return min(empty, key=lambda node: (load[node.host], not self.replicas_of(node.id), self.order(node)))
        if not free:
            raise RedisClusterError(f"there is no free instance for master {len(kept) + 1} of {self.count}")
        node = min(free, key=lambda node: (load[node.host], self.order(node)))
        seed = next(item for item in self.mine() if item.joined and item.id != node.id)
        self.do("detach", node.id, seed.id)
        return node

    def place_replicas(self, masters: list[Node], *, early: bool) -> None:
        """Early: those that leave no serving master without its replica, so that a new master gets its replica before its slots."""
        chosen = {node.id for node in masters}
        if self._assigned is None:
            self._assigned = _assign([node for node in self.mine() if node.id not in chosen], masters, self.replicas, self.hosts)
        moves = [(self.nodes[item], master) for item, master in self._assigned.items()]
        moves = [(node, master) for node, master in moves if not (node.role == "replica" and node.master == master)]
        # Empty masters first: then those that are taken away from a master leave another behind.
        for node, master in sorted(moves, key=lambda item: (item[0].role == "replica", self.order(item[0]))):
            leaves_serving = node.role == "replica" and node.master not in chosen
            if not (early and (node.slots or leaves_serving)):
                self.do("replicate", node.id, master)

    def spread_slots(self, masters: list[Node]) -> None:
        covered: set[int] = set().union(*(node.slots for node in self.nodes.values() if node.joined))
        missing = [slot for slot in range(SLOTS) if slot not in covered]
        base, extra = divmod(SLOTS, len(masters))
        # Who has most keeps most: then a cluster that is even stays as it is, whoever has the slots too many.
        by_size = sorted(masters, key=lambda node: (-len(node.slots), self.order(node)))
        target = {node.id: base + (index < extra) for index, node in enumerate(by_size)}
        for node in masters:
            need = target[node.id] - len(node.slots)
            if need > 0 and missing:
                self.do("add", node.id, slots=missing[:need])
                missing = missing[need:]
        surplus: list[tuple[str, list[int]]] = []
        for node in self.serving():
            over = len(node.slots) - target.get(node.id, 0)
            if over > 0:
                surplus.append((node.id, sorted(node.slots)[-over:]))
        for node in masters:
            while len(node.slots) < target[node.id] and surplus:
                source, slots = surplus[0]
                part = slots[: target[node.id] - len(node.slots)]
                self.do("move", node.id, source, part)
                surplus[0] = (source, slots[len(part) :])
                if not surplus[0][1]:
                    surplus.pop(0)

    def spread_masters(self, *, even: bool) -> None:
        """No host (and no zone, where there are enough) may carry so many masters that the others are no majority."""
        safe = max(1, (self.count - 1) // 2)
        zones = {node.place.zone for node in self.mine() if node.place}
        attempts: list[dict[str, int]] = [{"host": safe}]
        if len(zones) >= MIN_MASTERS:
            attempts.insert(0, {"host": safe, "zone": safe})
        if even:
            fair = {"host": -(-self.count // len(self.hosts)), "zone": -(-self.count // len(zones))}
            attempts[:0] = [fair, {**attempts[0], "host": fair["host"]}]
        for limits in attempts:
            flips = _spread(self.serving(), {node.id: self.replicas_of(node.id) for node in self.serving()}, limits)
            if flips is not None:
                for old, new in flips:
                    self.do("failover", new, old)
                return
        if self.replicas:
            raise RedisClusterError("no series of failovers spreads the masters so that the loss of any one host leaves a majority")

    def remove_strangers(self) -> None:
        strangers = sorted(
            (node for node in self.nodes.values() if node.joined and not node.place), key=lambda node: (node.address, node.port)
        )
        for node in strangers:
            if node.reachable:
                self.do("reset", node.id)
        for node in strangers:
            self.do("forget", node.id)


def _assign(pool: Sequence[Node], masters: Sequence[Node], replicas: int, hosts: Sequence[str]) -> dict[str, str]:
    """Which replica follows which master: a matching that keeps what is right, prefers other zones, and never uses the same host.

    Augmenting paths (Kuhn's algorithm), so a replica that has no seat makes others move only where it must.
    """
    seats: dict[str, list[Node]] = {node.id: [] for node in masters}
    by_id = {node.id: node for node in masters}

    def allowed(node: Node, master: Node, mates: Iterable[Node], level: int) -> bool:
        if node.host == master.host:
            return False
        if level < 2 and any(mate.host == node.host for mate in mates):
            return False
        return level > 0 or not (node.place and master.place and node.place.zone and node.place.zone == master.place.zone)

    def candidates(node: Node) -> list[Node]:
        # Starting with the next host makes a ring: the replicas of what one host serves are not all on one other.
        start = hosts.index(node.host) if node.host in hosts else 0
        return sorted(
            masters, key=lambda master: (hosts.index(master.host) - start - 1) % len(hosts) if master.host in hosts else len(hosts)
        )

    def seat(node: Node, level: int, seen: set[str]) -> bool:
        for master in candidates(node):
            if master.id in seen or not allowed(node, master, (), level):
                continue
            taken = seats[master.id]
            if len(taken) < replicas and allowed(node, master, taken, level):
                taken.append(node)
                return True
            seen.add(master.id)
            for other in list(taken):
                if allowed(node, master, [mate for mate in taken if mate is not other], level) and len(taken) >= replicas:
                    taken.remove(other)
                    if seat(other, level, seen):
                        taken.append(node)
                        return True
                    taken.append(other)
        return False

    def stays(node: Node, level: int) -> bool:
        """A seat that it has and that is good enough is kept."""
        master = by_id.get(node.master or "")
        if node.role != "replica" or not master or len(seats[master.id]) >= replicas or not allowed(node, master, seats[master.id], level):
            return False
        seats[master.id].append(node)
        return True

    waiting = [node for node in pool if not stays(node, 0)]
    waiting = [node for node in waiting if not seat(node, 0, set())]
    for level in (1, 2):
        waiting = [node for node in waiting if not stays(node, level)]
        waiting = [node for node in waiting if not seat(node, level, set())]
    if waiting:
        names = ", ".join(str(node) for node in waiting)
        raise RedisClusterError(f"there is no master on another host for {names}: spread instances evenly over hosts")
    return {node.id: master for master, taken in seats.items() for node in taken}


def _spread(masters: Sequence[Node], replicas: dict[str, list[Node]], limits: dict[str, int]) -> list[tuple[str, str]] | None:
    """The fewest failovers [(from, to)] after which no host (or zone) carries more masters than `limits` say; None when there are none."""

    def crowded(current: dict[str, Node]) -> list[str]:
        """The shards whose master sits in the first domain that has too many."""
        for domain, limit in limits.items():
            groups: dict[str, list[str]] = {}
            for shard, node in current.items():
                groups.setdefault(str(getattr(node.place, domain, "")), []).append(shard)
            for name, shards in groups.items():
                if name and len(shards) > limit:
                    return shards
        return []

    def search(current: dict[str, Node], moved: frozenset[str], depth: int) -> dict[str, Node] | None:
        shards = crowded(current)
        if not shards:
            return current
        if not depth:
            return None
        for shard in shards:
            if shard in moved:
                continue
            for heir in replicas[shard]:
                if heir.place and heir.reachable:
                    found = search({**current, shard: heir}, moved | {shard}, depth - 1)
                    if found:
                        return found
        return None

    start = {node.id: node for node in masters}
    for depth in range(min(len(start), FLIPS) + 1):
        found = search(start, frozenset(), depth)
        if found is not None:
            return [(shard, node.id) for shard, node in found.items() if node.id != shard]
    return None


# --- telling ---------------------------------------------------------------------------------------------------------------------------


def ranges(slots: Iterable[int]) -> str:
    """Slots as Redis writes them: 0-5460 or 1,3,5-9."""
    parts: list[list[int]] = []
    for slot in sorted(slots):
        if parts and slot == parts[-1][1] + 1:
            parts[-1][1] = slot
        else:
            parts.append([slot, slot])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def describe(action: Action, nodes: dict[str, Node]) -> str:
    """A step in words."""
    node = str(nodes[action.node]) if action.node in nodes else action.node
    other = str(nodes[action.other]) if action.other in nodes else action.other
    count = f"{len(action.slots)} slot{'s' if len(action.slots) != 1 else ''}"
    return {
        "meet": f"{node} joins",
        "open": f"finish {count} that were left half way from {other} to {node}",
        "stable": f"{node} drops its marks on {count}",
        "add": f"{node} serves {count} that nobody served",
        "move": f"{count} from {other} to {node}",
        "replicate": f"{node} becomes a replica of {other}",
        "failover": f"{node} takes over from {other}",
        "detach": f"{node} becomes an empty master",
        "reset": f"{node} is emptied and leaves",
        "forget": f"all forget {node}",
    }[action.kind]


def topology(nodes: dict[str, Node]) -> list[dict[str, object]]:
    """The shards, for results and diffs: [{slots, count, master, replicas}], and those outside as shards without slots."""
    shards: list[dict[str, object]] = []
    masters = [node for node in nodes.values() if node.role == "master" or node.master not in nodes]
    for node in sorted(masters, key=lambda node: (min(node.slots, default=SLOTS), node.address, node.port)):
        followers = sorted(str(item) for item in nodes.values() if item.role == "replica" and item.master == node.id)
        shards.append(
            {"slots": ranges(node.slots), "count": len(node.slots), "master": str(node), "replicas": followers, "joined": node.joined}
        )
    return shards


def render(nodes: dict[str, Node]) -> str:
    """The topology as lines to compare."""
    hosts = {str(node): f"{node} ({node.host})" if node.host else str(node) for node in nodes.values()}
    lines = []
    for shard in topology(nodes):
        slots = (
            f"slots {shard['slots']} ({shard['count']})" if shard["count"] else ("no slots" if shard["joined"] else "not in the cluster")
        )
        followers = shard["replicas"] if isinstance(shard["replicas"], list) else []
        lines.append(f"{slots}: master {hosts[str(shard['master'])]}, replicas {', '.join(hosts[item] for item in followers) or 'none'}")
        for name, node in sorted((str(node), node) for node in nodes.values() if str(node) == shard["master"]):
            marks = [f"{ranges(found)} {word}" for word, found in (("migrating", node.migrating), ("importing", node.importing)) if found]
            if marks:
                lines.append(f"  open slots at {name}: {'; '.join(marks)}")
    return "".join(line + "\n" for line in lines)
