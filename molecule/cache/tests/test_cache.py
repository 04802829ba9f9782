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
HOSTS = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]["cache"]["hosts"]
ZONES = {facts["arxos_address"].replace("{{ lab_prefix }}", PREFIX): facts["arxos_zone"] for facts in HOSTS.values()}
VAULT = yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())
PASSWORDS = {name: VAULT[f"vault_redis_{name}_password"] for name in ("admin", "replication", "monitoring", "application")}
PORTS = (6379, 6380)

testinfra_hosts = [f"docker://{LAB}-{host}" for host in HOSTS]


def redis(host: Any, arguments: str, port: int = 6379, address: str = "127.0.0.1", user: str = "admin", tls: bool = True) -> str:
    """What redis-cli prints, with errors in it. The password is never an argument."""
    secure = "--tls --cacert /etc/ssl/arxos/ca.crt" if tls else ""
    command = f"redis-cli -h {address} -p {port} --no-auth-warning {secure} {f'--user {user}' if user else ''} {arguments} 2>&1"
    secret = f"REDISCLI_AUTH={shlex.quote(PASSWORDS.get(user, 'wrong'))} " if user else ""
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
def test_without_a_user_and_its_password_nothing_is_answered(host: Any, port: int) -> None:
    assert redis(host, "PING", port, user="").startswith("NOAUTH")
    assert "WRONGPASS" in redis(host, "PING", port, user="default")
    assert "WRONGPASS" in redis(host, "PING", port, user="nobody")


@pytest.mark.parametrize("port", PORTS)
def test_every_instance_has_the_same_users_and_default_is_off(host: Any, port: int) -> None:
    lines = redis(host, "ACL LIST", port).splitlines()
    state = {line.split()[1]: line.split()[2] for line in lines}
    assert state == {"admin": "on", "application": "on", "default": "off", "monitoring": "on", "replication": "on"}
    assert not [secret for secret in PASSWORDS.values() if secret in "".join(lines)]


REFUSED = {
    "application": ["CONFIG GET x", "ACL LIST", "FLUSHALL", "KEYS x", "CLUSTER FAILOVER", "CLUSTER RESET", "SHUTDOWN",
                    "MONITOR", "EVAL 'return 1' 0", "SCRIPT LOAD x", "CLIENT KILL TYPE normal", "PUBLISH x y", "MIGRATE h 1 k 0 1", "GET other"],
    "monitoring": ["GET arxos:x", "SET arxos:x 1", "CONFIG GET masterauth", "CONFIG SET maxmemory 1", "ACL LIST", "CLUSTER FAILOVER", "DBSIZE x"],
    "replication": ["GET arxos:x", "INFO", "CLUSTER NODES", "CONFIG GET masterauth"],
}  # fmt: skip
ALLOWED = {
    "application": ["PING", "CLUSTER SLOTS", "CLUSTER SHARDS", "INFO", "COMMAND COUNT", "READONLY", "HELLO 3", "CLIENT SETNAME x"],
    "monitoring": ["PING", "INFO", "CLUSTER INFO", "CLUSTER NODES", "SLOWLOG GET 0", "LATENCY LATEST", "CLIENT LIST", "DBSIZE", "ROLE"],
    "replication": ["PING"],
}


@pytest.mark.parametrize("user", list(REFUSED))
def test_a_user_may_do_what_it_is_for_and_nothing_else(host: Any, user: str) -> None:
    for command in REFUSED[user]:
        answer = redis(host, command, user=user)
        assert answer.startswith(("NOPERM", "ERR wrong number")), f"{command}: {answer}"
    for command in ALLOWED[user]:
        answer = redis(host, command, user=user)
        assert not answer.startswith(("NOPERM", "ERR", "WRONGPASS")), f"{command}: {answer}"


def test_replicas_copy_their_masters_as_their_own_user(host: Any) -> None:
    for port in PORTS:
        if "role:slave" in redis(host, "INFO replication", port):
            assert redis(host, "CONFIG GET masteruser", port).split()[-1] == "replication"
            break
    else:
        pytest.fail("this host has no replica")


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
        zones = [ZONES[address_of(row)] for row in (rows[ident], replica)]
        assert zones[0] != zones[1], "a shard is lost with its zone"
    for port in PORTS:
        assert "master_link_status:down" not in redis(host, "INFO replication", port)


def test_a_key_written_here_is_read_through_every_other_node(host: Any) -> None:
    key, value = f"arxos:test:{uuid.uuid4()}", uuid.uuid4().hex
    assert redis(host, f"-c SET {key} {value} EX 60", user="application") == "OK"
    try:
        for row in nodes(host):
            port = int(row[1].split("@")[0].rpartition(":")[2])
            assert redis(host, f"-c GET {key}", port, address_of(row), user="application") == value
    finally:
        redis(host, f"-c DEL {key}")


def test_writes_survive_a_restart(host: Any) -> None:
    for port in PORTS:
        assert redis(host, "CONFIG GET appendonly", port).split()[-1] == "yes"
        assert redis(host, "CONFIG GET appendfsync", port).split()[-1] == "everysec"
        assert redis(host, "CONFIG GET save", port).split()[1:] == ["3600", "1"]
        assert host.file(f"/var/lib/redis/{port}/appendonlydir").is_directory


def test_memory_is_bounded_by_the_inventory(host: Any) -> None:
    assert redis(host, "CONFIG GET maxmemory").split()[-1] == str(64 * 1024 * 1024)
    assert redis(host, "CONFIG GET maxmemory-policy").split()[-1] == "volatile-lru"


def test_instances_start_at_boot_and_debians_default_one_never(host: Any) -> None:
    for port in PORTS:
        unit = host.service(f"redis-server@{port}")
        assert unit.is_running and unit.is_enabled
    assert host.service("redis-server").is_masked and not host.service("redis-server").is_running


def test_secrets_are_readable_by_whom_they_are_for_and_no_configuration_is_written(host: Any) -> None:
    for name, group, mode in (("users.acl", "redis", 0o640), ("replication.conf", "redis", 0o640), ("administrators", "root", 0o600)):
        file = host.file(f"/etc/redis/{name}")
        assert (file.user, file.group, file.mode) == ("root", group, mode)
    assert not [secret for secret in PASSWORDS.values() if secret in host.check_output("cat /etc/redis/users.acl")]
    assert "ERR" in redis(host, "CONFIG REWRITE") and "ERR" in redis(host, "ACL SAVE")
    shown = host.check_output("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert not [secret for secret in PASSWORDS.values() if secret in shown]
    properties = host.check_output("systemctl show redis-server@6379 -p NoNewPrivileges -p ProtectSystem -p ReadWritePaths")
    assert "NoNewPrivileges=yes" in properties and "ProtectSystem=strict" in properties and "/etc/redis" not in properties


def test_users_are_loaded_without_a_restart(host: Any) -> None:
    before = redis(host, "INFO server")
    redis(host, "ACL SETUSER stray on nopass +ping")
    assert host.run("systemctl restart arxos-redis-users").rc == 0
    assert "stray" not in redis(host, "ACL USERS")
    run = next(line for line in before.splitlines() if line.startswith("run_id:"))
    assert run.strip() in redis(host, "INFO server")


def test_huge_pages_are_not_forced_on_redis(host: Any) -> None:
    """Where the kernel gives them to everybody, Redis refuses them for itself; to those that ask, which it does not, they do no harm."""
    always = "[always]" in host.check_output("cat /sys/kernel/mm/transparent_hugepage/enabled")
    for port in PORTS:
        assert redis(host, "CONFIG GET disable-thp", port).split()[-1] == "yes"
        pid = host.check_output(f"systemctl show -P MainPID redis-server@{port}")
        assert not always or host.check_output(f"grep THP_enabled /proc/{pid}/status").split()[-1] == "0"


def test_its_log_is_written_and_rotated(host: Any) -> None:
    assert host.file("/var/log/redis/redis-server-6379.log").size > 0
    assert "/var/log/redis/redis-server-6379.log" in host.run("logrotate -d /etc/logrotate.d/redis-server 2>&1").stdout
