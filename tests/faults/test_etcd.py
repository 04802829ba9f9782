# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the database does without its consensus store."""

from __future__ import annotations

import time

import pytest

from .cluster import Cluster, Observation, until
from .conftest import Judge
from .scenarios import lead_etcd

pytestmark = pytest.mark.usefixtures("whole")


@pytest.mark.fast
def test_one_is_lost(cluster: Cluster, judge: Judge) -> None:
    """The one that leads etcd, which is also the one beside the database's leader."""
    leader = cluster.leader
    lead_etcd(cluster, leader)
    with Observation(cluster) as seen:
        began = time.monotonic()
        cluster.stop(leader, "etcd.service")
        seen.keep_on(30)  # longer than Patroni's key lives
        assert cluster.leaders() == [leader]
        cluster.heal()
        cluster.wait_until_whole()
        assert cluster.leader == leader
    judge("one etcd node is lost", seen.report(began), 2)


def test_the_majority_is_lost(cluster: Cluster, judge: Judge) -> None:
    """Failsafe mode: while the leader hears from every member that it still leads, it goes on."""
    leader = cluster.leader
    with Observation(cluster) as seen:
        began = time.monotonic()
        for name in [name for name in cluster.members if name != leader]:
            cluster.stop(name, "etcd.service")
        seen.keep_on(45)
        assert cluster.leaders() == [leader]
        cluster.heal()
        cluster.wait_until_whole()
        assert cluster.leader == leader
    judge("etcd's majority is lost", seen.report(began), 2)


def test_the_majority_and_a_replica_are_lost(cluster: Cluster, judge: Judge) -> None:
    """Now the leader cannot know whether that replica was made leader: nobody takes writes, replicas and former leader are read, until it is over."""
    leader = cluster.leader
    lost = cluster.successor()
    other = next(name for name in cluster.members if name not in (leader, lost))
    with Observation(cluster) as seen:
        began = time.monotonic()
        cluster.stop(other, "etcd.service")
        cluster.kill_host(lost)
        until(40, lambda: cluster.leaders() == [], f"{leader} takes no more writes")
        stopped = time.monotonic()
        seen.keep_on(10)
        assert cluster.leaders() == []
        assert cluster.sql(other, "SELECT pg_is_in_recovery()") == "t"
        assert [line for line in seen.lines() if line.kind == "read" and line.began > stopped + 5], "nobody could read"
        assert not [line for line in seen.lines() if line.kind == "written" and line.began > stopped]
        again = time.monotonic()
        cluster.heal()
        seen.writes_again(again)
        cluster.wait_until_whole()
    report = seen.report(began)
    assert report.gap.began < stopped < report.gap.ended
    judge("etcd's majority and a replica are lost", report, again - began + 45)
