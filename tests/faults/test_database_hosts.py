# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Database hosts come and go by an edit of the inventory and one playbook, and are restarted and upgraded, while clients write."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from .cluster import INVENTORY, ROOT, Cluster, Observation, until
from .conftest import Judge
from .scenarios import SWITCHOVER_SECONDS

pytestmark = pytest.mark.usefixtures("whole")
Figure = Callable[[str, object], None]
NEW = {"database4": "34", "database5": "35"}


def play(playbook: str, *arguments: str) -> str:
    """What one of our playbooks said."""
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(INVENTORY), *arguments, str(ROOT / playbook)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=60).stdout


def tier(cluster: Cluster) -> str:
    """What a --limit has for the database and those it talks with: a lab need not have every application host.

    Without the S3 host, whose firewall has to know them, new members could not archive, nor stop before they did.
    """
    running = docker("ps", "--format", "{{.Names}}").split()
    return ",".join(["database", "storage", "localhost", *(name for name in cluster.apps if f"{cluster.lab}-{name}" in running)])


def etcd_members(cluster: Cluster) -> list[str]:
    """Names of etcd's members; one that was added and never started has none."""
    command = "set -a; . /etc/default/etcd; exec etcdctl --endpoints=https://127.0.0.1:2379 member list --write-out=json"
    return sorted(item.get("name", "") for item in json.loads(cluster.run(cluster.members[0], "sh", "-c", command))["members"])


@pytest.fixture
def wider(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """An inventory beside the lab's with two more database hosts, which are gone at the end."""
    hosts = {name: {"arxos_address": "{{ lab_prefix }}." + last, "arxos_zone": "a"} for name, last in NEW.items()}
    path = tmp_path / "more.yml"
    path.write_text(yaml.safe_dump({"database": {"hosts": hosts}}))
    yield str(path)
    docker("rm", "-fv", *(f"{cluster.lab}-{name}" for name in NEW))


def test_a_host_that_was_lost_with_its_data_is_replaced(cluster: Cluster, judge: Judge, figure: Figure) -> None:
    lost = next(name for name in cluster.members if name not in (cluster.leader, cluster.successor()))
    with Observation(cluster) as seen:
        docker("rm", "-fv", f"{cluster.lab}-{lost}")
        play("molecule/shared/create.yml", "--limit", f"{lost},localhost")
        told = play("playbooks/scale_database.yml", "--limit", tier(cluster))
        cluster.wait_until_whole()
    figure("  the playbook that replaced it", next(line for line in told.splitlines() if line.startswith("Whole run")))
    assert etcd_members(cluster) == sorted(cluster.members)
    judge("a replica's host is lost with its data and replaced", seen.report(), 2)


def test_hosts_are_added_and_removed(cluster: Cluster, judge: Judge, wider: str) -> None:
    limit = tier(cluster)
    with Observation(cluster) as seen:
        play("molecule/shared/create.yml", "-i", wider, "--limit", ",".join([*NEW, "localhost"]))
        play("playbooks/scale_database.yml", "-i", wider, "--limit", limit)
        assert sorted(cluster.members_seen()) == sorted([*cluster.members, *NEW])
        assert etcd_members(cluster) == sorted([*cluster.members, *NEW])
        assert "Changed: nothing" in play("playbooks/database.yml", "-i", wider, "--limit", limit)

        # One of them leads when they leave the inventory.
        play("playbooks/switchover.yml", "-i", wider, "-e", "candidate=database4")
        play("playbooks/scale_database.yml", "--limit", limit)
        assert etcd_members(cluster) == sorted(cluster.members)
        assert cluster.leader in cluster.members
        docker("rm", "-fv", *(f"{cluster.lab}-{name}" for name in NEW))
        until(60, lambda: sorted(cluster.members_seen()) == sorted(cluster.members), "those that left are no members for Patroni either")
        cluster.wait_until_whole()
    judge("database hosts are added and removed", seen.report(), 10)


def test_rolling_restart_and_upgrade(cluster: Cluster, judge: Judge) -> None:
    before = {name: cluster.sql(name, "SELECT pg_postmaster_start_time()") for name in cluster.members}
    with Observation(cluster) as seen:
        play("playbooks/restart_database.yml", "-e", "upgrade=true")
        cluster.wait_until_whole()
    assert not [name for name, time in before.items() if cluster.sql(name, "SELECT pg_postmaster_start_time()") == time]
    judge("rolling restart by the playbook", seen.report(), SWITCHOVER_SECONDS)


@pytest.mark.parametrize("connections", [120, 90], ids=["raised", "lowered"])
def test_a_setting_that_wants_a_restart(cluster: Cluster, judge: Judge, connections: int) -> None:
    """A lowered max_connections is taken by replicas only after the leader: that one is restarted in place then, and on the way back as well."""
    words = ["playbooks/database.yml", "--tags", "postgresql", "--limit", tier(cluster)]
    with Observation(cluster) as seen:
        play(*words, "-e", f"postgresql_max_connections={connections}")
        found = {cluster.sql(name, "SHOW max_connections") for name in cluster.members}
        play(*words)
        cluster.wait_until_whole()
    assert found == {str(connections)}
    judge(f"max_connections to {connections} and back", seen.report(), 5)
