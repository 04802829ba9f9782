# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""rollback_journal, configuration_rollback and configuration_rollback_info as modules; what the latter two do to /etc is in the tests of their utils."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils import _configuration_rollback_host as host
from ansible_collections.arxos.platform.plugins.module_utils._configuration_rollback import Change, Plan, RollbackError, Seal
from ansible_collections.arxos.platform.plugins.modules import configuration_rollback, configuration_rollback_info, rollback_journal

JOURNAL = {"began": "2026-11-26T03:15:00Z", "plan": {"to": "1.0.0"}, "done": {}}


def call(module: Any, capsys: pytest.CaptureFixture[str], **given: Any) -> dict[str, Any]:
    with patch_module_args(given), pytest.raises(SystemExit):
        module.main()
    return dict(json.loads(capsys.readouterr().out))


def test_a_rollback_is_noted_taken_up_and_finished(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    at = {"name": "application", "directory": str(tmp_path)}
    checked = call(rollback_journal, capsys, **at, state="noted", journal=JOURNAL, _ansible_check_mode=True)
    assert checked["changed"] and not list(tmp_path.iterdir())
    assert call(rollback_journal, capsys, **at, state="noted", journal=JOURNAL)["changed"]
    assert call(rollback_journal, capsys, **at) == {**call(rollback_journal, capsys, **at), "changed": False, "journal": JOURNAL}
    assert call(rollback_journal, capsys, **at, state="finished", rates={"turn_seconds": 7.0}, _ansible_check_mode=True)["changed"]
    assert call(rollback_journal, capsys, **at, state="finished", rates={"turn_seconds": 7.0})["changed"]
    after = call(rollback_journal, capsys, **at)
    assert after["journal"] == {} and after["rates"] == {"turn_seconds": 7.0} and after["finished"] == JOURNAL
    assert not call(rollback_journal, capsys, **at, state="dropped")["changed"]


def test_all_that_are_not_finished(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call(rollback_journal, capsys, directory=str(tmp_path))["unfinished"] == {}
    for name in ("full", "application"):
        call(rollback_journal, capsys, name=name, directory=str(tmp_path), state="noted", journal=JOURNAL)
    call(rollback_journal, capsys, name="full", directory=str(tmp_path), state="finished")
    assert call(rollback_journal, capsys, directory=str(tmp_path)) | {"invocation": 0} == {
        "changed": False,
        "unfinished": {"application": JOURNAL},
        "damaged": {},
        "invocation": 0,
    }
    (tmp_path / "configuration_rollback.json").write_text("{")
    found = call(rollback_journal, capsys, directory=str(tmp_path))
    assert found["unfinished"] == {"application": JOURNAL}
    assert list(found["damaged"]) == ["configuration"] and "move it away" in found["damaged"]["configuration"]


@pytest.mark.parametrize(
    ("module", "given", "faults"),
    [
        (rollback_journal, {"state": "dropped"}, ["name"]),
        (rollback_journal, {"name": "weather"}, ["value of name must be one of"]),
        (rollback_journal, {"state": "noted"}, ["journal", "name"]),
        (configuration_rollback, {}, ["missing required arguments: before, run"]),
        (configuration_rollback, {"run": "a b", "before": "--x"}, ["run is 'a b'", "before is '--x'"]),
        (configuration_rollback, {"run": "a..b", "before": "x"}, ["run is 'a..b'"]),
        (configuration_rollback_info, {"colour": "red"}, ["nsupported", "colour"]),
    ],
)
def test_wrong_parameters(capsys: pytest.CaptureFixture[str], module: Any, given: dict[str, Any], faults: list[str]) -> None:
    answer = call(module, capsys, **given)
    assert answer["failed"] and "exception" not in answer
    assert [fault for fault in faults if fault not in answer["msg"]] == []


def test_a_damaged_journal_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "full_rollback.json").write_text("{")
    assert "move it away" in call(rollback_journal, capsys, name="full", directory=str(tmp_path))["msg"]


def test_a_way_back_is_told_by_names(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[tuple[str, ...]] = []
    plan = Plan([Change("/etc/x", "changed", ("x.service",))], [], {"/etc/shadow": "account"}, {"x.service": "reload"})

    def check(_way: host.Way, name: str) -> host.Outcome:
        return host.Outcome(plan, "c0ffee", refused=f"x refuses {name}")

    def go(_way: host.Way, *names: str) -> host.Outcome:
        went.append(names)
        return host.Outcome(plan, "c0ffee", done=["reload x.service"])

    monkeypatch.setattr(host.Way, "check", check)
    monkeypatch.setattr(host.Way, "go", go)
    checked = call(configuration_rollback, capsys, run="r", before="b", _ansible_check_mode=True)
    assert checked["refused"] == "x refuses r" and checked["changed"] and not went
    done = call(configuration_rollback, capsys, run="r", before="b")
    assert went == [("r", "b")] and done["done"] == ["reload x.service"] and done["kept"] == {"/etc/shadow": "account"}
    assert done["files"] == [{"path": "/etc/x", "what": "changed", "units": ["x.service"]}] and done["units"] == {"x.service": "reload"}


def test_where_there_is_no_way_only_the_real_call_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_way: host.Way, *_names: str) -> host.Outcome:
        raise RollbackError("/etc has no commit of run r")

    monkeypatch.setattr(host.Way, "check", none)
    monkeypatch.setattr(host.Way, "go", none)
    checked = call(configuration_rollback, capsys, run="r", before="b", _ansible_check_mode=True)
    assert checked["refused"] == "/etc has no commit of run r" and not checked["changed"] and checked["files"] == []
    assert call(configuration_rollback, capsys, run="r", before="b")["failed"]


def test_a_host_tells_its_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.Etc, "seals", lambda _etc: [Seal("r", "c0ffee", "2026-11-26T03:15:00Z", "ab")])
    monkeypatch.setattr(host.Etc, "dirty", lambda _etc: ["motd"])
    answer = call(configuration_rollback_info, capsys)
    assert answer["seals"] == [{"name": "r", "commit": "c0ffee", "at": "2026-11-26T03:15:00Z", "secrets": "ab"}]
    assert answer["dirty"] == ["motd"] and not answer["changed"]
