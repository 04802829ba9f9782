# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The daily run on the database hosts: it makes what is missing, says what it cannot mend, and status shows it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
ROOT = Path(__file__).resolve().parents[3]
MEMBERS = list(yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())["all"]["children"]["database"]["hosts"])
METRICS = "/var/lib/prometheus/node-exporter/arxos_partitions.prom"
CONFIG = "/etc/arxos/partitions.json"
UNIT = "arxos-partitions.service"


def command(host: str, *words: str, user: str = "root") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", "exec", "-u", user, f"{LAB}-{host}", *words], capture_output=True, text=True, check=False, timeout=120)


def sql(host: str, query: str) -> str:
    done = command(host, "psql", "-XAtqw", "-d", "arxos_production", "-c", query, user="postgres")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def leader() -> str:
    return next(name for name in MEMBERS if sql(name, "SELECT pg_is_in_recovery()") == "f")


def figures(host: str) -> dict[str, float]:
    lines = command(host, "cat", METRICS).stdout.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def run(host: str) -> int:
    """Run it now; how the unit ended."""
    return command(host, "systemctl", "start", UNIT).returncode


def next_month() -> str:
    return f"buildings_{datetime.now(timezone.utc).replace(day=1) + timedelta(days=32):%Y_%m}"


def status() -> subprocess.CompletedProcess[str]:
    words = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventories/lab", "playbooks/status.yml", "--limit", "database"]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120, stdin=subprocess.DEVNULL)


@pytest.fixture
def mended() -> Iterator[str]:
    """The leader; whatever the test broke is whole again after it."""
    name = leader()
    command(name, "cp", "-p", CONFIG, "/root/partitions.json")
    yield name
    command(name, "cp", "-p", "/root/partitions.json", CONFIG)
    command(name, "systemctl", "reset-failed", UNIT)
    assert run(name) == 0


@pytest.mark.parametrize("host", MEMBERS)
def test_every_host_runs_it_daily_and_can_do_no_more_than_it_needs(host: str) -> None:
    assert command(host, "systemctl", "is-enabled", "arxos-partitions.timer").stdout.strip() == "enabled"
    assert command(host, "systemctl", "is-active", "arxos-partitions.timer").stdout.strip() == "active"
    shown = command(host, "systemctl", "show", "arxos-partitions.timer", "-p", "NextElapseUSecRealtime", "--value").stdout
    assert shown.strip(), "the timer waits for no day"
    assert command(host, "systemd-analyze", "security", "--threshold=20", "--no-pager", UNIT).returncode == 0
    assert command(host, "stat", "-c", "%U %a", METRICS).stdout.strip() == "postgres 644"


@pytest.mark.parametrize("host", MEMBERS)
def test_its_figures_are_those_of_the_database(host: str) -> None:
    assert run(host) == 0
    found = figures(host)
    assert found["arxos_partitions_success"] == 1
    assert abs(found["arxos_partitions_last_success_timestamp_seconds"] - datetime.now(timezone.utc).timestamp()) < 60
    assert found["arxos_partitions_leader"] == (host == leader())
    assert found['arxos_partitions_ahead{table="arxos_prod.buildings"}'] == 3
    assert found['arxos_partitions_default_rows{table="arxos_prod.buildings"}'] == 0


def test_a_missing_partition_of_next_month_is_made_by_the_leader_and_by_no_replica(mended: str) -> None:
    name = next_month()
    sql(mended, f"DROP TABLE arxos_prod.{name}")
    replica = next(host for host in MEMBERS if host != mended)
    assert run(replica) != 0
    assert sql(mended, f"SELECT to_regclass('arxos_prod.{name}') IS NULL") == "t"
    assert figures(replica)['arxos_partitions_ahead{table="arxos_prod.buildings"}'] == 0
    assert run(mended) == 0
    assert sql(mended, f"SELECT has_table_privilege('arxos_application', 'arxos_prod.{name}', 'INSERT')") == "t"
    assert figures(mended)['arxos_partitions_ahead{table="arxos_prod.buildings"}'] == 3
    assert f"attached: arxos_prod.{name}" in command(mended, "journalctl", "-u", UNIT, "-n", "20", "-o", "cat").stdout
    command(replica, "systemctl", "reset-failed", UNIT)
    assert run(replica) == 0


def test_rows_outside_of_every_partition_are_told_with_table_and_range(mended: str) -> None:
    sql(mended, "CREATE TABLE arxos_prod.buildings_rest PARTITION OF arxos_prod.buildings DEFAULT")
    try:
        sql(mended, "INSERT INTO arxos_prod.buildings (name, created_at) VALUES ('x', '1999-01-01'), ('y', '1999-02-01')")
        assert run(mended) != 0
        found = figures(mended)
        assert found["arxos_partitions_success"] == 0 and found["arxos_partitions_problems"] == 1
        assert found['arxos_partitions_default_rows{table="arxos_prod.buildings"}'] == 2
        told = command(mended, "journalctl", "-u", UNIT, "-n", "20", "-o", "cat").stdout
        assert "arxos_prod.buildings: 2 rows are outside" in told and "from 1999-01-01 00:00:00+00 to 1999-02-01 00:00:00+00" in told
    finally:
        sql(mended, "DROP TABLE arxos_prod.buildings_rest")


def test_when_it_is_broken_the_figure_is_0_and_status_is_red(mended: str) -> None:
    before = figures(mended)["arxos_partitions_last_success_timestamp_seconds"]
    well = status()
    assert well.returncode == 0, well.stdout[-3000:]
    assert "partitions ahead: arxos_prod.buildings 3 of 3" in well.stdout
    command(mended, "sed", "-i", "s/arxos_production/nowhere/", CONFIG)
    assert run(mended) != 0
    found = figures(mended)
    assert found["arxos_partitions_success"] == 0
    assert found["arxos_partitions_last_success_timestamp_seconds"] == before
    broken = status()
    assert broken.returncode == 2
    assert f"{mended}: partitions: arxos_partitions_success is 0" in broken.stdout
    assert f"{mended}: units: {UNIT} failed" in broken.stdout
