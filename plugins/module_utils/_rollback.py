# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which way back a database has, how long it takes, what it drops, and why it is refused. Pure: what the hosts are is handed in.

There are two rungs. C(guard) opens the standby that is held at the release's restore point and costs the same whatever the size is. C(backup)
restores the newest backup before the target and replays the archive up to it; it costs as much as there is to read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

MIB = 1 << 20
SHOWN = 5  # tables by name, in a sentence
YES, AGAIN = ("true", "yes", "1"), "again"
REHEARSAL = "rehearsal-"  # how the places that a rehearsal makes for itself begin
REHEARSAL_MOMENT = "%Y%m%dT%H%M%SZ"  # how they end
REHEARSAL_HELD = timedelta(hours=1)  # an older guard of one that was killed has to be released by hand
TELLING_MIB = 256  # less of it tells how long it takes to begin, not a rate
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?")

# Until this platform has measured its own; a finished rollback leaves what it took on the hosts. Seconds as the lab took them (two cores, 2026-11: 24-31
# and 31-33), rates below what it did (128 MB/s of restore), so that the first estimate errs on the long side.
RATES = {
    "guard_seconds": 30.0,  # from the fence to a whole cluster
    "backup_seconds": 35.0,  # the same for the other rung, without what depends on the size
    "restore_mib_per_second": 100.0,
    "replay_mib_per_second": 30.0,
}


class RollbackError(Exception):
    """What is wrong with the request, for people."""


@dataclass
class Plan:
    """What a rollback will do. C(refusals) is empty when it may."""

    to: str
    rung: str = ""
    point: dict[str, Any] = field(default_factory=dict)
    leader: str = ""
    open_on: str = ""
    timeline: int = 0
    backup: str = ""
    estimate_seconds: float = 0.0
    budget_seconds: float = 0.0
    sizes: dict[str, float] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    statement: str = ""
    refusals: list[str] = field(default_factory=list)


def parse_lsn(text: str) -> int:
    """Bytes since the beginning of the WAL. Raises RollbackError."""
    match = re.fullmatch(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", text or "")
    if not match:
        raise RollbackError(f"{text!r} is no place in the WAL")
    return int(match[1], 16) << 32 | int(match[2], 16)


def parse_time(text: str) -> datetime:
    """A moment in ISO 8601; without a zone it is UTC. Raises RollbackError."""
    if not TIME.fullmatch(text or ""):
        raise RollbackError(f"{text!r} is no time: write it as 2026-12-31T23:59:59Z")
    text = text.replace("Z", "+00:00")
    if re.search(r"[+-]\d\d$", text) and ":" in text:
        text += ":00"
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)


def name_faults(name: str) -> list[str]:
    """Why this cannot be the name of a restore point."""
    if NAME.fullmatch(name or ""):
        return []
    return [f"name is {name!r}, wanted at most 40 letters, digits, dots, dashes and underscores"]


def point_label(name: str, moment: datetime) -> str:
    """What the point is called in the WAL: PostgreSQL stops at the first of a name, so no two may share one."""
    return f"{name}@{moment.astimezone(timezone.utc):%Y%m%dT%H%M%SZ}"


def on_this_history(timeline: int, lsn: int, history: Iterable[tuple[int, int]], current: int) -> bool:
    """Whether a place on C(timeline) is in the past of C(current). C(history) has where its ancestors were left, as their history file does."""
    if timeline == current:
        return True
    return any(timeline == parent and lsn <= left for parent, left in history)


def choose_backup(
    backups: Iterable[Mapping[str, Any]], *, lsn: int | None, moment: datetime | None, history: Iterable[tuple[int, int]], current: int
) -> Mapping[str, Any] | None:
    """The newest backup that was complete before the target and lies on the history that leads to it.

    C(backups) are those that M(arxos.platform.pgbackrest) tells. For a named target pgBackRest itself picks the newest of all, which has gone past it.
    """
    fit = []
    for backup in backups:
        if backup["page_errors"]:
            continue
        end = parse_lsn(backup["lsn_stop"])
        timeline = int(backup["wal_start"][:8], 16)
        before = end <= lsn if lsn is not None else moment is not None and parse_time(backup["stopped_at"]) <= moment
        if before and on_this_history(timeline, end, history, current):
            fit.append((end, backup))
    return max(fit, key=lambda pair: pair[0])[1] if fit else None


def lost(point: Mapping[str, Any], leader: Mapping[str, Any]) -> dict[str, Any]:
    """What was written since the point: bytes of WAL, seconds, transactions, rows. A figure that cannot be known is None."""
    since = parse_time(point["created_at"])
    found: dict[str, Any] = {
        "since": point["created_at"],
        "seconds": max(0, round((parse_time(leader["clock"]) - since).total_seconds())),
        "bytes": None,
        "transactions": None,
        "rows": None,
        "gone": [],
    }
    if point.get("lsn"):
        found["bytes"] = parse_lsn(leader["lsn"]) - parse_lsn(point["lsn"])
    if point.get("xid") is not None:
        # The xid is that of the transaction that recorded the point.
        found["transactions"] = max(0, int(leader["xid"]) - int(point["xid"]) - 1)
    # Counters start anew with a new leader and after a crash; a counter that went back means that nobody knows.
    if point.get("rows") is not None and point.get("counted_on") == leader.get("counted_on"):
        before, now = _tables(point["rows"]), _tables(leader["rows"])
        found["gone"] = sorted(before.keys() - now.keys())
        counted = [[new - old for new, old in zip(count, before.get(table, (0, 0, 0)))] for table, count in now.items()]
        if all(number >= 0 for count in counted for number in count):
            found["rows"] = {kind: sum(count[place] for count in counted) for place, kind in enumerate(_KINDS)}
    return found


_KINDS = ("inserted", "updated", "deleted")


def _tables(rows: Mapping[str, Mapping[str, Iterable[int]]]) -> dict[str, list[int]]:
    return {f"{database}: {table}": list(count) for database, tables in rows.items() for table, count in tables.items()}


def loss_text(loss: Mapping[str, Any]) -> str:
    """The loss in one sentence."""
    parts = [f"all writes since {loss['since']} ({duration(loss['seconds'])})"]
    if loss["transactions"] is not None:
        parts.append(f"{loss['transactions']} transactions")
    if loss["rows"] is not None:
        parts.append("rows " + ", ".join(f"{loss['rows'][kind]} {kind}" for kind in _KINDS))
    if loss["gone"]:
        shown = loss["gone"][:SHOWN] + (["..."] if len(loss["gone"]) > SHOWN else [])
        parts.append(f"{len(loss['gone'])} tables are gone since and come back ({', '.join(shown)})")
    parts.append(f"{loss['bytes']} bytes of WAL" if loss["bytes"] is not None else "an unknown amount of WAL")
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def estimate(rung: str, sizes: Mapping[str, float], rates: Mapping[str, float]) -> float:
    """Seconds from the fence to a whole cluster. C(sizes) has C(restore_mib) and C(replay_mib)."""
    known = {**RATES, **rates}
    if rung == "guard":
        return known["guard_seconds"]
    return (
        known["backup_seconds"]
        + sizes["restore_mib"] / known["restore_mib_per_second"]
        + sizes["replay_mib"] / known["replay_mib_per_second"]
    )


def plan(
    to: str,
    members: Mapping[str, Mapping[str, Any]],
    backups: Iterable[Mapping[str, Any]],
    *,
    budget_seconds: float,
    consent: Any = False,
    rung: str = "",
) -> dict[str, Any]:
    """The way back to C(to), a release (the name of its restore point) or a time.

    C(members) is what M(arxos.platform.postgresql_rollback_info) says of every host; C(rung) forces one; C(consent) is true where it may drop what was
    written, and C(again) where it may also drop what came since a rollback to the same place, with no release between: else a command that is given a second
    time would do that. Raises RollbackError when C(to) is neither.
    """
    made = Plan(to=to, budget_seconds=budget_seconds)
    leaders = [name for name, found in members.items() if found["running"] and not found["in_recovery"]]
    if len(leaders) != 1:
        made.refusals.append(f"{len(leaders)} members take writes ({', '.join(leaders) or 'none'}), wanted one: bring the cluster up first")
        return dict(vars(made))
    made.leader = leaders[0]
    leader = members[made.leader]
    made.timeline = leader["timeline"]
    ended = last_ended(members)
    made.point = _point(to, leader, ended)
    moment = parse_time(made.point["created_at"])
    lsn = parse_lsn(made.point["lsn"]) if made.point.get("lsn") else None
    if moment > parse_time(leader["clock"]):
        made.refusals.append(f"{to} is in the future")
        return dict(vars(made))
    made.loss = lost(made.point, leader)
    rates = leader.get("rates") or {}

    guards = [
        name
        for name, found in members.items()
        if found.get("guard")
        and found["guard"]["held"]
        and found["guard"]["label"] == made.point.get("label")
        and found["guard"]["lsn"] == made.point.get("lsn")
    ]
    backup = choose_backup(
        backups,
        lsn=lsn,
        moment=moment,
        history=[(entry[0], parse_lsn(entry[1])) for entry in leader["history"]],
        current=leader["timeline"],
    )
    rung = "" if rung == "any" else rung
    if rung not in ("", "guard", "backup"):
        made.refusals.append(f"rung is {rung}: write guard or backup; any, or nothing, takes the one that is faster")
    elif guards and rung != "backup":
        made.rung, made.open_on = "guard", guards[0]
    elif rung == "guard":
        made.refusals.append(f"no replica is held at {made.point.get('label') or to}: without -e rung=guard it comes from the backup")
    elif backup is None:
        made.refusals.append(f"no replica is held at {to}, and no backup was complete before it")
    else:
        made.rung, made.open_on, made.backup = "backup", made.leader, backup["label"]
        target = lsn if lsn is not None else parse_lsn(leader["lsn"])
        made.sizes = {
            "restore_mib": round(backup["size"] / MIB, 1),
            "replay_mib": round(max(0, target - parse_lsn(backup["lsn_stop"])) / MIB, 1),
        }
    if made.rung:
        made.estimate_seconds = round(estimate(made.rung, made.sizes, rates), 1)
        if made.estimate_seconds > budget_seconds:
            made.refusals.append(
                f"it would take {duration(made.estimate_seconds)}, and the budget is {duration(budget_seconds)}."
                " Raise rollback_budget_seconds if the platform may be down for as long"
            )
    agreed = str(consent).lower()
    back_since = _back_since(to, ended, leader)
    if made.loss["transactions"] == 0:
        pass
    elif back_since and agreed != AGAIN:
        made.refusals.append(
            f"the database went back to {to} at {back_since}, and nothing was released since. Once more, it drops {loss_text(made.loss)}."
            f" If that is agreed, add -e accept_data_loss={AGAIN}"
        )
    elif agreed not in (*YES, AGAIN):
        made.refusals.append(f"it drops {loss_text(made.loss)}. If that is agreed, add -e accept_data_loss=true")
    made.statement = _statement(made)
    return dict(vars(made))  # asdict would copy Ansible's lazy containers, which it cannot


def _back_since(to: str, ended: Mapping[str, Any], leader: Mapping[str, Any]) -> str:
    """When C(ended), the last rollback that came to its end, began, where it went to C(to) and no restore point was made after it; else nothing."""
    if not ended or ended["plan"]["to"] != to:
        return ""
    began = str(ended["began"])
    return "" if any(parse_time(point["created_at"]) > parse_time(began) for point in leader["points"]) else began


def _point(to: str, leader: Mapping[str, Any], ended: Mapping[str, Any]) -> dict[str, Any]:
    for point in leader["points"]:
        if point["name"] == to:
            return dict(point)
    if TIME.fullmatch(to):
        return {"created_at": parse_time(to).isoformat().replace("+00:00", "Z")}
    if ended and ended["plan"]["to"] == to:  # the row that tells of a point is written after it
        began, moment = ended["began"], ended["plan"].get("point", {}).get("created_at", "the time of it")
        raise RollbackError(
            f"the database went back to {to} at {began}, which used that point up. To drop what came since as well, name its time: -e to={moment}"
        )
    known = ", ".join(f"{point['name']} ({point['created_at']})" for point in leader["points"]) or "none"
    raise RollbackError(f"{to} is neither a restore point nor a time such as 2026-12-31T23:59:59Z. Restore points are: {known}")


def moment_of(to: str, members: Mapping[str, Mapping[str, Any]]) -> str:
    """When the database was at C(to): a restore point of the member that takes writes, or a time. Empty for anything else, which the plan refuses."""
    leaders = [member for member in members.values() if member["running"] and not member["in_recovery"]]
    points = {point["name"]: str(point["created_at"]) for leader in leaders for point in leader["points"]}
    return points.get(to, to if TIME.fullmatch(to) else "")


def _statement(made: Plan) -> str:
    way = {
        "guard": f"opens {made.open_on}, which is held at {made.point.get('label')}",
        "backup": f"restores backup {made.backup} on {made.open_on} ({made.sizes.get('restore_mib')} MiB, {made.sizes.get('replay_mib')} MiB of WAL to replay)",
        "": "has no way",
    }[made.rung]
    return f"Back to {made.to}: {way}; about {duration(made.estimate_seconds)} of {duration(made.budget_seconds)}; drops {loss_text(made.loss)}."


def take_up(wanted: str, members: Mapping[str, Mapping[str, Any]], option: str = "to") -> dict[str, Any]:
    """The journal of a rollback that was not finished, the furthest of those that hosts have; empty when there is none.

    Raises RollbackError when it goes elsewhere than C(wanted), which is what the C(option) of the playbook says, empty where it says nothing.
    """
    found = [host["journal"] for host in members.values() if host.get("journal")]
    if not found:
        return {}
    journal = max(found, key=lambda entry: (entry["began"], len(entry["done"])))
    to = journal["plan"]["to"]
    if wanted and to != wanted:
        raise RollbackError(
            f"a rollback to {to} was begun at {journal['began']} and is not finished: finish it first, with -e {option}={to}"
        )
    return dict(journal)


def last_ended(members: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The journal of the last rollback that came to its end, the newest of those that hosts have as C(finished); empty when there is none."""
    found = [host["finished"] for host in members.values() if host.get("finished")]
    return dict(max(found, key=lambda journal: str(journal["began"]))) if found else {}


def rehearsal(members: Mapping[str, Mapping[str, Any]], full: Mapping[str, Mapping[str, Any]], moment: datetime) -> dict[str, Any]:
    """Where a rehearsal goes: C(to), and whether it was C(begun), so that no guard is to be held for it any more.

    It goes on with one that was killed, of which there is a journal (C(full) has those of full rollbacks, by host) or at least the guard, in C(members),
    which is no older than C(REHEARSAL_HELD): what was written since is dropped, and nobody means a week of it.
    """
    begun = [str(host["journal"]["plan"]["to"]) for host in (*full.values(), *members.values()) if host.get("journal")]
    held = [str(host["guard"]["label"]).rpartition("@")[0] for host in members.values() if host.get("guard")]
    since = f"{REHEARSAL}{(moment - REHEARSAL_HELD).astimezone(timezone.utc):{REHEARSAL_MOMENT}}"
    for to in (*begun, *(name for name in held if name >= since)):
        if to.startswith(REHEARSAL):
            return {"to": to, "begun": to in begun}
    return {"to": f"{REHEARSAL}{moment.astimezone(timezone.utc):{REHEARSAL_MOMENT}}", "begun": False}


def learn(rates: Mapping[str, float], plan_made: Mapping[str, Any], seconds: Mapping[str, float]) -> dict[str, float]:
    """Rates after a rollback whose steps took C(seconds): the newest measurement counts, what was not measured stays."""
    known = dict(rates)
    total = sum(value for name, value in seconds.items() if name != "plan")
    if plan_made["rung"] == "guard":
        known["guard_seconds"] = round(total, 1)
        return known
    sizes = plan_made["sizes"]
    for step in ("restore", "replay"):
        if sizes[f"{step}_mib"] >= TELLING_MIB:
            known[f"{step}_mib_per_second"] = round(sizes[f"{step}_mib"] / max(seconds[step], 0.1), 1)
    # What the rates do not explain is the share that is the same whatever the size is.
    known["backup_seconds"] = round(max(0.0, total - estimate("backup", sizes, {**known, "backup_seconds": 0.0})), 1)
    return known


def guard_plan(release: str, members: Mapping[str, Mapping[str, Any]], roles: Mapping[str, str], moment: str) -> dict[str, Any]:
    """Who is to be held before C(release), and at what.

    C(members) is what M(arxos.platform.postgresql_rollback_info) says of every host, C(roles) their role as Patroni has it (members outside of Patroni
    have none). Returns C(host), C(leader), C(label), whether it is C(done), and C(refusals).
    """
    made: dict[str, Any] = {"host": "", "leader": "", "label": "", "lsn": "", "done": False, "refusals": name_faults(release)}
    leaders = [name for name, role in roles.items() if role == "leader"]
    if len(leaders) != 1 or not members[leaders[0]]["running"]:
        made["refusals"].append("no member leads: bring the cluster up first")
        return made
    made["leader"] = leaders[0]
    if any(found.get("journal") for found in members.values()):
        made["refusals"].append("a rollback was begun and is not finished: finish it first; playbooks/status.yml says with what")
    point = next((entry for entry in members[made["leader"]]["points"] if entry["name"] == release), None)
    guards = {name: found["guard"] for name, found in members.items() if found.get("guard")}
    for name, guard in guards.items():
        if point and guard["label"] == point["label"]:
            made.update(host=name, label=point["label"], lsn=point["lsn"])
            made["done"] = guard["held"] and guard["cut_off"] and guard["lsn"] == point["lsn"]
        elif not point and guard["label"].startswith(release + "@") and not guard["held"]:
            made.update(host=name, label=guard["label"])  # a run that was killed before the point was made
        else:
            made["refusals"].append(f"{name} is held at {guard['label']}: release it first, with playbooks/release_guard.yml")
    if made["host"] or made["refusals"]:
        return made
    if point:
        made["refusals"].append(
            f"the restore point {release} was made at {point['created_at']} and no replica is held at it; none can be, afterwards."
            f" Name another, such as {release}-2"
        )
        return made
    replicas = [name for name, role in roles.items() if role != "leader" and members[name]["running"] and members[name]["in_recovery"]]
    if len(replicas) < 2:
        made["refusals"].append(f"{len(replicas)} replicas run, wanted 2: one is held, and commits go on waiting for the other")
        return made
    # Not the one that commits wait for, where only one is.
    chosen = sorted(replicas, key=lambda name: (roles[name] == "sync_standby", name))[0]
    made.update(host=chosen, label=point_label(release, parse_time(moment)))
    return made
