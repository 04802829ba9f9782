"""What one host lets in and out, from flows said once for the platform."""

from __future__ import annotations

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._flows import (
    flow_clients,
    host_flows,
    passes,
    vpn_administrators,
    vpn_forwards,
)

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


def between(source: str, target: str, port: int, protocol: str = "tcp", outbound_any: list[dict[str, object]] | None = None) -> bool:
    both = [host_flows(FLOWS, name, TIERS, ADDRESSES, NETWORKS) for name in (source, target)]
    return passes(both[0], outbound_any or [], both[1], ADDRESSES[source], ADDRESSES[target], protocol, port)


def test_a_connection_passes_when_both_hosts_let_it() -> None:
    assert between("app1", "db2", 5432)
    assert between("db1", "db2", 5432)
    assert not between("db1", "app1", 5432), "the way back is no flow"
    assert not between("app1", "db2", 5433)
    assert not between("app1", "db2", 5432, "udp")
    assert not between("app1", "db1", 22), "administration comes from outside"


def test_what_anybody_may_reach_a_host_reaches_only_where_it_may_go_out() -> None:
    web = {"protocol": "tcp", "ports": [443]}
    assert not between("db1", "app1", 443)
    assert between("db1", "app1", 443, outbound_any=[web])
    assert between("db1", "app1", 443, outbound_any=[{**web, "networks": ["192.0.2.0/24"]}])
    assert not between("db1", "app1", 443, outbound_any=[{**web, "networks": ["198.51.100.0/24"]}])


PEERS = [
    {"name": "jane", "address": "10.99.0.11", "role": "admin"},
    {"name": "john", "address": "10.99.0.12", "role": "analyst"},
    {"name": "joan", "address": "10.99.0.13", "role": "operator"},
]
ROLES = {"admin": "all", "analyst": ["look"], "operator": ["ssh"]}
VPN_TIERS = {**TIERS, "vpn": ["vpn1"], "all": [*TIERS["all"], "vpn1"]}
VPN_FLOWS = [*FLOWS, {"name": "look", "from": "admin", "to": "database", "protocol": "tcp", "ports": [5432]}]


def test_a_gateway_forwards_for_each_role_what_it_names() -> None:
    found = vpn_forwards(VPN_FLOWS, PEERS, ROLES, VPN_TIERS, {**ADDRESSES, "vpn1": "192.0.2.71"}, ["vpn1"])
    assert [(rule["name"], rule["ports"], rule["sources"], rule["targets"]) for rule in found] == [
        ("ssh", [22], ["10.99.0.11", "10.99.0.13"], ["192.0.2.1", "192.0.2.2", "192.0.2.11", "192.0.2.12"]),
        ("look", [5432], ["10.99.0.11", "10.99.0.12"], ["192.0.2.11", "192.0.2.12"]),
    ]
    assert vpn_administrators(VPN_FLOWS, PEERS, ROLES) == ["10.99.0.11", "10.99.0.13"]


def test_a_peer_that_is_gone_is_in_no_rule() -> None:
    found = vpn_forwards(VPN_FLOWS, PEERS[1:2], ROLES, VPN_TIERS, {**ADDRESSES, "vpn1": "192.0.2.71"}, ["vpn1"])
    assert [(rule["name"], rule["sources"]) for rule in found] == [("look", ["10.99.0.12"])]


def test_roles_that_nobody_knows_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="john has the role 'analist': use one of admin, analyst, operator"):
        vpn_administrators(VPN_FLOWS, [{**PEERS[1], "role": "analist"}], ROLES)
    with pytest.raises(ValueError, match="role analyst names sql, which is no flow from admin: use some of look, ssh"):
        vpn_administrators(VPN_FLOWS, PEERS, {**ROLES, "analyst": ["sql"]})
