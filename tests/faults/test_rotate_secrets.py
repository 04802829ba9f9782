# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every secret gives way to a new one while users work at 100 requests a second, and at 30 where the run is killed in its middle.

They want the whole platform of the lab that LAB_NAME names. LAB_INVENTORY may name another inventory than inventories/lab, such as one with fewer hosts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from ansible_collections.arxos.platform.plugins.module_utils import _roles
from botocore.config import Config
from botocore.exceptions import ClientError

from .api_clients import Came, Clients, User, resolved
from .whole import FEW

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = Path(os.environ.get("LAB_INVENTORY", ROOT / "inventories/lab"))
VAULT = INVENTORY / "group_vars/all/vault.yml"
LAB, PREFIX = os.environ.get("LAB_NAME", "arxos-lab"), os.environ.get("LAB_PREFIX", "172.30.20")
CA = "/etc/ssl/arxos/ca.crt"
Figure = Callable[[str, object], None]
GROUPS = yaml.safe_load((ROOT / "playbooks/group_vars/all/rotation.yml").read_text())["arxos_rotated"]
ROLES = {
    "arxos_application": "vault_postgresql_application_password",
    "arxos_owner": "vault_postgresql_owner_password",
    "arxos_readonly": "vault_postgresql_readonly_password",
    "arxos_monitoring": "vault_postgresql_monitoring_password",
    "replicator": "vault_postgresql_replication_password",
    "rewinder": "vault_postgresql_superuser_password",
}
NOW = ("-e", "rotate_now=true")


def secrets() -> dict[str, Any]:
    return yaml.safe_load(VAULT.read_text())


def hosts(group: str) -> dict[str, str]:
    """Names of a group to addresses."""
    found = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"][group]["hosts"]
    return {name: facts["arxos_address"].replace("{{ lab_prefix }}", PREFIX) for name, facts in found.items()}


def run(host: str, command: str, user: str = "root", **environment: str) -> str:
    """Output of a shell command on a host; passwords go in the environment."""
    words = ["docker", "exec", "-u", user, *(word for name in environment for word in ("-e", name)), f"{LAB}-{host}", "sh", "-c", command]
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=90, check=False)
    return (done.stdout + done.stderr).strip()


def sql(host: str, query: str) -> str:
    return run(host, f'psql -XAtqw -d arxos_production -c "{query}"', user="postgres")


def leader() -> str:
    return next(name for name in hosts("database") if sql(name, "SELECT pg_is_in_recovery()") == "f")


def command(*arguments: str) -> list[str]:
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    return ["nice", "-n", "19", program, "-i", str(INVENTORY), *FEW, "playbooks/rotate_secrets.yml", *arguments]


def rotate(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False, stdin=subprocess.DEVNULL
    )
    assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def rotate_and_kill(task: str, log: Path, *arguments: str) -> None:
    """Every process of the run ends at once when its task begins."""
    with log.open("w") as out:
        process = subprocess.Popen(command(*arguments), cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)
        began = time.monotonic()
        while task not in log.read_text():
            assert process.poll() is None and time.monotonic() - began < 900, log.read_text()[-3000:]
            time.sleep(0.1)
        time.sleep(1)
        # Ansible's workers have sessions of their own.
        for number in [*descendants(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.wait(30)


def descendants(number: int) -> list[int]:
    found = [int(word) for path in Path(f"/proc/{number}/task").glob("*/children") for word in path.read_text().split()]
    return [each for child in found for each in [*descendants(child), child]]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("ca") / "ca.crt"
    path.write_text(secrets()["vault_certificates_ca_certificate"])
    with resolved(f"{PREFIX}.100"):
        yield str(path)


@pytest.fixture(scope="module")
def clients(ca: str) -> Clients:
    return Clients(ca, secrets())


@pytest.fixture(scope="module")
def few_clients(ca: str) -> Clients:
    """30 a second: 100 leave a controller on the same processors a tenth of them, and runs of minutes take more than an hour."""
    return Clients(ca, secrets(), rate=30)


def judge(came: Came, what: str, figure: Figure, rate: float = 95) -> None:
    """None failed, and there were enough to say so."""
    figure(what, came)
    assert came.failures == [], (str(came), came.failures[:10])
    assert came.rate >= rate, str(came)


def s3(access: str, secret: str, ca: str) -> str:
    """What the files bucket says to a pair of keys."""
    at, calm = f"https://{next(iter(hosts('storage').values()))}:8334", Config(retries={"total_max_attempts": 1})
    client = boto3.client(
        "s3", endpoint_url=at, aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1", verify=ca, config=calm
    )
    try:
        client.list_objects_v2(Bucket="arxos-production-files", MaxKeys=1)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "ok"


def assert_in_force(old: dict[str, Any], new: dict[str, Any], ca: str, groups: list[str]) -> None:
    """The new secrets of the groups are good everywhere, the old ones nowhere."""
    for name in (name for group in groups for name in GROUPS[group]):
        assert old[name] != new[name], name
    if "postgresql" in groups:
        lead = leader()
        stored = dict(
            line.split("|") for line in sql(lead, "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL").splitlines()
        )
        assert set(stored) == set(ROLES), "a stand-in is left"
        for role, name in ROLES.items():
            assert _roles.fits(new[name], stored[role]) and not _roles.fits(old[name], stored[role]), role
        for app in hosts("app"):
            for at in (f"host={hosts('database')[lead]} sslmode=require", "host=localhost port=6432 sslmode=require"):
                login = f'psql -XAtw "{at} user=arxos_application dbname=arxos_production" -c "SELECT 1"'
                assert run(app, login, PGPASSWORD=new[ROLES["arxos_application"]]) == "1"
                assert "failed" in run(app, login, PGPASSWORD=old[ROLES["arxos_application"]])
        for member, address in hosts("database").items():
            ask = f"curl -s -o /dev/null -w '%{{http_code}}' --cacert {CA} -u patroni:$PW -X POST https://{address}:8008/reload"
            assert run(member, ask, PW=old["vault_patroni_restapi_password"]) == "401"
            assert run(member, ask, PW=new["vault_patroni_restapi_password"]) in ("200", "202")
        # Replicas come back with what they have now.
        sql(lead, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE application_name LIKE 'database%'")
        began = time.monotonic()
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name LIKE 'database%'"
        while sql(lead, streaming) != str(len(hosts("database")) - 1):
            assert time.monotonic() - began < 60, "a replica does not come back"
            time.sleep(0.5)
    if "redis" in groups:
        for host in hosts("cache"):
            for port in (6379, 6380):
                for user in ("admin", "replication", "monitoring", "application"):
                    ask = f"redis-cli -h 127.0.0.1 -p {port} --tls --cacert {CA} --no-auth-warning --user {user} PING"
                    assert run(host, ask, REDISCLI_AUTH=new[f"vault_redis_{user}_password"]) == "PONG"
                    assert "WRONGPASS" in run(host, ask, REDISCLI_AUTH=old[f"vault_redis_{user}_password"])
                show = f"redis-cli -h 127.0.0.1 -p {port} --tls --cacert {CA} --no-auth-warning --user admin"
                password = new["vault_redis_admin_password"]
                assert new["vault_redis_replication_password"] in run(host, f"{show} CONFIG GET masterauth", REDISCLI_AUTH=password)
                assert "master_link_status:down" not in run(host, f"{show} INFO replication", REDISCLI_AUTH=password)
    if "s3" in groups:
        for purpose in ("admin", "application"):
            pair = [f"vault_object_storage_{purpose}_{part}" for part in ("access_key", "secret_key")]
            assert s3(new[pair[0]], new[pair[1]], ca) == "ok"
            assert s3(old[pair[0]], old[pair[1]], ca) == "InvalidAccessKeyId"
        assert "completed successfully" in run(leader(), "pgbackrest --stanza=arxos --log-level-console=info check", user="postgres")


def test_check_mode_says_what_it_would_do(clients: Clients) -> None:
    before = VAULT.read_bytes()
    said = rotate("--check", *NOW, "-e", "rotate=redis,jwt")
    assert "Would rotate" in said and "vault_redis_admin_password" in said and "vault_postgresql" not in said.split("Would rotate")[1][:400]
    assert VAULT.read_bytes() == before
    assert "takes some of" in rotate("-e", "rotate=rediss", check=False) and VAULT.read_bytes() == before


def test_all_of_them_without_a_failed_request(clients: Clients, ca: str, figure: Figure) -> None:
    old, first = secrets(), User(ca)
    first.session.headers["Authorization"] = clients.users[0].session.headers["Authorization"]
    with clients.at_work() as came:
        time.sleep(5)
        began = time.monotonic()
        said = rotate(*NOW, "-vvv")
        figure("rotation of everything", f"{time.monotonic() - began:.0f} s")
        time.sleep(10)
    new = secrets()
    judge(came, "rotation of everything", figure)
    assert_in_force(old, new, ca, list(GROUPS))
    assert new["arxos_rotation"]["also"] == {name: [old[name]] for name in ("vault_arxos_api_jwt_secret", "vault_arxos_api_encryption_key")}
    assert new["arxos_storage_pinned_key"] and first.get("/api/v1/symbols").ok
    for values in (old, new):
        shown = [name for name, value in values.items() if name.startswith("vault_") and "BEGIN" not in value and value in said]
        assert shown == []


def test_a_second_run_changes_nothing(clients: Clients) -> None:
    before = VAULT.read_bytes()
    said = rotate()
    assert "Nothing is due" in said and VAULT.read_bytes() == before
    recap = [line for line in said.splitlines() if " changed=" in line]
    assert recap and all(" changed=0 " in line for line in recap), recap


@pytest.mark.parametrize(
    ("step", "task"),
    [("introduce", "Restart and wait until healthy"), ("switch", "Have the keys of backups"), ("retire", "Remove it")],
)
def test_a_run_that_was_killed_is_finished_by_another(
    few_clients: Clients, ca: str, figure: Figure, tmp_path: Path, step: str, task: str
) -> None:
    old, log = secrets(), tmp_path / "log"
    with few_clients.at_work() as came:
        if step == "introduce":
            rotate_and_kill(task, log, *NOW)
        else:
            rotate_and_kill(f"({'3' if step == 'switch' else '4'}/6)", log, *NOW)
        assert secrets()["arxos_rotation"]["phase"] == step
        if step != "introduce":
            rotate_and_kill(task, tmp_path / "log2")
        assert secrets()["arxos_rotation"]["phase"] == step
        time.sleep(5)
        rotate()
        time.sleep(5)
    judge(came, f"rotation killed in {step}, and another run", figure, rate=28)
    assert_in_force(old, secrets(), ca, list(GROUPS))


def test_an_old_key_goes_when_its_time_is_up_or_at_once_where_it_leaked(clients: Clients, ca: str) -> None:
    user = User(ca)
    user.login(secrets())
    rotate(*NOW, "-e", "rotate=jwt", "-e", "arxos_jwt_overlap=1")
    time.sleep(2)
    assert user.get("/api/v1/symbols").ok
    rotate()
    assert user.get("/api/v1/symbols").status_code == 401
    user.login(secrets())
    rotate(*NOW, "-e", "rotate=jwt", "-e", "rotate_overlap=false")
    assert user.get("/api/v1/symbols").status_code == 401
    user.login(secrets())
    assert user.get("/api/v1/symbols").ok
