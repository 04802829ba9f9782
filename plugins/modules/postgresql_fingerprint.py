#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_fingerprint
short_description: Count the rows of every table and sum up their content, at one point that a restore can be taken to
version_added: "0.2.0"
author: The arxos.platform maintainers (@arxos)
description:
  - Gives each table's rows and a checksum of them that does not depend on their order, so that a restored database can be compared with its source.
  - With O(restore_point) that point is made where the rows are counted. Writers wait for it, but not for the counting, a few milliseconds when no
    transaction holds them up, and O(lock_timeout) seconds at most.
  - Reads only, but for the restore point. Partitions are counted each for itself.
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: [Counts as well, and makes no restore point.]
  diff_mode:
    description: Will return details on what has changed, when in diff mode.
    support: none
requirements:
  - psycopg2, as Debian's package python3-psycopg2.
options:
  database:
    description: Database whose tables are counted.
    type: str
    required: true
  restore_point:
    description: Name of the restore point to make, at most 63 bytes.
    type: str
  lock_timeout:
    description: Seconds that writers may have to wait, before the module gives up. It never does so twice.
    type: int
    default: 5
  login_user:
    description: Superuser to connect as.
    type: str
    default: postgres
  login_unix_socket:
    description: Directory of the server's socket.
    type: path
    default: /var/run/postgresql
  login_port:
    description: Port, which is part of the socket's name.
    type: int
    default: 5432
"""

EXAMPLES = r"""
- name: Count what is there, at a point that the archive can be restored to
  arxos.platform.postgresql_fingerprint:
    database: arxos_production
    restore_point: drill-20261124T160000Z
  become: true
  become_user: postgres
"""

RETURN = r"""
tables:
  description: Rows and checksum of each table.
  returned: success
  type: dict
  sample: {arxos_prod.buildings_2026_11: {rows: 3, checksum: "-81985529216486896"}}
rows:
  description: Rows of all of them.
  returned: success
  type: int
  sample: 3
restore_point:
  description: The restore point's name.
  returned: when O(restore_point) was made
  type: str
  sample: drill-20261124T160000Z
lsn:
  description: Where the restore point lies.
  returned: when O(restore_point) was made
  type: str
  sample: 0/5000148
held_seconds:
  description: How long writers were held.
  returned: when O(restore_point) was made
  type: float
  sample: 0.004
"""

import time
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule
from ansible_collections.community.postgresql.plugins.module_utils import postgres

# Ordinary tables and partitions of users; of PostgreSQL's own catalogues and of what lives in one session nothing is to be compared.
_TABLES = """
SELECT n.nspname AS schema, c.relname AS name, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
ORDER BY 1, 2
"""
_COUNT = "SELECT count(*) AS rows, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS checksum FROM {} t"


def main() -> None:
    module = StrictModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "restore_point": {"type": "str"},
            "lock_timeout": {"type": "int", "default": 5},
            "login_user": {"type": "str", "default": "postgres"},
            "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
            "login_port": {"type": "int", "default": 5432},
        },
        supports_check_mode=True,
    )
    point = module.params["restore_point"]
    module.refuse(faults(point, module.params["lock_timeout"]))
    postgres.ensure_required_libs(module)
    holding, reading = _connect(module), _connect(module)
    made = None if module.check_mode else point
    try:
        answer = fingerprint(holding, reading, made, module.params["lock_timeout"])
    except postgres.psycopg.Error as error:
        module.fail_json(msg=f"The tables of {module.params['database']} were not counted: {' '.join(str(error).split())}")
    finally:
        holding.close()
        reading.close()
    module.exit_json(changed=bool(point), **answer)


def faults(point: str | None, lock_timeout: int) -> list[str]:
    """What is wrong with the arguments."""
    found = []
    if point is not None and not 0 < len(point.encode()) <= 63:
        found.append(f"restore_point is {point!r}, wanted 1 to 63 bytes")
    if lock_timeout < 1:
        found.append(f"lock_timeout is {lock_timeout}, wanted 1 second or more")
    return found


def fingerprint(holding: Any, reading: Any, point: str | None, lock_timeout: int) -> dict[str, Any]:
    """The tables as they are at the point. C(holding) keeps writers out while C(reading) takes over its view of the tables; then it lets them go."""
    answer: dict[str, Any] = {}
    hold, read = (connection.cursor(**postgres.pg_cursor_args) for connection in (holding, reading))
    hold.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    hold.execute(f"SET LOCAL lock_timeout = '{lock_timeout}s'")
    start = time.monotonic()
    if point:
        # The catalogue must be read for the names before; the view that counts is the one of the transaction that has the locks.
        read.execute(_TABLES)
        names = [row["quoted"] for row in read.fetchall()]
        reading.rollback()
        if names:
            hold.execute(f"LOCK TABLE {', '.join(names)} IN SHARE MODE")
    hold.execute("SELECT pg_export_snapshot() AS snapshot")
    snapshot = hold.fetchone()["snapshot"]
    if point:
        hold.execute("SELECT pg_create_restore_point(%(point)s)::text AS lsn", {"point": point})
        answer |= {"restore_point": point, "lsn": hold.fetchone()["lsn"]}
    read.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    read.execute("SET TRANSACTION SNAPSHOT %(snapshot)s", {"snapshot": snapshot})
    read.execute(_TABLES)
    tables = read.fetchall()
    holding.rollback()
    if point:
        answer["held_seconds"] = round(time.monotonic() - start, 4)
    answer["tables"] = {}
    for table in tables:
        read.execute(_COUNT.format(table["quoted"]))
        answer["tables"][f"{table['schema']}.{table['name']}"] = dict(read.fetchone())
    reading.rollback()
    return answer | {"rows": sum(table["rows"] for table in answer["tables"].values())}


def _connect(module: StrictModule) -> Any:
    given = {
        **module.params,
        "login_db": module.params["database"],
        "login_host": "",
        "login_password": "",
        "ssl_mode": "prefer",
        "connect_params": {},
    }
    connection, _error = postgres.connect_to_db(module, postgres.get_conn_params(module, given), autocommit=False)
    return connection


if __name__ == "__main__":
    main()
