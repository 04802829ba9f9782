#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_readers
short_description: Have daemons take up the certificate that is on disk
version_added: "0.1.0"
description:
  - Asks every daemon by a TLS handshake which certificate it serves. One that serves another than the file has is reloaded, and the module waits until it
    serves what is on disk. So a reload that a killed run never came to is made by the next run, and nothing is reloaded that is right.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: A daemon whose certificate is yet to be made will start with it, and counts as one that serves it.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  readers:
    description: The daemons.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What messages call it.
        type: str
        required: true
      certificate:
        description: File whose first certificate it has to serve.
        type: path
        default: /etc/ssl/arxos/host.crt
      host:
        description: Address where it serves.
        type: str
        default: 127.0.0.1
      port:
        description: Port where it serves.
        type: int
        required: true
      server_name:
        description: Name to ask for.
        type: str
      starttls:
        description: Protocol that begins in clear text.
        type: str
        choices: [postgres]
      client_cert:
        description: Certificate to show, to a daemon that asks for one.
        type: path
      client_key:
        description: Its key.
        type: path
      unit:
        description: Unit that takes the certificate up. Without it and without O(readers[].command), the daemon does so by itself.
        type: str
      verb:
        description: What is done to the unit.
        type: str
        choices: [reload, restart]
        default: reload
      command:
        description: Command in place of O(readers[].unit).
        type: list
        elements: str
      environment:
        description: Variables of the command, for what no list of processes may show.
        type: dict
  timeout:
    description: Seconds to wait for all of them.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Have PostgreSQL and Patroni take the certificate up
  arxos.platform.certificate_readers:
    readers:
      - {name: Patroni, host: 192.0.2.31, port: 8008, unit: patroni.service}
      - {name: PostgreSQL, host: 192.0.2.31, port: 5432, starttls: postgres, unit: patroni.service}
"""

RETURN = r"""
behind:
  description: Daemons that served another certificate.
  returned: success
  type: list
  elements: str
  sample: [PostgreSQL]
"""

from collections.abc import Mapping
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _certificate_readers
from ansible_collections.arxos.platform.plugins.module_utils._certificate_readers import ReaderError
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

READER = {
    "name": {"type": "str", "required": True},
    "certificate": {"type": "path", "default": "/etc/ssl/arxos/host.crt"},
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "required": True},
    "server_name": {"type": "str"},
    "starttls": {"type": "str", "choices": ["postgres"]},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "unit": {"type": "str"},
    "verb": {"type": "str", "choices": ["reload", "restart"], "default": "reload"},
    "command": {"type": "list", "elements": "str"},
    "environment": {"type": "dict", "no_log": True},
}


def main() -> None:
    module = StrictModule(
        argument_spec={
            "readers": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": READER,
                "mutually_exclusive": [("unit", "command")],
                "required_together": [("client_cert", "client_key")],
            },
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    readers = module.params["readers"]

    def act(reader: Mapping[str, Any]) -> None:
        """Runs what a reader names; one that names nothing notices by itself."""
        command = reader["command"] or (["systemctl", reader["verb"], reader["unit"]] if reader["unit"] else None)
        if command is None:
            return
        rc, out, err = module.run_command(command, environ_update={k: str(v) for k, v in (reader["environment"] or {}).items()})
        # redis-cli ends with 0 whatever it is answered.
        if rc or out.startswith("ERR"):
            raise ReaderError(f"{reader['name']} refuses to take the certificate up: {(err or out).strip()}")

    try:
        if module.check_mode:
            late = [reader["name"] for reader in _certificate_readers.would_be_behind(readers)]
        else:
            late = _certificate_readers.take_up(readers, act, module.params["timeout"])
    except ReaderError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(late), behind=late)


if __name__ == "__main__":
    main()
