"""What a good secret is, and how a file of them is completed."""

from __future__ import annotations

import base64

import pytest
import yaml
from ansible_collections.arxos.platform.plugins.module_utils import _secrets


@pytest.mark.parametrize("kind", sorted(_secrets.KINDS))
def test_what_is_made_is_good_and_new_each_time(kind):
    made = [_secrets.make(kind) for _each in range(50)]
    assert [_secrets.weakness(value, kind) for value in made] == [None] * 50
    assert len(set(made)) == 50


@pytest.mark.parametrize(
    ("value", "kind", "part"),
    [
        ("changeme", "", "examples and defaults"),
        ("changeme", "password", "examples and defaults"),
        ("Password1234567890", "password", "examples and defaults"),
        ("my-example-passphrase-1", "password", "examples and defaults"),
        ("CHANGE_ME_CHANGE_ME_CHANGE", "secret", "examples and defaults"),
        ("secret", "password", "placeholder"),
        ("<redis password>", "password", "placeholder"),
        ("dvLcKKK2...", "password", "placeholder"),
        ("fAx93_kd", "password", "has 8 characters, fewer than 16"),
        ("fAx93_kdPqw82mNz", "secret", "fewer than 32"),
        ("", "password", "is empty"),
        ("   ", "password", "is empty"),
        (None, "password", "is not text"),
        (1234567890123456, "password", "is not text"),
        (["a"], "password", "is not text"),
        ("aaaaaaaaaaaaaaaaaaaa", "password", "repeats 1 different"),
        ("fAx93_kdPqw82mNz\n", "password", "line break"),
        (" fAx93_kdPqw82mNz", "password", "blank"),
        ("no key at all -- or is it", "access_key", "is no access key"),
        ("kurz", "access_key", "is no access key"),
        ("fAx93_kdPqw82mNz", "secret_key", "fewer than 32"),
        ("not base64 !", "encryption_key", "is not base64"),
        (base64.b64encode(bytes(range(16))).decode(), "encryption_key", "16 bytes instead of 32"),
        (base64.b64encode(bytes(range(33))).decode(), "encryption_key", "33 bytes instead of 32"),
        ("lower-case-1890", "totp_secret", "is not base32"),
        (base64.b32encode(bytes(range(10))).decode(), "totp_secret", "10 bytes, fewer than 16"),
    ],
)
def test_a_weak_secret_is_told_without_its_value(value, kind, part):
    said = _secrets.weakness(value, kind)
    assert part in said
    if isinstance(value, str) and value.strip():
        assert value not in said.replace("placeholder", "")


@pytest.mark.parametrize(
    ("name", "kinds", "kind"),
    [
        ("vault_redis_password", None, "password"),
        ("vault_x_secret_key", None, "secret_key"),
        ("vault_x_access_key", None, "access_key"),
        ("vault_arxos_api_encryption_key", None, "encryption_key"),
        ("vault_x_totp_secret", None, "totp_secret"),
        ("vault_x_jwt_secret", None, "secret"),
        ("vault_anything", None, ""),
        ("vault_x_certificate", None, "pem"),
        ("vault_x_private_key", None, "pem"),
        ("vault_redis_password", {"vault_redis_password": "secret"}, "secret"),
    ],
)
def test_the_kind_of_a_secret(name, kinds, kind):
    assert _secrets.kind_of(name, kinds) == kind


def test_of_an_unknown_kind_only_placeholders_are_told():
    assert _secrets.weakness("jane", "") is None


@pytest.mark.parametrize("text", ["", "---\n", "{}", "---\n# nothing yet\n", "\n\n"])
def test_an_empty_file_gets_everything(text):
    completed = _secrets.completed(text, {"vault_a": "1e5", "vault_pem": "-----BEGIN X-----\nabc\n-----END X-----\n"})
    assert completed.startswith("---\n")
    assert yaml.safe_load(completed) == {"vault_a": "1e5", "vault_pem": "-----BEGIN X-----\nabc\n-----END X-----\n"}


def test_what_is_there_stays_as_it_is_written():
    text = "---\n# ours\nvault_a: keep   # why\nvault_b: |\n  one\n  two\n"
    completed = _secrets.completed(text, {"vault_c": "new"})
    assert completed == text + 'vault_c: "new"\n'


@pytest.mark.parametrize("empty", ["vault_a:", "vault_a: ''", 'vault_a: ""  # to be written', "vault_a: null", "vault_a: ~"])
def test_a_name_without_a_value_gets_one(empty):
    completed = _secrets.completed(f"---\n{empty}\nvault_b: kept", {"vault_a": "new"})
    assert yaml.safe_load(completed) == {"vault_a": "new", "vault_b": "kept"}
    assert completed.count("vault_a") == 1


@pytest.mark.parametrize(("value", "missing"), [(None, True), ("", True), (" ", True), ("x", False), (0, False), ([], False)])
def test_what_counts_as_missing(value, missing):
    assert _secrets.is_missing(value) is missing
