# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host says of a failure, fit to be kept: without secrets, and of a bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "(hidden)"
SECRET_NAME = r"(?:pass(?:word|wd|phrase)?|secret|token|cookie|authorization|credential|otp|private[_-]?key|access[_-]?key|api[_-]?key|key)"
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_USER_INFO = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")
# A field, a variable or an argument of such a name, with what it is: quoted, or up to the next blank or sign.
_NAMED = re.compile(
    rf"""(?ix)(?P<name>(?<![a-z])(?:[\w-]*[_-])?{SECRET_NAME}s?(?:_\w+)?(?![a-z]))(?P<sign>\\?["']?\s*[:=]\s*)
         (?:\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|[^\s"',;&}}\]]+)"""
)
_VARIABLE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)$", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9+/=$._~-]{12,}")


def secrets_in(text: str) -> list[str]:
    """Values of the secret variables of an environment file, and the words of those, the longest first."""
    found = set()
    for name, value in _VARIABLE.findall(text):
        if re.search(rf"(?i){SECRET_NAME}s?$|users$", name):
            value = value.strip().strip("\"'")
            found |= {part.strip() for part in value.split(",") if len(part.strip()) >= 8 and "{" not in part}
            # Of what is written in words, those that are no plain ones.
            found |= {word for word in _WORD.findall(value) if re.search(r"[0-9A-Z$]", word)}
    return sorted(found, key=lambda each: (-len(each), each))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """A text without what looks like a secret, by its form or by its name, and without these."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _PEM.sub(f"{HIDDEN} private key", text)
    text = _JWT.sub(HIDDEN, text)
    text = _BEARER.sub(lambda found: f"{found.group(1)} {HIDDEN}", text)
    text = _USER_INFO.sub(HIDDEN, text)
    return _NAMED.sub(lambda found: f"{found.group('name')}{found.group('sign')}{HIDDEN}", text)


def bounded(text: str, most: int) -> str:
    """The end of a text, at most so many bytes of it, from the beginning of a line where there is one."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return text
    end = data[-most:]
    end = end[end.find(b"\n") + 1 :]
    return f"({len(data) - len(end)} bytes before this are left out)\n{end.decode('utf-8', 'replace')}"
