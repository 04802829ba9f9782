# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof that a host can be reached, as the controller makes it."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parents[3] / "roles/firewall/files/new_connection.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("new_connection", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_listener_is_reached(script: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert script.main(["127.0.0.1", str(server.getsockname()[1]), "2"]) == 0


def test_a_refusal_has_come_through(script: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert script.main(["127.0.0.1", str(port), "2"]) == 0


def test_silence_is_none(script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def silent(_address: object, timeout: float) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(script.socket, "create_connection", silent)
    assert script.main(["192.0.2.1", "22", "0.3"]) == 1
    assert "no new connection to 192.0.2.1:22 within 0.3 s: timed out" in capsys.readouterr().err
