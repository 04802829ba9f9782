# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter of playbooks/status.yml."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.module_utils import _rotation, _status
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller


def status_screen(
    looks: list[dict[str, Any]], secrets_made_at: dict[str, str] | None = None, rotation: dict[str, Any] | None = None, days: float = 90
) -> dict[str, list[str]]:
    """See C(status_screen.yml)."""
    screen, now = _status.screen(looks, time.time(), _controller.is_dead), time.time()
    if secrets_made_at is not None:
        try:
            line, wrong = _rotation.told(secrets_made_at, rotation or {}, now, float(days))
        except _rotation.RotationError as error:
            line, wrong = "age not known", str(error)
        screen["lines"].append(f"{'secrets':<10}{line}")
        screen["red"] += [f"secrets: {wrong}"] if wrong else []
    return screen


def secrets_metrics(groups: dict[str, list[str]], made_at: dict[str, str]) -> str:
    """See C(secrets_metrics.yml)."""
    try:
        return _rotation.metrics(made_at, groups)
    except ValueError:
        raise AnsibleFilterError("secrets_metrics: a moment is not written as 2026-11-25T21:00:00Z") from None


class FilterModule:
    """Filters about the whole platform."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"status_screen": status_screen, "secrets_metrics": secrets_metrics}
