# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renders what a role sends to a host, as Ansible does it, without a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).resolve().parents[2] / "roles"
Render = Callable[..., str]


def templar_of(role: str, release: str = "", **given: Any) -> Templar:
    """Sees what the role's tasks see: its defaults and vars, those of a release such as debian-12, and what is given, which wins."""
    loader = DataLoader()
    variables: dict[str, Any] = {"inventory_hostname": "host1", "ansible_managed": "Ansible managed"}
    for name in ("defaults/main.yml", "vars/main.yml", f"vars/{release}.yml"):
        path = ROLES / role / name
        if path.exists():
            variables.update(loader.load_from_file(str(path), trusted_as_template=True) or {})
    return Templar(loader=loader, variables={**variables, **given}).copy_with_new_env(searchpath=[str(ROLES / role / "templates")])


@pytest.fixture
def render() -> Render:
    """render(role, template, release="", **variables): the text that a host would get."""

    def rendered(role: str, template: str, release: str = "", **given: Any) -> str:
        text = (ROLES / role / "templates" / template).read_text()
        return str(templar_of(role, release, **given).template(trust_as_template(text), escape_backslashes=False))

    return rendered
