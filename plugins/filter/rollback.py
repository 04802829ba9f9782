# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters from what the members of a database cluster are to the way back that it has."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.module_utils import _rollback

Members = dict[str, dict[str, Any]]


def _told(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    try:
        return function(*given, **named)
    except _rollback.RollbackError as error:
        raise AnsibleFilterError(str(error)) from error


def rollback_plan(
    members: Members, to: str, backups: list[dict[str, Any]], budget_seconds: float, consent: bool = False, rung: str = ""
) -> dict[str, Any]:
    """The way back: see P(rollback_plan#filter)."""
    return dict(_told(_rollback.plan, str(to), members, backups, budget_seconds=float(budget_seconds), consent=consent, rung=rung))


def rollback_journal(members: Members, to: str) -> dict[str, Any]:
    """The rollback that was not finished: see P(rollback_journal#filter)."""
    return dict(_told(_rollback.take_up, str(to), members))


def rollback_rates(rates: dict[str, float], plan: dict[str, Any], seconds: dict[str, float]) -> dict[str, float]:
    """What a finished rollback has measured: see P(rollback_rates#filter)."""
    return dict(_told(_rollback.learn, rates, plan, seconds))


def guard_plan(members: Members, release: str, roles: dict[str, str], moment: str) -> dict[str, Any]:
    """Who is to be held: see P(guard_plan#filter)."""
    return dict(_told(_rollback.guard_plan, str(release), members, roles, moment))


class FilterModule:
    """Filters about the rollback of a database."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {
            "guard_plan": guard_plan,
            "rollback_journal": rollback_journal,
            "rollback_plan": rollback_plan,
            "rollback_rates": rollback_rates,
        }
