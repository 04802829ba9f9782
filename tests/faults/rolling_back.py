# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tests of rollbacks need beside a whole platform: playbooks that are killed, what a rollback noted, and what hosts have in /etc."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from . import whole
from .whole import ROOT, command, run

GROUPS = {group: whole.hosts(group) for group in ("edge", "app", "database", "cache", "storage", "monitoring")}
HOSTS = [host for hosts in GROUPS.values() for host in hosts]


def play(playbook: str, *arguments: str, fails: bool = False) -> str:
    """What a playbook said that has to succeed or to fail, with single spaces so that a wrapped sentence can be looked for."""
    played = whole.play(playbook, *arguments)
    assert bool(played.code) is fails, played.said[-6000:]
    return played.words


def deploy(version: str) -> None:
    """Without watching, which needs users."""
    play("deploy.yml", "-e", f"arxos_api_version={version}", "-e", "arxos_release_soak_seconds=0")


def play_and_kill(task: str, log: Path, playbook: str, *arguments: str, times: int = 1) -> None:
    """Every process of the controller ends at once when a task of that name, of a role or not, is shown for the so many-th time."""
    shown = re.compile(rf"^TASK \[(?:[\w.]+ : )?{re.escape(task)}", re.MULTILINE)
    with log.open("w") as out:
        words = command(playbook, *arguments)
        process = subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        began = time.monotonic()
        while len(shown.findall(log.read_text(errors="replace"))) < times:
            assert process.poll() is None and time.monotonic() - began < 900, log.read_text()[-4000:]
            time.sleep(0.05)
        whole.kill(process)


def finished(name: str) -> dict[str, Any]:
    """The journal of the newest finished rollback of a kind, of whichever hosts keep it."""
    newest = f"ls -t /var/lib/arxos/{name}_rollback.2*.json 2>/dev/null | head -1 | xargs -r cat"
    journals = [json.loads(text) for host in HOSTS for text in [run(host, newest)] if text]
    return dict(max(journals, key=lambda journal: journal["began"]))


def unfinished(name: str) -> list[str]:
    """Hosts that have the journal of a rollback that is not finished."""
    return [host for host in HOSTS if run(host, f"ls /var/lib/arxos/{name}_rollback.json 2>/dev/null", check=False)]


def seconds(journal: dict[str, Any]) -> float:
    """What a rollback took, of the steps that count."""
    return sum(float(value) for step, value in journal["done"].items() if step not in ("plan", "seal", "forth"))


def deviation(journal: dict[str, Any]) -> float:
    """By how much the estimate was wrong."""
    return seconds(journal) / float(journal["plan"]["estimate_seconds"]) - 1


def releases() -> set[str]:
    """What the application servers run."""
    return {whole.release(host) for host in GROUPS["app"]}


def etc(host: str) -> str:
    """A digest of what /etc has on a host: of every file that git knows or would know, with its mode and owner."""
    return run(
        host,
        "cd /etc && git ls-files -z --cached --others --exclude-standard | sort -z | grep -zv '^[.]etckeeper$' |"
        ' xargs -0 -r sh -c \'for f; do [ -e "$f" ] || [ -L "$f" ] || continue; stat -c "%n %a %U %G" "$f";'
        ' [ -L "$f" ] && readlink "$f" || sha256sum <"$f"; done\' sh | sha256sum',
    )
