# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Render = Callable[..., str]

POLICY: dict[str, Any] = {
    "name": "web",
    "paths": ["/var/log/web/*.log", "/var/log/web-audit/*.log"],
    "keep": 14,
    "owner": "web",
    "group": "adm",
    "mode": "0640",
}


def test_a_policy_says_what_is_kept_and_who_owns_the_new_log(render: Render) -> None:
    text = render("log_rotation", "policy.j2", policy=POLICY)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[3:6] == ["/var/log/web/*.log", "/var/log/web-audit/*.log", "{"]
    assert "daily" in lines and "rotate 14" in lines and "create 0640 web adm" in lines
    assert "maxsize" not in text and "postrotate" not in text


def test_size_and_what_follows_are_written_when_given(render: Render) -> None:
    text = render(
        "log_rotation", "policy.j2", policy={**POLICY, "frequency": "weekly", "max_size": "100M", "after": "systemctl reload web"}
    )
    assert "    weekly\n" in text and "    maxsize 100M\n" in text
    assert "    sharedscripts\n    postrotate\n        systemctl reload web\n    endscript\n" in text


def test_the_journal_is_limited_by_size_and_age(render: Render) -> None:
    text = render("log_rotation", "journald.conf.j2", log_rotation_journal_max_use="2G", log_rotation_journal_max_days=30)
    assert text.endswith("[Journal]\nSystemMaxUse=2G\nMaxRetentionSec=30day\n")
