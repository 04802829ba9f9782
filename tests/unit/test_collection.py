# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules of this collection that no linter knows (DEVELOPERS.md): shape of roles, playbooks and what pins what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
STAGES = ["preflight", "hosts", "storage", "database", "cache", "release", "edge", "prove", "open"]


def read(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text())


def sources(role: str, *patterns: str) -> list[Path]:
    """Files of a role that Ansible reads."""
    return [path for pattern in patterns for path in (ROOT / "roles" / role).glob(pattern) if path.is_file()]


def lines_with(paths: list[Path], pattern: str) -> list[str]:
    """`file:line: text` of every line that matches."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]


@pytest.mark.parametrize("role", ROLES)
def test_role_names_no_inventory_group(role: str) -> None:
    files = sources(role, "tasks/**/*.yml", "templates/**/*", "handlers/*.yml", "defaults/*.yml", "vars/*.yml")
    assert lines_with(files, r"\bgroups(\.|\[)|\bgroup_names\b") == []


@pytest.mark.parametrize("role", ROLES)
def test_role_reads_no_variable_of_another(role: str) -> None:
    files = sources(role, "tasks/**/*.yml", "templates/**/*", "handlers/*.yml", "defaults/*.yml", "vars/*.yml")
    inputs: set[str] = set()
    for other in ROLES:
        defaults = ROOT / "roles" / other / "defaults/main.yml"
        if other != role and defaults.is_file():
            inputs |= set(read(defaults) or {})
    own = ROOT / "roles" / role / "defaults/main.yml"
    inputs -= set(read(own) or {}) if own.is_file() else set()
    assert lines_with(files, rf"(?<![\w.])({'|'.join(sorted(inputs))})\b") == []


@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_registered_under_the_name_of_a_variable(role: str) -> None:
    """What is registered stands before it wherever it is used, as true as any result is."""
    named = {name for path in sources(role, "vars/**/*.yml", "defaults/**/*.yml") for name in re.findall(r"(?m)^(\w+):", path.read_text())}
    registered = {name for path in sources(role, "tasks/**/*.yml") for name in re.findall(r"(?m)^\s*register: (\w+)$", path.read_text())}
    assert not named & registered


@pytest.mark.parametrize("role", ROLES)
def test_task_files_are_short(role: str) -> None:
    limits = {path: 60 if path.name == "main.yml" else 100 for path in sources(role, "tasks/**/*.yml")}
    long = [f"{path.relative_to(ROOT)} has {len(path.read_text().splitlines())} lines of {limit}" for path, limit in limits.items()]
    assert [line for line in long if int(line.split(" has ")[1].split()[0]) > int(line.rsplit(" ", 1)[1])] == []


@pytest.mark.parametrize("folder", ["roles", "playbooks", "molecule"])
def test_no_failure_is_swept_away(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.yml") if path.is_file()]
    assert lines_with(files, r"^\s*(ignore_errors|failed_when:\s*(false|no)\b)") == []


def test_stages_are_numbered_in_the_order_of_go_live() -> None:
    imported = [Path(play["ansible.builtin.import_playbook"]).stem for play in read(ROOT / "playbooks/go_live.yml")]
    assert [name for name in imported if name in STAGES] == STAGES
    for number, stage in enumerate(STAGES, 1):
        names = [play["name"] for play in read(ROOT / "playbooks" / f"{stage}.yml") if "hosts" in play]
        assert names
        assert [name for name in names if not name.startswith(f"({number}/{len(STAGES)}) ")] == []


def test_tasks_include_nothing_that_a_playbook_is_named_as_well() -> None:
    """Two includes deep Ansible looks for such a name beside the playbook first, and takes the playbook for tasks."""
    names = "|".join(re.escape(path.name) for path in PLAYBOOKS)
    assert lines_with(sorted((ROOT / "playbooks/tasks").glob("*.yml")), rf"(include_tasks|import_tasks|file): ({names})$") == []


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_playbooks_import_only_what_exists(path: Path) -> None:
    wanted = [path.parent / play["ansible.builtin.import_playbook"] for play in read(path) if "ansible.builtin.import_playbook" in play]
    assert [str(target) for target in wanted if not target.is_file()] == []


# They change no host, or what has to be had while another run goes on.
WITHOUT_LOCK = {"announce", "configure_awx", "generate_secrets", "history", "load_window", "preflight", "status", "status_page"}
# They are parts of others, or of the lock.
PARTS = {"rolling_switch", "rotate_step", "run_begin", "run_end", "tell_failure", "tell_stage", "tell_users"}


@pytest.mark.parametrize("path", [path for path in PLAYBOOKS if path.stem not in WITHOUT_LOCK | PARTS], ids=lambda path: path.stem)
def test_what_changes_the_platform_takes_its_lock_first(path: Path) -> None:
    for play in read(path):
        imported = Path(play.get("ansible.builtin.import_playbook", "")).stem
        assert "hosts" not in play, f"{play['name']} comes before run_begin.yml"
        if imported == "run_begin":
            return
        assert imported in WITHOUT_LOCK
    pytest.fail("run_begin.yml is not imported")


def test_dependencies_are_the_same_wherever_they_stand() -> None:
    galaxy = read(ROOT / "galaxy.yml")["dependencies"]
    required = {entry["name"]: entry["version"] for entry in read(ROOT / "requirements.yml")["collections"]}
    assert required.pop("awx.awx"), "configure_awx.yml needs it, and nothing else"
    assert required == galaxy


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py")))
def test_every_module_has_a_test_that_names_it(module: str) -> None:
    tests = [path for folder in ("tests/unit", "tests/integration", "molecule") for path in (ROOT / folder).rglob("test_*.py")]
    assert any(re.search(rf"\b_?{module}\b", path.read_text()) for path in tests)


def test_scenarios_know_their_playbooks() -> None:
    scenarios = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    assert scenarios == ["application", "cache", "database", "edge", "hosts", "storage", "vm"]
    for scenario in scenarios:
        count, stage, *_more = read(ROOT / "molecule" / scenario / "converge.yml")
        assert count["ansible.builtin.import_playbook"] == "../shared/count.yml"
        assert (ROOT / "molecule" / scenario / stage["ansible.builtin.import_playbook"]).is_file()
        assert (ROOT / "molecule" / scenario / "group_vars/all/topology.yml").is_file()
        assert list((ROOT / "molecule" / scenario / "tests").glob("test_*.py")), f"{scenario} has nothing to verify"
