"""What one host lets in and out, from flows said once for the platform."""

from __future__ import annotations

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._flows import flow_clients, host_flows

TIERS = {"app": ["app1", "app2"], "database": ["db1", "db2"], "all": ["app1", "app2", "db1", "db2"]}
ADDRESSES = {"app1": "192.0.2.1", "app2": "192.0.2.2", "db1": "192.0.2.11", "db2": "192.0.2.12"}
NETWORKS = {"admin": ["198.51.100.0/24"]}
FLOWS = [
    {"name": "sql", "from": "app", "to": "database", "protocol": "tcp", "ports": [5432]},
    {"name": "replication", "from": "database", "to": "database", "protocol": "tcp", "ports": [5432]},
    {"name": "ssh", "from": "admin", "to": "all", "protocol": "tcp", "ports": [22]},
    {"name": "web", "from": "any", "to": "app", "protocol": "tcp", "ports": [443]},
]


def rules(host: str) -> list[tuple[str, str, list[str]]]:
    return [(rule["name"], rule["direction"], rule["peers"]) for rule in host_flows(FLOWS, host, TIERS, ADDRESSES, NETWORKS)]


def test_a_host_sees_its_side_of_each_flow() -> None:
    assert rules("app1") == [("sql", "out", ["192.0.2.11", "192.0.2.12"]), ("ssh", "in", ["198.51.100.0/24"]), ("web", "in", ["0.0.0.0/0"])]


def test_within_a_tier_a_host_is_never_its_own_peer() -> None:
    assert [rule for rule in rules("db1") if rule[0] == "replication"] == [
        ("replication", "in", ["192.0.2.12"]),
        ("replication", "out", ["192.0.2.12"]),
    ]


def test_a_tier_of_one_host_has_no_flow_with_itself() -> None:
    assert host_flows(FLOWS[1:2], "db1", {"database": ["db1"]}, ADDRESSES, NETWORKS) == []


def test_a_flow_that_names_nobody_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'databse'.*database"):
        host_flows([{**FLOWS[0], "to": "databse"}], "app1", TIERS, ADDRESSES, NETWORKS)


def clients(*access: dict[str, object]) -> list[dict[str, object]]:
    flows = [*FLOWS, {"name": "look", "from": "admin", "to": "database", "protocol": "tcp", "ports": [5432]}]
    return flow_clients(list(access), flows, "database", 5432, TIERS, ADDRESSES, NETWORKS)


def test_clients_get_the_addresses_of_their_flow() -> None:
    assert clients({"from": "app", "users": ["a"]}, {"from": "admin", "users": ["b"]}, {"from": "database", "users": ["c"]}) == [
        {"users": ["a"], "addresses": ["192.0.2.1/32", "192.0.2.2/32"]},
        {"users": ["b"], "addresses": ["198.51.100.0/24"]},
        {"users": ["c"], "addresses": ["192.0.2.11/32", "192.0.2.12/32"]},
    ]


def test_a_client_that_no_flow_leads_from_is_refused() -> None:
    with pytest.raises(ValueError, match="'all' may log in.*flows lead there from admin, app, database"):
        clients({"from": "all"})
    with pytest.raises(ValueError, match="port 5433"):
        flow_clients([{"from": "app"}], FLOWS, "database", 5433, TIERS, ADDRESSES, NETWORKS)
    with pytest.raises(ValueError, match="no flow"):
        flow_clients([{"from": "app"}], [{**FLOWS[0], "protocol": "udp"}], "database", 5432, TIERS, ADDRESSES, NETWORKS)


def test_anybody_is_nobody_to_log_in() -> None:
    with pytest.raises(ValueError, match="'any', which is neither"):
        flow_clients([{"from": "any"}], [{**FLOWS[0], "from": "any"}], "database", 5432, TIERS, ADDRESSES, NETWORKS)
