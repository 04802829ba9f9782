# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups as they are: in S3, encrypted, reached by the hosts that may and by nobody else."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest
import testinfra
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
INVENTORY = Path(__file__).resolve().parents[3] / "inventories/lab"
SECRETS: dict[str, str] = yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())
MEMBERS = list(yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]["database"]["hosts"])
BACKUPS, FILES = "arxos-production-backups", "arxos-production-files"
TIMERS = ("arxos-backup.timer", "arxos-backup-verify.timer", "arxos-wal-archive.timer")
FIGURES = "/var/lib/prometheus/node-exporter"

testinfra_hosts = [f"docker://{LAB}-{name}" for name in MEMBERS]


def server(name: str) -> Any:
    return testinfra.get_host(f"docker://{LAB}-{name}")


def pgbackrest(host: Any, words: str) -> str:
    return str(host.check_output(f"runuser -u postgres -- pgbackrest {words}"))


def leader() -> Any:
    hosts = [server(name) for name in MEMBERS]
    return next(host for host in hosts if query(host, "select pg_is_in_recovery()") == "f")


def query(host: Any, statement: str) -> str:
    return str(host.check_output(f'runuser -u postgres -- psql -XAtqw -d postgres -c "{statement}"'))


def until(seconds: float, predicate: Callable[[], Any]) -> Any:
    start = time.monotonic()
    while not (answer := predicate()):
        assert time.monotonic() - start < seconds, f"{predicate.__doc__} did not come true within {seconds} s"
        time.sleep(0.5)
    return answer


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With the keys that the database hosts have."""
    path = tmp_path_factory.mktemp("ca") / "ca.crt"
    path.write_text(SECRETS["vault_certificates_ca_certificate"])
    return boto3.client(
        "s3",
        endpoint_url=f"https://{PREFIX}.51:8334",
        region_name="us-east-1",
        verify=str(path),
        aws_access_key_id=SECRETS["vault_object_storage_backup_access_key"],
        aws_secret_access_key=SECRETS["vault_object_storage_backup_secret_key"],
        config=botocore.config.Config(retries={"max_attempts": 1}),
    )


# Each host --------------------------------------------------------------------------------------------------------------


def test_the_server_and_the_timers_run_and_start_at_boot(host: Any) -> None:
    assert host.service("pgbackrest.service").is_enabled
    wanted = host.check_output("systemctl show -P Wants pgbackrest.service").split()
    for unit in TIMERS:
        assert host.service(unit).is_running
        assert unit in wanted


def test_secrets_are_readable_by_their_user_only(host: Any) -> None:
    file = host.file("/etc/pgbackrest/pgbackrest.conf")
    assert (file.user, file.group, file.mode) == ("root", "postgres", 0o640)
    for name in ("vault_backup_passphrase", "vault_object_storage_backup_secret_key"):
        secret = f"[{SECRETS[name][0]}]{SECRETS[name][1:]}"  # which does not find itself among the processes
        # By name and not by exit status: a process that ends while it is looked at makes that 2.
        places = "/etc/pgbackrest /var/log /etc/arxos /etc/systemd /proc/[0-9]*/cmdline"
        assert host.run(f"grep -rls -- %s {places}", secret).stdout.split() == [file.path]
        assert host.run("journalctl --no-pager | grep -q -- %s", secret).rc == 1


def test_the_cluster_is_in_the_repository(host: Any) -> None:
    """Seen from every host alike: whichever comes to lead, or is lost, the others know."""
    (stanza,) = json.loads(pgbackrest(host, "info --output=json"))
    assert (stanza["name"], stanza["status"]["message"], stanza["cipher"]) == ("arxos", "ok", "aes-256-cbc")
    assert stanza["backup"][0]["type"] == "full"
    assert not any(backup["error"] for backup in stanza["backup"])


def test_check_passes(host: Any) -> None:
    """A segment that the leader closes now arrives, whichever host asks."""
    pgbackrest(host, "--stanza=arxos check")


def test_the_hosts_let_each_other_in_and_nobody_else(host: Any) -> None:
    name = host.check_output("hostname")
    address = f"{PREFIX}.{31 + MEMBERS.index(name)}"
    pgbackrest(host, f"server-ping {address}")
    storage = server("storage1")
    assert storage.run(f"timeout 3 bash -c 'echo >/dev/tcp/{address}/8432'").rc != 0, "the firewall lets a storage host in"
    auth = host.check_output("grep ^tls-server-auth= /etc/pgbackrest/pgbackrest.conf").splitlines()
    assert sorted(auth) == sorted(f"tls-server-auth={other}=arxos" for other in MEMBERS if other != name)
    plain = host.run(f"curl -sS --max-time 5 --cacert /etc/ssl/arxos/ca.crt https://{address}:8432/")
    assert plain.rc != 0, "a client without certificate gets an answer"


def test_figures_tell_what_the_timers_did(host: Any) -> None:
    for unit in ("arxos-backup", "arxos-wal-archive"):
        assert host.run(f"systemctl start {unit}.service").rc == 0, host.run(f"journalctl -u {unit} -n 20").stdout
        file = host.file(f"{FIGURES}/{unit.replace('-', '_')}.prom")
        assert file.mode == 0o644
        assert f"{unit.replace('-', '_')}_success 1" in file.content_string
        assert f"{unit.replace('-', '_')}_last_success_timestamp_seconds 1" in file.content_string


# The cluster ------------------------------------------------------------------------------------------------------------


def test_one_host_makes_the_backups_and_it_is_not_the_leader() -> None:
    for name in MEMBERS:
        assert server(name).run("systemctl start arxos-backup.service").rc == 0
    acting = [name for name in MEMBERS if "\narxos_backup_acting 1\n" in server(name).file(f"{FIGURES}/arxos_backup.prom").content_string]
    assert len(acting) == 1
    assert query(server(acting[0]), "select pg_is_in_recovery()") == "t"


def test_wal_is_archived_within_a_minute() -> None:
    host = leader()
    settings = query(
        host,
        "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings where name in ('archive_mode','archive_timeout')",
    )
    assert settings == "archive_mode=on archive_timeout=60"
    # A leader that crashed archives what it wrote last and nobody else has. A replica that read that would be off the history of the next leader.
    assert {query(server(name), "show restore_command") for name in MEMBERS} == {""}
    segment = query(host, "select pg_walfile_name(pg_logical_emit_message(true, 'test', 'x'))")

    def archived() -> bool:
        """the segment, which nobody closed by hand, in the archive"""
        return query(host, f"select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver") == "t"

    until(90, archived)


def test_what_is_in_s3_is_encrypted(s3: Any) -> None:
    mark = uuid.uuid4().hex
    host = leader()
    query(host, f"select pg_logical_emit_message(true, 'test', repeat('{mark}', 100))")
    pgbackrest(host, "--stanza=arxos check")
    found = []
    for folder in ("pgbackrest/archive/", "pgbackrest/backup/"):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BACKUPS, Prefix=folder)
        found += [item for page in pages for item in page["Contents"]]
    assert [item for item in found if "/bundle/" in item["Key"]]
    for item in sorted(found, key=lambda item: item["LastModified"])[-20:]:
        body = s3.get_object(Bucket=BACKUPS, Key=item["Key"])["Body"].read()
        assert body.startswith(b"Salted__"), item["Key"]
        assert mark.encode() not in body


def test_the_key_of_backups_opens_nothing_else(s3: Any) -> None:
    for refused in (
        lambda: s3.list_objects_v2(Bucket=FILES),
        lambda: s3.get_object(Bucket=FILES, Key="x"),
        lambda: s3.put_object(Bucket=FILES, Key="x", Body=b"x"),
        lambda: s3.put_bucket_versioning(Bucket=BACKUPS, VersioningConfiguration={"Status": "Suspended"}),
        lambda: s3.delete_bucket(Bucket=BACKUPS),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            refused()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
