# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The execution environment: its definition, and the lab going live from inside it, job by job as AWX runs them.

A job is a container that is thrown away, with an empty home, the project as Git has it, an inventory that is a script without a folder, the SSH key in
an agent, the vault's password at a prompt, and one volume for the file of secrets and the releases. Hosts are reached by SSH, as in production.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from .conftest import ROOT, Api, Lab, Played

DEFINITION = ROOT / "meta/execution-environment.yml"
BUILDER = shutil.which("ansible-builder", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
IMAGE = os.environ.get("EE_IMAGE", f"arxos-platform:{VERSION}")
VOLUME = "/var/lib/arxos"
PASSWORD = "kq8-Xn3_fd93hGwLz0"
TEMPLATES = {
    entry["playbook"]: entry for entry in yaml.safe_load((ROOT / "playbooks/vars/awx/job_templates.yml").read_text())["awx_job_templates"]
}
# What the lab's inventory takes from the environment of make, and how its hosts are reached, as rows of AWX's database.
SSH = "-o StrictHostKeyChecking=yes -o UserKnownHostsFile={{ lookup('ansible.builtin.env', 'ARXOS_KNOWN_HOSTS') }}"
needs_builder = pytest.mark.skipif(BUILDER is None, reason="requirements.txt brings ansible-builder")


def output(*command: str, **kwargs: Any) -> str:
    """Standard output of a command; an AssertionError with its standard error where it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


# -- its definition


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built collection, alone in dist/ as the definition wants it."""
    for path in (ROOT / "dist").glob("arxos-platform-*.tar.gz"):
        path.unlink()
    output(str(Path(sys.executable).with_name("ansible-galaxy")), "collection", "build", "--output-path", "dist")
    (path,) = (ROOT / "dist").glob("arxos-platform-*.tar.gz")
    return path


@needs_builder
def test_the_definition_makes_a_context_for_any_base_image(tarball: Path, tmp_path: Path) -> None:
    output(str(BUILDER), "create", "-f", str(DEFINITION), "-c", str(tmp_path), "--output-filename", "Containerfile")
    text = (tmp_path / "Containerfile").read_text()
    assert text.startswith('ARG EE_BASE_IMAGE="debian:bookworm-slim"\n') and "FROM $EE_BASE_IMAGE AS base" in text
    assert "dnf" not in text and 'ARG PKGMGR="/usr/bin/apt-get"' in text
    assert (tmp_path / "_build/collection" / tarball.name).is_file()
    assert (tmp_path / "_build/requirements.txt").read_text() == (ROOT / "requirements-controller.txt").read_text()


def test_no_registry_is_named() -> None:
    definition = yaml.safe_load(DEFINITION.read_text())
    assert "/" not in definition["images"]["base_image"]["name"]


@needs_builder
def test_whoever_installs_the_collection_learns_what_it_needs(tarball: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ansible_collections/arxos/platform"
    folder.mkdir(parents=True)
    with tarfile.open(tarball) as tar:
        tar.extractall(folder, filter="data")
    told = yaml.safe_load(output(str(BUILDER), "introspect", str(tmp_path)))
    assert {line.split("#")[0].strip() for line in told["python"]} == wanted(ROOT / "requirements-controller.txt")
    assert {line.split()[0] for line in told["system"]} == {"openssh-client", "openssh-clients"}


def wanted(path: Path) -> set[str]:
    """Lines of a file of requirements."""
    return {line.split("#")[0].strip() for line in path.read_text().splitlines()} - {""}


def test_it_has_what_this_checkout_is_tested_with() -> None:
    pinned = wanted(ROOT / "requirements.txt")
    assert wanted(ROOT / "requirements-controller.txt") <= pinned
    definition = yaml.safe_load(DEFINITION.read_text())
    assert definition["dependencies"]["ansible_runner"]["package_pip"] in pinned
    assert f'{definition["dependencies"]["ansible_core"]["package_pip"]}; python_version < "3.12"' in pinned
    head = (ROOT / "requirements.txt").read_text().split("# what modules and callbacks need")[1].partition("\n")[2].split("\n\n")[0]
    missing = set(head.splitlines()) - wanted(ROOT / "requirements-controller.txt")
    assert missing == {"docker"}, "only the lab's own hosts are made with it"


def test_its_release_is_that_of_the_inventories() -> None:
    for environment in ("staging", "production"):
        data = yaml.safe_load((ROOT / f"inventories/{environment}/group_vars/all/awx.yml").read_text())
        assert data["awx_execution_environment"]["image"].endswith(f":{VERSION}")
        assert data["awx_project"]["scm_branch"] == f"v{VERSION}"


# -- jobs


class Awx:
    """Runs jobs on the lab as AWX does. Nothing of a job is left but what it wrote to the volume."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.volume, self.home = folder / "volume", folder / "home"
        for path in (self.volume / "lab", self.volume / "releases", self.home):
            path.mkdir(parents=True)
        self.key, self.known_hosts = folder / "key", folder / "known_hosts"
        output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        self.inventory = self._exported()
        self.shown = ""

    def _exported(self) -> dict[str, Any]:
        """The inventory as AWX has it: what ansible-inventory makes of its file, group by group, without a file of secrets beside it."""
        source = self.folder / "inventory"
        shutil.copytree(ROOT / "inventories/lab", source, ignore=shutil.ignore_patterns("vault.yml"))
        text = output(str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(source / "hosts.yml"), "--list", "--export")
        exported: dict[str, Any] = json.loads(text)
        variables = exported["all"].setdefault("vars", {})
        for name in [name for name in variables if name.startswith("ansible_")]:
            del variables[name]
        variables.update(
            lab_name=self.lab.name,
            lab_prefix=self.lab.prefix,
            ansible_host="{{ arxos_address | default(inventory_hostname) }}",
            ansible_user="deploy",
            ansible_ssh_common_args=SSH,
        )
        return exported

    def let_in(self) -> None:
        """What whoever rents a host finds: SSH, and an account with a key that may sudo."""
        public = self.key.with_suffix(".pub").read_text().strip()
        script = (
            "apt-get -qq update >/dev/null; apt-get -qq install -y --no-install-recommends openssh-server sudo >/dev/null 2>&1; "
            "id deploy >/dev/null 2>&1 || useradd -m -s /bin/bash deploy; install -d -m 700 -o deploy -g deploy /home/deploy/.ssh; "
            f"echo '{public}' >/home/deploy/.ssh/authorized_keys; chown deploy: /home/deploy/.ssh/authorized_keys; "
            "echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deploy; chmod 440 /etc/sudoers.d/deploy; systemctl enable --now ssh >/dev/null 2>&1; "
            "cat /etc/ssh/ssh_host_ed25519_key.pub"
        )
        inventory = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())["all"]["children"]
        addresses = {
            host: facts["arxos_address"].replace("{{ lab_prefix }}", self.lab.prefix)
            for group in inventory.values()
            for host, facts in group["hosts"].items()
        }
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            keys = list(
                pool.map(lambda host: output("docker", "exec", f"{self.lab.name}-{host}", "sh", "-ec", script, timeout=900), addresses)
            )
        self.known_hosts.write_text("".join(f"{address} {key}" for address, key in zip(addresses.values(), keys)))

    def job(self, playbook: str, answers: dict[str, Any] | None = None, check: bool = False, arguments: str = "") -> Played:
        """One job. answers: those to its survey, with what AWX puts in where nobody answers."""
        private = self.folder / "job"
        shutil.rmtree(private, ignore_errors=True)
        for name in ("project", "inventory", "env"):
            (private / name).mkdir(parents=True)
        files = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        listed = "\0".join(name for name in files if name and (ROOT / name).exists() and name != ".venv")
        output("sh", "-c", f"tar --null -T - -cf - | tar -xf - -C '{private}/project'", input=listed)
        script = private / "inventory/hosts"
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(self.inventory)}\nEND\n")
        script.chmod(0o755)
        shutil.copy(self.known_hosts, private / "env/known_hosts")
        questions = {question["variable"]: question for question in TEMPLATES[playbook].get("survey", [])}
        given = {name: question.get("default") for name, question in questions.items() if not question.get("required")}
        run = ansible_runner.run(
            private_data_dir=str(private),
            playbook=f"playbooks/{playbook}.yml",
            extravars={**given, **(answers or {}), "awx_job_id": 1},
            passwords={r"Vault password:\s*?$": PASSWORD},
            ssh_key=self.key.read_text(),
            cmdline=f"--ask-vault-pass -u root{' --check --diff' if check else ''} {arguments}".strip(),
            envvars={
                "HOME": "/root",
                "AWX_HOST": "https://awx.example.org",
                "ANSIBLE_COLLECTIONS_PATH": "/runner/requirements_collections:~/.ansible/collections:/usr/share/ansible/collections",
                "ARXOS_SECRETS_FILE": f"{VOLUME}/lab/vault.yml",
                "ARXOS_RELEASES": f"{VOLUME}/releases",
                "ARXOS_KNOWN_HOSTS": "/runner/env/known_hosts",
            },
            process_isolation=True,
            process_isolation_executable="docker",
            container_image=IMAGE,
            container_volume_mounts=[f"{self.volume}:{VOLUME}"],
            container_options=["--network=host", "--tmpfs=/root"],
            timeout=3000,
            quiet=True,
        )
        played = Played(run.rc, run.stats or {}, list(run.events), run.stdout.read())
        self.shown = played.stdout + json.dumps(played.events, default=str)
        return played

    @property
    def secrets(self) -> dict[str, str]:
        """What the file of secrets holds, which is encrypted."""
        raw = (self.volume / "lab/vault.yml").read_bytes()
        assert VaultLib.is_encrypted(raw)
        return yaml.safe_load(VaultLib([("default", VaultSecret(PASSWORD.encode()))]).decrypt(raw))

    def secrets_shown(self) -> list[str]:
        """Names of the secrets that the last job showed. The authority's certificate is public, an access key names its owner."""
        values = {name: value for name, value in self.secrets.items() if name.startswith("vault_")}
        values["password"] = PASSWORD
        return [
            name
            for name, value in values.items()
            if not name.endswith(("_ca_certificate", "_access_key")) and max(str(value).splitlines(), key=len) in self.shown
        ]


@pytest.fixture(scope="module")
def awx(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Awx]:
    """The image, made where it is not there, and a bare lab that it can log in to."""
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        output("tests/tools/execution_environment.sh", timeout=2400)
    awx = Awx(lab, tmp_path_factory.mktemp("awx"))
    for path in (ROOT / "dist").glob("arxos-api-*"):
        shutil.copy(path, awx.volume / "releases")
    awx.let_in()
    yield awx


@pytest.fixture
def ca(awx: Awx, tmp_path: Path) -> Path:
    """The platform's CA, from the file of secrets that the job made."""
    path = tmp_path / "ca.crt"
    path.write_text(awx.secrets["vault_certificates_ca_certificate"])
    return path


@pytest.mark.slow
def test_the_image_has_this_collection_and_an_empty_home(awx: Awx) -> None:
    told = output("docker", "run", "--rm", "--tmpfs=/root", IMAGE, "ansible-galaxy", "collection", "list", "arxos.platform")
    assert re.search(rf"arxos\.platform\s+{re.escape(VERSION)}", told)
    assert output("docker", "run", "--rm", "--user=0", "--tmpfs=/root", IMAGE, "sh", "-c", "ls -A $HOME").strip() == ""


@pytest.mark.slow
def test_secrets_are_made_by_a_job(awx: Awx) -> None:
    played = awx.job("generate_secrets", arguments="-e secrets_encrypt=true")
    assert played.rc == 0, played.stdout[-3000:]
    assert awx.secrets_shown() == []


@pytest.mark.slow
def test_the_lab_goes_live_by_a_job(awx: Awx) -> None:
    played = awx.job("go_live")
    assert played.rc == 0, played.stdout[-4000:]
    assert set(awx.lab.hosts) <= set(played.stats["ok"])
    assert awx.secrets_shown() == []


@pytest.mark.slow
def test_the_front_door_is_healthy(awx: Awx, api: Api) -> None:
    assert api.get("/health/").json()["status"] == "healthy"


@pytest.mark.slow
def test_another_job_changes_nothing_and_shows_no_secret_at_the_highest_verbosity(awx: Awx) -> None:
    played = awx.job("go_live", arguments="-vvv")
    assert played.rc == 0, played.stdout[-4000:]
    assert played.changes() == [] and played.changed == {}
    assert awx.secrets_shown() == []


# Answers to what has to be answered.
ANSWERS = {
    "deploy": {"arxos_api_version": "1.0.0"},
    "guard_database": {"release": "1.1.0"},
    "rollback": {"to": "2026-01-01T00:00:00Z"},
    "rollback_database": {"to": "2026-01-01T00:00:00Z"},
    "load_window": {"addresses": "192.0.2.7"},
    "status_page": {"status": "operational"},
    "traffic": {"arxos_traffic": "open"},
}
# Those that go_live is made of were run by it, and it by the tests above.
STAGES = {"go_live", "preflight", "hosts", "storage", "database", "cache", "release", "edge", "prove", "seal", "generate_secrets"}
# What has nothing to go on in a platform that was made a minute ago and has no night planned, and says so.
REFUSES = {"rollback_database": "no backup was complete before it", "announce": "Write when it begins into go_live.at"}


@pytest.mark.slow
@pytest.mark.parametrize("playbook", sorted(set(TEMPLATES) - STAGES))
def test_every_other_playbook_runs_as_a_job_without_what_a_controller_would_have(awx: Awx, playbook: str) -> None:
    checks = "job_type" in TEMPLATES[playbook].get("ask", ["job_type"])
    played = awx.job(playbook, ANSWERS.get(playbook), check=checks)
    if playbook in REFUSES and played.rc != 0:
        assert REFUSES[playbook] in played.stdout, played.stdout[-3000:]
    else:
        assert played.rc == 0, played.stdout[-4000:]
    assert awx.secrets_shown() == []


@pytest.mark.slow
def test_a_rotation_survives_its_job(awx: Awx) -> None:
    before = awx.secrets
    played = awx.job("rotate_secrets", {"rotate": "redis", "rotate_now": "true"})
    assert played.rc == 0, played.stdout[-4000:]
    after = awx.secrets
    assert after["vault_redis_application_password"] != before["vault_redis_application_password"]
    assert awx.secrets_shown() == []
    played = awx.job("status")
    assert played.rc == 0, played.stdout[-3000:]
