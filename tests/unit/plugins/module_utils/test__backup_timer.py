# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _backup_timer
from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest import PgbackrestError, metric_of

RECORDED = Path(__file__).parent / "pgbackrest"
INFO = (RECORDED / "info-2.45.json").read_text()
NOW = 1795532090.0  # seconds after the recorded backups
WEEK = 7 * 86400
CLUSTER = {"members": [{"name": "d1", "role": "leader", "state": "running"}, {"name": "d2", "role": "replica", "state": "streaming"}]}
IDLE = {
    "replica": False,
    "archived": 9,
    "failed": 0,
    "archived_at": NOW - 30,
    "failed_at": None,
    "failed_wal": None,
    "waiting": 0,
    "oldest": 0,
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backup_timer.time, "sleep", lambda _seconds: None)


class Host:
    """A host with its settings, on which commands answer what they are told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, member: str = "d2") -> None:
        self.folder = folder
        self.answers: dict[str, Any] = {"info": INFO, "repo-ls": "{}", "backup": ""}
        self.cluster: Any = CLUSTER
        self.commands: list[str] = []
        settings = {
            "stanza": "arxos",
            "member": member,
            "patroni": "https://x",
            "ca_certificate": "/x",
            "metrics": str(folder),
            "schedule": {"full_day": "Sun", "hour": 1, "incremental_hours": 4},
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        monkeypatch.setattr(_backup_timer, "ask_patroni", self.ask)

    def ask(self, _url: str, _ca: str) -> Any:
        if isinstance(self.cluster, Exception):
            raise self.cluster
        return self.cluster

    def run(self, words: Sequence[str]) -> tuple[int, str, str]:
        name = words[0] if words[0] == "psql" else next(word for word in words[1:] if not word.startswith("-"))
        self.commands.append(name)
        answer = self.answers[name]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        return answer if isinstance(answer, tuple) else (0, answer, "")

    def does(self, job: str, now: float = NOW) -> int:
        return _backup_timer.main([job, str(self.folder / "settings.json"), str(self.folder / "figures")], self.run, lambda: now)

    def figure(self, name: str) -> float | None:
        return metric_of((self.folder / "figures").read_text(), name)

    def publish(self, job: str) -> None:
        (self.folder / "figures").rename(self.folder / f"{_backup_timer.PREFIX[job]}.prom")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def later(text: str) -> str:
    """The same with one more full backup, of a week later."""
    found = json.loads(text)
    new = json.loads(json.dumps(found[0]["backup"][0]))
    new["label"] = "20261201-145440F"
    new["timestamp"] = {"start": int(NOW + WEEK), "stop": int(NOW + WEEK + 5)}
    found[0]["backup"].append(new)
    return json.dumps(found)


def test_nothing_is_due(host: Host) -> None:
    assert host.does("backup") == 0
    assert host.commands == ["info"]
    assert (host.figure("arxos_backup_success"), host.figure("arxos_backup_acting")) == (1, 1)
    assert host.figure("arxos_backup_last_success_timestamp_seconds") == 1795532083
    assert host.figure('arxos_backup_newest_timestamp_seconds{at_least="full"}') == 1795532081


def test_what_is_due_is_made(host: Host) -> None:
    host.answers["info"] = [INFO, INFO, later(INFO)]
    assert host.does("backup", NOW + WEEK) == 0
    assert host.commands == ["info", "info", "backup", "info"]
    assert host.figure("arxos_backup_last_success_timestamp_seconds") == int(NOW + WEEK + 5)


def test_another_host_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, member="d1")
    assert host.does("backup", NOW + WEEK) == 0
    assert host.commands == ["info"]
    assert (host.figure("arxos_backup_success"), host.figure("arxos_backup_acting")) == (1, 0)
    assert host.does("backup-verify") == 0
    assert host.figure("arxos_backup_verify_acting") == 0


def test_a_failure_is_loud_and_keeps_the_last_success(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.does("backup") == 0
    host.publish("backup")
    host.answers["backup"] = (39, "", "ERROR: [039]: HTTP request failed with 403 (Forbidden)\n")
    assert host.does("backup", NOW + WEEK) == 1
    assert "pgbackrest backup: [039]: HTTP request failed with 403" in capsys.readouterr().err
    assert host.figure("arxos_backup_success") == 0
    assert host.figure("arxos_backup_last_success_timestamp_seconds") == 1795532083
    assert host.figure("arxos_backup_last_run_timestamp_seconds") == NOW + WEEK


def test_without_patroni_nobody_acts_and_it_is_told(host: Host) -> None:
    host.cluster = PgbackrestError("Patroni does not say who leads: refused")
    assert host.does("backup", NOW + WEEK) == 1
    assert "backup" not in host.commands
    assert (host.figure("arxos_backup_success"), host.figure("arxos_backup_last_success_timestamp_seconds")) == (0, 0)


def test_pages_that_are_broken_are_told(host: Host) -> None:
    found = json.loads(INFO)
    found[0]["backup"][-1]["error"] = True
    host.answers["info"] = json.dumps(found)
    assert host.does("backup") == 1
    assert (host.figure("arxos_backup_success"), host.figure("arxos_backup_page_errors")) == (0, 1)


@pytest.mark.parametrize(("case", "code"), [("whole", 0), ("bundle", 1)])
def test_verify(host: Host, case: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    host.answers["verify"] = (RECORDED / f"verify-2.45-{case}.txt").read_text()
    assert host.does("backup-verify") == code
    assert host.figure("arxos_backup_verify_success") == 1 - code
    assert host.figure("arxos_backup_verify_last_success_timestamp_seconds") == (0 if code else NOW)
    assert ("pg_data/base/" in capsys.readouterr().err) is bool(code)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({}, 0),
        ({"replica": True, "waiting": 5, "oldest": 9999}, 0),
        ({"failed_at": NOW - 60}, 0),
        ({"waiting": 3, "oldest": 100}, 0),
        ({"failed_at": NOW - 10, "failed_wal": "000000010000000000000007"}, 1),
        ({"failed_at": NOW - 10, "archived_at": None}, 1),
        ({"waiting": 3, "oldest": 181}, 1),
    ],
)
def test_the_archive(host: Host, found: dict[str, Any], code: int) -> None:
    host.answers["psql"] = json.dumps({**IDLE, **found})
    assert host.does("wal-archive") == code
    assert host.figure("arxos_wal_archive_success") == 1 - code
    assert host.figure("arxos_wal_archive_last_success_timestamp_seconds") == (0 if code else NOW)


def test_a_postgresql_that_does_not_answer_is_not_well(host: Host) -> None:
    host.answers["psql"] = (2, "", "could not connect")
    assert host.does("wal-archive") == 1
    assert host.figure("arxos_wal_archive_success") == 0


def test_a_restart_of_postgresql_is_no_fault_of_the_archive() -> None:
    pauses: list[float] = []
    answers = iter([(2, "", "psql: error: No such file or directory"), (2, "", "the database system is starting up"), (0, "{}", "")])
    assert _backup_timer._archive(lambda _words: next(answers), pause=pauses.append) == "{}"
    assert pauses == [1, 1]
    with pytest.raises(PgbackrestError, match="does not tell about its archive: away"):
        _backup_timer._archive(lambda _words: (2, "", "away\n"), looks=3, pause=pauses.append)
    assert len(pauses) == 4
