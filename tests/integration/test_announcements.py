# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs that are announced, to a real SMTP server and a real receiver of webhooks on this machine. Touches no host."""

from __future__ import annotations

import email
import email.policy
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from .conftest import ROOT

# What the servers of these tests may be to each other, others may not.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Requiring AUTH"),
    pytest.mark.filterwarnings("ignore:Session.login_data"),
]

ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
USER, PASSWORD, TOKEN = "announcer", "sw0rd-f1sh-Pa55", "t0ken-0f-the-h00k"
SECRETS = [PASSWORD, TOKEN]
STAGES = """
- name: (1/3) Preflight | Look
  hosts: all
  gather_facts: false
  tasks:
    - name: Change something
      ansible.builtin.debug:
        msg: changed
      changed_when: inventory_hostname == 'app1'

    - name: Judge
      ansible.builtin.fail:
        msg: 3 faults were found
      when: refused is defined
      run_once: true
      any_errors_fatal: true

- name: (2/3) Database | First half
  hosts: all
  gather_facts: false
  tasks:
    - name: Try it
      block:
        - name: Fail at first
          ansible.builtin.fail:
            msg: a replica was late
          when: inventory_hostname == 'app2'
      rescue:
        - name: Put it right
          ansible.builtin.debug:
            msg: it is right

- name: (2/3) Database | Second half
  hosts: all
  gather_facts: false
  tasks:
    - name: Take a while
      ansible.builtin.wait_for:
        timeout: "{{ takes | default(0) | int }}"
      run_once: true

    - name: "{{ failing | default('Go on') }}"
      ansible.builtin.fail:
        msg: no quorum
      when: failing is defined and inventory_hostname == 'app1'
      any_errors_fatal: true

- name: (3/3) Prove | Measure
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Sum up
      ansible.builtin.set_stats:
        data:
          arxos_summary: {Uptime: 99.95 %, p95: 212 ms}
"""


class Hook(http.server.ThreadingHTTPServer):
    """A receiver of webhooks that keeps what it gets, and may take its time."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.takes = 0.0
        self.status = 200
        super().__init__(("127.0.0.1", 0), Post)

    def events(self, audience: str) -> list[str]:
        """What an audience was told, in order."""
        return [f"{each['event']} {each['stage']}".strip() for each in self.got if each["audience"] == audience]


class Post(http.server.BaseHTTPRequestHandler):
    """POST alone, and only with the token."""

    server: Hook

    def do_POST(self) -> None:
        """Keeps the message."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.takes:
            time.sleep(self.server.takes)  # a slow receiver
        if self.server.status == 200 and self.path.startswith(f"/hooks/{TOKEN}"):
            self.server.got.append(body)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


class Mailbox:
    """What an SMTP server was given."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Keeps a message."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.got.append(message)
        return "250 taken"

    def subjects(self, address: str) -> list[str]:
        """Subjects of what an address got, in order, without what all have in common."""
        return [str(each["Subject"]).partition(": ")[2] for each in self.got if address in str(each["To"])]


def sign_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    """The one account of the mail server."""
    good = isinstance(data, LoginPassword) and data.login == USER.encode() and data.password == PASSWORD.encode()
    return AuthResult(success=good, handled=False)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A receiver of webhooks."""
    server = Hook()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    """A mailbox, and the port of its SMTP server, which wants a login."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), authenticator=sign_in, auth_required=True, auth_require_tls=False)
    controller.start()
    yield box, int(controller.port)
    controller.stop()


class Run:
    """A playbook of three stages on two hosts that are this machine, and what is announced of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data: dict[str, Any] = {
            "channels": {},
            "audiences": {},
            "go_live": {"at": "2026-12-01 20:00 UTC", "downtime": "none", "news": ["Exports to glTF"], "support": "help@example.org"},
            "timeout_seconds": 3,
            "wait_seconds": 15,
        }
        self.text = ""
        self.seconds = 0.0
        (folder / "group_vars").mkdir()
        (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"app1": None, "app2": None}}}))

    def channel(self, name: str, url: str, *audiences: str, **more: Any) -> None:
        """One more channel, for these audiences."""
        self.data["channels"][name] = {"url": url, **more}
        for audience in audiences:
            self.data["audiences"].setdefault(audience, {"channels": []})["channels"].append(name)

    def all_of(self, hook: int, mail: int) -> None:
        """Every audience by webhook, operations and users by mail too."""
        self.channel("hook", f"json://127.0.0.1:{hook}/hooks/{TOKEN}", "executives", "development", "operations", "support", "end_users")
        for audience, address in (("operations", "ops@example.org"), ("end_users", "users@example.org")):
            url = f"mailto://{USER}:{PASSWORD}@127.0.0.1:{mail}?mode=insecure&from=arxos@example.org&to={address}"
            self.channel(f"mail-{audience}", url, audience)

    def command(self, name: str, *arguments: str) -> list[str]:
        """Its command line; the playbook gets that name."""
        playbook = self.folder / f"{name}.yml"
        playbook.write_text(STAGES)
        variables = {
            "arxos_environment": "lab",
            "arxos_domain": "api.arxos.test",
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "vault_channels": {each: about["url"] for each, about in self.data["channels"].items()},
            "arxos_announcements": {
                **self.data,
                "channels": {
                    each: {**about, "url": "{{ vault_channels['" + each + "'] }}"} for each, about in self.data["channels"].items()
                },
            },
        }
        (self.folder / "group_vars/all.yml").write_text(yaml.safe_dump(variables))
        return [str(ANSIBLE), "-i", str(self.folder / "hosts.yml"), str(playbook), *arguments]

    def environment(self) -> dict[str, str]:
        """That of a run."""
        return {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible/collections"),
            "ANSIBLE_CALLBACKS_ENABLED": "arxos.platform.announcements,arxos.platform.run_record",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_LOG_PATH": str(self.folder / "ansible.log"),
        }

    def play(self, name: str = "go_live", *arguments: str) -> int:
        """Runs it; its exit code."""
        started = time.monotonic()
        done = subprocess.run(
            self.command(name, *arguments),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        self.seconds = time.monotonic() - started
        self.text = done.stdout + done.stderr + (self.folder / "ansible.log").read_text()
        assert "Traceback" not in self.text and "Failure using method" not in self.text, self.text
        return done.returncode


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with nothing to announce it by yet."""
    return Run(tmp_path)


def test_everybody_is_told_what_they_shall_know_in_its_order(run: Run, hook: Hook, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    run.all_of(hook.server_port, port)
    assert run.play("go_live", "-vvv") == 0, run.text
    assert hook.events("operations") == ["before 1", "stage 1", "stage 2", "stage 3", "after 3"]
    assert hook.events("development") == ["before 1", "stage 1", "stage 2", "stage 3", "after 3"]
    assert hook.events("executives") == hook.events("support") == hook.events("end_users") == ["before 1", "after 3"]
    assert box.subjects("ops@example.org")[:2] == ["begins now", "stage 1 of 3, Preflight"]
    assert box.subjects("ops@example.org")[-1].startswith("done in 0:")
    assert box.subjects("users@example.org") == ["maintenance begins", "maintenance is over"]

    last = next(each for each in hook.got if each["audience"] == "operations" and each["event"] == "after")
    for line in ("- Uptime: 99.95 %", "- p95: 212 ms", "- Changed: app1 1", "- app2: Fail at first: a replica was late"):
        assert line in last["message"].splitlines()
    assert last["type"] == "success"
    assert {re.sub(r"^\d{8}T\d{6}Z-[0-9a-f]{4}$", "an id", each["run"]) for each in hook.got} == {"an id"}
    first = next(each for each in box.got if "users@example.org" in str(each["To"]))
    parts = {part.get_content_type(): part.get_content() for part in first.walk() if not part.is_multipart()}
    assert "<li>Exports to glTF</li>" in parts["text/html"] and "help@example.org" in parts["text/plain"]
    assert "Announcements: 23 sent" in run.text
    assert [secret for secret in SECRETS if secret in run.text] == []


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("Start the daemon", {"development"}),
        ("Soak for a minute", {"operations"}),
        ("Pass the acceptance test", {"support"}),
        ("Recover from data loss", {"development", "executives"}),
    ],
)
def test_a_failure_goes_by_the_escalation_table(run: Run, hook: Hook, task: str, told: set[str]) -> None:
    run.all_of(hook.server_port, free_port())
    assert run.play("go_live", "-e", f"failing='{task}'") == 2
    assert {each["audience"] for each in hook.got if each["event"] == "failure"} == told
    assert all(each["type"] == "failure" for each in hook.got if each["event"] in ("failure", "after"))
    assert {each["audience"] for each in hook.got if each["event"] == "after"} == set(run.data["audiences"])
    assert hook.events("end_users") == ["before 1", "after 2"]
    users = " ".join(each["message"] for each in hook.got if each["audience"] == "end_users")
    assert "quorum" not in users and "app1" not in users
    assert any("app1: " + task + ": no quorum" in each["message"] for each in hook.got if each["event"] == "failure")


def test_a_run_that_is_refused_is_told_to_who_can_mend_it_alone(run: Run, hook: Hook) -> None:
    run.all_of(hook.server_port, free_port())
    assert run.play("go_live", "-e", "refused=true") == 2
    assert hook.events("development") == ["failure 1"] and len(hook.got) == 1
    assert "app1: Judge: 3 faults were found" in hook.got[0]["message"]


def test_a_failed_rollback_is_critical(run: Run, hook: Hook) -> None:
    run.all_of(hook.server_port, free_port())
    assert run.play("rollback_database", "-e", "failing='Start the daemon'") == 2
    assert {each["audience"] for each in hook.got if each["event"] == "failure"} == {"development", "executives"}
    assert "[lab] Rollback database of api.arxos.test: FAILED in stage 2 of 3, Database" in {each["title"] for each in hook.got}


def test_all_channels_down_change_nothing_but_are_told(run: Run) -> None:
    run.all_of(free_port(), free_port())
    assert run.play("go_live", "-vvv") == 0, run.text
    line = next(line for line in run.text.splitlines() if line.startswith("Announcements: "))
    assert "hook failed 16 times (connection refused)" in line and "mail-operations failed 5 times (connection refused)" in line
    assert any("WARNING" in each and "hook failed 16 times" in each for each in run.text.splitlines())
    assert [secret for secret in SECRETS if secret in run.text] == []


def test_refusals_are_told_with_their_reason(run: Run, hook: Hook, mailbox: tuple[Mailbox, int]) -> None:
    hook.status = 503
    run.channel("hook", f"json://127.0.0.1:{hook.server_port}/hooks/{TOKEN}", "development", "operations", "support", "executives")
    url = f"mailto://{USER}:{PASSWORD}-wrong@127.0.0.1:{mailbox[1]}?mode=insecure&from=arxos@example.org&to=ops@example.org"
    run.channel("mail", url, "operations")
    run.channel("odd", f"nobody-knows://{TOKEN}/x".replace("-", ""), "operations")
    assert run.play("go_live", "-vvv") == 0
    for said in (
        "hook failed 14 times (answered 503)",
        "mail failed 5 times (answered 535)",
        "odd failed 5 times (its address is none that apprise knows)",
    ):
        assert said in run.text
    assert [secret for secret in SECRETS if secret in run.text or secret.replace("-", "") in run.text] == []


def test_a_slow_channel_slows_neither_the_run_nor_other_channels(run: Run, hook: Hook, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    run.all_of(hook.server_port, port)
    assert run.play("go_live", "-e", "arxos_announce=false") == 0
    plain = run.seconds
    assert hook.got == [] and box.got == []

    hook.takes = 120
    run.data |= {"timeout_seconds": 2, "wait_seconds": 10}
    assert run.play() == 0
    assert run.seconds < 2 * plain + 30, f"{run.seconds:.1f} s, and {plain:.1f} s without"  # one message alone would take 120
    assert box.subjects("ops@example.org")[-1].startswith("done in")
    assert "hook failed 16 times (not sent before the run ended" in run.text or "timed out" in run.text


def test_progress_is_told_at_its_interval_while_it_runs(run: Run, hook: Hook) -> None:
    run.data["interval_minutes"] = 0.05
    run.channel("hook", f"json://127.0.0.1:{hook.server_port}/hooks/{TOKEN}", "development", "operations", "support", "executives")
    assert run.play("deploy", "-e", "takes=8") == 0
    progress = [each for each in hook.got if each["event"] == "progress"]
    assert {each["audience"] for each in progress} == {"operations", "support"}
    assert 2 <= len([each for each in progress if each["audience"] == "operations"]) <= 6
    assert hook.events("operations")[0] == "before 1" and hook.events("operations")[-1] == "after 3"


def test_a_run_that_is_broken_off_says_so(run: Run, hook: Hook) -> None:
    run.all_of(hook.server_port, free_port())
    process = subprocess.Popen(
        run.command("go_live", "-e", "takes=60"),
        cwd=run.folder,
        env=run.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def until(done: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not done():
            assert time.monotonic() < end, hook.got
            time.sleep(0.1)

    until(lambda: "stage 2" in hook.events("operations"))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert hook.events("operations")[-1] == "after 2"
    last = hook.got[-1]
    assert last["event"] == "after" and any("BROKEN OFF" in each["title"] for each in hook.got)
    assert {each["audience"] for each in hook.got if each["event"] == "failure"} == {"development"}


@pytest.mark.parametrize("case", ["check", "off", "another playbook", "no channel"])
def test_what_is_not_announced(run: Run, hook: Hook, case: str) -> None:
    if case != "no channel":
        run.all_of(hook.server_port, free_port())
    arguments = {"check": ["--check"], "off": ["-e", "arxos_announce=false"]}.get(case, [])
    assert run.play("backup" if case == "another playbook" else "go_live", *arguments) == 0
    assert hook.got == [] and "Announcements" not in run.text


def test_what_is_planned_is_told_beforehand_and_no_end_of_it(run: Run, hook: Hook) -> None:
    run.all_of(hook.server_port, free_port())
    assert run.play("announce") == 0
    assert {each["event"] for each in hook.got} == {"before"} and len(hook.got) == 5
    assert "[lab] Go-live of api.arxos.test: planned for 2026-12-01 20:00 UTC" in {each["title"] for each in hook.got}


def test_templates_of_an_operator_take_the_place_of_ours(run: Run, hook: Hook) -> None:
    run.channel("hook", f"json://127.0.0.1:{hook.server_port}/hooks/{TOKEN}", "development", "operations", "support", "executives")
    (run.folder / "texts").mkdir()
    (run.folder / "texts/operations.j2").write_text("Our own {{ event }}\nof {{ domain }}\n")
    (run.folder / "texts/support.j2").write_text("{{ nothing.of.that.name }}\n")
    run.data["templates"] = "{{ inventory_dir }}/texts"
    assert run.play() == 0
    assert next(each for each in hook.got if each["audience"] == "operations")["title"] == "Our own before"
    assert hook.events("executives") == ["before 1", "after 3"]
    assert "hook failed 2 times (the template of support cannot be rendered: 'nothing' is undefined)" in run.text


def test_without_the_library_the_run_goes_on_and_says_so(run: Run, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    run.all_of(hook.server_port, free_port())
    hidden = run.folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nf = u.find_spec\nu.find_spec = lambda name, *a: None if name == 'apprise' else f(name, *a)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")]))
    assert run.play() == 0
    assert "Announcements are off: the Python package apprise is not installed" in " ".join(run.text.split())
    assert hook.got == []


def test_data_with_faults_turns_them_off_and_names_no_address(run: Run, hook: Hook) -> None:
    run.all_of(hook.server_port, free_port())
    run.channel("broken", f"no address {TOKEN}", "operations")
    run.data["audiences"]["investors"] = {"channels": ["hook"]}
    assert run.play("go_live", "-vvv") == 0
    said = " ".join(run.text.split())
    assert "Announcements are off" in said and "has investors, which is none" in said and "channels.broken.url is no address" in said
    assert hook.got == [] and [secret for secret in SECRETS if secret in run.text] == []
