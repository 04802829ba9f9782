# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users of the platform for as long as a deploy or a rollback takes: every request a connection of its own, as from many clients.

Environment: ARXOS_ADDRESS (the virtual address), ARXOS_CA (the CA's file), ARXOS_TOKEN (an access token). Each user makes a request
every two seconds, so that users = rate * 2: one who waits for an answer asks nothing meanwhile, and few users would make the rate fall with every slow answer.
"""

from __future__ import annotations

import os
import socket

from locust import HttpUser, constant_throughput, task

ADDRESS = os.environ["ARXOS_ADDRESS"]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="10" height="8"/></svg>'

resolve = socket.getaddrinfo


def resolve_platform(host: str, *args: object, **kwargs: object) -> list:
    """The lab's name is in no DNS: it stands for the virtual address here, and nowhere else."""
    return resolve(ADDRESS if host.endswith(".arxos.test") else host, *args, **kwargs)


socket.getaddrinfo = resolve_platform


class Client(HttpUser):
    """Mostly reads, some writes that must not be lost."""

    wait_time = constant_throughput(0.5)

    def on_start(self) -> None:
        self.client.trust_env = False
        self.client.verify = os.environ["ARXOS_CA"]
        self.client.headers.update({"Connection": "close", "Authorization": f"Bearer {os.environ['ARXOS_TOKEN']}"})

    @task(6)
    def ready(self) -> None:
        self.client.get("/health/ready")

    @task(3)
    def search(self) -> None:
        self.client.get("/api/v1/symbols?query=door", name="/api/v1/symbols")

    @task(1)
    def upload(self) -> None:
        self.client.post("/api/v1/svg/upload", files={"file": ("plan.svg", SVG, "image/svg+xml")})
