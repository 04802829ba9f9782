# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measurements, against servers of this test and against commands that are stood in for by test__probes.yaml."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.arxos.platform.plugins.module_utils import _probes
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CASES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_commands(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        calls.append((command, options))
        return subprocess.CompletedProcess(command, case.get("rc", 0), case.get("stdout", ""), case.get("stderr", ""))

    monkeypatch.setattr(_probes.subprocess, "run", run)
    monkeypatch.setattr(_probes.os, "geteuid", lambda: 1000)
    [result] = _probes.look([case["probe"]], 5)
    [(command, options)] = calls
    wanted = case["command"]
    assert command[: len(wanted)] == wanted
    assert case.get("environment", {}).items() <= options["env"].items()
    assert case["probe"].get("password", "\0") not in " ".join(command)
    assert result.problems == case.get("problems", [])
    if "measured" in case:
        assert result.measured == case["measured"]


def test_units_of_one_look_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        units = command[command.index("--") + 1 :]
        blocks = [
            f"LoadState=loaded\nActiveState={'active' if unit == 'a.service' else 'inactive'}\nSubState=x\nResult=success\n"
            for unit in units
        ]
        return subprocess.CompletedProcess(command, 0, "\n".join(blocks), "")

    monkeypatch.setattr(_probes.subprocess, "run", run)
    names = ["b.service", "a.service", "b.service"]
    results = _probes.look([{"name": name, "type": "systemd", "unit": name} for name in names], 5)
    assert [result.healthy for result in results] == [False, True, False]
    assert len(calls) == 1


OUTCOME = """# HELP arxos_x_success Whether.
# TYPE arxos_x_success gauge
arxos_x_success {success}
arxos_x_last_success_timestamp_seconds {at:.15g}
arxos_x_ahead{{table="a b}} c"}} -1 1700000000
arxos_x_broken NaN
nonsense
"""


@pytest.mark.parametrize(
    ("success", "age_hours", "problems"),
    [
        (1, 1, []),
        (0, 1, ["arxos_x_success is 0, wanted 1"]),
        (1, 30, ["the last success of arxos_x was 30.0 hours ago, wanted at most 26 hours"]),
        (0, None, ["arxos_x_success is 0, wanted 1", "the last success of arxos_x never was, wanted at most 26 hours"]),
    ],
)
def test_metrics(tmp_path: Path, success: int, age_hours: float | None, problems: list[str]) -> None:
    at = 0.0 if age_hours is None else time.time() - 3600 * age_hours
    (tmp_path / "arxos_x.prom").write_text(OUTCOME.format(success=success, at=at))
    (tmp_path / "other.prom").write_text("other_success 0\n")
    [result] = _probes.look([{"name": "x", "type": "metrics", "path": str(tmp_path / "arxos_*.prom"), "max_age_hours": 26}], 5)
    assert result.problems == problems
    assert result.measured["values"]['arxos_x_ahead{table="a b} c"}'] == -1
    assert len(result.measured["values"]) == 3
    [any_age] = _probes.look([{"name": "x", "type": "metrics", "path": str(tmp_path / "arxos_x.prom")}], 5)
    assert any_age.healthy == (success == 1)


def test_metrics_that_are_not_there(tmp_path: Path) -> None:
    [result] = _probes.look([{"name": "x", "type": "metrics", "path": str(tmp_path / "none")}], 5)
    assert result.problems == [f"nothing is recorded in {tmp_path / 'none'}"]


def test_missing_command() -> None:
    with pytest.raises(_probes.ProbeError, match="arxos-no-such-command is not installed"):
        _probes._run(["arxos-no-such-command"], 1)


def test_command_that_hangs() -> None:
    with pytest.raises(_probes.ProbeError, match="no answer from python3 within 0.2 s"):
        _probes._run(["python3", "-c", "import time; time.sleep(30)"], 0.2)


def test_disk(tmp_path: Path) -> None:
    good, bad, missing = _probes.look(
        [
            {"name": "a", "type": "disk", "path": str(tmp_path), "min_free_mb": 0},
            {"name": "b", "type": "disk", "path": str(tmp_path), "min_free_mb": 1 << 40},
            {"name": "c", "type": "disk", "path": str(tmp_path / "no"), "min_free_mb": 1},
        ],
        5,
    )
    assert good.healthy and 0 < good.measured["free_percent"] <= 100
    assert "wanted 1099511627776 MB" in bad.problems[0]
    assert missing.problems == [f"{tmp_path}/no: No such file or directory ({tmp_path}/no)"]


def test_a_probe_that_hangs_does_not_hold_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def measure(probe: dict[str, Any], timeout: float) -> dict[str, Any]:
        if probe["name"] == "hangs":
            release.wait(30)
        return {}

    monkeypatch.setattr(_probes, "measure", measure)
    start = time.monotonic()
    hangs, runs = _probes.look([{"name": name, "type": "tcp", "host": "h", "port": 1} for name in ("hangs", "runs")], 0.1)
    release.set()
    assert time.monotonic() - start < 5
    assert hangs.problems == ["no answer within 0.1 s"]
    assert runs.healthy


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        seen = {key.lower(): value for key, value in self.headers.items()}
        body = b"<html>" if self.path == "/html" else json.dumps({"status": "healthy", "path": self.path, "seen": seen}).encode()
        self.send_response(503 if self.path == "/ill" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None: ...


def certificate(name: str, days: float, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


def serve(paths: tuple[Path, Path] | None = None) -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if paths:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*paths)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def plain() -> Iterator[int]:
    server = serve()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[int]:
    server = serve(certificate("api.test", 20, folder))
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def expired(folder: Path) -> Iterator[int]:
    server = serve(certificate("old.test", -1, folder))
    yield server.server_port
    server.shutdown()


def one(**probe: Any) -> _probes.Result:
    [result] = _probes.look([{"name": "it", **probe}], 5)
    return result


def test_http_sends_what_it_is_told(plain: int) -> None:
    result = one(
        type="http",
        url=f"http://127.0.0.1:{plain}/a?b=c",
        server_name="api.test",
        headers={"X-One": 1},
        token="abc",
        json={"status": "healthy"},
    )
    assert result.problems == []
    assert result.measured["json"]["path"] == "/a?b=c"
    seen = result.measured["json"]["seen"]
    assert (seen["host"], seen["x-one"], seen["authorization"]) == (f"api.test:{plain}", "1", "Bearer abc")


def test_http_basic_authentication_and_own_host_header(plain: int) -> None:
    result = one(type="http", url=f"http://127.0.0.1:{plain}", user="u", password="p", headers={"host": "other"}, json={"path": "/"})
    assert result.problems == []
    seen = result.measured["json"]["seen"]
    assert (seen["host"], seen["authorization"]) == ("other", "Basic dTpw")


def test_http_that_is_not_what_is_wanted(plain: int) -> None:
    assert one(type="http", url=f"http://127.0.0.1:{plain}/ill").problems[0].startswith("status 503, wanted 200, body starts '{")
    assert one(type="http", url=f"http://127.0.0.1:{plain}/ill", status=[503]).healthy
    assert one(type="http", url=f"http://127.0.0.1:{plain}/html", json={"a": 1}).problems == [
        "body is no JSON (starts '<html>'), wanted {'a': 1}"
    ]


def test_https_by_address_with_a_name(secure: int, folder: Path) -> None:
    url, trust = f"https://127.0.0.1:{secure}/", str(folder / "api.test.crt")
    assert one(type="http", url=url, server_name="api.test", ca_cert=trust).healthy
    assert one(type="http", url=url, validate_certs=False).healthy
    assert one(type="http", url=url, server_name="api.test").problems == [f"{url}: certificate is refused: self-signed certificate"]
    assert "Hostname mismatch" in one(type="http", url=url, server_name="wrong.test", ca_cert=trust).problems[0]
    assert "IP address mismatch" in one(type="http", url=url, ca_cert=trust).problems[0]
    assert one(type="http", url=url, ca_cert="/no/such").problems == ["cannot read /no/such: No such file or directory"]
    assert one(type="http", url=url, ca_cert=str(folder / "api.test.key")).problems[0].startswith("cannot read ")


def test_tls_counts_the_days_that_are_left(secure: int, folder: Path) -> None:
    probe = {"type": "tls", "host": "127.0.0.1", "port": secure, "server_name": "api.test", "ca_cert": str(folder / "api.test.crt")}
    result = one(**probe, min_days=14)
    assert result.healthy and 19.9 < result.measured["days_left"] <= 20
    assert one(**probe, min_days=21).problems[0].startswith("certificate ends in 20.0 days (")


def test_tls_expired(expired: int, folder: Path) -> None:
    probe = {"type": "tls", "host": "127.0.0.1", "port": expired, "server_name": "old.test", "ca_cert": str(folder / "old.test.crt")}
    assert one(**probe).problems == [f"127.0.0.1:{expired}: certificate is refused: certificate has expired"]
    assert one(**probe, validate_certs=False).problems[0].startswith("certificate ends in -1.0 days (")


def test_tls_of_a_plain_server(plain: int) -> None:
    assert "SSLError" in one(type="tls", host="127.0.0.1", port=plain).problems[0] or one(type="tls", host="127.0.0.1", port=plain).problems


def test_tcp(plain: int) -> None:
    assert one(type="tcp", host="127.0.0.1", port=plain).healthy
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert one(type="tcp", host="127.0.0.1", port=port).problems == [f"127.0.0.1:{port}: Connection refused"]
