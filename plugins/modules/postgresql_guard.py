#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_guard
short_description: Hold a member of a Patroni cluster at a restore point, open it there, or give it back
version_added: "0.1.0"
description:
  - A guard is a replica that stands at a restore point and replays nothing after it. Opened as the new leader it gives the database back as it was,
    in the same time whatever its size is.
  - It runs outside of Patroni, in a unit of its own, because Patroni takes recovery targets away from its members. C(patroni.service) of the host
    is stopped and does not start, after a reboot either, until the guard is released or opened.
  - While it is held it is not reachable over the network, is no synchronous replica, and keeps no WAL on the primary; it has no slot there.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
requirements:
  - to run as root, with PostgreSQL 14 or newer and C(postgres) let in over the local socket
options:
  state:
    description:
      - V(armed) takes the member out of Patroni and has it replay until O(label), which must not be in the WAL yet. It streams when this returns.
      - V(held) waits until it stands at O(label) and cuts it off from the primary.
      - V(released) gives it back to Patroni as a replica.
      - V(opened) promotes it where it stands and waits until Patroni leads with it. The cluster must be paused and without a leader.
    type: str
    choices: [armed, held, released, opened]
    required: true
  label:
    description: What the restore point is called in the WAL. Not needed to release.
    type: str
    default: ""
  lsn:
    description: Place of the restore point, that it must stand at. Not checked unless given.
    type: str
    default: ""
  target:
    description: For O(state=armed), whether to stop at O(label). Without it PostgreSQL stops where its data directory says, as after a restore.
    type: bool
    default: true
  data_directory:
    description: PostgreSQL's data.
    type: path
    required: true
  bin_directory:
    description: Where the program C(postgres) is, for O(state=armed).
    type: path
  restapi_url:
    description: Patroni's REST API on this host, for O(state=opened).
    type: str
    default: ""
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
  timeout:
    description: Seconds that each wait may take.
    type: float
    default: 120
"""

EXAMPLES = r"""
- name: Let a replica wait for the point before release 1.2.0
  arxos.platform.postgresql_guard:
    state: armed
    label: 1.2.0@20261123T081949Z
    data_directory: /var/lib/postgresql/15/main
    bin_directory: /usr/lib/postgresql/15/bin

- name: Make sure that it stands there, after the point was made
  arxos.platform.postgresql_guard:
    state: held
    label: 1.2.0@20261123T081949Z
    lsn: 0/5000090
    data_directory: /var/lib/postgresql/15/main

- name: Have it follow the leader again
  arxos.platform.postgresql_guard:
    state: released
    data_directory: /var/lib/postgresql/15/main
"""

RETURN = r"""
guard:
  description: What is held on this host.
  returned: success
  type: dict
  contains:
    label: {description: "The restore point's label, empty when nothing is held.", returned: always, type: str, sample: "1.2.0@20261123T081949Z"}
    running: {description: Whether its unit runs., returned: always, type: bool, sample: true}
    held: {description: Whether it stands at its target., returned: always, type: bool, sample: true}
    promoted: {description: Whether it takes writes already., returned: always, type: bool, sample: false}
    lsn: {description: Where it stands., returned: always, type: str, sample: 0/5000090}
    cut_off: {description: Whether it has no primary any more., returned: always, type: bool, sample: true}
    receiver: {description: "Process that receives from the primary, 0 without.", returned: always, type: int, sample: 0}
    streaming: {description: Whether it streams from the primary., returned: always, type: bool, sample: false}
steps:
  description: What was done, in order (in check mode, would be).
  returned: always
  type: list
  elements: str
  sample: ["hold at 1.2.0@20261123T081949Z"]
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 3.21
"""

import time
from dataclasses import asdict

from ansible_collections.arxos.platform.plugins.module_utils._guard import Clock, GuardError, Keeper
from ansible_collections.arxos.platform.plugins.module_utils._guard_host import LocalHost
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    module = StrictModule(
        argument_spec={
            "state": {"type": "str", "choices": ["armed", "held", "released", "opened"], "required": True},
            "label": {"type": "str", "default": ""},
            "lsn": {"type": "str", "default": ""},
            "target": {"type": "bool", "default": True},
            "data_directory": {"type": "path", "required": True},
            "bin_directory": {"type": "path"},
            "restapi_url": {"type": "str", "default": ""},
            "restapi_user": {"type": "str", "default": "patroni"},
            "restapi_password": {"type": "str", "default": "", "no_log": True},
            "ca_cert": {"type": "path"},
            "timeout": {"type": "float", "default": 120},
        },
        required_if=[
            ("state", "armed", ("bin_directory",)),
            ("state", "opened", ("ca_cert",)),
        ],
        supports_check_mode=True,
    )
    given = module.params
    module.refuse(_faults(given))
    began = time.monotonic()
    host = LocalHost(
        module.run_command,
        url=given["restapi_url"],
        ca_cert=given["ca_cert"] or "",
        user=given["restapi_user"],
        password=given["restapi_password"],
    )
    keeper = Keeper(host, Clock(time.monotonic, time.sleep), given["data_directory"], given["timeout"], check=module.check_mode)
    try:
        before = keeper.look()
        if given["state"] == "armed":
            keeper.arm(given["label"], binaries=given["bin_directory"], target=given["target"])
        elif given["state"] == "held":
            keeper.hold(given["label"], given["lsn"])
        elif given["state"] == "released":
            keeper.release()
        else:
            keeper.open(given["label"], given["lsn"])
        after = keeper.look()
    except GuardError as error:
        module.fail_json(msg=str(error), steps=keeper.steps)
    module.exit_json(
        changed=bool(keeper.steps),
        guard=asdict(after),
        steps=keeper.steps,
        seconds=round(time.monotonic() - began, 2),
        diff={"before": asdict(before), "after": asdict(after)},
    )


def _faults(given: dict[str, object]) -> list[str]:
    found = []
    label = str(given["label"])
    if given["state"] != "released" and not label:
        found.append(f"label: say what is {given['state']}")
    if not all(character.isalnum() or character in "._-@:+" for character in label) or len(label) > 63:
        found.append(f"label is {label!r}, wanted at most 63 letters, digits, dots, dashes, underscores, colons, plus and at signs")
    if given["state"] == "opened" and not str(given["restapi_url"]).startswith("https://"):
        found.append("restapi_url: wanted an https:// address")
    return found


if __name__ == "__main__":
    main()
