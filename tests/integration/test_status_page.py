# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the playbooks write for the status page, on this machine in place of the edge. Needs root, as the hosts' own files do; touches no host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT

ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
GO_LIVE = ROOT / "playbooks/go_live.yml"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files are root's")


class Edge:
    """An inventory whose edge is this machine, and a directory for the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.page = folder / "www/status"
        self.text = ""
        tiers = {tier: {"hosts": {}} for tier in ("app", "database", "cache", "storage", "monitoring", "vpn")}
        tiers["edge"] = {"hosts": {"edge1": None}}
        (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": tiers}}))
        self.variables: dict[str, Any] = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "arxos_environment": "lab",
            "arxos_domain": "api.arxos.test",
            "arxos_address": "127.0.0.1",
        }

    def play(self, playbook: str, *arguments: str) -> tuple[int, int]:
        """Exit code and number of changes."""
        (self.folder / "group_vars").mkdir(exist_ok=True)
        (self.folder / "group_vars/all.yml").write_text(yaml.safe_dump(self.variables))
        where = ["-e", f"status_page_directory={self.folder / 'www'} users_door_program={self.folder / 'door'}"]
        done = subprocess.run(
            [str(ANSIBLE), "-i", str(self.folder / "hosts.yml"), str(playbook), *where, *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.text = done.stdout + done.stderr
        return done.returncode, sum(int(count) for count in re.findall(r"changed=(\d+)", self.text))

    def said(self) -> str:
        """The page of now."""
        return (self.page / "now.html").read_text()

    def converge(self) -> tuple[int, int]:
        """What a go-live does for it."""
        playbook = self.folder / "converge.yml"
        role = {"ansible.builtin.import_role": {"name": "arxos.platform.status_page"}, "name": "Converge"}
        given = {"status_page_name": "api.arxos.test"}
        playbook.write_text(yaml.safe_dump([{"name": "Converge", "hosts": "edge", "gather_facts": False, "vars": given, "tasks": [role]}]))
        return self.play(str(playbook))


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    """One edge host without a page."""
    return Edge(tmp_path)


def test_the_life_of_a_page(edge: Edge) -> None:
    assert edge.converge() == (0, 1), edge.text
    assert edge.converge() == (0, 0), edge.text
    assert sorted(path.name for path in edge.page.iterdir()) == ["icon.svg", "index.html", "status.css"]
    assert "All systems operational" in (edge.page / "index.html").read_text()

    page = str(ROOT / "playbooks/status_page.yml")
    assert edge.play(page, "-e", "status=incident", "-e", '{"message": "Exports are <slow>"}') == (0, 1), edge.text
    said = (edge.page / "now.html").read_text()
    assert "Exports are &lt;slow&gt;" in said and re.search(r"As of \d{4}-\d\d-\d\d \d\d:\d\d UTC", said)
    assert edge.converge() == (0, 0), "a converge leaves it alone"

    assert edge.play(page, "-e", "status=operational") == (0, 1)
    assert not (edge.page / "now.html").exists()
    assert edge.play(page, "-e", "status=operational") == (0, 0)
    assert (edge.page / "index.html").stat().st_mode & 0o777 == 0o644


def test_what_is_planned_is_announced_on_it(edge: Edge) -> None:
    playbook = str(ROOT / "playbooks/announce.yml")
    assert edge.play(playbook)[0] == 2 and "go_live.at" in edge.text
    edge.variables["arxos_announcements"] = {"go_live": {"at": "2026-12-01 20:00 UTC", "news": ["glTF"], "support": "help@example.org"}}
    assert edge.play(playbook) == (0, 1), edge.text
    said = (edge.page / "now.html").read_text()
    for each in ("Maintenance is planned", "2026-12-01 20:00 UTC", "glTF", "help@example.org", "api.arxos.test"):
        assert each in said


@pytest.fixture
def door(edge: Edge) -> Path:
    """The program that says how the front door is."""
    path = edge.folder / "door"
    path.write_text("#!/bin/sh\ncat $0.state\n")
    path.chmod(0o755)
    edge.variables["arxos_announcements"] = {"go_live": {"at": "2026-12-01 20:00 UTC", "downtime": "10 minutes", "news": ["glTF"]}}
    return edge.folder / "door.state"


def test_a_go_live_takes_what_was_announced_through_its_states_and_leaves_another_page_alone(edge: Edge, door: Path) -> None:
    def tell(before: str, after: str) -> tuple[int, int]:
        given = {"users_from": [before], "users_state": after, "users_over": after == "done"}
        told = {"ansible.builtin.import_playbook": f"{ROOT}/playbooks/tell_users.yml", "vars": given}
        playbook = edge.folder / "tell.yml"
        playbook.write_text(yaml.safe_dump([{"name": "Tell", **told}]))
        return edge.play(str(playbook))

    door.write_text("closed")
    assert tell("planned", "in_progress") == (0, 0) and not (edge.page / "now.html").exists(), "nobody announced it"
    assert edge.play(str(ROOT / "playbooks/announce.yml")) == (0, 1), edge.text
    assert tell("planned", "in_progress") == (0, 1) and "Maintenance in progress" in edge.said() and "10 minutes" in edge.said()
    assert tell("planned", "in_progress") == (0, 0)
    assert tell("in_progress", "done")[0] == 0 and "Maintenance in progress" in edge.said() and "opens after a last look" in edge.said()
    door.write_text("open")
    assert tell("in_progress", "done") == (0, 1) and "Maintenance is completed" in edge.said() and "glTF" in edge.said()
    assert re.search(r"<dt>Duration</dt><dd>\d+:\d\d</dd>", edge.said())
    assert tell("in_progress", "done") == (0, 0)
    assert edge.play(str(ROOT / "playbooks/status_page.yml"), "-e", "status=incident") == (0, 1)
    assert tell("planned", "in_progress") == tell("in_progress", "done") == (0, 0)
    assert "incident" in edge.said()


def test_the_stage_is_said_at_each_of_a_go_live_that_was_announced(edge: Edge, door: Path) -> None:
    door.write_text("open")
    told = [each for each in yaml.safe_load(GO_LIVE.read_text()) if "tell_" in each["ansible.builtin.import_playbook"]]
    keep = {"ansible.builtin.command": f"cp {edge.page}/now.html {edge.folder}/{{{{ kept }}}}.html"}
    plays = []
    for number, each in enumerate(told[:-1], 2):
        plays.append({**each, "ansible.builtin.import_playbook": f"{ROOT}/playbooks/{each['ansible.builtin.import_playbook']}"})
        plays.append(
            {"hosts": "edge", "gather_facts": False, "vars": {"kept": number}, "tasks": [{**keep, "when": "announced is defined"}]}
        )
    playbook = edge.folder / "go_live.yml"
    playbook.write_text(yaml.safe_dump(plays, sort_keys=False))
    assert edge.play(str(playbook)) == (0, 0) and not edge.page.exists(), "nobody announced it"
    assert edge.play(str(ROOT / "playbooks/announce.yml")) == (0, 1), edge.text
    assert edge.play(str(playbook), "-e", "announced=true")[0] == 0, edge.text
    for number, title in enumerate(["Hosts", "Storage", "Database", "Cache", "Release", "Edge", "Prove"], 2):
        page = (edge.folder / f"{number}.html").read_text()
        assert f"Stage {number} of 9: {title}" in page and "10 minutes" in page and "glTF" in page


@pytest.mark.parametrize(
    ("before", "state", "says", "not_yet"),
    [
        ("in_progress", "closed", ["takes longer than we thought, and the service is closed meanwhile"], ["completed"]),
        ("in_progress", "open", ["takes longer than we thought. We are working on it"], ["closed"]),
        ("operational", "closed", ["Maintenance in progress", "the service is closed meanwhile"], ["operational"]),
        ("incident", "closed", ["We are working on an incident"], ["takes longer"]),
    ],
)
def test_a_failure_is_told(edge: Edge, door: Path, before: str, state: str, says: list[str], not_yet: list[str]) -> None:
    door.write_text(state)
    assert edge.play(str(ROOT / "playbooks/status_page.yml"), "-e", f"status={before}")[0] == 0
    assert edge.play(str(ROOT / "playbooks/tell_failure.yml"))[0] == 0, edge.text
    assert [each for each in says if each not in edge.said()] == [] == [each for each in not_yet if each in edge.said()]


def test_a_failure_of_what_serves_and_was_not_announced_is_not_told(edge: Edge, door: Path) -> None:
    door.write_text("open")
    assert edge.play(str(ROOT / "playbooks/tell_failure.yml")) == (0, 0) and not edge.page.exists()


@pytest.mark.parametrize(("traffic", "says"), [("open", "Maintenance is completed"), ("closed", "opens after"), ("preview", "opens after")])
def test_a_full_rollback_says_that_it_is_closed_and_whether_it_opened(edge: Edge, door: Path, traffic: str, says: str) -> None:
    assert edge.play(str(ROOT / "playbooks/announce.yml")) == (0, 1), edge.text
    for name in ("status_page", "tell_users"):
        edge.variables = {**yaml.safe_load((ROOT / f"playbooks/group_vars/edge/{name}.yml").read_text()), **edge.variables}
    edge.variables |= {"arxos_run_id": "", "full_plan": {"taken_up": False}, "nginx_preview_networks": ["192.0.2.0/24"]}
    edge.variables["rollback_opens"] = traffic
    told = [each for each in yaml.safe_load((ROOT / "playbooks/rollback.yml").read_text()) if each.get("hosts") == "edge"]
    for play in told:
        play["tasks"] = [each for each in play["tasks"] if each["name"] == "Tell users"]
        for each in play["tasks"]:
            each["ansible.builtin.include_tasks"] = f"{ROOT}/playbooks/tasks/rollback_full_traffic.yml"
    told = [play for play in told if play["tasks"]]
    assert len(told) == 2, "where it closes and where it resumes"
    for last in (0, 1):
        playbook = edge.folder / "rollback.yml"
        playbook.write_text(yaml.safe_dump(told[: last + 1], sort_keys=False))
        assert edge.play(str(playbook))[0] == 0, edge.text
        assert "glTF" not in edge.said() and "10 minutes" not in edge.said(), "that was planned of a go-live"
        if not last:
            assert "Maintenance in progress" in edge.said() and "goes back to an earlier state, and is closed meanwhile" in edge.said()
    assert says in edge.said() and bool(re.search(r"<dt>Downtime</dt><dd>\d:\d\d</dd>", edge.said())) is (traffic == "open")
    assert {"open": "Traffic: open", "closed": "Traffic: closed; playbooks", "preview": "Traffic: open to 192.0.2.0/24"}[
        traffic
    ] in edge.text
    assert bool(re.search(r"Downtime: \d:\d\d, for which", edge.text)) is (traffic == "open")


def test_a_page_that_cannot_be_written_stops_no_run(edge: Edge, door: Path) -> None:
    door.write_text("closed")
    edge.page.parent.mkdir()
    edge.page.write_text("no directory")
    assert edge.play(str(ROOT / "playbooks/tell_failure.yml")) == (0, 0), edge.text
    assert "The status page does not say it" in edge.text


@pytest.mark.parametrize("arguments", [[], ["-e", "status=broken"]])
def test_no_other_state_is_taken(edge: Edge, arguments: list[str]) -> None:
    assert edge.play(str(ROOT / "playbooks/status_page.yml"), *arguments)[0] == 2
    assert "one of operational, planned, in_progress, incident and done" in edge.text
    assert not edge.page.exists()
