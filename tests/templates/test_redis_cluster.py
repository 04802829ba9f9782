# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable

import pytest

Render = Callable[..., str]


def directives(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = dict(line.partition(" ")[::2] for line in lines)
    assert len(found) == len(lines), "a directive is there twice"
    return found


@pytest.mark.parametrize("port", [6379, 6380])
def test_an_instance_speaks_tls_only_and_is_in_a_cluster(render: Render, port: int) -> None:
    text = render("redis_cluster", "redis.conf.j2", redis_cluster_port=port, redis_cluster_address="192.0.2.41", redis_cluster_password="x")
    found = directives(text)
    assert (found["port"], found["tls-port"], found["bind"]) == ("0", str(port), "192.0.2.41 127.0.0.1")
    assert found["tls-cluster"] == found["tls-replication"] == found["cluster-enabled"] == found["appendonly"] == "yes"
    assert found["cluster-announce-ip"] == "192.0.2.41"
    assert found["cluster-allow-replica-migration"] == "no"
    assert found["dir"] == f"/var/lib/redis/{port}"
    assert found["logfile"].startswith("/var/log/redis/redis-server"), "what Debian's logrotate file matches"
    assert "requirepass" not in found and found["include"] == "/etc/redis/password.conf"


def test_snapshots_and_the_log_can_be_turned_off(render: Render) -> None:
    found = directives(
        render(
            "redis_cluster",
            "redis.conf.j2",
            redis_cluster_port=6379,
            redis_cluster_address="192.0.2.41",
            redis_cluster_snapshot="",
            redis_cluster_append_only=False,
        )
    )
    assert (found["save"], found["appendonly"]) == ('""', "no")


def test_any_password_is_quoted_as_redis_reads_it(render: Render) -> None:
    found = directives(render("redis_cluster", "password.conf.j2", redis_cluster_password='a "b\\ #ü'))
    assert found == {"requirepass": '"a \\"b\\\\ #ü"', "masterauth": '"a \\"b\\\\ #ü"'}


def test_the_unit_lets_redis_read_the_key_and_write_its_data_alone(render: Render) -> None:
    text = render("redis_cluster", "instance.conf.j2")
    assert "SupplementaryGroups=ssl-cert" in text
    assert "ReadWritePaths=\nReadWritePaths=/var/lib/redis /var/log/redis -/run/redis-%i\n" in text
