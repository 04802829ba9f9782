# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx-drain --notice: clients are told of a reload that comes, and no longer of one that does not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ENDS = 4  # seconds; what is younger than ENDS - 1 is spared


@pytest.fixture
def due(render: Callable[..., str], tmp_path: Path) -> Path:
    """The file that tells them, with a notice begun. systemd-run runs what it is given beside."""
    due = tmp_path / "due"
    given = {"__nginx_reload_due": str(due), "__nginx_notice_ends_seconds": ENDS}
    (tmp_path / "drain").write_text(render("nginx", "nginx-drain.j2", **given))
    for name, text in {"systemctl": "exit 5", "systemd-run": 'while [ "$1" != sh ]; do shift; done; "$@" >/dev/null 2>&1 &'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(tmp_path / "drain"), "--notice"], env=environment, check=True, timeout=ENDS)
    until(due.exists)  # what runs beside begins it
    return due


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "not within 20 s"
        time.sleep(0.05)


def test_it_ends_by_itself(due: Path) -> None:
    until(lambda: not due.exists())


def test_that_of_a_reload_which_has_begun_meanwhile_stays(due: Path) -> None:
    time.sleep(ENDS - 1)
    due.touch()
    time.sleep(3)
    assert due.exists()
