# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who guesses at the login of the API is banned at the front door, by the client's address that the access log has."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import testinfra

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
GUEST = f"{PREFIX}.202"
SENDER = "app2"

testinfra_hosts = [f"docker://{LAB}-edge1"]

ASK = """
import http.client, json, socket, ssl, sys
source, address, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
body = json.dumps({'username': 'nobody', 'password': 'wrong', 'otp': '000000'})
context = ssl.create_default_context(cafile='/etc/ssl/arxos/ca.crt')
answers = []
for _ in range(count):
    try:
        line = http.client.HTTPSConnection('api.arxos.test', timeout=3)
        line.sock = context.wrap_socket(socket.create_connection((address, 443), 3, (source, 0)), server_hostname='api.arxos.test')
        line.request('POST', '/api/v1/auth/login', body, {'Content-Type': 'application/json'})
        answers.append(line.getresponse().status)
    except OSError:
        answers.append(0)
print(json.dumps(answers))
"""


def wait_until(done: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.2)


@pytest.fixture
def guest(host: Any) -> Iterator[str]:
    """A client's address that is none of the platform's, on one of its hosts."""
    sender = testinfra.get_host(f"docker://{LAB}-{SENDER}")
    sender.check_output(f"ip address add {GUEST}/24 dev eth0")
    try:
        yield GUEST
    finally:
        sender.run(f"ip address del {GUEST}/24 dev eth0")
        host.run(f"fail2ban-client unban {GUEST}")


def answers(source: str, count: int = 1) -> list[int]:
    """What the login of the API answers to wrong ones from an address; 0 where nothing answers."""
    sender = testinfra.get_host(f"docker://{LAB}-{SENDER}")
    return list(json.loads(sender.check_output(f'python3 -c "{ASK}" {source} {PREFIX}.11 {count}')))


def test_wrong_logins_end_in_a_ban_of_that_client_and_of_nobody_else(host: Any, guest: str) -> None:
    def banned() -> bool:
        return guest in str(host.check_output("arxos-ban list"))

    assert set(answers(guest, 12)) <= {401, 429, 0}
    wait_until(banned)
    assert answers(guest) == [0], "it still gets an answer"
    assert answers(f"{PREFIX}.22")[0] in (401, 429), "a host of the platform was banned for it"
    host.check_output("systemctl reload nftables.service && systemctl reload nginx.service && systemctl reload fail2ban.service")
    assert banned(), "the ban was lost with a reload"
    host.check_output(f"fail2ban-client unban {guest}")
    assert not banned()
    assert answers(guest)[0] in (401, 429)


def test_an_open_load_window_exempts_its_addresses(host: Any, guest: str) -> None:
    host.check_output(f"nginx-load-window open 60 {guest}")
    try:
        answers(guest, 12)
        assert host.run(f"arxos-ban exempt {guest}").rc == 0 and host.run(f"arxos-ban exempt {PREFIX}.20").rc == 1
        wait_until(lambda: f"Ignore {guest}" in host.check_output("journalctl -u fail2ban -o cat -n 100"))
        assert guest not in host.check_output("arxos-ban list")
    finally:
        host.check_output("nginx-load-window close")


def test_every_jail_of_the_front_door_is_up(host: Any) -> None:
    jails = host.check_output("fail2ban-client status")
    for name in ("sshd", "arxos-login", "arxos-waf", "arxos-refused", "arxos-flood"):
        assert name in jails
