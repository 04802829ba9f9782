# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What AWX is told, and which data is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.arxos.platform.plugins.module_utils import _awx
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATES = [
    {"playbook": "deploy", "description": "D", "survey": [{"variable": "version", "question_name": "V", "required": True}]},
    {"playbook": "rotate_all", "description": "R", "teams": ["approver"], "ask": ["limit"], "options": {"timeout": 60}},
]
FLOW: dict[str, Any] = {
    "name": "live",
    "teams": ["operator"],
    "approvers": ["approver"],
    "nodes": [
        {"node": "make", "playbook": "deploy", "extra_data": {"version": "1.2.0"}, "success": ["ask"], "failure": ["back"]},
        {"node": "ask", "approval": {"description": "Well?", "timeout": 60}, "always": ["back"]},
        {"node": "back", "playbook": "rotate_all", "converge": True, "options": {"limit": "app"}},
    ],
}
SCHEDULE = {"name": "nightly", "playbook": "rotate_all", "rrule": "DTSTART:20260101T020000Z RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SU"}
TEAMS = ["operator", "approver"]


def faults(templates: Any = None, workflows: Any = (), schedules: Any = ()) -> list[str]:
    return _awx.faults(TEMPLATES if templates is None else templates, list(workflows), list(schedules), TEAMS)


def test_a_job_template_has_what_all_have_and_what_is_its_own() -> None:
    made = _awx.job_template(TEMPLATES[1], {"project": "P", "timeout": 0}, "lab: ")
    assert made["name"] == "lab: rotate all" and made["playbook"] == "playbooks/rotate_all.yml"
    assert made["project"] == "P" and made["timeout"] == 60
    assert made["survey_enabled"] is False and made["survey_spec"] == {}
    assert {name for name, value in made.items() if name.startswith("ask_") and value} == {"ask_limit_on_launch"}


def test_every_prompt_is_set_so_that_one_that_leaves_the_data_is_taken_back() -> None:
    made = _awx.job_template({**TEMPLATES[0], "ask": []}, {}, "")
    assert {name: value for name, value in made.items() if name.startswith("ask_")} == {
        f"ask_{name}_on_launch": False for name in _awx.PROMPTS
    }


def test_a_survey_is_as_awx_keeps_it() -> None:
    assert _awx.survey(TEMPLATES[0]["survey"]) == {  # type: ignore[arg-type]
        "name": "",
        "description": "",
        "spec": [{"question_description": "", "type": "text", "required": True, "variable": "version", "question_name": "V"}],
    }


def test_nodes_and_the_ways_between_them() -> None:
    make, ask, back = _awx.nodes(FLOW, "lab: ", "Arxos")
    assert make["unified_job_template"] == "lab: deploy" and make["extra_data"] == {"version": "1.2.0"}
    assert ask["approval_node"] == {"name": "lab: ask", "description": "Well?", "timeout": 60} and "unified_job_template" not in ask
    assert back["limit"] == "app" and back["all_parents_must_converge"] and "extra_data" not in back
    ways = [
        {key: value for key, value in way.items() if key.endswith("_nodes") or key == "identifier"}
        for way in _awx.routes(FLOW, "lab: ", "Arxos")
    ]
    assert ways == [
        {"identifier": "make", "success_nodes": ["ask"], "failure_nodes": ["back"], "always_nodes": []},
        {"identifier": "ask", "success_nodes": [], "failure_nodes": [], "always_nodes": ["back"]},
        {"identifier": "back", "success_nodes": [], "failure_nodes": [], "always_nodes": []},
    ]


def test_who_may_what() -> None:
    assert _awx.executors(TEMPLATES, [FLOW], [*TEAMS, "auditor"], "lab: ") == [
        {"teams": ["lab: operator"], "role": "execute", "job_templates": ["lab: deploy"], "workflows": ["lab: live"]},
        {"teams": ["lab: approver"], "role": "execute", "job_templates": ["lab: rotate all"]},
        {"teams": ["lab: approver"], "role": "approval", "workflows": ["lab: live"]},
    ]


def test_who_is_told_of_what() -> None:
    notifications = [{"name": "mail"}, {"name": "chat", "on": ["error", "approvals"]}]
    assert _awx.told(notifications, "lab: ") == {
        "started": [],
        "success": [],
        "error": ["lab: mail", "lab: chat"],
        "approvals": ["lab: chat"],
    }


@pytest.mark.parametrize(
    "value",
    ["plain", 'with "quotes" and \\', "-----BEGIN KEY-----\nline\n-----END KEY-----\n", "a: b # c", "{{ lookup('pipe', 'id') }}", "é<>&'"],
)
def test_supplied_secrets_arrive_as_they_were_typed(value: str) -> None:
    made = _awx.supplied_type(["vault_s3_secret_key", "vault_front_private_key", "vault_unused"])
    assert all(field["secret"] for field in made["inputs"]["fields"])
    assert [field["multiline"] for field in made["inputs"]["fields"]] == [False, True, False]
    assert "extra_vars" not in made["injectors"]
    # As AWX renders it, with the values of the fields that were filled in.
    template = ImmutableSandboxedEnvironment().from_string(made["injectors"]["file"]["template.supplied"])
    text = template.render(vault_s3_secret_key=value, vault_front_private_key="", tower={"filename": {}})
    assert yaml.safe_load(text) == {"vault_s3_secret_key": value}


def test_no_supplied_secret_at_all_is_an_empty_file() -> None:
    made = _awx.supplied_type([])
    text = ImmutableSandboxedEnvironment().from_string(made["injectors"]["file"]["template.supplied"]).render()
    assert yaml.safe_load(text) is None


def test_good_data_has_no_fault() -> None:
    assert faults(workflows=[FLOW], schedules=[SCHEDULE]) == []


def question(**given: Any) -> list[dict[str, Any]]:
    return [{"playbook": "p", "description": "", "survey": [{"variable": "v", "question_name": "V", **given}]}]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"type": "colour"}, "colour is no type"),
        ({"type": "multiplechoice", "required": True}, "has no choices"),
        ({"type": "multiplechoice", "choices": ["a"]}, "needs a default"),
        ({"type": "integer"}, "needs a default"),
        ({"min": 3}, "may be left empty"),
        ({"type": "integer", "default": "3"}, "is no integer"),
        ({"type": "integer", "default": True}, "is no integer"),
        ({"type": "integer", "default": 9, "max": 8}, "9 is too large"),
        ({"default": "abc", "max": 2}, "abc is too large"),
        ({"type": "multiplechoice", "choices": ["a"], "default": "b"}, "b is none of its choices"),
        ({"type": "multiselect", "choices": ["a"], "default": ["a", "b"]}, "b is none of its choices"),
    ],
)
def test_faults_of_questions(given: dict[str, Any], fault: str) -> None:
    (found,) = faults(question(**given))
    assert fault in found and found.startswith("p: v: ")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda flow: flow.update(name="deploy"), "has the name of a job template"),
        (lambda flow: flow.update(teams=["nobody"]), "there is no team nobody"),
        (lambda flow: flow.update(approvers=[]), "ask: nobody may approve"),
        (lambda flow: flow["nodes"][0].update(success=["gone"]), "leads to gone"),
        (lambda flow: flow["nodes"][0].update(success=[]), "begins at make, ask"),
        (lambda flow: flow["nodes"][2].update(success=["make"]), "begins at no node"),
        (lambda flow: flow["nodes"].append(dict(flow["nodes"][2])), "has two nodes back"),
        (lambda flow: flow["nodes"][0].update(playbook="gone"), "make: gone has no job template"),
        (lambda flow: flow["nodes"][0].update(extra_data={}), "make: deploy has to know version"),
        (lambda flow: flow["nodes"][2].update(extra_data={"x": 1}), "back: rotate_all does not ask for x"),
        (lambda flow: flow["nodes"][2].update(options={"skip_tags": "x"}), "back: rotate_all does not ask for skip_tags"),
        (lambda flow: flow["nodes"][2].pop("playbook"), "back: is either a playbook or an approval"),
    ],
)
def test_faults_of_workflows(change: Any, fault: str) -> None:
    flow = {**FLOW, "nodes": [dict(node) for node in FLOW["nodes"]]}
    change(flow)
    assert any(fault in found for found in faults(workflows=[flow])), faults(workflows=[flow])


def test_the_survey_of_a_workflow_answers_for_its_nodes() -> None:
    flow = {**FLOW, "nodes": [{**FLOW["nodes"][0], "extra_data": {}}, *FLOW["nodes"][1:]]}
    assert faults(workflows=[{**flow, "survey": [{"variable": "version", "question_name": "V", "required": True}]}]) == []


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"rrule": "every day"}, "write its rule as"),
        ({"rrule": "DTSTART:20260101T020000Z RRULE:FREQ=DAILY"}, "write its rule as"),
        ({"playbook": "gone"}, "gone has no job template"),
        ({"playbook": "deploy"}, "deploy has to know version"),
        ({"playbook": "deploy", "extra_data": {"version": 1}}, "version is no text"),
        ({"extra_data": {"x": 1}}, "does not ask for x"),
    ],
)
def test_faults_of_schedules(given: dict[str, Any], fault: str) -> None:
    (found,) = faults(schedules=[{**SCHEDULE, **given}])
    assert fault in found and found.startswith("schedule nightly: ")


def test_faults_of_job_templates() -> None:
    found = faults([TEMPLATES[0], {**TEMPLATES[0], "teams": ["nobody"], "ask": ["tea"], "survey": TEMPLATES[0]["survey"] * 2}])  # type: ignore[operator]
    assert found == [
        "deploy: has two job templates",
        "deploy: there is no team nobody",
        "deploy: AWX cannot ask for tea",
        "deploy: asks twice for version",
    ]
