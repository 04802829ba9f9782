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
import http.client, json, socket, ssl, sys, time
source, address, count, what = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
body = json.dumps({'username': 'nobody', 'password': 'wrong', 'otp': '000000'})
context = ssl.create_default_context(cafile='/etc/ssl/arxos/ca.crt')
answers = []
for number in range(count):
    try:
        line = http.client.HTTPSConnection('api.arxos.test', timeout=3)
        line.sock = context.wrap_socket(socket.create_connection((address, 443), 3, (source, 0)), server_hostname='api.arxos.test')
        if what == 'login':
            line.request('POST', '/api/v1/auth/login', body, {'Content-Type': 'application/json'})
        else:
            line.request('GET', '/api/v1/symbols', headers={'Authorization': f'Bearer eyJhbGciOiJIUzI1NiJ9.{number:050d}.{number:043d}'})
            time.sleep(0.2)
        answers.append(line.getresponse().status)
    except OSError:
        answers.append(0)
        if what != 'login':
            break
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


def answers(source: str, count: int = 1, what: str = "login") -> list[int]:
    """What the API answers to wrong logins from an address, or to requests with another invented token each, five a second; 0 where nothing answers."""
    sender = testinfra.get_host(f"docker://{LAB}-{SENDER}")
    return list(json.loads(sender.check_output(f'python3 -c "{ASK}" {source} {PREFIX}.11 {count} {what}')))


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


def test_who_invents_a_token_for_each_request_is_banned_before_a_client_would_have_met_its_limit(host: Any, guest: str) -> None:
    """Each is a client of its own to the front, which cannot tell them from good ones: 100 a minute and a burst of 50 is what one could have had."""
    came = answers(guest, 150, "tokens")
    print(f"{came.count(401)} refused, then {came[-1]}")
    assert set(came) <= {401, 0} and came[-1] == 0, "it was not banned"
    # 60, less what the tests before were refused within ten minutes.
    assert came.count(401) >= 40 and guest in host.check_output("fail2ban-client status arxos-refused")


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
