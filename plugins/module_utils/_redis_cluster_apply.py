# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a Redis Cluster is looked at and brought to what a plan says. It knows no client library and no clock: both are handed in.

A plan is played step by step, then the cluster is looked at and planned anew until nothing is left to do. So whatever a run that was
killed left behind is simply where the next one starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.arxos.platform.plugins.module_utils._redis_cluster import (
    SLOTS,
    Action,
    Node,
    Place,
    Plan,
    RedisClusterError,
    View,
    describe,
    disagreement,
    merge,
    parse_nodes,
    ranges,
    state_faults,
)

ROUNDS = 4  # of planning: one makes the cluster, one finds it made; the others are for what moves meanwhile
SETTLE_SECONDS = 15  # for gossip to agree before a plan is made on what there is
FAILOVER_SECONDS = 8  # Redis gives a planned failover up after 5
INTERVAL = 0.1
SLOTS_AT_ONCE = 64  # open at a time while slots move
KEYS_AT_ONCE = 100  # carried in one round trip: clients of both ends wait for it
MIGRATE_MILLISECONDS = 8000


class Unreachable(RedisClusterError):
    """No answer now; there may be one later."""


class Refused(RedisClusterError):
    """An answer that will stay: wrong password, wrong certificate, no cluster mode, a command that cannot be done."""


class Link(Protocol):
    """A connection to one instance. Raises Unreachable and Refused; answers are bytes, numbers and lists, as in the protocol."""

    def call(self, *words: str | int) -> Any: ...

    def pipeline(self, commands: Sequence[Sequence[str | int]]) -> list[Any]: ...

    def close(self) -> None: ...


Connect = Callable[[str, int], Link]
MakePlan = Callable[[dict[str, Node]], Plan]


@dataclass
class Outcome:
    before: dict[str, Node]
    after: dict[str, Node]
    steps: list[str] = field(default_factory=list)


@dataclass
class Time:
    """The clock and how to wait; tests hand in their own."""

    clock: Callable[[], float]
    pause: Callable[[float], None]

    def wait(self, what: str, missing: Callable[[], str], seconds: float) -> None:
        """Returns when `missing` returns nothing. Raises RedisClusterError with what it last returned."""
        end = self.clock() + seconds
        while True:
            reason = missing()
            if not reason:
                return
            if self.clock() >= end:
                raise RedisClusterError(f"{what}: not within {seconds:g} s: {reason}")
            self.pause(INTERVAL)


class Cluster:
    """The instances of the inventory and those that are in one cluster with them."""

    def __init__(self, places: Sequence[Place], connect: Connect, user: str, password: str, timeout: float, time: Time) -> None:
        self._places = list(places)
        self._connect = connect
        self._credentials = (user, password)
        self._timeout = timeout
        self._time = time
        self._links: dict[tuple[str, int], Link] = {}
        self._silent: set[str] = set()  # ids outside the inventory that do not answer: asked once

    def converge(self, make_plan: MakePlan, *, check: bool, healthy: bool = False) -> Outcome:
        """Plays plans until there is nothing left to do; with `healthy`, not before the cluster is. Raises RedisClusterError."""
        if healthy:
            self._time.wait("the cluster is healthy, before anything is taken from it", self._unhealthy, self._timeout)
        nodes = self._observe()
        plan = make_plan(nodes)
        outcome = Outcome(nodes, plan.nodes)
        if check:
            outcome.steps = [describe(action, nodes) for action in plan.actions]
            return outcome
        for _round in range(ROUNDS):
            if not plan.actions:
                break
            self._play(plan.actions, nodes, outcome.steps)
            nodes = self._observe()
            plan = make_plan(nodes)
        if plan.actions:
            raise RedisClusterError(
                "something else changes this cluster: still to do: " + "; ".join(describe(item, nodes) for item in plan.actions)
            )
        self._time.wait("the cluster becomes healthy", self._unhealthy, self._timeout)
        outcome.after = nodes
        return outcome

    def close(self) -> None:
        for link in self._links.values():
            link.close()

    # looking

    def _link(self, address: str, port: int) -> Link:
        if (address, port) not in self._links:
            self._links[address, port] = self._connect(address, port)
        return self._links[address, port]

    def _drop(self, address: str, port: int) -> None:
        link = self._links.pop((address, port), None)
        if link is not None:
            link.close()

    def _ask(self, address: str, port: int, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """A round trip on a connection that may have been lost meanwhile."""
        try:
            return self._link(address, port).pipeline(commands)
        except Unreachable:
            self._drop(address, port)
            raise

    def _view(self, address: str, port: int, place: Place | None) -> View:
        text, keys = self._ask(address, port, [("CLUSTER", "NODES"), ("DBSIZE",)])
        rows = parse_nodes(text.decode("utf-8", "replace"))
        own = [row.id for row in rows.values() if "myself" in row.flags]
        if len(own) != 1:
            raise Refused(f"{address}:{port} does not say which instance it is")
        return View(place, own[0], rows, int(keys))

    def _look(self) -> tuple[list[View], list[str]]:
        """The views of all that answer, and why the instances of the inventory that do not, do not."""
        views: list[View] = []
        silent: list[str] = []
        refused: list[str] = []
        for place in self._places:
            try:
                views.append(self._view(place.address, place.port, place))
            except Unreachable as error:
                silent.append(str(error))
            except Refused as error:
                refused.append(str(error))
        if refused:
            raise RedisClusterError("; ".join(refused))
        by_id: dict[str, str] = {}
        for view in views:
            if view.id in by_id:
                raise RedisClusterError(f"{view.place} and {by_id[view.id]} are one and the same instance")
            by_id[view.id] = str(view.place)
        strangers = {row.id: row for view in views for row in view.rows.values() if row.known and row.id not in by_id}
        for row in strangers.values():
            if row.id in self._silent or not row.address:
                continue
            try:
                view = self._view(row.address, row.port, None)
            except (Unreachable, Refused):
                self._silent.add(row.id)
                continue
            if view.id == row.id:
                views.append(view)
        return views, silent

    def _observe(self) -> dict[str, Node]:
        """The cluster as it is, after it came to rest. Raises RedisClusterError when it must not be touched."""
        views: list[View] = []

        def silent() -> str:
            views[:], missing = self._look()
            return "; ".join(missing)

        self._time.wait("all instances answer", silent, self._timeout)
        end = self._time.clock() + min(self._timeout, SETTLE_SECONDS)
        while self._unsettled(views) and self._time.clock() < end:
            self._time.pause(INTERVAL)
            views, _missing = self._look()
        nodes = merge(views)
        faults = state_faults(views, nodes)
        if faults:
            raise RedisClusterError(
                "\n- ".join(["this cluster was not touched:", *faults]) if len(faults) > 1 else f"not touched: {faults[0]}"
            )
        return nodes

    def _unsettled(self, views: Sequence[View]) -> str:
        nodes = merge(views)
        return disagreement([view for view in views if nodes[view.id].joined])

    def _apart(self, ids: Iterable[str] = ()) -> str:
        """Why the cluster is not yet one that knows `ids` and agrees on everything."""
        views, silent = self._look()
        if silent:
            return "; ".join(silent)
        nodes = merge(views)
        outside = [str(nodes[item]) for item in ids if item not in nodes or not nodes[item].joined]
        return f"{', '.join(outside)} not in the cluster" if outside else self._unsettled(views)

    def _unhealthy(self) -> str:
        for place in self._places:
            try:
                state, replication = self._ask(place.address, place.port, [("CLUSTER", "INFO"), ("INFO", "replication")])
            except Unreachable as error:
                return str(error)
            found = _facts(state)
            if found.get("cluster_state") != "ok" or found.get("cluster_slots_ok") != str(SLOTS):
                return f"{place} says cluster_state {found.get('cluster_state')}, {found.get('cluster_slots_ok')} slots ok"
            lag = _behind(replication)
            if lag:
                return f"{place} {lag}"
        return ""

    # doing

    def _play(self, actions: Sequence[Action], nodes: dict[str, Node], steps: list[str]) -> None:
        """Steps of one kind are done together where that is safe, then the cluster is given time to come to rest."""

        def batch(item: tuple[int, Action]) -> tuple[str, int]:
            index, action = item
            one_by_one = action.kind == "failover" or (action.kind == "replicate" and nodes[action.node].role == "replica")
            return action.kind, index if one_by_one else -1

        for (kind, _index), group in itertools.groupby(enumerate(actions), key=batch):
            members = [action for _number, action in group]
            for action in members:
                steps.append(describe(action, nodes))
                try:
                    getattr(self, f"_{kind}")(action, nodes)
                except (Unreachable, Refused) as error:
                    raise RedisClusterError(f"{describe(action, nodes)}: {error}") from error
            what = describe(members[-1], nodes)
            if kind == "replicate":
                self._time.wait(what, lambda members=members: self._behind_any(members, nodes), self._timeout)  # type: ignore[misc]
            if kind == "forget":
                gone = [action.node for action in members]
                self._time.wait(what, lambda gone=gone: self._remembered(gone), self._timeout)  # type: ignore[misc]
            elif kind not in ("reset", "stable"):
                joined = [node.id for node in nodes.values() if node.joined] + [action.node for action in members]
                self._time.wait(what, lambda ids=joined: self._apart(ids), self._timeout)  # type: ignore[misc]

    def _to(self, node: Node) -> Link:
        return self._link(node.address, node.port)

    def _meet(self, action: Action, nodes: dict[str, Node]) -> None:
        node = nodes[action.node]
        self._to(nodes[action.other]).call("CLUSTER", "MEET", node.address, node.port)

    def _add(self, action: Action, nodes: dict[str, Node]) -> None:
        bounds = [part.partition("-") for part in ranges(action.slots).split(",")]
        words = [word for first, _dash, last in bounds for word in (first, last or first)]
        self._to(nodes[action.node]).call("CLUSTER", "ADDSLOTSRANGE", *words)

    def _stable(self, action: Action, nodes: dict[str, Node]) -> None:
        self._to(nodes[action.node]).pipeline([("CLUSTER", "SETSLOT", slot, "STABLE") for slot in action.slots])

    def _open(self, action: Action, nodes: dict[str, Node]) -> None:
        self._move(action, nodes)

    def _move(self, action: Action, nodes: dict[str, Node]) -> None:
        """A few slots at a time: mark both ends, carry the keys, tell everybody. Clients are redirected key by key meanwhile."""
        target, source = nodes[action.node], nodes[action.other]
        into, out = self._to(target), self._to(source)
        others = []
        for node in nodes.values():
            if node.reachable and node.joined and node.id not in (target.id, source.id):
                _state, replication = self._ask(node.address, node.port, [("PING",), ("INFO", "replication")])
                if _facts(replication).get("role") == "master":
                    others.append(self._to(node))
        for start in range(0, len(action.slots), SLOTS_AT_ONCE):
            slots = action.slots[start : start + SLOTS_AT_ONCE]
            into.pipeline([("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id) for slot in slots])
            out.pipeline([("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id) for slot in slots])
            counts = out.pipeline([("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in slots])
            for group in _groups(dict(zip(slots, counts)), KEYS_AT_ONCE):
                self._carry(out, target, group)
            done = [("CLUSTER", "SETSLOT", slot, "NODE", target.id) for slot in slots]
            for link in (into, out, *others):
                link.pipeline(done)

    def _carry(self, out: Link, target: Node, slots: Sequence[int]) -> None:
        """All keys of these slots. A command carries keys of one slot only, so the commands for several go together."""
        fixed = ("MIGRATE", target.address, target.port, "", 0, MIGRATE_MILLISECONDS, "REPLACE", "AUTH2", *self._credentials, "KEYS")
        room = max(1, KEYS_AT_ONCE // len(slots))
        while slots:
            keys = out.pipeline([("CLUSTER", "GETKEYSINSLOT", slot, room) for slot in slots])
            # A key that is at both ends was being carried when a run was killed: the source still serves it, so it counts.
            out.pipeline([(*fixed, *found) for found in keys if found])
            slots = [slot for slot, found in zip(slots, keys) if found]

    def _replicate(self, action: Action, nodes: dict[str, Node]) -> None:
        self._to(nodes[action.node]).call("CLUSTER", "REPLICATE", action.other)

    def _behind_any(self, actions: Sequence[Action], nodes: dict[str, Node]) -> str:
        for action in actions:
            node = nodes[action.node]
            try:
                (answer,) = self._ask(node.address, node.port, [("INFO", "replication")])
            except Unreachable as error:
                return str(error)
            facts = _facts(answer)
            if facts.get("role") != "slave":
                return f"{node} is still a master"
            lag = _behind(answer)
            if lag:
                return f"{node} {lag}"
        return ""

    def _failover(self, action: Action, nodes: dict[str, Node]) -> None:
        node = nodes[action.node]
        what = describe(action, nodes)
        self._time.wait(what, lambda: self._behind_any([action], nodes), self._timeout)

        def not_master() -> str:
            try:
                (answer,) = self._ask(node.address, node.port, [("ROLE",)])
            except Unreachable as error:
                return str(error)
            return "" if answer[0] == b"master" else f"{node} is still a replica"

        for attempt in range(3):
            self._to(node).call("CLUSTER", "FAILOVER")
            try:
                return self._time.wait(what, not_master, FAILOVER_SECONDS)
            except RedisClusterError:
                if attempt == 2:
                    raise
        return None

    def _detach(self, action: Action, nodes: dict[str, Node]) -> None:
        self._to(nodes[action.node]).call("CLUSTER", "RESET", "SOFT")
        self._meet(action, nodes)

    def _reset(self, action: Action, nodes: dict[str, Node]) -> None:
        self._to(nodes[action.node]).call("CLUSTER", "RESET", "HARD")

    def _forget(self, action: Action, nodes: dict[str, Node]) -> None:
        for node in nodes.values():
            if node.place and node.reachable:
                try:
                    self._to(node).call("CLUSTER", "FORGET", action.node)
                except Refused as error:
                    if "Unknown node" not in str(error):
                        raise

    def _remembered(self, ids: Sequence[str]) -> str:
        views, silent = self._look()
        if silent:
            return "; ".join(silent)
        still = [f"{view.place} still knows {item}" for view in views for item in ids if view.place and item in view.rows]
        return still[0] if still else ""


def _groups(counts: dict[int, int], most: int) -> list[list[int]]:
    """The slots that hold keys, in groups that hold `most` keys together, or one slot each where that alone holds more."""
    groups: list[list[int]] = []
    held = most
    for slot, count in counts.items():
        if count and held + count > most:
            groups.append([])
            held = 0
        if count:
            groups[-1].append(slot)
            held += count
    return groups


def _facts(answer: bytes) -> dict[str, str]:
    """The lines of INFO and CLUSTER INFO as a dictionary."""
    return dict(line.partition(":")[::2] for line in answer.decode("utf-8", "replace").splitlines() if ":" in line)


def _behind(replication: bytes) -> str:
    """Why a replica could not take over now; nothing for a master."""
    facts = _facts(replication)
    if facts.get("role") == "slave" and (facts.get("master_link_status") != "up" or facts.get("master_sync_in_progress") == "1"):
        return f"is a replica whose link to {facts.get('master_host')}:{facts.get('master_port')} is {facts.get('master_link_status')}"
    return ""
