# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is config_tree worth its keep? The same eight files of an nginx role, once by template tasks and once by config_tree.

    tests/bench/config_tree/run.py [--rounds N]

It makes a lab host of its own, arxos-ct-edge1, unless that is there already, and removes it at the end. Each round configures the bare host
and then the converged host, one way after the other, so that what else the machine does hits both. Prints the median of tasks, wall
seconds and CPU seconds (controller and host) and ends with 1 when a converged run takes more than half: then config_tree goes.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WAYS = ("with_template", "with_config_tree")
LAB = {"LAB_NAME": "arxos-ct", "LAB_PREFIX": "172.30.31"}
CONTAINER = "arxos-ct-edge1"
STOCK = "/var/lib/arxos-bench-nginx"
PREPARE = f"""set -e
command -v nginx >/dev/null || {{ apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends nginx-light; }} >/dev/null 2>&1
test -d {STOCK} || cp -a /etc/nginx {STOCK}
"""
BARE = f"""set -e
rm -rf /etc/nginx /etc/systemd/system/nginx.service.d /var/lib/arxos/config_tree /etc/logrotate.d/nginx
cp -a {STOCK} /etc/nginx
"""


def ansible(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("ansible-playbook")), *arguments]
    environment = {**os.environ, **LAB, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


@contextmanager
def host() -> Iterator[None]:
    """A lab host to spare: nginx gets installed on it, and its configuration is overwritten again and again."""
    if subprocess.run(["docker", "inspect", CONTAINER], capture_output=True, check=False).returncode == 0:
        yield
        return
    done = ansible("molecule/shared/create.yml", "--limit", "edge1")
    try:
        if done.returncode != 0:
            raise SystemExit(f"the host cannot be made:\n{done.stdout}{done.stderr}")
        yield
    finally:
        ansible("molecule/shared/destroy.yml", "--limit", "edge1")


def on_host(script: str) -> None:
    subprocess.run(["docker", "exec", "-i", CONTAINER, "sh"], input=script, text=True, check=True)


def host_cpu() -> float:
    """Seconds of CPU that the host has used, from its control group (version 1 or 2)."""
    pid = subprocess.run(
        ["docker", "inspect", "-f", "{{.State.Pid}}", CONTAINER], capture_output=True, text=True, check=True
    ).stdout.strip()
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        group = path.removesuffix("/init.scope")
        if "cpuacct" in controllers:
            return int(Path(f"/sys/fs/cgroup/cpuacct{group}/cpuacct.usage").read_text()) / 1e9
        if number == "0" and Path(f"/sys/fs/cgroup{group}/cpu.stat").exists():
            return int(Path(f"/sys/fs/cgroup{group}/cpu.stat").read_text().split()[1]) / 1e6
    raise SystemExit(f"no CPU account of {CONTAINER} found")


def play(way: str, expect_change: bool) -> tuple[float, float, float]:
    """Tasks (handlers too), wall seconds, CPU seconds."""
    wall, mine, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN), host_cpu()
    done = ansible("-i", f"{CONTAINER},", "-e", "ansible_connection=community.docker.docker", str(HERE / f"{way}.yml"))
    wall, used = time.monotonic() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    recap = re.search(r"ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=0", done.stdout)
    if done.returncode != 0 or recap is None or (recap[2] != "0") != expect_change:
        raise SystemExit(f"{way} did not do what it should:\n{done.stdout}{done.stderr}")
    cpu = used.ru_utime + used.ru_stime - mine.ru_utime - mine.ru_stime + host_cpu() - before
    return float(recap[1]), wall, cpu


def main() -> int:
    parser = argparse.ArgumentParser(description="config_tree against template tasks")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    figures: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with host():
        on_host(PREPARE)
        for _round in range(arguments.rounds):
            for way in WAYS:
                on_host(BARE)
                for state in ("bare", "converged"):
                    figures.setdefault((way, state), []).append(play(way, state == "bare"))
    print(f"{'':28}{'tasks':>7}{'wall s':>9}{'CPU s':>9}")
    medians = {}
    for key, rounds in figures.items():
        medians[key] = [statistics.median(column) for column in zip(*rounds)]
        print(f"{key[1] + ', ' + key[0]:28}{medians[key][0]:7.0f}{medians[key][1]:9.2f}{medians[key][2]:9.2f}")
    ratios = {
        state: [tree / plain for tree, plain in zip(medians[WAYS[1], state], medians[WAYS[0], state])] for state in ("bare", "converged")
    }
    for state, ratio in ratios.items():
        print(f"{state + ', ratio':28}{ratio[0]:7.2f}{ratio[1]:9.2f}{ratio[2]:9.2f}")
    return 0 if max(ratios["converged"][1:]) <= 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
