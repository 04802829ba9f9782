# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much of the host each unit of ours could reach, by systemd's own measure, 0 to 10: all of them are judged by one call."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROLES = Path(__file__).resolve().parents[2] / "roles"
Render = Callable[..., str]
BOUND = 4.0  # as the testinfra tests want of those that run

# Units that cannot keep to it: the bound of their own, and why.
EXCEPTIONS = {
    "hardening/hardening.service.j2": (
        6.0,
        "it mounts, sets sysctls, loads audit rules and writes accounts and PAM: with file systems of its own none of that would reach the host",
    ),
}
# Drop-ins that say when a unit of a package starts or what it runs, and leave what it may do to its package.
NO_SANDBOX = {
    "certificates/certbot.service.j2": "certbot writes where its hooks and plugins want",
    "etcd/etcd.service.j2": "the package's unit has a user of its own",
    "firewall/nftables.service.conf.j2": "the package's unit is confined, and loads rules",
    "hardening/updates.service.j2": "upgrades run the scripts of any package as root, and restart any daemon",
    "keepalived/keepalived.service.conf.j2": "it moves addresses",
    "postgresql/patroni.service.j2": "the package's unit has the user of the cluster",
}

# What the host's facts, the playbook or the task that sends it hands to a template, beside what its role has. No value changes what the unit may do.
UNITS: dict[str, dict[str, Any]] = {
    "arxos_api/arxos-api.service.j2": {"arxos_api_memory_max": "1G"},
    "arxos_api/certificate.service.j2": {},
    "audit_archive/arxos-audit.service.j2": {"name": "archive", "description": "x", "arguments": ""},
    "backup/arxos-backup-names.service.j2": {},
    "backup/arxos-backup.service.j2": {"name": "full", "description": "x"},
    "certificates/certificates.service.j2": {},
    "connection_pool/certificate.service.j2": {},
    "hardening/hardening.service.j2": {"__hardening_commands": ["/bin/true"]},
    "hardening/integrity.service.j2": {"__hardening_aide": "/etc/aide/arxos.conf"},
    "postgresql_schema/arxos-partitions.service.j2": {},
    "redis_cluster/redis-users.service.j2": {"__redis_cluster_units": ["redis-server@6379.service"]},
    "seaweedfs/seaweedfs.service.j2": {"seaweedfs_address": "192.0.2.1"},
    "upload_inspection/upload-inspection.service.j2": {},
    "vulnerability_scan/arxos-vulnerability-scan.service.j2": {},
    "waf/nginx-waf.service.j2": {},
    # Drop-ins, which confine a unit of a package. They are judged as if that unit said nothing itself.
    "backup/pgbackrest.service.j2": {"__backup_unit_names": []},
    "connection_pool/pgbouncer.service.j2": {"connection_pool_max_clients": 100},
    "intrusion_detection/fail2ban.service.j2": {},
    "log_shipping/rsyslog.service.j2": {"log_shipping_collect": True, "log_shipping_archive_spool": "/var/spool/x"},
    "nginx/nginx.service.conf.j2": {"nginx_worker_connections": 1024},
}


pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (package systemd) judges units")


def test_every_unit_is_judged_or_there_is_a_reason() -> None:
    units = {f"{path.parts[-3]}/{path.name}" for path in ROLES.glob("*/templates/*.service*.j2")}
    assert units == UNITS.keys() | NO_SANDBOX.keys()
    for template in NO_SANDBOX:
        text = (ROLES / template.replace("/", "/templates/", 1)).read_text()
        assert "\n[Install]" not in text and "\nDescription=" not in text, f"{template} is a unit of its own"


def test_no_unit_may_do_much_more_than_it_has_to(render: Render, tmp_path: Path) -> None:
    names = {}
    for template, given in UNITS.items():
        role, name = template.split("/")
        text = render(role, name, **given)
        assert "{{" not in text
        path = tmp_path / f"{role}-{name.split('.')[0]}.service"
        path.write_text(text if re.search(r"^ExecStart=\S", text, re.M) else f"{text}\n[Service]\nExecStart=/bin/true\n")
        names[path.name] = template
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", *(str(tmp_path / name) for name in names)],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"exposure level for (\S+): ([\d.]+) ", done.stdout))
    assert found.keys() == names.keys(), done.stderr
    assert not re.search(r"Unknown|Failed to parse|Invalid", done.stderr), done.stderr
    exposed = {names[name]: float(value) for name, value in found.items()}
    bounds = {template: EXCEPTIONS.get(template, (BOUND, ""))[0] for template in exposed}
    assert {template: value for template, value in exposed.items() if value > bounds[template]} == {}
    assert [template for template in EXCEPTIONS if exposed[template] <= BOUND] == [], "they need no exception any more"
