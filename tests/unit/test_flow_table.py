# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The flow table of docs/firewall.md is what the rules of each host come to, as Ansible makes them of an inventory: no flow is missing in either."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/firewall.md").read_text()
LAB, GATEWAY = "inventories/lab", "tests/faults/inventories/vpn.yml"
ANYWHERE = ["0.0.0.0/0"]
SIEM = {"host": "siem.example.org", "port": 16514}
PEER = {"name": "jane", "role": "admin", "address": "10.99.0.11", "public_key": "x"}

# In a process of its own, since Ansible's way to find plugins does not go with pytest's to find the collection. Inventories are its arguments, variables its
# input.
ASK = """
import json, sys
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
init_plugin_loader([])
loader = DataLoader()
loader.set_basedir("playbooks")
inventory = InventoryManager(loader, sources=sys.argv[1:])
variables = VariableManager(loader, inventory)
variables.extra_vars.update(json.load(sys.stdin))
HostVars(inventory, variables, loader)
wanted = ["firewall_flows", "firewall_outbound_any", "firewall_forward", "arxos_address", "arxos_administration", "arxos_vpn_gateway_administration"]
wanted += ["intrusion_detection_exempt"]
told = {}
for host in inventory.get_hosts():
    templar = Templar(loader=loader, variables=variables.get_vars(host=host))
    told[host.name] = {name: templar.template(trust_as_template("{{ %s | default([]) }}" % name)) for name in wanted}
groups = {name: [host.name for host in group.get_hosts()] for name, group in inventory.groups.items()}
print(json.dumps({"hosts": told, "groups": groups}))
"""


class Rule(NamedTuple):
    """A protocol and port that one host lets in from, or out to, a peer."""

    host: str
    direction: str
    protocol: str
    port: int
    peer: str


class Row(NamedTuple):
    sources: list[str]
    targets: list[str]
    ports: list[tuple[str, int]]


class Platform:
    """An inventory, and what it tells the firewall of each host."""

    def __init__(self, *inventories: str, **given: Any) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        words = [sys.executable, "-c", ASK, *inventories]
        done = subprocess.run(words, input=json.dumps(given), capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        self.hosts: dict[str, Any] = told["hosts"]
        self.groups: dict[str, list[str]] = {**told["groups"], "all": list(self.hosts)}
        self.siem = [("tcp", given["arxos_siem"]["port"])] if "arxos_siem" in given else []

    def rules(self) -> set[Rule]:
        """What the firewall of each host is given."""
        found = set()
        for host, told in self.hosts.items():
            outbound = [{**rule, "direction": "out", "peers": rule["networks"] or ANYWHERE} for rule in told["firewall_outbound_any"]]
            for rule in [*told["firewall_flows"], *outbound]:
                for port in rule["ports"] or [0]:
                    found |= {Rule(host, rule["direction"], rule["protocol"], int(port), peer) for peer in rule["peers"]}
        return found

    def expected(self, row: Row) -> set[Rule]:
        """What a row of the table comes to."""
        found = set()
        for ours, direction, theirs in ((row.targets, "in", row.sources), (row.sources, "out", row.targets)):
            for host in [name for party in ours for name in self.groups.get(party, [])]:
                peers = {peer for party in theirs for peer in self.peers(party, host)}
                ports = [each for protocol, port in row.ports for each in (self.siem if protocol == "siem" else [(protocol, port)])]
                found |= {Rule(host, direction, protocol, port, peer) for protocol, port in ports for peer in peers}
        return found

    def peers(self, party: str, host: str) -> list[str]:
        if party == "anybody":
            return ANYWHERE
        if party == "administration":
            own = self.hosts[host]
            return list(own["arxos_vpn_gateway_administration"] or own["arxos_administration"])
        return [self.hosts[name]["arxos_address"] for name in self.groups[party] if name != host]


def ports(cell: str) -> list[tuple[str, int]]:
    """Of `tcp 80, 443, vrrp` and the like, each protocol with its ports; vrrp has none, and what depends on the inventory is `siem`."""
    found: list[tuple[str, int]] = []
    protocols: list[str] = []
    if cell == "the port of `arxos_siem`":
        return [("siem", 0)]
    for part in cell.split(", "):
        words = re.fullmatch(r"(?:((?:tcp|udp)(?: and udp)?) )?(\d+)|vrrp", part)
        assert words, f"not understood: {part!r} in {cell!r}"
        if part == "vrrp":
            found.append(("vrrp", 0))
            continue
        protocols = words[1].split(" and ") if words[1] else protocols
        found += [(protocol, int(words[2])) for protocol in protocols]
    return found


def table(page: str) -> list[Row]:
    """The rows of the page."""
    section = page.split("## The flow table", 1)[1].split("\n## ", 1)[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("| ")][1:]
    return [
        Row(source.split(", "), [party for party in target.split(", ") if party != "or whom you name"], ports(cell))
        for source, target, cell, _why in lines
    ]


PLATFORMS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "lab": ([LAB], {}),
    "with a gateway and a SIEM": ([LAB, GATEWAY], {"arxos_siem": SIEM, "arxos_vpn_peers": [PEER]}),
    "staging": (["inventories/staging"], {}),
    "production": (["inventories/production"], {}),
}


@functools.cache
def platform(name: str) -> Platform:
    inventories, given = PLATFORMS[name]
    return Platform(*inventories, **given)


@pytest.mark.parametrize("name", list(PLATFORMS)[:2])
def test_the_table_is_what_the_firewalls_are_given(name: str) -> None:
    given, said = platform(name).rules(), {rule for row in table(PAGE) for rule in platform(name).expected(row)}
    assert len(given) > 100
    assert sorted(given - said) == [], "flows that the page does not have"
    assert sorted(said - given) == [], "flows of the page that no firewall has"


def test_each_row_is_about_something_that_no_other_row_says() -> None:
    whole, rows = platform("with a gateway and a SIEM"), table(PAGE)
    assert len(rows) > 10
    for row in rows:
        others = {rule for other in rows if other is not row for rule in whole.expected(other)}
        assert whole.expected(row) - others, f"{row} could be left out"


def test_a_peer_with_every_right_comes_to_what_the_page_says_of_administration() -> None:
    whole = platform("with a gateway and a SIEM")
    names = {told["arxos_address"]: name for name, told in whole.hosts.items()}
    said = {
        (host, *port)
        for row in table(PAGE)
        if row.sources == ["administration"]
        for party in row.targets
        for host in whole.groups[party]
        if host not in whole.groups["vpn"]
        for port in row.ports
    }
    forwarded = {
        (names[target], rule["protocol"], port)
        for rule in whole.hosts["vpn1"]["firewall_forward"]
        for target in rule["targets"]
        for port in rule["ports"]
    }
    assert forwarded == said


@pytest.mark.parametrize("name", PLATFORMS)
def test_where_administration_comes_from_is_never_banned(name: str) -> None:
    for host, told in platform(name).hosts.items():
        exempt = {address.partition("/32")[0] for address in told["intrusion_detection_exempt"]}
        assert {network.partition("/32")[0] for network in told["arxos_administration"]} - exempt == set(), host
