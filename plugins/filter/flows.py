# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters from the flows between tiers to the rules of one host, and to those of a service that asks who comes."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.module_utils import _flows


def host_flows(
    flows: list[dict[str, Any]],
    host: str,
    tiers: dict[str, list[str]],
    addresses: dict[str, str],
    networks: dict[str, list[str]],
) -> list[dict[str, Any]]:
    """The flows that concern one host: see M(host_flows)."""
    try:
        return _flows.host_flows(flows, host, tiers, addresses, networks)
    except (ValueError, KeyError) as error:
        raise AnsibleFilterError(f"arxos_flows: {error}") from error


def flow_clients(
    access: list[dict[str, Any]],
    flows: list[dict[str, Any]],
    tier: str,
    port: int,
    tiers: dict[str, list[str]],
    addresses: dict[str, str],
    networks: dict[str, list[str]],
) -> list[dict[str, Any]]:
    """Who may log in to a service, with the addresses of their flows: see M(flow_clients)."""
    try:
        return _flows.flow_clients(access, flows, tier, port, tiers, addresses, networks)
    except (ValueError, KeyError) as error:
        raise AnsibleFilterError(f"access to {tier}: {error}") from error


def vpn_forwards(
    flows: list[dict[str, Any]],
    peers: list[dict[str, Any]],
    roles: dict[str, Any],
    tiers: dict[str, list[str]],
    addresses: dict[str, str],
    gateways: list[str],
) -> list[dict[str, Any]]:
    """What goes through a VPN gateway: see M(vpn_forwards)."""
    try:
        return _flows.vpn_forwards(flows, peers, roles, tiers, addresses, gateways)
    except (ValueError, KeyError) as error:
        raise AnsibleFilterError(f"arxos_vpn_peers: {error}") from error


def vpn_administrators(flows: list[dict[str, Any]], peers: list[dict[str, Any]], roles: dict[str, Any]) -> list[str]:
    """Who may log in to a gateway itself: see M(vpn_administrators)."""
    try:
        return _flows.vpn_administrators(flows, peers, roles)
    except (ValueError, KeyError) as error:
        raise AnsibleFilterError(f"arxos_vpn_peers: {error}") from error


class FilterModule:
    """Filters about flows between tiers."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {
            "host_flows": host_flows,
            "flow_clients": flow_clients,
            "vpn_forwards": vpn_forwards,
            "vpn_administrators": vpn_administrators,
        }
