# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rung a rollback takes, what it estimates, drops and refuses; who is held before a release."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _rollback
from ansible_collections.arxos.platform.plugins.module_utils._rollback import RollbackError

LABEL = "1.2.0@20261123T081949Z"
POINT = {
    "name": "1.2.0",
    "label": LABEL,
    "timeline": 3,
    "lsn": "0/5000090",
    "created_at": "2026-11-23T08:19:49.500000Z",
    "xid": 100,
    "rows": {"arxos_production": {"a.buildings": [10, 2, 1], "a.symbols": [100, 0, 0]}},
    "counted_on": "x",
}
GUARD = {"label": LABEL, "running": True, "held": True, "promoted": False, "lsn": "0/5000090", "cut_off": True, "streaming": False}


def leader(**more: Any) -> dict[str, Any]:
    return {
        "running": True,
        "in_recovery": False,
        "clock": "2026-11-23T08:21:19.500000Z",
        "lsn": "0/6000090",
        "timeline": 3,
        "history": [[1, "0/2000000"], [2, "0/4000000"]],
        "xid": 141,
        "rows": {"arxos_production": {"a.buildings": [49, 2, 4], "a.new": [1, 0, 0]}},
        "counted_on": "x",
        "bytes": 1 << 30,
        "points": [POINT],
        "guard": {},
        "journal": {},
        "rates": {},
        **more,
    }


def replica(**more: Any) -> dict[str, Any]:
    return {**leader(), "in_recovery": True, "points": [POINT], **more}


def backup(
    label: str, stop: str, timeline: int = 3, at: str = "2026-11-23T03:00:00Z", size: int = 2 << 30, error: bool = False
) -> dict[str, Any]:
    return {
        "label": label,
        "lsn_stop": stop,
        "wal_start": f"{timeline:08X}0000000000000004",
        "stopped_at": at,
        "size": size,
        "page_errors": error,
    }


BEFORE, AFTER = backup("before", "0/4800000"), backup("after", "0/5800000", at="2026-11-23T08:20:30Z")
HELD = {"database1": leader(), "database2": replica(), "database3": {"running": True, "in_recovery": True, "guard": GUARD}}
NOT_HELD = {"database1": leader(), "database2": replica(), "database3": replica()}


def make(to: str = "1.2.0", members: Any = None, backups: Any = (BEFORE, AFTER), budget: float = 900, **more: Any) -> dict[str, Any]:
    return _rollback.plan(to, HELD if members is None else members, backups, budget_seconds=budget, **more)


def test_a_guard_that_is_held_at_the_point_is_the_lowest_rung() -> None:
    made = make(consent=True)
    assert (made["rung"], made["open_on"], made["leader"], made["timeline"]) == ("guard", "database3", "database1", 3)
    assert made["refusals"] == []
    assert made["estimate_seconds"] == _rollback.RATES["guard_seconds"]


@pytest.mark.parametrize(
    "guard",
    [
        {},
        {**GUARD, "label": "1.1.0@20261101T000000Z"},
        {**GUARD, "held": False},
        {**GUARD, "lsn": "0/5000000"},
    ],
    ids=["none", "another point", "still replaying", "paused on its way"],
)
def test_without_such_a_guard_it_comes_from_the_backup(guard: dict[str, Any]) -> None:
    made = make(members={**HELD, "database3": {**HELD["database3"], "guard": guard}}, consent=True)
    assert (made["rung"], made["open_on"], made["backup"], made["refusals"]) == ("backup", "database1", "before", [])


def test_a_rung_can_be_forced() -> None:
    assert make(consent=True, rung="backup")["rung"] == "backup"
    refused = make(members=NOT_HELD, consent=True, rung="guard")
    assert refused["rung"] == "" and "no replica is held at 1.2.0@" in refused["refusals"][0]
    refused = make(consent=True, rung="Backup")
    assert refused["rung"] == "" and refused["refusals"] == [
        "rung is Backup: write guard or backup; any, or nothing, takes the one that is faster"
    ]


def test_the_answer_of_a_survey_that_any_rung_will_do_forces_none() -> None:
    assert make(consent=True, rung="any")["rung"] == "guard"


BACK = {"plan": {"to": "1.2.0"}, "began": "2026-11-23T08:20:00Z", "done": {}}


def test_the_same_command_again_does_not_drop_what_came_since_the_first() -> None:
    members = {
        **HELD,
        "database2": replica(finished=BACK),
        "database3": {**HELD["database3"], "finished": {**BACK, "began": "2026-11-20T00:00:00Z"}},
    }
    (refusal,) = make(members=members, consent="true")["refusals"]
    assert refusal.startswith(
        "the database went back to 1.2.0 at 2026-11-23T08:20:00Z, and nothing was released since. Once more, it drops all writes since"
    ) and refusal.endswith("add -e accept_data_loss=again")
    assert make(members=members, consent="again")["refusals"] == []
    nothing = {**members, "database1": leader(xid=101)}
    assert make(members=nothing, consent="true")["refusals"] == []


def test_when_the_database_was_there_is_what_the_leader_knows() -> None:
    """A replica that is held has an older point of the same name, where another attempt at a release has made it anew."""
    older = {**POINT, "created_at": "2026-11-01T00:00:00Z"}
    members = {"db1": leader(), "db2": replica(points=[older]), "db3": {"running": False}}
    assert _rollback.moment_of(POINT["name"], members) == POINT["created_at"]
    assert _rollback.moment_of("2026-12-31T23:59:59Z", members) == "2026-12-31T23:59:59Z"
    assert _rollback.moment_of("nothing", members) == _rollback.moment_of(POINT["name"], {"db2": replica()}) == ""


def test_a_point_that_was_gone_back_to_is_used_up() -> None:
    """Its row was written after it, and went with all the rest."""
    back = {**BACK, "plan": {"to": "1.2.0", "point": POINT}}
    with pytest.raises(RollbackError, match=f"went back to 1.2.0 at 2026-11-23T08:20:00Z, which used .* -e to={POINT['created_at']}$"):
        make(members={**HELD, "database1": leader(points=[], finished=back)}, consent="true")


@pytest.mark.parametrize(
    "more",
    [
        {"finished": {**BACK, "plan": {"to": "1.1.0"}}},
        {"finished": BACK, "points": [{**POINT, "name": "1.3.0", "created_at": "2026-11-23T08:20:30Z"}, POINT]},
        {"finished": {}},
    ],
    ids=["elsewhere", "a release since", "none"],
)
def test_it_is_agreed_to_as_any_other(more: dict[str, Any]) -> None:
    assert make(members={**HELD, "database1": leader(**more)}, consent="true")["refusals"] == []


@pytest.mark.parametrize(
    ("members", "full", "to"),
    [
        ({"d1": {}, "d2": {"guard": {}, "journal": {}}}, {}, ("rehearsal-20261126T031500Z", False)),
        ({"d1": {"journal": {"plan": {"to": "rehearsal-20261126T010000Z"}}}}, {}, ("rehearsal-20261126T010000Z", True)),
        ({"d1": {}}, {"d1": {"journal": {"plan": {"to": "rehearsal-20261126T010000Z"}}}}, ("rehearsal-20261126T010000Z", True)),
        ({"d1": {}, "d2": {"guard": {"label": "rehearsal-20261126T023000Z@20261126T023003Z"}}}, {}, ("rehearsal-20261126T023000Z", False)),
        ({"d1": {}, "d2": {"guard": {"label": "rehearsal-20261126T010000Z@20261126T010003Z"}}}, {}, ("rehearsal-20261126T031500Z", False)),
        # Of somebody else's: the rollback or the guard of a release refuses the rehearsal in words.
        ({"d1": {"guard": {"label": LABEL}}}, {"d1": {"journal": {"plan": {"to": "1.2.0"}}}}, ("rehearsal-20261126T031500Z", False)),
    ],
)
def test_a_rehearsal_that_was_killed_goes_on_to_the_place_that_it_made(members: Any, full: Any, to: tuple[str, bool]) -> None:
    found = _rollback.rehearsal(members, full, datetime(2026, 11, 26, 3, 15, tzinfo=timezone.utc))
    assert (found["to"], found["begun"]) == to


def test_the_estimate_grows_with_the_size_and_follows_what_was_measured() -> None:
    known = {"backup_seconds": 40, "restore_mib_per_second": 100, "replay_mib_per_second": 4}
    made = make(members={**NOT_HELD, "database1": leader(rates=known)}, consent=True)
    assert made["sizes"] == {"restore_mib": 2048.0, "replay_mib": 8.0}
    assert made["estimate_seconds"] == 62.5  # 40 + 2048 / 100 + 8 / 4, to a tenth
    assert make(members={**HELD, "database1": leader(rates={"guard_seconds": 33.5})}, consent=True)["estimate_seconds"] == 33.5


def test_what_is_over_budget_is_refused() -> None:
    large = backup("large", "0/4800000", size=500 << 30)
    made = make(members=NOT_HELD, backups=[large], consent=True)
    assert "it would take 1 h 25 min, and the budget is 15 min 0 s" in made["refusals"][0]
    assert make(members=NOT_HELD, backups=[large], consent=True, budget=7200)["refusals"] == []
    assert make(backups=[large], consent=True)["refusals"] == []  # a guard costs the same whatever the size


def test_what_is_dropped_is_told_and_has_to_be_agreed_to() -> None:
    made = make()
    assert made["loss"] == {
        "since": "2026-11-23T08:19:49.500000Z",
        "seconds": 90,
        "bytes": 0x1000000,
        "transactions": 40,
        "rows": {"inserted": 40, "updated": 0, "deleted": 3},
        "gone": ["arxos_production: a.symbols"],
    }
    assert len(made["refusals"]) == 1
    for word in (
        "40 transactions",
        "2026-11-23T08:19:49",
        "1 min 30 s",
        "40 inserted",
        "1 tables are gone since and come back (arxos_production: a.symbols)",
        "16777216 bytes",
        "accept_data_loss=true",
    ):
        assert word in made["refusals"][0]


def test_nothing_written_needs_no_consent() -> None:
    assert make(members={**HELD, "database1": leader(xid=101)})["refusals"] == []


@pytest.mark.parametrize(
    "changed",
    [{"counted_on": "y"}, {"rows": {"arxos_production": {"a.buildings": [3, 0, 0]}}}],
    ids=["another leader", "counters began anew"],
)
def test_rows_that_nobody_knows_are_not_told(changed: dict[str, Any]) -> None:
    made = make(members={**HELD, "database1": leader(**changed)})
    assert made["loss"]["rows"] is None and made["loss"]["transactions"] == 40


def test_a_time_is_a_target_too() -> None:
    made = make(to="2026-11-23T08:20:00Z", consent=True)
    assert (made["rung"], made["backup"], made["refusals"]) == ("backup", "before", [])
    assert made["loss"]["transactions"] is None and made["loss"]["seconds"] == 80
    assert make(to="2026-11-23 09:20:40+01:00", consent=True)["backup"] == "after"
    assert "an unknown amount of WAL" in make(to="2026-11-23T08:20:00Z")["refusals"][0]
    assert make(to="2026-11-23T09:00:00Z", consent=True)["refusals"] == ["2026-11-23T09:00:00Z is in the future"]


def test_a_target_that_is_neither_names_what_there_is() -> None:
    with pytest.raises(RollbackError, match=r"1\.3\.0 is neither.*1\.2\.0 \(2026-11-23T08:19:49"):
        make(to="1.3.0")


@pytest.mark.parametrize(
    ("backups", "chosen"),
    [
        ([BEFORE, AFTER], "before"),
        ([backup("old", "0/3000000", timeline=2), BEFORE], "before"),
        ([backup("old", "0/3000000", timeline=2)], "old"),
        ([backup("left branch", "0/4100000", timeline=2)], None),
        ([backup("broken", "0/4900000", error=True), BEFORE], "before"),
        ([AFTER], None),
        ([], None),
    ],
    ids=["newest before", "of two", "of an ancestor", "of a branch that was left", "broken", "too late", "none"],
)
def test_the_backup_is_the_newest_before_the_target_on_its_history(backups: list[dict[str, Any]], chosen: str | None) -> None:
    made = make(members=NOT_HELD, backups=backups, consent=True)
    assert made["backup"] == (chosen or "")
    assert bool(made["refusals"]) is (chosen is None)


@pytest.mark.parametrize("leaders", [0, 2])
def test_without_exactly_one_leader_it_is_refused(leaders: int) -> None:
    members = {f"database{number}": leader() if number <= leaders else {"running": False} for number in (1, 2, 3)}
    assert f"{leaders} members take writes" in make(members=members)["refusals"][0]


def test_a_rollback_that_was_begun_is_taken_up_where_it_got_furthest() -> None:
    journal = {"plan": {"to": "1.2.0"}, "began": "2026-11-23T08:30:00Z", "done": {"plan": 0.0}}
    further = {**journal, "done": {"plan": 0.0, "fence": 2.0}}
    members = {"a": leader(journal=journal), "b": leader(journal=further), "c": leader()}
    assert _rollback.take_up("1.2.0", members) == further
    assert _rollback.take_up("1.2.0", HELD) == {}
    with pytest.raises(RollbackError, match=r"a rollback to 1\.2\.0 was begun at 2026-11-23T08:30:00Z.*-e to=1\.2\.0"):
        _rollback.take_up("1.1.0", members)


def test_what_was_measured_is_what_is_estimated_next() -> None:
    seconds = {"plan": 3.0, "fence": 2.0, "open": 4.0, "rejoin": 20.0, "verify": 3.0, "start": 1.0}
    assert _rollback.learn({"backup_seconds": 7}, {"rung": "guard"}, seconds) == {"backup_seconds": 7, "guard_seconds": 30.0}
    made = {"rung": "backup", "sizes": {"restore_mib": 1000.0, "replay_mib": 600.0}}
    known = _rollback.learn({}, made, {**seconds, "restore": 10.0, "replay": 30.0})
    assert known == {"backup_seconds": 30.0, "restore_mib_per_second": 100.0, "replay_mib_per_second": 20.0}
    assert _rollback.estimate("backup", made["sizes"], known) == 70.0


def test_a_small_database_tells_no_rate() -> None:
    made = {"rung": "backup", "sizes": {"restore_mib": 30.0, "replay_mib": 40.0}}
    known = _rollback.learn(
        {"restore_mib_per_second": 100.0, "replay_mib_per_second": 20.0}, made, {"plan": 9.0, "restore": 6.0, "replay": 5.0}
    )
    assert known == {"backup_seconds": 8.7, "restore_mib_per_second": 100.0, "replay_mib_per_second": 20.0}
    assert _rollback.estimate("backup", made["sizes"], known) == 11.0


@pytest.mark.parametrize(("text", "value"), [("0/0", 0), ("1/00000000", 1 << 32), ("A/ff", 10 << 32 | 255)])
def test_lsn(text: str, value: int) -> None:
    assert _rollback.parse_lsn(text) == value


@pytest.mark.parametrize("text", ["", "0", "0/", "g/0", "0/123456789"])
def test_no_lsn(text: str) -> None:
    with pytest.raises(RollbackError, match="no place in the WAL"):
        _rollback.parse_lsn(text)


def test_labels_differ_where_names_do_not() -> None:
    moment = datetime(2026, 11, 23, 8, 19, 49, tzinfo=timezone.utc)
    assert _rollback.point_label("1.2.0", moment) == LABEL
    assert len(_rollback.point_label("x" * 40, moment)) <= 63
    assert (
        _rollback.name_faults("1.2.0") == []
        and _rollback.name_faults("x" * 41)
        and _rollback.name_faults("a b")
        and _rollback.name_faults("")
    )


# Who is held ------------------------------------------------------------------------------------------------------------

ROLES = {"database1": "leader", "database2": "sync_standby", "database3": "replica"}
NOW = "2026-11-24T10:00:00Z"


def hold(members: dict[str, Any], roles: dict[str, str] | None = None, release: str = "1.3.0") -> dict[str, Any]:
    return _rollback.guard_plan(release, members, ROLES if roles is None else roles, NOW)


def test_the_replica_that_commits_do_not_wait_for_is_held() -> None:
    assert hold(NOT_HELD)["host"] == "database3"
    assert hold(NOT_HELD, {"database1": "leader", "database2": "replica", "database3": "sync_standby"})["host"] == "database2"
    made = hold(NOT_HELD)
    assert (made["leader"], made["label"], made["done"], made["refusals"]) == ("database1", "1.3.0@20261124T100000Z", False, [])


def test_what_is_held_already_is_done() -> None:
    made = hold(HELD, {"database1": "leader", "database2": "sync_standby"}, "1.2.0")
    assert (made["host"], made["label"], made["done"], made["refusals"]) == ("database3", LABEL, True, [])


def test_what_a_killed_run_began_is_taken_up() -> None:
    armed = {**GUARD, "label": "1.3.0@20261124T095900Z", "held": False, "lsn": "0/5900000"}
    members = {**HELD, "database3": {**HELD["database3"], "guard": armed}}
    made = hold(members, {"database1": "leader", "database2": "sync_standby"})
    assert (made["host"], made["label"], made["done"], made["refusals"]) == ("database3", armed["label"], False, [])


@pytest.mark.parametrize(
    ("members", "roles", "release", "reason"),
    [
        (HELD, {"database1": "leader", "database2": "sync_standby"}, "1.3.0", "database3 is held at 1.2.0@"),
        (NOT_HELD, ROLES, "1.2.0", "no replica is held at it; none can be"),
        ({**NOT_HELD, "database3": {"running": False}}, ROLES, "1.3.0", "1 replicas run, wanted 2"),
        (NOT_HELD, {"database2": "replica"}, "1.3.0", "no member leads"),
        ({**NOT_HELD, "database2": replica(journal={"plan": {}})}, ROLES, "1.3.0", "not finished"),
        (NOT_HELD, ROLES, "a b", "name is 'a b'"),
    ],
    ids=["another guard", "the point is past", "too few replicas", "no leader", "a rollback under way", "no name"],
)
def test_what_cannot_be_held_is_refused(members: dict[str, Any], roles: dict[str, str], release: str, reason: str) -> None:
    assert any(reason in refusal for refusal in hold(members, roles, release)["refusals"])
