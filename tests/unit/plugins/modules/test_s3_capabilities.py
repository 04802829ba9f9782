# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module against a server that answers as S3 servers do. What a real one answers is in molecule/storage."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible.module_utils.testing import patch_module_args

pytest.importorskip("boto3")
from ansible_collections.arxos.platform.plugins.modules import s3_capabilities

SECRET = "s3cret-s3cret"
ANSWERS = {
    "versioning": (200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"),
    "encryption": (404, "ServerSideEncryptionConfigurationNotFoundError"),
    "lifecycle": (404, "NoSuchLifecycleConfiguration"),
    "policy": (404, "NoSuchBucketPolicy"),
    "publicAccessBlock": (501, "NotImplemented"),
    "object-lock": (404, "ObjectLockConfigurationNotFoundError"),
}


class Server(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200 if self.path.startswith("/files") else 404)
        self.end_headers()

    def do_GET(self) -> None:
        asked = next((name for name in ANSWERS if name in parse_qs(urlsplit(self.path).query, keep_blank_values=True)), "")
        status, text = ANSWERS.get(asked, (403, "AccessDenied"))
        body = (text if text.startswith("<") else f"<Error><Code>{text}</Code></Error>").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(capsys: pytest.CaptureFixture[str], **given: Any) -> dict[str, Any]:
    with patch_module_args({"access_key": "a", "secret_key": SECRET, **given}), pytest.raises(SystemExit):
        s3_capabilities.main()
    text = capsys.readouterr().out
    assert SECRET not in text
    return json.loads(text)


def test_it_tells_what_the_endpoint_lacks_and_what_is_in_force(capsys: pytest.CaptureFixture[str], endpoint: str) -> None:
    answer = run(
        capsys, endpoint_url=endpoint, buckets=[{"name": "files", "required": ["versioning"]}, {"name": "gone"}], _ansible_check_mode=True
    )
    assert (answer["changed"], answer["known"], answer["lacking"]) == (False, True, ["public_access_block"])
    assert list(answer["buckets"]) == ["files"]
    assert (answer["buckets"]["files"]["versioning"], answer["buckets"]["files"]["encryption"]) == (True, "")


def test_nothing_is_known_before_there_is_a_bucket(capsys: pytest.CaptureFixture[str], endpoint: str) -> None:
    answer = run(capsys, endpoint_url=endpoint, buckets=[{"name": "gone", "required": ["public_access_block"]}])
    assert (answer["known"], answer["lacking"], answer["buckets"]) == (False, [], {})


def test_what_is_required_and_lacking_is_refused(capsys: pytest.CaptureFixture[str], endpoint: str) -> None:
    answer = run(capsys, endpoint_url=endpoint, buckets=[{"name": "files", "required": ["public_access_block", "encryption"]}])
    assert answer["failed"]
    assert answer["msg"].splitlines()[1:] == ["the endpoint has no public access block, which bucket files requires"]


def test_what_is_required_must_be_in_force(capsys: pytest.CaptureFixture[str], endpoint: str) -> None:
    buckets = [{"name": "files", "required": ["public_access_block", "encryption", "versioning"]}, {"name": "gone"}]
    answer = run(capsys, endpoint_url=endpoint, buckets=buckets, in_force=True)
    assert answer["msg"].splitlines()[1:] == [
        "the endpoint has no public access block, which bucket files requires",
        "bucket gone is missing",
        "encryption is not in force on bucket files",
    ]


def test_an_endpoint_that_is_away_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, endpoint_url="http://127.0.0.1:1", buckets=[{"name": "files"}])
    assert answer["failed"] and "http://127.0.0.1:1" in answer["msg"]
    assert run(capsys, endpoint_url="nonsense", buckets=[{"name": "files"}])["failed"]
    assert "required" in run(capsys, endpoint_url="x", buckets=[{"name": "files", "required": ["colour"]}])["msg"]
