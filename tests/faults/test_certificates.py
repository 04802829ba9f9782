# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys and certificates of a whole platform that serves are replaced, by its own CA and by a real ACME server (Debian's pebble).

They want the lab that LAB_NAME names, live; of a tier with several hosts some may be missing. They leave it with the own CA's certificates.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from passlib.totp import TOTP

from .cluster import until
from .redis_ledger import INVENTORY, LAB, PREFIX, ROOT, docker, playbook
from .whole import command, kill, play

Figure = Callable[[str, object], None]
DOMAIN = "api.arxos.test"
ADDRESS = f"{PREFIX}.100"
GATEWAY = f"{PREFIX}.1"
GROUPS = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]
RUNNING = docker("ps", "--format", "{{.Names}}").stdout.split()
HOSTS = [host for group in GROUPS.values() for host in group["hosts"] if f"{LAB}-{host}" in RUNNING]
LIMIT = f"--limit={','.join(HOSTS)},localhost"
UNITS = [
    "nginx",
    "patroni",
    "etcd",
    "pgbackrest",
    "pgbouncer",
    "haproxy",
    "arxos-api",
    "redis-server@6379",
    "redis-server@6380",
    "seaweedfs",
]
RATE = 100


def on(host: str, command: str, check: bool = True) -> str:
    """What a shell on a host prints."""
    done = docker("exec", f"{LAB}-{host}", "sh", "-c", command, check=False)
    assert not check or done.returncode == 0, f"{host}: {command}: {done.stderr}"
    return done.stdout.strip()


def keys() -> dict[str, str]:
    """The public key of every key that serves, by host and name; each belongs to the certificate beside it."""
    found = {}
    for host in HOSTS:
        for name in ("host", "front") if host.startswith("edge") else ("host",):
            public = on(host, f"openssl pkey -in /etc/ssl/arxos/{name}.key -pubout")
            assert public == on(host, f"openssl x509 -in /etc/ssl/arxos/{name}.crt -noout -pubkey"), f"{host}: {name}"
            found[f"{host} {name}"] = public
    return found


def starts() -> dict[str, str]:
    """When the main process of each unit began."""
    found = {}
    for host in HOSTS:
        for unit in UNITS:
            seen = on(host, f"systemctl show -P ExecMainPID -P ActiveState {unit}.service").split()
            if "active" in seen:
                found[f"{host} {unit}"] = seen[0]
    return found


def rotate(*arguments: str) -> dict[str, int]:
    """Changes by host."""
    return changed(play("rotate_certificates.yml", LIMIT, *arguments).ok().said)


def changed(said: str) -> dict[str, int]:
    """Changes by host, as the recap says."""
    rows = [line.split() for line in said.partition("PLAY RECAP")[2].splitlines() if "changed=" in line]
    return {row[0]: int(next(word for word in row if word.startswith("changed=")).partition("=")[2]) for row in rows}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.crt"
    path.write_text(yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())["vault_certificates_ca_certificate"])
    return path


@contextlib.contextmanager
def load(ca: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """100 requests a second, each on a connection of its own, through the virtual address. What came of them is there at the end."""
    secrets = yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: resolve(ADDRESS if host == DOMAIN else host, *rest, **more))
    with requests.Session() as session:
        session.trust_env = False
        otp = TOTP(key=secrets["vault_arxos_api_admin_totp_secret"]).generate().token
        login = {"username": "admin", "password": secrets["vault_arxos_api_admin_password"], "otp": otp}
        answer = session.post(f"https://{DOMAIN}/api/v1/auth/login", json=login, verify=str(ca), timeout=30)
    assert answer.status_code == 200, answer.text
    result = folder / "load"
    words = [
        str(Path(sys.executable).with_name("locust")),
        "-f",
        str(ROOT / "tests/integration/locustfile.py"),
        "--headless",
        "--only-summary",
    ]
    with (folder / "locust.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *words,
                "--host",
                f"https://{DOMAIN}",
                "--users",
                str(2 * RATE),
                "--spawn-rate",
                str(RATE),
                "--stop-timeout",
                "30",
                "--json-file",
                str(result),
            ],
            env={**os.environ, "ARXOS_ADDRESS": ADDRESS, "ARXOS_CA": str(ca), "ARXOS_TOKEN": answer.json()["access_token"]},
            stdout=subprocess.DEVNULL,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    found: dict[str, Any] = {}
    try:
        time.sleep(8)
        yield found
        time.sleep(5)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        entries = json.loads(result.with_suffix(".json").read_text())
        seconds = max(entry["last_request_timestamp"] for entry in entries) - min(entry["start_time"] for entry in entries)
        found["requests"] = sum(entry["num_requests"] for entry in entries)
        found["failures"] = sum(entry["num_failures"] for entry in entries)
        found["rate"] = found["requests"] / seconds
        found["log"] = (folder / "locust.log").read_text()[-3000:]
    finally:
        if process.poll() is None:
            process.kill()


def test_all_keys_are_replaced_under_load_and_no_request_fails(
    ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    before, began = keys(), starts()
    with load(ca, tmp_path, monkeypatch) as came:
        start = time.monotonic()
        found = rotate()
        seconds = time.monotonic() - start
    figure("keys of all hosts replaced", f"{len(HOSTS)} hosts in {seconds:.0f} s, {came['requests']} requests, {came['failures']} failed")
    figure("rate meanwhile", f"{came['rate']:.0f}/s")
    after = keys()
    assert not set(before.values()) & set(after.values()), "a key of before still serves"
    assert all(found[host] for host in HOSTS)
    restarted = {unit for unit, since in starts().items() if since != began.get(unit)}
    assert restarted == {f"{host} arxos-api" for host in HOSTS if host.startswith("app")}, "the application is, drained, and nothing else"
    assert came["failures"] == 0, came
    # What another rate would prove is little; a machine that is busy gives less than was asked for.
    assert came["rate"] > RATE * 0.5, came


def test_what_is_young_is_left_alone_and_what_is_old_is_replaced() -> None:
    before = keys()
    found = rotate("-e", "rotate=due")
    assert keys() == before and not any(found.values()), found
    old = HOSTS[0]
    on(old, "touch -d '91 days ago' /etc/ssl/arxos/host.key")
    found = rotate("-e", "rotate=due")
    after = keys()
    assert [name for name in after if after[name] != before[name]] == [f"{old} host"]
    assert [host for host, count in found.items() if count] == [old]


def test_what_ends_soon_is_replaced_by_the_same_playbook() -> None:
    """A front door whose certificate has fewer days left than its own probe wants is no reason to refuse the new one."""
    edges = [host for host in HOSTS if host.startswith("edge")]
    # The probe asks whoever holds the virtual address.
    for host in sorted(edges, key=lambda host: ADDRESS not in on(host, "ip -brief address")):
        words = [f"--limit={host},localhost", "-e", "certificates_lifetime_days=10", "-e", "certificates_renew_days=5"]
        short = playbook("playbooks/rotate_certificates.yml", *words, check=False)
        assert short.returncode != 0 and "14" in short.stdout, "the probe let 10 days pass: " + short.stdout[-3000:]
    run = playbook("playbooks/rotate_certificates.yml", f"--limit={','.join(edges)},localhost")
    assert all(changed(run.stdout)[host] for host in edges)
    for host in edges:
        on(host, "openssl x509 -in /etc/ssl/arxos/front.crt -noout -checkend $((300 * 86400))")


def test_an_application_host_that_nobody_would_drain_is_refused() -> None:
    before = keys()
    refused = playbook("playbooks/rotate_certificates.yml", "--limit=database1,app1,localhost", check=False)
    assert refused.returncode != 0 and "add the edge, as in --limit app1,edge" in " ".join(refused.stdout.split()), refused.stdout[-3000:]
    assert keys() == before


@pytest.mark.parametrize("task", ["Sign it on the controller", "Replace certificate and key together", "Have every daemon take them up"])
def test_a_run_that_is_killed_leaves_pairs_that_serve_and_the_next_ends_it(task: str, tmp_path: Path) -> None:
    """-9 on the controller, with all that it started, at the second host."""
    before = keys()
    log = tmp_path / "log"
    words = command("rotate_certificates.yml", LIMIT)
    with log.open("wb") as out:
        process = subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        while log.read_text(errors="replace").count(f": {task}") + log.read_text(errors="replace").count(f"[{task}") < 2:
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.1)
        kill(process)
    between = keys()  # each belongs to its certificate
    assert any(between[name] != before[name] for name in before), "it was killed before anything was done"
    rotate("-e", "rotate=due")
    assert keys() == between
    again = rotate("-e", "rotate=due")
    assert not any(again.values()), "what the killed run left was not ended"
    left = [on(host, "ls -A /etc/ssl/arxos/pairs | wc -l") for host in HOSTS]
    assert left == ["2" if host.startswith("edge") else "1" for host in HOSTS]
    rotate()
    assert not set(before.values()) & set(keys().values())


def test_an_application_host_that_a_killed_run_had_drained_serves_after_the_next(tmp_path: Path) -> None:
    edges = [host for host in HOSTS if host.startswith("edge")]
    log, before = tmp_path / "log", keys()
    words = command("rotate_certificates.yml", "--limit=app,edge,localhost")
    with log.open("wb") as out:
        process = subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        while "[Restart and wait until healthy | app1]" not in log.read_text(errors="replace"):
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.1)
        kill(process)
    out_of_it = "grep -c ' down;' /etc/nginx/arxos/upstream.conf"
    assert [on(host, out_of_it, check=False) for host in edges] == ["1"] * len(edges)
    assert keys()["app1 host"] != before["app1 host"]
    between = keys()
    play("rotate_certificates.yml", "--limit=app,edge,localhost", "-e", "rotate=due").ok()
    assert [on(host, out_of_it, check=False) for host in edges] == ["0"] * len(edges)
    assert keys() == between, "what was new was replaced once more"


# -- an ACME server ----------------------------------------------------------------------------------------------------


def authority(folder: Path) -> Path:
    """A certificate for the server's own address, which is no name: its file, with the key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME server of the test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    built = built.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(GATEWAY))])
    built = built.add_extension(alternatives, critical=False).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    path = folder / "acme.crt"
    path.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.with_suffix(".key").write_bytes(key.private_bytes(*form))
    return path


def answers(certificate: Path) -> bool:
    """Whether the ACME server does."""
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        return session.get(f"https://{GATEWAY}/dir", verify=str(certificate), timeout=2).ok
    return False


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Debian's ACME server at the lab's gateway, on a port that the firewall of the hosts lets them reach; it asks the virtual address. Gives arguments."""
    folder = tmp_path_factory.mktemp("acme")
    subprocess.run(["apt-get", "download", "-q", "pebble"], cwd=folder, check=True, capture_output=True)
    subprocess.run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(folder)], check=True)
    certificate = authority(folder)
    settings = {"listenAddress": f"{GATEWAY}:443", "managementListenAddress": "127.0.0.1:15000", "httpPort": 80, "tlsPort": 443}
    settings |= {"certificate": str(certificate), "privateKey": str(certificate.with_suffix(".key"))}
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    names = ["-dns01", "127.0.0.1:8053", "-management", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]
    with (folder / "log").open("wb") as log:
        commands = [
            [str(folder / "usr/bin/pebble-challtestsrv"), *names, "-defaultIPv4", ADDRESS, "-defaultIPv6", ""],
            [str(folder / "usr/bin/pebble"), "-config", str(folder / "pebble.json"), "-dnsserver", "127.0.0.1:8053"],
        ]
        # Else it refuses some good requests on purpose, twice in a row too, and waits some seconds before it asks.
        quick = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        running = [subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=quick) for words in commands]
    given = {
        "certificates_front_source": "acme",
        "certificates_acme_directory": f"https://{GATEWAY}/dir",
        "certificates_acme_email": "operations@arxos.test",
        "certificates_acme_ca": certificate.read_text(),
    }
    (folder / "vars.json").write_text(json.dumps(given))
    # As on a host that never had one: systemd takes no notice of a drop-in whose folder is new.
    for host in [each for each in HOSTS if each.startswith("edge")]:
        on(host, "rm -rf /etc/systemd/system/certbot.service.d && systemctl daemon-reload")
    try:
        until(10, lambda: answers(certificate), "the ACME server answers")
        yield ["-e", f"@{folder / 'vars.json'}"]
    finally:
        for process in running:
            process.terminate()
            process.wait()
        # The own CA's certificate again, since theirs is nobody's.
        for host in [each for each in HOSTS if each.startswith("edge")]:
            on(host, "rm -rf /etc/letsencrypt", check=False)
        playbook("playbooks/hosts.yml", LIMIT, "--tags=certificates,firewall")
        playbook("playbooks/edge.yml", LIMIT)


def served(address: str) -> x509.Certificate:
    """The leaf that an edge host serves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, 443), timeout=5) as raw, context.wrap_socket(raw, server_hostname=DOMAIN) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")


def test_an_acme_server_certifies_each_edge_host_through_the_one_virtual_address(acme: list[str], figure: Figure) -> None:
    edges = {
        host: GROUPS["edge"]["hosts"][host]["arxos_address"].replace("{{ lab_prefix }}", PREFIX)
        for host in HOSTS
        if host.startswith("edge")
    }
    playbook("playbooks/hosts.yml", LIMIT, "--tags=certificates,firewall", *acme)
    before = keys()
    start = time.monotonic()
    run = playbook("playbooks/edge.yml", LIMIT, *acme)
    figure("edge with an ACME certificate", f"{len(edges)} hosts in {time.monotonic() - start:.0f} s")
    assert "BEGIN PRIVATE KEY" not in run.stdout
    after = keys()
    assert len({after[f"{host} front"] for host in edges}) == len(edges), "each host has a key of its own"
    for host, address in edges.items():
        assert after[f"{host} front"] != before[f"{host} front"]
        leaf = served(address)
        assert "Pebble Intermediate" in leaf.issuer.rfc4514_string()
        assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == [DOMAIN]
        assert on(host, "stat -Lc '%U %G %a' /etc/ssl/arxos/front.key") == "root root 600"
        assert on(host, "find /etc/letsencrypt -name '*.pem' -path '*privkey*' -type f ! -perm 600") == ""
        assert on(host, "systemctl is-active certbot.timer") == "active"
        assert on(host, "grep -rl 'PRIVATE KEY' /var/log/letsencrypt /var/log/nginx || true") == ""


def test_a_second_run_changes_nothing(acme: list[str]) -> None:
    before = keys()
    run = playbook("playbooks/edge.yml", LIMIT, *acme)
    assert not any(changed(run.stdout).values()), run.stdout[-3000:]
    run = playbook("playbooks/hosts.yml", LIMIT, "--tags=certificates", *acme)
    assert not any(changed(run.stdout).values()), run.stdout[-3000:]
    playbook("playbooks/edge.yml", LIMIT, "--check", "--diff", *acme)
    assert keys() == before


@pytest.mark.parametrize("host", [each for each in HOSTS if each.startswith("edge")])
def test_the_timer_renews_with_a_new_key_and_nginx_serves_it(acme: list[str], host: str) -> None:
    """On the host that holds the virtual address and on the one that does not."""
    before, master = keys()[f"{host} front"], on(host, "cat /run/nginx.pid")
    on(host, "sed -i '1i renew_before_expiry = 3000 days' /etc/letsencrypt/renewal/front.conf && arxos-seal")
    on(host, "systemctl start certbot.service")
    on(host, "systemctl start arxos-integrity.service")  # what was renewed is in its baseline
    on(host, "sed -i '/^renew_before_expiry = 3000/d' /etc/letsencrypt/renewal/front.conf && arxos-seal")
    after = keys()[f"{host} front"]
    assert after != before and on(host, "cat /run/nginx.pid") == master
    shown = f"openssl s_client -connect 127.0.0.1:443 -servername {DOMAIN} </dev/null 2>/dev/null | openssl x509 -noout -pubkey"
    until(10, lambda: on(host, shown) == after, "NGINX serves the renewed certificate")


def test_what_a_cut_off_renewal_left_is_installed_by_the_next(acme: list[str]) -> None:
    host = next(each for each in HOSTS if each.startswith("edge"))
    wanted = keys()[f"{host} front"]
    on(host, "cd /etc/ssl/arxos && cp host.crt pairs/front-*/tls.crt && cp host.key pairs/front-*/tls.key")
    on(host, "systemctl start certbot.service")
    assert keys()[f"{host} front"] == wanted


def test_who_goes_back_to_the_own_ca_has_no_timer_that_brings_the_other_back(acme: list[str]) -> None:
    edges = [host for host in HOSTS if host.startswith("edge")]
    assert "arxos.conf" in on(edges[0], "systemctl show -P DropInPaths certbot.service")
    playbook("playbooks/hosts.yml", LIMIT, "--tags=certificates,firewall")
    after = keys()
    for host in edges:
        on(host, "systemctl start certbot.service")
        assert on(host, "systemctl is-enabled certbot.timer; systemctl is-active certbot.timer", check=False) == "disabled\ninactive"
        assert "Arxos platform CA" in on(host, "openssl x509 -in /etc/ssl/arxos/front.crt -noout -issuer")
    assert keys() == after
    run = playbook("playbooks/hosts.yml", LIMIT, "--tags=certificates,firewall")
    assert not any(changed(run.stdout).values()), run.stdout[-3000:]
