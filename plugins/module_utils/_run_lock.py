# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may run on a platform: what a lock says of its holder, whether that one is dead, and what several hosts that keep it come to.

A run is its process on its controller, for a name can be taken by another machine and a number by another process. A process of this kernel and this
namespace can be looked for; of one elsewhere only its last sign of life is known.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._run_record import ago, stamp

# The namespace of processes that a machine boots with: PROC_PID_INIT_INO in the kernel's include/linux/proc_ns.h.
INITIAL = "pid:[4026531836]"


@dataclass(frozen=True)
class Process:
    """A process as nothing else is: C(started) is in ticks since C(boot), C(pids) the namespace that gave C(pid)."""

    host: str = ""
    machine: str = ""
    boot: str = ""
    pids: str = ""
    pid: int = 0
    started: str = ""

    def is_same(self, other: Process) -> bool:
        """Whether both are one process; never where a system tells nothing of it."""
        mine, theirs = ([each.boot, each.pids, each.pid, each.started] for each in (self, other))
        return mine == theirs and bool(self.boot and self.started)


@dataclass(frozen=True)
class Holder:
    """A run that has the lock. C(since) and C(renewed_at) are by the clock of the host that keeps it, C(keeper) is that host's name in the inventory."""

    id: str
    who: str = ""
    playbook: str = ""
    process: Process = field(default_factory=Process)
    since: float = 0.0
    renewed_at: float = 0.0
    keeper: str = ""

    def is_same(self, other: Holder) -> bool:
        """Whether both are one run; by the id alone where a system tells nothing of processes."""
        return self.process.is_same(other.process) or (self.id == other.id and not self.process.started)


def holder_from_dict(given: Mapping[str, Any]) -> Holder:
    """A holder of what C(asdict) made of it. Raises ValueError."""
    try:
        return Holder(**{**given, "process": Process(**given["process"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"no holder of a lock: {error}") from error


def holder_from_json(text: str) -> Holder:
    """The holder that a lock names. Raises ValueError."""
    given = json.loads(text)
    if not isinstance(given, dict):
        raise ValueError("no holder of a lock")
    return holder_from_dict(given)


def holder_to_json(holder: Holder) -> str:
    """What is written into a lock."""
    return json.dumps(asdict(holder), sort_keys=True) + "\n"


def is_gone(there: Process, here: Process, started: Callable[[int], str | None]) -> bool:
    """Whether a process is known to be dead, asked from another one. C(started) says when a process began, nothing for one that is not there, None where that
    is not known.
    """
    if not there.started or not here.boot:
        return False
    if (there.boot, there.pids) == (here.boot, here.pids):
        return started(there.pid) not in (None, there.started)
    # A machine that was started anew. Containers share names and ids of machines, so they are never told by those.
    whole = there.pids == here.pids == INITIAL and bool(here.machine)
    return whole and (there.machine, there.host) == (here.machine, here.host) and there.boot != here.boot


def judge(current: Holder | None, mine: Holder, now: float, lease: float, take_over: str = "", gone: str = "") -> str:
    """Whether a run may have the lock, by one word: C(free), C(ours), C(gone), C(asked) and C(expired) say that it may and why, C(held) that it may not.

    C(lease): seconds without a sign of life after which a holder is dead. C(take_over), C(gone): ids that may be replaced.
    """
    if current is None:
        return "free"
    if mine.is_same(current):
        return "ours"
    if current.id == gone:
        return "gone"
    if current.id == take_over:
        return "asked"
    return "expired" if now - current.renewed_at > lease else "held"


REASONS = {
    "gone": "its process is gone",
    "asked": "as was asked for",
    "expired": "there was no sign of it for so long",
}


def told(holder: Mapping[str, Any], now: float) -> str:
    """A holder in words."""
    process = holder.get("process") or {}
    since, renewed = float(holder.get("since") or 0), float(holder.get("renewed_at") or 0)
    return (
        f"{holder.get('playbook') or 'a run'} by {holder.get('who') or 'somebody'} on {process.get('host') or 'another controller'} ({holder.get('id')}), "
        f"since {stamp(since)} ({ago(now - since)} ago), last sign {ago(now - renewed)} ago"
    )


def verdict(answers: Sequence[Mapping[str, Any]], lease_minutes: float) -> dict[str, Any]:
    """What the hosts that keep the lock come to together. Of several answers of a host the last counts.

    Each answer has C(keeper), C(mine) (this run's id), C(acquired), C(why), C(holder), C(before), C(now) and C(problem). Returns C(held), whether it
    is this run's; C(wait), whether another that began at the same moment will give way; C(message) for the operator.
    """
    last = {str(answer["keeper"]): answer for answer in answers if not answer.get("skipped")}
    need = len(last) // 2 + 1
    ours = [keeper for keeper, answer in last.items() if answer.get("acquired")]
    problems = {keeper: str(answer["problem"]) for keeper, answer in last.items() if answer.get("problem")}
    rivals = Counter(answer["holder"]["id"] for answer in last.values() if answer.get("holder") and not answer.get("acquired"))
    if len(ours) >= need:
        taken = {answer["before"]["id"]: answer for answer in last.values() if answer.get("acquired") and answer.get("why") in REASONS}
        over = [f"The lock was taken over from {told(each['before'], each['now'])}: {REASONS[each['why']]}." for each in taken.values()]
        lost = [f"{keeper}, which keeps it too, cannot be asked: {why}." for keeper, why in problems.items()]
        return {"held": True, "wait": False, "message": " ".join([*over, *lost]) or "This run has the lock."}
    mine = next((str(answer["mine"]) for answer in last.values() if answer.get("mine")), "")
    strongest, count = rivals.most_common(1)[0] if rivals else ("", 0)
    wait = bool(ours) and 0 < count < need and mine < min(rivals)
    if rivals:
        found = next(answer for answer in last.values() if (answer.get("holder") or {}).get("id") == strongest)
        message = (
            f"Another run has this platform: {told(found['holder'], found['now'])}. Wait for its end. One that is dead is taken over by itself: from its own "
            f"controller at once, else {lease_minutes:g} minutes after its last sign. If you know that it is dead: -e arxos_run_take_over={strongest}"
        )
    else:
        message = (
            f"Only {len(ours)} of the {len(last)} hosts that keep the lock of this platform can be asked, and it takes {need}: "
            + "; ".join(f"{keeper}: {why}" for keeper, why in problems.items())
            + ". If you know that nobody else runs: -e arxos_run_unlocked=true"
        )
    return {"held": False, "wait": wait, "message": message}


def holder_of(copies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The holder that most hosts name, empty where none does."""
    held = [copy for copy in copies if copy]
    names = Counter(copy["id"] for copy in held).most_common(1)
    return dict(next(copy for copy in held if copy["id"] == names[0][0])) if names and names[0][1] * 2 > len(copies) else {}
