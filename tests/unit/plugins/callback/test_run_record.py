# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the callback makes of results, above all of those that are hidden. Real runs are in tests/integration/test_run_record.py."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.callback import run_record
from ansible_collections.arxos.platform.plugins.callback.run_record import CallbackModule, version
from ansible_collections.arxos.platform.plugins.module_utils import _run_lock
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller


def result(found: dict[str, Any], no_log: bool = False) -> Any:
    return SimpleNamespace(result=found, task=SimpleNamespace(no_log=no_log))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (result({"msg": "no room\nmore"}), "no room"),
        (result({"msg": "One or more items failed", "results": [{"msg": "x"}, {"failed": True, "msg": "y"}]}), "y"),
        (result({}), "failed"),
        (result({"msg": "a secret"}, no_log=True), "hidden, for it may hold secrets"),
        (result({"msg": "a secret", "_ansible_no_log": True}), "hidden, for it may hold secrets"),
        (result({"censored": "the output has been hidden"}), "hidden, for it may hold secrets"),
        (
            result({"msg": "x", "results": [{"failed": True, "msg": "a secret", "_ansible_no_log": True}]}),
            "hidden, for it may hold secrets",
        ),
    ],
)
def test_why_something_failed(given: Any, said: str) -> None:
    assert CallbackModule._why(given) == said


def test_the_version_is_that_of_the_collection() -> None:
    assert version().startswith("0.1.0")


def test_a_process_is_found_by_its_beginning_and_a_dead_one_is_not() -> None:
    mine = _controller.process()
    assert mine.pid == os.getpid() and mine.started == _controller.started(mine.pid) != ""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it is a zombie now: nothing of it runs
    assert _controller.started(child) == ""
    os.waitpid(child, 0)
    assert _controller.started(child) == ""


def test_a_process_that_proc_hides_is_not_taken_for_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with hidepid, where a run of somebody else's is not to be seen."""
    here = _controller.process()
    read = _controller._read
    monkeypatch.setattr(_controller, "_read", lambda path: "" if path.endswith("/stat") and path != "/proc/stat" else read(path))
    child = subprocess.Popen(["sleep", "60"])
    there = replace(here, pid=child.pid, started="1")
    assert _controller.started(child.pid) is None and not _run_lock.is_gone(there, here, _controller.started)
    child.kill()
    child.wait()
    assert _controller.started(child.pid) == "" and _run_lock.is_gone(there, here, _controller.started)


def test_without_the_callback_a_run_has_one_id_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_controller.RUN_ID, raising=False)
    first = _controller.run_id()
    assert first == _controller.run_id()
    monkeypatch.setenv(_controller.RUN_ID, "20261126T031500Z-3f9a")
    assert _controller.run_id() == "20261126T031500Z-3f9a"
    monkeypatch.setenv(_controller.RUN_ID, "../x")
    assert _controller.run_id() == first


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is played at the end of a run."""
    found: list[str] = []

    def play(path: str, *_given: Any) -> list[dict[str, Any]]:
        found.append(path.rpartition("/")[2])
        if found[-1] == "tell_failure.yml":
            raise RuntimeError("no edge host answers")
        return [{"keeper": "db1", "kept": True}]

    monkeypatch.setattr(run_record._playing, "play", play)
    return found


@pytest.mark.parametrize(
    ("playbook", "failures", "held", "wanted"),
    [
        ("go_live.yml", {"edge1": 1}, True, ["tell_failure.yml", "run_end.yml"]),
        ("rollback.yml", {"edge1": 1}, True, ["tell_failure.yml", "run_end.yml"]),
        ("take_back.yml", {"edge1": 1}, True, ["tell_failure.yml", "run_end.yml"]),
        ("go_live.yml", {"edge1": 1}, False, ["run_end.yml"]),  # another run has the platform
        ("go_live.yml", {}, True, ["run_end.yml"]),
        ("backup.yml", {"edge1": 1}, True, ["run_end.yml"]),
    ],
)
def test_users_are_told_of_a_failure_and_the_lock_is_given_back_also_where_they_cannot_be(
    played: list[str], playbook: str, failures: dict[str, int], held: bool, wanted: list[str]
) -> None:
    callback = CallbackModule()
    callback.playbook, callback.locked = playbook, True
    callback.run = SimpleNamespace(end=lambda rc, platform: [], result=lambda *given: None, progress=lambda: None)
    found = {"ansible_facts": {"arxos_run_held": {"id": "x"}}} if held else {"results": [{}]}
    task, host = SimpleNamespace(_uuid="x", action="set_fact", get_name=lambda: "Note it"), SimpleNamespace(get_name=lambda: "db1")
    callback.v2_runner_on_ok(SimpleNamespace(result=found, task=task, host=host, is_changed=lambda: False))
    callback.v2_playbook_on_stats(SimpleNamespace(failures=failures, dark={}, custom={}))
    assert played == wanted


def test_awx_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "joe")
    assert (_controller.who({"awx_user_name": "jane"}), _controller.who({})) == ("jane", "joe")
