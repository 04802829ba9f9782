# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What certificates on a host have left, and how old their keys are, in figures; as a program, which ends with 1 where one does not serve.

    python3 -m ansible_collections.arxos.platform.plugins.module_utils._certificate_timer /etc/arxos/certificates.json

It renews nothing: what signs is the controller's, and a certificate by ACME has a timer of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timezone
from pathlib import Path

from ansible_collections.arxos.platform.plugins.module_utils._certificate_pair import mismatch

with contextlib.suppress(ImportError):  # on hosts, where this program runs, the role installs it
    from cryptography import x509

LAST = "arxos_certificates_last_success_timestamp_seconds"


@dataclass(frozen=True)
class Figures:
    """One certificate: its end and when its key was made, seconds since 1970. No time where there is none: C(made) of a key that is not here."""

    name: str
    path: str
    not_after: float | None = None
    made: float | None = None
    problem: str = ""


def look(name: str, path: str, warn_days: float, now: float) -> Figures:
    """One certificate, and the key beside it where there is one."""
    certificate, key = Path(path), Path(path).with_suffix(".key")
    try:
        text = certificate.read_bytes()
        leaf = x509.load_pem_x509_certificate(text)
    except (OSError, ValueError) as error:
        return Figures(name, path, problem=f"{path} cannot be read: {error}")
    # not_valid_after_utc came with cryptography 42; older ones give naive UTC.
    ends = (getattr(leaf, "not_valid_after_utc", None) or leaf.not_valid_after.replace(tzinfo=timezone.utc)).timestamp()
    made, problem = None, ""
    if key.exists():
        made = key.stat().st_mtime
        problem = mismatch(text, key.read_bytes())
    if ends <= now:
        problem = "it is expired"
    elif ends - now < warn_days * 86400:
        problem = problem or f"it ends in {(ends - now) / 86400:.1f} days"
    return Figures(name, path, ends, made, f"{path}: {problem}" if problem else "")


def render(found: Sequence[Figures], now: float, last_success: float) -> str:
    """The figures in the text format of node-exporter's collector."""
    good = not any(each.problem for each in found)
    rows = [
        (
            "arxos_certificate_not_after_seconds",
            "When a certificate ends, in seconds since 1970.",
            [(each, each.not_after) for each in found],
        ),
        (
            "arxos_certificate_key_age_seconds",
            "How long a key has been in use.",
            [(each, max(0.0, now - each.made) if each.made is not None else None) for each in found],
        ),
    ]
    lines = []
    for metric, text, values in rows:
        lines += [f"# HELP {metric} {text}", f"# TYPE {metric} gauge"]
        lines += [
            f"{metric}{{name={json.dumps(each.name)},path={json.dumps(each.path)}}} {value:.15g}"
            for each, value in values
            if value is not None
        ]
    for metric, text, value in (
        ("arxos_certificates_success", "Whether every certificate serves and has days left.", float(good)),
        (LAST, "When that was last so; 0 if it never was.", now if good else last_success),
        ("arxos_certificates_last_run_timestamp_seconds", "When the last look was.", now),
    ):
        lines += [f"# HELP {metric} {text}", f"# TYPE {metric} gauge", f"{metric} {value:.15g}"]
    return "\n".join(lines) + "\n"


def last_success_in(text: str) -> float:
    """When the look before found all well; 0 where that is not known."""
    for line in text.splitlines():
        name, _separator, value = line.partition(" ")
        if name == LAST:
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 0.0


def main(arguments: Sequence[str], now: float | None = None) -> int:
    """Looks, publishes the figures in one step, and says what is wrong."""
    settings: Mapping[str, object] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    moment = time.time() if now is None else now
    certificates, warn_days = settings["certificates"], settings["warn_days"]
    if not isinstance(certificates, dict):
        raise ValueError(f"{arguments[0]}: certificates is no mapping")
    found = [look(name, path, float(str(warn_days)), moment) for name, path in certificates.items()]
    published = Path(str(settings["published"]))
    before = published.read_text(encoding="utf-8") if published.exists() else ""
    written = published.with_suffix(".new")  # the collector reads *.prom alone
    written.write_text(render(found, moment, last_success_in(before)), encoding="utf-8")
    os.replace(written, published)
    for each in found:
        if each.problem:
            sys.stderr.write(f"{each.problem}\n")
    return 1 if any(each.problem for each in found) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
