# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Both release modules as Ansible runs them: what they answer, in check mode too, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.modules import application_release, application_release_info


def run(capsys: pytest.CaptureFixture[str], module: Any = application_release, **given: Any) -> dict[str, Any]:
    with patch_module_args(given), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, version in enumerate(("1.0.0", "1.1.0")):
        home = tmp_path / "releases" / version
        home.mkdir(parents=True)
        (home / ".complete").write_text(json.dumps({"version": version, "sha256": "a" * 64, "installed_at": number}))
    (tmp_path / "current").symlink_to("releases/1.0.0")
    return tmp_path


def test_a_switch_says_what_changed(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    answer = run(capsys, root=str(root), version="1.1.0", state="active")
    assert answer["changed"] and (answer["current"], answer["leaving"]) == ("1.1.0", "1.0.0")
    assert answer["diff"]["before"]["current"] == "1.0.0"
    assert not run(capsys, root=str(root), version="1.1.0", state="active")["changed"]
    answer = run(capsys, root=str(root), state="confirmed")
    assert answer["changed"] and (answer["previous"], answer["leaving"], answer["removed"]) == ("1.0.0", "", [])
    assert not run(capsys, root=str(root), state="confirmed")["changed"]


def test_check_mode_foresees(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    given = {"root": str(root), "_ansible_check_mode": True}
    answer = run(capsys, version="2.0.0", artifact="/none", sha256="b" * 64, **given)
    assert answer["changed"] and answer["releases"] == ["1.0.0", "1.1.0", "2.0.0"]
    answer = run(capsys, version="2.0.0", state="active", **given)
    assert answer["changed"] and answer["current"] == "2.0.0"
    assert not (root / "releases/2.0.0").exists()


def test_an_installed_release_needs_no_artifact(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    answer = run(capsys, root=str(root), version="1.1.0", artifact="/none", sha256="a" * 64)
    assert not answer["changed"] and answer["releases"] == ["1.0.0", "1.1.0"]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "version, artifact, sha256"),
        ({"state": "active"}, "version"),
        ({"state": "gone"}, "value of state must be one of"),
        ({"state": "confirmed", "keep": "many"}, "keep"),
        ({"state": "active", "version": "../x"}, "is no version"),
        ({"state": "active", "version": "3.0.0"}, "there are 1.0.0, 1.1.0"),
        ({"version": "1.0.0", "artifact": "/none", "sha256": "b" * 64}, "A release never changes"),
        ({"version": "3.0.0", "artifact": "/none", "sha256": "b" * 64}, "/none cannot be read"),
    ],
)
def test_faults_say_what_to_do(capsys: pytest.CaptureFixture[str], root: Path, given: dict[str, Any], fault: str) -> None:
    answer = run(capsys, root=str(root), **given)
    assert answer["failed"] and fault in answer["msg"]


def test_info_reads(capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "ActiveState=inactive\nUnitFileState=enabled\nNeedDaemonReload=no\nExecMainStartTimestampMonotonic=0\n"
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, command, environ_update: (0, shown, ""))
    answer = run(capsys, application_release_info, root=str(root), unit="x.service")
    assert not answer["changed"]
    assert (answer["current"], answer["previous"], answer["running"], answer["stale"]) == ("1.0.0", "", "", ["x.service is inactive"])
    assert answer["checksums"] == {"1.0.0": "a" * 64, "1.1.0": "a" * 64}


def test_info_without_systemd_says_so(capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnsibleModule, "run_command", lambda self, command, environ_update: (1, "", "Failed to connect to bus"))
    answer = run(capsys, application_release_info, root=str(root), unit="x.service")
    assert answer["failed"] and "Failed to connect to bus" in answer["msg"]
