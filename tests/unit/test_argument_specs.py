# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every role says what it takes: argument_specs and defaults name the same inputs, with types that fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
TYPES: dict[str, type | tuple[type, ...]] = {
    "str": (str, int, float),
    "path": str,
    "raw": object,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
}


def load(role: str, name: str) -> dict[str, Any]:
    """A YAML file of a role, empty where there is none."""
    path = ROOT / "roles" / role / name
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def options_of(role: str) -> dict[str, Any]:
    """The inputs of all entry points of a role."""
    specs = load(role, "meta/argument_specs.yml")["argument_specs"]
    return {name: option for spec in specs.values() for name, option in (spec.get("options") or {}).items()}


def faults_of(role: str, options: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """What is wrong between a role's argument specs and its defaults."""
    required = {name for name, option in options.items() if option.get("required")}
    faults = [f"{name} is in defaults, not in argument_specs" for name in sorted(defaults.keys() - options.keys())]
    faults += [f"{name} is neither required nor in defaults" for name in sorted(options.keys() - defaults.keys() - required)]
    faults += [f"{name} is required and has a default" for name in sorted(required & defaults.keys())]
    faults += [f"{name} does not start with {role}_" for name in sorted(options) if not name.startswith(f"{role}_")]
    for name, option in options.items():
        if not option.get("description"):
            faults.append(f"{name} has no description")
        value = defaults.get(name)
        templated = isinstance(value, str) and "{{" in value
        if value is not None and not templated and not isinstance(value, TYPES[option.get("type", "str")]):
            faults.append(f"{name} is of type {option.get('type', 'str')}, its default {value!r} is not")
    return faults


@pytest.mark.parametrize("role", ROLES)
def test_specs_and_defaults_agree(role: str) -> None:
    assert faults_of(role, options_of(role), load(role, "defaults/main.yml")) == []


@pytest.mark.parametrize(
    ("options", "defaults", "fault"),
    [
        ({}, {"x_a": 1}, "x_a is in defaults, not in argument_specs"),
        ({"x_a": {"description": "A"}}, {}, "x_a is neither required nor in defaults"),
        ({"x_a": {"description": "A", "required": True}}, {"x_a": "b"}, "x_a is required and has a default"),
        ({"y_a": {"description": "A", "required": True}}, {}, "y_a does not start with x_"),
        ({"x_a": {"required": True}}, {}, "x_a has no description"),
        ({"x_a": {"description": "A", "type": "int"}}, {"x_a": "b"}, "x_a is of type int, its default 'b' is not"),
    ],
)
def test_faults_are_found(options: dict[str, Any], defaults: dict[str, Any], fault: str) -> None:
    assert fault in faults_of("x", options, defaults)


@pytest.mark.parametrize("role", ROLES)
def test_meta_is_complete(role: str) -> None:
    info = load(role, "meta/main.yml")["galaxy_info"]
    assert info["license"] == "GPL-3.0-or-later"
    assert info["min_ansible_version"] == "2.19"
    assert {"name": "Debian", "versions": ["bookworm", "trixie"]} in info["platforms"]
