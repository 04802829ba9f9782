# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""arxos-acme: systemd reads its files again exactly where certbot's timer would start something else than is on disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

OURS = "/etc/systemd/system/certbot.service.d/arxos.conf"


@pytest.mark.parametrize(
    ("read", "stale", "reloads"),
    [
        (OURS, "no", False),
        (f"/etc/systemd/system/service.d/lab.conf {OURS}", "no", False),
        (OURS, "yes", True),
        # A drop-in whose folder is new makes no unit stale for systemd.
        ("", "no", True),
        ("/etc/systemd/system/service.d/lab.conf", "no", True),
    ],
)
def test_the_timer_starts_what_is_on_disk(render: Callable[..., str], tmp_path: Path, read: str, stale: str, reloads: bool) -> None:
    given = {
        "__certificates_directory": str(tmp_path),
        "__certificates_webroot": str(tmp_path),
        "__certificates_acme_names": ["api.example.org"],
        "certificates_acme_directory": "https://acme.example.org/dir",
        "certificates_acme_email": "operations@example.org",
        "certificates_acme_ca": "",
    }
    script = render("certificates", "acme.j2", **given).replace("/usr/local/sbin/arxos-certificate-renewed", "true")
    (tmp_path / "acme").write_text(script)
    programs = {
        "systemctl": f'case "$3" in DropInPaths) echo "{read}" ;; NeedDaemonReload) echo {stale} ;; esac; [ "$1" = show ] || echo "$1" >>{tmp_path}/done',
        "certbot": "exit 0",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(tmp_path / "acme")], env=environment, check=True, timeout=20, capture_output=True)
    assert (tmp_path / "done").exists() == reloads
