# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a certificate still serves: pure, so that one reading of a host decides it on the controller."""

from __future__ import annotations

import datetime
import ipaddress
import re

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization
except ImportError:  # the filter that uses this reports it
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

KEY_MADE = re.compile(r"^KEY MADE (\d+)$", re.MULTILINE)
PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


def is_address(name: str) -> bool:
    """Whether C(name) is an IPv4 or IPv6 address rather than a host name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def subject_alt_names(names: list[str]) -> list[str]:
    """Names and addresses as OpenSSL writes them, C(DNS:a) and C(IP:1.2.3.4), without repeats and in order."""
    return list(dict.fromkeys(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names))


def why_not(
    text: str,
    names: list[str],
    ca_certificate: str,
    renew_days: int,
    now: datetime.datetime,
    lifetime_days: int = 0,
    key_days: int = 0,
) -> str | None:
    """Why the certificate in C(text) has to be issued anew, or None when it serves.

    text: PEM of the certificate and of the public key of the private key beside it, in any order, and C(KEY MADE) with the seconds since 1970.
    names: every name and address that it must carry, no more and no fewer. renew_days: days that must be left.
    lifetime_days: days that it may live in all, key_days: days that its key may be old; 0 for any number.
    now: aware UTC time. Raises ValueError for a CA certificate that cannot be read.
    """
    ca = x509.load_pem_x509_certificate(ca_certificate.encode())
    found = {match.group(1): match.group(0).encode() for match in PEM.finditer(text)}
    if "CERTIFICATE" not in found or "PUBLIC KEY" not in found:
        return "certificate or key is missing"
    try:
        certificate = x509.load_pem_x509_certificate(found["CERTIFICATE"])
        key = serialization.load_pem_public_key(found["PUBLIC KEY"])
    except ValueError:
        return "certificate or key cannot be read"
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*encoding) != key.public_bytes(*encoding):
        return "certificate belongs to another key"
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return "certificate belongs to another CA"
    # not_valid_after_utc came with cryptography 42; older ones give naive UTC.
    until = getattr(certificate, "not_valid_after_utc", None) or certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)
    if until - now < datetime.timedelta(days=renew_days):
        return f"certificate expires at {until:%Y-%m-%d}"
    since = getattr(certificate, "not_valid_before_utc", None) or certificate.not_valid_before.replace(tzinfo=datetime.timezone.utc)
    if lifetime_days and until - since > datetime.timedelta(days=lifetime_days, hours=1):
        return f"certificate lives {(until - since).days} days"
    made = KEY_MADE.search(text)
    if key_days and (made is None or now.timestamp() - int(made.group(1)) > key_days * 86400):
        return f"key is older than {key_days} days"
    try:
        carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "certificate carries no names"
    if {str(name.value) for name in carried} != set(names):
        return "certificate carries other names"
    return None
