# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults are caused for real, on a platform that is converged: `make test-faults` makes one. Each test finds the tier whole, and leaves it whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .cluster import Cluster, Report

FIGURES = pytest.StashKey[list[str]]()
Judge = Callable[..., None]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fast: one of the few faults that `make test` causes; the rest is `make test-faults`")
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[FIGURES]:
            terminalreporter.write_line(line)


@pytest.fixture
def figure(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """Keeps what was measured: printed at the end of the run, and in its report."""

    def keep(what: str, measured: object) -> None:
        record_property(what, str(measured))
        request.config.stash[FIGURES].append(f"{what:<44} {measured}")

    return keep


@pytest.fixture
def judge(figure: Callable[[str, object], None]) -> Judge:
    """Keeps the figures of a fault and holds them against what is promised: seconds without writes, nothing lost, one writer at a time."""

    def check(what: str, report: Report, seconds: float) -> None:
        figure(what, f"{report} (bound {seconds:g} s)")
        assert report.acknowledged > 0 and report.reads > 0
        assert report.lost == [], f"acknowledged and not there: {len(report.lost)}, the first {report.lost[:5]}"
        assert report.two_writers == []
        assert report.gap.seconds <= seconds, f"{report}; what writers were told: {report.errors}"

    return check


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The database tier of the lab."""
    return Cluster()


@pytest.fixture
def whole(cluster: Cluster) -> Iterator[None]:
    """The database tier is whole before, and made whole after."""
    cluster.wait_until_whole(90)
    yield
    cluster.heal()
    cluster.wait_until_whole(180)
