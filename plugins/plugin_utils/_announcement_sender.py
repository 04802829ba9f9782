# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes and sends the messages of one channel, in a process of its own.

So a channel that hangs can be ended, and nothing that a library logs (addresses, answers) reaches the log of a run. Each line of standard
input is a job in JSON: C(address), C(timeout), C(folders) of templates, C(audience), C(level), C(facts). Each line of standard output is the
reason why it was not sent, as a JSON string, empty where it was.
"""

from __future__ import annotations

import html
import json
import logging
import os
import re
import sys
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.exceptions import TemplateError
from jinja2.sandbox import SandboxedEnvironment

# Their receivers are programs, so they are told what it is about beside the text.
STRUCTURED = ("json", "jsons", "form", "forms", "xml", "xmls")
CAUSES: list[tuple[str, str]] = [
    (r"CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted"),
    (r"\[Errno -?\d+\] ([A-Za-z][A-Za-z ,-]*)", r"\1"),
    (r"timed out", "timed out"),
    (r"^Socket Exception: \((\d{3}),", r"answered \1"),
    (r"error=(\d{3})", r"answered \1"),
]


def one_line(value: object) -> str:
    """A value as plain text on one line."""
    return re.sub(r"\s+", " ", str(value)).strip()


def markdown(value: object) -> str:
    """A value so that Markdown and HTML show it as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+.!-])", r"\\\1", html.escape(one_line(value), quote=False))


def render(audience: str, facts: Mapping[str, Any], folders: Sequence[str]) -> tuple[str, str, str]:
    """Subject, text, and the text as Markdown. The first line of a template is the subject."""

    def rendered(finalize: Callable[[object], str]) -> tuple[str, str]:
        environment = SandboxedEnvironment(
            loader=FileSystemLoader(folders), finalize=finalize, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        subject, _newline, body = environment.get_template(f"{audience}.j2").render(**facts).strip().partition("\n")
        return one_line(subject), re.sub(r"\n{3,}", "\n\n", body).strip() + "\n"

    subject, text = rendered(one_line)
    return subject, text, rendered(markdown)[1]


def scrubbed(text: str, address: str) -> str:
    """C(text) without any part of an address but its scheme."""
    parts = {part for part in re.split(r"[/:@?&=#,]+", address)[1:] if len(part) >= 4}
    for part in sorted(parts | {urllib.parse.unquote(part) for part in parts}, key=len, reverse=True):
        text = text.replace(part, "(hidden)")
    return text


def reason(records: Sequence[logging.LogRecord], address: str) -> str:
    """Why a message was not sent, from what the library logged."""
    lines = [record.getMessage() for record in records]
    for line in reversed(lines):
        for form, said in CAUSES:
            found = re.search(form, line)
            if found:
                return found.expand(said).strip().lower() if said == r"\1" else found.expand(said)
    warnings = [record.getMessage() for record in records if record.levelno >= logging.WARNING]
    return scrubbed(one_line(warnings[-1])[:120], address) if warnings else "no reason was given"


def with_parameters(address: str, parameters: Mapping[str, str]) -> str:
    """An address with more parameters; those that it has stay."""
    present = urllib.parse.parse_qs(address.partition("?")[2])
    more = "&".join(f"{key}={urllib.parse.quote(value, safe='')}" for key, value in parameters.items() if key not in present)
    return f"{address}{'&' if '?' in address else '?'}{more}"


class Kept(logging.Handler):
    """Keeps what is logged, and shows it to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        self.records.append(record)


class Sender:
    """Sends through apprise, and keeps what it logs to itself."""

    def __init__(self) -> None:
        import apprise

        self.apprise = apprise
        self.asset = apprise.AppriseAsset(app_id="Arxos", app_desc="Arxos platform", app_url="")
        self.log = Kept()
        logger = logging.getLogger("apprise")
        logger.handlers = [self.log]
        logger.setLevel(logging.DEBUG)
        logger.propagate = False

    def send(self, job: Mapping[str, Any]) -> str:
        """Sends one message; the reason why it could not be sent, or nothing."""
        address, facts = str(job["address"]), job["facts"]
        try:
            subject, text, marked = render(job["audience"], facts, job["folders"])
        except TemplateError as error:
            return f"the template of {job['audience']} cannot be rendered: {one_line(error)[:120]}"
        self.log.records.clear()
        limit = f"{float(job['timeout']):g}"
        parameters = {"cto": limit, "rto": limit}
        if address.partition("://")[0] in STRUCTURED:
            parameters |= {
                ":event": facts["event"],
                ":audience": job["audience"],
                ":stage": str(facts["stage"].get("number", "")),
                ":run": facts["run"],
            }
        service = self.apprise.Apprise.instantiate(with_parameters(address, parameters), asset=self.asset)
        if service is None:
            return "its address is none that apprise knows"
        formats = service.notify_format if isinstance(service.notify_format, (tuple, list)) else [service.notify_format]
        rich = formats[0] == self.apprise.NotifyFormat.HTML
        client = self.apprise.Apprise(asset=self.asset)
        client.add(service)
        sent = client.notify(
            title=subject,
            body=marked if rich else text,
            body_format=self.apprise.NotifyFormat.MARKDOWN if rich else self.apprise.NotifyFormat.TEXT,
            notify_type=self.apprise.NotifyType(job["level"]),
        )
        return "" if sent else reason(self.log.records, address)


def main() -> None:
    """Serves jobs until standard input ends."""
    # Whatever a library prints is not taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sender: Sender | None = None
    for line in sys.stdin:
        try:
            sender = sender or Sender()
            answer = sender.send(json.loads(line))
        except Exception as error:  # whatever a channel's library does wrong must not end the channel; its text may hold the address
            answer = f"{type(error).__name__} in the sender"
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
