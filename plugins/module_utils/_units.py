# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which systemd units do not run yet or do not start at boot, by what systemctl shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

RUNNING = ("active", "reloading")


@dataclass
class State:
    """Units that want something done, in the order in which they were asked for; and whether systemd has to read its files again first."""

    wanting: list[str] = field(default_factory=list)
    reload: bool = False


def query(names: Sequence[str]) -> str:
    """The command for the host's shell. All that systemd has loaded is asked whether its files are stale, since a service of a timer may be, or
    what a run that was killed left. A drop-in in a folder that is new makes no unit stale for systemd, so those on disk are listed too."""
    folders = [
        f"/etc/systemd/system/{shlex.quote(each)}.d" for name in names for each in dict.fromkeys((name, re.sub("@[^.]+", "@", name)))
    ]
    listed = " ".join(f"{folder}/*.conf" for folder in folders)
    shown = f"systemctl show --property=UnitFileState,ActiveState,DropInPaths -- {shlex.join(names)}"
    return f"systemctl show '*' --property=NeedDaemonReload | sort -u; ls -1 {listed} 2>/dev/null; echo; {shown}"


def judge(names: Sequence[str], answer: str) -> State:
    """Reads the answer to C(query): whether any unit is stale, drop-ins on disk, then a block a unit in the order of C(names), with an empty line
    between. A unit without a block wants something done."""
    lines = [line.strip() for line in answer.splitlines()]
    told = [line for line in lines if line.startswith(("NeedDaemonReload=", "/"))]
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in "\n".join(line for line in lines if line not in told).strip().split("\n\n")
    ]
    read = {path for block in blocks for path in block.get("DropInPaths", "").split()}
    state = State(reload=any(line not in read and line != "NeedDaemonReload=no" for line in told))
    for index, name in enumerate(names):
        block = blocks[index] if index < len(blocks) else {}
        if block.get("UnitFileState") != "enabled" or block.get("ActiveState") not in RUNNING:
            state.wanting.append(name)
    return state
