# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from .conftest import templar_of

Render = Callable[..., str]


def directives(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = dict(line.partition(" ")[::2] for line in lines)
    assert len(found) == len(lines), "a directive is there twice"
    return found


@pytest.mark.parametrize("port", [6379, 6380])
def test_an_instance_speaks_tls_only_and_is_in_a_cluster(render: Render, port: int) -> None:
    text = render(
        "redis_cluster", "redis.conf.j2", redis_cluster_port=port, redis_cluster_address="192.0.2.41", redis_cluster_maxmemory="1gb"
    )
    found = directives(text)
    assert (found["port"], found["tls-port"], found["bind"]) == ("0", str(port), "192.0.2.41 127.0.0.1")
    assert found["tls-cluster"] == found["tls-replication"] == found["cluster-enabled"] == found["appendonly"] == "yes"
    assert found["cluster-announce-ip"] == "192.0.2.41"
    assert found["cluster-allow-replica-migration"] == "no"
    assert found["dir"] == f"/var/lib/redis/{port}"
    assert found["logfile"].startswith("/var/log/redis/redis-server"), "what Debian's logrotate file matches"
    assert "requirepass" not in found and found["include"] == "/etc/redis/replication.conf"
    assert found["aclfile"] == "/etc/redis/users.acl" and found["appendfsync"] == "everysec" and found["save"] == "3600 1"


def test_snapshots_and_the_log_can_be_turned_off(render: Render) -> None:
    found = directives(
        render(
            "redis_cluster",
            "redis.conf.j2",
            redis_cluster_port=6379,
            redis_cluster_address="192.0.2.41",
            redis_cluster_maxmemory="1gb",
            redis_cluster_snapshot="",
            redis_cluster_append_only=False,
        )
    )
    assert (found["save"], found["appendonly"]) == ('""', "no")


PASSWORDS = {name: [f"{name}-new", f"{name}-old"] for name in ("admin", "replication", "monitoring", "application")}


def users(text: str) -> dict[str, list[str]]:
    lines = [line.split() for line in text.splitlines()]
    assert all(line[0] == "user" and line[2] == "reset" for line in lines), "Redis takes nothing else in this file"
    assert lines[-1][1] == "default", "who loads the lines one by one as this user needs it until the end"
    return {line[1]: line[3:] for line in lines}


def test_each_purpose_has_a_user_and_no_password_is_written(render: Render) -> None:
    text = render("redis_cluster", "users.acl.j2", redis_cluster_passwords=PASSWORDS, redis_cluster_application_keys=["arxos:*", "x:*"])
    found = users(text)
    assert set(found) == {*PASSWORDS, "default"} and found["default"] == ["off"]
    assert "-new" not in text and "-old" not in text
    for name, passwords in PASSWORDS.items():
        hashes = [f"#{hashlib.sha256(password.encode()).hexdigest()}" for password in passwords]
        assert found[name][:3] == ["on", *hashes]
    assert [word for word in found["application"] if word.startswith("~")] == ["~arxos:*", "~x:*"]
    assert found["application"].index("-@dangerous") > max(found["application"].index(word) for word in ("+@read", "+@write"))
    for name in ("replication", "monitoring"):
        assert not [word for word in found[name] if word[0] in "~&%" or word in ("+@all", "+config|get")]


def test_the_default_user_is_on_only_while_clients_change_over(render: Render) -> None:
    given = {"redis_cluster_passwords": PASSWORDS, "redis_cluster_default_password": "everybody's"}
    line = users(render("redis_cluster", "users.acl.j2", **given))["default"]
    assert line == ["on", f"#{hashlib.sha256(b'everybody' + bytes([39]) + b's').hexdigest()}", "~*", "&*", "+@all"]
    assert render("redis_cluster", "administrators.j2", **given).splitlines() == [
        "admin admin-new",
        "admin admin-old",
        "default everybody's",
    ]


def test_any_password_is_quoted_as_redis_reads_it(render: Render) -> None:
    given = {**PASSWORDS, "replication": ['a "b\\ #ü']}
    found = directives(render("redis_cluster", "replication.conf.j2", redis_cluster_passwords=given))
    assert found == {"masteruser": "replication", "masterauth": '"a \\"b\\\\ #ü"'}


@pytest.mark.parametrize(
    ("given", "memory", "ports", "wanted"),
    [
        ("64mb", 0, [1, 2], "64mb"),
        ("", 3800, [1, 2], "768mb"),
        ("", 16000, [1, 2], "3840mb"),
        ("", 3800, [1], "1600mb"),
        ("", 600, [1, 2], "64mb"),
    ],
)
def test_memory_is_computed_unless_given(render: Render, given: str, memory: int, ports: list[int], wanted: str) -> None:
    facts = {"memtotal_mb": memory}
    text = render(
        "redis_cluster",
        "redis.conf.j2",
        redis_cluster_port=1,
        redis_cluster_address="192.0.2.41",
        redis_cluster_ports=ports,
        redis_cluster_maxmemory=given,
        ansible_facts=facts,
    )
    assert directives(text)["maxmemory"] == wanted
    assert directives(text)["maxmemory-policy"] == "volatile-lru"


MEMBERS = """\
a 192.0.2.41:6379@16379,,tls-port=0,shard-id=x myself,master - 0 0 1 connected 0-5460
b 192.0.2.42:6380@16380,,shard-id=x slave a 0 0 1 connected
c 192.0.2.44:6379@16379 master - 0 0 1 connected 5461-8000
d 192.0.2.44:6380@16380 slave c 0 0 1 connected
e 192.0.2.45:6379@16379 master,fail - 0 0 1 disconnected
f :0@0 slave,noaddr c 0 0 1 disconnected
g 192.0.2.46:6379@16379 handshake - 0 0 1 connected
vars currentEpoch 6 lastVoteEpoch 0
"""


@pytest.mark.parametrize(("text", "wanted"), [(MEMBERS, ["192.0.2.44"]), ("", [])])
def test_who_left_the_inventory_and_still_serves_is_found(text: str, wanted: list[str]) -> None:
    nodes = [{"host": f"cache{number}", "address": f"192.0.2.4{number}"} for number in (1, 2, 3)]
    templar = templar_of("redis_cluster", redis_cluster_nodes=nodes, __redis_cluster_members={"stdout_lines": text.splitlines()})
    assert templar.template(templar.available_variables["__redis_cluster_leaving"]) == wanted


def test_the_unit_lets_redis_read_the_key_and_write_its_data_alone(render: Render) -> None:
    text = render("redis_cluster", "instance.conf.j2")
    assert "SupplementaryGroups=ssl-cert" in text
    assert "ReadWritePaths=\nReadWritePaths=/var/lib/redis /var/log/redis -/run/redis-%i\n" in text
