# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A member of the cluster that runs outside of Patroni, held at a place in the WAL. It knows no systemd and no database: both are handed in.

It has to be outside: Patroni writes empty recovery targets into postgresql.conf and restarts a member whose target is not empty, paused or not
(C(build_recovery_params) and C(check_recovery_conf) of Patroni 3.0 and 4.0). So patroni.service of that host is stopped, and a unit of its own runs
PostgreSQL on the same data, reachable over the local socket alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

UNIT = "arxos-held-postgresql.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
DROP_IN = "/etc/systemd/system/patroni.service.d/held.conf"
PATRONI = "patroni.service"
SETTINGS = "arxos_held.conf"  # in the data directory, since it includes files from there
INTERVAL = 0.1

LOOK = """
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'label', current_setting('recovery_target_name'),
  'paused', pg_is_in_recovery() AND pg_get_wal_replay_pause_state() = 'paused',
  'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
  'cut_off', current_setting('primary_conninfo') = '' AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver),
  'receiver', coalesce((SELECT pid FROM pg_stat_wal_receiver), 0),
  'streaming', EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'))
"""
CUT_OFF = ("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")


class GuardError(Exception):
    """What went wrong and what to do next, for people."""


class Host(Protocol):
    """The host that this runs on. Raises GuardError."""

    def systemctl(self, *words: str) -> str: ...

    def active(self, unit: str) -> bool: ...

    def read(self, path: str) -> str: ...

    def write(self, path: str, text: str) -> None: ...

    def remove(self, path: str) -> None: ...

    def terminate(self, process: int) -> None: ...

    def sql(self, statement: str, database: str = "postgres") -> str | None:
        """First line of the answer; None while PostgreSQL does not take connections."""

    def patroni(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        raise NotImplementedError


@dataclass
class Clock:
    """The clock and how to wait, in seconds; tests hand in their own."""

    now: Callable[[], float]
    pause: Callable[[float], None]


@dataclass
class Guard:
    """What runs outside of Patroni. C(held): it stands at the target of C(label), and will not go on by itself."""

    label: str = ""
    running: bool = False
    held: bool = False
    promoted: bool = False
    lsn: str = ""
    cut_off: bool = False
    receiver: int = 0
    streaming: bool = False


def unit_text(*, label: str, binaries: str, data: str, target: bool) -> str:
    """The unit that runs PostgreSQL. C(target) says whether the target is C(label); otherwise it is what the data directory's own settings say."""
    options = {"listen_addresses": "", "hot_standby_feedback": "off", "primary_slot_name": "", "recovery_target_action": "pause"}
    if target:
        options["recovery_target_name"] = label
    command = " ".join(
        [
            f"{binaries}/postgres",
            "-D",
            data,
            f"--config_file={data}/{SETTINGS}",
            *(f'"--{name}={value}"' for name, value in options.items()),
        ]
    )
    return "\n".join(
        [
            "# Made by arxos.platform.postgresql_guard and removed by it.",
            "[Unit]",
            f"Description=PostgreSQL held at {label}",
            "After=network-online.target",
            "Wants=network-online.target",
            f"X-Arxos-Label={label}",
            "",
            "[Service]",
            "User=postgres",
            "SyslogIdentifier=arxos-held-postgresql",
            f"ExecStart={command}",
            "KillMode=mixed",
            "KillSignal=SIGINT",
            "TimeoutStopSec=600",
            "OOMScoreAdjust=-900",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def settings_text(patroni: str) -> str:
    """Patroni's postgresql.conf without its recovery targets: PostgreSQL takes even an empty one for a second target, and does not start."""
    return "".join(line for line in patroni.splitlines(keepends=True) if not line.lstrip().startswith("recovery_target"))


def drop_in_text(label: str) -> str:
    """What keeps patroni.service from starting on data that is held: it would replay what it is held before."""
    return "\n".join(
        [
            "# Made by arxos.platform.postgresql_guard and removed by it.",
            "[Unit]",
            f"Description=Patroni (this member is held at {label})",
            f"ConditionPathExists=!{UNIT_FILE}",
            "",
        ]
    )


def label_of(unit: str) -> str:
    """The label in a unit's text, empty when there is none."""
    for line in unit.splitlines():
        if line.startswith("X-Arxos-Label="):
            return line.partition("=")[2]
    return ""


@dataclass
class Keeper:
    """Takes the member out of Patroni and gives it back."""

    host: Host
    clock: Clock
    data: str
    timeout: float
    check: bool = False
    steps: list[str] = field(default_factory=list)

    def look(self) -> Guard:
        """What is held here now."""
        found = Guard(label=label_of(self.host.read(UNIT_FILE)))
        if not found.label:
            return found
        found.running = self.host.active(UNIT)
        answer = self.host.sql(LOOK) if found.running else None
        if answer is None:
            return found
        state = json.loads(answer)
        found.promoted = not state["in_recovery"]
        found.held = state["in_recovery"] and state["paused"]
        found.lsn, found.cut_off, found.streaming, found.receiver = state["lsn"], state["cut_off"], state["streaming"], state["receiver"]
        return found

    def arm(self, label: str, *, binaries: str, target: bool) -> None:
        """Runs PostgreSQL outside of Patroni so that it will stop at C(label). Returns when it streams, or stands there already."""
        unit, drop_in = unit_text(label=label, binaries=binaries, data=self.data, target=target), drop_in_text(label)
        found = self.look()
        if found.label and found.label != label:
            raise GuardError(f"this member is held at {found.label}: release it first, with playbooks/release_guard.yml")
        if found.promoted:
            raise GuardError(f"the member that was held at {label} was opened: finish the rollback first")
        if self.host.read(UNIT_FILE) != unit or self.host.read(DROP_IN) != drop_in or not found.running:
            self.steps.append(f"hold at {label}")
            if self.check:
                return
            self.host.write(DROP_IN, drop_in)
            self.host.systemctl("stop", PATRONI)
            self.host.write(f"{self.data}/{SETTINGS}", settings_text(self.host.read(f"{self.data}/postgresql.conf")))
            self.host.write(UNIT_FILE, unit)
            self.host.systemctl("daemon-reload")
            self.host.systemctl("reset-failed", PATRONI)
            self.host.systemctl("enable", "--quiet", UNIT)
            self.host.systemctl("restart", UNIT)
        self._wait(
            "PostgreSQL streams, or stands at its target",
            lambda guard: guard.held or guard.streaming or (not target and guard.running and bool(guard.lsn)),
        )

    def hold(self, label: str, lsn: str) -> None:
        """Waits until it stands at C(label), and cuts it off from the primary, so that neither keeps WAL for the other."""
        found = self.look()
        if found.label != label:
            raise GuardError(f"this member is not held at {label}" + (f" but at {found.label}" if found.label else "") + ": arm it first")
        if self.check:
            return
        found = self._wait(f"PostgreSQL stands at {label}", lambda guard: guard.held)
        if lsn and found.lsn != lsn:
            raise GuardError(f"PostgreSQL stands at {found.lsn} and {label} is at {lsn}: release it, and make another point")
        if not found.cut_off:
            self.steps.append("cut off from the primary")
            for statement in CUT_OFF:
                self.host.sql(statement)
            # Its receiver looks at that only between files, and nobody starts it again.
            if found.receiver:
                self.host.terminate(found.receiver)
            self._wait("PostgreSQL lets the primary go", lambda guard: guard.cut_off)

    def release(self) -> None:
        """Gives the member back to Patroni, as a replica."""
        found = self.look()
        if found.promoted:
            raise GuardError(f"the member that was held at {found.label} was opened: finish the rollback instead")
        if not self.host.read(UNIT_FILE) and not self.host.read(DROP_IN) and self.host.active(PATRONI):
            return
        self.steps.append(f"release from {found.label}" if found.label else "give back to Patroni")
        if not self.check:
            self._give_back(running=False)
            self.host.remove(f"{self.data}/{SETTINGS}")

    def open(self, label: str, lsn: str) -> None:
        """Ends recovery where it stands, and has Patroni lead with it. The cluster must be without a leader, and paused."""
        found = self.look()
        if found.label and found.label != label:
            raise GuardError(f"this member is held at {found.label}, wanted {label}")
        if found.label:
            self.steps.append(f"open at {label}")
            if self.check:
                return
            if not found.promoted:
                found = self._wait(f"PostgreSQL stands at {label}", lambda guard: guard.held)
                # A standby that was paused on its way would replay the rest when it is promoted.
                if lsn and found.lsn != lsn:
                    raise GuardError(f"PostgreSQL stands at {found.lsn} and {label} is at {lsn}: it cannot be opened there")
                self.host.sql("SELECT pg_promote(true, 60)")
                self._wait("PostgreSQL takes writes", lambda guard: guard.promoted)
            self._give_back(running=True)
        elif self.check:
            return
        elif not self.host.active(PATRONI):  # a run that was killed in between
            self._give_back(running=True)
        self._wait_patroni("it leads", lambda status, body: status == 200)
        # It was started by another unit and listens on the socket only: let Patroni start it as it starts its own.
        if self.host.active(UNIT) or not self._listens():
            self.steps.append("restart under Patroni")
            status, body = self.host.patroni("POST", "/restart", {})
            if status not in (200, 503):
                raise GuardError(f"Patroni refuses to restart PostgreSQL: {body}")
            self._wait_patroni("it leads again", lambda status, body: status == 200 and self._listens())
        if self.host.read(f"{self.data}/{SETTINGS}"):
            self.host.remove(f"{self.data}/{SETTINGS}")

    def _listens(self) -> bool:
        return bool(self.host.sql("SELECT nullif(current_setting('listen_addresses'), '')"))

    def _give_back(self, *, running: bool) -> None:
        if not running and self.host.active(UNIT):
            self.host.systemctl("stop", UNIT)
        # The unit file goes first: while it is there, patroni.service does not start.
        if self.host.read(UNIT_FILE):
            self.host.systemctl("disable", "--quiet", UNIT)
            self.host.remove(UNIT_FILE)
        self.host.remove(DROP_IN)
        self.host.systemctl("daemon-reload")
        self.host.systemctl("start", PATRONI)

    def _wait(self, what: str, true: Callable[[Guard], bool]) -> Guard:
        end = self.clock.now() + self.timeout
        while True:
            found = self.look()
            if true(found):
                return found
            if self.clock.now() >= end:
                raise GuardError(
                    f"{what}: not within {self.timeout:g} s ({found}); its reason is in the log of PostgreSQL and in `journalctl -u {UNIT}`"
                )
            self.clock.pause(INTERVAL)

    def _wait_patroni(self, what: str, true: Callable[[int, Any], bool]) -> None:
        end = self.clock.now() + self.timeout
        answer: Any = None
        while True:
            try:
                answer = self.host.patroni("GET", "/leader")
                if true(*answer):
                    return
            except GuardError as error:
                answer = error
            if self.clock.now() >= end:
                raise GuardError(f"Patroni: {what}: not within {self.timeout:g} s ({answer}); its reason is in `journalctl -u {PATRONI}`")
            self.clock.pause(INTERVAL)
