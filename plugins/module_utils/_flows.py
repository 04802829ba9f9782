# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the flows between tiers to the rules of one host. Pure."""

from __future__ import annotations

import ipaddress
from typing import Any

ANY = ["0.0.0.0/0"]


def host_flows(
    flows: list[dict[str, Any]],
    host: str,
    tiers: dict[str, list[str]],
    addresses: dict[str, str],
    networks: dict[str, list[str]],
) -> list[dict[str, Any]]:
    """The flows that concern one host, seen from it.

    flows: C({name, from, to, protocol, ports}); C(from) and C(to) name a tier or a network, or C(any).
    tiers: tier -> host names. addresses: host name -> address. networks: name -> CIDR list, for parties that are no tier.
    Returns C({name, direction: in|out, protocol, ports, peers}), in the order of flows; a host is never its own peer.
    Raises ValueError for a flow that names neither tier nor network.
    """

    def peers(party: str) -> list[str]:
        if party == "any":
            return ANY
        if party in networks:
            return list(networks[party])
        if party in tiers:
            return [addresses[name] for name in tiers[party] if name != host]
        raise ValueError(
            f"flow names {party!r}, which is neither a tier nor a network: use one of {', '.join(sorted([*tiers, *networks, 'any']))}"
        )

    rules = []
    for flow in flows:
        for direction, here, there in (("in", "to", "from"), ("out", "from", "to")):
            others = peers(flow[there])
            if host in tiers.get(flow[here], []) and others:
                rule = {"name": flow["name"], "direction": direction, "protocol": flow["protocol"], "peers": others}
                rules.append({**rule, "ports": list(flow.get("ports", []))})
    return rules


def passes(
    source: list[dict[str, Any]],
    outbound_any: list[dict[str, Any]],
    target: list[dict[str, Any]],
    here: str,
    there: str,
    protocol: str,
    port: int,
) -> bool:
    """Whether a new connection from address C(here) to address C(there) passes the rules of both.

    source, target: what C(host_flows) returns for the two hosts. outbound_any: C({protocol, ports, networks}), no networks meaning anywhere.
    """

    def lets(rules: list[dict[str, Any]], direction: str, other: str) -> bool:
        return any(
            rule["direction"] == direction
            and rule["protocol"] == protocol
            and port in rule["ports"]
            and any(_holds(peer, other) for peer in rule["peers"])
            for rule in rules
        )

    besides = [{**rule, "direction": "out", "peers": rule.get("networks") or ANY} for rule in outbound_any]
    return lets([*source, *besides], "out", there) and lets(target, "in", here)


def _holds(network: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)


def vpn_forwards(
    flows: list[dict[str, Any]],
    peers: list[dict[str, Any]],
    roles: dict[str, Any],
    tiers: dict[str, list[str]],
    addresses: dict[str, str],
    gateways: list[str],
) -> list[dict[str, Any]]:
    """What goes through a VPN gateway: flows from C(admin), for the peers whose role names them, to hosts that are no gateway.

    peers: C({name, address, role}). roles: role -> names of flows, or C("all"). gateways: names of the hosts that peers come in at.
    Returns C({name, protocol, ports, sources, targets}) in the order of flows; one without sources or targets is left out.
    Raises ValueError for a peer with an unknown role, and for a role that names what is no flow from C(admin).
    """
    flows = [flow for flow in flows if flow["from"] == "admin"]
    forwards = []
    allowed = _allowed(flows, peers, roles)
    for flow in flows:
        sources = [peer["address"] for peer in peers if flow["name"] in allowed[peer["role"]]]
        targets = [addresses[name] for name in tiers.get(flow["to"], []) if name not in gateways]
        if sources and targets:
            forward = {"name": flow["name"], "protocol": flow["protocol"], "ports": list(flow["ports"])}
            forwards.append({**forward, "sources": sources, "targets": targets})
    return forwards


def vpn_administrators(flows: list[dict[str, Any]], peers: list[dict[str, Any]], roles: dict[str, Any]) -> list[str]:
    """Addresses of the peers who may log in to a gateway itself: those whose role has a flow from C(admin) to all hosts. Raises as C(vpn_forwards)."""
    flows = [flow for flow in flows if flow["from"] == "admin"]
    everywhere = {flow["name"] for flow in flows if flow["to"] == "all"}
    allowed = _allowed(flows, peers, roles)
    return [peer["address"] for peer in peers if everywhere & allowed[peer["role"]]]


def _allowed(flows: list[dict[str, Any]], peers: list[dict[str, Any]], roles: dict[str, Any]) -> dict[str, set[str]]:
    names = {flow["name"] for flow in flows}
    allowed = {role: names if what == "all" else set(what) for role, what in roles.items()}
    for role, what in allowed.items():
        if what - names:
            raise ValueError(
                f"role {role} names {', '.join(sorted(what - names))}, which is no flow from admin: use some of {', '.join(sorted(names))}"
            )
    for peer in peers:
        if peer["role"] not in allowed:
            raise ValueError(f"peer {peer['name']} has the role {peer['role']!r}: use one of {', '.join(sorted(allowed))}")
    return allowed


def flow_clients(
    access: list[dict[str, Any]],
    flows: list[dict[str, Any]],
    tier: str,
    port: int,
    tiers: dict[str, list[str]],
    addresses: dict[str, str],
    networks: dict[str, list[str]],
) -> list[dict[str, Any]]:
    """Who may log in to a service of a tier, and from where, in step with the flows that let them come to its port.

    access: dicts with C(from), a tier or network, and whatever else says what they may; flows, tiers, addresses, networks: as in
    C(host_flows). Returns the same dicts with C(addresses), in CIDR notation, in place of C(from).
    Raises ValueError for a party that no flow leads from to that port: its connections would be dropped on the way.
    """
    parties = {
        flow["from"] for flow in flows if flow["to"] in (tier, "all") and flow["protocol"] == "tcp" and port in flow.get("ports", [])
    }
    clients = []
    for entry in access:
        party = entry["from"]
        if party not in parties:
            raise ValueError(
                f"{party!r} may log in, but no flow leads from it to {tier} on port {port}: add one, or take its entry away "
                f"(flows lead there from {', '.join(sorted(parties)) or 'nowhere'})"
            )
        if party in networks:
            sources = list(networks[party])
        elif party in tiers:
            sources = [f"{addresses[name]}/32" for name in tiers[party]]
        else:
            raise ValueError(f"access names {party!r}, which is neither a tier nor a network: name who is meant")
        clients.append({**{key: value for key, value in entry.items() if key != "from"}, "addresses": sources})
    return clients
