# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/rolling_switch.yml as it stands, on hosts that only note what is done to them: who is drained, switched and put back, in which order, and how it
ends, also where a host dies on its way. What it calls is played here; what it decides is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
APPS = ["app1", "app2", "app3"]
SOCKETS = {name: f"192.0.2.{number}:8443" for number, name in enumerate(APPS, 1)}
WELL = {"requests": 150, "errors": 0, "times": {"20": 150}}
BAD = {"requests": 150, "errors": 30, "times": {"20": 150}}

# What is played stays on the controller: a note of it, where the host shall be dead nobody reaches it.
ACTION = """
import json
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

HERE = Path("%s")


class ActionModule(ActionBase):
    _VALID_ARGS = None

    def run(self, tmp=None, task_vars=None):
        given, host = self._task.args, task_vars["inventory_hostname"]
        %s


def note(text):
    with (HERE / "notes").open("a") as notes:
        print(text, file=notes)
"""
PLAYED = {
    "note": """
        words = given["text"].split()
        if task_vars["dies"] == f"{host} {words[0]}":
            raise AnsibleConnectionFailure("it is gone")
        note(f"{host} {given['text']}".strip())
        if f"{host} {words[-1]}" in task_vars["unhealthy"]:
            return {"failed": True, "msg": f"{words[-1]} is not healthy"}
        return {"changed": True, "stdout": "1 2"}
""",
    "release_soak": """
        return {"mark": "3 4", "upstreams": json.loads((HERE / "soak.json").read_text())}
""",
    "release_evidence": """
        return {"evidence": {"journal": "it said so"}}
""",
    "run_evidence": """
        note("evidence " + given["name"])
        (HERE / "evidence.json").write_text(json.dumps(given["content"]))
        return {"changed": True, "path": "record/" + given["name"], "sha256": ""}
""",
}
# A rehearsal goes back and forth again in one run.
TWICE = """
- import_playbook: rolling_switch.yml
  vars: {release_version: 1.1.0}
- hosts: app
  gather_facts: false
  tasks:
    - set_fact: {arxos_release_before: 1.1.0, arxos_release_unproven: false}
- import_playbook: rolling_switch.yml
  vars: {release_version: 1.0.0}
"""
SETUP = """#!/usr/bin/python
import json
print(json.dumps({"changed": False, "ansible_facts": {"distribution_major_version": "12"}}))
"""
ROLES = {
    "nginx/tasks/notice.yml": ("gives notice", "__noticed"),
    "nginx/tasks/upstream.yml": ("drains {{ nginx_drained | sort | join(' ') }}", "__nginx_drain"),
    "arxos_api/tasks/start.yml": ("starts {{ arxos_api_switch_to }}", "__started"),
    "arxos_api/tasks/confirm.yml": ("confirms", "__confirmed"),
}


@dataclass
class Run:
    """What came of it: exit code, all that was said, and what hosts noted in its order."""

    code: int
    said: str
    notes: list[str]
    folder: Path

    @property
    def starts(self) -> list[str]:
        return [line for line in self.notes if " starts " in line or line.startswith("evidence")]

    @property
    def evidence(self) -> dict[str, Any]:
        return json.loads((self.folder / "evidence.json").read_text())


@pytest.fixture
def roll(tmp_path: Path) -> Any:
    platform = tmp_path / "ansible_collections/arxos/platform"
    books = tmp_path / "playbooks"
    for name in ("playbooks/tasks", "playbooks/group_vars/all"):
        (tmp_path / name).mkdir(parents=True)
    for path in [
        ROOT / "playbooks/rolling_switch.yml",
        *(ROOT / "playbooks/tasks").glob("*.yml"),
        ROOT / "playbooks/group_vars/all/release.yml",
    ]:
        text = path.read_text().replace("ansible.builtin.setup:", "ansible.legacy.setup:")  # that of the library below
        (books / path.relative_to(ROOT / "playbooks")).write_text(text)
    (books / "library").mkdir()
    (books / "library/setup.py").write_text(SETUP)
    (books / "twice.yml").write_text(TWICE)
    parts = {
        **{f"plugins/action/{name}.py": ACTION % (tmp_path, text.strip()) for name, text in PLAYED.items()},
        **{
            f"roles/{name}": yaml.safe_dump([{"name": "Note it", "arxos.platform.note": {"text": text}, "register": register}])
            for name, (text, register) in ROLES.items()
        },
        "plugins/filter/release.py": (ROOT / "plugins/filter/release.py").read_text(),
        **{f"plugins/module_utils/{name}": (ROOT / "plugins/module_utils" / name).read_text() for name in ("_soak.py", "_access_log.py")},
    }
    for name, text in parts.items():
        (platform / name).parent.mkdir(parents=True, exist_ok=True)
        (platform / name).write_text(text)

    def play(
        soak: dict[str, Any] | None = None,
        dies: str = "",
        unhealthy: list[str] | None = None,
        edges: int = 1,
        twice: bool = False,
        **given: Any,
    ) -> Run:
        (tmp_path / "soak.json").write_text(json.dumps({SOCKETS[name]: found for name, found in (soak or {}).items()}))
        facts = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "arxos_release_before": "1.0.0",
            "arxos_release_unproven": False,
            "arxos_app_hosts": {name: socket.split(":")[0] for name, socket in SOCKETS.items()},
            "notes": str(tmp_path / "notes"),
            "dies": dies,
            "unhealthy": unhealthy or [],
            **given,
        }
        hosts = {"edge": [f"edge{number + 1}" for number in range(edges)], "app": APPS}
        children = {tier: {"hosts": dict.fromkeys(names, {})} for tier, names in hosts.items()}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": children, "vars": facts}}))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
            "ANSIBLE_PIPELINING": "1",
        }
        words = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.yml")]
        words += [str(books / "twice.yml")] if twice else [str(books / "rolling_switch.yml"), "-e", "release_version=1.1.0"]
        done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
        notes = (tmp_path / "notes").read_text().splitlines() if (tmp_path / "notes").exists() else []
        return Run(done.returncode, done.stdout + done.stderr, [line.rstrip() for line in notes], tmp_path)

    return play


def test_the_canary_goes_before_a_batch_and_all_is_taken_for_good_at_the_end(roll: Any) -> None:
    run = roll(soak=dict.fromkeys(SOCKETS, WELL), arxos_release_batch="2")
    assert run.code == 0, run.said
    assert run.starts[0] == "app1 starts 1.1.0" and sorted(run.starts[1:]) == ["app2 starts 1.1.0", "app3 starts 1.1.0"]
    assert [line for line in run.notes if line.startswith("edge1")] == [
        "edge1 gives notice",
        "edge1 drains app1",
        "edge1 drains",
        "edge1 drains app2 app3",
        "edge1 drains",
    ]
    assert sorted(run.notes[-3:]) == ["app1 confirms", "app2 confirms", "app3 confirms"]


def test_where_nobody_is_watched_a_batch_resumes_as_the_next_is_drained(roll: Any) -> None:
    run = roll(arxos_release_soak_seconds=0)
    assert run.code == 0, run.said
    assert [line for line in run.notes if line.startswith("edge1")] == [
        "edge1 gives notice",
        "edge1 drains app1",
        "edge1 drains app2",
        "edge1 drains app3",
        "edge1 drains",
    ]
    assert run.starts == [f"{app} starts 1.1.0" for app in APPS]


def test_where_nobody_is_watched_and_one_fails_all_serve_at_the_end(roll: Any) -> None:
    run = roll(arxos_release_soak_seconds=0, unhealthy=["app2 1.1.0"])
    assert run.code != 0
    assert [line for line in run.starts if line.endswith("1.0.0")] == ["app2 starts 1.0.0", "app1 starts 1.0.0"]
    assert [line for line in run.notes if line.startswith("edge1")][-1] == "edge1 drains"


def test_a_canary_that_does_badly_goes_back_and_nobody_else_is_touched(roll: Any) -> None:
    run = roll(soak={"app1": BAD, "app2": WELL, "app3": WELL})
    assert run.code != 0
    assert run.starts == ["app1 starts 1.1.0", "evidence release-1.1.0-app1", "app1 starts 1.0.0"]
    assert "app1: 30 of 150 requests failed (20.0 %), wanted 1 % at most; those with the release before: 300 requests" in " ".join(
        run.said.split()
    )
    assert "Put back: app1." in run.said and "Evidence: record/release-1.1.0-app1." in run.said
    assert run.notes[-1] == "app1 confirms" and "edge1 drains" in run.notes[-5:]
    assert run.evidence["edge"]["edge1"] == {"journal": "it said so"} and run.evidence["said"] == {"journal": "it said so"}


def test_a_host_that_dies_on_its_way_stays_drained_and_the_others_go_back(roll: Any) -> None:
    run = roll(soak=dict.fromkeys(SOCKETS, WELL), dies="app2 starts")
    assert run.code != 0
    assert run.starts == ["app1 starts 1.1.0", "evidence release-1.1.0-app2", "app1 starts 1.0.0"]
    assert "app2: the host was lost on the way" in " ".join(run.said.split()) and "Put back: app1." in run.said
    assert "Not put back, look there: app2." in run.said
    assert [line for line in run.notes if line.startswith("edge1")][-3:] == [
        "edge1 drains app1 app2",
        "edge1 drains app2",
        "edge1 drains app2",
    ]
    assert [line for line in run.notes if line.endswith("confirms")] == ["app1 confirms"]


def test_one_that_is_not_healthy_either_way_stays_drained(roll: Any) -> None:
    run = roll(soak=dict.fromkeys(SOCKETS, WELL), unhealthy=["app2 1.1.0", "app2 1.0.0"])
    assert run.code != 0
    assert run.starts == [
        "app1 starts 1.1.0",
        "app2 starts 1.1.0",
        "evidence release-1.1.0-app2",
        "app2 starts 1.0.0",
        "app1 starts 1.0.0",
    ]
    assert "app2: 1.1.0 is not healthy" in run.said and "Not put back, look there: app2." in run.said
    assert [line for line in run.notes if line.startswith("edge1")][-1] == "edge1 drains app2"


@pytest.mark.parametrize(("follows", "code"), [("proceed", 0), ("stop", 2)])
def test_too_few_requests_are_no_pass_and_the_variable_says_what_then(roll: Any, follows: str, code: int) -> None:
    run = roll(soak={"app1": {"requests": 3, "errors": 0, "times": {"20": 3}}}, arxos_release_inconclusive=follows, arxos_release_batch=2)
    assert run.code == code, run.said
    if follows == "stop":
        assert run.starts == ["app1 starts 1.1.0", "evidence release-1.1.0-app1", "app1 starts 1.0.0"]
        assert "app1: not known whether it does well: 3 requests" in " ".join(run.said.split())


def test_where_an_edge_host_dies_nothing_is_switched_that_it_may_not_have_drained(roll: Any) -> None:
    run = roll(soak=dict.fromkeys(SOCKETS, WELL), dies="edge1 drains", edges=2)
    assert run.code != 0
    assert run.starts == ["evidence release-1.1.0-edge1"]
    assert "edge1: the host was lost on the way" in " ".join(run.said.split()) and "No host had to be put back" in run.said
    assert [line for line in run.notes if line.startswith("edge2")] == ["edge2 gives notice", "edge2 drains app1", "edge2 drains"]


def test_in_a_second_switch_of_a_run_nobody_goes_whose_turn_it_was_in_the_first(roll: Any) -> None:
    run = roll(twice=True, arxos_release_soak_seconds=0, unhealthy=["app1 1.0.0"])
    assert run.code != 0
    assert run.starts[:4] == ["app1 starts 1.1.0", "app2 starts 1.1.0", "app3 starts 1.1.0", "app1 starts 1.0.0"]
    assert [line for line in run.starts if line.endswith("starts 1.0.0")] == ["app1 starts 1.0.0"]
