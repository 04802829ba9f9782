# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every plan of a rollback says before it begins: where it goes, how long it takes, what it drops, why it is refused; and what it learns at its end.

The database's own reckoning is in C(_rollback). Pure: what the hosts are is handed in, as the modules return it, by host.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _migrations, _run_record, _soak
from ansible_collections.arxos.platform.plugins.module_utils._configuration_rollback import BEFORE
from ansible_collections.arxos.platform.plugins.module_utils._rollback import RollbackError, duration, last_ended, parse_time, take_up
from ansible_collections.arxos.platform.plugins.module_utils._run_record import INCOMPLETE, Record

SHOWN = 5  # hosts or runs by name, in a sentence
KEEPERS = 3  # hosts that have the journal of the configuration's rollback, of which one may be lost
FORTH = "forth"  # the step that ends a rehearsal: what went back is where it was before
# Steps that are no part of the time that a plan takes: before the first, nothing is away; after the last, nothing is any more.
UNCOUNTED = ("plan", "seal", FORTH)

# Seconds, until this platform has measured its own: what each finished rollback leaves on its hosts. On the long side of what two cores need for the
# lab, so that a first estimate promises nothing that is not kept.
RATES: dict[str, dict[str, float]] = {
    "application": {"turn_seconds": 9.0, "verify_seconds": 6.0},
    "configuration": {"turn_seconds": 12.0, "drained_seconds": 25.0, "verify_seconds": 10.0},
    # Beside what the parts themselves take: their own bookkeeping.
    "full": {
        "stop_seconds": 10.0,
        "database_seconds": 10.0,
        "application_seconds": 15.0,
        "configuration_seconds": 5.0,
        "verify_seconds": 12.0,
        "resume_seconds": 5.0,
    },
}


def rates_of(name: str, looks: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What is known of a kind of rollback: its defaults, and over them what the hosts have measured."""
    known = dict(RATES[name])
    for look in looks.values():
        known.update({key: float(value) for key, value in (look.get("rates") or {}).items()})
    return known


def counted(done: Mapping[str, float]) -> float:
    """Seconds of the steps that count."""
    return sum(float(seconds) for step, seconds in done.items() if step not in UNCOUNTED)


def budget_refusals(estimate: float, budget: float, variable: str) -> list[str]:
    """Why a plan is refused that cannot be kept inside its budget."""
    if estimate <= budget:
        return []
    return [
        f"it would take {duration(estimate)}, and the budget is {duration(budget)}. Raise {variable} if the platform may be away for as long"
    ]


def progress(journal: Mapping[str, Any]) -> str:
    """How far a rollback has come, against its estimate and its budget."""
    plan, done = journal["plan"], journal["done"]
    spent = counted(done)
    steps = ", ".join(f"{step} {float(seconds):.1f} s" for step, seconds in done.items() if step not in UNCOUNTED)
    over = " It is over its budget." if spent > float(plan["budget_seconds"]) else ""
    return (
        f"{steps or 'nothing yet'}: {spent:.1f} s, where {float(plan['estimate_seconds']):.0f} s were estimated"
        f" and {float(plan['budget_seconds']):.0f} s are allowed.{over}"
    )


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN] + (["..."] if len(listed) > SHOWN else []))


# ---------------------------------------------------------------- the application


def application_plan(
    looks: Mapping[str, Mapping[str, Any]],
    wanted: str,
    *,
    budget_seconds: float,
    batch: Any = 1,
    closed: bool = False,
    moment: str = "",
    place: str = "",
) -> dict[str, Any]:
    """To the release C(wanted), empty for the one before. C(looks) by host: C(current), C(leaving), C(previous), C(switched_at), C(installed), C(oldest),
    C(journal), C(finished), C(rates).

    With C(moment), to which the database goes as well, empty is the release that was live then: that of a host which has not switched since, or the one
    before where nothing came since but the release that the C(place) in the database is named after. What else came since is not known, and refused, as it is
    of a time. A place with a name of its own was made right before a release, and goes to the one before.

    A host that came later, with the live release alone, has no release before it: it goes where the others go.

    A rollback that was not finished is taken up while the hosts show it: some of them, or all, have the release that it goes to. Where another switch was
    killed on its way, the one before is what that was leaving, also for hosts that it had not come to. C(batch) hosts go
    at a time; C(closed) as a part of a full rollback: all at once, with the time in its budget, and no migration in the way, since the database goes as well.

    Where the last rollback is at its end and nothing was released since, the one before is the release that was left: without a name nobody goes there, also
    not the next run of one that was killed after it had closed its journal.
    """
    live = {host: str(look["current"]) for host, look in looks.items()}
    journal = _application_journal(looks, live) if not wanted else {}
    back = {} if wanted or journal else _already_back(looks, live)
    to = wanted or journal.get("to", "") or back.get("to", "")
    refusals = []
    if not to:
        leaving = {str(look["leaving"]) for look in looks.values() if look["leaving"]}
        before = leaving or {str(look["previous"]) for look in looks.values() if look["previous"]}
        stayed = _not_switched_since(looks, moment) if moment else set()
        if len(stayed) == 1:
            to = stayed.pop()
        elif moment and _NUMBERED.match(place) and (len(before) != 1 or not {*live.values(), *leaving} <= {*_named_after(place), *before}):
            refusals.append(
                f"which release was live at {moment} is not known, since not only {place or 'one release'} was switched to since then ("
                + ", ".join(f"{host} from {look['previous'] or 'none'} to {look['current'] or 'none'}" for host, look in looks.items())
                + "): name it with -e rollback_version="
            )
        elif len(before) == 1:
            to = before.pop()
        elif not before:
            refusals.append("no release was live before this one")
        else:
            went = ", ".join(f"{host} from {look['previous'] or 'none'} to {look['current'] or 'none'}" for host, look in looks.items())
            refusals.append(f"the hosts went different ways ({went}): name a release with -e rollback_version=")
    missing = [host for host, look in looks.items() if to and to not in look["installed"]]
    if missing:
        everywhere = set.intersection(*(set(look["installed"]) for look in looks.values()))
        refusals.append(
            f"{to} is not installed on {_some(missing)}. On every host there are {_some(sorted(everywhere)) or 'none'}: name one of these"
            " with -e rollback_version=, or deploy it with playbooks/deploy.yml"
        )
    hosts = [host for host, look in looks.items() if to and (live[host] != to or look["leaving"])]
    left = Counter(version for version in live.values() if version and version != to)
    statement = f"Back to {to or 'nothing'}: {len(hosts)} of {len(looks)} hosts, from {', '.join(sorted(left)) or to}, "
    if back:
        statement = f"{to} is live since the last rollback; -e rollback_version={back['from']} goes to what that left. {statement}"
    rates, turns_taken = rates_of("application", looks), 1
    if closed:
        statement += "all at once."
    else:
        refusals += _contract_refusals(looks, to)
        try:
            turns_taken = len(_soak.batches(hosts, 0, batch, len(looks)))
        except _soak.SoakError as error:
            refusals.append(str(error))
    estimate = turns_taken * rates["turn_seconds"] + rates["verify_seconds"]
    if not closed:
        refusals += budget_refusals(estimate, budget_seconds, "application_rollback_budget_seconds")
        statement += (
            f"{batch} at a time; about {duration(estimate)} of {duration(budget_seconds)}; drops no data, the database stays as it is."
        )
    return {
        "to": to,
        "from": journal.get("from") or back.get("from") or (left.most_common(1)[0][0] if left else to),
        "hosts": hosts,
        "turns": turns_taken,
        "estimate_seconds": round(estimate, 1),
        "budget_seconds": float(budget_seconds),
        "refusals": refusals,
        "taken_up": bool(journal),
        "statement": statement,
    }


def _not_switched_since(looks: Mapping[str, Mapping[str, Any]], moment: str) -> set[str]:
    """What is live on hosts that have not been switched since a moment."""
    at = parse_time(moment).timestamp()
    return {
        str(look["current"])
        for look in looks.values()
        if look["current"] and not look["leaving"] and float(look.get("switched_at") or 0) <= at
    }


# A release, or a time.
_NUMBERED = re.compile(r"\d+[.-]\d")


def _named_after(place: str) -> set[str]:
    """The releases that a restore point or guard may be named after: another attempt at one has a number at its end."""
    name = place.partition("@")[0]
    return {name, re.sub(r"-\d+$", "", name)}


def _already_back(looks: Mapping[str, Mapping[str, Any]], live: Mapping[str, str]) -> dict[str, Any]:
    """The plan of the last rollback, where every host still is as that left it; else nothing."""
    plan = dict(last_ended(looks).get("plan") or {})
    if not plan or {(version, str(looks[host]["leaving"])) for host, version in live.items()} != {(plan.get("to"), "")}:
        return {}
    return plan if {str(look["previous"]) for look in looks.values() if look["previous"]} == {plan.get("from")} else {}


def _contract_refusals(looks: Mapping[str, Mapping[str, Any]], to: str) -> list[str]:
    """Why a release that cannot do with the database any more is refused, where migrations that contract say so."""
    oldest = max((str(look["oldest"]) for look in looks.values() if look["oldest"]), key=_migrations.release_number, default="")
    try:
        if not to or not oldest or _migrations.release_number(to) >= _migrations.release_number(oldest):
            return []
    except _migrations.MigrationError as error:
        return [str(error)]
    return [
        f"migrations have taken away what releases before {oldest} need: go to that one or a later one, or take the database back as well, with"
        " playbooks/rollback.yml"
    ]


def _application_journal(looks: Mapping[str, Mapping[str, Any]], live: Mapping[str, str]) -> dict[str, Any]:
    """The plan that was begun and still shows. One that failed, with every host put back, does not: nor does one after which a release came."""
    return dict(_application_shown(looks, live).get("plan", {}))


def _application_shown(looks: Mapping[str, Mapping[str, Any]], live: Mapping[str, str]) -> dict[str, Any]:
    journal = take_up("", looks)
    plan = journal.get("plan", {})
    return journal if plan and set(live.values()) <= {plan["from"], plan["to"]} and plan["to"] in live.values() else {}


def unfinished(journals: Mapping[str, Mapping[str, Mapping[str, Any]]], live: Mapping[str, str]) -> list[str]:
    """The rollbacks that were begun and not finished, a line each, with what to do.

    C(journals) by host, then by plan, as rollback_journal reads them; C(live) is the release of each app host that could be asked.
    """

    def kept(name: str) -> dict[str, dict[str, Any]]:
        return {host: {"journal": found.get(name, {})} for host, found in journals.items()}

    full = take_up("", kept("full"))
    begun = {
        "application": {} if full else _application_shown(kept("application"), live),  # else it is a part of that
        "configuration": take_up("", _kept_by_most(kept("configuration"))),
        "full": full,
    }
    return [
        f"a {'full rollback' if name == 'full' else f'rollback of the {name}'} to {journal['plan']['to']} was begun at {journal['began']} and is not finished:"
        f" run playbooks/{'rollback' if name == 'full' else f'rollback_{name}'}.yml again"
        for name, journal in begun.items()
        if journal
    ]


# ---------------------------------------------------------------- what fits a run that failed

# What takes another release as one of its stages, and leaves it where a later one fails. deploy.yml takes its hosts back itself.
RELEASING = ("go_live.yml", "release.yml")
# Opens what a go-live has made, and is no other run since.
OPENS = "traffic.yml"
# Is itself a way back, and the stage of it after which the release is back.
TAKES_BACK, RELEASE_BACK = "take_back.yml", "3/3 Verdict"


def fitting_plan(
    runs: Sequence[Record],
    releases: Mapping[str, Mapping[str, Any]],
    seals: Mapping[str, Sequence[Mapping[str, Any]]],
    doors: Iterable[str],
    of: str = "",
) -> dict[str, Any]:
    """What the last run has to be taken back by, where it failed or was cut off; with C(of), the last run of that playbook, also where it came to a good
    end, as long as nothing but tries to open it (C(OPENS)) came after it. Runs that changed nothing are passed over, unless they might have released. Where
    the runs before it were to release as well, and did not come to a good end either, it only went on with their work: back goes what all of them did.

    C(runs) are the newest first, without the one that asks; C(releases) by application host its C(current), C(leaving), C(previous), C(switched_at)
    and the C(journal) of a rollback that is not finished;
    C(seals) by host the commits that runs left, each with C(name); C(doors) how each edge's front door is, C(new) where it never was open.

    Returns C(run) (empty where there is nothing to do), C(release) and C(state): the release and the run's state to go to, empty where that part stays;
    C(refusals), and a C(statement) for people.
    """
    runs = [
        each
        for each in runs
        if not each.check and (each.changed or each.verdict == INCOMPLETE or each.playbook in (*RELEASING, TAKES_BACK))
    ]
    passed = (OPENS, TAKES_BACK) if of else (TAKES_BACK,)
    run = next((each for each in runs if each.playbook not in passed or (each.playbook == TAKES_BACK and each.verdict == "ok")), None)
    tried = runs[: runs.index(run)] if run else []
    nothing = "Nothing to take back: "
    made: dict[str, Any] = {"run": "", "release": "", "state": "", "refusals": []}
    if run is None:
        return {**made, "statement": nothing + "no run has left a record here."}
    told = f"{run.id} ({run.playbook} by {run.who})"
    if of and run.playbook != of:
        return {**made, "statement": nothing + f"the last run is {told}, and not of {of}."}
    earlier = runs[len(tried) + 1 :]
    if run.verdict == "ok" and not of:
        failed = next(
            (each for each in earlier if each.playbook in RELEASING or (each.playbook == TAKES_BACK and each.verdict == "ok")), run
        )
        hint = f" What {failed.id} ({failed.playbook}) left, which did not, rollback_application.yml and rollback_configuration.yml take back by name."
        return {
            **made,
            "statement": nothing
            + f"the last run, {told}, came to a good end."
            + (hint if run.playbook not in RELEASING and failed.verdict != "ok" else ""),
        }
    if set(doors) <= {"new", ""}:
        again = f"nobody was served before {told}, and the maintenance page is on. Mend what failed, and run {run.playbook} again."
        return {**made, "statement": nothing + again}
    if run.verdict not in (INCOMPLETE, "ok") and not run.changed:
        return {**made, "statement": nothing + f"{told} failed before it changed anything."}

    went_on = [run]
    if run.playbook in RELEASING:
        went_on += takewhile(
            lambda each: each.verdict != "ok" and each.playbook in RELEASING,
            (each for each in earlier if each.playbook != TAKES_BACK or each.verdict == "ok"),
        )
    began = _run_record.moment(went_on[-1].began)
    before: dict[str, str] = {}
    for host, look in releases.items():
        switched = run.playbook in RELEASING and float(look["switched_at"]) >= began
        before[host] = str(look["leaving"] or (look["previous"] if switched else look["current"]))
    moved = [host for host, look in releases.items() if before[host] != look["current"] or look["leaving"]]
    if any(stage.stage == RELEASE_BACK and stage.seconds is not None and not stage.failed for each in tried for stage in each.stages):
        moved = []
    begun = next((look["journal"] for look in releases.values() if look.get("journal") and look["journal"]["began"] >= run.began), None)
    release, refusals = "", []
    if begun:
        release = str(begun["plan"]["to"])
    elif moved and len(set(before.values())) == 1:
        release = before[moved[0]]
    elif moved:
        went = ", ".join(f"{version or 'none'} on {host}" for host, version in before.items())
        refusals.append(f"before {run.id} hosts had different releases ({went}): name one, rollback_application.yml -e rollback_version=")
    state = _state_before({each.id for each in [*tried, *went_on]}, seals)
    ends = {INCOMPLETE: "was cut off", "ok": "came to a good end, and its opening did not"}
    parts = [f"the application to {release}"] if release else []
    parts += [f"the configuration to what run {state} left"] if state else []
    return {
        "run": run.id,
        "release": release,
        "state": state,
        "refusals": refusals,
        "statement": f"{told} {ends.get(run.verdict, 'failed')}. "
        + (f"Back go {' and '.join(parts)}; the database stays as it is." if parts else "There is no state from before it to go to."),
    }


def _state_before(since: Container[str], seals: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The newest commit that every host has that has any, and that no run of C(since) left: hosts that came with the run have none."""
    known = [[seal["name"] for seal in found] for found in seals.values() if found]
    names = known[0] if known else []
    return next((name for name in names if name not in since and not name.endswith(BEFORE) and all(name in other for other in known)), "")


# ---------------------------------------------------------------- the configuration


def choose_run(looks: Mapping[str, Mapping[str, Any]], wanted: str, moment: str = "") -> dict[str, Any]:
    """The run to whose state every host goes: C(wanted), or the newest that every host has: from C(moment) or before, else before the last one.

    C(looks) by host: C(seals) (newest first, C(name) and C(at) of each), C(journal), C(finished), C(rates). Where the last run was itself a rollback that came
    to its end, the newest before it is what that left: without a name every host stays. C(left) is then the run that it left, else empty. Raises
    RollbackError when another rollback is not finished.
    """
    journal = take_up(wanted, _kept_by_most(looks), "rollback_run")
    to = wanted or journal.get("plan", {}).get("to", "")
    left = ""
    known = {host: {seal["name"]: seal["at"] for seal in look["seals"]} for host, look in looks.items()}
    moments: dict[str, str] = {}
    for seals in known.values():
        for name, at in seals.items():
            moments[name] = max(at, moments.get(name, ""))
    runs = sorted((name for name in moments if not name.endswith(BEFORE)), key=lambda name: (moments[name], name), reverse=True)
    refusals = []
    last = runs[0] if runs else ""
    ended = last_ended(looks)
    since = [name for name in runs if ended and moments[name] > str(ended["began"])]
    old = [name for name in runs if moments[name] and parse_time(moments[name]) <= parse_time(moment)] if moment else []
    everywhere = [name for name in runs if all(name in seals for seals in known.values())]
    if moment:
        to = to or next((name for name in old if name in everywhere), "")
    elif ended and len(since) <= 1:
        before = runs[len(since) :]
        if FORTH in ended["done"]:
            runs = before  # what the rehearsal left is what it found
        elif not to:
            to, left = str(ended["plan"]["to"]), before[0] if before else ""
    if moment and not to:
        refusals.append(
            f"no run had left a commit on every host by {moment}"
            + (f"; the first that did is {everywhere[-1]} of {moments[everywhere[-1]]}" if everywhere else "")
            + ". Name a run with -e rollback_run="
        )
    elif not to:
        to = next((name for name in runs[1:] if name in everywhere), "")
        if not to:
            lacking = {host: len(seals) for host, seals in known.items() if len(seals) < 2}
            refusals.append(
                "no run before the last one has left a commit on every host"
                + (f" ({_some(lacking)} have fewer than two)" if lacking else "")
                + f". Runs are: {_some(runs) or 'none'}; name one with -e rollback_run="
            )
    lacking_hosts = {host: seals for host, seals in known.items() if to and to not in seals}
    for host, seals in lacking_hosts.items():
        oldest = min(seals, key=lambda name: seals[name]) if seals else "none"
        refusals.append(
            f"{host} has no commit of run {to}; the oldest that it has: {oldest}. Leave a host that came later out with --limit '!{host}'"
        )
    return {"to": to, "at": moments.get(to, ""), "last": last, "left": left, "refusals": refusals, "journal": journal}


def _kept_by_most(looks: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Hosts whose journal most of its keepers have. One that only a host has which was lost meanwhile is of a rollback that was undone on the others."""
    count = Counter(look["journal"]["began"] for look in looks.values() if look["journal"])
    return {
        host: look
        for host, look in looks.items()
        if look["journal"] and 2 * count[look["journal"]["began"]] > len(look["journal"]["plan"].get("keepers", []))
    }


def turns(tiers: Mapping[str, Sequence[str]], hosts: Iterable[str], drained: Iterable[str], last: Sequence[str]) -> list[dict[str, Any]]:
    """Who goes when: of each tier one host at a time, side by side with one of every other; those of the tiers C(last) alone, at the end.

    C(drained) hosts of a turn get no traffic in it. A host of several tiers goes once.
    """
    going, away = set(hosts), set(drained)
    found: list[list[str]] = []
    seen: set[str] = set()
    for tier, members in tiers.items():
        own = [host for host in members if host in going and host not in seen]
        seen.update(own)
        if tier in last:
            found += [[host] for host in own]
            continue
        for place, host in enumerate(own):
            while len(found) <= place:
                found.append([])
            found[place].append(host)
    return [{"hosts": group, "drained": [host for host in group if host in away]} for group in found]


def configuration_plan(
    looks: Mapping[str, Mapping[str, Any]],
    chosen: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    *,
    tiers: Mapping[str, Sequence[str]],
    serving: Iterable[str],
    budget_seconds: float,
    moment: str,
) -> dict[str, Any]:
    """The journal of a rollback to C(chosen): the one that was begun, or a new one.

    C(found) is by host what M(arxos.platform.configuration_rollback) says in check mode; of C(tiers), those at the front come last in the order
    of their keys. A host is drained while one of the units C(serving) restarts there. C(moment) is now. C(went) in the plan are hosts that an earlier run has
    taken there, or begun to.
    """
    refusals = list(chosen["refusals"])
    having = [host for host, look in looks.items() if any(seal["name"] == chosen["to"] for seal in look["seals"])]
    refusals += [f"{host}: {look['refused']}" for host, look in found.items() if look.get("refused") and host in having]
    rates = rates_of("configuration", looks)
    journal: dict[str, Any] = dict(chosen["journal"]) or {"began": moment, "done": {}}
    taken_up = bool(chosen["journal"])
    if taken_up:
        plan = dict(journal["plan"])
        # What a host shows counts, and not what was noted of it.
        behind = {
            f"turn {number}"
            for number, turn in enumerate(plan["turns"], 1)
            if any(found[host]["files"] for host in turn["hosts"] if host in found)
        }
        journal["done"] = {step: seconds for step, seconds in journal["done"].items() if step not in behind}
    else:
        hosts = [host for host, look in found.items() if look["files"]]
        busy = set(serving)
        drained = [host for host, look in found.items() if any(how != "reload" and unit in busy for unit, how in look["units"].items())]
        plan = {
            "to": chosen["to"],
            "before": f"{moment.replace('-', '').replace(':', '')}{BEFORE}",
            "keepers": list(looks)[:KEEPERS],
            "turns": turns(tiers, hosts, drained, list(tiers)[-1:]),
            "verify_seconds": rates["verify_seconds"],
            "budget_seconds": float(budget_seconds),
        }
        plan["estimate_seconds"] = round(
            rates["verify_seconds"] + sum(rates["drained_seconds" if turn["drained"] else "turn_seconds"] for turn in plan["turns"]), 1
        )
    refusals += budget_refusals(plan["estimate_seconds"], budget_seconds, "configuration_rollback_budget_seconds") if not taken_up else []
    # They have what was there before under its name.
    went = [host for host, look in looks.items() if any(seal["name"] == plan["before"] for seal in look["seals"])]
    plan.update(refusals=refusals, taken_up=taken_up, went=went, statement=_configuration_statement(plan, chosen, found, budget_seconds))
    if not taken_up:
        plan["lines"] = _configuration_lines(looks, found)
    return {**journal, "plan": plan}


def _configuration_statement(
    plan: Mapping[str, Any], chosen: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]], budget: float
) -> str:
    files = sum(len(look["files"]) for look in found.values())
    hosts = [host for host, look in found.items() if look["files"]]
    kept = sum(len(look["kept"]) for look in found.values())
    since = f"The state of run {plan['to']} is there since the last rollback; -e rollback_run={chosen['left']} goes to what that left. "
    return (since if chosen.get("left") else "") + (
        f"Back to run {plan['to'] or 'none'}{' of ' + chosen['at'] if chosen['at'] else ''}: {files} files on {len(hosts)} of {len(found)} hosts,"
        f" in {len(plan['turns'])} turns; {kept} that differ stay as they are; about {duration(plan['estimate_seconds'])} of {duration(budget)};"
        " drops no data, what is there now is kept as a commit."
    )


def _configuration_lines(looks: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Host by host: names of files, never what is in them."""
    lines = []
    for host, look in found.items():
        uncommitted = looks.get(host, {}).get("dirty") or []
        if uncommitted:
            lines.append(f"{host}: {len(uncommitted)} changes that no commit has are committed first ({_some(uncommitted)})")
        for file in look["files"]:
            lines.append(f"{host}: {file['path']} {file['what']}" + (f" ({', '.join(file['units'])})" if file["units"] else ""))
        lines += [f"{host}: {path} stays: {why}" for path, why in look["kept"].items()]
    return lines


# ---------------------------------------------------------------- everything


def full_plan(
    database: Mapping[str, Any],
    application: Mapping[str, Any],
    configuration: Mapping[str, Any],
    *,
    looks: Mapping[str, Mapping[str, Any]],
    doors: Mapping[str, str],
    budget_seconds: float,
    moment: str,
) -> dict[str, Any]:
    """The journal of a full rollback: the one that was begun, or a new one of the plans of its parts. C(looks) has C(journal) and C(rates) by host.
    C(doors) is how the front door of each edge is now, for a rehearsal to leave it so.
    """
    journal = take_up(str(database.get("to", "")), looks)
    if journal:
        parts = {"database": database.get("refusals", []), "configuration": configuration["plan"]["refusals"]}
        refused = [f"{part}: {reason}" for part, reasons in parts.items() if part not in journal["done"] for reason in reasons]
        return {**journal, "plan": {**journal["plan"], "taken_up": True, "refusals": refused}}
    rates = rates_of("full", looks)
    part = configuration["plan"]
    going = float(part["estimate_seconds"]) - float(part["verify_seconds"])  # it is verified once, at the end of all
    seconds = {
        "stop": rates["stop_seconds"],
        "database": rates["database_seconds"] + float(database["estimate_seconds"]),
        "application": rates["application_seconds"],
        "configuration": rates["configuration_seconds"] + max(0.0, going),
        "verify": rates["verify_seconds"],
        "resume": rates["resume_seconds"],
    }
    estimate = sum(seconds.values())
    refusals = [
        *(f"database: {reason}" for reason in database["refusals"]),
        *(f"application: {reason}" for reason in application["refusals"]),
        *(f"configuration: {reason}" for reason in part["refusals"]),
        *budget_refusals(estimate, budget_seconds, "full_rollback_budget_seconds"),
    ]
    told = ", ".join(f"{step} {value:.0f} s" for step, value in seconds.items())
    return {
        "began": moment,
        "done": {},
        "plan": {
            "to": database.get("to", ""),
            "release": {key: application[key] for key in ("to", "from", "hosts")},
            "run": part["to"],
            "before": part["before"],
            "doors": dict(doors),
            "steps": {step: round(value, 1) for step, value in seconds.items()},
            "estimate_seconds": round(estimate, 1),
            "budget_seconds": float(budget_seconds),
            "refusals": refusals,
            "taken_up": False,
            "statement": (
                f"Nobody is served from the first step to the last, about {duration(estimate)} of {duration(budget_seconds)} ({told})."
                f" Database: {database['statement'] or database['refusals']} Application: {application['statement']} Configuration: {part['statement']}"
            ),
        },
    }


# ---------------------------------------------------------------- what is learnt


def learn(
    name: str, rates: Mapping[str, float], journal: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, float]:
    """Rates after a rollback whose journal is complete: the newest measurement counts, what was not measured stays.

    C(parts) of a full one are the journals of its database and configuration. Raises RollbackError for an unknown kind.
    """
    known = {key: float(value) for key, value in rates.items()}
    plan, done = journal["plan"], {step: float(seconds) for step, seconds in journal["done"].items()}
    if name == "application":
        if plan["turns"] and "switch" in done:
            known["turn_seconds"] = round(done["switch"] / plan["turns"], 2)
    elif name == "configuration":
        for kind, drained in (("turn_seconds", False), ("drained_seconds", True)):
            measured = [
                done[f"turn {number}"]
                for number, turn in enumerate(plan["turns"], 1)
                if bool(turn["drained"]) is drained and f"turn {number}" in done
            ]
            if measured:
                known[kind] = round(sum(measured) / len(measured), 2)
    elif name == "full":
        inside = {part: counted(entry["done"]) for part, entry in (parts or {}).items() if entry}
        for step in ("stop", "database", "application", "configuration", "resume"):
            if step in done:
                known[f"{step}_seconds"] = round(max(0.0, done[step] - inside.get(step, 0.0)), 2)
    else:
        raise RollbackError(f"nothing is known of a rollback of {name}")
    if "verify" in done:
        known["verify_seconds"] = round(done["verify"], 2)
    return known
