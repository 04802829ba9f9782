# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what a role is to what it shall be, and passwords that are never said."""

from __future__ import annotations

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _roles as subject
from ansible_collections.arxos.platform.plugins.module_utils._roles import Found, Role

# The exchange of RFC 7677, section 3: user "user", password "pencil".
RFC_SALT = bytes.fromhex("5b6d99689d12358eec a04b141236fa81".replace(" ", ""))
RFC = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)
LOGIN = frozenset({"LOGIN", "INHERIT"})


def zeros(count: int) -> bytes:
    return bytes(count)


def test_verifier_is_that_of_the_rfc() -> None:
    assert subject.verifier("pencil", RFC_SALT) == RFC


@pytest.mark.parametrize(
    ("password", "stored", "same"),
    [
        ("pencil", RFC, True),
        ("pencils", RFC, False),
        ("pencil", "md5" + "0" * 32, False),
        ("pencil", "SCRAM-SHA-256$4096:!$a:b", False),
        ("pencil", "SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$a:b", False),
        ("pencil", None, False),
        (None, RFC, False),
        (None, None, True),
    ],
)
def test_whether_a_stored_verifier_is_of_the_password(password: str | None, stored: str | None, same: bool) -> None:
    assert subject.fits(password, stored) is same


def test_a_new_role_gets_all_of_it_and_its_password_only_as_verifier() -> None:
    role = Role('re"ports', "pencil", LOGIN, frozenset({"pg_monitor"}), (("statement_timeout", "5min"), ("pgaudit.log", "all, -misc")))
    made = subject.statements(role, None, zeros)
    assert made == [
        'CREATE ROLE "re""ports" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT',
        f'ALTER ROLE "re""ports" PASSWORD \'{subject.verifier("pencil", bytes(16))}\'',
        'GRANT "pg_monitor" TO "re""ports"',
        'ALTER ROLE "re""ports" SET statement_timeout = \'5min\'',
        'ALTER ROLE "re""ports" SET pgaudit.log = \'all, -misc\'',
    ]
    assert "pencil" not in "".join(made) + repr(role)


def test_a_role_that_is_as_it_shall_be_is_left_alone() -> None:
    settings = (("statement_timeout", "5min"),)
    assert (
        subject.statements(
            Role("a", "pencil", LOGIN, frozenset({"b"}), settings), Found("a", RFC, LOGIN, frozenset({"b"}), settings), zeros
        )
        == []
    )


def test_what_a_role_has_beyond_what_it_needs_is_taken_away() -> None:
    found = Found("a", RFC, LOGIN | {"SUPERUSER"}, frozenset({"pg_write_all_data", "kept"}), (("lock_timeout", "0"), ("work_mem", "1GB")))
    assert subject.statements(Role("a", None, LOGIN, frozenset({"kept"}), (("lock_timeout", "5s"),)), found, zeros) == [
        'ALTER ROLE "a" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT',
        'ALTER ROLE "a" PASSWORD NULL',
        'REVOKE "pg_write_all_data" FROM "a"',
        "ALTER ROLE \"a\" SET lock_timeout = '5s'",
        'ALTER ROLE "a" RESET work_mem',
    ]


def test_literals_hold_any_text() -> None:
    assert subject.literal("it's") == "'it''s'"
    assert subject.literal("a\\'b") == " E'a\\\\''b'"


def test_settings_are_told_as_postgresql_keeps_them() -> None:
    assert [subject.setting_value(value) for value in (True, False, "5s", 4)] == ["on", "off", "5s", "4"]
    row = {"name": "a", "password": None, "attributes": ["LOGIN"], "member_of": [], "settings": ["pgaudit.log=a=b", "jit=off"]}
    assert subject.found_in(row).settings == (("jit", "off"), ("pgaudit.log", "a=b"))
    assert subject.found_in({**row, "settings": None}).settings == ()


def test_all_faults_at_once() -> None:
    roles = [Role("pg_a"), Role("b", "ü"), Role("b", "", settings=(("a; DROP", "x"),)), Role("c" * 64)]
    found = "\n".join(subject.faults(roles))
    for fault in ("role pg_a: a name", "role b: a password", "role b is given twice", "a; DROP is no name", f"role {'c' * 64}: a name"):
        assert fault in found
    assert subject.faults([]) == ["roles: give at least one"]
    assert subject.faults([Role("a", "x")]) == []
