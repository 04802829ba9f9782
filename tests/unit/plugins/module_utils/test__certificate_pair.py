# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Key and certificate change together, at every moment, and wherever it is cut off. Files are real, in a folder of the test."""

from __future__ import annotations

import datetime
import grp
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _certificate_pair
from ansible_collections.arxos.platform.plugins.module_utils._certificate_pair import Access, Pair, PairError, main, mismatch
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OWN = Access(grp.getgrgid(os.getegid()).gr_name, 0o640)
NOW = datetime.datetime.now(datetime.timezone.utc)


def issue(
    name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate and its key, by itself or by another."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer[0].subject if issuer else subject)
    built = built.public_key(key.public_key()).serial_number(x509.random_serial_number())
    built = built.not_valid_before(NOW - datetime.timedelta(days=1)).not_valid_after(NOW + datetime.timedelta(days=9))
    built = built.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    return built.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def pem(pair: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> tuple[bytes, bytes]:
    """Both as files have them."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pair[0].public_bytes(serialization.Encoding.PEM), pair[1].private_bytes(*form)


CA = issue("CA")
OLD, NEW = pem(issue("old", CA)), pem(issue("new", CA))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    (tmp_path / "ca.crt").write_bytes(pem(CA)[0])
    return Pair("host", str(tmp_path))


def found(pair: Pair) -> tuple[bytes, bytes]:
    return pair.certificate.read_bytes(), pair.key.read_bytes()


def rest(pair: Pair) -> list[str]:
    """Everything in the folder, so that nothing is left behind."""
    return sorted(str(path.relative_to(pair.directory)) for path in pair.directory.rglob("*"))


def test_a_first_pair_is_there_with_the_rights_that_it_shall_have(pair: Pair) -> None:
    assert pair.install(*NEW, OWN, str(pair.directory / "ca.crt"))
    assert found(pair) == NEW
    assert pair.key.stat().st_mode & 0o777 == 0o640 and pair.certificate.stat().st_mode & 0o777 == 0o644
    assert not pair.differs(*NEW, OWN) and not pair.install(*NEW, OWN)


def test_another_replaces_it_and_the_old_key_is_gone(pair: Pair) -> None:
    pair.install(*OLD, OWN)
    before = rest(pair)
    assert pair.install(*NEW, OWN)
    assert found(pair) == NEW and len(rest(pair)) == len(before)
    assert OLD[1] not in [path.read_bytes() for path in pair.directory.rglob("*") if path.is_file()]


def test_plain_files_are_taken_over(pair: Pair) -> None:
    pair.certificate.write_bytes(OLD[0])
    pair.key.write_bytes(OLD[1])
    assert pair.install(*NEW, OWN)
    assert found(pair) == NEW and pair.linked()
    assert len(list((pair.directory / "pairs").iterdir())) == 1


def test_plain_files_of_the_same_content_come_under_the_link(pair: Pair) -> None:
    pair.certificate.write_bytes(OLD[0])
    pair.key.write_bytes(OLD[1])
    assert pair.differs(*OLD, OWN) and pair.install(*OLD, OWN)
    assert found(pair) == OLD and pair.linked() and not pair.differs(*OLD, OWN)


def test_a_link_that_somebody_replaced_by_a_file_is_mended(pair: Pair) -> None:
    pair.install(*OLD, OWN)
    pair.certificate.unlink()
    pair.certificate.write_bytes(OLD[0])
    assert pair.install(*OLD, OWN)
    assert found(pair) == OLD and pair.linked()


def test_content_that_somebody_bent_is_mended(pair: Pair) -> None:
    pair.install(*OLD, OWN)
    pair.key.write_bytes(NEW[1])
    assert pair.install(*OLD, OWN)
    assert found(pair) == OLD
    assert pair.install(*NEW, OWN) and len(list((pair.directory / "pairs").iterdir())) == 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ((NEW[0], OLD[1]), "belongs to another key"),
        ((b"nonsense", OLD[1]), "the certificate is none"),
        ((NEW[0], b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "the key is none"),
        (pem(issue("stranger", issue("other CA"))), "does not verify"),
    ],
)
def test_what_cannot_be_served_leaves_what_is(pair: Pair, given: tuple[bytes, bytes], problem: str) -> None:
    pair.install(*OLD, OWN)
    before = rest(pair)
    with pytest.raises(PairError, match=problem) as error:
        pair.install(*given, OWN, str(pair.directory / "ca.crt"))
    assert found(pair) == OLD and rest(pair) == before
    assert given[1].decode().splitlines()[1] not in str(error.value)


class Killed(BaseException):
    """The process ends here: nothing after it is done, not even what a finally says, as far as files tell."""


@pytest.mark.parametrize("plain", [False, True], ids=["linked", "plain files"])
def test_killed_at_any_step_a_pair_is_served_and_the_next_run_ends_it(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    steps = 0
    while True:
        pair = Pair("host", str(tmp_path_factory.mktemp("pair")))
        if plain:
            pair.certificate.write_bytes(OLD[0])
            pair.key.write_bytes(OLD[1])
        else:
            pair.install(*OLD, OWN)
        left = steps

        def counted(real: Callable[..., object], pair: Pair = pair) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                done = real(*args, **kwargs)
                assert not mismatch(*found(pair)), "a key beside a certificate that is not its own"
                return done

            return call

        with monkeypatch.context() as patch:
            for where, name in ((Path, "rename"), (Path, "unlink"), (Path, "symlink_to"), (Path, "mkdir"), (os, "fsync"), (os, "utime")):
                patch.setattr(where, name, counted(getattr(where, name)))
            patch.setattr(_certificate_pair.shutil, "rmtree", counted(_certificate_pair.shutil.rmtree))
            try:
                pair.install(*NEW, OWN)
                killed = False
            except Killed:
                killed = True
        assert found(pair) in (OLD, NEW)
        pair.install(*NEW, OWN)
        assert found(pair) == NEW and pair.linked() and len(list((pair.directory / "pairs").iterdir())) == 1
        if not killed:
            break
        steps += 1
    assert steps > 10


def test_whoever_reads_through_the_link_never_finds_two_that_differ(pair: Pair) -> None:
    pair.install(*OLD, OWN)
    ended = threading.Event()
    seen: set[tuple[bytes, bytes]] = set()

    def read() -> None:
        while not ended.is_set():
            folder = os.open(pair.link, os.O_PATH | os.O_DIRECTORY)  # as one look
            try:
                names = [os.open(name, os.O_RDONLY, dir_fd=folder) for name in ("tls.crt", "tls.key")]
            except FileNotFoundError:
                continue
            finally:
                os.close(folder)
            seen.add((os.read(names[0], 9999), os.read(names[1], 9999)))
            for each in names:
                os.close(each)

    reader = threading.Thread(target=read)
    reader.start()
    for _round in range(20):
        pair.install(*NEW, OWN)
        pair.install(*OLD, OWN)
    ended.set()
    reader.join()
    assert seen <= {OLD, NEW} and seen


def test_the_age_of_a_key_survives_a_new_certificate_and_not_a_new_key(pair: Pair) -> None:
    authority = issue("second", None)
    certificate, key = issue("one", authority)
    pair.install(*pem((certificate, key)), OWN)
    os.utime(pair.key, (1_000_000_000, 1_000_000_000))
    again = x509.CertificateBuilder().subject_name(certificate.subject).issuer_name(authority[0].subject).public_key(key.public_key())
    again = again.serial_number(7).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=3))
    renewed = again.sign(authority[1], hashes.SHA256())
    assert pair.install(*pem((renewed, key)), OWN)
    assert int(pair.key.stat().st_mtime) == 1_000_000_000
    assert pair.key.stat().st_ctime > NOW.timestamp()
    pair.install(*NEW, OWN)
    assert pair.key.stat().st_mtime > NOW.timestamp()


def test_as_a_program_it_says_whether_it_did_something(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "fullchain.pem", tmp_path / "privkey.pem"]
    for path, content in zip(files, NEW):
        path.write_bytes(content)
    words = ["front", *map(str, files), OWN.group, "640"]
    assert main(words, str(pair.directory)) == 0 and capsys.readouterr().out == "installed\n"
    assert main(words, str(pair.directory)) == 0 and capsys.readouterr().out == ""
    files[0].write_bytes(OLD[0])
    assert main(words, str(pair.directory)) == 1 and "another key" in capsys.readouterr().err
    assert main(["front", "/nowhere", "/nowhere"], str(pair.directory)) == 1


def test_a_group_that_is_not_there_is_told(pair: Pair) -> None:
    with pytest.raises(PairError, match="no group nobodys-group"):
        pair.install(*NEW, Access("nobodys-group"))
