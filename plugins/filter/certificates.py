# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of role certificates. community.crypto's filters read a certificate; none compares it with what is wanted."""

from __future__ import annotations

import datetime
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.arxos.platform.plugins.module_utils import _certificates


def certificate_serves(
    text: str, names: list[str], ca_certificate: str, renew_days: int = 30, lifetime_days: int = 0, key_days: int = 0
) -> bool:
    """Whether the certificate in C(text) can stay: see M(certificate_serves)."""
    if not _certificates.HAS_CRYPTOGRAPHY:
        raise AnsibleFilterError("certificate_serves needs the Python package cryptography on the controller: pip install cryptography")
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        return _certificates.why_not(text, names, ca_certificate, renew_days, now, lifetime_days, key_days) is None
    except ValueError as error:
        raise AnsibleFilterError("the CA certificate cannot be read: it has to be a PEM certificate") from error


class FilterModule:
    """Filters about certificates."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"certificate_serves": certificate_serves, "subject_alt_names": _certificates.subject_alt_names}
