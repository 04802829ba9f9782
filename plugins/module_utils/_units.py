# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which systemd units do not run yet or do not start at boot, by what systemctl shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# The first asks all that systemd has loaded: a service of a timer, or what another role left when it was killed, is stale too.
QUERY = "systemctl show '*' --property=NeedDaemonReload | sort -u; systemctl show --property=UnitFileState,ActiveState --"
RUNNING = ("active", "reloading")


@dataclass
class State:
    """Units that want something done, in the order in which they were asked for; and whether systemd has to read its files again first."""

    wanting: list[str] = field(default_factory=list)
    reload: bool = False


def judge(names: Sequence[str], answer: str) -> State:
    """Reads the answer to C(QUERY): whether any unit is stale, then a block a unit in the order of C(names), with an empty line between.
    A unit without a block wants something done."""
    lines = [line.strip() for line in answer.splitlines()]
    state = State(reload="NeedDaemonReload=yes" in lines)
    shown = "\n".join(line for line in lines if not line.startswith("NeedDaemonReload=")).strip()
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    for index, name in enumerate(names):
        block = blocks[index] if index < len(blocks) else {}
        if block.get("UnitFileState") != "enabled" or block.get("ActiveState") not in RUNNING:
            state.wanting.append(name)
    return state
