# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Predicates of health, parameters of probes, and the waiter, without a host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _health


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_waiter_looks_once_without_a_timeout() -> None:
    clock = FakeClock()
    assert _health.wait_until(lambda: "bad", lambda seen: False, 0, 1, clock) == ("bad", 0.0, 1)
    assert clock.slept == []


def test_waiter_ends_at_the_first_good_look() -> None:
    clock, seen = FakeClock(), iter(["bad", "bad", "good", "never"])
    assert _health.wait_until(lambda: next(seen), lambda got: got == "good", 60, 2, clock) == ("good", 4.0, 3)


def test_waiter_looks_a_last_time_when_the_time_is_over() -> None:
    clock = FakeClock()
    got, waited, looks = _health.wait_until(clock.monotonic, lambda now: False, 2.5, 1, clock)
    assert (got, waited, looks) == (102.5, 2.5, 4)
    assert clock.slept == [1, 1, 0.5]


def test_waiter_counts_the_time_that_looking_takes() -> None:
    clock = FakeClock()

    def slow() -> str:
        clock.now += 7
        return "bad"

    assert _health.wait_until(slow, lambda seen: False, 10, 1, clock) == ("bad", 15.0, 2)


def probe(kind: str, **given: Any) -> dict[str, Any]:
    return {"name": "it", "type": kind, **given}


GOOD = [
    probe(
        "http", url="https://172.30.20.21:8443/health/", status=[200, 204], server_name="a", json={"a": 1}, ca_cert="/c", headers={"A": 1}
    ),
    probe("http", url="http://[::1]:80/?q=1", user="u", password="p"),
    probe("tcp", host="h", port=22),
    probe("tls", host="h", port=443, min_days=14, validate_certs=False),
    probe("systemd", unit="postgresql@15-main.service"),
    probe("systemd", unit="dev-disk-by\\x2duuid.device"),
    probe("disk", path="/", min_free_percent=10.0),
    probe("postgresql", role="primary", min_replicas=2, max_lag_bytes=0),
    probe("postgresql", host="h", port=5000, password="p", ca_cert="/c", server_name="n"),
    probe("redis", host="h", port=6379, password="p", slots=16384, nodes=6),
]


@pytest.mark.parametrize("given", GOOD, ids=lambda given: given["type"])
def test_good_parameters(given: dict[str, Any]) -> None:
    everything = dict.fromkeys({key for kind in _health.REQUIRED for key in _health.REQUIRED[kind] + _health.OPTIONAL[kind]})
    assert _health.faults([{**everything, **given}]) == []


BAD = [
    (probe("http"), "url is required"),
    (probe("http", url="ftp://x/"), "url is not http(s)://host[:port]/path"),
    (probe("http", url="https://x:99999/"), "url is not http(s)://host[:port]/path"),
    (probe("http", url="https:///x"), "url is not http(s)://host[:port]/path"),
    (probe("http", url="https://[::1/"), "url is not http(s)://host[:port]/path"),
    (probe("http", url="https://u:p@x/"), "url holds a user; say user and password apart"),
    (probe("http", url="https://x/a b"), "url holds a space or control character"),
    (probe("http", url="http://x", method="get"), "method 'get' is not capital letters"),
    (probe("http", url="http://x", status=[]), "status wants codes of 100 to 599"),
    (probe("http", url="http://x", status=[99]), "status wants codes of 100 to 599"),
    (probe("http", url="http://x", headers={"authorization": "x"}), "header authorization would be shown; use user and password, or token"),
    (probe("http", url="http://x", headers={"A": "x\r\nB: y"}), "header 'A' is not one line of text"),
    (probe("http", url="http://x", user="u"), "user and password belong together"),
    (probe("http", url="http://x", user="u", password="p", token="t"), "token and user exclude each other"),
    (probe("http", url="http://x", client_key="/k"), "client_key needs client_cert"),
    (probe("http", url="http://x", unit="x"), "does not take unit"),
    (probe("tcp", host="h", port=0), "port is 0, which is not 1 to 65535"),
    (probe("tcp", host=""), "host is required"),
    (probe("tcp", host=""), "port is required"),
    (probe("tls", host="h", port=1, min_days=-36501), "min_days is -36501, which is not -36500 to 36500"),
    (probe("systemd", unit="a b"), "unit 'a b' is no unit's name"),
    (probe("systemd", unit="nginx*"), "unit 'nginx*' is no unit's name"),
    (probe("disk", path="/"), "give min_free_percent or min_free_mb"),
    (probe("disk", path="/", min_free_percent=101.0), "min_free_percent is 101.0, which is not 0 to 100"),
    (probe("disk", path="/", min_free_percent=float("nan")), "min_free_percent is nan, which is not 0 to 100"),
    (probe("disk", path="/", min_free_mb=-1), "min_free_mb is -1, which is not 0 or more"),
    (probe("postgresql", password="p"), "password needs host"),
    (probe("postgresql", role="replica", min_replicas=1), "min_replicas asks a primary, and role is replica"),
    (probe("redis", host="h", port=1, slots=20000), "slots is 20000, which is not 0 to 16384"),
]


@pytest.mark.parametrize(("given", "fault"), BAD, ids=[fault for _given, fault in BAD])
def test_bad_parameters(given: dict[str, Any], fault: str) -> None:
    assert f"probe 1 'it' ({given['type']}): {fault}" in _health.faults([given])


def test_all_faults_of_all_probes_are_told() -> None:
    assert len(_health.faults([probe("http"), probe("tcp"), probe("disk", path="/", unit="x")])) == 5
    assert _health.faults([]) == ["probes: give at least one"]


PRIMARY = {"role": "primary", "lag_bytes": 10, "streaming": False, "replicas": 2}
REPLICA = {"role": "replica", "lag_bytes": 10, "streaming": True, "replicas": 0}
REDIS = {"cluster_state": "ok", "cluster_slots_ok": 16384, "cluster_known_nodes": 6}
UNIT = {"load_state": "loaded", "active_state": "active", "sub_state": "running", "result": "success"}
JUDGED: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (probe("http"), {"status": 200}, []),
    (probe("http"), {"status": 503, "body": "no\n"}, ["status 503, wanted 200, body starts 'no\\n'"]),
    (probe("http", status=[301, 302]), {"status": 200}, ["status 200, wanted 301 or 302"]),
    (probe("http", json={"status": "healthy"}), {"status": 200, "json": {"status": "healthy", "more": 1}}, []),
    (probe("http", json={"status": "healthy"}), {"status": 200, "json": {"status": "ill"}}, ["body status is 'ill', wanted 'healthy'"]),
    (probe("http", json={"a": {"b": 1}}), {"status": 200, "json": {"a": {}}}, ["body a.b is missing, wanted 1"]),
    (probe("http", json={"a": 1}), {"status": 200, "json": [1]}, ["body whole is [1], wanted {'a': 1}"]),
    (probe("http", json={"a": 1}), {"status": 200, "json": {"a": True}}, ["body a is True, wanted 1"]),
    (probe("http", json={"a": 1}), {"status": 200, "json": None, "body": "<html>"}, ["body is no JSON (starts '<html>'), wanted {'a': 1}"]),
    (probe("tcp"), {}, []),
    (probe("tls", min_days=14), {"days_left": 14.0, "not_after": "x"}, []),
    (probe("tls", min_days=14), {"days_left": 13.96, "not_after": "x"}, ["certificate ends in 14.0 days (x), wanted 14 or more"]),
    (probe("tls"), {"days_left": -1.0, "not_after": "x"}, ["certificate ends in -1.0 days (x), wanted 0 or more"]),
    (probe("systemd"), UNIT, []),
    (probe("systemd"), {**UNIT, "load_state": "not-found"}, ["unit is not-found, wanted active"]),
    (
        probe("systemd"),
        {**UNIT, "active_state": "failed", "sub_state": "failed", "result": "exit-code"},
        ["unit is failed (failed, result exit-code), wanted active"],
    ),
    (probe("disk", min_free_percent=10.0, min_free_mb=100), {"free_percent": 10.0, "free_mb": 100}, []),
    (
        probe("disk", min_free_percent=10.0, min_free_mb=100),
        {"free_percent": 9.9, "free_mb": 99},
        ["9.9 % free, wanted 10 %", "99 MB free, wanted 100 MB"],
    ),
    (probe("postgresql"), PRIMARY, []),
    (probe("postgresql", role="replica"), PRIMARY, ["role is primary, wanted replica"]),
    (probe("postgresql", role="primary", min_replicas=2, max_lag_bytes=10), PRIMARY, []),
    (probe("postgresql", min_replicas=3), PRIMARY, ["2 streaming replicas, wanted 3 or more"]),
    (probe("postgresql", max_lag_bytes=9), PRIMARY, ["lag is 10 bytes, wanted at most 9"]),
    (probe("postgresql", max_lag_bytes=9), {**PRIMARY, "lag_bytes": None}, []),
    (probe("postgresql", role="replica", max_lag_bytes=10), REPLICA, []),
    (probe("postgresql", max_lag_bytes=9), REPLICA, ["lag is 10 bytes, wanted at most 9"]),
    (
        probe("postgresql", max_lag_bytes=9),
        {**REPLICA, "streaming": False, "lag_bytes": 0},
        ["no WAL stream from the primary, wanted a lag of at most 9 bytes"],
    ),
    (probe("postgresql", role="primary", min_replicas=1), REPLICA, ["role is replica, wanted primary"]),
    (probe("postgresql", min_replicas=1), REPLICA, ["role is replica, wanted a primary with 1 or more replicas"]),
    (probe("redis"), {"ping": "PONG"}, []),
    (probe("redis", slots=16384, nodes=6), REDIS, []),
    (
        probe("redis", slots=16384, nodes=6),
        {"cluster_state": "fail", "cluster_slots_ok": 10923, "cluster_known_nodes": 5},
        ["cluster state is fail, wanted ok", "10923 slots are served, wanted 16384", "5 nodes are known, wanted 6"],
    ),
]


@pytest.mark.parametrize(("given", "measure", "problems"), JUDGED)
def test_judge(given: dict[str, Any], measure: dict[str, Any], problems: list[str]) -> None:
    assert _health.judge(given, measure) == problems


def test_summary_has_a_line_for_each_unhealthy_probe() -> None:
    results = [
        _health.Result("api", "http", 0.1, {"status": 503}, ["status 503, wanted 200"]),
        _health.Result("unit", "systemd", 0.1),
        _health.Result("disk", "disk", 0.1, {}, ["a", "b"]),
    ]
    assert _health.summary(results, 60.04).splitlines() == [
        "2 of 3 probes are not healthy after 60.0 s:",
        "- api (http): status 503, wanted 200",
        "- disk (disk): a; b",
    ]
    assert results[1].as_dict() == {"name": "unit", "type": "systemd", "healthy": True, "measured": {}, "problems": [], "seconds": 0.1}
