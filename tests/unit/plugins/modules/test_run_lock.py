# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""run_lock and run_record_info on a folder of this machine. What several hosts make of it, and the action that calls them, is in
tests/integration/test_run_record.py."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils import _run_record
from ansible_collections.arxos.platform.plugins.module_utils._run_lock import Holder, Process
from ansible_collections.arxos.platform.plugins.modules import run_lock, run_record_info

FIRST, SECOND = "20261126T031500Z-0001", "20261126T031501Z-0002"


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(module: Any, run: str = FIRST, **given: Any) -> dict[str, Any]:
        holder = Holder(run, "jane", "go_live.yml", Process("c1", "m1", "b1", "pid:[1]", int(run[-4:]), "5"))
        arguments = {"folder": str(tmp_path / "runs"), **({"holder": asdict(holder)} if module is run_lock else {}), **given}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        out = capsys.readouterr().out
        return dict(json.loads(out))

    return run


def record(run: str, *, verdict: str = "") -> str:
    text = _run_record.line("run_begun", 1000, {"id": run, "who": "jane", "playbook": "go_live.yml"})
    step = {"stage": "1/1 X", "task": "Look", "seconds": 1, "ok": 3}
    text += _run_record.line("step", 1001, step) + _run_record.line("step", 1001, {**step, "changed": ["a"]})
    return text + (_run_record.line("run_ended", 1060, {"seconds": 60, "rc": 0, "verdict": verdict}) if verdict else "")


def test_a_run_from_its_beginning_to_its_end(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(run_lock, "log", lambda lines: logged.extend(json.loads(line)["event"] for line in lines))
    taken = call(run_lock, records={FIRST: record(FIRST)}, log=True)
    assert (taken["acquired"], taken["why"], taken["changed"], taken["kept"], taken["last"]) == (True, "free", False, True, {})
    assert (taken["holder"]["id"], taken["before"]) == (FIRST, {})
    assert call(run_lock, SECOND)["acquired"] is False
    renewed = call(run_lock, log=True)
    assert (renewed["why"], renewed["kept"], "last" in renewed) == ("ours", False, False)
    seen = call(run_record_info)
    assert (seen["lock"]["id"], [run["verdict"] for run in seen["runs"]]) == (FIRST, [_run_record.INCOMPLETE])
    call(run_lock, state="absent", records={FIRST: record(FIRST, verdict="ok")}, log=True)
    assert logged == ["run_begun", "step", "run_ended"]
    seen = call(run_record_info, limit=1)
    assert (seen["lock"], [run["verdict"] for run in seen["runs"]]) == ({}, ["ok"])
    after = call(run_lock, SECOND, records={SECOND: record(SECOND)})
    assert (after["last"]["id"], after["complete"]["seconds"]) == (FIRST, 60)
    assert call(run_record_info, id=FIRST)["runs"][0]["id"] == FIRST and call(run_record_info, id="x")["runs"] == []


def test_a_folder_that_cannot_be_made_is_told(call: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file/runs") in call(run_lock, folder=str(tmp_path / "file/runs"))["msg"]
    assert call(run_record_info, folder=str(tmp_path / "none"))["runs"] == []
    assert call(run_lock, holder={"id": "x"})["failed"]


def test_its_arguments_are_in_no_log(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock.AnsibleModule, "_log_invocation", lambda _self: pytest.fail("logged"))
    call(run_lock, records={FIRST: record(FIRST)})
