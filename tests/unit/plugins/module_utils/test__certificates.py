"""When a certificate can stay, and the reason when it cannot."""

from __future__ import annotations

import datetime
import ipaddress

import pytest
from ansible_collections.arxos.platform.plugins.module_utils._certificates import subject_alt_names, why_not
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.timezone.utc)
NAMES = ["db1", "192.0.2.31"]


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    subject: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, names: list[str], days: int, issuer_name: str = "CA"
) -> str:
    alternatives = [x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA" if subject is issuer else names[0])]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .public_key(subject.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(issuer, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


def public(private: ec.EllipticCurvePrivateKey) -> str:
    return private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


CA_KEY, HOST_KEY = key(), key()
CA = certificate(CA_KEY, CA_KEY, ["CA"], 3650)
GOOD = certificate(HOST_KEY, CA_KEY, NAMES, 100) + public(HOST_KEY)


def test_one_that_serves_stays() -> None:
    assert why_not(GOOD, NAMES, CA, 30, NOW) is None


@pytest.mark.parametrize(
    ("text", "names", "renew_days", "reason"),
    [
        ("", NAMES, 30, "missing"),
        ("Could not open file /etc/ssl/arxos/host.crt", NAMES, 30, "missing"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + public(HOST_KEY), NAMES, 30, "cannot be read"),
        (certificate(HOST_KEY, CA_KEY, NAMES, 100) + public(key()), NAMES, 30, "another key"),
        (certificate(HOST_KEY, key(), NAMES, 100) + public(HOST_KEY), NAMES, 30, "another CA"),
        (GOOD, NAMES, 101, "expires at 2027-03-03"),
        (GOOD, [*NAMES, "postgresql.arxos.internal"], 30, "other names"),
        (GOOD, ["db1"], 30, "other names"),
    ],
)
def test_one_that_does_not_serve_says_why(text: str, names: list[str], renew_days: int, reason: str) -> None:
    assert reason in (why_not(text, names, CA, renew_days, NOW) or "")


def test_a_ca_that_cannot_be_read_is_an_error_not_a_new_certificate() -> None:
    with pytest.raises(ValueError, match="."):
        why_not(GOOD, NAMES, "nonsense", 30, NOW)


def test_names_and_addresses_get_their_kind() -> None:
    assert subject_alt_names(["db1", "192.0.2.1", "2001:db8::1", "db1"]) == ["DNS:db1", "IP:192.0.2.1", "IP:2001:db8::1"]


@pytest.mark.parametrize(
    ("text", "lifetime_days", "key_days", "reason"),
    [
        (GOOD, 101, 0, None),
        (GOOD, 100, 0, "lives 101 days"),
        (GOOD, 0, 90, "older than 90 days"),
        (f"{GOOD}KEY MADE {NOW.timestamp() - 89 * 86400:.0f}\n", 101, 90, None),
        (f"{GOOD}KEY MADE {NOW.timestamp() - 91 * 86400:.0f}\n", 101, 90, "older than 90 days"),
    ],
)
def test_one_that_lives_too_long_or_has_an_old_key(text: str, lifetime_days: int, key_days: int, reason: str | None) -> None:
    found = why_not(text, NAMES, CA, 30, NOW, lifetime_days, key_days)
    assert found is None if reason is None else reason in (found or "")
