#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: run_record_info
short_description: Who has the lock of the platform, and which runs there were
version_added: "0.1.0"
description:
  - Reads what M(arxos.platform.run_lock) left on a host. It only reads.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  folder:
    description: Folder of the lock and the records on the host.
    type: path
    default: /var/lib/arxos/runs
  id:
    description: The run to tell of. Empty means all of them.
    type: str
    default: ""
  limit:
    description: The newest so many runs. 0 means all that are kept.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Read the last ten runs
  arxos.platform.run_record_info:
    limit: 10
  register: seen
"""

RETURN = r"""
lock:
  description: Who has the lock, empty where nobody does. Times are seconds since 1970 by the clock of the host.
  returned: success
  type: dict
  sample: {id: 20261126T031500Z-3f9a, who: jane, playbook: go_live.yml, since: 1795662900.0, renewed_at: 1795662900.0}
runs:
  description: Runs, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Its id., returned: always, type: str, sample: 20261126T031500Z-3f9a}
    began: {description: When it began., returned: always, type: str, sample: "2026-11-26T03:15:00Z"}
    seen: {description: The moment of its last line., returned: always, type: str, sample: "2026-11-26T03:18:20Z"}
    who: {description: Who began it., returned: always, type: str, sample: jane}
    controller: {description: The host that it was begun on., returned: always, type: str, sample: control1}
    playbook: {description: The playbook that was called., returned: always, type: str, sample: go_live.yml}
    verdict: {description: "V(ok), V(failed), or V(INCOMPLETE) where it did not come to its end.", returned: always, type: str, sample: ok}
    seconds: {description: How long it took., returned: always, type: float, sample: 200.4}
    stages: {description: "Its stages with C(stage), C(offset), C(seconds), C(tasks), C(changed), C(failed).", returned: always, type: list,
      elements: dict, sample: []}
    failures: {description: "What failed, each with C(stage), C(task), C(host), C(message).", returned: always, type: list, elements: dict, sample: []}
    changed: {description: Hosts to how many tasks changed them., returned: always, type: dict, sample: {app1: 3}}
    evidence: {description: "What was collected, each with C(name), C(file), C(sha256), C(bytes).", returned: always, type: list, elements: dict,
      sample: []}
"""

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.arxos.platform.plugins.module_utils import _run_store


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "default": "/var/lib/arxos/runs"},
            "id": {"type": "str", "default": ""},
            "limit": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"])
    try:
        holder = _run_store.holder(folder)
        runs = _run_store.records(folder, module.params["limit"], module.params["id"])
    except OSError as error:
        module.fail_json(msg=f"{folder} cannot be read: {error}")
    module.exit_json(changed=False, lock=asdict(holder) if holder else {}, runs=[run.as_dict() for run in runs])


if __name__ == "__main__":
    main()
