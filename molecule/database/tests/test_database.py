# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The database tier as it runs. Clients are psql of a database host in the network of an application host, which has none of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
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
APPLICATION_PASSWORD = SECRETS["vault_postgresql_application_password"]
ENDPOINT = "host=postgresql.arxos.internal hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=/etc/ssl/arxos/ca.crt dbname=arxos_production"
APPLICATION = "user=arxos_application"
MEMBER_TLS = "--cacert /etc/ssl/arxos/ca.crt --cert /etc/ssl/arxos/host.crt --key /etc/ssl/arxos/host.key"

testinfra_hosts = [f"docker://{LAB}-{name}" for name in MEMBERS]


def server(name: str) -> Any:
    return testinfra.get_host(f"docker://{LAB}-{name}")


def running(name: str) -> bool:
    words = ["docker", "exec", f"{LAB}-{name}", "systemctl", "is-active", "haproxy.service"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


CLIENTS = [name for name in GROUPS["app"]["hosts"] if running(name)]


def address(name: str) -> str:
    return f"{PREFIX}.{31 + MEMBERS.index(name)}"


def until(seconds: float, predicate: Callable[[], Any]) -> Any:
    """The first true answer of the predicate, or a failure."""
    start = time.monotonic()
    while not (answer := predicate()):
        assert time.monotonic() - start < seconds, f"{predicate.__doc__ or predicate} did not come true within {seconds} s"
        time.sleep(0.2)
    return answer


def local(name: str, query: str, database: str = "postgres") -> str:
    """A query of the superuser over the local socket of one member; no answer while that is being restarted."""
    words = ["docker", "exec", "-u", "postgres", f"{LAB}-{name}", "psql", "-XAtqw", "-d", database, "-c", query]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stdout.strip()


def process(name: str) -> str:
    words = ["docker", "inspect", "-f", "{{.State.Pid}}", f"{LAB}-{name}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def client(connection: str, query: str, password: str = APPLICATION_PASSWORD, name: str = "") -> subprocess.CompletedProcess[str]:
    """A query from an application host."""
    words = ["nsenter", f"--net=/proc/{process(name or CLIENTS[-1])}/ns/net", f"--root=/proc/{process(MEMBERS[0])}/root", "--wd=/"]
    words += ["/usr/bin/psql", "-XAtqw", "-d", connection + " connect_timeout=5", "-c", query]
    environment = {"PATH": "/usr/bin:/bin", "PGPASSWORD": password, "LC_ALL": "C.UTF-8"}
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=environment)


def ask(connection: str, query: str, name: str = "") -> str:
    answer = client(f"{ENDPOINT} {APPLICATION} {connection}", query, name=name)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def leaders() -> list[str]:
    return [name for name in MEMBERS if local(name, "select pg_is_in_recovery()") == "f"]


def streams() -> dict[str, str]:
    """The replicas that stream from the leader, and whether it waits for them."""
    query = "select application_name, sync_state from pg_stat_replication where state = 'streaming'"
    return dict(line.split("|") for name in leaders() for line in local(name, query).splitlines())


def successors() -> list[str]:
    """The replicas that Patroni lets take over: it notes them some seconds after they have become synchronous."""
    command = f"curl -sS --max-time 5 --cacert /etc/ssl/arxos/ca.crt https://{address(MEMBERS[0])}:8008/cluster"
    answer = server(MEMBERS[0]).run(command)
    members = json.loads(answer.stdout)["members"] if answer.rc == 0 else []
    return [member["name"] for member in members if member["role"] in ("sync_standby", "quorum_standby")]


def quorum() -> bool:
    """Whether commits wait for whichever replicas are first, as with Debian 13's Patroni, and not for a chosen one."""
    return local(leaders()[0], "show synchronous_standby_names").startswith("ANY ")


def complete() -> bool:
    """one leader, streaming replicas, and one of them (with a quorum all) ready to take over"""
    return len(leaders()) == 1 and len(streams()) == len(MEMBERS) - 1 and len(successors()) == (len(MEMBERS) - 1 if quorum() else 1)


@pytest.fixture(scope="module", autouse=True)
def healthy() -> None:
    """What another test of the tier left behind is over."""
    assert CLIENTS, "no application host has its endpoints"
    until(60, complete)


# Each member --------------------------------------------------------------------------------------------------------


def test_services_run_and_start_at_boot(host: Any) -> None:
    for unit in ("etcd.service", "patroni.service"):
        assert host.service(unit).is_running
        assert host.service(unit).is_enabled
    assert host.run("systemctl --failed --no-legend").stdout == ""


def test_secrets_are_readable_by_their_daemon_only(host: Any) -> None:
    file = host.file("/etc/patroni/config.yml")
    assert (file.user, file.group, file.mode) == ("root", "postgres", 0o640)
    assert (
        host.check_output(
            "find /etc/patroni /var/lib/postgresql -maxdepth 1 \\( -name '.pgpass*' -o -name '*.yml' \\) -perm /027 ! -name dcs.yml"
        )
        == ""
    )
    assert host.run("ls -A /etc/postgresql").stdout == "", "the package made a cluster of its own"


def test_logs_hold_no_password(host: Any) -> None:
    patterns = [value for key, value in SECRETS.items() if key.startswith(("vault_postgresql", "vault_patroni"))]
    for value in patterns:
        assert host.run("grep -rqF -- %s /var/log", value).rc == 1
        assert host.run("journalctl --no-pager | grep -qF -- %s", value).rc == 1


def test_etcd_wants_a_certificate(host: Any) -> None:
    name = host.check_output("hostname")
    for refused in (f"http://{address(name)}:2379", f"https://{address(name)}:2379", f"https://{address(name)}:2380"):
        answer = host.run(f"curl -sS --max-time 5 --cacert /etc/ssl/arxos/ca.crt {refused}/version")
        assert answer.rc != 0, answer.stdout
    assert host.run(f"curl -sSf --max-time 5 {MEMBER_TLS} https://{address(name)}:2379/version").rc == 0


def test_etcd_has_its_members(host: Any) -> None:
    answer = host.check_output(f"ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 {MEMBER_TLS} endpoint health --cluster -w json")
    assert [member["health"] for member in json.loads(answer)] == [True] * len(MEMBERS)


def test_patroni_answers_over_tls_and_obeys_nobody_without_password(host: Any) -> None:
    url = f"{address(host.check_output('hostname'))}:8008"
    code = "curl -sS -o /dev/null -w '%{http_code}' --max-time 5 --cacert /etc/ssl/arxos/ca.crt"
    assert host.run(f"{code} http://{url}/health").rc != 0
    assert host.check_output(f"{code} https://{url}/health") == "200"
    assert host.check_output(f"{code} -X POST -d '{{}}' https://{url}/restart") == "401"
    assert host.check_output(f"{code} -u patroni:wrong -X POST -d '{{}}' https://{url}/restart") == "401"


def test_postgresql_is_as_it_was_declared(host: Any) -> None:
    wanted = {
        "ssl": "on",
        "ssl_min_protocol_version": "TLSv1.2",
        "data_checksums": "on",
        "password_encryption": "scram-sha-256",
        "shared_preload_libraries": "pg_stat_statements,pgaudit",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    name = host.check_output("hostname")
    names = ",".join(f"'{key}'" for key in wanted)
    found = dict(line.split("|") for line in local(name, f"select name, setting from pg_settings where name in ({names})").splitlines())
    assert found == wanted
    assert local(name, "select count(*) from pg_settings where pending_restart") == "0"
    assert local(name, "select count(*) from pg_hba_file_rules where error is not null") == "0"


# The cluster --------------------------------------------------------------------------------------------------------


def test_sizes_follow_the_host(host: Any) -> None:
    """The inventory gives the memory; processors are counted on the host, and the file of each member is what PostgreSQL runs with."""
    name = host.check_output("hostname")
    processors = int(host.check_output("nproc"))
    wanted = {"shared_buffers": "64MB", "max_parallel_workers": str(min(processors, 16)), "max_worker_processes": "16", "jit": "off"}
    assert {key: local(name, f"show {key}") for key in wanted} == wanted
    assert local(name, "select sum(setting::bigint) from pg_settings where name = 'max_slot_wal_keep_size'") == "1024"


def test_a_container_leaves_the_watchdog_of_its_machine_alone(host: Any) -> None:
    assert yaml.safe_load(host.file("/etc/patroni/config.yml").content_string)["watchdog"] == {"mode": "off"}
    assert host.run("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/watchdog").rc == 1


def test_members_verify_each_other(host: Any) -> None:
    name = host.check_output("hostname")
    if name in leaders():
        assert local(name, "select count(*) from pg_stat_replication where client_addr is null") == "0"
    else:
        connection = local(name, "select conninfo from pg_stat_wal_receiver")
        assert "sslmode=verify-full" in connection and "sslrootcert=/etc/ssl/arxos/ca.crt" in connection
    # The pages themselves, not the setting: a page whose sum is wrong would count.
    assert local(name, "select coalesce(sum(checksum_failures), 0) from pg_stat_database") == "0"
    assert "Data page checksum version:           1" in host.check_output(
        f"su postgres -c '/usr/lib/postgresql/*/bin/pg_controldata {local(name, 'show data_directory')}'"
    )


def test_one_leader_and_synchronous_replicas() -> None:
    assert len(leaders()) == 1
    assert sorted(streams()) == sorted(set(MEMBERS) - set(leaders()))
    assert sorted(streams().values()) == (["quorum", "quorum"] if quorum() else ["async", "sync"])
    assert local(leaders()[0], "show synchronous_commit") == "on"


def test_replicas_stream_over_tls() -> None:
    encrypted = local(leaders()[0], "select bool_and(ssl), count(*) from pg_stat_replication join pg_stat_ssl using (pid)")
    assert encrypted == f"t|{len(MEMBERS) - 1}"


def test_roles_have_no_more_than_they_need() -> None:
    query = (
        "select rolname, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolcanlogin from pg_roles where rolname !~ '^pg_' order by 1"
    )
    assert local(leaders()[0], query).splitlines() == [
        "arxos_application|f|f|f|f|t",
        "arxos_backup|f|f|f|f|t",
        "arxos_monitoring|f|f|f|f|t",
        "arxos_owner|f|f|f|f|t",
        "arxos_readonly|f|f|f|f|t",
        "postgres|t|t|t|t|t",
        "replicator|f|f|f|t|t",
        "rewinder|f|f|f|f|t",
    ]
    assert local(leaders()[0], "select rolpassword is null from pg_authid where rolname = 'postgres'") == "t"
    weak = "select count(*) from pg_authid where rolpassword is not null and rolpassword !~ '^SCRAM-SHA-256'"
    assert local(leaders()[0], weak) == "0"


def test_extensions_are_there_and_work() -> None:
    found = local(leaders()[0], "select extname from pg_extension order by 1", "arxos_production").splitlines()
    assert set(found) >= {"pg_stat_statements", "pg_trgm", "pgaudit", "uuid-ossp"}
    assert float(local(leaders()[0], "select similarity('floor plan', 'floorplan')", "arxos_production")) > 0.5
    assert int(local(leaders()[0], "select count(*) from pg_stat_statements", "arxos_production")) > 0


def months(first: datetime, count: int) -> list[str]:
    start = first.year * 12 + first.month - 1
    return [f"buildings_{month // 12}_{month % 12 + 1:02}" for month in range(start, start + count)]


@pytest.mark.parametrize("name", MEMBERS)
def test_partitions_of_this_and_coming_months_are_on_every_member(name: str) -> None:
    query = "select inhrelid::regclass from pg_inherits where inhparent = 'arxos_prod.buildings'::regclass"
    found = [line.rpartition(".")[2] for line in local(name, query, "arxos_production").splitlines()]
    assert set(found) >= set(months(datetime.now(timezone.utc), 4))


def test_tables_keep_their_promise() -> None:
    query = """select indexdef from pg_indexes where schemaname = 'arxos_prod' and tablename = 'buildings'"""
    found = local(leaders()[0], query, "arxos_production")
    for columns in ("(id, created_at)", "(name)", "(created_at)", "(updated_at)"):
        assert columns in found
    assert (
        local(leaders()[0], "select distinct tableowner from pg_tables where schemaname = 'arxos_prod'", "arxos_production")
        == "arxos_owner"
    )


# What a client meets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIENTS)
def test_write_through_one_endpoint_and_read_through_the_other(name: str) -> None:
    mark = f"test {uuid.uuid4()}"
    written = ask("port=5000", f"insert into buildings (name) values ('{mark}') returning tableoid::regclass", name)
    assert written.endswith(months(datetime.now(timezone.utc), 1)[0])
    assert ask("port=5000", "select pg_is_in_recovery()", name) == "f"
    assert ask("port=5001", "select pg_is_in_recovery()", name) == "t"

    def arrived() -> bool:
        """the row on a replica"""
        return ask("port=5001", f"select count(*) from buildings where name = '{mark}'", name) == "1"

    until(10, arrived)
    for member in MEMBERS:
        until(
            10,
            lambda member=member: (
                local(member, f"select count(*) from arxos_prod.buildings where name = '{mark}'", "arxos_production") == "1"
            ),
        )
    assert (
        ask("port=5000", f"with gone as (delete from buildings where name = '{mark}' returning 1) select count(*) from gone", name) == "1"
    )


def test_connections_are_encrypted() -> None:
    assert ask("port=5000", "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()") == "t|TLSv1.3"


@pytest.mark.parametrize(
    ("connection", "password", "reason"),
    [
        (f"{ENDPOINT} {APPLICATION} port=5000 sslmode=disable", APPLICATION_PASSWORD, "no encryption"),
        (f"{ENDPOINT} {APPLICATION} port=5001 sslmode=disable", APPLICATION_PASSWORD, "no encryption"),
        (f"{ENDPOINT} {APPLICATION} port=5000", "wrong", "password authentication failed"),
        (f"{ENDPOINT} {APPLICATION} port=5000", "", "no password supplied"),
        (f"{ENDPOINT} {APPLICATION} port=5000 host=another.name", APPLICATION_PASSWORD, "does not match host name"),
        (f"{ENDPOINT} {APPLICATION} port=5000 dbname=postgres", APPLICATION_PASSWORD, "no pg_hba.conf entry"),
        (f"{ENDPOINT} user=postgres port=5000", SECRETS["vault_postgresql_superuser_password"], "no pg_hba.conf entry"),
        (f"{ENDPOINT} user=rewinder port=5000", SECRETS["vault_postgresql_superuser_password"], "no pg_hba.conf entry"),
        (f"{ENDPOINT} user=replicator port=5000", SECRETS["vault_postgresql_replication_password"], "no pg_hba.conf entry"),
    ],
    ids=[
        "plain",
        "plain read-only",
        "wrong password",
        "no password",
        "wrong name",
        "other database",
        "superuser",
        "rewinder",
        "replicator",
    ],
)
def test_refused(connection: str, password: str, reason: str) -> None:
    answer = client(connection, "select 1", password)
    assert answer.returncode != 0
    assert reason in answer.stderr


@pytest.mark.parametrize(
    ("port", "statement", "reason"),
    [
        (5000, "create table arxos_prod.x ()", "permission denied for schema"),
        (5000, "create table public.x ()", "permission denied for schema"),
        (5000, "drop table arxos_prod.symbols", "must be owner"),
        (5000, "alter table arxos_prod.buildings add column x int", "must be owner"),
        (5000, "truncate arxos_prod.buildings", "permission denied"),
        (5000, "insert into arxos_prod.buildings (name, created_at) values ('x', '1999-01-01')", "no partition of relation"),
        (5001, "insert into arxos_prod.buildings (name) values ('x')", "read-only transaction"),
    ],
)
def test_the_application_may_not(port: int, statement: str, reason: str) -> None:
    answer = client(f"{ENDPOINT} {APPLICATION} port={port}", statement)
    assert answer.returncode != 0
    assert reason in answer.stderr


def test_application_hosts_reach_no_etcd_and_command_no_patroni() -> None:
    host = server(CLIENTS[-1])
    assert host.run(f"curl -sS --max-time 2 {MEMBER_TLS} https://{address(MEMBERS[0])}:2379/version").rc != 0
    command = (
        "curl -sS --max-time 5 --cacert /etc/ssl/arxos/ca.crt -X POST -d {} -u patroni:%s " + f"https://{address(MEMBERS[0])}:8008/restart"
    )
    assert host.run(command, SECRETS["vault_patroni_restapi_password"]).stdout == "Access is denied"


def test_a_planned_switchover_is_followed_by_the_endpoints() -> None:
    before = leaders()[0]
    after = successors()[0]
    command = f"patronictl -c /etc/patroni/config.yml switchover arxos --force --candidate {after}"
    assert "Successfully switched over" in server(before).check_output(command)

    def written() -> bool:
        """a write through the endpoint after the switchover"""
        insert = "with new as (insert into buildings (name) values ('switchover') returning 1) select inet_server_addr() from new"
        return client(f"{ENDPOINT} {APPLICATION} port=5000", insert).stdout.strip() == address(after)

    until(20, written)

    until(60, complete)
    assert leaders() == [after]
    ask("port=5000", "delete from buildings where name = 'switchover'")
    until(20, lambda: ask("port=5001", "select pg_is_in_recovery()") == "t")
