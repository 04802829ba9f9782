# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases on a real file system: installed wholly or not at all, switched and taken back without losing the way back."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _releases as rel

WHEELS = {
    "app-1.0-py3-none-any.whl": b"app",
    "lib-2.0-cp311-cp311-manylinux.whl": b"eleven",
    "lib-2.0-cp313-cp313-manylinux.whl": b"thirteen",
}


class Killed(BaseException):
    """The run ends here, and nothing of it cleans up."""


class Commands:
    """What would run, with a place to be killed at."""

    def __init__(self, killed_at: int = 0) -> None:
        self.calls: list[list[str]] = []
        self.killed_at = killed_at

    def __call__(self, command: list[str], environment: Mapping[str, str]) -> str:
        self.calls.append(command)
        if len(self.calls) == self.killed_at:
            raise Killed
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True)
        return ""


@pytest.fixture(autouse=True)
def pip_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip-1.whl").touch()
    monkeypatch.setattr(rel, "PIP_WHEELS", str(tmp_path / "pip-*.whl"))
    monkeypatch.setattr(os, "sync", lambda: None)


def artifact(
    tmp_path: Path,
    version: str = "1.0.0",
    held: Mapping[str, bytes] = WHEELS,
    migrations: Mapping[str, bytes] | None = None,
    **manifest: Any,
) -> tuple[Path, str]:
    """An artifact and its checksum; `manifest` replaces what would stand in it."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}
    changes = {name: hashlib.sha256(content).hexdigest() for name, content in (migrations or {}).items()}
    said = {"name": "arxos-api", "version": version, "wheels": digests, "migrations": changes, **manifest}
    path = tmp_path / f"{version}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {
            "manifest.json": json.dumps(said).encode(),
            **{f"wheels/{name}": data for name, data in held.items()},
            **{f"migrations/{name}": data for name, data in (migrations or {}).items()},
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def install(tmp_path: Path, version: str, run: rel.Run | None = None) -> Path:
    root = tmp_path / "opt"
    path, digest = artifact(tmp_path, version)
    rel.install(root, version, path, digest, "/usr/bin/python3", run or Commands())
    return root


def links(root: Path) -> tuple[str, str, str]:
    status = rel.read_links(root)
    return status.current, status.leaving, status.previous


# ---------------------------------------------------------------- install


def test_a_release_is_installed_offline_and_without_its_wheels_left(tmp_path: Path) -> None:
    run = Commands()
    root = install(tmp_path, "1.0.0", run)
    assert rel.read_links(root).releases == ["1.0.0"]
    assert not (root / "releases/1.0.0/.wheels").exists() and not (tmp_path / "1.0.0.tar.gz").exists()
    pip = next(call for call in run.calls if "install" in call)
    assert {"--no-index", "--no-deps"} <= set(pip)
    assert pip[-2:] == ["app==1.0", "lib==2.0"], "pip picks the wheel of the host's Python"
    assert any("check" in call for call in run.calls)


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4])
def test_a_killed_installation_is_done_anew(tmp_path: Path, killed_at: int) -> None:
    with pytest.raises(Killed):
        install(tmp_path, "1.0.0", Commands(killed_at))
    root = tmp_path / "opt"
    assert rel.read_links(root).releases == []
    assert not rel.is_complete(root, "1.0.0", "x")
    with pytest.raises(rel.ReleaseError, match="not installed completely"):
        rel.activate(root, "1.0.0")
    (root / "releases/1.0.0/half").touch()
    install(tmp_path, "1.0.0")
    assert rel.read_links(root).releases == ["1.0.0"]
    assert not (root / "releases/1.0.0/half").exists()


def test_a_wrong_checksum_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    path, _ = artifact(tmp_path)
    with pytest.raises(rel.ReleaseError, match="wanted 00"):
        rel.install(tmp_path / "opt", "1.0.0", path, "00", "/usr/bin/python3", Commands())
    assert not (tmp_path / "opt").exists()


def test_an_artifact_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(rel.ReleaseError, match="cannot be read: No such file"):
        rel.install(tmp_path / "opt", "1.0.0", tmp_path / "none", "00", "/usr/bin/python3", Commands())


@pytest.mark.parametrize(
    ("manifest", "wheels", "fault"),
    [
        ({"version": "2.0.0"}, WHEELS, "is release 2.0.0, not 1.0.0"),
        ({"wheels": {}}, WHEELS, "exactly the wheels"),
        ({"wheels": {"app-1.0-py3-none-any.whl": "0" * 64}}, {"app-1.0-py3-none-any.whl": b"app"}, "has not the checksum"),
        ({"wheels": {"gone-1.0-py3-none-any.whl": "0" * 64}}, {}, "exactly the wheels"),
        ({}, {"../../evil.whl": b"x"}, "exactly the wheels"),
        ({}, {"evil.sh": b"x"}, "exactly the wheels"),
        ({"wheels": [1]}, WHEELS, "is no release"),
    ],
)
def test_an_artifact_that_is_not_what_it_says_is_refused(tmp_path: Path, manifest: Any, wheels: Mapping[str, bytes], fault: str) -> None:
    path, _ = artifact(tmp_path, held=wheels, **manifest)
    (tmp_path / "out").mkdir()
    with pytest.raises(rel.ReleaseError, match=fault):
        rel.unpack(path, "1.0.0", tmp_path / "out", tmp_path / "migrations")


def test_migrations_are_laid_beside_with_their_folders(tmp_path: Path) -> None:
    path, _ = artifact(tmp_path, migrations={"alembic.ini": b"i", "versions/a_1.py": b"a"})
    assert rel.unpack(path, "1.0.0", tmp_path, tmp_path / "migrations") == sorted(WHEELS)
    assert (tmp_path / "migrations/versions/a_1.py").read_bytes() == b"a"
    assert (tmp_path / "migrations/alembic.ini").read_bytes() == b"i"


@pytest.mark.parametrize("name", ["../x.sql", "/x.sql", "a/../../x.sql", ".hidden", "a b.sql", ""])
def test_a_migration_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    path, _ = artifact(tmp_path, migrations={name: b"x"})
    with pytest.raises(rel.ReleaseError, match="exactly the wheels and migrations|is no release"):
        rel.unpack(path, "1.0.0", tmp_path / "out", tmp_path / "migrations")
    assert not (tmp_path / "migrations").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00\x00"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(rel.ReleaseError, match="is no release"):
        rel.unpack(tmp_path / "x", "1.0.0", tmp_path, tmp_path)


@pytest.mark.parametrize("version", ["", ".", "..", "../1", "1/2", "-1", "1 0", "1\n", "x" * 65])
def test_a_version_is_no_path(version: str) -> None:
    with pytest.raises(rel.ReleaseError):
        rel.check_version(version)


def test_a_live_release_does_not_change_and_another_may_be_replaced(tmp_path: Path) -> None:
    root = install(tmp_path, "1.0.0")
    assert not rel.is_complete(root, "1.0.0", "another")
    rel.activate(root, "1.0.0")
    with pytest.raises(rel.ReleaseError, match="A release never changes"):
        rel.is_complete(root, "1.0.0", "another")
    assert rel.is_complete(root, "1.0.0", rel.read_links(root).checksums["1.0.0"])


def test_two_runs_take_turns(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with rel.locked(tmp_path / "opt"):
            order.append("second")

    with rel.locked(tmp_path / "opt"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


# ---------------------------------------------------------------- switch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """1.0.0 and 1.1.0 were live and healthy, 1.2.0 is installed."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        install(tmp_path, version)
    for version in ("1.0.0", "1.1.0"):
        rel.activate(tmp_path / "opt", version)
        rel.confirm(tmp_path / "opt", 5)
    assert links(tmp_path / "opt") == ("1.1.0", "", "1.0.0")
    return tmp_path / "opt"


def test_a_switch_and_the_way_back(root: Path) -> None:
    assert rel.activate(root, "1.2.0")
    assert links(root) == ("1.2.0", "1.1.0", "1.0.0")
    rel.confirm(root, 5)
    assert links(root) == ("1.2.0", "", "1.1.0")
    rel.activate(root, "1.1.0")
    rel.confirm(root, 5)
    assert links(root) == ("1.1.0", "", "1.2.0")


def test_a_release_that_was_not_healthy_is_never_the_way_back(root: Path) -> None:
    rel.activate(root, "1.2.0")
    rel.activate(root, "1.1.0")  # put back
    rel.confirm(root, 5)
    assert links(root) == ("1.1.0", "", "1.0.0")


def test_a_switch_that_was_killed_is_finished_and_knows_where_it_came_from(root: Path) -> None:
    rel.activate(root, "1.2.0")
    assert not rel.activate(root, "1.2.0")
    rel.confirm(root, 5)
    assert links(root) == ("1.2.0", "", "1.1.0")
    rel.confirm(root, 5)
    assert links(root) == ("1.2.0", "", "1.1.0")


def test_links_are_replaced_in_one_step(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: Path, target: Path) -> Path:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            rel.activate(root, "1.2.0")
    assert links(root) == ("1.1.0", "", "1.0.0")
    rel.activate(root, "1.2.0")
    assert links(root) == ("1.2.0", "1.1.0", "1.0.0")


def test_check_mode_touches_nothing(root: Path) -> None:
    assert rel.activate(root, "1.2.0", check=True)
    assert rel.activate(root, "9.9.9", check=True), "it would be installed by then"
    assert rel.confirm(root, 1, check=True) == ["1.2.0"]
    assert links(root) == ("1.1.0", "", "1.0.0")
    assert len(rel.read_links(root).releases) == 3


def test_the_oldest_go_and_what_is_needed_stays(tmp_path: Path) -> None:
    for version in ("1", "2", "3", "4", "5"):
        root = install(tmp_path, version)
    for version in ("5", "1"):
        rel.activate(root, version)
        rel.confirm(root, 5)
    assert rel.confirm(root, 3) == ["2", "3"]
    assert rel.read_links(root).releases == ["1", "4", "5"]
    assert rel.confirm(root, 0) == ["4"]
    assert links(root) == ("1", "", "5")


# ---------------------------------------------------------------- the service


def service(active: str = "active", enabled: str = "enabled", reload: str = "no", age: float = 0.0) -> rel.Run:
    started = int((time.monotonic() - age) * 1e6)
    shown = f"ActiveState={active}\nUnitFileState={enabled}\nNeedDaemonReload={reload}\nExecMainStartTimestampMonotonic={started}\n"
    return lambda command, environment: shown


def look(root: Path, run: rel.Run, *files: Path) -> rel.Status:
    return rel.read_service(root, rel.read_links(root), "x.service", [str(path) for path in files], run)


def test_a_service_that_runs_what_it_should_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "x.env").touch()
    time.sleep(0.01)
    status = look(root, service(), tmp_path / "x.env", tmp_path / "none")
    assert (status.running, status.stale) == ("1.1.0", [])


def test_files_newer_than_the_process_are_a_reason(root: Path, tmp_path: Path) -> None:
    (tmp_path / "x.env").touch()
    os.utime(tmp_path / "x.env", (0, 0))  # what a copy that keeps times would do
    status = look(root, service(age=0.5), tmp_path / "x.env")
    assert f"x.service was started before {tmp_path / 'x.env'} was written" in status.stale


def test_a_switch_that_never_came_to_the_restart_is_seen(root: Path) -> None:
    time.sleep(0.02)
    run = service()
    time.sleep(0.02)
    rel.activate(root, "1.2.0")
    status = look(root, run)
    assert status.running == "1.1.0"
    assert status.stale == [f"x.service was started before {root / 'current'} was written"]


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (service(active="inactive"), "x.service is inactive"),
        (service(active="activating"), "x.service is activating"),
        (service(enabled="disabled"), "x.service is not enabled"),
        (service(enabled=""), "x.service is not enabled"),
        (service(reload="yes"), "systemd has not read x.service as it is"),
        (lambda command, environment: "", "x.service is not there"),
    ],
)
def test_other_reasons(root: Path, run: rel.Run, reason: str) -> None:
    assert reason in look(root, run).stale


def test_a_bare_host_has_nothing(tmp_path: Path) -> None:
    status = look(tmp_path / "none", service(active="inactive", enabled=""))
    assert (status.current, status.running, status.releases, len(status.stale)) == ("", "", [], 2)


def test_what_the_live_release_left_of_the_database_says_how_far_back_it_goes(root: Path) -> None:
    unit = "ActiveState=active\nUnitFileState=enabled\nExecMainStartTimestampMonotonic=0\n"
    rel.activate(root, "1.1.0")

    def oldest() -> str:
        return rel.read_service(root, rel.read_links(root), "u", [], lambda command, environment: unit).oldest

    assert oldest() == ""
    folder = root / "releases/1.1.0/migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "0001_a.sql").write_text("-- arxos: contract 1.0.0\nSELECT 1;")
    (folder / "versions/b.py").write_text("# arxos: contract 1.0.5\n")
    assert oldest() == "1.0.5"
    (folder / "0001_a.sql").write_text("-- arxos: contract\nSELECT 1;")
    with pytest.raises(rel.ReleaseError, match="names no release"):
        oldest()
