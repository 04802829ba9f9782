# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the cache tier does, asked of the running instances of every host."""

from __future__ import annotations

import os
import shlex
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
INVENTORY = Path(__file__).resolve().parents[3] / "inventories/lab"
HOSTS = list(yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]["cache"]["hosts"])
PASSWORD = yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())["vault_redis_password"]
PORTS = (6379, 6380)

testinfra_hosts = [f"docker://{LAB}-{host}" for host in HOSTS]


def redis(host: Any, arguments: str, port: int = 6379, address: str = "127.0.0.1", password: str = PASSWORD, tls: bool = True) -> str:
    """What redis-cli prints, with errors in it. The password is never an argument."""
    secure = "--tls --cacert /etc/ssl/arxos/ca.crt" if tls else ""
    command = f"redis-cli -h {address} -p {port} --no-auth-warning {secure} {arguments} 2>&1"
    secret = f"REDISCLI_AUTH={shlex.quote(password)} " if password else ""
    return host.run(secret + command).stdout.strip()


def nodes(host: Any, port: int = 6379) -> list[list[str]]:
    return [line.split() for line in redis(host, "CLUSTER NODES", port).splitlines()]


def address_of(row: list[str]) -> str:
    return row[1].rpartition(":")[0]


@pytest.mark.parametrize("port", PORTS)
def test_plain_text_is_not_answered(host: Any, port: int) -> None:
    assert "PONG" not in redis(host, "PING", port, tls=False)
    assert redis(host, "PING", port) == "PONG"


def test_old_tls_is_refused(host: Any) -> None:
    old = host.run("openssl s_client -connect 127.0.0.1:6379 -tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null 2>&1").stdout
    assert "Cipher is (NONE)" in old
    assert "Verification: OK" in host.run("openssl s_client -connect 127.0.0.1:6379 -CAfile /etc/ssl/arxos/ca.crt </dev/null 2>&1").stdout


@pytest.mark.parametrize("port", PORTS)
def test_the_password_is_required_and_the_wrong_one_refused(host: Any, port: int) -> None:
    assert redis(host, "PING", port, password="").startswith("NOAUTH")
    assert "WRONGPASS" in redis(host, "PING", port, password="wrong")


@pytest.mark.parametrize("port", PORTS + tuple(port + 10000 for port in PORTS))
def test_only_the_addresses_that_are_meant_are_listened_on(host: Any, port: int) -> None:
    listening = {line.split()[3] for line in host.check_output(f"ss -Hltn sport = :{port}").splitlines()}
    address = host.check_output("hostname -I").split()[0]
    assert listening <= {f"{address}:{port}", f"127.0.0.1:{port}"} and f"{address}:{port}" in listening


def test_the_cluster_bus_wants_a_certificate(host: Any) -> None:
    bare = "openssl s_client -connect 127.0.0.1:16379 -CAfile /etc/ssl/arxos/ca.crt -tls1_2"
    assert "handshake failure" in host.run(f"{bare} </dev/null 2>&1").stdout
    shown = host.run(f"{bare} -cert /etc/ssl/arxos/host.crt -key /etc/ssl/arxos/host.key </dev/null 2>&1")
    assert shown.rc == 0 and "handshake failure" not in shown.stdout


@pytest.mark.parametrize("port", PORTS)
def test_all_slots_are_served_by_one_master_a_host(host: Any, port: int) -> None:
    facts = dict(line.strip().split(":", 1) for line in redis(host, "CLUSTER INFO", port).splitlines())
    assert (facts["cluster_state"], facts["cluster_slots_ok"]) == ("ok", "16384")
    assert (facts["cluster_known_nodes"], facts["cluster_size"]) == ("6", "3")
    masters = [row for row in nodes(host, port) if "master" in row[2]]
    assert len({address_of(row) for row in masters}) == 3
    counts = []
    for row in masters:
        bounds = [part.partition("-") for part in row[8:]]
        counts.append(sum(int(last or first) - int(first) + 1 for first, _dash, last in bounds))
    assert sum(counts) == 16384 and max(counts) - min(counts) <= 1


def test_every_master_has_its_replica_on_another_host(host: Any) -> None:
    rows = {row[0]: row for row in nodes(host)}
    followed = {row[3]: row for row in rows.values() if "slave" in row[2]}
    assert set(followed) == {ident for ident, row in rows.items() if "master" in row[2]}
    for ident, replica in followed.items():
        assert address_of(rows[ident]) != address_of(replica)
        assert replica[7] == "connected" or "myself" in replica[2]
    for port in PORTS:
        assert "master_link_status:down" not in redis(host, "INFO replication", port)


def test_a_key_written_here_is_read_through_every_other_node(host: Any) -> None:
    key, value = f"test:{uuid.uuid4()}", uuid.uuid4().hex
    assert redis(host, f"-c SET {key} {value} EX 60") == "OK"
    try:
        for row in nodes(host):
            assert redis(host, f"-c GET {key}", int(row[1].split("@")[0].rpartition(":")[2]), address_of(row)) == value
    finally:
        redis(host, f"-c DEL {key}")


def test_writes_survive_a_restart(host: Any) -> None:
    for port in PORTS:
        assert redis(host, "CONFIG GET appendonly", port).split()[-1] == "yes"
        assert host.file(f"/var/lib/redis/{port}/appendonlydir").is_directory


def test_memory_is_bounded_by_the_inventory(host: Any) -> None:
    assert redis(host, "CONFIG GET maxmemory").split()[-1] == str(64 * 1024 * 1024)
    assert redis(host, "CONFIG GET maxmemory-policy").split()[-1] == "allkeys-lru"


def test_instances_start_at_boot_and_debians_default_one_never(host: Any) -> None:
    for port in PORTS:
        unit = host.service(f"redis-server@{port}")
        assert unit.is_running and unit.is_enabled
    assert host.service("redis-server").is_masked and not host.service("redis-server").is_running


def test_the_daemon_can_read_its_password_and_write_no_configuration(host: Any) -> None:
    password = host.file("/etc/redis/password.conf")
    assert (password.user, password.group, password.mode) == ("root", "redis", 0o640)
    assert "ERR" in redis(host, "CONFIG REWRITE")
    assert PASSWORD not in host.check_output("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    properties = host.check_output("systemctl show redis-server@6379 -p NoNewPrivileges -p ProtectSystem -p ReadWritePaths")
    assert "NoNewPrivileges=yes" in properties and "ProtectSystem=strict" in properties and "/etc/redis" not in properties


def test_its_log_is_written_and_rotated(host: Any) -> None:
    assert host.file("/var/log/redis/redis-server-6379.log").size > 0
    assert "/var/log/redis/redis-server-6379.log" in host.run("logrotate -d /etc/logrotate.d/redis-server 2>&1").stdout
