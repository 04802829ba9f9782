# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long a client of the lab's cache tier waits when a master is lost or moved: python tests/bench/redis/run.py [runs]

Six clients write to every slot as the application does; printed is how long a shard acknowledged nothing to any of them, run by run. The
figures beside are those of single runs over loopback, without TLS between hosts.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.faults.redis_ledger import HOSTS, LAB, PORTS, Ledger, docker, ledger, masters, members, redis, wait_healthy


def quiet() -> Ledger:
    """Nothing happens."""
    with ledger() as found:
        time.sleep(5)
    return found


def host_and_port(row: list[str]) -> tuple[str, int]:
    """Whose row of CLUSTER NODES it is."""
    address, _colon, port = row[1].split("@")[0].rpartition(":")
    return next(name for name, known in HOSTS.items() if known == address), int(port)


def master_lost() -> Ledger:
    """A master on another host than the clients' stops for good; its replica has to take over."""
    address, port = next(item for item in masters("cache1") if item[0] != HOSTS["cache1"])
    host = next(name for name, known in HOSTS.items() if known == address)
    with ledger() as found:
        time.sleep(2)
        docker("exec", f"{LAB}-{host}", "systemctl", "kill", "-s", "STOP", f"redis-server@{port}")
        time.sleep(6)
        docker("exec", f"{LAB}-{host}", "systemctl", "kill", "-s", "CONT", f"redis-server@{port}")
        wait_healthy()
    return found


def planned() -> Ledger:
    """A replica on another host than the clients' takes over in agreement."""
    host, port = next(host_and_port(row) for row in members("cache1") if "slave" in row[2] and "myself" not in row[2])
    with ledger() as found:
        time.sleep(2)
        redis(host, "CLUSTER", "FAILOVER", port=port)
        time.sleep(3)
    return found


CASES = [
    ("no fault", quiet, ""),
    ("master lost, node timeout 2000 ms", master_lost, "3.8 s, aim 5"),
    ("planned failover", planned, "0.10 s, aim 0.2, 0 errors"),
]


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for name, case, reference in CASES:
        found = []
        for _run in range(runs):
            wait_healthy(tuple(HOSTS), 2 * len(PORTS) + 2)
            found.append(case())
        waits = ", ".join(f"{item.gap:.2f}" for item in found)
        rate = sum(item.writes for item in found) / sum(item.seconds for item in found)
        errors, lost = sum(item.errors for item in found), sum(item.lost for item in found)
        print(f"{name:<36} {waits} s{f' ({reference})' if reference else ''}; {errors} errors, {lost} lost, {rate:.0f} writes/s")


if __name__ == "__main__":
    main()
