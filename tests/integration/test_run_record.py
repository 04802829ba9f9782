# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record, the lock and the progress of real runs, on hosts that are folders of this machine: what is written and shown, two controllers at once, one
that is killed, one that is away, and a controller that nothing can be written on.

The run's own plays are those of the collection. Each host of group database keeps the lock in a folder of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml
from ansible_collections.arxos.platform.plugins.module_utils import _run_lock, _run_record, _run_store
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller

ROOT = Path(__file__).resolve().parents[2]
KEEPERS = ("k1", "k2", "k3")
ELSEWHERE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh"]
PLAYBOOK = f"""
- name: Begin
  import_playbook: {ROOT}/playbooks/run_begin.yml
- name: (1/2) First | Work
  hosts: all
  gather_facts: false
  tasks:
    - name: Have an id
      ansible.builtin.assert: {{that: "arxos_run_id is match('^[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{4}}$')"}}
      when: enabled | default(true) | bool
    - name: Change one host
      ansible.builtin.command: "true"
      when: inventory_hostname == 'e1'
- name: Begin, as a playbook does that is part of another
  import_playbook: {ROOT}/playbooks/run_begin.yml
- name: (2/2) Second | Work
  hosts: e1
  gather_facts: false
  tasks:
    - name: Take a while
      ansible.builtin.command: sleep {{{{ seconds }}}}
      when: seconds is defined
    - name: Fail openly
      ansible.builtin.fail: {{msg: "it is broken\\nand more of that"}}
      when: bad is defined
    - name: Fail in secret
      ansible.builtin.fail: {{msg: a secret of the platform}}
      no_log: true
      when: secret is defined
    - name: Fail in secret, one of many
      ansible.builtin.fail: {{msg: "a secret of the platform {{{{ item }}}}"}}
      no_log: true
      loop: [1, 2]
      when: secrets is defined
    - name: Sum up
      ansible.builtin.set_stats: {{data: {{arxos_summary: {{Release: 1.0.0}}}}}}
"""


@dataclass
class Control:
    """A controller with its records, and three hosts that keep the lock."""

    folder: Path
    runs: Path
    environment: dict[str, str] = field(default_factory=dict)
    inside: bool = False  # with processes and a name of its own, as an execution environment is

    def command(self, *arguments: str, playbook: str = "play.yml") -> list[str]:
        called = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.folder / "hosts.yml")]
        return [*(ELSEWHERE if self.inside else []), *called, str(self.folder / playbook), *arguments]

    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ARXOS_")}
        return {
            **kept,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ARXOS_RUNS": str(self.runs),
            "ANSIBLE_NOCOLOR": "1",
            **self.environment,
        }

    def play(self, *arguments: str, rc: int = 0, playbook: str = "play.yml") -> str:
        """Output of a run."""
        done = subprocess.run(
            self.command(*arguments, playbook=playbook),
            env=self.env(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=self.folder,
        )
        assert done.returncode == rc, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=self.folder,
        )

    def records(self) -> list[tuple[str, _run_record.Record]]:
        """What the controller has written, the newest first."""
        paths = sorted(self.runs.glob("*/record.jsonl"), reverse=True)
        return [(path.read_text(), _run_record.parse(path.read_text(), path.parent.name)) for path in paths]

    def keeper(self, name: str) -> Path:
        return self.folder / "keepers" / name

    def held(self) -> list[str]:
        """The ids in the locks of the hosts."""
        found = [_run_store.holder(self.keeper(name)) for name in KEEPERS]
        return [holder.id for holder in found if holder]

    def kept(self, name: str = "k1") -> list[_run_record.Record]:
        return _run_store.records(self.keeper(name))


@pytest.fixture
def control(tmp_path: Path) -> Control:
    hosts: dict[str, Any] = {name: {"arxos_run_folder": f"{tmp_path}/keepers/{name}", "arxos_address": "127.0.0.1"} for name in KEEPERS}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    inventory = {"all": {"vars": local, "children": {"edge": {"hosts": {"e1": None}}, "database": {"hosts": hosts}}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    # Ansible reads group_vars beside the playbook that was called.
    (tmp_path / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    return Control(tmp_path, tmp_path / "runs")


@pytest.fixture
def running(control: Control) -> Iterator[subprocess.Popen[str]]:
    """A run in its second stage."""
    process = control.start("-e", "seconds=200")
    try:
        until(lambda: any('"task":"Have an id"' in text for text, _record in control.records()) and len(control.held()) == 3)
        until(lambda: "2/2 Second" in control.records()[0][0])
        yield process
    finally:
        kill(process)


def flat(shown: str) -> str:
    """What was shown, without the breaks that YAML puts into long lines."""
    return " ".join(shown.split())


def until(true: Callable[[], Any], seconds: float = 180) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "not within its time"
        time.sleep(0.1)


def descendants(number: int) -> list[int]:
    found = [int(word) for path in Path(f"/proc/{number}/task").glob("*/children") for word in path.read_text().split()]
    return [each for child in found for each in [*descendants(child), child]]


def kill(process: subprocess.Popen[str]) -> None:
    """Kill -9 of a run with all that it started; workers have sessions of their own."""
    for number in [process.pid, *descendants(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait(30)
    if process.stdout:
        process.stdout.close()


def away(control: Control, name: str, **given: Any) -> _run_lock.Holder:
    """The lock of one host is that of a run on another controller."""
    process = _run_lock.Process("elsewhere", "m2", "another boot", _run_lock.INITIAL, 7, "7")
    now = time.time()
    holder = replace(_run_lock.Holder("20261126T031400Z-aaaa", "joe", "deploy.yml", process, now - 600, now - 60), **given)
    folder = control.keeper(name)
    _run_store.make(folder)
    (folder / "lock").write_text(json.dumps(asdict(holder)))
    return holder


def test_a_run_leaves_its_record_on_both_sides_and_no_lock(control: Control) -> None:
    shown = control.play()
    ((text, record),) = control.records()
    assert (record.playbook, record.verdict, record.rc, record.check) == ("play.yml", "ok", 0, False)
    assert record.version.startswith("0.1.0") and record.who and record.controller
    assert [(stage.stage, stage.seconds is not None) for stage in record.stages] == [("1/2 First", True), ("2/2 Second", True)]
    assert record.changed == {"e1": 1} and record.summary == {"Release": "1.0.0"} and record.failures == []
    assert control.held() == []
    assert [(control.keeper(name) / f"{record.id}.jsonl").read_text() for name in KEEPERS] == [text] * 3
    assert f"Run {record.id}: play.yml" in shown
    assert re.search(r">>> Stage 1 of 2: First \(\d+:\d\d so far\)", shown) and "Changed: e1 1" in shown and "Release: 1.0.0" in shown
    assert f"Record: {control.runs}/{record.id}/record.jsonl, also on k1, k2, k3" in shown
    folder = control.runs / record.id
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "record.jsonl")] == [0o700, 0o600]

    shown = control.play("--limit", "e1")
    assert "the last run" not in shown and control.held() == []
    shown = control.play()
    assert re.search(r">>> Stage 2 of 2: Second \(\d+:\d\d so far, the last run \d+:\d\d\)", shown)
    assert re.search(r"^Stage +time +last +tasks +changed$", shown, re.MULTILINE)
    assert [each.limit for _text, each in control.records()] == ["", "e1", ""] and len(control.kept("k3")) == 3


def test_the_lock_is_taken_once_whatever_imports_it(control: Control) -> None:
    control.play()
    ((text, _record),) = control.records()
    assert text.count("Take the lock, and leave word of this run") == 1
    control.play("-e", "arxos_run_renew_minutes=0")
    assert control.records()[0][0].count("Take the lock, and leave word of this run") == 2


def test_check_mode_takes_no_lock_and_leaves_nothing_on_hosts(control: Control) -> None:
    away(control, "k1")
    away(control, "k2")
    shown = control.play("--check")
    assert "in check mode" in shown and control.records()[0][1].check
    assert len(control.held()) == 2 and control.kept() == []


def test_a_failure_gives_the_lock_back_and_says_where_it_stopped(control: Control) -> None:
    shown = control.play("-e", "bad=true", rc=2)
    assert "Failed:  e1 in 2/2 Second: Fail openly: it is broken" in shown and "more of that" not in shown.split("Whole run")[1]
    record = control.kept("k2")[0]
    assert (record.verdict, record.rc, record.failures[0]["message"]) == ("failed", 2, "it is broken")
    assert control.held() == []
    shown = control.play()
    assert f"The last run ({record.id} by {record.who}) failed after " in shown
    assert "in 2/2 Second, at 'Fail openly' on e1. Done were 1/2 First. This one goes from the start" in shown
    assert "The last run (" not in control.play()


@pytest.mark.parametrize("how", ["secret", "secrets"])
def test_what_no_log_hides_is_in_no_record(control: Control, how: str) -> None:
    shown = control.play("-e", f"{how}=true", rc=2)
    # Ansible itself shows the message of an item whose loop is hidden, so only what is ours is looked at.
    everything = shown.split("Whole run")[1] + "".join(path.read_text() for path in control.folder.rglob("*.jsonl"))
    assert "a secret" not in everything
    assert control.records()[0][1].failures[0]["message"] == "hidden, for it may hold secrets"


def test_two_at_once(control: Control, running: subprocess.Popen[str]) -> None:
    first = control.held()[0]
    assert re.search(rf"{first} .* running +\d+:", control.play(playbook="history.yml"))
    shown = flat(control.play(rc=2))
    assert f"Another run has this platform: play.yml by {_controller.who({})}" in shown and f"({first}), since 2" in shown
    assert f"-e arxos_run_take_over={first}" in shown and "(1/2) First" not in shown
    assert control.held() == [first] * 3
    assert {record.verdict for record in control.kept()} == {_run_record.INCOMPLETE, "failed"}
    assert running.poll() is None


def test_started_at_the_same_moment_one_goes_and_the_other_is_refused(control: Control) -> None:
    started = [control.start("-e", "seconds=20") for _number in range(2)]
    try:
        outputs = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            kill(process)
    assert sorted(process.returncode for process in started) == [0, 2], outputs
    refused = flat(outputs[[process.returncode for process in started].index(2)])
    assert "Another run has this platform" in refused
    assert control.held() == []


def test_a_killed_run_is_incomplete_and_its_lock_is_taken_over_at_once(control: Control, running: subprocess.Popen[str]) -> None:
    dead = control.held()[0]
    kill(running)
    assert control.held() == [dead] * 3 and control.records()[0][1].verdict == _run_record.INCOMPLETE
    told = control.play(playbook="history.yml")
    assert re.search(rf"{dead} .* INCOMPLETE +\d+:", told), told

    shown = flat(control.play())
    assert "The lock was taken over from play.yml by" in shown and f"({dead})" in shown and "its process is gone." in shown
    assert f"The last run ({dead} by {_controller.who({})}) was cut off after " in shown and "in 2/2 Second" in shown
    assert control.held() == []
    # What it had done after it took the lock was on the controller alone, until now.
    left = next(record for record in control.kept() if record.id == dead)
    assert left.stopped_in == "2/2 Second" and left.stages[0].seconds is not None
    told = control.play(playbook="history.yml")
    assert re.search(rf"{dead} .* INCOMPLETE +\d+:\d\d +1, stopped in 2/2 Second", told), told
    told = control.play("-e", f"run={dead}", playbook="history.yml")
    assert "2/2 Second  -" in told and "not ended" in told


@pytest.fixture(autouse=True)
def history(control: Control) -> None:
    text = f"- name: History\n  import_playbook: {ROOT}/playbooks/history.yml\n"
    (control.folder / "history.yml").write_text(text)


def test_keepers_that_are_one_host_are_no_majority(control: Control) -> None:
    inventory = yaml.safe_load((control.folder / "hosts.yml").read_text())
    keepers = inventory["all"]["children"]["database"]["hosts"]
    for name in KEEPERS:
        keepers[name]["arxos_run_folder"] = str(control.keeper("k1"))
    (control.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    shown = flat(control.play(rc=2))
    assert "Only 1 of the 3 hosts" in shown and "this host is k1 too: ansible_host leads there" in shown
    assert control.held() == []


def test_a_run_of_another_controller_has_its_time(control: Control) -> None:
    holder = away(control, "k1")
    away(control, "k3")
    shown = flat(control.play(rc=2))
    assert "Another run has this platform: deploy.yml by joe on elsewhere" in shown and "10 min ago" in shown
    assert control.held() == [holder.id] * 2
    # Two hosts of three know the other, and their time is up at different moments.
    away(control, "k3", renewed_at=time.time() - 241 * 60)
    shown = flat(control.play())
    assert "there was no sign of it for so long" in shown
    # What the other had elsewhere is not this run's to remove.
    assert control.held() == [holder.id]
    away(control, "k2")
    control.play(rc=2)
    assert "as was asked for" in flat(control.play("-e", f"arxos_run_take_over={holder.id}"))
    assert control.held() == []


def test_of_two_with_a_host_each_the_first_waits_until_the_other_has_given_way(control: Control) -> None:
    inventory = yaml.safe_load((control.folder / "hosts.yml").read_text())
    inventory["all"]["children"]["database"]["hosts"]["k1"]["ansible_python_interpreter"] = "/nonexistent/python"
    (control.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    away(control, "k2", id="20991231T000000Z-aaaa")
    process = control.start("--limit", "e1")
    try:
        until(lambda: any("Take the lock, and leave word" in text for text, _record in control.records()))
        (control.keeper("k2") / "lock").unlink()
        shown = process.communicate(timeout=300)[0]
    finally:
        kill(process)
    assert process.returncode == 0, shown
    assert "also on k2, k3" in shown and control.held() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces")
def test_processes_of_a_container_are_not_looked_for_from_outside(control: Control) -> None:
    inside = Control(control.folder, control.runs.with_name("inside"), inside=True)
    process = inside.start("-e", "seconds=200")
    try:
        until(lambda: any("2/2 Second" in text for text, _record in inside.records()))
    finally:
        kill(process)
    (dead,) = set(control.held())
    assert f"on elsewhere ({dead})" in flat(control.play(rc=2))
    assert control.held() == [dead] * 3
    assert "as was asked for" in flat(control.play("-e", f"arxos_run_take_over={dead}"))


def test_a_host_that_is_away_stops_nobody_and_two_do(control: Control) -> None:
    inventory = yaml.safe_load((control.folder / "hosts.yml").read_text())
    hosts = inventory["all"]["children"]["database"]["hosts"]
    hosts["k1"].update(ansible_connection="ssh", ansible_host="192.0.2.1", ansible_ssh_common_args="-o ConnectTimeout=1")
    (control.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    limit = ("--limit", "e1")
    shown = flat(control.play(*limit))
    assert "k1, which keeps it too, cannot be asked: " in shown and "also on k2, k3" in shown
    hosts["k2"]["ansible_python_interpreter"] = "/nonexistent/python"
    (control.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    shown = flat(control.play(*limit, rc=2))
    assert "Only 1 of the 3 hosts that keep the lock" in shown and "-e arxos_run_unlocked=true" in shown
    assert control.held() == []
    control.play(*limit, "-e", "arxos_run_unlocked=true")
    # One that is down and one that answers nothing: the third has all that was kept.
    assert f"{control.kept('k3')[0].id}  " in control.play(playbook="history.yml")


def test_the_lock_of_a_dead_run_is_freed_by_hand(control: Control) -> None:
    for name in KEEPERS:
        holder = away(control, name)
    (control.folder / "end.yml").write_text(f"- name: End\n  import_playbook: {ROOT}/playbooks/run_end.yml\n")
    control.play(playbook="end.yml")
    assert control.held() == [holder.id] * 3
    control.play("-e", f"arxos_run_take_over={holder.id}", playbook="end.yml")
    assert control.held() == []


def test_a_controller_that_cannot_be_written_breaks_no_run(control: Control) -> None:
    (control.folder / "file").write_text("")
    control.runs = control.folder / "file/runs"
    control.environment = {"TMPDIR": str(control.folder)}
    shown = control.play()
    assert shown.count("cannot be kept in") == 1 and "it is in" in shown
    assert len(control.kept()) == 1 and control.kept()[0].verdict == "ok"


def test_without_the_callback_the_lock_is_taken_and_its_process_can_be_looked_for(control: Control) -> None:
    control.environment = {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer"}
    assert "run_record is not enabled" in flat(control.play("-e", "enabled=false"))
    assert len(control.held()) == 3
    control.environment = {}
    assert "its process is gone" in flat(control.play())
    assert control.held() == []


def test_ansible_runner_has_its_own_output_and_the_lock_is_given_back(control: Control, tmp_path: Path) -> None:
    for arguments, rc in (("", 0), ("-e bad=true", 2)):
        (tmp_path / f"private{rc}").mkdir()
        run = ansible_runner.run(
            private_data_dir=str(tmp_path / f"private{rc}"),
            project_dir=str(control.folder),
            playbook="play.yml",
            inventory=str(control.folder / "hosts.yml"),
            cmdline=arguments or None,
            envvars={**control.env(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path / "empty")},
            quiet=True,
        )
        events = list(run.events)
        assert (run.rc, events[-1]["event"]) == (rc, "verbose"), run.stdout.read()[-3000:]
        assert "also on k1, k2, k3" in "".join(event["stdout"] for event in events)
        assert [event for event in events if "Give the lock back" in event["stdout"]] == []
        assert control.held() == [] and control.kept()[0].rc == rc


def test_records_are_beside_ansible_cfg_where_nothing_else_is_said(control: Control) -> None:
    config = control.folder / "checkout/ansible.cfg"
    config.parent.mkdir()
    text = (ROOT / "ansible.cfg").read_text().replace(".ansible/collections", str(ROOT / ".ansible/collections"))
    config.write_text(text)
    environment = {**control.env(), "ANSIBLE_CONFIG": str(config)}
    del environment["ARXOS_RUNS"]
    command = control.command("-e", "arxos_run_unlocked=true")
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300, cwd=control.folder)
    config.write_text(f"{text}\n[callback_run_record]\npath = mine\n")
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300, cwd=control.folder)
    assert [len(list(config.parent.glob(f"{folder}/*/record.jsonl"))) for folder in (".ansible/runs", "mine")] == [1, 1]


def test_old_records_go(control: Control) -> None:
    for number in range(5):
        (control.runs / f"20261126T03150{number}Z-0000").mkdir(parents=True)
    (control.runs / "mine").mkdir()
    control.environment = {"ARXOS_RUNS_KEEP": "3"}
    control.play("-e", "arxos_run_unlocked=true")
    left = sorted(path.name for path in control.runs.iterdir())
    assert left[:2] == ["20261126T031503Z-0000", "20261126T031504Z-0000"] and left[3] == "mine" and len(left) == 4


EVIDENCE = """
- name: {name}
  hosts: e1
  gather_facts: false
  tasks:
    - name: Keep a text
      arxos.platform.run_evidence: {{name: journal-e1.txt, content: "what it said"}}
      loop: [1, 2]
      register: kept
    - name: Keep a mapping
      arxos.platform.run_evidence: {{name: gate.json, content: {{verdict: pass, samples: 3}}}}
    - name: Keep something large
      arxos.platform.run_evidence: {{name: large.txt, content: "{{{{ 'x' * 70000 }}}}"}}
    - name: See where it is
      ansible.builtin.assert:
        that:
          - kept.results[0].path is file and kept.results[1].path is file
          - kept.results[0].sha256 == ('what it said' | hash('sha256'))
          - kept is not changed
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_evidence_is_kept_with_its_hash_also_without_a_run(control: Control, enabled: bool) -> None:
    (control.folder / "evidence.yml").write_text(EVIDENCE.format(name="(1/1) Gate | Collect" if enabled else "Collect"))
    control.environment = {} if enabled else {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer"}
    control.play(playbook="evidence.yml")
    ((text, record),) = control.records()
    assert [each["file"] for each in record.evidence] == [
        "evidence/" + name for name in ("journal-e1.txt", "journal-e1.txt-2", "gate.json", "large.txt")
    ]
    assert all((control.runs / record.id / each["file"]).stat().st_size == each["bytes"] for each in record.evidence)
    assert json.loads((control.runs / record.id / "evidence/gate.json").read_text()) == {"verdict": "pass", "samples": 3}
    assert "what it said" in text and "x" * 100 not in text
    assert record.verdict == ("ok" if enabled else _run_record.INCOMPLETE)


def test_a_name_of_evidence_leads_nowhere_else(control: Control) -> None:
    for name in ("../x", "A", "", ".x"):
        (control.folder / "evidence.yml").write_text(EVIDENCE.format(name="Collect").replace("journal-e1.txt", name or '""'))
        assert "must be of small letters" in control.play(playbook="evidence.yml", rc=2)
