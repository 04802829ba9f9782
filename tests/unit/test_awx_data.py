# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What AWX is told fits what there is: playbooks, their inputs, the modules of awx.awx, and how an inventory looks from within AWX."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.arxos.platform.plugins.filter.awx import awx_objects
from ansible_collections.arxos.platform.plugins.module_utils import _awx

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
BIN = Path(sys.executable).parent
# Optional inputs of playbooks that no survey asks for, and why.
NOT_ASKED = {
    "arxos_seal": "a playbook that imports others seals once, at its end",
    "arxos_waf": "an inventory sets it, for good",
    "arxos_supplied_here": "a credential sets it",
    "arxos_secrets_made_at": "the file of secrets has it",
    "arxos_rotation": "the file of secrets has it",
    "arxos_run_take_over": "run_end asks for it, once, whatever playbook is to run next",
    "arxos_run_unlocked": "it is for whoever has lost two of the three hosts that keep the lock, and sees to it that nobody else runs",
}
# What Ansible itself gives.
MAGIC = {
    *(
        "ansible_check_mode",
        "ansible_failed_result",
        "ansible_failed_task",
        "ansible_facts",
        "ansible_play_hosts",
        "ansible_play_hosts_all",
        "ansible_run_tags",
        "ansible_skip_tags",
    ),
    *(
        "group_names",
        "groups",
        "hostvars",
        "inventory_hostname",
        "inventory_dir",
        "playbook_dir",
        "item",
        "omit",
        "role_path",
        "now",
        "query",
    ),
    *("lookup", "ansible_loop", "ansible_config_file", "undef", "range", "dict"),
}
# Keys whose strings are expressions without braces.
BARE = {"when", "that", "until", "failed_when", "changed_when"}


class Whatever(dict):
    """Knows every filter and every test: only names of variables are looked for."""

    def get(self, _name: str, _default: Any = None) -> Any:
        return lambda *_args, **_kwargs: None


JINJA = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
JINJA.filters, JINJA.tests = Whatever(), Whatever()


def read(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader)


class Loader(yaml.SafeLoader):
    """Takes Ansible's own tags for the strings that they are on."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))

ACCESS, TEMPLATES, RUNS = (read(PLAYBOOKS / f"vars/awx/{name}.yml") for name in ("access", "job_templates", "runs"))
BY_PLAYBOOK = {entry["playbook"]: entry for entry in TEMPLATES["awx_job_templates"]}
INVENTORY = read(ROOT / "inventories/production/group_vars/all/awx.yml")


# -- which playbooks there are


def test_every_playbook_has_a_job_template_or_a_reason_why_not() -> None:
    there = {path.stem for path in PLAYBOOKS.glob("*.yml")}
    told, left_out = set(BY_PLAYBOOK), set(TEMPLATES["awx_no_job_templates"])
    assert there - told - left_out == set(), "add these to playbooks/vars/awx/job_templates.yml"
    assert (told | left_out) - there == set(), "these are no playbooks"
    assert told & left_out == set()


def test_what_only_gets_imported_says_so() -> None:
    imported: dict[str, set[str]] = {}
    for path in PLAYBOOKS.glob("*.yml"):
        for play in read(path):
            if "ansible.builtin.import_playbook" in play:
                imported.setdefault(Path(play["ansible.builtin.import_playbook"]).stem, set()).add(path.stem)
    for name, reason in TEMPLATES["awx_no_job_templates"].items():
        named = set(re.findall(r"\w+", reason)) & {path.stem for path in PLAYBOOKS.glob("*.yml")}
        assert named <= imported.get(name, set()), f"{name}: {reason}"


def test_the_data_has_no_fault() -> None:
    teams = [team["name"] for team in ACCESS["awx_teams"]]
    assert _awx.faults(TEMPLATES["awx_job_templates"], RUNS["awx_workflows"], RUNS["awx_schedules"], teams) == []


def test_no_playbook_asks_at_a_prompt() -> None:
    text = "\n".join(path.read_text() for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*.yml"))
    assert re.findall(r"vars_prompt|ansible\.builtin\.pause", text) == []


# -- what a playbook reads


class Tree:
    """A playbook with the playbooks and the files of tasks that it imports: which variables it reads, and which of them it sets itself."""

    def __init__(self, playbook: str) -> None:
        self.read: set[str] = set()
        self.unguarded: set[str] = set()
        self.set: set[str] = set()
        self.files: set[Path] = set()
        self._file(PLAYBOOKS / f"{playbook}.yml")

    @property
    def inputs(self) -> set[str]:
        """What it reads and nobody sets."""
        return self.read - self.set - MAGIC - KNOWN

    def _file(self, path: Path) -> None:
        if path in self.files or not path.is_file():
            return
        self.files.add(path)
        self._walk(read(path), "", path.parent)

    def _walk(self, node: Any, key: str, folder: Path) -> None:
        if isinstance(node, dict):
            for name, value in node.items():
                self._note(name, value, folder)
                self._walk(value, name, folder)
        elif isinstance(node, list):
            for each in node:
                self._walk(each, key, folder)
        elif isinstance(node, str):
            source = "{{ " + node + " }}" if key in BARE and "{{" not in node else node
            if "{{" in source or "{%" in source:
                self._template(source)

    def _note(self, name: str, value: Any, folder: Path) -> None:
        if name in ("register", "loop_var", "index_var"):
            self.set.add(value)
        elif name in ("vars", "ansible.builtin.set_fact") and isinstance(value, dict):
            self.set |= set(value)
        elif name in ("ansible.builtin.import_playbook", "ansible.builtin.import_tasks", "ansible.builtin.include_tasks"):
            self._file(folder / (value["file"] if isinstance(value, dict) else value))

    def _template(self, source: str) -> None:
        tree = JINJA.parse(source)
        free = jinja2.meta.find_undeclared_variables(tree)
        self.read |= free
        guarded: set[int] = set()
        for node in tree.find_all((jinja2.nodes.Filter, jinja2.nodes.Test)):
            if node.name in ("default", "d", "defined", "undefined") and isinstance(node.node, jinja2.nodes.Name):
                guarded.add(id(node.node))
        self.unguarded |= {name.name for name in tree.find_all(jinja2.nodes.Name) if id(name) not in guarded} & free


def _known() -> set[str]:
    names: set[str] = set()
    for path in [*PLAYBOOKS.glob("group_vars/*/*.yml"), *(ROOT / "inventories").glob("*/group_vars/*/*.yml")]:
        if path.name != "vault.yml":
            names |= set(read(path) or {})
    for path in (ROOT / "roles").glob("*/defaults/main.yml"):
        names |= set(read(path) or {})
    hosts = read(ROOT / "inventories/production/hosts.yml")["all"]["children"]
    names |= {name for group in hosts.values() for host in group["hosts"].values() for name in host or {}}
    return names | set(read(PLAYBOOKS / "group_vars/all/secrets.yml")["arxos_secrets"])


KNOWN = _known()
TREES = {name: Tree(name) for name in BY_PLAYBOOK}


@pytest.mark.parametrize("playbook", sorted(BY_PLAYBOOK))
def test_answers_are_inputs_of_the_playbook(playbook: str) -> None:
    asked = {question["variable"] for question in BY_PLAYBOOK[playbook].get("survey", [])}
    assert asked - TREES[playbook].read == set(), "the playbook reads no such variable"
    assert asked & TREES[playbook].set == set(), "the playbook sets it itself"


@pytest.mark.parametrize("playbook", sorted(BY_PLAYBOOK))
def test_inputs_of_the_playbook_are_asked_for(playbook: str) -> None:
    tree = TREES[playbook]
    questions = {question["variable"]: question for question in BY_PLAYBOOK[playbook].get("survey", [])}
    # Roles hand variables of theirs to the playbook that includes them; nobody types those.
    inputs = {name for name in tree.inputs if not name.startswith("__")}
    assert inputs - set(questions) - set(NOT_ASKED) == set()
    must = {name for name in inputs & tree.unguarded if name in questions}
    answered = {name for name, question in questions.items() if question.get("required") or "default" in question}
    assert must - answered == set()


def test_what_is_not_asked_for_is_an_input() -> None:
    assert set(NOT_ASKED) - {name for tree in TREES.values() for name in tree.inputs} == set()


def test_an_answer_that_was_left_empty_is_none() -> None:
    """AWX gives null, or nothing between quotes, for a text that may be left empty: `default` without `true` would take it for an answer."""
    optional = {
        (playbook, question["variable"])
        for playbook, entry in BY_PLAYBOOK.items()
        for question in entry.get("survey", [])
        if not question.get("required") and question.get("type", "text") == "text"
    }
    assert optional
    for playbook, name in sorted(optional):
        text = "\n".join(path.read_text() for path in TREES[playbook].files)
        taken = re.findall(rf"(?<![\w'.]){name} \| default\(((?:[^()]|\([^()]*\))*)\)", text)
        assert taken and all(given.endswith(", true") for given in taken), f"{playbook}: {name}: {taken}"


# -- what the modules take


def arguments_of(module: str) -> dict[str, Any]:
    """The options that a module documents, as an argument_spec."""
    done = subprocess.run([str(BIN / "ansible-doc"), "-j", f"awx.awx.{module}"], capture_output=True, text=True, check=True, cwd=ROOT)
    options = json.loads(done.stdout)[f"awx.awx.{module}"]["doc"]["options"]
    return {
        name: {key: option[key] for key in ("type", "elements", "choices", "required", "aliases") if key in option}
        for name, option in options.items()
    }


def made() -> dict[str, Any]:
    data = {
        "job_templates": TEMPLATES["awx_job_templates"],
        "workflows": RUNS["awx_workflows"],
        "schedules": RUNS["awx_schedules"],
        "teams": ACCESS["awx_teams"],
        "notifications": [],
    }
    common = {"organization": "o", "project": "p", "inventory": "i", "execution_environment": "e", "credentials": ["c"], "job_type": "run"}
    return awx_objects(data, "production: ", "Arxos", common, ["vault_x"])


@pytest.mark.parametrize(
    ("module", "part"),
    [
        ("job_template", "job_templates"),
        ("workflow_job_template_node", "nodes"),
        ("workflow_job_template_node", "routes"),
        ("role", "grants"),
    ],
)
def test_the_modules_take_what_is_made(module: str, part: str) -> None:
    pytest.importorskip("ansible_collections.awx.awx", reason="ansible 14 does not bring awx.awx")
    validator = ArgumentSpecValidator(arguments_of(module))
    objects = made()[part]
    assert objects
    for arguments in objects:
        assert validator.validate(arguments).error_messages == [], arguments


def tasks_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for task in read(path):
        for key, value in task.items():
            if key.startswith("awx.awx.") and isinstance(value, dict):
                yield key.removeprefix("awx.awx."), value


def test_the_modules_have_the_options_that_the_role_sets() -> None:
    pytest.importorskip("ansible_collections.awx.awx", reason="ansible 14 does not bring awx.awx")
    used = [each for path in sorted((ROOT / "roles/awx/tasks").glob("*.yml")) for each in tasks_of(path)]
    assert len(used) > 10
    known = {module: arguments_of(module) for module in {module for module, _arguments in used}}
    for module, arguments in used:
        assert set(arguments) - set(known[module]) == set(), module
        assert {name for name, option in known[module].items() if option.get("required")} - set(arguments) == set(), module


def test_no_secret_is_an_extra_variable() -> None:
    types = read(ROOT / "roles/awx/vars/main.yml")["__awx_types"]
    injectors = [each["injectors"] for each in types if isinstance(each["injectors"], dict)] + [made()["supplied_type"]["injectors"]]
    assert len(injectors) == len(types)
    assert {kind for each in injectors for kind in each} == {"file", "env"}
    # Only the paths of files are in the environment, which AWX shows.
    assert all(re.search(r"tower\.filename|secrets_file|releases", value) for each in injectors for value in each["env"].values())


def test_what_the_injectors_set_somebody_reads() -> None:
    types = read(ROOT / "roles/awx/vars/main.yml")["__awx_types"]
    names = {name for each in types if isinstance(each["injectors"], dict) for name in each["injectors"]["env"]}
    names |= set(made()["supplied_type"]["injectors"]["env"])
    files = [*PLAYBOOKS.rglob("*.yml"), *(ROOT / "inventories").rglob("connection.yml"), *(ROOT / "plugins/vars").glob("*.py")]
    text = "\n".join(path.read_text() for path in files)
    assert [name for name in sorted(names) if name not in text] == []


# -- how an inventory looks from within AWX


def test_a_tier_of_an_inventory_sets_nothing_that_the_playbooks_set_for_all() -> None:
    """AWX hands an inventory over as a script, whose variables of a group come before group_vars/all of the playbooks, not after."""
    ours = {name for path in PLAYBOOKS.glob("group_vars/all/*.yml") for name in read(path)}
    for path in sorted((ROOT / "inventories").glob("*/group_vars/*/*.yml")):
        if path.parent.name != "all":
            assert set(read(path) or {}) & ours == set(), path


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_only_what_awx_can_do_without_needs_a_folder_of_the_inventory(environment: str) -> None:
    """`inventory_dir` is a folder without anything in it: each use has something in the run's environment that wins."""
    files = [*(ROOT / f"inventories/{environment}").rglob("*.yml"), *PLAYBOOKS.rglob("*.yml"), *(ROOT / "roles").rglob("*.yml")]
    lines = [
        line for path in files for line in path.read_text().splitlines() if re.search(r"\binventory_(dir|file)\b", line) and "#" not in line
    ]
    assert [line for line in lines if "ansible.builtin.env" not in line and "ansible.builtin.file" not in line] == []


def seen_by_hosts(source: Path) -> dict[str, Any]:
    """Each host's variables, those of the playbooks included, as they stand."""
    command = [str(BIN / "ansible-inventory"), "-i", str(source), "--list", "--playbook-dir", str(PLAYBOOKS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)["_meta"]["hostvars"]


@pytest.mark.parametrize("environment", ["lab", "staging", "production"])
def test_a_host_has_the_same_variables_in_awx_as_in_a_shell(environment: str, tmp_path: Path) -> None:
    """AWX fills its inventory from ansible-inventory's export, group by group, and hands it to a job as a script."""
    folder = tmp_path / environment
    shutil.copytree(ROOT / f"inventories/{environment}", folder, ignore=shutil.ignore_patterns("vault.yml"))
    command = [str(BIN / "ansible-inventory"), "-i", str(folder / "hosts.yml"), "--list", "--export"]
    exported = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    script = tmp_path / "job/hosts"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{exported}\nEND\n")
    script.chmod(0o755)
    in_shell, in_awx = seen_by_hosts(folder), seen_by_hosts(script)
    assert in_shell and in_awx == in_shell
