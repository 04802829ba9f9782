# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter from the flows between tiers to the rules of one host."""

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


class FilterModule:
    """Filters about flows between tiers."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"host_flows": host_flows}
