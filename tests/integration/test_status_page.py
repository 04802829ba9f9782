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
        where = ["-e", f"status_page_directory={self.folder / 'www'}"]
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


def test_a_go_live_takes_what_was_announced_through_its_states_and_leaves_another_page_alone(edge: Edge) -> None:
    def tell(before: str, after: str) -> tuple[int, int]:
        told = ["-e", f"users_from={before}", "-e", f"users_state={after}", "-e", f"users_door_program={door}"]
        return edge.play(str(ROOT / "playbooks/tell_users.yml"), *told)

    door = edge.folder / "door"
    door.write_text("#!/bin/sh\necho closed\n")
    door.chmod(0o755)
    assert tell("planned", "in_progress") == (0, 0) and not (edge.page / "now.html").exists(), "nobody announced it"
    edge.variables["arxos_announcements"] = {"go_live": {"at": "2026-12-01 20:00 UTC"}}
    assert edge.play(str(ROOT / "playbooks/announce.yml")) == (0, 1), edge.text
    assert tell("planned", "in_progress") == (0, 1) and "Maintenance in progress" in (edge.page / "now.html").read_text()
    assert tell("planned", "in_progress") == (0, 0)
    assert tell("in_progress", "done") == (0, 0) and "Maintenance in progress" in (edge.page / "now.html").read_text(), "nobody is served"
    door.write_text("#!/bin/sh\necho open\n")
    assert tell("in_progress", "done") == (0, 1) and "Maintenance is completed" in (edge.page / "now.html").read_text()
    assert tell("in_progress", "done") == (0, 0)
    assert edge.play(str(ROOT / "playbooks/status_page.yml"), "-e", "status=incident") == (0, 1)
    assert tell("planned", "in_progress") == tell("in_progress", "done") == (0, 0)
    assert "incident" in (edge.page / "now.html").read_text()


@pytest.mark.parametrize("arguments", [[], ["-e", "status=broken"]])
def test_no_other_state_is_taken(edge: Edge, arguments: list[str]) -> None:
    assert edge.play(str(ROOT / "playbooks/status_page.yml"), *arguments)[0] == 2
    assert "one of operational, planned, in_progress, incident and done" in edge.text
    assert not edge.page.exists()
