# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who gets in by SSH and how, what each sudo role may run, and what is noticed: on one host, since all are made the same.

People of the tests are made and removed by them; logins are real ones, over the lab's network, from the machine that is its administrator.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
ONE = "app1"
ADDRESS = f"{PREFIX}.21"
WRONG = "000000"
NAMED = Path(__file__).resolve().parents[3] / "inventories/lab/group_vars/all/base.yml"

testinfra_hosts = [f"docker://{LAB}-{ONE}"]


def code_of(secret: str, shift: int = 0) -> str:
    """The one-time code of now, or of C(shift) half minutes later (RFC 6238)."""
    digest = hmac.digest(base64.b32decode(secret), (int(time.time()) // 30 + shift).to_bytes(8, "big"), "sha1")
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


def wait_until(done: Callable[[], bool], seconds: float = 30) -> None:
    """Ask until it is so; fails after C(seconds)."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.2)


def effective_groups(host: Any) -> list[str]:
    """The groups whose members sshd would let in."""
    says = host.check_output("/usr/sbin/sshd -T")
    return [line.split(" ", 1)[1] for line in says.splitlines() if line.startswith("allowgroups ")]


@dataclass
class Person:
    """An account of a sudo role, with a key and a secret of one-time codes, on one host of the lab."""

    host: Any
    name: str
    folder: Path
    secret: str

    def ssh(self, command: str = "true", *options: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
        """Log in and run a command; C(code) answers whatever is asked, and without one nothing is answered."""
        # OpenSSH 10 makes a source that failed wait: forgotten with a restart. systemd would make a unit wait that restarts that often.
        self.host.check_output("systemctl reset-failed ssh.service; systemctl restart ssh.service")
        ask = self.folder / "ask"
        ask.write_text(f"#!/bin/sh\necho {shlex.quote(code or '')}\n")
        ask.chmod(0o700)
        words = ["ssh", "-F", "none", "-i", str(self.folder / "key"), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"]
        words += ["-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "ConnectTimeout=10", "-o", "NumberOfPasswordPrompts=1"]
        words += ["-o", f"BatchMode={'no' if code else 'yes'}", *options, f"{self.name}@{ADDRESS}", command]
        environment = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        return subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)

    def code(self, shift: int = 0) -> str:
        """The right code; each is good for one login, those of the half minutes before and after as well."""
        return code_of(self.secret, shift)

    def sudo(self, command: str) -> Any:
        """Run a command by sudo, as somebody who is logged in would."""
        return self.host.run(f"runuser -u {self.name} -- sudo -n {command}")

    def may(self, command: str) -> bool:
        """Whether sudo would run a command, as sudo itself says."""
        return bool(self.host.run(f"runuser -u {self.name} -- sudo -n -l {command}").rc == 0)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Callable[[str], Person]]:
    """person(role): somebody new with that sudo role, gone after the test."""
    host = testinfra.get_host(f"docker://{LAB}-{ONE}")
    names: list[str] = []

    def made(role: str, *, limited: bool = True) -> Person:
        name = f"test-{role}-{secrets.token_hex(2)}"
        names.append(name)
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
        who = Person(host, name, folder, base64.b32encode(secrets.token_bytes(20)).decode())
        host.check_output(f"useradd --create-home --groups arxos-{role} --shell /bin/bash {name}")
        state = f'{who.secret}\n" WINDOW_SIZE 3\n" DISALLOW_REUSE\n" TOTP_AUTH\n' + ('" RATE_LIMIT 3 30\n' if limited else "")
        key = shlex.quote((folder / "key.pub").read_text())
        host.check_output(
            f"umask 077 && mkdir ~{name}/.ssh && echo {key} >~{name}/.ssh/authorized_keys && chown -R {name} ~{name}/.ssh"
            f" && printf %s {shlex.quote(state)} >/var/lib/arxos/totp/{name}"
        )
        return who

    yield made
    for name in names:
        host.run(f"loginctl terminate-user {name}; systemctl stop user@$(id -u {name}).service; userdel -rf {name}")
        host.run(f"rm -f /var/lib/arxos/totp/{name}")
        host.run(f"faillock --user {name} --reset")


# ---------------------------------------------------------------- SSH


def test_key_and_code_let_a_person_in_once(host: Any, person: Callable[[str], Person]) -> None:
    who = person("operator")
    code = who.code()
    done = who.ssh("id -un; umask", code=code)
    assert done.stdout.split() == [who.name, "0077"], done.stderr
    again = who.ssh("id -un", code=code)
    assert again.returncode == 255 and "Permission denied" in again.stderr, "a code that was seen over a shoulder is good a second time"


def test_a_key_alone_is_refused(host: Any, person: Callable[[str], Person]) -> None:
    done = person("admin").ssh()
    assert done.returncode == 255 and "Permission denied (keyboard-interactive)" in done.stderr


def test_a_wrong_code_is_refused(host: Any, person: Callable[[str], Person]) -> None:
    done = person("admin").ssh(code=WRONG)
    assert done.returncode == 255 and "Permission denied" in done.stderr


def test_a_password_is_refused_also_a_right_one(host: Any, person: Callable[[str], Person]) -> None:
    who = person("admin")
    host.check_output(f"echo {who.name}:Correct-Horse-4-Battery | chpasswd")
    for methods in ("password", "keyboard-interactive"):
        done = who.ssh("true", "-o", f"PreferredAuthentications={methods}", "-o", "PubkeyAuthentication=no", code="Correct-Horse-4-Battery")
        assert done.returncode == 255 and "Permission denied (publickey)" in done.stderr


def test_root_is_refused_with_a_key_and_a_code(host: Any, person: Callable[[str], Person]) -> None:
    who = person("admin")
    host.check_output(f"mkdir -p -m 0700 /root/.ssh && cp ~{who.name}/.ssh/authorized_keys /root/.ssh/test_keys")
    kept = host.run("test -e /root/.ssh/authorized_keys").rc == 0
    assert not kept, "root has keys of its own here"
    host.check_output(f"mv /root/.ssh/test_keys /root/.ssh/authorized_keys && cp /var/lib/arxos/totp/{who.name} /var/lib/arxos/totp/root")
    try:
        done = Person(host, "root", who.folder, who.secret).ssh(code=who.code())
        assert done.returncode == 255 and "Permission denied (publickey)" in done.stderr
    finally:
        host.check_output("rm -f /root/.ssh/authorized_keys /var/lib/arxos/totp/root")


def test_somebody_without_a_role_is_refused(host: Any, person: Callable[[str], Person]) -> None:
    who = person("auditor")
    host.check_output(f"gpasswd -d {who.name} arxos-auditor")
    done = who.ssh(code=who.code())
    assert done.returncode == 255 and "Permission denied" in done.stderr


@pytest.mark.parametrize(
    "option",
    [
        "KexAlgorithms=diffie-hellman-group14-sha1",
        "Ciphers=aes256-cbc",
        "MACs=hmac-sha1",
        "HostKeyAlgorithms=ssh-rsa",
        "HostKeyAlgorithms=ecdsa-sha2-nistp256",
    ],
)
def test_old_algorithms_are_refused(option: str, host: Any, person: Callable[[str], Person]) -> None:
    options = ("-o", option, *(("-o", "Ciphers=aes256-ctr") if option.startswith("MACs") else ()))  # other ciphers have a MAC of their own
    done = person("operator").ssh("true", *options)
    assert done.returncode == 255 and "no matching" in done.stderr


def test_a_locked_account_is_refused(host: Any, person: Callable[[str], Person]) -> None:
    who = person("operator")
    host.check_output(f"chage -E 0 {who.name}")
    done = who.ssh("id -un", code=who.code())
    assert done.returncode == 255 and who.name not in done.stdout
    host.check_output(f"chage -E -1 {who.name}")
    assert who.ssh("id -un", code=who.code(1)).stdout.strip() == who.name


def test_three_wrong_codes_lock_an_account_and_an_administrator_unlocks_it(host: Any, person: Callable[..., Person]) -> None:
    who = person("operator", limited=False)
    for _each in range(3):
        assert who.ssh(code=WRONG).returncode == 255
    assert who.ssh("id -un", code=who.code()).returncode == 255, "the right code is taken after three wrong ones"
    host.check_output(f"faillock --user {who.name} --reset")
    assert who.ssh("id -un", code=who.code(1)).stdout.strip() == who.name


def test_a_session_ends_after_eight_hours_whatever_it_does(host: Any, person: Callable[[str], Person]) -> None:
    who = person("operator")
    done = who.ssh('systemctl show "session-$XDG_SESSION_ID.scope" -p RuntimeMaxUSec --value', code=who.code())
    assert done.stdout.strip() == "8h", done.stderr
    # The same with three seconds: systemd does end it.
    folder = "/run/systemd/system/session-.scope.d"
    host.check_output(f"mkdir -p {folder} && printf '[Scope]\\nRuntimeMaxSec=3\\n' >{folder}/zz-test.conf && systemctl daemon-reload")
    try:
        start = time.monotonic()
        done = who.ssh("sleep 50; echo still there", code=who.code(1))
        assert time.monotonic() - start < 30 and "still there" not in done.stdout
    finally:
        host.check_output(f"rm -r {folder} && systemctl daemon-reload")


def test_a_configuration_that_lets_nobody_in_goes_by_itself(host: Any, person: Callable[[str], Person]) -> None:
    who, other = person("operator"), person("operator")
    config, kept = "/etc/ssh/sshd_config", "/var/lib/arxos/config_tree/previous/etc/ssh/sshd_config"
    host.check_output(f"cp -p {kept} /root/kept && cp -p {config} {kept} && sed -i 's/^AllowGroups .*/AllowGroups nobody/' {config}")
    try:
        host.check_output(f"arxos-sshd-guard arm 5 {config} && systemctl reload ssh.service")
        assert who.ssh("id -un", code=who.code()).returncode == 255
        wait_until(lambda: host.run("systemctl is-active arxos-sshd-undo.timer").rc != 0)
        wait_until(lambda: effective_groups(host) != ["nobody"])
        assert other.ssh("id -un", code=other.code()).stdout.strip() == other.name
        assert host.run("arxos-sshd-guard keep").rc != 0, "a run would take what is gone for kept"
    finally:
        host.check_output(f"cp -p {kept} {config}; mv /root/kept {kept}; systemctl reload ssh.service")


def test_who_is_not_named_any_more_has_no_way_in_and_no_session(host: Any, person: Callable[[str], Person]) -> None:
    named = [each["name"] for each in yaml.safe_load(NAMED.read_text())["base_administrators"]]
    who = person("operator")
    assert who.ssh("sleep 300 >/dev/null 2>&1 & id -un", code=who.code()).stdout.strip() == who.name
    assert host.run(f"pgrep --uid {who.name}").rc == 0
    assert f"closed {who.name}" in host.check_output(f"arxos-administrators --check root {' '.join(named)}").splitlines()
    assert f"closed {who.name}" in host.check_output(f"arxos-administrators root {' '.join(named)}").splitlines()
    assert host.run(f"pgrep --uid {who.name}").rc == 1
    assert host.check_output(f"id -Gn {who.name}").split() == [who.name]
    assert not host.file(f"/home/{who.name}/.ssh/authorized_keys").exists and not host.file(f"/var/lib/arxos/totp/{who.name}").exists
    assert who.ssh("id -un", code=who.code(1)).returncode == 255
    assert host.check_output(f"arxos-administrators root {' '.join(named)}") == ""


# ---------------------------------------------------------------- sudo

MAY = {
    "admin": ["/usr/bin/id", "/usr/bin/bash", "/usr/bin/systemctl restart nginx.service"],
    "operator": [
        "/usr/bin/systemctl restart nginx.service",
        "/usr/bin/systemctl stop arxos-api.service",
        "/usr/bin/systemctl start redis-server@6379.service",
    ],
    "deployer": ["/usr/bin/systemctl restart arxos-api.service"],
    "auditor": ["/usr/sbin/nft list ruleset", "/usr/sbin/sshd -T", "/usr/bin/cat /var/log/sudo.log"],
}
MAY_NOT = {
    "operator": [
        "/usr/bin/bash",
        "/usr/bin/systemctl stop ssh.service",
        "/usr/bin/systemctl edit nginx.service",
        "/usr/bin/systemctl restart nginx.service ssh.service",
        "/usr/bin/systemctl restart nginx.service --root=/tmp",
        "/usr/bin/patronictl edit-config",
        "/usr/bin/cat /etc/shadow",
    ],
    "deployer": ["/usr/bin/bash", "/usr/bin/systemctl stop nginx.service", "/usr/bin/systemctl restart arxos-api.service nginx.service"],
    "auditor": [
        "/usr/bin/bash",
        "/usr/bin/cat /etc/shadow",
        "/usr/bin/cat /var/log/sudo.log /etc/shadow",
        "/usr/sbin/nft flush ruleset",
        "/usr/bin/systemctl restart arxos-api.service",
    ],
}


@pytest.mark.parametrize("role", MAY)
def test_what_a_sudo_role_may_run(role: str, host: Any, person: Callable[[str], Person]) -> None:
    who = person(role)
    assert [command for command in MAY[role] if not who.may(command)] == []


@pytest.mark.parametrize("role", MAY_NOT)
def test_what_a_sudo_role_may_not_run(role: str, host: Any, person: Callable[[str], Person]) -> None:
    who = person(role)
    assert [command for command in MAY_NOT[role] if who.may(command) or who.sudo(command).rc == 0] == []


def test_every_command_of_sudo_is_logged(host: Any, person: Callable[[str], Person]) -> None:
    who = person("admin")
    mark = secrets.token_hex(4)
    assert who.sudo("id -u").stdout.strip() == "0"
    assert person("deployer").sudo(f"/usr/bin/cat /forbidden-{mark}").rc != 0
    log = host.check_output("cat /var/log/sudo.log")
    assert f"{who.name} :" in log and "COMMAND=/usr/bin/id -u" in log
    assert any("a password is required" in line and f"/forbidden-{mark}" in line for line in log.splitlines())
    assert host.file("/var/log/sudo.log").mode == 0o600


# ---------------------------------------------------------------- accounts and files


def test_new_passwords_are_judged_and_old_ones_refused(host: Any, person: Callable[[str], Person]) -> None:
    who = person("auditor")
    for bad in ("short1A", "aaaaaaaaaaaaaaaaaaaa", f"{who.name}-{who.name}"):
        assert host.run(f"echo {who.name}:{bad} | chpasswd").rc != 0, bad
    first, second = "Blue-Kettle-77-Orbit", "Green-Ladder-42-Storm"
    host.check_output(f"echo {who.name}:{first} | chpasswd && echo {who.name}:{second} | chpasswd")
    assert host.run(f"echo {who.name}:{first} | chpasswd").rc != 0, "a password that was used before is taken again"


def test_only_administrators_may_become_another(host: Any, person: Callable[[str], Person]) -> None:
    who = person("operator")
    host.check_output(f"echo {who.name}:Blue-Kettle-77-Orbit | chpasswd")
    done = host.run(f"runuser -u {who.name} -- sh -c 'echo Blue-Kettle-77-Orbit | su {who.name} -c id'")
    assert done.rc != 0 and "Permission denied" in done.stderr


def test_a_run_ends_in_one_commit_and_a_new_baseline_and_a_quiet_one_in_none(host: Any) -> None:
    host.check_output("arxos-seal before-the-test")
    before = int(host.check_output("git -C /etc rev-list --count HEAD"))
    host.check_output("echo '# test' >>/etc/issue.net")
    try:
        said = host.check_output("arxos-seal test 5f70bf18a086007b")
        assert "committed /etc" in said and "renewed the baseline" in said
        # The state has the name of the run, to go back to, and says which secrets there were.
        assert host.check_output("git -C /etc rev-parse arxos/test^{commit}") == host.check_output("git -C /etc rev-parse HEAD")
        assert '"secrets": "5f70bf18a086007b"' in host.check_output("git -C /etc for-each-ref --format='%(contents)' refs/tags/arxos/test")
        assert int(host.check_output("git -C /etc rev-list --count HEAD")) == before + 1
        assert "/etc/issue.net" in host.check_output("journalctl -t arxos-seal -n 60 --no-pager")
        assert host.check_output("arxos-seal quiet") == ""
        assert host.check_output("git -C /etc rev-parse arxos/quiet^{commit}") == host.check_output(
            "git -C /etc rev-parse arxos/test^{commit}"
        )
    finally:
        host.check_output("sed -i '$d' /etc/issue.net && arxos-seal after-the-test")


def test_a_file_that_changed_behind_a_run_is_found_by_a_unit_that_fails(host: Any) -> None:
    host.check_output("arxos-seal before-the-test")
    host.check_output("systemctl start arxos-integrity.service")
    host.check_output("cp /bin/true /usr/local/bin/intruder")
    try:
        assert host.run("systemctl start arxos-integrity.service").rc != 0
        assert "/usr/local/bin/intruder" in host.check_output("journalctl -u arxos-integrity -n 100 --no-pager")
    finally:
        host.check_output("rm /usr/local/bin/intruder && systemctl reset-failed arxos-integrity.service")
