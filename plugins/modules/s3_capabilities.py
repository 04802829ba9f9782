#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_capabilities
short_description: What an S3 endpoint can do, and what is in force on its buckets
version_added: "0.1.0"
description:
  - Asks an S3 endpoint which of the settings that protect a bucket it knows, and reads what is in force on each bucket, all in one call. A request
    without a key tells whether anybody may list a bucket.
  - S3 servers other than Amazon's lack one thing or another, and nothing but asking tells which. Settings are asked for of buckets that exist, so
    the answer about the endpoint is there as soon as one of O(buckets) does.
  - It changes nothing.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
requirements:
  - boto3
options:
  buckets:
    description: Buckets to look at.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the bucket.
        type: str
        required: true
      required:
        description:
          - What the bucket cannot be without. The module fails when the endpoint lacks it.
          - V(policy) means a policy that refuses requests without TLS.
        type: list
        elements: str
        choices: [versioning, encryption, lifecycle, policy, public_access_block, object_lock]
        default: []
  in_force:
    description: Fail as well when a bucket is missing, when it can be listed without a key, or when something that it requires is not in force.
    type: bool
    default: false
  endpoint_url:
    description: URL of the S3 API. Amazon's unless given. The environment variable E(AWS_CA_BUNDLE) names the certificates to trust.
    type: str
  region:
    description: Region of the buckets.
    type: str
    default: us-east-1
  access_key:
    description: Access key that may read the settings of the buckets.
    type: str
    required: true
  secret_key:
    description: Its secret key.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: See what the endpoint can do, and refuse one that cannot keep versions
  arxos.platform.s3_capabilities:
    endpoint_url: https://192.0.2.51:8334
    access_key: "{{ access_key }}"
    secret_key: "{{ secret_key }}"
    buckets:
      - {name: example-files, required: [versioning, encryption]}
  register: s3

- name: Verify that what is required is in force, and that nobody gets in without a key
  arxos.platform.s3_capabilities:
    endpoint_url: https://192.0.2.51:8334
    access_key: "{{ access_key }}"
    secret_key: "{{ secret_key }}"
    in_force: true
    buckets:
      - {name: example-files, required: [versioning, encryption]}
"""

RETURN = r"""
known:
  description: Whether there was a bucket to ask about. RV(lacking) says nothing before there is one.
  returned: always
  type: bool
  sample: true
lacking:
  description: Settings that the endpoint does not know.
  returned: always
  type: list
  elements: str
  sample: [public_access_block]
buckets:
  description: What is in force on each bucket that exists, by its name.
  returned: always
  type: dict
  sample:
    example-files:
      versioning: true
      encryption: AES256
      expire_days: 0
      noncurrent_days: 365
      abort_days: 7
      plain_http_refused: true
      public_access_block: false
      object_lock: false
      lock_days: 0
      anonymous: false
"""

import traceback
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.arxos.platform.plugins.module_utils._s3_capabilities import (
    CAPABILITIES,
    S3Error,
    force_faults,
    lacking_faults,
    look,
)
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

try:
    import boto3
    import botocore
    import botocore.config
    import botocore.exceptions
except ImportError:
    HAS_BOTO3 = False
    BOTO3_ERROR = traceback.format_exc()
else:
    HAS_BOTO3 = True
    BOTO3_ERROR = ""


def main() -> None:
    module = StrictModule(
        argument_spec={
            "buckets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "required": {"type": "list", "elements": "str", "choices": list(CAPABILITIES), "default": []},
                },
            },
            "in_force": {"type": "bool", "default": False},
            "endpoint_url": {"type": "str"},
            "region": {"type": "str", "default": "us-east-1"},
            "access_key": {"type": "str", "required": True, "no_log": False},
            "secret_key": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    if not HAS_BOTO3:
        module.fail_json(msg=missing_required_lib("boto3"), exception=BOTO3_ERROR)
    given = module.params
    required = {bucket["name"]: bucket["required"] for bucket in given["buckets"]}
    where = {"endpoint_url": given["endpoint_url"], "region_name": given["region"]}
    patience = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 3}}
    try:
        client = boto3.client(
            "s3",
            aws_access_key_id=given["access_key"],
            aws_secret_access_key=given["secret_key"],
            config=botocore.config.Config(**patience),
            **where,
        )
        stranger = boto3.client("s3", config=botocore.config.Config(signature_version=botocore.UNSIGNED, **patience), **where)
        lacking, found = look(client, stranger, list(required))
    except (S3Error, botocore.exceptions.BotoCoreError, ValueError) as error:
        module.fail_json(msg=f"{given['endpoint_url'] or 'Amazon S3'}: {error}")
    answer: dict[str, Any] = {"known": lacking is not None, "lacking": lacking or [], "buckets": found}
    faults = lacking_faults(lacking, required)
    if given["in_force"]:
        can = {bucket: [capability for capability in wanted if capability not in answer["lacking"]] for bucket, wanted in required.items()}
        faults += force_faults(found, can)
    if faults:
        module.fail_json(msg="\n".join([f"{given['endpoint_url'] or 'Amazon S3'} does not hold what is required:"] + faults), **answer)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
