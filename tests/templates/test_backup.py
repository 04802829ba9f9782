# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When the timers of the backup stand back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _guard

Render = Callable[..., str]


@pytest.mark.parametrize(("name", "waits"), [("backup", True), ("backup-verify", True), ("wal-archive", False)])
def test_a_host_that_is_held_at_a_restore_point_asks_no_patroni(render: Render, name: str, waits: bool) -> None:
    unit = render("backup", "arxos-backup.service.j2", name=name, description="x")
    assert (f"ConditionPathExists=!{_guard.UNIT_FILE}\n" in unit.partition("[Service]")[0]) is waits
