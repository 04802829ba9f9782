# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Buckets, and who gets at them, asked of the S3 API itself."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
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
SECRETS = yaml.safe_load((Path(__file__).resolve().parents[3] / "inventories/lab/group_vars/all/vault.yml").read_text())
FILES, BACKUPS, ARCHIVE = (f"arxos-production-{name}" for name in ("files", "backups", "archive"))


def client(ca: str, access_key: str, secret_key: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"https://{PREFIX}.51:8334",
        region_name="us-east-1",
        verify=ca,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=botocore.config.Config(retries={"max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.crt"
    path.write_text(SECRETS["vault_certificates_ca_certificate"])
    return str(path)


@pytest.fixture(scope="module")
def admin(ca: str) -> Any:
    return client(ca, SECRETS["vault_object_storage_admin_access_key"], SECRETS["vault_object_storage_admin_secret_key"])


@pytest.fixture(scope="module")
def application(ca: str) -> Any:
    return client(ca, SECRETS["vault_object_storage_application_access_key"], SECRETS["vault_object_storage_application_secret_key"])


@pytest.fixture(scope="module")
def stranger(ca: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"https://{PREFIX}.51:8334",
        region_name="us-east-1",
        verify=ca,
        config=botocore.config.Config(signature_version=botocore.UNSIGNED, retries={"max_attempts": 1}),
    )


@pytest.fixture
def key(admin: Any) -> Iterator[str]:
    name = f"test/{uuid.uuid4()}"
    yield name
    found = admin.list_object_versions(Bucket=FILES, Prefix=name)
    for version in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        admin.delete_object(Bucket=FILES, Key=name, VersionId=version["VersionId"])


def refused(call: Any, **arguments: Any) -> bool:
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return bool(error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403)


# What is kept -----------------------------------------------------------------------------------------------------------


def test_an_overwritten_and_then_deleted_file_can_be_had_back(application: Any, admin: Any, key: str) -> None:
    first = application.put_object(Bucket=FILES, Key=key, Body=b"first")["VersionId"]
    second = application.put_object(Bucket=FILES, Key=key, Body=b"second")["VersionId"]
    application.delete_object(Bucket=FILES, Key=key)
    with pytest.raises(botocore.exceptions.ClientError, match="NoSuchKey"):
        application.get_object(Bucket=FILES, Key=key)
    for version, content in ((first, b"first"), (second, b"second")):
        assert application.get_object(Bucket=FILES, Key=key, VersionId=version)["Body"].read() == content
    admin.copy_object(Bucket=FILES, Key=key, CopySource={"Bucket": FILES, "Key": key, "VersionId": second})
    assert application.get_object(Bucket=FILES, Key=key)["Body"].read() == b"second"


def test_the_application_cannot_destroy_what_versioning_keeps(application: Any, key: str) -> None:
    version = application.put_object(Bucket=FILES, Key=key, Body=b"plan")["VersionId"]
    assert refused(application.delete_object, Bucket=FILES, Key=key, VersionId=version)
    assert application.get_object(Bucket=FILES, Key=key, VersionId=version)["Body"].read() == b"plan"


def test_a_health_check_leaves_no_version_behind(application: Any) -> None:
    name = f"health/{uuid.uuid4()}"
    version = application.put_object(Bucket=FILES, Key=name, Body=b"healthy")["VersionId"]
    application.delete_object(Bucket=FILES, Key=name, VersionId=version)
    assert "Versions" not in application.list_object_versions(Bucket=FILES, Prefix=name)


@pytest.mark.parametrize("bucket", [FILES, BACKUPS, ARCHIVE])
def test_objects_are_encrypted_at_rest(admin: Any, bucket: str) -> None:
    name = f"test/{uuid.uuid4()}"
    written = admin.put_object(Bucket=bucket, Key=name, Body=b"plan")
    try:
        assert written["ServerSideEncryption"] == "AES256"
        assert admin.head_object(Bucket=bucket, Key=name)["ServerSideEncryption"] == "AES256"
        assert admin.get_object(Bucket=bucket, Key=name)["Body"].read() == b"plan"
    finally:
        admin.delete_object(Bucket=bucket, Key=name, VersionId=written["VersionId"], BypassGovernanceRetention=True)


def test_what_was_written_is_not_on_the_disk_in_clear(application: Any, key: str) -> None:
    mark = uuid.uuid4().hex.encode() * 64
    application.put_object(Bucket=FILES, Key=key, Body=mark)
    host = testinfra.get_host(f"docker://{LAB}-storage1")
    assert host.run("find /var/lib/seaweedfs -name '*.dat' | grep -q .").rc == 0
    assert host.run(f"grep -rqF {mark[:32].decode()} /var/lib/seaweedfs").rc == 1


@pytest.mark.parametrize(("bucket", "expire", "noncurrent"), [(FILES, None, 365), (BACKUPS, None, 30), (ARCHIVE, 2555, 2555)])
def test_what_is_kept_is_kept_as_long_as_it_must(admin: Any, bucket: str, expire: int | None, noncurrent: int) -> None:
    rules = [rule for rule in admin.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] if rule["Status"] == "Enabled"]
    assert [rule.get("Expiration", {}).get("Days") for rule in rules] == [expire]
    assert [rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules] == [noncurrent]
    assert [rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for rule in rules] == [7]


def test_what_is_archived_stays_as_it_was_written(admin: Any) -> None:
    name = f"test/{uuid.uuid4()}"
    version = admin.put_object(Bucket=ARCHIVE, Key=name, Body=b"audit")["VersionId"]
    try:
        assert refused(admin.delete_object, Bucket=ARCHIVE, Key=name, VersionId=version)
        lock = admin.head_object(Bucket=ARCHIVE, Key=name, VersionId=version)
        assert lock["ObjectLockMode"] == "GOVERNANCE"
        assert 2554 <= (lock["ObjectLockRetainUntilDate"] - datetime.now(timezone.utc)).days <= 2555
    finally:
        admin.delete_object(Bucket=ARCHIVE, Key=name, VersionId=version, BypassGovernanceRetention=True)


# Who gets at it ---------------------------------------------------------------------------------------------------------


def test_the_application_gets_at_its_files_alone(application: Any) -> None:
    for bucket in (BACKUPS, ARCHIVE):
        assert refused(application.list_objects_v2, Bucket=bucket)
        assert refused(application.put_object, Bucket=bucket, Key="x", Body=b"x")
        assert refused(application.get_object, Bucket=bucket, Key="x")
        assert refused(application.delete_object, Bucket=bucket, Key="x")
    assert refused(application.create_bucket, Bucket="arxos-production-more")


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
        ("delete_bucket_lifecycle", {}),
        ("delete_bucket_encryption", {}),
        ("delete_bucket_policy", {}),
        ("put_bucket_policy", {"Policy": json.dumps({"Version": "2012-10-17", "Statement": []})}),
        ("put_bucket_acl", {"ACL": "public-read"}),
        ("delete_bucket", {}),
    ],
)
def test_the_application_cannot_change_its_bucket(application: Any, admin: Any, call: str, arguments: dict[str, Any]) -> None:
    assert refused(getattr(application, call), Bucket=FILES, **arguments)
    assert admin.get_bucket_versioning(Bucket=FILES)["Status"] == "Enabled"


def test_a_wrong_key_is_refused(ca: str) -> None:
    wrong = client(ca, SECRETS["vault_object_storage_application_access_key"], "wrong")
    assert refused(wrong.list_objects_v2, Bucket=FILES)
    assert refused(client(ca, "wrong", "wrong").list_objects_v2, Bucket=FILES)


@pytest.mark.parametrize("bucket", [FILES, BACKUPS, ARCHIVE])
def test_nobody_is_refused(stranger: Any, bucket: str) -> None:
    assert refused(stranger.list_objects_v2, Bucket=bucket)
    assert refused(stranger.put_object, Bucket=bucket, Key="x", Body=b"x")


def test_no_file_can_be_made_public(application: Any, admin: Any, stranger: Any, key: str) -> None:
    assert refused(application.put_object, Bucket=FILES, Key=key, Body=b"plan", ACL="public-read")
    assert refused(admin.put_object, Bucket=FILES, Key=key, Body=b"plan", ACL="public-read")
    assert refused(admin.put_bucket_acl, Bucket=FILES, ACL="public-read")
    application.put_object(Bucket=FILES, Key=key, Body=b"plan")
    assert refused(stranger.get_object, Bucket=FILES, Key=key)


def test_plain_http_gets_at_nothing() -> None:
    """Asked on the host itself: the firewall lets nobody else come to that port."""
    host = testinfra.get_host(f"docker://{LAB}-storage1")
    keys = SECRETS["vault_object_storage_admin_access_key"] + ":" + SECRETS["vault_object_storage_admin_secret_key"]
    signed = f"curl -sS --max-time 10 -o /dev/null -w %{{http_code}} --aws-sigv4 aws:amz:us-east-1:s3 --user {keys}"
    assert host.check_output(f"{signed} --cacert /etc/ssl/arxos/ca.crt https://{PREFIX}.51:8334/{FILES}/?list-type=2") == "200"
    assert host.check_output(f"{signed} http://{PREFIX}.51:8333/{FILES}/?list-type=2") == "403"
