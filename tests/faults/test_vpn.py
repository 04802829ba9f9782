# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A gateway of its own in the lab and two peers that come in through it, with wireguard-go where this machine's kernel has no WireGuard."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .redis_ledger import LAB, docker, playbook

PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
VPN = ["tests/faults/inventories/vpn.yml"]
IMAGE = os.environ.get("LAB_IMAGE", f"arxos-lab-debian:{os.environ.get('LAB_DEBIAN', '12')}")
INSIDE, GATEWAY = f"{PREFIX}.21", f"{PREFIX}.71"  # app1, vpn1
JANE = {"name": "jane", "role": "admin", "address": "10.99.0.11"}
JOHN = {"name": "john", "role": "analyst", "address": "10.99.0.12"}

pytestmark = pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="/dev/net/tun is needed where the kernel has no WireGuard")


def on(host: str, command: str, check: bool = True, timeout: int = 300) -> str:
    return docker("exec", f"{LAB}-{host}", "sh", "-euc", command, check=check, timeout=timeout).stdout.strip()


def reaches(host: str, address: str, port: int) -> bool:
    """Whether a new connection of that host comes through; a refusal did."""
    code = (
        "import socket, sys\ntry: socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)\n"
        "except ConnectionRefusedError: pass\nexcept OSError: sys.exit(1)"
    )
    return docker("exec", f"{LAB}-{host}", "python3", "-c", code, address, str(port), check=False).returncode == 0


def up(name: str) -> None:
    """The tunnel of a peer, with a first handshake, which may take a second attempt after five seconds."""
    on(name, "wg-quick up wg0 2>&1")
    end = time.monotonic() + 30
    while on(name, "wg show wg0 latest-handshakes").split()[-1:] in ([], ["0"]):
        assert time.monotonic() < end, f"no handshake of {name}"
        time.sleep(0.2)


def converge(peers: list[dict[str, str]]) -> subprocess.CompletedProcess[str]:
    """The gateway, and a host behind it, with those peers."""
    tags = ("--tags", "firewall,vpn") if peers is not ALL else ()
    return playbook("playbooks/hosts.yml", "--limit", "vpn1,app1", "-e", json.dumps({"arxos_vpn_peers": peers}), *tags, inventories=VPN)


ALL: list[dict[str, str]] = []


@pytest.fixture(scope="module", autouse=True)
def tunnel() -> Iterator[None]:
    """vpn1 and app1 as the playbook makes them, and a machine for each peer, which makes its own key."""
    machines = {f"peer{number}": (f"{PREFIX}.20{number}", who) for number, who in ((1, JANE), (2, JOHN))}
    playbook("molecule/shared/create.yml", "--limit", "vpn1,app1", inventories=VPN)
    try:
        for name, (address, _who) in machines.items():
            words = ["run", "--detach", "--name", f"{LAB}-{name}", "--network", LAB, "--ip", address, "--cap-add", "NET_ADMIN"]
            docker(*words, "--device", "/dev/net/tun", IMAGE, "sleep", "infinity")
            install = "apt-get -qq update && apt-get -qq install -y --no-install-recommends wireguard-tools wireguard-go iproute2"
            on(name, f"{install} >/dev/null 2>&1; umask 077; wg genkey >/etc/wireguard/key", timeout=600)
        ALL.extend({**who, "public_key": on(name, "wg pubkey </etc/wireguard/key")} for name, (_address, who) in machines.items())
        converge(ALL)
        server = on("vpn1", "wg pubkey </etc/wireguard/wg0.key")
        for name, (_address, who) in machines.items():
            text = (
                f"[Interface]\nAddress = {who['address']}/32\nPostUp = wg set %i private-key /etc/wireguard/key\n[Peer]\nPublicKey = {server}\n"
                f"Endpoint = {GATEWAY}:51820\nAllowedIPs = 10.99.0.0/24, {INSIDE}/32, {PREFIX}.22/32\nPersistentKeepalive = 5\n"
            )
            on(name, f"umask 077; cat >/etc/wireguard/wg0.conf <<'END'\n{text}END")
            up(name)
        yield
    finally:
        for name in machines:
            docker("rm", "--force", f"{LAB}-{name}", check=False)
        playbook("molecule/shared/destroy.yml", "--limit", "vpn1", inventories=VPN)
        playbook("playbooks/hosts.yml", "--limit", "app1", "--tags", "firewall")


def test_an_administrator_comes_through_the_tunnel_and_not_past_it() -> None:
    assert reaches("peer1", INSIDE, 22) and reaches("peer1", "10.99.0.1", 22)
    on("peer1", "wg-quick down wg0 2>&1")
    assert not reaches("peer1", INSIDE, 22) and not reaches("peer1", GATEWAY, 22)
    up("peer1")
    assert reaches("peer1", INSIDE, 22)


def test_the_host_behind_sees_the_gateway_and_lets_nobody_else_in() -> None:
    rules = on("app1", "nft list chain inet arxos input")
    line = next(line for line in rules.splitlines() if 'comment "administration"' in line)
    assert re.findall(r"\d+[.]\d+[.]\d+[.]\d+", line) == [f"{PREFIX}.1", GATEWAY], line


@pytest.mark.parametrize("port", [8443, 5432, 80])
def test_nothing_but_administration_goes_through(port: int) -> None:
    assert not reaches("peer1", INSIDE, port)


def test_a_role_reaches_what_it_names_and_nothing_else() -> None:
    assert int(on("peer2", "wg show wg0 latest-handshakes").split()[-1]) > 0, "the tunnel of this peer has to be up, else nothing is shown"
    assert not reaches("peer2", INSIDE, 22) and not reaches("peer2", "10.99.0.1", 22)
    forward = on("vpn1", "nft list chain inet arxos forward")
    named = {line.split('comment "')[1].rstrip('"'): line for line in forward.splitlines() if "comment" in line}
    assert JOHN["address"] in named["database administration"] and JOHN["address"] not in named["administration"]


def test_peers_do_not_reach_each_other() -> None:
    assert not reaches("peer1", JOHN["address"], 22)


def test_the_key_is_for_root_alone_and_in_no_other_file() -> None:
    assert on("vpn1", "stat -c '%a %U' /etc/wireguard/wg0.key /etc/wireguard/wg0.conf /etc/wireguard").split() == [
        "600",
        "root",
        "600",
        "root",
        "700",
        "root",
    ]
    assert on("vpn1", "grep -lrF -f /etc/wireguard/wg0.key /etc /var/lib /run --exclude=wg0.key --exclude-dir=.git || true") == ""


def test_a_second_run_changes_nothing() -> None:
    done = converge([*ALL])
    assert re.findall(r"^\w+ .*changed=(\d+)", done.stdout, re.MULTILINE).count("0") >= 2, done.stdout[-2000:]
    assert f"VPN vpn1: public key {on('vpn1', 'wg show wg0 public-key')}, port 51820, 2 peers" in done.stdout


def test_a_peer_that_is_taken_out_is_cut_off_and_who_stays_is_not() -> None:
    key = on("vpn1", "wg show wg0 public-key")
    started = on("vpn1", "systemctl show wg-quick@wg0 -p ActiveEnterTimestampMonotonic --value")
    converge(ALL[:1])
    assert on("vpn1", "wg show wg0 peers").split() == [ALL[0]["public_key"]]
    assert JOHN["address"] not in on("vpn1", "nft list table inet arxos")
    assert reaches("peer1", INSIDE, 22)
    assert on("vpn1", "wg show wg0 public-key") == key, "the reload took the key away"
    assert on("vpn1", "systemctl show wg-quick@wg0 -p ActiveEnterTimestampMonotonic --value") == started, "it was restarted"


def test_what_carries_it_here() -> None:
    kind: Any = on("vpn1", "pgrep -a wireguard-go || true")
    print("carried by " + ("wireguard-go" if kind else "the kernel"))
    assert on("vpn1", "ip -4 address show wg0").count("10.99.0.1/24") == 1
