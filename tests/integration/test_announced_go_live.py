# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A go-live of the lab that is announced, and one whose channels are dead; and the status page that the lab then has."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import DOMAIN, Lab
from .test_announcements import PASSWORD, TOKEN, USER, Hook, Mailbox, free_port, hook, mailbox  # noqa: F401  # fixtures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Requiring AUTH"),
    pytest.mark.filterwarnings("ignore:Session.login_data"),
]
EVERYBODY = ["executives", "development", "operations", "support", "end_users"]


def arguments(folder: Path, hook_port: int, mail_port: int) -> str:
    """Extra variables by which everybody hears by webhook, and operations by mail too."""
    hook_url = f"json://127.0.0.1:{hook_port}/hooks/{TOKEN}"
    mail_url = f"mailto://{USER}:{PASSWORD}@127.0.0.1:{mail_port}?mode=insecure&from=arxos@example.org&to=ops@example.org"
    data = {
        "channels": {"hook": {"url": hook_url}, "mail": {"url": mail_url}},
        "audiences": {name: {"channels": ["hook", "mail"] if name == "operations" else ["hook"]} for name in EVERYBODY},
        "go_live": {"at": "2026-12-01 20:00 UTC", "support": "help@example.org"},
    }
    path = folder / "announcements.json"
    path.write_text(json.dumps({"arxos_announcements": data}))
    return f"-e @{path}"


def get(lab: Lab, ca: Path, path: str) -> tuple[int, str]:
    """Status and text of a page at the virtual address."""
    connection = http.client.HTTPSConnection(lab.address, timeout=10)
    context = ssl.create_default_context(cafile=str(ca))
    connection.sock = context.wrap_socket(socket.create_connection((lab.address, 443), timeout=10), server_hostname=DOMAIN)
    connection.request("GET", path, headers={"Host": DOMAIN})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_a_go_live_is_announced_in_its_order(lab: Lab, tmp_path: Path, hook: Hook, mailbox: tuple[Mailbox, int]) -> None:  # noqa: F811
    box, port = mailbox
    played = lab.play("go_live.yml", arguments(tmp_path, hook.server_port, port))
    assert played.rc == 0, played.stdout[-4000:]
    events = [each.partition(" ")[0] for each in hook.events("operations") if not each.startswith("progress")]
    assert events[0] == "before" and events[-1] == "after" and set(events[1:-1]) == {"stage"}
    stages = [int(each.split()[1]) for each in hook.events("operations") if each.startswith("stage")]
    assert stages == sorted(stages) and len(stages) >= 8
    for audience in ("executives", "end_users"):
        assert [each.partition(" ")[0] for each in hook.events(audience)] == ["before", "after"]
    last = next(each for each in hook.got if each["audience"] == "operations" and each["event"] == "after")
    assert "Healthy:" in last["message"] and "Release:" in last["message"]
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", last["run"]) and last["run"] in played.stdout
    assert box.subjects("ops@example.org")[-1].startswith("done in")
    assert "failed" not in next(line for line in played.stdout.splitlines() if line.startswith("Announcements: "))
    assert PASSWORD not in played.stdout and TOKEN not in played.stdout


def test_dead_channels_change_nothing(lab: Lab, tmp_path: Path) -> None:
    played = lab.play("go_live.yml", arguments(tmp_path, free_port(), free_port()))
    assert played.rc == 0 and played.changed == {}, played.changes()
    line = next(line for line in played.stdout.splitlines() if line.startswith("Announcements: "))
    assert line.startswith("Announcements: 0 sent; hook failed") and "connection refused" in line and "mail failed" in line
    assert PASSWORD not in played.stdout and TOKEN not in played.stdout


@pytest.fixture
def usual(lab: Lab) -> Iterator[None]:
    """Leaves the status page as usual."""
    yield
    assert lab.play("status_page.yml", "-e status=operational").rc == 0


@pytest.mark.usefixtures("usual")
def test_users_read_what_goes_on_also_without_the_application(lab: Lab, ca: Path) -> None:
    status, text = get(lab, ca, "/status/")
    assert status == 200 and "All systems operational" in text
    assert lab.play("status_page.yml", "-e status=incident -e message=Slow").rc == 0
    for host in lab.tiers["app"]:
        lab.run(host, "systemctl", "stop", "arxos-api.service")
    try:
        status, text = get(lab, ca, "/status/")
        assert status == 200 and "Slow" in text and "We are working on an incident" in text
    finally:
        for host in lab.tiers["app"]:
            lab.run(host, "systemctl", "start", "arxos-api.service")
