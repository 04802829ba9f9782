# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Encrypted data volumes of a host: whether a device may be taken for one, and where the change of its key stands. Nothing is written here.

A volume's key is a file. Beside it lie, while it is changed, C(.next), which is to replace it, and C(.old), which it has replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LABEL = "arxos-"
BEGINNING = 1 << 20  # bytes of a device that have to be zero where nothing is known about it


@dataclass(frozen=True)
class Seen:
    """What a host has of one volume. `signature` is what C(blkid -p -o export) says, None where it knows nothing of the device."""

    block: bool = True
    signature: Mapping[str, str] | None = None
    ambivalent: bool = False
    blank: bool = False
    keyslots: int = 0
    children: Sequence[str] = ()
    mounted_at: Sequence[str] = ()
    key_opens: bool = False
    files: frozenset[str] = field(default_factory=frozenset)  # of "", ".next" and ".old"
    key_days: int = 0
    source: str = ""  # of what is mounted at the place of the volume
    occupied: bool = False  # the place is a folder with something in it


def state(name: str, seen: Seen) -> str:
    """C(new), C(unfinished) (a header of ours that no key opens, since it has none), C(ours) or C(foreign)."""
    if seen.signature is None:
        return "new" if seen.blank and not seen.ambivalent else "foreign"
    if seen.signature.get("TYPE") != "crypto_LUKS" or seen.signature.get("LABEL") != LABEL + name:
        return "foreign"
    return "ours" if seen.keyslots else "unfinished"


def faults(volume: Mapping[str, Any], seen: Seen, key: str) -> list[str]:
    """Why the device may not be taken for this volume, each with what to do about it."""
    name, device, place = volume["name"], volume["device"], volume["mount"]
    if not seen.block:
        return [f"{name}: {device} is no block device of this host. Correct the inventory, or attach the disk."]
    found = []
    is_now = state(name, seen)
    if is_now == "foreign":
        kind = (seen.signature or {}).get("TYPE") or (seen.signature or {}).get("PTTYPE")
        label = (seen.signature or {}).get("LABEL")
        what = f"{kind}{f' with label {label}' if label else ''}" if kind else "data of a kind that blkid does not know"
        found.append(
            f"{name}: {device} holds {what}, which is not this volume. Name another device, or wipe it yourself: blkdiscard -z {device}"
        )
    strangers = [child for child in seen.children if child != name]
    if strangers:
        found.append(f"{name}: {device} is in use by {', '.join(strangers)}. Name another device.")
    if seen.mounted_at:
        found.append(f"{name}: {device} itself is mounted at {', '.join(seen.mounted_at)}. Name another device.")
    if is_now == "ours" and not seen.key_opens:
        what = "does not open" if "" in seen.files else "is not there to open"
        found.append(
            f"{name}: {key} {what} {device}. Put the key of this volume back, or open it by the recovery passphrase: docs/encryption.md."
        )
    if seen.source and seen.source != f"/dev/mapper/{name}":
        found.append(f"{name}: {seen.source} is mounted at {place}. Name another place.")
    if seen.occupied and not seen.source:
        found.append(f"{name}: {place} holds files, which the volume would hide. Move them away first: docs/encryption.md.")
    return found


def key_step(seen: Seen, rotate: str, max_age_days: int) -> str:
    """What is due for the key: C(make), C(begin), C(introduce), C(retire) or C(keep). One that was begun is finished before another begins."""
    if "" not in seen.files:
        return "make"
    if ".next" in seen.files:
        return "introduce"
    if ".old" in seen.files:
        return "retire"
    due = rotate == "all" or (rotate == "due" and seen.key_days >= max_age_days)
    return "begin" if due else "keep"


def parse_export(text: str) -> dict[str, str]:
    """C(blkid -o export): a name and a value a line."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def flatten(devices: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Of C(lsblk -J) about one device: names of what stands directly on it, and where it is mounted itself."""
    children = [child["name"] for device in devices for child in device.get("children", [])]
    places = [place for device in devices for place in device.get("mountpoints", []) if place]
    return children, places


def is_blank(path: str) -> bool:
    """Whether the beginning of a device is zeros only. Raises OSError."""
    with Path(path).open("rb") as stream:
        return not stream.read(BEGINNING).strip(b"\0")
