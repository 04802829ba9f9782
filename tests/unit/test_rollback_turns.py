# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The turns of playbooks/rollback_configuration.yml as they stand, on hosts that only note what is done to them: who goes, who goes back where one fails, also
of a run that was killed, and who gets no requests meanwhile. What they call is played here; what they decide is their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {"database": ["db1", "db2"], "cache": [], "app": ["app1", "app2", "app3"], "edge": ["edge1"]}
TURNS = [
    {"hosts": ["db1", "app1"], "drained": ["app1"]},
    {"hosts": ["db2", "app2"], "drained": ["app2"]},
    {"hosts": ["app3"], "drained": ["app3"]},
    {"hosts": ["edge1"], "drained": []},
]

# What is played stays on the controller: a note of it, where the host shall be dead nobody reaches it.
ACTION = """
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _VALID_ARGS = None

    def run(self, tmp=None, task_vars=None):
        given, host = self._task.args, task_vars["inventory_hostname"]
        text = "%s" %% given
        if task_vars["dies"] == f"{host} {text}":
            raise AnsibleConnectionFailure("it is gone")
        with Path("%s").open("a") as notes:
            print(f"{host} {text}".strip(), file=notes)
        if f"{host} {text}" in task_vars["unhealthy"]:
            return {"failed": True, "msg": "it is not healthy"}
        return {"changed": True, "units": task_vars["units_of"].get(host, {}), "files": []}
"""
PLAYED = {
    "note": "%(text)s",
    "configuration_rollback": "goes to %(run)s",
    "health_check": "is asked",
    "rollback_journal": "journal %(state)s",
}


@dataclass
class Run:
    """What came of it: exit code, all that was said, and what hosts noted in its order."""

    code: int
    said: str
    notes: list[str]

    @property
    def goes(self) -> list[str]:
        return [line.replace(" goes to", "") for line in self.notes if " goes to " in line]

    @property
    def drains(self) -> list[str]:
        return [line.removeprefix("edge1 drains").strip() for line in self.notes if line.startswith("edge1 drains")]


@pytest.fixture
def go(tmp_path: Path) -> Any:
    platform, books = tmp_path / "ansible_collections/arxos/platform", tmp_path / "playbooks"
    (books / "group_vars/all").mkdir(parents=True)
    shutil.copytree(ROOT / "playbooks/tasks", books / "tasks")
    shutil.copy(ROOT / "playbooks/group_vars/all/rollback.yml", books / "group_vars/all")
    plays = yaml.safe_load((ROOT / "playbooks/rollback_configuration.yml").read_text())
    (books / "go.yml").write_text(yaml.safe_dump([play for play in plays if play["name"].startswith("(2/4)")]))
    for name, text in PLAYED.items():
        (platform / "plugins/action").mkdir(parents=True, exist_ok=True)
        (platform / f"plugins/action/{name}.py").write_text(ACTION % (text, tmp_path / "notes"))
    for name in ("filter", "module_utils"):
        (platform / "plugins" / name).symlink_to(ROOT / "plugins" / name)
    (platform / "roles/nginx/tasks").mkdir(parents=True)
    drains = {"name": "Note it", "arxos.platform.note": {"text": "drains {{ nginx_drained | sort | join(' ') }}"}}
    (platform / "roles/nginx/tasks/upstream.yml").write_text(yaml.safe_dump([drains]))
    # Its words are the role's, what its tasks do is noted.
    (platform / "roles/redis_cluster/tasks").mkdir(parents=True)
    restart = yaml.safe_load((ROOT / "roles/redis_cluster/tasks/restart.yml").read_text())
    for task in restart:
        task["block"] = [{"name": "Note it", "arxos.platform.note": {"text": "restarts Redis"}}]
    (platform / "roles/redis_cluster/tasks/restart.yml").write_text(yaml.safe_dump(restart))

    def play(
        done: tuple[str, ...] = (),
        went: tuple[str, ...] = (),
        dies: str = "",
        unhealthy: tuple[str, ...] = (),
        cache: tuple[str, ...] = (),
        **given: Any,
    ) -> Run:
        turns = [{**turn, "hosts": [*turn["hosts"], *cache[number : number + 1]]} for number, turn in enumerate(TURNS)]
        plan = {"to": "then", "before": "now", "keepers": ["db1"], "turns": turns, "went": list(went)}
        facts = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "configuration_rollback": {
                "began": "2026-11-26T03:15:00Z",
                "done": dict.fromkeys(done, 1.0),
                "plan": {**plan, "estimate_seconds": 60.0, "budget_seconds": 600.0},
            },
            "prove_probes": [],
            "dies": dies,
            "unhealthy": list(unhealthy),
            "units_of": {host: {"redis-server@6379.service": "restart"} for host in cache},
        }
        children: dict[str, Any] = {tier: {"hosts": dict.fromkeys(names, {})} for tier, names in {**GROUPS, "cache": cache}.items()}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": children, "vars": facts}}))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.yml"), str(books / "go.yml")]
        command += ["-e", json.dumps({"arxos_secrets_mark": "", **given})]
        run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
        notes = (tmp_path / "notes").read_text().splitlines() if (tmp_path / "notes").exists() else []
        return Run(run.returncode, " ".join((run.stdout + run.stderr).split()), [line.rstrip() for line in notes])

    return play


def test_hosts_go_in_turns_and_those_of_app_are_drained_meanwhile(go: Any) -> None:
    run = go()
    assert run.code == 0, run.said
    assert [sorted(run.goes[:2]), sorted(run.goes[2:4]), *run.goes[4:]] == [
        ["app1 then", "db1 then"],
        ["app2 then", "db2 then"],
        "app3 then",
        "edge1 then",
    ]
    assert run.drains == ["app1", "", "app2", "", "app3", ""]
    assert "db1 journal dropped" not in run.notes


def test_where_redis_does_not_come_back_on_one_host_all_that_went_go_back_and_it_is_named(go: Any) -> None:
    run = go(cache=("cache1", "cache2"), unhealthy=("cache2 restarts Redis",))
    assert run.code != 0 and "cache2: it is not healthy" in run.said, run.said
    went = [line.split()[0] for line in run.goes if line.endswith(" then")]
    assert sorted(went) == ["app1", "app2", "cache1", "cache2", "db1", "db2"]
    assert {line.split()[0] for line in run.goes if line.endswith(" now")} == set(went), run.notes
    assert "host was lost" not in run.said.replace("cache2: host was lost", "")


def test_where_one_fails_those_that_went_in_a_run_which_was_killed_go_back_too(go: Any) -> None:
    went = ("db1", "app1", "db2", "app2")
    run = go(done=("turn 1", "turn 2"), went=went, unhealthy=("app3 goes to then",))
    assert run.code != 0
    assert run.goes[:2] == ["app3 then", "app3 now"]
    assert sorted(run.goes[2:]) == ["app1 now", "app2 now", "db1 now", "db2 now"]
    told = re.search(r"app3: it is not healthy[.] Put back: (.*?)[.]", run.said)
    assert told and sorted(told[1].split(", ")) == ["app1", "app2", "app3", "db1", "db2"]
    assert "Not put back" not in run.said and run.notes.count("db1 journal dropped") == 1


def test_of_a_turn_that_was_cut_off_only_those_go_back_that_went(go: Any) -> None:
    """A turn that was noted goes again where a host of it shows that it did not: one after it may have begun."""
    run = go(done=(), went=("db1", "app1", "app2"), unhealthy=("app1 goes to then",))
    assert run.code != 0
    assert sorted(run.goes) == ["app1 now", "app1 then", "app2 now", "db1 now", "db1 then"]


def test_one_that_does_not_get_well_stays_drained_while_others_go_back(go: Any) -> None:
    run = go(unhealthy=("app2 goes to then", "app2 goes to now"))
    assert run.code != 0
    assert run.drains == ["app1", "", "app2", "app2", "app1 app2", "app2", "app2"]
    assert "app2: it is not healthy." in run.said and "Not put back, look there: app2." in run.said
    assert "app2 now" in run.goes and {"app1 now", "db1 now", "db2 now"} <= set(run.goes)


def test_one_that_is_lost_on_the_way_back_stays_drained_too(go: Any) -> None:
    run = go(dies="app1 goes to now", unhealthy=("app2 goes to then",))
    assert run.code != 0
    assert run.drains == ["app1", "", "app2", "", "app1", "app1", "app1"]
    assert "Not put back, look there: app1." in run.said


def test_where_nobody_else_would_serve_a_host_goes_back_without_being_drained(go: Any) -> None:
    sick = ("app1 goes to now", "app2 goes to now", "app3 goes to then", "app3 goes to now")
    run = go(went=("app1", "app2"), done=("turn 1", "turn 2"), unhealthy=sick)
    assert run.code != 0
    assert run.drains == ["app3", "app3", "app2 app3", "app2 app3", ""]


def test_a_lost_host_is_told_and_the_others_of_its_turn_go_back(go: Any) -> None:
    run = go(dies="db1 goes to then")
    assert run.code != 0 and run.drains[-1] == ""
    assert run.goes == ["app1 then", "app1 now"]
    assert "db1: host was lost." in run.said and "Put back: app1. Not put back, look there: db1." in run.said


def test_where_nobody_is_served_anyway_nobody_is_drained(go: Any) -> None:
    run = go(unhealthy=("app2 goes to then", "app2 goes to now"), rollback_closed=True)
    assert run.code != 0 and run.drains == []
