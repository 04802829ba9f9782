# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which daemons still serve another certificate than the one on disk, and how each takes it up. What is asked is the daemon itself, by a handshake."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Reader = Mapping[str, Any]
SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # what a client of PostgreSQL sends before its handshake


class ReaderError(Exception):
    """A daemon does not take the certificate up, or cannot be asked."""


def on_disk(certificate: str) -> bytes:
    """The leaf of a PEM file, DER. Raises ReaderError."""
    end = "-----END CERTIFICATE-----"
    try:
        with open(certificate, encoding="ascii") as stream:
            text = stream.read()
        return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)])
    except (OSError, ValueError) as error:
        raise ReaderError(f"{certificate} cannot be read: {error}") from error


def served(reader: Reader, timeout: float = 5.0) -> bytes:
    """The leaf that a daemon shows, DER. Nothing is trusted here: it is compared. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if reader.get("client_cert"):
        context.load_cert_chain(reader["client_cert"], reader["client_key"])
    with socket.create_connection((reader["host"], reader["port"]), timeout) as raw:
        if reader.get("starttls") == "postgres":
            raw.sendall(SSL_REQUEST)
            answer = raw.recv(1)
            if answer != b"S":
                raise ReaderError(f"{reader['name']} speaks no TLS on port {reader['port']}")
        with context.wrap_socket(raw, server_hostname=reader.get("server_name") or reader["host"]) as tls:
            return tls.getpeercert(binary_form=True) or b""


def behind(readers: Sequence[Reader], ask: Callable[[Reader], bytes] = served) -> list[Reader]:
    """Those whose daemon shows another certificate than the file has. One that does not answer is one of them. Raises ReaderError for the file."""
    late = []
    for reader in readers:
        wanted = on_disk(reader["certificate"])
        try:
            shown = ask(reader)
        except (OSError, ReaderError):
            shown = b""
        if shown != wanted:
            late.append(reader)
    return late


def would_be_behind(readers: Sequence[Reader]) -> list[Reader]:
    """What behind() will answer in a run that has not happened: a daemon whose certificate is yet to be made starts with it, and is none of them."""
    return behind([reader for reader in readers if os.path.exists(reader["certificate"])])


def take_up(
    readers: Sequence[Reader],
    act: Callable[[Reader], None],
    timeout: float,
    ask: Callable[[Reader], bytes] = served,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Has every daemon that is behind take its certificate up, and waits until all show it. Returns the names of those that were.

    act: reloads what a reader names; called once for readers that name the same. Raises ReaderError with all that do not take it up in time.
    """
    late = behind(readers, ask)
    done: list[Any] = []
    for reader in late:
        deed = (reader.get("unit"), reader.get("verb"), reader.get("command"))
        if deed not in done:
            done.append(deed)
            act(reader)
    until = clock() + timeout
    left = late
    while left:
        left = behind(left, ask)
        if left and clock() > until:
            raise ReaderError(f"after {timeout:g} s the certificate on disk is not served by {', '.join(map(_why(ask), left))}")
        if left:
            pause(0.2)
    return [reader["name"] for reader in late]


def _why(ask: Callable[[Reader], bytes]) -> Callable[[Reader], str]:
    def told(reader: Reader) -> str:
        with contextlib.suppress(ReaderError):
            try:
                ask(reader)
            except OSError as error:
                return f"{reader['name']} ({error})"
        return f"{reader['name']} (which serves another)"

    return told
