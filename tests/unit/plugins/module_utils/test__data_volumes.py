# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which devices may be taken for a volume, and where a change of key goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._data_volumes import (
    BEGINNING,
    Seen,
    faults,
    flatten,
    is_blank,
    key_step,
    parse_export,
    state,
)

VOLUME = {"name": "pgdata", "device": "/dev/vdb", "mount": "/var/lib/postgresql"}
KEY = "/var/lib/arxos/data_encryption/pgdata.key"
BLANK = Seen(blank=True)
OURS = Seen(
    signature={"TYPE": "crypto_LUKS", "VERSION": "2", "LABEL": "arxos-pgdata"},
    keyslots=1,
    key_opens=True,
    children=["pgdata"],
    files=frozenset({""}),
    source="/dev/mapper/pgdata",
    occupied=True,
)


@pytest.mark.parametrize(
    "seen", [BLANK, OURS, replace(BLANK, files=frozenset({""})), replace(OURS, source="", occupied=False, children=[])]
)
def test_a_blank_device_and_the_volume_itself_are_taken(seen: Seen) -> None:
    assert faults(VOLUME, seen, KEY) == []


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (Seen(block=False), "no block device"),
        (Seen(), "of a kind that blkid does not know"),
        (replace(BLANK, ambivalent=True), "of a kind that blkid does not know"),
        (Seen(signature={"TYPE": "ext4", "LABEL": "home"}), "holds ext4 with label home"),
        (Seen(signature={"PTTYPE": "gpt"}), "holds gpt"),
        (Seen(signature={"TYPE": "crypto_LUKS", "LABEL": "arxos-other"}, keyslots=1), "holds crypto_LUKS with label arxos-other"),
        (Seen(signature={"TYPE": "linux_raid_member"}), "holds linux_raid_member"),
        (replace(BLANK, children=["vdb1", "vdb2"]), "in use by vdb1, vdb2"),
        (replace(OURS, children=["elsewhere"]), "in use by elsewhere"),
        (replace(BLANK, mounted_at=["/srv"]), "itself is mounted at /srv"),
        (replace(OURS, key_opens=False), "pgdata.key does not open /dev/vdb"),
        (replace(OURS, key_opens=False, files=frozenset()), "pgdata.key is not there to open /dev/vdb"),
        (replace(OURS, source="/dev/vdc"), "/dev/vdc is mounted at /var/lib/postgresql"),
        (replace(OURS, source=""), "holds files, which the volume would hide"),
        (replace(BLANK, occupied=True), "holds files, which the volume would hide"),
    ],
)
def test_anything_else_is_refused_and_the_message_says_what_it_is(seen: Seen, says: str) -> None:
    found = faults(VOLUME, seen, KEY)
    assert len(found) == 1 and says in found[0] and found[0].startswith("pgdata: ")


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(VOLUME, Seen(signature={"PTTYPE": "dos"}, children=["vdb1"], occupied=True), KEY)) == 3


def test_a_header_without_a_key_is_unfinished_and_holds_nothing() -> None:
    assert state("pgdata", replace(OURS, keyslots=0)) == "unfinished"
    assert faults(VOLUME, replace(OURS, keyslots=0, key_opens=False, children=[], source="", occupied=False), KEY) == []
    assert [state("pgdata", seen) for seen in (BLANK, OURS, Seen())] == ["new", "ours", "foreign"]


@pytest.mark.parametrize(
    ("files", "days", "rotate", "step"),
    [
        ([], 0, "all", "make"),
        ([""], 0, "none", "keep"),
        ([""], 0, "all", "begin"),
        ([""], 89, "due", "keep"),
        ([""], 90, "due", "begin"),
        (["", ".next"], 0, "none", "introduce"),
        (["", ".next", ".old"], 0, "all", "introduce"),
        (["", ".old"], 0, "all", "retire"),
        (["", ".old"], 400, "due", "retire"),
    ],
)
def test_a_change_of_key_goes_on_where_it_ended(files: list[str], days: int, rotate: str, step: str) -> None:
    assert key_step(Seen(files=frozenset(files), key_days=days), rotate, 90) == step


def test_what_the_tools_say_is_read() -> None:
    assert parse_export("DEVNAME=/dev/vdb\nUUID=1-2\nLABEL=a=b\nTYPE=ext4\n") == {
        "DEVNAME": "/dev/vdb",
        "UUID": "1-2",
        "LABEL": "a=b",
        "TYPE": "ext4",
    }
    told: dict[str, Any] = json.loads(
        '{"blockdevices": [{"name": "vdb", "mountpoints": [null], "children": [{"name": "pgdata", "mountpoints": ["/srv"]}]}]}'
    )
    assert flatten(told["blockdevices"]) == (["pgdata"], [])


def test_blank_is_zeros_in_the_beginning(tmp_path: Path) -> None:
    device = tmp_path / "disk"
    device.write_bytes(b"\0" * (BEGINNING + 10))
    assert is_blank(str(device))
    device.write_bytes(b"\0" * (BEGINNING - 1) + b"x")
    assert not is_blank(str(device))
