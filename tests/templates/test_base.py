# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""arxos-administrators on accounts of its own, by the system's own tools: in a namespace that has its own /etc, /home, /var and processes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

Render = Callable[..., str]
JANE, JOHN, BOB, DEPLOY = 64321, 64322, 64323, 64324
TOOLS = ("unshare", "setpriv", "chage", "usermod", "gpasswd", "pkill")


def private_etc() -> bool:
    if os.geteuid() != 0 or any(shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None for tool in TOOLS):
        return False
    words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/home"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


# Accounts as a run left them: jane looks after logs, john deploys, bob is not of the platform, deploy is the controller's.
BEGIN = f"""
    for place in /etc /home /var/lib; do
        mkdir "$1$place" -p
    done
    cd /etc && cp -a alternatives default group gshadow ld.so.cache login.defs nsswitch.conf pam.d passwd security shadow skel "$1/etc/" && cd /
    mount --bind "$1/etc" /etc; mount -t tmpfs tmpfs /home; mount -t tmpfs tmpfs /var/lib; mount -t tmpfs tmpfs /var/log
    PATH="$1/bin:$PATH:/usr/sbin:/sbin"
    for group in arxos-admin arxos-operator arxos-deployer arxos-auditor; do groupadd --force $group; done
    getent group adm >/dev/null || groupadd adm
    people() {{ useradd --create-home --uid $2 --groups "$3" --password '!' $1; }}
    people jane {JANE} arxos-operator,adm; people john {JOHN} arxos-deployer; people bob {BOB} adm; people deploy {DEPLOY} arxos-admin
    gpasswd --add root arxos-admin >/dev/null
    mkdir -p /etc/security/totp /var/lib/arxos/totp /var/lib/systemd/linger
    for name in jane john bob; do
        mkdir -p /home/$name/.ssh; echo key >/home/$name/.ssh/authorized_keys; chown -R $name /home/$name/.ssh
        echo code >/etc/security/totp/$name; echo code >/var/lib/arxos/totp/$name; echo mine >/home/$name/file; chown $name /home/$name/file
        touch /var/lib/systemd/linger/$name
    done
    run() {{ sh "$SCRIPT" "$@"; }}
    groups_of() {{ id -Gn "$1" | tr ' ' '\\n' | grep -v "^$1\\$" | sort | tr '\\n' ' '; echo; }}
    expires() {{ awk -F: -v name="$1" '$1 == name {{ print "expires=" $8 }}' /etc/shadow; }}
    state() {{ (cd / && sha256sum /etc/passwd /etc/shadow /etc/group /etc/gshadow && find /home /etc/security/totp /var/lib -type f) | sort; }}
"""


class Host:
    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        (folder / "script").write_text(script)
        (folder / "bin").mkdir()
        # logind of the machine that runs this has no part in it.
        (folder / "bin/loginctl").write_text(
            f"""#!/bin/sh
            ended=$(grep -c ^kill-user {folder}/told 2>/dev/null)
            [ $1 = show-user ] || echo "$*" >>{folder}/told
            [ "${{ended:-0}}" = 0 ]
            """
        )
        (folder / "bin/loginctl").chmod(0o755)

    def run(self, text: str, **given: str) -> list[str]:
        """Lines that commands print on such a host. `run` is the script."""
        words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-euc", BEGIN + text, "sh", str(self.folder)]
        clean = {key: value for key, value in os.environ.items() if key not in ("SUDO_USER", "DOAS_USER")}
        environment = {**clean, "SCRIPT": str(self.folder / "script"), **given}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def host(render: Render, tmp_path: Path) -> Host:
    if not private_etc():
        pytest.skip("root, namespaces and packages passwd, procps and util-linux are needed to make accounts")
    return Host(tmp_path, render("base", "administrators.sh.j2"))


TASKS = yaml.safe_load((Path(__file__).resolve().parents[2] / "roles/base/tasks/administrators.yml").read_text())


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ({}, "/x  deploy jane=operator 'o x=auditor'"),
        ({"ansible_check_mode": True}, "/x --check deploy jane=operator 'o x=auditor'"),
        ({"ansible_check_mode": True, "__base_config": {"changed": True}}, ""),
        ({"__base_config": {"changed": True}}, "/x  deploy jane=operator 'o x=auditor'"),
        ({"base_administrators": []}, ""),
    ],
)
def test_who_goes_goes_before_anybody_is_made_and_is_only_told_in_check_mode(given: dict[str, Any], runs: str) -> None:
    task = TASKS[0]
    assert [each["name"] for each in TASKS].index("Make the accounts") > 0 and task["check_mode"] is False
    variables = {
        "base_administrators": [{"name": "jane", "role": "operator"}, {"name": "o x", "role": "auditor"}],
        "ansible_user": "deploy",
        "ansible_check_mode": False,
        "__base_config": {"changed": False},
        "__base_administrators_program": "/x",
        **given,
    }
    templar = Templar(loader=DataLoader(), variables=variables)
    acts = all(templar.evaluate_conditional(trust_as_template(each)) for each in task["when"])
    assert acts is bool(runs)
    if acts:
        assert templar.template(trust_as_template(task["ansible.builtin.raw"])) == runs


KEPT = [
    "kept deploy: Ansible comes in as it. Take it out of the groups of the sudo roles by hand, or name it in the list",
    "kept root: it is root",
]


def others(said: list[str]) -> list[str]:
    """Beside those two, who are members in every test and nobody's people."""
    assert set(KEPT) <= set(said)
    return [line for line in said if line not in KEPT]


def test_who_is_not_in_the_list_any_more_has_nothing_left_but_files(host: Host) -> None:
    said = host.run(
        """
        setpriv --reuid jane --regid jane --clear-groups sleep 100 & sleeping=$!
        run deploy john=deployer
        for name in jane john bob deploy; do groups_of $name; done
        expires jane; expires john; awk -F: '$1 == "jane" { print "password=" $2 }' /etc/shadow
        wait $sleeping || echo "killed $?"
        find /home /etc/security/totp /var/lib -type f ! -name '.[bp]*' | sort; stat -c %U /home/jane/file
        """
    )
    files = [line for line in said if line.startswith("/")]
    left = [line for line in others(said) if line not in files]
    assert left == [
        "closed jane",
        "",
        "arxos-deployer ",
        "adm ",
        "arxos-admin ",
        "expires=1",
        "expires=",
        "password=!",
        "killed 137",
        "jane",
    ]
    assert [path for path in files if "jane" in path] == ["/home/jane/file"]
    for name in ("john", "bob"):
        assert [path.removeprefix("/home") for path in files if name in path] == [
            f"/etc/security/totp/{name}",
            f"/{name}/.ssh/authorized_keys",
            f"/{name}/file",
            f"/var/lib/arxos/totp/{name}",
            f"/var/lib/systemd/linger/{name}",
        ]
    assert (host.folder / "told").read_text().splitlines() == ["kill-user --signal=SIGKILL jane"]


def test_a_second_run_changes_nothing(host: Host) -> None:
    said = host.run('run deploy john=deployer; state >"$1/before"; run deploy john=deployer; state | diff "$1/before" -')
    assert others(said) == ["closed jane"]


def test_check_mode_says_it_and_does_nothing(host: Host) -> None:
    said = host.run('state >"$1/before"; run --check deploy john=deployer; state | diff "$1/before" -')
    assert others(said) == ["closed jane"] and not (host.folder / "told").exists()


def test_whoever_is_named_again_gets_in_again_but_not_who_was_closed_by_hand(host: Host) -> None:
    said = host.run(
        """
        run deploy john=deployer; run --check deploy john=deployer jane=operator; run deploy john=deployer jane=operator; expires jane
        chage -E 0 john; run deploy john=deployer jane=operator; expires john
        """
    )
    assert others(said) == ["closed jane", "opened jane", "opened jane", "expires=", "expires=0"]


@pytest.mark.parametrize("name", ["SUDO_USER", "DOAS_USER"])
def test_the_account_that_it_is_called_from_is_never_touched(host: Host, name: str) -> None:
    said = host.run("run somebody-else john=deployer jane=operator", **{name: "deploy"})
    assert said == KEPT


def test_a_path_that_leads_elsewhere_takes_nothing_of_others(host: Host) -> None:
    said = host.run(
        """
        rm -r /home/jane/.ssh; mkdir -p /home/root/.ssh; echo key >/home/root/.ssh/authorized_keys; ln -s /home/root/.ssh /home/jane/.ssh
        run deploy john=deployer; cat /home/root/.ssh/authorized_keys; groups_of jane
        """
    )
    first, *rest = others(said)
    assert first.startswith("left /home/jane/.ssh") and rest == ["closed jane", "key", ""]


@pytest.mark.parametrize("dies", ["chage", "usermod --lock", "loginctl", "pkill", "setpriv", "usermod --groups"])
def test_a_run_that_was_killed_is_finished_by_the_next(host: Host, dies: str) -> None:
    tool, _space, option = dies.partition(" ")
    stub = host.folder / "dying"
    stub.mkdir()
    real = shutil.which(tool, path=f"{host.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    (stub / tool).write_text(f'#!/bin/sh\ncase " $* " in *{shlex.quote(option)}*) kill -9 $PPID; exit 1;; esac\nexec {real} "$@"\n')
    (stub / tool).chmod(0o755)
    said = host.run(
        '(PATH="$1/dying:$PATH"; run deploy john=deployer) >/dev/null 2>&1 || true; run deploy john=deployer; groups_of jane; expires jane; ls /home/jane/.ssh'
    )
    assert others(said) == ["closed jane", "", "expires=1"]


def test_a_member_without_an_account_goes(host: Host) -> None:
    said = host.run(
        "sed -i 's/^arxos-auditor:.*/&ghost/' /etc/group /etc/gshadow; run deploy john=deployer jane=operator; run deploy john=deployer jane=operator"
    )
    assert others(said) == ["closed ghost: there was no account, but a member"]


def test_whoever_has_another_role_is_logged_out_since_a_session_keeps_the_groups_that_it_began_with(host: Host) -> None:
    people = "john=deployer jane=auditor"
    said = host.run(
        f"""
        setpriv --reuid jane --regid jane --clear-groups sleep 100 & jane=$!
        setpriv --reuid john --regid john --clear-groups sleep 2 & john=$!
        run --check deploy {people}; groups_of jane
        run deploy {people}; groups_of jane; wait $jane || echo "killed $?"; wait $john && echo "stayed"
        run deploy {people}; ls /home/jane/.ssh; expires jane
        """
    )
    assert others(said) == [
        "moved jane: operator no more",
        "adm arxos-operator ",
        "moved jane: operator no more",
        "adm ",
        "killed 137",
        "stayed",
        "authorized_keys",
        "expires=",
    ]
    assert (host.folder / "told").read_text().splitlines() == ["kill-user --signal=SIGKILL jane"]


def test_the_account_that_ansible_comes_in_as_is_told_and_not_logged_out(host: Host) -> None:
    said = host.run("run deploy john=deployer jane=operator deploy=operator; groups_of deploy")
    assert "left the sessions of deploy: Ansible comes in as it. Until they end, they have the rights of admin" in said
    assert said[-2:] == ["moved deploy: admin no more", ""] and not (host.folder / "told").exists()


@pytest.mark.parametrize("dies", ["loginctl", "pkill", "gpasswd"])
def test_a_change_of_role_that_was_cut_off_is_finished_by_the_next_run(host: Host, dies: str) -> None:
    stub = host.folder / "dying"
    stub.mkdir()
    (stub / dies).write_text("#!/bin/sh\nkill -9 $PPID\nexit 1\n")
    (stub / dies).chmod(0o755)
    said = host.run(
        """
        setpriv --reuid jane --regid jane --clear-groups sleep 100 & jane=$!
        (PATH="$1/dying:$PATH"; run deploy john=deployer jane=auditor) >/dev/null 2>&1 || true
        run deploy john=deployer jane=auditor; wait $jane || echo "killed $?"; groups_of jane
        """
    )
    assert others(said) == ["moved jane: operator no more", "killed 137", "adm "]
