# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The archive of the audit log against the real bucket: what somebody with the administrator's key does to it is refused, or found and named."""

from __future__ import annotations

import gzip
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
SECRETS = yaml.safe_load((Path(__file__).resolve().parents[3] / "inventories/lab/group_vars/all/vault.yml").read_text())
BUCKET = "arxos-production-archive"
AS_USER = "cd / && setpriv --reuid=arxos-audit --regid=arxos-audit --clear-groups env PYTHONPATH=/usr/local/lib/arxos"
PROGRAM = "/usr/bin/python3 -m ansible_collections.arxos.platform.plugins.module_utils._audit_archive"

testinfra_hosts = [f"docker://{LAB}-monitoring1"]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Clients of S3 by the purpose of their key."""
    ca = tmp_path_factory.mktemp("ca") / "ca.crt"
    ca.write_text(SECRETS["vault_certificates_ca_certificate"])
    return {
        who: boto3.client(
            "s3",
            endpoint_url=f"https://{PREFIX}.51:8334",
            region_name="us-east-1",
            verify=str(ca),
            aws_access_key_id=SECRETS[f"vault_object_storage_{who}_access_key"],
            aws_secret_access_key=SECRETS[f"vault_object_storage_{who}_secret_key"],
            config=botocore.config.Config(retries={"max_attempts": 1}),
        )
        for who in ("admin", "archive", "application")
    }


class Chain:
    """A chain of three objects with four lines each, in a place of its own in the bucket."""

    def __init__(self, host: Any) -> None:
        self.host, self.name = host, secrets.token_hex(6)
        self.folder, self.prefix = f"/var/lib/arxos-audit/test-{self.name}", f"audit/test-{self.name}"
        given = json.loads(host.check_output("cat /etc/arxos/audit-archive.json"))
        given.update(prefix=self.prefix, spool=f"{self.folder}/spool", state=self.folder)
        text = json.dumps(given)
        host.check_output(f"install -d -o arxos-audit {self.folder} {self.folder}/spool")
        host.check_output(
            f"umask 077; cat >{self.folder}/settings.json <<'END'\n{text}\nEND\nchown arxos-audit {self.folder}/settings.json"
        )
        for number in range(3):
            lines = "\\n".join(f"event {number * 4 + each + 1}" for each in range(4))
            host.check_output(f"printf '{lines}\\n' >{self.folder}/spool/1.jsonl; touch -d '1 hour ago' {self.folder}/spool/1.jsonl")
            self.run("archive")

    def key(self, number: int) -> str:
        return f"{self.prefix}/{number:010d}.jsonl.gz"

    def run(self, job: str, code: int = 0) -> list[str]:
        """What it says is wrong."""
        done = self.host.run(f"{AS_USER} {PROGRAM} {job} {self.folder}/settings.json")
        assert done.rc == code, done.stdout + done.stderr
        return str(done.stderr).splitlines()


@pytest.fixture
def chain(host: Any) -> Iterator[Chain]:
    made = Chain(host)
    yield made
    host.run(f"rm -rf {made.folder}")


Entries = list[dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda lines: [lines[0], {**lines[1], "l": "event of nobody"}, *lines[2:]], "line 6 is not the one that was archived"),
        (lambda lines: [lines[0], *lines[2:]], "line 6 is missing"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "line 6 stands after line 7"),
    ],
    ids=["changed", "removed", "swapped"],
)
def test_a_line_that_was_tampered_with_is_named(
    chain: Chain, clients: dict[str, Any], change: Callable[[Entries], Entries], fault: str
) -> None:
    assert chain.run("verify") == []
    admin = clients["admin"]
    first, *lines = gzip.decompress(admin.get_object(Bucket=BUCKET, Key=chain.key(2))["Body"].read()).splitlines()
    forged = [json.loads(first), *change([json.loads(line) for line in lines])]
    admin.put_object(Bucket=BUCKET, Key=chain.key(2), Body=gzip.compress("\n".join(map(json.dumps, forged)).encode()))
    faults = chain.run("verify", 1)
    assert any(line.startswith(f"{chain.key(2)}: {fault}") for line in faults), faults
    assert f"{chain.key(2)}: was replaced, object 3 names another sha256 of it" in faults


@pytest.mark.parametrize("number", [2, 3])
def test_an_object_that_was_removed_is_named_the_last_one_too(chain: Chain, clients: dict[str, Any], number: int) -> None:
    clients["admin"].delete_object(Bucket=BUCKET, Key=chain.key(number))  # a marker: what it hides is kept
    assert f"{chain.key(number)}: is missing" in chain.run("verify", 1)


FORGE = """
import json, sys
from ansible_collections.arxos.platform.plugins.module_utils import _audit_archive, _audit_chain
settings = json.load(open(sys.argv[1]))
store, head = _audit_archive.Bucket(settings), _audit_chain.Head()
for number in range(3):
    made = _audit_chain.segment(head, [f"event {number * 2 + each + 1}" for each in range(2)], settings["prefix"], 1e9 + number)
    store.write(made.key, made.body)
    head = made.head
open(settings["state"] + "/head.json", "w").write(_audit_chain.head_to_json(head))
"""


def test_an_archive_that_was_made_anew_as_a_whole_is_found_by_what_the_bucket_keeps(chain: Chain, host: Any) -> None:
    """With the key of the archive itself, by whoever has the host that collects: chain and head fit, and half of the lines are gone."""
    done = host.run(f"{AS_USER} python3 - {chain.folder}/settings.json <<'END'{FORGE}END")
    assert done.rc == 0, done.stderr
    faults = chain.run("verify", 1)
    assert len(faults) == 3 and all("was stored anew with other content" in fault for fault in faults), faults


def test_what_is_locked_cannot_be_destroyed(chain: Chain, clients: dict[str, Any]) -> None:
    """Not even by the administrator's key, as long as it does not ask for the right to pass the lock by."""
    versions = clients["admin"].list_object_versions(Bucket=BUCKET, Prefix=chain.key(2))["Versions"]
    with pytest.raises(botocore.exceptions.ClientError) as error:
        clients["admin"].delete_object(Bucket=BUCKET, Key=chain.key(2), VersionId=versions[0]["VersionId"])
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    assert chain.run("verify") == []


def test_the_key_of_the_archive_adds_and_reads_and_no_more(chain: Chain, clients: dict[str, Any]) -> None:
    archive = clients["archive"]
    assert archive.get_object(Bucket=BUCKET, Key=chain.key(1))["ContentType"] == "application/gzip"
    for call, given in (
        (archive.delete_object, {"Bucket": BUCKET, "Key": chain.key(1)}),
        (archive.put_object, {"Bucket": BUCKET, "Key": "elsewhere", "Body": b""}),
        (archive.list_objects_v2, {"Bucket": "arxos-production-files"}),
        (archive.put_bucket_versioning, {"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Suspended"}}),
        (clients["application"].get_object, {"Bucket": BUCKET, "Key": chain.key(1)}),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            call(**given)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, call


def test_its_keys_are_for_it_alone_and_its_units_do_no_more_than_they_have_to(host: Any) -> None:
    settings = host.file("/etc/arxos/audit-archive.json")
    assert (settings.user, settings.group, settings.mode) == ("root", "arxos-audit", 0o640)
    for unit in ("arxos-audit-archive", "arxos-audit-verify"):
        host.check_output(f"systemd-analyze security --no-pager --threshold=20 {unit}.service")
        assert host.check_output(f"systemctl is-active {unit}.timer") == "active"


def test_it_has_archived_when_it_is_installed(host: Any) -> None:
    """Not first by its timer, which may be an hour away."""
    figures = host.check_output("cat /var/lib/prometheus/node-exporter/arxos_audit_archive.prom")
    assert "arxos_audit_archive_success 1" in figures


def test_the_timers_leave_figures(host: Any) -> None:
    host.check_output("systemctl start arxos-audit-archive.service arxos-audit-verify.service")
    figures = host.check_output("cat /var/lib/prometheus/node-exporter/arxos_audit_*.prom")
    assert "arxos_audit_archive_success 1" in figures and "arxos_audit_verify_success 1" in figures
