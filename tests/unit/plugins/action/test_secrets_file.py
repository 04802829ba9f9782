# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""secrets_file: what it writes and keeps, and what it says to wrong arguments and files. tests/integration runs the whole playbook."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.arxos.platform.plugins.action.secrets_file import ActionModule

SECRETS = {"vault_a_password": "password", "vault_b_certificate": "pem"}


def complete(check_mode: bool = False, vault: list[tuple[str, VaultSecret]] | None = None, **args: Any) -> dict[str, Any]:
    """One call of the action, with the passwords that the command line would have given."""
    loader = DataLoader()
    loader.set_vault_secrets(vault)
    action = ActionModule(
        task=SimpleNamespace(args=args, check_mode=check_mode, async_val=0, action="arxos.platform.secrets_file"),
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=None,
        loader=loader,
        templar=None,
        shared_loader_obj=None,
    )
    return action.run(task_vars={})


def test_plain_encrypted_and_again(tmp_path: Path) -> None:
    path = tmp_path / "group_vars/all/vault.yml"
    args = {"path": str(path), "secrets": SECRETS, "values": {"vault_b_certificate": "-----BEGIN\nx\n"}}
    assert complete(check_mode=True, encrypt=False, **args)["changed"] and not path.exists()
    result = complete(encrypt=False, **args)
    assert result["added"] == sorted(SECRETS) and path.stat().st_mode & 0o777 == 0o600
    plain = yaml.safe_load(path.read_text())
    assert set(plain.pop("arxos_secrets_made_at")) == set(SECRETS)
    assert not [value for value in plain.values() if value in str(result)]
    assert complete(encrypt=False, **args)["changed"] is False

    prod = [("prod", VaultSecret(b"geheim"))]
    assert complete(vault=prod, **args)["changed"] is True
    raw = path.read_bytes()
    assert yaml.safe_load(VaultLib(prod).decrypt(raw)).items() > plain.items()
    assert complete(vault=prod, **args)["changed"] is False and path.read_bytes() == raw
    # One that is encrypted stays so.
    result = complete(vault=prod, encrypt=False, path=str(path), secrets={**SECRETS, "vault_c_password": "password"})
    assert result["added"] == ["vault_c_password"] and VaultLib.is_encrypted(path.read_bytes())
    with pytest.raises(AnsibleActionFail, match="cannot be decrypted with the given password"):
        complete(vault=[("prod", VaultSecret(b"other"))], **args)


@pytest.mark.parametrize(
    ("content", "args", "part"),
    [
        (b"", {"encrypt": True}, "no password to encrypt"),
        (b"", {"password_file": "/nowhere"}, "password_file: .*was not found"),
        (b"", {"secrets": {"vault_a": "passwort"}}, "unknown kind passwort"),
        (b"", {"secrets": 5}, "secrets"),
        (b"", {"nonsense": 1}, "nonsense"),
        (b"", {}, "vault_b_certificate is missing"),
        (b"- a\n", {}, "must be a mapping"),
        (b"a: [geheim\n", {}, "no YAML that can be read"),
        (b"\xff\xfe\xfd", {}, "is no text file"),
    ],
)
def test_wrong_arguments_and_files(tmp_path: Path, content: bytes, args: dict[str, Any], part: str) -> None:
    path = tmp_path / "vault.yml"
    path.write_bytes(content)
    with pytest.raises(AnsibleActionFail, match=part) as raised:
        complete(**{"path": str(path), "secrets": SECRETS, "encrypt": False, **args})
    assert "geheim" not in str(raised.value)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match="cannot be (read|written)"):
        complete(path=str(tmp_path / "file/vault.yml"), secrets={"vault_a_password": "password"}, encrypt=False)
