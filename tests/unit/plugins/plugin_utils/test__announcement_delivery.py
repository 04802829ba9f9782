# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Channels beside a run: order, time limits, and what is said of those that fail."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _announcements
from ansible_collections.arxos.platform.plugins.plugin_utils import _announcement_delivery as unit

SETTINGS = _announcements.settings({"channels": {"good": {"url": "json://good"}, "bad": {"url": "json://bad"}}})


class Fake:
    """A channel of the test's own: bad ones hang until they are stopped."""

    sent: dict[str, list[str]] = {}

    def __init__(self, address: str, _timeout: float, _folders: Sequence[str]) -> None:
        self.address = address
        self.stopped = threading.Event()
        Fake.sent[address] = []

    def start(self) -> None:
        """Is ready."""

    def send(self, message: _announcements.Message) -> str:
        """Sends."""
        if self.address == "json://bad":
            self.stopped.wait(30)
            return unit.LATE
        if message.event == "failure":
            raise ValueError(self.address)
        Fake.sent[self.address].append(message.event)
        return ""

    def stop(self) -> None:
        """Ends."""
        self.stopped.set()


def message(channel: str, event: str) -> _announcements.Message:
    return _announcements.Message(channel, "operations", event, "info", {})


def test_a_channel_that_hangs_holds_up_nobody() -> None:
    delivery = unit.Delivery(SETTINGS, [], Fake)
    started = time.monotonic()
    delivery.put([message(channel, event) for event in ("before", "stage", "after") for channel in ("bad", "good")])
    while len(Fake.sent.get("json://good", [])) < 3:  # the other waits for 30 seconds
        assert time.monotonic() - started < 15
        time.sleep(0.01)
    line, well = delivery.finish(0.3)
    assert time.monotonic() - started < 15
    assert Fake.sent["json://good"] == ["before", "stage", "after"]
    assert (line, well) == ("3 sent; bad failed 3 times (not sent before the run ended)", False)


def test_an_error_of_a_channel_is_told_by_its_name_alone() -> None:
    delivery = unit.Delivery(SETTINGS, [], Fake)
    delivery.put([message("good", "failure"), message("good", "after")])
    assert delivery.finish(5) == ("1 sent; good failed once (ValueError while sending)", False)


def test_nothing_to_send_ends_at_once() -> None:
    started = time.monotonic()
    assert unit.Delivery(SETTINGS, [], Fake).finish(20) == ("0 sent", True)
    assert time.monotonic() - started < 2


ECHO = "import sys\nfor line in sys.stdin: print('\"\"', flush=True)"
HANGING = "import time, sys\nfor line in sys.stdin: time.sleep(60)"
ENDING = "pass"


@pytest.mark.parametrize(
    ("program", "patience", "said"),
    [(ECHO, 30.0, ""), (HANGING, 0.2, "no answer within 0.2 s"), (ENDING, 30.0, "the sender ended")],
    ids=["good", "hanging", "ending"],
)
def test_a_process_is_ended_and_begun_again(program: str, patience: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "GRACE", 0.3)
    monkeypatch.setattr(unit, "START", 0.5)
    transport = unit.ProcessTransport("json://x", patience, [], [sys.executable, "-c", program])
    transport.start()
    first = transport.process
    for _each in range(2):
        assert transport.send(message("x", "stage")) == said
    assert (transport.process is first) is (said == "")
    transport.stop()
    assert transport.process is not None and transport.process.poll() is not None


def test_a_program_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = unit.Delivery(
        SETTINGS, [], lambda address, timeout, folders: unit.ProcessTransport(address, timeout, folders, ["/nowhere/python"])
    )
    delivery.put([message("good", "stage")])
    assert delivery.finish(5) == ("0 sent; good failed once (FileNotFoundError while sending)", False)
