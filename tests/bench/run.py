# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make bench`: what a go-live costs, in a fresh clone and a lab of its own, and where the time goes.

CPU seconds are those of the whole machine (/proc/stat), so run it on a quiet one. Downloads come as warm as this machine has
them (pip's cache, the proxy of apt). The parts that others measure (tests/bench/*/run.py) follow.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".lab/bench"
CLONE = WORK / "checkout"
VAULT = "inventories/lab/group_vars/all/vault.yml"
LAB = os.environ.get("BENCH_LAB_NAME", "arxos-bench")
DEBIAN = os.environ.get("LAB_DEBIAN", "12")
IMAGE = f"{LAB}-debian:{DEBIAN}"
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")},
    "LAB_NAME": LAB,
    "LAB_PREFIX": os.environ.get("BENCH_LAB_PREFIX", "172.30.22"),
    "LAB_DEBIAN": DEBIAN,
    "LAB_IMAGE": IMAGE,
    "PATH": os.environ["PATH"].replace(f"{ROOT / '.venv/bin'}:", ""),
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/bench/callback"),
    "ANSIBLE_CALLBACKS_ENABLED": "arxos.platform.run_record,bench_profile",
}
AIMS = {"make go-live from nothing": 900, "playbook on bare hosts": 600, "playbook on converged hosts": 240}


@dataclass
class Cost:
    """Wall and CPU seconds of one thing."""

    name: str
    wall: float = 0.0
    cpu: float = 0.0


def cpu_seconds() -> float:
    """CPU seconds that this machine has spent on work since it started."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = (int(word) for word in file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


@contextmanager
def measured(costs: list[Cost], name: str) -> Iterator[None]:
    """Add what the block costs to costs, and say so."""
    print(f"bench: {name} ...", flush=True)
    wall, cpu = time.monotonic(), cpu_seconds()
    yield
    costs.append(Cost(name, time.monotonic() - wall, cpu_seconds() - cpu))
    print(f"bench: {name}: {costs[-1].wall:.0f} s, {costs[-1].cpu:.0f} s CPU", flush=True)


def run(name: str, *command: str, cwd: Path = CLONE, **environment: str) -> None:
    """Run a command with its log in .lab/bench; the end of the log and exit 1 when it fails."""
    log = WORK / f"{name.replace(' ', '-')}.log"
    with log.open("w") as out:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        print("\n".join(log.read_text().splitlines()[-60:]))
        sys.exit(f"bench: {' '.join(command)} ended with {done.returncode}; whole log: {log}")


def remove_lab() -> None:
    """Remove the lab of the bench with its image."""
    found = subprocess.run(["docker", "ps", "-aq", "--filter", f"label=arxos.lab={LAB}"], capture_output=True, text=True, check=False)
    for command in (["docker", "rm", "-fv", *found.stdout.split()], ["docker", "network", "rm", LAB], ["docker", "image", "rm", IMAGE]):
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def profile(path: Path) -> list[dict]:
    """Records of a run, one a task."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def tasks_per_host(records: list[dict]) -> str:
    """Fewest and most tasks that a host was asked to do (facts included, skipped ones not)."""
    hosts: Counter[str] = Counter()
    for record in records:
        hosts.update(record["ok"])
    hosts.pop("localhost", None)
    return f"{min(hosts.values())}-{max(hosts.values())}" if hosts else "-"


def print_table(costs: list[Cost], profiles: dict[str, list[dict]]) -> None:
    """Costs, against their aims."""
    print(f"\n{'':<32} {'tasks/host':>10} {'wall s':>8} {'CPU s':>8}   aim")
    for cost in costs:
        tasks = tasks_per_host(profiles[cost.name]) if cost.name in profiles else ""
        aim = AIMS.get(cost.name)
        verdict = f"<= {aim} s: {'met' if cost.wall <= aim else 'NOT MET'}" if aim else ""
        print(f"{cost.name:<32} {tasks:>10} {cost.wall:8.0f} {cost.cpu:8.0f}   {verdict}".rstrip())


def print_profile(name: str, records: list[dict]) -> None:
    """Where the time of one run went: by stage, and the tasks that took longest."""
    stages: dict[str, float] = defaultdict(float)
    count: Counter[str] = Counter()
    for record in records:
        stages[record["stage"] or "before the stages"] += record["seconds"]
        count[record["stage"] or "before the stages"] += sum(record["ok"].values())
    print(f"\n{name}, by stage")
    for stage, seconds in stages.items():
        print(f"  {stage:<30} {seconds:7.1f} s  {count[stage]:5d} task results")
    print(f"{name}, the tasks that took longest")
    for record in sorted(records, key=lambda entry: -entry["seconds"])[:12]:
        print(f"  {record['seconds']:7.1f} s  {record['stage'].split(' ')[0]:<4} {record['task']}  ({len(record['ok'])} hosts)")


def go_live() -> None:
    """A go-live from a fresh clone, then the playbook again, and in check mode."""
    remove_lab()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    dirty = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if dirty:
        print("bench: what is not committed is not measured")
    costs: list[Cost] = []
    profiles: dict[str, list[dict]] = {}
    with measured(costs, "clone"):
        run("clone", "git", "clone", "-q", str(ROOT), str(CLONE), cwd=WORK)
    for target in ("setup", "lab", "secrets", "release"):
        with measured(costs, f"make {target}"):
            run(target, "make", target)

    playbook = [str(CLONE / ".venv/bin/ansible-playbook"), "-i", "inventories/lab", "playbooks/go_live.yml"]
    for name, extra in (
        ("playbook on bare hosts", []),
        ("playbook on converged hosts", []),
        ("check on converged hosts", ["--check", "--diff"]),
    ):
        log = WORK / f"{name.replace(' ', '-')}.jsonl"
        with measured(costs, name):
            path = f"{CLONE / '.venv/bin'}:{ENVIRONMENT['PATH']}"
            run(name, *playbook, *extra, BENCH_PROFILE=str(log), PATH=path)
        profiles[name] = profile(log)

    nothing = Cost("make go-live from nothing", *(sum(getattr(cost, key) for cost in costs[:-2]) for key in ("wall", "cpu")))
    print_table([nothing, *costs], profiles)
    for name in ("playbook on bare hosts", "playbook on converged hosts"):
        print_profile(name, profiles[name])


def main() -> int:
    """Run what was asked for."""
    others = {path.parent.name: path for path in sorted((ROOT / "tests/bench").glob("*/run.py"))}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the lab of the bench as it is at the end")
    parser.add_argument("parts", nargs="*", help=f"what to measure, all without one: {', '.join(['go_live', *others])}")
    arguments = parser.parse_args()
    if not {"go_live", *others}.issuperset(arguments.parts):
        parser.error(f"there is only {', '.join(['go_live', *others])}")
    failed = []
    for part in arguments.parts or ["go_live", *others]:
        print(f"\n== {part}", flush=True)
        if part == "go_live":
            go_live()
            continue
        # The lab's secrets are in the checkout that made it.
        home = CLONE if (CLONE / VAULT).exists() else ROOT
        words = [sys.executable, str(home / others[part].relative_to(ROOT))]
        environment = {**os.environ, **{name: ENVIRONMENT[name] for name in ("LAB_NAME", "LAB_PREFIX")}}
        if subprocess.run(words, cwd=home, env=environment, check=False).returncode:
            failed.append(part)
    if not arguments.keep:
        remove_lab()
    if failed:
        print(f"\nbench: not measured, see above: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
