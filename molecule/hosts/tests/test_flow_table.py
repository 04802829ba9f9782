# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every port of every host from every other host and from the controller, and each host's rules in force, against what the inventory's flows come to."""

from __future__ import annotations

import concurrent.futures
import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._flows import passes

ROOT = Path(__file__).resolve().parents[3]
LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
CONTROLLER = "the controller"
# Where nobody listens and no flow leads: what a firewall that lets too much through would answer with a refusal.
SAMPLE = [1, 21, 23, 25, 111, 179, 445, 3306, 4369, 8080, 9090, 10250, 20000, 50000, 65535]
SECONDS, AGAIN = 1.0, 6.0

# Runs on a host: [[address, port], ...] and seconds on its input, what came through on its output. A refusal is the host's own answer, so it came through.
SCANNER = """
import asyncio, json, sys
todo, seconds = json.loads(sys.stdin.read())
async def one(gate, address, port):
    async with gate:
        try:
            _reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), seconds)
            writer.close()
            return True
        except ConnectionRefusedError:
            return True
        except (OSError, asyncio.TimeoutError):
            return False
async def main():
    gate = asyncio.Semaphore(400)
    return await asyncio.gather(*(one(gate, *each) for each in todo))
print(json.dumps([each for each, through in zip(todo, asyncio.run(main())) if through]))
"""
Triple = tuple[str, str, int]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """firewall_flows, firewall_outbound_any and the address of each host, as Ansible renders them."""
    out = tmp_path_factory.mktemp("flows")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventories/lab", "molecule/hosts/flow_table.yml"]
    subprocess.run([*command, "-e", f"flow_table={out}"], cwd=ROOT, check=True, capture_output=True)
    of_hosts = {path.stem: json.loads(path.read_text()) for path in out.iterdir()}
    loaded: dict[str, Any] = {
        "flows": {name: of["flows"] for name, of in of_hosts.items()},
        "outbound_any": {name: of["outbound_any"] for name, of in of_hosts.items()},
        "addresses": {name: of["address"] for name, of in of_hosts.items()},
    }
    # Where the lab has fewer hosts, those are asked that are there.
    names = subprocess.run(["docker", "ps", "--format", "{{.Names}}"], capture_output=True, text=True, check=True).stdout.split()
    loaded["hosts"] = [name for name in loaded["addresses"] if f"{LAB}-{name}" in names]
    return loaded


def on(host: str, *words: str, given: str = "") -> str:
    """What a command prints on a host, or here."""
    command = words if host == CONTROLLER else ("docker", "exec", "-i", f"{LAB}-{host}", *words)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{host}: {done.stderr}"
    return done.stdout


def listening(host: str) -> set[int]:
    """TCP ports that a host listens on for others."""
    sockets = (line.split()[3].rpartition(":") for line in on(host, "ss", "-Hltn").splitlines())
    return {int(port) for address, _colon, port in sockets if not address.strip("[]").startswith(("127.", "::1"))}


def scan(source: str, todo: Iterable[tuple[str, int]], seconds: float) -> set[tuple[str, int]]:
    """Which of (address, port) a new connection of that host comes through to."""
    python = sys.executable if source == CONTROLLER else "python3"
    found = json.loads(on(source, python, "-c", SCANNER, given=json.dumps([list(todo), seconds])))
    return {(address, port) for address, port in found}


def test_what_comes_through_is_the_flow_table_and_nothing_else(table: dict[str, Any]) -> None:
    flows, addresses, hosts = table["flows"], table["addresses"], table["hosts"]
    assert len(hosts) > 1
    names = {addresses[name]: name for name in hosts}
    with concurrent.futures.ThreadPoolExecutor(len(hosts) + 1) as pool:
        ports = set(SAMPLE).union(*pool.map(listening, hosts))
        ports |= {port for rules in flows.values() for rule in rules if rule["protocol"] == "tcp" for port in rule["ports"]}
        sources = [*hosts, CONTROLLER]
        todo = {source: [(addresses[name], port) for name in hosts if name != source for port in ports] for source in sources}
        through = dict(zip(sources, pool.map(lambda source: scan(source, todo[source], SECONDS), sources), strict=True))
        wanted = {source: {each for each in todo[source] if expected(table, source, *each)} for source in sources}
        # A busy machine is no firewall: what should have come through is asked once more, with patience.
        late = {source: wanted[source] - through[source] for source in sources}
        for source, found in zip(sources, pool.map(lambda source: scan(source, late[source], AGAIN), sources), strict=True):
            through[source] |= found

    def named(of: dict[str, set[tuple[str, int]]], less: dict[str, set[tuple[str, int]]]) -> list[Triple]:
        return sorted((source, names[address], port) for source in sources for address, port in of[source] - less[source])

    assert sum(map(len, wanted.values())) > len(hosts)
    print(f"{sum(map(len, todo.values()))} connections between {len(hosts)} hosts and the controller, {len(ports)} ports")
    missing, excess = named(wanted, through), named(through, wanted)
    assert not missing and not excess, f"missing {missing}, in excess {excess}, each (from, to, port)"


def expected(table: dict[str, Any], source: str, address: str, port: int) -> bool:
    target = next(name for name, own in table["addresses"].items() if own == address)
    if source == CONTROLLER:
        anything = [{"direction": "out", "protocol": "tcp", "ports": [port], "peers": ["0.0.0.0/0"]}]
        return passes(anything, [], table["flows"][target], f"{PREFIX}.1", address, "tcp", port)
    here = table["addresses"][source]
    return passes(table["flows"][source], table["outbound_any"][source], table["flows"][target], here, address, "tcp", port)


# ------------------------------------------------------------------ rules in force, whatever their protocol

Rule = tuple[str, str, str, tuple[int, ...], tuple[str, ...]]


def as_networks(peers: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(str(ipaddress.ip_network(peer)) for peer in peers))


def members(right: Any) -> list[Any]:
    """The values of a match of nft's JSON, of which one alone is no set."""
    return right["set"] if isinstance(right, dict) and "set" in right else [right]


def in_force(host: str) -> set[Rule]:
    """The accepting rules with a name: (direction, name, protocol, ports, networks)."""
    found: set[Rule] = set()
    for item in json.loads(on(host, "nft", "--json", "list", "table", "inet", "arxos"))["nftables"]:
        rule = item.get("rule", {})
        if rule.get("chain") not in ("input", "output") or "comment" not in rule:
            continue
        protocol, ports, peers = "", (), ()
        for match in (expression["match"] for expression in rule["expr"] if "match" in expression):
            left = match["left"]
            if "meta" in left:
                protocol = str(match["right"]).replace("112", "vrrp")
            elif left["payload"]["field"] == "dport":
                protocol, ports = left["payload"]["protocol"], tuple(sorted(members(match["right"])))
            else:
                values = members(match["right"])
                peers = as_networks(
                    f"{each['prefix']['addr']}/{each['prefix']['len']}" if isinstance(each, dict) else each for each in values
                )
        found.add(("in" if rule["chain"] == "input" else "out", rule["comment"], protocol, ports, peers))
    return found


def test_each_rule_in_force_is_a_flow_and_each_flow_is_in_force(table: dict[str, Any]) -> None:
    def wanted(host: str) -> set[Rule]:
        return {
            (rule["direction"], rule["name"], rule["protocol"], tuple(sorted(rule["ports"])), as_networks(rule["peers"]))
            for rule in table["flows"][host]
        }

    missing = {host: sorted(gone) for host in table["hosts"] if (gone := wanted(host) - in_force(host))}
    excess = {host: sorted(more) for host in table["hosts"] if (more := in_force(host) - wanted(host))}
    assert (missing, excess) == ({}, {})


def test_what_is_in_force_is_what_was_written_and_proved(table: dict[str, Any]) -> None:
    """Rules that somebody added by hand are in no file: each host's file is loaded beside, in a network of its own, and compared."""
    show = "nft --stateless --terse list table inet arxos"
    beside = f"firewall-try status; {show}; echo ====; exec unshare --net sh -euc 'nft -f /etc/nftables.conf; {show}'"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for host, text in zip(table["hosts"], pool.map(lambda host: on(host, "sh", "-euc", beside), table["hosts"]), strict=True):
            running, _line, written = text.partition("====\n")
            assert running.splitlines() == written.splitlines(), host
