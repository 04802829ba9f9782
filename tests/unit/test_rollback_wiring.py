# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What rollbacks believe of roles, and what playbooks/group_vars tell them, is what is there."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.arxos.platform.plugins.module_utils import _configuration_rollback as back
from ansible_collections.arxos.platform.plugins.module_utils import _rotation

ROOT = Path(__file__).resolve().parents[2]
GROUP_VARS = ROOT / "playbooks/group_vars"
LOADER = DataLoader()
SECRETS = yaml.safe_load((GROUP_VARS / "all/secrets.yml").read_text())["arxos_secrets"]


def told(expression: str, *files: str, **given: Any) -> Any:
    """An expression as a host sees it."""
    variables: dict[str, Any] = {}
    for name in files:
        variables |= LOADER.load_from_file(str(GROUP_VARS / name), trusted_as_template=True) or {}
    return Templar(loader=LOADER, variables={**variables, **given}).template(trust_as_template("{{ " + expression + " }}"))


# In a process of its own: Ansible's way to find plugins does not go with pytest's to find the collection. An expression and files of variables are its
# arguments, more variables its input, set by set.
ASK = """
import json, sys
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
init_plugin_loader([])
loader, variables = DataLoader(), {}
for path in sys.argv[2:]:
    variables |= loader.load_from_file(path, trusted_as_template=True)
for given in json.load(sys.stdin):
    print(Templar(loader=loader, variables={**variables, **given}).template(trust_as_template(sys.argv[1])))
"""


def answers(expression: str, sets: list[dict[str, Any]], *files: str) -> list[str]:
    """An expression that asks plugins, with each set of variables."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, expression, *files],
        input=json.dumps(sets),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def marks(*secrets: dict[str, Any]) -> list[str]:
    """The mark of each set of secrets."""
    return answers(
        "{{ arxos_secrets_mark }}",
        list(secrets),
        *(str(GROUP_VARS / "all" / f"{name}.yml") for name in ("secrets", "rotation", "rollback")),
    )


def test_the_mark_tells_that_any_secret_has_changed_and_none_of_them() -> None:
    values = {name: f"value of {name}" for name in SECRETS}
    begun = _rotation.begun(_rotation.State(), {"jwt": ["vault_arxos_api_jwt_secret"]}, {}, lambda name: f"new {name}")
    today, again, *others = marks(
        values, dict(reversed(values.items())), *({**values, name: "another"} for name in SECRETS), {**values, **_rotation.written(begun)}
    )
    assert today == again and len(today) == 16
    assert len(set(others)) == len(SECRETS) + 1 and today not in others


def test_what_a_reload_does_not_bring_is_what_the_roles_restart_for() -> None:
    pool = yaml.safe_load((ROOT / "roles/connection_pool/vars/main.yml").read_text())["__connection_pool_restarts"]
    handlers = yaml.safe_load((ROOT / "roles/intrusion_detection/handlers/main.yml").read_text())
    bans = handlers[0]["vars"]["__intrusion_detection_start_files"]
    environment = yaml.safe_load((ROOT / "roles/arxos_api/vars/main.yml").read_text())[
        "__arxos_api_environment_file"
    ]  # systemd reads it at a start
    for path in [*pool, *bans, environment]:
        if path.startswith("/etc/") and not path.startswith("/etc/systemd/system/"):
            assert any(fnmatch.fnmatchcase(path, pattern) for pattern in back.RESTARTED_FOR), path
    assert set(back.RESTARTED_FOR) <= {*pool, *bans, environment}


@pytest.mark.parametrize(("role", "unit"), [("log_shipping", "rsyslog.service"), ("log_rotation", "systemd-journald.service")])
def test_what_is_always_restarted_is_so_by_its_role(role: str, unit: str) -> None:
    handlers = yaml.safe_load((ROOT / "roles" / role / "handlers/main.yml").read_text())
    states = {
        task["ansible.builtin.systemd_service"]["state"] for task in handlers if task["ansible.builtin.systemd_service"]["name"] == unit
    }
    assert states == {"restarted"} and unit in back.RESTARTED


@pytest.mark.parametrize(
    ("role", "tasks"),
    [
        ("hardening", "relogin.yml"),
        ("firewall", "prove.yml"),
        ("redis_cluster", "restart.yml"),
        ("nginx", "upstream.yml"),
        ("arxos_api", "switch.yml"),
    ],
)
def test_the_ways_of_the_roles_are_there(role: str, tasks: str) -> None:
    assert (ROOT / "roles" / role / "tasks" / tasks).is_file()


def test_what_the_history_leaves_out_is_what_no_rollback_brings_back() -> None:
    watch = yaml.safe_load((ROOT / "roles/hardening/vars/main/watch.yml").read_text())
    patterns = [pattern for group in back.KEPT.values() for pattern in group]
    for private in watch["__hardening_private"]:
        for path in (f"/etc{private}".replace("**/", way).replace("*", "x") for way in ("", "a/", "a/b/")):
            assert any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns), path


def test_every_tier_takes_turns_and_the_edge_is_last() -> None:
    groups = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())["all"]["children"]
    hosts = {name: list(group["hosts"] or {}) for name, group in groups.items()}
    tiers = told("configuration_rollback_tiers", "all/rollback.yml", groups={**hosts, "all": []})
    assert {name: list(members) for name, members in tiers.items()} == hosts
    assert list(tiers)[-1] == "edge"


def test_budgets_are_those_that_are_promised() -> None:
    everybody = yaml.safe_load((GROUP_VARS / "all/rollback.yml").read_text())
    database = yaml.safe_load((GROUP_VARS / "database/rollback.yml").read_text())
    assert everybody["application_rollback_budget_seconds"] == 5 * 60
    assert database["rollback_budget_seconds"] == 15 * 60
    assert everybody["full_rollback_budget_seconds"] == 30 * 60


@pytest.mark.parametrize("name", ["lab", "staging", "production"])
def test_nobody_rehearses_in_production(name: str) -> None:
    environment = yaml.safe_load((ROOT / "inventories" / name / "group_vars/all/platform.yml").read_text())["arxos_environment"]
    _known, task = yaml.safe_load((ROOT / "playbooks/tasks/rollback_rehearsal.yml").read_text())
    allowed = told(task["ansible.builtin.assert"]["that"], "all/rollback.yml", arxos_environment=environment, rehearse="true")
    assert allowed is (name != "production")
    assert told(task["ansible.builtin.assert"]["that"], "all/rollback.yml", arxos_environment=environment) is True


def test_a_rehearsal_is_asked_for_or_not() -> None:
    known, _task = yaml.safe_load((ROOT / "playbooks/tasks/rollback_rehearsal.yml").read_text())
    for said in (True, False, "true", "no", "False", ""):
        assert told(known["ansible.builtin.assert"]["that"], "all/rollback.yml", rehearse=said) is True
    for said in ("ture", "1x"):
        assert told(known["ansible.builtin.assert"]["that"], "all/rollback.yml", rehearse=said) is False


@pytest.mark.parametrize("name", ["upstream", "traffic"])
def test_who_drains_a_host_or_names_a_preview_changes_that_file_of_the_edge_alone(name: str) -> None:
    """Else a rollback of the configuration, which drains, would bring the edge to the inventory first and keep that as what was there."""
    role = ROOT / "roles/nginx"
    (given,) = [
        task[module]
        for task in yaml.safe_load((role / f"tasks/{name}.yml").read_text())
        for module in task
        if module.endswith("config_tree")
    ]
    assert given["files"] == f"{{{{ __nginx_{name}_files }}}}" and "directories" not in given
    assert f"/etc/nginx/arxos/{name}.conf" in yaml.safe_load((role / "vars/main.yml").read_text())[f"__nginx_{name}_files"]


def within(tasks: list[dict[str, Any]], asked: str = "") -> list[tuple[dict[str, Any], str]]:
    """Every task, with what the blocks around it ask: its own tasks ask that again, also those of a file that it includes."""
    found = []
    for task in tasks:
        found.append((task, asked))
        for part in ("block", "rescue", "always"):
            found += within(task.get(part, []), f"{asked} {task.get('when', '')}")
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").rglob("rollback*.yml")), ids=lambda path: path.name)
def test_no_block_asks_for_what_a_note_in_it_changes(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, list):
        return
    tasks = [task for play in content for task in play.get("tasks", [])] if any("hosts" in play for play in content) else content
    notes = [
        (task, asked)
        for task, asked in within(tasks)
        if str(task.get("ansible.builtin.include_tasks", "")).endswith(("_note.yml", "_mark.yml"))
    ]
    marks = [(task.get("vars", {}).get("mark"), asked) for task, asked in notes]
    assert [mark for mark, asked in marks if f"'{mark}' not in" in asked] == []


def tasks_of(playbook: str, start: str) -> list[dict[str, Any]]:
    """Those of the plays whose names begin so."""
    plays = yaml.safe_load((ROOT / "playbooks" / playbook).read_text())
    return [task for play in plays if play["name"].startswith(start) for task in play.get("tasks", [])]


def test_everything_that_was_begun_goes_to_the_run_that_was_planned() -> None:
    (play,) = [
        each
        for each in yaml.safe_load((ROOT / "playbooks/rollback.yml").read_text())
        if each["name"].endswith("The configuration of every host")
    ]
    journal = {"began": "2026-11-26T03:15:00Z", "done": {"plan": 0.0}, "plan": {"to": "1.2.0", "run": "before"}}
    sets = [
        {"groups": {"database": ["db1"]}, "hostvars": {"db1": {"full_notes": {"journal": each, "rates": {}}}}} for each in ({}, journal)
    ]
    full = play["vars"]["__full"].strip("{} ")
    assert answers(play["vars"]["rollback_begun_run"].replace("__full", f"({full})"), sets) == ["", "before"]
    plan = yaml.safe_load((ROOT / "playbooks/tasks/rollback_configuration_plan.yml").read_text())
    (chosen,) = [task["ansible.builtin.set_fact"]["configuration_chosen"] for task in plan if task["name"] == "Choose the run"]
    wanted = chosen.partition("configuration_rollback_run(")[2].rpartition(")")[0]
    wanted, _comma, moment = wanted.rpartition(",")
    assert told(wanted, rollback_begun_run="before") == told(wanted, rollback_run="", rollback_begun_run="before") == "before"
    assert told(wanted, rollback_run="asked", rollback_begun_run="before") == "asked"
    assert moment.strip() in play["vars"]


def test_everything_goes_to_the_configuration_of_the_moment_that_the_database_goes_to() -> None:
    """A rehearsal has no such moment: its place is now, and it has to go somewhere."""
    place = yaml.safe_load((ROOT / "playbooks/tasks/rollback_database_place.yml").read_text())
    (named,) = [task for task in place if task["name"] == "Name the place"]
    point = {"running": True, "in_recovery": False, "points": [{"name": "1.2.0", "created_at": "2026-11-26T03:15:00Z"}]}
    common = {"ansible_play_hosts": ["db1"], "hostvars": {"db1": {"database_member": {"member": point}, "full_notes": {}}}}
    sets = [{**common, "rollback_rehearse": rehearse, "to": "1.2.0"} for rehearse in (False, True)]
    given = named["vars"]["__members"].strip("{} ")
    moment = named["ansible.builtin.set_fact"]["rollback_place_moment"].replace("__members", f"({given})").replace("__place.to", "to")
    assert answers(moment, sets) == ["2026-11-26T03:15:00Z", ""]


def test_everything_takes_the_application_back_as_a_rollback_of_its_own() -> None:
    """Else the next rollback of the application goes to the release that was left, on the database of the one before."""
    known, noted, switched, _full = tasks_of("rollback.yml", "(4/8) Application")
    release = {"to": "1.0.0", "from": "1.1.0", "hosts": ["app1"]}
    given = {"application_rollback": {"began": "now", "plan": {"from": "1.0.0", "turns": 1}}, "full_plan": {"release": release}}
    fact = told(known["ansible.builtin.set_fact"]["application_rollback"].strip("{} "), **given)
    assert fact == {"began": "now", "plan": {"turns": 1, **release}}
    assert noted["vars"] == {"of": "application", "mark": "plan"} and switched["ansible.builtin.include_role"]["tasks_from"] == "switch.yml"
    assert known["when"] == noted["when"] == switched["when"]


@pytest.mark.parametrize(("rehearse", "state"), [(False, "finished"), (True, "dropped")])
def test_a_rehearsal_of_everything_leaves_no_mark_of_the_application(rehearse: bool, state: str) -> None:
    tasks = yaml.safe_load((ROOT / "playbooks/tasks/rollback_full_finish.yml").read_text())
    journals = [task["arxos.platform.rollback_journal"] for task in tasks if "arxos.platform.rollback_journal" in task]
    assert [journal["name"] for journal in journals] == ["application", "full"], "a run that is killed between them is taken up"
    assert told(journals[0]["state"].strip("{} "), rollback_rehearse=rehearse) == state


@pytest.mark.parametrize("door", ["open", "preview", "closed", "new"])
def test_a_rollback_of_everything_leaves_the_front_door_as_it_was_unless_told_otherwise(door: str) -> None:
    given = {"full_plan": {"doors": {"edge1": door}}, "inventory_hostname": "edge1", "ansible_check_mode": False}
    (looked,), (closed,), (opened,) = (
        [task for task in tasks_of("rollback.yml", start) if task["name"] == name]
        for start, name in (("(1/8) Plan | The front door", "Look how it is"), ("(2/8) Stop", "Close"), ("(7/8) Resume", "Open"))
    )
    assert looked["register"] == "rollback_door" and looked["check_mode"] is False
    for more, left in (({"rehearse": True}, door), ({}, door), ({"rollback_traffic": "open"}, "open")):
        more = {**given, **more}
        assert told(opened["vars"]["nginx_traffic"].strip("{} "), "all/rollback.yml", **more) == left
        # One that never was open stays one that a go-live opens.
        assert told(closed["when"], "all/rollback.yml", **more) is told(opened["when"], "all/rollback.yml", **more) is (left != "new")


@pytest.mark.parametrize(("held", "renew"), [("", True), ("1.2.0@20261123T081949Z", False), ("1.2.0-2@20261123T081949Z", True)])
def test_another_attempt_at_a_release_leaves_the_place_of_a_guard_alone(held: str, renew: bool) -> None:
    *_others, task = yaml.safe_load((ROOT / "playbooks/tasks/restore_point.yml").read_text())
    member = {"restore_point_member": {"member": {"guard": {"label": held} if held else {}}}}
    hosts = {"app1": {"arxos_api_version": "1.2.0"}, "db1": {"restore_point_member": {"member": {"guard": {}}}}, "db2": member}
    given = {name: trust_as_template(value) for name, value in task["vars"].items()}
    given |= {"hostvars": hosts, "groups": {"app": ["app1"]}, "ansible_play_hosts": ["db1", "db2"]}
    assert told(task["arxos.platform.postgresql_restore_point"]["renew"].strip("{} "), **given) is renew
