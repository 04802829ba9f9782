# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab as these tests see it: playbooks through ansible-runner, hosts through Docker, the API through its front door.

Which lab it is comes from LAB_NAME and LAB_PREFIX, as everywhere.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import requests
import yaml
from passlib.totp import TOTP

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = "api.arxos.test"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: left out of `make test`, which has an hour; a file that is asked for by its name runs it")


@dataclass
class Played:
    """What a playbook run was: exit code, recap and events, as ansible-runner gives them."""

    rc: int
    stats: dict[str, dict[str, int]]
    events: list[dict[str, Any]]
    stdout: str

    @property
    def changed(self) -> dict[str, int]:
        """Hosts that were changed, and how often."""
        return {host: count for host, count in self.stats.get("changed", {}).items() if count}

    def changes(self) -> list[str]:
        """Each change as host and task, to read when there should have been none."""
        return [
            f"{event['event_data'].get('host')}: {event['event_data'].get('task')}"
            for event in self.events
            if event["event"] == "runner_on_ok" and event["event_data"].get("res", {}).get("changed")
        ]


class Lab:
    """One lab: its names, addresses, hosts and secrets."""

    def __init__(self) -> None:
        self.name = os.environ.get("LAB_NAME", "arxos-lab")
        self.prefix = os.environ.get("LAB_PREFIX", "172.30.20")
        self.address = f"{self.prefix}.100"
        inventory = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())["all"]["children"]
        self.tiers = {tier: list(group["hosts"]) for tier, group in inventory.items()}
        self.hosts = [host for hosts in self.tiers.values() for host in hosts]

    @property
    def secrets(self) -> dict[str, str]:
        """The lab's secrets, made by generate_secrets.yml."""
        return yaml.safe_load((ROOT / "inventories/lab/group_vars/all/vault.yml").read_text())

    def play(self, playbook: str, arguments: str = "", timeout: int = 1200) -> Played:
        """Runs a playbook to its end through ansible-runner."""
        with tempfile.TemporaryDirectory() as private:
            run = ansible_runner.run(
                private_data_dir=private,
                project_dir=str(ROOT),
                playbook=f"playbooks/{playbook}",
                inventory=str(ROOT / "inventories/lab"),
                cmdline=arguments or None,
                envvars={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LAB_NAME": self.name, "LAB_PREFIX": self.prefix},
                timeout=timeout,
                quiet=True,
            )
            return Played(run.rc, run.stats or {}, list(run.events), run.stdout.read())

    def command(self, playbook: str, *arguments: str) -> list[str]:
        """The command line of a playbook, for tests that start it themselves."""
        return [
            str(ROOT / ".venv/bin/ansible-playbook"),
            "-i",
            str(ROOT / "inventories/lab"),
            str(ROOT / "playbooks" / playbook),
            *arguments,
        ]

    def run(self, host: str, *command: str, check: bool = True) -> str:
        """Standard output of a command on a host."""
        done = subprocess.run(["docker", "exec", f"{self.name}-{host}", *command], capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode:
            raise AssertionError(f"{host}: {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def sql(self, host: str, query: str) -> str:
        """Result of a query in the platform's database, on that host's own PostgreSQL."""
        return self.run(host, "runuser", "-u", "postgres", "--", "psql", "-XAtq", "-d", "arxos_production", "-c", query)

    def release(self, host: str) -> str:
        """The application release that is live on a host."""
        return Path(self.run(host, "readlink", "/opt/arxos/current")).name


class Api:
    """The API through its front door, as a user has it: by name, over verified TLS."""

    def __init__(self, lab: Lab, ca: Path) -> None:
        self.lab = lab
        self.base = f"https://{DOMAIN}"
        self.session = requests.Session()
        self.session.trust_env = False  # REQUESTS_CA_BUNDLE of the machine would win over the platform's CA
        self.session.verify = str(ca)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """GET, with a time limit."""
        return self.session.get(self.base + path, timeout=30, **kwargs)

    def post(self, path: str, **kwargs: Any) -> requests.Response:
        """POST, with a time limit."""
        return self.session.post(self.base + path, timeout=60, **kwargs)

    def login(self) -> str:
        """An access token of the administrator, with the second factor."""
        secrets = self.lab.secrets
        otp = TOTP(key=secrets["vault_arxos_api_admin_totp_secret"]).generate().token
        answer = self.post(
            "/api/v1/auth/login", json={"username": "admin", "password": secrets["vault_arxos_api_admin_password"], "otp": otp}
        )
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"
        return token


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab under test."""
    return Lab()


@pytest.fixture(scope="session")
def ca(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The platform's CA, in a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.crt"
    path.write_text(lab.secrets["vault_certificates_ca_certificate"])
    return path


@pytest.fixture
def api(lab: Lab, ca: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A client of the API. The lab's name is in no DNS: here it stands for the virtual address."""
    resolve = socket.getaddrinfo

    def resolve_platform(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve(lab.address if host == DOMAIN else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_platform)
    yield Api(lab, ca)
