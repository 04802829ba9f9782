#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_journal
short_description: What a rollback notes on a host
version_added: "0.1.0"
description:
  - A rollback writes down its plan and each step that is done, so that one that was killed is taken up by the next run, on whatever controller. When it
    is finished, the journal is kept beside those of before, and what was measured serves the next estimate.
  - Files are C(<name>_rollback.json), C(<name>_rollback_rates.json), and C(<name>_rollback.<when it began>.json) for the twenty last finished ones.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  name:
    description: Which rollback. Without it the journals of all are read, and O(state=read) is all that can be asked.
    type: str
    choices: [application, configuration, full]
  state:
    description:
      - V(read) only tells what is there.
      - V(noted) writes O(journal).
      - V(finished) keeps the journal among the finished ones, and O(rates) where they are given.
      - V(dropped) forgets it.
    type: str
    choices: [read, noted, finished, dropped]
    default: read
  journal:
    description: What is written, with C(plan), C(began) and C(done).
    type: dict
  rates:
    description: What was measured, seconds by what took them. Without them those of before stay.
    type: dict
  directory:
    description: Where the files are.
    type: path
    default: /var/lib/arxos
"""

EXAMPLES = r"""
- name: Look for a rollback that is not finished
  arxos.platform.rollback_journal:
    name: application
  register: found

- name: Look for any
  arxos.platform.rollback_journal:
  register: all

- name: Note that the hosts are switched
  arxos.platform.rollback_journal:
    name: application
    state: noted
    journal: {plan: {to: 1.0.0}, began: "2026-11-26T03:15:00Z", done: {switch: 21.4}}
"""

RETURN = r"""
journal:
  description: The rollback that is not finished, empty where there is none. As it was before this call.
  returned: when O(name) is given
  type: dict
  sample: {plan: {to: 1.0.0}, began: "2026-11-26T03:15:00Z", done: {}}
rates:
  description: What was measured before this call.
  returned: when O(name) is given
  type: dict
  sample: {turn_seconds: 7.2}
finished:
  description: The newest that is finished, empty where there is none. As it was before this call.
  returned: when O(name) is given
  type: dict
  sample: {plan: {from: 1.1.0, to: 1.0.0}, began: "2026-11-26T03:15:00Z", done: {switch: 21.3, verify: 5.9}}
unfinished:
  description: Those that are not finished, by name.
  returned: when O(name) is not given
  type: dict
  sample: {application: {plan: {to: 1.0.0}, began: "2026-11-26T03:15:00Z", done: {}}}
damaged:
  description: Those that cannot be read, by name, and why.
  returned: when O(name) is not given
  type: dict
  sample: {full: "/var/lib/arxos/full_rollback.json is damaged (Expecting value: line 1 column 1 (char 0)): move it away"}
"""

from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._rollback_journal import DIRECTORY, JournalError, Notes
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

NAMES = ["application", "configuration", "full"]


def main() -> None:
    module = StrictModule(
        argument_spec={
            "name": {"type": "str", "choices": NAMES},
            "state": {"type": "str", "choices": ["read", "noted", "finished", "dropped"], "default": "read"},
            "journal": {"type": "dict"},
            "rates": {"type": "dict"},
            "directory": {"type": "path", "default": DIRECTORY},
        },
        required_if=[("state", "noted", ["journal", "name"]), ("state", "finished", ["name"]), ("state", "dropped", ["name"])],
        supports_check_mode=True,
    )
    given = module.params
    if given["name"] is None:
        found: dict[str, dict[str, Any]] = {"unfinished": {}, "damaged": {}}
        for name in NAMES:
            try:
                if journal := Notes(name, given["directory"]).journal():
                    found["unfinished"][name] = journal
            except JournalError as error:
                found["damaged"][name] = str(error)
        module.exit_json(changed=False, **found)
    notes = Notes(given["name"], given["directory"])
    try:
        found = {"journal": notes.journal(), "rates": notes.rates(), "finished": notes.finished()}
        changed = False
        if given["state"] == "noted":
            changed = found["journal"] != given["journal"] if module.check_mode else notes.note(given["journal"])
        elif given["state"] != "read" and module.check_mode:
            changed = bool(found["journal"])
        elif given["state"] == "finished":
            learnt = given["rates"] is not None and notes.learn(given["rates"])
            changed = notes.finish() or learnt
        elif given["state"] == "dropped":
            changed = notes.drop()
    except JournalError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, **found)


if __name__ == "__main__":
    main()
