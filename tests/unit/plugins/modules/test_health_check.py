# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module as Ansible runs it: what it answers, what it refuses, and that no secret is in either."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.module_utils._health import OPTIONAL, REQUIRED
from ansible_collections.arxos.platform.plugins.modules import health_check

SECRET = "s3cret-s3cret"


def run(capsys: pytest.CaptureFixture[str], **given: Any) -> dict[str, Any]:
    with patch_module_args(given), pytest.raises(SystemExit):
        health_check.main()
    return json.loads(capsys.readouterr().out)


def test_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, probes=[{"name": "disk", "type": "disk", "path": "/", "min_free_mb": 0}], _ansible_check_mode=True)
    assert (answer["changed"], answer["healthy"], answer["looks"]) == (False, True, 1)
    assert answer["results"][0]["name"] == "disk"


def test_unhealthy_keeps_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:1/?{SECRET}"
    answer = run(capsys, probes=[{"name": "api", "type": "http", "url": url, "user": "u", "password": SECRET}])
    assert answer["failed"] and not answer["healthy"]
    assert answer["msg"].startswith("1 of 1 probes are not healthy after 0.0 s:\n- api (http): ")
    assert "Connection refused" in answer["msg"]
    assert SECRET not in json.dumps(answer)


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, ["missing required arguments: probes"]),
        ({"probes": []}, ["probes: give at least one"]),
        ({"probes": "nonsense"}, ["probes"]),
        ({"probes": [5]}, ["probes"]),
        ({"probes": [{"name": "a"}]}, ["missing required arguments: type"]),
        ({"probes": [{"name": "a", "type": "smtp"}]}, ["value of type must be one of", "smtp"]),
        (
            {"probes": [{"name": "a", "type": "tcp", "host": "h", "port": "x"}, {"name": "b", "type": "tcp", "port": []}]},
            ["port", "'x'", "list"],
        ),
        ({"probes": [{"name": "a", "type": "tcp", "colour": 1}]}, ["unsupported: probes.colour"]),
        (
            {"timeout": -1, "interval": 0, "probes": [{"name": "a", "type": "tcp"}]},
            ["timeout is -1", "interval is 0", "host is", "port is"],
        ),
        ({"timeout": "soon", "probes": [{"name": "a"}]}, ["timeout", "convert to float", "missing"]),
        ({"timeout": "nan", "probes": [{"name": "a", "type": "disk", "path": "/", "min_free_mb": 0}]}, ["timeout is nan"]),
    ],
)
def test_wrong_parameters(capsys: pytest.CaptureFixture[str], given: dict[str, Any], faults: list[str]) -> None:
    answer = run(capsys, **given)
    assert answer["failed"] and "exception" not in answer
    for fault in faults:
        assert fault in answer["msg"]


def test_options_are_those_that_probes_know() -> None:
    known = {"name", "type"}.union(*REQUIRED.values(), *OPTIONAL.values())
    documented = yaml.safe_load(health_check.DOCUMENTATION)["options"]["probes"]["suboptions"]
    assert known == set(health_check.PROBE) == set(documented)
    assert set(health_check.PROBE["type"]["choices"]) == set(REQUIRED) == set(OPTIONAL)
