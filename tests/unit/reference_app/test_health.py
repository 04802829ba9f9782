# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks side by side, timeouts, and the moment for which an answer serves."""

from __future__ import annotations

import asyncio
from typing import Any

from arxos_api_reference.health import Health


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(health: Health) -> dict[str, Any]:
    return asyncio.run(health.report())


async def good() -> None:
    await asyncio.sleep(0)


async def bad() -> None:
    raise OSError("secret address 10.0.0.1")


async def slow() -> None:
    await asyncio.sleep(30)


def test_one_bad_check_makes_it_unhealthy_and_says_no_more_than_its_kind() -> None:
    report = run(Health({"a": good, "b": bad}, 1, 1))
    assert report["status"] == "unhealthy"
    assert report["checks"]["a"]["status"] == "healthy"
    assert report["checks"]["b"]["error"] == "OSError" and "10.0.0.1" not in str(report)


def test_a_slow_check_is_given_up_and_holds_nobody_up() -> None:
    report = run(Health({"a": good, "b": slow, "c": slow}, 0.05, 1))
    assert (report["checks"]["a"]["status"], report["checks"]["b"]["error"], report["checks"]["c"]["error"]) == (
        "healthy",
        "TimeoutError",
        "TimeoutError",
    )


def test_checks_run_side_by_side() -> None:
    async def report() -> dict[str, Any]:
        met = asyncio.Barrier(3)

        async def meet() -> None:
            await met.wait()

        return await Health({"a": meet, "b": meet, "c": meet}, 5, 1).report()

    assert asyncio.run(report())["status"] == "healthy"


def test_an_answer_serves_for_a_moment_and_many_askers_make_one_look() -> None:
    clock, looks = Clock(), []

    async def count() -> None:
        looks.append(clock.now)
        await asyncio.sleep(0)

    async def ask() -> None:
        health = Health({"a": count}, 1, 1.0, clock)
        await asyncio.gather(*(health.report() for _ in range(20)))
        clock.now = 0.9
        await health.report()
        clock.now = 1.0
        await health.report()

    asyncio.run(ask())
    assert looks == [0.0, 1.0]
