# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tests of rollbacks need of a whole platform: hosts, playbooks, playbooks that are killed, and what a rollback noted.

Which lab it is comes from LAB_NAME and LAB_PREFIX, as everywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories/lab"
VAULT = INVENTORY / "group_vars/all/vault.yml"
LAB, PREFIX = os.environ.get("LAB_NAME", "arxos-lab"), os.environ.get("LAB_PREFIX", "172.30.20")
GROUPS: dict[str, list[str]] = {
    name: list(group["hosts"] or {}) for name, group in yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"].items()
}
HOSTS = list(dict.fromkeys(host for hosts in GROUPS.values() for host in hosts))


def secrets() -> dict[str, Any]:
    return dict(yaml.safe_load(VAULT.read_text()))


def run(host: str, command: str, user: str = "root", check: bool = True) -> str:
    """Standard output of a shell command on a host."""
    words = ["docker", "exec", "-u", user, f"{LAB}-{host}", "sh", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def command(playbook: str, *arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(INVENTORY), f"playbooks/{playbook}", *arguments]


def play(playbook: str, *arguments: str, fails: bool = False) -> str:
    """What a playbook said, with single spaces so that a wrapped sentence can be looked for."""
    done = subprocess.run(
        command(playbook, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False, stdin=subprocess.DEVNULL
    )
    assert bool(done.returncode) is fails, (done.stdout + done.stderr)[-6000:]
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def play_and_kill(task: str, log: Path, playbook: str, *arguments: str, times: int = 1) -> None:
    """Every process of the controller ends at once when a task of that name begins for the so many-th time."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command(playbook, *arguments), cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
        began = time.monotonic()
        while log.read_text(errors="replace").count(f"TASK [{task}") < times:
            assert process.poll() is None and time.monotonic() - began < 900, log.read_text()[-4000:]
            time.sleep(0.05)
        # Ansible's workers have sessions of their own.
        for number in [*_descendants(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.wait(30)


def _descendants(number: int) -> list[int]:
    found = [int(word) for path in Path(f"/proc/{number}/task").glob("*/children") for word in path.read_text().split()]
    return [each for child in found for each in [*_descendants(child), child]]


def finished(host: str, name: str) -> dict[str, Any]:
    """The journal of the newest finished rollback of a kind."""
    return dict(json.loads(run(host, f"cat $(ls -t /var/lib/arxos/{name}_rollback.2*.json | head -1)")))


def unfinished(name: str) -> list[str]:
    """Hosts that have the journal of a rollback that is not finished."""
    return [host for host in HOSTS if run(host, f"ls /var/lib/arxos/{name}_rollback.json 2>/dev/null", check=False)]


def seconds(journal: dict[str, Any]) -> float:
    """What a rollback took, of the steps that count."""
    return sum(float(value) for step, value in journal["done"].items() if step not in ("plan", "seal"))


def deviation(journal: dict[str, Any]) -> float:
    """By how much the estimate was wrong."""
    return seconds(journal) / float(journal["plan"]["estimate_seconds"]) - 1


def releases() -> set[str]:
    """What the application servers run."""
    return {run(host, "basename $(readlink /opt/arxos/current)") for host in GROUPS["app"]}


def etc(host: str) -> str:
    """A digest of what /etc has on a host: of every file that git knows or would know, with its mode and owner."""
    return run(
        host,
        "cd /etc && git ls-files -z --cached --others --exclude-standard | sort -z | grep -zv '^[.]etckeeper$' |"
        ' xargs -0 -r sh -c \'for f; do [ -e "$f" ] || [ -L "$f" ] || continue; stat -c "%n %a %U %G" "$f";'
        ' [ -L "$f" ] && readlink "$f" || sha256sum <"$f"; done\' sh | sha256sum',
    )
