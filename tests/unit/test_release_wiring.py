# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which release release.yml refuses to go back to, and which hosts stay drained whatever is run."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]


def told(expression: str, **given: Any) -> Any:
    return Templar(loader=DataLoader(), variables=given).template(trust_as_template(expression))


def named(tasks: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(task for task in tasks if task["name"] == name)


@pytest.mark.parametrize(
    ("current", "previous", "leaving", "wanted", "left"),
    [
        ("", "", "", "1.0.0", False),  # the first
        ("1.0.0", "", "", "1.0.0", False),
        ("1.0.0", "0.9.0", "", "1.1.0", False),  # the next
        ("1.1.0", "1.0.0", "", "1.0.0", True),  # deploy.yml went on, the inventory did not
        ("1.2.0", "1.1.0", "", "1.0.0", True),  # twice
        ("1.10.0", "", "", "1.9.0", True),
        ("1.0.0", "1.1.0", "", "1.1.0", True),  # a rollback went back, the inventory did not
        ("1.1.0", "0.9.0", "1.0.0", "1.0.0", False),  # a switch that was killed never counted
    ],
)
def test_a_release_that_was_left_is_gone_back_to_only_by_name(current: str, previous: str, leaving: str, wanted: str, left: bool) -> None:
    _lock, first, *_plays = yaml.safe_load((ROOT / "playbooks/release.yml").read_text())
    noted = named(first["tasks"], "Note which release is wanted")
    refusal = named(first["tasks"], "Refuse to go back unless that release is named")
    look = {"current": current, "previous": previous, "leaving": leaving}
    release_wanted = told(noted["ansible.builtin.set_fact"]["release_wanted"], arxos_api_version=wanted)
    is_left = told(refusal["vars"]["release_is_left"], __arxos_api_look=look, release_wanted=release_wanted)
    assert is_left is left
    # A task's own variable gives way to the command line's alone: of the inventory's the assertion sees nothing.
    assert refusal["vars"]["arxos_api_version"] == ""
    that = "{{ " + refusal["ansible.builtin.assert"]["that"] + " }}"
    assert told(that, arxos_api_version="", release_is_left=is_left) is not left
    assert told(that, arxos_api_version=wanted, release_is_left=is_left) is True
    names = [task["name"] for task in first["tasks"]]
    assert names.index("Install") < names.index(noted["name"]) < names.index(refusal["name"]) < names.index("Configure")


UPSTREAM = """upstream arxos_api {
    # app1
    server 10.0.0.1:8443 max_fails=5 fail_timeout=5s;
    # app2
    server 10.0.0.2:8443 max_fails=5 fail_timeout=5s down;
    # app3
    server 10.0.0.3:8443 max_fails=5 fail_timeout=5s;
    # gone
    server 10.0.0.4:8443 max_fails=5 fail_timeout=5s down;
}
"""
STILL_OUT = yaml.safe_load((ROOT / "playbooks/tasks/still_out.yml").read_text())
GROUPS = {"app": ["app1", "app2", "app3"], "edge": ["edge1", "edge2"]}


def test_whom_the_edge_has_drained_is_asked() -> None:
    expression = named(STILL_OUT, "Ask those which release they have")["vars"]["still_out_drained"]
    other = UPSTREAM.replace("10.0.0.3:8443 max_fails=5 fail_timeout=5s", "10.0.0.3:8443 max_fails=5 fail_timeout=5s down")
    read = {
        host: {"still_out_read": {"content": b64encode(text.encode()).decode()}} for host, text in (("edge1", UPSTREAM), ("edge2", other))
    }
    assert told(expression, groups=GROUPS, hostvars=read) == ["app2", "app3"]
    new = {host: {"still_out_read": {"failed": True, "msg": "file not found"}} for host in GROUPS["edge"]}
    assert told(expression, groups=GROUPS, hostvars=new) == []


def test_an_edge_that_was_never_made_is_no_failure_in_the_words_of_the_module_itself(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("ansible")), "localhost", "-c", "local", "-m", "ansible.builtin.slurp"]
    done = subprocess.run([*command, "-a", f"src={tmp_path}/none"], capture_output=True, text=True, check=False, timeout=60)
    message = re.search(r"""msg"?: ['"](.*?)['"]""", done.stdout + done.stderr)
    assert message and "not found" in message[1], done.stdout + done.stderr
    plays = yaml.safe_load((ROOT / "playbooks/scale.yml").read_text())
    scale = next(task for play in plays for task in play.get("tasks", []) if task["name"] == "Read which servers the edge has")
    for task in (named(STILL_OUT, "Read whom the edge has drained"), scale):
        for said, fails in ((message[1], False), ("permission denied", True)):
            given = {task["register"]: {"failed": True, "msg": said}}
            assert told("{{ " + task["failed_when"] + " }}", **given) is fails


@pytest.mark.parametrize(
    ("asked", "out"),
    [
        ({}, []),
        ({"app2": {"leaving": ""}}, []),  # whoever was cut off had drained it, and no release
        ({"app2": {"leaving": "1.1.0"}}, ["app2"]),
        ({"app2": {"unreachable": True, "msg": "no route"}, "app3": {"leaving": ""}}, ["app2"]),
        ({host: {"leaving": "1.1.0"} for host in GROUPS["app"]}, []),  # nobody would serve
    ],
)
def test_who_has_not_proved_good_stays_out_unless_nobody_else_would_serve(asked: dict[str, dict[str, Any]], out: list[str]) -> None:
    note = named(STILL_OUT, "Note who stays out")
    results = [{"item": host, **found} for host, found in asked.items()]
    found = told(
        note["vars"]["still_out_results"],
        groups=GROUPS,
        ansible_play_hosts=["edge2", "app1"],
        hostvars={"edge1": {}, "edge2": {"still_out_asked": {"results": results}}},
    )
    still_out = told(note["vars"]["still_out"], still_out_results=found)
    assert told(note["ansible.builtin.set_fact"]["arxos_still_out"], still_out=still_out, groups=GROUPS) == out


@pytest.mark.parametrize(
    "path", ["edge.yml", "rotate_certificates.yml", "rotate_step.yml", "tasks/rotate_certificate_app.yml", "tasks/rotate_host.yml"]
)
def test_nobody_but_a_release_takes_in_who_stays_out(path: str) -> None:
    text = (ROOT / "playbooks" / path).read_text()
    drained = [line.split("nginx_drained: ", 1)[1] for line in text.splitlines() if "nginx_drained: " in line]
    assert drained and all("arxos_still_out" in value for value in drained)
    assert path.startswith("tasks/") or "tasks/still_out.yml" in text
