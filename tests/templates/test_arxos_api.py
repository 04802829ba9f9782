# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from passlib.hash import sha512_crypt

Render = Callable[..., str]

PASSWORD, HARD = "correct horse battery", 'it\'s $HOME \\ "quoted" `x` #no; ä'
INPUTS: dict[str, Any] = {
    "arxos_api_version": "1.2.3",
    "arxos_api_database_password": HARD,
    "arxos_api_redis_nodes": ["192.0.2.1:6379", "192.0.2.1:6380"],
    "arxos_api_redis_password": "r",
    "arxos_api_s3_endpoint": "https://s3.example.org",
    "arxos_api_s3_bucket": "files",
    "arxos_api_s3_access_key": "a",
    "arxos_api_s3_secret_key": "s",
    "arxos_api_jwt_secrets": ["new", "old"],
    "arxos_api_encryption_keys": [base64.b64encode(b"k" * 32).decode()],
    "arxos_api_users": [{"name": "o'hara", "role": "admin", "password": PASSWORD, "totp_secret": "JBSWY3DPEHPK3PXP"}],
}


def environment(text: str) -> dict[str, str]:
    """What systemd reads: in double quotes a backslash hides one of four characters, and everything else is itself (tried with systemd 252)."""
    found = {}
    for line in (line for line in text.splitlines() if line and not line.startswith("#")):
        name, _, quoted = line.partition("=")
        assert re.fullmatch(r'"([^"$`\\]|\\["$`\\])*"', quoted), line
        found[name] = re.sub(r'\\(["$`\\])', r"\1", quoted[1:-1])
    return found


def test_values_arrive_as_they_are(render: Render) -> None:
    found = environment(render("arxos_api", "api.env.j2", **INPUTS))
    assert found["ARXOS_DATABASE_PASSWORD"] == HARD
    assert found["ARXOS_REDIS_NODES"] == "192.0.2.1:6379,192.0.2.1:6380"
    assert found["ARXOS_JWT_SECRETS"] == "new,old"
    assert found["ARXOS_QUOTA_EXEMPT"] == ""
    assert (found["ARXOS_QUOTA_PER_HOUR"], found["ARXOS_SESSION_SECONDS"]) == ("1000", "28800")


def test_users_come_with_a_hash_that_stays_the_same(render: Render) -> None:
    text = render("arxos_api", "api.env.j2", **INPUTS)
    assert text == render("arxos_api", "api.env.j2", **INPUTS)
    assert PASSWORD not in text
    (user,) = json.loads(environment(text)["ARXOS_USERS"])
    assert (user["name"], user["role"], user["totp_secret"]) == ("o'hara", "admin", "JBSWY3DPEHPK3PXP")
    assert sha512_crypt.verify(PASSWORD, user["password_hash"])


def test_an_api_without_users_has_an_empty_list(render: Render) -> None:
    assert json.loads(environment(render("arxos_api", "api.env.j2", **{**INPUTS, "arxos_api_users": []}))["ARXOS_USERS"]) == []


@pytest.mark.parametrize(
    "line",
    [
        "User=arxos",
        "WorkingDirectory=/opt/arxos/current",
        "ExecStart=/opt/arxos/current/bin/arxos-api",
        "Restart=always",
        "TimeoutStopSec=30",
    ]
    + [
        "MemoryMax=1G",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "ReadWritePaths=/var/log/arxos",
        "KillMode=mixed",
    ],
)
def test_the_unit_is_confined(render: Render, line: str) -> None:
    text = render("arxos_api", "arxos-api.service.j2", **INPUTS)
    assert line in text.splitlines()
    assert "PrivateUsers" not in text
    assert HARD not in text


def test_the_log_is_rotated_by_size(render: Render) -> None:
    text = render("arxos_api", "logrotate.j2", **INPUTS)
    assert all(f"    {line}\n" in text for line in ("size 100M", "rotate 5", "create 0640 arxos adm", "su arxos adm"))
