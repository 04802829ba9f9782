# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every run that changes what is watched on hosts ends in one seal, also where it imports others that do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
IMPORT, INCLUDE = "ansible.builtin.import_playbook", "ansible.builtin.include_tasks"
# Runs that leave nothing else in a watched file than what was there, and why.
NO_SEAL = {
    "backup": "it writes into S3",
    "deploy": "a release is in /opt, its packages are there already, and upstream.conf is at the end what it was",
    "open": "how the front door is stands in /var/lib/nginx-traffic",
    "prove": "daemons take up what is there",
    "restore_drill": "what it restores is below /var/lib/postgresql, and goes",
    "rollback_application": "as deploy, and back in seconds",
    "switchover": "who leads stands in etcd",
}
# Runs that are sealed only where they changed such a file: what their import asks for.
WHERE_CHANGED = {
    "restart_cache": "upgrade | default(false) | bool",
    "restart_database": "upgrade | default(false) | bool",
    "traffic": "arxos_traffic | default('') == 'preview'",
    "take_back": "hostvars[groups.app | first].take_back.state | length > 0",
}
# Plays that come after the seal, and why.
AFTER = {
    "scale": "hosts that are gone are of no tier, and their history has no reader",
    "take_back": "users are told on a page that is not watched, and only of what is done",
}

Flat = tuple[dict[str, Any], dict[str, Any], list[str]]


def entries(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((PLAYBOOKS / name).read_text()))


def flat(name: str, given: dict[str, Any] | None = None, asked: tuple[str, ...] = ()) -> Iterator[Flat]:
    """Each play as it comes, with what its imports give it (the outermost wins) and ask for."""
    for entry in entries(name):
        if IMPORT in entry:
            more = (str(entry["when"]),) if "when" in entry else ()
            yield from flat(entry[IMPORT], {**entry.get("vars", {}), **(given or {})}, (*asked, *more))
        else:
            yield entry, given or {}, list(asked)


def seals(play: dict[str, Any], given: dict[str, Any]) -> bool:
    files = [task.get(INCLUDE) for task in play.get("tasks", [])]
    return given.get("arxos_seal", True) and any(
        (each["file"] if isinstance(each, dict) else each) == "tasks/seal.yml" for each in files if each
    )


RUNS = sorted(path.stem for path in PLAYBOOKS.glob("*.yml") if any(entry.get(IMPORT) == "run_begin.yml" for entry in entries(path.name)))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_in_one_seal(name: str) -> None:
    plays = list(flat(f"{name}.yml"))
    sealing = [place for place, (play, given, _asked) in enumerate(plays) if seals(play, given)]
    assert len(sealing) == (name not in NO_SEAL)
    for place in sealing:
        play, _given, asked = plays[place]
        assert play["hosts"] == "all", "a rollback goes to what every host has"
        assert asked == ([WHERE_CHANGED[name]] if name in WHERE_CHANGED else [])
        assert (place == len(plays) - 1) is (name not in AFTER)


def test_exceptions_are_of_runs_that_there_are() -> None:
    assert (NO_SEAL.keys() | WHERE_CHANGED.keys() | AFTER.keys()) <= set(RUNS) and not NO_SEAL.keys() & WHERE_CHANGED.keys()


@pytest.mark.parametrize(
    ("given", "tags", "sealed"),
    [
        ({}, ["all"], True),
        ({}, ["nginx"], True),
        ({}, ["preflight", "firewall"], True),
        ({}, ["preflight"], False),
        ({}, ["prove"], False),
        ({"arxos_seal": False}, ["all"], False),
        ({"ansible_check_mode": True}, ["all"], False),
    ],
)
def test_a_run_of_chosen_tags_is_sealed_but_not_one_that_only_looks(given: dict[str, Any], tags: list[str], sealed: bool) -> None:
    play = entries("seal.yml")[-1]
    leave = play["tasks"][0]
    assert play["tags"] == ["always"] and leave["ansible.builtin.meta"] == "end_play"
    templar = Templar(loader=DataLoader(), variables={"ansible_check_mode": False, **given, "ansible_run_tags": tags})
    assert templar.template(trust_as_template("{{ " + leave["when"] + " }}")) is not sealed


def test_a_host_that_is_away_makes_no_run_of_another_tier_fail() -> None:
    """By a connection that is refused, and by one that is there and brings no answer, as that of a stopped container."""
    play = entries("seal.yml")[-1]
    (asked,) = [task for task in play["tasks"] if "rescue" in task]
    assert play["ignore_unreachable"] is True and "ansible.builtin.ping" in asked["block"][0]
    assert asked["block"][1]["when"] == f"{asked['block'][0]['register']} is unreachable"
    assert [task["ansible.builtin.meta"] for task in [asked["block"][1], *asked["rescue"]]] == ["end_host", "end_host"]
