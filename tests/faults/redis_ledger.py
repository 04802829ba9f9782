# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cache tier of a lab, and a ledger of the writes that it acknowledged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories/lab"
LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
HOSTS = {"cache1": f"{PREFIX}.41", "cache2": f"{PREFIX}.42", "cache3": f"{PREFIX}.43"}
PORTS = (6379, 6380)
CA = "/etc/ssl/arxos/ca.crt"


def secret(purpose: str) -> str:
    return str(yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())[f"vault_redis_{purpose}_password"])


def docker(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, **{"timeout": 60, "check": True, **options})


def playbook(name: str, *arguments: str, inventories: Sequence[str] = (), check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a playbook of the checkout on the lab; raises AssertionError with its end where it fails."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(INVENTORY)]
    for item in inventories:
        command += ["-i", item]
    answer = subprocess.run([*command, name, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    if check:
        assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-2000:]
    return answer


def redis(host: str, *words: str, port: int = 6379, user: str = "admin") -> str:
    """What redis-cli prints on that host, asking its own instance. The password is in the environment alone."""
    environment = {**os.environ, "REDISCLI_AUTH": secret(user)}
    command = ["exec", "-e", "REDISCLI_AUTH", f"{LAB}-{host}", "redis-cli", "-h", "127.0.0.1", "-p", str(port), "--tls", "--cacert", CA]
    return docker(*command, "--user", user, "--no-auth-warning", *words, env=environment, check=False).stdout.strip()


def members(host: str) -> list[list[str]]:
    """The rows of CLUSTER NODES: id, address:port@bus, flags, master, ..., slots."""
    return [line.split() for line in redis(host, "CLUSTER", "NODES").splitlines()]


def masters(host: str) -> dict[tuple[str, int], str]:
    """Those that serve slots, as this host sees them: address and port to id."""
    found = {}
    for row in members(host):
        if "master" in row[2] and "fail" not in row[2] and len(row) > 8:
            address, _colon, port = row[1].split("@")[0].rpartition(":")
            found[address, int(port)] = row[0]
    return found


def unhealthy(hosts: Sequence[str], size: int) -> str:
    """Why not every instance of these hosts sees all slots served, `size` members and its master's writes; nothing when all do."""
    for host in hosts:
        for port in PORTS:
            facts = dict(line.strip().partition(":")[::2] for line in redis(host, "CLUSTER", "INFO", port=port).splitlines())
            seen = (facts.get("cluster_state"), facts.get("cluster_slots_ok"), facts.get("cluster_known_nodes"))
            if seen != ("ok", "16384", str(size)):
                return f"{host} {port} sees {seen}"
            if "master_link_status:down" in redis(host, "INFO", "replication", port=port):
                return f"{host} {port} is a replica that is not in sync"
    return ""


def wait_healthy(hosts: Sequence[str] = tuple(HOSTS), size: int = 6, seconds: float = 60) -> float:
    """Seconds until the cluster was healthy. Raises AssertionError with what is not."""
    begin = time.monotonic()
    while reason := unhealthy(hosts, size):
        assert time.monotonic() - begin < seconds, reason
        time.sleep(0.1)
    return time.monotonic() - begin


@dataclass
class Ledger:
    """What the writer told at its end; empty while it runs."""

    writes: int = 0
    slots: int = 0
    seconds: float = 0.0
    gap: float = 0.0  # seconds that some shard acknowledged nothing to anybody
    slowest: float = 0.0  # seconds that one client waited at most until its write was acknowledged
    errors: int = 0  # that the client library handed to the application
    lost: int = 0  # acknowledged writes that were not there in the end
    gone: int = 0  # of the keys that were written once at the beginning
    first_errors: list[Any] = field(default_factory=list)
    waits: list[Any] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.writes} writes to {self.slots} slots in {self.seconds} s, gap {self.gap:.2f} s, slowest {self.slowest:.2f} s,"
            f" {self.errors} errors, {self.lost} lost, {self.gone} gone"
        )


@contextmanager
def ledger(host: str = "cache1", writers: int = 6, extra: int = 0) -> Iterator[Ledger]:
    """Writes from `host` while the block runs; afterwards the ledger holds the report."""
    found = Ledger()
    nodes = ",".join(f"{address}:{port}" for address in HOSTS.values() for port in PORTS)
    program = (Path(__file__).parent / "redis_writer.py").read_text()
    command = [
        "docker",
        "exec",
        "-i",
        "-e",
        "REDIS_PASSWORD",
        f"{LAB}-{host}",
        "python3",
        "-c",
        program,
        nodes,
        CA,
        str(writers),
        str(extra),
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "REDIS_PASSWORD": secret("application")},
    )
    assert process.stdout and process.stdin
    try:
        first = process.stdout.readline()
        assert first == "started\n", first + (process.communicate()[1])[-2000:]
        yield found
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err[-2000:]
        for name, value in json.loads(out).items():
            setattr(found, name, value)
        print(f"ledger: {found}")
    finally:
        if process.poll() is None:
            process.kill()  # its input ends with it, and so does the writer
            process.wait()
