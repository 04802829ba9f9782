#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_restore_point
short_description: Name a place in the WAL that the database can be taken back to
version_added: "0.1.0"
description:
  - Creates a restore point on the primary and records it in the table C(arxos_platform.restore_points) of the database C(postgres), with what
    M(arxos.platform.postgresql_rollback_info) needs to say later what a rollback would drop.
  - A name that is recorded is left as it is, but with O(renew). The record is part of the database, so it goes back in time with it, and the name can be
    given anew.
  - In the WAL the point has a label with the time in it, because PostgreSQL stops at the first point of a name.
  - Returns when a synchronous replica has it, where there is one.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
requirements:
  - psycopg2 or psycopg 3.1 (C(python3-psycopg2)), PostgreSQL 14 or newer
  - to run as the operating system's user of O(login_user), a superuser, on the primary
options:
  name:
    description: Name of the point, such as the release that it comes before. At most 40 letters, digits, dots, dashes and underscores.
    type: str
    required: true
  label:
    description:
      - What it is called in the WAL, where a standby waits for it already (see M(arxos.platform.postgresql_guard)).
      - Without it, O(name) and the time.
    type: str
  renew:
    description:
      - Gives a name that is recorded to the place of now, as long as no migration of the release of that name is noted since, in any database (see
        M(arxos.platform.postgresql_migration)). With one of them the recorded place stays, since the way back leads to before all of them.
      - Not for a place that a guard is held at.
    type: bool
    default: false
  login_user:
    description: Role to connect as.
    type: str
    default: postgres
  login_unix_socket:
    description: Directory of the socket.
    type: str
    default: /var/run/postgresql
  login_port:
    description: Port, which names the socket.
    type: int
    default: 5432
"""

EXAMPLES = r"""
- name: Have a way back to before release 1.2.0
  become: true
  become_user: postgres
  arxos.platform.postgresql_restore_point:
    name: 1.2.0
    renew: true
"""

RETURN = r"""
point:
  description: The point as it is recorded. In check mode a new one has no place yet.
  returned: success
  type: dict
  contains:
    name: {description: Its name., returned: always, type: str, sample: 1.2.0}
    label: {description: What it is called in the WAL., returned: always, type: str, sample: "1.2.0@20261123T081949Z"}
    lsn: {description: Its place in the WAL., returned: always, type: str, sample: 0/5000090}
    timeline: {description: The timeline of that place., returned: always, type: int, sample: 3}
    created_at: {description: "When it was made, in UTC.", returned: always, type: str, sample: "2026-11-23T08:19:49.123456Z"}
    xid: {description: The transaction that recorded it., returned: always, type: int, sample: 871}
    rows: {description: "Rows inserted, updated and deleted until then, in each table of each database.", returned: always, type: dict, sample: {}}
    counted_on: {description: Since when those were counted., returned: always, type: str, sample: "2026-11-23 08:00:00.123456+00"}
"""

import json
from datetime import datetime, timezone
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _migration_database
from ansible_collections.arxos.platform.plugins.module_utils._restore_points import COLUMNS, COUNTED_ON, DATABASES, ROWS, TABLE, UTC
from ansible_collections.arxos.platform.plugins.module_utils._rollback import name_faults, point_label
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule
from ansible_collections.community.postgresql.plugins.module_utils import postgres

# The point lies before the commit that records it, so the state that one goes back to does not have the record.
_CREATE = f"""
INSERT INTO {TABLE} (name, label, timeline, lsn, created_at, xid, rows, counted_on)
SELECT %(name)s, %(label)s, ('x' || substr(pg_walfile_name(lsn), 1, 8))::bit(32)::int, lsn, clock_timestamp(),
       pg_current_xact_id()::text::bigint, %(rows)s::jsonb, {COUNTED_ON}
FROM pg_create_restore_point(%(label)s) lsn
"""
_MIGRATED = "SELECT to_regclass(%(table)s) IS NOT NULL AS migrated"
_NOTED_SINCE = f"""
SELECT count(*) AS noted FROM {_migration_database.TABLE}
WHERE release = %(name)s AND (finished_at IS NULL OR finished_at > %(created_at)s::timestamptz)
"""
_PREPARE = f"""
CREATE SCHEMA IF NOT EXISTS arxos_platform;
CREATE TABLE IF NOT EXISTS {TABLE} (
  name text PRIMARY KEY, label text NOT NULL UNIQUE, timeline int NOT NULL, lsn pg_lsn NOT NULL, created_at timestamptz NOT NULL,
  xid bigint NOT NULL, rows jsonb NOT NULL, counted_on text NOT NULL)
"""


def main() -> None:
    module = StrictModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "label": {"type": "str"},
            "renew": {"type": "bool", "default": False},
            "login_user": {"type": "str", "default": "postgres"},
            "login_unix_socket": {"type": "str", "default": "/var/run/postgresql"},
            "login_port": {"type": "int", "default": 5432},
        },
        supports_check_mode=True,
    )
    name, label = module.params["name"], module.params["label"] or point_label(module.params["name"], datetime.now(timezone.utc))
    module.refuse(name_faults(name) + _label_faults(label))
    postgres.ensure_required_libs(module)
    connection = _connect(module, "postgres")
    try:
        changed, point = _converge(module, connection, name, label)
        connection.commit()
    except postgres.psycopg.Error as error:
        module.fail_json(msg=f"The restore point {name} was not made: {' '.join(str(error).split())}")
    finally:
        connection.close()
    module.exit_json(changed=changed, point=point, diff={"before": {} if changed else point, "after": point})


def _connect(module: StrictModule, database: str) -> Any:
    given = {**module.params, "login_db": database, "login_host": "", "login_password": "", "ssl_mode": "prefer", "connect_params": {}}
    connection, _error = postgres.connect_to_db(module, postgres.get_conn_params(module, given), autocommit=False)
    return connection


def _label_faults(label: str) -> list[str]:
    return [] if len(label.encode()) <= 63 else [f"label is longer than PostgreSQL's 63 bytes: {label}"]


def _converge(module: StrictModule, connection: Any, name: str, label: str) -> tuple[bool, dict[str, Any]]:
    """Whether it had to be made, and the point."""
    cursor = connection.cursor(**postgres.pg_cursor_args)
    cursor.execute(f"SELECT pg_is_in_recovery() AS replica, to_regclass('{TABLE}') IS NOT NULL AS prepared")
    found = cursor.fetchone()
    if found["replica"]:
        module.fail_json(msg="PostgreSQL of this host is a replica: a restore point is made on the primary, which `patronictl list` names")
    recorded = _read(cursor, name) if found["prepared"] else None
    cursor.execute(DATABASES)
    databases = [row["datname"] for row in cursor.fetchall()]
    if recorded and not (module.params["renew"] and not any(_migrated_since(module, database, recorded) for database in databases)):
        return False, recorded
    if module.check_mode:
        cursor.execute(f"SELECT {UTC.format('now()')} AS now")
        return True, {"name": name, "label": label, "created_at": cursor.fetchone()["now"]}
    if not found["prepared"]:
        cursor.execute(_PREPARE)
    if recorded:
        # By itself: the state that one goes back to would else know an older place of that name.
        cursor.execute(f"DELETE FROM {TABLE} WHERE name = %(name)s", {"name": name})
        connection.commit()
    rows = {database: _rows(module, database) for database in databases}
    cursor.execute(_CREATE, {"name": name, "label": label, "rows": json.dumps(rows)})
    return True, _read(cursor, name) or {}


def _migrated_since(module: StrictModule, database: str, point: dict[str, Any]) -> bool:
    """Whether a migration of the release that the point is named after has been noted there since, be it in part."""
    connection = _connect(module, database)
    try:
        cursor = connection.cursor(**postgres.pg_cursor_args)
        cursor.execute(_MIGRATED, {"table": _migration_database.TABLE})
        if not cursor.fetchone()["migrated"]:
            return False
        cursor.execute(_NOTED_SINCE, {"name": point["name"], "created_at": point["created_at"]})
        return bool(cursor.fetchone()["noted"])
    finally:
        connection.close()


def _rows(module: StrictModule, database: str) -> dict[str, list[int]]:
    """What was counted in the tables of a database."""
    connection = _connect(module, database)
    try:
        cursor = connection.cursor(**postgres.pg_cursor_args)
        cursor.execute(ROWS)
        return dict(cursor.fetchone()["rows"])
    finally:
        connection.close()


def _read(cursor: Any, name: str) -> dict[str, Any] | None:
    cursor.execute(f"SELECT {COLUMNS} FROM {TABLE} WHERE name = %(name)s", {"name": name})
    row = cursor.fetchone()
    return dict(row) if row else None


if __name__ == "__main__":
    main()
