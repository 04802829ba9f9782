# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the WAF and the inspection of uploads let through and what not, and what happens where they fail. Asked of each edge itself."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.corpora import replay  # noqa: E402

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
EDGES = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())["all"]["children"]["edge"]["hosts"]
ADDRESSES = {name: values["arxos_address"].replace("{{ lab_prefix }}", PREFIX) for name, values in EDGES.items()}
INJECTION = replay.Request("sqli", "GET /api/v1/symbols?query=%27%20OR%201=1--%20-&token=SECRET HTTP/1.1", ["Authorization: Bearer SECRET"])
LIVE = replay.Request("live", "GET /health/live HTTP/1.1")

testinfra_hosts = [f"docker://{LAB}-{name}" for name in EDGES]


def asked(host: Any) -> replay.Edge:
    """The edge that runs on this host, by its own address."""
    edge = replay.lab()
    edge.address = ADDRESSES[host.check_output("hostname")]
    return edge


def until(seconds: float, predicate: Any) -> None:
    start = time.monotonic()
    while not predicate():
        assert time.monotonic() - start < seconds
        time.sleep(0.1)


@contextlib.contextmanager
def changed(host: Any, expression: str) -> Iterator[None]:
    """The WAF with its configuration edited by sed."""
    host.check_output(
        f"cp -p /etc/nginx/waf.conf /tmp/kept.conf && sed -i '{expression}' /etc/nginx/waf.conf && systemctl reload nginx-waf.service"
    )
    try:
        yield
    finally:
        host.check_output("mv /tmp/kept.conf /etc/nginx/waf.conf && systemctl reload nginx-waf.service")


def logged(host: Any) -> list[dict[str, Any]]:
    """Transactions of the audit log."""
    return [json.loads(line)["transaction"] for line in audit_log(host).splitlines()]


def audit_log(host: Any) -> str:
    """Its text; what an attacker sent may be no UTF-8."""
    return str(host.run("cat /var/log/nginx-waf/audit.log").stdout_bytes.decode(errors="replace"))


# ------------------------------------------------------------------ the corpora


def test_attacks_do_not_reach_the_application() -> None:
    edge = replay.lab()
    results = edge.send_all(replay.attacks())
    kinds = collections.Counter(request.label.partition(":")[0] for request, _answer in results)
    uploads = kinds.pop("uploads")  # of which none may: the next test
    through = [
        f"{answer.status} {request.label}" for request, answer in results if answer.reached and not request.label.startswith("uploads: ")
    ]
    print(f"{kinds.total()} attacks ({dict(kinds)}) and {uploads} uploads, {len(through)} let through")
    assert kinds.total() >= 300 and {"sqli", "xss", "lfi", "rce", "ssrf", "protocol"} <= set(kinds)
    assert len(through) <= 0.02 * kinds.total(), "\n".join(through)
    # Refused by a decision, and not because something broke.
    assert not [request.label for request, answer in results if answer.status in (500, 502, 503, 504)]


def test_no_upload_that_is_an_attack_reaches_the_application() -> None:
    edge = replay.lab()
    attacks = [request for request in replay.attacks() if request.label.startswith("uploads: ")]
    assert [request.label for request, answer in edge.send_all(attacks) if answer.reached] == []


def test_legitimate_calls_reach_the_application_and_it_says_what_they_expect() -> None:
    edge = replay.lab()
    calls = replay.legitimate(*replay.prepare(edge))
    assert len(calls) >= 200
    # One after another: later calls count on what earlier ones did.
    answers = [(request, says, edge.send(request, 120)) for request, says in calls]
    assert [f"{answer.status} {request.label}" for request, _says, answer in answers if not answer.reached] == []
    assert [f"{answer.status} {request.label}" for request, says, answer in answers if answer.status != says] == []


# ------------------------------------------------------------------ how the tiers work together


def test_a_refusal_can_be_found_in_the_logs_and_no_secret_is_in_the_journal(host: Any) -> None:
    answer = asked(host).send(INJECTION)
    assert answer.status == 403 and not answer.reached
    number = answer.json()["request_id"]
    log = "/var/log/nginx/access.log"  # lines are in it a second late at most
    until(5, lambda: host.file(log).contains(number))
    access = [json.loads(line) for line in host.check_output(f"grep {number} {log}").splitlines()]
    assert [(entry["refused_by"], entry["path"], entry["status"]) for entry in access] == [("waf", "/api/v1/symbols", 403)]
    until(5, lambda: number in [entry["unique_id"] for entry in logged(host)])
    entry = next(entry for entry in logged(host) if entry["unique_id"] == number)
    assert "942100" in [message["details"]["ruleId"] for message in entry["messages"]]
    assert entry["client_ip"] == f"{PREFIX}.1" and "headers" not in entry["request"]
    assert "SECRET" not in host.check_output(f"journalctl --no-pager -u nginx-waf -u nginx -u upload-inspection; cat {log}")
    assert host.file("/var/log/nginx-waf/audit.log").mode == 0o640


def test_detection_lets_pass_and_writes_down(host: Any) -> None:
    with changed(host, "s/SecRuleEngine On/SecRuleEngine DetectionOnly/"):
        until(5, lambda: asked(host).send(INJECTION).reached)
        mark = f"x{uuid.uuid4().hex}"
        request = replay.Request("sqli", f"GET /api/v1/symbols?query={mark}%27%20OR%201=1--%20- HTTP/1.1")
        assert asked(host).send(request).reached
        until(5, lambda: mark in audit_log(host))
    until(5, lambda: not asked(host).send(INJECTION).reached)


def test_a_higher_paranoia_level_refuses_more(host: Any) -> None:
    odd = replay.Request("odd", "GET /api/v1/symbols?query=a%27b%22c%3Bd HTTP/1.1", ["User-Agent: x"])
    assert asked(host).send(odd).reached
    with changed(host, "s/paranoia_level=1/paranoia_level=4/"):
        until(5, lambda: not asked(host).send(odd).reached)
    until(5, lambda: asked(host).send(odd).reached)


def test_a_configuration_that_cannot_be_read_is_refused_and_the_old_one_judges_on(host: Any) -> None:
    host.check_output("cp -p /etc/nginx/waf.conf /tmp/kept.conf && sed -i 's/SecRuleEngine On/SecRuleEngine Perhaps/' /etc/nginx/waf.conf")
    try:
        assert host.run("systemctl reload nginx-waf.service").rc != 0
        assert not asked(host).send(INJECTION).reached and asked(host).send(LIVE).status == 200
    finally:
        host.check_output("mv /tmp/kept.conf /etc/nginx/waf.conf && systemctl reload nginx-waf.service")


def test_without_a_waf_nothing_passes_and_the_host_does_not_count_as_serving(host: Any) -> None:
    host.check_output("systemctl stop nginx-waf.socket nginx-waf.service")
    try:
        answer = asked(host).send(LIVE)
        assert answer.status == 502 and not answer.reached
        assert host.run("/usr/local/sbin/nginx-serves").rc != 0
    finally:
        host.check_output("systemctl start nginx-waf.socket nginx-waf.service")
    until(5, lambda: asked(host).send(LIVE).reached)
    assert host.run("/usr/local/sbin/nginx-serves").rc == 0


def test_without_the_inspection_no_upload_passes_and_all_else_does(host: Any) -> None:
    host.check_output("systemctl stop upload-inspection.socket upload-inspection.service")
    try:
        answer = asked(host).send(replay.multipart("plan", "plan.svg", replay.PLAN))
        assert answer.status == 502 and not answer.reached
        assert asked(host).send(LIVE).status == 200
    finally:
        host.check_output("systemctl start upload-inspection.socket upload-inspection.service")
    until(5, lambda: asked(host).send(replay.multipart("plan", "plan.svg", replay.PLAN)).reached)


def test_a_check_of_either_configuration_leaves_uploads_as_they_are(host: Any) -> None:
    for file in ("waf.conf", "nginx.conf", "waf.conf"):
        host.check_output(f"nginx -t -q -c /etc/nginx/{file} -g 'pid /dev/null;'")
        assert host.file("/var/lib/nginx/body").user == "www-data"
    assert asked(host).send(replay.multipart("plan", "plan.svg", replay.PLAN)).reached


def test_restarts_and_reloads_of_the_inner_tiers_lose_no_request(host: Any) -> None:
    edge, rate, seconds = asked(host), 20, 6
    start = time.monotonic()

    def request(number: int) -> bool:
        time.sleep(max(0.0, start + number / rate - time.monotonic()))  # the pace of the load
        # Every other one an upload; it is not logged in, so that the application says so.
        return edge.send(LIVE if number % 2 else replay.multipart("plan", "plan.svg", replay.PLAN)).reached

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = pool.map(request, range(rate * seconds))
        host.check_output("systemctl reload nginx-waf.service")
        host.check_output("systemctl restart upload-inspection.service")
        host.check_output("systemctl restart nginx-waf.service")
        results = list(answers)
    assert results.count(False) == 0


def test_nobody_else_can_ask_the_inner_tiers(host: Any) -> None:
    for socket in ("nginx-waf", "upload-inspection"):
        refused = host.run(f"setpriv --reuid=nobody --clear-groups curl -s --max-time 5 --unix-socket /run/{socket}.sock http://localhost/")
        assert refused.rc == 7
    # Names by which the tiers talk mean nothing from outside.
    forged = replay.Request(
        "forged", INJECTION.line, ["X-Edge-Next: @application", "X-Edge-File: /etc/passwd", "X-Accel-Redirect: @application"]
    )
    assert not asked(host).send(forged).reached


def test_an_upload_that_costs_too_much_is_refused_and_others_are_answered_beside_it(host: Any) -> None:
    drop_in = "/run/systemd/system/upload-inspection.service.d"
    host.check_output(f"mkdir -p {drop_in} && printf '[Service]\\nEnvironment=CPU_SECONDS=1\\n' >{drop_in}/test.conf")
    host.check_output("systemctl daemon-reload && systemctl restart upload-inspection.service")
    heavy = replay.multipart("heavy", "plan.json", b'{"elements": [' + b"[]," * 8_000_000 + b"[]]}")
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(asked(host).send, heavy)
            assert asked(host).send(replay.multipart("plan", "plan.svg", replay.PLAN), 10).reached
            assert answer.result().status == 502 and not answer.result().reached
    finally:
        host.check_output(f"rm -r {drop_in} && systemctl daemon-reload && systemctl restart upload-inspection.service")


@pytest.mark.parametrize("unit", ["nginx-waf", "upload-inspection"])
def test_the_inner_tiers_have_no_network(host: Any, unit: str) -> None:
    process = host.check_output(f"systemctl show -P MainPID {unit}.service")
    devices = [line.split(":")[0].strip() for line in host.file(f"/proc/{process}/net/dev").content_string.splitlines()[2:]]
    assert devices == ["lo"]


def test_the_audit_log_is_rotated_and_written_on(host: Any) -> None:
    asked(host).send(INJECTION)
    host.check_output("logrotate --force /etc/logrotate.d/nginx-waf")
    mark = f"x{uuid.uuid4().hex}"
    request = replay.Request("sqli", f"GET /api/v1/symbols?query={mark}%27%20OR%201=1--%20- HTTP/1.1")

    def is_there() -> bool:
        asked(host).send(request)
        return mark in audit_log(host)

    until(10, is_there)
