# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is told what of a run, with a clock of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _announcements as unit

SECRET = "s3cr3t-t0ken"
DATA: dict[str, Any] = {
    "channels": {
        "mail": {"url": f"mailtos://user:{SECRET}@example.org?to=ops@example.org"},
        "chat": {"url": f"slack://{SECRET}/B/C"},
        "pager": {"url": f"pagerduty://{SECRET}@key", "events": ["failure", "after"]},
    },
    "audiences": {
        "operations": {"channels": ["mail", "chat", "pager"]},
        "development": {"channels": ["chat"]},
        "executives": {"channels": ["mail"]},
        "support": {"channels": ["mail"], "events": ["before", "after"]},
    },
    "go_live": {"at": "2026-12-01 20:00 UTC", "support": "help@example.org", "news": ["glTF"]},
}


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def announcer(clock: Clock, playbook: str = "go_live", **more: Any) -> unit.Announcer:
    return unit.Announcer(unit.settings({**DATA, **more}), playbook, "lab", "api.arxos.test", clock, lambda: "2026-12-01 20:00 UTC")


def told(messages: list[unit.Message]) -> list[tuple[str, str, str]]:
    return [(message.event, message.audience, message.channel) for message in messages]


# ------------------------------------------------------------------ data


def test_good_data_has_no_fault_and_defaults() -> None:
    assert unit.faults(DATA) == []
    made = unit.settings(DATA)
    assert list(made.audiences) == ["executives", "development", "operations", "support"]
    assert made.audiences["operations"][1] == ("before", "stage", "progress", "after")
    assert made.audiences["support"][1] == ("before", "after")
    assert (made.interval, made.timeout, made.wait) == (1800, 15, 20)
    assert made.escalation == {"technical": "development", "performance": "operations", "user": "support", "critical": "executives"}
    assert SECRET not in repr(made)


@pytest.mark.parametrize("data", [{}, {"channels": {}}, {"go_live": {"at": "2026-12-01"}}])
def test_no_channel_is_no_fault(data: dict[str, Any]) -> None:
    assert unit.faults(data) == []
    assert unit.settings(data).channels == {}


@pytest.mark.parametrize(
    ("change", "where", "problem"),
    [
        ({"channel": {}}, "channel", "is not known"),
        ({"channels": ["mail"]}, "channels", "is no mapping"),
        ({"channels": {**DATA["channels"], "mail": {"url": f"mail {SECRET}"}}}, "channels.mail.url", "is no address of a channel (hidden)"),
        ({"channels": {**DATA["channels"], "mail": {"url": ""}}}, "channels.mail.url", "is no address of a channel (hidden)"),
        ({"channels": {**DATA["channels"], "mail": SECRET}}, "channels.mail", "is no mapping"),
        ({"channels": {**DATA["channels"], "mail": {**DATA["channels"]["mail"], "to": SECRET}}}, "channels.mail.to", "is not known"),
        (
            {"channels": {**DATA["channels"], "mail": {**DATA["channels"]["mail"], "events": ["end"]}}},
            "channels.mail.events",
            "has end, which is none",
        ),
        ({"audiences": {**DATA["audiences"], "investors": {"channels": []}}}, "audiences", "has investors, which is none"),
        (
            {"audiences": {**DATA["audiences"], "support": {"channels": ["fax", "mail"]}}},
            "audiences.support.channels",
            "has fax, which is none",
        ),
        ({"audiences": {**DATA["audiences"], "support": {"channels": "mail"}}}, "audiences.support.channels", "is no list"),
        (
            {"audiences": {**DATA["audiences"], "support": {"channels": ["mail"], "events": ["all"]}}},
            "audiences.support.events",
            "has all, which is none",
        ),
        (
            {"audiences": {**DATA["audiences"], "support": {"channels": [f"json://{SECRET}/", "mail"]}}},
            "audiences.support.channels",
            "has (hidden), which is none",
        ),
        ({"escalation": {"technical": "nobody"}}, "escalation.technical", "goes to nobody, which is no audience"),
        ({"escalation": {"technical": "end_users"}}, "escalation.technical", "goes to end_users, which has no channel"),
        ({"escalation": {"odd": "support"}}, "escalation", "has odd, which is none"),
        ({"kinds": {"user": "("}}, "kinds.user", "is no regular expression: missing ), unterminated subpattern at position 0"),
        ({"interval_minutes": 0}, "interval_minutes", "is no number over 0"),
        ({"wait_seconds": "long"}, "wait_seconds", "is no number over 0"),
        ({"playbooks": "go_live"}, "playbooks", "is no list"),
        ({"go_live": {"at": "2026-12-01"}}, "go_live.support", "is missing"),
        ({"go_live": {**DATA["go_live"], "news": "glTF"}}, "go_live.news", "is no list"),
        ({"go_live": {**DATA["go_live"], "cost": 1}}, "go_live.cost", "is not known"),
    ],
)
def test_each_fault_is_told_without_an_address(change: dict[str, Any], where: str, problem: str) -> None:
    found = unit.faults({**DATA, **change})
    assert (f"arxos_announcements.{where}", problem) in [fault[:2] for fault in found]
    assert SECRET not in str(found)
    assert all(remedy for _where, _problem, remedy in found)


def test_all_faults_are_told_at_once_and_the_library_is_asked() -> None:
    found = unit.faults({**DATA, "go_live": {}, "audiences": {"investors": {}}}, takes=lambda address: address.startswith("slack"))
    assert {where.partition(".")[2] for where, _problem, _remedy in found} >= {
        "audiences",
        "channels.mail.url",
        "channels.pager.url",
        "escalation.critical",
        "go_live.support",
    }
    assert unit.faults("mail")[0][1] == "is no mapping"


@pytest.mark.parametrize(
    ("playbook", "wanted"), [("go_live", True), ("deploy", True), ("rollback_database", True), ("announce", True), ("backup", False)]
)
def test_which_playbooks_are_announced(playbook: str, wanted: bool) -> None:
    assert unit.announced(playbook, unit.PLAYBOOKS) is wanted


def test_stages_are_told_by_names_of_plays() -> None:
    assert unit.stage_of("(4/8) Database | Patroni") == unit.Stage(4, 8, "Database")
    assert unit.stage_of("(1/1) Load window") == unit.Stage(1, 1, "Load window")
    assert unit.stage_of("Seal | One commit") is None


# ------------------------------------------------------------------ a run


def test_the_messages_of_a_run_that_goes_well(clock: Clock) -> None:
    run = announcer(clock)
    assert run.progress() == [] and run.play("Something else") == []
    first = run.play("(1/2) Hosts | Packages")
    assert told(first) == [
        ("before", "executives", "mail"),
        ("before", "development", "chat"),
        ("before", "operations", "mail"),
        ("before", "operations", "chat"),
        ("before", "support", "mail"),
        ("stage", "development", "chat"),
        ("stage", "operations", "mail"),
        ("stage", "operations", "chat"),
    ]
    assert run.play("(1/2) Hosts | Firewall") == []
    run.changes("app1")
    run.changes("app1")
    clock.now += 61
    assert told(run.progress()) == [("progress", "operations", "mail"), ("progress", "operations", "chat")]
    assert told(run.play("(2/2) Prove"))[0] == ("stage", "development", "chat")
    last = run.ended([], {"Uptime": 99.9})
    assert told(last) == [
        ("after", "executives", "mail"),
        ("after", "development", "chat"),
        ("after", "operations", "mail"),
        ("after", "operations", "chat"),
        ("after", "operations", "pager"),
        ("after", "support", "mail"),
    ]
    facts = last[0].facts
    assert (facts["result"], facts["elapsed"], facts["changed"], facts["figures"]) == ("done", "1:01", {"app1": 2}, {"Uptime": "99.9"})
    assert {message.level for message in last} == {"success"}
    assert run.ended([]) == [] and run.progress() == [] and run.play("(3/3) More") == []
    assert SECRET not in str([first, last])


@pytest.mark.parametrize(
    ("playbook", "task", "audiences"),
    [
        ("go_live", "Start the daemon", {"development"}),
        ("go_live", "Soak", {"operations"}),
        ("go_live", "Load test: p95", {"operations"}),
        ("go_live", "Run the acceptance test", {"support"}),
        ("go_live", "Find data loss", {"development", "executives"}),
        ("rollback", "Stop", {"development", "executives"}),
        ("rollback_database", "Soak", {"operations", "executives"}),
    ],
)
def test_failures_go_by_the_table(clock: Clock, playbook: str, task: str, audiences: set[str]) -> None:
    run = announcer(clock, playbook)
    run.play("(1/2) Hosts")
    assert {message.audience for message in run.failed("app1", task, "no")} == audiences
    assert run.failed("app2", task, "no") == [], "the same of another host"
    after = run.ended(["app1", "app2"])
    assert {message.level for message in after} == {"failure"}
    assert after[0].facts["failed"] == {"app1": f"{task}: no", "app2": f"{task}: no"}


def test_who_names_failures_in_events_hears_of_all(clock: Clock) -> None:
    run = announcer(clock, audiences={**DATA["audiences"], "support": {"channels": ["mail"], "events": ["failure"]}})
    run.play("(1/2) Hosts")
    assert told(run.failed("app1", "Start", "no")) == [("failure", "development", "chat"), ("failure", "support", "mail")]


def test_what_a_rescue_takes_care_of_is_an_issue(clock: Clock) -> None:
    run = announcer(clock)
    run.play("(1/2) Hosts")
    assert run.failed("app1", "Switch", "unhealthy", handled=True) == []
    assert run.progress()[0].facts["issues"] == ["app1: Switch: unhealthy"]
    last = run.ended([])
    assert {message.event for message in last} == {"after"} and last[0].facts["result"] == "done"


def test_a_rescue_that_did_not_help_is_escalated_at_the_end(clock: Clock) -> None:
    run = announcer(clock)
    run.play("(1/2) Hosts")
    run.failed("app1", "Switch", "unhealthy", handled=True)
    last = run.ended(["app1"])
    assert told(last)[0] == ("failure", "development", "chat")
    assert last[0].facts["failure"] == "app1: Switch: unhealthy"
    assert last[-1].facts["failed"] == {"app1": "failed"}


def test_a_run_that_is_broken_off_is_a_failure(clock: Clock) -> None:
    run = announcer(clock)
    assert run.ended([], broken_off=True) == [], "it had not begun"
    run.play("(1/2) Hosts")
    last = run.ended([], broken_off=True)
    assert told(last)[0] == ("failure", "development", "chat") and last[-1].facts["result"] == "broken off"


@pytest.mark.parametrize(("playbook", "stage"), [("go_live", "(1/8) Preflight | Look"), ("rollback_database", "(1/6) Plan | The way back")])
def test_nobody_hears_of_a_run_that_is_refused_but_who_can_mend_it(clock: Clock, playbook: str, stage: str) -> None:
    run = announcer(clock, playbook)
    assert run.play(stage) == [] and run.progress() == []
    assert told(run.failed("app1", "Judge", "3 faults")) == [("failure", "development", "chat")]
    assert run.ended(["app1"]) == []


def test_what_was_held_back_is_told_once_nothing_is_refused(clock: Clock) -> None:
    run = announcer(clock)
    assert run.play("(1/8) Preflight | Look") == []
    messages = run.play("(2/8) Hosts")
    assert [message.event for message in messages] == ["before"] * 5 + ["stage"] * 6
    assert [message.facts["stage"]["number"] for message in messages] == [1] * 8 + [2] * 3
    run = announcer(clock)
    run.play("(1/8) Preflight | Look")
    assert run.ended([]) == [], "it found nothing to do"
    run = announcer(clock, "take_back")
    assert run.play("(1/1) Fitting plan | Which run failed") == [] == run.play("(1/4) Plan | Where it goes")
    assert [message.event for message in run.play("(2/4) Back")] == ["before"] * 5 + ["stage"] * 9
    run = announcer(clock)
    run.play("(1/8) Preflight | Look")
    assert {message.event for message in run.ended([], broken_off=True)} == {"failure"}


def test_a_plan_is_told_once(clock: Clock) -> None:
    run = announcer(clock, "announce")
    messages = run.play("(1/1) Announce | What is planned")
    assert {message.event for message in messages} == {"before"} and messages[0].facts["planned"]
    assert run.progress() == [] and run.ended([]) == []


@pytest.mark.parametrize(
    ("playbook", "plan", "does"),
    [
        ("go_live", True, ""),
        ("announce", True, ""),
        ("deploy", False, "new release"),
        ("rollback", False, "earlier state, and is closed meanwhile"),
        ("rollback_application", False, "earlier release"),
        ("take_back", False, "goes back"),
        ("backup", False, ""),
    ],
)
def test_what_was_planned_is_told_of_its_own_playbook_alone(clock: Clock, playbook: str, plan: bool, does: str) -> None:
    facts = announcer(clock, playbook).play("(1/2) Hosts")[0].facts
    told = {"at": "2026-12-01 20:00 UTC", "downtime": "", "news": ["glTF"], "training": ""} if plan else {"at": "", "news": []}
    assert facts["go_live"] == {"downtime": "", "training": "", "feedback": "", "support": "help@example.org", **told}
    assert does in facts["does"] and bool(facts["does"]) is bool(does)


def test_every_playbook_that_is_announced_says_what_it_does() -> None:
    names = {path.stem for path in (Path(__file__).resolve().parents[4] / "playbooks").glob("*.yml")}
    wanted = {name for name in names if unit.announced(name, unit.PLAYBOOKS)}
    assert wanted == set(unit.DOES) | set(unit.PLANNED)


def test_what_the_run_says_of_the_platform_is_told_meanwhile_and_where_it_is_broken_off(clock: Clock) -> None:
    run = announcer(clock, "rollback")
    run.play("(1/2) Stop")
    run.learns({"Traffic": "closed"})
    assert run.progress()[0].facts["figures"] == run.failed("app1", "Start", "no")[0].facts["figures"] == {"Traffic": "closed"}
    assert run.ended([], broken_off=True)[-1].facts["figures"] == {"Traffic": "closed"}


def test_a_schedule_does_not_drift_and_makes_up_for_nothing(clock: Clock) -> None:
    schedule = unit.Schedule(1800, clock)
    assert not schedule.due() and schedule.due_in() == 1800
    clock.now += 1810
    assert schedule.due() and not schedule.due()
    assert schedule.due_in() == 1790
    clock.now += 1790 + 3 * 1800 + 5
    assert schedule.due() and schedule.due_in() == 1795


# ------------------------------------------------------------------ queue


def message(event: str = "stage", audience: str = "operations") -> unit.Message:
    return unit.Message("mail", audience, event, "info", {})


def test_an_outbox_keeps_the_order_and_only_the_newest_progress() -> None:
    box = unit.Outbox("mail")
    older, newer = message("progress"), message("progress")
    first, last = message(), message("after")
    for each in (first, older, message("progress", "support"), newer, last):
        box.put(each)
    taken = [box.take() for _each in range(5)]
    assert taken[0] is first and taken[3] is last and taken[4] is None
    assert taken[2] is newer and older not in [each for each in taken if each is older]


def test_an_outbox_has_an_end() -> None:
    box = unit.Outbox("mail", most=2)
    for _each in range(5):
        box.put(message())
    assert len(box.waiting) == 2 and box.failed == 3


def test_what_became_of_all_is_one_line() -> None:
    mail, chat, pager = (unit.Outbox(name) for name in ("mail", "chat", "pager"))
    for reason in ("", "", "timed out", "timed out", "answered 503"):
        mail.done(reason)
    chat.done("connection refused")
    assert (
        unit.report([mail, chat, pager])
        == "2 sent; mail failed 3 times (timed out 2x, answered 503 1x); chat failed once (connection refused)"
    )
    pager.done()
    assert unit.report([pager]) == "1 sent"
