# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The texts of announcements, and the reasons why one was not sent."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _announcements
from ansible_collections.arxos.platform.plugins.plugin_utils import _announcement_sender as unit

TEMPLATES = str(Path(__file__).resolve().parents[4] / "playbooks/templates/announcements")
EVENTS: dict[str, dict[str, Any]] = {
    "planned": {"event": "before", "planned": True},
    "before": {"event": "before"},
    "stage": {"event": "stage"},
    "progress": {"event": "progress", "issues": ["app1: Ping: lost"]},
    "failure": {"event": "failure", "failure": "db_1: Start it: no <quorum>", "kinds": ["technical"]},
    "done": {"event": "after", "result": "done", "figures": {"Uptime": "99.9 %"}},
    "failed": {"event": "after", "result": "failed", "failed": {"db_1": "Start it: no <quorum>"}},
}


def facts(playbook: str = "go_live", **more: Any) -> dict[str, Any]:
    """What an announcer gives to templates."""
    run = _announcements.Announcer(
        _announcements.settings(
            {
                "channels": {"mail": {"url": "json://x"}},
                "audiences": {"operations": {"channels": ["mail"]}},
                "go_live": {
                    "at": "2026-12-01 20:00 UTC",
                    "downtime": "10 minutes",
                    "news": ["Exports to *glTF*"],
                    "support": "help@example.org",
                    "feedback": "https://example.org/how",
                },
            }
        ),
        playbook,
        "production",
        "api.example.org",
    )
    return {**run.play("(4/10) Database | Patroni")[0].facts, "changed": {"app1": 3}, **more}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("audience", _announcements.AUDIENCES)
def test_every_audience_has_a_text_for_every_event(audience: str, event: str) -> None:
    subject, text, marked = unit.render(audience, facts(**EVENTS[event]), [TEMPLATES])
    assert 20 < len(subject) < 120 and "\n" not in subject
    assert text.strip() and marked.strip() and "\n\n\n" not in text
    assert "None" not in text and "{" not in text and "<b>" not in marked
    if event in ("planned", "before"):
        for said in ("2026-12-01 20:00 UTC", "10 minutes", "Exports to *glTF*", "help@example.org"):
            assert said in text
        assert r"Exports to \*glTF\*" in marked
    if event == "failure" and audience != "end_users":
        assert "no <quorum>" in text and "no &lt;quorum&gt;" in marked
    if audience == "end_users":
        assert "db_1" not in subject + text and "quorum" not in subject + text and "app1" not in text


@pytest.mark.parametrize("event", [event for event in EVENTS if event != "planned"])
@pytest.mark.parametrize("audience", _announcements.AUDIENCES)
def test_a_rollback_is_told_as_what_it_is(audience: str, event: str) -> None:
    subject, text, _marked = unit.render(audience, facts("rollback", **EVENTS[event]), [TEMPLATES])
    for planned in ("2026-12-01", "10 minutes", "glTF", "plan"):
        assert planned not in subject + text
    if event == "before":
        assert "The service goes back to an earlier state, and is closed meanwhile." in text and "help@example.org" in text


@pytest.mark.parametrize("audience", ["end_users", "support"])
@pytest.mark.parametrize(
    ("traffic", "open_", "shut"),
    [
        ({"Traffic": "open"}, True, False),
        ({"Traffic": "closed; see"}, False, True),
        ({"Traffic": "open and closed"}, False, True),
        ({}, False, False),
    ],
)
def test_an_end_says_that_the_platform_is_open_only_where_it_is(audience: str, traffic: dict[str, str], open_: bool, shut: bool) -> None:
    subject, text, _marked = unit.render(audience, facts("rollback", **{**EVENTS["done"], "figures": traffic}), [TEMPLATES])
    assert ("Everything works as usual" in text or "may work as usual" in text) is open_
    assert ("opens after a last look" in text or "not open to users yet" in text) is shut
    if audience == "end_users":
        assert subject.endswith("nearly over" if shut else "maintenance is over")


@pytest.mark.parametrize(("traffic", "shut"), [({}, False), ({"Traffic": "open"}, False), ({"Traffic": "closed; see"}, True)])
def test_users_are_told_that_a_failure_keeps_it_closed(traffic: dict[str, str], shut: bool) -> None:
    _subject, text, _marked = unit.render("end_users", facts("rollback", **{**EVENTS["failed"], "figures": traffic}), [TEMPLATES])
    assert ("the service is closed meanwhile" in text) is shut


@pytest.mark.parametrize(("playbook", "asked"), [("go_live", True), ("rollback", False)])
def test_users_are_asked_how_a_go_live_was(playbook: str, asked: bool) -> None:
    _subject, text, _marked = unit.render("end_users", facts(playbook, **{**EVENTS["done"], "figures": {"Traffic": "open"}}), [TEMPLATES])
    assert ("Tell us how it was: https://example.org/how" in text) is asked


def test_operations_hear_of_health_and_figures_while_it_runs() -> None:
    more = {"failed": {"app1": "Start: no"}, "figures": {"p95": "44 ms"}}
    _subject, text, _marked = unit.render("operations", facts(**EVENTS["progress"], **more), [TEMPLATES])
    assert {"- Failed so far: app1: Start: no", "- p95: 44 ms"} <= set(text.splitlines())


def test_the_after_of_operations_has_the_figures() -> None:
    subject, text, _marked = unit.render("operations", facts(**EVENTS["done"], run="20261126T0315-3f9a"), [TEMPLATES])
    assert subject == "[production] Go-live of api.example.org: done in 0:00"
    for line in ("- Uptime: 99.9 %", "- Changed: app1 3", "Run 20261126T0315-3f9a"):
        assert line in text.splitlines()


def test_values_cannot_break_out_of_their_line() -> None:
    _subject, text, _marked = unit.render("operations", facts(**{**EVENTS["failure"], "failure": "one\nSubject: two"}), [TEMPLATES])
    assert "one Subject: two" in text


def test_an_operator_s_template_comes_first_and_cannot_reach_out(tmp_path: Path) -> None:
    (tmp_path / "operations.j2").write_text("Own\n{{ event }} {% include '_planned.j2' %}")
    assert unit.render("operations", facts(event="before"), [str(tmp_path), TEMPLATES])[0] == "Own"
    (tmp_path / "operations.j2").write_text("{{ ''.__class__.__mro__ }}")
    with pytest.raises(unit.TemplateError):
        unit.render("operations", facts(event="before"), [str(tmp_path), TEMPLATES])


def record(text: str, level: int = logging.DEBUG) -> logging.LogRecord:
    return logging.LogRecord("apprise", level, "", 0, text, None, None)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["Socket Exception: HTTPConnectionPool(host='h', port=1): url: /s3cr3t (Caused by X('[Errno 111] Connection refused'))"],
            "connection refused",
        ),
        (["Socket Exception: [Errno -2] Name or service not known"], "name or service not known"),
        (["Socket Exception: HTTPConnectionPool(host='h', port=1): Read timed out. (read timeout=3.0)"], "timed out"),
        (["Socket Exception: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed"], "its certificate is not trusted"),
        (["Socket Exception: (535, b'5.7.8 no s3cr3t')"], "answered 535"),
        (["Failed to send JSON POST notification: Service Unavailable., error=503."], "answered 503"),
        ([], "no reason was given"),
    ],
)
def test_reasons_are_words_and_no_addresses(lines: list[str], said: str) -> None:
    assert unit.reason([record(line) for line in lines], "json://h:1/s3cr3t") == said


def test_an_unknown_reason_loses_every_part_of_the_address() -> None:
    said = unit.reason([record("s3cr3t/p%40ss went p@ss to host.example", logging.WARNING)], "json://user:p%40ss@host.example/s3cr3t?x=y")
    assert said == "(hidden)/(hidden) went (hidden) to (hidden)"


def test_parameters_are_added_and_never_replaced() -> None:
    assert unit.with_parameters("json://h/x", {"cto": "3", ":run": "a b"}) == "json://h/x?cto=3&:run=a%20b"
    assert unit.with_parameters("json://h/x?cto=9", {"cto": "3", "rto": "3"}) == "json://h/x?cto=9&rto=3"


@pytest.mark.parametrize(
    "address",
    [
        "mailtos://user:pass@example.org?smtp=smtp.example.org&from=a@example.org&to=b@example.org",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#operations",
        "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#operations",
        "pagerduty://A1BRTD4JDTIiajkdnlazkcOXrIdevi7F@B2CRTD4JDTIiajkdnlazkcOXrIdevi7F?action=map&dedup=arxos",
        "jsons://user:pass@example.org/hooks/x",
    ],
)
def test_the_library_knows_the_channels_of_the_documentation(address: str) -> None:
    apprise = pytest.importorskip("apprise")
    from ansible_collections.arxos.platform.plugins.plugin_utils._announcement_delivery import apprise_takes

    assert apprise_takes(address)
    assert apprise.Apprise.instantiate(unit.with_parameters(address, {"cto": "3", "rto": "3"})).socket_connect_timeout == 3


def test_the_library_refuses_what_is_none_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("apprise")
    from ansible_collections.arxos.platform.plugins.plugin_utils._announcement_delivery import apprise_takes

    assert not apprise_takes("unknown://s3cr3t") and not apprise_takes("slack://s3cr3t")
    assert caplog.text == ""
