# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is kept of a failure holds no secret, whatever form it has, and what is no secret stays to be read."""

from __future__ import annotations

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _evidence as subject

ENVIRONMENT = """
ARXOS_HOST="0.0.0.0"
ARXOS_DATABASE_PASSWORD="s3cr3t-Pa\\$\\$word"
ARXOS_JWT_SECRETS="first-secret-0123456789,second-secret-0123456789"
ARXOS_S3_ACCESS_KEY="AKIA1234567890"
ARXOS_USERS="[{\\"name\\": \\"admin\\", \\"password_hash\\": \\"$6$rounds=10000$abcdefABCDEF$0123456789\\"}]"
ARXOS_LOG_LEVEL="INFO"
"""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password=hunter22 user=jane", "password=(hidden) user=jane"),
        ('{"access_token": "abc", "name": "door"}', '{"access_token": (hidden), "name": "door"}'),
        ("{'api_key': 'abc', 'n': 1}", "{'api_key': (hidden), 'n': 1}"),
        ("ARXOS_DATABASE_PASSWORD=x1", "ARXOS_DATABASE_PASSWORD=(hidden)"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: (hidden) (hidden)"),
        ("sent bearer abcdefgh12345 on", "sent bearer (hidden) on"),
        ("postgresql://arxos:geheim@db/x", "postgresql://(hidden)@db/x"),
        ("got eyJhbGciOi.eyJzdWIi.c2ln", "got (hidden)"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nafter", "(hidden) private key\nafter"),
        # Words that only look like it.
        ("no key was found, keyspace=16384, monkey: banana", "no key was found, keyspace=16384, monkey: banana"),
        ("503 checks: cache failed", "503 checks: cache failed"),
    ],
)
def test_secrets_are_hidden_by_form_and_by_name(text: str, left: str) -> None:
    assert subject.redact(text) == left


def test_the_values_of_an_environment_file_are_hidden_wherever_they_stand() -> None:
    secrets = subject.secrets_in(ENVIRONMENT)
    assert "first-secret-0123456789" in secrets and "AKIA1234567890" in secrets
    assert "$6$rounds=10000$abcdefABCDEF$0123456789" in secrets
    assert not {"INFO", "0.0.0.0", "admin", "password_hash"} & set(secrets)
    assert subject.redact("it said second-secret-0123456789 and AKIA1234567890", secrets) == "it said (hidden) and (hidden)"


def test_a_long_text_keeps_its_end_from_a_line_on() -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    kept = subject.bounded(text, 100)
    assert kept.endswith("line 999\n") and kept.startswith("(8791 bytes before this are left out)\nline 989\n"), kept
    assert subject.bounded("short", 100) == "short"
