# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One screen for an operator: what is fine is short, what is not is said, and a host that is down takes nothing else with it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.filter.status import FilterModule
from ansible_collections.arxos.platform.plugins.module_utils import _status as subject

NOW = 1_000_000.0
CLUSTER = {
    "members": [
        {"name": "database2", "role": "sync_standby", "state": "streaming", "lag": 0},
        {"name": "database1", "role": "leader", "state": "running", "timeline": 3},
        {"name": "database3", "role": "replica", "state": "stopped", "lag": "unknown"},
    ]
}


def probe(kind: str, name: str, measured: dict[str, Any], *problems: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "healthy": not problems, "measured": measured, "problems": list(problems), "seconds": 0.1}


def look(host: str, tier: str, *health: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {"host": host, "tiers": [tier], "health": list(health), "release": {}, "why": "", **given}


def database(host: str, leader: int, **values: float) -> dict[str, Any]:
    figures = {
        "arxos_partitions_leader": leader,
        'arxos_partitions_ahead{table="s.t"}': 3,
        'arxos_partitions_wanted{table="s.t"}': 4,
        "arxos_partitions_last_success_timestamp_seconds": NOW - 7200,
        **values,
    }
    return look(
        host,
        "database",
        probe("http", "cluster", {"status": 200, "json": CLUSTER}),
        probe("http", "etcd", {"status": 200, "json": {}}),
        probe("tls", "certificate", {"days_left": 100.4}),
        probe("metrics", "timers", {"values": figures, "now": NOW}),
    )


def test_a_platform_that_is_well() -> None:
    screen = subject.screen(
        [
            look("edge1", "edge", probe("systemd", "nginx", {})),
            look("app1", "app", probe("tls", "certificate", {"days_left": 30.0}), release={"running": "1.1.0", "leaving": ""}),
            look("app2", "app", probe("tls", "certificate", {"days_left": 20.6}), release={"running": "1.0.0", "leaving": "1.0.0"}),
            database("database1", 1),
            database("database2", 0),
            look("cache1", "cache", probe("redis", "r", {"cluster_state": "ok", "cluster_slots_ok": 16384, "cluster_known_nodes": 6})),
        ],
        NOW,
    )
    assert screen == {
        "lines": [
            "edge      edge1 ok",
            "app       app1 ok 1.1.0, app2 ok 1.0.0 (switching from 1.0.0)",
            "database  database1 ok, database2 ok",
            "          PostgreSQL: database1 leader, database2 synchronous lag 0 B, database3 replica (stopped) lag unknown",
            "          etcd: 2 of 2 healthy",
            "          restore point: none",
            "          partitions ahead: s.t 3 of 4",
            "cache     cache1 ok",
            "          Redis: state ok, 16384 of 16384 slots, 6 nodes",
            "timers    partitions 2 h ago",
            "certs     app 21 d, database 100 d",
        ],
        "red": [],
    }


def test_hosts_that_are_down_and_what_is_unhealthy_are_red() -> None:
    screen = subject.screen(
        [
            look("app1", "app"),
            look("app2", "app", why="no python3 there"),
            look("database1", "database", probe("systemd", "patroni", {}, "unit is failed", "wanted active")),
            look("cache1", "cache", probe("redis", "r", {}, "no answer")),
        ],
        NOW,
    )
    assert screen["red"] == [
        "app1: it cannot be reached",
        "app2: no python3 there",
        "database1: patroni: unit is failed; wanted active",
        "cache1: r: no answer",
    ]
    assert "app       app1 DOWN, app2 DOWN" in screen["lines"]
    assert "database  database1 RED" in screen["lines"]
    for line in ("PostgreSQL: no member answers", "etcd: 0 of 1 healthy", "partitions ahead: not known", "Redis: no instance answers"):
        assert f"          {line}" in screen["lines"]


def test_rows_outside_partitions_a_pause_and_what_never_succeeded_are_said() -> None:
    host = database("database1", 1, **{'arxos_partitions_default_rows{table="s.t"}': 7, "arxos_backup_last_success_timestamp_seconds": 0})
    host["health"][0]["measured"]["json"] = {**CLUSTER, "pause": True}
    lines = subject.screen([host], NOW)["lines"]
    assert "          partitions ahead: s.t 3 of 4, 7 rows outside" in lines
    assert "          Patroni is PAUSED: no failover" in lines
    assert "timers    backup never, partitions 2 h ago" in lines


def test_the_last_restore_point_what_is_held_there_and_a_rollback_that_is_not_finished() -> None:
    points = [{"name": "1.1.0", "created_at": "1970-01-12T13:29:40Z"}, {"name": "1.0.0", "created_at": "1970-01-11T00:00:00.5Z"}]
    leader, replica = database("database1", 1), database("database2", 0)
    leader["member"] = {"points": points, "guard": {}, "journal": {}}
    replica["member"] = {"points": points[1:], "guard": {"label": "1.1.0@x"}, "journal": {"plan": {}}}
    screen = subject.screen([leader, replica], NOW)
    assert "          restore point: 1.1.0 17 min ago, database2 is held at 1.1.0@x" in screen["lines"]
    assert screen["red"] == [
        "database2: a rollback of the database was begun and is not finished: run playbooks/rollback_database.yml again"
    ]
    full = {"plan": {"to": "1.1.0"}, "began": "1970-01-12T13:29:40Z", "done": {}}
    red = subject.screen([leader, {**replica, "unfinished": {"full": full}}], NOW)["red"]
    assert red[0] == "database2: a rollback of the database was begun and is not finished: run playbooks/rollback.yml again"
    assert subject._since("some day", NOW) == "some day"


def journal(name: str, **plan: Any) -> dict[str, Any]:
    return {name: {"began": "2026-11-26T03:15:00Z", "plan": {"from": "1.1.0", "to": "1.0.0", **plan}, "done": {}}}


@pytest.mark.parametrize(
    ("live", "red"),
    [
        (["1.0.0", "1.1.0"], True),
        (["1.0.0", "1.0.0"], True),
        (["1.1.0", "1.1.0"], False),  # every host was put back, or that release was deployed again
        (["1.2.0", "1.2.0"], False),
    ],
)
def test_an_application_rollback_that_was_begun_is_red_while_the_hosts_show_it(live: list[str], red: bool) -> None:
    hosts = [
        look(f"app{number}", "app", probe("systemd", "api", {}), release={"current": version}, unfinished=journal("application"))
        for number, version in enumerate(live, 1)
    ]
    assert (
        subject.screen(hosts, NOW)["red"]
        == [
            "a rollback of the application to 1.0.0 was begun at 2026-11-26T03:15:00Z and is not finished: run playbooks/rollback_application.yml again"
        ]
        * red
    )


def test_other_rollbacks_that_were_begun_are_red_once() -> None:
    both = {**journal("configuration", to="run-7", keepers=["database1", "database2", "database3"]), **journal("full")}
    hosts = [{**database(f"database{number}", number == 1), "unfinished": both if number < 3 else {}} for number in (1, 2, 3)]
    assert [line.partition(" was begun")[0] for line in subject.screen(hosts, NOW)["red"]] == [
        "a rollback of the configuration to run-7",
        "a full rollback to 1.0.0",
    ]
    hosts[1]["unfinished"] = {}
    assert [line.partition(" was begun")[0] for line in subject.screen(hosts, NOW)["red"]] == ["a full rollback to 1.0.0"]
    # Of which that of the application is a part.
    hosts.append(look("app1", "app", probe("systemd", "api", {}), release={"current": "1.0.0"}, unfinished=journal("application")))
    assert [line.partition(" was begun")[0] for line in subject.screen(hosts, NOW)["red"]] == ["a full rollback to 1.0.0"]


def test_a_journal_that_cannot_be_read_is_red() -> None:
    host = look("app1", "app", probe("systemd", "api", {}), faults=["full_rollback.json is damaged: move it away"])
    assert subject.screen([host], NOW)["red"] == ["app1: full_rollback.json is damaged: move it away"]
    # One that was not reached is told once.
    assert subject.screen([{**host, "health": [], "why": "it is down"}], NOW)["red"] == ["app1: it is down"]


def test_times_and_sizes_are_for_people() -> None:
    assert [subject._ago(seconds) for seconds in (-3, 59, 150, 7200, 3 * 86400)] == [
        "0 s ago",
        "59 s ago",
        "2 min ago",
        "2 h ago",
        "3 d ago",
    ]
    assert [subject._size(count) for count in (5, 2048, 3 << 20, "unknown", None)] == ["5 B", "2 KiB", "3.0 MiB", "unknown", "unknown"]


def test_the_filter_takes_the_clock() -> None:
    assert FilterModule().filters()["status_screen"]([look("edge1", "edge")])["red"] == ["edge1: it cannot be reached"]


def test_certificates_in_files_and_the_age_of_keys_are_told_by_tier_and_the_ca_once() -> None:
    def files(days: float, age: float) -> dict[str, Any]:
        values = {
            'arxos_certificate_not_after_seconds{name="host",path="/h.crt"}': NOW + days * 86400,
            'arxos_certificate_not_after_seconds{name="ca",path="/ca.crt"}': NOW + 3600 * 86400,
            'arxos_certificate_key_age_seconds{name="host",path="/h.crt"}': age * 86400,
        }
        return probe("metrics", "certificates", {"values": values, "now": NOW})

    served = probe("tls", "certificate", {"days_left": 40.0})
    screen = subject.screen(
        [look("app1", "app", served, files(90, 12)), look("app2", "app", files(35, 7)), look("c", "cache", files(5, 1))], NOW
    )
    assert screen["lines"][-1] == "certs     app 35 d (key 12 d old), cache 5 d (key 1 d old), CA 3600 d"


def test_the_host_that_collects_logs_is_shown_with_its_archive() -> None:
    figures = {"arxos_audit_archive_last_success_timestamp_seconds": NOW - 600, "arxos_audit_verify_last_success_timestamp_seconds": 0}
    screen = subject.screen([look("m1", "monitoring", probe("metrics", "archive", {"values": figures, "now": NOW}))], NOW)
    assert screen["lines"] == ["logs      m1 ok", "timers    audit_archive 10 min ago, audit_verify never"]


def test_who_runs_and_what_ran_last() -> None:
    record = {
        "id": "20261126T031500Z-3f9a",
        "who": "jane",
        "playbook": "deploy.yml",
        "began": "1970-01-12T13:46:40Z",
        "stages": [{"stage": "2/3 Switch", "offset": 1.0}],
    }
    lock = {"id": "20261126T041500Z-0001", "who": "joe", "playbook": "go_live.yml", "since": NOW - 180, "renewed_at": NOW - 60}
    free = [{**look("database1", "database"), "runs": {"lock": {}, "runs": [record]}}, look("app1", "app", release={})]
    assert subject.screen(free, NOW)["lines"][-2:] == [
        "run       none is under way",
        "last run  deploy.yml by jane: INCOMPLETE in 2/3 Switch, 0 s ago, 20261126T031500Z-3f9a",
    ]
    held = [{**look("database1", "database"), "runs": {"lock": lock, "runs": [{**record, "id": lock["id"]}, {**record, "verdict": "ok"}]}}]
    assert subject.screen(held, NOW)["lines"][-2:] == [
        "run       go_live.yml by joe on another controller (20261126T041500Z-0001), since 1970-01-12T13:43:40Z (3 min ago), last sign 60 s ago",
        "last run  deploy.yml by jane: ok, 0 s ago, 20261126T031500Z-3f9a",
    ]
    dead = subject.screen(held, NOW, lambda _holder: True)["lines"][-2:]
    assert dead[0].endswith("last sign 60 s ago: it is dead, and the next run takes over")
    assert dead[1] == "last run  deploy.yml by jane: INCOMPLETE in 2/3 Switch, 0 s ago, 20261126T041500Z-0001"
    assert subject.screen([], NOW)["lines"] == []


def door(host: str, state: str) -> dict[str, Any]:
    values = {f'arxos_traffic_state{{state="{each}"}}': float(each == state) for each in ("closed", "preview", "open")}
    return look(host, "edge", probe("metrics", "traffic", {"values": values, "now": NOW}))


def test_how_the_front_door_is() -> None:
    assert "          traffic: closed" in subject.screen([door("edge1", "closed"), door("edge2", "closed")], NOW)["lines"]
    screen = subject.screen([door("edge1", "open"), door("edge2", "closed")], NOW)
    assert "          traffic: edge1 open, edge2 closed" in screen["lines"]
    assert screen["red"] == ["the front door is closed here and open there: run playbooks/traffic.yml with what it shall be"]
    assert not [line for line in subject.screen([look("edge1", "edge", probe("systemd", "nginx", {}))], NOW)["lines"] if "traffic" in line]
