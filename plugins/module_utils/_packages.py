# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which packages of Debian a host lacks, by what dpkg-query says."""

from __future__ import annotations

import re
from collections.abc import Iterable

QUERY = r"dpkg-query --show --showformat='${Package} ${db:Status-Status}\n'"
# Debian Policy 5.6.1: lower-case letters, digits, plus, minus and full stop, at least two, and the first a letter or a digit.
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def check(wanted: Iterable[str]) -> None:
    """Raises ValueError for what is not the plain name of a package; a version or an architecture behind it is for apt alone."""
    wrong = [name for name in wanted if not NAME.fullmatch(name)]
    if wrong:
        raise ValueError(
            f"name takes plain names of packages, and {', '.join(map(repr, wrong))} is none. Use ansible.builtin.apt for anything else."
        )


def missing(wanted: Iterable[str], answer: str) -> list[str]:
    """Those of C(wanted) that the answer to C(QUERY) does not call installed. What is removed but for its configuration is missing."""
    installed = {name for name, _space, status in (line.partition(" ") for line in answer.splitlines()) if status.strip() == "installed"}
    return [name for name in wanted if name not in installed]
