# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module as Ansible runs it, with a pgBackRest made here: what it answers, what it calls, and what it refuses before anything is touched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.arxos.platform.plugins.modules import pgbackrest

RECORDED = Path(__file__).parents[1] / "module_utils/pgbackrest"
INFO = (RECORDED / "info-2.45.json").read_text()
EMPTY = '[{"archive":[],"backup":[],"cipher":"none","db":[],"name":"arxos","status":{"code":1,"message":"missing stanza path"}}]'
WAL = {f"0000000100000000/{1:08X}{0:08X}{number:08X}-{'a' * 40}.zst": {"type": "file", "time": 1795532200} for number in range(1, 8)}


class Host:
    """Answers commands, and keeps what was called."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "info": INFO,
            "repo-ls": json.dumps(WAL),
            "restore": "",
            "stanza-create": "",
            "check": "",
            "backup": "",
        }
        self.called: list[list[str]] = []
        self.now = 1795532083 + 7200.0

    def command(self, words: Sequence[str], **_options: Any) -> tuple[int, str, str]:
        bare = list(words[words.index("pgbackrest") :])
        self.called.append(bare)
        name = next(word for word in bare[1:] if not word.startswith("-"))
        answer = self.answers[name]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        return answer if isinstance(answer, tuple) else (0, answer, "")

    def commands(self) -> list[str]:
        return [next(word for word in words[1:] if not word.startswith("-")) for words in self.called]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(pgbackrest.StrictModule, "run_command", lambda _module, words, **options: made.command(words, **options))
    monkeypatch.setattr(pgbackrest.time, "time", lambda: made.now)
    monkeypatch.setattr(pgbackrest.shutil, "disk_usage", lambda _path: SimpleNamespace(free=10**12))
    return made


def call(capsys: pytest.CaptureFixture[str], check: bool = False, **params: Any) -> dict[str, Any]:
    given = {"stanza": "arxos", "_ansible_check_mode": check, "_ansible_diff": True, **params}
    with patch_module_args(given), pytest.raises(SystemExit):
        pgbackrest.main()
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    assert "exception" not in answer
    return answer


def test_info(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys)
    assert not answer["changed"]
    assert (answer["info"]["ok"], answer["info"]["encrypted"], len(answer["info"]["backups"])) == (True, True, 2)


@pytest.mark.parametrize(("there", "check", "commands"), [
    (True, False, ["info", "check", "info"]),
    (True, True, ["info"]),
    (False, True, ["info"]),
    (False, False, ["info", "stanza-create", "check", "info"]),
])  # fmt: skip
def test_present(host: Host, capsys: pytest.CaptureFixture[str], there: bool, check: bool, commands: list[str]) -> None:
    host.answers["info"] = [INFO if there else EMPTY, INFO]
    assert call(capsys, check, state="present")["changed"] is not there
    assert host.commands() == commands


@pytest.mark.parametrize(
    ("kind", "hours", "changed"),
    [("incr", 0, True), ("incr", 3, False), ("incr", 1, True), ("diff", 3, False), ("full", 2.01, False), ("full", 1.99, True)],
)
def test_a_backup_is_made_when_the_newest_is_too_old(
    host: Host, capsys: pytest.CaptureFixture[str], kind: str, hours: float, changed: bool
) -> None:
    answer = call(capsys, check=True, state="backed_up", type=kind, max_age_hours=hours)
    assert answer["changed"] is changed
    assert host.commands() == ["info"]
    assert (f"a new {kind} backup" in answer["diff"]["after"]) is changed


def test_a_backup_that_was_made_is_returned(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads(INFO)
    before[0]["backup"].pop()
    host.answers["info"] = [json.dumps(before), json.dumps(before), INFO, INFO]
    answer = call(capsys, state="backed_up")
    assert answer["changed"]
    assert answer["backup"]["label"] == "20261124-145440F_20261124-145442I"
    assert answer["diff"]["after"] == answer["diff"]["before"] + "20261124-145440F_20261124-145442I\n"


def test_a_backup_that_failed_fails(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.answers["backup"] = (39, "", "P00  ERROR: [039]: HTTP request failed with 403 (Forbidden):\n  *** Path/Query ***:\n")
    answer = call(capsys, state="backed_up")
    assert answer["failed"]
    assert answer["msg"].startswith("pgbackrest backup: [039]: HTTP request failed with 403 (Forbidden)")


def test_verified_names_the_damage(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.answers["verify"] = (RECORDED / "verify-2.45-whole.txt").read_text()
    assert call(capsys, state="verified")["faults"] == []
    host.answers["verify"] = (RECORDED / "verify-2.45-wal.txt").read_text()
    answer = call(capsys, state="verified")
    assert answer["failed"]
    assert "000000010000000000000004-" in answer["msg"]


def restored(capsys: pytest.CaptureFixture[str], path: Path, check: bool = False, **params: Any) -> dict[str, Any]:
    return call(capsys, check, state="restored", path=str(path), rates_file=str(path.parent / "rates.json"), **params)


def test_a_restore_to_a_named_point(host: Host, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer = restored(capsys, tmp_path / "data", target_type="name", target="before", target_lsn="0/5000010", archiving=False)
    assert answer["backup"]["label"] == "20261124-145440F", "the incremental one ended after the point"
    words = host.called[-1]
    assert words[-1] == "restore"
    assert set(words) >= {
        f"--pg1-path={tmp_path / 'data'}",
        "--set=20261124-145440F",
        "--type=name",
        "--target=before",
        "--target-action=pause",
        "--archive-mode=off",
    }
    assert "--delta" not in words
    assert answer["estimate"]["bytes"] == 36656614
    assert answer["measured"]["bytes_per_second"] > 0
    assert json.loads((tmp_path / "rates.json").read_text())[0]["kind"] == "restore"


def test_a_moment_is_written_as_postgresql_reads_it(host: Host, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    restored(capsys, tmp_path / "data", target_type="time", target="2026-11-24T15:55:00.250+01:00")
    assert "--target=2026-11-24 14:55:00.250000+00" in host.called[-1]


def test_check_mode_estimates_and_touches_nothing(host: Host, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer = restored(capsys, tmp_path / "data", check=True)
    assert answer["changed"]
    assert answer["estimate"]["seconds"] > 2
    assert "restore" not in host.commands()
    assert list(tmp_path.iterdir()) == []


def full(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text("x")
    return path


@pytest.mark.parametrize(
    ("names", "params", "reason"),
    [
        ((), {"target_type": "name", "target": "x", "target_lsn": "0/9000000"}, "the archive ends before 0/9000000"),
        ((), {"target_type": "time", "target": "2026-11-24T14:54:00Z"}, "before the end of the first backup"),
        ((), {"backup": "20251124-145440F"}, "there is no backup 20251124-145440F"),
        ((), {"budget_seconds": 1}, "may take 1 s; nothing was touched"),
        (("PG_VERSION",), {}, "is not empty"),
        (("notes",), {"delta": True}, "is no data directory"),
        (("PG_VERSION", "postmaster.pid"), {"delta": True}, "stop PostgreSQL first"),
    ],
)
def test_a_restore_is_refused(
    host: Host, capsys: pytest.CaptureFixture[str], tmp_path: Path, names: tuple[str, ...], params: dict[str, Any], reason: str
) -> None:
    path = full(tmp_path / "data", *names)
    answer = restored(capsys, path, **params)
    assert answer["failed"]
    assert reason in answer["msg"]
    assert "restore" not in host.commands()
    assert sorted(entry.name for entry in path.iterdir()) == sorted(names)


def test_a_restore_without_room_is_refused(
    host: Host, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgbackrest.shutil, "disk_usage", lambda _path: SimpleNamespace(free=10**8))
    answer = restored(capsys, tmp_path / "data")
    assert "has room for 100000000 bytes, the backup needs 305092069" in answer["msg"]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"state": "restored"}, "state is restored but all of the following are missing: path"),
        ({"stanza": "a b"}, "is no name"),
        ({"max_age_hours": -1}, "max_age_hours is -1"),
        ({"state": "restored", "path": "/x", "target_type": "name", "target": "y"}, "target_lsn or backup has to say"),
        ({"state": "restored", "path": "/x", "target": "y"}, "target_type default has none"),
        ({"state": "restored", "path": "/x", "target_type": "time"}, "target_type is time but all of the following are missing: target"),
    ],
)
def test_wrong_parameters(host: Host, capsys: pytest.CaptureFixture[str], params: dict[str, Any], reason: str) -> None:
    answer = call(capsys, **params)
    assert answer["failed"]
    assert reason in answer["msg"]
    assert host.called == []
