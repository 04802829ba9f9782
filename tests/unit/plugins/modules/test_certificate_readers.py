# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is behind is asked of the daemon, each deed is done once, and what does not come is told."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils._certificate_readers import ReaderError, behind, on_disk, served, take_up
from ansible_collections.arxos.platform.plugins.modules import certificate_readers


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two certificates, their keys beside them."""
    folder = tmp_path_factory.mktemp("tls")
    made = [folder / "one.crt", folder / "two.crt"]
    for path in made:
        words = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            f"/CN={path.stem}",
        ]
        subprocess.run([*words, "-keyout", path.with_suffix(".key"), "-out", path], check=True, capture_output=True)
    return made


class Server:
    """A daemon that shows the certificate that it read last, with the first words of PostgreSQL or without."""

    def __init__(self, certificate: Path, postgres: bool) -> None:
        self.certificate, self.postgres = certificate, postgres
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                connection, _address = self.socket.accept()
            except OSError:
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.certificate.with_suffix(".key"))
            try:
                if self.postgres:
                    assert len(connection.recv(8)) == 8
                    connection.sendall(b"S")
                with context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)
            except OSError:
                pass


@pytest.fixture(params=[False, True], ids=["tls", "postgres"])
def server(request: pytest.FixtureRequest, files: list[Path]) -> Iterator[Server]:
    found = Server(files[0], request.param)
    yield found
    found.socket.close()


def reader(server: Server, certificate: Path, **more: Any) -> dict[str, Any]:
    start = {"starttls": "postgres"} if server.postgres else {}
    return {"name": "it", "host": "127.0.0.1", "port": server.port, "certificate": str(certificate), **start, **more}


def test_one_that_serves_what_is_on_disk_is_left_alone(server: Server, files: list[Path]) -> None:
    given = reader(server, files[0])
    assert served(given) == on_disk(str(files[0]))
    assert take_up([given], pytest.fail, 5) == []


def test_one_that_serves_another_is_told_once_and_waited_for(server: Server, files: list[Path]) -> None:
    told = []

    def act(each: Any) -> None:
        told.append(each["name"])
        threading.Timer(0.3, lambda: setattr(server, "certificate", files[1])).start()

    given = [reader(server, files[1], unit="a.service"), reader(server, files[1], name="other", unit="a.service")]
    assert take_up(given, act, 10) == ["it", "other"]
    assert told == ["it"]
    assert behind(given) == []


def test_one_that_does_not_take_it_up_is_told(server: Server, files: list[Path]) -> None:
    with pytest.raises(ReaderError, match=r"after 0\.1 s .* it \(which serves another\)"):
        take_up([reader(server, files[1])], lambda _reader: None, 0.1)


def test_one_that_is_not_there_is_told(files: list[Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gone = {"name": "gone", "host": "127.0.0.1", "port": port, "certificate": str(files[0])}
    with pytest.raises(ReaderError, match="gone .*refused"):
        take_up([gone], lambda _reader: None, 0)


def test_a_file_that_is_none_is_told() -> None:
    with pytest.raises(ReaderError, match="/nowhere"):
        behind([{"name": "it", "certificate": "/nowhere", "host": "127.0.0.1", "port": 1}])


def module(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        certificate_readers.main()
    return json.loads(capsys.readouterr().out)


def test_the_module_runs_the_command_and_refuses_what_it_refuses(
    capsys: pytest.CaptureFixture[str], server: Server, files: list[Path]
) -> None:
    good = module(capsys, readers=[reader(server, files[0])])
    assert good["changed"] is False and good["behind"] == []
    looked = module(capsys, readers=[reader(server, files[1], command=["false"])], _ansible_check_mode=True)
    assert looked["changed"] is True and looked["behind"] == ["it"]
    refused = module(capsys, readers=[reader(server, files[1], command=["echo", "ERR no such file"])])
    assert refused["failed"] and "ERR no such file" in refused["msg"]
    late = module(capsys, readers=[reader(server, files[1], command=["true"], environment={"SECRET": "hunter2hunter2"})], timeout=0)
    assert late["failed"] and "hunter2" not in json.dumps(late)


def test_check_mode_of_a_bare_host_expects_a_daemon_to_start_with_the_certificate_that_is_yet_to_be_made(
    capsys: pytest.CaptureFixture[str], server: Server, files: list[Path]
) -> None:
    bare = reader(server, files[0].with_name("not_yet.crt"))
    looked = module(capsys, readers=[bare, reader(server, files[1], name="other")], _ansible_check_mode=True)
    assert looked["changed"] is True and looked["behind"] == ["other"]
    assert module(capsys, readers=[bare], timeout=0)["failed"], "a run has made it"
