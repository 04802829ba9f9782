#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_rollback_info
short_description: What a rollback of the database has to know of one member
version_added: "0.1.0"
description:
  - Where the member stands in the WAL, which restore points are recorded, what has been written, what is held there, and whether a rollback
    was begun and not finished. The filter P(arxos.platform.rollback_plan#filter) makes a plan of it. It only reads.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
requirements:
  - to run as root, with PostgreSQL 14 or newer and C(postgres) let in over the local socket
options:
  journal:
    description: File that a rollback writes down in what it has done. It is gone when the rollback is finished.
    type: path
    default: /var/lib/arxos/database_rollback.json
  rates:
    description: File with what the last rollbacks measured.
    type: path
    default: /var/lib/arxos/database_rollback_rates.json
"""

EXAMPLES = r"""
- name: Look at the member
  arxos.platform.postgresql_rollback_info:
  register: member
"""

RETURN = r"""
member:
  description: What was found. Of PostgreSQL only C(running), which is false, when it takes no connections.
  returned: success
  type: dict
  contains:
    running: {description: Whether PostgreSQL takes connections., returned: always, type: bool, sample: true}
    in_recovery: {description: Whether it is a replica., returned: when running, type: bool, sample: false}
    clock: {description: The time there., returned: when running, type: str, sample: "2026-11-23T08:19:49.123456Z"}
    lsn: {description: Where it stands in the WAL., returned: when running, type: str, sample: 0/5000090}
    timeline: {description: On which timeline., returned: when running, type: int, sample: 3}
    history: {description: "Timelines before, each with where it was left.", returned: when running, type: list, elements: list, sample: [[1, 0/3000000]]}
    xid: {description: The next transaction., returned: when running, type: int, sample: 871}
    rows: {description: "Rows inserted, updated, deleted in each table of each database; none on a replica.", returned: when running, type: dict, sample: {}}
    counted_on: {description: Since when those were counted., returned: when running, type: str, sample: "2026-11-23 08:00:00.123456+00"}
    bytes: {description: Size of all databases., returned: when running, type: int, sample: 31457280}
    points: {description: "Recorded restore points, newest first, as M(arxos.platform.postgresql_restore_point) returns them.",
      returned: when running, type: list, elements: dict, sample: []}
    guard: {description: "What is held, as M(arxos.platform.postgresql_guard) returns it; empty when nothing is.", returned: always, type: dict, sample: {}}
    journal: {description: A rollback that is not finished., returned: always, type: dict, sample: {}}
    finished: {description: "The newest rollback that came to its end, empty where there is none.", returned: always, type: dict, sample: {}}
    rates: {description: What was measured before., returned: always, type: dict, sample: {guard_seconds: 41.5}}
"""

import json
import os
import time
from dataclasses import asdict
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._guard import Clock, GuardError, Keeper
from ansible_collections.arxos.platform.plugins.module_utils._guard_host import LocalHost
from ansible_collections.arxos.platform.plugins.module_utils._restore_points import COLUMNS, COUNTED_ON, DATABASES, ROWS, TABLE, UTC
from ansible_collections.arxos.platform.plugins.module_utils._rollback_journal import Notes
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

_LOOK = f"""
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'clock', {UTC.format("clock_timestamp()")},
  'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END,
  'timeline', CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'xid', pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
  'counted_on', {COUNTED_ON},
  'databases', (SELECT coalesce(jsonb_agg(datname), '[]') FROM ({DATABASES}) names),
  'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
  'data_directory', current_setting('data_directory'),
  'recorded', to_regclass('{TABLE}') IS NOT NULL)
"""
_POINTS = f"SELECT coalesce(jsonb_agg(point ORDER BY created_at DESC), '[]') FROM (SELECT {COLUMNS} FROM {TABLE}) point"


def main() -> None:
    module = StrictModule(
        argument_spec={
            "journal": {"type": "path", "default": "/var/lib/arxos/database_rollback.json"},
            "rates": {"type": "path", "default": "/var/lib/arxos/database_rollback_rates.json"},
        },
        supports_check_mode=True,
    )
    host = LocalHost(module.run_command)
    try:
        guard = Keeper(host, Clock(time.monotonic, time.sleep), "", 0).look()
        member: dict[str, Any] = {"guard": asdict(guard) if guard.label else {}}
        for name in ("journal", "rates"):
            member[name] = _document(host, module.params[name])
        member["finished"] = Notes("database", os.path.dirname(module.params["journal"])).finished()
        member.update(_database(host))
    except GuardError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, member=member)


def _document(host: LocalHost, path: str) -> dict[str, Any]:
    text = host.read(path)
    try:
        return dict(json.loads(text)) if text else {}
    except ValueError as error:
        raise GuardError(f"{path} is damaged ({error}): move it away") from error


def _database(host: LocalHost) -> dict[str, Any]:
    answer = host.sql(_LOOK)
    if answer is None:
        return {"running": False}
    found = json.loads(answer)
    points = (host.sql(_POINTS) or "[]") if found.pop("recorded") else "[]"
    directory = found.pop("data_directory")
    databases = found.pop("databases")
    # A replica counts no writes.
    rows = {} if found["in_recovery"] else {database: json.loads(host.sql(ROWS, database) or "{}") for database in databases}
    history = []
    for line in host.read(f"{directory}/pg_wal/{found['timeline']:08X}.history").splitlines():
        words = line.split("\t")
        if len(words) >= 2 and words[0].strip().isdigit():
            history.append([int(words[0]), words[1]])
    return {"running": True, **found, "rows": rows, "history": history, "points": json.loads(points)}


if __name__ == "__main__":
    main()
