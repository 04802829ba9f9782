# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
requirements:
  - psycopg2 or psycopg 3.1 (C(python3-psycopg2)), PostgreSQL 14 or newer
options:
  login_user:
    description: Role to connect as.
    type: str
    default: postgres
  login_password:
    description: Password of O(login_user).
    type: str
    default: ""
  login_host:
    description: Host to connect to; the local socket unless given.
    type: str
    default: ""
  login_unix_socket:
    description: Directory of the socket, where it is not the usual one.
    type: str
    default: ""
  login_port:
    description: Port to connect to, which names the socket too.
    type: int
    default: 5432
  ssl_mode:
    description: How TLS is wanted, as libpq's C(sslmode) has it.
    type: str
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description: File with the certificates to trust.
    type: path
  ssl_cert:
    description: File with the certificate to show.
    type: path
  ssl_key:
    description: File with the key of O(ssl_cert).
    type: path
  connect_params:
    description: More connection parameters of libpq, which take precedence. A password belongs in O(login_password), where it is not shown.
    type: dict
    default: {}
"""
