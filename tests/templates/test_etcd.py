# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MEMBERS = {"host1": "192.0.2.1", "host2": "192.0.2.2", "host3": "192.0.2.3"}
GIVEN: dict[str, Any] = {"etcd_address": "192.0.2.1", "etcd_members": MEMBERS, "etcd_peer_name": "db.internal"}


def environment(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_environment(render: Callable[..., str]) -> None:
    found = environment(render("etcd", "etcd.env.j2", **GIVEN) + render("etcd", "etcd-members.env.j2", **GIVEN))
    assert found["ETCD_NAME"] == "host1"
    assert found["ETCD_INITIAL_CLUSTER"] == "host1=https://192.0.2.1:2380,host2=https://192.0.2.2:2380,host3=https://192.0.2.3:2380"
    assert found["ETCDCTL_ENDPOINTS"] == "https://192.0.2.2:2379,https://192.0.2.3:2379"
    assert found["ETCD_CLIENT_CERT_AUTH"] == found["ETCD_PEER_CLIENT_CERT_AUTH"] == "true"
    assert found["ETCD_PEER_CERT_ALLOWED_HOSTNAME"] == "db.internal"
    listening = [found[name] for name in ("ETCD_LISTEN_PEER_URLS", "ETCD_LISTEN_CLIENT_URLS", "ETCD_ADVERTISE_CLIENT_URLS")]
    assert not [url for urls in listening for url in urls.split(",") if not url.startswith("https://")]


def test_any_peer_of_the_ca_without_a_name(render: Callable[..., str]) -> None:
    assert "ALLOWED_HOSTNAME" not in render("etcd", "etcd.env.j2", **{**GIVEN, "etcd_peer_name": ""})


FOUNDED = "a1, started, host1, https://192.0.2.1:2380, https://192.0.2.1:2379, false\nb2, started, host2, https://192.0.2.2:2380, https://192.0.2.2:2379, false"


@pytest.mark.parametrize(
    ("data", "members", "wanted", "joined"),
    [
        (True, FOUNDED, "", ""),
        (False, None, "member list", ""),
        (False, FOUNDED, "member list|member remove a1|member add host1", 'ETCD_INITIAL_CLUSTER_STATE="existing"'),
        (False, FOUNDED.replace("https://192.0.2.1:2379", ""), "member list", ""),
        (
            False,
            FOUNDED.replace("started, host1", "unstarted, ").replace("https://192.0.2.1:2379", ""),
            "member list|member remove a1|member add host1",
            'ETCD_INITIAL_CLUSTER_STATE="existing"',
        ),
        (False, FOUNDED.splitlines()[1], "member list|member add host1", 'ETCD_INITIAL_CLUSTER_STATE="existing"'),
    ],
    ids=["has data", "nobody answers", "lost its data", "first start with the others", "added, never started", "is new"],
)
def test_join(render: Callable[..., str], tmp_path: Path, data: bool, members: str | None, wanted: str, joined: str) -> None:
    """What the script does before etcd starts, with an etcdctl that writes down what it is asked."""
    environment_file, log, run = tmp_path / "env", tmp_path / "log", tmp_path / "run"
    run.mkdir()
    if data:
        (tmp_path / "data" / "member").mkdir(parents=True)
    text = render("etcd", "etcd.env.j2", **GIVEN) + render("etcd", "etcd-members.env.j2", **GIVEN)
    environment_file.write_text(text.replace("/var/lib/etcd/arxos", str(tmp_path / "data")))
    (tmp_path / "etcdctl").write_text(
        "#!/bin/sh\n"
        f'echo "$@" >>{log}\n'
        'case "$*" in\n'
        f"*list) {'exit 1' if members is None else f'cat {tmp_path}/members'} ;;\n"
        '*add*) printf \'Member c3 added\\n\\nETCD_NAME="host1"\\nETCD_INITIAL_CLUSTER_STATE="existing"\\n\' ;;\n'
        "esac\n"
    )
    (tmp_path / "etcdctl").chmod(0o755)
    (tmp_path / "members").write_text((members or "") + "\n")
    script = render("etcd", "etcd-join.j2", **GIVEN).replace("/run/etcd", str(run))
    words = ["sh", "-c", f"set -a; . {environment_file}; set +a\n{script}"]
    subprocess.run(words, check=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, timeout=10)
    asked = (
        [" ".join(word for word in line.split() if not word.startswith("--")) for line in log.read_text().splitlines()] if wanted else []
    )
    assert asked == [part for part in wanted.split("|") if part]
    assert (run / "join").read_text().splitlines()[1:] == ([joined] if joined else [])
