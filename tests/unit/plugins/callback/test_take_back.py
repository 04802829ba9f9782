# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a go-live that failed is followed by what takes it back. That it does so is shown in tests/faults/test_take_back.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible import context
from ansible.template import trust_as_template
from ansible.utils.context_objects import CLIArgs
from ansible_collections.arxos.platform.plugins.callback import take_back

FAILED = SimpleNamespace(failures={"edge1": 1}, dark={})


def said(template: str, **more: Any) -> dict[str, Any]:
    return {"rollback_after_failure": trust_as_template(template), **more}


class Play:
    """A play with an inventory of one host."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self.variables = variables
        self._inventory = SimpleNamespace(get_groups_dict=lambda: {"all": ["edge1"]}, get_host=lambda name: name)

    def get_variable_manager(self) -> Any:
        return self

    def get_loader(self) -> None:
        return None

    def get_vars(self, play: Any, host: str) -> dict[str, Any]:
        return self.variables


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(take_back._playing, "follow", lambda path, after, passwords: found.append(path.rpartition("/")[2]) or 0)
    return found


def run(
    monkeypatch: pytest.MonkeyPatch,
    stats: Any = FAILED,
    playbook: str = "/x/go_live.yml",
    locked: bool = True,
    variables: dict[str, Any] | None = None,
    **given: Any,
) -> None:
    monkeypatch.setattr(context, "CLIARGS", CLIArgs({"tags": ["all"], "skip_tags": [], "check": False, "subset": None, **given}))
    callback = take_back.CallbackModule()
    callback.v2_playbook_on_start(SimpleNamespace(_file_name=playbook))
    callback.v2_playbook_on_play_start(Play(variables or {}))
    # Who is refused has asked for the lock as well, and was told that it has it on none or too few of the hosts.
    callback.v2_runner_on_ok(SimpleNamespace(result={"results": [{"acquired": locked}]}))
    callback.v2_runner_on_ok(SimpleNamespace(result={"ansible_facts": {"arxos_run_held" if locked else "arxos_other": {"id": "x"}}}))
    callback.v2_playbook_on_stats(stats)


def test_a_go_live_that_failed_is_taken_back(monkeypatch: pytest.MonkeyPatch, followed: list[str]) -> None:
    run(monkeypatch)
    run(monkeypatch, SimpleNamespace(failures={}, dark={"app1": 1}), variables=said("{{ arxos_take_back | default(true) }}"))
    assert followed == ["take_back.yml", "take_back.yml"]


@pytest.mark.parametrize(
    "given",
    [
        {"stats": SimpleNamespace(failures={}, dark={})},
        {"playbook": "/x/take_back.yml"},
        {"playbook": "/x/deploy.yml"},
        {"locked": False},  # another run has the platform
        {"check": True},
        {"subset": "edge"},
        {"tags": ["nginx"]},
        {"skip_tags": ["traffic"]},
        {"start_at_task": "x"},
        {"variables": said("{{ arxos_take_back | default(true) }}", arxos_take_back=False)},
    ],
)
def test_others_are_not(monkeypatch: pytest.MonkeyPatch, followed: list[str], given: dict[str, Any]) -> None:
    run(monkeypatch, **given)
    assert followed == []


def test_one_that_cannot_be_taken_back_ends_as_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def broken(path: str, after: Any, passwords: Any) -> int:
        raise RuntimeError("no room")

    monkeypatch.setattr(take_back._playing, "follow", broken)
    monkeypatch.setattr("ansible.utils.display.Display.warning", lambda self, message, **more: said.append(message))
    run(monkeypatch)
    assert "was not taken back (no room)" in said[0]
