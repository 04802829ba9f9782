#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: application_release_info
short_description: Read which releases of an application are installed, live and running
version_added: "0.1.0"
description:
  - Reads the releases that M(arxos.platform.application_release) installed, the links that say which is live, and what the service really runs.
  - It says why the service has to be restarted, if it has to, from what is there and not from what changed in this run. So a restart that a killed run
    never came to is not forgotten.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
seealso:
  - module: arxos.platform.application_release
options:
  root:
    description: Folder of the application.
    type: path
    default: /opt/arxos
  unit:
    description: Full name of the systemd unit that runs it.
    type: str
    required: true
  config_files:
    description: Files that the service reads once, when it starts. One that is newer than its process is a reason to restart.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Read which release is live
  arxos.platform.application_release_info:
    unit: arxos-api.service
    config_files: [/etc/arxos/api.env, /etc/systemd/system/arxos-api.service]
  register: release
"""

RETURN = r"""
current:
  description: The live release, empty where there is none.
  returned: success
  type: str
  sample: 1.1.0
leaving:
  description: What was live before a switch that is not confirmed, else empty.
  returned: success
  type: str
  sample: 1.0.0
previous:
  description: The release to roll back to, empty where there is none.
  returned: success
  type: str
  sample: 1.0.0
releases:
  description: The releases that are completely installed, those installed first come first.
  returned: success
  type: list
  elements: str
  sample: [1.0.0, 1.1.0]
checksums:
  description: The checksum of the artifact that each complete release was installed from.
  returned: success
  type: dict
  sample: {"1.0.0": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}
running:
  description: The release that the service runs, empty where it is not active.
  returned: success
  type: str
  sample: 1.0.0
stale:
  description: Reasons to restart the service. Empty where it runs what it should, as it should.
  returned: success
  type: list
  elements: str
  sample: ["arxos-api.service was started before /opt/arxos/current was written"]
switched_at:
  description: When the live release became so, in seconds since 1970 by the host's clock; V(0) where none is live.
  returned: success
  type: float
  sample: 1795662900.0
oldest:
  description: The oldest release that can do with the database as the live release's migrations left it, by what those say. Empty where any can.
  returned: success
  type: str
  sample: 1.2.0
"""

from collections.abc import Mapping
from pathlib import Path

from ansible_collections.arxos.platform.plugins.module_utils import _releases
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    module = StrictModule(
        argument_spec={
            "root": {"type": "path", "default": "/opt/arxos"},
            "unit": {"type": "str", "required": True},
            "config_files": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )

    def run(command: list[str], environment: Mapping[str, str]) -> str:
        code, output, errors = module.run_command(command, environ_update=dict(environment))
        if code:
            raise _releases.ReleaseError(f"{' '.join(command[:3])} ended with {code}: {errors.strip()[-500:]}")
        return str(output)

    try:
        root = Path(module.params["root"])
        status = _releases.read_service(root, _releases.read_links(root), module.params["unit"], module.params["config_files"], run)
    except (_releases.ReleaseError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **status.as_dict())


if __name__ == "__main__":
    main()
