# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is missing by what dpkg-query says; its answers here are those of Debian 12."""

from __future__ import annotations

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _packages

ANSWER = "haproxy installed\nprocps config-files\nnginx-common half-configured\nlibc6 installed\nlibc6 installed\n"


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (["haproxy"], []),
        (["haproxy", "libc6"], []),
        (["procps", "haproxy", "keepalived"], ["procps", "keepalived"]),
        (["nginx-common"], ["nginx-common"]),
        ([], []),
    ],
)
def test_missing(wanted: list[str], missing: list[str]) -> None:
    assert _packages.missing(wanted, ANSWER) == missing


def test_a_host_that_knows_none_of_them_lacks_all() -> None:
    assert _packages.missing(["haproxy"], "") == ["haproxy"]


@pytest.mark.parametrize("name", ["haproxy=2.6", "libc6:amd64", "x", "Nginx", "--force", "a b", "$(id)"])
def test_only_plain_names(name: str) -> None:
    with pytest.raises(ValueError, match="plain names"):
        _packages.check(["procps", name])


def test_plain_names() -> None:
    _packages.check(["libnginx-mod-http-modsecurity", "g++", "python3.11", "0ad"])
