# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole platform that serves: its hosts, its playbooks, its releases, and users at 100 requests a second.

Which lab it is comes from LAB_NAME and LAB_PREFIX, as everywhere.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .api_clients import Came, Clients, resolved

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories/lab"
LAB, PREFIX = os.environ.get("LAB_NAME", "arxos-lab"), os.environ.get("LAB_PREFIX", "172.30.20")
ADDRESS = f"{PREFIX}.100"
# All hosts of the lab share the processors on which users are served: few of them work for a playbook about all hosts at a time.
FEW = ("--forks", "4")
Figure = Callable[[str, object], None]


@dataclass
class Played:
    """Exit code of a playbook and all that it said."""

    code: int
    said: str

    @property
    def words(self) -> str:
        """On one line, however it was broken."""
        return " ".join(self.said.split())

    def ok(self) -> Played:
        assert self.code == 0, self.said[-4000:]
        return self

    def unchanged(self) -> bool:
        recap = [line for line in self.said.splitlines() if " changed=" in line]
        return bool(recap) and all(" changed=0 " in line for line in recap)


def secrets() -> dict[str, Any]:
    return yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())


def hosts(group: str) -> list[str]:
    return list(yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"][group]["hosts"])


def run(host: str, command: str, check: bool = True) -> str:
    """Output of a shell command on a host."""
    done = subprocess.run(
        ["docker", "exec", f"{LAB}-{host}", "sh", "-c", command], capture_output=True, text=True, timeout=120, check=False
    )
    assert not check or done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def docker(*words: str, check: bool = True) -> None:
    subprocess.run(["docker", *words], capture_output=True, timeout=120, check=check)


def command(playbook: str, *arguments: str, inventories: tuple[str, ...] = ()) -> list[str]:
    beside = [word for name in inventories for word in ("-i", name)]
    folder = "" if "/" in playbook else "playbooks/"
    # The controller is a machine of its own as well, and takes no processor from the platform.
    return [
        "nice",
        "-n",
        "19",
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        str(INVENTORY),
        *beside,
        f"{folder}{playbook}",
        *arguments,
    ]


def play(playbook: str, *arguments: str, inventories: tuple[str, ...] = (), alone: tuple[str, ...] = ()) -> Played:
    """A playbook to its end. `inventories` come beside the lab's, `alone` in its place."""
    words = command(playbook, *arguments, inventories=inventories)
    if alone:
        words[4:6] = [word for name in alone for word in ("-i", name)]
    done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2400, check=False)
    assert "Traceback" not in done.stdout + done.stderr, done.stdout[-3000:] + done.stderr[-3000:]
    return Played(done.returncode, done.stdout + done.stderr)


@contextlib.contextmanager
def under_way(log: Path, playbook: str, *arguments: str) -> Iterator[Callable[[str], None]]:
    """A playbook that runs while the block does something to it, and waits for a text in what it says. The log has all of that, its last line the code."""
    with log.open("w") as out:
        process = subprocess.Popen(command(playbook, *arguments), cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

        def wait_for(text: str) -> None:
            began = time.monotonic()
            while text not in log.read_text():
                assert process.poll() is None and time.monotonic() - began < 600, log.read_text()[-3000:]
                time.sleep(0.05)

        try:
            yield wait_for
            process.wait(1200)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)
    with log.open("a") as out:
        print(f"\nexit code {process.returncode}", file=out)


def ended(log: Path) -> Played:
    said = log.read_text()
    return Played(int(said.rsplit(" ", 1)[1]), said)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill -9 of a run with all that it started; Ansible's workers have sessions of their own."""
    for number in [process.pid, *descendants(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait(30)
    if process.stdout:
        process.stdout.close()


def descendants(number: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{number}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has ended by itself
            found += [int(word) for word in path.read_text().split()]
    return [each for child in found for each in [*descendants(child), child]]


def release(host: str) -> str:
    return Path(run(host, "readlink /opt/arxos/current")).name


def started(host: str) -> str:
    return run(host, "systemctl show -P ExecMainStartTimestampMonotonic arxos-api.service")


def build(version: str, *arguments: str) -> None:
    """A release of the reference application, in dist/."""
    script = str(ROOT / "tests/reference_app/build_release.py")
    subprocess.run([sys.executable, script, "--output", str(ROOT / "dist"), "--version", version, *arguments], check=True, cwd=ROOT)


@contextlib.contextmanager
def users(folder: Path, rate: float = 100.0) -> Iterator[Clients]:
    """Logged in, and at work while a test has them so, with so many requests a second."""
    ca = folder / "ca.crt"
    ca.write_text(secrets()["vault_certificates_ca_certificate"])
    with resolved(ADDRESS):
        yield Clients(str(ca), secrets(), rate=rate)


def judge(came: Came, what: str, figure: Figure, rate: float = 95) -> None:
    """None failed, and there were enough to say so."""
    figure(what, came)
    assert came.failures == [], (str(came), came.failures[:10])
    assert came.rate >= rate, str(came)
