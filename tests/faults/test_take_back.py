# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A go-live that fails on a platform that serves takes back by itself what it left: the release and the configuration. One that was killed is taken back
when somebody asks for it, and a platform with a host down is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import whole
from .rolling_back import GROUPS, HOSTS, deploy, etc, play, play_and_kill, releases, unfinished
from .whole import LAB, Figure, build, docker, run

# The last stage but two is where it fails: by then hosts have another release, and the edge another configuration.
NIGHT = ("go_live.yml", "-e", "arxos_api_version=1.1.0", "-e", "keepalived_router_id=52")


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    build("1.1.0")


@pytest.fixture
def before() -> Iterator[dict[str, str]]:
    """What /etc has on every host, and a program at the edge that cannot be run any more."""
    deploy("1.0.0")
    play("seal.yml", "-e", f"arxos_run_id=good-{int(time.time())}")
    run("edge2", "chmod 0644 /usr/sbin/keepalived")
    yield {host: etc(host) for host in HOSTS}
    run("edge2", "chmod 0755 /usr/sbin/keepalived")


def assert_as_before(before: dict[str, str]) -> None:
    assert releases() == {"1.0.0"}
    assert {host for host in HOSTS if etc(host) != before[host]} == set()
    assert unfinished("application") == unfinished("configuration") == []
    assert run(GROUPS["database"][0], "ls /var/lib/arxos/runs/lock 2>/dev/null", check=False) == ""


def test_what_a_go_live_left_goes_back_by_itself(before: dict[str, str], figure: Figure) -> None:
    began = time.monotonic()
    said = play(*NIGHT, fails=True)
    figure("go-live that failed, and back: seconds", f"{time.monotonic() - began:.0f}")
    assert "keepalived is not on this host" in said
    assert "The go-live failed. What fits it follows." in said
    assert "Back go the application to 1.0.0 and the configuration to what run good-" in said
    assert "was not taken back" not in said
    assert_as_before(before)
    assert "(take_back.yml by" in play("take_back.yml") and "1.0.0" in releases()


def test_one_that_stays_is_taken_back_when_somebody_asks(before: dict[str, str]) -> None:
    said = play(*NIGHT, "-e", "arxos_take_back=false", fails=True)
    assert "the inventory says so (arxos_take_back)" in said and releases() == {"1.1.0"}
    assert {host for host in HOSTS if etc(host) != before[host]} != set()
    assert "Back go the application to 1.0.0" in play("take_back.yml", "--check") and releases() == {"1.1.0"}
    play("take_back.yml")
    assert_as_before(before)


def test_one_that_was_killed_is_taken_back_when_somebody_asks(before: dict[str, str], tmp_path: Path) -> None:
    play_and_kill("Restart the service", tmp_path / "log", *NIGHT, times=2)
    said = play("take_back.yml")
    assert "was cut off. Back go the application to 1.0.0" in said
    assert_as_before(before)


def test_with_a_host_down_nothing_is_touched(before: dict[str, str]) -> None:
    play(*NIGHT, "-e", "arxos_take_back=false", fails=True)
    up = [host for host in HOSTS if host != "cache3"]
    left = {host: etc(host) for host in up}
    docker("stop", f"{LAB}-cache3")
    try:
        assert whole.play("take_back.yml").code != 0
        assert releases() == {"1.1.0"} and {host: etc(host) for host in up} == left
    finally:
        docker("start", f"{LAB}-cache3")
    play("take_back.yml")
    assert_as_before(before)
