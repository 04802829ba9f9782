# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is done, in which order, to hold a member, to open it and to give it back. What PostgreSQL and Patroni make of it is in tests/faults."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _guard
from ansible_collections.arxos.platform.plugins.module_utils._guard import DROP_IN, PATRONI, UNIT, UNIT_FILE, Clock, GuardError, Keeper

LABEL = "1.2.0@20261123T081949Z"
DATA = "/var/lib/postgresql/15/main"
HELD_CONF = f"{DATA}/{_guard.SETTINGS}"
PLACES = {"binaries": "/usr/lib/postgresql/15/bin", "target": True}


CONF = "include 'postgresql.base.conf'\nport = '5432'\nrecovery_target = ''\nrecovery_target_timeline = 'latest'\nprimary_conninfo = 'x'\n"


class FakeHost:
    """Units, files and a PostgreSQL that reaches its target when it is said so."""

    def __init__(self) -> None:
        self.files = {f"{DATA}/postgresql.conf": CONF}
        self.units = {PATRONI}
        self.log: list[str] = []
        self.state = {
            "in_recovery": True,
            "label": "",
            "paused": False,
            "lsn": "0/5000000",
            "cut_off": False,
            "receiver": 7,
            "streaming": False,
        }
        self.listens = True
        self.killed_before = ""

    @property
    def held(self) -> dict[str, str]:
        """The files that were made."""
        return {path: text for path, text in self.files.items() if text != CONF}

    def _do(self, what: str) -> None:
        if self.killed_before and what.startswith(self.killed_before):
            raise KeyboardInterrupt
        self.log.append(what)

    def systemctl(self, *words: str) -> str:
        self._do(" ".join(words))
        if words[0] == "stop":
            self.units.discard(words[1])
        if words[0] in ("start", "restart"):
            blocked = words[1] == PATRONI and UNIT_FILE in self.files and DROP_IN in self.files
            self.units |= set() if blocked else {words[1]}
            if words[1] == UNIT:
                self.state["streaming"], self.listens = True, False
        return ""

    def active(self, unit: str) -> bool:
        return unit in self.units

    def read(self, path: str) -> str:
        return self.files.get(path, "")

    def write(self, path: str, text: str) -> None:
        self._do(f"write {path}")
        self.files[path] = text

    def remove(self, path: str) -> None:
        self._do(f"remove {path}")
        self.files.pop(path, None)

    def sql(self, statement: str) -> str | None:
        if statement == _guard.LOOK:
            return json.dumps(self.state)
        if "listen_addresses" in statement:
            return "*" if self.listens else ""
        self._do(statement)
        if "pg_promote" in statement:
            self.state.update(in_recovery=False, paused=False)
        return "t"

    def terminate(self, process: int) -> None:
        self._do(f"terminate {process}")
        self.state.update(cut_off=True, receiver=0)

    def patroni(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        if PATRONI not in self.units:
            raise GuardError("no answer")
        if method == "POST":
            self._do("restart PostgreSQL")
            self.listens = True
            self.units.discard(UNIT)
        return (200 if not self.state["in_recovery"] else 503), {}


def keeper(host: FakeHost, *, check: bool = False) -> Keeper:
    time = [0.0]

    def pause(seconds: float) -> None:
        time[0] += seconds

    return Keeper(host, Clock(lambda: time[0], pause), DATA, 5, check=check)


def held() -> FakeHost:
    host = FakeHost()
    keeper(host).arm(LABEL, **PLACES)
    host.state.update(paused=True, label=LABEL)
    keeper(host).hold(LABEL, "0/5000000")
    host.log.clear()
    return host


def test_armed_it_is_out_of_patroni_and_streams() -> None:
    host = FakeHost()
    keeper(host).arm(LABEL, **PLACES)
    assert host.units == {UNIT}
    assert host.log.index(f"write {DROP_IN}") < host.log.index(f"stop {PATRONI}") < host.log.index(f"restart {UNIT}")
    unit = host.files[UNIT_FILE]
    assert f"--recovery_target_name={LABEL}" in unit and "--recovery_target_action=pause" in unit
    assert "--listen_addresses=" in unit and "--primary_slot_name=" in unit and "--hot_standby_feedback=off" in unit
    assert host.files[HELD_CONF] == "include 'postgresql.base.conf'\nport = '5432'\nprimary_conninfo = 'x'\n"
    assert f"ConditionPathExists=!{UNIT_FILE}" in host.files[DROP_IN]


def test_armed_again_nothing_happens() -> None:
    host = held()
    again = keeper(host)
    again.arm(LABEL, **PLACES)
    again.hold(LABEL, "0/5000000")
    assert host.log == [] and again.steps == []


def test_held_it_is_cut_off_from_the_primary() -> None:
    host = FakeHost()
    keeper(host).arm(LABEL, **PLACES)
    host.state.update(paused=True, label=LABEL)
    host.log.clear()
    keeper(host).hold(LABEL, "0/5000000")
    assert host.log == [*_guard.CUT_OFF, "terminate 7"]


def test_a_restored_member_stops_where_its_data_directory_says() -> None:
    host = FakeHost()
    keeper(host).arm(LABEL, **{**PLACES, "target": False})
    assert "recovery_target_name" not in host.files[UNIT_FILE]


@pytest.mark.parametrize("killed", ["write", "stop", "daemon-reload", "reset-failed", "enable", f"restart {UNIT}"])
def test_arming_that_was_killed_is_finished(killed: str) -> None:
    host = FakeHost()
    host.killed_before = killed
    with pytest.raises(KeyboardInterrupt):
        keeper(host).arm(LABEL, **PLACES)
    host.killed_before = ""
    keeper(host).arm(LABEL, **PLACES)
    assert host.units == {UNIT} and set(host.held) == {UNIT_FILE, DROP_IN, HELD_CONF}


def test_opened_it_is_promoted_before_patroni_sees_it_and_restarted_by_it() -> None:
    host = held()
    keeper(host).open(LABEL, "0/5000000")
    promoted = next(index for index, entry in enumerate(host.log) if "pg_promote" in entry)
    assert promoted < host.log.index(f"remove {UNIT_FILE}") < host.log.index(f"start {PATRONI}") < host.log.index("restart PostgreSQL")
    assert f"stop {UNIT}" not in host.log  # it goes on running while Patroni takes it over
    assert host.held == {} and host.units == {PATRONI} and host.listens


@pytest.mark.parametrize(
    "killed", ["SELECT pg_promote", "disable", "remove", f"remove {DROP_IN}", "daemon-reload", "start", "restart PostgreSQL"]
)
def test_opening_that_was_killed_is_finished(killed: str) -> None:
    host = held()
    host.killed_before = killed
    with pytest.raises(KeyboardInterrupt):
        keeper(host).open(LABEL, "0/5000000")
    host.killed_before = ""
    keeper(host).open(LABEL, "0/5000000")
    assert host.held == {} and host.units == {PATRONI} and host.listens and not host.state["in_recovery"]


def test_opened_again_nothing_happens() -> None:
    host = held()
    keeper(host).open(LABEL, "0/5000000")
    host.log.clear()
    again = keeper(host)
    again.open(LABEL, "0/5000000")
    assert host.log == [] and again.steps == []


def test_a_standby_that_was_paused_on_its_way_is_not_opened() -> None:
    host = held()
    with pytest.raises(GuardError, match=r"stands at 0/5000000 and .* is at 0/5000090"):
        keeper(host).open(LABEL, "0/5000090")
    assert host.state["in_recovery"]


@pytest.mark.parametrize("killed", ["", "disable", "stop", "remove", f"remove {DROP_IN}", "daemon-reload", "start"])
def test_released_it_is_patronis_again(killed: str) -> None:
    host = held()
    if killed:
        host.killed_before = killed
        with pytest.raises(KeyboardInterrupt):
            keeper(host).release()
        host.killed_before = ""
    keeper(host).release()
    assert host.held == {} and host.units == {PATRONI}


def test_released_where_nothing_is_held_nothing_happens() -> None:
    host = FakeHost()
    released = keeper(host)
    released.release()
    assert host.log == [] and released.steps == []


@pytest.mark.parametrize("state", ["arm", "hold", "release", "open"])
def test_check_mode_touches_nothing(state: str) -> None:
    host = FakeHost() if state == "arm" else held()
    before = (host.held, set(host.units))
    checked = keeper(host, check=True)
    {
        "arm": lambda: checked.arm(LABEL, **PLACES),
        "hold": lambda: checked.hold(LABEL, "0/5000000"),
        "release": checked.release,
        "open": lambda: checked.open(LABEL, "0/5000000"),
    }[state]()
    assert host.log == [] and (host.held, host.units) == before
    assert bool(checked.steps) is (state != "hold")


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (lambda it: it.arm("other", **PLACES), "release it first"),
        (lambda it: it.hold("other", ""), "is not held at other but at 1.2.0"),
        (lambda it: it.hold(LABEL, "0/6000000"), "make another point"),
        (lambda it: it.open("other", ""), "wanted other"),
    ],
)
def test_what_it_is_not_held_for_is_refused(do: Any, reason: str) -> None:
    host = held()
    with pytest.raises(GuardError, match=reason):
        do(keeper(host))
    assert host.log == []


def test_what_was_opened_is_neither_released_nor_armed() -> None:
    host = held()
    host.state.update(in_recovery=False, paused=False)
    for do in (lambda: keeper(host).release(), lambda: keeper(host).arm(LABEL, **PLACES)):
        with pytest.raises(GuardError, match="was opened"):
            do()
    assert host.log == []


def test_waiting_ends_with_what_there_is() -> None:
    host = FakeHost()
    keeper(host).arm(LABEL, **PLACES)
    with pytest.raises(GuardError, match=r"stands at 1\.2\.0.*not within 5 s.*held=False.*journalctl"):
        keeper(host).hold(LABEL, "")
