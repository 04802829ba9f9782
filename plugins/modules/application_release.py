#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: application_release
short_description: Install releases of an application side by side, and say which is live
version_added: "0.1.0"
description:
  - Installs a release from an artifact, a C(tar.gz) with C(manifest.json) and Python wheels, into a virtual environment of its own, without any index.
    Migrations of the database that it brings are laid beside, in C(releases/VERSION/migrations), for M(arxos.platform.postgresql_migration).
  - Makes an installed release the live one, in one step, and remembers which was live before.
  - It does not touch the service. Restart it after O(state=active), prove that it is healthy, then use O(state=confirmed).
  - An installation or a switch that was killed anywhere is finished by the next run.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
seealso:
  - module: arxos.platform.application_release_info
requirements:
  - Debian's C(python3-venv), for O(state=present).
options:
  root:
    description: Folder of the application, with C(releases/) and the links C(current) and C(previous).
    type: path
    default: /opt/arxos
  version:
    description: The release. Required unless O(state=confirmed).
    type: str
  state:
    description:
      - With V(present) the release is installed from O(artifact), if it is not yet.
      - With V(active) it is the live one, and the one before is remembered as being left.
      - With V(confirmed) the live release has proved healthy. The one that was left is the one to roll back to, and releases beyond O(keep) are removed.
    type: str
    choices: [present, active, confirmed]
    default: present
  artifact:
    description: Path of the artifact on the host, which is removed when the release is installed. Required with O(state=present).
    type: path
  sha256:
    description: Checksum that the artifact must have. Required with O(state=present).
    type: str
  python:
    description: The interpreter that the virtual environment is made of.
    type: path
    default: /usr/bin/python3
  keep:
    description: How many releases stay, with O(state=confirmed). The live one and the one before it always do.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Install the release
  arxos.platform.application_release:
    version: 1.1.0
    artifact: /var/cache/arxos/arxos-api-1.1.0.tar.gz
    sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

- name: Make it the live one
  arxos.platform.application_release:
    version: 1.1.0
    state: active

- name: Note that it is healthy, and remove old releases
  arxos.platform.application_release:
    state: confirmed
    keep: 5
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
removed:
  description: The releases that were removed, or would be in check mode.
  returned: with O(state=confirmed)
  type: list
  elements: str
  sample: [0.9.0]
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.arxos.platform.plugins.module_utils import _releases
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    module = StrictModule(
        argument_spec={
            "root": {"type": "path", "default": "/opt/arxos"},
            "version": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "active", "confirmed"], "default": "present"},
            "artifact": {"type": "path"},
            "sha256": {"type": "str"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "keep": {"type": "int", "default": 5},
        },
        required_if=[("state", "present", ["version", "artifact", "sha256"]), ("state", "active", ["version"])],
        supports_check_mode=True,
    )
    given = module.params
    root, version, state = Path(given["root"]), given["version"] or "", given["state"]

    def run(command: list[str], environment: Mapping[str, str]) -> str:
        code, output, errors = module.run_command(command, environ_update=dict(environment))
        if code:
            raise _releases.ReleaseError(f"{' '.join(command[:4])} ended with {code}: {(errors.strip() or output.strip())[-1500:]}")
        return str(output)

    os.umask(0o022)
    extra = {}
    try:
        if state != "confirmed":
            _releases.check_version(version)
        with contextlib.nullcontext() if module.check_mode else _releases.locked(root):
            before = _releases.read_links(root)
            if state == "present":
                changed = not _releases.is_complete(root, version, given["sha256"])
                if changed and not module.check_mode:
                    _releases.install(root, version, Path(given["artifact"]), given["sha256"], given["python"], run)
            elif state == "active":
                changed = _releases.activate(root, version, module.check_mode)
            else:
                extra["removed"] = _releases.confirm(root, given["keep"], module.check_mode)
                changed = bool(extra["removed"] or before.leaving)
            after = _releases.read_links(root)
    except _releases.ReleaseError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or root}: {error.strerror}")
    if module.check_mode and changed:
        if state == "active":
            after.current = version
        elif state == "present" and version not in after.releases:
            after.releases.append(version)
    known = ("current", "leaving", "previous", "releases")
    shown = [{name: value for name, value in status.as_dict().items() if name in known} for status in (before, after)]
    module.exit_json(changed=changed, diff={"before": shown[0], "after": shown[1]}, **shown[1], **extra)


if __name__ == "__main__":
    main()
