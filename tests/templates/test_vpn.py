# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Render = Callable[..., str]

PEERS = [{"name": "jane", "role": "admin", "address": "10.99.0.11", "public_key": "a" * 43 + "="}]
# The address comes from a filter of this collection, which has a test of its own.
INPUTS: dict[str, Any] = {"vpn_network": "10.99.0.0/24", "__vpn_address": "10.99.0.1", "vpn_peers": PEERS}


def test_peers_have_one_address_each_and_no_secret_is_in_the_file(render: Render) -> None:
    text = render("vpn", "wg.conf.j2", **INPUTS)
    assert "Address = 10.99.0.1/24\nListenPort = 51820\n" in text
    assert f"[Peer]\nPublicKey = {PEERS[0]['public_key']}\nAllowedIPs = 10.99.0.11/32\n" in text
    assert "PrivateKey" not in text and text.count("[Peer]") == 1


def test_without_peers_there_are_none(render: Render) -> None:
    assert "[Peer]" not in render("vpn", "wg.conf.j2", **{**INPUTS, "vpn_peers": []})


def test_a_reload_gives_the_key_back_without_showing_it(render: Render) -> None:
    text = render("vpn", "wg-quick.conf.j2", **INPUTS)
    assert 'printf "[Interface]\\nPrivateKey = %%s\\n" "$$(</etc/wireguard/wg0.key)"' in text
