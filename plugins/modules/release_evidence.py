#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_evidence
short_description: Collect what a host says of a release that failed
version_added: "1.0.0"
description:
  - Reads, in one round trip, the end of a unit's journal, what systemd says of it, what its health answers, and the last lines of NGINX's access log
    about some application servers; whatever is asked for.
  - What looks like a secret is hidden before it leaves the host, by its form, by the name before it, and where it stands in one of O(secret_files).
  - It changes nothing and does not fail. What cannot be read says why in its place.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  unit:
    description: Unit whose journal and state are read. Empty for none.
    type: str
    default: ""
  health_url:
    description: URL whose answer is read, whatever its status. Empty for none.
    type: str
    default: ""
  ca_cert:
    description: Authority of that URL's certificate.
    type: path
    default: /etc/ssl/arxos/ca.crt
  log:
    description: The access log of NGINX.
    type: path
    default: /var/log/nginx/access.log
  upstreams:
    description: Application servers, as address:port, whose last lines of that log are read. Empty for none.
    type: list
    elements: str
    default: []
  lines:
    description: Lines of the journal and of the log, at most.
    type: int
    default: 100
  bytes:
    description: Bytes of each, at most. Of what is longer the end is kept.
    type: int
    default: 32768
  secret_files:
    description: Environment files whose secret variables are looked for in all that is read.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Keep what the application says before it is put back
  arxos.platform.release_evidence:
    unit: arxos-api.service
    health_url: https://127.0.0.1:8443/health/
    secret_files: [/etc/arxos/api.env]
  register: failure
"""

RETURN = r"""
evidence:
  description: What was read, C(journal), C(state), C(health) and C(nginx), each that was asked for.
  returned: success
  type: dict
  sample: {"health": "503 {\"status\": \"unhealthy\"}"}
"""

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.arxos.platform.plugins.module_utils import _access_log, _evidence
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def ask(url: str, ca_cert: str, most: int) -> str:
    """Status and body of an answer, or why there is none."""
    parts = urlsplit(url)
    try:
        context = ssl.create_default_context(cafile=ca_cert)
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=10, context=context)
        try:
            connection.request("GET", parts.path or "/", headers={"User-Agent": "arxos-release-evidence"})
            answer = connection.getresponse()
            return f"{answer.status} {answer.read(most).decode('utf-8', 'replace')}"
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"


def main() -> None:
    module = StrictModule(
        argument_spec={
            "unit": {"type": "str", "default": ""},
            "health_url": {"type": "str", "default": ""},
            "ca_cert": {"type": "path", "default": "/etc/ssl/arxos/ca.crt"},
            "log": {"type": "path", "default": "/var/log/nginx/access.log"},
            "upstreams": {"type": "list", "elements": "str", "default": []},
            "lines": {"type": "int", "default": 100},
            "bytes": {"type": "int", "default": 32768},
            "secret_files": {"type": "list", "elements": "path", "no_log": False, "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    found: dict[str, str] = {}

    def run(*command: str) -> str:
        code, output, errors = module.run_command(list(command), environ_update={"LC_ALL": "C.UTF-8"})
        return str(output) if not code else f"{command[0]} ended with {code}: {errors.strip()}"

    if given["unit"]:
        found["journal"] = run("journalctl", "--unit", given["unit"], "--lines", str(given["lines"]), "--no-pager", "--output", "short-iso")
        shown = "ActiveState,SubState,Result,ExecMainStatus,ExecMainStartTimestamp,NRestarts,MemoryCurrent"
        found["state"] = run("systemctl", "show", given["unit"], "-p", shown)
    if given["health_url"]:
        found["health"] = ask(given["health_url"], given["ca_cert"], given["bytes"])
    if given["upstreams"]:
        try:
            found["nginx"] = "\n".join(_access_log.last_lines(Path(given["log"]), given["upstreams"], given["lines"]))
        except OSError as error:
            found["nginx"] = f"{given['log']} cannot be read: {error.strerror}"
    secrets: list[str] = []
    for path in given["secret_files"]:
        try:
            secrets += _evidence.secrets_in(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeError) as error:
            # Where secrets cannot be told from words, what was read stays here.
            found = dict.fromkeys(found, f"left out, since {path} cannot be read: {error}")
    module.exit_json(
        changed=False, evidence={name: _evidence.bounded(_evidence.redact(text, secrets), given["bytes"]) for name, text in found.items()}
    )


if __name__ == "__main__":
    main()
