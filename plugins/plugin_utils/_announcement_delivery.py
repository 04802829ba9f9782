# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings messages to channels beside a run: a queue, a thread and a process for each, so that none waits for another and the run for none.

The threads only wait for pipes. Templates, TLS and HTTP are the processes' (C(_announcement_sender)), since a worker that Ansible forks while a
thread holds a lock of theirs would wait for it forever.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ansible_collections.arxos.platform.plugins.module_utils import _announcements

SENDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_announcement_sender.py")
# Seconds that the process may take beside the time limit: to start and load the library, and to say what happened.
START, GRACE = 15.0, 2.0
LATE = "not sent before the run ended"


class Transport(Protocol):
    """What sends to one channel."""

    def start(self) -> None:
        """Makes ready."""

    def send(self, message: _announcements.Message) -> str:
        """Sends; the reason why it was not sent, or nothing."""

    def stop(self) -> None:
        """Ends, also while it sends."""


class ProcessTransport:
    """Sends through a process, which is ended where it does not answer in time and begun again with the next message."""

    def __init__(
        self, address: str, timeout: float, folders: Sequence[str], command: Sequence[str] = (sys.executable, "-P", SENDER)
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.folders = list(folders)
        self.command = list(command)
        self.process: subprocess.Popen[bytes] | None = None
        self.fresh = True
        self.stopped = False

    def start(self) -> None:
        """Begins the process. In a session of its own, so that Ctrl-C does not end what shall tell of it."""
        self.fresh = True
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, bufsize=0
        )

    def send(self, message: _announcements.Message) -> str:
        """Sends; the reason why it was not sent, or nothing. The address goes by a pipe, for arguments are anybody's to read."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        limit = self.timeout + GRACE + (START if self.fresh else 0)
        self.fresh = False
        job = {
            "address": self.address,
            "timeout": self.timeout,
            "folders": self.folders,
            "audience": message.audience,
            "level": message.level,
            "facts": message.facts,
        }
        if self.process is None or self.process.stdin is None or self.process.stdout is None:
            return "the sender did not start"
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            line = _read_line(self.process.stdout.fileno(), time.monotonic() + limit)
        except OSError:
            line = b""
        if line is None:
            self._end()
            return f"no answer within {self.timeout:g} s"
        if not line:
            self._end()
            return LATE if self.stopped else "the sender ended"
        return str(json.loads(line))

    def stop(self) -> None:
        """Ends, also while it sends."""
        self.stopped = True
        self._end()

    def _end(self) -> None:
        process = self.process
        if process is not None:
            process.kill()
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.wait(timeout=5)


def _read_line(descriptor: int, deadline: float) -> bytes | None:
    """One line of a pipe; nothing where it ended, None where the time is over."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
        part = os.read(descriptor, 65536)
        if not part:
            return b""
        line += part
    return line


class Worker:
    """The thread of one channel."""

    def __init__(self, name: str, transport: Transport) -> None:
        self.outbox = _announcements.Outbox(name)
        self.transport = transport
        self.lock = threading.Condition()
        self.closing = False
        # At once: a program that is about to end, as one that is broken off, may begin no more threads and processes.
        self.thread = threading.Thread(target=self._work, name=f"announcements {name}", daemon=True)
        self.thread.start()

    def put(self, message: _announcements.Message) -> None:
        """One more message; returns at once."""
        with self.lock:
            self.outbox.put(message)
            self.lock.notify()

    def close(self) -> None:
        """Nothing more will come: ends once all is sent."""
        with self.lock:
            self.closing = True
            self.lock.notify()

    def give_up(self) -> None:
        """Ends now."""
        with self.lock:
            self.outbox.close(LATE)
        self.transport.stop()

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # tried again with the first message, which then says why
            self.transport.start()
        while True:
            with self.lock:
                message = self.outbox.take()
                while message is None:
                    if self.closing:
                        return
                    self.lock.wait()
                    message = self.outbox.take()
            try:
                reason = self.transport.send(message)
            except Exception as error:  # one message must not end the thread; the text of an error may hold the address
                reason = f"{type(error).__name__} while sending"
            with self.lock:
                self.outbox.done(reason)


class Delivery:
    """All channels of a run."""

    def __init__(
        self,
        settings: _announcements.Settings,
        folders: Sequence[str],
        transport: Callable[[str, float, Sequence[str]], Transport] = ProcessTransport,
    ) -> None:
        self.workers: Mapping[str, Worker] = {
            name: Worker(name, transport(channel.address, settings.timeout, folders)) for name, channel in settings.channels.items()
        }

    def put(self, messages: Sequence[_announcements.Message]) -> None:
        """Messages to be sent, in their order on each channel; returns at once."""
        for message in messages:
            self.workers[message.channel].put(message)

    def finish(self, wait: float) -> tuple[str, bool]:
        """Waits at most so many seconds for what is not sent yet, and ends. What became of all, on a line, and whether all was sent."""
        deadline = time.monotonic() + wait
        for worker in self.workers.values():
            worker.close()
        for worker in self.workers.values():
            worker.thread.join(max(0.0, deadline - time.monotonic()))
        for worker in self.workers.values():
            worker.give_up()
        for worker in self.workers.values():
            worker.thread.join(GRACE)
        boxes = [worker.outbox for worker in self.workers.values()]
        return _announcements.report(boxes), not any(box.failed for box in boxes)


def apprise_takes(address: str) -> bool:
    """Whether apprise, which has to be installed, knows what to do with an address. Nothing is sent or logged."""
    import logging

    logger = logging.getLogger("apprise")
    silent, logger.disabled = logger.disabled, True
    try:
        from apprise import Apprise

        return Apprise.instantiate(address) is not None
    finally:
        logger.disabled = silent
