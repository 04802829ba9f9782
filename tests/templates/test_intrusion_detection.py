# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is watched, and that the filters see in the access log what they shall: lines are made as the log format of role nginx says."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Render = Callable[..., str]
ROLES = Path(__file__).resolve().parents[2] / "roles"
WEB = {"intrusion_detection_web_log": "/var/log/nginx/access.log"}
JAILS = ("arxos-login", "arxos-waf", "arxos-refused", "arxos-flood")


def jails(render: Render, **given: Any) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(render("intrusion_detection", "jail.local.j2", **given))
    return parsed


def line(render: Render, **fields: Any) -> str:
    """A line as the front door writes it: its format with the variables of nginx filled in, strings as escape=json does it."""
    given = {
        "request_id": "0f" * 16,
        "client": "192.0.2.7",
        "method": "POST",
        "host": "api.example.org",
        "path": "/api/v1/symbols",
        "protocol": "HTTP/2.0",
        "status": 200,
        "bytes_in": 300,
        "bytes_out": 400,
        "seconds": 0.012,
        "upstream": "10.20.2.21:8443",
        "refused_by": "",
        **fields,
    }
    form = "".join(re.findall(r"^    '(.*?)';?$", render("nginx", "arxos/log.conf.j2", "debian-12", **NGINX), re.M))
    order = re.findall(r'"(\w+)":("?)\$', form)
    assert order[0][0] == "time" and {name for name, _quote in order} >= set(given)
    parts = [f'"{name}":{json.dumps(str(given.get(name, "")))}' if quote else f'"{name}":{given.get(name, 0)}' for name, quote in order[1:]]
    return "{" + ",".join(parts) + "}"  # fail2ban takes the time out of a line before it looks at the rest


NGINX = {"nginx_waf_socket": "/run/waf.sock", "nginx_upload_socket": "/run/upload.sock"}


def seen(render: Render, jail: str, text: str) -> str:
    """The address that a filter takes out of a line; nothing where it does not count."""
    filters = configparser.ConfigParser(interpolation=None)
    filters.read_string(render("intrusion_detection", "filter.conf.j2", refused=jail, **WEB))
    found = re.search(filters["Definition"]["failregex"].replace("%%", "%").replace("<ADDR>", r"(?P<addr>[0-9a-fA-F.:]+)"), text)
    return found["addr"] if found else ""


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({"status": 200}, []),
        ({"status": 404}, []),
        ({"status": 500}, []),
        ({"path": "/api/v1/auth/login", "status": 401}, ["arxos-login", "arxos-refused"]),
        ({"path": "/api/v1/auth/login", "status": 429}, ["arxos-login", "arxos-flood"]),
        ({"path": "/api/v1/auth/login", "status": 200}, []),
        ({"path": "/api/v1/auth/login/x", "status": 401}, ["arxos-refused"]),
        ({"path": "/api/v1/auth/log%69n", "status": 401}, ["arxos-login", "arxos-refused"]),
        ({"path": "/%61pi/v1/auth/login", "status": 429}, ["arxos-login", "arxos-flood"]),
        ({"path": "/api/v1/auth%2Flogin", "status": 401}, ["arxos-login", "arxos-refused"]),
        ({"path": "/api%2fv1%2Fauth/login", "status": 429}, ["arxos-login", "arxos-flood"]),
        ({"path": "/api/v1/files/a%20plan%2Fb", "status": 401}, ["arxos-refused"]),
        ({"status": 403}, ["arxos-refused"]),
        ({"status": 403, "upstream": "unix:/run/waf.sock", "refused_by": "waf"}, ["arxos-waf", "arxos-refused"]),
        ({"status": 415, "upstream": "unix:/run/upload.sock", "refused_by": "upload"}, ["arxos-waf"]),
        ({"status": 502, "upstream": "unix:/run/upload.sock", "refused_by": "upload"}, ["arxos-waf"]),  # it took all the time there is
        ({"status": 502, "upstream": "unix:/run/waf.sock", "refused_by": "waf"}, []),
        ({"status": 429, "upstream": "", "refused_by": "limit"}, ["arxos-flood"]),
        ({"path": '/"quoted\\', "method": 'G"T', "host": '"', "status": 403}, ["arxos-refused"]),
        ({"client": "2001:db8::7", "status": 401}, ["arxos-refused"]),
    ],
)
def test_each_jail_counts_what_it_is_for(render: Render, fields: dict[str, Any], counted: list[str]) -> None:
    text = line(render, **fields)
    assert [jail for jail in JAILS if seen(render, jail, text)] == counted
    assert {seen(render, jail, text) for jail in counted} <= {fields.get("client", "192.0.2.7")}


def test_who_invents_a_token_for_each_request_is_banned_before_a_client_would_have_met_its_limit(render: Render) -> None:
    """The front cannot tell an invented token from a good one, and takes each for a client of its own. The application says 401 to it."""
    refused = line(render, path="/api/v1/symbols", method="GET", status=401)
    assert seen(render, "arxos-refused", refused) == "192.0.2.7"
    limit = yaml.safe_load((ROLES / "nginx/vars/main.yml").read_text())["__nginx_limits"]["client"]
    minute = int(limit["rate"].removesuffix("r/m")) + limit["burst"]
    found = jails(render, **WEB)
    assert int(found["arxos-refused"]["maxretry"]) < minute and int(found["DEFAULT"]["findtime"]) >= 60


@pytest.mark.parametrize(
    "text",
    [
        '","protocol":"x","status":401,',
        '","client":"198.51.100.1","method":"GET","host":"x","path":"/api/v1/auth/login","protocol":"x","status":401,',
        '"refused_by":"waf"',
    ],
)
def test_no_client_can_have_another_one_banned_or_itself_counted_for_what_it_did_not_do(render: Render, text: str) -> None:
    for field in ("path", "host", "method", "agent", "referrer"):
        written = line(render, **{field: text, "status": 200})
        assert [jail for jail in JAILS if seen(render, jail, written)] == [], field


def test_a_host_without_a_front_door_watches_ssh_alone(render: Render) -> None:
    found = jails(render)
    assert found.sections() == ["sshd"]
    assert found["sshd"]["journalmatch"] == "_SYSTEMD_UNIT=ssh.service" and found["sshd"]["backend"] == "systemd"
    assert "systemd-tmpfiles" not in render("intrusion_detection", "fail2ban.service.j2")


def test_the_front_door_is_watched_with_its_own_numbers(render: Render) -> None:
    found = jails(render, **WEB, intrusion_detection_login_attempts=3)
    assert found.sections() == ["sshd", *JAILS]
    assert found["arxos-login"]["maxretry"] == "3" and found["arxos-login"]["logpath"] == WEB["intrusion_detection_web_log"]
    assert {found[name]["filter"] for name in JAILS} == set(JAILS)
    assert "ExecStartPre=+/usr/bin/systemd-tmpfiles" in render("intrusion_detection", "fail2ban.service.j2", **WEB)


def test_who_is_exempt_is_never_banned(render: Render) -> None:
    found = jails(render, intrusion_detection_exempt=["10.0.0.0/8", "192.0.2.1"], intrusion_detection_window_file="/run/w.map")
    assert found["DEFAULT"]["ignoreip"] == "127.0.0.0/8 ::1 10.0.0.0/8 192.0.2.1"
    assert found["DEFAULT"]["ignorecommand"] == "/usr/local/sbin/arxos-ban exempt <ip>"
    assert "ignorecommand" not in jails(render)["DEFAULT"]


def test_bans_end_in_the_sets_that_the_firewall_has(render: Render) -> None:
    action = render("intrusion_detection", "action.conf.j2")
    rules = (ROLES / "firewall/templates/nftables.conf.j2").read_text()
    script = render("intrusion_detection", "arxos-ban.j2")
    for word in ("inet arxos_bans", "banned_ipv4", "banned_ipv6"):
        assert word in script
        assert word.split()[-1] in rules
    assert "actionflush" not in action, "it would be called when the daemon stops, and lift every ban"


def test_every_template_is_sent() -> None:
    text = (ROLES / "intrusion_detection/vars/main.yml").read_text()
    assert set(re.findall(r"[\w.-]+\.j2", text)) == {path.name for path in (ROLES / "intrusion_detection/templates").iterdir()}
    assert set(yaml.safe_load(text)["__intrusion_detection_web_jails"]) == set(JAILS)
