# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What playbooks say of the platform, to those who hear of a run and on the status page, is what they measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((PLAYBOOKS / name).read_text()))


def task(name: str, play: str, wanted: str) -> dict[str, Any]:
    """A task of a playbook."""
    found = next(each for each in read(name) if each.get("name") == play)
    return next(each for each in found["tasks"] if each["name"] == wanted)


def figures(name: str, play: str, **given: Any) -> dict[str, str]:
    """What a playbook sums up, with variables as given."""
    data = task(name, play, "Sum up")
    said = data["ansible.builtin.set_stats"]["data"]["arxos_summary"]
    variables = {**{key: trust_as_template(value) for key, value in data.get("vars", {}).items()}, **given}
    templar = Templar(loader=DataLoader(), variables=variables)
    return {key: templar.template(trust_as_template(value)) for key, value in said.items()}


def test_a_proof_names_the_release_that_is_live_and_what_the_front_door_took() -> None:
    def host(current: str = "", milliseconds: float = 0) -> dict[str, Any]:
        probes = [{"name": "front door", "measured": {"milliseconds": milliseconds}}] if milliseconds else [{"name": "api", "measured": {}}]
        return {"arxos_api_version": "1.0.0", "prove_release": {"current": current}, "__prove_health": {"results": probes}}

    hosts = {"app1": host("1.1.0"), "app2": host("1.1.0"), "edge1": host(milliseconds=4.2), "edge2": host(milliseconds=11.7)}
    given = {"groups": {"all": list(hosts), "app": ["app1", "app2"]}, "arxos_domain": "x", "arxos_virtual_address": "y"}
    said = figures("prove.yml", "(8/9) Prove | What an operator wants to know", hostvars=hosts, **given)
    assert said["Release"] == "1.1.0" and said["Front door"] == "answers in 11.7 ms at most"
    assert said["Healthy"].startswith("4 of 4 hosts, 4 probes, api, front door")
    hosts["app2"] = host("1.0.0")
    assert figures("prove.yml", "(8/9) Prove | What an operator wants to know", hostvars=hosts, **given)["Release"] == "1.1.0 and 1.0.0"


def test_stages_that_users_are_told_are_those_of_the_playbook_that_follows() -> None:
    imports = [(each["ansible.builtin.import_playbook"], each.get("vars", {})) for each in read("go_live.yml")]
    told = [(given["users_stage"], imports[number + 1][0]) for number, (_name, given) in enumerate(imports) if "users_stage" in given]
    assert [stage["number"] for stage, _name in told] == [2, 3, 4, 5, 6, 7, 8]
    for stage, name in told:
        assert f"({stage['number']}/{stage['total']}) {stage['title']} |" in (PLAYBOOKS / name).read_text()


@pytest.mark.parametrize(("play", "door"), [("(2/8) Stop | No traffic", "closed"), ("(7/8) Resume | Traffic", "{{ rollback_opens }}")])
def test_a_full_rollback_tells_what_became_of_the_front_door_after_it_did(play: str, door: str) -> None:
    names = [each["name"] for each in next(each for each in read("rollback.yml") if each.get("name") == play)["tasks"]]
    assert names[-1] == "Tell users" and names[0] in ("Close", "Open")
    told = task("rollback.yml", play, "Tell users")
    assert told["vars"]["door"] == door and told["when"] == "not ansible_check_mode and rollback_opens != 'new'"


def test_a_page_stops_no_run() -> None:
    (told,) = read("tasks/say_to_users.yml")
    assert told["any_errors_fatal"] is False and told["ignore_unreachable"] is True and told["rescue"]
    for path in [*PLAYBOOKS.glob("*.yml"), *PLAYBOOKS.glob("tasks/*.yml")]:
        if "status_page.yml" in re.findall(r"(?:tasks/)?(status_page\.yml)\s*$", path.read_text(), re.MULTILINE):
            assert path.stem in ("announce", "status_page")
