# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module's way in and out; what it does to files is tested with _certificate_pair."""

from __future__ import annotations

import grp
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.modules import certificate_pair

GROUP = grp.getgrgid(os.getegid()).gr_name


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        certificate_pair.main()
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=host"]
    subprocess.run([*words, "-keyout", tmp_path / "key.next", "-out", tmp_path / "crt"], check=True, capture_output=True)
    (tmp_path / "ssl").mkdir()
    certificate = (tmp_path / "crt").read_text()
    return {"name": "host", "directory": str(tmp_path / "ssl"), "certificate": certificate, "group": GROUP}


def test_a_key_on_the_host_is_taken_and_its_file_removed(capsys: pytest.CaptureFixture[str], made: dict[str, Any], tmp_path: Path) -> None:
    staged = tmp_path / "key.next"
    key = staged.read_text()
    looked = run(capsys, **made, private_key_path=str(staged), _ansible_check_mode=True)
    assert looked["changed"] and staged.exists() and list((tmp_path / "ssl").iterdir()) == []
    assert run(capsys, **made, private_key_path=str(staged))["changed"]
    assert not staged.exists() and (tmp_path / "ssl/host.key").read_text() == key
    again = run(capsys, **made, private_key=key)
    assert again["changed"] is False and key.splitlines()[1] not in json.dumps(again)


def test_wrong_parameters_are_all_told(capsys: pytest.CaptureFixture[str], made: dict[str, Any]) -> None:
    answer = run(capsys, **{**made, "name": "../host", "mode": "0644"}, private_key="x")
    assert "name is" in answer["msg"] and "mode is" in answer["msg"]
    assert "one of the following is required" in run(capsys, **made)["msg"]


def test_what_is_refused_is_said_without_the_key(capsys: pytest.CaptureFixture[str], made: dict[str, Any], tmp_path: Path) -> None:
    other = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True, text=True).stdout
    answer = run(capsys, **made, private_key=other)
    assert "left as they are: the certificate belongs to another key" in answer["msg"]
    assert other.splitlines()[1] not in json.dumps(answer)
    assert "No such file" in run(capsys, **made, private_key_path=str(tmp_path / "none"))["msg"]
