# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What systemctl of Debian 12 shows of units, and which of them want something done."""

from __future__ import annotations

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _units


def block(active: str = "active", enabled: str = "enabled") -> str:
    return f"ActiveState={active}\nUnitFileState={enabled}\n"


FRESH = "\nNeedDaemonReload=no\n"
STALE = "\nNeedDaemonReload=no\nNeedDaemonReload=yes\n"


@pytest.mark.parametrize(
    ("first", "blocks", "wanting", "reload"),
    [
        (FRESH, [block(), block()], [], False),
        (FRESH, [block("reloading"), block()], [], False),
        (FRESH, [block("inactive"), block()], ["a.service"], False),
        (FRESH, [block(), block("failed")], ["b.timer"], False),
        (FRESH, [block("activating"), block(enabled="disabled")], ["a.service", "b.timer"], False),
        # systemd_service knows what static and masked are to mean.
        (FRESH, [block(enabled="static"), block(enabled="")], ["a.service", "b.timer"], False),
        (STALE, [block(), block()], [], True),
        (STALE, [block("inactive"), block()], ["a.service"], True),
        (FRESH, [block()], ["b.timer"], False),
        ("", [], ["a.service", "b.timer"], False),
    ],
)
def test_judge(first: str, blocks: list[str], wanting: list[str], reload: bool) -> None:
    for end in ("\n", "\r\n"):
        assert _units.judge(["a.service", "b.timer"], (first + "\n".join(blocks)).replace("\n", end)) == _units.State(wanting, reload)
