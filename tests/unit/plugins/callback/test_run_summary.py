"""The summary that an operator reads, with a clock of the test's own."""

from __future__ import annotations

from ansible_collections.arxos.platform.plugins.callback.run_summary import Run


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_stage_of_several_plays_is_announced_once() -> None:
    run = Run(Clock())
    assert run.play("(4/8) Database | Patroni") == "Stage 4 of 8: Database (0:00 so far)"
    assert run.play("(4/8) Database | Schema") is None
    assert run.play("Something without a stage") is None


def test_times_changes_and_failures_stand_in_the_summary() -> None:
    clock = Clock()
    run = Run(clock)
    run.play("(1/2) Hosts | Packages")
    run.result("db1", "Install packages", changed=True)
    run.result("db2", "Install packages")
    clock.now = 61.5
    run.play("(2/2) Cache")
    run.result("cache1", "Form the cluster", failure="no quorum")
    clock.now = 70.0
    assert run.summary({"Platform": "https://api.arxos.test/"}) == [
        "Stage        time  tasks  changed",
        "1/2 Hosts    1:01      2        1",
        "2/2 Cache    0:08      1        0  FAILED",
        "Whole run    1:10",
        "",
        "Changed: db1 1",
        "Failed:  cache1 in 2/2 Cache: Form the cluster: no quorum",
        "Platform: https://api.arxos.test/",
    ]


def test_a_run_without_stages_stays_silent() -> None:
    run = Run(Clock())
    run.play("Make the hosts")
    run.result("db1", "x", changed=True)
    assert run.summary({}) == []
