# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys, addresses and the network of a VPN."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _preflight
from ansible_collections.arxos.platform.plugins.module_utils._vpn import faults, gateway_address, is_key


def key(number: int) -> str:
    return base64.b64encode(bytes([number] * 32)).decode()


JANE = {"name": "jane", "public_key": key(1), "address": "10.99.0.11", "role": "admin"}
JOHN = {"name": "john", "public_key": key(2), "address": "10.99.0.12", "role": "admin"}


def problems(*peers: object, network: str = "10.99.0.0/24", others: tuple[object, ...] = ("10.20.1.11/32",)) -> list[str]:
    return [problem for _variable, problem, _remedy in faults(network, list(peers), others)]


def test_what_is_right_has_no_fault() -> None:
    assert problems(JANE, JOHN) == []
    assert problems() == []
    assert gateway_address("10.99.0.0/24") == "10.99.0.1"


@pytest.mark.parametrize("text", ["", "x", key(1)[:-1], key(1) + "=", key(0), "not base64 at all, but 44 characters long ..", None, 7])
def test_what_is_no_key(text: object) -> None:
    assert not is_key(text)
    assert problems({**JANE, "public_key": text}) == ["has a public_key for jane that is none"]


def test_a_key_that_is_none_is_not_shown() -> None:
    assert "secret" not in str(faults("10.99.0.0/24", [{**JANE, "public_key": "secret"}], []))


@pytest.mark.parametrize("address", ["10.99.0.1", "10.99.0.0", "10.99.0.255", "10.98.0.2", "10.99.0.300", "", "10.99.0.11/32"])
def test_addresses_that_no_peer_can_have(address: str) -> None:
    assert problems({**JANE, "address": address}) == [f"has the address {address!r} for jane"]


@pytest.mark.parametrize("twice", ["public_key", "address"])
def test_what_two_peers_share(twice: str) -> None:
    assert problems(JANE, {**JOHN, twice: JANE[twice]}) == [f"has the same {twice} for jane and john"]


def test_one_name_twice() -> None:
    assert problems(JANE, {**JOHN, "name": "jane"}) == ["has the same name for jane and jane"]


@pytest.mark.parametrize("network", ["10.99.0.0/31", "10.99.0.1/24", "tunnel", "2001:db8::/64", None])
def test_networks_that_cannot_be_a_tunnel(network: object) -> None:
    assert [variable for variable, _problem, _remedy in faults(network, [JANE], [])] == ["vpn_network"]


def test_a_network_that_somebody_is_in() -> None:
    assert problems(JANE, others=("10.99.0.77/32", "10.20.0.0/16", "no network", "2001:db8::/32")) == [
        "is 10.99.0.0/24, which overlaps 10.99.0.77/32"
    ]


def test_preflight_says_them_of_hosts_that_have_a_tunnel() -> None:
    variables = {"vpn_network": "10.99.0.0/24", "vpn_peers": [{**JANE, "address": "10.99.0.1"}], "vpn_other_networks": []}
    hosts = {"vpn1": _preflight.Host(["vpn"], variables), "app1": _preflight.Host(["app"])}
    assert [(fault.subject, fault.problem) for fault in _preflight.vpn_faults(hosts)] == [("vpn1", "has the address '10.99.0.1' for jane")]
