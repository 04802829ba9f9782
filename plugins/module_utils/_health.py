# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is healthy: checks of a probe's parameters, predicates over what it measured, and the one waiter.

Nothing here touches a host. A probe is the dictionary of module M(arxos.platform.health_check), options that are not given being None.
A measure is the dictionary that C(_probes.measure) returns. A problem is one line: what was measured, what was wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Protocol, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
Probe = dict[str, Any]
Measure = dict[str, Any]

_TLS = ("ca_cert", "client_cert", "client_key", "server_name", "validate_certs")
REQUIRED: dict[str, tuple[str, ...]] = {
    "http": ("url",),
    "tcp": ("host", "port"),
    "tls": ("host", "port"),
    "systemd": ("unit",),
    "failed_units": (),
    "metrics": ("path",),
    "disk": ("path",),
    "postgresql": (),
    "redis": ("host", "port"),
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "http": ("method", "status", "headers", "json", "user", "password", "token") + _TLS,
    "tcp": (),
    "tls": ("min_days",) + _TLS,
    "systemd": (),
    "failed_units": (),
    "metrics": ("max_age_hours",),
    "disk": ("min_free_percent", "min_free_mb"),
    "postgresql": (
        "host",
        "port",
        "user",
        "password",
        "database",
        "ca_cert",
        "client_cert",
        "client_key",
        "server_name",
        "role",
        "max_lag_bytes",
        "min_replicas",
    ),
    "redis": ("user", "password", "ca_cert", "client_cert", "client_key", "server_name", "slots", "nodes"),
}
RANGES: dict[str, tuple[float, float]] = {
    "port": (1, 65535),
    "min_days": (-36500, 36500),
    "max_age_hours": (0, float("inf")),
    "min_free_percent": (0, 100),
    "min_free_mb": (0, float("inf")),
    "max_lag_bytes": (0, float("inf")),
    "min_replicas": (0, 1000),
    "slots": (0, 16384),
    "nodes": (1, 1000),
}
_UNIT = re.compile(r"^[A-Za-z0-9:_.\\@-]+$")
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie")


class ProbeError(Exception):
    """A measurement could not be made; the text says why."""


class Clock(Protocol):
    """What the waiter needs of a clock; module C(time) is one."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


@dataclass
class Result:
    """What one probe came to."""

    name: str
    type: str
    seconds: float
    measured: Measure = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "healthy": self.healthy,
            "measured": self.measured,
            "problems": self.problems,
            "seconds": round(self.seconds, 3),
        }


def wait_until(look: Callable[[], T], good: Callable[[T], bool], timeout: float, interval: float, clock: Clock) -> tuple[T, float, int]:
    """Look until the predicate holds or C(timeout) seconds are over. With 0 there is one look; there always is one at the end.

    Returns what was seen last, the seconds waited and the number of looks.
    """
    start, looks = clock.monotonic(), 0
    while True:
        seen = look()
        looks += 1
        waited = clock.monotonic() - start
        if good(seen) or waited >= timeout:
            return seen, waited, looks
        clock.sleep(min(interval, timeout - waited))


# Parameters ----------------------------------------------------------------------------------------------------------


def faults(probes: list[Probe]) -> list[str]:
    """Every fault in the probes' parameters, a line each, none when they can be measured."""
    if not probes:
        return ["probes: give at least one"]
    return [f"probe {n} '{p['name']}' ({p['type']}): {fault}" for n, p in enumerate(probes, 1) for fault in _faults_of(p)]


def _faults_of(probe: Probe) -> list[str]:
    kind = probe["type"]
    required, optional = REQUIRED[kind], OPTIONAL[kind]
    found = [f"{key} is required" for key in required if probe.get(key) in (None, "")]
    found += [
        f"does not take {key}" for key in sorted(probe) if probe[key] is not None and key not in ("name", "type") + required + optional
    ]
    for key, (low, high) in RANGES.items():
        value = probe.get(key)
        if value is not None and key in required + optional and not low <= value <= high:
            allowed = f"{low:g} or more" if high == float("inf") else f"{low:g} to {high:g}"
            found.append(f"{key} is {value}, which is not {allowed}")
    if probe.get("client_key") and not probe.get("client_cert"):
        found.append("client_key needs client_cert")
    return found + _SPECIAL.get(kind, lambda probe: [])(probe)


def _faults_of_http(probe: Probe) -> list[str]:
    found = []
    if probe.get("url"):
        try:
            parts = urlsplit(probe["url"])
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
                raise ValueError
            if parts.username is not None:
                found.append("url holds a user; say user and password apart")
        except ValueError:
            found.append("url is not http(s)://host[:port]/path")
        if re.search(r"[\x00-\x20\x7f]", probe["url"]):
            found.append("url holds a space or control character")
    if probe.get("method") and not re.match(r"^[A-Z]+$", probe["method"]):
        found.append(f"method {ascii(probe['method'])} is not capital letters")
    if probe.get("status") is not None and (not probe["status"] or not all(100 <= code <= 599 for code in probe["status"])):
        found.append("status wants codes of 100 to 599")
    for key, value in (probe.get("headers") or {}).items():
        if str(key).lower() in _SECRET_HEADERS:
            found.append(f"header {key} would be shown; use user and password, or token")
        if isinstance(value, (dict, list)) or re.search(r"[\r\n]", str(value)) or not re.match(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", str(key)):
            found.append(f"header {ascii(key)} is not one line of text")
    if (probe.get("user") is None) != (probe.get("password") is None):
        found.append("user and password belong together")
    if probe.get("token") and probe.get("user"):
        found.append("token and user exclude each other")
    return found


def _faults_of_postgresql(probe: Probe) -> list[str]:
    found = [
        f"{key} needs host" for key in ("password", "ca_cert", "client_cert", "server_name") if probe.get(key) and not probe.get("host")
    ]
    if probe.get("role") == "replica" and probe.get("min_replicas") is not None:
        found.append("min_replicas asks a primary, and role is replica")
    return found


_SPECIAL: dict[str, Callable[[Probe], list[str]]] = {
    "http": _faults_of_http,
    "systemd": lambda probe: (
        [f"unit {ascii(probe['unit'])} is no unit's name"] if probe.get("unit") and not _UNIT.match(probe["unit"]) else []
    ),
    "disk": lambda probe: (
        []
        if probe.get("min_free_percent") is not None or probe.get("min_free_mb") is not None
        else ["give min_free_percent or min_free_mb"]
    ),
    "postgresql": _faults_of_postgresql,
}


# Predicates ----------------------------------------------------------------------------------------------------------


def judge(probe: Probe, measure: Measure) -> list[str]:
    """The problems that a measure shows against what its probe wants; none is healthy."""
    return _JUDGES[probe["type"]](probe, measure)


def judge_http(probe: Probe, measure: Measure) -> list[str]:
    wanted = probe.get("status") or [200]
    if measure["status"] not in wanted:
        hint = f", body starts {ascii(measure['body'][:200])}" if measure.get("body") else ""
        return [f"status {measure['status']}, wanted {' or '.join(map(str, wanted))}{hint}"]
    if probe.get("json") is None:
        return []
    if measure.get("json") is None:
        return [f"body is no JSON (starts {ascii(measure.get('body', '')[:80])}), wanted {ascii(probe['json'])}"]
    return ["body " + problem for problem in subset_problems(probe["json"], measure["json"])]


def subset_problems(wanted: Any, got: Any, path: str = "") -> list[str]:
    """Where C(got) does not hold C(wanted): dictionaries may hold more keys than wanted, everything else is equal or not."""
    if not isinstance(wanted, dict) or not isinstance(got, dict):
        same = wanted == got and isinstance(wanted, bool) == isinstance(got, bool)
        return [] if same else [f"{path or 'whole'} is {ascii(got)}, wanted {ascii(wanted)}"]
    problems = []
    for key, value in wanted.items():
        here = f"{path}.{key}" if path else str(key)
        problems += subset_problems(value, got[key], here) if key in got else [f"{here} is missing, wanted {ascii(value)}"]
    return problems


def judge_tls(probe: Probe, measure: Measure) -> list[str]:
    wanted = probe.get("min_days")
    wanted = 0 if wanted is None else wanted
    if measure["days_left"] >= wanted:
        return []
    return [f"certificate ends in {measure['days_left']:.1f} days ({measure['not_after']}), wanted {wanted} or more"]


def judge_systemd(probe: Probe, measure: Measure) -> list[str]:
    if measure["load_state"] != "loaded":
        return [f"unit is {measure['load_state']}, wanted active"]
    if measure["active_state"] == "active":
        return []
    return [f"unit is {measure['active_state']} ({measure['sub_state']}, result {measure['result']}), wanted active"]


def judge_failed_units(probe: Probe, measure: Measure) -> list[str]:
    return [f"{', '.join(measure['units'])} failed"] if measure["units"] else []


def judge_metrics(probe: Probe, measure: Measure) -> list[str]:
    """Timers say C(<thing>_success) and C(<thing>_last_success_timestamp_seconds)."""
    problems, oldest = [], probe.get("max_age_hours")
    for name, value in measure["values"].items():
        thing, _separator, what = name.partition("_last_success_")
        if name.endswith("_success") and value != 1:
            problems.append(f"{name} is {value:g}, wanted 1")
        elif what == "timestamp_seconds" and oldest is not None:
            hours = (measure["now"] - value) / 3600
            if hours > oldest:
                when = f"was {hours:.1f} hours ago" if value else "never was"
                problems.append(f"the last success of {thing} {when}, wanted at most {oldest:g} hours")
    if not measure["values"]:
        problems.append(f"nothing is recorded in {probe['path']}")
    return problems


def judge_disk(probe: Probe, measure: Measure) -> list[str]:
    problems = []
    percent, megabytes = probe.get("min_free_percent"), probe.get("min_free_mb")
    if percent is not None and measure["free_percent"] < percent:
        problems.append(f"{measure['free_percent']:.1f} % free, wanted {percent:g} %")
    if megabytes is not None and measure["free_mb"] < megabytes:
        problems.append(f"{measure['free_mb']} MB free, wanted {megabytes} MB")
    return problems


def judge_postgresql(probe: Probe, measure: Measure) -> list[str]:
    problems = []
    role, lag, replicas = probe.get("role") or "any", probe.get("max_lag_bytes"), probe.get("min_replicas")
    if role not in ("any", measure["role"]):
        problems.append(f"role is {measure['role']}, wanted {role}")
    if lag is not None:
        if measure["role"] == "replica" and not measure["streaming"]:
            problems.append(f"no WAL stream from the primary, wanted a lag of at most {lag} bytes")
        elif measure["lag_bytes"] is not None and measure["lag_bytes"] > lag:
            problems.append(f"lag is {measure['lag_bytes']} bytes, wanted at most {lag}")
    if replicas is not None:
        if measure["role"] == "replica":
            if role == "any":
                problems.append(f"role is replica, wanted a primary with {replicas} or more replicas")
        elif measure["replicas"] < replicas:
            problems.append(f"{measure['replicas']} streaming replicas, wanted {replicas} or more")
    return problems


def judge_redis(probe: Probe, measure: Measure) -> list[str]:
    problems = []
    slots, nodes = probe.get("slots"), probe.get("nodes")
    if slots is not None:
        if measure["cluster_state"] != "ok":
            problems.append(f"cluster state is {measure['cluster_state']}, wanted ok")
        if measure["cluster_slots_ok"] != slots:
            problems.append(f"{measure['cluster_slots_ok']} slots are served, wanted {slots}")
    if nodes is not None and measure["cluster_known_nodes"] != nodes:
        problems.append(f"{measure['cluster_known_nodes']} nodes are known, wanted {nodes}")
    return problems


_JUDGES: dict[str, Callable[[Probe, Measure], list[str]]] = {
    "http": judge_http,
    "tcp": lambda probe, measure: [],
    "tls": judge_tls,
    "systemd": judge_systemd,
    "failed_units": judge_failed_units,
    "metrics": judge_metrics,
    "disk": judge_disk,
    "postgresql": judge_postgresql,
    "redis": judge_redis,
}


def summary(results: list[Result], waited: float) -> str:
    """The failure message: a line a problem."""
    bad = [result for result in results if not result.healthy]
    lines = [f"{len(bad)} of {len(results)} probes are not healthy after {waited:.1f} s:"]
    return "\n".join(lines + [f"- {result.name} ({result.type}): {'; '.join(result.problems)}" for result in bad])
