# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules that lock their controller out, for real: the host undoes them by itself, whoever is killed, and a good change goes in afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .redis_ledger import INVENTORY, LAB, ROOT, docker, playbook

PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
HOST, ADDRESS = "app1", f"{PREFIX}.21"
BOUND = 60.0
FIREWALL = ("playbooks/hosts.yml", "--limit", HOST, "--tags", "firewall")
# Administration comes from elsewhere: the packets of this controller are dropped.
LOCKED_OUT = ("-e", json.dumps({"arxos_admin_networks": ["192.0.2.0/24"]}))
PROBE = ROOT / "roles/firewall/files/new_connection.py"
Figure = Callable[[str, object], None]


def on(*words: str) -> str:
    return docker("exec", f"{LAB}-{HOST}", *words).stdout


def rules() -> str:
    return on("nft", "--stateless", "--terse", "list", "table", "inet", "arxos")


def gets_in(seconds: float = 1) -> bool:
    """Whether a new connection of this controller comes through."""
    return subprocess.run([sys.executable, str(PROBE), ADDRESS, "22", str(seconds)], capture_output=True, check=False).returncode == 0


@contextmanager
def outage() -> Iterator[list[float]]:
    """Seconds of each stretch in which no new connection came through, measured from the outside."""
    found: list[float] = []
    over = threading.Event()

    def watch() -> None:
        since = None
        while not over.is_set():
            before = time.monotonic()
            if gets_in(0.5):
                if since is not None:
                    found.append(time.monotonic() - since)
                since = None
                over.wait(0.2)
            elif since is None:
                since = before

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """The host has its own rules before, and gets them back after."""
    playbook(*FIREWALL)
    assert gets_in(10)
    yield
    playbook(*FIREWALL)
    assert on("firewall-try", "status") == ""


def changes(text: str) -> int:
    found = re.search(rf"^{HOST} .*changed=(\d+)", text, re.MULTILINE)
    assert found, text
    return int(found[1])


def test_rules_that_lock_the_controller_out_are_undone_within_a_minute(figure: Figure) -> None:
    before, boots_with = rules(), on("cat", "/etc/nftables.proved")
    with outage() as found:
        done = playbook(*FIREWALL, *LOCKED_OUT, check=False)
    assert done.returncode != 0
    assert f"The new rules of {HOST} let no new connection of this controller in, and the host has undone them" in " ".join(
        done.stdout.split()
    )
    assert (rules(), on("cat", "/etc/nftables.proved")) == (before, boots_with)
    assert len(found) == 1, found
    figure("controller locked out (bound 60 s)", f"{found[0]:.1f} s")
    assert 20 < found[0] <= BOUND

    again = playbook(*FIREWALL)
    assert changes(again.stdout) > 0 and rules() == before
    assert changes(playbook(*FIREWALL).stdout) == 0
    good = playbook(*FIREWALL, "-e", json.dumps({"arxos_admin_networks": [f"{PREFIX}.1/32", "192.0.2.0/24"]}))
    assert changes(good.stdout) > 0 and "192.0.2.0/24" in rules() and "192.0.2.0/24" in on("cat", "/etc/nftables.proved")


def test_a_run_that_was_killed_before_the_proof_is_undone_and_finished_by_the_next(figure: Figure) -> None:
    before = rules()
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(INVENTORY), *FIREWALL, *LOCKED_OUT]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 120
    while docker("exec", f"{LAB}-{HOST}", "test", "-e", "/run/firewall-try/before.nft", check=False).returncode:
        assert run.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    with outage() as found:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        time.sleep(1)
        deadline = time.monotonic() + BOUND + 5
        while not gets_in(0.5):
            assert time.monotonic() < deadline, "nothing undid it"
        time.sleep(2)
    assert rules() == before
    figure("locked out by a killed run (bound 60 s)", f"{found[0]:.1f} s")
    assert len(found) == 1 and found[0] <= BOUND
    assert changes(playbook(*FIREWALL).stdout) > 0
    assert changes(playbook(*FIREWALL).stdout) == 0


def test_a_host_that_boots_before_the_proof_comes_up_with_what_was_proved() -> None:
    before = rules()
    locked = f"sed -i 's|ip saddr {{ {PREFIX}.1/32 }}|ip saddr {{ 192.0.2.1 }}|' /etc/nftables.conf"
    on("sh", "-euc", f"{locked}; firewall-try load 60")
    assert not gets_in(0.5)
    docker("restart", "--time", "20", f"{LAB}-{HOST}", timeout=180)
    end = time.monotonic() + 120
    while docker("exec", f"{LAB}-{HOST}", "systemctl", "is-active", "--quiet", "nftables.service", check=False).returncode:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert gets_in(30), "it came up with rules that nobody proved"
    assert rules() == before


def test_bans_outlive_a_reload_a_restart_and_an_undo() -> None:
    on("nft", "add element inet arxos_bans banned_ipv4 { 192.0.2.66 timeout 1h }")
    on("systemctl", "reload", "nftables.service")
    on("systemctl", "restart", "nftables.service")
    on("sh", "-euc", "firewall-try load 60; firewall-try undo")
    assert "192.0.2.66" in on("nft", "list", "set", "inet", "arxos_bans", "banned_ipv4")
    on("nft", "delete element inet arxos_bans banned_ipv4 { 192.0.2.66 }")


def test_a_ban_cuts_an_established_connection_and_ends_by_itself() -> None:
    with socket.create_connection((ADDRESS, 22), 5) as connection:
        connection.settimeout(5)
        assert connection.recv(99).startswith(b"SSH-")
        on("nft", f"add element inet arxos_bans banned_ipv4 {{ {PREFIX}.1 timeout 8s }}")
        connection.sendall(b"SSH-2.0-probe\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(99)
    assert gets_in(30)
