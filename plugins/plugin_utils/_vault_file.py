# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file of secrets on the controller, plain or encrypted by ansible-vault. Plain text of one that is encrypted is never on disk."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, get_file_vault_secret, match_encrypt_secret

# What every action that opens such a file takes.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "encrypt": {"type": "bool", "default": True},
    "password_file": {"type": "path", "default": "", "no_log": False},
}


class VaultFile:
    """Opens the file. text, content: what it holds. Raises AnsibleActionFail, always without a value."""

    def __init__(self, loader: DataLoader, path: str, encrypt: bool, password_file: str) -> None:
        self._loader = loader
        self._vault = self._opened(encrypt, password_file)
        self.path = os.path.realpath(loader.path_dwim(path))
        self.text, self._vault_id, self._was_encrypted = self._read()
        self.content = self.parsed(self.text)
        self.encrypted = encrypt or self._was_encrypted

    @property
    def is_as_wanted(self) -> bool:
        """Whether mode and encryption of the file are right."""
        mode = stat.S_IMODE(os.stat(self.path).st_mode) if os.path.exists(self.path) else None
        return mode == 0o600 and self.encrypted == self._was_encrypted

    def parsed(self, text: str) -> dict[str, Any]:
        """The variables in a text of this file."""
        try:
            content = self._loader.load(text, file_name=self.path, show_content=False)
        except AnsibleError as error:
            # The message of the parser may quote the line, which is a secret.
            message = f"{self.path} is no YAML that can be read; correct it with ansible-vault edit"
            raise AnsibleActionFail(message) from error.with_traceback(None)
        if content is None:
            return {}
        if not isinstance(content, dict):
            raise AnsibleActionFail(f"{self.path} must be a mapping of names to values")
        return content

    def write(self, text: str) -> None:
        """Replaces the file, whole or not at all, for its owner alone, with the password that it had."""
        content = text.encode()
        if self.encrypted:
            _id, secret = next(
                ((each, value) for each, value in self._vault.secrets if each == self._vault_id), match_encrypt_secret(self._vault.secrets)
            )
            content = self._vault.encrypt(text, secret, self._vault_id if self._vault_id not in (None, "default") else None)
        try:
            _replace(self.path, content)
        except OSError as error:
            raise AnsibleActionFail(f"{self.path} cannot be written: {error.strerror}") from None

    def _opened(self, encrypt: bool, password_file: str) -> VaultLib:
        """Everything that can open a vault in this run: the command line's passwords, and the file that was named."""
        known = list(getattr(self._loader, "_vault", None) and self._loader._vault.secrets or [])
        if password_file:
            try:
                secret = get_file_vault_secret(filename=os.path.expanduser(password_file), loader=self._loader)
                secret.load()
            except AnsibleError as error:
                raise AnsibleActionFail(f"password_file: {error}") from error
            known.insert(0, ("default", secret))
        if encrypt and not known:
            raise AnsibleActionFail(
                "There is no password to encrypt the secrets with. Write one into a file that only you can read, "
                "and say --vault-password-file FILE (or -e secrets_vault_password_file=FILE)."
            )
        return VaultLib(known)

    def _read(self) -> tuple[str, str | None, bool]:
        """Text, the id that it was encrypted with, and whether it was."""
        if not os.path.exists(self.path):
            return "", None, False
        try:
            with open(self.path, "rb") as stream:
                content = stream.read()
        except OSError as error:
            raise AnsibleActionFail(f"{self.path} cannot be read: {error.strerror}") from None
        if not VaultLib.is_encrypted(content):
            return self._text(content), None, False
        try:
            plain, vault_id, secret = self._vault.decrypt_and_get_vault_id(content)
        except AnsibleError as error:
            raise AnsibleActionFail(f"{self.path} cannot be decrypted with the given password: {error}") from error
        # Whatever opened it closes it again, also where another password of the run has the same id.
        self._vault.secrets = [(each, value) for each, value in self._vault.secrets if each != vault_id or value is secret]
        return self._text(bytes(plain)), vault_id, True

    def _text(self, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise AnsibleActionFail(f"{self.path} is no text file") from None


def _replace(path: str, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    handle, staged = tempfile.mkstemp(dir=folder, prefix=".vault-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(staged, 0o600)
        os.replace(staged, path)
        # The name too has to outlive a loss of power: hosts are told the new value next.
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise
