# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What PostgreSQL's clients notice of each fault: how long nobody could write, and that nothing that was acknowledged is gone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .cluster import ENDPOINT, POOL, Cluster, HostError, Observation, until
from .conftest import Judge
from .scenarios import HOST_LOSS_SECONDS, SWITCHOVER_SECONDS, another_leader, kill_leaders_host, kill_postmaster, lead_etcd, switch_over

pytestmark = pytest.mark.usefixtures("whole")
Figure = Callable[[str, object], None]
# Room for the data and the WAL of a lab, in MiB.
SMALL_DISK = 700


@pytest.mark.fast
def test_the_postmaster_is_killed(cluster: Cluster, judge: Judge) -> None:
    judge("kill -9 of the postmaster", kill_postmaster(cluster), 10)


def test_patroni_and_the_postmaster_are_killed(cluster: Cluster, judge: Judge) -> None:
    leader = cluster.leader
    process = cluster.postmaster(leader)
    with Observation(cluster) as seen:
        began = time.monotonic()
        cluster.run(leader, "sh", "-c", f"kill -9 $(systemctl show -P MainPID patroni.service) {process}")
        seen.writes_again(time.monotonic())
        cluster.wait_until_whole()
    judge("kill -9 of Patroni and the postmaster", seen.report(began), 25)


def test_the_leaders_host_dies(cluster: Cluster, judge: Judge, figure: Figure) -> None:
    report, back = kill_leaders_host(cluster)
    figure("  the host is a replica again", f"{back:5.1f} s after it was started")
    judge("the leader's host dies", report, HOST_LOSS_SECONDS)


def test_the_leaders_host_dies_while_s3_is_away(cluster: Cluster, judge: Judge) -> None:
    """A replica asks the archive for what it lacks before it leads. That must not hold it up."""
    cluster.lose_archive()
    report, _back = kill_leaders_host(cluster)
    judge("the leader's host dies while S3 is away", report, HOST_LOSS_SECONDS)


def test_the_leaders_host_is_cut_off(cluster: Cluster, judge: Judge, figure: Figure) -> None:
    leader = cluster.leader
    lead_etcd(cluster, leader)
    with Observation(cluster) as seen:
        began = time.monotonic()
        cluster.cut(leader)
        seen.writes_again(time.monotonic())
        successor = another_leader(cluster, leader)
        until(30, lambda: cluster.leaders() == [successor], f"{leader} takes no more writes")
        seen.keep_on(5)
        cluster.join(leader)
        figure("  the host is a replica again", f"{cluster.wait_until_whole():5.1f} s after it was joined")
    report = seen.report(began)
    judge("the leader's host is cut off", report, HOST_LOSS_SECONDS)
    watched = [sight for sight in seen.sights if sight.member == leader and sight.began > began]
    assert watched and watched[-1].state == "recovers", "nobody looked at the one that was cut off"


def test_patroni_hangs_on_the_leader(cluster: Cluster, judge: Judge) -> None:
    """A lab has no watchdog, which would reset such a host. So the former leader still takes what its own socket brings, and acknowledges none of it:
    the replica that it would have to wait for leads. No client of an endpoint reaches it."""
    leader = cluster.leader
    with Observation(cluster) as seen:
        began = time.monotonic()
        cluster.run(leader, "systemctl", "kill", "--kill-whom=main", "--signal=STOP", "patroni.service")
        cluster.repairs.append(lambda: cluster.run(leader, "systemctl", "kill", "--kill-whom=main", "--signal=CONT", "patroni.service"))
        another_leader(cluster, leader)
        led = time.monotonic()
        seen.writes_again(led)
        insert = f"INSERT INTO arxos_prod.buildings (name) VALUES ('{seen.mark}-alone')"
        with pytest.raises(subprocess.TimeoutExpired):
            cluster.run(leader, "psql", "-XAtqw", "-d", "arxos_production", "-c", insert, user="postgres", timeout=5)
        cluster.heal()
        cluster.wait_until_whole()
    assert cluster.sql(leader, f"SELECT count(*) FROM arxos_prod.buildings WHERE name = '{seen.mark}-alone'") == "0", (
        "it is on a timeline of its own"
    )
    report = seen.report(began)
    report.two_writers = [pair for pair in report.two_writers if leader not in (pair[0].member, pair[1].member)]
    judge("Patroni hangs on the leader", report, 25)


@pytest.mark.parametrize("how", ["dies", "is cut off"])
def test_a_replica_is_lost(cluster: Cluster, judge: Judge, how: str) -> None:
    """The one that commits wait for: losing the other is nothing."""
    leader, replica = cluster.leader, cluster.successor()
    with Observation(cluster) as seen:
        began = time.monotonic()
        (cluster.kill_host if how == "dies" else cluster.cut)(replica)
        seen.writes_again(time.monotonic() + 2)
        seen.keep_on(10)
        cluster.heal()
        cluster.wait_until_whole()
        assert cluster.leader == leader
    judge(f"the synchronous replica {how}", seen.report(began), 25)


def test_both_replicas_are_lost(cluster: Cluster, judge: Judge) -> None:
    """As configured (synchronous, not strict): the leader goes on alone. Their hosts are up, and etcd with them."""
    leader = cluster.leader
    with Observation(cluster) as seen:
        began = time.monotonic()
        for name in cluster.members:
            if name != leader:
                cluster.stop(name, "patroni.service")
        seen.writes_again(time.monotonic() + 2)
        seen.keep_on(10)
        cluster.heal()
        cluster.wait_until_whole()
        assert cluster.leader == leader
    judge("both replicas are lost", seen.report(began), 25)


@pytest.mark.parametrize("way", [ENDPOINT, POOL], ids=["endpoint", "pool"])
def test_planned_switchover(cluster: Cluster, judge: Judge, way: dict[str, Any], request: pytest.FixtureRequest) -> None:
    report = switch_over(cluster, way)
    judge(f"planned switchover, by the {request.node.callspec.id}", report, SWITCHOVER_SECONDS)
    assert report.not_read == {}


def test_rolling_restart(cluster: Cluster, judge: Judge) -> None:
    """Every host's PostgreSQL and Patroni, replicas first."""
    since = {member: cluster.sql(member, "SELECT pg_postmaster_start_time()") for member in cluster.members}
    with Observation(cluster) as seen:
        began = time.monotonic()
        cluster.play("restart_database.yml")
        seen.writes_again(time.monotonic())
        cluster.wait_until_whole()
    assert not [member for member in cluster.members if cluster.sql(member, "SELECT pg_postmaster_start_time()") == since[member]]
    report = seen.report(began)
    judge("rolling restart", report, SWITCHOVER_SECONDS)
    assert report.not_read == {}


# Partitions ------------------------------------------------------------------------------------------------------------


def test_next_months_partition_is_missing(cluster: Cluster) -> None:
    """The playbook brings it back; until then its rows are refused, by name of table and with the value that found no partition."""
    leader = cluster.leader
    month = cluster.sql(leader, "SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYY-MM')")
    partition = f"arxos_prod.buildings_{month.replace('-', '_')}"
    described = f"""SELECT pg_get_expr(relpartbound, oid), (SELECT count(*) FROM pg_index WHERE indrelid = c.oid),
        (SELECT count(*) FROM aclexplode(relacl)), relowner::regrole FROM pg_class c WHERE oid = to_regclass('{partition}')"""
    before = cluster.sql(leader, described)
    assert before
    cluster.sql(leader, f"DROP TABLE {partition}")
    with pytest.raises(HostError, match=f'no partition of relation "buildings" found for row(?s:.*){month}-15'):
        cluster.sql(leader, f"INSERT INTO arxos_prod.buildings (name, created_at) VALUES ('x', '{month}-15 12:00+00')")
    cluster.play("database.yml", "--tags", "postgresql_schema", "--limit", "database,localhost")
    assert cluster.sql(leader, described) == before
    for member in cluster.members:
        until(10, lambda member=member: cluster.sql(member, described) == before, f"the partition on {member}")


# A disk that is full ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[str]:
    """A replica with its data on a file system of its own (a tmpfs: containers get no block device), to which it is cloned anew. It may take over."""
    member, other = sorted(set(cluster.members) - {cluster.leader})
    version = cluster.run(member, "sh", "-c", "ls /var/lib/postgresql | grep -x '[0-9]*'")
    place = f"/var/lib/postgresql/{version}"
    cluster.run(member, "systemctl", "stop", "patroni.service")

    def back() -> None:
        cluster.run(member, "systemctl", "stop", "patroni.service")
        cluster.run(member, "umount", place)
        cluster.run(member, "systemctl", "start", "patroni.service")

    cluster.repairs.append(lambda: cluster.start(member, "patroni.service"))
    cluster.run(member, "mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}m,mode=0755,uid=postgres,gid=postgres", "tmpfs", place)
    cluster.repairs.append(back)
    cluster.start(member, "patroni.service")
    cluster.wait_until_whole()
    if cluster.successor() != member:
        cluster.run(other, "systemctl", "restart", "patroni.service")
        until(30, lambda: cluster.successor() == member, f"{member} is waited for")
    yield member


def fill(cluster: Cluster, member: str) -> str:
    """Fill the disk of a member's data to the last byte; the file that does it."""
    place = cluster.run(member, "sh", "-c", "echo /var/lib/postgresql/[0-9]*")
    cluster.run(member, "sh", "-c", f"dd if=/dev/zero of={place}/full bs=1M 2>&1; dd if=/dev/zero of={place}/full.end bs=1k 2>&1; true")
    assert cluster.run(member, "df", "--output=avail", place).split()[-1] == "0"
    return f"{place}/full"


def sound(cluster: Cluster, member: str) -> None:
    """Every page keeps its checksum and every index fits its table: all is read."""
    cluster.run(member, "pg_dump", "-d", "arxos_production", "-f", "/dev/null", user="postgres", timeout=120)
    assert cluster.sql(member, "SELECT sum(checksum_failures) FROM pg_stat_database", "postgres") == "0"


def wal_is_used_up(cluster: Cluster, member: str) -> bool:
    """Use up one segment of the WAL that is there already, as a busy minute would; whether that was the end of it."""
    try:
        cluster.sql(member, "SELECT pg_switch_wal()", "postgres")
    except HostError:
        return True
    return False


def test_the_leaders_disk_is_full(cluster: Cluster, small_disk: str, judge: Judge, figure: Figure) -> None:
    """WAL can grow no more: PostgreSQL ends rather than acknowledge what it cannot keep, and another takes over. Freed, it comes back by itself."""
    leader = small_disk
    cluster.switchover(cluster.leader, leader)
    cluster.wait_until_whole()
    assert cluster.leader == leader
    with Observation(cluster) as seen:
        began = time.monotonic()
        full = fill(cluster, leader)
        until(60, lambda: wal_is_used_up(cluster, leader), "the end of PostgreSQL")
        another_leader(cluster, leader)
        seen.writes_again(time.monotonic())
        log = cluster.run(leader, "sh", "-c", "grep -h 'No space left on device' /var/log/postgresql/*.log | tail -n 3")
        assert "No space left on device" in log
        cluster.run(leader, "sh", "-c", f"rm {full} {full}.end")
        figure("  the member is a replica again", f"{cluster.wait_until_whole():5.1f} s after its disk was freed")
    judge("the leader's disk is full", seen.report(began), 25)
    for member in cluster.members:
        sound(cluster, member)
