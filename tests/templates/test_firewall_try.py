# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""firewall-try on rules of a network of its own: what is in force, what boots, and who undoes what, killed at each step. Its timer is played by the test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Render = Callable[..., str]

pytestmark = pytest.mark.skipif(
    not shutil.which("nft", path="/usr/sbin:/sbin") or os.geteuid() != 0, reason="nft (package nftables) and root are needed to load rules"
)
RULES = (
    "table inet arxos\ndelete table inet arxos\ntable inet arxos_bans {{ }}\n"
    "table inet arxos {{ chain input {{ type filter hook input priority 0; {rule}; }}; }}\n"
)


class Host:
    """Paths of a host below a folder, with a systemd that only notes what it is told."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        for name in ("/etc/nftables.conf", "/etc/nftables.proved", "/run/firewall-try"):
            script = script.replace(name, f"{folder}{name}")
        (folder / "run").mkdir()
        self.write("firewall-try", script)
        self.write("bin/systemd-run", f'#!/bin/sh\necho "$*" >>{folder}/armed\n')
        self.write("bin/systemctl", f'#!/bin/sh\necho "$*" >>{folder}/systemctl\n')

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def wants(self, rule: str) -> None:
        self.write("etc/nftables.conf", RULES.format(rule=rule))

    def boots_with(self) -> str:
        path = self.folder / "etc/nftables.proved"
        return path.read_text() if path.exists() else ""

    def run(self, *commands: str) -> str:
        """Commands in one network; `try` is the script, `show` what is in force."""
        functions = f"""
            PATH={self.folder}/bin:$PATH:/usr/sbin
            try() {{ {self.folder}/firewall-try "$@"; }}
            show() {{ nft --stateless list chain inet arxos input 2>/dev/null | grep -oE '^[[:space:]]+(accept|drop|counter)$' | tr -d '[:space:]'; echo; }}
        """
        text = "\n".join([functions, *commands])
        words = ["unshare", "--net", "sh", "-c", text]
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


@pytest.fixture
def host(render: Render, tmp_path: Path) -> Host:
    return Host(tmp_path, render("firewall", "firewall-try.j2", firewall_flows=[]))


def test_kept_rules_are_in_force_and_boot(host: Host) -> None:
    host.wants("accept")
    assert host.run("try load 60; echo $?", "try keep; echo $?", "show", "try undo", "show", "try status; echo $?").split() == [
        *("0", "0", "accept", "accept", "0")
    ]
    assert "accept" in host.boots_with()
    assert "--on-active 60" in (host.folder / "armed").read_text()
    assert "enable nftables.service" in (host.folder / "systemctl").read_text()


def test_rules_that_nobody_kept_are_undone_and_never_boot(host: Host) -> None:
    host.wants("accept")
    host.run("try load 60", "try keep")
    host.wants("drop")
    load_accept = f"nft -f {host.folder}/etc/nftables.proved"
    said = host.run(load_accept, "try load 60", "show", "try undo", "show", "try keep; echo $?", "try status; echo $?")
    assert said.splitlines() == [
        "drop",
        "no new connection has proved the new rules in time: those from before are in force again",
        "accept",
        "too late: the rules from before are in force again",
        "1",
        f"{host.folder}/etc/nftables.conf was not proved yet",
        "1",
    ]
    assert "drop" not in host.boots_with()


def test_a_second_attempt_within_the_minute_returns_to_what_was_before_the_first(host: Host) -> None:
    host.wants("accept")
    host.run("try load 60", "try keep")
    load_accept = f"nft -f {host.folder}/etc/nftables.proved"
    drop, counter = (RULES.format(rule=rule) for rule in ("drop", "counter"))
    given = [f"cat >{host.folder}/etc/nftables.conf <<'END'\n{text}END" for text in (drop, counter)]
    assert host.run(load_accept, given[0], "try load 60", given[1], "try load 60", "show", "try undo >/dev/null", "show").split() == [
        *("counter", "accept")
    ]


def test_the_way_back_is_there_before_the_rules_are(host: Host) -> None:
    """Without a timer nothing is loaded."""
    host.wants("drop")
    host.write("bin/systemd-run", "#!/bin/sh\nexit 1\n")
    assert host.run("try load 60 || echo failed", "show").split() == ["failed"]


def test_what_nft_cannot_load_changes_nothing(host: Host) -> None:
    host.wants("accept")
    host.run("try load 60", "try keep")
    load_accept = f"nft -f {host.folder}/etc/nftables.proved"
    host.write("etc/nftables.conf", "table inet arxos { nonsense }\n")
    assert host.run(load_accept, "try load 60 2>/dev/null || echo failed", "show", "try undo", "show").split() == [
        "failed",
        "accept",
        "accept",
    ]


def test_a_host_without_rules_returns_to_none(host: Host) -> None:
    host.wants("drop")
    assert host.run("try load 60", "show", "try undo >/dev/null", "nft list tables | grep -c 'inet arxos$'").split() == ["drop", "0"]


def test_it_comes_up_with_what_was_proved(host: Host) -> None:
    host.wants("accept")
    host.run("try load 60", "try keep")
    host.wants("drop")
    assert host.run("try boot", "show").split() == ["accept"]
