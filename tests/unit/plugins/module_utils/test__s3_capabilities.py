# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _s3_capabilities as s3

DENY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::files", "arn:aws:s3:::files/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
RULE = {
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "Expiration": {"Days": 90},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}
FULL: dict[str, Any] = {
    "get_bucket_versioning": {"Status": "Enabled"},
    "get_bucket_encryption": {
        "ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    },
    "get_bucket_lifecycle_configuration": {"Rules": [RULE]},
    "get_bucket_policy": {"Policy": json.dumps({"Statement": [DENY]})},
    "get_public_access_block": {
        "PublicAccessBlockConfiguration": dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
    },
    "get_object_lock_configuration": {
        "ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2555}}}
    },
    "head_bucket": {},
    "list_objects_v2": {},
}
STATE = {
    "versioning": True,
    "encryption": "AES256",
    "expire_days": 90,
    "noncurrent_days": 30,
    "abort_days": 7,
    "plain_http_refused": True,
    "public_access_block": True,
    "object_lock": True,
    "lock_days": 2555,
    "anonymous": False,
}


class Refusal(Exception):
    """What botocore raises, as far as it is looked at."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class Client:
    """Answers from a dict; an answer that is an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {**copy.deepcopy(FULL), **answers}

    def __getattr__(self, name: str) -> Any:
        def call(**_arguments: Any) -> Any:
            if isinstance(self.answers[name], Exception):
                raise self.answers[name]
            return self.answers[name]

        return call


STRANGER = Client(list_objects_v2=Refusal("AccessDenied", 403))


def test_everything_in_force() -> None:
    assert s3.look(Client(), STRANGER, ["files"]) == ([], {"files": STATE})


@pytest.mark.parametrize(
    "refusal", [Refusal("NotImplemented", 501), Refusal("XNotImplemented", 400), Refusal("MethodNotAllowed", 405), Refusal("", 501)]
)
@pytest.mark.parametrize("capability", s3.CAPABILITIES)
def test_what_a_server_does_not_know_is_lacking(capability: str, refusal: Exception) -> None:
    lacking, found = s3.look(Client(**{s3.CALLS[capability][0]: refusal}), STRANGER, ["files"])
    assert lacking == [capability]
    assert not s3.IN_FORCE[capability](found["files"])
    assert s3.lacking_faults(lacking, {"files": [capability], "more": []}) == [
        f"the endpoint has no {capability.replace('_', ' ')}, which bucket files requires"
    ]


@pytest.mark.parametrize("capability", [name for name in s3.CAPABILITIES if s3.CALLS[name][1]])
def test_what_is_not_set_is_not_lacking(capability: str) -> None:
    call, unset = s3.CALLS[capability]
    for code in unset:
        lacking, found = s3.look(Client(**{call: Refusal(code, 404)}), STRANGER, ["files"])
        assert lacking == []
        assert s3.force_faults(found, {"files": [capability]}) == [f"{capability.replace('_', ' ')} is not in force on bucket files"]


@pytest.mark.parametrize("capability", s3.CAPABILITIES)
def test_any_other_answer_is_an_error_and_never_taken_for_lacking(capability: str) -> None:
    for error in (Refusal("AccessDenied", 403), Refusal("InternalError", 500), OSError("broken")):
        with pytest.raises(s3.S3Error, match="bucket files"):
            s3.look(Client(**{s3.CALLS[capability][0]: error}), STRANGER, ["files"])


def test_without_a_bucket_nothing_is_known() -> None:
    assert s3.look(Client(head_bucket=Refusal("404", 404)), STRANGER, ["files"]) == (None, {})
    assert s3.lacking_faults(None, {"files": ["versioning"]}) == []
    assert s3.force_faults({}, {"files": []}) == ["bucket files is missing"]


def test_a_bucket_of_somebody_else_is_an_error() -> None:
    with pytest.raises(s3.S3Error, match="head_bucket"):
        s3.look(Client(head_bucket=Refusal("403", 403)), STRANGER, ["files"])


def test_strangers() -> None:
    found = s3.look(Client(), Client(), ["files"])[1]
    assert s3.force_faults(found, {"files": []}) == ["bucket files can be listed without a key"]
    with pytest.raises(s3.S3Error, match="without a key"):
        s3.look(Client(), Client(list_objects_v2=Refusal("SlowDown", 503)), ["files"])


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Allow"},
        {"Principal": {"AWS": "arn:aws:iam::1:user/x"}},
        {"Action": "s3:GetObject"},
        {"Resource": "arn:aws:s3:::files/*"},
        {"Resource": ["arn:aws:s3:::other", "arn:aws:s3:::other/*"]},
        {"Condition": None},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"Condition": {"Bool": {"aws:SecureTransport": "false", "aws:ViaAWSService": "false"}}},
        {"Condition": {**DENY["Condition"], "IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},  # type: ignore[dict-item]
    ],
)
def test_a_policy_that_lets_some_plain_http_through_does_not_count(change: dict[str, Any]) -> None:
    assert s3.refuses_plain_http({"Statement": [DENY]}, "files")
    assert s3.refuses_plain_http({"Statement": [{**DENY, "Principal": {"AWS": "*"}, "Action": ["s3:*"]}]}, "files")
    assert not s3.refuses_plain_http({"Statement": [{**DENY, **change}]}, "files")


@pytest.mark.parametrize("change", [{"Status": "Disabled"}, {"Filter": {"Prefix": "logs/"}}, {"Expiration": {"Date": "2030-01-01"}}])
def test_only_rules_for_the_whole_bucket_count(change: dict[str, Any]) -> None:
    assert s3.days([{**RULE, **change}], "Expiration", "Days") == 0
    assert s3.days([{**RULE, **change}, {**RULE, "Expiration": {"Days": 120}}, RULE], "Expiration", "Days") == 90


def test_a_public_access_block_has_four_switches() -> None:
    block = {**FULL["get_public_access_block"]["PublicAccessBlockConfiguration"], "RestrictPublicBuckets": False}
    found = s3.look(Client(get_public_access_block={"PublicAccessBlockConfiguration": block}), STRANGER, ["files"])[1]
    assert not found["files"]["public_access_block"]


def test_retention_in_years() -> None:
    lock = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 7}}}}
    assert s3.look(Client(get_object_lock_configuration=lock), STRANGER, ["files"])[1]["files"]["lock_days"] == 2555
