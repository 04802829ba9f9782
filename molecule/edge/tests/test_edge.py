# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The edge as a client meets it. What the application would have to be bent for is asked of a twin: a second NGINX on edge1 with a copy
of the live configuration, but for its ports, its logs and an application server that says what it was sent."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
INVENTORY = Path(__file__).resolve().parents[3] / "inventories/lab"
DOMAIN = yaml.safe_load((INVENTORY / "group_vars/all/platform.yml").read_text())["arxos_domain"]
CA = yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())["vault_certificates_ca_certificate"]
EDGES = list(yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]["edge"]["hosts"])
ADDRESS = f"{PREFIX}.100"
HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "content-security-policy": "default-src 'self'",
    "referrer-policy": "strict-origin-when-cross-origin",
}

testinfra_hosts = [f"docker://{LAB}-{name}" for name in EDGES]


def edge(name: str) -> Any:
    return testinfra.get_host(f"docker://{LAB}-{name}")


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=CA)


def handshake(context: ssl.SSLContext, name: str | None = DOMAIN) -> ssl.SSLSocket:
    connection = socket.create_connection((ADDRESS, 443), timeout=5)
    return context.wrap_socket(connection, server_hostname=name)


def get(path: str, host: str = DOMAIN, timeout: float = 5) -> tuple[int, dict[str, str]]:
    """One request on a connection of its own through the virtual address: status and headers."""
    connection = http.client.HTTPSConnection(ADDRESS, timeout=timeout)
    with contextlib.closing(connection):
        connection.sock = trust().wrap_socket(socket.create_connection((ADDRESS, 443), timeout=timeout), server_hostname=DOMAIN)
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        answer.read()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}


def holders() -> list[str]:
    return [name for name in EDGES if f" {ADDRESS}/" in edge(name).run("ip -4 -o address show").stdout]


def until(seconds: float, predicate: Any, *arguments: Any, start: float | None = None) -> float:
    """Seconds until the predicate held, from now or from `start`, or a failure."""
    start = time.monotonic() if start is None else start
    while not predicate(*arguments):
        assert time.monotonic() - start < seconds, f"{predicate.__name__} did not hold within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - start


def serves() -> bool:
    try:
        return get("/health/live", timeout=1)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


# ------------------------------------------------------------------ TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_tls_is_spoken_without_session_tickets(version: ssl.TLSVersion) -> None:
    context = trust()
    context.minimum_version = context.maximum_version = version
    with handshake(context) as connection:
        assert connection.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        if version is ssl.TLSVersion.TLSv1_2:
            assert connection.session is not None and not connection.session.has_ticket


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_and_ciphers_without_forward_secrecy_are_refused() -> None:
    old = trust()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="(?i)alert protocol version"):
        handshake(old)
    weak = trust()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="(?i)alert handshake failure"):
        handshake(weak)


@pytest.mark.parametrize("name", ["other.example", None])
def test_another_name_is_refused_in_the_handshake(name: str | None) -> None:
    context = trust()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized name"):
        handshake(context, name)


def test_another_name_gets_no_answer_behind_the_right_handshake_and_over_plain_http() -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        get("/health/live", host="other.example")
    plain = http.client.HTTPConnection(ADDRESS, timeout=5)
    with contextlib.closing(plain), pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        plain.request("GET", "/", headers={"Host": "other.example"})
        plain.getresponse()


def test_plain_http_is_sent_to_https_and_gets_no_hsts() -> None:
    plain = http.client.HTTPConnection(ADDRESS, timeout=5)
    with contextlib.closing(plain):
        plain.request("GET", "/api/v1/x?y=z", headers={"Host": DOMAIN})
        answer = plain.getresponse()
        assert (answer.status, answer.getheader("Location")) == (301, f"https://{DOMAIN}/api/v1/x?y=z")
        assert answer.getheader("Strict-Transport-Security") is None
        assert answer.getheader("X-Frame-Options") == "DENY"


def test_the_live_answer_has_every_header_and_no_version() -> None:
    status, headers = get("/health/live")
    assert status == 200
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert headers["server"] == "nginx"


def test_figures_and_the_state_of_nginx_are_not_for_the_outside() -> None:
    assert get("/metrics")[0] == 404
    assert get("/nginx-status")[0] == 403


# ------------------------------------------------------------------ a twin on edge1

ECHO = """
import asyncio, json, ssl, sys, urllib.parse
async def serve(reader, writer):
    try:
        while True:
            lines = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split("\\r\\n")
            method, target, _ = lines[0].split(" ")
            pairs = [line.split(": ", 1) for line in lines[1:] if line]
            length = int(dict((k.lower(), v) for k, v in pairs).get("content-length", 0))
            await reader.readexactly(length)
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(target).query))
            body = json.dumps({"method": method, "length": length, "headers": pairs}).encode()
            head = "X-Frame-Options: SAMEORIGIN\\r\\nX-XSS-Protection: 1\\r\\n"
            if "cache" in query:
                head += "Cache-Control: " + query["cache"] + "\\r\\n"
            status = query.get("status", "200")
            writer.write(f"HTTP/1.1 {status} x\\r\\nContent-Type: application/json\\r\\n{head}Content-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
async def main():
    for port, name in ((19443, "host"), (19444, "front")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"/etc/ssl/arxos/{name}.crt", f"/etc/ssl/arxos/{name}.key")
        server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    await server.serve_forever()
asyncio.run(main())
"""


class Twin:
    """A second NGINX beside the live one, with the live configuration."""

    def __init__(self, host: Any) -> None:
        self.host = host

    def upstream(self, port: int) -> None:
        self.host.check_output(f"sed -Ei 's/server [0-9.]+:[0-9]+ .*/server 127.0.0.1:{port} max_fails=0;/' /tmp/twin/arxos/upstream.conf")

    def signal(self, name: str) -> None:
        self.host.check_output(f"nginx -c /tmp/twin/nginx.conf -g 'pid /tmp/twin.pid;' -s {name}")

    def curl(self, path: str, options: str = "", times: int = 1) -> list[dict[str, Any]]:
        """Requests of one client, one after another: status, headers as a list of pairs, body."""
        mark = "--8<--"
        urls = f"'https://{DOMAIN}:10443{path}'" if times == 1 else f"'https://{DOMAIN}:10443{path}?n=[1-{times}]'"
        text = self.host.check_output(f"curl -sk -i --max-time 60 --resolve {DOMAIN}:10443:127.0.0.1 -w '\n{mark}\n' {options} {urls}")
        answers = []
        for answer in text.split(f"\n{mark}")[:times]:
            head, _, body = answer.strip().replace("\r", "").partition("\n\n")
            first, *lines = head.split("\n")
            pairs = [line.split(": ", 1) for line in lines]
            answers.append({"status": int(first.split()[1]), "headers": [(key.lower(), value) for key, value in pairs], "body": body})
        return answers

    def fresh(self) -> Twin:
        """With nobody counted yet: a reload keeps the zones of the limits, so it starts anew."""
        self.stop()
        self.host.check_output("nginx -c /tmp/twin/nginx.conf -g 'pid /tmp/twin.pid;'")
        until(5, lambda: self.host.socket("tcp://127.0.0.1:10443").is_listening)
        return self

    def stop(self) -> None:
        if self.host.run("test -s /tmp/twin.pid").rc == 0:
            self.signal("stop")
            until(5, lambda: self.host.run("test -e /tmp/twin.pid").rc != 0)


@pytest.fixture(scope="module")
def running_twin() -> Iterator[Twin]:
    host = edge("edge1")
    twin = Twin(host)
    # A run that was killed may have left one.
    clean = "systemctl stop twin-echo.service 2>/dev/null; rm -rf /tmp/twin /tmp/twin.pid /tmp/twin-echo.py; true"
    twin.stop()
    host.check_output(clean)
    host.check_output("cp -r /etc/nginx /tmp/twin && mkdir /tmp/twin/log")
    host.check_output("sed -i 's|/var/log/nginx|/tmp/twin/log|' /tmp/twin/nginx.conf /tmp/twin/arxos/*.conf")
    host.check_output("sed -i 's|/var/lib/nginx/cache|/tmp/twin/cache|' /tmp/twin/nginx.conf")
    host.check_output("sed -Ei 's/listen (80|443)/listen 127.0.0.1:10\\1/; s/:1080/:10080/' /tmp/twin/arxos/front.conf")
    host.check_output("sed -Ei 's/(proxy_ssl_name) .*/\\1 edge1;/' /tmp/twin/arxos/application.conf")
    subprocess.run(
        ["docker", "exec", "-i", f"{LAB}-edge1", "tee", "/tmp/twin-echo.py"], input=ECHO.encode(), check=True, capture_output=True
    )
    host.check_output("systemd-run -q --collect --unit twin-echo python3 /tmp/twin-echo.py")
    twin.upstream(19443)
    try:
        until(10, lambda: host.socket("tcp://127.0.0.1:19444").is_listening)
        yield twin.fresh()
    finally:
        twin.stop()
        host.check_output(clean)


@pytest.fixture
def twin(running_twin: Twin) -> Twin:
    running_twin.upstream(19443)
    return running_twin.fresh()


def own(answer: dict[str, Any]) -> dict[str, str]:
    """The headers that the edge owns; each must be there exactly once."""
    found = [(key, value) for key, value in answer["headers"] if key in HEADERS or key == "x-xss-protection"]
    assert len(found) == len(dict(found)), f"a header comes twice: {found}"
    return dict(found)


@pytest.mark.parametrize(
    ("status", "path", "options"),
    [
        (200, "/x", ""),
        (200, "/x", "--http1.1"),
        (404, "/x?status=404", ""),
        (404, "/metrics", ""),
        (405, "/x", "-X TRACE"),
        (405, "/x", "-X PURGE"),
        (413, "/x", "-H 'Expect:' -H 'Content-Length: 53477377' -X POST --http1.1"),
        (500, "/x?status=500", ""),
    ],
)
def test_every_answer_has_the_headers(twin: Twin, status: int, path: str, options: str) -> None:
    answer = twin.curl(path, options)[0]
    assert answer["status"] == status
    assert own(answer) == HEADERS


def test_what_nginx_answers_itself_is_json_with_the_headers(twin: Twin) -> None:
    for port in (19445, 19444):  # nobody listens; a server with the certificate of another name
        twin.upstream(port)
        answer = twin.fresh().curl("/x")[0]
        assert (answer["status"], own(answer)) == (502, HEADERS)
        assert json.loads(answer["body"])["detail"] == "No application server can be reached."
        assert ("retry-after", "5") in answer["headers"]
        assert ("cache-control", "no-store") in answer["headers"]


def test_the_application_decides_on_caching_and_else_nothing_is_kept(twin: Twin) -> None:
    assert [v for k, v in twin.curl("/x")[0]["headers"] if k == "cache-control"] == ["no-store"]
    assert [v for k, v in twin.curl("/x?cache=max-age=60")[0]["headers"] if k == "cache-control"] == ["max-age=60"]


@pytest.mark.parametrize(("size", "status"), [(52428800, 200), (52428801, 413)])
def test_an_upload_is_of_50_mb_without_its_envelope(twin: Twin, size: int, status: int) -> None:
    twin.host.check_output(f"(echo '<svg xmlns=\"http://www.w3.org/2000/svg\"/>'; yes '') | head -c {size} >/tmp/twin/50mb.svg")
    answer = twin.curl("/api/v1/svg/upload", "-H 'Expect:' -F file=@/tmp/twin/50mb.svg")[0]
    assert (answer["status"], own(answer)) == (status, HEADERS)
    if status == 200:
        assert json.loads(answer["body"])["length"] > size
    assert twin.host.run("find /var/lib/nginx/body -type f | grep -q .").rc != 0, "the body is left behind"


def test_any_other_body_is_of_2_mib(twin: Twin) -> None:
    for size, status in ((2097152, 200), (2097153, 413)):
        twin.host.check_output(f"(printf '{{\"text\": \"'; head -c {size - 12} /dev/zero | tr '\\0' A; printf '\"}}') >/tmp/twin/body.json")
        send = "-H 'Expect:' -H 'Content-Type: application/json' --data-binary @/tmp/twin/body.json"
        assert twin.curl("/api/v1/security/encrypt", send)[0]["status"] == status


def test_what_the_application_calls_public_is_kept_but_not_for_who_logged_in(twin: Twin) -> None:
    def asked(path: str, options: str = "") -> str:
        """The body has the id of the request that the application got."""
        return str(twin.curl(path, options)[0]["body"])

    assert asked("/x?cache=public,%20max-age=60") == asked("/x?cache=public,%20max-age=60")
    assert asked("/x?cache=private,%20max-age=60") != asked("/x?cache=private,%20max-age=60")
    assert asked("/y") != asked("/y")
    for secret in ("-H 'Authorization: Bearer x'", "-H 'Cookie: session=x'"):
        assert asked("/z?cache=public,%20max-age=60", secret) != asked("/z?cache=public,%20max-age=60", secret)


def test_static_answers_may_be_kept_where_the_application_says_nothing(twin: Twin) -> None:
    def caching(path: str) -> list[str]:
        return [value for key, value in twin.curl(path)[0]["headers"] if key == "cache-control"]

    assert caching("/static/x.js") == ["public, max-age=86400, s-maxage=604800"]
    assert caching("/static/x.js?cache=no-cache") == ["no-cache"]
    assert caching("/static/x.js?status=404") == ["no-store"]


def test_what_a_client_claims_about_itself_does_not_arrive(twin: Twin) -> None:
    forged = "-H 'X-Forwarded-For: 6.6.6.6' -H 'X-Real-IP: 6.6.6.6' -H 'Forwarded: for=6.6.6.6' -H 'X-Forwarded-Proto: http'"
    forged += " -H 'X-Forwarded-Host: evil.example' -H 'X-Request-ID: mine'"
    seen = json.loads(twin.curl("/x", forged)[0]["body"])["headers"]
    arrived = [(key.lower(), value) for key, value in seen if key.lower().startswith(("x-", "forwarded", "host"))]
    assert sorted(arrived)[:5] == [
        ("host", DOMAIN),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "127.0.0.1"),
        ("x-request-id", dict(arrived)["x-request-id"]),
    ]
    assert len(arrived) == 5 and len(dict(arrived)["x-request-id"]) == 32


def test_a_proxy_is_believed_about_its_clients_and_nobody_else_is(twin: Twin) -> None:
    behind = "set_real_ip_from 127.0.0.2; set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on;"
    twin.host.check_output(f"cp /tmp/twin/arxos/limits.conf /tmp/twin/kept && echo '{behind}' >>/tmp/twin/arxos/limits.conf")
    try:
        twin.fresh()
        for source, forwarded, client in (
            ("127.0.0.2", "198.51.100.7", "198.51.100.7"),
            ("127.0.0.2", "6.6.6.6, 198.51.100.7, 10.1.1.1", "198.51.100.7"),
            ("127.0.0.3", "198.51.100.7", "127.0.0.3"),
        ):
            answer = twin.curl("/x", f"--interface {source} -H 'X-Forwarded-For: {forwarded}' -H 'X-Real-IP: 6.6.6.6'")[0]
            seen = {key.lower(): value for key, value in json.loads(answer["body"])["headers"]}
            assert (seen["x-real-ip"], seen["x-forwarded-for"]) == (client, client)
        # Limits are by that address: another client of the proxy is another.
        assert 429 in [answer["status"] for answer in twin.curl("/x", "--interface 127.0.0.2 -H 'X-Forwarded-For: 198.51.100.8'", times=40)]
        assert twin.curl("/x", "--interface 127.0.0.2 -H 'X-Forwarded-For: 198.51.100.9'")[0]["status"] == 200
    finally:
        twin.host.check_output("mv /tmp/twin/kept /tmp/twin/arxos/limits.conf")


PACED = """
import concurrent.futures, http.client, json, socket, ssl, threading, time
context = ssl._create_unverified_context()
local = threading.local()
class Connection(http.client.HTTPSConnection):
    def connect(self):  # also again, by its name, where an answer was the last on its connection
        self.sock = context.wrap_socket(socket.create_connection((self.host, self.port), source_address=self.source_address), server_hostname="DOMAIN")
def ask(source, path, headers, due):
    time.sleep(max(0.0, due - time.monotonic()))
    if not hasattr(local, "connection"):
        local.connection = Connection("127.0.0.1", 10443, context=context, source_address=(source, 0))
    sent = time.monotonic()
    local.connection.request("GET", path, headers={"Host": "DOMAIN", **headers})
    answer = local.connection.getresponse()
    answer.read()
    return sent, answer.status
def run(source, rate, workers, requests):
    start = time.monotonic() + 0.5
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda each: ask(source, *each[1], start + each[0] / rate), enumerate(requests)))
todo = json.loads(TODO)
with concurrent.futures.ThreadPoolExecutor(len(todo)) as side_by_side:
    print(json.dumps([each.result() for each in [side_by_side.submit(run, *words) for words in todo]]))
"""


def paced(twin: Twin, *sources: tuple[str, int, int, list[tuple[str, dict[str, str]]]]) -> list[list[tuple[float, int]]]:
    """Of each source (address, requests a second, workers, path and headers of each request): when each was sent, and its status."""
    script = PACED.replace("DOMAIN", DOMAIN).replace("TODO", repr(json.dumps(sources))).encode()
    subprocess.run(["docker", "exec", "-i", f"{LAB}-edge1", "tee", "/tmp/twin/paced.py"], input=script, check=True, capture_output=True)
    return [[(sent, status) for sent, status in answers] for answers in json.loads(twin.host.check_output("python3 /tmp/twin/paced.py"))]


def shown(*tokens: str) -> list[tuple[str, dict[str, str]]]:
    """A request of the API with each of these."""
    return [("/api/v1/x", {"Authorization": f"Bearer {token}"}) for token in tokens]


def token(number: int, size: int = 100, last: str = "A") -> str:
    """Of the form of a JWT, but nobody signed it."""
    return f"eyJhbGciOiJIUzI1NiJ9.{'c' * size}.{number:042d}{last}"


def test_ten_seconds_at_five_times_the_rate_are_answered_121_times_and_others_are_not_touched(twin: Twin) -> None:
    flood, other = paced(twin, ("127.0.0.2", 50, 20, [("/x", {})] * 500), ("127.0.0.3", 8, 4, [("/x", {})] * 80))
    allowed = sum(status == 200 for _sent, status in flood)
    span = max(sent for sent, _status in flood) - min(sent for sent, _status in flood)
    print(f"{allowed} of {len(flood)} in {span:.2f} s")
    assert len(flood) == 500 and {status for _sent, status in flood} == {200, 429}
    # One and the burst of 20 at once, then 10 a second: 121 in 10 s.
    assert abs(allowed - (21 + 10 * span)) <= 1
    assert {status for _sent, status in other} == {200}


def test_who_invents_what_is_no_token_for_each_request_is_one_client(twin: Twin) -> None:
    invented, other = paced(
        twin,
        ("127.0.0.2", 9, 4, shown(*(f"invented-{number}" for number in range(90)))),
        ("127.0.0.3", 3, 2, shown(*(f"other-{number}" for number in range(30)))),
    )
    allowed = sum(status == 200 for _sent, status in invented)
    span = max(sent for sent, _status in invented) - min(sent for sent, _status in invented)
    print(f"{allowed} of {len(invented)} in {span:.2f} s")
    assert {status for _sent, status in invented} == {200, 429}
    # It stays below the limit of an address; of a client one and the burst of 50 are answered at once, then 100 a minute.
    assert abs(allowed - (51 + 100 / 60 * span)) <= 1
    assert {status for _sent, status in other} == {200}


def test_long_tokens_that_somebody_invents_cost_nobody_else_an_answer(twin: Twin) -> None:
    """In a zone of whole tokens they leave no room for others, who are then refused on their first request."""
    sizes = (100, 300, 700, 1500, 3000, 7000)
    twin.host.check_output("sed -i 's/zone=client:10m/zone=client:64k/' /tmp/twin/arxos/limits.conf")
    try:
        twin.fresh()
        paced(twin, ("127.0.0.2", 9, 1, shown(*(token(number, sizes[number % 6]) for number in range(90)))))
        (others,) = paced(twin, ("127.0.0.3", 9, 1, shown(*(token(1000 + number, sizes[number % 2]) for number in range(30)))))
        assert {status for _sent, status in others} == {200}
        assert not twin.host.file("/tmp/twin/log/error.log").contains("could not allocate node")
    finally:
        twin.host.check_output("sed -i 's/zone=client:64k/zone=client:10m/' /tmp/twin/arxos/limits.conf")


def test_a_burst_of_one_address_gets_21_answers_and_then_429(twin: Twin) -> None:
    start = time.monotonic()
    answers = twin.curl("/x", times=60)
    refilled = 10 * (time.monotonic() - start)
    allowed = sum(answer["status"] == 200 for answer in answers)
    assert 21 <= allowed <= 22 + refilled
    refused = [answer for answer in answers if answer["status"] != 200]
    assert {answer["status"] for answer in refused} == {429}
    assert all(own(answer) == HEADERS and ("retry-after", "1") in answer["headers"] for answer in refused)
    assert json.loads(refused[0]["body"])["detail"] == "Too many requests. Try again later."
    # A forged address is no other client.
    assert twin.curl("/x", "-H 'X-Forwarded-For: 6.6.6.6'", times=20)[-1]["status"] == 429


def test_one_client_with_many_addresses_gets_51_answers(twin: Twin) -> None:
    start = time.monotonic()
    # The last letter of a signature has bits that no decoder reads: with another one there it is the same client.
    statuses = [
        answer["status"]
        for source, last in zip(range(2, 8), "ABCDEF", strict=True)
        for answer in twin.curl("/api/v1/x", f"-H 'Authorization: Bearer {token(1, last=last)}' --interface 127.0.0.{source}", times=15)
    ]
    refilled = 100 / 60 * (time.monotonic() - start)
    assert 51 <= statuses.count(200) <= 52 + refilled
    assert set(statuses) == {200, 429}
    # Another client is not touched by that, nor is what is not the API.
    assert twin.curl("/api/v1/x", f"-H 'Authorization: bearer {token(2)}' --interface 127.0.0.9")[0]["status"] == 200
    assert twin.curl("/health/live", f"-H 'Authorization: Bearer {token(1)}' --interface 127.0.0.9")[0]["status"] == 200


def test_the_log_is_json_without_secrets(twin: Twin) -> None:
    agent = 'say "hi"'
    secrets = "-H 'Authorization: Bearer SECRET1' -e 'https://a.example/b?code=SECRET2#SECRET3'"
    twin.curl("/api/v1/x%2Dy?access_token=SECRET4", f"{secrets} -A '{agent}'")
    twin.curl("/x", times=40)
    until(5, lambda: twin.host.file("/tmp/twin/log/access.log").contains("say "))
    text = twin.host.file("/tmp/twin/log/access.log").content_string
    lines = [json.loads(line) for line in text.splitlines()]
    entry = next(line for line in lines if line["agent"] == agent)
    assert (entry["path"], entry["referrer"], entry["status"], entry["client"]) == (
        "/api/v1/x%2Dy",
        "https://a.example/b",
        200,
        "127.0.0.1",
    )
    assert entry["upstream"] == "127.0.0.1:19443" and entry["seconds"] >= 0
    assert "SECRET" not in text + twin.host.file("/tmp/twin/log/error.log").content_string


# ------------------------------------------------------------------ the daemon


@pytest.mark.parametrize("unit", ["nginx", "nginx-waf", "upload-inspection"])
def test_the_sandbox_is_tight(host: Any, unit: str) -> None:
    host.check_output(f"systemd-analyze security --no-pager --threshold=40 {unit}.service")


def test_the_configuration_is_whole_and_only_ours_is_read(host: Any) -> None:
    assert "sites-enabled" not in host.check_output("nginx -T -q 2>/dev/null | grep -v '^ *#'")
    assert not host.file("/etc/nginx/sites-enabled/default").exists


def test_logs_are_not_for_everybody(host: Any) -> None:
    for name in ("access.log", "error.log"):
        assert host.file(f"/var/log/nginx/{name}").mode == 0o640


def test_logs_are_rotated_and_nginx_writes_the_new_one(host: Any) -> None:
    log = "/var/log/nginx/access.log"
    host.check_output(f"curl -sk -o /dev/null --resolve {DOMAIN}:80:127.0.0.1 http://{DOMAIN}/before-rotation")
    until(5, lambda: host.file(log).contains("/before-rotation"))  # an empty log is not rotated, and a line is a second late
    host.check_output("logrotate --force /etc/logrotate.d/nginx")
    host.check_output(f"curl -sk -o /dev/null --resolve {DOMAIN}:80:127.0.0.1 http://{DOMAIN}/after-rotation")
    until(5, lambda: host.file(log).contains("/after-rotation"))
    assert not host.file(log).contains("/before-rotation")
    until(5, lambda: host.file(f"{log}.1").contains("/before-rotation"))
    assert (host.file(log).user, host.file(log).group, host.file(log).mode) == ("www-data", "adm", 0o640)


def test_every_policy_of_rotation_is_sound_and_looked_at_each_hour(host: Any) -> None:
    said = host.run("logrotate --debug /etc/logrotate.conf")
    assert said.rc == 0 and "error:" not in said.stderr, said.stderr
    assert "OnCalendar=hourly" in host.check_output("systemctl show -P TimersCalendar logrotate.timer") or (
        "*-*-* *:00:00" in host.check_output("systemctl show -P TimersCalendar logrotate.timer")
    )


def test_the_journal_is_limited(host: Any) -> None:
    assert "SystemMaxUse=1G" in host.check_output("systemd-analyze cat-config systemd/journald.conf")


def test_a_reload_that_cannot_come_true_fails_and_the_old_configuration_serves_on() -> None:
    host = edge(next(name for name in EDGES if name not in holders()))
    file = "/etc/nginx/arxos/upstream.conf"
    host.check_output(f"cp -p {file} /tmp/kept && echo nonsense >>{file}")
    try:
        assert host.run("systemctl reload nginx.service").rc != 0
        assert host.run("/usr/local/sbin/nginx-serves").rc == 0
    finally:
        host.check_output(f"mv /tmp/kept {file} && systemctl reload nginx.service")


# ------------------------------------------------------------------ those who take their time


def cut_after(sent: bytes, drip: bytes) -> float:
    """Seconds until a connection is closed on which a byte a second follows what was sent."""
    start = time.monotonic()
    with handshake(trust()) as connection:
        connection.settimeout(1)
        connection.sendall(sent)
        while time.monotonic() - start < 30:
            try:
                if drip:
                    connection.sendall(drip)
                if not connection.recv(4096):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - start


def test_slow_headers_and_bodies_are_cut() -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        headers = pool.submit(cut_after, f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nX: ".encode(), b"x")
        body = pool.submit(cut_after, f"POST /api/v1/x HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 99\r\n\r\n".encode(), b"")
        idle = pool.submit(cut_after, b"", b"")
        assert headers.result() < 14 and body.result() < 20 and idle.result() < 14


def test_thousands_of_idle_connections_delay_nobody() -> None:
    """Coarsely, whatever else this machine does. tests/faults/test_edge_floods.py holds the p95 of a visitor beside them, and beside who is slow."""

    def ask() -> float:
        start = time.monotonic()
        assert get("/health/live")[0] == 200
        return time.monotonic() - start

    quiet = sorted(ask() for _ in range(40))[37]
    idle = []
    try:
        for _ in range(5000):
            idle.append(socket.create_connection((ADDRESS, 443), timeout=5))
        busy = sorted(ask() for _ in range(40))[37]
    finally:
        for connection in idle:
            connection.close()
    print(f"p95 {quiet * 1000:.0f} ms quiet, {busy * 1000:.0f} ms beside 5000 idle connections")
    assert busy < max(2 * quiet, 0.1)


# ------------------------------------------------------------------ a load window


def flood(host: Any, source: str, times: int = 40) -> list[int]:
    """Statuses of requests of one address to this host's own front door."""
    text = host.check_output(
        f"curl -sk --parallel --parallel-max 8 --max-time 30 -o /dev/null -w '%{{http_code}} ' --interface {source} --resolve {DOMAIN}:443:127.0.0.1 "
        f"'https://{DOMAIN}/health/live?n=[1-{times}]'"
    )
    return [int(word) for word in text.split()]


def test_a_load_window_is_for_its_addresses_and_closes_by_itself(host: Any) -> None:
    def is_closed() -> bool:
        return host.run("nginx-load-window status").rc != 0

    host.check_output("nginx-load-window open 600 127.0.0.5")
    # Another takes its place, and closes when its own time is over.
    host.check_output("nginx-load-window open 6 127.0.0.6 127.0.0.7")
    try:
        assert set(flood(host, "127.0.0.6")) == {200}
        assert 429 in flood(host, "127.0.0.5")
        assert host.check_output("nginx-load-window status").count(" 0;") == 2
        assert until(12, is_closed) > 0
        until(5, lambda: 429 in flood(host, "127.0.0.7"))
    finally:
        host.check_output("nginx-load-window close")
        host.run("systemctl stop 'nginx-load-window-*.timer'")


def test_a_window_closes_also_where_the_first_attempt_fails() -> None:
    host = edge(next(name for name in EDGES if name not in holders()))
    file = "/etc/nginx/arxos/upstream.conf"
    cursor = host.check_output("journalctl -n 0 --show-cursor --no-pager").partition("cursor: ")[2]
    host.check_output("nginx-load-window open 5 127.0.0.8")
    host.check_output(f"cp -p {file} /tmp/kept && echo nonsense >>{file}")
    try:
        until(12, lambda: "Failed" in host.check_output(f"journalctl --after-cursor '{cursor}' --no-pager -u 'nginx-load-window-*'"))
    finally:
        host.check_output(f"mv /tmp/kept {file}")
    until(12, lambda: 429 in flood(host, "127.0.0.8"))


# ------------------------------------------------------------------ nothing is lost, and the address moves


def test_while_a_reload_is_due_each_answer_is_the_last_on_its_connection() -> None:
    def connection() -> str:
        time.sleep(0.2)
        return get("/api/v1/symbols")[1]["connection"]

    assert connection() == "keep-alive"
    edge(holders()[0]).check_output("systemctl reload --no-block nginx.service")
    until(3, lambda: connection() == "close")
    until(9, lambda: connection() == "keep-alive")


def test_notice_that_was_given_with_a_drain_shortens_the_next_reload() -> None:
    host = edge(holders()[0])
    due = "/run/nginx-reload-due"
    took = "date +%s.%N; {}; date +%s.%N"

    def seconds(command: str) -> float:
        began, over = [float(line) for line in host.check_output(took.format(command)).split() if re.fullmatch(r"\d{10}[.]\d+", line)]
        return over - began

    def left() -> str:
        return host.run("systemctl is-active nginx-notice.service").stdout.strip()

    try:
        assert seconds("nginx-drain --follows 1 192.0.2.1:8443 >/dev/null") >= 2 and not host.file(due).exists
        until(5, lambda: host.file(due).exists)
        until(3, lambda: get("/api/v1/symbols")[1]["connection"] == "close")
        time.sleep(2)
        assert seconds("systemctl reload nginx.service") < 2 and not host.file(due).exists
        assert seconds("systemctl reload nginx.service") >= 2
        # Where no reload comes, the notice ends.
        assert seconds("nginx-drain --notice") < 1
        until(2, lambda: host.file(due).exists)
        assert left() == "active"
        until(20, lambda: not host.file(due).exists)
        until(2, lambda: left() == "inactive")
    finally:
        host.check_output(f"systemctl stop nginx-notice.service; rm -f {due}")


def test_reloads_under_50_new_connections_a_second_lose_no_request() -> None:
    """A connection and a handshake for each request, which is what one generator makes of these. Reloads under 100 requests a second of users who keep their
    connections, which a reload could cut, are of tests/faults/test_traffic.py.
    """
    host = edge(holders()[0])
    rate, seconds = 50, 8
    start = time.monotonic()

    def request(number: int) -> str:
        time.sleep(max(0.0, start + number / rate - time.monotonic()))  # the pace of the load
        try:
            return str(get("/health/live")[0])
        except (OSError, http.client.HTTPException) as error:
            return repr(error)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = pool.map(request, range(rate * seconds))
        for _ in range(4):
            host.check_output("systemctl reload nginx.service")
        results = list(answers)
    assert len(results) == rate * seconds and set(results) == {"200"}


def test_a_closed_front_door_says_so_and_health_answers(host: Any) -> None:
    """On this host alone, whoever holds the address: the next converge finds it as it was."""

    def ask(path: str, options: str = "") -> str:
        there = f"--resolve {DOMAIN}:443:127.0.0.1 https://{DOMAIN}{path}"
        return str(
            host.check_output(
                f"curl -sk -m 5 --noproxy '*' -o /tmp/answer -w '%{{http_code}} %header{{retry-after}} %{{content_type}}' {options} {there}"
            )
        )

    assert host.check_output("nginx-traffic status") == "open" and ask("/").startswith("200")
    try:
        assert host.check_output("nginx-traffic closed") == "changed closed"
        assert ask("/api/v1/symbols", "-X POST -d x=1") == "503 120 application/json"
        assert "closed for maintenance" in json.loads(host.file("/tmp/answer").content_string)["detail"]
        assert ask("/", "-D /tmp/headers -H 'Accept: text/html,*/*;q=0.8'") == "503 120 text/html; charset=utf-8"
        assert "style-src 'sha256-" in host.file("/tmp/headers").content_string, "a browser would show the page without its style"
        assert host.file("/tmp/answer").content_string.startswith("<!DOCTYPE html>")
        assert ask("/health/").startswith("200") and ask("/health/%2e%2e/api/v1/symbols").startswith("503")
        assert ask("/status/")[:3] in ("200", "404") and ask("/status").startswith("301"), "those who are turned away are sent there"
        assert ask("/api/v1/symbols").startswith("503")
        until(5, lambda: json.loads(host.check_output("tail -n 1 /var/log/nginx/access.log"))["refused_by"] == "closed")
        assert host.run("nginx-serves").rc == 0, "it has to keep the address, to say that it is closed"
    finally:
        assert host.check_output("nginx-traffic open") == "changed open"
        host.run("rm -f /tmp/answer /tmp/headers")
    assert ask("/").startswith("200") and host.check_output("nginx-traffic open") == "same open"


def test_exactly_one_host_holds_the_address() -> None:
    assert len(holders()) == 1


def test_the_address_leaves_a_host_whose_nginx_is_stopped_and_does_not_flap_back() -> None:
    until(10, serves)
    before = holders()[0]
    start = time.monotonic()
    edge(before).check_output("systemctl stop nginx.service")
    try:
        gap = until(5, serves, start=start)
        after = holders()
        assert len(after) == 1 and after != [before]
    finally:
        edge(before).check_output("systemctl start nginx.service")
    until(20, lambda: "priority from 50 to 100" in edge(before).check_output("journalctl -u keepalived -n 5 --no-pager"))
    assert holders() == after
    print(f"gap {gap:.1f} s")


def test_the_address_leaves_a_host_that_dies_and_the_host_comes_back() -> None:
    until(10, serves)
    before = holders()[0]
    start = time.monotonic()
    subprocess.run(["docker", "kill", f"{LAB}-{before}"], check=True, capture_output=True)
    try:
        gap = until(5, serves, start=start)
    finally:
        subprocess.run(["docker", "start", f"{LAB}-{before}"], check=True, capture_output=True)
    until(60, lambda: edge(before).run("systemctl is-active nginx.service keepalived.service && nginx-serves").rc == 0)
    assert len(holders()) == 1
    print(f"gap {gap:.1f} s")
