#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: health_check
short_description: Probe the health of one host's services, all at once
version_added: "0.1.0"
description:
  - Runs many probes in one round trip, side by side, and waits until all of them pass in one and the same look.
  - It only reads, so it runs in check mode just the same and never reports a change.
  - The failure message has a line for each unhealthy probe, with what was measured and what was wanted.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
requirements:
  - C(psql) for probes of O(probes[].type=postgresql), C(redis-cli) for those of O(probes[].type=redis).
options:
  timeout:
    description: Seconds to wait until all probes pass. With V(0) there is one look. A look that has begun is always finished.
    type: float
    default: 0
  interval:
    description: Seconds between two looks.
    type: float
    default: 1
  probe_timeout:
    description: Seconds that one probe may take for one look.
    type: float
    default: 10
  probes:
    description: What to probe. An option that a type of probe does not know is refused.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What results and messages call this probe.
        type: str
        required: true
      type:
        description:
          - V(http) makes one request, follows no redirect, and judges O(probes[].status) and O(probes[].json).
          - V(tcp) opens a connection.
          - V(tls) makes a handshake, verifies the certificate and judges the days that it has left.
          - V(systemd) wants the unit to be active. All units of a call are asked for at once.
          - V(failed_units) wants that no unit of the host has failed.
          - V(metrics) judges what timers left behind for node-exporter - whether C(*_success) is 1, and the age of
            C(*_last_success_timestamp_seconds).
          - V(disk) judges the free space that an unprivileged user has.
          - V(postgresql) judges the role and the replication lag. Without O(probes[].host) it asks over the local socket, as the
            operating system user O(probes[].user) when it runs as root.
          - V(redis) sends C(PING), or judges C(CLUSTER INFO) when O(probes[].slots) or O(probes[].nodes) is given.
        type: str
        choices: [http, tcp, tls, systemd, failed_units, metrics, disk, postgresql, redis]
        required: true
      url:
        description: URL of a V(http) probe.
        type: str
      method:
        description: Method of a V(http) probe, V(GET) unless given.
        type: str
      status:
        description: Status codes that are healthy, V([200]) unless given.
        type: list
        elements: int
      headers:
        description: Headers of the request. They are shown in logs; a secret belongs in O(probes[].token) or O(probes[].password).
        type: dict
      json:
        description:
          - What the body, being JSON, must hold. Dictionaries may hold more than is wanted here, everything else must be equal.
        type: dict
      token:
        description: Bearer token of a V(http) probe.
        type: str
      user:
        description: User for basic authentication, of PostgreSQL (V(postgres) unless given), or of Redis' ACL.
        type: str
      password:
        description: Password of O(probes[].user), or of Redis' default user. It is never an argument of a command.
        type: str
      host:
        description: Name or address to connect to, for V(tcp), V(tls), V(redis) and V(postgresql) probes.
        type: str
      port:
        description: Port to connect to. For V(postgresql) it is V(5432) unless given.
        type: int
      server_name:
        description:
          - Name to ask for (SNI) and to find in the certificate, where O(probes[].url) or O(probes[].host) holds another.
          - A V(http) probe sends it as its C(Host) header too.
        type: str
      ca_cert:
        description:
          - File with the certificates to trust; the system's own unless given.
          - V(redis) uses TLS only when it is given. V(postgresql) wants C(verify-full) when it is given.
        type: path
      client_cert:
        description: File with the certificate to show, in PEM form.
        type: path
      client_key:
        description: File with the key of O(probes[].client_cert), unless that file holds it too.
        type: path
      validate_certs:
        description: Whether V(http) and V(tls) probes verify the certificate, V(true) unless given.
        type: bool
      min_days:
        description: Days that the certificate of a V(tls) probe must have left, V(0) unless given; negative where it may have ended so many days ago.
        type: int
      unit:
        description: Unit of a V(systemd) probe, with its suffix.
        type: str
      path:
        description: A path on the file system of a V(disk) probe, or the file of a V(metrics) probe, which may be a pattern of the shell's.
        type: path
      max_age_hours:
        description: How long ago the last success in the file of a V(metrics) probe may be.
        type: float
      min_free_percent:
        description: Free space that is wanted, in percent of what is usable.
        type: float
      min_free_mb:
        description: Free space that is wanted, in MiB.
        type: int
      database:
        description: Database to connect to, V(postgres) unless given.
        type: str
      role:
        description: Role that is wanted, V(any) unless given.
        type: str
        choices: [primary, replica, any]
      max_lag_bytes:
        description:
          - On a replica, the most WAL that may be known to exist and is not replayed; a replica without a stream is unhealthy.
          - On a primary, the most that any streaming replica may be behind.
        type: int
      min_replicas:
        description: How many replicas must stream from the primary.
        type: int
      slots:
        description: How many slots must be served, with a cluster state of C(ok).
        type: int
      nodes:
        description: How many nodes must be known to the cluster.
        type: int
"""

EXAMPLES = r"""
- name: Wait until the application is healthy
  arxos.platform.health_check:
    timeout: 60
    probes:
      - {name: service, type: systemd, unit: arxos-api.service}
      - {name: disk, type: disk, path: /var/lib, min_free_percent: 10, min_free_mb: 500}
      - name: api
        type: http
        url: https://172.30.20.21:8443/health/
        server_name: app1
        ca_cert: /etc/ssl/arxos/ca.crt
        json: {status: healthy}
      - {name: certificate, type: tls, host: 172.30.20.21, port: 8443, server_name: app1, ca_cert: /etc/ssl/arxos/ca.crt, min_days: 14}

- name: See that the database is a primary with both of its replicas
  arxos.platform.health_check:
    probes:
      - {name: primary, type: postgresql, role: primary, min_replicas: 2, max_lag_bytes: 16777216}

- name: See that the Redis cluster serves every slot
  arxos.platform.health_check:
    probes:
      - name: slots
        type: redis
        host: 172.30.20.41
        port: 6379
        password: "{{ redis_password }}"
        ca_cert: /etc/ssl/arxos/ca.crt
        slots: 16384
        nodes: 6
"""

RETURN = r"""
healthy:
  description: Whether every probe passed.
  returned: always
  type: bool
  sample: true
results:
  description: What came of each probe, in the order of O(probes).
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: The name of the probe., returned: always, type: str, sample: api}
    type: {description: The type of the probe., returned: always, type: str, sample: http}
    healthy: {description: Whether it passed., returned: always, type: bool, sample: true}
    measured: {description: What was measured., returned: always, type: dict, sample: {status: 200, milliseconds: 4.2}}
    problems: {description: What was measured and what was wanted, returned: always, type: list, elements: str, sample: []}
    seconds: {description: How long the last look took., returned: always, type: float, sample: 0.005}
looks:
  description: How often the probes were run.
  returned: always
  type: int
  sample: 3
waited:
  description: Seconds until all probes passed, or until it was given up.
  returned: always
  type: float
  sample: 2.1
"""

import time

from ansible_collections.arxos.platform.plugins.module_utils._health import faults, summary, wait_until
from ansible_collections.arxos.platform.plugins.module_utils._probes import look
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

PROBE = {
    "name": {"type": "str", "required": True},
    "type": {
        "type": "str",
        "required": True,
        "choices": ["http", "tcp", "tls", "systemd", "failed_units", "metrics", "disk", "postgresql", "redis"],
    },
    "url": {"type": "str"},
    "method": {"type": "str"},
    "status": {"type": "list", "elements": "int"},
    "headers": {"type": "dict"},
    "json": {"type": "dict"},
    "token": {"type": "str", "no_log": True},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "server_name": {"type": "str"},
    "ca_cert": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "validate_certs": {"type": "bool"},
    "min_days": {"type": "int"},
    "unit": {"type": "str"},
    "path": {"type": "path"},
    "max_age_hours": {"type": "float"},
    "min_free_percent": {"type": "float"},
    "min_free_mb": {"type": "int"},
    "database": {"type": "str"},
    "role": {"type": "str", "choices": ["primary", "replica", "any"]},
    "max_lag_bytes": {"type": "int"},
    "min_replicas": {"type": "int"},
    "slots": {"type": "int"},
    "nodes": {"type": "int"},
}


def main() -> None:
    module = StrictModule(
        argument_spec={
            "timeout": {"type": "float", "default": 0},
            "interval": {"type": "float", "default": 1},
            "probe_timeout": {"type": "float", "default": 10},
            "probes": {"type": "list", "elements": "dict", "required": True, "options": PROBE},
        },
        supports_check_mode=True,
    )
    given = module.params
    module.refuse(
        [f"timeout is {given['timeout']:g}, wanted 0 or more"] * (not given["timeout"] >= 0)
        + [f"{key} is {given[key]:g}, wanted more than 0" for key in ("interval", "probe_timeout") if not given[key] > 0]
        + faults(given["probes"])
    )
    results, waited, looks = wait_until(
        look=lambda: look(given["probes"], given["probe_timeout"]),
        good=lambda seen: all(result.healthy for result in seen),
        timeout=given["timeout"],
        interval=given["interval"],
        clock=time,
    )
    healthy = all(result.healthy for result in results)
    answer = {"healthy": healthy, "results": [result.as_dict() for result in results], "looks": looks, "waited": round(waited, 2)}
    if healthy:
        module.exit_json(changed=False, **answer)
    module.fail_json(msg=summary(results, waited), **answer)


if __name__ == "__main__":
    main()
