# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs on a host of the cache tier, as the application's user: writes to every slot until its input ends and each was
written, then reads everything back.

Arguments: the addresses (host:port,...), the CA certificate, the writers, and the keys that each slot holds besides (to be carried when slots
move). Prints a line `started` once every writer has written, and at the end one line of JSON. It needs Debian's python3-redis alone.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import sys
import threading
import time
from typing import Any

from redis.cluster import PRIMARY, ClusterNode, RedisCluster
from redis.connection import SSLConnection
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, ResponseError

SLOTS = 16384
PATIENCE = 60.0  # seconds after which a write that does not succeed is given up


def one_key_a_slot() -> list[str]:
    keys: dict[int, str] = {}
    number = 0
    while len(keys) < SLOTS:
        key = f"arxos:ledger:{{{number}}}"
        keys.setdefault(key_slot(key.encode()), key)
        number += 1
    return [keys[slot] for slot in range(SLOTS)]


class Client(RedisCluster):
    """redis-py that follows a slot also to an instance that has just joined: of itself it fails with an AttributeError there (up to 8.1)."""

    def get_node(self, host: Any = None, port: Any = None, node_name: Any = None) -> Any:
        found = super().get_node(host, port, node_name)
        if found is None and node_name:
            host, _colon, port = node_name.rpartition(":")
            found = self.nodes_manager.nodes_cache.setdefault(node_name, ClusterNode(host, int(port), PRIMARY))
        return found


def connect(addresses: str, ca_cert: str) -> RedisCluster:
    """With the patience of the application."""
    nodes = [ClusterNode(host, int(port)) for host, _colon, port in (item.rpartition(":") for item in addresses.split(","))]
    who = {"username": os.environ.get("REDIS_USER", "application"), "password": os.environ["REDIS_PASSWORD"]}
    tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": ca_cert}
    return Client(startup_nodes=nodes, socket_timeout=2, socket_connect_timeout=1, decode_responses=True, **who, **tls)


class Probe(threading.Thread):
    """Writes one key of one shard by itself, to whichever instance takes it, with little patience: how long does nobody take it?

    A library waits for its timeouts one after the other and asks dead instances where the slots are; this is what the cluster is to blame for.
    """

    def __init__(self, key: str, addresses: str, ca_cert: str, end: Any) -> None:
        super().__init__(daemon=True)
        self.key, self.ca_cert, self.end = key.replace("ledger", "probe", 1), ca_cert, end
        self.places = [(host, int(port)) for host, _colon, port in (item.rpartition(":") for item in addresses.split(","))]
        self.links: dict[tuple[str, int], SSLConnection] = {}
        self.gap = 0.0
        self.count = 0

    def run(self) -> None:
        place, turn, last = self.places[0], 0, time.monotonic()
        while not self.end.is_set():
            try:
                answer = self._set(place)
            except ResponseError as error:
                # MOVED slot address:port, ASK likewise; anything else is told by one that cannot serve now.
                words = str(error).split()
                host, _colon, port = words[-1].rpartition(":")
                answer, moved = "", isinstance(error, (MovedError, AskError)) or words[0] in ("MOVED", "ASK")
                turn += 1
                place = (host, int(port)) if moved and words[-1].count(":") == 1 else self.places[turn % len(self.places)]
            except Exception:
                self.links.pop(place, None)
                answer, turn = "", turn + 1
                place = self.places[turn % len(self.places)]
            if answer:
                now = time.monotonic()
                self.gap = max(self.gap, now - last) if self.count else 0.0
                last, self.count = now, self.count + 1
            time.sleep(0.01)

    def _set(self, place: tuple[str, int]) -> Any:
        if place not in self.links:
            who = {"username": os.environ.get("REDIS_USER", "application"), "password": os.environ["REDIS_PASSWORD"]}
            timeouts = {"socket_timeout": 0.5, "socket_connect_timeout": 0.3}
            self.links[place] = SSLConnection(host=place[0], port=place[1], ssl_ca_certs=self.ca_cert, **who, **timeouts)
        link = self.links[place]
        try:
            link.send_command("SET", self.key, self.count, "EX", 600)
            return link.read_response()
        except ResponseError:
            raise
        except Exception:
            link.disconnect()
            raise


def probe(keys: list[str], addresses: str, ca_cert: str, begun: Any, end: Any, gap: Any) -> None:
    """Probes keys until the end, in a process of its own: beside the writers a probe would wait for their turns of the interpreter as well."""
    probes = [Probe(key, addresses, ca_cert, end) for key in keys]
    for each in probes:
        each.start()
    while not all(each.count for each in probes):
        time.sleep(0.05)
    begun.set()
    for each in probes:
        each.join()
    gap.value = max(each.gap for each in probes)


class Writer(threading.Thread):
    """Writes rising numbers to its keys; a number counts as written when the cluster has acknowledged it."""

    def __init__(self, keys: list[str], client: RedisCluster, end: threading.Event) -> None:
        super().__init__(daemon=True)
        self.keys, self.client, self.end = keys, client, end
        self.written: dict[str, int] = {}
        self.errors: list[tuple[float, str]] = []
        self.waits: list[tuple[float, float]] = []  # when, and for how long, of writes that took longer than usual
        self.slowest = 0.0
        self.count = 0

    def run(self) -> None:
        number = 0
        while not self.end.is_set() or number < len(self.keys):
            random.shuffle(self.keys)
            for key in self.keys:
                if self.end.is_set() and number >= len(self.keys):  # each key once at least, however slow the machine
                    return
                number += 1
                begin = time.monotonic()
                while not self._write(key, number) and time.monotonic() - begin < PATIENCE:
                    time.sleep(0.02)
                waited = time.monotonic() - begin
                self.slowest = max(self.slowest, waited)
                if waited > 0.1:
                    self.waits.append((time.time(), round(waited, 3)))

    def _write(self, key: str, number: int) -> bool:
        try:
            self.client.set(key, number)
        except Exception as error:  # whatever the application would see
            self.errors.append((time.time(), f"{type(error).__name__}: {error}"[:200]))
            return False
        self.written[key] = number
        self.count += 1
        return True


def main() -> None:
    logging.getLogger("redis").setLevel(logging.CRITICAL)  # it tells of every redirection
    addresses, ca_cert, writers, extra = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    keys = one_key_a_slot()
    client = connect(addresses, ca_cert)
    for start in range(0, SLOTS if extra else 0, 512):
        pipe = client.pipeline()
        for key in keys[start : start + 512]:
            for number in range(extra):
                pipe.set(f"{key}:{number}", "x" * 100)
        pipe.execute()
    end = threading.Event()
    shuffled = random.sample(keys, len(keys))
    clients = [connect(addresses, ca_cert) for _index in range(writers)]
    threads = [Writer(shuffled[index::writers], clients[index], end) for index in range(writers)]
    first = {client.nodes_manager.slots_cache[slot][0].name: keys[slot] for slot in reversed(range(SLOTS))}
    fork = multiprocessing.get_context("fork")
    probing, probed, gap = fork.Event(), fork.Event(), fork.Value("d", -1.0)
    probes = fork.Process(target=probe, args=(list(first.values()), addresses, ca_cert, probing, probed, gap), daemon=True)
    begin = time.monotonic()
    probes.start()  # before there are threads, which a fork does not take along
    os.nice(10)  # what six writers take of a small machine is not to be what the probes and the instances wait for
    for thread in threads:
        thread.start()
    while not (probing.is_set() and all(thread.count for thread in threads)):
        if probes.exitcode is not None:
            sys.exit("the probes ended before they began")
        time.sleep(0.05)
    print("started", flush=True)
    sys.stdin.read()
    end.set()
    for thread in threads:
        thread.join()
    probed.set()
    probes.join()
    if gap.value < 0:
        sys.exit("the probes ended early, and measured nothing")
    seconds = time.monotonic() - begin

    client = connect(addresses, ca_cert)
    written = {key: number for thread in threads for key, number in thread.written.items()}
    lost = [key for key, number in written.items() if int(client.get(key) or 0) < number]
    gone = 0
    for key in keys:
        names = [f"{key}:{number}" for number in range(extra)]
        if extra:
            gone += extra - int(client.execute_command("EXISTS", *names))
            client.execute_command("DEL", *names)
        client.delete(key)
    errors = sorted(error for thread in threads for error in thread.errors)
    report = {
        "writes": sum(thread.count for thread in threads),
        "slots": len(written),
        "seconds": round(seconds, 1),
        "gap": round(gap.value, 3),
        "slowest": round(max(thread.slowest for thread in threads), 3),
        "waits": sorted(wait for thread in threads for wait in thread.waits)[:50],
        "errors": len(errors),
        "first_errors": errors[:5],
        "lost": len(lost),
        "gone": gone,
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
