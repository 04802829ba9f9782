# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module as Ansible runs it, against a REST API over TLS made here: what it answers, what it refuses, and that no secret is in either."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.modules import patroni_cluster

SECRET = "s3cret-s3cret"
AUTHORIZED = "Basic " + base64.b64encode(f"patroni:{SECRET}".encode()).decode()


class Patroni(BaseHTTPRequestHandler):
    """One member that leads alone."""

    configuration: dict[str, Any] = {}
    looks = 0

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, body: Any) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        url = f"https://127.0.0.1:{self.server.server_address[1]}/patroni"
        type(self).looks += 1
        answers = {
            "/cluster": {"members": [{"name": "db1", "role": "leader", "state": "running", "api_url": url, "timeline": 1}]},
            "/config": self.configuration,
            "/patroni": {"state": "running", "dcs_last_seen": self.looks},
        }
        self.answer(200, answers[self.path])

    def do_PATCH(self) -> None:
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != AUTHORIZED:
            return self.answer(401, "no auth")
        self.configuration.update(change)
        return self.answer(200, self.configuration)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name, address in (("right", "127.0.0.1"), ("other", "192.0.2.1")):
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2"]
        words += ["-addext", f"subjectAltName=IP:{address}", "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
        subprocess.run(words, check=True, capture_output=True)
    return folder


def serve(certificates: Path, name: str) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Patroni)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


@pytest.fixture
def given(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setattr(Patroni, "configuration", {"ttl": 20, "loop_wait": 5})
    server = serve(certificates, "right")
    yield {
        "endpoints": [f"https://127.0.0.1:{server.server_address[1]}"],
        "ca_cert": str(certificates / "right.crt"),
        "username": "patroni",
        "password": SECRET,
        "timeout": 5,
    }
    server.shutdown()


def run(capsys: pytest.CaptureFixture[str], **given: Any) -> dict[str, Any]:
    with patch_module_args(given), pytest.raises(SystemExit):
        patroni_cluster.main()
    text = capsys.readouterr().out
    assert SECRET not in text
    return json.loads(text)


def test_looking_needs_no_password(capsys: pytest.CaptureFixture[str], given: dict[str, Any]) -> None:
    answer = run(capsys, endpoints=given["endpoints"], ca_cert=given["ca_cert"])
    assert (answer["changed"], answer["steps"], answer["cluster"]["leader"]) == (False, [], "db1")
    assert answer["cluster"]["configuration"] == {"ttl": 20, "loop_wait": 5}


def test_configuration_check_mode_diff_and_second_run(capsys: pytest.CaptureFixture[str], given: dict[str, Any]) -> None:
    wanted = {"ttl": 30, "loop_wait": None}
    planned = run(capsys, **given, configuration=wanted, _ansible_check_mode=True, _ansible_diff=True)
    assert planned["changed"] and Patroni.configuration["ttl"] == 20
    answer = run(capsys, **given, configuration=wanted, _ansible_diff=True)
    assert answer["changed"] and Patroni.configuration["ttl"] == 30
    assert answer["steps"] == planned["steps"] == ["configuration: loop_wait, ttl"]
    assert planned["diff"]["after"]["configuration"] == {"ttl": 30}
    assert answer["diff"]["before"]["configuration"] == {"ttl": 20, "loop_wait": 5}
    again = run(capsys, **given, configuration={"ttl": 30}, _ansible_diff=True)
    assert again["changed"] is False and again["diff"]["before"] == again["diff"]["after"]


def test_faults_of_the_connection_are_messages(capsys: pytest.CaptureFixture[str], given: dict[str, Any], certificates: Path) -> None:
    wrong = run(capsys, **{**given, "password": "wrong"}, configuration={"ttl": 30})
    assert "refuses the password: give `username` and `password` of restapi.authentication" in wrong["msg"]
    stranger = run(capsys, **{**given, "ca_cert": str(certificates / "other.crt")})
    assert "shows a certificate that does not hold: self-signed certificate" in stranger["msg"]
    nobody = run(capsys, **{**given, "endpoints": ["https://127.0.0.1:1"]})
    assert "no member answers; is patroni.service running" in nobody["msg"] and "refused" in nobody["msg"]
    server = serve(certificates, "other")
    misnamed = {"endpoints": [f"https://127.0.0.1:{server.server_address[1]}"], "ca_cert": str(certificates / "other.crt")}
    assert "IP address mismatch" in run(capsys, **{**given, **misnamed})["msg"]
    server.shutdown()


@pytest.mark.parametrize(
    ("wrong", "faults"),
    [
        ({"ca_cert": "/nowhere/ca.crt"}, ["ca_cert /nowhere/ca.crt cannot be read: No such file"]),
        ({"endpoints": []}, ["endpoints is empty"]),
        ({"endpoints": ["http://a:8008", "nonsense"]}, ["endpoint http://a:8008 is not https", "endpoint nonsense is not https"]),
        ({"endpoints": ["https://a:port"]}, ["endpoint https://a:port is not https"]),
        ({"username": None, "password": None, "state": "paused"}, ["username and password are missing"]),
        ({"username": None, "password": None, "configuration": {}}, ["username and password are missing"]),
        ({"password": None}, ["username", "password"]),
        ({"state": "away"}, ["value of state must be one of"]),
        ({"candidate": "db2", "leader": "db1"}, ["leader is of no use with state present", "candidate is of no use"]),
        ({"state": "paused", "members": ["db1"], "only_pending": True}, ["members is of no use", "only_pending is of no use"]),
        ({"state": "reinitialized"}, ["members is empty"]),
        ({"state": "switched_over", "leader": "db1", "candidate": "db1"}, ["leader and candidate are both db1"]),
        ({"purge": True}, ["purge wants a configuration"]),
        ({"timeout": 0}, ["timeout is 0, wanted more than 0"]),
        ({"timeout": "nan"}, ["timeout is nan"]),
    ],
)
def test_wrong_arguments_are_named(
    capsys: pytest.CaptureFixture[str], given: dict[str, Any], wrong: dict[str, Any], faults: list[str]
) -> None:
    answer = run(capsys, **{key: value for key, value in {**given, **wrong}.items() if value is not None})
    assert answer["failed"] and "exception" not in answer
    for fault in faults:
        assert fault in answer["msg"]


def test_a_state_of_each_kind(capsys: pytest.CaptureFixture[str], given: dict[str, Any]) -> None:
    assert run(capsys, **given, state="resumed")["steps"] == []
    assert run(capsys, **given, state="paused", _ansible_check_mode=True)["steps"] == ["pause"]
    assert run(capsys, **given, state="switched_over", candidate="db1")["steps"] == []
    assert run(capsys, **given, state="restarted", _ansible_check_mode=True)["steps"] == ["restart db1"]
    assert run(capsys, **given, state="restarted", only_pending=True)["steps"] == []
    assert "db1 leads and cannot be cloned" in run(capsys, **given, state="reinitialized", members=["db1"])["msg"]
