# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A certificate and its key on a host, replaced together by one rename: no daemon ever finds a new key beside an old certificate.

    host.crt -> host/tls.crt    host.key -> host/tls.key    host -> pairs/host-<what it holds>

Both paths go through the one link, whose rename is the change. Also a program, for what renews certificates on a host by itself:

    python3 -m ansible_collections.arxos.platform.plugins.module_utils._certificate_pair NAME CERTIFICATE KEY [GROUP MODE]

It says C(installed) where something changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:  # whoever uses this says so
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

DIRECTORY = "/etc/ssl/arxos"
PAIRS = "pairs"
CERTIFICATE, KEY = "tls.crt", "tls.key"


class PairError(Exception):
    """The pair cannot be installed; nothing was replaced."""


@dataclass(frozen=True)
class Access:
    """Who may read the key, and how: the certificate is for everybody."""

    group: str = "root"
    mode: int = 0o600


def mismatch(certificate: bytes, key: bytes) -> str:
    """Why these two cannot be served together, or nothing. Never a word of the key."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        return "the certificate is none in PEM form"
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except Exception:  # cryptography has several of its own for keys that it cannot read or does not support
        return "the key is none in PEM form without a passphrase"
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        return "the certificate belongs to another key"
    return ""


def unverified(certificate: str, ca_certificate: str) -> str:
    """Why OpenSSL does not trust a certificate by a CA, or nothing. Both are paths."""
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", ca_certificate, "-untrusted", certificate, certificate],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else " ".join((done.stderr or done.stdout).split())


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One at a time: a run of the controller may meet the timer that renews. The kernel lets go of the lock of a process that dies."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Pair:
    """The pair of one name."""

    def __init__(self, name: str, directory: str = DIRECTORY) -> None:
        self.name = name
        self.directory = Path(directory)
        self.links = {
            self.directory / f"{name}.crt": f"{name}/{CERTIFICATE}",
            self.directory / f"{name}.key": f"{name}/{KEY}",
        }
        self.link = self.directory / name

    @property
    def certificate(self) -> Path:
        """The path that daemons read."""
        return self.directory / f"{self.name}.crt"

    @property
    def key(self) -> Path:
        """The path that daemons read."""
        return self.directory / f"{self.name}.key"

    def linked(self) -> bool:
        """Whether both paths go through the one link."""
        return self.link.is_symlink() and all(path.is_symlink() and os.readlink(path) == target for path, target in self.links.items())

    def differs(self, certificate: bytes, key: bytes, access: Access) -> bool:
        """Whether C(install) would change something."""
        if not self.linked() or _read(self.certificate) != certificate or _read(self.key) != key:
            return True
        found = self.key.stat()
        return (found.st_mode & 0o7777, found.st_uid, found.st_gid) != (
            access.mode,
            0 if os.geteuid() == 0 else found.st_uid,
            gid_of(access),
        )

    def install(self, certificate: bytes, key: bytes, access: Access, ca_certificate: str = "") -> bool:
        """Have daemons find this pair; whether something changed. Raises PairError, and then nothing was replaced."""
        problem = mismatch(certificate, key)
        if problem:
            raise PairError(problem)
        try:
            with _locked(self.directory):
                self._sweep()
                if not self.differs(certificate, key, access):
                    return False
                before = _read(self.key)
                made = self.key.stat().st_mtime_ns if before is not None and before == key else None
                new = self._write(certificate, key, access, made, ca_certificate)
                if not self.linked():
                    self._adopt(new, access)
                self._point(self.link, f"{PAIRS}/{new.name}")
                # Only now, so that whoever compares times finds it later than every reload that cannot have read it.
                for path in (new / CERTIFICATE, new / KEY):
                    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
                # Units that watch the path see the old file go.
                self._sweep()
        except OSError as error:
            raise PairError(f"{error.strerror}: {error.filename}") from error
        return True

    def _write(self, certificate: bytes, key: bytes, access: Access, made: int | None, ca_certificate: str) -> Path:
        """The whole pair in a folder of its own, judged there, and only then under its name."""
        pairs = self.directory / PAIRS
        pairs.mkdir(mode=0o755, exist_ok=True)
        pairs.chmod(0o755)
        staged = pairs / f".{self.name}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o700)
        try:
            for name, content, mode, gid in ((CERTIFICATE, certificate, 0o644, 0), (KEY, key, access.mode, gid_of(access))):
                descriptor = os.open(staged / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with open(descriptor, "wb") as stream:
                    stream.write(content)
                    if os.geteuid() == 0:
                        os.fchown(stream.fileno(), 0, gid)
                    os.fchmod(stream.fileno(), mode)
                    stream.flush()
                    os.fsync(stream.fileno())
            problem = unverified(str(staged / CERTIFICATE), ca_certificate) if ca_certificate else ""
            if problem:
                raise PairError(f"the certificate does not verify: {problem}")
            if made is not None:
                os.utime(staged / KEY, ns=(made, made))
            content = certificate + key + f"{access}".encode()
            final = pairs / f"{self.name}-{hashlib.sha256(content).hexdigest()[:16]}"
            if self.link.is_symlink() and os.readlink(self.link) == f"{PAIRS}/{final.name}":  # same content, and somebody bent it
                final = final.with_name(f"{final.name}-again")
            shutil.rmtree(final, ignore_errors=True)
            staged.chmod(0o755)
            staged.rename(final)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return final

    def _adopt(self, new: Path, access: Access) -> None:
        """Bring plain files under the link, where they are what they were, before it is moved: the two renames change nothing that is read."""
        certificate, key = _read(self.certificate), _read(self.key)
        if certificate is not None and key is not None and not mismatch(certificate, key):
            made = self.key.stat().st_mtime_ns
            self._point(self.link, f"{PAIRS}/{self._write(certificate, key, access, made, '').name}")
        else:  # nothing that could be served
            self._point(self.link, f"{PAIRS}/{new.name}")
        for path, target in self.links.items():
            self._point(path, target)

    def _point(self, link: Path, target: str) -> None:
        temporary = link.with_name(f".{link.name}.new")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(target)
        temporary.rename(link)
        descriptor = os.open(link.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what a killed run left, and the pairs of before."""
        kept = os.path.basename(os.readlink(self.link)) if self.link.is_symlink() else ""
        for path in (self.directory / PAIRS).glob(f"{self.name}-*") if kept else ():
            if path.name != kept:
                shutil.rmtree(path)
        shutil.rmtree(self.directory / PAIRS / f".{self.name}", ignore_errors=True)


def gid_of(access: Access) -> int:
    """The group's number. Raises PairError."""
    try:
        return grp.getgrnam(access.group).gr_gid
    except KeyError:
        raise PairError(f"this host has no group {access.group}") from None


def main(arguments: Sequence[str], directory: str = DIRECTORY) -> int:
    """Installs a pair from two files, as what renewed it left them; returns the exit code."""
    name, certificate, key, *more = arguments
    access = Access(more[0], int(more[1], 8)) if more else Access()
    try:
        if Pair(name, directory).install(Path(certificate).read_bytes(), Path(key).read_bytes(), access):
            sys.stdout.write("installed\n")
    except (PairError, OSError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
