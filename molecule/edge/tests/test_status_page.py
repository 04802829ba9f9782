# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status page as a user gets it through the front door, whatever the application does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

LAB = os.environ.get("LAB_NAME", "arxos-lab")
DOMAIN = "api.arxos.test"
NOW = "/var/lib/arxos-status/status/now.html"

testinfra_hosts = [f"docker://{LAB}-edge1", f"docker://{LAB}-edge2"]


def get(host: Any, path: str) -> tuple[int, str]:
    """Status, and headers with the body, of a request to this very host."""
    text = host.check_output(f"curl -s -i --http1.1 --cacert /etc/ssl/arxos/ca.crt --resolve {DOMAIN}:443:127.0.0.1 https://{DOMAIN}{path}")
    return int(text.split()[1]), text.lower()


@pytest.fixture
def now(host: Any) -> Iterator[Any]:
    """A page of what happens now, where there was none."""
    assert not host.file(NOW).exists
    host.check_output(f"echo '<!doctype html><title>now</title>' > {NOW}")
    yield host
    host.check_output(f"rm {NOW}")


def test_usual_times_are_told_under_a_strict_policy(host: Any) -> None:
    status, text = get(host, "/status/")
    assert status == 200 and "all systems operational" in text
    for header in (
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'self'",
        "cache-control: no-store",
        "x-frame-options: deny",
    ):
        assert header in text
    for path, kind in (("/status/status.css", "text/css"), ("/status/icon.svg", "image/svg+xml")):
        status, text = get(host, path)
        assert status == 200 and f"content-type: {kind}" in text
    assert get(host, "/status")[0] == 301 and get(host, "/status/none")[0] == 404


def test_what_happens_now_comes_first_and_needs_no_reload(now: Any) -> None:
    assert "<title>now</title>" in get(now, "/status/")[1]


def test_it_needs_no_inner_tier(host: Any) -> None:
    host.check_output("systemctl stop nginx-waf.service")
    try:
        assert get(host, "/status/")[0] == 200
    finally:
        host.check_output("systemctl start nginx-waf.service")
