#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: configuration_rollback_info
short_description: To which runs the configuration of a host can go back
version_added: "0.1.0"
description:
  - Lists the commits of C(/etc) that runs have left under their names, what no commit has, and whether a rollback was begun and not finished.
    What going to one of them would change is told by M(arxos.platform.configuration_rollback) in check mode. It only reads.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
requirements:
  - etckeeper with git; where C(/etc) is not kept, the list is empty
seealso:
  - module: arxos.platform.configuration_rollback
options: {}
"""

EXAMPLES = r"""
- name: Look at what runs have left
  arxos.platform.configuration_rollback_info:
  register: look
"""

RETURN = r"""
seals:
  description: Runs that left a commit, newest first. C(secrets) is the mark of the secrets of then. Names that end in C(-before) are what a rollback found.
  returned: success
  type: list
  elements: dict
  sample: [{name: 20261126T031500Z-3f9a, commit: 1f0c5f0f7c9a, at: "2026-11-26T03:21:07Z", secrets: 5f70bf18a086007b}]
dirty:
  description: Paths below C(/etc) that no commit has as they are.
  returned: success
  type: list
  elements: str
  sample: [motd]
journal:
  description: A rollback of the configuration that is not finished.
  returned: success
  type: dict
  sample: {}
finished:
  description: The newest rollback of the configuration that came to its end, empty where there is none.
  returned: success
  type: dict
  sample: {plan: {to: 20261126T031500Z-3f9a}, began: "2026-11-26T04:15:00Z", done: {turn 1: 6.1, verify: 5.9}}
rates:
  description: What the last one measured.
  returned: success
  type: dict
  sample: {turn_seconds: 6.1}
"""

from dataclasses import asdict

from ansible_collections.arxos.platform.plugins.module_utils._configuration_rollback import RollbackError
from ansible_collections.arxos.platform.plugins.module_utils._configuration_rollback_host import Etc
from ansible_collections.arxos.platform.plugins.module_utils._rollback_journal import JournalError, Notes
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    module = StrictModule(argument_spec={}, supports_check_mode=True)
    etc, notes = Etc(), Notes("configuration")
    try:
        found = {
            "seals": [asdict(seal) for seal in etc.seals()],
            "dirty": etc.dirty(),
            "journal": notes.journal(),
            "finished": notes.finished(),
            "rates": notes.rates(),
        }
    except (RollbackError, JournalError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
