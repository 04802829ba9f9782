# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ten times the controller is killed at a random moment of a deploy, a rollback or a go-live, while users work. The next run leaves what one that nobody
disturbed leaves, and no lock; no request fails and no upload is lost.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api_clients import Clients
from .whole import ROOT, Figure, build, command, hosts, judge, kill, play, run, users

# A canary that is watched for a minute would get most of the kills.
DEPLOY = ("deploy.yml", "-e", "arxos_api_version=1.1.0", "-e", "arxos_release_soak_seconds=5")
BACK = ("rollback_application.yml",)
LIVE = ("go_live.yml",)
KILLS = [DEPLOY, BACK, DEPLOY, BACK, DEPLOY, BACK, LIVE, DEPLOY, BACK, LIVE]
# 100 a second leave a controller on the same two cores a tenth of them, and 25 runs hours. Deploys and rollbacks have those in tests of their own.
RATE = 30
SEED = int(os.environ.get("ARXOS_SEED", "0")) or random.randrange(10**6)
HOSTS = [host for tier in ("edge", "app", "database", "cache", "storage", "monitoring") for host in hosts(tier)]
# What a run can leave undone or half done. The history of /etc and times of writing are of every run.
STATE = r"""
find /etc -xdev -type f -not -path '/etc/.git/*' -not -name .etckeeper -not -name .pwd.lock -exec sha256sum {} + | sed 's/^/file /'
find /etc /opt /usr/local -xdev -name '.ansible*' -o -xdev -name '*.staged*' | sed 's/^/left /'
for link in /opt/arxos/current /opt/arxos/previous /opt/arxos/leaving; do test ! -L $link || echo "link $link $(readlink $link)"; done
nft --stateless --terse list table inet arxos | sed 's/^/rule /'
systemctl list-units --failed --plain --no-legend | sed 's/^/failed /'
test ! -e /var/lib/arxos/runs/lock || echo lock
"""


def state() -> dict[str, set[str]]:
    """A line for each thing, by host."""
    return {host: set(run(host, STATE).splitlines()) for host in HOSTS}


def differs(now: dict[str, set[str]], wanted: dict[str, set[str]]) -> dict[str, list[str]]:
    return {host: sorted(now[host] ^ wanted[host])[:10] for host in HOSTS if now[host] != wanted[host]}


def uploaded() -> int:
    return int(
        run(hosts("database")[0], "runuser -u postgres -- psql -XAtqd arxos_production -c 'SELECT count(*) FROM arxos_prod.buildings'")
    )


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with users(tmp_path_factory.mktemp("users"), RATE) as found:
        yield found


def begun(words: tuple[str, ...], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(command(*words), cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)


def tasks(log: Path) -> list[str]:
    """Those that have begun."""
    return [line.strip("* ") for line in log.read_text(errors="replace").splitlines() if line.startswith("TASK ")]


def play_and_watch(words: tuple[str, ...], log: Path) -> list[float]:
    """After how many seconds each task of an undisturbed run began, and it ended."""
    process, start = begun(words, log), time.monotonic()
    came: list[float] = []
    while process.poll() is None:
        time.sleep(0.1)
        came += [time.monotonic() - start] * (len(tasks(log)) - len(came))
    assert process.returncode == 0, log.read_text(errors="replace")[-4000:]
    return [*came, time.monotonic() - start]


def play_and_kill(words: tuple[str, ...], number: int, after: float, log: Path) -> str:
    """So many seconds after the task of that number began, or when the next begins: a machine that has got faster has no run end before. The last task that
    had begun.
    """
    process, began = begun(words, log), 0.0
    while len(tasks(log)) <= number + 1 and (not began or time.monotonic() - began < after):
        assert process.poll() is None, f"it ended before its task {number}: {log.read_text(errors='replace')[-2000:]}"
        began = began or (time.monotonic() if len(tasks(log)) > number else 0.0)
        time.sleep(0.1)
    kill(process)
    return tasks(log)[-1]


def test_ten_runs_that_are_killed_anywhere_are_taken_up(clients: Clients, figure: Figure, tmp_path: Path) -> None:
    build("1.1.0")
    chance = random.Random(SEED)
    figure("seed", f"ARXOS_SEED={SEED}")
    play(*LIVE).ok()
    began: dict[str, list[float]] = {}
    wanted: dict[str, dict[str, set[str]]] = {}
    before = uploaded()
    with clients.at_work() as came:
        # The first deploy installs the release as well, and takes longer than those that are killed.
        for words in (DEPLOY, BACK, DEPLOY, BACK, LIVE):
            began[words[0]], wanted[words[0]] = play_and_watch(words, tmp_path / "log"), state()
        for number, words in enumerate(KILLS, 1):
            # The others are about a pair of releases, and start from the one that the run before left.
            *starts, end = began[words[0]]
            moment = chance.uniform(starts[0], 0.95 * end)
            # Not its last task, which may be over at any time.
            chosen = min(max(place for place, start in enumerate(starts) if start <= moment), len(starts) - 2)
            task = play_and_kill(words, chosen, moment - starts[chosen], tmp_path / "log")
            play(*words).ok()
            figure(f"{number}: {words[0]} killed after {moment:.0f} s of {end:.0f}", f"in {task}; taken up")
            assert not differs(state(), wanted[words[0]]), (number, task, differs(state(), wanted[words[0]]))
    judge(came, "ten kills", figure, 0.95 * RATE)
    acknowledged = sum(number for what, number in came.answers.items() if what.startswith("upload 2"))
    assert acknowledged > 0
    assert uploaded() == before + acknowledged
