# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.template import trust_as_template

from .conftest import templar_of

Render = Callable[..., str]

SERVERS = [{"name": f"app{number}", "address": f"192.0.2.{number}", "port": 8443} for number in (1, 2, 3)]
INPUTS: dict[str, Any] = {"nginx_server_name": "api.example", "nginx_upstream_name": "api.internal", "nginx_upstream_servers": SERVERS}
JUDGED = {
    **INPUTS,
    "nginx_waf_socket": "/run/waf.sock",
    "nginx_upload_socket": "/run/upload.sock",
    "nginx_upload_paths": ["/api/v1/svg/upload"],
}
INCLUDED = ("log", "tls", "limits", "traffic", "headers", "upstream", "front")
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


TOKEN = f"{'h' * 24}.{'c' * 300}.{'0123456789' * 4}-_z"


@pytest.mark.parametrize(
    ("authorization", "named"),
    [
        (f"Bearer {TOKEN}", f"{'0123456789' * 4}-_"),
        (f"bearer  {TOKEN}", f"{'0123456789' * 4}-_"),
        # Bits that no decoder reads make no other client, and a longer signature (RS256) is named by its end.
        (f"Bearer {TOKEN[:-1]}y", f"{'0123456789' * 4}-_"),
        (f"Bearer {'h' * 24}.{'c' * 300}.{'s' * 299}{'e' * 42}z", "e" * 42),
        ("", "address"),
        ("Bearer invented-1", "address"),
        ("Bearer a.b.c", "address"),
        (f"Bearer {'x' * 7000}", "address"),
        (f"Bearer {TOKEN}=", "address"),
        (f"Bearer {TOKEN}.more", "address"),
        (f"Bearer {TOKEN} more", "address"),
        (f"Bearer !{TOKEN}", "address"),
        (f"Basic {TOKEN}", "address"),
    ],
)
def test_a_client_is_who_holds_a_token_and_anybody_else_is_its_address(render: Render, authorization: str, named: str) -> None:
    text = render("nginx", "arxos/limits.conf.j2", **INPUTS)
    (default,), patterns = re.findall(r"\$client_name \{\s+default (\S+);", text), re.findall(r'"~\*(.*)" \$(\w+);', text)
    assert default == "$binary_remote_addr" and len(patterns) == 1
    pattern, variable = patterns[0]
    found = re.search(pattern.replace("(?<", "(?P<"), authorization, re.I)
    assert (found[variable] if found else "address") == named
    # nginx keeps 80 bytes and the key in a slab of 128: where all are of one size, the oldest makes room for any other.
    assert not found or 80 + len(found[variable]) <= 128


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


@pytest.mark.parametrize("name", ["nginx-reload", "nginx-drain", "nginx-serves", "nginx-load-window", "nginx-traffic"])
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
    assert "proxy_set_header X-Edge-Next $edge_next;" in statements(render("nginx", "arxos/waf.conf.j2", **JUDGED))
    assert statements(render("nginx", "arxos/waf.conf.j2", **INPUTS)) == ["try_files /dev/null/none $edge_next;"]
    ways = dict(re.findall(r"location ([^{]+) \{([^}]*)\}", front))
    assert [name for name, block in ways.items() if "include arxos/application.conf;" in block] == ["@application", "@application_last"]
    assert "set $edge_next @upload$edge_last;" in ways["= /api/v1/svg/upload"] and "include arxos/waf.conf;" in ways["= /api/v1/svg/upload"]
    assert "client_body_in_file_only clean;" in ways["= /api/v1/svg/upload"]


def test_without_a_waf_uploads_are_judged_all_the_same(render: Render) -> None:
    front = render("nginx", "arxos/front.conf.j2", "debian-12", **{**JUDGED, "nginx_waf_socket": ""})
    ways = dict(re.findall(r"location ([^{]+) \{([^}]*)\}", front))
    assert "set $edge_next @upload$edge_last;" in ways["= /api/v1/svg/upload"] and "include arxos/upload.conf;" in ways["@upload"]
    assert "waf.sock" not in front
    for name in ("@upload", "@upload_last"):  # where the body is read then
        assert "client_max_body_size 53477376;" in ways[name] and "client_body_in_file_only clean;" in ways[name]


def test_while_a_reload_is_due_every_answer_of_an_application_is_the_last_on_its_connection(render: Render) -> None:
    front = render("nginx", "arxos/front.conf.j2", "debian-12", **JUDGED)
    due = re.findall(r"if \(-f (\S+)\) \{\s+set \$edge_last _last;", front)
    for script in ("nginx-reload.j2", "nginx-drain.j2"):
        assert due == re.findall(r"(?m)^due=(.*)$", render("nginx", script, **JUDGED))
    ways = dict(re.findall(r"location ([^{]+) \{(.*?)\n    \}", front, re.DOTALL))
    for name in ("@application", "@upload", "= /.edge/problem"):
        assert "keepalive_timeout 0;" in ways[f"{name}_last"] and "keepalive_timeout" not in ways[name]
    assert statements(front).index('set $edge_last "";') < statements(front).index("set $edge_next @application$edge_last;")


def test_a_challenge_is_answered_on_port_80_by_this_host_or_by_a_peer_that_asks_no_further(render: Render) -> None:
    without = render("nginx", "arxos/front.conf.j2", "debian-13", **INPUTS)
    assert "acme" not in without and statements(without).count("return 301 https://api.example$request_uri;") == 1
    text = render(
        "nginx", "arxos/front.conf.j2", "debian-13", **INPUTS, nginx_acme_webroot="/var/lib/acme", nginx_acme_peers=["192.0.2.12"]
    )
    lines = statements(text)
    plain = lines[lines.index("listen 80;") : lines.index("listen 443 ssl;", lines.index("listen 80;"))]
    assert {"limit_req zone=address burst=20 nodelay;", "limit_conn connections 100;"} <= set(plain)
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


@pytest.mark.parametrize("status", ["", "/srv/status"])
def test_every_way_in_is_shut_where_the_front_door_is_closed_but_health_and_the_status_page(render: Render, status: str) -> None:
    assert statements(render("nginx", "arxos/limited.conf.j2", **INPUTS))[:3] == ["if ($shut_out) {", "return 503;", "}"]
    assert "include arxos/limited.conf;" in statements(render("nginx", "arxos/proxy.conf.j2", **JUDGED))
    text = render("nginx", "arxos/traffic.conf.j2", **INPUTS, nginx_preview_networks=["192.0.2.0/24"], nginx_status_directory=status)
    assert "192.0.2.0/24 1;" in statements(text) and "include /var/lib/nginx-traffic/*.map;" in statements(text)
    rules = [re.compile(rule) for rule in re.findall(r'"~([^"]*)" 1;', text[text.index("$shut_out {") : text.index("# Of an answer")])]

    def shut(state: str, named: int, path: str) -> bool:
        return any(rule.search(f"{state} {named} {path}") for rule in rules)

    pages = ["/status", "/status/", "/status/status.json"]
    for path in ("/", "/api/v1/symbols", "/healthy", "/x/health/", "/statuses", "/api/status/", *([] if status else pages)):
        assert [shut(state, 0, path) for state in ("new", "closed", "preview", "open")] == [True, True, True, False]
        assert [shut(state, 1, path) for state in ("new", "closed", "preview", "open")] == [True, True, False, False]
    for path in ("/health/", "/health", "/health/ready", *(pages if status else [])):
        assert not any(shut(state, 0, path) for state in ("new", "closed", "preview", "open"))


def test_the_page_brings_its_style_and_the_policy_names_it(render: Render) -> None:
    page = render("nginx", "arxos/closed.html.j2", **INPUTS, nginx_closed_message='<b>"Soon" & $more</b>')
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = statements(render("nginx", "arxos/traffic.conf.j2", **INPUTS))
    assert f"1 \"default-src 'self'; style-src 'sha256-{digest}'\";" in policy
    assert page.startswith("<!DOCTYPE html>\n") and "&lt;b&gt;" in page and not re.search(r"(?:src|href)=", page)
    front = statements(render("nginx", "arxos/front.conf.j2", "debian-12", **INPUTS, nginx_closed_message='<b>"Soon" \\& $more</b>'))
    assert 'closed "<b>Soon & more</b>";' in front and "closed 120;" in front


class Door:
    """nginx-traffic on a host below a folder, with a systemd that notes what it is told and may refuse it."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        for name in ("/var/lib/nginx-traffic", "/run/nginx-traffic", "/var/lib/prometheus"):
            script = script.replace(name, f"{folder}{name}")
        for name, text in (
            ("nginx-traffic", script),
            ("bin/systemctl", f'#!/bin/sh\necho "$*" >>{folder}/told\ntest ! -e {folder}/refuses\n'),
        ):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        (folder / "run").mkdir()

    def __call__(self, *words: str) -> tuple[int, str]:
        environment = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        done = subprocess.run(
            [str(self.folder / "nginx-traffic"), *words], env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        return done.returncode, done.stdout.strip()

    @property
    def reloads(self) -> int:
        told = self.folder / "told"
        return len(told.read_text().splitlines()) if told.exists() else 0

    @property
    def kept(self) -> str:
        path = self.folder / "var/lib/nginx-traffic/traffic.map"
        return path.read_text().strip() if path.exists() else ""


def test_a_window_that_the_firewall_cannot_read_never_begins_to_open(render: Render, tmp_path: Path) -> None:
    script = render("nginx", "nginx-load-window.j2", **INPUTS)
    for name in ("/run/nginx-load-window", "/run/firewall.d"):
        script = script.replace(name, f"{tmp_path}{name}")
    programs = {"nft": 'case "$* $(cat)" in *10.0.0.256*) exit 1 ;; esac', "systemctl": f"test ! -e {tmp_path}/refuses", "systemd-run": ":"}
    for name, text in {**programs, "window": script}.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            text if name == "window" else f'#!/bin/sh\nset -- "$@"\nfor word; do test ! -f "$word" || exec <"$word"; done\n{text}\n'
        )
        path.chmod(0o755)

    def open_for(*addresses: str) -> tuple[bool, list[str]]:
        environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
        words = [str(tmp_path / "bin/window"), "open", "60", *addresses]
        done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        return done.returncode == 0, sorted(path.name for path in (tmp_path / "run").rglob("*") if path.suffix in (".map", ".nft"))

    assert open_for("10.0.0.7", "10.0.0.256") == (False, [])
    assert open_for("10.0.0.7") == (True, ["load-window.nft", "window.map"])
    # One that NGINX does not take closes, the one before it too.
    (tmp_path / "refuses").touch()
    assert open_for("10.0.0.8") == (False, [])


def test_the_front_door_is_closed_and_opened_and_keeps_it(render: Render, tmp_path: Path) -> None:
    door = Door(tmp_path, render("nginx", "nginx-traffic.j2", **INPUTS))
    assert door("status") == (0, "open") and door("ajar")[0] == 2 and door()[0] == 2
    assert door("--check", "closed") == (0, "changed closed") and door.kept == "" and door.reloads == 0
    assert door("closed") == (0, "changed closed") and door.kept == "edge closed;" and door.reloads == 1
    assert door("closed") == (0, "same closed") and door.reloads == 1
    assert 'arxos_traffic_state{state="closed"} 1' in (tmp_path / "var/lib/prometheus/node-exporter/arxos_traffic.prom").read_text()
    # What was closed by somebody stays closed when a go-live opens what it has made.
    assert door("--unless-set", "open") == (0, "same closed") and door("status") == (0, "closed")
    assert door("--reload", "closed") == (0, "changed closed") and door.reloads == 2
    # Killed before nginx was told, or booted since: it is told again.
    (tmp_path / "run/nginx-traffic").unlink()
    assert door("closed") == (0, "changed closed") and door.reloads == 3
    # Refused: it goes on as it was, and the next start reads what it can read.
    (tmp_path / "refuses").touch()
    assert door("preview")[0] == 1 and door.kept == "edge closed;"
    (tmp_path / "refuses").unlink()
    assert door("preview") == (0, "changed preview") and door("open") == (0, "changed open") and door("status") == (0, "open")


@pytest.mark.parametrize("kept", ["", "edge new;\n"])
def test_a_go_live_opens_what_was_never_open_or_closed(render: Render, tmp_path: Path, kept: str) -> None:
    door = Door(tmp_path, render("nginx", "nginx-traffic.j2", **INPUTS))
    if kept:
        (tmp_path / "var/lib/nginx-traffic").mkdir(parents=True)
        (tmp_path / "var/lib/nginx-traffic/traffic.map").write_text(kept)
    assert door("--unless-set", "open") == (0, "changed open")
    assert door("--unless-set", "open") == (0, "same open") and door.reloads == 1


def test_one_that_joined_open_hosts_is_measured_as_they_are(render: Render, tmp_path: Path) -> None:
    door = Door(tmp_path, render("nginx", "nginx-traffic.j2", **INPUTS))
    (tmp_path / "var/lib/nginx-traffic").mkdir(parents=True)
    (tmp_path / "var/lib/nginx-traffic/traffic.map").write_text("edge open;\n")
    told = tmp_path / "var/lib/prometheus/node-exporter/arxos_traffic.prom"
    assert door("--check", "--unless-set", "open") == (0, "same open") and not told.exists()
    assert door("--unless-set", "open") == (0, "same open") and door.reloads == 0
    assert 'arxos_traffic_state{state="open"} 1' in told.read_text()


@pytest.mark.parametrize(
    ("others", "begins"), [([], "new"), (["edge new;"], "new"), (["edge closed;", ""], "new"), (["", "edge open;"], "open")]
)
def test_a_new_edge_begins_closed_but_beside_others_that_are_open(others: list[str], begins: str) -> None:
    names = [f"edge{number}" for number in range(len(others))]
    seen = {name: {"__nginx_traffic_was": {"stdout": said}} for name, said in zip(names, others, strict=True)}
    templar = templar_of("nginx", **INPUTS, ansible_play_hosts=[*names, "edge9"], hostvars={**seen, "edge9": {}})
    assert templar.template(trust_as_template("{{ __nginx_traffic_first.content }}")) == f"edge {begins};\n"


def test_the_log_says_of_every_server_what_became_of_a_request(render: Render) -> None:
    text = render("nginx", "arxos/log.conf.j2", **INPUTS)
    for field in ('"upstream_status":"$upstream_status"', '"upstream_seconds":"$upstream_response_time"', '"upstreams":"$upstream_addr"'):
        assert field in text
    assert '"~^ 503$" closed;' in statements(text)
