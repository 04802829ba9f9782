# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of a release on its way over the hosts."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.module_utils import _soak


def release_batches(hosts: list[str], canary: Any = 1, batch: Any = 1, total: int | None = None) -> list[list[str]]:
    """Who goes together: see P(release_batches#filter)."""
    try:
        return _soak.batches(hosts, canary, batch, total)
    except _soak.SoakError as error:
        raise AnsibleFilterError(f"release_batches: {error}") from error


def release_verdict(looks: list[dict[str, Any]], server: str, old: list[str], limits: dict[str, Any]) -> dict[str, Any]:
    """How a server does: see P(release_verdict#filter)."""
    try:
        return _soak.verdict(looks, server, old, limits)
    except _soak.SoakError as error:
        raise AnsibleFilterError(f"release_verdict: {error}") from error


def release_figures(looks: list[dict[str, Any]]) -> dict[str, str]:
    """What users met meanwhile: see P(release_figures#filter)."""
    return _soak.summary(looks)


class FilterModule:
    """Filters about a rolling release."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"release_batches": release_batches, "release_figures": release_figures, "release_verdict": release_verdict}
