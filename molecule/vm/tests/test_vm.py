# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a container cannot show: the kernel, the audit, AppArmor and the clock of a hardened host, and what lynis makes of it."""

from __future__ import annotations

import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / ".lab/vm"
VARS = ROOT / "roles/hardening/vars/main"
CONFIG = str(FOLDER / "ssh_config")

testinfra_hosts = [f"ssh://vm1?ssh_config={CONFIG}&sudo=true&timeout=60"]


def test_every_sysctl_is_in_force(host: Any) -> None:
    wanted = yaml.safe_load((VARS / "kernel.yml").read_text())["__hardening_sysctls"]
    values = host.check_output("sysctl -n " + " ".join(wanted)).splitlines()
    assert dict(zip(wanted, values)) == {name: str(value) for name, value in wanted.items()}


def test_no_refused_module_can_be_loaded(host: Any) -> None:
    for module in yaml.safe_load((VARS / "system.yml").read_text())["__hardening_modules_refused"]:
        assert "/bin/false" in host.run(f"modprobe --dry-run --verbose {module}").stdout or host.run(f"modprobe {module}").rc != 0, module


def test_nothing_is_run_from_where_everybody_writes(host: Any) -> None:
    for path in ("/dev/shm", "/tmp"):
        options = host.check_output(f"findmnt -no OPTIONS {path}").split(",")
        assert {"nosuid", "nodev", "noexec"} <= set(options), path
        assert host.run(f"cp /bin/true {path}/program && {path}/program").rc == 126
        host.check_output(f"rm {path}/program")


def test_what_people_run_and_change_is_audited(host: Any) -> None:
    assert host.service("auditd").is_running
    mark = secrets.token_hex(6)
    host.run(f"ls /nowhere-{mark}")
    host.check_output(f"touch /etc/sudoers.d/{mark} && rm /etc/sudoers.d/{mark}")
    commands = host.check_output(f"ausearch --input-logs -k command -i --start recent | grep -B 4 -A 1 -F /nowhere-{mark}")
    assert "type=EXECVE" in commands and "auid=deploy" in commands
    assert f"/etc/sudoers.d/{mark}" in host.check_output("ausearch --input-logs -k sudo -i --start recent")
    assert "enabled 1" in host.check_output("auditctl -s")


def test_rules_that_the_kernel_refuses_leave_those_that_are_in_force(host: Any) -> None:
    before = host.check_output("auditctl -l")
    host.check_output(
        "mkdir -p /run/t/etc/audit/rules.d && printf -- '-D\\n-w /etc/passwd -p nonsense -k x\\n' >/run/t/etc/audit/rules.d/audit.rules"
    )
    load = yaml.safe_load((VARS / "watch.yml").read_text())["__hardening_audit_load"].replace("{staged}", "/run/t")
    assert host.run(load).rc != 0
    assert host.check_output("auditctl -l") == before


def test_apparmor_confines(host: Any) -> None:
    host.check_output("aa-status --enabled")
    assert int(host.check_output("aa-status --enforced")) > 0
    assert "(enforce)" in host.check_output("cat /proc/$(pidof -s chronyd)/attr/current")


def test_the_kernel_has_wireguard(host: Any) -> None:
    host.check_output("ip link add t-wireguard type wireguard && ip link delete t-wireguard")


def test_chrony_keeps_the_clock_and_serves_nobody(host: Any) -> None:
    assert host.service("chrony").is_running and not host.package("systemd-timesyncd").is_installed
    assert host.check_output("chronyc -n tracking")
    assert "chronyd" not in host.check_output("ss -Hlunp")


def test_commands_of_a_shell_of_sudo_are_logged(host: Any) -> None:
    mark = secrets.token_hex(6)
    host.check_output("id test-admin || useradd --groups arxos-admin test-admin")
    try:
        host.check_output(f"runuser -u test-admin -- sudo -n sh -c 'ls /nowhere-{mark}; true'")
        assert f"COMMAND=/usr/bin/ls /nowhere-{mark}" in host.check_output("cat /var/log/sudo.log")
    finally:
        host.check_output("userdel test-admin")


def test_the_controller_gets_in_with_its_key_and_root_with_nothing(host: Any) -> None:
    there = subprocess.run(["ssh", "-F", CONFIG, "vm1", "id -un"], capture_output=True, text=True, check=False)
    assert there.stdout.strip() == "deploy", there.stderr
    key = (FOLDER / "key.pub").read_text().strip()
    host.check_output(f"mkdir -p -m 0700 /root/.ssh && echo '{key}' >/root/.ssh/authorized_keys")
    try:
        there = subprocess.run(["ssh", "-F", CONFIG, "-l", "root", "vm1", "id -un"], capture_output=True, text=True, check=False)
        assert there.returncode == 255 and "Permission denied" in there.stderr
    finally:
        host.check_output("rm /root/.ssh/authorized_keys")


def test_lynis_finds_little_left_to_do(host: Any) -> None:
    host.check_output("apt-get install -y -q --no-install-recommends lynis")
    host.run("lynis audit system --quick --no-colors --quiet")
    report = host.check_output("cat /var/log/lynis-report.dat")
    index = int(re.search(r"^hardening_index=(\d+)", report, re.M)[1])  # type: ignore[index]
    left = [line for line in report.splitlines() if line.startswith(("suggestion[]", "warning[]"))]
    assert index >= 85, "\n".join([f"hardening index {index}", *left])
