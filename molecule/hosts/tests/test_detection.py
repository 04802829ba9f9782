# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who guesses is banned, what is logged is collected, and what that takes may not do more than that. One host stands for those made like it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
SECRETS = yaml.safe_load((Path(__file__).resolve().parents[3] / "inventories/lab/group_vars/all/vault.yml").read_text())
COLLECTOR = "monitoring1"
HOST = "app1"
GUEST = f"{PREFIX}.201"

testinfra_hosts = [f"docker://{LAB}-{HOST}"]


def host_of(name: str) -> Any:
    return testinfra.get_host(f"docker://{LAB}-{name}")


def wait_until(done: Callable[[], Any], seconds: float = 30) -> Any:
    """Ask until it is so; fails after C(seconds)."""
    end = time.monotonic() + seconds
    while not (answer := done()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.2)
    return answer


def collected(host: str, program: str, text: str) -> list[dict[str, str]]:
    """Lines of a host's program that the collector has, those with this text."""
    found = host_of(COLLECTOR).run(f"grep -hF -- '{text}' '/var/log/arxos-hosts/{host}/{program}.log'").stdout
    return [json.loads(line) for line in found.splitlines()]


# ---------------------------------------------------------------- bans


@pytest.fixture
def guest(host: Any) -> Iterator[str]:
    """An address of this machine that is nobody's, and that may come to SSH of one host as if it were an administrator's that is not exempt."""
    bridge = (
        subprocess.run(["ip", "-o", "route", "get", f"{PREFIX}.21"], capture_output=True, text=True, check=True)
        .stdout.split(" dev ")[1]
        .split()[0]
    )
    subprocess.run(["ip", "address", "add", f"{GUEST}/32", "dev", bridge], check=True)
    try:
        host.check_output(f"nft insert rule inet arxos input ip saddr {GUEST} tcp dport 22 accept comment test-guest")
        yield GUEST
    finally:
        host.run(f"fail2ban-client unban {GUEST}")
        host.run("nft delete rule inet arxos input handle $(nft -a list chain inet arxos input | sed -n 's/.*test-guest.* handle //p')")
        subprocess.run(["ip", "address", "del", f"{GUEST}/32", "dev", bridge], check=True)


def login(source: str) -> int:
    """Try to log in by SSH as somebody who is not there. Ends with 255; with 124 where nothing answers."""
    words = [
        "ssh",
        "-F",
        "none",
        "-b",
        source,
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "BatchMode=yes",
    ]
    done = subprocess.run(
        ["timeout", "10", *words, "-o", "ConnectTimeout=3", f"nobody-here@{PREFIX}.21", "true"], capture_output=True, text=True, check=False
    )
    return 124 if "timed out" in done.stderr else done.returncode


def reaches(source: str) -> bool:
    """Whether a connection to SSH comes about; what sshd then says takes as long as the host is busy."""
    try:
        socket.create_connection((f"{PREFIX}.21", 22), 3, (source, 0)).close()
    except OSError:
        return False
    return True


def test_who_guesses_by_ssh_is_banned_and_nobody_else(host: Any, guest: str) -> None:
    def banned() -> bool:
        return guest in str(host.check_output("nft list set inet arxos_bans banned_ipv4"))

    host.check_output("systemctl reset-failed ssh.service; systemctl restart ssh.service")
    for _attempt in range(6):
        if login(guest) == 124:
            break
    wait_until(banned, 15)
    assert not reaches(guest), "it still gets an answer"
    assert reaches(f"{PREFIX}.1"), "the administrators' own machine is banned with it"
    host.check_output("systemctl reload fail2ban.service && systemctl reload nftables.service")
    assert banned(), "the ban was lost with a reload"
    host.check_output("systemctl restart fail2ban.service")
    assert banned(), "the ban was lost with a restart"
    wait_until(lambda: host.run("fail2ban-client ping").rc == 0)
    host.check_output(f"fail2ban-client unban {guest}")
    wait_until(lambda: not banned())
    host.check_output("nft delete table inet arxos_bans && arxos-ban table && nft list set inet arxos_bans banned_ipv4")
    # The reload took the rule of the test with it.
    host.check_output(f"nft insert rule inet arxos input ip saddr {GUEST} tcp dport 22 accept comment test-guest")
    assert reaches(guest)


def test_own_hosts_are_never_banned(host: Any) -> None:
    ignored = host.check_output("fail2ban-client get sshd ignoreip")
    for address in (f"{PREFIX}.11", f"{PREFIX}.100", f"{PREFIX}.1"):
        assert address in ignored


# ---------------------------------------------------------------- logs


def test_a_line_arrives_under_the_host_that_sent_it_whatever_it_says(host: Any) -> None:
    mark = secrets.token_hex(8)
    host.check_output(f"logger --tag arxos-test '{mark} plain' && systemd-run --quiet --wait logger --tag ../../evil '{mark}' ")
    found = wait_until(lambda: collected(HOST, "arxos-test", mark))
    assert found[0]["host"] == HOST and found[0]["message"] == f"{mark} plain" and found[0]["facility"] == "user"
    assert host_of(COLLECTOR).run("test -e /var/log/evil.log").rc != 0


def test_what_was_written_while_the_collector_was_away_arrives_after(host: Any) -> None:
    mark = secrets.token_hex(8)
    collector = host_of(COLLECTOR)
    collector.check_output("systemctl stop rsyslog.service")
    try:
        host.check_output(f"for number in $(seq 50); do echo '{mark}' $number; done | logger --tag arxos-test")
        time.sleep(2)
    finally:
        collector.check_output("systemctl start rsyslog.service")
    wait_until(lambda: len({line["message"] for line in collected(HOST, "arxos-test", mark)}) == 50, 60)


CLIENT = """
import socket, ssl, sys
context = ssl.create_default_context(cafile='/etc/ssl/arxos/ca.crt')
context.load_cert_chain(*sys.argv[2:])
offer = b'relp_version=0\\nrelp_software=test\\ncommands=syslog'
try:
    with context.wrap_socket(socket.create_connection((sys.argv[1], 6514), 5), server_hostname='monitoring1') as line:
        line.sendall(b'1 open %d %s\\n' % (len(offer), offer))
        answer = line.recv(100)
except OSError:
    answer = b''
print('let in' if b' rsp ' in answer and b'200' in answer else 'refused')
"""


def test_a_stranger_is_refused_and_a_host_is_not(host: Any) -> None:
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=app1 -days 1 -keyout /run/test.key -out /run/test.crt 2>/dev/null"
    host.check_output(made)
    for pair, wanted in (("/run/test.crt /run/test.key", "refused"), ("/etc/ssl/arxos/host.crt /etc/ssl/arxos/host.key", "let in")):
        assert host.check_output(f'python3 -c "{CLIENT}" {PREFIX}.61 {pair}') == wanted, pair
    host.check_output("rm /run/test.key /run/test.crt")


def test_no_secret_is_in_what_was_collected() -> None:
    values = [line for value in SECRETS.values() for line in str(value).splitlines() if len(line) > 11 and "-----" not in line]
    public = SECRETS["vault_certificates_ca_certificate"].splitlines()
    patterns = "\n".join(value for value in values if value not in public)
    words = ["docker", "exec", "-i", f"{LAB}-{COLLECTOR}", "grep", "-rlF", "-f", "-", "/var/log/arxos-hosts", "/var/spool/arxos-audit"]
    done = subprocess.run(words, input=patterns, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr


# ---------------------------------------------------------------- units


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *((HOST, unit) for unit in ("fail2ban", "rsyslog", "arxos-vulnerability-scan", "arxos-integrity", "arxos-certificates")),
        (COLLECTOR, "rsyslog"),
        ("edge1", "fail2ban"),
    ],
)
def test_units_may_do_no_more_than_they_have_to(name: str, unit: str) -> None:
    host_of(name).check_output(f"systemd-analyze security --no-pager --threshold=40 {unit}.service")


def test_a_scan_comes_by_itself(host: Any) -> None:
    assert host.check_output("systemctl is-active arxos-vulnerability-scan.timer") == "active"
    assert host.run("test -e /etc/cron.d/debsecan").rc != 0
