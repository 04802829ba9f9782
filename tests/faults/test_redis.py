# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults and changes of the cache tier, caused for real, with clients writing to every slot all the while.

They want the cache tier of the lab that LAB_NAME names, converged by playbooks/cache.yml, and leave it as they found it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from .redis_ledger import HOSTS, INVENTORY, LAB, PORTS, docker, ledger, masters, members, playbook, redis, unhealthy, wait_healthy

FOURTH = str(INVENTORY.parents[1] / "tests/faults/inventories/fourth_cache.yml")


Figure = Callable[[str, object], None]


def balanced() -> bool:
    return len({address for address, _port in masters("cache1")}) == len(HOSTS)


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """Healthy and balanced, before and after: a host with two masters of three takes the majority with it."""
    for when in ("before", "after"):
        wait_healthy(seconds=120)
        if not balanced():
            playbook("playbooks/restart_cache.yml", "--start-at-task=Balance")
            wait_healthy()
        if when == "before":
            yield


def master_on(host: str) -> int:
    """The port of the master on that host."""
    return next(port for address, port in masters("cache1") if address == HOSTS[host])


@pytest.mark.fast
def test_a_master_that_is_killed_is_back_in_five_seconds(figure: Figure) -> None:
    port = master_on("cache2")
    with ledger() as found:
        time.sleep(2)
        docker("exec", f"{LAB}-cache2", "systemctl", "kill", "-s", "KILL", f"redis-server@{port}")
        time.sleep(6)
        wait_healthy()
    figure("Redis master killed (bound 5 s)", found)
    assert found.gap <= 5 and found.lost == 0 and found.slots == 16384, found.first_errors


def test_a_master_that_hangs_is_taken_over_in_five_seconds(figure: Figure) -> None:
    """Nothing starts it again, so this is a failover; what it had acknowledged was with its replica long before."""
    port = master_on("cache2")
    host = f"{LAB}-cache2"
    with ledger() as found:
        time.sleep(2)
        docker("exec", host, "systemctl", "kill", "-s", "STOP", f"redis-server@{port}")
        try:
            time.sleep(6)
            assert (HOSTS["cache2"], port) not in masters("cache1")
        finally:
            docker("exec", host, "systemctl", "kill", "-s", "CONT", f"redis-server@{port}")
        wait_healthy()
    figure("Redis master hangs (bound 5 s)", found)
    assert found.gap <= 5 and found.slots == 16384, found.first_errors


def test_a_host_that_is_killed_leaves_no_slot_uncovered(figure: Figure) -> None:
    with ledger() as found:
        time.sleep(2)
        docker("kill", f"{LAB}-cache3")
        try:
            time.sleep(6)
            for host in ("cache1", "cache2"):
                assert "cluster_slots_ok:16384" in redis(host, "CLUSTER", "INFO")
        finally:
            docker("start", f"{LAB}-cache3")
        wait_healthy(seconds=120)
    figure("Redis host killed (bound 5 s)", found)
    assert found.gap <= 5 and found.slots == 16384, found.first_errors


@pytest.mark.fast
def test_a_planned_failover_is_not_noticed(figure: Figure) -> None:
    gaps = []
    for _attempt in range(3):
        rows = [row for row in members("cache1") if "slave" in row[2] and "myself" not in row[2]]
        address, _colon, port = rows[0][1].split("@")[0].rpartition(":")
        host = next(name for name, known in HOSTS.items() if known == address)
        with ledger() as found:
            time.sleep(2)
            assert redis(host, "CLUSTER", "FAILOVER", port=int(port)) == "OK"
            time.sleep(3)
            assert (address, int(port)) in masters("cache1")
        assert (found.errors, found.lost) == (0, 0), found.first_errors
        gaps.append(found.gap)
    figure("Redis planned failover (bound 0.2 s)", f"gaps {gaps}, 0 errors")
    assert min(gaps) <= 0.2, f"{gaps}; a busy machine adds to each, so the best counts"


def test_a_rolling_restart_is_not_noticed(figure: Figure) -> None:
    before = {(host, port): redis(host, "INFO", "server", port=port) for host in HOSTS for port in PORTS}
    with ledger() as found:
        answer = playbook("playbooks/restart_cache.yml")
    figure("Redis rolling restart (bound 0 errors)", found)
    for (host, port), old in before.items():
        run = next(line for line in old.splitlines() if line.startswith("run_id:"))
        assert run not in redis(host, "INFO", "server", port=port), f"{host} {port} was not restarted\n{answer.stdout[-2000:]}"
    assert (found.errors, found.lost) == (0, 0), found.first_errors
    assert balanced(), "every host carries a master again"


def test_a_fourth_host_comes_and_goes_under_load(figure: Figure) -> None:
    four, limit = [FOURTH], ("--limit", "cache,localhost")
    playbook("molecule/shared/create.yml", "--limit", "cache4,localhost", inventories=four)
    try:
        playbook("playbooks/hosts.yml", *limit, inventories=four)
        with ledger(extra=5) as came:
            playbook("playbooks/cache.yml", *limit, inventories=four)
        wait_healthy([*HOSTS, "cache4"], size=8)
        assert len({address for address, _port in masters("cache1")}) == 4

        refused = playbook("playbooks/hosts.yml", *limit, check=False)
        assert refused.returncode and "is still in the Redis cluster" in refused.stdout
        assert not unhealthy([*HOSTS, "cache4"], size=8)
    finally:
        with ledger(extra=5) as went:
            playbook("playbooks/cache.yml", *limit)
        alone, left = len(members("cache4")), redis("cache4", "DBSIZE")
        playbook("molecule/shared/destroy.yml", "--limit", "cache4", inventories=four)
    wait_healthy()
    assert (alone, left) == (1, "0")
    playbook("playbooks/hosts.yml", *limit, "--tags", "firewall")
    for found, what in ((came, "comes"), (went, "goes")):
        figure(f"Redis fourth host {what} (bound 0 lost)", found)
        assert (found.errors, found.lost, found.gone, found.slots) == (0, 0, 0, 16384), found.first_errors
