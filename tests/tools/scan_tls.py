# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that sslyze can ask of a server, as JSON: scan_tls.py NAME ADDRESS PORT CA. It runs in a virtual environment of its own, see scan_tls.txt."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sslyze
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    ServerScanResultIncomplete,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)
from sslyze.scanner.models import AllScanCommandsAttempts


def main(name: str, address: str, port: str, ca: str) -> None:
    """Scan, and say how each look ended, what Mozilla's intermediate profile finds, and which holes there are."""
    scanner = sslyze.Scanner(per_server_concurrent_connections_limit=2)
    trust = sslyze.ScanCommandsExtraArguments(certificate_info=sslyze.CertificateInfoExtraArgument(custom_ca_file=Path(ca)))
    where = sslyze.ServerNetworkLocation(name, int(port), address)
    scanner.queue_scans([sslyze.ServerScanRequest(where, scan_commands_extra_arguments=trust)])
    (found,) = scanner.get_results()
    told: dict[str, object] = {"connectivity": found.connectivity_status.name, "scan": found.scan_status.name, "looks": {}, "issues": None}
    if found.scan_result is not None:
        looks = {each: getattr(found.scan_result, each) for each in AllScanCommandsAttempts.__annotations__}
        told["looks"] = {each: attempt.status.name for each, attempt in looks.items()}
        try:
            check_server_against_tls_configuration(found, MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE))
            told["issues"] = {}
        except ServerNotCompliantWithTlsConfiguration as error:
            told["issues"] = error.issues
        except ServerScanResultIncomplete as error:
            told["issues"] = {"incomplete": str(error)}
        result = {each: attempt.result for each, attempt in looks.items() if attempt.result is not None}
        holes = {
            "heartbleed": ("heartbleed", "is_vulnerable_to_heartbleed"),
            "ccs injection": ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"),
            "renegotiation": ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"),
            "compression": ("tls_compression", "supports_compression"),
            "early data": ("tls_1_3_early_data", "supports_early_data"),
        }
        told["holes"] = [hole for hole, (look, field) in holes.items() if look not in result or getattr(result[look], field)]
        if not result["robot"].robot_result.name.startswith("NOT_VULNERABLE"):
            told["holes"].append("robot")
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
