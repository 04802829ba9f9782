#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_soak
short_description: Count what NGINX's access log says of each application server for a while
version_added: "1.0.0"
description:
  - Waits, then reads what was written to the access log since a mark, and counts for each server the requests that came to it, those that failed there
    and how long they took. A request that one server failed and another answered counts for both.
  - The log is that of role C(nginx), a JSON object a line with C(upstreams), C(upstream_status) and C(upstream_seconds). One that is rotated meanwhile is
    read to its end before the new one.
  - It judges nothing; P(arxos.platform.release_verdict#filter) does, with what every edge host counted.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  log:
    description: The access log.
    type: path
    default: /var/log/nginx/access.log
  mark:
    description: Where to begin, as an earlier call or C(stat -c '%i %s') says it. Empty for the end of the log as it is now.
    type: str
    default: ""
  seconds:
    description: Seconds to wait before the log is read, 0 to 300.
    type: float
    default: 0
  counted:
    description: The O(ignore:upstreams) of an earlier call, which are counted on.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Count for 10 seconds
  arxos.platform.release_soak:
    mark: "{{ before_the_switch }}"
    seconds: 10
  register: soak
"""

RETURN = r"""
mark:
  description: How far the log was read.
  returned: success
  type: str
  sample: "131 8192"
upstreams:
  description: Each server, as address:port, with what was counted.
  returned: success
  type: dict
  sample: {"10.20.2.21:8443": {"requests": 300, "errors": 1, "times": {"12": 250, "130": 50}}}
  contains:
    requests: {description: Requests that came to it., returned: always, type: int, sample: 300}
    errors: {description: "Those of them that ended there with a status of 500 or more.", returned: always, type: int, sample: 1}
    times: {description: "Milliseconds, in three digits, to how many requests took that long.", returned: always, type: dict, sample: {"12": 250}}
"""

import time
from pathlib import Path

from ansible_collections.arxos.platform.plugins.module_utils import _access_log
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    module = StrictModule(
        argument_spec={
            "log": {"type": "path", "default": "/var/log/nginx/access.log"},
            "mark": {"type": "str", "default": ""},
            "seconds": {"type": "float", "default": 0},
            "counted": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    given = module.params
    module.refuse([f"seconds is {given['seconds']:g}, wanted 0 to 300"] * (not 0 <= given["seconds"] <= 300))
    log = Path(given["log"])
    try:
        tallies = {server: _access_log.Tally.of(found) for server, found in given["counted"].items()}
        mark = given["mark"] or _access_log.end_of(log)
        time.sleep(given["seconds"])
        mark = _access_log.count_since(log, mark, tallies)
    except (KeyError, TypeError, ValueError) as error:
        module.fail_json(msg=f"mark and counted are what an earlier call returned, and these are not: {error}")
    except OSError as error:
        module.fail_json(msg=f"{error.filename or log} cannot be read: {error.strerror}")
    module.exit_json(changed=False, mark=mark, upstreams={server: tally.as_dict() for server, tally in sorted(tallies.items())})


if __name__ == "__main__":
    main()
