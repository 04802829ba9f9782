# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shipped inventories, judged as a real run judges them: with Ansible's own variables and templates, and hosts made up."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.arxos.platform.plugins.module_utils import _secrets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[4]
ENVIRONMENTS = ["lab", "staging", "production"]


def pair(name: str, authority: bool) -> tuple[str, str]:
    """Certificate and key in PEM form."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=90))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate, private.decode()


class Platform:
    """One inventory of the repository, with secrets and facts of hosts that fit, and whatever a test adds."""

    def __init__(self, environment: str, tmp_path: Path) -> None:
        self.folder = tmp_path / environment
        shutil.copytree(ROOT / "inventories" / environment, self.folder, ignore=shutil.ignore_patterns("vault.yml"))
        self.wiring = yaml.safe_load((ROOT / "playbooks/group_vars/all/secrets.yml").read_text())["arxos_secrets"]
        platform = yaml.safe_load((self.folder / "group_vars/all/platform.yml").read_text())
        ca, front = pair("CA", True), pair(platform["arxos_domain"], False)
        artifact = tmp_path / "artifact"
        artifact.write_bytes(b"abc")
        self.extra: dict[str, Any] = {
            **{name: _secrets.make(kind) for name, kind in self.wiring.items() if kind in _secrets.KINDS},
            "vault_ssh_jane_totp_secret": _secrets.make("totp_secret"),
            "vault_certificates_ca_certificate": ca[0],
            "vault_certificates_ca_private_key": ca[1],
            "vault_certificates_front_certificate": front[0],
            "vault_certificates_front_private_key": front[1],
            "arxos_api_artifact": str(artifact),
            "arxos_api_artifact_sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "arxos_api_version": "1.0.0",
        }
        self.unreachable: dict[str, str] = {}
        self.facts: dict[str, dict[str, Any]] = {}

    def file(self, name: str, content: Any) -> None:
        """Writes one more file of variables."""
        path = self.folder / "group_vars" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))

    def judge(self) -> tuple[list[str], list[str]]:
        """Faults, a line each, and warnings."""
        told = {"folder": str(self.folder), "extra": self.extra, "unreachable": self.unreachable, "facts": self.facts}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("judge_offline.py"))],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return tuple(json.loads(done.stdout))


@pytest.fixture
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    """Production, unless a test asks for another."""
    return Platform(getattr(request, "param", "production"), tmp_path)


@pytest.mark.parametrize("platform", ENVIRONMENTS, indirect=True)
def test_the_shipped_inventories_have_no_fault(platform: Platform) -> None:
    assert platform.judge() == ([], [])


def test_production_without_secrets_names_each_and_says_where_it_comes_from(platform: Platform) -> None:
    for name in [name for name in platform.extra if name.startswith("vault_")]:
        del platform.extra[name]
    faults, _warnings = platform.judge()
    assert sorted(line.split()[2] for line in faults) == sorted(
        [*platform.wiring, "vault_certificates_front_certificate", "vault_certificates_front_private_key"]
    )
    said = "\n".join(faults)
    assert said.count("as its issuer gave it") == 10
    assert said.count("generate_secrets.yml") == len(faults) - 10


def test_a_missing_address_is_one_fault_although_everything_needs_it(platform: Platform) -> None:
    hosts = yaml.safe_load((platform.folder / "hosts.yml").read_text())
    del hosts["all"]["children"]["app"]["hosts"]["app2"]["arxos_address"]
    (platform.folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    faults, _warnings = platform.judge()
    assert [line for line in faults if line.startswith("app2: arxos_address is not defined")]
    assert len(faults) == 1, faults


def test_what_templates_can_do_wrong_is_told_and_not_thrown(platform: Platform) -> None:
    platform.file(
        "all/zz.yml",
        "arxos_domain: '{{ company.name }}'\narxos_zone: '{{ arxos_zone }}'\narxos_virtual_address: '{{ 1 | nofilter }}'\n"
        "base_timezone: '{{ lookup(\"ansible.builtin.file\", \"/nowhere\") }}'\nbase_administrators: '{{ people'\n"
        "preflight_memory_mb: '{{ 1 / 0 }}'\n",
    )
    faults, _warnings = platform.judge()
    said = "\n".join(faults)
    assert "Traceback" not in said and "Error rendering" not in said
    for subject, variable, reason in (
        ("all hosts", "arxos_virtual_address", "No filter named 'nofilter'"),
        ("all hosts", "base_timezone", "Unable to access the file '/nowhere'"),
        ("all hosts", "base_administrators", "unexpected end of template"),
        ("monitoring1, vpn1", "preflight_memory_mb", "division by zero"),
        ("all hosts", "company", "is not defined, and arxos_domain"),
    ):
        assert [line for line in faults if line.startswith(f"{subject}: ") and variable in line and reason in line], said
    assert len(faults) == 5, said


def test_pools_that_do_not_fit_the_database_are_refused(platform: Platform) -> None:
    platform.file("app/pool.yml", {"arxos_pool_size": 15})
    faults, _warnings = platform.judge()
    assert len(faults) == 1 and "arxos_pool_connections is 320, more than arxos_database_connections, 300" in faults[0], faults
    platform.file("app/pool.yml", {"arxos_pool_size": 14})
    assert platform.judge()[0] == []


def test_a_database_too_small_for_any_pool_is_refused(platform: Platform) -> None:
    platform.file("database/postgresql.yml", {"postgresql_max_connections": 50})
    faults, _warnings = platform.judge()
    assert len(faults) == 1 and "arxos_pool_connections is 60, more than arxos_database_connections, 50" in faults[0], faults


def test_faults_of_many_kinds_in_one_message(platform: Platform) -> None:
    platform.extra |= {
        "vault_redis_password": "changeme",
        "vault_patroni_restapi_password": platform.extra["vault_postgresql_owner_password"],
        "arxos_api_artifact_sha256": "0" * 64,
        "base_timezone": ["Etc/UTC"],
    }
    platform.unreachable["cache2"] = "ssh: connect to host 10.20.4.42 port 22: Connection timed out"
    platform.facts["database3"] = {"distribution_major_version": "13"}
    platform.facts["app1"] = {"distribution": "Ubuntu", "distribution_major_version": "24"}
    faults, _warnings = platform.judge()
    assert [line.partition(";")[0] for line in faults] == [
        "cache2: ansible_host leads to no host that can be worked on: ssh: connect to host 10.20.4.42 port 22: Connection timed out",
        "database: operating system is of mixed releases: Debian 12 (database1, database2), Debian 13 (database3)",
        "app1: operating system is Ubuntu 24",
        "all hosts: vault_redis_password holds a word of examples and defaults",
        "all hosts: vault_postgresql_owner_password is the same as vault_patroni_restapi_password",
        "all hosts: base_timezone is ['Etc/UTC'], which is not text",
        "app: arxos_api_artifact_sha256 is 000000000000..., but " + platform.extra["arxos_api_artifact"] + " has ba7816bf8f01...",
    ]


def test_a_misspelled_variable_is_a_warning(platform: Platform) -> None:
    platform.file("all/zz.yml", {"base_timezon": "Etc/UTC"})
    faults, warnings = platform.judge()
    assert faults == []
    assert warnings == ["base_timezon is read by no role; is base_timezone meant?"]


@pytest.mark.parametrize("platform", ["production"], indirect=True)
def test_a_tunnel_that_cannot_be_is_refused(platform: Platform) -> None:
    good = {"name": "jane", "role": "admin", "address": "10.99.0.11", "public_key": "YTM4YTQ0ZTk4NTQ5YTM4YTQ0ZTk4NTQ5YTM4YTQ0ZTk="}
    platform.extra["arxos_vpn_peers"] = [good]
    assert platform.judge()[0] == []
    platform.extra["arxos_vpn_peers"] = [good, {**good, "name": "john", "public_key": "secret", "role": "analyst"}]
    platform.extra["arxos_controller_networks"] = ["10.99.0.0/16"]
    faults = platform.judge()[0]
    assert any("vpn_peers has a public_key for john that is none" in fault for fault in faults)
    assert any("vpn_peers has the same address for jane and john" in fault for fault in faults)
    assert any("vpn_network is 10.99.0.0/24, which overlaps 10.99.0.0/16" in fault for fault in faults)
    platform.extra["arxos_vpn_peers"] = [{**good, "role": "boss"}]
    assert any("peer jane has the role 'boss': use one of admin, analyst, operator" in fault for fault in platform.judge()[0])


def test_announcements_that_would_not_arrive_are_refused_without_their_addresses(platform: Platform) -> None:
    platform.extra["vault_announcements_mail_url"] = "mailto:/no-address-s3cr3t"
    data = {
        "channels": {"mail": {"url": "{{ vault_announcements_mail_url }}"}},
        "audiences": {"investors": {"channels": ["mail"]}, "operations": {"channels": ["mail"]}},
        "go_live": {},
    }
    platform.file("all/announcements.yml", {"arxos_announcements": data})
    faults = [line for line in platform.judge()[0] if "arxos_announcements" in line]
    said = "\n".join(faults)
    for where in (
        "audiences has investors",
        "channels.mail.url is no address",
        "go_live.support is missing",
        "escalation.technical goes to development",
    ):
        assert where in said
    assert all(line.startswith("all hosts: ") for line in faults) and "s3cr3t" not in said

    everybody = ["executives", "development", "operations", "support", "end_users"]
    platform.extra["vault_announcements_mail_url"] = "mailtos://user:w0rd-of-passage@mail.arxos.test?to=ops@arxos.test"
    data |= {"audiences": {name: {"channels": ["mail"]} for name in everybody}, "go_live": {"support": "help@example.org"}}
    platform.file("all/announcements.yml", {"arxos_announcements": data})
    assert platform.judge()[0] == []

    del platform.extra["vault_announcements_mail_url"]
    faults = platform.judge()[0]
    assert len(faults) == 1 and "vault_announcements_mail_url is not defined, and arxos_announcements needs it" in faults[0]
