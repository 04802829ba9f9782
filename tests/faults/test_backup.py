# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups and the archive when S3 is away, refuses, or gives back something else than it was given.

They want database and storage of the lab that LAB_NAME names, converged by playbooks/storage.yml and database.yml, and leave them as they found
them.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest import holes, metric_of, parse_archive, parse_info, segment_number
from botocore.config import Config

from .cluster import Cluster, Observation

ROOT = Path(__file__).resolve().parents[2]
LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
OUTAGE_SECONDS = float(os.environ.get("FAULT_SECONDS", "300"))
INVENTORY = ROOT / "inventories/lab"
SECRETS: dict[str, str] = yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())
MEMBERS = list(yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]["database"]["hosts"])
BUCKET = "arxos-production-backups"
FIGURES = "/var/lib/prometheus/node-exporter"


def run(name: str, command: str, user: str = "root", seconds: float = 300) -> subprocess.CompletedProcess[str]:
    words = ["docker", "exec", "-u", user, f"{LAB}-{name}", "sh", "-c", command]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds)


def done(name: str, command: str, user: str = "root") -> str:
    answer = run(name, command, user)
    assert answer.returncode == 0, f"{name}: {command}: {answer.stdout}{answer.stderr}"
    return answer.stdout.strip()


def query(name: str, statement: str) -> str:
    return done(name, f'psql -XAtqw -v ON_ERROR_STOP=1 -d postgres -c "{statement}"', "postgres")


def until(seconds: float, true: Callable[[], Any], what: str) -> Any:
    start = time.monotonic()
    while not (answer := true()):
        assert time.monotonic() - start < seconds, f"{what}: not within {seconds:g} s"
        time.sleep(1)
    return answer


def leader() -> str:
    found = [
        name for name in MEMBERS if run(name, "psql -XAtqw -d postgres -c 'select pg_is_in_recovery()'", "postgres").stdout.strip() == "f"
    ]
    assert len(found) == 1, f"leaders: {found}"
    return found[0]


def job(name: str, unit: str) -> int:
    """Runs what a timer runs; its exit code."""
    return run(name, f"systemctl start {unit}.service", seconds=600).returncode


def figure(name: str, metric: str) -> float | None:
    file = re.sub(r"_(acting|success|last_.*|waiting_.*|oldest_.*|faults)$", "", metric)
    return metric_of(done(name, f"cat {FIGURES}/{file}.prom"), metric)


def acting() -> str:
    """The one host that makes backups now."""
    for name in MEMBERS:
        assert job(name, "arxos-backup") == 0, done(name, "journalctl -u arxos-backup -n 20 --no-pager")
    found = [name for name in MEMBERS if figure(name, "arxos_backup_acting") == 1]
    assert len(found) == 1, f"hosts that make backups: {found}"
    return found[0]


def playbook(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = ["ansible-playbook", f"playbooks/{name}", "-i", "inventories/lab", "--limit", "database,localhost", *arguments]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)


def write(seconds: float = 0) -> float:
    """Writes rows one by one, at least one, and returns how long the slowest took."""
    slowest, end, name = 0.0, time.monotonic() + seconds, leader()
    while True:
        start = time.monotonic()
        query(name, "insert into fault_backup default values")
        slowest = max(slowest, time.monotonic() - start)
        if time.monotonic() >= end:
            return slowest


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """WAL arrives and nobody is behind, before and after."""
    until(120, archive_is_well, "WAL reaches the archive")
    query(leader(), "create table if not exists fault_backup (id serial primary key, at timestamptz default clock_timestamp())")
    yield
    run("storage1", "systemctl start seaweedfs.service")
    until(180, archive_is_well, "WAL reaches the archive again")
    query(leader(), "drop table fault_backup")


def archive_is_well() -> bool:
    answer = run(leader(), "pgbackrest --stanza=arxos check", "postgres")
    return answer.returncode == 0


@pytest.fixture
def s3(tmp_path: Path) -> Any:
    ca = tmp_path / "ca.crt"
    ca.write_text(SECRETS["vault_certificates_ca_certificate"])
    return boto3.client(
        "s3",
        endpoint_url=f"https://{PREFIX}.51:8334",
        aws_access_key_id=SECRETS["vault_object_storage_backup_access_key"],
        aws_secret_access_key=SECRETS["vault_object_storage_backup_secret_key"],
        region_name="us-east-1",
        verify=str(ca),
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )


def keys(s3: Any, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


@contextmanager
def damaged(s3: Any, key: str, gone: bool = False) -> Iterator[None]:
    """An object of the same size with some bytes changed in its midst, or no object, for as long as that is needed."""
    kept = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    middle = len(kept) // 2
    try:
        if gone:
            s3.delete_object(Bucket=BUCKET, Key=key)
        else:
            s3.put_object(Bucket=BUCKET, Key=key, Body=kept[:middle] + os.urandom(64) + kept[middle + 64 :])
        yield
    finally:
        s3.put_object(Bucket=BUCKET, Key=key, Body=kept)


# S3 ---------------------------------------------------------------------------------------------------------------------


def test_s3_is_down(record_property: Callable[[str, object], None]) -> None:
    host = acting()
    last = figure(host, "arxos_backup_last_success_timestamp_seconds")
    done("storage1", "systemctl stop seaweedfs.service")
    failed = playbook("backup.yml")
    assert failed.returncode != 0
    assert "pgbackrest" in failed.stdout and "HostConnectError" in failed.stdout, failed.stdout[-2000:]
    assert job(host, "arxos-backup") != 0, "the timer's run went well"
    assert figure(host, "arxos_backup_success") == 0
    assert figure(host, "arxos_backup_last_success_timestamp_seconds") == last
    slowest = write(20)
    record_property("slowest write without S3, seconds", slowest)
    assert slowest < 5
    done("storage1", "systemctl start seaweedfs.service")
    until(60, lambda: job(host, "arxos-backup") == 0, "the next run goes well")
    assert figure(host, "arxos_backup_success") == 1


def test_the_key_is_wrong() -> None:
    host = acting()
    conf = "/etc/pgbackrest/pgbackrest.conf"
    done(host, f"cp -a {conf} /root/kept && sed -i 's/^repo1-s3-key-secret=.*/repo1-s3-key-secret=wrong/' {conf}")
    try:
        answer = run(host, "pgbackrest --stanza=arxos --type=incr backup", "postgres")
        assert answer.returncode != 0
        assert "403" in answer.stdout + answer.stderr
        assert job(host, "arxos-backup") != 0
        assert figure(host, "arxos_backup_success") == 0
        assert "403" in done(host, "journalctl -u arxos-backup -n 5 --no-pager")
        assert write(5) < 5
    finally:
        done(host, f"mv /root/kept {conf}")
    assert job(host, "arxos-backup") == 0
    assert figure(host, "arxos_backup_success") == 1


def test_the_archive_cannot_be_reached(record_property: Callable[[str, object], None]) -> None:
    """For five minutes (FAULT_SECONDS), on every database host, while rows are written and segments are filled."""
    name = leader()
    first = segment_number(query(name, "select pg_walfile_name(pg_current_wal_lsn())"))
    cut = f"table inet cut {{ chain out {{ type filter hook output priority -300; ip daddr {PREFIX}.51 tcp dport 8334 reject; }}; }}"
    alarm: float | None = None
    for member in MEMBERS:
        done(member, f"nft '{cut}'")
    start = time.monotonic()
    try:
        while time.monotonic() - start < OUTAGE_SECONDS:
            assert write(5) < 5
            query(name, "select pg_switch_wal()")
            if alarm is None and figure(name, "arxos_wal_archive_success") == 0:
                alarm = time.monotonic() - start
    finally:
        for member in MEMBERS:
            done(member, "nft delete table inet cut")
    assert alarm is not None, "nobody was told"
    assert alarm <= 180
    assert leader() == name, "no failover was needed for this"
    healed = time.monotonic()
    written = int(query(name, "select count(*) from fault_backup"))
    until(
        240,
        lambda: query(name, "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'") == "0",
        "nothing waits any more",
    )
    record_property("alarm after, seconds", round(alarm))
    record_property("archive caught up after, seconds", round(time.monotonic() - healed))
    done(name, "pgbackrest --stanza=arxos check", "postgres")
    stanza = parse_info(done(name, "pgbackrest info --output=json", "postgres"), "arxos")
    listed = done(name, f"pgbackrest --recurse --output=json repo-ls archive/arxos/{stanza.archive}", "postgres")
    archive = parse_archive(listed)
    last = segment_number(query(name, "select last_archived_wal from pg_stat_archiver"))
    assert last - first >= OUTAGE_SECONDS / 10, "segments were filled"
    assert archive.missing(first, last) == []
    assert holes(stanza, archive) == []
    until(90, lambda: figure(name, "arxos_wal_archive_success") == 1, "the alarm ends")
    assert int(query(name, "select count(*) from fault_backup")) == written


# What S3 gives back -----------------------------------------------------------------------------------------------------


def verified(name: str) -> dict[str, Any]:
    """What module pgbackrest says of the repository."""
    words = ["ansible", name, "-i", "inventories/lab", "-b", "-m", "arxos.platform.pgbackrest", "-a", "stanza=arxos state=verified"]
    environment = {
        **os.environ,
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600, env=environment)
    text = answer.stdout[answer.stdout.index("=> {") + 3 :]
    found = json.loads(text[: text.rindex("}") + 1])
    assert isinstance(found, dict)
    return {**found, "failed": answer.returncode != 0}


@pytest.mark.parametrize("what", ["a file of a backup", "a segment of WAL", "a segment that is gone"])
def test_what_is_damaged_is_found(s3: Any, what: str, record_property: Callable[[str, object], None]) -> None:
    host = acting()
    assert not verified(host)["failed"]
    stanza = parse_info(done(host, "pgbackrest info --output=json", "postgres"), "arxos")
    label = stanza.backups[0].label
    if what == "a file of a backup":
        key = max(key for key in keys(s3, f"pgbackrest/backup/arxos/{label}/") if "/bundle/" in key or "/pg_data/base/" in key)
        named = label
    else:
        segment = stanza.backups[0].wal_stop
        (key,) = keys(s3, f"pgbackrest/archive/arxos/{stanza.archive}/{segment[:16]}/{segment}-")
        named = segment if what == "a segment of WAL" else segment[8:]
    with damaged(s3, key, gone=what == "a segment that is gone"):
        start = time.monotonic()
        found = verified(host)
        record_property(f"{what}: found after, seconds", round(time.monotonic() - start, 1))
        assert found["failed"]
        assert [fault for fault in found["faults"] if named in fault], found["faults"]
        assert job(host, "arxos-backup-verify") != 0
        assert figure(host, "arxos_backup_verify_success") == 0
        assert (figure(host, "arxos_backup_verify_faults") or 0) > 0
    assert not verified(host)["failed"]
    assert job(host, "arxos-backup-verify") == 0
    assert figure(host, "arxos_backup_verify_success") == 1


# The drill --------------------------------------------------------------------------------------------------------------


def test_the_drill_finds_every_row_while_more_are_written(cluster: Cluster, figure: Callable[[str, object], None]) -> None:
    cluster.sql(cluster.leader, "INSERT INTO arxos_prod.buildings (name) SELECT 'drill ' || n FROM generate_series(1, 50000) n")
    try:
        with Observation(cluster, readers=0) as seen:
            began = len(seen.lines())
            drill = playbook("restore_drill.yml")
            written = len(seen.lines()) - began
    finally:
        cluster.sql(cluster.leader, "DELETE FROM arxos_prod.buildings WHERE name LIKE 'drill %'")
    assert drill.returncode == 0, drill.stdout[-3000:]
    told = re.search(r"Compared: (\d+) tables, (\d+) rows, all equal", drill.stdout)
    assert told and int(told[2]) > 50000 and written > 100
    figure("restore drill under writes", f"{told[0]}; {written} writes meanwhile")


def test_the_drill_fails_where_the_backup_cannot_be_read(s3: Any, cluster: Cluster) -> None:
    made = playbook("backup.yml", "-e", "backup_type=full")
    assert made.returncode == 0, made.stdout[-2000:]
    label = parse_info(done(MEMBERS[0], "pgbackrest info --output=json", "postgres"), "arxos").backups[-1].label
    key = max(key for key in keys(s3, f"pgbackrest/backup/arxos/{label}/") if "/bundle/" in key)
    host = next(name for name in reversed(MEMBERS) if name != cluster.leader)
    last = metric_of(done(host, f"cat {FIGURES}/arxos_restore_drill.prom"), "arxos_restore_drill_last_success_timestamp_seconds")
    with damaged(s3, key):
        drill = playbook("restore_drill.yml")
    assert drill.returncode != 0 and "could not be restored and found equal" in drill.stdout, drill.stdout[-3000:]
    found = done(host, f"cat {FIGURES}/arxos_restore_drill.prom")
    assert metric_of(found, "arxos_restore_drill_success") == 0
    assert metric_of(found, "arxos_restore_drill_last_success_timestamp_seconds") == last
    assert run(host, "ls -d /var/lib/postgresql/restore-drill").returncode != 0, "something is left behind"


# Who does it ------------------------------------------------------------------------------------------------------------


def test_one_host_makes_backups_also_after_another_leads() -> None:
    assert acting() != leader()
    next_one = query(leader(), "select application_name from pg_stat_replication where sync_state in ('sync', 'quorum') order by 1 limit 1")
    switched = playbook("switchover.yml", "-e", f"candidate={next_one}")
    assert switched.returncode == 0, switched.stdout[-2000:]
    assert leader() == next_one
    assert acting() != next_one
    made = playbook("backup.yml")
    assert made.returncode == 0, made.stdout[-2000:]
    assert archive_is_well()


def test_a_backup_that_is_being_made_is_waited_for() -> None:
    """The timer makes one each quarter of an hour at most, and a go-live may reach its first one in just these seconds."""
    lock = "/var/lib/pgbackrest/lock/arxos-backup.lock"
    words = ["docker", "exec", "-u", "postgres", f"{LAB}-{MEMBERS[0]}", "flock", lock, "sleep", "40"]
    with subprocess.Popen(words) as other:
        made = playbook("backup.yml")
        assert made.returncode == 0, made.stdout[-2000:]
        assert other.poll() == 0, "it was not waited for"


# Another passphrase -----------------------------------------------------------------------------------------------------


def labels(name: str, path: str, passphrase: str) -> list[str]:
    """The backups of a place in the bucket, read with that passphrase by the settings that the host has otherwise."""
    words = ["docker", "exec", "-u", "postgres", "-e", "PGBACKREST_REPO1_CIPHER_PASS", "-e", "PGBACKREST_REPO1_PATH", f"{LAB}-{name}"]
    found = subprocess.run(
        [*words, "pgbackrest", "--output=json", "info"],
        env={**os.environ, "PGBACKREST_REPO1_CIPHER_PASS": passphrase, "PGBACKREST_REPO1_PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return [backup.label for backup in parse_info(found.stdout, "arxos").backups]


def test_another_passphrase_begins_another_place_and_the_old_one_stays_readable(s3: Any, tmp_path: Path) -> None:
    """As docs/secrets.md says it is done."""
    old, new = SECRETS["vault_backup_passphrase"], secrets.token_urlsafe(48)
    place = tmp_path / "place.yml"
    place.touch(mode=0o600)
    place.write_text(yaml.safe_dump({"backup_path": "/pgbackrest-test", "vault_backup_passphrase": new}))
    before = labels(MEMBERS[0], "/pgbackrest", old)
    try:
        moved = playbook("database.yml", "-e", f"@{place}")
        assert moved.returncode == 0, moved.stdout[-3000:]
        assert new not in moved.stdout + moved.stderr
        first = labels(MEMBERS[1], "/pgbackrest-test", new)
        assert len(first) == 1 and first[0].endswith("F"), first
        assert before and labels(MEMBERS[2], "/pgbackrest", old) == before
        drill = playbook("restore_drill.yml", "-e", f"@{place}")
        assert drill.returncode == 0, drill.stdout[-3000:]
        again = playbook("database.yml", "-e", f"@{place}")
        assert again.returncode == 0 and not re.search(r"changed=[1-9]", again.stdout), again.stdout[-3000:]
    finally:
        back = playbook("database.yml")
        for key in keys(s3, "pgbackrest-test/"):
            s3.delete_object(Bucket=BUCKET, Key=key)
    assert back.returncode == 0, back.stdout[-3000:]
    made = playbook("backup.yml", "-e", "backup_type=full")  # what was archived elsewhere meanwhile is missing here
    assert made.returncode == 0, made.stdout[-3000:]
