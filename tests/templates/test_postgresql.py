# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import trust_as_template

from .conftest import templar_of

ROOT = Path(__file__).resolve().parents[2]
AWKWARD = "a\"b'c: #{}%\\"
GIVEN: dict[str, Any] = {
    "postgresql_address": "192.0.2.1",
    "postgresql_members": {"host1": "192.0.2.1", "host2": "192.0.2.2"},
    "postgresql_etcd_hosts": ["192.0.2.1", "192.0.2.2"],
    "postgresql_replication_password": AWKWARD,
    "postgresql_rewind_password": "rewind",
    "postgresql_restapi_password": "restapi",
    "__postgresql_host": {"stdout": "8000 6"},
    "ansible_facts": {"virtualization_type": "kvm"},
    "postgresql_clients": [{"databases": ["db"], "users": ["a", "b"], "addresses": ["192.0.2.9"]}],
}


def patroni(render: Callable[..., str], release: str = "debian-12", **given: Any) -> dict[str, Any]:
    found = yaml.safe_load(render("postgresql", "patroni.yml.j2", release, **{**GIVEN, **given}))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("release", "version"), [("debian-12", 15), ("debian-13", 17)])
def test_places_of_the_release(render: Callable[..., str], release: str, version: int) -> None:
    found = patroni(render, release)
    assert found["postgresql"]["data_dir"] == f"/var/lib/postgresql/{version}/main"
    assert found["postgresql"]["bin_dir"] == f"/usr/lib/postgresql/{version}/bin"
    assert found["bootstrap"]["dcs"]["postgresql"]["parameters"]["log_filename"] == f"postgresql-{version}-main.log"


def test_everything_goes_over_tls(render: Callable[..., str]) -> None:
    found = patroni(render)
    assert found["etcd3"] == {
        "hosts": ["192.0.2.1:2379", "192.0.2.2:2379"],
        "protocol": "https",
        "cacert": "/etc/ssl/arxos/ca.crt",
        "cert": "/etc/ssl/arxos/host.crt",
        "key": "/etc/ssl/arxos/host.key",
    }
    assert found["restapi"]["certfile"] and found["restapi"]["keyfile"]
    for role in ("replication", "rewind"):
        assert found["postgresql"]["authentication"][role]["sslmode"] == "verify-full"
    assert found["bootstrap"]["dcs"]["postgresql"]["parameters"]["ssl"] == "on"


def test_only_those_named_may_connect(render: Callable[..., str]) -> None:
    found = patroni(render)
    assert found["postgresql"]["pg_hba"] == found["bootstrap"]["pg_hba"]
    assert [line for line in found["postgresql"]["pg_hba"] if not line.startswith("local ")] == [
        "hostssl replication replicator 192.0.2.1/32 scram-sha-256",
        "hostssl postgres rewinder 192.0.2.1/32 scram-sha-256",
        "hostssl replication replicator 192.0.2.2/32 scram-sha-256",
        "hostssl postgres rewinder 192.0.2.2/32 scram-sha-256",
        "hostssl db a,b 192.0.2.9/32 scram-sha-256",
    ]
    assert not [line for line in found["postgresql"]["pg_hba"] if "trust" in line or "postgres 0" in line]
    assert found["restapi"]["allowlist"] == ["192.0.2.1", "192.0.2.2"]


def test_the_user_of_the_cluster_may_be_less(render: Callable[..., str]) -> None:
    assert "pg_ident" not in patroni(render)["postgresql"]
    found = patroni(render, postgresql_local_roles=["less"])
    assert found["postgresql"]["pg_ident"] == ["cluster postgres less"]
    assert found["postgresql"]["pg_hba"][:2] == ["local all less peer map=cluster", "local all all peer"]


def test_passwords_survive_any_character(render: Callable[..., str]) -> None:
    assert patroni(render)["postgresql"]["authentication"]["replication"]["password"] == AWKWARD


def test_superuser_has_no_password(render: Callable[..., str]) -> None:
    assert patroni(render)["postgresql"]["authentication"]["superuser"] == {"username": "postgres"}


def test_parameters_of_the_inventory_win(render: Callable[..., str]) -> None:
    found = patroni(render, postgresql_parameters={"work_mem": "7MB", "archive_mode": "on"}, postgresql_memory_mb=4096)
    parameters, local = found["bootstrap"]["dcs"]["postgresql"]["parameters"], found["postgresql"]["parameters"]
    assert (parameters["work_mem"], parameters["archive_mode"]) == ("7MB", "on")
    assert "work_mem" not in local, "a host's own would be over it"
    assert (local["shared_buffers"], local["effective_cache_size"]) == ("1024MB", "3072MB")


@pytest.mark.parametrize(
    ("measured", "given", "memory", "workers"),
    [
        ("8000 6", {}, ("1500MB", "4500MB", "375MB", "7MB"), (6, 3, 3)),
        ("64000 48", {}, ("12000MB", "36000MB", "1024MB", "60MB"), (16, 4, 4)),
        ("1000 1", {}, ("187MB", "562MB", "46MB", "4MB"), (1, 0, 0)),
        ("8000 6", {"postgresql_memory_mb": 256, "postgresql_processors": 2}, ("64MB", "192MB", "16MB", "4MB"), (2, 1, 1)),
    ],
)
def test_sizes_follow_the_host(
    render: Callable[..., str], measured: str, given: dict[str, int], memory: tuple[str, ...], workers: tuple[int, ...]
) -> None:
    found = patroni(render, __postgresql_host={"stdout": measured}, **given)["postgresql"]["parameters"]
    names = ("shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem")
    assert tuple(found[name] for name in names) == memory
    names = ("max_parallel_workers", "max_parallel_workers_per_gather", "max_parallel_maintenance_workers")
    assert tuple(found[name] for name in names) == workers


@pytest.mark.parametrize(
    ("release", "given", "mode"),
    [
        ("debian-12", {}, True),
        ("debian-13", {}, "quorum"),
        ("debian-12", {"postgresql_synchronous_mode": False}, False),
        ("debian-13", {"postgresql_synchronous_mode": False}, False),
    ],
)
def test_synchronous_mode_of_the_release(render: Callable[..., str], release: str, given: dict[str, Any], mode: Any) -> None:
    """The file founds the cluster in a mode that Patroni's own checker knows; the mode that is wanted goes over the REST API."""
    assert patroni(render, release, **given)["bootstrap"]["dcs"]["synchronous_mode"] is bool(mode)
    wanted = templar_of("postgresql", release, **GIVEN, **given).template(trust_as_template("{{ __postgresql_dynamic }}"))
    assert wanted["synchronous_mode"] == mode


@pytest.mark.parametrize(("kind", "mode"), [("kvm", "automatic"), ("NA", "automatic"), ("docker", "off"), ("lxc", "off")])
def test_the_watchdog_is_taken_where_it_is_the_hosts_own(render: Callable[..., str], kind: str, mode: str) -> None:
    facts = {"ansible_facts": {"virtualization_type": kind}}
    assert patroni(render, **facts)["watchdog"]["mode"] == mode
    assert ("/dev/watchdog" in render("postgresql", "patroni.service.j2", **facts)) == (mode == "automatic")


def test_patroni_4_takes_no_shorter_key(render: Callable[..., str]) -> None:
    assert patroni(render, "debian-13")["bootstrap"]["dcs"]["ttl"] >= 20


def test_types_are_those_that_patroni_gives_back(render: Callable[..., str]) -> None:
    """What is in etcd is compared with what is wanted: numbers have to be numbers."""
    dynamic = patroni(render)["bootstrap"]["dcs"]
    assert dynamic["ttl"] == 16
    assert dynamic["synchronous_mode"] is True
    assert dynamic["postgresql"]["parameters"]["max_connections"] == 200
    assert dynamic["ttl"] >= dynamic["loop_wait"] + 2 * dynamic["retry_timeout"], (
        "Patroni would correct it, and every run would find a difference"
    )


def test_objects_of_the_schema(render: Callable[..., str]) -> None:
    wanted = yaml.safe_load((ROOT / "playbooks/group_vars/database/postgresql_schema.yml").read_text())
    tables, roles = wanted["postgresql_schema_tables"], wanted["postgresql_schema_roles"]
    objects = yaml.safe_load(render("postgresql_schema", "objects.yml.j2", postgresql_schema_roles=roles, postgresql_schema_tables=tables))
    names = [item["name"] for item in objects]
    assert len(set(names)) == len(names)
    assert all(set(item) == {"name", "exists", "create"} and item["exists"] and item["create"] for item in objects)
    assert names.index("schema arxos_prod") < names.index("table buildings") < names.index("index buildings_name_idx")
    made = {item["name"]: item["create"] for item in objects}
    assert "PARTITION BY RANGE (created_at)" in made["table buildings"]
    assert "PARTITION" not in made["table symbols"]
    assert "'" not in "".join(names), "names stand between quotes in the query"
