"""Passwords, one-time codes, tokens, encryption and what each role may do."""

import base64
import hashlib
import os
import time
from typing import Any

import jwt
import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from passlib.hash import sha512_crypt

ACCESS_SECONDS, REFRESH_SECONDS = 3600, 604800
_READ = frozenset({"buildings:read", "symbols:read"})
_WRITE = _READ | {"buildings:write", "buildings:export", "symbols:write", "security:encrypt"}
PERMISSIONS = {"viewer": _READ, "operator": _WRITE, "admin": _WRITE | {"security:decrypt", "audit:read", "audit:write"}}
_NOBODY = f"$6$rounds=10000$nobody${'.' * 86}"


class SecurityError(Exception):
    """A token or ciphertext that is not good."""


def allowed(role: str, permission: str) -> bool:
    return permission in PERMISSIONS.get(role, frozenset())


def verify_password(password: str, hashed: str = _NOBODY) -> bool:
    """Without a hash the same time passes, and the answer is no."""
    return bool(sha512_crypt.verify(password, hashed)) and hashed != _NOBODY


def verify_code(totp_secret: str, code: str) -> bool:
    """The codes before and after this one count as well: clocks differ."""
    return pyotp.TOTP(totp_secret).verify(code, valid_window=1)


class Tokens:
    """Signed by the first secret, accepted under all of them."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = {hashlib.sha256(secret.encode()).hexdigest()[:8]: secret for secret in secrets}

    def issue(self, kind: str, subject: str, role: str, session: str, seconds: int) -> str:
        now, (key_id, secret) = int(time.time()), next(iter(self._secrets.items()))
        claims = {"iss": "arxos-api", "kind": kind, "sub": subject, "role": role, "sid": session, "iat": now, "exp": now + seconds}
        return jwt.encode(claims, secret, "HS256", headers={"kid": key_id})

    def verify(self, token: str, kind: str) -> dict[str, Any]:
        """The claims. Raises SecurityError."""
        required = ["exp", "iat", "sub", "sid", "role", "kind"]
        try:
            secret = self._secrets[jwt.get_unverified_header(token).get("kid", "")]
            claims: dict[str, Any] = jwt.decode(token, secret, ["HS256"], issuer="arxos-api", options={"require": required})
        except (jwt.InvalidTokenError, KeyError, TypeError) as error:
            raise SecurityError("the token is not valid") from error
        if claims["kind"] != kind:
            raise SecurityError(f"this is no {kind} token")
        return claims


class Cipher:
    """AES-256-GCM. A ciphertext is base64 of: 8 bytes that name the key, 12 bytes nonce, sealed text."""

    def __init__(self, keys: list[str]) -> None:
        raw = [base64.b64decode(key) for key in keys]
        if not raw or any(len(key) != 32 for key in raw):
            raise SecurityError("an encryption key is base64 of 32 bytes")
        self._keys = {hashlib.sha256(key).digest()[:8]: AESGCM(key) for key in raw}

    def encrypt(self, text: str) -> str:
        key_id, nonce = next(iter(self._keys)), os.urandom(12)
        return base64.b64encode(key_id + nonce + self._keys[key_id].encrypt(nonce, text.encode(), key_id)).decode()

    def decrypt(self, sealed: str) -> str:
        """Raises SecurityError."""
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._keys[raw[:8]].decrypt(raw[8:20], raw[20:], raw[:8]).decode()
        except (ValueError, KeyError, InvalidTag) as error:
            raise SecurityError("the ciphertext is damaged, or its key is gone") from error
