# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release on its way over the hosts: which of them go together, and whether those that have it do well. Nothing is asked here.

Few requests prove nothing good, and a bad release gets few: who is slow is given little by a balancer that counts open connections. So below the
fewest requests it fails on what hardly comes by chance, and passes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._access_log import Tally

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
SLOW_SHARE = 0.05  # what is over the 95th percentile
CHANCE = 0.001  # seen less often than this under the limit, it is no chance


class SoakError(Exception):
    """What is wrong with sizes or limits, and what to write."""


@dataclass(frozen=True)
class Limits:
    """The fewest requests that say something, the most errors in percent, the longest 95th percentile in milliseconds."""

    requests: int
    error_percent: float
    p95_ms: float

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Limits:
        """Raises SoakError."""
        try:
            limits = cls(int(given["requests"]), float(given["error_percent"]), float(given["p95_ms"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SoakError(f"limits want requests, error_percent and p95_ms, each a number, not {dict(given)}") from error
        if limits.requests < 1 or not 0 <= limits.error_percent < 100 or limits.p95_ms <= 0:
            raise SoakError(f"limits want 1 request or more, 0 to 99 percent and more than 0 ms, not {dict(given)}")
        return limits


def percentile(tally: Tally, share: float = 1 - SLOW_SHARE) -> float | None:
    """Milliseconds within which that share of the requests was answered; nothing where none was timed."""
    left = math.ceil(share * sum(tally.times.values()))
    for milliseconds, number in sorted(tally.times.items()):
        left -= number
        if left <= 0:
            return float(milliseconds)
    return None


def by_chance(seen: int, of: int, share: float) -> float:
    """How likely it is to see that many or more of so many, where each is one with this likelihood."""
    return 1 - sum(math.comb(of, number) * share**number * (1 - share) ** (of - number) for number in range(seen))


def judge(host: Tally, others: Tally, limits: Limits, old: Tally | None = None) -> dict[str, Any]:
    """Whether a host does well.

    others: what came to all other hosts meanwhile; old: to those that run the release before, for the words alone.
    Returns C(verdict), C(samples), C(measured) (C(error_percent) and C(p95_ms), nothing where there is none), C(threshold) and C(why), a line.
    """
    p95 = percentile(host)
    percent = 100 * host.errors / host.requests if host.requests else None
    answer = {
        "samples": host.requests,
        "measured": {"error_percent": None if percent is None else round(percent, 2), "p95_ms": p95},
        "threshold": {"error_percent": limits.error_percent, "p95_ms": limits.p95_ms},
    }
    wrong = _wrong(host, others, limits, percent, p95)
    figures = _figures(host)
    if wrong:
        beside = f"; those with the release before: {_figures(old)}" if old and old.requests else ""
        return {"verdict": FAIL, "why": f"{', and '.join(wrong)}{beside}", **answer}
    if host.requests < limits.requests:
        return {"verdict": INCONCLUSIVE, "why": f"{figures}: {limits.requests} requests or more say something", **answer}
    return {"verdict": PASS, "why": figures, **answer}


def _wrong(host: Tally, others: Tally, limits: Limits, percent: float | None, p95: float | None) -> list[str]:
    """What is over the limits, and not by chance."""
    if percent is None:
        lost = others.requests >= limits.requests
        return [f"it answered no request, while {others.requests} came to the others"] if lost else []
    few = host.requests < limits.requests
    timed = sum(host.times.values())
    slow = sum(number for milliseconds, number in host.times.items() if milliseconds > limits.p95_ms)
    wrong = []
    if percent > limits.error_percent and not (few and by_chance(host.errors, host.requests, limits.error_percent / 100) >= CHANCE):
        wrong.append(f"{host.errors} of {host.requests} requests failed ({percent:.1f} %), wanted {limits.error_percent:g} % at most")
    if p95 is not None and p95 > limits.p95_ms and not (few and by_chance(slow, timed, SLOW_SHARE) >= CHANCE):
        wrong.append(f"95 % of {timed} requests took up to {p95:g} ms, wanted {limits.p95_ms:g} ms at most")
    return wrong


def _figures(tally: Tally) -> str:
    if not tally.requests:
        return "no request"
    p95, share = percentile(tally), 100 * tally.errors / tally.requests
    return f"{tally.requests} request{'' if tally.requests == 1 else 's'}, {share:.1f} % failed" + (
        "" if p95 is None else f", 95 % within {p95:g} ms"
    )


def verdict(looks: Sequence[Mapping[str, Mapping[str, Any]]], server: str, old: Sequence[str], limits: Mapping[str, Any]) -> dict[str, Any]:
    """How a server does by what every edge host counted: maps of servers to tallies as C(Tally.as_dict). Raises SoakError.

    Servers are written as the log has them, C(address:port); what is written otherwise, such as a socket of the WAF, is none.
    """
    servers = _servers(looks)
    host = servers.pop(server, Tally())
    before = [tally for name, tally in servers.items() if name in old]
    return judge(host, sum(servers.values(), Tally()), Limits.of(limits), sum(before, Tally()))


def _servers(looks: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Tally]:
    servers: dict[str, Tally] = {}
    for look in looks:
        for name, found in look.items():
            if re.fullmatch(r"[0-9.]+:[0-9]+", name):
                servers[name] = servers.get(name, Tally()) + Tally.of(found)
    return servers


def summary(looks: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """What all servers together answered meanwhile, as a run sums it up; nothing where no request came."""
    whole = sum(_servers(looks).values(), Tally())
    if not whole.requests:
        return {}
    failed = {"Failed requests": f"{whole.errors} of {whole.requests} ({100 * whole.errors / whole.requests:.2f} %)"}
    p95 = percentile(whole)
    return failed if p95 is None else {**failed, "p95": f"{p95:g} ms"}


def batches(hosts: Sequence[str], canary: Any, batch: Any, total: int | None = None) -> list[list[str]]:
    """The hosts in their order, the canaries first, then as many at a time as a batch has. Raises SoakError.

    Sizes are numbers, or a share of all hosts such as C(25%), rounded down and 1 at least. C(canary) may be 0: no batch goes before the others.
    C(total): how many hosts there are, of which one at least has to serve meanwhile; as many as are given where it is not.
    """
    total = len(hosts) if total is None else total
    if not hosts:
        return []
    if total < 2:
        raise SoakError("a release from host to host needs 2 hosts or more, of which one serves meanwhile")
    first, size = _size("the canary", canary, total, 0), _size("a batch", batch, total, 1)
    parts = [list(hosts[:first])] if first else []
    return parts + [list(hosts[start : start + size]) for start in range(first, len(hosts), size)]


def _size(what: str, given: Any, total: int, least: int) -> int:
    found = re.fullmatch(r"\s*(\d+)\s*(%?)\s*", str(given))
    size = -1
    if found:
        size = max(1, int(found.group(1)) * total // 100) if found.group(2) and int(found.group(1)) else int(found.group(1))
    if not least <= size < total:
        raise SoakError(
            f"{what} of {given!r} hosts: write {least} to {total - 1} of the {total}, or a share such as 25%, so that one serves"
        )
    return size
