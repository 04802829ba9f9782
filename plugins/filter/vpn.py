# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters about the network of a VPN."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.module_utils import _vpn


def vpn_gateway_address(network: str) -> str:
    """The gateway's address: see M(vpn_gateway_address)."""
    try:
        return _vpn.gateway_address(str(network))
    except ValueError as error:
        raise AnsibleFilterError(f"network of the VPN: {error}") from error


class FilterModule:
    """Filters about the network of a VPN."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"vpn_gateway_address": vpn_gateway_address}
