# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import Templar, trust_as_template
from ansible_collections.arxos.platform.plugins.module_utils import _config_tree

ROLE = Path(__file__).resolve().parents[2] / "roles/hardening"
VARS: dict[str, Any] = {}
for path in (ROLE / "vars/main").glob("*.yml"):
    VARS.update(yaml.safe_load(path.read_text()))
Render = Callable[..., str]


def settings(text: str) -> dict[str, str]:
    """Keyword to value of the part of an sshd configuration that holds for everybody."""
    lines = [line for line in text.split("\nMatch ")[0].splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


def sshd(render: Render, release: str = "debian-12", **given: Any) -> str:
    return render("hardening", "sshd_config.j2", release, __hardening_automation_group="robots", **given)


@pytest.mark.parametrize("release", ["debian-12", "debian-13"])
def test_people_need_a_key_and_a_code(render: Render, release: str) -> None:
    says = settings(sshd(render, release))
    assert says["AuthenticationMethods"] == "publickey,keyboard-interactive:pam"
    assert says["PermitRootLogin"] == says["PasswordAuthentication"] == "no"
    assert says["AllowGroups"] == "arxos-admin arxos-operator arxos-deployer arxos-auditor"
    assert ("mlkem768x25519-sha256" in says["KexAlgorithms"]) is (release == "debian-13"), "OpenSSH 9.2 refuses what it does not know"


def test_without_codes_a_key_is_enough_and_nothing_else_is_asked(render: Render) -> None:
    says = settings(sshd(render, hardening_ssh_mfa=False))
    assert says["AuthenticationMethods"] == "publickey" and says["KbdInteractiveAuthentication"] == "no"
    assert "pam_google_authenticator" not in render("hardening", "sshd.pam.j2", hardening_ssh_mfa=False)


def test_a_program_has_a_key_alone_and_only_from_where_it_is(render: Render) -> None:
    text = sshd(render, hardening_ssh_automation_users=["deploy", "awx"], hardening_ssh_automation_networks=["10.0.7.0/24", "10.0.8.1/32"])
    assert settings(text)["AllowGroups"].endswith(" robots")
    assert "\nMatch User deploy,awx Address 10.0.7.0/24,10.0.8.1/32\n    AuthenticationMethods publickey\n" in text
    assert "Match" not in sshd(render)
    users = render("hardening", "sysusers.conf.j2", hardening_ssh_automation_users=["deploy"], __hardening_automation_group="robots")
    assert users.splitlines()[-2:] == ["g robots -", "m deploy robots"]


def test_the_unit_runs_the_commands_of_the_controls_in_order(render: Render) -> None:
    text = render("hardening", "hardening.service.j2", __hardening_commands=["/bin/one", "-/bin/two x"])
    assert re.findall(r"^ExecStart=(.*)$", text, re.M) == ["/bin/one", "-/bin/two x"]
    assert "ExecStart=/bin/true" in render("hardening", "hardening.service.j2", __hardening_commands=[])


def test_sudo_gives_each_role_its_commands_and_a_role_without_any_no_line(render: Render) -> None:
    roles = {"admin": ["ALL"], "operator": ["/bin/a", "/bin/b x"], "deployer": []}
    text = render("hardening", "sudoers.j2", __hardening_sudo_roles=roles, __hardening_container=False)
    assert "%arxos-admin ALL=(ALL:ALL) NOPASSWD: ALL\n" in text
    assert "%arxos-operator ALL=(root) NOPASSWD: /bin/a, /bin/b x\n" in text
    assert "%arxos-deployer ALL" not in text
    assert "Defaults:%arxos-admin,%arxos-operator,%arxos-deployer !setenv, log_subcmds\n" in text
    assert "log_subcmds" not in render("hardening", "sudoers.j2", __hardening_sudo_roles=roles, __hardening_container=True)


def test_audit_rules_name_both_tables_of_system_calls_and_keys(render: Render) -> None:
    lines = [line for line in render("hardening", "audit.rules.j2").splitlines() if line.startswith(("-a", "-w"))]
    assert [line for line in lines if not re.search(r" -k [a-z]+$", line)] == []
    calls = [re.sub(r"arch=b(32|64)", "arch=", line) for line in lines if " arch=" in line and " stime " not in line]
    assert {calls.count(line) for line in calls} == {2}


def test_sudo_starts_from_a_clean_environment_and_not_from_where_somebody_stands(render: Render) -> None:
    text = render("hardening", "sudoers.j2", __hardening_sudo_roles={"admin": ["ALL"]}, __hardening_container=False)
    says = {word.strip() for line in text.splitlines() if line.startswith("Defaults ") for word in line[9:].split(",")}
    assert {"env_reset", "ignore_dot", "use_pty"} <= says


def test_who_logged_in_and_what_was_removed_is_audited(render: Render) -> None:
    text = render("hardening", "audit.rules.j2")
    for path in ("/var/run/utmp", "/var/run/faillock", "/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog"):
        assert f"-w {path} -p wa -k logins\n" in text
    assert {line.count(",rmdir,") for line in text.splitlines() if line.endswith(" -k removal")} == {1}


def test_updates_leave_alone_what_a_playbook_restarts(render: Render) -> None:
    excluded = ["postgresql", "redis"]
    apt = render("hardening", "updates.apt.j2", hardening_updates_excluded=excluded)
    assert '"^postgresql";' in apt and '"^redis";' in apt and "-security" in apt
    restarts = render("hardening", "needrestart.conf.j2", hardening_updates_excluded=excluded)
    assert "$nrconf{override_rc}{qr(^redis)} = 0;" in restarts
    assert "OnCalendar=\nOnCalendar=*-*-* 02:20\n" in render("hardening", "updates.timer.j2", hardening_updates_at="02:20")


def test_updates_become_the_baseline_after_daemons_have_them_and_are_never_kept_from_it(render: Render) -> None:
    text = render("hardening", "updates.service.j2", __hardening_accept="/usr/local/sbin/arxos-accept")
    assert re.findall(r"^ExecStart(.*)$", text, re.M) == [
        "Pre=-/usr/local/sbin/arxos-accept before",
        "Post=-/usr/sbin/needrestart -q -r a",
        "Post=-/usr/local/sbin/arxos-accept after",
    ]


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_renewal_becomes_the_baseline_too(render: Render, step: str) -> None:
    """By the program of this role, which a host without it does not have."""
    seal = VARS["__hardening_accept"]
    assert f"\n[ ! -x {seal} ] || exec {seal} {step}\n" in render("certificates", "renewal-hook.j2", step=step)
    tasks = yaml.safe_load((ROLE.parent / "certificates/tasks/acme.yml").read_text())
    (files,) = [task["arxos.platform.config_tree"]["files"] for task in tasks if "arxos.platform.config_tree" in task]
    hooks = {file["dest"]: file for file in files if "renewal-hooks" in file["dest"]}
    hook = hooks[f"/etc/letsencrypt/renewal-hooks/{'pre' if step == 'before' else 'post'}/arxos"]
    assert hook["vars"] == {"step": step} and hook["mode"] == "0755"


@pytest.mark.parametrize(
    ("words", "may"),
    [
        ("", True),
        ("--auth", True),
        ("--login --failed --summary", True),
        ("--auth--failed", False),
        ("--auth ", False),
        ("--input /etc/shadow", False),
    ],
)
def test_an_auditor_may_join_what_aureport_tells(words: str, may: bool) -> None:
    """sudo matches all arguments at once, with a space between them. The program is where auditd is, which no container has."""
    (rule,) = [line.partition(" ")[2] for line in VARS["__hardening_sudo_auditor"] if "aureport" in line]
    assert rule.startswith("^") and rule.endswith("$") and bool(re.search(rule, words)) == may


def test_every_control_is_a_choice_and_every_choice_a_control() -> None:
    spec = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert spec["hardening_skip"]["choices"] == list(VARS["__hardening_controls"])
    for name in VARS["__hardening_controls"]:
        assert f"__hardening_{name}" in VARS
    playbook = yaml.safe_load((ROLE.parents[1] / "playbooks/hosts.yml").read_text())
    tags = next(role["tags"] for play in playbook for role in play.get("roles", []) if role["role"].endswith(".hardening"))
    assert tags == ["hardening", *VARS["__hardening_controls"]]


def test_every_template_is_sent_and_every_file_has_one() -> None:
    text = "".join(path.read_text() for path in [*(ROLE / "vars/main").glob("*.yml"), ROLE / "tasks/main.yml"])
    assert set(re.findall(r"[\w.-]+\.j2", text)) == {path.name for path in (ROLE / "templates").iterdir()}


def test_grub_adds_to_what_the_host_already_tells_its_kernel(render: Render) -> None:
    text = render("hardening", "grub.cfg.j2", __hardening_boot_arguments=["slab_nomerge", "audit=1"])
    assert text.splitlines()[-1] == 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX slab_nomerge audit=1"'


def test_no_profile_of_pam_lets_an_empty_password_in(render: Render) -> None:
    assert "nullok" not in render("hardening", "unix.pam-config.j2")
    assert {"arxos-unix", "arxos-faillock"} <= set(VARS["__hardening_pam_profiles"])
    assert "--disable unix" in VARS["__hardening_accounts"]["commands"][0]


# ---------------------------------------------------------------- the way back to the old sshd

CONFIG, PAM = "/etc/ssh/sshd_config", "/etc/pam.d/sshd"
HANDLERS = yaml.safe_load((ROLE / "handlers/main.yml").read_text())
TASKS = [task["name"] for task in yaml.safe_load((ROLE / "tasks/main.yml").read_text())]


def handlers_of(*changed: str, check: bool = False) -> list[str]:
    """The handlers that act, in order, where all of them are notified and config_tree says that these files changed."""
    trusted = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in VARS.items()}
    given = {"__hardening_config": {"changed_files": list(changed)}, "__hardening_units": [], "__hardening_container": False}
    templar = Templar(variables={**trusted, **given, "ansible_check_mode": check})
    return [
        each["name"]
        for each in HANDLERS
        if "loop" not in each and all(templar.evaluate_conditional(trust_as_template(it)) for it in each["when"])
    ]


@pytest.mark.parametrize("changed", [[CONFIG], [PAM], [PAM, CONFIG]])
def test_the_way_back_is_armed_before_anything_is_put_in_force(changed: list[str]) -> None:
    armed = TASKS.index("Arm the way back to the old sshd")
    assert TASKS[armed - 1 : armed + 2] == ["Configure every control", TASKS[armed], "Put it in force at every boot"]
    assert handlers_of(*changed) == ["Put the hardening in force", "Reload sshd"]
    assert handlers_of(*changed, check=True) == []
    assert handlers_of("/etc/motd") == ["Put the hardening in force"]


def test_a_run_that_ended_before_its_handlers_leaves_what_the_next_acts_on() -> None:
    readers = {item["dest"]: item.get("units") for item in VARS["__hardening_ssh_files"]}
    assert [readers[path] for path in VARS["__hardening_sshd_files"]] == [["ssh.service"], ["ssh.service"]]


@pytest.fixture
def guard(render: Render, tmp_path: Path) -> Callable[..., int]:
    """arxos-sshd-guard on files below tmp_path, with a systemd that does nothing."""
    text = render("hardening", "sshd-guard.sh.j2", __hardening_sshd_files=[CONFIG, PAM])
    script, bin_ = tmp_path / "guard", tmp_path / "bin"
    script.write_text(re.sub(r"(?<![\w\"])/(etc|var)/", rf"{tmp_path}/\1/", text))
    bin_.mkdir()
    for name in ("systemctl", "systemd-run"):
        (bin_ / name).write_text("#!/bin/sh\n")
        (bin_ / name).chmod(0o755)
    for path in (CONFIG, PAM):
        for root in (tmp_path, tmp_path / "var/lib/arxos/config_tree/previous"):
            (root / path[1:]).parent.mkdir(parents=True)
            (root / path[1:]).write_text("new" if root == tmp_path else "old")

    def run(*words: str) -> int:
        environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"}
        return subprocess.run(["sh", str(script), *words], env=environment, check=False).returncode

    return run


def test_what_nobody_has_proved_yet_counts_as_changed_in_the_next_run(guard: Callable[..., int], tmp_path: Path) -> None:
    config, pam = tmp_path / CONFIG[1:], tmp_path / PAM[1:]
    for path in (config, pam):
        path.chmod(0o600)
    owner, group = str(os.geteuid()), str(os.getegid())
    tree = _config_tree.Tree(files=tuple(_config_tree.File(str(path), b"new", owner, group, 0o600) for path in (config, pam)))

    def changed() -> list[str]:
        places = _config_tree.Places(str(tmp_path / "state"), str(tmp_path / "work"))
        return _config_tree.make_plan(tree, places, check=True, loaded=lambda units: {}).changed_files

    assert changed() == []
    assert guard("arm", "300", str(pam)) == 0 and changed() == [str(pam)]
    assert guard("arm", "300", str(config), str(pam)) == 0 and changed() == [str(config), str(pam)]
    assert guard("keep") == 0 and changed() == []


def below(tmp_path: Path, file: str, text: str) -> None:
    """What config_tree has kept of a file below tmp_path."""
    kept = tmp_path / f"var/lib/arxos/config_tree/previous{tmp_path}{file}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(text)


def test_what_comes_back_leaves_no_mark(guard: Callable[..., int], tmp_path: Path) -> None:
    config = tmp_path / CONFIG[1:]
    below(tmp_path, CONFIG, "old")
    assert guard("arm", "300", str(config)) == 0
    assert guard("undo") == 0 and config.read_text() == "old"
    assert not list(config.parent.glob(".*")) and not (tmp_path / "var/lib/arxos/sshd-guard").exists()


def test_what_comes_back_is_what_a_login_has_proved_whoever_wrote_since(guard: Callable[..., int], tmp_path: Path) -> None:
    config, pam = tmp_path / CONFIG[1:], tmp_path / PAM[1:]
    below(tmp_path, CONFIG, "old")
    assert guard("arm", "300", str(config)) == 0
    for path, text in ((CONFIG, "new"), (PAM, "old pam")):  # another run, before the first one's time is up
        below(tmp_path, path, text)
    config.write_text("newer")
    assert guard("arm", "300", str(config), str(pam)) == 0
    assert guard("undo") == 0 and (config.read_text(), pam.read_text()) == ("old", "old pam")
    # The next one proves its own.
    config.write_text("newest")
    below(tmp_path, CONFIG, "old")
    assert guard("arm", "300", str(config)) == 0 and guard("keep") == 0
    assert guard("boot") == 0 and config.read_text() == "newest"


@pytest.mark.parametrize(("runs", "after"), [("sshd-undo.timer", "new"), ("ssh.service", "old"), ("nothing", "old")])
def test_a_boot_ends_the_timer_and_not_the_way_back(guard: Callable[..., int], tmp_path: Path, runs: str, after: str) -> None:
    config = tmp_path / CONFIG[1:]
    below(tmp_path, CONFIG, "old")
    assert guard("arm", "300", str(config)) == 0
    told = tmp_path / "told"
    (tmp_path / "bin/systemctl").write_text(
        f'#!/bin/sh\necho "$*" >>{told}\ncase "$*" in *is-active*{runs}*|reload*) ;; *) exit 3 ;; esac\n'
    )
    assert guard("boot") == 0 and config.read_text() == after
    # Nothing is waited for that itself waits for the end of the boot.
    assert ("reload ssh.service" in told.read_text()) == (runs == "ssh.service")
