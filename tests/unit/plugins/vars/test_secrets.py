# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets of a run whose inventory has none: with ansible-playbook, since Ansible decides when it asks a vars plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

ROOT = Path(__file__).resolve().parents[4]
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: >-
          {{ {'a': a | default('none'), 'b': b | default('none'), 'supplied': arxos_supplied_here | default([])} | to_json }}
        dest: "{{ lookup('ansible.builtin.env', 'OUT') }}/{{ inventory_hostname }}"
      connection: local
      delegate_to: localhost
"""


class Run:
    """A run whose inventory is a script, as in AWX, that says nothing of secrets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = folder / "hosts"
        script.write_text('#!/bin/sh\necho \'{"edge": {"hosts": ["edge1"]}, "_meta": {"hostvars": {}}}\'\n')
        script.chmod(0o755)
        (folder / "play.yml").write_text(PLAY)

    def seen(self, *arguments: str, **environment: str) -> dict[str, object]:
        """What a host sees."""
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                str(self.folder / "hosts"),
                *arguments,
                str(self.folder / "play.yml"),
            ],
            cwd=ROOT,
            env={**os.environ, "OUT": str(self.folder), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((self.folder / "edge1").read_text())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_without_the_environment_nothing_is_read(run: Run) -> None:
    assert run.seen() == {"a": "none", "b": "none", "supplied": []}


def test_a_file_that_is_not_there_yet_is_empty(run: Run) -> None:
    assert run.seen(ARXOS_SECRETS_FILE=str(run.folder / "vault.yml"))["a"] == "none"


def test_an_encrypted_file_and_what_is_supplied_beside_it(run: Run) -> None:
    password, vault, supplied = run.folder / "password", run.folder / "vault.yml", run.folder / "supplied"
    password.write_text("pw")
    vault.write_bytes(VaultLib().encrypt("a: one\nb: \"{{ 'tw' ~ 'o' }}\"\n", VaultSecret(b"pw")))
    environment = {"ARXOS_SECRETS_FILE": str(vault), "ARXOS_SUPPLIED_SECRETS": str(supplied)}
    supplied.write_text("---\n")
    assert run.seen(f"--vault-password-file={password}", **environment) == {"a": "one", "b": "two", "supplied": []}
    supplied.write_text("---\na: \"{{ lookup('pipe', 'id') }}\"\n")
    assert run.seen(f"--vault-password-file={password}", **environment) == {
        "a": "{{ lookup('pipe', 'id') }}",
        "b": "two",
        "supplied": ["a"],
    }
