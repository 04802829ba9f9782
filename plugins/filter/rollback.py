# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters from what hosts are to the way back that they have, and from what it took to the next estimate."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.module_utils import _rollback, _rollback_plans, _run_record

Members = dict[str, dict[str, Any]]


def _told(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    try:
        return function(*given, **named)
    except _rollback.RollbackError as error:
        raise AnsibleFilterError(str(error)) from error


def rollback_plan(
    members: Members, to: str, backups: list[dict[str, Any]], budget_seconds: float, consent: Any = False, rung: str = ""
) -> dict[str, Any]:
    """The way back: see P(rollback_plan#filter)."""
    return dict(_told(_rollback.plan, str(to), members, backups, budget_seconds=float(budget_seconds), consent=consent, rung=rung))


def rollback_journal(members: Members, to: str, option: str = "to") -> dict[str, Any]:
    """The rollback that was not finished: see P(rollback_journal#filter)."""
    return dict(_told(_rollback.take_up, str(to), members, option))


def rollback_moment(members: Members, to: str) -> str:
    """The moment that the database goes to: see P(rollback_moment#filter)."""
    return _rollback.moment_of(str(to), members)


def rollback_rehearsal(members: Members, full: Members, moment: str) -> dict[str, Any]:
    """Where a rehearsal goes: see P(rollback_rehearsal#filter)."""
    return _rollback.rehearsal(members, full, _told(_rollback.parse_time, moment))


def rollback_rates(rates: dict[str, float], plan: dict[str, Any], seconds: dict[str, float]) -> dict[str, float]:
    """What a finished rollback has measured: see P(rollback_rates#filter)."""
    return dict(_told(_rollback.learn, rates, plan, seconds))


def guard_plan(members: Members, release: str, roles: dict[str, str], moment: str) -> dict[str, Any]:
    """Who is to be held: see P(guard_plan#filter)."""
    return dict(_told(_rollback.guard_plan, str(release), members, roles, moment))


def application_rollback_plan(
    looks: Members, wanted: str, budget_seconds: float, batch: Any = 1, closed: bool = False, moment: str = "", place: str = ""
) -> dict[str, Any]:
    """The way of the application: see P(application_rollback_plan#filter)."""
    more = {"budget_seconds": float(budget_seconds), "batch": batch, "closed": closed, "moment": str(moment), "place": str(place)}
    return dict(_told(_rollback_plans.application_plan, looks, str(wanted), **more))


def configuration_rollback_run(looks: Members, wanted: str, moment: str = "") -> dict[str, Any]:
    """The run to go back to: see P(configuration_rollback_run#filter)."""
    return dict(_told(_rollback_plans.choose_run, looks, str(wanted), str(moment)))


def configuration_rollback_plan(
    found: Members,
    chosen: dict[str, Any],
    looks: Members,
    tiers: dict[str, list[str]],
    serving: list[str],
    budget_seconds: float,
    moment: str,
) -> dict[str, Any]:
    """The way of the configuration: see P(configuration_rollback_plan#filter)."""
    more = {"tiers": tiers, "serving": serving, "budget_seconds": float(budget_seconds), "moment": moment}
    return dict(_told(_rollback_plans.configuration_plan, looks, chosen, found, **more))


def full_rollback_plan(looks: Members, parts: dict[str, dict[str, Any]], budget_seconds: float, moment: str) -> dict[str, Any]:
    """The way of everything: see P(full_rollback_plan#filter)."""
    given = (parts["database"], parts["application"], parts["configuration"])
    more = {"doors": parts["doors"], "budget_seconds": float(budget_seconds), "moment": moment}
    return dict(_told(_rollback_plans.full_plan, *given, looks=looks, **more))


def fitting_rollback_plan(
    seen: list[dict[str, Any]], releases: Members, looks: Members, doors: list[str], running: str = "", of: str = ""
) -> dict[str, Any]:
    """What a run that failed is taken back by: see P(fitting_rollback_plan#filter)."""
    runs = _run_record.merged(record for each in seen for record in each.get("runs") or [])
    seals = {host: look["seals"] for host, look in looks.items()}
    return _rollback_plans.fitting_plan([run for run in runs if run.id != running], releases, seals, doors, of)


def rollback_learned(journal: dict[str, Any], name: str, rates: dict[str, float], parts: Members | None = None) -> dict[str, float]:
    """What a finished rollback has measured: see P(rollback_learned#filter)."""
    return dict(_told(_rollback_plans.learn, name, rates, journal, parts))


def rollback_progress(journal: dict[str, Any]) -> str:
    """How far it has come: see P(rollback_progress#filter)."""
    return _rollback_plans.progress(journal)


class FilterModule:
    """Filters about rollbacks."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {
            "application_rollback_plan": application_rollback_plan,
            "configuration_rollback_plan": configuration_rollback_plan,
            "configuration_rollback_run": configuration_rollback_run,
            "fitting_rollback_plan": fitting_rollback_plan,
            "full_rollback_plan": full_rollback_plan,
            "guard_plan": guard_plan,
            "rollback_journal": rollback_journal,
            "rollback_learned": rollback_learned,
            "rollback_moment": rollback_moment,
            "rollback_plan": rollback_plan,
            "rollback_progress": rollback_progress,
            "rollback_rates": rollback_rates,
            "rollback_rehearsal": rollback_rehearsal,
        }
