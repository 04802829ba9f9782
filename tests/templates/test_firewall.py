# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules as nft reads them: judged by nft itself, in a network of its own where this machine has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]

WEB = {"name": "web", "direction": "in", "protocol": "tcp", "ports": [80, 443], "peers": ["0.0.0.0/0"]}
VRRP = {"name": "virtual address", "direction": "in", "protocol": "vrrp", "ports": [], "peers": ["192.0.2.12"]}
SSH = {"name": "administration", "direction": "in", "protocol": "tcp", "ports": [22], "peers": ["198.51.100.0/24", "2001:db8::/48"]}
OUT = {"name": "application", "direction": "out", "protocol": "tcp", "ports": [8443], "peers": ["192.0.2.21", "192.0.2.22"]}
EDGE = {"firewall_flows": [WEB, VRRP, SSH, OUT], "firewall_exempt_networks": ["203.0.113.0/24", "2001:db8:1::/48"]}
INNER = {"firewall_flows": [SSH, OUT]}
NARROW = {
    **INNER,
    "firewall_outbound_any": [
        {"protocol": "udp", "ports": [53], "networks": ["192.0.2.53", "2001:db8::53"]},
        {"protocol": "tcp", "ports": [443], "networks": []},
    ],
}
GATEWAY = {
    "firewall_flows": [SSH, {"name": "tunnel", "direction": "in", "protocol": "udp", "ports": [51820], "peers": ["0.0.0.0/0"]}],
    "firewall_forward": [
        {"name": "administration", "protocol": "tcp", "ports": [22], "sources": ["10.99.0.11"], "targets": ["192.0.2.21"]}
    ],
    "firewall_masquerade": ["10.99.0.0/24"],
}
ALL = {"edge": EDGE, "inner": INNER, "narrow": NARROW, "gateway": GATEWAY}

has_nft = pytest.mark.skipif(
    not shutil.which("nft", path="/usr/sbin:/sbin") or os.geteuid() != 0, reason="nft (package nftables) and root are needed to judge rules"
)


@pytest.fixture
def rules(render: Render) -> Callable[[dict[str, Any]], str]:
    return lambda given: render("firewall", "nftables.conf.j2", **given)


def chain(text: str, name: str) -> str:
    found = re.search(rf"    chain {name} \{{\n(.*?)\n    \}}", text, re.DOTALL)
    assert found, name
    return found[1]


def in_its_own_network(*commands: str) -> str:
    done = subprocess.run(
        ["unshare", "--net", "sh", "-euc", "PATH=$PATH:/usr/sbin; " + "; ".join(commands)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@has_nft
@pytest.mark.parametrize("kind", ALL)
def test_nft_takes_it_again_and_again(rules: Callable[..., str], kind: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.nft"
    file.write_text(rules(ALL[kind]))
    assert in_its_own_network(f"nft -c -f {file}", f"nft -f {file}", f"nft -f {file}", "nft list ruleset").count("chain forward") == 1


@has_nft
def test_nft_refuses_what_is_wrong(rules: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "rules.nft"
    file.write_text(rules({"firewall_flows": [{**SSH, "peers": ["198.51.100.300"]}]}))
    with pytest.raises(AssertionError, match="rules.nft"):
        in_its_own_network(f"nft -c -f {file}")


@has_nft
def test_bans_and_others_tables_outlive_a_reload(rules: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "rules.nft"
    file.write_text(rules(EDGE))
    listed = in_its_own_network(
        "nft add table ip others",
        f"nft -f {file}",
        "nft add element inet arxos_bans banned_ipv4 { 192.0.2.66 timeout 1h }",
        f"nft -f {file}",
        "nft list ruleset",
    )
    assert "192.0.2.66" in listed and "table ip others" in listed
    assert listed.count("ip saddr @banned_ipv4") == 1


@has_nft
def test_what_an_undo_saves_is_what_was(rules: Callable[..., str], tmp_path: Path) -> None:
    """As firewall-try does it: what nft lists of a table makes the same table again."""
    first, second, saved = (tmp_path / name for name in ("first.nft", "second.nft", "saved.nft"))
    first.write_text(rules(EDGE))
    second.write_text(rules(INNER))
    show = "nft --stateless --terse list table inet arxos"
    listed = in_its_own_network(
        f"nft -f {first}",
        f"{{ echo table inet arxos; echo delete table inet arxos; {show}; }} >{saved}",
        show,
        f"nft -f {second}",
        f"nft -f {saved}",
        "echo ====",
        show,
    )
    before, after = listed.split("====\n")
    assert before == after and "@known_ipv4" in before


def test_bans_come_before_everything(rules: Callable[..., str]) -> None:
    text = rules(EDGE)
    assert "hook prerouting priority raw - 10" in text.split("table inet arxos_bans")[1]
    assert "priority raw; policy accept" in chain(text, "flood")


def test_only_public_ports_are_metered(rules: Callable[..., str]) -> None:
    assert "tcp dport { 80, 443 }" in chain(rules(EDGE), "flood")
    for kind in ("inner", "narrow", "gateway"):
        assert "chain flood" not in rules(ALL[kind]) and "load_window" not in rules(ALL[kind])


@pytest.mark.parametrize("name", ["door", "crowd"])
def test_exempt_networks_and_windows_are_asked_first(rules: Callable[..., str], name: str) -> None:
    lines = [line.strip() for line in chain(rules(EDGE), name).splitlines()]
    assert lines[:4] == [
        "iif lo return",
        "ip saddr @load_window return",
        "ip saddr { 203.0.113.0/24 } return",
        "ip6 saddr { 2001:db8:1::/48 } return",
    ]
    assert all(line.endswith("counter drop") for line in lines[4:]) and len(lines) > 4


def test_each_family_has_its_own_rule(rules: Callable[..., str]) -> None:
    lines = chain(rules(INNER), "input").splitlines()
    assert '        ip saddr { 198.51.100.0/24 } tcp dport { 22 } accept comment "administration"' in lines
    assert '        ip6 saddr { 2001:db8::/48 } tcp dport { 22 } accept comment "administration"' in lines


def test_outbound_is_as_narrow_as_said(rules: Callable[..., str]) -> None:
    lines = [line.strip() for line in chain(rules(NARROW), "output").splitlines()]
    assert "ip daddr { 192.0.2.53 } udp dport { 53 } accept" in lines
    assert "ip6 daddr { 2001:db8::53 } udp dport { 53 } accept" in lines
    assert "tcp dport { 443 } accept" in lines and not [line for line in lines if line.startswith("udp dport")]


def test_a_gateway_forwards_what_is_named_and_everybody_else_nothing(rules: Callable[..., str]) -> None:
    assert chain(rules(INNER), "forward").strip() == "type filter hook forward priority filter; policy drop;"
    forward = chain(rules(GATEWAY), "forward")
    assert 'ip saddr { 10.99.0.11 } ip daddr { 192.0.2.21 } tcp dport { 22 } accept comment "administration"' in forward
    assert "ip saddr { 10.99.0.0/24 } ip daddr != { 10.99.0.0/24 } masquerade" in rules(GATEWAY)
    assert "masquerade" not in rules(EDGE)


def test_stopping_the_service_takes_nothing_that_is_not_ours(render: Render) -> None:
    text = render("firewall", "nftables.service.conf.j2", firewall_flows=[])
    assert "ExecStop=\nExecStop=-/usr/sbin/nft delete table inet arxos\n" in text
