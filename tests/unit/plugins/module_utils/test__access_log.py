# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the access log says of each server, also where one failed a request that another answered, and where the log is rotated meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _access_log as subject
from ansible_collections.arxos.platform.plugins.module_utils._access_log import Tally


def line(upstreams: str, statuses: str, seconds: str, **more: Any) -> str:
    return json.dumps({"status": 200, "upstreams": upstreams, "upstream_status": statuses, "upstream_seconds": seconds, **more}) + "\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (line("10.0.0.1:8443", "200", "0.012"), [("10.0.0.1:8443", False, 12)]),
        (
            line("unix:/run/waf.sock : 10.0.0.1:8443", "200 : 404", "0.001 : 1.5"),
            [("unix:/run/waf.sock", False, 1), ("10.0.0.1:8443", False, 1500)],
        ),
        # The first failed it, the second answered: the client saw nothing of that.
        (line("10.0.0.1:8443, 10.0.0.2:8443", "502, 200", "0.0, 0.1"), [("10.0.0.1:8443", True, 0), ("10.0.0.2:8443", False, 100)]),
        (line("10.0.0.1:8443", "-", "-"), [("10.0.0.1:8443", False, None)]),  # the client left
        (line("10.0.0.1:8443", "-", "3.2", status=499), [("10.0.0.1:8443", False, 3200)]),
        (line("10.0.0.1:8443", "504", "60.001"), [("10.0.0.1:8443", True, 60001)]),
        (line("", "", ""), []),
        (line("10.0.0.1:8443", "200, 200", "0.1"), []),
        ("no JSON\n", []),
        ('{"status":200}\n', []),
        ("[1]\n", []),
    ],
)
def test_servers_of_a_line(text: str, found: list[Any]) -> None:
    assert list(subject.attempts(text)) == found


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (7, 7), (999, 999), (1004, 1000), (2006, 2010), (60001, 60000), (1999, 2000)])
def test_times_are_kept_in_three_digits(given: int, kept: int) -> None:
    assert subject.rounded(given) == kept


def test_tallies_add_up_and_pass_through_json() -> None:
    one, two = Tally(), Tally(2, 1, {12: 1, 130: 1})
    one.add(True, 12)
    one.add(False, None)
    both = one + two
    assert both == Tally(4, 2, {12: 2, 130: 1})
    assert Tally.of(json.loads(json.dumps(both.as_dict()))) == both


def test_a_log_is_read_from_its_mark_and_no_half_line(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line("10.0.0.1:8443", "500", "1.0"))
    mark = subject.end_of(log)
    tallies: dict[str, Tally] = {}
    assert subject.count_since(log, mark, tallies) == mark and tallies == {}
    with log.open("a") as stream:
        stream.write(line("10.0.0.1:8443", "200", "0.01") + line("10.0.0.1:8443", "200", "0.02")[:-20])
    mark = subject.count_since(log, mark, tallies)
    assert tallies == {"10.0.0.1:8443": Tally(1, 0, {10: 1})}
    with log.open("a") as stream:
        stream.write(line("10.0.0.1:8443", "200", "0.02")[-20:])
    subject.count_since(log, mark, tallies)
    assert tallies["10.0.0.1:8443"] == Tally(2, 0, {10: 1, 20: 1})


def test_a_log_that_is_rotated_meanwhile_is_read_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line("10.0.0.1:8443", "500", "1.0"))
    mark = subject.end_of(log)
    with log.open("a") as stream:
        stream.write(line("10.0.0.1:8443", "200", "0.01"))
    log.rename(tmp_path / "access.log.1")
    log.write_text(line("10.0.0.2:8443", "200", "0.02"))
    tallies: dict[str, Tally] = {}
    assert subject.count_since(log, mark, tallies) == subject.end_of(log)
    assert tallies == {"10.0.0.1:8443": Tally(1, 0, {10: 1}), "10.0.0.2:8443": Tally(1, 0, {20: 1})}
    (tmp_path / "access.log.1").unlink()
    subject.count_since(log, mark, tallies)  # what is gone is gone
    assert tallies["10.0.0.2:8443"].requests == 2


def test_the_last_lines_about_some_servers(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("".join(line(f"10.0.0.{number % 3}:8443", "200", "0.01", path=f"/{number}") for number in range(30)))
    assert [json.loads(each)["path"] for each in subject.last_lines(log, ["10.0.0.1:8443"], 2)] == ["/25", "/28"]
    assert subject.last_lines(log, ["10.0.0.7:8443"], 2) == []
