#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_role
short_description: Have PostgreSQL roles with exactly what they need
version_added: "0.1.0"
description:
  - Makes roles, as many a call as there are, with exactly these attributes, memberships, settings and password. What a role has beyond that is taken
    away from it, in one transaction for all of them.
  - The server gets a password as a SCRAM verifier that is made here, so that neither its log nor its statistics can hold the password. Whether the
    stored verifier is of the wanted password is told without logging in.
  - Privileges on databases, schemas and tables are not its matter. It removes no role.
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
    description: Database to connect to. Roles are the same in all of them.
    type: str
    default: postgres
  login_user:
    description: Role to connect as, a superuser.
    type: str
    default: postgres
  roles:
    description: The roles.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      password:
        description: Its password, of ASCII characters. Without it the role has none.
        type: str
      attributes:
        description: What it has of these. It has none of the others.
        type: list
        elements: str
        choices: [LOGIN, SUPERUSER, CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS, INHERIT]
        default: [LOGIN, INHERIT]
      member_of:
        description: The roles that it is a member of, and of no others.
        type: list
        elements: str
        default: []
      settings:
        description: Its settings in every database, such as C(statement_timeout), and no others. Those that are lists of names are not for here.
        type: dict
        default: {}
"""

EXAMPLES = r"""
- name: Have a role that reads, and one that watches
  become: true
  become_user: postgres
  arxos.platform.postgresql_role:
    roles:
      - name: reports
        password: "{{ vault_reports_password }}"
        settings: {default_transaction_read_only: "on", statement_timeout: 5min}
      - name: watcher
        password: "{{ vault_watcher_password }}"
        member_of: [pg_monitor]
        settings: {statement_timeout: 15s, pgaudit.log: ddl}
"""

RETURN = r"""
created:
  description: Roles that were made.
  returned: success
  type: list
  elements: str
  sample: [reports]
altered:
  description: Roles that were there and had to be changed.
  returned: success
  type: list
  elements: str
  sample: [watcher]
"""

import os
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _roles
from ansible_collections.arxos.platform.plugins.module_utils._postgresql import CONNECTION, Session, session
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    module = StrictModule(
        argument_spec={
            "login_db": {"type": "str", "default": "postgres"},
            **CONNECTION,
            "roles": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "no_log": True},
                    "attributes": {
                        "type": "list",
                        "elements": "str",
                        "choices": list(_roles.ATTRIBUTES),
                        "default": ["LOGIN", "INHERIT"],
                    },
                    "member_of": {"type": "list", "elements": "str", "default": []},
                    "settings": {"type": "dict", "default": {}},
                },
            },
        },
        supports_check_mode=True,
    )
    roles = [
        _roles.Role(
            given["name"],
            given["password"],
            frozenset(given["attributes"]),
            frozenset(given["member_of"]),
            tuple((name, _roles.setting_value(value)) for name, value in given["settings"].items()),
        )
        for given in module.params["roles"]
    ]
    module.refuse(_roles.faults(roles))
    with session(module) as opened:
        try:
            answer = _converge(module, opened, roles)
        except opened.errors as error:
            # The first line alone: what follows may quote the statement.
            module.fail_json(msg=f"The database refused: {str(error).strip().splitlines()[0]}")
    module.exit_json(**answer)


def _converge(module: StrictModule, opened: Session, roles: list[_roles.Role]) -> dict[str, Any]:
    """Bring the roles to what is wanted, or in check mode say what that takes."""
    opened.cursor.execute(_roles.CATALOGUE, {"names": [role.name for role in roles]})
    found = {row["name"]: _roles.found_in(row) for row in opened.cursor.fetchall()}
    wanted = {role.name: _roles.statements(role, found.get(role.name), os.urandom) for role in roles}
    due = [role for role in roles if wanted[role.name]]
    if due and not module.check_mode:
        # One statement a call: pgaudit leaves a password out of a statement, but not out of a script of many.
        for statement in [_roles.QUIET, "BEGIN", *(statement for role in due for statement in wanted[role.name]), "COMMIT"]:
            opened.cursor.execute(statement)
    before = {role.name: _roles.shown(found.get(role.name), _word(found.get(role.name))) for role in due}
    after = {
        role.name: _roles.shown(role, "another" if any("PASSWORD '" in text for text in wanted[role.name]) else _word(role)) for role in due
    }
    return {
        "changed": bool(due),
        "created": [role.name for role in due if role.name not in found],
        "altered": [role.name for role in due if role.name in found],
        "diff": {"before": before, "after": after},
    }


def _word(role: _roles.Role | _roles.Found | None) -> str:
    return "set" if role is not None and role.password is not None else "none"


if __name__ == "__main__":
    main()
