# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The limits at public ports, met by real packets between two networks of this test's own; with small limits, so that it is quick."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]

pytestmark = pytest.mark.skipif(
    not (shutil.which("nft", path="/usr/sbin:/sbin") and shutil.which("ip", path="/usr/sbin:/sbin")) or os.geteuid() != 0,
    reason="nft, ip and root are needed to make networks",
)
SYN_FLOOD = Path(__file__).resolve().parents[1] / "faults/syn_flood.py"
SERVER, PLAIN, SLOW, KNOWN, EXEMPT, WINDOW = (f"192.0.2.{last}" for last in (80, 1, 2, 3, 4, 5))
FORGED = "198.18.0.0/15"
INPUTS: dict[str, Any] = {
    "firewall_flows": [{"name": "web", "direction": "in", "protocol": "tcp", "ports": [443], "peers": ["0.0.0.0/0"]}],
    "firewall_new_connections_per_address": 20,
    "firewall_connections_per_address": 100,
    "firewall_new_connections": 200,
    "firewall_exempt_networks": [f"{EXEMPT}/32"],
}
# Closes what its peer has closed, as a real one does.
LISTEN = f"""
import asyncio
async def talk(reader, writer):
    await reader.read()
    writer.close()
async def main():
    server = await asyncio.start_server(talk, "{SERVER}", 443, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
# How many of so many connections from one address are there a while after all were asked for.
HOLD = """
import socket, sys, time
held, began = [], time.monotonic()
for number in range(int(sys.argv[3])):
    held.append(socket.socket())
    held[-1].bind((sys.argv[2], 0))
    held[-1].setblocking(False)
    held[-1].connect_ex((sys.argv[1], 443))
    time.sleep(float(sys.argv[4]))
took = time.monotonic() - began
time.sleep(0.3)
up = 0
for each in held:
    try:
        each.getpeername()
        up += 1
    except OSError:
        pass
print(up, took)
"""


class Networks:
    """A server with the rules, and clients of several addresses."""

    def __init__(self) -> None:
        mark = uuid.uuid4().hex[:6]
        self.server, self.clients = f"s-{mark}", f"c-{mark}"
        self.took = 0.0  # seconds that the last to hold connections was asking

    def ip(self, *words: str) -> None:
        subprocess.run(["/usr/sbin/ip", *words] if Path("/usr/sbin/ip").exists() else ["/sbin/ip", *words], check=True, capture_output=True)

    def at(self, where: str, *words: str) -> list[str]:
        return ["ip", "netns", "exec", where, *words]

    def nft(self, *words: str, given: str = "") -> str:
        done = subprocess.run(
            self.at(self.server, "/usr/sbin/nft", *words), input=given, capture_output=True, text=True, check=False, env=PATH
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def hold(self, source: str, number: int, pause: float = 0) -> int:
        words = self.at(self.clients, sys.executable, "-c", HOLD, SERVER, source, str(number), str(pause))
        up, took = subprocess.run(words, capture_output=True, text=True, check=True, env=PATH).stdout.split()
        self.took = float(took)
        return int(up)

    def elements(self, name: str) -> set[str]:
        listed = json.loads(self.nft("--json", "list", "set", "inet", "arxos", name))["nftables"][1]["set"].get("elem", [])
        return {each["elem"]["val"] if isinstance(each, dict) else each for each in listed}


PATH = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


@pytest.fixture
def networks(render: Render) -> Iterator[Networks]:
    made = Networks()
    try:
        made.ip("netns", "add", made.server)
        made.ip("netns", "add", made.clients)
        made.ip("link", "add", "door", "netns", made.server, "type", "veth", "peer", "name", "out", "netns", made.clients)
        for where, link, addresses in ((made.server, "door", [SERVER]), (made.clients, "out", [PLAIN, SLOW, KNOWN, EXEMPT, WINDOW])):
            for address in addresses:
                made.ip("-n", where, "address", "add", f"{address}/24", "dev", link)
            for name in (link, "lo"):
                made.ip("-n", where, "link", "set", name, "up")
        # What the server answers forged addresses goes back there, and ends there.
        made.ip("-n", made.server, "route", "add", FORGED, "via", PLAIN)
        made.ip("-n", made.clients, "route", "add", "blackhole", FORGED)
        made.nft("-f", "-", given=render("firewall", "nftables.conf.j2", **INPUTS))
        with subprocess.Popen(made.at(made.server, sys.executable, "-c", LISTEN), stdout=subprocess.PIPE, text=True, env=PATH) as listener:
            assert listener.stdout and listener.stdout.readline() == "ready\n"
            try:
                yield made
            finally:
                listener.kill()
    finally:
        for where in (made.server, made.clients):
            subprocess.run(["ip", "netns", "delete", where], check=False, capture_output=True, env=PATH)


def test_one_address_gets_its_burst_and_others_are_not_touched(networks: Networks) -> None:
    # 4 times 20 at once, and those that came while it was asking.
    held = networks.hold(PLAIN, 200)
    assert 80 <= held <= 82 + 20 * networks.took and held < 200
    assert networks.hold(SLOW, 40) == 40


def test_one_address_holds_as_many_as_it_may(networks: Networks) -> None:
    assert networks.hold(SLOW, 130, pause=0.035) == 100


def test_exempt_networks_and_an_open_window_are_not_counted(networks: Networks) -> None:
    networks.nft(f"add element inet arxos load_window {{ {WINDOW} timeout 60s }}")
    assert networks.hold(EXEMPT, 300) == 300
    assert networks.hold(WINDOW, 300) == 300
    networks.nft("flush set inet arxos load_window")
    held = networks.hold(WINDOW, 300)
    assert held <= 82 + 20 * networks.took and held < 300


def test_a_flood_from_forged_addresses_does_not_reach_who_was_here(networks: Networks) -> None:
    assert networks.hold(KNOWN, 1) == 1 and networks.elements("known_ipv4") == {KNOWN}
    words = networks.at(networks.clients, sys.executable, str(SYN_FLOOD), SERVER, "443", "1.5", "5000", FORGED)
    began = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=PATH) as flood:
        assert flood.stdout and flood.stdout.readline() == "ready\n"
        assert networks.hold(KNOWN, 20, pause=0.05) == 20
        sent = int(flood.communicate(timeout=60)[0])
    took = time.monotonic() - began
    listed = networks.nft("list", "chain", "inet", "arxos", "door")
    dropped = int(listed.split("@known_ipv4")[1].split("counter packets ")[1].split()[0])
    # At most twice 200 at once, and 200 for each second.
    assert sent > 2000 and dropped >= sent - 400 - 200 * (took + 0.5)
    assert networks.elements("known_ipv4") == {KNOWN}, "a forged address, which never came through a handshake, is taken for known"


def test_a_flood_of_repeated_packets_makes_nobody_known(networks: Networks) -> None:
    """The second SYN of a connection belongs to an established one, as far as conntrack's state goes."""
    again = (
        "import socket, sys, time; sys.path.insert(0, sys.argv[1]); import syn_flood; there = socket.inet_aton(sys.argv[2])\n"
        "packet = syn_flood.syn(socket.inet_aton('198.18.0.7'), there, 4000, 443)\n"
        "raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
        "for turn in range(3): raw.sendto(packet, (sys.argv[2], 0)); time.sleep(0.1)"
    )
    words = networks.at(networks.clients, sys.executable, "-c", again, str(SYN_FLOOD.parent), SERVER)
    subprocess.run(words, check=True, capture_output=True, env=PATH)
    assert networks.elements("new_ipv4") == {"198.18.0.7"}, "nothing came"
    assert networks.elements("known_ipv4") == set()
