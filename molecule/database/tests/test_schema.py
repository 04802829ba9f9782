# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the roles of the database may, tried as each of them. What pg_hba.conf lets in is in test_database.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
INVENTORY = Path(__file__).resolve().parents[3] / "inventories/lab"
MEMBERS = list(yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]["database"]["hosts"])


def psql(host: str, sql: str, database: str = "arxos_production") -> subprocess.CompletedProcess[str]:
    """Statements of the superuser over the local socket, up to the first that fails."""
    words = ["docker", "exec", "-iu", "postgres", f"{LAB}-{host}", "psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", database]
    return subprocess.run(words, input=sql, capture_output=True, text=True, check=False, timeout=60)


def leader() -> str:
    return next(name for name in MEMBERS if psql(name, "SELECT pg_is_in_recovery()").stdout.strip() == "f")


def ask(sql: str) -> str:
    answer = psql(leader(), sql)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def as_role(role: str, statement: str) -> subprocess.CompletedProcess[str]:
    """A statement with the privileges of a role and no more, undone at the end."""
    return psql(leader(), f"SET SESSION AUTHORIZATION {role}; BEGIN; {statement}; ROLLBACK;")


ROW = "INSERT INTO arxos_prod.buildings (name) VALUES ('x')"
MAY = [
    ("arxos_owner", "CREATE TABLE arxos_prod.x (id uuid DEFAULT uuid_generate_v4())"),
    ("arxos_owner", "ALTER TABLE arxos_prod.buildings ADD COLUMN x int"),
    ("arxos_owner", "DROP TABLE arxos_prod.buildings"),
    ("arxos_owner", ROW),
    ("arxos_application", ROW),
    ("arxos_application", "SELECT similarity(name, 'y') FROM buildings"),
    ("arxos_application", "UPDATE arxos_prod.buildings SET name = 'y'; DELETE FROM arxos_prod.symbols"),
    ("arxos_readonly", "SELECT count(*) FROM buildings, symbols"),
    (
        "arxos_monitoring",
        "SELECT count(*) FROM pg_stat_statements; SELECT query FROM pg_stat_activity; SELECT pg_database_size(current_database())",
    ),
    ("arxos_monitoring", "SELECT setting FROM pg_settings WHERE name = 'hba_file'; SELECT * FROM pg_stat_replication"),
    ("arxos_backup", "SELECT pg_create_restore_point('test of arxos_backup')"),
    ("arxos_backup", "SELECT pg_backup_start('test', true); SELECT lsn FROM pg_backup_stop(false)"),
    ("arxos_backup", "SELECT setting FROM pg_settings WHERE name = 'data_directory'; SELECT pg_switch_wal(); CHECKPOINT"),
]
MAY_NOT = [
    ("arxos_owner", "CREATE ROLE x", "permission denied"),
    ("arxos_owner", "SET ROLE postgres", "permission denied"),
    ("arxos_owner", "COPY arxos_prod.buildings TO PROGRAM 'true'", "permission denied|must be superuser"),
    ("arxos_owner", "SET pgaudit.log = 'none'", "permission denied"),
    ("arxos_application", "CREATE TABLE arxos_prod.x ()", "permission denied for schema"),
    ("arxos_application", "CREATE TABLE public.x ()", "permission denied for schema|relation"),
    ("arxos_application", "CREATE TABLE extensions.x ()", "permission denied for schema"),
    ("arxos_application", "CREATE TEMPORARY TABLE x ()", "permission denied"),
    ("arxos_application", "TRUNCATE arxos_prod.buildings", "permission denied"),
    ("arxos_application", "DROP TABLE arxos_prod.buildings", "must be owner"),
    ("arxos_application", "SELECT * FROM pg_authid", "permission denied"),
    ("arxos_application", "SET ROLE arxos_owner", "permission denied"),
    ("arxos_readonly", ROW, "permission denied"),
    ("arxos_readonly", "SET default_transaction_read_only = off; UPDATE arxos_prod.buildings SET name = 'y'", "permission denied"),
    ("arxos_readonly", "DELETE FROM arxos_prod.symbols", "permission denied"),
    ("arxos_readonly", "CREATE TABLE arxos_prod.x ()", "permission denied for schema"),
    ("arxos_monitoring", "SELECT * FROM arxos_prod.buildings", "permission denied"),
    ("arxos_monitoring", "SELECT pg_switch_wal()", "permission denied"),
    ("arxos_backup", "SELECT * FROM arxos_prod.buildings", "permission denied"),
    ("arxos_backup", "SELECT pg_promote()", "permission denied"),
    ("arxos_backup", "COPY (SELECT 1) TO '/tmp/x'", "permission denied|must be superuser"),
]


@pytest.mark.parametrize(("role", "statement"), MAY)
def test_a_role_may(role: str, statement: str) -> None:
    answer = as_role(role, statement)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(("role", "statement", "reason"), MAY_NOT)
def test_a_role_may_not(role: str, statement: str, reason: str) -> None:
    answer = as_role(role, statement)
    assert answer.returncode != 0
    assert any(word in answer.stderr for word in reason.split("|")), answer.stderr


def test_what_the_owner_makes_is_covered_at_once_and_nobody_calls_its_functions_by_default() -> None:
    made = (
        "SET ROLE arxos_owner; CREATE TABLE arxos_prod.made (id bigserial, at timestamptz) PARTITION BY RANGE (at);"
        " CREATE TABLE arxos_prod.made_2020 PARTITION OF arxos_prod.made FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');"
        " CREATE FUNCTION arxos_prod.made_one() RETURNS int LANGUAGE sql AS 'SELECT 1'; RESET ROLE;"
    )
    rights = (
        "SELECT has_table_privilege('arxos_application', t, 'INSERT'), has_table_privilege('arxos_application', t, 'TRUNCATE'),"
        " has_table_privilege('arxos_readonly', t, 'SELECT'), has_table_privilege('arxos_readonly', t, 'INSERT'),"
        " has_table_privilege('arxos_monitoring', t, 'SELECT') FROM unnest(ARRAY['arxos_prod.made', 'arxos_prod.made_2020']) t;"
        " SELECT has_sequence_privilege('arxos_application', 'arxos_prod.made_id_seq', 'USAGE'),"
        " has_function_privilege('arxos_application', 'arxos_prod.made_one()', 'EXECUTE'),"
        " has_function_privilege('arxos_readonly', 'arxos_prod.made_one()', 'EXECUTE'),"
        " has_function_privilege('arxos_monitoring', 'arxos_prod.made_one()', 'EXECUTE')"
    )
    answer = psql(leader(), f"BEGIN; {made} {rights}; ROLLBACK")
    assert answer.stdout.splitlines() == ["t|f|t|f|f", "t|f|t|f|f", "t|t|f|f"], answer.stderr


def test_partitions_that_the_platform_made_have_the_privileges_of_their_table() -> None:
    query = (
        "SELECT count(*), bool_and(has_table_privilege('arxos_application', inhrelid, 'INSERT')),"
        " bool_and(has_table_privilege('arxos_readonly', inhrelid, 'SELECT')), bool_or(has_table_privilege('arxos_readonly', inhrelid, 'INSERT'))"
        " FROM pg_inherits WHERE inhparent = 'arxos_prod.buildings'::regclass"
    )
    count, *rights = ask(query).split("|")
    assert int(count) >= 4 and rights == ["t", "t", "f"]


def test_nobody_else_has_anything() -> None:
    assert ask("SELECT has_schema_privilege('public', 'public', 'USAGE'), has_schema_privilege('public', 'public', 'CREATE')") == "f|f"
    assert (
        ask("SELECT has_database_privilege('public', 'arxos_production', p) FROM unnest(ARRAY['CONNECT', 'TEMPORARY', 'CREATE']) p")
        == "f\nf\nf"
    )
    assert ask("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == "0"
    nobody = psql(
        leader(), "BEGIN; CREATE ROLE stranger; SELECT has_database_privilege('stranger', 'arxos_production', 'CONNECT'); ROLLBACK"
    )
    assert nobody.stdout.strip() == "f", nobody.stderr


def test_sessions_are_limited_and_audited_by_role() -> None:
    query = (
        "SELECT rolname, setting FROM pg_roles JOIN pg_db_role_setting ON setrole = pg_roles.oid, unnest(setconfig) setting"
        " WHERE rolname ~ '^arxos_'"
    )
    found: dict[str, set[str]] = {}
    for line in ask(query).splitlines():
        role, _, setting = line.partition("|")
        found.setdefault(role, set()).add(setting)
    assert set(found) == {"arxos_owner", "arxos_application", "arxos_readonly", "arxos_monitoring", "arxos_backup"}
    assert all(any(setting.startswith("pgaudit.log=") for setting in settings) for settings in found.values())
    for role in ("arxos_application", "arxos_readonly", "arxos_monitoring"):
        names = {setting.partition("=")[0] for setting in found[role]}
        assert names >= {"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}
    assert "default_transaction_read_only=on" in found["arxos_readonly"] & found["arxos_monitoring"]


def test_passwords_are_kept_as_verifiers_and_in_no_statistics() -> None:
    query = "SELECT rolname, rolpassword ~ '^SCRAM-SHA-256[$]4096:' FROM pg_authid WHERE rolname ~ '^arxos_' ORDER BY 1"
    assert ask(query).splitlines() == ["arxos_application|t", "arxos_backup|", "arxos_monitoring|t", "arxos_owner|t", "arxos_readonly|t"]
    assert ask("SELECT count(*) FROM pg_stat_statements WHERE query ~ 'SCRAM-SHA-256[$]4096'") == "0"
    for name in MEMBERS:
        words = ["docker", "exec", f"{LAB}-{name}", "grep", "-rqF", "SCRAM-SHA-256$4096", "/var/log/postgresql"]
        assert subprocess.run(words, capture_output=True, check=False).returncode == 1, f"a verifier is in the log of {name}"


def test_what_the_owner_changes_is_audited_and_passwords_are_not_shown_there() -> None:
    host = leader()
    mark = f"audited_{os.getpid()}"
    ask(f"SET pgaudit.log = 'ddl, role'; SET ROLE arxos_owner; CREATE TABLE arxos_prod.{mark} (); DROP TABLE arxos_prod.{mark}")
    words = ["docker", "exec", f"{LAB}-{host}", "grep", "-rhF", mark, "/var/log/postgresql"]
    lines = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    assert [line for line in lines if "AUDIT: SESSION" in line and "CREATE TABLE" in line]
