#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_partition
short_description: Keep the time partitions of PostgreSQL tables as the clock wants them
version_added: "0.1.0"
description:
  - Makes the partitions of tables that are partitioned by range on one column of type C(date), C(timestamp) or C(timestamptz), for as many tables
    a call as there are. What is wanted follows the clock and not the data, so partitions of the future exist before the first row of theirs.
  - A new partition has the columns, defaults, checks, indexes, owner and privileges of its table. (Where the table has row level security it gets no
    privileges, since they would go round it; access through the table needs none.)
  - A partition is created, then attached, which locks out no reader and no writer. A run that is killed in between is finished by the next.
  - Nothing is changed in any table when a table cannot be partitioned so, or has a partition that overlaps what is wanted or lies off the
    calendar; the message names them all. All calendar is UTC.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
extends_documentation_fragment: [arxos.platform.postgresql_connection]
options:
  login_db:
    description: Database whose tables these are.
    type: str
    required: true
  login_user:
    description: Role to connect as. It must own the tables, or be a superuser.
    type: str
    default: postgres
  now:
    description:
      - Moment to take for now, in ISO 8601; without a zone it is UTC. It is there for tests and rehearsals.
      - Without it the clock of the database is taken.
    type: str
  lock_timeout:
    description: Seconds to wait for a lock. Queries of others wait behind it for as long, so it should be short.
    type: float
    default: 2
  lock_tries:
    description: How often a lock is tried for before the table is reported as failed.
    type: int
    default: 5
  tables:
    description: The tables and what is wanted of each.
    type: list
    elements: dict
    required: true
    suboptions:
      schema:
        description: Schema of the table, and of its partitions.
        type: str
        default: public
      table:
        description: Name of the partitioned table. It is not created here.
        type: str
        required: true
      column:
        description: Column that the table must be partitioned by. Without it any column will do.
        type: str
      interval:
        description:
          - Time that one partition holds, and with it the partition's name.
          - C(TABLE_2026_12_31) for V(day), C(TABLE_2026_w53) for V(week) (year and number of ISO 8601, from Monday),
            C(TABLE_2026_12) for V(month) and C(TABLE_2026) for V(year). Existing partitions may have any name.
        type: str
        choices: [day, week, month, year]
        required: true
      past:
        description: Intervals before the present one that must have a partition.
        type: int
        default: 0
      future:
        description: Intervals after the present one that must have a partition.
        type: int
        default: 3
      fill_gaps:
        description: Whether holes between existing partitions are filled too, where they lie outside of O(tables[].past) and O(tables[].future).
        type: bool
        default: true
      retention:
        description: Intervals before the present one that are kept. Without it everything is.
        type: int
      retention_action:
        description:
          - What is done with partitions that are older than O(tables[].retention).
          - V(detach) leaves an ordinary table of the same name. It is done concurrently where the table has no default partition.
          - V(drop) deletes the rows.
        type: str
        choices: [detach, drop]
        default: detach
      default_rows:
        description:
          - What is done when the default partition has rows that belong into a partition which is to be created.
          - V(refuse) leaves that partition out, makes all others, and fails.
          - V(move) moves the rows into the new partition, with the default partition locked meanwhile. This needs a superuser.
        type: str
        choices: [refuse, move]
        default: refuse
"""

EXAMPLES = r"""
- name: Have the partitions of this month and of the next six
  become: true
  become_user: postgres
  arxos.platform.postgresql_partition:
    login_db: arxos_production
    tables:
      - {schema: arxos_prod, table: buildings, column: created_at, interval: month, future: 6}
      - {schema: arxos_prod, table: audit_log, interval: day, past: 1, future: 14, retention: 2555}

- name: See what the new year will bring
  become: true
  become_user: postgres
  arxos.platform.postgresql_partition:
    login_db: arxos_production
    now: "2026-12-31T23:59:59Z"
    tables:
      - {schema: arxos_prod, table: buildings, interval: month, future: 6}
  check_mode: true
  diff: true
"""

RETURN = r"""
created:
  description: Tables that were created for partitions.
  returned: always
  type: list
  elements: str
  sample: [arxos_prod.buildings_2026_12]
attached:
  description: Partitions that were attached. They can be more than RV(created) after a run that was killed.
  returned: always
  type: list
  elements: str
  sample: [arxos_prod.buildings_2026_12]
detached:
  description: Partitions that were detached because of their age.
  returned: always
  type: list
  elements: str
  sample: [arxos_prod.buildings_2019_11]
dropped:
  description: Partitions that were dropped because of their age.
  returned: always
  type: list
  elements: str
  sample: []
gaps:
  description: Holes that were found between partitions.
  returned: always
  type: list
  elements: dict
  contains:
    table: {description: The table., returned: always, type: str, sample: arxos_prod.buildings}
    partition: {description: The partition that is missing., returned: always, type: str, sample: arxos_prod.buildings_2026_03}
    from: {description: Its lower bound., returned: always, type: str, sample: "2026-03-01"}
    to: {description: Its upper bound., returned: always, type: str, sample: "2026-04-01"}
    filled: {description: Whether it was (or would be) created., returned: always, type: bool, sample: true}
default_rows:
  description: Rows that default partitions hold, and that belong into partitions which were to be created.
  returned: always
  type: list
  elements: dict
  contains:
    table: {description: The table., returned: always, type: str, sample: arxos_prod.buildings}
    partition: {description: The partition that they belong into., returned: always, type: str, sample: arxos_prod.buildings_2026_03}
    from: {description: Its lower bound., returned: always, type: str, sample: "2026-03-01"}
    to: {description: Its upper bound., returned: always, type: str, sample: "2026-04-01"}
    rows: {description: How many there are., returned: always, type: int, sample: 3}
now:
  description: The moment that was taken for now.
  returned: always
  type: str
  sample: "2026-11-23T08:19:49Z"
partitions:
  description: How many partitions the tables had before.
  returned: always
  type: int
  sample: 4000
query_seconds:
  description: How long the database took to tell them.
  returned: always
  type: float
  sample: 0.055
change_seconds:
  description: How long it took to make the changes.
  returned: always
  type: float
  sample: 0.021
"""

from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._partition_converge import converge
from ansible_collections.arxos.platform.plugins.module_utils._partition_database import Database
from ansible_collections.arxos.platform.plugins.module_utils._partitions import INTERVALS, PartitionError, Table, parse_moment, table_faults
from ansible_collections.arxos.platform.plugins.module_utils._postgresql import CONNECTION, session
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    specification = {
        "login_db": {"type": "str", "required": True},
        **CONNECTION,
        "now": {"type": "str"},
        "lock_timeout": {"type": "float", "default": 2},
        "lock_tries": {"type": "int", "default": 5},
        "tables": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "schema": {"type": "str", "default": "public"},
                "table": {"type": "str", "required": True},
                "column": {"type": "str"},
                "interval": {"type": "str", "choices": list(INTERVALS), "required": True},
                "past": {"type": "int", "default": 0},
                "future": {"type": "int", "default": 3},
                "fill_gaps": {"type": "bool", "default": True},
                "retention": {"type": "int"},
                "retention_action": {"type": "str", "choices": ["detach", "drop"], "default": "detach"},
                "default_rows": {"type": "str", "choices": ["refuse", "move"], "default": "refuse"},
            },
        },
    }
    module = StrictModule(argument_spec=specification, supports_check_mode=True)
    tables = [_table(given) for given in module.params["tables"]]
    module.refuse(_faults(module.params, tables))
    answer: dict[str, Any] = {"changed": False}
    try:
        with session(module) as (connection, cursor, errors):
            database = Database(connection, cursor, errors, module.params["lock_timeout"], module.params["lock_tries"])
            columns = [given["column"] for given in module.params["tables"]]
            failures = converge(database, tables, columns, answer, module.params["now"], module.check_mode, module._diff)
    except PartitionError as error:
        module.fail_json(msg=str(error), **answer)
    if failures:
        module.fail_json(msg="\n".join(["Some partitions are not as they should be:"] + ["- " + line for line in failures]), **answer)
    module.exit_json(**answer)


def _table(given: dict[str, Any]) -> Table:
    return Table(
        schema=given["schema"],
        name=given["table"],
        interval=given["interval"],
        past=given["past"],
        future=given["future"],
        retention=given["retention"],
        drop=given["retention_action"] == "drop",
        fill_gaps=given["fill_gaps"],
        move=given["default_rows"] == "move",
    )


def _faults(given: dict[str, Any], tables: list[Table]) -> list[str]:
    found = table_faults(tables)
    if given["now"] is not None:
        try:
            parse_moment(given["now"])
        except PartitionError as error:
            found.append(f"now: {error}")
    if not 0 < given["lock_timeout"] <= 3600:
        found.append(f"lock_timeout is {given['lock_timeout']:g}, wanted more than 0 and at most 3600")
    if not 1 <= given["lock_tries"] <= 100:
        found.append(f"lock_tries is {given['lock_tries']}, wanted 1 to 100")
    return found


if __name__ == "__main__":
    main()
