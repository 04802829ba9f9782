# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases of an application side by side under one root, and the links that say which of them is live.

    releases/<version>/           a virtual environment; `.complete` in it is written last, so what a killed installation left is known as such
    current  -> releases/1.1.0    what the service runs
    leaving  -> releases/1.0.0    only while a switch goes on: what was live before it
    previous -> releases/1.0.0    what was live and healthy before `current`

A switch sets `leaving` where it is not set yet, then `current`. When the release has proved healthy, `leaving` becomes `previous`. So a switch that
failed and was taken back, or that was killed and begun again, never loses the release before, and never takes one for it that was not healthy.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from glob import glob
from pathlib import Path
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _migrations

Run = Callable[[list[str], Mapping[str, str]], str]  # a command and its environment; its standard output. Raises ReleaseError

MARKER = ".complete"
_PLACE = re.compile(r"wheels/[\w.+-]+\.whl|migrations/(\w[\w.-]*/)*\w[\w.-]*")
PIP_WHEELS = "/usr/share/python-wheels/pip-*.whl"  # Debian's python3-venv brings it


class ReleaseError(Exception):
    """What is wrong with a release, and what to do about it."""


@dataclass
class Status:
    """What is installed, what is live, and why the service would have to be restarted."""

    current: str = ""
    leaving: str = ""
    previous: str = ""
    releases: list[str] = field(default_factory=list)  # complete ones, those installed first come first
    checksums: dict[str, str] = field(default_factory=dict)  # of the artifacts that they were installed from
    running: str = ""  # the release that the service runs, empty where it is not active
    stale: list[str] = field(default_factory=list)  # reasons to restart; empty: the service runs what it should
    switched_at: float = 0.0  # when it became the live one, in seconds since 1970; 0 where none is
    oldest: str = ""  # the oldest release that can do with the database as the migrations of the live one left it; empty where any can

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Waits for whoever is at work in the folder: of a run that was killed, what it had begun on the host goes on to its end."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_version(version: str) -> None:
    """Raises ReleaseError. A version is the name of a folder."""
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}", version):
        raise ReleaseError(f"{version!r} is no version: write letters, digits and . + _ -, such as 1.2.3")


def _marker(root: Path, version: str) -> dict[str, Any]:
    """What stands in the marker of a complete release; empty where it is not complete."""
    try:
        found = json.loads((root / "releases" / version / MARKER).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _link(root: Path, name: str) -> str:
    try:
        return os.path.basename(os.readlink(root / name))
    except OSError:
        return ""


def _set_link(root: Path, name: str, version: str) -> None:
    """Point a link at a release, or remove it, in one step."""
    if not version:
        with contextlib.suppress(FileNotFoundError):
            (root / name).unlink()
        return
    new = root / f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(Path("releases", version))
    new.replace(root / name)


def read_links(root: Path) -> Status:
    names = [path.name for path in (root / "releases").iterdir()] if (root / "releases").is_dir() else []
    markers = {name: marker for name in names for marker in [_marker(root, name)] if marker}
    complete = sorted(markers, key=lambda name: (float(markers[name].get("installed_at", 0)), name))
    checksums = {name: str(markers[name].get("sha256", "")) for name in complete}
    switched = os.lstat(root / "current").st_mtime if os.path.lexists(root / "current") else 0.0
    return Status(_link(root, "current"), _link(root, "leaving"), _link(root, "previous"), complete, checksums, switched_at=switched)


def _oldest(root: Path, version: str) -> str:
    """By what the migrations of a release say, SQL or alembic's. Raises ReleaseError."""
    folder = root / "releases" / version / "migrations"
    if not version or not folder.is_dir():
        return ""
    try:
        return _migrations.oldest(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.suffix in (".sql", ".py"))
    except (_migrations.MigrationError, UnicodeError) as error:
        raise ReleaseError(f"{folder}: {error}") from error


def read_service(root: Path, status: Status, unit: str, config_files: list[str], run: Run) -> Status:
    """Adds what the service does. A process began with what the link and its files were when it started, so whatever is newer it has not seen."""
    shown = run(["systemctl", "show", unit, "-p", "ActiveState,UnitFileState,NeedDaemonReload,ExecMainStartTimestampMonotonic"], {})
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if values.get("ActiveState") != "active":
        status.stale.append(f"{unit} is {values.get('ActiveState', 'not there')}")
    else:
        started = time.time() - time.monotonic() + int(values.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
        newer = [path for path in (str(root / "current"), *config_files) if os.path.lexists(path) and os.lstat(path).st_ctime > started]
        status.running = status.leaving if str(root / "current") in newer else status.current
        status.stale += [f"{unit} was started before {path} was written" for path in newer]
    status.oldest = _oldest(root, status.current)
    if values.get("UnitFileState") != "enabled":
        status.stale.append(f"{unit} is not enabled")
    if values.get("NeedDaemonReload") == "yes":
        status.stale.append(f"systemd has not read {unit} as it is")
    return status


def is_complete(root: Path, version: str, sha256: str) -> bool:
    """Raises ReleaseError where another artifact of this version is live: releases do not change."""
    marker = _marker(root, version)
    if marker and sha256 and marker.get("sha256") != sha256:
        if version in (_link(root, "current"), _link(root, "leaving"), _link(root, "previous")):
            raise ReleaseError(
                f"{version} is installed from another artifact (sha256 {marker.get('sha256')}), and is live or the one to roll back to. "
                "A release never changes: give the new artifact a version of its own."
            )
        return False
    return bool(marker)


def install(root: Path, version: str, artifact: Path, sha256: str, python: str, run: Run) -> None:
    """A virtual environment of the wheels in the artifact, without any index. Begins anew where a killed installation left something.

    The artifact is removed when all is done.
    """
    if _sha256(artifact) != sha256:
        raise ReleaseError(f"{artifact} has sha256 {_sha256(artifact)}, wanted {sha256}: it is damaged, or it is another one")
    pips = sorted(glob(PIP_WHEELS))
    if not pips:
        raise ReleaseError(f"there is no {PIP_WHEELS}: install python3-venv")
    home = root / "releases" / version
    shutil.rmtree(home, ignore_errors=True)
    wheels = home / ".wheels"
    wheels.mkdir(parents=True)
    names = unpack(artifact, version, wheels, home / "migrations")
    pins = sorted({"==".join(name.split("-")[:2]) for name in names})
    run([python, "-m", "venv", "--without-pip", str(home)], {})
    venv_python, environment = str(home / "bin/python"), {"PYTHONPATH": pips[-1], "PIP_CONFIG_FILE": os.devnull}
    offline = ["--no-index", "--no-deps", "--no-cache-dir", "--no-compile", "--disable-pip-version-check", "--root-user-action=ignore"]
    run([venv_python, "-m", "pip", "install", "--quiet", *offline, f"--find-links={wheels}", *pins], environment)
    run([venv_python, "-m", "pip", "check", "--disable-pip-version-check"], environment)
    run([venv_python, "-m", "compileall", "-q", "-j", "0", str(home / "lib")], {})
    shutil.rmtree(wheels)
    os.sync()
    part = home / f"{MARKER}.part"
    part.write_text(json.dumps({"version": version, "sha256": sha256, "installed_at": time.time()}))
    part.replace(home / MARKER)
    artifact.unlink()


def unpack(artifact: Path, version: str, wheels: Path, migrations: Path) -> list[str]:
    """Write the wheels and migrations that the manifest names, each with the checksum that it names. Raises ReleaseError on anything else.

    Returns the names of the wheels.
    """
    try:
        with tarfile.open(artifact) as tar:
            contents = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
            manifest_file = contents.pop("manifest.json", None)
            manifest = json.loads(manifest_file.read()) if manifest_file else {}
            wanted = {
                f"{kind}/{name}": digest for kind in ("wheels", "migrations") for name, digest in dict(manifest.get(kind, {})).items()
            }
            if manifest.get("version") != version:
                raise ReleaseError(f"{artifact} is release {manifest.get('version')}, not {version}")
            if set(wanted) != set(contents) or not all(map(_PLACE.fullmatch, wanted)):
                raise ReleaseError(f"{artifact} does not hold exactly the wheels and migrations of its manifest")
            for name, stream in contents.items():
                data = stream.read() if stream else b""
                if hashlib.sha256(data).hexdigest() != wanted[name]:
                    raise ReleaseError(f"{name} in {artifact} has not the checksum of the manifest")
                kind, _separator, place = name.partition("/")
                path = {"wheels": wheels, "migrations": migrations}[kind] / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    except (tarfile.TarError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{artifact} is no release: {error}") from error
    return sorted(os.path.basename(name) for name in wanted if name.startswith("wheels/"))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def activate(root: Path, version: str, check: bool = False) -> bool:
    """Make a complete release the current one; whether anything changed. Raises ReleaseError."""
    current = _link(root, "current")
    if not check and not _marker(root, version):
        raise ReleaseError(
            f"{version} is not installed completely under {root}: there are {', '.join(read_links(root).releases) or 'none'}"
        )
    if current == version:
        return False
    if not check:
        if current and not _link(root, "leaving"):
            _set_link(root, "leaving", current)
        _set_link(root, "current", version)
    return True


def confirm(root: Path, keep: int, check: bool = False) -> list[str]:
    """The current release has proved healthy: note which was live before, and remove the oldest releases beyond `keep`. Returns what was removed."""
    status = read_links(root)
    previous = status.leaving if status.leaving not in ("", status.current) else status.previous
    if not check:
        _set_link(root, "previous", previous)
        _set_link(root, "leaving", "")
    needed = {status.current, previous}
    spare = [version for version in status.releases if version not in needed]
    removed = spare[: max(0, len(status.releases) - keep)]
    for version in [] if check else removed:
        (root / "releases" / version / MARKER).unlink()  # first: from here on it is not complete
        shutil.rmtree(root / "releases" / version)
    return removed
