# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight believes that each group gets is what the stages give to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
ROLES = PLAYBOOKS.parent / "roles"
# Plays on the controller read the variables of group all; the leader is found at run time.
GROUP_OF = {"localhost": "all", "database_leader": "database"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def roles_in(tasks: list[dict[str, Any]] | None) -> Iterator[str]:
    for task in tasks or []:
        for key in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
            if key in task:
                yield task[key]["name"]
        for key in ("block", "rescue", "always"):
            yield from roles_in(task.get(key))


def given() -> dict[str, set[str]]:
    """Group to the roles that the stages of go_live.yml give to it."""
    found: dict[str, set[str]] = {}
    for stage in load(PLAYBOOKS / "go_live.yml"):
        path = PLAYBOOKS / stage["ansible.builtin.import_playbook"]
        for play in load(path) if path.exists() else []:
            names = [role["role"] if isinstance(role, dict) else role for role in play.get("roles", [])]
            for part in ("pre_tasks", "tasks", "post_tasks"):
                names += roles_in(play.get(part))
            for group in str(play.get("hosts", "")).split(":"):
                if names:
                    found.setdefault(GROUP_OF.get(group, group), set()).update(name.rpartition(".")[2] for name in names)
    return found


def test_the_roles_of_each_group() -> None:
    believed = {group: set(roles) for group, roles in load(PLAYBOOKS / "group_vars/all/preflight.yml")["preflight_roles"].items()}
    everybody = given().get("all", set())
    for group, roles in given().items():
        assert roles <= believed.get(group, set()) | (believed["all"] & everybody), f"preflight_roles lacks roles of {group}"
    for group, roles in believed.items():
        assert {role for role in roles if (ROLES / role).is_dir()} <= given().get(group, set()), (
            f"preflight_roles has roles that {group} does not get"
        )


def test_every_secret_that_is_wired_is_one_that_is_generated() -> None:
    secrets = load(PLAYBOOKS / "group_vars/all/secrets.yml")["arxos_secrets"]
    used = set()
    for path in [*PLAYBOOKS.glob("group_vars/*/*.yml"), *PLAYBOOKS.glob("*.yml")]:
        for word in path.read_text().replace('"', " ").replace("'", " ").replace("{", " ").replace("}", " ").replace(",", " ").split():
            if word.startswith("vault_") and word.isidentifier():
                used.add(word)
    assert used <= set(secrets)


def test_what_the_lab_sets_other_environments_set_too_or_a_role_has_a_default_for() -> None:
    inventories = PLAYBOOKS.parent / "inventories"
    defaults: set[str] = set()
    for path in ROLES.glob("*/defaults/main.yml"):
        defaults |= set(load(path) or {})

    def variables(environment: str) -> set[str]:
        skipped = ("lab.yml", "vault.yml", "seaweedfs.yml")  # what the hosts are made of, secrets, and a server that only the lab has
        paths = [path for path in (inventories / environment).glob("group_vars/*/*.yml") if path.name not in skipped]
        return {name for path in paths for name in load(path) or {}}

    for environment in ("staging", "production"):
        assert variables("lab") - variables(environment) - defaults == set(), environment
        assert variables("staging") - variables("production") == set()
