# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS of the front door as Debian's testssl.sh grades it, from a machine that is no host of the platform. Three minutes, and sslyze looks in every run of the
gates: this one is asked for by its name.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from .api_clients import DOMAIN
from .whole import ADDRESS, LAB, PREFIX, ROOT, Figure, docker, run, secrets

# Debian 12's testssl.sh has no grades yet.
IMAGE = "arxos-lab-debian:13"
SCANNER = "scanner"
# An authority of one's own that is reached by nobody else lists no revoked certificates; it signs for 90 days.
PRIVATE_CA = {"cert_revocation"}
# Debian's OpenSSL knows no GOST; neither does the front.
SCANNER_LACKS = {"engine_problem"}


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, tuple[str, str]]]:
    """What it says, as id: (severity, finding)."""
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode:
        subprocess.run([ROOT / "molecule/shared/image.sh", "13", IMAGE], check=True, capture_output=True, timeout=600)
    docker("run", "--detach", "--name", f"{LAB}-{SCANNER}", "--network", LAB, "--ip", f"{PREFIX}.183", IMAGE, "sleep", "infinity")
    try:
        run(SCANNER, "apt-get -qq update && apt-get -qq install -y --no-install-recommends testssl.sh openssl >/dev/null 2>&1")
        certificate = secrets()["vault_certificates_ca_certificate"]
        words = ["docker", "exec", "-i", f"{LAB}-{SCANNER}", "sh", "-c", "cat >/tmp/ca.crt"]
        subprocess.run(words, input=certificate, text=True, check=True)
        command = f"testssl --quiet --warnings batch --nodns min --ip {ADDRESS} --add-ca /tmp/ca.crt --jsonfile /tmp/found.json https://{DOMAIN}:443"
        words = ["docker", "exec", f"{LAB}-{SCANNER}", "sh", "-c", command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
        rows = json.loads(run(SCANNER, "cat /tmp/found.json"))
        assert len(rows) > 100, done.stdout[-3000:]
        yield {row["id"]: (row["severity"], row["finding"]) for row in rows}
    finally:
        docker("rm", "-f", "-v", f"{LAB}-{SCANNER}", check=False)


def test_its_grade_is_the_best(found: dict[str, tuple[str, str]], figure: Figure) -> None:
    figure("testssl.sh", f"{found['overall_grade'][1]} {found['final_score'][1]}")
    assert found["overall_grade"][1] == "A+"


def test_nothing_weighs_but_a_private_authority_without_revocation(found: dict[str, tuple[str, str]]) -> None:
    bad = {name: finding for name, (severity, finding) in found.items() if severity in ("MEDIUM", "HIGH", "CRITICAL")}
    assert set(bad) <= PRIVATE_CA, bad
    odd = {name: finding for name, (severity, finding) in found.items() if severity in ("WARN", "FATAL")}
    assert set(odd) <= SCANNER_LACKS, odd
