# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages the reference application as a release: dist/arxos-api-<version>.tar.gz with wheels for every Python of the hosts,
migrations of the database, and its checksum.

The same input gives the same bytes. Wheels are those of wheels.sha256, fetched once into .lab/wheels.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "wheels.sha256"
CACHE = HERE.parents[1] / ".lab/wheels"
PACKAGE = "arxos_api_reference"
BUILD_WHEEL = "flit_core"  # builds the application's own wheel; not part of a release
PYTHONS = ("3.11", "3.13")  # of Debian 12 and 13
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")  # Debian 12 has glibc 2.36
EPOCH = 946684800


class BuildError(Exception):
    """What stands in the way of a release."""


def read_lock(path: Path = LOCK) -> dict[str, str]:
    """{file name of a wheel: sha256}"""
    return {name: digest for digest, name in (line.split() for line in path.read_text().splitlines())}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def missing(lock: dict[str, str], cache: Path) -> list[str]:
    return [name for name, digest in lock.items() if not (cache / name).is_file() or sha256(cache / name) != digest]


def fetch(lock: dict[str, str], cache: Path) -> None:
    """Have every wheel of the lock in the cache. Raises BuildError where the index gives others."""
    wanted = missing(lock, cache)
    if not wanted:
        return
    cache.mkdir(parents=True, exist_ok=True)
    pins = sorted({"==".join(name.split("-")[:2]) for name in wanted})
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    for python in PYTHONS:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*command, *platforms, "--implementation=cp", f"--python-version={python}", f"--dest={cache}", *pins],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildError(f"pip download for Python {python} failed:\n{done.stderr.strip()}")
    wrong = missing(lock, cache)
    if wrong:
        raise BuildError(f"not what {LOCK.name} says: {', '.join(wrong)}")


def build_wheel(version: str, behaviour: dict[str, object], builder: Path) -> tuple[str, bytes]:
    """The application's own wheel, with its version and behaviour in it."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copy(HERE / "pyproject.toml", work)
        shutil.copytree(HERE / PACKAGE, work / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        init = work / PACKAGE / "__init__.py"
        init.write_text(re.sub(r'(?m)^__version__ = ".*"', f'__version__ = "{version}"', init.read_text()))
        (work / PACKAGE / "behaviour.json").write_text(json.dumps(behaviour, sort_keys=True))
        script = "import sys; sys.path.insert(0, sys.argv[1]); from flit_core import buildapi; print(buildapi.build_wheel('.'))"
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", script, str(builder)], cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BuildError(f"the application's wheel: {done.stderr.strip()}")
        name = done.stdout.strip()
        return name, (work / name).read_bytes()


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def migrations_of(version: str, folder: Path = HERE / "migrations") -> dict[str, bytes]:
    """Those of this version and of the ones before it: a release brings all, so that it can be the first of a new platform too."""
    files = [path for path in folder.glob("*/*.sql") if number(path.parent.name) <= number(version)]
    return {path.name: path.read_bytes() for path in sorted(files, key=lambda path: path.name)}


def pack(version: str, wheels: dict[str, bytes], migrations: dict[str, bytes] | None = None) -> bytes:
    """A tar.gz in which nothing depends on when, where or by whom it was made. Wheels are compressed already."""
    manifest: dict[str, object] = {
        "name": "arxos-api",
        "version": version,
        "python": list(PYTHONS),
    }
    files = {}
    for kind, found in (("wheels", wheels), ("migrations", migrations or {})):
        manifest[kind] = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(found.items())}
        files |= {f"{kind}/{name}": found[name] for name in sorted(found)}
    files = {"manifest.json": json.dumps(manifest, indent=2).encode() + b"\n"} | files
    output = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=output, mode="wb", compresslevel=0, mtime=EPOCH) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), EPOCH, 0o644
            tar.addfile(member, io.BytesIO(content))
    return output.getvalue()


def build(version: str, behaviour: dict[str, object], output: Path, migrations: dict[str, bytes]) -> Path:
    """Write the release and the file with its checksum, each in one step. Raises BuildError."""
    lock = read_lock()
    fetch(lock, CACHE)
    builder = next(CACHE / name for name in lock if name.startswith(BUILD_WHEEL))
    name, content = build_wheel(version, behaviour, builder)
    wheels = {wheel: (CACHE / wheel).read_bytes() for wheel in lock if wheel != builder.name} | {name: content}
    release = pack(version, wheels, migrations)
    path = output / f"arxos-api-{version}.tar.gz"
    checksum = f"{hashlib.sha256(release).hexdigest()}  {path.name}\n"
    output.mkdir(parents=True, exist_ok=True)
    for target, data in ((path, release), (path.with_name(path.name + ".sha256"), checksum.encode())):
        part = target.with_name(f".{target.name}.{os.getpid()}")
        part.write_bytes(data)
        part.replace(target)
    print(f"{path}: {len(release) / 1e6:.1f} MB, {len(wheels)} wheels, {len(migrations)} migrations, sha256 {checksum.split()[0]}")
    return path


def version_number(text: str) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.post|\.dev)\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no version such as 1.2.3 or 1.2.3rc1")
    return text


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("a share is between 0 and 1")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", required=True, type=version_number)
    parser.add_argument("--health", choices=["pass", "fail"], default="pass", help="what GET /health/ of this release says")
    parser.add_argument("--delay-ms", type=int, default=0, help="added to every answer under / and /api")
    parser.add_argument("--error-rate", type=share, default=0.0, help="share of answers under / and /api that are 500")
    parser.add_argument("--migration", type=Path, action="append", default=[], help="a further migration, which no version has by itself")
    parser.add_argument("--output", type=Path, default=HERE.parents[1] / "dist")
    arguments = parser.parse_args()
    behaviour = {"health": arguments.health, "delay_ms": arguments.delay_ms, "error_rate": arguments.error_rate}
    try:
        further = {path.name: path.read_bytes() for path in arguments.migration}
        build(arguments.version, behaviour, arguments.output, migrations_of(arguments.version) | further)
    except (BuildError, OSError) as error:
        sys.exit(f"build_release.py: {error}")


if __name__ == "__main__":
    main()
