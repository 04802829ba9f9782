#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_fence
short_description: Stop PostgreSQL of a paused Patroni cluster so that nobody can write any more
version_added: "0.1.0"
description:
  - Stops PostgreSQL on this host cleanly, while Patroni is paused and so neither starts it again (after a reboot either) nor promotes another.
    No privilege and no setting of a client gets around a server that does not run.
  - Checkpoints first, while it still serves, so that stopping is quick whatever is dirty. Then gives the leader's lock back at once.
  - Says where its WAL ended, and whether all of it is in the archive; what is not there yet is pushed.
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
  data_directory:
    description: PostgreSQL's data.
    type: path
    required: true
  bin_directory:
    description: Where the programs C(pg_ctl) and C(pg_controldata) are.
    type: path
    required: true
  archive_command:
    description:
      - Program and arguments that archive one file of WAL, whose path is added. It runs as C(postgres) for files that are not archived yet.
      - Without it, nothing is archived, and nothing is asked of the archive.
    type: list
    elements: str
    default: []
  restapi_url:
    description: Patroni's REST API on this host.
    type: str
    required: true
  restapi_user:
    description: User of the REST API.
    type: str
    default: patroni
  restapi_password:
    description: Password of O(restapi_user).
    type: str
    default: ""
  ca_cert:
    description: File with the certificates that the REST API is verified with.
    type: path
    required: true
  timeout:
    description: Seconds to wait for PostgreSQL to stop.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Let nobody write any more
  arxos.platform.postgresql_fence:
    data_directory: /var/lib/postgresql/15/main
    bin_directory: /usr/lib/postgresql/15/bin
    archive_command: [pgbackrest, --stanza=arxos, archive-push]
    restapi_url: https://192.0.2.31:8008
    restapi_password: "{{ vault_patroni_restapi_password }}"
    ca_cert: /etc/ssl/arxos/ca.crt
"""

RETURN = r"""
lsn:
  description: Where the WAL ended, when PostgreSQL was stopped.
  returned: success, but for check mode
  type: str
  sample: 0/5000090
timeline:
  description: On which timeline.
  returned: success, but for check mode
  type: int
  sample: 3
next_xid:
  description: The transaction that would have been the next, with its epoch. What is below it was written before PostgreSQL was stopped.
  returned: success, but for check mode
  type: int
  sample: 871
pushed:
  description: Files of WAL that were archived now.
  returned: success, but for check mode
  type: list
  elements: str
  sample: []
seconds:
  description: How long PostgreSQL took to stop. What came before did not stop it from serving.
  returned: success, but for check mode
  type: float
  sample: 0.61
"""

import os
import re
import time
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._guard import GuardError
from ansible_collections.arxos.platform.plugins.module_utils._guard_host import LocalHost
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

_AS_POSTGRES = ["runuser", "-u", "postgres", "--"]


def main() -> None:
    module = StrictModule(
        argument_spec={
            "data_directory": {"type": "path", "required": True},
            "bin_directory": {"type": "path", "required": True},
            "archive_command": {"type": "list", "elements": "str", "default": []},
            "restapi_url": {"type": "str", "required": True},
            "restapi_user": {"type": "str", "default": "patroni"},
            "restapi_password": {"type": "str", "default": "", "no_log": True},
            "ca_cert": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    given = module.params
    host = LocalHost(
        module.run_command,
        url=given["restapi_url"],
        ca_cert=given["ca_cert"],
        user=given["restapi_user"],
        password=given["restapi_password"],
    )
    running = os.path.exists(os.path.join(given["data_directory"], "postmaster.pid"))
    if module.check_mode:
        module.exit_json(changed=running)
    try:
        answer = _fence(module, host, given, running)
    except GuardError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


def _fence(module: StrictModule, host: LocalHost, given: dict[str, Any], running: bool) -> dict[str, Any]:
    status, body = host.patroni("GET", "/patroni")
    if not (isinstance(body, dict) and body.get("pause")):
        raise GuardError(f"Patroni of this host is not paused ({status}): it would start PostgreSQL again, or let another lead")
    seconds = 0.0
    if running:
        host.sql("CHECKPOINT")
        began = time.monotonic()
        stop = ["pg_ctl", "stop", "-D", given["data_directory"], "-m", "fast", "-w", "-t", str(given["timeout"])]
        rc, out, err = module.run_command([*_AS_POSTGRES, os.path.join(given["bin_directory"], stop[0]), *stop[1:]], cwd="/")
        seconds = round(time.monotonic() - began, 2)
        if rc and os.path.exists(os.path.join(given["data_directory"], "postmaster.pid")):
            raise GuardError(f"PostgreSQL does not stop: {(err or out).strip()}. Look in its log, then run this again")
    # A change that changes nothing wakes Patroni, which gives the lock of a leader that does not run away.
    host.patroni("PATCH", "/config", {"pause": True})
    found = _control_data(module, given)
    pushed = _archive(module, given)
    return {"changed": running or bool(pushed), **found, "pushed": pushed, "seconds": seconds}


def _control_data(module: StrictModule, given: dict[str, Any]) -> dict[str, Any]:
    command = [os.path.join(given["bin_directory"], "pg_controldata"), "-D", given["data_directory"]]
    _rc, out, _err = module.run_command(command, check_rc=True, environ_update={"LC_ALL": "C"})
    fields = dict(re.findall(r"^([^:]+):\s+(.*)$", out, re.MULTILINE))
    if fields["Database cluster state"] not in ("shut down", "shut down in recovery"):
        raise GuardError(
            f"PostgreSQL was not stopped cleanly ({fields['Database cluster state']}): run this again after `patronictl resume` has mended it"
        )
    epoch, _colon, xid = fields["Latest checkpoint's NextXID"].partition(":")
    return {
        "lsn": fields["Latest checkpoint location"],
        "timeline": int(fields["Latest checkpoint's TimeLineID"]),
        "next_xid": (int(epoch) << 32) + int(xid),
    }


def _archive(module: StrictModule, given: dict[str, Any]) -> list[str]:
    """Pushes what PostgreSQL has not archived. Returns the names."""
    if not given["archive_command"]:
        return []
    wal = os.path.join(given["data_directory"], "pg_wal")
    status = os.path.join(wal, "archive_status")
    waiting = sorted(name[: -len(".ready")] for name in os.listdir(status) if name.endswith(".ready"))
    for name in waiting:
        rc, out, err = module.run_command([*_AS_POSTGRES, *given["archive_command"], os.path.join(wal, name)], cwd="/")
        if rc:
            raise GuardError(
                f"{name} cannot be archived, so the present state is not backed up and nothing was thrown away: {(err or out).strip()}"
            )
        os.rename(os.path.join(status, name + ".ready"), os.path.join(status, name + ".done"))
    return waiting


if __name__ == "__main__":
    main()
