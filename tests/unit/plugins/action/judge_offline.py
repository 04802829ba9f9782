# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges an inventory whose hosts are made up, with Ansible's own variables and templates; a process of its own, for its plugin loader is global.

Reads {folder, extra, unreachable, facts} as JSON from standard input, and writes [faults, warnings].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[4]
OF_HOSTS = ("preflight_disks", "preflight_memory_mb")


def judge(folder: str, extra: dict[str, Any], unreachable: dict[str, str], facts: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Faults, a line each, and warnings."""
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([str(ROOT / ".ansible/collections")])

    import yaml
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar
    from ansible.vars.hostvars import HostVars
    from ansible.vars.manager import VariableManager
    from ansible_collections.arxos.platform.plugins.action.preflight import ActionModule

    loader = DataLoader()
    loader.set_basedir(str(ROOT / "playbooks"))
    inventory = InventoryManager(loader=loader, sources=[folder])
    manager = VariableManager(loader=loader, inventory=inventory)
    manager.extra_vars.update(extra)
    hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    for name in inventory.hosts:
        if name in unreachable:
            manager.set_nonpersistent_facts(name, {"__preflight_facts": {"reached": False, "reason": unreachable[name]}})
            continue
        raw = hostvars.raw_get(name)
        address = Templar(loader, variables=raw).template(raw.get("arxos_address", "192.0.2.1"))
        seen = {
            "distribution": "Debian",
            "distribution_major_version": "12",
            "default_ipv4": {"interface": "eth0"},
            "all_ipv4_addresses": [address],
        }
        manager.set_host_facts(name, {**seen, **facts.get(name, {})})
        manager.set_nonpersistent_facts(
            name, {"__preflight_facts": {"reached": True, "memory": 64000, "filesystems": {"/": [500000, 400000]}}}
        )
    variables = manager.get_vars(host=inventory.get_host("edge1"))
    variables["hostvars"] = hostvars
    templar = Templar(loader, variables=variables)
    role = yaml.safe_load((ROOT / "roles/preflight/defaults/main.yml").read_text())
    args = {key.removeprefix("preflight_"): templar.template(variables.get(key, role[key])) for key in role if key not in OF_HOSTS}
    action = ActionModule(
        task=SimpleNamespace(args=args, check_mode=False, async_val=0, action="arxos.platform.preflight", no_log=False),
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=None,
        loader=loader,
        templar=templar,
        shared_loader_obj=None,
    )
    result = action.run(task_vars=variables)
    faults = result["msg"].splitlines()[1:] if result.get("failed") else []
    return [line.partition(". ")[2] for line in faults], list(result.get("warnings", []))


if __name__ == "__main__":
    json.dump(judge(**json.load(sys.stdin)), sys.stdout)
