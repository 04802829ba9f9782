# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles of PostgreSQL: what is wanted of them, what the catalogue has, and the statements between the two. No database is asked here.

A password leaves this code as a SCRAM verifier only (RFC 5802 and 7677, in the form of C(pg_authid.rolpassword)).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

ATTRIBUTES = ("LOGIN", "SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS", "INHERIT")
ITERATIONS = 4096  # PostgreSQL's own
SALT_BYTES = 16

_VERIFIER = re.compile(r"^SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$")
_SETTING = re.compile(r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$")

CATALOGUE = """
SELECT r.rolname::text AS name, r.rolpassword AS password,
       array_remove(ARRAY[CASE WHEN rolcanlogin THEN 'LOGIN' END, CASE WHEN rolsuper THEN 'SUPERUSER' END,
         CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
         CASE WHEN rolreplication THEN 'REPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
         CASE WHEN rolinherit THEN 'INHERIT' END], NULL) AS attributes,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1) AS member_of,
       (SELECT setconfig FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0) AS settings
  FROM pg_authid r
 WHERE r.rolname = ANY (%(names)s)
"""

# Neither a slow nor a failing statement may be written down with the verifier in it, nor kept among the statistics.
QUIET = """
SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';
SET log_min_duration_sample = -1; SET pg_stat_statements.track_utility = off
"""


@dataclass(frozen=True)
class Role:
    """What is wanted of a role. Without a password it has none, and nobody can log in as it with one."""

    name: str
    password: str | None = field(default=None, repr=False)
    attributes: frozenset[str] = frozenset()
    member_of: frozenset[str] = frozenset()
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Found:
    """What the catalogue has of a role."""

    name: str
    password: str | None = field(default=None, repr=False)
    attributes: frozenset[str] = frozenset()
    member_of: frozenset[str] = frozenset()
    settings: tuple[tuple[str, str], ...] = ()


def faults(roles: Sequence[Role]) -> list[str]:
    """Every fault in what is wanted, a line each."""
    found = ["roles: give at least one"] if not roles else []
    seen: set[str] = set()
    for role in roles:
        who = f"role {role.name}"
        if not role.name or "\0" in role.name or len(role.name.encode()) > 63 or role.name.startswith("pg_"):
            found.append(f"{who}: a name has 1 to 63 bytes and does not start with pg_")
        if role.name in seen:
            found.append(f"{who} is given twice")
        seen.add(role.name)
        if role.password is not None and (not role.password or not role.password.isascii() or not role.password.isprintable()):
            found.append(f"{who}: a password is of printable ASCII characters, at least one")
        found += [f"{who}: {name} is no name of a setting" for name, _value in role.settings if not _SETTING.match(name)]
    return found


def setting_value(value: Any) -> str:
    """A setting as PostgreSQL writes it down: YAML makes a bool of on and off."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def found_in(row: Any) -> Found:
    """A row of C(CATALOGUE)."""
    settings = tuple(sorted((name, value) for name, _separator, value in (entry.partition("=") for entry in row["settings"] or ())))
    return Found(row["name"], row["password"], frozenset(row["attributes"]), frozenset(row["member_of"]), settings)


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL stores instead of a password of ASCII characters (others would need SASLprep first)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def fits(password: str | None, stored: str | None) -> bool:
    """Whether what is stored is of this password."""
    if password is None or stored is None:
        return password is stored
    found = _VERIFIER.match(stored)
    if not found:
        return False
    try:
        return hmac.compare_digest(stored, verifier(password, base64.b64decode(found.group(2)), int(found.group(1))))
    except (ValueError, OverflowError):
        return False


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """As SQL has it, whatever C(standard_conforming_strings) is."""
    doubled = text.replace("'", "''")
    return f" E'{doubled}'".replace("\\", "\\\\") if "\\" in doubled else f"'{doubled}'"


def statements(role: Role, found: Found | None, salt: Callable[[int], bytes]) -> list[str]:
    """What makes the role as it is wanted; empty where it is. Memberships and settings that are not wanted are taken away."""
    name, made = quote(role.name), []
    if found is None or found.attributes != role.attributes:
        words = " ".join(word if word in role.attributes else f"NO{word}" for word in ATTRIBUTES)
        made.append(f"{'CREATE' if found is None else 'ALTER'} ROLE {name} {words}")
    has = found or Found(role.name)
    if not fits(role.password, has.password):
        secret = "NULL" if role.password is None else literal(verifier(role.password, salt(SALT_BYTES)))
        made.append(f"ALTER ROLE {name} PASSWORD {secret}")
    made += [f"GRANT {quote(group)} TO {name}" for group in sorted(role.member_of - has.member_of)]
    made += [f"REVOKE {quote(group)} FROM {name}" for group in sorted(has.member_of - role.member_of)]
    wanted, there = dict(role.settings), dict(has.settings)
    made += [f"ALTER ROLE {name} SET {setting} = {literal(value)}" for setting, value in wanted.items() if there.get(setting) != value]
    made += [f"ALTER ROLE {name} RESET {setting}" for setting in sorted(there.keys() - wanted.keys())]
    return made


def shown(role: Role | Found | None, password: str) -> dict[str, Any]:
    """The role for a diff, with a word instead of its password."""
    if role is None:
        return {}
    return {
        "attributes": sorted(role.attributes),
        "member_of": sorted(role.member_of),
        "settings": dict(sorted(role.settings)),
        "password": password,
    }
