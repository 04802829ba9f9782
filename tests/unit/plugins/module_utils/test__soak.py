# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Success, failure and what nobody can tell are three things; and sizes of batches leave somebody who serves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.filter.release import FilterModule
from ansible_collections.arxos.platform.plugins.module_utils import _soak as subject
from ansible_collections.arxos.platform.plugins.module_utils._access_log import Tally
from ansible_collections.arxos.platform.plugins.module_utils._soak import Limits, SoakError

LIMITS = {"requests": 100, "error_percent": 1, "p95_ms": 2000}


def tally(fast: int, slow: int = 0, errors: int = 0) -> Tally:
    return Tally(fast + slow, errors, {time: number for time, number in ((20, fast), (2500, slow)) if number})


@pytest.mark.parametrize(
    ("host", "others", "verdict", "says"),
    [
        (tally(300), tally(600), "pass", "300 requests, 0.0 % failed, 95 % within 20 ms"),
        (tally(100, errors=1), tally(0), "pass", "1.0 % failed"),
        (tally(100, errors=2), tally(0), "fail", "2 of 100 requests failed (2.0 %), wanted 1 % at most"),
        (tally(95, slow=5), tally(0), "pass", "95 % within 20 ms"),
        (tally(94, slow=6), tally(0), "fail", "95 % of 100 requests took up to 2500 ms, wanted 2000 ms at most"),
        (tally(50, slow=50, errors=50), tally(0), "fail", "(50.0 %), wanted 1 % at most, and 95 % of"),
        # Few say nothing good, and bad only what is no chance.
        (tally(99), tally(0), "inconclusive", "99 requests, 0.0 % failed, 95 % within 20 ms: 100 requests or more"),
        (tally(20, errors=1), tally(0), "inconclusive", "20 requests, 5.0 % failed"),
        (tally(20, errors=4), tally(0), "fail", "4 of 20 requests failed (20.0 %)"),
        (tally(0, slow=2), tally(300), "inconclusive", "2 requests"),
        (tally(0, slow=3), tally(300), "fail", "95 % of 3 requests took up to 2500 ms"),
        (tally(1), tally(0), "inconclusive", "1 request, 0.0 % failed"),
        # Who answers nothing while the others are busy hangs.
        (tally(0), tally(99), "inconclusive", "no request: 100 requests or more"),
        (tally(0), tally(100), "fail", "it answered no request, while 100 came to the others"),
        (Tally(100, 0, {}), tally(0), "pass", "100 requests, 0.0 % failed"),
    ],
)
def test_verdicts(host: Tally, others: Tally, verdict: str, says: str) -> None:
    found = subject.judge(host, others, Limits.of(LIMITS))
    assert found["verdict"] == verdict and says in found["why"], found
    assert found["samples"] == host.requests and found["threshold"] == {"error_percent": 1, "p95_ms": 2000}


def test_a_failure_is_told_with_the_figures_of_those_before() -> None:
    found = subject.judge(tally(100, errors=50), tally(200), Limits.of(LIMITS), old=tally(200, errors=20))
    assert found["why"].endswith("; those with the release before: 200 requests, 10.0 % failed, 95 % within 20 ms")
    assert found["measured"] == {"error_percent": 50.0, "p95_ms": 20}


def test_how_likely_a_chance_is() -> None:
    assert subject.by_chance(0, 10, 0.05) == 1
    assert subject.by_chance(3, 3, 0.05) == pytest.approx(0.05**3)
    assert subject.by_chance(1, 20, 0.01) == pytest.approx(1 - 0.99**20)


def test_what_every_edge_host_counted_is_one_figure() -> None:
    edges = [
        {"10.0.0.1:8443": tally(60, errors=3).as_dict(), "unix:/run/nginx-waf.sock": tally(500).as_dict(), "arxos_api": tally(9).as_dict()},
        {"10.0.0.1:8443": tally(60).as_dict(), "10.0.0.2:8443": tally(120).as_dict()},
    ]
    judge = FilterModule().filters()["release_verdict"]
    found = judge(edges, "10.0.0.1:8443", ["10.0.0.2:8443"], LIMITS)
    assert found["verdict"] == "fail" and found["why"].startswith("3 of 120 requests failed (2.5 %)")
    assert "those with the release before: 120 requests" in found["why"]
    assert judge(edges, "10.0.0.2:8443", [], LIMITS)["verdict"] == "pass"
    # No request of an application server, only of the tiers before it.
    assert judge(edges[:1], "10.0.0.2:8443", [], LIMITS)["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    "limits",
    [{}, {**LIMITS, "requests": 0}, {**LIMITS, "error_percent": 100}, {**LIMITS, "p95_ms": 0}, {**LIMITS, "p95_ms": "soon"}],
)
def test_limits_that_cannot_be_meant(limits: dict[str, Any]) -> None:
    with pytest.raises(SoakError):
        Limits.of(limits)
    with pytest.raises(AnsibleFilterError, match="release_verdict"):
        FilterModule().filters()["release_verdict"]([], "", [], limits)


@pytest.mark.parametrize(
    ("hosts", "canary", "batch", "total", "parts"),
    [
        ("abc", 1, 1, None, ["a", "b", "c"]),
        ("abc", "1", "2", None, ["a", "bc"]),
        ("abc", 0, 2, None, ["ab", "c"]),
        ("abcdefghij", "10%", "25%", None, ["a", "bc", "de", "fg", "hi", "j"]),
        ("abc", "5%", "50%", None, ["a", "b", "c"]),
        ("c", 1, 2, 3, ["c"]),
        ("", 1, 1, 3, []),
        ("", 1, 1, 1, []),
    ],
)
def test_batches(hosts: str, canary: Any, batch: Any, total: int | None, parts: list[str]) -> None:
    assert ["".join(part) for part in subject.batches(list(hosts), canary, batch, total)] == parts


@pytest.mark.parametrize(("canary", "batch"), [(1, 0), (1, 3), (3, 1), (-1, 1), (1, "100%"), (1, "some"), ("1.5", 1), (1, "")])
def test_sizes_that_leave_nobody_who_serves_or_cannot_be_meant(canary: Any, batch: Any) -> None:
    with pytest.raises(SoakError, match=r"write [01] to 2 of the 3"):
        subject.batches(list("abc"), canary, batch)
    with pytest.raises(AnsibleFilterError, match="2 hosts or more"):
        FilterModule().filters()["release_batches"](["a"], 0, 1)


def test_what_all_servers_answered_is_summed_up() -> None:
    figures = FilterModule().filters()["release_figures"]
    look = {
        "192.0.2.1:8443": {"requests": 300, "errors": 1, "times": {"12": 290, "130": 10}},
        "192.0.2.2:8443": {"requests": 100, "errors": 0, "times": {"44": 100}},
        "unix:/run/nginx-waf.sock": {"requests": 400, "errors": 9, "times": {"900": 400}},
    }
    assert figures([look, look]) == {"Failed requests": "2 of 800 (0.25 %)", "p95": "44 ms"}
    assert figures([]) == figures([{"192.0.2.1:8443": {"requests": 0, "errors": 0, "times": {}}}]) == {}
