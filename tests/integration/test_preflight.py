# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad input, each kind of it in a real run: refused in one message with all faults, and no host is changed."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import ROOT, Lab

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@dataclass
class Run:
    """What one run of ansible-playbook said."""

    rc: int
    text: str
    seconds: float

    @property
    def faults(self) -> list[str]:
        """The faults of the message, a line each, without what to do."""
        _before, _found, message = self.text.partition("fatal: ")
        return [line.partition(";")[0] for line in re.findall(r"^\s+\d+\. (.*)$", message, re.MULTILINE)]

    @property
    def plays(self) -> list[str]:
        """Names of the plays that ran."""
        return re.findall(r"^PLAY \[(.*?)\]", self.text, re.MULTILINE)

    @property
    def changed(self) -> int:
        """Changes on all hosts together."""
        return sum(int(count) for count in re.findall(r"^\S+\s+: ok=\d+\s+changed=(\d+)", self.text, re.MULTILINE))

    def refused(self) -> None:
        """One message, nothing thrown, nothing changed, nothing run after it."""
        assert self.rc == 2, self.text
        assert self.changed == 0, self.text
        assert self.plays == ["(1/9) Preflight | Refuse bad input before any host is touched"], self.plays
        assert "Traceback" not in self.text, self.text
        assert len(re.findall(r"^\s+msg: .*$", self.text, re.MULTILINE)) == 1, self.text


def play(playbook: str, inventory: Path, *arguments: str, extra: dict[str, Any] | None = None, **environment: str) -> Run:
    """Runs a playbook to its end."""
    command = [str(PLAYBOOK), str(ROOT / "playbooks" / playbook), "-i", str(inventory), *arguments]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "-e", json.dumps(extra or {})],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr, time.monotonic() - began)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A release artifact that fits its checksum."""
    path = tmp_path_factory.mktemp("dist") / "arxos-api-1.0.0.tar.gz"
    path.write_bytes(b"abc")
    return {"arxos_api_version": "1.0.0", "arxos_api_artifact": str(path), "arxos_api_artifact_sha256": SHA256_OF_ABC}


@pytest.fixture
def derived(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Makes an inventory that is the lab's but for its hosts, which a function may change."""

    def derive(change: Callable[[dict[str, Any]], None]) -> Path:
        folder = tmp_path / "inventory"
        folder.mkdir()
        hosts = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())
        change(hosts["all"]["children"])
        (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
        (folder / "group_vars").symlink_to(ROOT / "inventories/lab/group_vars")
        return folder

    return derive


def expired(domain: str) -> tuple[str, str]:
    """A certificate that expired yesterday, for another name, and a key that is not its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=90))
    builder = builder.not_valid_after(now - datetime.timedelta(days=1)).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(domain)]), False
    )
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    other = ec.generate_private_key(ec.SECP256R1())
    private = other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate, private.decode()


def test_good_input_passes_in_check_mode_too(artifact: dict[str, str]) -> None:
    run = play("preflight.yml", ROOT / "inventories/lab", "--check", "--diff", extra=artifact)
    assert run.rc == 0, run.text
    assert run.changed == 0
    print(f"preflight of 12 hosts: {run.seconds:.1f} s")


def test_everything_wrong_at_once_stops_a_go_live_before_any_other_play(
    lab: Lab, artifact: dict[str, str], derived: Callable[..., Path], tmp_path: Path
) -> None:
    def change(groups: dict[str, Any]) -> None:
        del groups["database"]["hosts"]["database3"]
        groups["cache"]["hosts"]["cache9"] = {"arxos_address": f"{lab.prefix}.43", "arxos_zone": "a", "ansible_host": "arxos-no-such-host"}
        groups["app"]["hosts"]["app2"]["arxos_address"] = f"{lab.prefix}.322"
        groups["app"]["hosts"]["app3"]["preflight_disks"] = [{"path": "/opt", "size_mb": 99_000_000}]
        groups["edge"]["hosts"]["edge2"]["preflight_memory_mb"] = 99_000_000
        del groups["storage"]["hosts"]["storage1"]["arxos_zone"]

    certificate, key = expired("www.example.org")
    secrets = lab.secrets
    extra = {
        **artifact,
        "arxos_api_artifact_sha256": "0" * 64,
        "arxos_domain": "{{ company_domain }}",
        "arxos_admin_networks": "10.0.0.0/8",
        "base_administrators": "jane",
        "base_timezone": ["Etc/UTC"],
        "certificates_front_source": "suplied",
        "vault_redis_admin_password": "changeme",
        "vault_patroni_restapi_password": "aT3-k9",
        "vault_arxos_api_encryption_key": "bm90IDMyIGJ5dGVz",
        "vault_postgresql_owner_password": secrets["vault_postgresql_application_password"],
        "vault_arxos_api_jwt_secret": None,
        "vault_certificates_ca_certificate": certificate,
        "vault_certificates_ca_private_key": key,
    }
    run = play("go_live.yml", derived(change), extra=extra)
    run.refused()
    for fault in (
        "cache9: ansible_host leads to no host that can be worked on: Error response from daemon: No such container: arxos-no-such-host",
        "database: number of hosts is 2, which lose their majority with the first host that fails",
        "app3: preflight_disks wants 99000000 MiB as size of /opt",
        "edge2: preflight_memory_mb wants 99000000 MiB of memory",
        f"cache3, cache9: arxos_address is {lab.prefix}.43 on each of them",
        f"app2: arxos_address is '{lab.prefix}.322'",
        "storage1: arxos_zone is not defined",
        "all hosts: arxos_admin_networks is '10.0.0.0/8'",
        "all hosts: vault_redis_admin_password holds a word of examples and defaults",
        "all hosts: vault_patroni_restapi_password has 6 characters, fewer than 16",
        "all hosts: vault_arxos_api_encryption_key is base64 of 12 bytes instead of 32",
        "all hosts: vault_postgresql_owner_password is the same as vault_postgresql_application_password",
        "all hosts: vault_arxos_api_jwt_secret is not defined",
        "all hosts: company_domain is not defined, and arxos_domain",
        "all hosts: base_administrators is 'jane', which is not a list",
        "all hosts: base_timezone is ['Etc/UTC'], which is not text",
        "all hosts: certificates_front_source is 'suplied', which is none of its choices",
        "all hosts: vault_certificates_ca_certificate expired on",
        "all hosts: vault_certificates_ca_certificate is of no certificate authority",
        "all hosts: vault_certificates_ca_private_key does not belong to vault_certificates_ca_certificate",
        "app: arxos_api_artifact_sha256 is 000000000000..., but",
    ):
        assert [line for line in run.faults if line.startswith(fault)], f"{fault}\n{run.text}"
    assert len(run.faults) >= 21, "\n".join(run.faults)
    shown = [
        value
        for name, value in {**secrets, **extra}.items()
        if name.startswith("vault_") and value and name != "vault_redis_admin_password"
    ]
    assert not [value for value in shown if any(len(line) > 5 and line in run.text for line in value.splitlines() if "-----" not in line)]


def test_missing_variables_and_a_supplied_certificate(lab: Lab, derived: Callable[..., Path]) -> None:
    def change(groups: dict[str, Any]) -> None:
        del groups["edge"]["hosts"]["edge1"]["arxos_address"]
        groups["app"]["hosts"]["app1"]["ansible_host"] = "{{ nowhere }}"

    certificate, key = expired("www.example.org")
    extra = {
        "certificates_front_source": "supplied",
        "certificates_front_certificate": certificate,
        "certificates_front_private_key": key,
        "arxos_api_artifact": "/nowhere/arxos-api-1.0.0.tar.gz",
        "arxos_api_artifact_sha256": "abc",
    }
    run = play("preflight.yml", derived(change), extra=extra)
    assert run.rc == 2 and run.changed == 0 and "Traceback" not in run.text, run.text
    for fault in (
        "edge1: arxos_address is not defined",
        "app1: nowhere is not defined, and ansible_host needs it",
        "edge: certificates_front_certificate expired on",
        "edge: certificates_front_certificate does not cover api.arxos.test",
        "edge: certificates_front_private_key does not belong to certificates_front_certificate",
        "app: arxos_api_artifact is /nowhere/arxos-api-1.0.0.tar.gz, where the controller has no readable file",
    ):
        assert [line for line in run.text.splitlines() if fault in line], f"{fault}\n{run.text}"


@pytest.fixture
def own_lab(lab: Lab) -> Iterator[dict[str, str]]:
    """Three hosts of a lab of its own, which say of themselves that they are something else."""
    environment = {"LAB_NAME": f"{lab.name}-pf", "LAB_PREFIX": "172.30.37"}
    hosts = ["cache1", "cache2", "database1"]
    command = [str(PLAYBOOK), "-i", str(ROOT / "inventories/lab"), "--limit", ",".join(hosts)]

    def molecule(playbook: str) -> None:
        subprocess.run(
            [*command, str(ROOT / "molecule/shared" / playbook)],
            cwd=ROOT,
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            timeout=300,
        )

    molecule("create.yml")
    try:
        for host, old, new in (("cache2", "12", "13"), ("database1", "12", "11")):
            edit = f's/{old} (/{new} (/; s/VERSION_ID=.*/VERSION_ID="{new}"/; s/bookworm/other/'
            subprocess.run(
                [
                    "docker",
                    "exec",
                    f"{environment['LAB_NAME']}-{host}",
                    "sh",
                    "-c",
                    f"sed -i '{edit}' /etc/os-release; echo {new}.1 >/etc/debian_version",
                ],
                check=True,
            )
        yield environment
    finally:
        molecule("destroy.yml")


def test_unsupported_systems_and_mixed_releases(own_lab: dict[str, str], artifact: dict[str, str]) -> None:
    run = play("preflight.yml", ROOT / "inventories/lab", "--limit", "cache1,cache2,database1", extra=artifact, **own_lab)
    run.refused()
    assert run.faults == [
        "cache: operating system is of mixed releases: Debian 12 (cache1), Debian 13 (cache2)",
        "database1: operating system is Debian 11",
    ]
