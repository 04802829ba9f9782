# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Render = Callable[..., str]

INPUTS: dict[str, Any] = {
    "keepalived_interface": "eth0",
    "keepalived_address": "192.0.2.11",
    "keepalived_peers": ["192.0.2.12", "192.0.2.13"],
    "keepalived_virtual_address": "192.0.2.100",
    "keepalived_check_command": "/usr/local/sbin/serves",
    "keepalived_service": "web.service",
}


def test_hosts_talk_by_unicast_and_are_equal(render: Render) -> None:
    first = render("keepalived", "keepalived.conf.j2", **INPUTS)
    second = render(
        "keepalived",
        "keepalived.conf.j2",
        **{**INPUTS, "keepalived_address": "192.0.2.12", "keepalived_peers": ["192.0.2.11", "192.0.2.13"]},
    )
    assert re.search(r"unicast_peer \{\s+192\.0\.2\.12\s+192\.0\.2\.13\s+\}", first)
    assert "unicast_src_ip 192.0.2.11" in first and "unicast_src_ip 192.0.2.12" in second
    assert re.findall(r"\bpriority (\d+)", first) == re.findall(r"\bpriority (\d+)", second) == ["100"]
    assert "192.0.2.100/32 dev eth0" in first
    assert first.count("{") == first.count("}")


def test_a_host_alone_has_no_peers(render: Render) -> None:
    assert "unicast" not in render("keepalived", "keepalived.conf.j2", **{**INPUTS, "keepalived_peers": []})


def test_the_check_runs_without_rights(render: Render) -> None:
    text = render("keepalived", "keepalived.conf.j2", **INPUTS)
    assert re.search(r'script "/usr/bin/setpriv --reuid=nobody .*--no-new-privs /usr/local/sbin/serves"', text)
    assert "enable_script_security" in text


def test_it_stops_before_its_service(render: Render) -> None:
    assert "After=web.service\n" in render("keepalived", "keepalived.service.conf.j2", **INPUTS)
