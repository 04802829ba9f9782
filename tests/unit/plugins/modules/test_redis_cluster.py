# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module as Ansible runs it, on a client library made here: what it answers, what it refuses, and that no secret is in either."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils import _redis_cluster
from ansible_collections.arxos.platform.plugins.modules import redis_cluster

SECRET = "s3cret-s3cret"
NODES = [{"address": f"10.0.0.{host}", "port": port, "host": f"cache{host}"} for host in (1, 2, 3) for port in (6379, 6380)]


class RedisError(Exception):
    pass


class ConnectionFailed(RedisError):
    pass


class ResponseError(RedisError):
    pass


class AuthenticationError(RedisError):
    pass


class BusyLoadingError(RedisError):
    pass


class FakeConnection:
    """A cluster at rest, in which every instance says the same of all."""

    fault: Exception | None = None
    user = "default"
    nodes: str = ""

    def __init__(self, **options: Any) -> None:
        assert options["ssl_check_hostname"] is True and options["ssl_cert_reqs"] == "required"
        assert (options["username"], options["password"]) == (self.user, SECRET)
        self.name = f"{options['host']}:{options['port']}"
        self.waiting: list[str] = []

    def connect(self) -> None:
        if self.fault is not None:
            raise self.fault

    def disconnect(self) -> None:
        pass

    def pack_commands(self, commands: Sequence[Sequence[Any]]) -> list[str]:
        return [" ".join(map(str, command)) for command in commands]

    def send_packed_command(self, commands: list[str]) -> None:
        self.waiting += commands

    def read_response(self) -> Any:
        command = self.waiting.pop(0)
        own = self.nodes.replace(f"{self.name}@1 ", f"{self.name}@1 myself,")
        role = "slave" if "myself,slave" in own else "master"
        answers: dict[str, Any] = {
            "CLUSTER NODES": own.encode(),
            "DBSIZE": 5,
            "CLUSTER INFO": b"cluster_state:ok\r\ncluster_slots_ok:16384\r\n",
            "INFO replication": f"role:{role}\r\nmaster_link_status:up\r\n".encode(),
        }
        if command not in answers:
            raise ResponseError(f"ERR no {command.split()[0]} here")
        return answers[command]


def at_rest() -> str:
    places = [_redis_cluster.Place(**item) for item in NODES]
    bare = {
        str(place): _redis_cluster.Node(
            str(place), place.address, place.port, place, "master", None, set(), {}, {}, True, False, 0, index == 0
        )
        for index, place in enumerate(places)
    }
    lines = []
    for node in _redis_cluster.plan(bare, places).nodes.values():
        role = "slave" if node.role == "replica" else "master"
        lines.append(f"{node.id} {node}@1 {role} {node.master or '-'} 0 0 1 connected {_redis_cluster.ranges(node.slots)}")
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = SimpleNamespace(
        RedisError=RedisError, ResponseError=ResponseError, AuthenticationError=AuthenticationError, BusyLoadingError=BusyLoadingError
    )
    monkeypatch.setattr(redis_cluster, "redis", SimpleNamespace(SSLConnection=FakeConnection, exceptions=errors), raising=False)
    monkeypatch.setattr(redis_cluster, "HAS_REDIS", True)
    monkeypatch.setattr(FakeConnection, "fault", None)
    monkeypatch.setattr(FakeConnection, "nodes", at_rest())


@pytest.fixture
def ca_cert(tmp_path: Path) -> str:
    (tmp_path / "ca.crt").write_text("x")
    return str(tmp_path / "ca.crt")


def run(capsys: pytest.CaptureFixture[str], **given: Any) -> dict[str, Any]:
    with patch_module_args(given), pytest.raises(SystemExit):
        redis_cluster.main()
    return json.loads(capsys.readouterr().out)


def test_a_right_cluster_is_left_alone(capsys: pytest.CaptureFixture[str], ca_cert: str) -> None:
    answer = run(capsys, nodes=NODES, password=SECRET, ca_cert=ca_cert, _ansible_diff=True)
    assert (answer["changed"], answer["steps"]) == (False, [])
    assert answer["diff"]["before"] == answer["diff"]["after"]
    assert [shard["count"] for shard in answer["topology"]] == [5462, 5461, 5461]


def test_it_speaks_as_the_user_that_is_given(capsys: pytest.CaptureFixture[str], ca_cert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeConnection, "user", "admin")
    assert run(capsys, nodes=NODES, user="admin", password=SECRET, ca_cert=ca_cert, state="balanced")["steps"] == []


def test_check_mode_tells_what_draining_would_do(capsys: pytest.CaptureFixture[str], ca_cert: str) -> None:
    answer = run(
        capsys, nodes=NODES, password=SECRET, ca_cert=ca_cert, state="drained", host="cache1", _ansible_check_mode=True, _ansible_diff=True
    )
    assert answer["changed"] and answer["steps"] == ["10.0.0.3:6380 takes over from 10.0.0.1:6379"]
    assert answer["diff"]["before"] != answer["diff"]["after"]


def test_what_a_server_refuses_is_told_without_arguments(capsys: pytest.CaptureFixture[str], ca_cert: str) -> None:
    answer = run(capsys, nodes=NODES, password=SECRET, ca_cert=ca_cert, state="drained", host="cache1", timeout=1)
    assert answer["failed"] and "refuses CLUSTER FAILOVER: ERR no CLUSTER here" in answer["msg"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (AuthenticationError("invalid"), "10.0.0.1:6379 refuses user and password: invalid"),
        (ResponseError("WRONGPASS invalid"), "10.0.0.1:6379 refuses user and password: WRONGPASS invalid"),
        (ResponseError("ERR This instance has cluster support disabled"), "10.0.0.1:6379 refuses: ERR This instance has cluster"),
        (ConnectionFailed("[SSL: CERTIFICATE_VERIFY_FAILED]"), "10.0.0.1:6379 shows a certificate that does not hold"),
        (ConnectionFailed("refused"), "all instances answer: not within 0 s: 10.0.0.1:6379 does not answer: refused"),
        (OSError("no route"), "10.0.0.1:6379 does not answer: no route"),
        (BusyLoadingError("LOADING"), "10.0.0.1:6379 is loading its data"),
    ],
)
def test_every_fault_of_a_connection_is_a_message(
    capsys: pytest.CaptureFixture[str], ca_cert: str, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: str
) -> None:
    monkeypatch.setattr(FakeConnection, "fault", fault)
    answer = run(capsys, nodes=NODES, password=SECRET, ca_cert=ca_cert, timeout=0)
    assert answer["failed"] and told in answer["msg"]
    assert SECRET not in answer["msg"]


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, ["missing required arguments: ca_cert, nodes, password"]),
        ({"nodes": "nonsense"}, ["nodes"]),
        ({"nodes": [5]}, ["nodes"]),
        ({"nodes": [{"port": "x"}]}, ["missing required arguments: address, host", "'x'"]),
        ({"nodes": NODES, "password": SECRET, "ca_cert": "/nowhere/ca.crt"}, ["ca_cert /nowhere/ca.crt cannot be read"]),
        (
            {"nodes": NODES[:3], "user": "", "password": "", "ca_cert": "/nowhere/ca.crt", "replicas": 8, "timeout": "nan"},
            ["replicas is 8", "user is empty", "password is empty", "timeout is nan", "ca_cert"],
        ),
        ({"nodes": NODES, "password": SECRET, "ca_cert": "/dev/null", "state": "drained"}, ["host"]),
        ({"nodes": NODES, "password": SECRET, "ca_cert": "/dev/null", "state": "drained", "host": "x"}, ["host x is none of those"]),
        ({"nodes": NODES, "password": SECRET, "ca_cert": "/dev/null", "timeout": "inf"}, ["timeout is inf"]),
        ({"nodes": NODES * 2, "password": SECRET, "ca_cert": "/dev/null"}, ["10.0.0.1:6379 is listed twice"]),
        ({"nodes": [], "password": SECRET, "ca_cert": "/dev/null"}, ["3 hosts and 3 masters at least"]),
    ],
)
def test_wrong_arguments_are_named(capsys: pytest.CaptureFixture[str], given: dict[str, Any], faults: list[str]) -> None:
    answer = run(capsys, **given)
    assert answer["failed"] and "exception" not in answer
    for fault in faults:
        assert fault in answer["msg"]


def test_a_missing_library_is_named(capsys: pytest.CaptureFixture[str], ca_cert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_cluster, "HAS_REDIS", False)
    assert "python3-redis" in run(capsys, nodes=NODES, password=SECRET, ca_cert=ca_cert)["msg"]
