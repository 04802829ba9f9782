# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How every host is hardened, asked of the running host; who gets in, and what for, is in test_people.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
GROUPS = yaml.safe_load((Path(__file__).resolve().parents[3] / "inventories/lab/hosts.yml").read_text())["all"]["children"]
HOSTS = [host for group in GROUPS.values() for host in group["hosts"]]

testinfra_hosts = [f"docker://{LAB}-{host}" for host in HOSTS]


def effective(host: Any, *of: str) -> dict[str, str]:
    """What sshd does, as it says itself."""
    return dict(line.split(" ", 1) for line in host.check_output(" ".join(["/usr/sbin/sshd", "-T", *of])).splitlines() if " " in line)


def test_sshd_wants_a_key_and_a_code_and_nothing_old(host: Any) -> None:
    says = effective(host)
    assert says["authenticationmethods"] == "publickey,keyboard-interactive:pam"
    assert says["permitrootlogin"] == says["passwordauthentication"] == says["x11forwarding"] == "no"
    assert says["allowtcpforwarding"] == says["allowagentforwarding"] == "no"
    offered = ",".join(says[name] for name in ("kexalgorithms", "ciphers", "macs", "hostkeyalgorithms", "pubkeyacceptedalgorithms"))
    assert not {
        word for word in offered.split(",") if word.endswith(("-cbc", "-sha1", "hmac-sha1", "ssh-rsa", "ssh-dss")) or "nistp" in word
    }
    assert host.service("ssh").is_running and host.service("ssh").is_enabled


def test_a_unit_dumps_no_core(host: Any) -> None:
    assert host.check_output("systemctl show ssh.service -p LimitCORE --value") == "0"


def test_history_and_secrets_are_for_root_alone(host: Any) -> None:
    for path in ("/etc/.git", "/etc/security/totp", "/var/lib/arxos/totp", "/var/lib/aide"):
        assert host.file(path).mode == 0o700, path
    assert {host.file(f"/etc/security/totp/{name}").mode for name in host.file("/etc/security/totp").listdir()} == {0o600}


def test_the_history_has_no_private_key(host: Any) -> None:
    held = host.check_output("git -C /etc ls-files ssl ssh security")
    assert "ssl/arxos/ca.crt" in held.split()
    assert not [name for name in held.split() if name.endswith((".key", "_key")) or name.startswith(("ssl/private/", "security/totp/"))]


def test_security_updates_are_taken_and_restarts_left_to_the_host_by_host_playbooks(host: Any) -> None:
    settings = host.check_output("apt-config dump")
    origins = [line for line in settings.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern::")]
    assert len(origins) == 1 and "-security" in origins[0]
    assert 'Unattended-Upgrade::Package-Blacklist:: "^postgresql"' in settings
    assert 'Unattended-Upgrade::Automatic-Reboot "false"' in settings
    at = host.check_output("systemctl show apt-daily-upgrade.timer -p TimersCalendar --value")
    minute = 20 * sorted(HOSTS).index(host.check_output("hostname")) + 60
    assert f"{minute // 60:02}:{minute % 60:02}:00" in at


def test_what_needs_a_kernel_of_its_own_is_configured_and_not_pretended(host: Any) -> None:
    """A container shares its kernel: the files are there for the host that has one, and no unit has failed over it."""
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
    assert "kernel.kptr_restrict = 2" in host.check_output("cat /etc/sysctl.d/70-arxos-hardening.conf")
    assert not host.package("auditd").is_installed
