# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a line of the log looks like, and what never stands in one."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
from arxos_api_reference import logs


@pytest.mark.parametrize("name", ["password", "newPassword", "access_token", "API_KEY", "key", "client_secret", "Authorization", "otp"])
def test_what_sounds_secret_is_masked_at_any_depth(name: str) -> None:
    assert logs.mask({"a": [{name: {"deep": "x"}}], "seen": 1}) == {"a": [{name: "***"}], "seen": 1}


def line(**extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "arxos", "levelname": "INFO", "msg": "hello %s", "args": ("you",), **extra})
    found: dict[str, object] = json.loads(logs.JsonFormatter().format(record))
    return found


def test_a_line_is_json_with_its_extras() -> None:
    found = line(status=200, token="x", odd=object())
    assert (found["message"], found["level"], found["status"], found["token"]) == ("hello you", "INFO", 200, "***")
    assert str(found["time"]).endswith("+00:00")


def test_an_exception_stays_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        found = line(exc_info=sys.exc_info())
    assert "two\nlines" in str(found["exception"])


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    path, root = tmp_path / "app.log", logging.getLogger()
    before = list(root.handlers)
    try:
        logs.configure(str(path), "INFO")
        logs.log.info("one")
        path.rename(tmp_path / "app.log.1")
        logs.log.info("two")
        assert json.loads(path.read_text())["message"] == "two"
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers = before
