# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an S3 endpoint can do, and what is in force on its buckets.

S3 has no call that tells what a server knows. A server that does not know a setting says so when it is asked for that setting of a
bucket that exists, and that is what is relied on here. Nothing but the client's C(get_*) and C(list_*) calls is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

# Capability to the call that reads it and the codes that mean "known, and not set".
CALLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "versioning": ("get_bucket_versioning", ()),
    "encryption": ("get_bucket_encryption", ("ServerSideEncryptionConfigurationNotFoundError",)),
    "lifecycle": ("get_bucket_lifecycle_configuration", ("NoSuchLifecycleConfiguration",)),
    "policy": ("get_bucket_policy", ("NoSuchBucketPolicy",)),
    "public_access_block": ("get_public_access_block", ("NoSuchPublicAccessBlockConfiguration",)),
    "object_lock": ("get_object_lock_configuration", ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration")),
}
CAPABILITIES = tuple(CALLS)

# How servers say that they do not know a call.
UNKNOWN_CODES = ("NotImplemented", "XNotImplemented", "MethodNotAllowed", "UnsupportedOperation", "UnsupportedArgument")
UNKNOWN_STATUS = (405, 501)
GONE = ("NoSuchBucket", "404", "NotFound")


class S3Error(Exception):
    """The endpoint refused or broke off; the message says which call of which bucket, and what it answered."""


def code_and_status(error: Exception) -> tuple[str, int]:
    """Code and HTTP status of an error of botocore; empty and 0 when there was no answer."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode", 0)
    return str((response.get("Error") or {}).get("Code", "")), int(status or 0)


def ask(client: Any, bucket: str, capability: str) -> tuple[bool, dict[str, Any]]:
    """Whether the endpoint knows the capability, and the raw answer, empty when nothing is set on the bucket.

    Raises S3Error for every answer that says neither.
    """
    call, unset = CALLS[capability]
    try:
        return True, getattr(client, call)(Bucket=bucket)
    except Exception as error:  # botocore makes its classes at run time
        code, status = code_and_status(error)
        if code in unset:
            return True, {}
        if code in UNKNOWN_CODES or status in UNKNOWN_STATUS:
            return False, {}
        raise S3Error(f"{call} of bucket {bucket}: {error}") from error


def days(rules: Iterable[Mapping[str, Any]], part: str, key: str) -> int:
    """The shortest time of a part of the rules that are enabled and hold for the whole bucket; 0 when there is none."""
    found = [
        rule[part][key]
        for rule in rules
        if rule.get("Status") == "Enabled" and not (rule.get("Filter") or {}).get("Prefix") and key in (rule.get(part) or {})
    ]
    return min(found, default=0)


def refuses_plain_http(policy: Mapping[str, Any], bucket: str) -> bool:
    """Whether a statement of the policy denies everybody everything on bucket and objects without TLS."""
    for statement in policy.get("Statement", []):
        condition = statement.get("Condition") or {}
        plain = (
            str(condition.get("Bool", {}).get("aws:SecureTransport", "")).lower() == "false"
            and len(condition) == len(condition["Bool"]) == 1
        )
        resources = statement.get("Resource")
        covered = {f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"} <= set(
            [resources] if isinstance(resources, str) else resources or []
        )
        everybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        if plain and covered and everybody and statement.get("Effect") == "Deny" and statement.get("Action") in ("s3:*", ["s3:*"]):
            return True
    return False


def in_force(bucket: str, answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the raw answers amount to.

    Returns C({versioning: bool, encryption: str, expire_days: int, noncurrent_days: int, abort_days: int, plain_http_refused: bool,
    public_access_block: bool, object_lock: bool, lock_days: int}); 0 and "" mean none. A capability that the endpoint lacks counts as not set.
    """
    encryption = answers["encryption"].get("ServerSideEncryptionConfiguration", {}).get("Rules") or [{}]
    rules = answers["lifecycle"].get("Rules", [])
    block = answers["public_access_block"].get("PublicAccessBlockConfiguration", {})
    lock = answers["object_lock"].get("ObjectLockConfiguration", {})
    retention = lock.get("Rule", {}).get("DefaultRetention", {})
    return {
        "versioning": answers["versioning"].get("Status") == "Enabled",
        "encryption": encryption[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", ""),
        "expire_days": days(rules, "Expiration", "Days"),
        "noncurrent_days": days(rules, "NoncurrentVersionExpiration", "NoncurrentDays"),
        "abort_days": days(rules, "AbortIncompleteMultipartUpload", "DaysAfterInitiation"),
        "plain_http_refused": refuses_plain_http(json.loads(answers["policy"].get("Policy", "{}")), bucket),
        "public_access_block": len(block) == 4 and all(block.values()),
        "object_lock": lock.get("ObjectLockEnabled") == "Enabled",
        "lock_days": retention.get("Days", 0) or retention.get("Years", 0) * 365,
    }


def is_open(stranger: Any, bucket: str) -> bool:
    """Whether somebody without a key may list the bucket. Raises S3Error when the answer says neither."""
    try:
        stranger.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except Exception as error:  # botocore makes its classes at run time
        if code_and_status(error)[1] in (401, 403):
            return False
        raise S3Error(f"list_objects_v2 of bucket {bucket} without a key: {error}") from error
    return True


def exists(client: Any, bucket: str) -> bool:
    """Whether the bucket is there. Raises S3Error when the endpoint does not say, or when the bucket is somebody else's."""
    try:
        client.head_bucket(Bucket=bucket)
    except Exception as error:  # botocore makes its classes at run time
        code, status = code_and_status(error)
        if code in GONE or status == 404:
            return False
        raise S3Error(f"head_bucket of bucket {bucket}: {error}") from error
    return True


def look(client: Any, stranger: Any, buckets: Sequence[str]) -> tuple[list[str] | None, dict[str, dict[str, Any]]]:
    """What the endpoint lacks, in the order of CAPABILITIES, and what is in force on each bucket that exists.

    The first is None while there is no bucket to ask about. Raises S3Error.
    """
    lacking: set[str] = set()
    found = {}
    for bucket in buckets:
        if not exists(client, bucket):
            continue
        answers = {}
        for capability in CAPABILITIES:
            known, answers[capability] = ask(client, bucket, capability)
            if not known:
                lacking.add(capability)
        found[bucket] = {**in_force(bucket, answers), "anonymous": is_open(stranger, bucket)}
    return ([name for name in CAPABILITIES if name in lacking] if found else None), found


IN_FORCE: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "versioning": lambda found: found["versioning"],
    "encryption": lambda found: bool(found["encryption"]),
    "lifecycle": lambda found: bool(found["expire_days"] or found["noncurrent_days"] or found["abort_days"]),
    "policy": lambda found: found["plain_http_refused"],
    "public_access_block": lambda found: found["public_access_block"],
    "object_lock": lambda found: found["lock_days"] > 0,
}


def lacking_faults(lacking: Sequence[str] | None, required: Mapping[str, Sequence[str]]) -> list[str]:
    """One line for each required capability that the endpoint lacks. required: bucket to capabilities."""
    return [
        f"the endpoint has no {capability.replace('_', ' ')}, which bucket {bucket} requires"
        for bucket, wanted in required.items()
        for capability in wanted
        if capability in (lacking or ())
    ]


def force_faults(found: Mapping[str, Mapping[str, Any]], required: Mapping[str, Sequence[str]]) -> list[str]:
    """One line for each bucket that is missing or open to anybody, and for each required capability that is not in force on it."""
    faults = [f"bucket {bucket} is missing" for bucket in required if bucket not in found]
    for bucket, state in found.items():
        if state["anonymous"]:
            faults.append(f"bucket {bucket} can be listed without a key")
        faults += [
            f"{capability.replace('_', ' ')} is not in force on bucket {bucket}"
            for capability in required.get(bucket, ())
            if not IN_FORCE[capability](state)
        ]
    return faults
