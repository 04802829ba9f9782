"""Checks run side by side, each with a timeout; the answer serves for a moment, so that probes cannot hurt."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from .logs import log

Check = Callable[[], Awaitable[None]]


class Health:
    def __init__(self, checks: Mapping[str, Check], timeout: float, cache: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks, self._timeout, self._cache, self._clock = checks, timeout, cache, clock
        self._lock, self._expires = asyncio.Lock(), float("-inf")
        self._report: dict[str, Any] = {}

    async def report(self) -> dict[str, Any]:
        """{status: healthy or unhealthy, timestamp, checks: {name: {status, duration_ms, error?}}}"""
        async with self._lock:
            if self._clock() >= self._expires:
                results = await asyncio.gather(*(self._run(name, check) for name, check in self._checks.items()))
                self._report = {
                    "status": "healthy" if all(result["status"] == "healthy" for result in results) else "unhealthy",
                    "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                    "checks": dict(zip(self._checks, results, strict=True)),
                }
                self._expires = self._clock() + self._cache
            return self._report

    async def _run(self, name: str, check: Check) -> dict[str, Any]:
        started, result = self._clock(), {"status": "healthy"}
        try:
            await asyncio.wait_for(check(), self._timeout)
        except Exception as error:  # a check may fail in any way; which, is the answer
            result = {"status": "unhealthy", "error": type(error).__name__}
            log.warning("health check failed", extra={"check": name, "error": result["error"], "reason": str(error)[:300]})
        return {**result, "duration_ms": round((self._clock() - started) * 1000, 1)}
