# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logs when the collector is away, dies, or sender and collector both do; a SIEM that gets what it can read; and a scan in full.

They want app1 and monitoring1 of the lab that LAB_NAME names, converged by playbooks/hosts.yml and storage.yml, and leave them as they found them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
SENDER, COLLECTOR = "app1", "monitoring1"
LINES = 5000
Figure = Callable[[str, object], None]


def done(name: str, command: str, seconds: float = 900) -> str:
    words = ["docker", "exec", f"{LAB}-{name}", "sh", "-c", command]
    answer = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds)
    assert answer.returncode == 0, f"{name}: {command}: {answer.stdout}{answer.stderr}"
    return answer.stdout.strip()


def until(seconds: float, true: Callable[[], Any], what: str) -> float:
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds, f"{what}: not within {seconds:g} s"
        time.sleep(0.5)
    return time.monotonic() - start


def written(mark: str) -> None:
    done(SENDER, f"for number in $(seq {LINES}); do echo {mark} $number; done | logger --tag arxos-test")


def arrived(mark: str) -> list[str]:
    """What has arrived, repeats among it."""
    path = f"/var/log/arxos-hosts/{SENDER}/arxos-test.log"
    return [json.loads(line)["message"] for line in done(COLLECTOR, f"grep -F {mark} {path} || true").splitlines()]


@pytest.mark.parametrize(
    ("what", "fault", "lost"),
    [
        ("collector away", "true", 0),
        ("collector away, sender killed", "systemctl kill --signal=KILL rsyslog.service", 1),
        ("collector away, sender restarted", "systemctl restart rsyslog.service", 2),
    ],
)
def test_lines_of_an_outage_arrive_after_it(what: str, fault: str, lost: int, figure: Figure) -> None:
    mark = secrets.token_hex(8)
    done(COLLECTOR, "systemctl stop rsyslog.service")
    try:
        written(mark)
        time.sleep(10)
        done(SENDER, fault)
        time.sleep(5)
    finally:
        done(COLLECTOR, "systemctl start rsyslog.service")
    seconds = until(180, lambda: len(set(arrived(mark))) >= LINES - lost, "what was written arrives")
    time.sleep(5)
    there = arrived(mark)
    figure(
        what,
        f"{LINES - len(set(there))} of {LINES} lost (bound {lost}), {len(there) - len(set(there))} twice, all there after {seconds:.0f} s",
    )
    assert LINES - len(set(there)) <= lost


def test_a_collector_that_is_killed_loses_nothing_that_it_took(figure: Figure) -> None:
    mark = secrets.token_hex(8)
    written(mark)
    done(COLLECTOR, "systemctl kill --signal=KILL rsyslog.service")
    seconds = until(120, lambda: len(set(arrived(mark))) == LINES, "what was written arrives")
    figure("collector killed in the middle", f"0 of {LINES} lost, all there after {seconds:.0f} s")


class Siem(socketserver.ThreadingTCPServer):
    """Takes syslog over TCP with octet counts (RFC 6587), as a SIEM does."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        self.events: list[str] = []
        self.tls: ssl.SSLContext | None = None
        super().__init__(address, Reader)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        if self.tls:  # the handshake is for the thread that reads
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer


class Reader(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):  # who finds that we are somebody else ends it
            self.read()

    def read(self) -> None:
        while True:
            count = b""
            while (digit := self.rfile.read(1)) != b" ":
                if not digit:
                    return
                count += digit
            assert isinstance(self.server, Siem)
            self.server.events.append(self.rfile.read(int(count)).decode())


@pytest.fixture
def siem() -> Iterator[Siem]:
    with Siem((f"{PREFIX}.1", 443)) as server:  # a port that the firewall lets out
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def converge(*extra: str) -> None:
    words = [
        "ansible-playbook",
        "-i",
        "inventories/lab",
        "playbooks/hosts.yml",
        "--limit",
        f"{COLLECTOR},localhost",
        "--tags",
        "log_shipping",
        *extra,
    ]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=300)


@pytest.mark.parametrize("form", ["json", "cef"])
def test_a_siem_reads_what_it_gets(siem: Siem, form: str) -> None:
    mark = secrets.token_hex(8)
    target = {"host": f"{PREFIX}.1", "port": 443, "format": form, "tls": False}
    converge("-e", json.dumps({"arxos_siem": target}))
    try:
        done(SENDER, f"logger --tag arxos-test --priority auth.warning '{mark} a=b c\\d e|f'")

        def there() -> bool:
            # The collector was restarted, and a sender learns that its connection is gone with the line that follows.
            done(SENDER, "logger --tag arxos-test --priority auth.notice next")
            return any(mark in event for event in siem.events)

        until(30, there, "the event arrives")
        event = next(event for event in siem.events if mark in event)
        head, body = re.match(r"<36>1 \S+ app1 arxos-test - - - (.)(.*)\n$", event, re.S).groups()  # type: ignore[union-attr]
        if form == "json":
            found = json.loads(head + body)
            assert found["message"].endswith("a=b c\\d e|f") and found["severity"] == "warning" and found["facility"] == "auth"
        else:
            assert (
                head + body
                == f"CEF:0|Arxos|arxos.platform|1|arxos-test|log line|6|shost=app1 sproc=arxos-test cat=auth msg={mark} a\\=b c\\\\d e|f"
            )
    finally:
        converge()


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """That of siem.example.org, with its key. The collector has it as the authority that it is of."""
    path, key = tmp_path / "siem.crt", tmp_path / "siem.key"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=siem.example.org -addext subjectAltName=DNS:siem.example.org"
    subprocess.run([*words.split(), "-out", str(path), "-keyout", str(key)], check=True, capture_output=True)
    subprocess.run(["docker", "cp", str(path), f"{LAB}-{COLLECTOR}:/etc/ssl/siem.crt"], check=True, capture_output=True)
    yield path, key
    done(COLLECTOR, "rm -f /etc/ssl/siem.crt")


def test_a_siem_is_sent_to_over_tls_and_no_other_in_its_place(siem: Siem, certificate: tuple[Path, Path]) -> None:
    siem.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    siem.tls.load_cert_chain(*certificate)
    target = {"host": f"{PREFIX}.1", "port": 443, "ca_file": "/etc/ssl/siem.crt"}

    def comes(mark: str) -> bool:
        done(SENDER, f"logger --tag arxos-test --priority auth.notice {mark}")
        return any(mark in event for event in siem.events)

    try:
        converge("-e", json.dumps({"arxos_siem": {**target, "peer": "siem.example.org"}}))
        until(30, lambda: comes("right"), "the event arrives")
        siem.events.clear()
        converge("-e", json.dumps({"arxos_siem": {**target, "peer": "another.example.org"}}))
        end = time.monotonic() + 15
        while time.monotonic() < end:
            assert not comes("wrong"), "it was sent to somebody else"
            time.sleep(1)
        assert "another.example.org" in done(COLLECTOR, "grep -r another.example.org /etc/rsyslog*"), "it was not asked for"
    finally:
        converge()


def test_a_scan_finds_what_the_list_says_and_has_an_index(figure: Figure, tmp_path: Path) -> None:
    """The list is one made up here, in the form of Debian's: bash of a version before 99 has a hole that an update mends."""
    release = done(SENDER, ". /etc/os-release && echo $VERSION_CODENAME")
    text = "VERSION 1\nCVE-2026-1111,,a hole\n\nbash,0, HRF,99.0,\n\nbash,bash\n"
    (tmp_path / release).write_bytes(zlib.compress(text.encode()))
    done(SENDER, "mkdir -p /var/cache/debsecan-test")
    subprocess.run(
        ["docker", "cp", str(tmp_path / release), f"{LAB}-{SENDER}:/var/cache/debsecan-test/{release}"], check=True, capture_output=True
    )
    settings = "/etc/arxos/vulnerability-scan.json"
    done(SENDER, f'cp -p {settings} /run/scan.json && sed -i \'s|"source": ""|"source": "file:///var/cache/debsecan-test/"|\' {settings}')
    try:
        start = time.monotonic()
        done(SENDER, "systemctl start arxos-vulnerability-scan.service")
        seconds = time.monotonic() - start
    finally:
        done(SENDER, f"cp -p /run/scan.json {settings}; rm -r /var/cache/debsecan-test")
    figures = done(SENDER, "cat /var/lib/prometheus/node-exporter/arxos_vulnerabilities.prom")
    assert 'arxos_vulnerabilities{severity="high",fixed="true"} 1\n' in figures
    index = re.search(r"^arxos_lynis_hardening_index (\d+)$", figures, re.M)
    assert index and int(index.group(1)) > 0
    figure("scan of a host", f"{seconds:.0f} s, hardening index {index.group(1)} in a container")
