# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults that the tests judge and the bench measures. Each leaves the tier whole."""

from __future__ import annotations

import os
import time
from typing import Any

from .cluster import ENDPOINT, Cluster, Observation, Report, until

# Patroni 4 (Debian 13) lets its key live for no less than 20 s, 16 are enough for Patroni 3. And there commits wait for a replica from the first moment on,
# and the replicas that do not take over sleep for 2 s in a switchover before they look for the new leader.
NEWER = os.environ.get("LAB_DEBIAN") == "13"
HOST_LOSS_SECONDS, SWITCHOVER_SECONDS = (28, 4) if NEWER else (25, 2)


def another_leader(cluster: Cluster, before: str) -> str:
    """The leader, once it is another."""
    return until(60, lambda: next((name for name in cluster.leaders() if name != before), ""), f"another leader than {before}")


def lead_etcd(cluster: Cluster, member: str) -> None:
    """Make a member's etcd the leader of etcd. Where both leaders die together, etcd elects first, and Patroni's key lives on meanwhile."""
    wanted = next(name for name in cluster.etcd_members() if cluster.addresses[member] in name)

    def leads() -> bool:
        leading = next(url for url, seen in cluster.etcd_members().items() if seen.leads)
        if leading != wanted:
            cluster.etcd(leading, "move-leader", cluster.etcd_members()[wanted].number)
        return leading == wanted

    until(20, leads, f"etcd of {member} leads")


def kill_postmaster(cluster: Cluster) -> Report:
    """kill -9 of the leader's postmaster."""
    leader = cluster.leader
    process = cluster.postmaster(leader)
    with Observation(cluster) as seen:
        began = time.monotonic()
        cluster.run(leader, "kill", "-9", process)
        seen.writes_again(time.monotonic())
        cluster.wait_until_whole()
    return seen.report(began)


def kill_leaders_host(cluster: Cluster) -> tuple[Report, float]:
    """The leader's host ends at once, its etcd with it, and is started once another leads. Also the seconds until it is back in the tier."""
    leader = cluster.leader
    lead_etcd(cluster, leader)
    with Observation(cluster) as seen:
        began = time.monotonic()
        cluster.kill_host(leader)
        seen.writes_again(time.monotonic())
        another_leader(cluster, leader)
        cluster.heal()
        back = cluster.wait_until_whole()
    return seen.report(began), back


def switch_over(cluster: Cluster, way: dict[str, dict[str, Any]] = ENDPOINT) -> Report:
    """A planned switchover to the replica that commits wait for."""
    leader, successor = cluster.leader, cluster.successor()
    with Observation(cluster, way=way) as seen:
        began = time.monotonic()
        cluster.play("switchover.yml", "-e", f"candidate={successor}")
        assert another_leader(cluster, leader) == successor
        seen.writes_again(time.monotonic())
        cluster.wait_until_whole()
    return seen.report(began)
