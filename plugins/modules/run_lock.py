#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: Take or give back the lock of a platform on one of the hosts that keep it
version_added: "0.1.0"
description:
  - A run has the platform for itself when it has the lock on more than half of the hosts that keep it, which P(arxos.platform.run_lock_verdict#filter)
    judges. Each call leaves the record of the run on the host as well, in the same round trip.
  - A lock of another run is taken over where that is dead. One whose process was on this controller is dead when the process is gone; one of
    another controller, O(lease_minutes) after its last call. Otherwise C(acquired) is false, and nothing fails; nor where the host cannot be asked.
  - It never reports a change, for what it writes belongs to the run and is nothing that a platform is converged to.
  - It needs no package on the host but Python.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: In check mode no lock is taken.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  state:
    description: V(present) takes the lock, or renews it. V(absent) removes it where this run has it.
    type: str
    choices: [present, absent]
    default: present
  folder:
    description: Folder of the lock and the records on the host. It is made where it is not there, with mode 0750.
    type: path
    default: /var/lib/arxos/runs
  lease_minutes:
    description: Minutes after its last sign of life after which a run of another controller is dead.
    type: float
    default: 240
  take_over:
    description: Id of a run that is dead for sure. Its lock is taken over (V(present)) or removed (V(absent)).
    type: str
    default: ""
  wait:
    description: Seconds to wait for another run that is about to give way.
    type: float
    default: 0
  keep:
    description: How many records are kept in O(folder), the newest.
    type: int
    default: 50
  log:
    description:
      - Whether the system log gets the lines of the record, as program C(arxos-run), without steps that changed nothing. The first of them when the
        lock is taken, the others when it is given back.
    type: bool
    default: false
  holder:
    description: This run. The action of this module fills it in.
    type: dict
  gone:
    description: Id of a run whose process is gone. The action of this module fills it in.
    type: str
    default: ""
  records:
    description: Ids of runs to what their records say. The action of this module fills it in.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Take the lock on every host that keeps it
  arxos.platform.run_lock:
  delegate_to: "{{ keeper }}"
  loop: "{{ arxos_run_keepers }}"
  loop_control: {loop_var: keeper}
  run_once: true
  register: lock

- name: Refuse to be the second
  ansible.builtin.assert:
    that: (lock.results | arxos.platform.run_lock_verdict).held
"""

RETURN = r"""
acquired:
  description: With V(present), whether this run has the lock on this host.
  returned: always
  type: bool
why:
  description: V(free), V(ours), V(gone), V(asked) or V(expired) say why it has it, V(held) why not.
  returned: when the host could be asked
  type: str
  sample: free
mine:
  description: Id of this run.
  returned: always
  type: str
  sample: 20261126T031500Z-3f9a
holder:
  description: Who has the lock now, empty where nobody does. Times are seconds since 1970 by the clock of the host.
  returned: when the host could be asked
  type: dict
  sample: {id: 20261126T031500Z-3f9a, who: jane, playbook: go_live.yml, since: 1795662900.0, renewed_at: 1795662900.0}
before:
  description: Who had it before, empty where nobody did.
  returned: when the host could be asked
  type: dict
now:
  description: The clock of the host.
  returned: when the host could be asked
  type: float
kept:
  description: Whether the record of this run is on the host.
  returned: when the host could be asked
  type: bool
last:
  description: With V(present), the newest run of the same playbook in the same way that the host has a record of, empty where it has none.
  returned: when the lock was taken for the first time
  type: dict
complete:
  description: Such a run that came to a good end.
  returned: when the lock was taken for the first time
  type: dict
problem:
  description: Why the host could not be asked.
  returned: when it could not
  type: str
"""

import syslog
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.arxos.platform.plugins.module_utils import _run_record, _run_store
from ansible_collections.arxos.platform.plugins.module_utils._run_lock import Holder, holder_from_dict


def log(lines: list[str]) -> None:
    """Lines of a record into the system log."""
    syslog.openlog("arxos-run", 0, syslog.LOG_LOCAL0)
    for line in lines:
        syslog.syslog(syslog.LOG_NOTICE, line)


def told(holder: Holder | None) -> dict[str, Any]:
    """A holder as it is returned."""
    return asdict(holder) if holder else {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "folder": {"type": "path", "default": "/var/lib/arxos/runs"},
            "lease_minutes": {"type": "float", "default": 240},
            "take_over": {"type": "str", "default": ""},
            "wait": {"type": "float", "default": 0},
            "keep": {"type": "int", "default": 50},
            "log": {"type": "bool", "default": False},
            "holder": {"type": "dict"},
            "gone": {"type": "str", "default": ""},
            "records": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
        no_log=True,  # its arguments hold the record, which has a place of its own
    )
    given = module.params
    folder, records = Path(given["folder"]), given["records"]
    try:
        mine = holder_from_dict(given["holder"] or {})
        _run_store.make(folder)
        if given["state"] == "present":
            taken = _run_store.take(folder, mine, given["lease_minutes"] * 60, given["take_over"], given["gone"], given["wait"])
            answer = {"acquired": taken.acquired, "why": taken.why, "holder": told(taken.holder), "before": told(taken.before)}
            if taken.acquired and taken.why != "ours":
                answer.update(earlier(folder, records, mine.id))
        else:
            before = _run_store.give_back(folder, mine, given["take_over"])
            answer = {"acquired": False, "why": "ours", "holder": told(_run_store.holder(folder)), "before": told(before)}
        _run_store.keep(folder, {str(run): str(text) for run, text in records.items()}, given["keep"])
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{folder}: {error}")
    if given["log"]:
        lines = _run_record.chosen_for_log(str(records.get(mine.id, "")))
        log(lines[1:] if given["state"] == "absent" else lines[:1] if answer["acquired"] and answer["why"] != "ours" else [])
    module.exit_json(changed=False, now=time.time(), kept=mine.id in records, **answer)


def earlier(folder: Path, records: dict[str, Any], run: str) -> dict[str, Any]:
    """What runs before this one came to, of those that went the same way."""
    like = _run_record.parse(str(records.get(run, "")), run)
    known = _run_store.records(folder, 20)
    found = {name: _run_record.last_of(known, like, complete) for name, complete in (("last", False), ("complete", True))}
    return {name: record.as_dict() if record else {} for name, record in found.items()}


if __name__ == "__main__":
    main()
