# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""configure_awx.yml against a small fake of AWX's API: makes everything, then nothing, then exactly what was changed; shows no secret. Touches no host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT
from .fake_awx import ENCRYPTED, Awx, serve

pytest.importorskip("ansible_collections.awx.awx", reason="ansible 14 does not bring awx.awx: ansible-galaxy collection install awx.awx")

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
TOKEN = "tq9Xv1w4eLr8_token"
SECRETS = {"AWX_SSH_KEY": "-----BEGIN OPENSSH PRIVATE KEY-----\nZm9yIHRlc3Rz_key", "AWX_VAULT_PASSWORD": "vp4-Qz8_xw91kLd"}
DATA = ROOT / "playbooks/vars/awx"
TEMPLATES = yaml.safe_load((DATA / "job_templates.yml").read_text())["awx_job_templates"]
RUNS = yaml.safe_load((DATA / "runs.yml").read_text())
SHIPPED: dict[str, Any] = {"awx_job_templates": TEMPLATES, **RUNS}
# Each call of a module costs half a second. All that is shipped is made by the slow cases, and of it by the others as much as belongs to its workflow and to
# what is looked at; to see what happens to a change needs least.
PART: dict[str, Any] = {
    "awx_job_templates": [
        entry
        for entry in TEMPLATES
        if entry["playbook"] in ("status", "deploy", "rollback_database", "preflight", "go_live", "traffic", "take_back")
    ],
    "awx_workflows": RUNS["awx_workflows"],
    "awx_schedules": RUNS["awx_schedules"][:1],
}
FEW: dict[str, Any] = {
    "awx_job_templates": [entry for entry in TEMPLATES if entry["playbook"] in ("status", "load_window")],
    "awx_workflows": [
        {
            "name": "look, then ask",
            "approvers": ["approver"],
            "nodes": [
                {"node": "look", "playbook": "status", "success": ["approval"]},
                {"node": "approval", "approval": {"description": "Well?", "timeout": 60}},
            ],
        }
    ],
    "awx_schedules": RUNS["awx_schedules"][:1],
}


class Run:
    """What a run of the playbook came to."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.rc, self.text = done.returncode, done.stdout + done.stderr
        self.changed = sum(int(count) for count in re.findall(r"^localhost\s+: ok=\d+\s+changed=(\d+)", self.text, re.MULTILINE))


class Place:
    """An AWX, and an inventory that is to be configured in it."""

    def __init__(self, folder: Path) -> None:
        self.awx = Awx([f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml")], TOKEN, "pw")
        self.folder = folder
        self.host = ""
        self.data: dict[str, Any] | None = None  # instead of what is shipped

    def run(self, *arguments: str, environment: dict[str, str] | None = None, data: dict[str, Any] | None = None) -> Run:
        """Runs the playbook, with the secrets and a token in the environment, and with other data than is shipped."""
        if data := data or self.data:
            arguments = (*arguments, "-e", json.dumps(data))
        self.awx.changes.clear()
        own = {
            "CONTROLLER_HOST": self.host,
            "CONTROLLER_OAUTH_TOKEN": TOKEN,
            "ANSIBLE_FORCE_COLOR": "0",
            "CONTROLLER_REQUEST_TIMEOUT": "60",
            "HOME": str(self.folder.parent),
        }
        done = subprocess.run(
            [str(PLAYBOOK), str(ROOT / "playbooks/configure_awx.yml"), "-i", str(self.folder), *arguments],
            cwd=ROOT,
            env={**os.environ, **own, **(SECRETS if environment is None else environment)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        run = Run(done)
        assert "Traceback" not in run.text, run.text
        return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An AWX that is empty."""
    yield from made(tmp_path_factory.mktemp("empty") / "production")


@pytest.fixture(scope="module", params=["part", pytest.param("all", marks=pytest.mark.slow)])
def shipped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An AWX for what is shipped, all of it or PART."""
    for place in made(tmp_path_factory.mktemp(request.param) / "production"):
        place.data = PART if request.param == "part" else None
        yield place


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An AWX that has FEW."""
    for place in made(tmp_path_factory.mktemp("few") / "production"):
        run = place.run(data=FEW)
        assert run.rc == 0, run.text[-4000:]
        yield place


def made(folder: Path) -> Iterator[Place]:
    """An empty AWX, and the inventory of production with a member and two notifications."""
    shutil.copytree(ROOT / "inventories/production", folder)
    (folder / "known_hosts.txt").write_text("10.20.1.11 ssh-ed25519 AAAAkeyofahost\n")
    place = Place(folder)
    place.awx.add_user("jane")
    path = folder / "group_vars/all/awx.yml"
    data = yaml.safe_load(path.read_text())
    data["awx_members"]["operator"] = ["jane"]
    mail = {"host": "smtp.example.org", "port": 25, "sender": "awx@example.org", "recipients": ["operations@example.org"], "use_tls": False}
    data["awx_notifications"] = [
        {"name": "mail", "type": "email", "on": ["error", "approvals"], "configuration": {**mail, "username": "", "password": ""}},
        {"name": "chat", "type": "slack", "by_hand": True, "configuration": {"channels": ["#arxos"], "token": "xoxb-kept-secret"}},
    ]
    path.write_text(yaml.safe_dump(data))
    with serve(place.awx) as place.host:
        yield place


def test_it_refuses_to_guess_where_awx_is(place: Place) -> None:
    run = place.run(environment={"CONTROLLER_HOST": ""})
    assert run.rc == 2 and "CONTROLLER_HOST" in run.text


def test_check_mode_on_an_empty_awx_makes_nothing_and_does_not_fail(place: Place) -> None:
    run = place.run("--check", "--diff")
    assert (run.rc, place.awx.changes) == (0, []), run.text
    assert run.changed > 0 and "Check mode ends here" in run.text


def test_bad_data_is_refused_before_anything_is_touched(place: Place) -> None:
    bad = [{"playbook": "status", "description": "x", "teams": ["nobody"]}, {"playbook": "status", "description": "x"}]
    run = place.run("-e", json.dumps({"awx_job_templates": bad}))
    assert run.rc == 2 and place.awx.changes == []
    assert "there is no team nobody" in run.text and "two job templates" in run.text and "has no job template" in run.text


def test_the_first_run_makes_it_and_shows_no_secret(shipped: Place) -> None:
    run = shipped.run("-vvv")
    assert run.rc == 0, run.text[-4000:]
    awx = shipped.awx
    assert set(awx.named("job_templates")) == {
        "production: " + entry["playbook"].replace("_", " ") for entry in (shipped.data or SHIPPED)["awx_job_templates"]
    }
    assert set(awx.named("schedules")) == {"production: " + entry["name"] for entry in (shipped.data or SHIPPED)["awx_schedules"]}
    assert set(awx.named("teams")) == {"production: operator", "production: approver", "production: auditor"}
    shown = [word for word in (*SECRETS.values(), TOKEN, "xoxb-kept-secret") if max(word.splitlines(), key=len) in run.text]
    assert shown == []


def test_what_it_made_is_what_the_data_says(shipped: Place) -> None:
    awx = shipped.awx
    deploy = awx.named("job_templates")["production: deploy"]
    assert deploy["playbook"] == "playbooks/deploy.yml" and deploy["survey_enabled"] and deploy["ask_job_type_on_launch"]
    assert not deploy["allow_simultaneous"] and not deploy["ask_variables_on_launch"], "answers come by the survey alone"
    assert [question["variable"] for question in awx.surveys["job_templates", deploy["id"]]["spec"]] == ["arxos_api_version"]
    names = {item["id"]: name for name, item in awx.named("credentials").items()}
    assert {names[number] for number in awx.has("job_templates", "production: deploy", "credentials")} == {
        f"production: {name}" for name in ("ssh", "vault", "platform", "supplied secrets")
    }
    assert len(awx.has("job_templates", "production: deploy", "notification_templates_error")) == 2
    for credential, key, variable in (("ssh", "ssh_key_data", "AWX_SSH_KEY"), ("vault", "vault_password", "AWX_VAULT_PASSWORD")):
        item = awx.named("credentials")[f"production: {credential}"]
        assert item["inputs"][key] == ENCRYPTED and awx.secrets[item["id"], key] == SECRETS[variable]
    platform = awx.named("credentials")["production: platform"]["inputs"]
    assert platform["secrets_file"] == "/var/lib/arxos/production/vault.yml" and "AAAAkeyofahost" in platform["known_hosts"]
    source = awx.named("inventory_sources")["production: project"]
    assert source["source_path"] == "inventories/production/hosts.yml" and source["update_on_launch"]
    assert awx.settings["AWX_ISOLATION_SHOW_PATHS"] == ["/var/lib/arxos:/var/lib/arxos:rw"]


def test_who_may_what(shipped: Place) -> None:
    awx = shipped.awx
    assert awx.granted("production: operator", "job_templates", "production: deploy", "execute")
    assert not awx.granted("production: operator", "job_templates", "production: rollback database", "execute")
    assert awx.granted("production: approver", "job_templates", "production: rollback database", "execute")
    assert awx.granted("production: operator", "workflow_job_templates", "production: go live with approval", "execute")
    assert awx.granted("production: approver", "workflow_job_templates", "production: go live with approval", "approval")
    assert not awx.granted("production: operator", "workflow_job_templates", "production: go live with approval", "approval")
    assert awx.granted("production: auditor", "organizations", "Arxos", "auditor")
    roles = awx.named("teams")["production: operator"]["summary_fields"]["object_roles"]
    assert awx.related["roles", roles["member_role"]["id"], "users"] == [awx.named("users")["jane"]["id"]]


def test_the_workflow_leads_from_preflight_over_an_approval_to_traffic_and_back_where_it_fails(shipped: Place) -> None:
    nodes = shipped.awx.named("workflow_job_template_nodes")
    by_id = {item["id"]: name for name, item in nodes.items()}

    def after(name: str, route: str) -> list[str]:
        return [by_id[number] for number in shipped.awx.has("workflow_job_template_nodes", name, f"{route}_nodes")]

    assert after("preflight", "success") == ["go live"] and after("preflight", "failure") == []
    assert after("go live", "success") == ["approval"] and after("go live", "failure") == ["take back"]
    assert after("approval", "success") == ["open"]
    assert after("open", "failure") == ["take back what did not open"]
    assert nodes["take back what did not open"]["extra_data"] == {"take_back_of": "go_live"}
    (approval,) = shipped.awx.objects["workflow_approval_templates"].values()
    assert nodes["approval"]["unified_job_template"] == approval["id"] and approval["timeout"] == 86400


def test_a_second_run_changes_nothing(shipped: Place) -> None:
    run = shipped.run()
    assert (run.rc, run.changed, shipped.awx.changes) == (0, 0, []), run.text[-4000:]


@pytest.mark.slow
def test_a_run_without_the_secrets_leaves_them_as_they_are(small: Place) -> None:
    run = small.run(environment={"CONTROLLER_OAUTH_TOKEN": "", "CONTROLLER_USERNAME": "admin", "CONTROLLER_PASSWORD": "pw"}, data=FEW)
    assert (run.rc, run.changed, small.awx.changes) == (0, 0, []), run.text[-4000:]
    item = small.awx.named("credentials")["production: vault"]
    assert small.awx.secrets[item["id"], "vault_password"] == SECRETS["AWX_VAULT_PASSWORD"]


@pytest.mark.slow
def test_check_mode_tells_of_a_change_and_makes_none(small: Place) -> None:
    run = small.run(
        "--check", data={**FEW, "awx_project": {"scm_url": "https://git.example.org/arxos/platform.git", "scm_branch": "v0.2.0"}}
    )
    assert (run.rc, run.changed, small.awx.changes) == (0, 1, []), run.text[-3000:]
    assert "Check mode ends here" not in run.text


@pytest.mark.slow
@pytest.mark.parametrize("what", ["project", "survey", "workflow"])
def test_what_is_changed_in_the_data_is_changed_and_nothing_else(small: Place, what: str) -> None:
    data = json.loads(json.dumps(FEW))
    if what == "project":
        data["awx_project"] = {"scm_url": "https://git.example.org/arxos/platform.git", "scm_branch": "v0.2.0"}
    elif what == "survey":
        next(entry for entry in data["awx_job_templates"] if entry["playbook"] == "load_window")["survey"][1]["max"] = 60
    else:
        data["awx_workflows"][0]["nodes"][0]["success"], data["awx_workflows"][0]["nodes"][0]["failure"] = [], ["approval"]
    run = small.run(data=data)
    expected = {"project": ["PATCH projects"], "survey": ["POST job_templates"], "workflow": ["POST workflow_job_template_nodes"] * 2}[what]
    assert (run.rc, run.changed) == (0, 1), run.text[-3000:]
    assert [re.sub(r"/.*", "", change) for change in small.awx.changes] == expected
    assert small.run(data=FEW).changed == 1, "and back"


@pytest.mark.slow
def test_what_somebody_changed_in_awx_is_put_back(small: Place) -> None:
    template = small.awx.named("job_templates")["production: status"]
    template["ask_variables_on_launch"] = True
    node = small.awx.named("workflow_job_template_nodes")["approval"]
    small.awx.related["workflow_job_template_nodes", node["id"], "success_nodes"] = [node["id"]]
    run = small.run(data=FEW)
    assert (run.rc, run.changed) == (0, 2), run.text[-3000:]
    assert not small.awx.named("job_templates")["production: status"]["ask_variables_on_launch"]
    assert small.awx.has("workflow_job_template_nodes", "approval", "success_nodes") == []


@pytest.mark.slow
def test_a_new_job_template_in_check_mode_fails_nothing(small: Place) -> None:
    data = {**FEW, "awx_job_templates": [*FEW["awx_job_templates"], {"playbook": "prove", "description": "Health"}]}
    run = small.run("--check", data=data)
    assert (run.rc, run.changed, small.awx.changes) == (0, 1, []), run.text[-3000:]
    assert "Check mode ends here" in run.text
