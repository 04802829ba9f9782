# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS of the front door as a scanner sees it: Mozilla's intermediate profile, and every look that sslyze has."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / "tests/tools"
DOMAIN = yaml.safe_load((ROOT / "inventories/lab/group_vars/all/platform.yml").read_text())["arxos_domain"]
ADDRESS = f"{os.environ.get('LAB_PREFIX', '172.30.20')}.100"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scanner says of the virtual address. A server that it cannot reach, or a look without an answer, is no result."""
    home = ROOT / ".lab/sslyze"
    python = home / "bin/python"
    wanted = (TOOLS / "scan_tls.txt").read_text()
    stamp = home / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", TOOLS / "scan_tls.txt"], check=True)
        stamp.write_text(wanted)
    ca = tmp_path_factory.mktemp("ca") / "ca.crt"
    ca.write_text(yaml.safe_load((ROOT / "inventories/lab/group_vars/all/vault.yml").read_text())["vault_certificates_ca_certificate"])
    done = subprocess.run(
        [python, TOOLS / "scan_tls.py", DOMAIN, ADDRESS, "443", ca], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert (found["connectivity"], found["scan"]) == ("COMPLETED", "COMPLETED")
    assert len(found["looks"]) > 15 and set(found["looks"].values()) == {"COMPLETED"}, found["looks"]
    return found


def test_it_is_what_mozilla_calls_intermediate(scan: dict[str, Any]) -> None:
    assert scan["issues"] == {}


def test_it_has_none_of_the_known_holes(scan: dict[str, Any]) -> None:
    assert scan["holes"] == []
