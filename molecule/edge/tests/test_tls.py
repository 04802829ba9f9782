# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS of the front door as a scanner sees it: Mozilla's intermediate profile, and every look that sslyze has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sslyze
import yaml
from sslyze.mozilla_tls_profile.tls_config_checker import (
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)
from sslyze.scanner.models import AllScanCommandsAttempts

INVENTORY = Path(__file__).resolve().parents[3] / "inventories/lab"
DOMAIN = yaml.safe_load((INVENTORY / "group_vars/all/platform.yml").read_text())["arxos_domain"]
ADDRESS = f"{os.environ.get('LAB_PREFIX', '172.30.20')}.100"


@pytest.fixture(scope="module")
def scan() -> sslyze.ServerScanResult:
    """Everything that sslyze can ask, of the virtual address. A server that cannot be reached, or a look without an answer, is no result."""
    scanner = sslyze.Scanner(per_server_concurrent_connections_limit=2)
    where = sslyze.ServerNetworkLocation(hostname=DOMAIN, ip_address=ADDRESS, port=443)
    scanner.queue_scans([sslyze.ServerScanRequest(server_location=where)])
    (found,) = scanner.get_results()
    assert found.connectivity_status == sslyze.ServerConnectivityStatusEnum.COMPLETED, found.connectivity_error_trace
    assert found.scan_status == sslyze.ServerScanStatusEnum.COMPLETED
    asked = {name: getattr(found.scan_result, name) for name in AllScanCommandsAttempts.__annotations__}
    failed = {
        name: attempt.error_reason for name, attempt in asked.items() if attempt.status != sslyze.ScanCommandAttemptStatusEnum.COMPLETED
    }
    assert len(asked) > 15 and not failed, failed
    return found


def test_it_is_what_mozilla_calls_intermediate(scan: sslyze.ServerScanResult) -> None:
    try:
        check_server_against_tls_configuration(scan, MozillaTlsConfiguration.get(TlsConfigurationEnum.INTERMEDIATE))
    except ServerNotCompliantWithTlsConfiguration as error:
        pytest.fail(str(error.issues))


def test_it_has_none_of_the_known_holes(scan: sslyze.ServerScanResult) -> None:
    found = scan.scan_result
    assert not found.heartbleed.result.is_vulnerable_to_heartbleed
    assert not found.openssl_ccs_injection.result.is_vulnerable_to_ccs_injection
    assert found.robot.result.robot_result.name.startswith("NOT_VULNERABLE")
    assert not found.session_renegotiation.result.is_vulnerable_to_client_renegotiation_dos
    assert not found.tls_compression.result.supports_compression
    assert not found.tls_1_3_early_data.result.supports_early_data
