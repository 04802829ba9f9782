# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release is the same bytes for the same input, and exactly what its manifest says."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import build_release
import pytest

WHEELS = {"b-1.0-py3-none-any.whl": b"b", "a-1.0-py3-none-any.whl": b"a"}


def contents(release: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(release)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]


def test_the_same_input_gives_the_same_bytes() -> None:
    assert build_release.pack("1.0.0", WHEELS) == build_release.pack("1.0.0", dict(reversed(WHEELS.items())))
    assert build_release.pack("1.0.0", WHEELS) != build_release.pack("1.0.1", WHEELS)


def test_the_manifest_names_every_wheel_with_its_checksum() -> None:
    found = contents(build_release.pack("1.2.3", WHEELS))
    manifest = json.loads(found.pop("manifest.json"))
    assert (manifest["name"], manifest["version"], manifest["python"]) == ("arxos-api", "1.2.3", ["3.11", "3.13"])
    assert {f"wheels/{name}": digest for name, digest in manifest["wheels"].items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in found.items()
    }


def test_a_release_brings_the_migrations_of_its_version_and_of_those_before() -> None:
    assert build_release.migrations_of("1.0.0") == {}
    assert list(build_release.migrations_of("1.1.0rc1")) == ["0001_buildings_description.sql", "0002_symbols_updated_at.sql"]
    first = build_release.migrations_of("1.1.0")
    assert first.items() <= build_release.migrations_of("1.10.0").items()
    found = contents(build_release.pack("1.1.0", WHEELS, first))
    assert {name.partition("/")[2]: content for name, content in found.items() if name.startswith("migrations/")} == first
    assert set(json.loads(found["manifest.json"])["migrations"]) == set(first)


def test_the_lock_has_wheels_for_every_python_and_one_version_of_each() -> None:
    lock = build_release.read_lock()
    versions: dict[str, set[str]] = {}
    for name in lock:
        package, version, *_ = name.split("-")
        versions.setdefault(package, set()).add(version)
    assert all(len(found) == 1 for found in versions.values())
    bound = {name.split("-")[0] for name in lock if "-cp311-cp311-" in name}
    assert bound == {name.split("-")[0] for name in lock if "-cp313-cp313-" in name}
    assert build_release.BUILD_WHEEL in versions


def test_a_wheel_of_another_checksum_is_missing(tmp_path: Path) -> None:
    (tmp_path / "good.whl").write_bytes(b"good")
    (tmp_path / "bad.whl").write_bytes(b"bad")
    digest = hashlib.sha256(b"good").hexdigest()
    assert build_release.missing({"good.whl": digest, "bad.whl": digest, "none.whl": digest}, tmp_path) == ["bad.whl", "none.whl"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--version", "1.0"], "no version"),
        (["--version", "../1.0.0"], "no version"),
        (["--version", "1.0.0", "--error-rate", "5"], "between 0 and 1"),
        (["--version", "1.0.0", "--health", "maybe"], "invalid choice"),
        ([], "--version"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build_release.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        build_release.main()
    assert caught.value.code == 2 and fault in capsys.readouterr().err
