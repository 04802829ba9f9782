# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How secrets give way to new ones: what a file of secrets holds in each step, so that nobody who still has the old one is refused.

C(introduce): the new values are made and written down; servers take both, clients still use the old. C(switch): clients use the new,
servers take both. C(retire): servers take the new only. Some old values outlive that, because tokens or ciphertexts of them are about;
when their time is up, C(expire) takes them away. Nothing here reads a file or a clock, and no error holds a value.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# What a file of secrets has beside them.
ROTATION, MADE_AT = "arxos_rotation", "arxos_secrets_made_at"
PHASES = ("introduce", "switch", "retire", "expire")
FOR_EVER = "never"


class RotationError(Exception):
    """What is asked cannot be done, or the file is not as a rotation writes it."""


@dataclass(frozen=True)
class Other:
    """A value that is good beside the secret itself. until: when it stops to be, C(FOR_EVER), or "" while the rotation is under way."""

    value: str = field(repr=False)
    until: str = ""


@dataclass(frozen=True)
class State:
    """What a file of secrets says of its rotation.

    phase: one of C(PHASES), or "" where none is under way. groups: what is rotated. moving: the names of those secrets. keeps: seconds that old ones of
    some of them are good beyond it, -1 for ever. others: name to values that are good too, the newest first. previous: old values that nobody uses any
    more, until the rotation is complete. made_at: name to when its value was made.
    """

    phase: str = ""
    groups: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    keeps: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, tuple[Other, ...]] = field(default_factory=dict)
    previous: Mapping[str, str] = field(default_factory=dict, repr=False)
    made_at: Mapping[str, str] = field(default_factory=dict)


def stamp(seconds: float) -> str:
    """Seconds since 1970 as text that sorts, such as C(2026-11-25T21:00:00Z)."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float:
    """The reverse of C(stamp). Raises ValueError."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def read(content: Mapping[str, Any]) -> State:
    """The state in a parsed file of secrets. Raises RotationError."""
    found, made_at = content.get(ROTATION) or {}, content.get(MADE_AT) or {}
    try:
        also, until = found.get("also", {}), found.get("until", {})
        others = {
            str(name): tuple(Other(str(value), str(end)) for value, end in zip(values, until[name], strict=True))
            for name, values in also.items()
        }
        state = State(
            str(found.get("phase", "")),
            tuple(map(str, found.get("groups", ()))),
            tuple(map(str, found.get("moving", ()))),
            {str(name): int(seconds) for name, seconds in found.get("keeps", {}).items()},
            others,
            {str(name): str(value) for name, value in found.get("previous", {}).items()},
            {str(name): str(value) for name, value in made_at.items()},
        )
        for text in [*state.made_at.values(), *(each.until for values in others.values() for each in values)]:
            if text not in ("", FOR_EVER):
                seconds_of(text)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise RotationError(f"{ROTATION} or {MADE_AT} in the file of secrets is not as a rotation writes it: restore the file") from None
    if state.phase not in ("", *PHASES) or (state.phase in PHASES[:2] and not all(state.others.get(name) for name in state.moving)):
        raise RotationError(f"{ROTATION} in the file of secrets is in no step that there is: restore the file")
    return state


def written(state: State) -> dict[str, Any]:
    """The variables of a state, for the file."""
    kept = {name: values for name, values in state.others.items() if values}
    entry: dict[str, Any] = {
        "phase": state.phase,
        "groups": list(state.groups),
        "moving": list(state.moving),
        "keeps": dict(state.keeps),
        "also": {name: [each.value for each in values] for name, values in kept.items()},
        "until": {name: [each.until for each in values] for name, values in kept.items()},
        "previous": dict(state.previous),
    }
    return {ROTATION: {key: value for key, value in entry.items() if value}, MADE_AT: dict(sorted(state.made_at.items()))}


def due(state: State, groups: Mapping[str, Sequence[str]], days: float, now: float) -> list[str]:
    """Those of the groups in which a secret is older than so many days, or of unknown age. All of a group is rotated at once."""
    oldest = now - days * 86400
    return [
        group
        for group, names in groups.items()
        if any(not state.made_at.get(name) or seconds_of(state.made_at[name]) < oldest for name in names)
    ]


def begun(state: State, groups: Mapping[str, Sequence[str]], keeps: Mapping[str, int], made: Callable[[str], str]) -> State:
    """The first step: a new value beside each secret of the groups. Raises RotationError where a rotation is under way."""
    if state.phase:
        raise RotationError(f"a rotation is under way, in step {state.phase}: finish it first")
    moving = tuple(dict.fromkeys(name for names in groups.values() for name in names))
    others = {**state.others, **{name: (Other(made(name)), *state.others.get(name, ())) for name in moving}}
    kept = {name: seconds for name, seconds in keeps.items() if name in moving and seconds}
    return dataclasses.replace(state, phase=PHASES[0], groups=tuple(groups), moving=moving, keeps=kept, others=others)


def hastened(state: State, keeps: Mapping[str, int]) -> State:
    """A rotation that is under way, and keeps nothing of those secrets for which C(keeps) says 0 now, whatever it was begun with."""
    names = [name for name in state.moving if state.keeps.get(name) and keeps.get(name) == 0]
    others = dict(state.others)
    if state.phase == "retire":
        others |= {name: tuple(each for each in state.others[name] if each.until == FOR_EVER) for name in names}
    return dataclasses.replace(state, keeps={name: seconds for name, seconds in state.keeps.items() if name not in names}, others=others)


def expired(state: State, now: float) -> list[str]:
    """Secrets of which an old value is still accepted whose time is up."""
    return [name for name, values in state.others.items() if any(_is_over(each, now) for each in values)]


def expiring(state: State, groups: Mapping[str, Sequence[str]], now: float) -> State:
    """Without the values whose time is up. Raises RotationError where a rotation is under way."""
    if state.phase:
        raise RotationError(f"a rotation is under way, in step {state.phase}: finish it first")
    names = expired(state, now)
    others = {name: tuple(each for each in values if not _is_over(each, now)) for name, values in state.others.items()}
    touched = tuple(group for group, members in groups.items() if set(members) & set(names))
    return dataclasses.replace(state, phase="expire", groups=touched, moving=tuple(names), others=others)


def advanced(state: State, values: Mapping[str, str], now: float) -> tuple[State, dict[str, str]]:
    """The step after this one, and the secrets that have another value in it. Values are those of now."""
    others, previous, changed = dict(state.others), dict(state.previous), {}
    if state.phase == "introduce":
        for name in state.moving:
            new, *rest = others[name]
            changed[name] = new.value
            others[name] = (Other(values[name]), *rest)
        made_at = {**state.made_at, **dict.fromkeys(state.moving, stamp(now))}
        return dataclasses.replace(state, phase="switch", others=others, made_at=made_at), changed
    if state.phase == "switch":
        for name in state.moving:
            old, *rest = others[name]
            seconds = state.keeps.get(name, 0)
            if seconds:
                rest.insert(0, Other(old.value, FOR_EVER if seconds < 0 else stamp(now + seconds)))
            else:
                # Whoever may have the old one may have those that were good beside it.
                previous[name], rest = old.value, [each for each in rest if each.until == FOR_EVER]
            others[name] = tuple(rest)
        return dataclasses.replace(state, phase="retire", others=others, previous=previous), changed
    if state.phase in ("retire", "expire"):
        return dataclasses.replace(state, phase="", groups=(), moving=(), keeps={}, previous={}), changed
    raise RotationError("no rotation is under way")


def shown(state: State, now: float) -> dict[str, Any]:
    """What may be told of a state: no value."""
    ages = {name: (now - seconds_of(moment)) / 86400 for name, moment in state.made_at.items()}
    oldest = max(ages, key=lambda name: ages[name], default="")
    return {
        "phase": state.phase,
        "groups": list(state.groups),
        "moving": list(state.moving),
        "accepted": {
            name: ends for name, values in state.others.items() for ends in [[each.until for each in values if each.until]] if ends
        },
        "expired": expired(state, now),
        "oldest": oldest,
        "oldest_days": round(ages[oldest], 1) if oldest else None,
    }


def told(made_at: Mapping[str, str], rotation: Mapping[str, Any], now: float, days: float = 90) -> tuple[str, str]:
    """A line about the age of secrets, and what is wrong, "" where nothing is. rotation: C(arxos_rotation) as the file has it."""
    state = read({ROTATION: rotation, MADE_AT: made_at})
    facts = shown(state, now)
    line = f"oldest {facts['oldest_days']:.0f} d ({facts['oldest']})" if facts["oldest"] else "age not known"
    if facts["oldest"] and facts["oldest_days"] > days:
        line += f", more than {days:g} d: run playbooks/rotate_secrets.yml"
    for name, ends in facts["accepted"].items():
        limited = [end for end in ends if end != FOR_EVER]
        if limited:
            line += f"; an old {name} is accepted until {max(limited)}"
    if facts["expired"]:
        line += ", which is over: run playbooks/rotate_secrets.yml"
    wrong = f"a rotation of {', '.join(state.groups)} is not finished (step {state.phase}): run playbooks/rotate_secrets.yml again"
    return line, wrong if state.phase else ""


def metrics(made_at: Mapping[str, str], groups: Mapping[str, Iterable[str]]) -> str:
    """For the node exporter: when the oldest secret of each group was made."""
    lines = [
        "# HELP arxos_secrets_oldest_timestamp_seconds When the oldest secret of a group was made.",
        "# TYPE arxos_secrets_oldest_timestamp_seconds gauge",
    ]
    for group, names in sorted(groups.items()):
        known = [seconds_of(made_at[name]) for name in names if made_at.get(name)]
        if known:
            lines.append(f'arxos_secrets_oldest_timestamp_seconds{{group="{group}"}} {min(known):.0f}')
    return "\n".join(lines) + "\n"


def _is_over(other: Other, now: float) -> bool:
    return other.until not in ("", FOR_EVER) and seconds_of(other.until) <= now
