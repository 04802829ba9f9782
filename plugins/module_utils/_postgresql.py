# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the modules of PostgreSQL connect: their options, and a session whose rows are had by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.community.postgresql.plugins.module_utils import postgres

CONNECTION: dict[str, Any] = {
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "default": "", "no_log": True},
    "login_host": {"type": "str", "default": ""},
    "login_unix_socket": {"type": "str", "default": ""},
    "login_port": {"type": "int", "default": 5432},
    "ssl_mode": {"type": "str", "default": "prefer", "choices": ["allow", "disable", "prefer", "require", "verify-ca", "verify-full"]},
    "ca_cert": {"type": "path"},
    "ssl_cert": {"type": "path"},
    "ssl_key": {"type": "path", "no_log": False},
    "connect_params": {"type": "dict", "default": {}},
}


class Session(NamedTuple):
    """psycopg's connection and cursor, and its class of errors."""

    connection: Any
    cursor: Any
    errors: type[Exception]


class Unreachable(Exception):
    """The server does not let us in; the text says why."""


def connect(module: AnsibleModule) -> Session:
    """A session in autocommit. Raises Unreachable; fails the module where the library is not there."""
    postgres.ensure_required_libs(module)
    connection, error = postgres.connect_to_db(module, postgres.get_conn_params(module, module.params), autocommit=True, fail_on_conn=False)
    if connection is None:
        raise Unreachable(" ".join(str(error).split()))
    return Session(connection, connection.cursor(**postgres.pg_cursor_args), postgres.psycopg.Error)


@contextmanager
def session(module: AnsibleModule) -> Iterator[Session]:
    """A session in autocommit. Fails the module where the library or the server is not there."""
    postgres.ensure_required_libs(module)
    connection, _error = postgres.connect_to_db(module, postgres.get_conn_params(module, module.params), autocommit=True)
    try:
        yield Session(connection, connection.cursor(**postgres.pg_cursor_args), postgres.psycopg.Error)
    finally:
        connection.close()
