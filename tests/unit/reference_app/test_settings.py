# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of the environment, and how a release behaves."""

from __future__ import annotations

import pydantic
import pytest
from arxos_api_reference.settings import Behaviour, Settings

NEEDED = {
    "DATABASE_PASSWORD": "d",
    "REDIS_PASSWORD": "r",
    "REDIS_NODES": "10.0.0.1:6379, 10.0.0.2:6379",
    "S3_ENDPOINT": "https://s3",
    "S3_BUCKET": "b",
    "S3_ACCESS_KEY": "a",
    "S3_SECRET_KEY": "hidden-one",
    "JWT_SECRETS": "x,y",
    "ENCRYPTION_KEYS": "k",
    "USERS": '[{"name": "ann"}]',
}


def set_all(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    for name, value in {**NEEDED, **changes}.items():
        if value is not None:
            monkeypatch.setenv(f"ARXOS_{name}", value)


def test_lists_and_numbers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, PORT="9000", QUOTA_EXEMPT="")
    settings = Settings.from_environment()
    assert settings.redis_nodes == ["10.0.0.1:6379", "10.0.0.2:6379"]
    assert (settings.port, settings.quota_exempt, settings.users) == (9000, [], [{"name": "ann"}])
    assert (settings.quota_per_hour, settings.session_seconds) == (1000, 28800)


def test_all_faults_come_at_once_and_show_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, REDIS_PASSWORD=None, PORT="hidden-two", USERS="hidden-three")
    with pytest.raises(pydantic.ValidationError) as caught:
        Settings.from_environment()
    text = str(caught.value)
    assert all(name in text for name in ("redis_password", "port", "users"))
    assert "hidden" not in text


def test_without_a_word_a_release_behaves() -> None:
    assert Behaviour.of_release() == Behaviour(health="pass", delay_ms=0, error_rate=0)
    with pytest.raises(pydantic.ValidationError):
        Behaviour(error_rate=2)
