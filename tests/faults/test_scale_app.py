# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A fourth application host joins and leaves while users work; fewer than three and more than ten are refused before anything is touched."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .api_clients import Clients
from .whole import FEW, INVENTORY, LAB, PREFIX, Figure, docker, hosts, judge, play, release, run, users

FOURTH = ("tests/faults/inventories/fourth_app.yml",)
NEW = f"{PREFIX}.24"


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with users(tmp_path_factory.mktemp("users")) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def host() -> Iterator[None]:
    """A bare one, and none of it left."""
    play("molecule/shared/create.yml", "--limit", "app4,localhost", inventories=FOURTH).ok()
    yield
    docker("rm", "-f", "-v", f"{LAB}-app4", check=False)


def known(edge: str) -> bool:
    return NEW in run(edge, "cat /etc/nginx/arxos/upstream.conf")


def let_in() -> dict[str, bool]:
    """What lets the new host in, by host."""
    found = {host: NEW in run(host, "nft list ruleset") for host in [*hosts("database"), *hosts("cache"), *hosts("storage")]}
    return found | {f"{host} pg_hba": NEW in run(host, "cat /etc/patroni/config.yml") for host in hosts("database")}


@pytest.mark.parametrize("number", [2, 11])
def test_too_few_and_too_many_are_refused_before_anything_is_touched(number: int, tmp_path: Path) -> None:
    inventory = yaml.safe_load((INVENTORY / "hosts.yml").read_text())
    apps = inventory["all"]["children"]["app"]["hosts"]
    inventory["all"]["children"]["app"]["hosts"] = {
        f"app{each}": apps.get(f"app{each}", {"arxos_address": f"{PREFIX}.{170 + each}", "arxos_zone": "a"})
        for each in range(1, number + 1)
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
    (tmp_path / "group_vars").symlink_to(INVENTORY / "group_vars")
    played = play("scale.yml", alone=(str(tmp_path / "hosts.yml"),))
    assert played.code != 0 and f"has {number} hosts" in played.words and "may have 3 to 10" in played.words, played.said[-3000:]
    # What failed is told once more below the recap, with names.
    assert not re.search(r"^app1 +:", played.said, re.MULTILINE) and not any(known(edge) for edge in hosts("edge"))


def test_hosts_that_nobody_can_be_are_refused() -> None:
    for left in ("app4", "app1@10.20.2.24:8443"):
        played = play("scale.yml", "-e", f"arxos_scale_left={left}")
        assert played.code != 0 and f"arxos_scale_left has {left}. Nothing was changed" in played.words, played.said[-3000:]


def test_a_fourth_joins_with_what_is_live(clients: Clients, figure: Figure) -> None:
    with clients.at_work() as came:
        time.sleep(3)
        began = time.monotonic()
        played = play("scale.yml", *FEW, inventories=FOURTH).ok()
        figure("scale from 3 to 4", f"{time.monotonic() - began:.0f} s")
        time.sleep(10)
    judge(came, "scale from 3 to 4", figure)
    assert release("app4") == release("app1") and "Application hosts: 4" in played.words
    assert all(known(edge) for edge in hosts("edge")) and all(let_in().values())
    served = run(hosts("edge")[0], f"tail -n 3000 /var/log/nginx/access.log | grep -c '{NEW}:8443' || true")
    other = run(hosts("edge")[1], f"tail -n 3000 /var/log/nginx/access.log | grep -c '{NEW}:8443' || true")
    assert int(served) + int(other) > 50, "the new host gets no requests"


def test_again_nothing_changes() -> None:
    assert play("scale.yml", inventories=FOURTH).ok().unchanged()


def test_it_leaves_again_drained_cut_off_and_stopped(clients: Clients, figure: Figure) -> None:
    with clients.at_work() as came:
        time.sleep(3)
        began = time.monotonic()
        played = play("scale.yml", *FEW).ok()
        figure("scale from 4 to 3", f"{time.monotonic() - began:.0f} s")
        time.sleep(3)
    judge(came, "scale from 4 to 3", figure)
    assert "Application hosts: 3" in played.words
    assert not any(known(edge) for edge in hosts("edge")) and not any(let_in().values()), let_in()
    for unit in ("arxos-api", "pgbouncer", "haproxy"):
        assert run("app4", f"systemctl is-active {unit}.service; systemctl is-enabled {unit}.service", check=False).split() == [
            "inactive",
            "disabled",
        ]
    assert play("scale.yml").ok().unchanged()
