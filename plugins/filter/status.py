# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter of playbooks/status.yml."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _status


def status_screen(looks: list[dict[str, Any]]) -> dict[str, list[str]]:
    """See C(status_screen.yml)."""
    return _status.screen(looks, time.time())


class FilterModule:
    """Filters about the whole platform."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"status_screen": status_screen}
