# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform on one screen, from what health_check and application_release_info said of each host. Nothing is asked here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _rollback_plans, _run_lock, _run_record

# host, tiers, health (results by health_check, or nothing where the host was not reached), release, member (by postgresql_rollback_info), unfinished
# (by rollback_journal), faults (lines, what could not be read of a host that was reached), runs (by run_record_info)
Look = dict[str, Any]
# What stands before a tier whose name is too long for it.
_SHOWN = {"monitoring": "logs"}
_LABELS = re.compile(r'table="((?:[^"\\]|\\.)*)"')


def screen(looks: Sequence[Look], now: float, is_dead: Callable[[dict[str, Any]], bool] = lambda _holder: False) -> dict[str, list[str]]:
    """C(lines) to show, and what is C(red) among it, a line each. C(now) is seconds since 1970; C(is_dead) says it of the holder of the lock."""
    red = [
        f"{look['host']}: {reason}" for look in looks if not look.get("health") for reason in [look.get("why") or "it cannot be reached"]
    ]
    for look in looks:
        for result in look.get("health") or []:
            if not result["healthy"]:
                red.append(f"{look['host']}: {result['name']}: {'; '.join(result['problems'])}")
        if (look.get("member") or {}).get("journal"):
            name = "rollback" if "full" in (look.get("unfinished") or {}) else "rollback_database"
            red.append(f"{look['host']}: a rollback of the database was begun and is not finished: run playbooks/{name}.yml again")
        if look.get("health"):
            red += [f"{look['host']}: {fault}" for fault in look.get("faults") or []]
    journals = {look["host"]: look["unfinished"] for look in looks if look.get("unfinished")}
    live = {look["host"]: look["release"]["current"] for look in looks if (look.get("release") or {}).get("current")}
    red += _rollback_plans.unfinished(journals, live)
    doors = sorted({state for look in looks if "edge" in look["tiers"] for state in [_traffic(look)] if state})
    if len(doors) > 1:
        red.append(f"the front door is {' here and '.join(doors)} there: run playbooks/traffic.yml with what it shall be")
    lines = []
    for tier, tell in (
        ("edge", _edge),
        ("app", _app),
        ("database", partial(_database, now)),
        ("cache", _cache),
        ("storage", _plain),
        ("monitoring", _plain),
    ):
        hosts = [look for look in looks if tier in look["tiers"]]
        if hosts:
            head, *more = tell(hosts)
            lines += [f"{_SHOWN.get(tier, tier):<10}{head}", *(f"{'':<10}{line}" for line in more)]
    lines += [f"{label:<10}{text}" for label, text in (("timers", _timers(looks, now)), ("certs", _certificates(looks, now))) if text]
    return {"lines": [*lines, *_runs(looks, now, is_dead)], "red": red}


def _runs(looks: Sequence[Look], now: float, is_dead: Callable[[dict[str, Any]], bool]) -> list[str]:
    """Who runs, and what ran last, where hosts that keep the records were asked."""
    seen = [look["runs"] for look in looks if "runs" in (look.get("runs") or {})]
    if not seen:
        return []
    holder = _run_lock.holder_of([each["lock"] for each in seen])
    dead = is_dead(holder)
    runs = _run_record.merged(record for each in seen for record in each["runs"])
    records = [record for record in runs if dead or record.id != holder.get("id")]
    doing = _run_lock.told(holder, now) if holder else "none is under way"
    lines = [f"{'run':<10}{doing}{': it is dead, and the next run takes over' if dead else ''}"]
    if records:
        last = records[0]
        where = f" in {last.stopped_in}" if last.verdict == _run_record.INCOMPLETE and last.stopped_in else ""
        lines.append(f"{'last run':<10}{last.playbook} by {last.who}: {last.verdict}{where}, {_since(last.began, now)}, {last.id}")
    return lines


def _measures(look: Look, kind: str, name: str = "") -> list[dict[str, Any]]:
    """What a host's probes of a type measured, those with this name where one is given."""
    return [
        result["measured"]
        for result in look.get("health") or []
        if result["type"] == kind and name in ("", result["name"]) and result["measured"]
    ]


def _mark(look: Look) -> str:
    """A host and how it is, in a word."""
    if not look.get("health"):
        return f"{look['host']} DOWN"
    bad = [result for result in look["health"] if not result["healthy"]]
    return f"{look['host']} {'RED' if bad else 'ok'}"


def _plain(hosts: Sequence[Look]) -> list[str]:
    return [", ".join(map(_mark, hosts))]


def _edge(hosts: Sequence[Look]) -> list[str]:
    """How the front door is, where any host says so; each host for itself where they do not agree."""
    said = {look["host"]: state for look in hosts for state in [_traffic(look)] if state}
    states = sorted(set(said.values()))
    line = states[0] if len(states) == 1 else ", ".join(f"{host} {state}" for host, state in said.items())
    return [*_plain(hosts), *([f"traffic: {line}"] if said else [])]


def _traffic(look: Look) -> str:
    shown = re.compile(r'arxos_traffic_state\{state="(\w+)"\}')
    return next((found.group(1) for name, value in _values(look).items() for found in [shown.fullmatch(name)] if found and value == 1), "")


def _app(hosts: Sequence[Look]) -> list[str]:
    def release(look: Look) -> str:
        found = look.get("release") or {}
        live = found.get("running") or "nothing runs"
        return f" {live}{' (switching from ' + found['leaving'] + ')' if found.get('leaving') else ''}" if look.get("health") else ""

    return [", ".join(_mark(look) + release(look) for look in hosts)]


def _database(now: float, hosts: Sequence[Look]) -> list[str]:
    lines = [", ".join(map(_mark, hosts))]
    clusters = [measured["json"] for look in hosts for measured in _measures(look, "http", "cluster") if measured.get("json")]
    if clusters:
        members = sorted(clusters[0].get("members", []), key=lambda member: (member.get("role") != "leader", member.get("name", "")))
        lines.append("PostgreSQL: " + ", ".join(map(_member, members)))
        if clusters[0].get("pause"):
            lines.append("Patroni is PAUSED: no failover")
    else:
        lines.append("PostgreSQL: no member answers")
    healthy = sum(measured.get("status") == 200 for look in hosts for measured in _measures(look, "http", "etcd"))
    lines.append(f"etcd: {healthy} of {len(hosts)} healthy")
    values = next((values for look in hosts for values in [_values(look)] if values.get("arxos_partitions_leader") == 1), {})
    ahead = [
        f"{found.group(1)} {value:g} of {values.get(name.replace('_ahead{', '_wanted{'), 0):g}"
        for name, value in values.items()
        for found in [_LABELS.search(name)]
        if name.startswith("arxos_partitions_ahead{") and found
    ]
    outside = sum(value for name, value in values.items() if name.startswith("arxos_partitions_default_rows{"))
    points = [point for look in hosts for point in (look.get("member") or {}).get("points") or []]
    newest = max(points, key=lambda point: str(point["created_at"]), default=None)
    held = [f", {look['host']} is held at {look['member']['guard']['label']}" for look in hosts if (look.get("member") or {}).get("guard")]
    lines.append("restore point: " + (f"{newest['name']} {_since(newest['created_at'], now)}" if newest else "none") + "".join(held))
    lines.append(f"partitions ahead: {', '.join(ahead) or 'not known'}" + (f", {outside:g} rows outside" if outside else ""))
    return lines


def _member(member: dict[str, Any]) -> str:
    role = {"sync_standby": "synchronous", "quorum_standby": "quorum"}.get(member.get("role", ""), member.get("role", "?"))
    text = f"{member.get('name')} {role}"
    if member.get("state") not in ("running", "streaming"):
        text += f" ({member.get('state')})"
    if role != "leader":
        text += f" lag {_size(member.get('lag'))}"
    return text


def _size(count: Any) -> str:
    if not isinstance(count, int):
        return "unknown"
    return f"{count} B" if count < 1024 else f"{count / 1024:.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _cache(hosts: Sequence[Look]) -> list[str]:
    nodes = [measured for look in hosts for measured in _measures(look, "redis") if "cluster_slots_ok" in measured]
    said = sorted({(node["cluster_state"], node["cluster_slots_ok"], node["cluster_known_nodes"]) for node in nodes})
    slots = " / ".join(f"state {state}, {ok} of 16384 slots, {known} nodes" for state, ok, known in said) or "no instance answers"
    return [", ".join(map(_mark, hosts)), f"Redis: {slots}"]


def _values(look: Look) -> dict[str, float]:
    return {name: value for measured in _measures(look, "metrics") for name, value in measured["values"].items()}


def _timers(looks: Sequence[Look], now: float) -> str:
    """The last success of each thing that a timer does, the oldest of all hosts for what each does, the newest for what one does for all."""
    found: dict[str, list[float]] = {}
    for look in looks:
        for name, value in _values(look).items():
            thing, _separator, what = name.partition("_last_success_timestamp_seconds")
            if what == "" and thing != name:
                found.setdefault(thing.removeprefix("arxos_"), []).append(value)
    return ", ".join(f"{thing} {_ago(now - max(times)) if max(times) else 'never'}" for thing, times in sorted(found.items()))


def _since(moment: str, now: float) -> str:
    try:
        return _ago(now - datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp())
    except ValueError:
        return moment


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"


def _certificates(looks: Sequence[Look], now: float) -> str:
    """For each tier, of all its hosts, the certificate that ends first, served or in a file, and the oldest key. The CA ends for all."""
    ends: dict[str, float] = {}
    ages: dict[str, float] = {}
    for look in looks:
        tier = look["tiers"][0] if look["tiers"] else "?"
        for measured in _measures(look, "tls"):
            ends[tier] = min(ends.get(tier, float("inf")), measured["days_left"])
        for name, value in _values(look).items():
            what, _separator, labels = name.partition("{")
            whose = "CA" if 'name="ca"' in labels else tier
            if what == "arxos_certificate_not_after_seconds":
                ends[whose] = min(ends.get(whose, float("inf")), (value - now) / 86400)
            elif what == "arxos_certificate_key_age_seconds":
                ages[whose] = max(ages.get(whose, 0.0), value / 86400)
    whole = [*(tier for tier in ends if tier != "CA"), *(["CA"] if "CA" in ends else [])]
    return ", ".join(f"{tier} {ends[tier]:.0f} d" + (f" (key {ages[tier]:.0f} d old)" if tier in ages else "") for tier in whole)
