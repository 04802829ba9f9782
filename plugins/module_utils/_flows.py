# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the flows between tiers to the rules of one host. Pure."""

from __future__ import annotations

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
