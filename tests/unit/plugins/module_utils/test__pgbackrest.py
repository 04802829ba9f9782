# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import dataclasses
import json
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _pgbackrest as backups
from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest import Archive, Backup, PgbackrestError, Schedule, Stanza, Target

RECORDED = Path(__file__).parent / "pgbackrest"
VERSIONS = ["2.45", "2.55.1"]


def recorded(version: str) -> Stanza:
    return backups.parse_info((RECORDED / f"info-{version}.json").read_text(), "arxos")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def backup(label: str = "F", kind: str = "full", stop: int = 1000, segment: int = 16, size: int = 1000) -> Backup:
    """A backup of one segment of WAL, which ends in its middle."""
    wal = f"{1:08X}{segment // 256:08X}{segment % 256:08X}"
    return Backup(label, kind, stop - 10, stop, segment * backups.SEGMENT + 512, wal, wal, size, size, size // 2)


def stanza(*made: Backup) -> Stanza:
    return Stanza("arxos", backups.OK, "ok", made, "15-1", "0" * 24, "0" * 24)


def lsn(segment: int, offset: int = 1024) -> str:
    return backups.show_lsn(segment * backups.SEGMENT + offset)


# Reading ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_info_of_both_releases(version: str) -> None:
    found = recorded(version)
    assert (found.code, found.message, found.exists, found.cipher) == (0, "ok", True, "aes-256-cbc")
    assert [item.type for item in found.backups] == ["full", "incr"]
    full, incremental = found.backups
    assert incremental.label.startswith(full.label)
    assert full.size == full.delta > incremental.delta > 0
    assert full.repo_delta > incremental.repo_delta > 0
    assert full.stop <= incremental.start
    assert full.lsn_stop < incremental.lsn_stop
    assert found.wal_min <= full.wal_start <= incremental.wal_stop <= found.wal_max
    assert not full.page_errors
    assert json.dumps(found.as_dict())


def test_info_of_a_stanza_that_is_not_there() -> None:
    assert not backups.parse_info("[]", "arxos").exists
    text = '[{"archive":[],"backup":[],"cipher":"none","db":[],"name":"arxos","status":{"code":1,"message":"missing stanza path"}}]'
    found = backups.parse_info(text, "arxos")
    assert (found.exists, found.backups, found.archive) == (False, (), "")


@pytest.mark.parametrize(
    "text", ["", "{", "null", '[{"name": "arxos"}]', '[{"name": "arxos", "archive": [], "backup": [{}], "status": {}}]']
)
def test_info_that_is_none(text: str) -> None:
    with pytest.raises(PgbackrestError, match="something else than expected"):
        backups.parse_info(text, "arxos")


@pytest.mark.parametrize(("text", "value"), [("0/4000028", 0x4000028), ("1/0", 1 << 32), ("A/FFFFFFFF", (10 << 32) + 0xFFFFFFFF)])
def test_positions(text: str, value: int) -> None:
    assert backups.parse_lsn(text) == value
    assert backups.show_lsn(value) == text


@pytest.mark.parametrize("text", ["", "4000028", "x/1", "1/123456789"])
def test_positions_that_are_none(text: str) -> None:
    with pytest.raises(PgbackrestError, match="no position"):
        backups.parse_lsn(text)


def test_segments_go_on_over_files_and_timelines() -> None:
    assert backups.segment_number("0000000100000000000000FF") + 1 == backups.segment_number("000000020000000100000000")
    assert backups.segment_at(backups.parse_lsn("1/0")) == 255
    assert backups.segment_at(backups.parse_lsn("1/1")) == 256


def test_moments() -> None:
    assert backups.parse_time("2026-11-24T14:20:02Z") == backups.parse_time("2026-11-24 15:20:02+01:00") == at("2026-11-24T14:20:02")
    assert backups.parse_time("2026-11-24T14:20:02") == at("2026-11-24T14:20:02")
    with pytest.raises(PgbackrestError, match="no moment"):
        backups.parse_time("yesterday")


def test_the_archive_counts_whole_segments_only() -> None:
    checksum = "a" * 40
    listed = {
        ".": {"type": "path"},
        f"0000000100000000/000000010000000000000001-{checksum}.zst": {"type": "file", "time": 100},
        f"0000000100000000/000000010000000000000002.partial-{checksum}.zst": {"type": "file", "time": 150},
        f"0000000200000000/000000020000000000000003-{checksum}": {"type": "file", "time": 200},
        "0000000100000000/000000010000000000000001.00000028.backup": {"type": "file", "time": 300},
        "00000002.history": {"type": "file", "time": 300},
    }
    assert backups.parse_archive(json.dumps(listed)) == Archive(frozenset({1, 3}), 200)
    with pytest.raises(PgbackrestError):
        backups.parse_archive("ERROR")


def test_holes_are_told_from_the_oldest_backup_on() -> None:
    found = stanza(backup(segment=16), backup(segment=20))
    assert backups.holes(found, Archive(frozenset([3, *range(16, 24)]))) == []
    assert backups.holes(found, Archive(frozenset([16, 17, 20, 21, 300]) - {299}))[:2] == ["0000000000000012", "0000000000000013"]
    assert backups.holes(found, Archive(frozenset(range(16, 20)))) == ["0000000000000014"]
    assert backups.holes(stanza(), Archive(frozenset([1]))) == []


# A restore -------------------------------------------------------------------------------------------------------------

FIRST, SECOND = backup("one", stop=1000, segment=16), backup("two", stop=2000, segment=20, size=3000)
BOTH = stanza(FIRST, SECOND)
WHOLE = Archive(frozenset(range(16, 25)), 2500)


@pytest.mark.parametrize(
    ("target", "label", "segments"),
    [
        (Target(), "two", 5),
        (Target("immediate"), "two", 1),
        (Target("immediate", backup="one"), "one", 1),
        (Target("time", "1970-01-01T00:30:00Z"), "one", 9),
        (Target("time", "1970-01-01T00:40:00Z"), "two", 5),
        (Target("name", "before", lsn(22)), "two", 3),
        (Target("name", "before", lsn(18)), "one", 3),
        (Target("name", "before", lsn(20, 100)), "one", 5),
        (Target("lsn", lsn(24), lsn(24)), "two", 5),
        (Target("name", "before", backup="one"), "one", 9),
    ],
)
def test_the_newest_backup_from_which_the_target_is_reached(target: Target, label: str, segments: int) -> None:
    plan = backups.choose(BOTH, WHOLE, target, 3000)
    assert (plan.backup.label, plan.segments, plan.wal_bytes) == (label, segments, segments * 16777216)


@pytest.mark.parametrize(
    ("found", "archive", "target", "reason"),
    [
        (stanza(), WHOLE, Target(), "has no backup"),
        (BOTH, WHOLE, Target(backup="three"), "no backup three; there are one, two"),
        (BOTH, WHOLE, Target("time", "1970-01-01T01:00:00Z"), "has not come yet"),
        (BOTH, WHOLE, Target("time", "1970-01-01T00:45:00Z"), "archive reaches 1970-01-01T00:41:40Z"),
        (BOTH, WHOLE, Target("time", "1970-01-01T00:10:00Z"), "before the end of the first backup"),
        (BOTH, WHOLE, Target("time", "1970-01-01T00:30:00Z", backup="two"), "before the end of the first backup"),
        (BOTH, WHOLE, Target("name", "x", lsn(25)), "the archive ends before"),
        (BOTH, WHOLE, Target("name", "x", lsn(16, 100)), "before the end of the first backup"),
        (BOTH, Archive(WHOLE.segments - {21}, 2500), Target(), "hole after backup two: 1 segments, the first is 0000000000000015"),
        (BOTH, Archive(WHOLE.segments - {17}, 2500), Target("name", "x", lsn(18)), "hole after backup one"),
        (BOTH, Archive(), Target(), "hole after backup two"),
    ],
)
def test_a_target_that_is_not_reached(found: Stanza, archive: Archive, target: Target, reason: str) -> None:
    with pytest.raises(backups.TargetError, match=reason):
        backups.choose(found, archive, target, 3000)


def test_a_hole_before_the_backup_does_not_matter() -> None:
    assert backups.choose(BOTH, Archive(WHOLE.segments - {17}, 2500), Target(), 3000).backup.label == "two"


def test_the_estimate_goes_by_what_was_measured() -> None:
    plan = backups.Plan(backup(size=1_000_000_000), 10)
    assumed = backups.estimate(plan, [])
    assert not assumed.measured
    assert assumed.seconds == pytest.approx(2 + 1e9 / 60e6 + 10 * 16777216 / 30e6, abs=0.2)
    text = ""
    for seconds in (99, 12, 12, 12, 12, 12):
        text = backups.add_sample(backups.read_samples(text), backups.Sample("restore", 1_000_000_000, seconds))
    text = backups.add_sample(backups.read_samples(text), backups.Sample("replay", 160_000_000, 4))
    samples = backups.read_samples(text)
    assert len(samples) == 6, "the oldest is forgotten"
    measured = backups.estimate(plan, samples)
    assert measured.measured
    assert measured.restore_seconds == pytest.approx(12)
    assert measured.replay_seconds == pytest.approx(2.1, abs=0.1)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"kind": "restore"}]'])
def test_figures_that_are_damaged_are_none(text: str) -> None:
    assert backups.read_samples(text) == []


# What is due -----------------------------------------------------------------------------------------------------------

SUNDAY = "2026-11-22T01:00:00"
SCHEDULE = Schedule("Sun", 1, 4)


def made(kind: str, moment: str) -> Backup:
    return dataclasses.replace(backup(kind=kind), start=at(moment), stop=at(moment) + 60)


@pytest.mark.parametrize(
    ("there", "now", "kind"),
    [
        ([], "2026-11-24T14:00:00", "full"),
        ([("full", SUNDAY)], "2026-11-22T01:30:00", ""),
        ([("full", SUNDAY)], "2026-11-22T04:59:00", ""),
        ([("full", SUNDAY)], "2026-11-22T05:00:00", "incr"),
        ([("full", SUNDAY), ("incr", "2026-11-22T05:01:00")], "2026-11-22T08:00:00", ""),
        ([("full", SUNDAY), ("incr", "2026-11-22T21:01:00")], "2026-11-23T01:00:00", "diff"),
        ([("full", SUNDAY), ("diff", "2026-11-23T01:01:00")], "2026-11-23T04:00:00", ""),
        ([("full", "2026-11-22T00:59:00")], "2026-11-22T01:00:00", "full"),
        ([("full", "2026-11-22T00:59:00")], "2026-11-22T00:59:59", ""),
        ([("full", "2026-11-15T01:00:00"), ("diff", "2026-11-24T01:00:30")], "2026-11-24T02:00:00", "full"),
        ([("full", "2026-11-24T14:00:00")], "2026-11-24T15:00:00", ""),
        ([("full", "2026-11-24T14:00:00")], "2026-11-25T00:59:00", "incr"),
    ],
)
def test_what_is_due(there: list[tuple[str, str]], now: str, kind: str) -> None:
    assert backups.due(SCHEDULE, [made(*item) for item in there], at(now)) == kind


def test_a_kind_is_as_good_as_the_lesser_ones() -> None:
    full, diff, incr = (made(kind, f"2026-11-2{day}T01:00:00") for kind, day in (("full", 2), ("diff", 3), ("incr", 4)))
    everything = [full, diff, incr]
    assert [backups.newest(everything, kind) for kind in ("full", "diff", "incr")] == [full, diff, incr]
    assert backups.newest([full], "incr") == full
    assert backups.newest([incr], "full") is None


def member(name: str, role: str, state: str = "streaming") -> dict[str, str]:
    return {"name": name, "role": role, "state": state}


@pytest.mark.parametrize(
    ("members", "acting"),
    [
        ([member("d1", "leader", "running"), member("d3", "replica"), member("d2", "sync_standby", "running")], "d2"),
        ([member("d1", "replica"), member("d2", "leader", "running")], "d1"),
        ([member("d1", "replica", "stopped"), member("d2", "leader", "running"), member("d3", "quorum_standby")], "d3"),
        ([member("d1", "replica", "start failed"), member("d2", "leader", "running")], "d2"),
        ([member("d1", "replica", "stopped")], ""),
        ([], ""),
    ],
)
def test_one_member_acts(members: list[dict[str, str]], acting: str) -> None:
    assert backups.acting_member({"members": members}) == acting


# What verify says ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("case", "fault"),
    [
        ("bundle", "invalid checksum '20261124-"),
        ("wal", "invalid result 1[57]-1/0000000100000000/000000010000000000000004-"),
        ("manifests", "status: invalid"),
        ("info", "No usable backup.info file"),
    ],
)
def test_damage_is_named(version: str, case: str, fault: str) -> None:
    found = backups.parse_verify((RECORDED / f"verify-{version}-{case}.txt").read_text())
    assert not found.ok
    assert [line for line in found.faults if re.match(rf".*{fault}", line)], found.faults


@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_repository(version: str) -> None:
    found = backups.parse_verify((RECORDED / f"verify-{version}-whole.txt").read_text())
    assert (found.ok, found.faults) == (True, [])
    assert found.checked > 900


def test_no_verdict_is_no_good_verdict() -> None:
    with pytest.raises(PgbackrestError, match="said nothing"):
        backups.parse_verify("P00   INFO: verify command begin 2.45: --x\nP00   INFO: verify command end: completed successfully\n")


# Figures ---------------------------------------------------------------------------------------------------------------


def test_metrics_are_read_as_they_were_written() -> None:
    text = backups.render_metrics(
        {'x_seconds{at_least="full"}': ("A", 1795532080), 'x_seconds{at_least="diff"}': ("A", 0.5), "x": ("B", 1)}
    )
    assert text.count("# TYPE x_seconds gauge\n") == 1
    assert 'x_seconds{at_least="full"} 1795532080\n' in text
    assert backups.metric_of(text, 'x_seconds{at_least="full"}') == 1795532080
    assert backups.metric_of(text, "x") == 1
    assert backups.metric_of(text, "y") is None


def test_a_repository_that_cannot_be_read_says_why() -> None:
    """As 2.45 tells it, with exit code 0."""
    unread = {"code": 99, "message": "[HostConnectError] unable to connect to 's3.example.org:443': [111] Connection refused"}
    told = [
        {
            "archive": [],
            "backup": [],
            "db": [],
            "name": "arxos",
            "repo": [{"key": 1, "status": unread}],
            "status": {"code": 99, "message": "other"},
        }
    ]
    with pytest.raises(PgbackrestError, match=r"pgbackrest info: \[HostConnectError\] unable to connect to 's3.example.org:443'"):
        backups.parse_info(json.dumps(told), "arxos")
