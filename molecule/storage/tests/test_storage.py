# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Buckets, and who gets at them, asked of the S3 API itself."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest
import yaml

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


@pytest.fixture
def key(admin: Any) -> Iterator[str]:
    name = f"test/{uuid.uuid4()}"
    yield name
    for version in admin.list_object_versions(Bucket=FILES, Prefix=name).get("Versions", []):
        admin.delete_object(Bucket=FILES, Key=name, VersionId=version["VersionId"])


def refused(call: Any, **arguments: Any) -> bool:
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_an_overwritten_file_can_be_had_back(application: Any, admin: Any, key: str) -> None:
    first = application.put_object(Bucket=FILES, Key=key, Body=b"first")["VersionId"]
    application.put_object(Bucket=FILES, Key=key, Body=b"second")
    assert admin.get_object(Bucket=FILES, Key=key, VersionId=first)["Body"].read() == b"first"


def test_files_are_encrypted_at_rest(application: Any, key: str) -> None:
    assert application.put_object(Bucket=FILES, Key=key, Body=b"plan")["ServerSideEncryption"] == "AES256"


@pytest.mark.parametrize(("bucket", "days"), [(BACKUPS, 90), (ARCHIVE, 2555)])
def test_what_is_kept_is_kept_as_long_as_it_must(admin: Any, bucket: str, days: int) -> None:
    rules = admin.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [rule["Expiration"]["Days"] for rule in rules if rule["Status"] == "Enabled"] == [days]


def test_files_do_not_expire(admin: Any) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        admin.get_bucket_lifecycle_configuration(Bucket=FILES)


def test_the_application_gets_at_its_files_alone(application: Any) -> None:
    assert refused(application.list_objects_v2, Bucket=BACKUPS)
    assert refused(application.put_object, Bucket=ARCHIVE, Key="x", Body=b"x")
    assert refused(application.create_bucket, Bucket="arxos-production-more")


def test_a_wrong_key_is_refused(ca: str) -> None:
    wrong = client(ca, SECRETS["vault_object_storage_application_access_key"], "wrong")
    assert refused(wrong.list_objects_v2, Bucket=FILES)


def test_nobody_is_refused(ca: str) -> None:
    anonymous = boto3.client(
        "s3",
        endpoint_url=f"https://{PREFIX}.51:8334",
        region_name="us-east-1",
        verify=ca,
        config=botocore.config.Config(signature_version=botocore.UNSIGNED),
    )
    assert refused(anonymous.list_objects_v2, Bucket=FILES)
