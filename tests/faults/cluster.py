# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The database tier of a lab: what can be done to it, whether it is whole, and what its clients and members saw meanwhile.

Which lab it is comes from LAB_NAME and LAB_PREFIX, as everywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .ledger import NOT_READ, NOT_WRITTEN, READ_DONE, RETRIED, WRITTEN, Gap, Ledger, Sight, Term, parse, two_writers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INVENTORY = ROOT / "inventories/lab"
# How clients on an application host come to the database: by the endpoints themselves (role database_endpoint), or as the application does, by the
# pools before them (role connection_pool).
ENDPOINT = {
    "connection": {"host": "postgresql.arxos.internal", "options": "-c statement_timeout=10s -c lock_timeout=5s"},
    "write": {"port": 5000, "dbname": "arxos_production"},
    "read": {"port": 5001, "dbname": "arxos_production"},
}
POOL = {
    "connection": {"host": "localhost"},
    "write": {"port": 6432, "dbname": "arxos_production"},
    "read": {"port": 6432, "dbname": "arxos_production_ro"},
}

CUT = """
table inet cut {
    chain incoming { type filter hook input priority -300; policy drop; iif lo accept; }
    chain outgoing { type filter hook output priority -300; policy drop; oif lo accept; }
}
"""

LOST = """
table inet lost {
    chain archive { type filter hook output priority -300; tcp dport 8334 drop; }
}
"""


def until(seconds: float, true: Callable[[], Any], what: str) -> Any:
    """The first true answer; fails when the time is up. An error of a host that is away counts as no."""
    began = time.monotonic()
    while True:
        answer: Any = None
        with contextlib.suppress(HostError, subprocess.TimeoutExpired):
            answer = true()
        if answer:
            return answer
        assert time.monotonic() - began < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.3)


class HostError(Exception):
    """A command on a host failed."""


@dataclass(frozen=True)
class EtcdMember:
    """A member of etcd: its number as etcdctl wants it, and whether it leads."""

    number: str
    leads: bool


class Cluster:
    """The members, by their names in the inventory, and how to hurt and mend them. What was done to them is undone by `heal`."""

    def __init__(self) -> None:
        self.lab = os.environ.get("LAB_NAME", "arxos-lab")
        groups = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]
        self.members = list(groups["database"]["hosts"])
        self.apps = list(groups["app"]["hosts"])
        prefix = os.environ.get("LAB_PREFIX", "172.30.20")
        self.addresses = {
            name: host["arxos_address"].replace("{{ lab_prefix }}", prefix)
            for group in groups.values()
            for name, host in group["hosts"].items()
        }
        self.repairs: list[Callable[[], Any]] = []

    @property
    def secrets(self) -> dict[str, str]:
        return yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())

    # What hosts are asked -------------------------------------------------------------------------------------------

    def run(self, host: str, *command: str, user: str = "root", given: str = "", check: bool = True, timeout: float = 60) -> str:
        """Standard output of a command on a host."""
        words = ["docker", "exec", "-i", "-u", user, f"{self.lab}-{host}", *command]
        done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise HostError(f"{host}: {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def docker(self, verb: str, host: str, *more: str) -> str:
        done = subprocess.run(["docker", verb, *more, f"{self.lab}-{host}"], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    def sql(self, member: str, query: str, database: str = "arxos_production") -> str:
        """A query of the superuser over the member's own socket."""
        command = ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", query]
        return self.run(member, *command, user="postgres", timeout=20)

    def patroni(self, member: str, path: str, *options: str) -> Any:
        """What Patroni's REST API of a member answers."""
        url = f"https://{self.addresses[member]}:8008/{path}"
        return json.loads(self.run(member, "curl", "-sS", "--max-time", "5", "--cacert", "/etc/ssl/arxos/ca.crt", *options, url))

    def etcd(self, endpoint: str, *words: str) -> str:
        """What etcdctl says to the members of etcd at these URLs."""
        member = next(name for name in self.members if self.addresses[name] in endpoint)
        command = f"set -a; . /etc/default/etcd; ETCDCTL_ENDPOINTS={endpoint} exec etcdctl --command-timeout=5s {' '.join(words)}"
        return self.run(member, "sh", "-c", command)

    def etcd_members(self) -> dict[str, EtcdMember]:
        """The members of etcd that answer, by their URLs."""
        urls = ",".join(f"https://{self.addresses[name]}:2379" for name in self.members)
        fields = [line.split(", ") for line in self.etcd(urls, "endpoint", "status").splitlines()]
        return {url: EtcdMember(number, leads == "true") for url, number, _version, _size, leads, *_rest in fields}

    def members_seen(self) -> dict[str, dict[str, Any]]:
        """The members as Patroni knows them, from the first that answers."""
        for member in self.members:
            with contextlib.suppress(HostError, ValueError, subprocess.TimeoutExpired):
                return {seen["name"]: seen for seen in self.patroni(member, "cluster")["members"]}
        raise HostError("no member's Patroni answers")

    def leaders(self) -> list[str]:
        """Members that are no replicas, by their own word."""
        found = []
        for member in self.members:
            with contextlib.suppress(HostError, subprocess.TimeoutExpired):
                if self.sql(member, "SELECT pg_is_in_recovery()", "postgres") == "f":
                    found.append(member)
        return found

    @property
    def leader(self) -> str:
        found = self.leaders()
        if len(found) != 1:
            raise HostError(f"leaders: {found}")
        return found[0]

    def successor(self) -> str:
        """The replica that commits wait for, and that may take over."""
        found = [name for name, seen in self.members_seen().items() if seen["role"] in ("sync_standby", "quorum_standby")]
        if not found:
            raise HostError("no replica may take over")
        return found[0]

    def faults(self) -> list[str]:
        """What the tier lacks to be whole: one leader, every other member streaming from it on its timeline, one that may take over, all of etcd."""
        try:
            leader, seen = self.leader, self.members_seen()
        except HostError as error:
            return [str(error)]
        found = [f"{name} is not a member" for name in self.members if name not in seen]
        for name, member in seen.items():
            if member["state"] not in ("running", "streaming") or (member.get("timeline") != seen[leader].get("timeline")):
                found.append(f"{name} is {member['state']} on timeline {member.get('timeline')}")
        streaming = self.sql(leader, "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'").split()
        found += [f"{name} does not stream" for name in self.members if name not in (leader, *streaming)]
        try:
            self.successor()
        except HostError as error:
            found.append(str(error))
        for name in self.members:
            with contextlib.suppress(HostError):
                if '"health":"true"' in self.run(name, "curl", "-sS", "--max-time", "3", "http://127.0.0.1:2381/health"):
                    continue
            found.append(f"etcd of {name} is not healthy")
        return found

    def wait_until_whole(self, seconds: float = 120) -> float:
        """Seconds that it took."""
        began = time.monotonic()
        while found := self.faults():
            assert time.monotonic() - began < seconds, f"after {seconds} s: {'; '.join(found)}"
            time.sleep(0.5)
        return time.monotonic() - began

    # What is done to them --------------------------------------------------------------------------------------------

    def postmaster(self, member: str) -> str:
        """Process number of the member's PostgreSQL, as the member counts."""
        return self.run(member, "sh", "-c", "head -n 1 /var/lib/postgresql/*/main/postmaster.pid")

    def kill_host(self, host: str) -> None:
        """As when the power fails: every process ends at once."""
        self.repairs.append(lambda: self.start_host(host))
        self.docker("kill", host)

    def start_host(self, host: str) -> None:
        self.docker("start", host)

    def cut(self, host: str) -> None:
        """As when the cable is pulled: packets vanish both ways, and nobody is told."""
        self.repairs.append(lambda: self.join(host))
        self.run(host, "nft", "-f", "-", given=CUT)

    def join(self, host: str) -> None:
        self.run(host, "nft", "delete", "table", "inet", "cut", check=False)

    def lose_archive(self) -> None:
        """Packets to S3 vanish on every member, which is worse than a refusal: each attempt is waited for."""
        for member in self.members:
            self.repairs.append(lambda member=member: self.run(member, "nft", "delete", "table", "inet", "lost", check=False))
            self.run(member, "nft", "-f", "-", given=LOST)

    def stop(self, host: str, unit: str) -> None:
        self.repairs.append(lambda: self.start(host, unit))
        self.run(host, "systemctl", "kill", "--signal=KILL", unit, check=False)
        self.run(host, "systemctl", "stop", unit)

    def start(self, host: str, unit: str) -> None:
        self.run(host, "systemctl", "start", unit)

    def switchover(self, leader: str, candidate: str) -> None:
        """Ask Patroni for another leader."""
        call = f'user = "patroni:{self.secrets["vault_patroni_restapi_password"]}"\n'
        data = json.dumps({"leader": leader, "candidate": candidate})
        command = [
            "curl",
            "-sSf",
            "-K",
            "-",
            "--cacert",
            "/etc/ssl/arxos/ca.crt",
            "-d",
            data,
            f"https://{self.addresses[leader]}:8008/switchover",
        ]
        self.run(leader, *command, given=call)

    def play(self, playbook: str, *arguments: str) -> None:
        """Run one of our playbooks on the lab."""
        command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(INVENTORY), str(ROOT / "playbooks" / playbook), *arguments]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout[-3000:]

    def heal(self) -> None:
        """Undo what was done, the last first."""
        while self.repairs:
            self.repairs.pop()()


@dataclass
class Report:
    """What one fault came to."""

    gap: Gap
    worst: Gap
    acknowledged: int
    lost: list[str]
    two_writers: list[tuple[Term, Term]]
    reads: int
    retried: int
    not_read: dict[str, int]
    errors: dict[str, int]
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def __str__(self) -> str:
        return (
            f"{self.gap.seconds:5.1f} s without writes (one writer {self.worst.seconds:.1f}), "
            f"{len(self.lost)} of {self.acknowledged} acknowledged writes lost, "
            f"{sum(self.not_read.values())} of {self.reads} reads failed ({self.retried} at the second attempt), load {self.load:.1f}"
        )


class Observation:
    """Clients that write and read through the endpoints of an application host, and a watcher in every member, for as long as the block lasts."""

    def __init__(self, cluster: Cluster, writers: int = 4, readers: int = 2, way: dict[str, dict[str, Any]] | None = None) -> None:
        self.cluster, self.writers, self.readers, self.way = cluster, writers, readers, way or ENDPOINT
        self.mark = f"ledger-{uuid.uuid4().hex[:8]}"
        self.sights: list[Sight] = []
        self.began = self.ended = 0.0
        self._over = threading.Event()
        self._watchers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Observation:
        cluster = self.cluster
        cluster.sql(cluster.leader, f"INSERT INTO arxos_prod.buildings (name) VALUES ('{self.mark}')")
        for member in cluster.members:
            until(20, lambda member=member: self._rows(member, self.mark) == {self.mark}, f"the row of the readers on {member}")
        for member in cluster.members:
            threading.Thread(target=self._watch, args=(member,), daemon=True).start()
        self._folder = tempfile.TemporaryDirectory()
        self._output = Path(self._folder.name) / "ledger"
        certificate = Path(self._folder.name) / "ca.crt"
        certificate.write_text(cluster.secrets["vault_certificates_ca_certificate"])
        order = {
            "connection": {
                **self.way["connection"],
                "hostaddr": "127.0.0.1",
                "user": "arxos_application",
                "password": cluster.secrets["vault_postgresql_application_password"],
                "sslmode": "verify-full",
                "sslrootcert": str(certificate),
                "connect_timeout": 3,
                "tcp_user_timeout": 5000,
                "application_name": "ledger",
            },
            "mark": self.mark,
            "write": self.way["write"],
            "read": self.way["read"],
            "writers": self.writers,
            "readers": self.readers,
            "pause": 0.02,
        }
        network = cluster.docker("inspect", cluster.apps[0], "-f", "{{.State.Pid}}")
        with self._output.open("wb") as out:
            self._program = subprocess.Popen(
                ["nsenter", f"--net=/proc/{network}/ns/net", sys.executable, str(HERE / "ledger.py")],
                stdin=subprocess.PIPE,
                stdout=out,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            )
        assert self._program.stdin
        self._program.stdin.write(json.dumps(order).encode() + b"\n")
        self._program.stdin.flush()
        try:
            until(20, self._flows, "writes and reads through the endpoints, and a watcher in every member")
        except BaseException:
            self.__exit__()
            raise
        self.began = time.monotonic()
        return self

    def __exit__(self, *_ignored: object) -> None:
        self.ended = time.monotonic()
        assert self._program.stdin
        self._program.stdin.close()
        self._program.wait(timeout=10)
        self._over.set()
        for watcher in self._watchers:
            watcher.kill()
            watcher.wait()
        self._lines = parse(self._output.read_text().splitlines())
        self._folder.cleanup()

    def _watch(self, member: str) -> None:
        """Keep a watcher running in a member, also across its death."""
        command = [
            "docker",
            "exec",
            "-i",
            "-u",
            "postgres",
            f"{self.cluster.lab}-{member}",
            "python3",
            "-c",
            (HERE / "watch.py").read_text(),
        ]
        while not self._over.is_set():
            watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self._watchers.append(watcher)
            assert watcher.stdout
            for line in watcher.stdout:
                with contextlib.suppress(ValueError):  # the end of one that was killed
                    state, began, ended = json.loads(line)
                    self.sights.append(Sight(member, state, began, ended))
            self._over.wait(0.3)

    def _flows(self) -> bool:
        kinds = [(line.kind, line.worker) for line in self.lines()]
        clients = {worker for kind, worker in kinds if kind in (WRITTEN, READ_DONE)}
        return len(clients) == self.writers + self.readers and {sight.member for sight in self.sights} == set(self.cluster.members)

    def _rows(self, member: str, pattern: str) -> set[str]:
        return set(self.cluster.sql(member, f"SELECT name FROM arxos_prod.buildings WHERE name LIKE '{pattern}'").split())

    def lines(self) -> list[Any]:
        """What the clients were told up to now."""
        return parse(self._output.read_text().splitlines())

    def writes_again(self, since: float, seconds: float = 60) -> None:
        """Wait until every writer wrote after that moment."""

        def all_wrote() -> bool:
            return len({line.worker for line in self.lines() if line.kind == WRITTEN and line.began > since}) == self.writers

        until(seconds, all_wrote, "every writer writes again")

    def keep_on(self, seconds: float) -> None:
        """Look on for a while."""
        time.sleep(seconds)

    def report(self, began: float = 0.0) -> Report:
        """What it came to, counted from the moment of the fault. To be called after the block, when the tier is whole again: every member must
        have every acknowledged row."""
        ledger = Ledger(self.mark, self._lines)
        cluster = self.cluster
        lost = ledger.lost(self._rows(cluster.leader, f"{self.mark}-%"))
        for member in cluster.members:
            until(30, lambda member=member: set(lost) == set(ledger.lost(self._rows(member, f"{self.mark}-%"))), f"every row on {member}")
        cluster.sql(cluster.leader, f"DELETE FROM arxos_prod.buildings WHERE name LIKE '{self.mark}%'")
        window = (began or self.began, self.ended)
        return Report(
            gap=ledger.gap(*window),
            worst=ledger.worst_writer(*window),
            acknowledged=len(ledger.acknowledged),
            lost=lost,
            two_writers=two_writers(self.sights),
            reads=len(ledger.of(READ_DONE, RETRIED, NOT_READ)),
            retried=len(ledger.of(RETRIED)),
            not_read=ledger.errors(NOT_READ),
            errors=ledger.errors(NOT_WRITTEN),
        )
