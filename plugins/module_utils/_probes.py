# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The measurements of M(arxos.platform.health_check), side by side. They only read; what they measure is judged in C(_health)."""

from __future__ import annotations

import base64
import http.client
import json
import os
import pwd
import re
import socket
import ssl
import subprocess
import threading
import time
from datetime import datetime, timezone
from functools import partial
from glob import glob
from typing import Any, Callable
from urllib.parse import urlsplit

from ansible_collections.arxos.platform.plugins.module_utils._health import Measure, Probe, ProbeError, Result, judge

BODY_LIMIT = 1 << 20
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*(?:\{.*\})?)\s+([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?:\s+-?\d+)?\s*$")

# latest_end_lsn is what the primary last said it has written: receive_lsn alone stands still when the stream does.
_REPLICATION = """
select json_build_object(
  'role', case when pg_is_in_recovery() then 'replica' else 'primary' end,
  'lag_bytes', case when pg_is_in_recovery()
    then greatest(0, pg_wal_lsn_diff(
      greatest(pg_last_wal_receive_lsn(), (select latest_end_lsn from pg_stat_wal_receiver)), pg_last_wal_replay_lsn()))
    else (select max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) from pg_stat_replication where state = 'streaming') end,
  'streaming', exists (select from pg_stat_wal_receiver where status = 'streaming'),
  'replicas', (select count(*) from pg_stat_replication where state = 'streaming'))
"""


def look(probes: list[Probe], timeout: float) -> list[Result]:
    """Measure and judge all probes at once; one that has no answer after C(timeout) seconds is unhealthy."""
    units = sorted({probe["unit"] for probe in probes if probe["type"] == "systemd"})
    shared: dict[str, Measure | ProbeError] = {}
    results: list[Result | None] = [None] * len(probes)

    def run(index: int, probe: Probe) -> None:
        results[index] = _one(probe, lambda: measure(probe, timeout))

    def run_units() -> None:
        shared.update(measure_units(units, timeout))

    # Daemon threads: a name look-up cannot be interrupted, and must not keep the module from ending.
    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(probes) if pair[1]["type"] != "systemd"]
    threads += [threading.Thread(target=run_units, daemon=True)] if units else []
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, start + timeout + 0.5 - time.monotonic()))
    late = ProbeError(f"no answer within {timeout:g} s")
    for index, probe in enumerate(probes):
        if probe["type"] == "systemd":
            results[index] = _one(probe, partial(_raise_or_return, shared.get(probe["unit"], late)))
        elif results[index] is None:
            results[index] = Result(probe["name"], probe["type"], timeout, problems=[str(late)])
    return [result for result in results if result is not None]


def _raise_or_return(found: Measure | ProbeError) -> Measure:
    if isinstance(found, ProbeError):
        raise found
    return found


def _one(probe: Probe, take: Callable[[], Measure]) -> Result:
    start = time.monotonic()
    result = Result(probe["name"], probe["type"], 0.0)
    try:
        result.measured = take()
        result.problems = judge(probe, result.measured)
    except ProbeError as error:
        result.problems = [str(error)]
    except Exception as error:  # a probe never takes the others down with it
        result.problems = [f"{_target(probe)}: {_reason(error)}"]
    result.seconds = time.monotonic() - start
    return result


def _target(probe: Probe) -> str:
    return str(probe.get("url") or probe.get("path") or f"{probe.get('host')}:{probe.get('port')}")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate is refused: {error.verify_message}"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f" ({error.filename})" if error.filename else "")
    return f"{type(error).__name__}: {error}"


def measure(probe: Probe, timeout: float) -> Measure:
    """Take one measurement. Raises ProbeError, OSError or an http error when that is impossible."""
    return _MEASURES[probe["type"]](probe, timeout)


def _tls_context(probe: Probe) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=probe.get("ca_cert"))
        if probe.get("validate_certs") is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if probe.get("client_cert"):
            context.load_cert_chain(probe["client_cert"], probe.get("client_key"))
    except (OSError, ssl.SSLError) as error:
        files = " or ".join(probe[key] for key in ("ca_cert", "client_cert", "client_key") if probe.get(key))
        raise ProbeError(f"cannot read {files}: {getattr(error, 'strerror', None) or error}") from error
    return context


class _NamedConnection(http.client.HTTPSConnection):
    """HTTPS to an address whose certificate carries another name."""

    def __init__(self, host: str, port: int | None, timeout: float, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._named, self._server_name = context, server_name

    def connect(self) -> None:
        raw = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._named.wrap_socket(raw, server_hostname=self._server_name)


def measure_http(probe: Probe, timeout: float) -> Measure:
    parts = urlsplit(probe["url"])
    host, name = parts.hostname or "", probe.get("server_name")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = _NamedConnection(host, parts.port, timeout, _tls_context(probe), name or host)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout)
    headers = {"User-Agent": "arxos-health-check", "Accept": "*/*"}
    if name:
        headers["Host"] = name + (f":{parts.port}" if parts.port else "")
    if probe.get("user"):
        headers["Authorization"] = "Basic " + base64.b64encode(f"{probe['user']}:{probe['password']}".encode()).decode()
    if probe.get("token"):
        headers["Authorization"] = "Bearer " + probe["token"]
    given = {str(key): str(value) for key, value in (probe.get("headers") or {}).items()}
    headers = {key: value for key, value in headers.items() if key.lower() not in {k.lower() for k in given}}
    start = time.monotonic()
    try:
        connection.request(
            probe.get("method") or "GET", (parts.path or "/") + ("?" + parts.query if parts.query else ""), headers={**headers, **given}
        )
        response = connection.getresponse()
        body = response.read(BODY_LIMIT)
    finally:
        connection.close()
    measured: Measure = {"status": response.status, "milliseconds": round((time.monotonic() - start) * 1000, 1)}
    if probe.get("json") is not None:
        try:
            measured["json"] = json.loads(body)
        except ValueError:
            measured["json"] = None
    if response.status not in (probe.get("status") or [200]) or (probe.get("json") is not None and measured["json"] is None):
        measured["body"] = body[:500].decode("utf-8", "replace")
    return measured


def measure_tcp(probe: Probe, timeout: float) -> Measure:
    start = time.monotonic()
    with socket.create_connection((probe["host"], probe["port"]), timeout):
        return {"milliseconds": round((time.monotonic() - start) * 1000, 1)}


def measure_tls(probe: Probe, timeout: float) -> Measure:
    context = _tls_context(probe)
    name = probe.get("server_name") or probe["host"]
    with socket.create_connection((probe["host"], probe["port"]), timeout) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
        ends = _not_after(tls)
        return {
            "days_left": round((ends - datetime.now(timezone.utc)).total_seconds() / 86400, 2),
            "not_after": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "protocol": tls.version(),
        }


def _not_after(tls: ssl.SSLSocket) -> datetime:
    """The end of the peer's certificate. The ssl module reads only a certificate that it verified; another takes openssl."""
    verified = tls.getpeercert()
    if verified:
        text = str(verified["notAfter"])
    else:
        pem = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")
        answer = subprocess.run(
            ["openssl", "x509", "-noout", "-enddate"], input=pem, capture_output=True, text=True, timeout=5, check=False
        )
        if answer.returncode:
            raise ProbeError(f"certificate cannot be read: {_last_line(answer.stderr)}")
        text = answer.stdout.strip().partition("=")[2]
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), timezone.utc)


def measure_units(units: list[str], timeout: float) -> dict[str, Measure | ProbeError]:
    """The states of all units by one call."""
    properties = {"LoadState": "load_state", "ActiveState": "active_state", "SubState": "sub_state", "Result": "result"}
    try:
        text = _run(["systemctl", "show", "--no-pager", "--property=" + ",".join(properties), "--"] + units, timeout)
        blocks = text.strip("\n").split("\n\n")
        if len(blocks) != len(units):
            raise ProbeError(f"systemctl shows {len(blocks)} units of {len(units)}")
    except ProbeError as error:
        return dict.fromkeys(units, error)
    found: dict[str, Measure | ProbeError] = {}
    for unit, block in zip(units, blocks):
        state = dict(line.partition("=")[::2] for line in block.splitlines())
        found[unit] = {ours: state.get(theirs, "") for theirs, ours in properties.items()}
    return found


def measure_failed_units(probe: Probe, timeout: float) -> Measure:
    answer = _run(["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--full"], timeout)
    return {"units": sorted(line.split()[0] for line in answer.splitlines() if line.strip())}


def measure_metrics(probe: Probe, timeout: float) -> Measure:
    """What files for node-exporter's collector hold, by name and labels."""
    values: dict[str, float] = {}
    for path in sorted(glob(probe["path"])):
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                found = _SAMPLE.match(line)
                if found:
                    values[found.group(1)] = float(found.group(2))
    return {"values": values, "now": time.time()}


def measure_disk(probe: Probe, timeout: float) -> Measure:
    found = os.statvfs(probe["path"])
    usable = found.f_blocks - found.f_bfree + found.f_bavail
    return {
        "free_percent": round(100.0 * found.f_bavail / usable, 1) if usable else 0.0,
        "free_mb": found.f_bavail * found.f_frsize // (1 << 20),
    }


def measure_postgresql(probe: Probe, timeout: float) -> Measure:
    """Ask psql: over the local socket as the user of the cluster, or over TLS to a host. What is secret goes by the environment."""
    given = {
        "PGDATABASE": probe.get("database") or "postgres",
        "PGPORT": str(probe.get("port") or 5432),
        "PGUSER": probe.get("user") or "postgres",
        "PGCONNECT_TIMEOUT": str(max(2, int(timeout))),
        "PGOPTIONS": f"-c statement_timeout={max(1, int(timeout * 1000))}",
        "PGAPPNAME": "arxos-health-check",
    }
    options: dict[str, Any] = {}
    if probe.get("host"):
        name = probe.get("server_name")
        given.update({"PGHOST": name, "PGHOSTADDR": probe["host"]} if name else {"PGHOST": probe["host"]})
        for key, variable in (
            ("password", "PGPASSWORD"),
            ("ca_cert", "PGSSLROOTCERT"),
            ("client_cert", "PGSSLCERT"),
            ("client_key", "PGSSLKEY"),
        ):
            if probe.get(key):
                given[variable] = probe[key]
        if probe.get("ca_cert"):
            given["PGSSLMODE"] = "verify-full"
    elif os.geteuid() == 0:
        try:
            account = pwd.getpwnam(given["PGUSER"])
        except KeyError:
            raise ProbeError(f"this host has no user {given['PGUSER']}") from None
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": os.getgrouplist(account.pw_name, account.pw_gid)}
    answer = _run(["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", _REPLICATION], timeout, given, **options)
    try:
        return dict(json.loads(answer))
    except ValueError:
        raise ProbeError(f"psql answered {ascii(answer[:200])}") from None


def measure_redis(probe: Probe, timeout: float) -> Measure:
    command = ["redis-cli", "-h", probe["host"], "-p", str(probe["port"]), "--no-auth-warning"]
    if probe.get("ca_cert"):
        command += ["--tls", "--cacert", probe["ca_cert"]]
    for key, argument in (("server_name", "--sni"), ("client_cert", "--cert"), ("client_key", "--key"), ("user", "--user")):
        if probe.get(key):
            command += [argument, probe[key]]
    secret = {"REDISCLI_AUTH": probe["password"]} if probe.get("password") else {}
    if probe.get("slots") is None and probe.get("nodes") is None:
        answer = _run(command + ["PING"], timeout, secret).strip()
        if answer != "PONG":
            raise ProbeError(f"PING is answered by {ascii(answer[:200])}, wanted PONG")
        return {"ping": answer}
    answer = _run(command + ["CLUSTER", "INFO"], timeout, secret)
    found = dict(line.strip().partition(":")[::2] for line in answer.splitlines())
    if "cluster_state" not in found:
        raise ProbeError(f"CLUSTER INFO is answered by {ascii(answer.strip()[:200])}")
    return {
        "cluster_state": found["cluster_state"],
        **{key: int(found.get(key) or 0) for key in ("cluster_slots_ok", "cluster_known_nodes", "cluster_size")},
    }


def _run(command: list[str], timeout: float, environment: dict[str, str] | None = None, **options: Any) -> str:
    base = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            env={**base, **(environment or {})},
            **options,
        )
    except FileNotFoundError:
        raise ProbeError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ProbeError(f"no answer from {command[0]} within {timeout:g} s") from None
    if answer.returncode:
        said = _last_line(answer.stderr or answer.stdout) or f"ended with {answer.returncode}"
        raise ProbeError(said if said.startswith(command[0] + ":") else f"{command[0]}: {said}")
    return answer.stdout


def _last_line(text: str) -> str:
    return " ".join(" ".join(text.strip().splitlines()[-2:]).split())[:300]


_MEASURES: dict[str, Callable[[Probe, float], Measure]] = {
    "http": measure_http,
    "tcp": measure_tcp,
    "tls": measure_tls,
    "failed_units": measure_failed_units,
    "metrics": measure_metrics,
    "disk": measure_disk,
    "postgresql": measure_postgresql,
    "redis": measure_redis,
}
