# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules of awx.awx are told, made of data that says only what differs; and what is wrong with the data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What a job template may ask for at its launch, each a switch ask_<name>_on_launch.
PROMPTS = ("diff_mode", "job_type", "limit", "scm_branch", "skip_tags", "tags", "variables", "verbosity")
# Those that it asks for where its entry says nothing.
ASK = ("diff_mode", "job_type")
# A question of a survey, where its entry says nothing else.
QUESTION = {"question_description": "", "type": "text", "required": False}
# Types of questions, and what an answer is. A text may be left empty, and then is null or empty.
ANSWERS: dict[str, type | tuple[type, ...]] = {
    "text": str,
    "textarea": str,
    "integer": int,
    "float": (int, float),
    "multiplechoice": str,
    "multiselect": list,
}
EVENTS = ("started", "success", "error", "approvals")
# What a node may say of its template's launch, and the prompt that takes it.
LAUNCH = {"job_tags": "tags", **{name: name for name in ("diff_mode", "job_type", "limit", "scm_branch", "skip_tags", "verbosity")}}
ROUTES = {"success": "success_nodes", "failure": "failure_nodes", "always": "always_nodes"}
# What AWX asks of a rule at least: a start in UTC, one frequency, an interval.
RULE = re.compile(r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=[A-Z]+;INTERVAL=\d+(;[A-Z]+=[A-Z0-9,+-]+)*$")

Data = Mapping[str, Any]


def title(playbook: str) -> str:
    """The name of a job template, without its environment: C(rotate_secrets) is C(rotate secrets)."""
    return playbook.replace("_", " ")


def survey(questions: Sequence[Data]) -> dict[str, Any]:
    """A survey as AWX keeps it; none is an empty one."""
    if not questions:
        return {}
    return {"name": "", "description": "", "spec": [{**QUESTION, **question} for question in questions]}


def job_template(entry: Data, common: Data, prefix: str) -> dict[str, Any]:
    """Arguments of M(awx.awx.job_template). common: those that all have. Each prompt is set, so that one that leaves the data is taken back."""
    asked = entry.get("ask", ASK)
    return {
        **common,
        "name": prefix + title(entry["playbook"]),
        "description": entry["description"],
        "playbook": f"playbooks/{entry['playbook']}.yml",
        "survey_enabled": bool(entry.get("survey")),
        "survey_spec": survey(entry.get("survey") or []),
        **{f"ask_{prompt}_on_launch": prompt in asked for prompt in PROMPTS},
        **(entry.get("options") or {}),
    }


def told(notifications: Iterable[Data], prefix: str) -> dict[str, list[str]]:
    """Each event, and the names of the notifications that tell of it."""
    several = list(notifications)
    return {event: [prefix + each["name"] for each in several if event in each.get("on", ["error"])] for event in EVENTS}


def nodes(workflow: Data, prefix: str, organization: str) -> list[dict[str, Any]]:
    """Arguments of M(awx.awx.workflow_job_template_node), without the ways from one to the next."""
    made = []
    for node in workflow["nodes"]:
        arguments = {
            "workflow_job_template": prefix + workflow["name"],
            "organization": organization,
            "identifier": node["node"],
            "all_parents_must_converge": node.get("converge", False),
        }
        if "approval" in node:
            arguments["approval_node"] = {"name": prefix + node["node"], **node["approval"]}
        else:
            arguments.update(unified_job_template=prefix + title(node["playbook"]), lookup_organization=organization)
        if node.get("extra_data"):
            arguments["extra_data"] = node["extra_data"]
        made.append({**arguments, **(node.get("options") or {})})
    return made


def routes(workflow: Data, prefix: str, organization: str) -> list[dict[str, Any]]:
    """The ways: for each node which follow its success, its failure and both. All three are set, so that one that leaves the data is taken back."""
    return [
        {
            "workflow_job_template": prefix + workflow["name"],
            "organization": organization,
            "identifier": node["node"],
            **{argument: list(node.get(route) or []) for route, argument in ROUTES.items()},
        }
        for node in workflow["nodes"]
    ]


def supplied_type(names: Iterable[str]) -> dict[str, Any]:
    """Inputs and injectors of a credential type for secrets that somebody else issues: a file of them, whose path is in the environment."""
    wanted = list(names)
    return {
        "inputs": {
            "fields": [
                {
                    "id": name,
                    "label": name.removeprefix("vault_").replace("_", " "),
                    "type": "string",
                    "secret": True,
                    "multiline": name.endswith(("_certificate", "_private_key")),
                }
                for name in wanted
            ]
        },
        "injectors": {
            # JSON is YAML: a value with line breaks or quotes cannot break out of its line. What is not filled in is left out.
            "file": {
                "template.supplied": "---\n"
                + "".join(f"{{% if {name} is defined and {name} %}}{name}: {{{{ {name} | tojson }}}}\n{{% endif %}}" for name in wanted)
            },
            "env": {"ARXOS_SUPPLIED_SECRETS": "{{ tower.filename.supplied }}"},
        },
    }


def executors(templates: Iterable[Data], workflows: Iterable[Data], teams: Iterable[str], prefix: str) -> list[dict[str, Any]]:
    """Who may do what, as arguments of M(awx.awx.role). An entry's C(teams) may run it, a workflow's C(approvers) may say yes or no in it."""
    made: list[dict[str, Any]] = []
    runs, flows = list(templates), list(workflows)
    for team in teams:
        for role, key in (("execute", "teams"), ("approval", "approvers")):
            granted = {
                "job_templates": [
                    prefix + title(entry["playbook"]) for entry in runs if key == "teams" and team in entry.get("teams", ["operator"])
                ],
                "workflows": [prefix + flow["name"] for flow in flows if team in flow.get(key, [])],
            }
            if any(granted.values()):
                made.append({"teams": [prefix + team], "role": role, **{kind: names for kind, names in granted.items() if names}})
    return made


def faults(templates: Sequence[Data], workflows: Sequence[Data], schedules: Sequence[Data], teams: Iterable[str]) -> list[str]:
    """What is wrong with the data, a line each; empty when nothing is."""
    found: list[str] = []
    known_teams = set(teams)
    by_playbook: dict[str, Data] = {}
    for entry in templates:
        name = entry["playbook"]
        if name in by_playbook:
            found.append(f"{name}: has two job templates")
        by_playbook[name] = entry
        found += [f"{name}: there is no team {team}" for team in entry.get("teams", []) if team not in known_teams]
        found += [f"{name}: AWX cannot ask for {prompt}" for prompt in entry.get("ask", []) if prompt not in PROMPTS]
        found += [f"{name}: {fault}" for fault in _survey_faults(entry.get("survey") or [])]
    titles = {title(name) for name in by_playbook}
    for flow in workflows:
        if flow["name"] in titles:  # whoever looks for one would find two
            found.append(f"workflow {flow['name']}: has the name of a job template")
        found += [f"workflow {flow['name']}: {fault}" for fault in _workflow_faults(flow, by_playbook, known_teams)]
    for schedule in schedules:
        where = f"schedule {schedule['name']}"
        if not RULE.match(schedule["rrule"]):
            found.append(f"{where}: write its rule as DTSTART:20260101T020000Z RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SU")
        found += [f"{where}: {fault}" for fault in _answer_faults(by_playbook.get(schedule["playbook"]), schedule)]
    return found


def _survey_faults(questions: Sequence[Data]) -> list[str]:
    found: list[str] = []
    variables = [question["variable"] for question in questions]
    found += [f"asks twice for {name}" for name in sorted({name for name in variables if variables.count(name) > 1})]
    for given in questions:
        question = {**QUESTION, **given}
        name, kind, choices = question["variable"], question["type"], question.get("choices") or []
        if kind not in ANSWERS:
            found.append(f"{name}: {kind} is no type of a question")
            continue
        if kind.startswith("multi") and not choices:
            found.append(f"{name}: has no choices")
        # AWX wants an answer to these also where none has to be given, and its pages cannot open a choice without a default.
        if not question["required"] and kind not in ("text", "textarea") and "default" not in question:
            found.append(f"{name}: needs a default, or to be required")
        if not question["required"] and kind in ("text", "textarea") and question.get("min"):
            found.append(f"{name}: may be left empty, and so has no least length")
        if "default" in question:
            found += [f"{name}: its default {fault}" for fault in _value_faults(question, question["default"])]
    return found


def _value_faults(question: Data, value: Any) -> list[str]:
    """What is wrong with an answer, as AWX judges it."""
    kind, choices = question.get("type", "text"), question.get("choices") or []
    if not isinstance(value, ANSWERS[kind]) or (isinstance(value, bool) and kind in ("integer", "float")):
        return [f"is no {kind}"]
    if kind.startswith("multi"):
        return [f"{each} is none of its choices" for each in (value if isinstance(value, list) else [value]) if each not in choices]
    size = len(value) if isinstance(value, str) else value
    return [
        f"{value} is too {word}"
        for key, word in (("min", "small"), ("max", "large"))
        if question.get(key) is not None and (size < question[key] if key == "min" else size > question[key])
    ]


def _answer_faults(entry: Data | None, run: Data, asked: Iterable[str] = ()) -> list[str]:
    """What is wrong with answers (C(extra_data)) that nobody types in; asked: what a workflow's own survey answers."""
    if entry is None:
        return [f"{run['playbook']} has no job template"]
    questions = {question["variable"]: question for question in entry.get("survey") or []}
    answers = run.get("extra_data") or {}
    found = [f"{entry['playbook']} does not ask for {name}" for name in answers if name not in questions]
    for name, question in questions.items():
        if name in answers:
            found += [f"{name} {fault}" for fault in _value_faults(question, answers[name])]
        elif question.get("required") and "default" not in question and name not in asked:
            found.append(f"{entry['playbook']} has to know {name}")
    return found


def _workflow_faults(flow: Data, by_playbook: Mapping[str, Data], teams: set[str]) -> list[str]:
    found = [f"there is no team {team}" for key in ("teams", "approvers") for team in flow.get(key, []) if team not in teams]
    names = [node["node"] for node in flow["nodes"]]
    found += [f"has two nodes {name}" for name in sorted({name for name in names if names.count(name) > 1})]
    reached = {target for node in flow["nodes"] for route in ROUTES for target in node.get(route) or []}
    found += [f"leads to {name}, which is no node of it" for name in sorted(reached - set(names))]
    starts = [name for name in names if name not in reached]
    if len(starts) != 1:
        found.append(f"begins at {', '.join(starts) or 'no node'}; exactly one may have none before it")
    for node in flow["nodes"]:
        if ("approval" in node) == ("playbook" in node):
            found.append(f"{node['node']}: is either a playbook or an approval")
        elif "playbook" in node:
            asked = [question["variable"] for question in flow.get("survey") or []]
            entry = by_playbook.get(node["playbook"])
            found += [f"{node['node']}: {fault}" for fault in _answer_faults(entry, node, asked)]
            prompts = (entry or {}).get("ask", ASK)
            found += [
                f"{node['node']}: {node['playbook']} does not ask for {name}"
                for name in node.get("options") or {}
                if LAUNCH.get(name) not in prompts
            ]
        elif not flow.get("approvers"):
            found.append(f"{node['node']}: nobody may approve")
    return found
