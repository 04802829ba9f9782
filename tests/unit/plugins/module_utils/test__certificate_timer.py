# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends of certificates and ages of keys, as node-exporter's collector reads them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._certificate_timer import last_success_in, look, main


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A certificate that ends in 20 days, and its key."""
    path = tmp_path / "host.crt"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=host",
        "-days",
        "20",
    ]
    subprocess.run([*words, "-keyout", path.with_suffix(".key"), "-out", path], check=True, capture_output=True)
    return path


def settings(tmp_path: Path, certificates: dict[str, Path], warn_days: int = 7) -> Path:
    path = tmp_path / "settings.json"
    given = {"certificates": {name: str(each) for name, each in certificates.items()}, "warn_days": warn_days}
    path.write_text(json.dumps({**given, "published": str(tmp_path / "arxos_certificates.prom")}))
    return path


def figures(tmp_path: Path) -> dict[str, float]:
    lines = (tmp_path / "arxos_certificates.prom").read_text().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_a_good_one_has_its_end_and_the_age_of_its_key(tmp_path: Path, made: Path) -> None:
    now = time.time()
    os.utime(made.with_suffix(".key"), (now - 5000, now - 5000))
    assert main([str(settings(tmp_path, {"host": made}))], now) == 0
    found = figures(tmp_path)
    labels = f'{{name="host",path="{made}"}}'
    assert found[f"arxos_certificate_not_after_seconds{labels}"] == pytest.approx(now + 20 * 86400, abs=60)
    assert found[f"arxos_certificate_key_age_seconds{labels}"] == pytest.approx(5000, abs=1)
    assert found["arxos_certificates_success"] == 1
    assert found["arxos_certificates_last_success_timestamp_seconds"] == pytest.approx(now, abs=1)
    assert list(tmp_path.glob("*.new")) == []


@pytest.mark.parametrize(("warn_days", "later", "said"), [(30, 0, "it ends in 20.0 days"), (7, 21 * 86400, "it is expired")])
def test_one_that_ends_is_no_success(
    tmp_path: Path, made: Path, warn_days: int, later: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.time()
    main([str(settings(tmp_path, {"host": made}))], began)
    assert main([str(settings(tmp_path, {"host": made}, warn_days))], began + later) == 1
    assert said in capsys.readouterr().err
    found = figures(tmp_path)
    assert found["arxos_certificates_success"] == 0
    assert found["arxos_certificates_last_success_timestamp_seconds"] == pytest.approx(began, abs=1)


def test_one_beside_another_key_and_one_that_is_not_there(tmp_path: Path, made: Path) -> None:
    key = made.with_suffix(".key")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", key], check=True)
    assert "another key" in look("host", str(made), 7, time.time()).problem
    assert "cannot be read" in look("front", str(tmp_path / "front.crt"), 7, time.time()).problem


def test_a_ca_has_no_key_here(tmp_path: Path, made: Path) -> None:
    made.with_suffix(".key").unlink()
    main([str(settings(tmp_path, {"ca": made}))])
    assert not any("key_age" in name for name in figures(tmp_path))


def test_a_file_that_somebody_cut_off_is_no_success_before() -> None:
    assert last_success_in("arxos_certificates_last_success_timestamp_seconds x\n") == 0.0
    assert last_success_in("") == 0.0
