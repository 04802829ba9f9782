# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

Render = Callable[..., str]

SERVERS = [{"name": f"app{number}", "address": f"192.0.2.{number}", "port": 8443} for number in (1, 2, 3)]
INPUTS: dict[str, Any] = {"nginx_server_name": "api.example", "nginx_upstream_name": "api.internal", "nginx_upstream_servers": SERVERS}
JUDGED = {
    **INPUTS,
    "nginx_waf_socket": "/run/waf.sock",
    "nginx_upload_socket": "/run/upload.sock",
    "nginx_upload_paths": ["/api/v1/svg/upload"],
}
INCLUDED = ("log", "tls", "limits", "headers", "upstream", "front")
ALL = [
    "nginx.conf.j2",
    *(f"arxos/{name}.conf.j2" for name in (*INCLUDED, "proxy", "limited", "waf", "upload", "bodyless", "judge", "client", "application")),
]
RELEASES = ["debian-12", "debian-13"]


def statements(text: str) -> list[str]:
    """Simple directives, one a line, without comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("template", ALL)
@pytest.mark.parametrize("inputs", [INPUTS, JUDGED], ids=["alone", "judged"])
def test_every_file_says_that_it_is_managed_and_its_braces_match(
    render: Render, template: str, release: str, inputs: dict[str, Any]
) -> None:
    text = render("nginx", template, release, **inputs)
    assert text.startswith("#\n# Ansible managed\n#\n")
    code = "\n".join(re.sub(r"'[^']*'|\"[^\"]*\"", "", line) for line in statements(text))
    assert code.count("{") == code.count("}")


def test_our_files_are_included_by_relative_path_and_the_packages_by_absolute_path(render: Render) -> None:
    includes = [
        line.split()[1].rstrip(";") for line in statements(render("nginx", "nginx.conf.j2", **INPUTS)) if line.startswith("include ")
    ]
    assert [name for name in includes if not name.startswith("/")] == [f"arxos/{name}.conf" for name in INCLUDED]
    assert [name for name in includes if name.startswith("/")] == ["/etc/nginx/modules-enabled/*.conf", "/etc/nginx/mime.types"]


def test_http2_is_written_as_each_release_knows_it(render: Render) -> None:
    old, new = (render("nginx", "arxos/front.conf.j2", release, **INPUTS) for release in RELEASES)
    assert old.count("listen 443 ssl http2") == 2 and "http2" not in new
    old, new = (render("nginx", "arxos/tls.conf.j2", release, **INPUTS) for release in RELEASES)
    assert "http2 on;" in new and "http2" not in old
    assert "X25519MLKEM768" in new and "X25519MLKEM768" not in old


def test_only_current_ciphers_with_forward_secrecy(render: Render) -> None:
    line = next(line for line in statements(render("nginx", "arxos/tls.conf.j2", "debian-12", **INPUTS)) if line.startswith("ssl_ciphers"))
    ciphers = line.removeprefix("ssl_ciphers ").rstrip(";").split(":")
    assert len(ciphers) == 6
    assert all(cipher.startswith("ECDHE-") and re.search("GCM|POLY1305", cipher) for cipher in ciphers)


def test_drained_servers_stay_in_the_file_but_get_nothing(render: Render) -> None:
    text = render("nginx", "arxos/upstream.conf.j2", **INPUTS, nginx_drained=["app2"])
    servers = [line for line in statements(text) if line.startswith("server ")]
    assert len(servers) == 3
    assert [line for line in servers if line.endswith(" down;")] == [line for line in servers if "192.0.2.2:8443" in line]


def test_exempt_networks_have_an_empty_key(render: Render) -> None:
    assert statements(render("nginx", "arxos/limits.conf.j2", **INPUTS))[1] == "default 1;"
    assert "include /run/nginx-load-window/*.map;" in statements(render("nginx", "arxos/limits.conf.j2", **INPUTS))
    text = render("nginx", "arxos/limits.conf.j2", **INPUTS, nginx_rate_limit_exempt_networks=["192.0.2.0/24", "198.51.100.7/32"])
    assert statements(text)[2:4] == ["192.0.2.0/24 0;", "198.51.100.7/32 0;"]


def test_limits_are_those_of_the_specification(render: Render) -> None:
    limits = statements(render("nginx", "arxos/limits.conf.j2", **INPUTS))
    assert "limit_req_zone $limited_address zone=address:10m rate=10r/s;" in limits
    assert "limit_req_zone $limited_client zone=client:10m rate=100r/m;" in limits
    assert "limit_req zone=address burst=20 nodelay;" in statements(render("nginx", "arxos/limited.conf.j2", **INPUTS))
    assert "limit_req zone=client burst=50 nodelay;" in statements(render("nginx", "arxos/front.conf.j2", "debian-12", **INPUTS))


def test_each_header_of_the_edge_is_hidden_where_the_application_sends_it(render: Render) -> None:
    ours = re.findall(r"(?m)^add_header (\S+)", render("nginx", "arxos/headers.conf.j2", **INPUTS))
    hidden = re.findall(r"proxy_hide_header (\S+);", render("nginx", "arxos/application.conf.j2", **INPUTS))
    assert set(ours) - {"Cache-Control"} <= set(hidden)
    assert "X-XSS-Protection" in hidden and "X-XSS-Protection" not in ours


def test_a_location_with_headers_of_its_own_has_all_of_them(render: Render) -> None:
    text = render("nginx", "arxos/front.conf.j2", "debian-12", **INPUTS)
    for block in re.findall(r"location [^{]*\{(.*?)\n    \}", text, re.DOTALL):
        assert "add_header" not in block or "include arxos/headers.conf;" in block


def test_nothing_that_a_client_claims_is_passed_on(render: Render) -> None:
    text = "".join(render("nginx", f"arxos/{name}.conf.j2", **JUDGED) for name in ("client", "application"))
    assert "$proxy_add_x_forwarded_for" not in text
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text
    assert 'proxy_set_header X-Edge-Next "";' in text and 'proxy_set_header X-Edge-File "";' in text
    assert "proxy_ssl_verify on;" in text and "proxy_ssl_name api.internal;" in text


def test_the_log_has_no_query_and_no_credentials(render: Render) -> None:
    text = render("nginx", "arxos/log.conf.j2", **INPUTS)
    form = text[text.index("log_format") :]
    assert not re.search(r"\$(request|request_uri|args|query_string|http_authorization|http_cookie|http_referer)\b", form)


def test_open_files_follow_the_connections(render: Render) -> None:
    assert "LimitNOFILE=4000\n" in render("nginx", "nginx.service.conf.j2", **INPUTS, nginx_worker_connections=1000)


@pytest.mark.parametrize("name", ["nginx-reload", "nginx-drain", "nginx-serves", "nginx-load-window"])
def test_scripts_open_with_their_interpreter(render: Render, name: str) -> None:
    assert render("nginx", f"{name}.j2", **INPUTS).startswith("#!/bin/sh\n#\n# Ansible managed\n")


def test_addresses_are_taken_from_a_header_only_behind_stated_networks(render: Render) -> None:
    assert "real_ip" not in "".join(render("nginx", template, "debian-12", **JUDGED) for template in ALL)
    behind = {**INPUTS, "nginx_trusted_proxies": ["192.0.2.0/24"], "nginx_client_address_header": "CF-Connecting-IP"}
    assert statements(render("nginx", "arxos/limits.conf.j2", **behind))[:3] == [
        "set_real_ip_from 192.0.2.0/24;",
        "real_ip_header CF-Connecting-IP;",
        "real_ip_recursive on;",
    ]


def test_every_way_to_the_application_passes_the_waf(render: Render) -> None:
    front = render("nginx", "arxos/front.conf.j2", "debian-12", **JUDGED)
    assert "include arxos/waf.conf;" in statements(render("nginx", "arxos/proxy.conf.j2", **JUDGED))
    assert "include arxos/application.conf;" in statements(render("nginx", "arxos/proxy.conf.j2", **INPUTS))
    ways = dict(re.findall(r"location ([^{]+) \{([^}]*)\}", front))
    assert [name for name, block in ways.items() if "include arxos/application.conf;" in block] == ["@application"]
    assert "set $edge_next @upload;" in ways["= /api/v1/svg/upload"] and "include arxos/waf.conf;" in ways["= /api/v1/svg/upload"]
    assert "client_body_in_file_only clean;" in ways["= /api/v1/svg/upload"]


def test_without_a_waf_uploads_are_judged_all_the_same(render: Render) -> None:
    front = render("nginx", "arxos/front.conf.j2", "debian-12", **{**JUDGED, "nginx_waf_socket": ""})
    ways = dict(re.findall(r"location ([^{]+) \{([^}]*)\}", front))
    assert "include arxos/upload.conf;" in ways["= /api/v1/svg/upload"]
    assert "waf.sock" not in front


def test_a_challenge_is_answered_on_port_80_by_this_host_or_by_a_peer_that_asks_no_further(render: Render) -> None:
    without = render("nginx", "arxos/front.conf.j2", "debian-13", **INPUTS)
    assert "acme" not in without and statements(without).count("return 301 https://api.example$request_uri;") == 1
    text = render(
        "nginx", "arxos/front.conf.j2", "debian-13", **INPUTS, nginx_acme_webroot="/var/lib/acme", nginx_acme_peers=["192.0.2.12"]
    )
    lines = statements(text)
    plain = lines[lines.index("listen 80;") : lines.index("listen 443 ssl;", lines.index("listen 80;"))]
    for line in ("root /var/lib/acme;", "try_files $uri @acme_peers;", "proxy_set_header X-Edge-Peer 1;", "if ($http_x_edge_peer) {"):
        assert line in plain
    assert "server 192.0.2.12:80 max_fails=0;" in lines and "return 301 https://api.example$request_uri;" in plain
    alone = render("nginx", "arxos/front.conf.j2", "debian-13", **INPUTS, nginx_acme_webroot="/var/lib/acme")
    assert "try_files $uri =404;" in alone and "acme_peers" not in alone


def test_the_status_page_is_files_and_asks_nobody(render: Render) -> None:
    text = render("nginx", "arxos/status.conf.j2", **INPUTS, nginx_status_directory="/srv/status")
    assert statements(text).count("root /srv/status;") == 2 and "proxy_pass" not in text and "add_header" not in text
    assert "try_files /status/now.html /status/index.html =404;" in statements(text)
    assert statements(render("nginx", "arxos/status.conf.j2", **INPUTS)) == []
    assert "include arxos/status.conf;" in statements(render("nginx", "arxos/front.conf.j2", "debian-12", **INPUTS))
