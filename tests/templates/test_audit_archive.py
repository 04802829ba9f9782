# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units of the archive and of the scan: what they run, and that they may not do more than that."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Render = Callable[..., str]


@pytest.mark.parametrize(("name", "arguments"), [("archive", ""), ("verify", "--days 35")])
def test_a_job_runs_as_its_user_one_at_a_time_and_leaves_its_figures(render: Render, name: str, arguments: str) -> None:
    text = render("audit_archive", "arxos-audit.service.j2", name=name, description="x", arguments=arguments)
    assert "User=arxos-audit\n" in text and "/usr/bin/flock ${STATE_DIRECTORY}/lock" in text
    assert f"_audit_archive {name} /etc/arxos/audit-archive.json {arguments}" in text
    assert f"/var/lib/prometheus/node-exporter/arxos_audit_{name}.prom" in text
    assert f"SyslogIdentifier=arxos-audit-{name}\n" in text, "what is archived is chosen by that"
    assert "CapabilityBoundingSet=\n" in text and "ProtectSystem=strict" in text


@pytest.mark.parametrize(("written", "left"), [(True, "1"), (False, "0")])
def test_one_that_was_ended_says_so_in_the_figures_that_there_are(render: Render, tmp_path: Path, written: bool, left: str) -> None:
    text = render("audit_archive", "arxos-audit.service.j2", name="archive", description="x", arguments="")
    command = re.findall(r"(?m)^ExecStopPost=\+-/bin/sh -c '(.*)'$", text)[0].replace("/var/", f"{tmp_path}/var/")
    shown = tmp_path / "var/lib/prometheus/node-exporter/arxos_audit_archive.prom"
    for path in (shown, *([tmp_path / "var/lib/arxos-audit/archive.metrics"] if written else [])):
        path.parent.mkdir(parents=True)
        path.write_text("arxos_audit_archive_success 1\narxos_audit_archive_last_success_timestamp_seconds 1\n")
    subprocess.run(["sh", "-c", command], check=True)
    assert shown.read_text() == f"arxos_audit_archive_success {left}\narxos_audit_archive_last_success_timestamp_seconds 1\n"


def test_by_hand_it_is_the_same_program_with_the_same_lock(render: Render) -> None:
    text = render("audit_archive", "arxos-audit-archive.j2")
    assert "flock /var/lib/arxos-audit/lock" in text and "setpriv --reuid=arxos-audit" in text


def test_a_scan_is_by_the_clock_at_a_moment_of_the_hosts_own(render: Render) -> None:
    text = render("vulnerability_scan", "arxos-vulnerability-scan.timer.j2", vulnerability_scan_spread_minutes=90)
    assert "RandomizedDelaySec=90min\nFixedRandomDelay=true\n" in text
    assert "Persistent=true" in text, "a host that was off would not be scanned until the next week"
