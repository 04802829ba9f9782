# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable


def sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            name = line
            found[name] = []
        elif line.strip() and not line.strip().startswith("#"):
            found[name].append(" ".join(line.split()))
    return found


def test_haproxy(render: Callable[..., str]) -> None:
    found = sections(render("database_endpoint", "haproxy.cfg.j2", database_endpoint_servers={"db1": "192.0.2.1", "db2": "192.0.2.2"}))
    assert found["frontend read_write"] == ["bind 127.0.0.1:5000", "default_backend leader"]
    assert found["frontend read_only"] == [
        "bind 127.0.0.1:5001",
        "use_backend leader if { nbsrv(replicas) eq 0 }",
        "default_backend replicas",
    ]
    for backend, path in (("leader", "/primary"), ("replicas", "/replica")):
        lines = found[f"backend {backend}"]
        assert f"http-check send meth OPTIONS uri {path}" in lines
        assert [line.split()[1:5] for line in lines if line.startswith("server ")] == [
            ["db1", "192.0.2.1:5432", "verifyhost", "db1"],
            ["db2", "192.0.2.2:5432", "verifyhost", "db2"],
        ]
    # A replica that is none any more keeps its readers; a leader that is none any more loses its writers.
    assert "http-check expect status 200 error-status L7OKC" in found["backend replicas"]
    assert "http-check expect status 200" in found["backend leader"]
    server = next(line for line in found["defaults"] if line.startswith("default-server"))
    for part in ("check-ssl", "verify required", "ca-file /etc/ssl/arxos/ca.crt", "port 8008", "on-marked-down shutdown-sessions"):
        assert part in server
