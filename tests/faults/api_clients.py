# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users of the API who were logged in before something is done to the platform, and go on at a rate that does not give way: a request that is late is made
all the same. None is tried twice.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from passlib.totp import TOTP

DOMAIN = "api.arxos.test"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="10" height="8"/></svg>'


@contextmanager
def resolved(address: str) -> Iterator[None]:
    """The lab's name is in no DNS: here it stands for the virtual address."""
    resolve = socket.getaddrinfo

    def platform(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve(address if host == DOMAIN else host, *args, **kwargs)

    socket.getaddrinfo = platform  # type: ignore[assignment]
    try:
        yield
    finally:
        socket.getaddrinfo = resolve


class User:
    """One who is logged in."""

    def __init__(self, ca: str) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = ca
        self.refresh_token = self.sealed = ""

    def post(self, path: str, **given: Any) -> requests.Response:
        return self.session.post(f"https://{DOMAIN}{path}", timeout=30, **given)

    def get(self, path: str) -> requests.Response:
        return self.session.get(f"https://{DOMAIN}{path}", timeout=30)

    def take(self, answer: requests.Response) -> None:
        """Tokens, which are shown from now on."""
        answer.raise_for_status()
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self.refresh_token = answer.json()["refresh_token"]

    def login(self, secrets: dict[str, str]) -> None:
        otp = TOTP(key=secrets["vault_arxos_api_admin_totp_secret"]).generate().token
        given = {"username": "admin", "password": secrets["vault_arxos_api_admin_password"], "otp": otp}
        self.take(self.post("/api/v1/auth/login", json=given))

    def seal(self) -> None:
        """A text that is encrypted now, to be read later."""
        answer = self.post("/api/v1/security/encrypt", json={"text": "before"})
        answer.raise_for_status()
        self.sealed = answer.json()["text"]


@dataclass
class Came:
    """What the requests came to."""

    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[float, str]] = field(default_factory=list)
    slowest: float = 0.0
    late: float = 0.0

    @property
    def rate(self) -> float:
        return sum(self.answers.values()) / self.seconds

    def __str__(self) -> str:
        return (
            f"{len(self.failures)} of {sum(self.answers.values())} requests failed at {self.rate:.1f} r/s, the slowest took {self.slowest:.2f} s, "
            f"the generator was {self.late:.2f} s late at most"
        )


class Clients:
    """Half of the users keep the token that they came with, the others renew theirs every few seconds. There are so many since each waits for its own
    answer, and on a full machine that may take 300 ms.
    """

    def __init__(self, ca: str, secrets: dict[str, str], users: int = 40, rate: float = 100.0) -> None:
        self.pause, self.came, self._lock, self._over = users / rate, Came(), threading.Lock(), threading.Event()
        self.users = [User(ca) for _user in range(users)]
        for user in self.users:
            user.login(secrets)
            user.seal()

    @contextmanager
    def at_work(self) -> Iterator[Came]:
        """They work until the block ends."""
        self.came, began = Came(), time.monotonic()
        self._over.clear()
        threads = [threading.Thread(target=self._work, args=(number, user), daemon=True) for number, user in enumerate(self.users)]
        for thread in threads:
            thread.start()
        try:
            yield self.came
        finally:
            self._over.set()
            self.came.seconds = time.monotonic() - began
            for thread in threads:
                thread.join(60)

    def _work(self, number: int, user: User) -> None:
        def decrypt() -> requests.Response:
            answer = user.post("/api/v1/security/decrypt", json={"text": user.sealed})
            if answer.ok and answer.json()["text"] != "before":
                raise ValueError("another text came back")
            return answer

        def search() -> requests.Response:
            return user.get("/api/v1/symbols?query=door")

        def encrypt() -> requests.Response:
            answer = user.post("/api/v1/security/encrypt", json={"text": "before"})
            if answer.ok and number % 2:
                user.sealed = answer.json()["text"]
            return answer

        def upload() -> requests.Response:
            return user.post("/api/v1/svg/upload", files={"file": ("plan.svg", SVG, "image/svg+xml")})

        def renew() -> requests.Response:
            answer = user.post("/api/v1/auth/refresh", json={"refresh_token": user.refresh_token})
            if answer.ok and number % 2:
                user.take(answer)
            return answer

        round_: list[Callable[[], requests.Response]] = [search, search, encrypt, search, upload, search, decrypt, search, renew, search]
        # Users have machines of their own: what this one does beside is not to slow them down.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
        began = time.monotonic() + self.pause * number / len(self.users)
        for turn, ask in enumerate(itertools.cycle(round_)):
            due = began + turn * self.pause
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
            started = time.monotonic()
            try:
                answer = ask()
                what, failed = f"{ask.__name__} {answer.status_code}", "" if answer.ok else answer.text[:200]
                failed = f"{what}: {failed}" if not answer.ok else ""
            except (requests.RequestException, ValueError, KeyError) as error:
                what, failed = f"{ask.__name__} {type(error).__name__}", f"{ask.__name__}: {str(error)[:200]}"
            with self._lock:
                self.came.answers[what] += 1
                self.came.slowest = max(self.came.slowest, time.monotonic() - started)
                self.came.late = max(self.came.late, started - due)
                if failed:
                    self.came.failures.append((round(time.time(), 2), failed))
