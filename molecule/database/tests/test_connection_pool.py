# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pools of the application hosts, with psql on the host itself, as the application meets them."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
INVENTORY = Path(__file__).resolve().parents[3] / "inventories/lab"
SECRETS: dict[str, str] = yaml.safe_load((INVENTORY / "group_vars/all/vault.yml").read_text())
GROUPS = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]
MEMBERS = list(GROUPS["database"]["hosts"])
PASSWORD = SECRETS["vault_postgresql_application_password"]
CA = "sslmode=verify-full sslrootcert=/etc/ssl/arxos/ca.crt connect_timeout=5"
POOL = f"host=localhost hostaddr=127.0.0.1 port=6432 {CA} user=arxos_application dbname=arxos_production"
READ_ONLY = f"{POOL}_ro"
ADMIN = "host=/run/pgbouncer port=6432 user=pgbouncer dbname=pgbouncer"


def running(name: str) -> bool:
    words = ["docker", "exec", f"{LAB}-{name}", "systemctl", "is-active", "pgbouncer.service"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


CLIENTS = [name for name in GROUPS["app"]["hosts"] if running(name)]
testinfra_hosts = [f"docker://{LAB}-{name}" for name in CLIENTS]
ONE = CLIENTS[-1] if CLIENTS else ""


def psql(connection: str, *queries: str, password: str = PASSWORD, name: str = "", user: str = "nobody", timeout: int = 60) -> Any:
    """psql on a host, each query a transaction of its own."""
    words = ["docker", "exec", "-e", f"PGPASSWORD={password}", "-u", user, f"{LAB}-{name or ONE}", "psql", "-XAtqw", "-d", connection]
    for query in queries:
        words += ["-c", query]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout)


def ask(connection: str, *queries: str, name: str = "") -> str:
    answer = psql(connection, *queries, name=name)
    assert answer.returncode == 0, answer.stderr
    return str(answer.stdout.strip())


def console(command: str, name: str = "") -> list[dict[str, str]]:
    """What PgBouncer's own console says, a dict a line."""
    words = [
        "docker",
        "exec",
        "-u",
        "postgres",
        f"{LAB}-{name or ONE}",
        "psql",
        "-XAq",
        "-F",
        "\t",
        "-P",
        "footer=off",
        "-d",
        ADMIN,
        "-c",
        command,
    ]
    lines = [line.split("\t") for line in subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def local(name: str, query: str, database: str = "postgres") -> str:
    """A query of the superuser over the local socket of a member of the cluster."""
    words = ["docker", "exec", "-u", "postgres", f"{LAB}-{name}", "psql", "-XAtqw", "-d", database, "-c", query]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stdout.strip()


def leaders() -> list[str]:
    return [name for name in MEMBERS if local(name, "select pg_is_in_recovery()") == "f"]


def until(seconds: float, predicate: Callable[[], Any]) -> Any:
    """The first true answer of the predicate, or a failure."""
    start = time.monotonic()
    while not (answer := predicate()):
        assert time.monotonic() - start < seconds, f"{predicate.__doc__ or predicate} did not come true within {seconds} s"
        time.sleep(0.2)
    return answer


@pytest.fixture(scope="module", autouse=True)
def whole() -> None:
    """What another test of the tier left behind is over."""
    assert CLIENTS, "no application host has pools"

    def ready() -> bool:
        """one leader and its streaming replicas"""
        streams = "select count(*) from pg_stat_replication where state = 'streaming'"
        return len(leaders()) == 1 and local(leaders()[0], streams) == str(len(MEMBERS) - 1)

    until(60, ready)
    for name in CLIENTS:  # a reader's connection stays where it is when its replica becomes the leader
        console("reconnect", name)


# The service ----------------------------------------------------------------------------------------------------------


def test_it_runs_and_starts_at_boot(host: Any) -> None:
    for unit in ("pgbouncer.service", "pgbouncer-certificate.path"):
        assert host.service(unit).is_running
        assert host.service(unit).is_enabled


def test_only_the_host_itself_can_reach_it(host: Any) -> None:
    assert host.check_output("ss -Hltn 'sport = :6432' | awk '{print $4}'").split() == ["127.0.0.1:6432"]


def test_secrets_are_for_the_daemon_alone(host: Any) -> None:
    assert host.check_output("stat -c '%U:%G %a' /etc/pgbouncer/userlist.txt") == "root:postgres 640"
    assert host.run("runuser -u nobody -- cat /etc/pgbouncer/userlist.txt").rc != 0
    assert host.run("grep -rqF -- %s /var/log", PASSWORD).rc == 1
    assert host.run("journalctl --no-pager | grep -qF -- %s", PASSWORD).rc == 1


def test_it_can_do_no_more_than_it_needs(host: Any) -> None:
    shown = host.check_output("systemctl show pgbouncer.service -p User,NoNewPrivileges,ProtectSystem,Restart,CapabilityBoundingSet")
    assert dict(line.split("=", 1) for line in shown.splitlines()) == {
        "User": "postgres",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "Restart": "always",
        "CapabilityBoundingSet": "",
    }
    host.run_expect([0], "systemd-analyze security --threshold=20 --no-pager pgbouncer.service")


def test_a_renewed_certificate_is_taken_up(host: Any) -> None:
    """Its unit may do nothing but ask systemd, which must not refuse it."""
    host.check_output("systemctl start pgbouncer-certificate.service")
    host.run_expect([0], "systemd-analyze security --threshold=40 --no-pager pgbouncer-certificate.service")


def test_the_console_is_for_the_daemons_user_alone(host: Any) -> None:
    assert host.run("runuser -u nobody -- psql -XAtw -d %s -c 'show version'", ADMIN).rc != 0
    assert psql(POOL.replace("arxos_production", "pgbouncer"), "show pools").returncode != 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("true", ""),
        ("echo 'nonsense = 1' >> $d/pools.ini", "pool"),
        ("sed -i 's/^max_client_conn.*/max_client_conn = many/' $d/pools.ini", "invalid value"),
        ("sed -i 's/pool_size=/pool_siz=/' $d/pools.ini", "unrecognized connection parameter"),
        ("sed -i 's,^client_tls_key_file.*,client_tls_key_file = /nowhere,' $d/pools.ini", "TLS"),
        ("rm $d/userlist.txt", "auth_file"),
        ("rm $d/pools.ini", "pools.ini"),
    ],
    ids=["good", "unknown setting", "wrong value", "unknown connection setting", "no key", "no users", "no pools"],
)
def test_a_configuration_is_judged_by_pgbouncer_itself(change: str, reason: str) -> None:
    host = testinfra.get_host(f"docker://{LAB}-{ONE}")
    done = host.run(f"d=$(mktemp -d); cp /etc/pgbouncer/* $d; {change}; pgbouncer-check $d; code=$?; rm -r $d; exit $code")
    assert (done.rc == 0) == (not reason), done.stderr
    assert reason in done.stderr


# What a client meets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIENTS)
def test_one_pool_writes_and_the_other_reads_from_a_replica(name: str) -> None:
    mark = f"pool {uuid.uuid4()}"
    assert ask(POOL, f"insert into buildings (name) values ('{mark}')", "select pg_is_in_recovery()", name=name) == "f"
    assert ask(READ_ONLY, "select pg_is_in_recovery()", name=name) == "t"

    def arrived() -> bool:
        """the row on a replica"""
        return ask(READ_ONLY, f"select count(*) from buildings where name = '{mark}'", name=name) == "1"

    until(10, arrived)
    refused = psql(READ_ONLY, "insert into buildings (name) values ('x')", name=name)
    assert refused.returncode != 0 and "read-only transaction" in refused.stderr
    ask(POOL, f"delete from buildings where name = '{mark}'", name=name)


def test_every_connection_to_the_server_is_encrypted_and_has_its_limits() -> None:
    assert ask(POOL, "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()") == "t|TLSv1.3"
    for connection in (POOL, READ_ONLY):
        assert ask(connection, "select current_setting('statement_timeout'), current_setting('lock_timeout')") == "10s|5s"
    assert {row["tls"].split("/")[0] for row in console("show servers")} == {"TLSv1.3"}


@pytest.mark.parametrize(
    ("connection", "password", "reason"),
    [
        (f"{POOL} sslmode=disable", PASSWORD, "SSL required"),
        (POOL, "wrong", "authentication failed"),
        (POOL, "", "no password supplied"),
        (f"{POOL} host=another.name", PASSWORD, "does not match host name"),
        (f"{POOL} host=postgresql.arxos.internal", PASSWORD, "does not match host name"),
        (f"{POOL} user=arxos_owner", SECRETS["vault_postgresql_owner_password"], "authentication failed"),
        (f"{POOL} user=postgres", PASSWORD, "authentication failed"),
        (f"{POOL} dbname=postgres", PASSWORD, "no such database"),
    ],
    ids=["plain", "wrong password", "no password", "wrong name", "name of the database tier", "owner", "superuser", "other database"],
)
def test_refused(connection: str, password: str, reason: str) -> None:
    answer = psql(connection, "select 1", password=password)
    assert answer.returncode != 0
    assert reason in answer.stderr


def test_a_server_with_another_tiers_certificate_is_refused() -> None:
    """PgBouncer wants the name of the database tier: this host's own certificate, which is valid for 127.0.0.1, is not enough."""
    host = testinfra.get_host(f"docker://{LAB}-{ONE}")
    names = host.check_output("openssl x509 -in /etc/ssl/arxos/host.crt -noout -ext subjectAltName")
    assert "127.0.0.1" in names and "postgresql.arxos.internal" not in names
    modes = {row["key"]: row["value"] for row in console("show config")}
    assert modes["server_tls_sslmode"] == "verify-full"
    assert {row["host"] for row in console("show databases") if row["database"] != "pgbouncer"} == {"postgresql.arxos.internal"}


def test_more_clients_than_connections_wait_and_are_all_served() -> None:
    sizes = {row["name"]: int(row["pool_size"]) for row in console("show databases")}
    size = sizes["arxos_production"]
    with ThreadPoolExecutor(4 * size) as threads:
        answers = list(threads.map(lambda _: psql(POOL, "select pg_backend_pid() from pg_sleep(0.5)"), range(4 * size)))
    assert [answer.stderr for answer in answers if answer.returncode] == []
    assert len({answer.stdout for answer in answers}) <= size
    used = local(leaders()[0], "select count(*) from pg_stat_activity where usename = 'arxos_application' and client_addr is not null")
    assert int(used) <= sum(size for name, size in sizes.items() if name != "pgbouncer") * len(CLIENTS)


def test_the_pools_of_all_hosts_there_may_be_fit_the_server() -> None:
    size = sum(int(row["pool_size"]) for row in console("show databases") if row["name"] != "pgbouncer")
    limit = int(
        local(leaders()[0], "select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int")
    )
    assert size * 10 < limit


# While it changes -----------------------------------------------------------------------------------------------------


def main_process(host: Any) -> str:
    return str(host.check_output("systemctl show -p MainPID --value pgbouncer.service"))


@pytest.fixture
def renew() -> Iterator[Callable[[], None]]:
    """Puts another certificate of the same key in its place, as a renewal does. The old one comes back afterwards."""
    host = testinfra.get_host(f"docker://{LAB}-{ONE}")
    program = "python3 -m ansible_collections.arxos.platform.plugins.module_utils._certificate_pair"
    place = f"PYTHONPATH=/usr/local/lib/arxos {program} host /root/{{}} /etc/ssl/arxos/host.key ssl-cert 640"
    host.check_output("cd /root && cp /etc/ssl/arxos/host.crt old.crt")
    host.check_output("openssl req -x509 -key /etc/ssl/arxos/host.key -subj /CN=renewed -days 1 -out /root/new.crt")
    yield lambda: host.check_output(place.format("new.crt"))
    host.check_output(place.format("old.crt") + " && rm /root/old.crt /root/new.crt")

    def back() -> bool:
        """a client that verifies is served again"""
        return psql(POOL, "select 1").returncode == 0

    until(20, back)


def test_a_renewed_certificate_is_taken_up_without_dropping_a_query(renew: Callable[[], None]) -> None:
    host = testinfra.get_host(f"docker://{LAB}-{ONE}")

    process = main_process(host)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(psql, POOL, "select 'done' from pg_sleep(6)")
        renew()

        def renewed() -> bool:
            """the new certificate is served"""
            shown = "openssl s_client -starttls postgres -connect 127.0.0.1:6432 < /dev/null 2> /dev/null | openssl x509 -noout -subject"
            return "renewed" in host.run(shown).stdout

        until(20, renewed)
        answer = running.result()
    assert (answer.stdout.strip(), answer.returncode) == ("done", 0), answer.stderr
    assert main_process(host) == process


def test_a_reload_drops_no_query() -> None:
    host = testinfra.get_host(f"docker://{LAB}-{ONE}")
    process = main_process(host)
    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(psql, POOL, "begin", "select 'done' from pg_sleep(2)", "commit") for _ in range(4)]
        running += [threads.submit(psql, READ_ONLY, "select 'done' from pg_sleep(2)") for _ in range(4)]
        for _ in range(5):
            host.check_output("systemctl reload pgbouncer.service")
            time.sleep(0.3)
        answers = [future.result() for future in running]
    assert {answer.stdout.strip() for answer in answers} == {"done"}, [answer.stderr for answer in answers]
    assert main_process(host) == process


def test_the_pool_follows_the_leader(record_property: Callable[[str, object], None]) -> None:
    """Writes one after the other, each on a connection of its own, while the leader moves."""
    before = leaders()[0]
    script = (
        "end=$((SECONDS + 25)); while [ $SECONDS -lt $end ]; do "
        f"psql -XAtqw -d '{POOL}' -c \"insert into buildings (name) values ('follow') returning 'ok'\" > /tmp/follow.out 2>&1"
        " && echo \"$(date +%s.%N) ok\" || echo \"$(date +%s.%N) $(head -c 120 /tmp/follow.out | tr '\\n' ' ')\"; done"
    )
    words = ["docker", "exec", "-e", f"PGPASSWORD={PASSWORD}", f"{LAB}-{ONE}", "bash", "-c", script]
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(subprocess.run, words, capture_output=True, text=True, check=True, timeout=90)
        time.sleep(4)
        moved = testinfra.get_host(f"docker://{LAB}-{before}").run("patronictl -c /etc/patroni/config.yml switchover arxos --force")
        assert "Successfully switched over" in moved.stdout, moved.stdout + moved.stderr
        lines = [line.split(" ", 1) for line in writing.result().stdout.splitlines()]
    good = [float(moment) for moment, said in lines if said == "ok"]
    gap = max(later - earlier for earlier, later in zip(good, good[1:], strict=False))
    failures = [said for _, said in lines if said != "ok"]
    record_property("seconds_without_writes", round(gap, 2))
    print(f"switchover through the pool: {gap:.2f} s without writes, {len(failures)} of {len(lines)} failed: {sorted(set(failures))}")
    assert leaders() != [before]
    assert good[-1] == float(lines[-1][0]) and gap <= 10
    ask(POOL, "delete from buildings where name = 'follow'")


# Access of the database tier itself -----------------------------------------------------------------------------------


def direct(member: str, user: str, password: str, name: str, options: str = "") -> Any:
    address = f"{PREFIX}.{31 + MEMBERS.index(member)}"
    where = f"host=postgresql.arxos.internal hostaddr={address} port=5432 {CA} dbname=arxos_production user={user} {options}"
    return psql(where, "select 1", password=password, name=name)


def test_hosts_without_a_flow_are_refused_by_the_database_too() -> None:
    """Members of the cluster may come to the port, for replication; as the application they may not."""
    one, other = MEMBERS[0], MEMBERS[1]
    answer = direct(one, "arxos_application", PASSWORD, other)
    assert answer.returncode != 0 and "no pg_hba.conf entry" in answer.stderr
    assert direct(one, "arxos_application", PASSWORD, ONE).returncode == 0


def test_hosts_without_a_flow_do_not_even_reach_it() -> None:
    strangers = [
        name
        for name in ("storage1", "edge1", "cache1")
        if subprocess.run(["docker", "inspect", f"{LAB}-{name}"], capture_output=True, check=False).returncode == 0
    ]
    assert strangers, "there is no host of another tier to try it from"
    host = testinfra.get_host(f"docker://{LAB}-{strangers[0]}")
    for port in (5432, 6432, 8008):
        assert host.run(f"timeout 3 bash -c '< /dev/tcp/{PREFIX}.31/{port}'").rc != 0


@pytest.mark.parametrize("member", MEMBERS)
def test_only_tls_with_scram_is_let_in(member: str) -> None:
    rules = local(member, "select distinct type, auth_method from pg_hba_file_rules where type <> 'local'")
    assert rules == "hostssl|scram-sha-256"
    assert (
        local(member, "select count(*) from pg_hba_file_rules where type <> 'local' and 'all' = any (database || user_name || address)")
        == "0"
    )
    answer = direct(member, "arxos_application", PASSWORD, ONE, "sslmode=disable")
    assert answer.returncode != 0 and "no encryption" in answer.stderr


def test_a_password_that_is_kept_as_md5_is_refused() -> None:
    leader = leaders()[0]
    kept = local(leader, "select rolpassword from pg_authid where rolname = 'arxos_owner'")
    password = SECRETS["vault_postgresql_owner_password"]
    assert direct(leader, "arxos_owner", password, ONE).returncode == 0
    local(leader, f"set password_encryption = 'md5'; alter role arxos_owner password '{uuid.uuid4()}'")
    try:
        weak = local(leader, f"select 'md5' || md5('{password}' || 'arxos_owner')")
        local(leader, f"alter role arxos_owner password '{weak}'")
        assert local(leader, "select rolpassword from pg_authid where rolname = 'arxos_owner'").startswith("md5")
        answer = direct(leader, "arxos_owner", password, ONE)
        assert answer.returncode != 0 and "password authentication failed" in answer.stderr
    finally:
        local(leader, f"alter role arxos_owner password '{kept}'")
    assert direct(leader, "arxos_owner", password, ONE).returncode == 0
