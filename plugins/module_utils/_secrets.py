# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a good secret is, by kind: made here and judged here, so that what is generated is always accepted.

No function returns or raises text that holds a secret's value.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

# Words that stand in examples and defaults. Ones that a random value could hold by chance are too short to be here.
PLACEHOLDERS = """
    changeme change_me change-me changeit example password passw0rd default placeholder replaceme replace_me replace-me
    secret1 topsecret letmein qwerty welcome dummy sample insert_ your_ your- yourpass mysecret admin123 123456 abcdef todo_ fixme
"""
BARE_PLACEHOLDERS = """
    secret admin root test redis postgres patroni arxos api key none null todo tbd xxx foo bar token pass pwd user minio
"""
SAFE_CHARACTERS = string.ascii_letters + string.digits + "_-"


@dataclass(frozen=True)
class Kind:
    """One kind of secret.

    wanted: what to write, in words. make: a new value. wrong_form: why a text is not of this kind, or None.
    """

    wanted: str
    make: Callable[[], str]
    wrong_form: Callable[[str], str | None]


def _characters(alphabet: str, length: int) -> Callable[[], str]:
    return lambda: "".join(secrets.choice(alphabet) for _each in range(length))


def _at_least(length: int) -> Callable[[str], str | None]:
    return lambda value: f"has {len(value)} characters, fewer than {length}" if len(value) < length else None


def _access_key(value: str) -> str | None:
    if not re.fullmatch(r"\w{16,128}", value, re.ASCII):
        return "is no access key, which has 16 to 128 letters, digits and underscores"
    return None


def _encryption_key(value: str) -> str | None:
    try:
        length = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return "is not base64"
    return None if length == 32 else f"is base64 of {length} bytes instead of 32"


def _totp_secret(value: str) -> str | None:
    try:
        length = len(base64.b32decode(value + "=" * (-len(value) % 8)))
    except (binascii.Error, ValueError):
        return "is not base32, which has the letters A to Z and the digits 2 to 7"
    return None if length >= 16 else f"is base32 of {length} bytes, fewer than 16"


KINDS: dict[str, Kind] = {
    "password": Kind("a password of 16 or more random characters", _characters(SAFE_CHARACTERS, 32), _at_least(16)),
    "secret": Kind("32 or more random characters", _characters(SAFE_CHARACTERS, 64), _at_least(32)),
    "access_key": Kind(
        "an access key of 16 to 128 letters and digits", _characters(string.ascii_uppercase + string.digits, 20), _access_key
    ),
    "secret_key": Kind("a secret key of 32 or more random characters", _characters(SAFE_CHARACTERS, 40), _at_least(32)),
    "encryption_key": Kind(
        "base64 of 32 random bytes (openssl rand -base64 32)",
        lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
        _encryption_key,
    ),
    "totp_secret": Kind(
        "base32 of 20 random bytes",
        lambda: base64.b32encode(secrets.token_bytes(20)).decode(),
        _totp_secret,
    ),
}


def kind_of(name: str, kinds: dict[str, str] | None = None) -> str:
    """The kind of the secret C(name): as C(kinds) says, else by the end of its name, else "" for one that can be anything."""
    if kinds and name in kinds:
        return kinds[name]
    if name.endswith(("_certificate", "_private_key")):
        return "pem"
    for kind in sorted(KINDS, key=len, reverse=True):
        if name.endswith("_" + kind):
            return kind
    return ""


def make(kind: str) -> str:
    """A new random value of C(kind) that C(weakness) accepts. Raises KeyError for an unknown kind."""
    value = KINDS[kind].make()
    # A random value can hold a placeholder or repeat itself by chance, once in very many.
    while weakness(value, kind) is not None:
        value = KINDS[kind].make()
    return value


def weakness(value: object, kind: str) -> str | None:
    """Why C(value) is no good secret of C(kind), without telling the value, or None when it is good.

    Of a kind that is none of C(KINDS) only placeholders are told.
    """
    if not isinstance(value, str):
        return "is not text: write it between quotes"
    if not value.strip():
        return "is empty"
    lower = value.lower()
    if lower in BARE_PLACEHOLDERS.split() or re.search(r"<[^>]*>|\.\.\.", value):
        return "is a placeholder"
    for word in PLACEHOLDERS.split():
        if word in lower:
            return "holds a word of examples and defaults"
    if value != value.strip() or any(ord(character) < 32 for character in value):
        return "begins or ends with a blank or holds a control character, such as a line break"
    if kind not in KINDS:
        return None
    if len(set(value)) < min(8, len(value) // 2):
        return f"repeats {len(set(value))} different characters only"
    return KINDS[kind].wrong_form(value)


def repeated(values: dict[str, object]) -> list[list[str]]:
    """Names that hold one and the same text, in order; empty values are not compared."""
    by_value: dict[str, list[str]] = {}
    for name, value in values.items():
        if isinstance(value, str) and value.strip():
            by_value.setdefault(value.strip(), []).append(name)
    return [sorted(names) for names in by_value.values() if len(names) > 1]


HEADER = """---
# Secrets of this platform. playbooks/generate_secrets.yml adds what is missing and keeps what is here.
"""


def is_missing(value: object) -> bool:
    """Whether a variable of a file of secrets still has to get its value."""
    return value is None or (isinstance(value, str) and not value.strip())


def completed(text: str, added: dict[str, str]) -> str:
    """The text of a YAML file of secrets with C(added) put behind what is there, comments kept.

    A name of C(added) that stands in C(text) without a value is taken out of it first.
    """
    for name in added:
        text = re.sub(rf"^{re.escape(name)}:[ \t]*(\"\"|''|null|~)?[ \t]*(#.*)?\n?", "", text, flags=re.MULTILINE)
    if not text.strip() or text.strip() in ("---", "{}"):
        text = HEADER
    if not text.endswith("\n"):
        text += "\n"
    return text + "".join(_entry(name, value) for name, value in sorted(added.items()))


def rewritten(text: str, changes: Mapping[str, object]) -> str:
    """The text of a YAML file of secrets with other values in it, each where it stood or at the end; None takes one out. Comments are kept."""
    for name, value in changes.items():
        entry = "" if value is None else _entry(name, value) if isinstance(value, str) else f"{name}: {json.dumps(value)}\n"
        # A value goes on in the lines below that are shifted, and in blank ones between those.
        there = re.compile(rf"^{re.escape(name)}[ \t]*:[^\n]*(?:\n(?:[ \t]*\n)*[ \t]+[^\n]*)*(?:\n|\Z)", re.MULTILINE)
        if there.search(text):
            text = there.sub(entry.replace("\\", "\\\\"), text, count=1)
        elif entry:
            text = (text if text.endswith("\n") or not text else text + "\n") + entry
    return text


def _entry(name: str, value: str) -> str:
    if "\n" in value:
        return f"{name}: |\n" + "".join(f"  {line}\n" for line in value.strip().splitlines())
    return f"{name}: {json.dumps(value, ensure_ascii=False)}\n"
