# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Seconds without writes for each kind of change of leader, on the lab's database tier: python tests/bench/failover/run.py [rounds]

What a client waits for, through the endpoint of its host, while four of them write. Printed beside the figure that was measured before this collection
had a database tier, and the aim. The load average tells how busy the machine was: the figures follow it.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from faults.cluster import Cluster, Report
from faults.scenarios import kill_leaders_host, kill_postmaster, switch_over

# What is measured, how, the figure of before, and the aim in seconds.
KINDS: list[tuple[str, Callable[[Cluster], Report], str, int]] = [
    ("kill -9 of the postmaster", kill_postmaster, "8.0 s", 10),
    ("the leader's host dies", lambda cluster: kill_leaders_host(cluster)[0], "19-20 s", 25),
    ("planned switchover", switch_over, "1.5 s", 2),
]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    cluster = Cluster()
    cluster.wait_until_whole()
    for what, cause, before, aim in KINDS:
        reports = [cause(cluster) for _round in range(rounds)]
        gaps = [report.gap.seconds for report in reports]
        each, loads = (", ".join(f"{number:.1f}" for number in numbers) for numbers in (gaps, [report.load for report in reports]))
        lost, acknowledged = sum(len(report.lost) for report in reports), sum(report.acknowledged for report in reports)
        verdict = "met" if max(gaps) <= aim and not lost else "NOT MET"
        print(f"{what:<26} {statistics.median(gaps):5.1f} s without writes (of {each}), before {before}, aim {aim} s: {verdict}")
        print(f"{'':<26} {lost} of {acknowledged} acknowledged writes lost, load {loads}", flush=True)


if __name__ == "__main__":
    main()
