# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""config_tree as a task: a real ansible-playbook against this machine, connection local, everything below a temporary directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
SECRETS = ("Hunter2-Zebra-41", "Kr4ken_under_the_Sea", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC")


@dataclass
class Run:
    code: int
    output: str
    log: str

    def message(self) -> str:
        """All that was said, without the line breaks that Ansible puts into it."""
        return " ".join(self.output.split())


class Controller:
    """A checkout of one role, with what ansible-playbook needs to run it here."""

    def __init__(self, root: Path) -> None:
        self.root, self.etc, self.templates = root, root / "etc", root / "roles/r/templates"
        (root / "roles/r/tasks").mkdir(parents=True)
        self.templates.mkdir()
        (root / "ansible.cfg").write_text(
            f"[defaults]\ncollections_path = {ROOT}/.ansible/collections\ninterpreter_python = {sys.executable}\nlocal_tmp = {root}/tmp\n"
            f"log_path = {root}/log\n[connection]\npipelining = true\n"
        )

    def run(self, options: dict[str, Any], *arguments: str, variables: dict[str, Any] | None = None) -> Run:
        return self.run_all([options], *arguments, variables=variables)

    def run_all(
        self,
        tasks: list[dict[str, Any]],
        *arguments: str,
        variables: dict[str, Any] | None = None,
        on: bool = False,
        more: list[dict[str, Any]] | None = None,
    ) -> Run:
        """One ansible-playbook; `on`: a failed task does not end it."""
        common = {"owner": str(os.geteuid()), "group": str(os.getegid()), "state_directory": str(self.root / "state")}
        steps: list[dict[str, Any]] = []
        for number, options in enumerate(tasks):
            steps.append({"name": f"Task {number}", "arxos.platform.config_tree": {**common, **options}, "register": "__r_config"})
            steps[-1].update({"ignore_errors": True} if on else {})
            steps.append({"name": "Tell", "ansible.builtin.debug": {"var": "__r_config"}})
        (self.root / "roles/r/tasks/main.yml").write_text(json.dumps(steps + (more or [])))
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": ["r"], "vars": variables or {}}
        (self.root / "play.yml").write_text(json.dumps([play]))
        (self.root / "log").unlink(missing_ok=True)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_CONFIG": str(self.root / "ansible.cfg"),
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(self.root / "play.yml"), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=self.root, stdin=subprocess.DEVNULL, check=False
        )
        assert (self.root / "log").exists(), done.stderr
        return Run(done.returncode, done.stdout + done.stderr, (self.root / "log").read_text())

    def file(self, name: str, **options: Any) -> dict[str, Any]:
        return {"dest": str(self.etc / name), **options}


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def test_templates_are_rendered_as_the_template_module_does(controller: Controller) -> None:
    (controller.templates / "a.j2").write_text(
        "{{ ansible_managed | comment }}\n{% if true %}\nport {{ port_number }}\n{% endif %}\n{% include 'part.j2' %}\nback\\slash {{ quoted }}\n"
        "{{ template_path }} {{ template_destpath }}\n"
    )
    (controller.templates / "part.j2").write_text("part of {{ nested }}\n\n")
    (controller.templates / "native.j2").write_text("{{ numbers }}")
    (controller.templates / "empty.j2").write_text("{{ nothing }}")
    variables = {
        "nested": "{{ deeper }}",
        "deeper": "deep",
        "quoted": 'a"b',
        "port_number": 1,
        "numbers": [1, 2],
        "nothing": None,
        "pem": "line\nline\n",
    }
    files = [
        controller.file("a", template="a.j2", vars={"port_number": 6379}),
        controller.file("native", template="native.j2"),
        controller.file("empty", template="empty.j2"),
        controller.file("inline", content="{{ pem }}", mode="0600"),
    ]
    (controller.root / "plain").mkdir()
    plain = [
        {
            "name": "Plain",
            "ansible.builtin.template": {"src": f"{name}.j2", "dest": f"{controller.root}/plain/{name}"},
            "vars": {"port_number": 6379},
        }
        for name in ("a", "native", "empty")
    ]
    run = controller.run_all([{"files": files}], "--diff", variables=variables, more=plain)
    assert run.code == 0, run.output
    for name in ("a", "native", "empty"):
        expected = (controller.root / "plain" / name).read_text().replace("/plain/", "/etc/")
        assert (controller.etc / name).read_text() == expected
    assert "port 6379\npart of deep\n" in (controller.etc / "a").read_text()
    assert "#\n# Ansible managed\n#\n" in (controller.etc / "a").read_text()
    assert (controller.etc / "native").read_text() == "[1, 2]"
    assert (controller.etc / "empty").read_text() == ""
    assert (controller.etc / "inline").read_text() == "line\nline\n"
    assert "+port 6379" in run.output
    assert "changed=0" in controller.run({"files": files}, variables=variables).output


def test_no_secret_is_shown_anywhere(controller: Controller) -> None:
    """Not in output, log, diff or invocation, however much is asked for; new, changed, removed, refused or impossible to render."""
    template = controller.templates / "secret.j2"
    template.write_text("requirepass {{ password }}\nkey = '{{ key }}'\n")
    (controller.templates / "broken.j2").write_text("{{ password | from_json }}")
    files = [
        controller.file("x.conf", template="secret.j2", secret=True, vars={"key": "{{ other }}"}, mode="0600"),
        controller.file("x.key", content="{{ pem }}", secret=True, mode="0600"),
        controller.file("plain", content="harmless\n"),
    ]
    variables = {"password": SECRETS[0], "other": SECRETS[1], "pem": f"-----BEGIN-----\n{SECRETS[2]}\n"}
    loud = ("-vvv", "--diff")
    quote = [sys.executable, "-c", "import sys; sys.exit('bad: ' + ''.join(open(name).read() for name in sys.argv[1:]))"]
    quote += [f"{{staged}}{controller.etc}/{name}" for name in ("x.conf", "x.key", "plain")]

    def shown(options: dict[str, Any], *arguments: str, code: int = 0) -> str:
        run = controller.run(options, *loud, *arguments, variables=variables)
        assert run.code == code, run.output
        for secret in SECRETS:
            for start in range(len(secret) - 7):
                assert secret[start : start + 8] not in run.output + run.log
        return run.output

    assert "(secret content)" in shown({"files": files}, "--check")
    assert "+harmless" in shown({"files": files})
    variables["password"] += "x"
    assert "(secret content, it differs)" in shown({"files": files})
    variables["password"] += "y"
    output = shown({"files": files, "validate": [quote]}, code=2)
    assert "refuses the configuration" in output and "harmless" in output and "requirepass ********" in output
    assert "JSONDecodeError; it is secret" in shown({"files": [controller.file("x.conf", template="broken.j2", secret=True)]}, code=2)
    assert "x.key" in shown({"absent": [str(controller.etc / "x.key")]})
    shown({"files": [controller.file("x", content=["{{ password }}"], secret=True)]}, code=2)
    shown({"files": [controller.file("x", content="{{ password }}", secret=True, mode=420)]}, code=2)
    shown({"files": [controller.file("x", content="{{ password }}", secret=True, owner="no-such-user")]}, code=2)


def test_all_templates_that_cannot_be_rendered_are_in_one_message(controller: Controller) -> None:
    (controller.templates / "a.j2").write_text("{{ missing_one }}")
    (controller.templates / "b.j2").write_text("{{ known.missing_two }}")
    (controller.templates / "c.j2").write_text("{% if %}")
    (controller.templates / "d.j2").write_bytes(b"\xff\xfe")
    (controller.templates / "e.j2").write_text("{{ indirect }}")
    (controller.templates / "good.j2").write_text("good")
    files = [controller.file(name, template=f"{name}.j2", secret=name == "b") for name in ("a", "b", "c", "d", "e", "nowhere", "good")]
    run = controller.run({"files": files}, variables={"known": {}, "indirect": "{{ missing_three }}"})
    message = run.message()
    assert run.code == 2
    assert "6 of 7 files cannot be rendered" in message
    assert "template a.j2: 'missing_one' is undefined" in message
    assert "missing_two" in message and "missing_three" in message
    assert "template c.j2 line 1: Expected an expression" in message
    assert "template d.j2 is not UTF-8 text" in message
    assert "template nowhere.j2 cannot be read" in message
    assert "Traceback" not in run.output
    assert not controller.etc.exists()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"files": "text"}, "files"),
    ({"files": [1]}, "files"),
    ({"files": None}, "files"),
    ({"files": [{"template": "a.j2"}]}, "dest"),
    ({"files": [{"dest": "/x"}]}, "/x needs one of template and content"),
    ({"files": [{"dest": "/x", "template": "a.j2", "content": "x"}]}, "/x needs one of template and content"),
    ({"files": [{"dest": "/x", "content": {"a": 1}}]}, "content of /x is a mapping, not a string"),
    ({"files": [{"dest": "/x", "content": 7}]}, "content of /x is a number or boolean, not a string"),
    ({"files": [{"dest": "/x", "content": "", "vars": {"a": 1}}]}, "/x has vars but no template"),
    ({"files": [{"dest": "/x", "template": "a.j2", "vars": [1]}]}, "vars"),
    ({"files": [{"dest": "/x", "content": "", "mode": 420}]}, "mode 420 of /x is not a quoted octal string"),
    ({"files": [{"dest": "x", "content": ""}]}, "'x' is not an absolute path"),
    ({"files": [{"dest": "/x", "content": "", "owners": "x"}]}, "owners"),
    ({"directories": [{"path": "/x", "exclusive": {"a": 1}}]}, "exclusive"),
    ({"validate": [["x"], []]}, "neither a command line nor a list"),
    ({"rendered": "x"}, "rendered is the action plugin's own option"),
    ({"nonsense": 1}, "nonsense"),
    ({"absent": ["/etc"]}, "/etc is a directory"),
]


def test_wrong_arguments_are_told_without_a_traceback(controller: Controller) -> None:
    (controller.templates / "a.j2").write_text("")
    run = controller.run_all([options for options, _message in WRONG], on=True)
    parts = run.output.split("TASK [r : Task ")[1:]
    assert run.code == 0 and len(parts) == len(WRONG), run.output
    for (options, message), part in zip(WRONG, parts):
        told = " ".join(part.split("TASK [r : Tell")[0].split())
        assert "FAILED!" in told and message in told, (options, told)
    assert "Traceback" not in run.output and "MODULE FAILURE" not in run.output


def test_check_mode_changes_nothing_and_warns_of_what_it_could_not_validate(controller: Controller) -> None:
    options = {"files": [controller.file("x", content="1")], "validate": ["no-such-checker {staged}"]}
    run = controller.run(options, "--check", "--diff")
    assert (
        run.code == 0 and "changed=1" in run.output and "not validated in check mode: no-such-checker is not installed yet" in run.message()
    )
    assert not controller.etc.exists()
    run = controller.run(options)
    assert run.code == 2 and "the checker no-such-checker is not on this host" in run.message()


def test_one_call_whatever_the_number_of_files(controller: Controller) -> None:
    files = [controller.file(f"{number}", content=f"{number}") for number in range(50)]
    output = controller.run({"files": files}, "-vvv").output.split("TASK [r : Tell]")[0]
    assert output.count("EXEC /bin/sh") == 1
    assert len(list(controller.etc.iterdir())) == 50
