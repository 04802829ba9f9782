# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters about the lock of a platform and the records of its runs."""

from __future__ import annotations

from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _run_lock, _run_record
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller


def run_lock_verdict(answers: list[dict[str, Any]], lease_minutes: float = 240) -> dict[str, Any]:
    """Whether a run has the lock: see P(run_lock_verdict#filter)."""
    return _run_lock.verdict(answers, float(lease_minutes))


def run_history(seen: list[dict[str, Any]], run: str = "", limit: int = 20) -> list[str]:
    """Lines about runs: see P(run_history#filter)."""
    records = _run_record.merged(record for each in seen for record in each.get("runs") or [])
    holder = _run_lock.holder_of([each.get("lock") or {} for each in seen])
    running = "" if _controller.is_dead(holder) else holder.get("id", "")
    if not run:
        return _run_record.history(records[: int(limit)], running)
    return next((_run_record.story(record, running) for record in records if record.id == run), [f"There is no run {run} here."])


class FilterModule:
    """Filters about runs."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"run_lock_verdict": run_lock_verdict, "run_history": run_history}
