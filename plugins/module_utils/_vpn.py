# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the peers of a VPN. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

Fault = tuple[str, str, str]  # variable, problem, remedy


def gateway_address(network: str) -> str:
    """The gateway's address in a network of CIDR form: its first. Raises ValueError for what is no IPv4 network with room for a peer."""
    found = ipaddress.IPv4Network(network)
    if found.prefixlen > 30:
        raise ValueError(f"{network} has no room for a peer")
    return str(found[1])


def is_key(text: object) -> bool:
    """Whether C(text) is a key of WireGuard: 32 bytes in base64, and not those that X25519 makes nothing of."""
    if not isinstance(text, str) or len(text) != 44:
        return False
    try:
        return any(base64.b64decode(text, validate=True)) and len(base64.b64decode(text)) == 32
    except (binascii.Error, ValueError):
        return False


def faults(network: object, peers: object, others: Iterable[object]) -> list[Fault]:
    """What is wrong, as (variable, problem, remedy).

    network: of the tunnel, in CIDR form. peers: C({name, public_key, address}); what is no such dict is left to the argument specs.
    others: networks that must not overlap it, in CIDR form.
    """
    try:
        tunnel = ipaddress.IPv4Network(str(network))
        gateway = gateway_address(str(network))
    except ValueError:
        return [("vpn_network", f"is {network!r}", "write an IPv4 network of /30 or larger, for example 10.99.0.0/24")]
    found: list[Fault] = []
    for other in others:
        try:
            against = ipaddress.ip_network(str(other))
        except ValueError:
            continue  # said by the format of its own variable
        if against.version == 4 and tunnel.overlaps(against):
            found.append(("vpn_network", f"is {network}, which overlaps {other}", "choose a network that nothing else is in"))
    seen: dict[tuple[str, str], str] = {}
    for peer in peers if isinstance(peers, (list, tuple)) else []:
        if not isinstance(peer, Mapping):
            continue
        found += _peer(peer, tunnel, gateway)
        for key in ("name", "public_key", "address"):
            value = str(peer.get(key, ""))
            first = seen.setdefault((key, value), str(peer.get("name")))
            if value and (first != str(peer.get("name")) or (key == "name" and seen.get(("twice", value)))):
                found.append(("vpn_peers", f"has the same {key} for {first} and {peer.get('name')}", f"give each peer a {key} of its own"))
            if key == "name":
                seen[("twice", value)] = value
    return found


def _peer(peer: Mapping[str, Any], tunnel: ipaddress.IPv4Network, gateway: str) -> list[Fault]:
    name = peer.get("name")
    found: list[Fault] = []
    if not is_key(peer.get("public_key")):
        # It may be a private key, or anything else that was pasted.
        remedy = "write the 44 characters that wg pubkey prints on the peer"
        found.append(("vpn_peers", f"has a public_key for {name} that is none", remedy))
    try:
        address = ipaddress.IPv4Address(str(peer.get("address")))
    except ValueError:
        address = None
    usable = address is not None and address in tunnel and str(address) != gateway
    if not usable or address in (tunnel.network_address, tunnel.broadcast_address):
        problem = f"has the address {peer.get('address')!r} for {name}"
        found.append(("vpn_peers", problem, f"write an address in {tunnel} other than {gateway}, which is the gateway's"))
    return found
