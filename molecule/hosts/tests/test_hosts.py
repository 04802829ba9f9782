# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every host stands on, asked of the running host: certificates that verify, a firewall that drops, people and their sudo roles."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
GROUPS = yaml.safe_load((Path(__file__).resolve().parents[3] / "inventories/lab/hosts.yml").read_text())["all"]["children"]
HOSTS = [host for group in GROUPS.values() for host in group["hosts"]]

testinfra_hosts = [f"docker://{LAB}-{host}" for host in HOSTS]


def test_its_certificate_verifies_for_its_name_and_address_as_server_and_client(host: Any) -> None:
    name = host.check_output("hostname")
    address = host.check_output("hostname -I").split()[0]
    for purpose in ("sslserver", "sslclient"):
        for check in (f"-verify_hostname {name}", f"-verify_ip {address}", "-verify_ip 127.0.0.1"):
            host.check_output(f"openssl verify -CAfile /etc/ssl/arxos/ca.crt -purpose {purpose} {check} /etc/ssl/arxos/host.crt")


def test_its_private_key_is_for_its_group_alone(host: Any) -> None:
    key = host.file("/etc/ssl/arxos/host.key")
    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)
    assert host.check_output("openssl pkey -in /etc/ssl/arxos/host.key -pubout") == host.check_output(
        "openssl x509 -in /etc/ssl/arxos/host.crt -noout -pubkey"
    )


def test_the_ca_key_is_on_no_host(host: Any) -> None:
    subject = host.check_output("openssl x509 -in /etc/ssl/arxos/ca.crt -noout -pubkey")
    assert host.check_output("openssl x509 -in /etc/ssl/arxos/host.crt -noout -pubkey") != subject
    assert host.file("/etc/ssl/arxos").listdir().count("ca.key") == 0


def test_the_firewall_drops_by_default_and_leaves_others_tables_alone(host: Any) -> None:
    rules = host.check_output("nft list ruleset")
    for chain in ("input", "forward", "output"):
        assert f"type filter hook {chain} priority filter; policy drop;" in rules
    assert "table ip nat" in rules, "the engine's own table, which resolves names, was flushed"
    assert host.service("nftables").is_enabled


def test_names_still_resolve(host: Any) -> None:
    host.check_output("getent hosts deb.debian.org")


def test_clock_is_utc(host: Any) -> None:
    assert host.check_output("date +%Z") == "UTC"


def test_an_administrator_has_the_sudo_role_that_was_given(host: Any) -> None:
    allowed = host.check_output("sudo -l -U jane")
    assert "(root) NOPASSWD:" in allowed
    assert "ALL=(ALL" not in allowed
    assert "systemctl restart arxos-api.service" in allowed
    assert host.check_output("passwd -S jane").split()[1] == "L", "a password would let her in without a key"


LISTEN = """
import socket, sys
try:
    server = socket.create_server((sys.argv[1], int(sys.argv[2])))
except OSError as error:  # the service itself listens there already
    sys.exit(error.errno != 98)
server.settimeout(6)
server.accept()
"""


def gets_through(source: str, target: str, port: int) -> bool:
    """Whether a connection from one host to another passes the firewalls of both, to a listener put there for the test."""
    there = testinfra.get_host(f"docker://{LAB}-{target}")
    address = next(a for a in there.check_output("hostname -I").split() if a.startswith(PREFIX))
    listener = subprocess.Popen(["docker", "exec", f"{LAB}-{target}", "python3", "-c", LISTEN, address, str(port)])
    try:
        while listener.poll() is None and there.run(f"ss -Hltn src {address}:{port} | grep -q .").rc:
            pass
        assert listener.poll() in (None, 0), f"no listener on {target}:{port}"
        connect = ["python3", "-c", f"import socket; socket.create_connection(('{address}', {port}), 2)"]
        return subprocess.run(["docker", "exec", f"{LAB}-{source}", *connect], capture_output=True, check=False).returncode == 0
    finally:
        listener.terminate()


@pytest.mark.parametrize(
    ("source", "target", "port", "through"),
    [
        ("app1", "database1", 5432, True),
        ("app1", "cache2", 6379, True),
        ("edge1", "app1", 8443, True),
        ("database1", "database2", 2380, True),
        ("app1", "monitoring1", 6514, True),
        ("monitoring1", "database1", 5432, False),
        ("edge1", "database1", 5432, False),
        ("app1", "app2", 8443, False),
        ("cache1", "database1", 5432, False),
        ("app1", "database1", 2379, False),
        ("app1", "database1", 22, False),
    ],
)
def test_only_the_flows_between_tiers_get_through(source: str, target: str, port: int, through: bool) -> None:
    assert gets_through(source, target, port) is through
