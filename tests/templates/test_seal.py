# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""arxos-seal on a history of its own, with an etckeeper that commits as the real one does: private keys are not in it, killed at any step; and on a
baseline of its own, with an AIDE that compares as the real one does. arxos-accept renews that where the host was as it says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Render = Callable[..., str]
WATCH = Path(__file__).resolve().parents[2] / "roles/hardening/vars/main/watch.yml"
OF_ETCKEEPER = "# begin section managed by etckeeper (do not edit this section by hand)\n\n*.old\n\n# end section managed by etckeeper\n"
PRIVATE = [
    "letsencrypt/accounts/a/directory/b/private_key.json",
    "letsencrypt/archive/front/privkey1.pem",
    "letsencrypt/keys/0000_key-certbot.pem",
    "security/totp/jane",
    "ssh/ssh_host_ed25519_key",
    "ssl/arxos/host.key.next",
    "ssl/arxos/pairs/host-1/tls.key",
    "ssl/private/ssl-cert-snakeoil.key",
    "wireguard/wg0.key",
]
PUBLIC = [
    "letsencrypt/archive/front/cert1.pem",
    "redis/users.acl",
    "ssh/ssh_host_ed25519_key.pub",
    "ssl/arxos/host.crt",
    "ssl/arxos/pairs/host-1/tls.crt",
    "ssl/certs/keys_of_somebody.pem",
    "wireguard/wg0.conf",
]


class Host:
    """An /etc with the package's first commit. C(seal) ends a run; C(dies) is the command of git before which it is killed."""

    def __init__(self, folder: Path, script: str) -> None:
        self.etc, self.bin = folder / "etc", folder / "bin"
        self.bin.mkdir()
        script = re.sub(r"/usr/bin/etckeeper", f"{self.bin}/etckeeper", script)
        script = re.sub(r"(?<![\w.\\])/etc\b", str(self.etc), script)
        (folder / "seal").write_text(re.sub("/run/|/var/lib/aide", lambda found: f"{folder}{found[0]}", script))
        (folder / "run").mkdir()
        self.program(
            "etckeeper",
            f'cd {self.etc}; case $1 in unclean) [ -n "$(git status --porcelain)" ];; *) git add --all; git commit -qm "$2";; esac',
        )
        self.program("renice", "")
        self.program("ionice", "")
        self.program("git", 'case " $* " in *" ${DIES:-no such command} "*) kill -9 $PPID; exit 1;; esac; exec /usr/bin/git "$@"')
        for name in [*PRIVATE, *PUBLIC]:
            self.write(name, f"first {name}")
        (self.etc / "ssl/arxos/host.key").symlink_to("pairs/host-1/tls.key")
        self.write(".gitignore", OF_ETCKEEPER)
        self.git("init", "--quiet")
        self.git("config", "user.name", "x")
        self.git("config", "user.email", "x@localhost")
        self.commit("Initial commit")
        self.seal_file = folder / "seal"

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def write(self, name: str, text: str) -> None:
        (self.etc / name).parent.mkdir(parents=True, exist_ok=True)
        (self.etc / name).write_text(text)

    def git(self, *words: str) -> str:
        return subprocess.run(["git", "-C", str(self.etc), *words], check=True, capture_output=True, text=True).stdout

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def seal(self, run: str, dies: str = "") -> str:
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "DIES": dies}
        done = subprocess.run(["sh", str(self.seal_file), run], env=environment, capture_output=True, text=True, check=False)
        assert dies or done.returncode == 0, done.stderr
        return done.stdout

    def tracked(self) -> set[str]:
        return set(self.git("ls-tree", "-r", "--name-only", "HEAD").split())

    def has(self, text: str) -> bool:
        """Whether any object of the history, reachable or not, has it."""
        shas = [line.split()[0] for line in self.git("cat-file", "--batch-all-objects", "--batch-check").splitlines() if " blob " in line]
        return any(self.git("cat-file", "blob", sha) == text for sha in shas)


@pytest.fixture
def host(render: Render, tmp_path: Path) -> Host:
    private = yaml.safe_load(WATCH.read_text())["__hardening_private"]
    given = {"__hardening_aide": "/nowhere", "__hardening_watched": [], "__hardening_unwatched": [], "__hardening_private": private}
    return Host(tmp_path, render("hardening", "seal.sh.j2", **given))


def test_a_new_hosts_keys_never_were_in_its_history(host: Host) -> None:
    assert "committed" in host.seal("run1")
    assert host.tracked() == {*PUBLIC, ".gitignore"}
    assert all((host.etc / name).read_text() == f"first {name}" for name in PRIVATE)
    assert not any(host.has(f"first {name}") for name in PRIVATE) and host.has("first redis/users.acl")
    assert host.git("tag").split() == ["arxos/run1"]
    host.write("ssl/arxos/pairs/host-2/tls.key", "second")
    assert host.seal("run2") == "" and not host.has("second"), "a new key alone changes nothing that is kept"


def test_a_history_that_is_there_stays_and_replaced_keys_do_not_get_into_it(host: Host) -> None:
    host.write("x", "1")
    host.commit("by hand")
    first = host.git("rev-parse", "HEAD").strip()
    host.seal("run1")
    assert host.git("rev-parse", "HEAD~1").strip() == first
    assert host.tracked() == {*PUBLIC, ".gitignore", "x"}
    assert host.has("first wireguard/wg0.key"), "what was kept before is said to be there by docs/certificates.md"
    host.write("wireguard/wg0.key", "second")
    host.write("x", "2")
    assert "committed" in host.seal("run2") and host.has("2") and not host.has("second")


def test_etckeepers_own_part_and_what_others_wrote_stay(host: Host) -> None:
    host.write(".gitignore", f"/mine\n{OF_ETCKEEPER}")
    host.seal("run1")
    text = (host.etc / ".gitignore").read_text()
    assert text.startswith(f"/mine\n{OF_ETCKEEPER}# begin section managed by arxos.platform")
    assert host.seal("run2") == "" and (host.etc / ".gitignore").read_text() == text
    host.write(".gitignore", text.replace("/wireguard/*.key\n", "") + "/theirs\n")
    host.seal("run3")
    after = (host.etc / ".gitignore").read_text()
    assert after.count("arxos.platform") == 2 and "/wireguard/*.key\n" in after and "/theirs\n" in after and after.startswith("/mine\n")


@pytest.mark.parametrize("dies", ["update-ref", "rm", "status", "rev-parse", "reflog", "gc", "tag"])
def test_a_run_that_was_killed_is_finished_by_the_next(host: Host, dies: str) -> None:
    host.seal("run1", dies)
    host.seal("run2")
    assert host.tracked() == {*PUBLIC, ".gitignore"}
    assert not any(host.has(f"first {name}") for name in PRIVATE)
    assert host.seal("run3") == ""
    assert not (host.etc / ".git/arxos-forget").exists() and "run2" in host.git("tag")


def test_one_that_packs_in_the_background_is_waited_for(host: Host) -> None:
    with subprocess.Popen(["sleep", "3"]) as packs:
        host.write(".git/gc.pid", f"{packs.pid} {socket.gethostname()}")
        threading.Thread(target=packs.wait).start()  # else it is there until somebody asks for how it ended
        assert "committed" in host.seal("run1")
    assert not any(host.has(f"first {name}") for name in PRIVATE)


# ---------------------------------------------------------------- the baseline

# Names, rights and content of what is watched, as aide.conf has them, with bits that say what is different.
AIDE = """
database={folder}/var/lib/aide/arxos.db
now() {{ cd {etc} && find . -name .git -prune -o -printf '%p %y %m\\n' -type f ! -name adjtime -exec sha256sum '{{}}' + | sort; }}
case $* in *--check) now | cmp -s - "$database" || exit 4; exit 0;; esac
now >"$database.new"
case $* in *--update) cmp -s "$database" "$database.new" || {{ echo 'x differs'; exit 4; }};; esac
"""


class Watched(Host):
    """A host whose /etc has a baseline. C(check) is the integrity check, as its unit would end; C(accept) a step of one start of a unit."""

    def __init__(self, folder: Path, script: str, accept: str) -> None:
        super().__init__(folder, script)
        self.folder, self.accept_file = folder, folder / "accept"
        self.program("aide", AIDE.format(folder=folder, etc=self.etc))
        self.program("systemd-cat", f'while [ "${{1#--}}" != "$1" ]; do shift; done; ${{*:-cat}} >>{folder}/journal')
        self.program("systemctl", f'echo "$*" >>{folder}/asked; aide --check')
        self.program("arxos-seal", f'sh {self.seal_file} "$@"')
        accept = accept.replace("/usr/local/sbin/arxos-seal", f"{self.bin}/arxos-seal")
        self.accept_file.write_text(re.sub("/run/|/var/lib/aide", lambda found: f"{folder}{found[0]}", accept))
        self.write("adjtime", "0")
        for path in [self.etc, *self.etc.rglob("*")]:
            os.utime(path, (1e9, 1e9), follow_symlinks=False)

    def sh(self, *words: str, **environment: str) -> str:
        given = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", **environment}
        given = {name: value for name, value in given.items() if value}
        return subprocess.run(["sh", *words], env=given, capture_output=True, text=True, check=True).stdout

    def accept(self, step: str, start: str = "one") -> str:
        return self.sh(str(self.accept_file), step, INVOCATION_ID=start)

    def clean(self) -> bool:
        return subprocess.run([self.bin / "aide", "--check"], check=False).returncode == 0

    def journal(self) -> str:
        path = self.folder / "journal"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def watched(render: Render, tmp_path: Path) -> Watched:
    given = {
        "__hardening_aide": str(tmp_path / "etc/redis/users.acl"),
        "__hardening_watched": [str(tmp_path / "etc")],
        "__hardening_unwatched": [str(tmp_path / "etc/adjtime")],
        "__hardening_private": yaml.safe_load(WATCH.read_text())["__hardening_private"],
    }
    script = render("hardening", "seal.sh.j2", **given).replace(str(tmp_path / "etc"), "/etc")
    made = Watched(tmp_path, script, render("hardening", "accept.sh.j2", __hardening_seal="/usr/local/sbin/arxos-seal"))
    assert "made the baseline" in made.seal("first") and made.clean()
    made.seal("second")
    return made


@pytest.mark.parametrize("change", ["unlink", "write", "chmod", "rmdir"])
def test_whatever_became_of_a_watched_file_the_baseline_is_renewed(watched: Watched, change: str) -> None:
    file, folder = watched.etc / "ssh/ssh_host_ed25519_key.pub", watched.etc / "wireguard"
    if change == "unlink":
        file.unlink()
    elif change == "write":
        file.write_text("another")
    elif change == "chmod":
        folder.chmod(0o700)
    else:
        for name in ("wg0.conf", "wg0.key"):
            (folder / name).unlink()
        folder.rmdir()
    assert not watched.clean()
    assert "renewed the baseline" in watched.seal("third") and watched.clean() and "x differs" in watched.journal()
    assert watched.seal("fourth") == ""


def test_what_is_not_watched_makes_no_baseline(watched: Watched) -> None:
    watched.program("aide", "exit 99")
    watched.write("adjtime", "1")
    watched.write(".git/x", "1")
    assert "renewed" not in watched.seal("third")


def test_seals_do_not_meet(watched: Watched) -> None:
    lock = watched.folder / "run/arxos-seal.lock"
    with subprocess.Popen(["flock", lock, "sleep", "2"]) as other:
        while subprocess.run(["flock", "--nonblock", lock, "true"], check=False).returncode == 0:
            assert other.poll() is None, "it never had the lock"
        began = time.monotonic()
        watched.seal("third")
        assert time.monotonic() - began > 1 and other.wait() == 0


def test_updates_of_a_host_that_was_as_it_should_be_are_its_baseline(watched: Watched) -> None:
    watched.accept("before")
    assert (watched.folder / "asked").read_text() == "start --quiet arxos-integrity.service\n"
    watched.write("redis/users.acl", "of a package")
    assert "renewed the baseline" in watched.accept("after") and watched.clean()
    assert list((watched.folder / "run").glob("arxos-accept*")) == []
    watched.write("redis/users.acl", "of an intruder, after it")
    watched.accept("after")
    assert not watched.clean(), "one note is good for one seal"


def test_nothing_is_accepted_on_a_host_that_was_not(watched: Watched) -> None:
    watched.write("ssh/ssh_host_ed25519_key.pub", "of an intruder")
    watched.accept("before")
    watched.write("redis/users.acl", "of a package")
    assert watched.accept("after") == "" and not watched.clean() and "The baseline stays as it was" in watched.journal()


@pytest.mark.parametrize("start", ["two", ""])
def test_what_an_earlier_start_has_noted_counts_for_no_other(watched: Watched, start: str) -> None:
    watched.accept("before", "one")  # and killed
    watched.write("redis/users.acl", "of an intruder")
    watched.accept("before", start)
    watched.accept("after", start)
    assert not watched.clean()


def test_without_a_baseline_nothing_is_made(watched: Watched) -> None:
    (watched.folder / "var/lib/aide/arxos.db").unlink()
    assert watched.accept("before") == watched.accept("after") == "" and not (watched.folder / "asked").exists()
    assert not (watched.folder / "var/lib/aide/arxos.db").exists()
