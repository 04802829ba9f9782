# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A full set of secrets for an inventory: made, kept, encrypted, never shown. Touches no host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from cryptography import x509

from .conftest import ROOT

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
WIRING = ROOT / "playbooks/group_vars/all/secrets.yml"
PASSWORD = "kq8-Xn3_fd93hGwLz0"


class Inventory:
    """An inventory of two hosts that nobody reaches, and what generate_secrets.yml makes of it."""

    def __init__(self, folder: Path, environment: str) -> None:
        self.folder = folder
        self.vault = folder / "group_vars/all/vault.yml"
        self.vault.parent.mkdir(parents=True)
        hosts = {"edge1": None, "edge2": None}
        variables = {"arxos_environment": environment, "arxos_supplied_secrets": ["vault_object_storage_admin_secret_key"]}
        (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": {"edge": {"hosts": hosts}}}}))
        (folder / "group_vars/all/platform.yml").write_text(yaml.safe_dump(variables))
        self.password = folder.parent / "password"
        self.password.write_text(PASSWORD + "\n")
        self.text = ""

    def generate(self, *arguments: str) -> dict[str, int]:
        """Runs the playbook; its exit code and its changes."""
        done = subprocess.run(
            [str(PLAYBOOK), str(ROOT / "playbooks/generate_secrets.yml"), "-i", str(self.folder), *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.text = done.stdout + done.stderr
        assert "Traceback" not in self.text
        changed = sum(int(count) for count in re.findall(r"^\S+\s+: ok=\d+\s+changed=(\d+)", self.text, re.MULTILINE))
        return {"rc": done.returncode, "changed": changed}

    def content(self, password: str | None = PASSWORD) -> dict[str, Any]:
        """What the file holds; with a password it must be encrypted by it."""
        raw = self.vault.read_bytes()
        assert self.vault.stat().st_mode & 0o777 == 0o600
        assert VaultLib.is_encrypted(raw) is (password is not None)
        if password is not None:
            raw = VaultLib([("default", VaultSecret(password.encode()))]).decrypt(raw)
        return yaml.safe_load(raw)


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return Inventory(tmp_path / "production", "production")


@pytest.fixture(scope="module")
def wanted() -> set[str]:
    """Every secret but the one that is supplied."""
    return set(yaml.safe_load(WIRING.read_text())["arxos_secrets"]) - {"vault_object_storage_admin_secret_key"}


def test_the_life_of_a_vault(inventory: Inventory, wanted: set[str]) -> None:
    vault = f"--vault-password-file={inventory.password}"
    assert inventory.generate() == {"rc": 2, "changed": 3}, "without a password there is nothing to encrypt with"
    assert "--vault-password-file" in inventory.text and not inventory.vault.exists()

    assert inventory.generate("--check", vault)["rc"] == 0
    assert not inventory.vault.exists()

    assert inventory.generate("-e", f"secrets_vault_password_file={inventory.password}")["rc"] == 0
    first = inventory.content()
    assert set(first.pop("arxos_secrets_made_at")) == wanted
    assert set(first) == wanted
    shown = [value for value in first.values() if any(line in inventory.text for line in value.splitlines() if "-----" not in line)]
    assert shown == []
    assert "vault_object_storage_admin_secret_key must be written" in inventory.text
    ca = x509.load_pem_x509_certificate(first["vault_certificates_ca_certificate"].encode())
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert 3640 < (ca.not_valid_after_utc - ca.not_valid_before_utc).days < 3660

    raw = inventory.vault.read_bytes()
    assert inventory.generate(vault) == {"rc": 0, "changed": 0}
    assert inventory.vault.read_bytes() == raw

    kept = {name: value for name, value in first.items() if name not in ("vault_redis_admin_password", "vault_certificates_ca_certificate")}
    kept["vault_own"] = "mine, and short"
    inventory.vault.write_bytes(VaultLib().encrypt(yaml.safe_dump(kept), VaultSecret(PASSWORD.encode())))
    assert inventory.generate(vault)["rc"] == 0
    second = inventory.content()
    assert {name: second[name] for name in kept} == kept
    assert set(second.pop("arxos_secrets_made_at")) == {"vault_redis_admin_password", "vault_certificates_ca_certificate"}
    assert set(second) == wanted | {"vault_own"}
    assert second["vault_redis_admin_password"] != first["vault_redis_admin_password"]
    again = x509.load_pem_x509_certificate(second["vault_certificates_ca_certificate"].encode())
    assert again.public_key() == ca.public_key(), "a certificate that is gone is made for the key that is there"


def test_a_lab_is_plain_and_an_empty_file_is_filled(tmp_path: Path, wanted: set[str]) -> None:
    lab = Inventory(tmp_path / "lab", "lab")
    lab.vault.write_text("")
    assert lab.generate()["rc"] == 0
    assert set(lab.content(None)) == wanted | {"arxos_secrets_made_at"}
    lab.vault.chmod(0o644)
    assert lab.generate() == {"rc": 0, "changed": 1}
    assert lab.generate() == {"rc": 0, "changed": 0}


def test_what_is_weak_is_kept_and_told(tmp_path: Path) -> None:
    lab = Inventory(tmp_path / "lab", "lab")
    lab.vault.write_text("vault_redis_admin_password: changeme\n")
    assert lab.generate()["rc"] == 0
    assert lab.content(None)["vault_redis_admin_password"] == "changeme"
    assert "vault_redis_admin_password was kept" in lab.text and "changeme" not in lab.text
