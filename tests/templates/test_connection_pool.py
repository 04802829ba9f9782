# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

GIVEN: dict[str, Any] = {
    "connection_pool_databases": [
        {"name": "db", "port": 5000, "pool_size": 4, "settings": {"statement_timeout": "10s", "lock_timeout": "5s"}},
        {"name": "db_ro", "database": "db", "port": 5001, "pool_size": 3},
    ],
    "connection_pool_users": [{"name": "a", "password": 'p"w'}],
}


def pools(render: Callable[..., str], release: str = "debian-12", **given: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Settings, and databases."""
    found: list[dict[str, str]] = [{}]
    for line in render("connection_pool", "pools.ini.j2", release, **{**GIVEN, **given}).splitlines():
        if line == "[databases]":
            found.append({})
        elif line and not line.startswith("#"):
            name, _, value = line.partition(" = ")
            assert name not in found[-1]
            found[-1][name] = value
    settings, databases = found
    return settings, databases


def test_pools(render: Callable[..., str]) -> None:
    assert pools(render)[1] == {
        "db": "host=postgresql.arxos.internal port=5000 dbname=db pool_size=4 max_db_connections=4 "
        "connect_query='SET lock_timeout = ''5s''; SET statement_timeout = ''10s'''",
        "db_ro": "host=postgresql.arxos.internal port=5001 dbname=db pool_size=3 max_db_connections=3",
    }


def test_both_sides_are_tls_with_scram(render: Callable[..., str]) -> None:
    settings, _databases = pools(render)
    assert (settings["auth_type"], settings["client_tls_sslmode"], settings["server_tls_sslmode"]) == (
        "scram-sha-256",
        "require",
        "verify-full",
    )
    assert settings["pool_mode"] == "transaction"


@pytest.mark.parametrize(("release", "prepared"), [("debian-12", None), ("debian-13", "200")])
def test_prepared_statements_where_pgbouncer_can(render: Callable[..., str], release: str, prepared: str | None) -> None:
    assert pools(render, release)[0].get("max_prepared_statements") == prepared


def test_a_section_opens_once_or_it_would_begin_with_the_defaults(render: Callable[..., str]) -> None:
    text = render("connection_pool", "pgbouncer.ini.j2", **GIVEN) + render("connection_pool", "pools.ini.j2", "debian-13", **GIVEN)
    assert [line for line in text.splitlines() if line.startswith("[")] == ["[pgbouncer]", "[databases]"]
    assert text.index("%include /etc/pgbouncer/pools.ini") > text.index("listen_addr = 127.0.0.1")


def test_passwords_survive_any_character(render: Callable[..., str]) -> None:
    assert render("connection_pool", "userlist.txt.j2", **GIVEN).strip() == '"a" "p""w"'


def test_the_daemon_sees_its_endpoint_under_the_name_of_the_tier(render: Callable[..., str]) -> None:
    assert "127.0.0.1 postgresql.arxos.internal" in render("connection_pool", "hosts.j2", **GIVEN).splitlines()
    assert "BindReadOnlyPaths=/etc/pgbouncer/hosts:/etc/hosts" in render("connection_pool", "pgbouncer.service.j2", **GIVEN)
