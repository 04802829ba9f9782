# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Completes a file of secrets on the controller. No value ever leaves this process but into the file."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import VaultLib, get_file_vault_secret, match_encrypt_secret
from ansible.plugins.action import ActionBase
from ansible_collections.arxos.platform.plugins.module_utils import _secrets


class ActionModule(ActionBase):
    """Reads, completes, encrypts and writes; the module of the same name has the documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "secrets": {"type": "dict", "required": True, "no_log": False},
                "values": {"type": "dict", "default": {}, "no_log": True},
                "supplied": {"type": "list", "elements": "str", "default": []},
                "encrypt": {"type": "bool", "default": True},
                "password_file": {"type": "path", "default": "", "no_log": False},
            }
        )
        unknown = sorted({str(kind) for kind in args["secrets"].values()} - {*_secrets.KINDS, "pem"})
        if unknown:
            raise AnsibleActionFail(f"secrets: unknown kind {', '.join(unknown)}; write one of {', '.join([*_secrets.KINDS, 'pem'])}")
        vault = self._vault(args)
        path = os.path.realpath(self._loader.path_dwim(args["path"]))
        text, vault_id, encrypted = self._read(path, vault)
        present = self._parsed(text, path)
        added, later = self._wanted(args, present)
        completed = _secrets.completed(text, added) if added else text
        parsed = self._parsed(completed, path)
        if any(parsed.get(name) in (None, "") for name in added):
            raise AnsibleActionFail(f"{path} cannot be completed: write it as plain lines of the form name: value")
        if later:
            result["warnings"] = [f"{', '.join(later)} must be written into {path} by hand: somebody else issues them."]
        for name, kind in args["secrets"].items():
            weakness = (
                _secrets.weakness(present[name], kind) if kind in _secrets.KINDS and not _secrets.is_missing(present.get(name)) else None
            )
            if weakness:
                result.setdefault("warnings", []).append(f"{name} was kept, but it {weakness}: preflight will refuse it.")
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else None
        encrypt = args["encrypt"] or encrypted
        result.update(
            changed=bool(added) or mode != 0o600 or encrypt != encrypted,
            path=path,
            added=sorted(added),
            kept=sorted(name for name in args["secrets"] if not _secrets.is_missing(present.get(name))),
            encrypted=encrypt,
        )
        if result["changed"] and not self._task.check_mode:
            content = completed.encode()
            if encrypt:
                _id, secret = next(
                    ((each, value) for each, value in vault.secrets if each == vault_id), match_encrypt_secret(vault.secrets)
                )
                content = vault.encrypt(completed, secret, vault_id if vault_id not in (None, "default") else None)
            try:
                _replace(path, content)
            except OSError as error:
                raise AnsibleActionFail(f"{path} cannot be written: {error.strerror}") from None
        return result

    def _vault(self, args: Mapping[str, Any]) -> VaultLib:
        """Everything that can open a vault in this run: the command line's passwords, and the file that was named."""
        known = list(getattr(self._loader, "_vault", None) and self._loader._vault.secrets or [])
        if args["password_file"]:
            try:
                secret = get_file_vault_secret(filename=os.path.expanduser(args["password_file"]), loader=self._loader)
                secret.load()
            except AnsibleError as error:
                raise AnsibleActionFail(f"password_file: {error}") from error
            known.insert(0, ("default", secret))
        if args["encrypt"] and not known:
            raise AnsibleActionFail(
                "There is no password to encrypt the secrets with. Write one into a file that only you can read, "
                "and say --vault-password-file FILE (or -e secrets_vault_password_file=FILE)."
            )
        return VaultLib(known)

    def _read(self, path: str, vault: VaultLib) -> tuple[str, str | None, bool]:
        """Text, the id that it was encrypted with, and whether it was."""
        if not os.path.exists(path):
            return "", None, False
        try:
            with open(path, "rb") as stream:
                content = stream.read()
        except OSError as error:
            raise AnsibleActionFail(f"{path} cannot be read: {error.strerror}") from None
        if not VaultLib.is_encrypted(content):
            return _text(content, path), None, False
        try:
            plain, vault_id, _secret = vault.decrypt_and_get_vault_id(content)
        except AnsibleError as error:
            raise AnsibleActionFail(f"{path} cannot be decrypted with the given password: {error}") from error
        return _text(bytes(plain), path), vault_id, True

    def _parsed(self, text: str, path: str) -> dict[str, Any]:
        try:
            content = self._loader.load(text, file_name=path, show_content=False)
        except AnsibleError as error:
            # The message of the parser may quote the line, which is a secret.
            raise AnsibleActionFail(f"{path} is no YAML that can be read; correct it with ansible-vault edit") from error.with_traceback(
                None
            )
        if content is None:
            return {}
        if not isinstance(content, dict):
            raise AnsibleActionFail(f"{path} must be a mapping of names to values")
        return content

    def _wanted(self, args: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
        """Values to add, and names that nobody here can make."""
        added, later = {}, []
        for name, kind in args["secrets"].items():
            if not _secrets.is_missing(present.get(name)):
                continue
            if name in args["supplied"]:
                later.append(name)
            elif not _secrets.is_missing(args["values"].get(name)):
                added[name] = str(args["values"][name])
            elif kind != "pem":
                added[name] = _secrets.make(kind)
            elif not self._task.check_mode:
                raise AnsibleActionFail(f"{name} is missing but not its counterpart: restore it, or remove both to have a new pair made")
        return added, later


def _text(content: bytes, path: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise AnsibleActionFail(f"{path} is no text file") from None


def _replace(path: str, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, staged = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".vault-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(staged, 0o600)
        os.replace(staged, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise
