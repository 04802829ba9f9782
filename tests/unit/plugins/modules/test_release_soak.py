# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules release_soak and release_evidence as Ansible runs them, on files of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.modules import release_evidence, release_soak

LINE = '{"status":200,"upstreams":"10.0.0.1:8443","upstream_status":"%s","upstream_seconds":"0.012","path":"/%s"}\n'


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def ran(module: Any, **given: Any) -> dict[str, Any]:
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        return dict(json.loads(capsys.readouterr().out))

    return ran


def test_it_counts_on_from_what_it_returned(run: Any, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(LINE % (500, "before"))
    first = run(release_soak, log=str(log))
    assert first["upstreams"] == {} and not first["changed"]
    with log.open("a") as stream:
        stream.write(LINE % (200, "a") + LINE % (503, "b"))
    second = run(release_soak, log=str(log), mark=first["mark"], seconds=0.01)
    assert second["upstreams"] == {"10.0.0.1:8443": {"requests": 2, "errors": 1, "times": {"12": 2}}}
    with log.open("a") as stream:
        stream.write(LINE % (200, "c"))
    third = run(release_soak, log=str(log), mark=second["mark"], counted=second["upstreams"])
    assert third["upstreams"]["10.0.0.1:8443"]["requests"] == 3


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seconds": 301}, "wanted 0 to 300"),
        ({"mark": "somewhere"}, "what an earlier call returned"),
        ({"counted": {"a": {}}}, "what an earlier call returned"),
        ({"log": "/nowhere/access.log"}, "/nowhere/access.log cannot be read"),
    ],
)
def test_it_says_what_it_cannot_take(run: Any, tmp_path: Path, given: dict[str, Any], says: str) -> None:
    (tmp_path / "access.log").write_text("")
    answer = run(release_soak, **{"log": str(tmp_path / "access.log"), **given})
    assert answer["failed"] and says in answer["msg"]


def test_evidence_has_no_secret_and_says_what_could_not_be_read(run: Any, tmp_path: Path) -> None:
    log, environment = tmp_path / "access.log", tmp_path / "api.env"
    log.write_text(LINE % (200, "a") + LINE % (500, "reset/very-secret-0123"))
    environment.write_text('ARXOS_JWT_SECRETS="very-secret-0123"\n')
    given = {"log": str(log), "upstreams": ["10.0.0.1:8443"], "secret_files": [str(environment)]}
    found = run(release_evidence, unit="no-such.service", health_url="https://127.0.0.1:1/health/", ca_cert="/nowhere", **given)["evidence"]
    assert set(found) == {"journal", "state", "health", "nginx"}
    assert "/reset/(hidden)" in found["nginx"] and found["health"].startswith("no answer: ")
    # Without the file nobody can tell what is secret.
    found = run(release_evidence, **{**given, "secret_files": ["/nowhere/api.env"]})["evidence"]
    assert found["nginx"].startswith("left out, since /nowhere/api.env cannot be read")
    assert run(release_evidence, log="/nowhere/log", upstreams=["10.0.0.1:8443"])["evidence"] == {
        "nginx": "/nowhere/log cannot be read: No such file or directory"
    }
