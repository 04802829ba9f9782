# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _audit_archive, _audit_chain
from ansible_collections.arxos.platform.plugins.module_utils._audit_chain import opened

NOW = 1795600000.0


class Bucket:
    """A bucket that keeps what it is given, and breaks where it is told to."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.at: dict[str, float] = {}
        self.versions: dict[str, list[bytes]] = {}
        self.fails: set[str] = set()
        self.writes = 0

    def _may(self, what: str) -> None:
        if what in self.fails:
            raise _audit_archive.ArchiveError(f"{what} of bucket x: it is away")

    def listed(self, key: str = "") -> dict[str, float]:
        self._may("listed")
        return {name: at for name, at in self.at.items() if name.startswith(key)}

    def read(self, key: str) -> bytes:
        self._may("read")
        return self.bodies[key]

    def write(self, key: str, body: bytes) -> None:
        self._may("write")
        self.writes += 1
        self.versions.setdefault(key, []).append(body)
        self.bodies[key], self.at[key] = body, NOW
        self._may("after write")

    def replaced(self) -> dict[str, int]:
        self._may("replaced")
        return {key: len(bodies) for key, bodies in self.versions.items() if len(set(bodies)) > 1}


class Host:
    """A host that collects logs, and what is on it."""

    def __init__(self, folder: Path) -> None:
        self.spool, self.state, self.metrics = folder / "spool", folder / "state", folder / "metrics"
        for path in (self.spool, self.state, self.metrics):
            path.mkdir()
        settings = {name: str(getattr(self, name)) for name in ("spool", "state", "metrics")}
        self.settings = folder / "settings.json"
        self.settings.write_text(json.dumps({**settings, "prefix": "audit/m1", "retention_days": 2555}))
        self.bucket = Bucket()
        self.figures = self.metrics / "figures"

    def log(self, name: str, *lines: str, age: float = 600) -> None:
        path = self.spool / f"{name}.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        os.utime(path, (NOW - age, NOW - age))

    def run(self, job: str, *more: str) -> int:
        def store(_settings: Mapping[str, Any]) -> Bucket:
            return self.bucket

        return _audit_archive.main([job, str(self.settings), *more, "--figures", str(self.figures)], store, lambda: NOW)

    def published(self, job: str) -> dict[str, float]:
        """The figures, put where node-exporter reads them as the unit does."""
        target = self.metrics / f"arxos_audit_{job}.prom"
        self.figures.rename(target)
        return {line.split()[0]: float(line.split()[1]) for line in target.read_text().splitlines() if not line.startswith("#")}

    def lines(self) -> list[str]:
        return [json.loads(line)["l"] for key in sorted(self.bucket.bodies) for line in opened(self.bucket.bodies[key])[1]]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_has_settled_is_archived_in_order_and_the_rest_left(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.log("20261125T2152", "two", "three")
    host.log("20261125T2151", "one", "")
    host.log("20261125T2153", "still written", age=10)
    assert host.run("archive") == 0
    assert host.lines() == ["one", "two", "three"]
    assert [path.name for path in host.spool.iterdir()] == ["20261125T2153.jsonl"]
    figures = host.published("archive")
    assert figures["arxos_audit_archive_objects"] == 1 and figures["arxos_audit_archive_lines"] == 3
    assert figures["arxos_audit_archive_added_lines"] == 3 and figures["arxos_audit_archive_success"] == 1
    assert figures["arxos_audit_archive_waiting_bytes"] == len("still written\n")
    assert figures["arxos_audit_archive_last_success_timestamp_seconds"] == NOW
    assert "archived audit/m1/0000000001.jsonl.gz sha256 " in capsys.readouterr().out, "the journal is a head in other hands"


def test_nothing_new_makes_no_object(host: Host) -> None:
    host.log("1", "one")
    assert host.run("archive") == host.run("archive") == 0
    assert host.bucket.writes == 1


def test_a_chain_goes_on_and_is_verified(host: Host) -> None:
    for number in range(3):
        host.log("1", f"event {number}")
        assert host.run("archive") == 0
    assert host.run("verify") == 0
    figures = host.published("verify")
    assert (figures["arxos_audit_verify_objects"], figures["arxos_audit_verify_lines"], figures["arxos_audit_verify_faults"]) == (3, 3, 0)


@pytest.mark.parametrize("fault", ["listed", "write", "read", "after write"])
def test_while_the_bucket_is_away_nothing_is_lost_and_nothing_is_there_twice(host: Host, fault: str) -> None:
    host.log("1", "one")
    assert host.run("archive") == 0
    host.published("archive")
    host.log("2", "two")
    host.bucket.fails = {fault}
    assert host.run("archive") == 1
    figures = host.published("archive")
    assert figures["arxos_audit_archive_success"] == 0
    assert figures["arxos_audit_archive_last_success_timestamp_seconds"] == NOW, "that of the run before"
    assert figures["arxos_audit_archive_waiting_bytes"] == 4
    host.log("3", "three")
    host.bucket.fails = set()
    assert host.run("archive") == 0
    assert host.lines() == ["one", "two", "three"]
    assert host.run("verify") == 0
    assert list(host.spool.iterdir()) == []


def test_a_run_that_was_killed_after_it_moved_the_head_is_finished(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.log("1", "one")

    def killed(_files: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(_audit_archive.Archive, "_remove", staticmethod(killed))
        host.run("archive")
    assert (host.spool / "1.jsonl").exists()
    assert host.run("archive") == 0
    assert host.lines() == ["one"] and host.bucket.writes == 1 and list(host.spool.iterdir()) == []


def test_what_somebody_else_put_in_the_place_of_the_next_object_is_not_taken_for_ours(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.log("1", "one")
    assert host.run("archive") == 0
    host.bucket.write("audit/m1/0000000002.jsonl.gz", b"forged")
    host.log("2", "two")
    assert host.run("archive") == 1
    assert "is stored already, and is not what this host would store" in capsys.readouterr().err
    assert (host.spool / "2.jsonl").exists()


def test_a_chain_that_was_made_anew_with_a_head_that_fits_is_found_by_what_the_bucket_keeps(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.log("1", "one", "two")
    assert host.run("archive") == 0 and host.run("verify") == 0
    made = _audit_chain.segment(_audit_chain.Head(), ["one"], "audit/m1", NOW)
    host.bucket.write(made.key, made.body)
    (host.state / "head.json").write_text(_audit_chain.head_to_json(made.head))
    assert host.run("verify") == 1
    said = capsys.readouterr().err
    assert "audit/m1/0000000001.jsonl.gz: was stored anew with other content, and what it replaced is kept in 2 versions" in said
    assert host.published("verify")["arxos_audit_verify_faults"] == 1


def test_tampering_ends_with_1_names_the_line_and_is_in_the_figures(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.log("1", "one")
    assert host.run("archive") == 0
    host.log("1", "two")
    assert host.run("archive") == 0
    del host.bucket.bodies["audit/m1/0000000002.jsonl.gz"], host.bucket.at["audit/m1/0000000002.jsonl.gz"]
    assert host.run("verify") == 1
    assert "audit/m1/0000000002.jsonl.gz: is missing" in capsys.readouterr().err
    figures = host.published("verify")
    assert figures["arxos_audit_verify_faults"] == 1 and figures["arxos_audit_verify_success"] == 0


def test_a_host_without_its_head_takes_it_from_the_archive_and_says_so(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.log("1", "one")
    assert host.run("archive") == 0
    (host.state / "head.json").unlink()
    assert host.run("verify") == 1
    assert "keeps no head" in capsys.readouterr().err
    host.log("2", "two")
    assert host.run("archive") == 0
    assert "whether objects after that were removed cannot be told" in capsys.readouterr().out
    assert host.run("verify") == 0 and host.lines() == ["one", "two"]


def test_the_newest_days_alone_are_read_when_asked(host: Host) -> None:
    for number in range(5):
        host.log("1", f"event {number}")
        assert host.run("archive") == 0
    for key in sorted(host.bucket.at)[:3]:
        host.bucket.at[key] = NOW - 10 * 86400
    assert host.run("verify", "--days", "5") == 0
    assert host.published("verify")["arxos_audit_verify_objects"] == 3, "two, and the one that the first of them names"


def test_an_object_has_a_size_at_most(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_audit_archive, "SEGMENT_BYTES", 10)
    for number in range(4):
        host.log(str(number), "12345678")
    assert host.run("archive") == 0
    assert len(host.bucket.bodies) == 4 and host.run("verify") == 0


def test_settings_that_are_not_there_are_told(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.settings.unlink()
    assert host.run("archive") == 1
    assert "No such file" in capsys.readouterr().err


def test_the_head_is_printed(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.log("1", "one")
    assert host.run("archive") == 0
    capsys.readouterr()
    assert host.run("head") == 0
    assert json.loads(capsys.readouterr().out)["last"] == 1


class Empty(http.server.BaseHTTPRequestHandler):
    """A bucket with nothing in it."""

    def do_GET(self) -> None:
        body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_given: Any) -> None:
        pass


def test_a_store_that_starts_as_late_as_a_host_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the hourly job that was missed runs at once, on a host that may be up a minute before the store."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Empty, bind_and_activate=False)
    server.server_bind()  # its port is taken, and refuses
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        before = sum(waited)
        waited.append(seconds)
        if before < 60 <= sum(waited):
            server.server_activate()
            threading.Thread(target=server.serve_forever, daemon=True).start()

    monkeypatch.setattr("botocore.endpoint.time.sleep", sleep)
    settings = {"endpoint": f"http://127.0.0.1:{server.server_port}", "region": "r", "access_key": "a", "secret_key": "s", "ca_file": ""}
    bucket = _audit_archive.Bucket({**settings, "bucket": "b", "prefix": "audit"})
    try:
        assert bucket.listed() == {}
        assert sum(waited) >= 60
    finally:
        if sum(waited) >= 60:
            server.shutdown()
        server.server_close()
