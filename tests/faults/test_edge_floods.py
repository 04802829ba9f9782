# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Floods of SYN packets and of connections at the front door, and many who take their time there, for real, while somebody else uses it. All of it stays in the
lab's network: forged addresses are of a network for benchmarks (RFC 2544), and edge1 sends what it answers them to the attacker, who drops it."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .redis_ledger import LAB, docker, playbook

PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
IMAGE = os.environ.get("LAB_IMAGE", f"arxos-lab-debian:{os.environ.get('LAB_DEBIAN', '12')}")
EDGE, ADDRESS = "edge1", f"{PREFIX}.11"
ATTACKER, VICTIM = ("attacker", f"{PREFIX}.181"), ("visitor", f"{PREFIX}.182")
FORGED = "198.18.0.0/15"
FLOOD = (Path(__file__).parent / "syn_flood.py").read_text()
SECONDS, RATE, SAMPLES = 15, 20_000, 100
# Beside those who take their time, a visitor looks longer: the front gives up those without headers after 10 s, and they come again.
LONG, MANY = 30, 300
# Of so many addresses, so that none meets a limit of its own: neither connections at a time, nor requests a second.
CROWD = [f"198.18.1.{number}" for number in range(1, 51)]
DOMAIN = "api.arxos.test"
Figure = Callable[[str, object], None]

# A visitor: so many times a new connection, TLS, a request, its answer. /metrics is answered by the front itself, so no application is needed.
VISITOR = """
import http.client, json, socket, ssl, sys, time
address, domain, samples, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
took, failed = [], []
for number in range(samples):
    start = time.monotonic()
    try:
        connection = http.client.HTTPSConnection(address, timeout=5)
        connection.sock = context.wrap_socket(socket.create_connection((address, 443), 5), server_hostname=domain)
        connection.request("GET", "/metrics", headers={"Host": domain})
        status = connection.getresponse().status
        connection.close()
        if status != 404: failed.append(str(status))
    except OSError as error:
        failed.append(type(error).__name__ + " " + str(error))
    took.append(time.monotonic() - start)
    time.sleep(max(0, pause - took[-1]))
print(json.dumps([took, failed]))
"""
# Opens connections and keeps them; prints how many it has after a time.
HOLDER = """
import socket, sys, time
address, wanted = sys.argv[1], int(sys.argv[2])
held = []
for number in range(wanted):
    s = socket.socket(); s.setblocking(False); s.connect_ex((address, 443)); held.append(s)
    time.sleep(0.03)
time.sleep(2)
up = 0
for s in held:
    try: s.getpeername(); up += 1
    except OSError: pass
print(up)
"""
# Many who take their time, each anew when it is cut, until the input ends: nothing sent at all, headers that do not end, a body that does not. Prints `ready`
# when all are there or a minute is over, and at the end how many were there on average, how often one came, and how often one did not get in.
CROWDING = """
import asyncio, json, os, resource, ssl, sys
address, domain, kind, wanted, sources = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5].split(",")
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
headers = f"GET /api/v1/x HTTP/1.1\\r\\nHost: {domain}\\r\\nX-Slow: "
body = f"POST /api/v1/x HTTP/1.1\\r\\nHost: {domain}\\r\\nContent-Type: application/json\\r\\nContent-Length: 4096\\r\\n\\r\\n"
begin = {"idle": b"", "headers": headers.encode(), "bodies": body.encode()}[kind]
held = came = refused = 0
async def one(number, gate):
    global held, came, refused
    tls = {} if kind == "idle" else {"ssl": context, "server_hostname": domain}
    while True:
        try:
            async with gate:
                reader, writer = await asyncio.wait_for(asyncio.open_connection(address, 443, local_addr=(sources[number % len(sources)], 0), **tls), 10)
        except (OSError, asyncio.TimeoutError):
            refused += 1
            await asyncio.sleep(1)
            continue
        held, came = held + 1, came + 1
        try:
            writer.write(begin)
            while True:
                try:
                    if not await asyncio.wait_for(reader.read(4096), 2 if begin else None):
                        break
                except asyncio.TimeoutError:
                    writer.write(b"x")
        except OSError:
            pass
        finally:
            held -= 1
            writer.transport.abort()
async def main():
    gate = asyncio.Semaphore(50)
    crowd = [asyncio.create_task(one(number, gate)) for number in range(wanted)]
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for _turn in range(600):
        if held >= 0.99 * wanted:
            break
        await asyncio.sleep(0.1)
    print("ready", flush=True)
    seen = [held]
    while not over.done():
        await asyncio.wait([over], timeout=0.5)
        seen.append(held)
    print(json.dumps([sum(seen) // len(seen), came, refused]), flush=True)
    os._exit(0)  # before Python 3.12, wait_for may swallow that one is cancelled, who then stays
asyncio.run(main())
"""


def on(host: str, *words: str, timeout: float = 60) -> str:
    return docker("exec", f"{LAB}-{host}", *words, timeout=timeout).stdout


@pytest.fixture(scope="module", autouse=True)
def edge() -> Iterator[None]:
    """edge1 as the playbooks make it, and two machines that are no hosts of the platform."""
    limit = ("--limit", f"{EDGE},localhost")
    playbook("molecule/shared/create.yml", *limit)
    playbook("playbooks/hosts.yml", *limit)
    playbook("playbooks/edge.yml", *limit)
    try:
        for name, address in (ATTACKER, VICTIM):
            words = [
                "run",
                "--detach",
                "--name",
                f"{LAB}-{name}",
                "--network",
                LAB,
                "--ip",
                address,
                "--cap-add",
                "NET_ADMIN",
                "--cpu-shares",
                "64",
            ]
            docker(*words, IMAGE, "sleep", "infinity")
        on(ATTACKER[0], "ip", "route", "add", "blackhole", FORGED)
        on(EDGE, "ip", "route", "replace", FORGED, "via", ATTACKER[1])
        yield
    finally:
        docker("exec", f"{LAB}-{EDGE}", "ip", "route", "del", FORGED, check=False)
        for name, _address in (ATTACKER, VICTIM):
            docker("rm", "--force", f"{LAB}-{name}", check=False)


def visit(samples: int = SAMPLES, seconds: float = SECONDS) -> tuple[float, list[str]]:
    """95th percentile of a visitor's requests in seconds, and what failed."""
    words = ("python3", "-c", VISITOR, ADDRESS, DOMAIN, str(samples), str(seconds / samples))
    took, failed = json.loads(on(VICTIM[0], *words, timeout=600))
    return statistics.quantiles(took, n=20)[-1], failed


@contextmanager
def flood(sources: str, target: str = ADDRESS) -> Iterator[list[int]]:
    """SYN packets from those sources as long as the block runs, and at the end how many."""
    command = ["docker", "exec", "-i", f"{LAB}-{ATTACKER[0]}", "python3", "-c", FLOOD, target, "443", str(SECONDS + 3), str(RATE), sources]
    sent: list[int] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout and sender.stdout.readline() == "ready\n"
        yield sent
        out, _error = sender.communicate(timeout=120)
    sent.append(int(out))


@contextmanager
def crowd(kind: str, connections: int) -> Iterator[list[int]]:
    """So many who take their time as long as the block runs; at the end how many there were on average, how often one came, and was not let in."""
    name = f"{LAB}-{ATTACKER[0]}"
    docker("exec", name, "sh", "-c", "; ".join(f"ip address replace {address}/32 dev lo" for address in CROWD))
    command = ["docker", "exec", "-i", name, "python3", "-c", CROWDING, ADDRESS, DOMAIN, kind, str(connections), ",".join(CROWD)]
    counted: list[int] = []
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
            try:
                assert sender.stdout and sender.stdout.readline() == "ready\n"
                yield counted
            finally:
                out, _error = sender.communicate(timeout=120)
        counted += json.loads(out)
    finally:
        docker("exec", name, "sh", "-c", "; ".join(f"ip address del {address}/32 dev lo" for address in CROWD), check=False)


def dropped() -> int:
    """Packets that the meters have dropped."""
    return sum(int(number) for number in re.findall(r"counter packets (\d+)", on(EDGE, "nft", "list", "chain", "inet", "arxos", "door")))


@pytest.mark.parametrize("sources", [f"{ATTACKER[1]}/32", FORGED], ids=["one address", "forged addresses"])
def test_a_syn_flood_does_not_reach_who_uses_the_door(sources: str, figure: Figure) -> None:
    quiet, failed = visit()
    assert failed == []
    before = dropped()
    with flood(sources) as sent:
        busy, failed = visit()
    refused = dropped() - before
    what = "one address" if sources.endswith("/32") else "forged addresses"
    figure(f"SYN flood, {what}", f"{sent[0] / (SECONDS + 3):.0f}/s, {100 * refused / sent[0]:.1f} % dropped at the door")
    figure(f"p95 of a visitor, {what} (bound twice)", f"{quiet * 1000:.1f} ms quiet, {busy * 1000:.1f} ms under it, {len(failed)} failed")
    assert failed == []
    assert refused > 0.5 * sent[0], "the meters did not see it"
    assert busy < 2 * quiet


@pytest.mark.parametrize(("kind", "connections"), [("headers", 500), ("bodies", 1000), ("idle", 5000)])
def test_who_takes_their_time_delays_nobody(kind: str, connections: int, figure: Figure) -> None:
    on(EDGE, "nginx-traffic", "open")  # one that is closed refuses a body before it has come
    quiet, failed = visit(MANY, LONG)
    assert failed == []
    with crowd(kind, connections * 13 // 10) as counted:  # some of them are cut and on their way back
        busy, failed = visit(MANY, LONG)
    there, came, refused = counted
    figure(f"who takes their time, {kind}", f"{there} on average, {came} came in all, {refused} did not get in")
    figure(
        f"p95 of a visitor, {kind} (bound twice)", f"{quiet * 1000:.1f} ms quiet, {busy * 1000:.1f} ms beside them, {len(failed)} failed"
    )
    assert failed == []
    assert there >= connections, "there were not enough of them to say so"
    assert busy < 2 * quiet


def test_one_address_holds_no_more_connections_than_it_may(figure: Figure) -> None:
    held = int(on(ATTACKER[0], "python3", "-c", HOLDER, ADDRESS, "260", timeout=120))
    figure("connections of one address (bound 200)", held)
    assert 190 <= held <= 200


def test_a_load_window_and_exempt_networks_are_not_counted(figure: Figure) -> None:
    on(EDGE, "nginx-load-window", "open", "600", ATTACKER[1])
    try:
        assert int(on(ATTACKER[0], "python3", "-c", HOLDER, ADDRESS, "260", timeout=120)) == 260
        on(EDGE, "systemctl", "reload", "nftables.service")
        assert ATTACKER[1] in on(EDGE, "nft", "list", "set", "inet", "arxos", "load_window"), "a reload of the rules closed the window"
        before = dropped()
        with flood(f"{ATTACKER[1]}/32") as sent:
            pass
        assert dropped() == before and sent[0] > 0
    finally:
        on(EDGE, "nginx-load-window", "close")
    assert ATTACKER[1] not in on(EDGE, "nft", "list", "set", "inet", "arxos", "load_window")
    assert int(on(ATTACKER[0], "python3", "-c", HOLDER, ADDRESS, "260", timeout=120)) <= 200
