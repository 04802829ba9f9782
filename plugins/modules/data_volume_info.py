#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: data_volume_info
short_description: Look at encrypted data volumes, and refuse devices that hold something else
version_added: "0.1.0"
description:
  - Says of every volume whether its device is still blank or holds that volume already, and where the change of its key stands.
  - Fails, with all faults in one message, where a device holds anything else, is in use, or is not opened by the volume's key, and where the volume
    would be mounted over files. It writes nothing.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
requirements: [cryptsetup, util-linux]
options:
  volumes:
    description: The volumes.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the volume, and of the device that it becomes in C(/dev/mapper).
        type: str
        required: true
      device:
        description: The device that holds it.
        type: path
        required: true
      mount:
        description: Where it is mounted.
        type: path
        required: true
  keys:
    description: Folder of the keys, C(<name>.key) each.
    type: path
    required: true
  rotate:
    description: Which keys are to be replaced.
    type: str
    choices: [none, due, all]
    default: none
  max_age_days:
    description: Age of a key at which it is due.
    type: int
    default: 90
"""

EXAMPLES = r"""
- name: Look at the volumes
  arxos.platform.data_volume_info:
    volumes:
      - {name: pgdata, device: /dev/disk/by-id/virtio-pgdata, mount: /var/lib/postgresql}
    keys: /var/lib/arxos/data_encryption
  register: volumes
"""

RETURN = r"""
volumes:
  description: What is so, by name of the volume.
  returned: success
  type: dict
  contains:
    state:
      description: V(new), V(unfinished) (its header was begun and has no key, so that nothing can be in it) or V(ours).
      type: str
    step:
      description: What is due for its key, V(make), V(begin), V(introduce), V(retire) or V(keep).
      type: str
    mounted:
      description: Whether it is mounted in its place.
      type: bool
    keyslots:
      description: How many keys open it.
      type: int
    key_days:
      description: Age of its key.
      type: int
  sample: {"pgdata": {"state": "ours", "step": "keep", "mounted": true, "keyslots": 1, "key_days": 12}}
"""

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _data_volumes
from ansible_collections.arxos.platform.plugins.module_utils._data_volumes import Seen
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def look(module: StrictModule, volume: dict[str, Any], key: Path) -> Seen:
    """Ask the host about one volume."""

    def ask(*command: str, good: tuple[int, ...] = (0,)) -> tuple[int, str]:
        code, output, errors = module.run_command(list(command), environ_update={"LC_ALL": "C"})
        if code not in good:
            module.fail_json(msg=f"{' '.join(command[:3])} ended with {code}: {errors.strip()}")
        return code, str(output)

    device, place = volume["device"], volume["mount"]
    if not os.path.exists(device) or not stat.S_ISBLK(os.stat(device).st_mode):
        return Seen(block=False)
    # 2: it knows nothing of the device; 8: of several things.
    known, output = ask("blkid", "-p", "-o", "export", device, good=(0, 2, 8))
    signature = _data_volumes.parse_export(output) if known == 0 else None
    keyslots, opens = 0, False
    if signature and signature.get("TYPE") == "crypto_LUKS" and signature.get("VERSION") == "2":
        keyslots = len(json.loads(ask("cryptsetup", "luksDump", "--dump-json-metadata", device)[1])["keyslots"])
        if key.exists():
            opens = ask("cryptsetup", "open", "--test-passphrase", "--key-file", str(key), device, good=(0, 1, 2))[0] == 0
    children, places = _data_volumes.flatten(json.loads(ask("lsblk", "-J", "-o", "NAME,MOUNTPOINTS", device)[1])["blockdevices"])
    source = ask("findmnt", "-n", "-o", "SOURCE", "--mountpoint", place, good=(0, 1))[1]
    return Seen(
        signature=signature,
        ambivalent=known == 8,
        blank=signature is None and _data_volumes.is_blank(device),
        keyslots=keyslots,
        children=children,
        mounted_at=places,
        key_opens=opens,
        files=frozenset(end for end in ("", ".next", ".old") if Path(f"{key}{end}").exists()),
        key_days=int((time.time() - key.stat().st_mtime) // 86400) if key.exists() else 0,
        source=source.strip(),
        occupied=Path(place).is_dir() and bool(os.listdir(place)),
    )


def main() -> None:
    module = StrictModule(
        argument_spec={
            "volumes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "device": {"type": "path", "required": True},
                    "mount": {"type": "path", "required": True},
                },
            },
            "keys": {"type": "path", "required": True, "no_log": False},
            "rotate": {"type": "str", "choices": ["none", "due", "all"], "default": "none"},
            "max_age_days": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    found: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for volume in module.params["volumes"]:
        key = Path(module.params["keys"]) / f"{volume['name']}.key"
        seen = look(module, volume, key)
        faults += _data_volumes.faults(volume, seen, str(key))
        found[volume["name"]] = {
            "state": _data_volumes.state(volume["name"], seen),
            "step": _data_volumes.key_step(seen, module.params["rotate"], module.params["max_age_days"]),
            "mounted": bool(seen.source),
            "keyslots": seen.keyslots,
            "key_days": seen.key_days,
        }
    if faults:
        module.fail_json(msg="\n".join(["No device was touched:", *(f"- {fault}" for fault in faults)]))
    module.exit_json(changed=False, volumes=found)


if __name__ == "__main__":
    main()
