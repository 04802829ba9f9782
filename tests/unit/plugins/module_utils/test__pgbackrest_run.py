# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest import PgbackrestError
from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest_run import CommandFailed, Repository, reason

RECORDED = Path(__file__).parent / "pgbackrest"
INFO = (RECORDED / "info-2.45.json").read_text()
WHOLE = (RECORDED / "verify-2.45-whole.txt").read_text()
BROKEN = (RECORDED / "verify-2.45-bundle.txt").read_text()
HELD = (50, "", "P00  ERROR: [050]: unable to acquire lock on file '/x': Resource temporarily unavailable\n")
NO_STANDBY = "ERROR: [056]: unable to find standby cluster - cannot proceed\n             HINT: are all available clusters in recovery?\n"


def wal(*numbers: int) -> str:
    return json.dumps({f"0000000100000000/{1:08X}{0:08X}{number:08X}-{'a' * 40}.zst": {"type": "file", "time": 9} for number in numbers})


class Commands:
    """Answers by the name of the command, in turn; the last one stays."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name.replace("_", "-"): list(given) if isinstance(given, list) else [given] for name, given in answers.items()}
        self.seen: list[list[str]] = []

    def __call__(self, words: Sequence[str]) -> tuple[int, str, str]:
        self.seen.append(list(words))
        queue = self.answers[next(word for word in words[1:] if not word.startswith("-"))]
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        return answer if isinstance(answer, tuple) else (0, answer, "")


def without_last(text: str) -> str:
    found = json.loads(text)
    found[0]["backup"].pop()
    return json.dumps(found)


def test_the_backup_that_was_made_is_told() -> None:
    run = Commands(info=[without_last(INFO), INFO], backup="")
    assert Repository(run, "arxos").back_up("incr").label == "20261124-145440F_20261124-145442I"
    assert ["pgbackrest", "--stanza=arxos", "--type=incr", "backup"] in run.seen


def test_without_a_replica_the_leader_is_read() -> None:
    run = Commands(info=[without_last(INFO), INFO], backup=[(56, "", NO_STANDBY), ""])
    assert Repository(run, "arxos").back_up("incr").type == "incr"
    assert run.seen[2] == ["pgbackrest", "--stanza=arxos", "--type=incr", "--no-backup-standby", "backup"]


def test_another_failure_is_not_tried_again() -> None:
    run = Commands(info=INFO, backup=(49, "", "P00  ERROR: [049]: unable to get address for 'x'\n"))
    with pytest.raises(CommandFailed, match=r"pgbackrest backup: \[049\]: unable to get address") as caught:
        Repository(run, "arxos").back_up("full")
    assert caught.value.code == 49
    assert len(run.seen) == 2


def test_a_backup_that_the_timer_makes_is_waited_for() -> None:
    waited: list[float] = []
    run = Commands(info=[without_last(INFO), INFO], backup=[HELD, HELD, ""])
    assert Repository(run, "arxos", waited.append).back_up("incr").type == "incr"
    assert waited == [5, 5]


def test_one_that_never_ends_is_named() -> None:
    waited: list[float] = []
    with pytest.raises(CommandFailed, match=r"\[050\]: unable to acquire lock on file '/x'"):
        Repository(Commands(info=INFO, backup=HELD), "arxos", waited.append).back_up("full")
    assert sum(waited) == 3600


def test_a_backup_that_left_nothing_is_none() -> None:
    with pytest.raises(PgbackrestError, match="no new backup"):
        Repository(Commands(info=INFO, backup=""), "arxos").back_up("incr")


def test_reasons_come_with_their_lines() -> None:
    text = "WARN: x\n2026-11-24 14:54:43.788 P00  ERROR: [029]: unable to load info file\n  [HostConnectError] timeout\n2026-11-24 14:54:43.790 P00   INFO: end"
    assert reason(text) == "[029]: unable to load info file [HostConnectError] timeout"
    assert reason("Killed") == "Killed"


def test_verify_of_a_whole_repository() -> None:
    verdict = Repository(Commands(verify=WHOLE, info=INFO, repo_ls=wal(4, 5, 6)), "arxos").verify()
    assert (verdict.ok, verdict.faults) == (True, [])


def test_verify_misses_wal_that_is_gone() -> None:
    verdict = Repository(Commands(verify=WHOLE, info=INFO, repo_ls=wal(4, 6)), "arxos").verify()
    assert (verdict.ok, verdict.faults) == (False, ["WAL segment 0000000000000005 is missing"])


@pytest.mark.parametrize("code", [0, 1])
def test_verify_names_what_is_damaged_whatever_the_code(code: int) -> None:
    verdict = Repository(Commands(verify=(code, BROKEN, ""), info=INFO, repo_ls=wal(4, 5, 6)), "arxos").verify()
    assert not verdict.ok
    assert [fault for fault in verdict.faults if "pg_data/base/" in fault]


def test_verify_that_could_not_look() -> None:
    with pytest.raises(CommandFailed, match="unable to get address"):
        Repository(Commands(verify=(49, "", "ERROR: [049]: unable to get address for 'x'\n")), "arxos").verify()


def test_the_archive_is_that_of_the_present_system() -> None:
    run = Commands(info=INFO, repo_ls=wal(1, 2))
    repository = Repository(run, "arxos")
    assert repository.archive(repository.info()).segments == {1, 2}
    assert run.seen[-1] == ["pgbackrest", "--recurse", "--output=json", "repo-ls", "archive/arxos/15-1"]
