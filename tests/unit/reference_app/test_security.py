# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Passwords, codes, tokens, ciphertexts and permissions, good and bad."""

from __future__ import annotations

import base64
import time

import jwt
import pyotp
import pytest
from arxos_api_reference.security import PERMISSIONS, Cipher, SecurityError, Tokens, allowed, verify_code, verify_password
from passlib.hash import sha512_crypt

OLD, NEW = "o" * 40, "n" * 40


def key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


def test_passwords_are_those_that_ansible_hashes() -> None:
    hashed = sha512_crypt.using(rounds=10000, salt="0123456789abcdef").hash("right")
    assert verify_password("right", hashed)
    assert not verify_password("wrong", hashed)
    assert not verify_password("right"), "nobody has no password"


def test_codes_hold_for_a_step_to_either_side() -> None:
    secret, now = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", time.time()
    totp = pyotp.TOTP(secret)
    assert all(verify_code(secret, totp.at(now + drift)) for drift in (-29, 0, 29))
    assert not verify_code(secret, totp.at(now + 300))


def test_tokens_are_accepted_under_every_secret_and_signed_by_the_first() -> None:
    old = Tokens([OLD]).issue("access", "ann", "admin", "s", 60)
    both = Tokens([NEW, OLD])
    assert both.verify(old, "access")["sub"] == "ann"
    with pytest.raises(SecurityError):
        Tokens([OLD]).verify(both.issue("access", "ann", "admin", "s", 60), "access")


@pytest.mark.parametrize("seconds", [-1, 0])
def test_a_token_that_is_over_is_refused(seconds: int) -> None:
    tokens = Tokens([NEW])
    with pytest.raises(SecurityError):
        tokens.verify(tokens.issue("access", "ann", "admin", "s", seconds), "access")


def test_a_refresh_token_is_no_access_token() -> None:
    tokens = Tokens([NEW])
    with pytest.raises(SecurityError, match="no access token"):
        tokens.verify(tokens.issue("refresh", "ann", "admin", "s", 60), "access")


def test_forged_tokens_are_refused() -> None:
    tokens = Tokens([NEW])
    good = tokens.issue("access", "ann", "viewer", "s", 60)
    header, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = jwt.get_unverified_header(good)["kid"]
    for bad in (
        "",
        "x",
        "a.b.c",
        f"{header}.{body}.",
        f"{header}.{body}.{signature[::-1]}",
        jwt.encode({**claims, "role": "admin"}, "", "none", headers={"kid": kid}),
        jwt.encode(claims, OLD, "HS256", headers={"kid": kid}),
        jwt.encode(claims, NEW, "HS512", headers={"kid": kid}),
        jwt.encode(claims, NEW, "HS256"),
        jwt.encode({name: value for name, value in claims.items() if name != "exp"}, NEW, "HS256", headers={"kid": kid}),
        jwt.encode({**claims, "iss": "other"}, NEW, "HS256", headers={"kid": kid}),
    ):
        with pytest.raises(SecurityError):
            tokens.verify(bad, "access")


def test_ciphertexts_open_under_every_key_and_are_made_by_the_first() -> None:
    sealed = Cipher([key("o")]).encrypt("Grüße")
    both = Cipher([key("n"), key("o")])
    assert both.decrypt(sealed) == "Grüße"
    assert both.encrypt("x") != both.encrypt("x")
    with pytest.raises(SecurityError):
        Cipher([key("o")]).decrypt(both.encrypt("x"))


@pytest.mark.parametrize("bad", ["", "x", "AAAA", base64.b64encode(b"0" * 60).decode()])
def test_what_is_no_ciphertext_is_refused(bad: str) -> None:
    with pytest.raises(SecurityError):
        Cipher([key("n")]).decrypt(bad)


def test_every_bit_of_a_ciphertext_counts() -> None:
    cipher = Cipher([key("n")])
    raw = bytearray(base64.b64decode(cipher.encrypt("text")))
    for place in range(len(raw)):
        raw[place] ^= 1
        with pytest.raises(SecurityError):
            cipher.decrypt(base64.b64encode(raw).decode())
        raw[place] ^= 1


@pytest.mark.parametrize("keys", [[], [base64.b64encode(b"short").decode()]])
def test_keys_have_to_be_keys(keys: list[str]) -> None:
    with pytest.raises(SecurityError):
        Cipher(keys)


def test_each_role_may_what_the_one_below_may_and_more() -> None:
    assert PERMISSIONS["viewer"] < PERMISSIONS["operator"] < PERMISSIONS["admin"]
    assert not allowed("nobody", "symbols:read")
    assert not allowed("viewer", "symbols:write")
