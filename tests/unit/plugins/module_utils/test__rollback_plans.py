# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the plans of a rollback say before they begin, when they refuse, and what they learn."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _rollback_plans as plans
from ansible_collections.arxos.platform.plugins.module_utils._rollback import RollbackError
from ansible_collections.arxos.platform.plugins.module_utils._run_record import Record, Stage

MOMENT = "2026-11-26T03:15:00Z"
TIERS = {"database": ["db1", "db2"], "app": ["app1", "app2", "app3"], "edge": ["edge1", "edge2"]}
SERVING = ["arxos-api.service"]


# ---------------------------------------------------------------- the application


def app(current: str, previous: str = "1.0.0", **more: Any) -> dict[str, Any]:
    return {
        "current": current,
        "leaving": "",
        "previous": previous,
        "installed": ["1.0.0", "1.1.0", "1.2.0"],
        "oldest": "",
        "journal": {},
        "rates": {},
        **more,
    }


def three(*looks: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"app{number}": look for number, look in enumerate(looks, 1)}


def application(looks: dict[str, dict[str, Any]], wanted: str = "", budget: float = 300, **more: Any) -> dict[str, Any]:
    return plans.application_plan(looks, wanted, budget_seconds=budget, **more)


def test_the_application_goes_to_the_release_before() -> None:
    made = application(three(app("1.1.0"), app("1.1.0"), app("1.1.0")))
    assert (made["to"], made["from"], made["hosts"], made["refusals"]) == ("1.0.0", "1.1.0", ["app1", "app2", "app3"], [])
    assert made["estimate_seconds"] == 3 * 9 + 6
    assert made["statement"] == (
        "Back to 1.0.0: 3 of 3 hosts, from 1.1.0, 1 at a time; about 33 s of 5 min 0 s; drops no data, the database stays as it is."
    )


def test_the_same_command_again_does_not_go_back_to_what_was_left() -> None:
    """Also where the first run was killed after it had closed its journal."""
    over = {"plan": {"to": "1.0.0", "from": "1.1.0"}, "began": MOMENT, "done": {}}
    older = {"plan": {"to": "1.1.0", "from": "1.2.0"}, "began": "2026-11-25T03:15:00Z", "done": {}}
    looks = three(app("1.0.0", "1.1.0", finished=over), app("1.0.0", "1.1.0", finished=over), app("1.0.0", "1.1.0", finished=older))
    made = application(looks)
    assert (made["to"], made["from"], made["hosts"], made["refusals"], made["turns"]) == ("1.0.0", "1.1.0", [], [], 0)
    assert made["statement"].startswith(
        "1.0.0 is live since the last rollback; -e rollback_version=1.1.0 goes to what that left. Back to 1.0.0: 0 of 3 hosts"
    )
    assert application(looks, "1.1.0")["hosts"] == ["app1", "app2", "app3"]
    # Released since, or on its way to something else.
    assert application(three(*[app("1.2.0", "1.0.0", finished=over)] * 3))["to"] == "1.0.0"
    assert application(three(*[app("1.1.0", "1.0.0", finished=over)] * 3))["to"] == "1.0.0"
    assert (
        application(three(app("1.0.0", "1.1.0", finished=over, leaving="1.1.0"), *[app("1.0.0", "1.1.0", finished=over)] * 2))["to"]
        == "1.1.0"
    )


def test_the_estimate_is_of_what_was_measured() -> None:
    made = application(three(app("1.1.0", rates={"turn_seconds": 5.5, "verify_seconds": 2.0}), app("1.1.0"), app("1.0.0", "")), "1.0.0")
    assert made["hosts"] == ["app1", "app2"] and made["estimate_seconds"] == 13.0


@pytest.mark.parametrize(
    ("looks", "wanted", "reason"),
    [
        (three(app("1.0.0", ""), app("1.0.0", "")), "", "no release was live before this one"),
        (three(app("1.1.0"), app("1.2.0", "1.1.0")), "", "went different ways (app1 from 1.0.0 to 1.1.0, app2 from 1.1.0 to 1.2.0)"),
        (
            three(app("1.1.0"), app("1.1.0", installed=["1.1.0", "1.2.0"])),
            "",
            "1.0.0 is not installed on app2. On every host there are 1.1.0, 1.2.0",
        ),
        (three(app("1.1.0")), "9.9.9", "9.9.9 is not installed on app1"),
        (three(app("1.1.0", oldest="1.0.1"), app("1.1.0")), "", "what releases before 1.0.1 need: go to that one or a later one"),
        (three(app("1.1.0", oldest="1.0.1"), app("1.1.0", oldest="1.10.0")), "1.2.0", "what releases before 1.10.0 need"),
        (three(app("today", oldest="1.0.1", installed=["today", "then"])), "then", "'then' is no version"),
    ],
)
def test_the_application_is_refused(looks: dict[str, Any], wanted: str, reason: str) -> None:
    assert any(reason in refusal for refusal in application(looks, wanted)["refusals"])


@pytest.mark.parametrize(("oldest", "closed"), [("1.0.0", False), ("1.2.0", True)])
def test_a_release_that_can_do_with_the_database_is_gone_to(oldest: str, closed: bool) -> None:
    assert application(three(*[app("1.1.0", oldest=oldest)] * 2), closed=closed)["refusals"] == []


def test_several_hosts_at_a_time_take_fewer_turns() -> None:
    looks = three(*[app("1.1.0")] * 5)
    made = application(looks, batch="2")
    assert made["turns"] == 3 and made["estimate_seconds"] == 3 * 9 + 6 and "from 1.1.0, 2 at a time;" in made["statement"]
    assert any("so that one serves" in refusal for refusal in application(looks, batch=5)["refusals"])
    rates = plans.learn("application", {}, {"plan": made, "done": {"switch": 21.0}})
    assert rates == {"turn_seconds": 7.0}


def test_as_a_part_of_everything_all_hosts_go_at_once() -> None:
    made = application(three(app("1.1.0"), app("1.1.0")), budget=1, closed=True)
    assert made["refusals"] == [] and made["statement"] == "Back to 1.0.0: 2 of 2 hosts, from 1.1.0, all at once."


PLACE_MADE, SINCE = "2026-11-20T10:00:00Z", datetime(2026, 11, 20, 11, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("looks", "place", "to"),
    [
        (three(*[app("1.2.0", "1.1.0", switched_at=SINCE)] * 2), "1.2.0", "1.1.0"),
        (three(*[app("1.2.0", "1.1.0", switched_at=SINCE)] * 2), "1.2.0-2", "1.1.0"),  # another attempt
        (three(app("1.1.0", "1.0.0", switched_at=SINCE), app("1.1.0", "1.0.0")), "1.2.0", "1.1.0"),  # the canary failed and went back
        (three(app("1.2.0", "1.0.0", leaving="1.1.0", switched_at=SINCE), app("1.1.0", "1.0.0")), "1.2.0", "1.1.0"),  # killed on its way
        (three(app("1.1.0", "1.0.0"), app("1.1.0", "1.0.0")), "1.2.0", "1.1.0"),  # nothing was switched since
        (three(app("1.1.0", "1.0.0"), app("1.1.0", "1.0.0")), "2026-11-20T10:00:00Z", "1.1.0"),
        (three(app("1.2.0", "1.1.0", switched_at=SINCE), app("1.2.0", "", switched_at=SINCE)), "1.2.0", "1.1.0"),  # a host came later
        (three(*[app("1.2.0", "1.1.0", switched_at=SINCE)] * 2), "full.1795000000", "1.1.0"),  # a name of its own
        (three(*[app("1.3.0", "1.2.0", switched_at=SINCE)] * 2), "1.2.0", ""),
        (three(*[app("1.3.0", "1.2.0", switched_at=SINCE)] * 2), "1.1.0", ""),
        (three(*[app("1.1.0", "1.0.0", switched_at=SINCE)] * 2), "1.2.0", ""),  # all went, and came back
        (three(*[app("1.2.0", "1.1.0", switched_at=SINCE)] * 2), "2026-11-20T10:00:00Z", ""),
    ],
)
def test_with_the_database_it_goes_to_the_release_of_that_moment(looks: dict[str, Any], place: str, to: str) -> None:
    made = application(looks, closed=True, moment=PLACE_MADE, place=place)
    assert made["to"] == to
    assert bool(made["refusals"]) is not bool(to), made["refusals"]
    assert to or "which release was live at 2026-11-20T10:00:00Z is not known" in made["refusals"][0]


def test_a_host_that_came_later_goes_where_the_others_go() -> None:
    made = application(three(app("1.1.0"), app("1.1.0"), app("1.1.0", "")))
    assert (made["to"], made["hosts"], made["refusals"]) == ("1.0.0", ["app1", "app2", "app3"], [])
    over = {"plan": {"to": "1.0.0", "from": "1.1.0"}, "began": MOMENT, "done": {}}
    again = application(three(app("1.0.0", "1.1.0", finished=over), app("1.0.0", "", finished={})))
    assert (again["to"], again["hosts"]) == ("1.0.0", [])


def test_over_budget_is_refused() -> None:
    (refusal,) = application(three(app("1.1.0"), app("1.1.0")), budget=1)["refusals"]
    assert refusal.startswith("it would take 24 s, and the budget is 1 s. Raise application_rollback_budget_seconds")


@pytest.mark.parametrize(
    ("live", "taken_up"),
    [
        (["1.0.0", "1.1.0", "1.1.0"], True),  # killed between two hosts
        (["1.0.0", "1.0.0", "1.0.0"], True),  # killed before it was closed: else it would go to the release that it came from
        (["1.1.0", "1.1.0", "1.1.0"], False),  # failed, and every host was put back
        (["1.0.0", "1.2.0", "1.2.0"], False),  # another release came since
    ],
)
def test_one_that_was_begun_is_taken_up_where_the_hosts_show_it(live: list[str], taken_up: bool) -> None:
    journal = {"began": MOMENT, "plan": {"to": "1.0.0", "from": "1.1.0", "hosts": []}, "done": {}}
    made = application(three(*(app(version, {"1.0.0": "1.1.0"}.get(version, "1.0.0"), journal=journal) for version in live)))
    assert made["taken_up"] is taken_up
    if taken_up:
        assert made["to"] == "1.0.0" and made["from"] == "1.1.0" and not made["refusals"]
        assert made["hosts"] == [f"app{number}" for number, version in enumerate(live, 1) if version != "1.0.0"]


@pytest.mark.parametrize("wanted", ["", "1.1.0"])
def test_after_a_deploy_that_was_killed_it_goes_to_what_that_was_leaving(wanted: str) -> None:
    """Not to the one before that, and where a host has the new release without having proved it, that one too."""
    made = application(three(app("1.2.0", "1.0.0", leaving="1.1.0"), app("1.1.0"), app("1.1.0")), wanted)
    assert (made["to"], made["from"], made["hosts"], made["refusals"]) == ("1.1.0", "1.2.0", ["app1"], [])


def test_a_host_that_has_it_without_having_proved_it_goes_too() -> None:
    made = application(three(app("1.0.0", leaving="1.1.0"), app("1.0.0"), app("1.0.0")), "1.0.0")
    assert made["hosts"] == ["app1"]


def test_who_names_a_release_means_it() -> None:
    journal = {"began": MOMENT, "plan": {"to": "1.0.0", "from": "1.1.0", "hosts": []}, "done": {}}
    made = application(three(app("1.0.0", journal=journal), app("1.1.0", journal=journal)), "1.2.0")
    assert (made["to"], made["taken_up"], made["refusals"]) == ("1.2.0", False, [])


# ---------------------------------------------------------------- what fits a run that failed

BEGAN = 1795662900.0  # MOMENT
THEN, THIS = "20261120T010000Z-aaaa", "20261126T031500Z-3f9a"


def a_run(verdict: str = "failed", playbook: str = "go_live.yml", **more: Any) -> Record:
    given = {"id": THIS, "began": MOMENT, "who": "jane", "changed": {"app1": 1}, **more}
    return Record(playbook=playbook, verdict=verdict, **given)


def live(current: str, previous: str = "1.0.0", leaving: str = "", switched: float = BEGAN - 86400) -> dict[str, Any]:
    return {"current": current, "previous": previous, "leaving": leaving, "switched_at": switched}


def fitting(
    *runs: Record,
    apps: dict[str, Any] | None = None,
    sealed: dict[str, list[str]] | None = None,
    doors: tuple[str, ...] = ("open", "open"),
    of: str = "",
) -> dict[str, Any]:
    found = {"app1": [THEN], "edge1": [THEN]} if sealed is None else sealed
    seals_of = {host: [{"name": name, "at": ""} for name in names] for host, names in found.items()}
    return plans.fitting_plan(runs, three(live("1.1.0"), live("1.1.0")) if apps is None else apps, seals_of, doors, of)


@pytest.mark.parametrize(
    ("runs", "more", "said"),
    [
        ([], {}, "no run has left a record here."),
        ([a_run("ok")], {}, f"the last run, {THIS} (go_live.yml by jane), came to a good end."),
        ([a_run("ok", "deploy.yml"), a_run()], {}, f"the last run, {THIS} (deploy.yml by jane), came to a good end."),
        ([a_run()], {"doors": ("new", "")}, f"nobody was served before {THIS} (go_live.yml by jane), and the maintenance page is on."),
        ([a_run(changed={})], {}, f"{THIS} (go_live.yml by jane) failed before it changed anything."),
    ],
)
def test_there_is_nothing_to_take_back(runs: list[Record], more: dict[str, Any], said: str) -> None:
    made = fitting(*runs, **more)
    assert made["statement"].startswith(f"Nothing to take back: {said}")
    assert (made["run"], made["release"], made["state"], made["refusals"]) == ("", "", "", [])


OPENING = a_run(playbook="traffic.yml", id="20261126T090000Z-cccc")


def test_a_go_live_that_could_not_be_opened_goes_back_where_that_is_asked_for() -> None:
    apps = three(live("1.1.0", switched=BEGAN + 60), live("1.1.0", switched=BEGAN + 70))
    assert fitting(OPENING, a_run("ok"), apps=apps)["release"] == ""
    for runs in ([OPENING, a_run("ok")], [a_run("ok")], [OPENING, a_run(playbook="take_back.yml"), a_run("ok")]):
        made = fitting(*runs, apps=apps, of="go_live.yml")
        assert (made["run"], made["release"], made["state"], made["refusals"]) == (THIS, "1.0.0", THEN, [])
        assert (
            f"{THIS} (go_live.yml by jane) came to a good end, and its opening did not. Back go the application to 1.0.0"
            in made["statement"]
        )


@pytest.mark.parametrize(
    ("runs", "doors", "said"),
    [
        ([OPENING, a_run("ok")], ("new", "new"), "nobody was served before"),
        (
            [OPENING, a_run("ok", "deploy.yml"), a_run("ok")],
            ("open",),
            f"the last run is {THIS} (deploy.yml by jane), and not of go_live.yml.",
        ),
        ([OPENING, a_run("ok", "take_back.yml"), a_run("ok")], ("open",), f"the last run is {THIS} (take_back.yml by jane)"),
        ([OPENING], ("open",), "no run has left a record here."),
    ],
)
def test_it_stays_where_nobody_was_served_or_another_run_came_since(runs: list[Record], doors: tuple[str, ...], said: str) -> None:
    made = fitting(*runs, doors=doors, of="go_live.yml")
    assert made["run"] == "" and made["statement"].startswith(f"Nothing to take back: {said}")


@pytest.mark.parametrize("newer", [[], [a_run(playbook="take_back.yml", id="20261126T040000Z-bbbb")], [a_run(check=True)]])
def test_the_configuration_of_a_run_that_failed_goes_back(newer: list[Record]) -> None:
    made = fitting(*newer, a_run(), sealed={"app1": [THIS, THEN], "app2": [THEN], "edge1": [f"{THIS}-before", THEN], "new1": []})
    assert (made["run"], made["release"], made["state"]) == (THIS, "", THEN)
    assert made["statement"] == (
        f"{THIS} (go_live.yml by jane) failed. Back go the configuration to what run {THEN} left; the database stays as it is."
    )


@pytest.mark.parametrize(
    ("newer", "of"), [((OPENING,), "go_live.yml"), ((a_run(playbook="take_back.yml", id="20261126T090000Z-cccc"),), "")]
)
def test_what_came_after_the_run_and_left_a_commit_is_no_state_from_before_it(newer: tuple[Record, ...], of: str) -> None:
    """A preview is sealed, and a way back that failed after it was; a stage that came between a good run and the one that failed is what it goes to."""
    edge = "20261121T010000Z-bbbb"
    sealed = {host: [OPENING.id, THIS, edge, THEN] for host in ("app1", "edge1")}
    assert fitting(*newer, a_run("ok" if of else "failed"), sealed=sealed, of=of)["state"] == edge


@pytest.mark.parametrize(
    "apps",
    [
        three(live("1.1.0", switched=BEGAN + 60), live("1.1.0", switched=BEGAN + 70)),  # a later stage failed
        three(live("1.1.0", switched=BEGAN + 60), live("1.0.0", "0.9.0")),  # killed between two hosts
        three(live("1.1.0", "0.9.0", leaving="1.0.0", switched=BEGAN + 60), live("1.0.0", "0.9.0")),  # the first did not get healthy
    ],
)
def test_the_release_of_a_run_that_failed_goes_back(apps: dict[str, Any]) -> None:
    made = fitting(a_run("INCOMPLETE", changed={}), apps=apps)
    assert (made["release"], made["state"], made["refusals"]) == ("1.0.0", THEN, [])
    assert f"was cut off. Back go the application to 1.0.0 and the configuration to what run {THEN} left" in made["statement"]


OLDER = "20261126T010000Z-dddd"


@pytest.mark.parametrize("verdict", ["INCOMPLETE", "failed"])
@pytest.mark.parametrize(
    "between", [[], [a_run(playbook="take_back.yml", id="20261126T011500Z-bbbb")], [a_run("ok", "prove.yml", changed={})]]
)
def test_what_an_earlier_run_had_begun_goes_back_with_the_run_that_went_on_with_it(verdict: str, between: list[Record]) -> None:
    """The first is killed behind its release, the second, the same command, fails behind it as well."""
    first = a_run(verdict, id=OLDER, began="2026-11-26T01:00:00Z")
    apps = three(live("1.1.0", switched=BEGAN - 3600), live("1.1.0", switched=BEGAN - 3590))
    made = fitting(a_run(), *between, first, a_run("ok", id=THEN), apps=apps, sealed={"app1": [OLDER, THEN], "edge1": [OLDER, THEN]})
    assert (made["run"], made["release"], made["state"], made["refusals"]) == (THIS, "1.0.0", THEN, [])
    alone = fitting(a_run(), a_run("ok", "take_back.yml", id="20261126T011500Z-bbbb"), first, apps=apps)
    assert alone["release"] == "", "that was taken back"


@pytest.mark.parametrize(
    "newer",
    [
        a_run("ok", "prove.yml", changed={}),
        a_run("failed", "rollback_configuration.yml", changed={}),
        a_run("ok", "status.yml", changed={}),
    ],
)
def test_a_run_that_changed_nothing_hides_none_that_failed(newer: Record) -> None:
    apps = three(live("1.1.0", switched=BEGAN + 60), live("1.1.0", switched=BEGAN + 70))
    assert fitting(newer, a_run(), apps=apps)["release"] == "1.0.0"
    assert fitting(newer, a_run("ok"), apps=apps, of="go_live.yml")["release"] == "1.0.0"
    # But one that was refused before it could release is not a reason to take back what was left on purpose.
    assert fitting(a_run(changed={}), newer, a_run(), apps=apps)["run"] == ""


def test_one_that_changed_something_says_what_it_hides() -> None:
    made = fitting(a_run("ok", "hosts.yml"), a_run(id=OLDER))
    assert made["run"] == "" and f"What {OLDER} (go_live.yml) left, which did not, rollback_application.yml" in made["statement"]
    for last in (a_run("ok", id=OLDER), a_run("ok", "take_back.yml", id=OLDER)):
        assert fitting(a_run("ok", "hosts.yml"), last, a_run())["statement"].endswith("came to a good end.")


@pytest.mark.parametrize(("ended", "release"), [(9.0, ""), (None, "1.0.0")])
def test_what_one_that_was_cut_off_had_taken_back_already_stays_so(ended: float | None, release: str) -> None:
    stages = [Stage("1/1 Fitting plan", 0, 5.0), Stage("2/3 Switch", 5, 20.0), Stage("3/3 Verdict", 25, ended)]
    cut_off = a_run("INCOMPLETE", "take_back.yml", id="20261126T040000Z-bbbb", stages=stages)
    apps = three(live("1.0.0", "1.1.0", switched=BEGAN + 900)) if ended else three(live("1.1.0", switched=BEGAN + 60))
    made = fitting(cut_off, a_run(), apps=apps)
    assert (made["run"], made["release"], made["state"]) == (THIS, release, THEN)


@pytest.mark.parametrize(("began", "release"), [("2026-11-26T03:40:00Z", "1.0.0"), ("2026-11-20T03:40:00Z", "")])
def test_one_that_was_cut_off_between_two_hosts_goes_on_to_where_it_was_going(began: str, release: str) -> None:
    journal = {"began": began, "plan": {"to": "1.0.0", "from": "1.1.0"}}
    there = live("1.0.0", "1.0.0", leaving="1.1.0", switched=BEGAN + 900)
    cut_off = a_run("INCOMPLETE", "take_back.yml", id="20261126T040000Z-bbbb")
    made = fitting(cut_off, a_run(), apps=three({**there, "journal": journal}, {**live("1.1.0", switched=BEGAN + 60), "journal": journal}))
    assert made["release"] == release and bool(made["refusals"]) is not bool(release)


def test_the_stage_after_which_the_release_is_back_is_the_last_of_its_playbook() -> None:
    number, name = plans.RELEASE_BACK.split()
    plays = (Path(__file__).resolve().parents[4] / "playbooks/rollback_application.yml").read_text()
    assert f"- name: ({number}) {name} | Healthy" in plays


def test_what_was_taken_back_is_not_taken_back_again() -> None:
    apps = three(live("1.0.0", "1.1.0", switched=BEGAN + 900))
    made = fitting(a_run("ok", "take_back.yml", id="20261126T040000Z-bbbb"), a_run(), apps=apps)
    assert (made["run"], made["release"], made["state"]) == ("", "", "")


def test_a_deploy_that_put_its_hosts_back_has_no_release_to_take_back() -> None:
    apps = three(live("1.0.0", "0.9.0", switched=BEGAN + 60), live("1.0.0", "0.9.0"))
    assert fitting(a_run(playbook="deploy.yml"), apps=apps)["release"] == ""
    left = three(live("1.1.0", "0.9.0", leaving="1.0.0", switched=BEGAN + 60), live("1.0.0", "0.9.0"))
    assert fitting(a_run(playbook="deploy.yml"), apps=left)["release"] == "1.0.0"


def test_where_hosts_had_different_releases_somebody_has_to_choose() -> None:
    apps = three(live("1.2.0", "1.1.0", switched=BEGAN + 60), live("1.0.0", "0.9.0"))
    (refusal,) = fitting(a_run(), apps=apps)["refusals"]
    assert "1.1.0 on app1, 1.0.0 on app2" in refusal and "-e rollback_version=" in refusal


def test_a_first_release_has_nowhere_to_go_back_to() -> None:
    made = fitting(a_run(), apps=three(live("1.0.0", "", switched=BEGAN + 60)), sealed={"app1": []}, doors=("open",))
    assert (made["release"], made["state"]) == ("", "") and made["statement"].endswith("There is no state from before it to go to.")


# ---------------------------------------------------------------- the configuration


def seals(*names: str) -> dict[str, Any]:
    """A look at a host that has these, the newest first."""
    return {
        "seals": [
            {"name": name, "at": f"2026-11-{30 - place}T00:00:00Z", "commit": "c", "secrets": ""} for place, name in enumerate(names)
        ],
        "journal": {},
        "rates": {},
        "dirty": [],
    }


def test_the_configuration_goes_to_the_state_before_the_last_run() -> None:
    chosen = plans.choose_run({"a": seals("r3", "r2", "r1"), "b": seals("r3", "r2", "r1")}, "")
    assert (chosen["to"], chosen["last"], chosen["refusals"]) == ("r2", "r3", [])


def test_what_a_rollback_found_is_no_run_but_can_be_named() -> None:
    looks = {"a": seals("r3", "x-before", "r2")}
    assert plans.choose_run(looks, "")["to"] == "r2"
    assert plans.choose_run(looks, "x-before") == {
        "to": "x-before",
        "at": "2026-11-29T00:00:00Z",
        "last": "r3",
        "left": "",
        "refusals": [],
        "journal": {},
    }


def test_the_same_command_again_does_not_go_to_the_run_that_a_rollback_left() -> None:
    """r4 is the rollback from r3 to r2; its own commit has a newer name for what r2 left."""
    over = {"plan": {"to": "r2"}, "began": "2026-11-29T12:00:00Z", "done": {"verify": 2.0}}
    older = {"plan": {"to": "r1"}, "began": "2026-11-27T12:00:00Z", "done": {}}
    looks = {"a": {**seals("r4", "r3", "r2", "r1"), "finished": over}, "b": {**seals("r4", "r3", "r2", "r1"), "finished": older}}
    chosen = plans.choose_run(looks, "")
    assert (chosen["to"], chosen["left"], chosen["last"], chosen["refusals"]) == ("r2", "r3", "r4", [])
    plan = configuration({"a": found(), "b": found()}, looks)["plan"]
    assert plan["turns"] == [] and plan["statement"].startswith(
        "The state of run r2 is there since the last rollback; -e rollback_run=r3 goes to what that left. Back to run r2"
    )
    assert plans.choose_run(looks, "r3")["to"] == "r3" and plans.choose_run(looks, "r3")["left"] == ""


@pytest.mark.parametrize(
    ("runs", "done", "to"),
    [
        (("r5", "r4", "r3", "r2"), {"verify": 2.0}, "r4"),  # r5 came since: back to what the rollback r4 left
        (("r4", "r3", "r2"), {"verify": 2.0, "forth": 9.0}, "r2"),  # r4 rehearsed, and r3 is there again
    ],
)
def test_after_another_run_or_a_rehearsal_it_goes_to_the_state_before(runs: tuple[str, ...], done: dict[str, float], to: str) -> None:
    over = {"plan": {"to": "r2"}, "began": "2026-11-28T12:00:00Z" if len(runs) == 4 else "2026-11-29T12:00:00Z", "done": done}
    chosen = plans.choose_run({"a": {**seals(*runs), "finished": over}}, "")
    assert (chosen["to"], chosen["left"], chosen["refusals"]) == (to, "", [])


def test_a_run_that_only_some_hosts_have_is_passed_over() -> None:
    part = {"a": seals("r3", "r2", "r1"), "b": seals("r3", "r1")}
    part["b"]["seals"][1]["at"] = "2026-11-28T00:00:00Z"
    assert plans.choose_run(part, "")["to"] == "r1"
    assert plans.choose_run(part, "r2")["refusals"] == [
        "b has no commit of run r2; the oldest that it has: r1. Leave a host that came later out with --limit '!b'"
    ]


def test_without_a_run_before_it_is_refused() -> None:
    (refusal,) = plans.choose_run({"a": seals("r1"), "b": seals()}, "")["refusals"]
    assert "left a commit on every host (a, b have fewer than two). Runs are: r1" in refusal


@pytest.mark.parametrize(
    ("moment", "to"),
    [
        ("2026-11-30T00:00:00Z", "r3"),  # nothing ran since, as after a deploy alone: it stays
        ("2026-11-29T23:00:00+00:00", "r2"),
        ("2026-11-29T00:30:00+01:00", "r1"),  # the run of that release and a later one: before both
    ],
)
def test_with_the_database_the_configuration_goes_to_that_of_then(moment: str, to: str) -> None:
    # What a rollback of the configuration came to in between is not asked: it was before, or goes as all that followed.
    over = {"plan": {"to": "r0"}, "began": "2026-11-29T12:00:00Z", "done": {"verify": 2.0}}
    looks = {"a": {**seals("r3", "x-before", "r1"), "finished": over}, "b": seals("r3", "r2", "r1")}
    looks["a"]["seals"][1] = looks["b"]["seals"][1]
    chosen = plans.choose_run(looks, "", moment)
    assert (chosen["to"], chosen["left"], chosen["refusals"]) == (to, "", [])
    assert plans.choose_run(looks, "r3", moment)["to"] == "r3"


def test_a_moment_before_all_runs_is_refused_with_the_first_of_them() -> None:
    (refusal,) = plans.choose_run({"a": seals("r3", "r2", "r1"), "b": seals("r3", "r2")}, "", "2026-11-01T00:00:00Z")["refusals"]
    assert "by 2026-11-01T00:00:00Z; the first that did is r2 of 2026-11-29T00:00:00Z. Name a run with -e rollback_run=" in refusal
    (refusal,) = plans.choose_run({"a": seals("r3"), "b": seals()}, "", "2026-12-01T00:00:00Z")["refusals"]
    assert "by 2026-12-01T00:00:00Z. Name a run" in refusal


def test_a_rollback_that_was_begun_has_its_run() -> None:
    looks = {"a": seals("r3", "r2", "r1"), "b": {**seals("r3", "r2", "r1"), "journal": {"began": MOMENT, "plan": {"to": "r1"}, "done": {}}}}
    assert plans.choose_run(looks, "")["to"] == "r1"
    with pytest.raises(RollbackError, match="a rollback to r1 was begun .* -e rollback_run=r1"):
        plans.choose_run(looks, "r2")


@pytest.mark.parametrize(("holders", "taken_up"), [(3, True), (2, True), (1, False)])
def test_a_journal_that_only_a_lost_host_has_is_of_a_rollback_that_was_undone(holders: int, taken_up: bool) -> None:
    looks = {name: seals("r3", "r2", "r1") for name in "abc"}
    for name in list(looks)[:holders]:
        looks[name]["journal"] = {"began": MOMENT, "plan": {"to": "r1", "keepers": ["a", "b", "c"]}, "done": {}}
    assert (plans.choose_run(looks, "")["to"] == "r1") is taken_up
    assert plans.choose_run({**looks, "d": seals("r3", "r2", "r1")}, "r1")["to"] == "r1"


@pytest.mark.parametrize(
    ("hosts", "wanted"),
    [
        (["app1", "app2", "db1", "edge1", "edge2"], [["db1", "app1"], ["app2"], ["edge1"], ["edge2"]]),
        (["edge2"], [["edge2"]]),
        (["app3"], [["app3"]]),
        ([], []),
    ],
)
def test_one_host_of_a_tier_at_a_time_and_the_edge_alone(hosts: list[str], wanted: list[list[str]]) -> None:
    assert [turn["hosts"] for turn in plans.turns(TIERS, hosts, [], ["edge"])] == wanted


def test_a_host_of_two_tiers_goes_once() -> None:
    assert [turn["hosts"] for turn in plans.turns({"a": ["x", "y"], "b": ["x"], "edge": []}, ["x", "y"], [], ["edge"])] == [["x"], ["y"]]


def found(files: int = 0, units: dict[str, str] | None = None, refused: str = "", kept: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "files": [{"path": f"/etc/{number}", "what": "changed", "units": list(units or {})} for number in range(files)],
        "units": units or {},
        "kept": kept or {},
        "refused": refused,
    }


def configuration(
    host: dict[str, dict[str, Any]], looks: dict[str, dict[str, Any]] | None = None, budget: float = 600, wanted: str = ""
) -> dict[str, Any]:
    looks = looks or {name: seals("r3", "r2") for name in host}
    chosen = plans.choose_run(looks, wanted)
    return plans.configuration_plan(looks, chosen, host, tiers=TIERS, serving=SERVING, budget_seconds=budget, moment=MOMENT)


def test_the_plan_of_the_configuration_names_files_and_who_is_drained() -> None:
    looks = {name: seals("r3", "r2") for name in ("db1", "app1", "edge1")}
    looks["edge1"]["dirty"] = ["motd"]
    journal = configuration(
        {
            "db1": found(),
            "app1": found(2, {"arxos-api.service": "restart"}, kept={"/etc/ssl/x": "certificate or key"}),
            "edge1": found(1, {"nginx.service": "reload"}),
        },
        looks,
    )
    plan = journal["plan"]
    assert plan["turns"] == [{"hosts": ["app1"], "drained": ["app1"]}, {"hosts": ["edge1"], "drained": []}]
    assert plan["before"] == "20261126T031500Z-before" and plan["estimate_seconds"] == 25 + 12 + 10 and plan["refusals"] == []
    assert plan["statement"].startswith(
        "Back to run r2 of 2026-11-29T00:00:00Z: 3 files on 2 of 3 hosts, in 2 turns; 1 that differ stay as they are;"
    )
    assert plan["lines"] == [
        "app1: /etc/0 changed (arxos-api.service)",
        "app1: /etc/1 changed (arxos-api.service)",
        "app1: /etc/ssl/x stays: certificate or key",
        "edge1: 1 changes that no commit has are committed first (motd)",
        "edge1: /etc/0 changed (nginx.service)",
    ]


def test_a_daemon_that_refuses_and_a_budget_refuse_the_configuration() -> None:
    plan = configuration({"edge1": found(1, refused="nginx refuses the configuration")}, budget=1)["plan"]
    assert plan["refusals"][0] == "edge1: nginx refuses the configuration" and "the budget is 1 s" in plan["refusals"][1]


def test_a_configuration_that_was_begun_keeps_its_turns() -> None:
    begun = configuration({"app1": found(1), "edge1": found(1)})
    begun["done"] = {"plan": 0.0, "turn 1": 4.0}
    looks = {name: {**seals("r3", "r2"), "journal": begun} for name in ("app1", "edge1")}
    again = configuration({"app1": found(), "edge1": found(1)}, looks, budget=1)
    assert again["plan"]["turns"] == begun["plan"]["turns"] and again["done"] == begun["done"] and again["plan"]["taken_up"]
    assert again["plan"]["before"] == begun["plan"]["before"] and again["plan"]["refusals"] == []
    # A host that was put back, whatever was noted of it, goes again.
    assert configuration({"app1": found(1), "edge1": found(1)}, looks)["done"] == {"plan": 0.0}


def test_who_has_what_was_there_before_under_its_name_went_whatever_was_noted() -> None:
    begun = configuration({"app1": found(1), "edge1": found(1)})
    assert begun["plan"]["went"] == []
    looks = {name: {**seals("r3", "r2"), "journal": begun} for name in ("app1", "edge1")}
    looks["app1"]["seals"] = [{"name": begun["plan"]["before"], "at": MOMENT}, *looks["app1"]["seals"]]
    assert configuration({"app1": found(), "edge1": found(1)}, looks)["plan"]["went"] == ["app1"]


# ---------------------------------------------------------------- everything


def database(**more: Any) -> dict[str, Any]:
    return {"to": "1.1.0", "estimate_seconds": 30.0, "refusals": [], "statement": "Back to 1.1.0: drops all.", **more}


def full(
    parts: dict[str, Any] | None = None, looks: dict[str, Any] | None = None, budget: float = 1800, door: str = "open"
) -> dict[str, Any]:
    parts = {
        "database": database(),
        "application": application(three(app("1.1.0")), closed=True),
        "configuration": configuration({"edge1": found(1)}),
        **(parts or {}),
    }
    given = (parts["database"], parts["application"], parts["configuration"])
    return plans.full_plan(*given, looks=looks or {}, doors={"edge1": door}, budget_seconds=budget, moment=MOMENT)


def test_everything_is_the_sum_of_its_parts() -> None:
    plan = full()["plan"]
    assert plan["steps"] == {"stop": 10.0, "database": 40.0, "application": 15.0, "configuration": 17.0, "verify": 12.0, "resume": 5.0}
    assert plan["estimate_seconds"] == 99.0 and plan["refusals"] == []
    assert plan["release"] == {"to": "1.0.0", "from": "1.1.0", "hosts": ["app1"]} and plan["run"] == "r2"
    assert "about 1 min 39 s of 30 min 0 s" in plan["statement"] and "Database: Back to 1.1.0: drops all." in plan["statement"]


@pytest.mark.parametrize("named", ["", "1.0.0"])
def test_after_everything_went_back_the_application_does_not_go_to_what_that_left(named: str) -> None:
    """Also where it was taken up between two hosts, by a run that names the release: what it came from is what the first run found."""
    begun = full({"application": application(three(app("1.1.0"), app("1.1.0")), named, closed=True)})
    part = application(three(app("1.0.0", "1.1.0"), app("1.0.0", "1.1.0")), named, closed=True)
    over = {"plan": {**part, **begun["plan"]["release"]}, "began": MOMENT, "done": {}}
    looks = three(*[app("1.0.0", "1.1.0", finished=over)] * 2)
    for closed in (False, True):
        made = application(looks, closed=closed)
        assert (made["to"], made["from"], made["hosts"]) == ("1.0.0", "1.1.0", [])
    # Also while the full one is not at its end.
    open_looks = three(*[app("1.0.0", "1.1.0", journal=over)] * 2)
    assert (application(open_looks)["to"], application(open_looks)["hosts"]) == ("1.0.0", [])


def test_how_the_front_door_was_is_kept_from_the_first_run_on() -> None:
    begun = full(door="preview")
    assert begun["plan"]["doors"] == {"edge1": "preview"}
    assert full(looks={"db1": {"journal": begun}}, door="closed")["plan"]["doors"] == {"edge1": "preview"}


def test_what_refuses_a_part_refuses_everything() -> None:
    parts = {
        "database": database(refusals=["it drops 7 transactions since noon"]),
        "application": application(three(app("1.0.0", ""))),
        "configuration": configuration({"edge1": found(1, refused="nginx refuses")}),
    }
    assert full(parts, budget=60)["plan"]["refusals"] == [
        "database: it drops 7 transactions since noon",
        "application: no release was live before this one",
        "configuration: edge1: nginx refuses",
        "it would take 1 min 39 s, and the budget is 1 min 0 s. Raise full_rollback_budget_seconds if the platform may be away for as long",
    ]


def test_everything_that_was_begun_goes_on_where_it_was() -> None:
    begun = full()
    begun["done"] = {"plan": 0, "stop": 8.0, "database": 40.0}
    again = full({"application": application(three(app("1.0.0", "")))}, {"db1": {"journal": begun}})
    assert again["done"] == begun["done"] and again["plan"]["taken_up"] and again["plan"]["refusals"] == []
    # What was written between a run that was killed in its plan and the next one was not agreed to.
    begun["done"] = {"plan": 0}
    assert full({"database": database(refusals=["it drops 7"])}, {"db1": {"journal": begun}})["plan"]["refusals"] == [
        "database: it drops 7"
    ]
    begun["done"] = {"plan": 0, "database": 40.0, "configuration": 5.0}
    refused = {"configuration": configuration({"edge1": found(1, refused="nginx refuses")})}
    assert full(refused, {"db1": {"journal": begun}})["plan"]["refusals"] == []
    with pytest.raises(RollbackError, match="finish it first, with -e to=1.1.0"):
        full({"database": database(to="1.0.0")}, {"db1": {"journal": begun}})


# ---------------------------------------------------------------- what is learnt


def test_progress_is_told_against_estimate_and_budget() -> None:
    journal = {"plan": {"estimate_seconds": 20.0, "budget_seconds": 30.0}, "done": {"plan": 9.0, "switch": 21.44}}
    assert plans.progress(journal) == "switch 21.4 s: 21.4 s, where 20 s were estimated and 30 s are allowed."
    journal["done"]["verify"] = 9.0
    assert plans.progress(journal).endswith("30.4 s, where 20 s were estimated and 30 s are allowed. It is over its budget.")
    journal["done"] = {}
    assert plans.progress(journal).startswith("nothing yet: 0.0 s")


def test_after_a_rollback_its_estimate_is_what_it_took() -> None:
    made = application(three(app("1.1.0"), app("1.1.0"), app("1.1.0")))
    rates = plans.learn("application", {}, {"plan": made, "done": {"plan": 0, "switch": 21.0, "verify": 2.5}})
    assert rates == {"turn_seconds": 7.0, "verify_seconds": 2.5}
    assert application(three(app("1.1.0", rates=rates), app("1.1.0"), app("1.1.0")))["estimate_seconds"] == 23.5

    journal = configuration({"db1": found(1), "app1": found(1, {"arxos-api.service": "restart"}), "edge1": found(1), "edge2": found(1)})
    done = {"plan": 0, "turn 1": 21.0, "turn 2": 5.0, "turn 3": 7.0, "verify": 4.0, "seal": 99.0}
    rates = plans.learn("configuration", {"turn_seconds": 50.0}, {**journal, "done": done})
    assert rates == {"turn_seconds": 6.0, "drained_seconds": 21.0, "verify_seconds": 4.0}
    looks = {name: {**seals("r3", "r2"), "rates": rates} for name in ("db1", "app1", "edge1", "edge2")}
    again = configuration(
        {"db1": found(1), "app1": found(1, {"arxos-api.service": "restart"}), "edge1": found(1), "edge2": found(1)}, looks
    )
    assert again["plan"]["estimate_seconds"] == 37.0

    everything = full()
    done = {"plan": 0, "stop": 8.0, "database": 39.0, "application": 11.0, "configuration": 9.0, "verify": 6.0, "resume": 2.0}
    inside = {"database": {"done": {"plan": 3, "fence": 2.0, "rejoin": 28.0}}, "configuration": {"done": {"plan": 0, "turn 1": 6.0}}}
    rates = plans.learn("full", {}, {**everything, "done": done}, inside)
    assert rates == {
        "stop_seconds": 8.0,
        "database_seconds": 9.0,
        "application_seconds": 11.0,
        "configuration_seconds": 3.0,
        "verify_seconds": 6.0,
        "resume_seconds": 2.0,
    }
    with pytest.raises(RollbackError, match="nothing is known"):
        plans.learn("weather", {}, everything)


def test_nothing_is_learnt_of_what_was_not_done() -> None:
    known = {"turn_seconds": 7.0}
    assert plans.learn("application", known, {"plan": application(three(app("1.0.0")), "1.0.0"), "done": {"switch": 1.0}}) == known
