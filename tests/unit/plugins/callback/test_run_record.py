# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the callback makes of results, above all of those that are hidden. Real runs are in tests/integration/test_run_record.py."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.callback.run_record import CallbackModule, version
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


def test_without_the_callback_a_run_has_one_id_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_controller.RUN_ID, raising=False)
    first = _controller.run_id()
    assert first == _controller.run_id()
    monkeypatch.setenv(_controller.RUN_ID, "20261126T031500Z-3f9a")
    assert _controller.run_id() == "20261126T031500Z-3f9a"
    monkeypatch.setenv(_controller.RUN_ID, "../x")
    assert _controller.run_id() == first


def test_awx_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "joe")
    assert (_controller.who({"awx_user_name": "jane"}), _controller.who({})) == ("jane", "joe")
