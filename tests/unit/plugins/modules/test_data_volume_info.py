# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module asks a host, by tools that say what is wanted; what it makes of that is tested with _data_volumes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.modules import data_volume_info

BLKID = "TYPE=crypto_LUKS\nVERSION=2\nLABEL=arxos-pgdata\n"
TOOLS = {
    "blkid": f"printf '{BLKID}'",
    "cryptsetup": """case $1 in luksDump) echo '{"keyslots": {"0": {}, "31": {}}}';; *) exit 0;; esac""",
    "lsblk": """echo '{"blockdevices": [{"name": "vdb", "mountpoints": [null], "children": [{"name": "pgdata", "mountpoints": ["/x"]}]}]}'""",
    "findmnt": "echo /dev/mapper/pgdata",
}


class Host:
    """Tools of a host, and the module asked about one volume of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        for name, text in TOOLS.items():
            self.tool(name, text)
        (folder / "keys").mkdir()
        (folder / "keys/pgdata.key").write_bytes(b"x" * 64)

    def tool(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def ask(self, **params: Any) -> dict[str, Any]:
        volume = {"name": "pgdata", "device": str(self.folder / "vdb"), "mount": str(self.folder)}
        with patch_module_args({"volumes": [volume], "keys": str(self.folder / "keys"), **params}), pytest.raises(SystemExit):
            data_volume_info.main()
        return json.loads(self.capsys.readouterr().out)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(data_volume_info.stat, "S_ISBLK", lambda _mode: True)
    (tmp_path / "vdb").write_bytes(b"\0" * 4096)
    return Host(tmp_path, capsys)


def test_a_volume_that_is_in_its_place(host: Host) -> None:
    volume = host.ask()["volumes"]["pgdata"]
    assert volume == {"state": "ours", "step": "keep", "mounted": True, "keyslots": 2, "key_days": 0}
    assert host.ask(rotate="all")["volumes"]["pgdata"]["step"] == "begin"


def test_a_blank_device_is_new(host: Host) -> None:
    host.tool("blkid", "exit 2")
    host.tool("lsblk", """echo '{"blockdevices": [{"name": "vdb", "mountpoints": [null]}]}'""")
    host.tool("findmnt", "exit 1")
    (host.folder / "keys/pgdata.key").unlink()
    answer = host.ask()
    assert "holds files" in answer["msg"], "the place of the volume is this folder, which has files"
    host.tool("findmnt", "echo /dev/mapper/pgdata")
    assert host.ask()["volumes"]["pgdata"]["state"] == "new"
    (host.folder / "vdb").write_bytes(b"\0\0something")
    assert "of a kind that blkid does not know" in host.ask()["msg"]


def test_a_key_that_does_not_open_is_refused(host: Host) -> None:
    host.tool("cryptsetup", TOOLS["cryptsetup"].replace("exit 0", "exit 2"))
    assert "pgdata.key does not open" in host.ask()["msg"]


def test_a_tool_that_fails_is_told_and_not_taken_for_an_answer(host: Host) -> None:
    host.tool("lsblk", "echo broken >&2; exit 32")
    assert "lsblk -J -o ended with 32: broken" in host.ask()["msg"]


def test_what_is_no_device_is_refused(host: Host) -> None:
    (host.folder / "vdb").unlink()
    assert "is no block device of this host" in host.ask()["msg"]
