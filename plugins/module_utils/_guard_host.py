# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The host of a member of the cluster, as C(_guard) wants it: systemd, files, PostgreSQL over its socket, Patroni's REST API."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
from typing import Any, Callable
from urllib.parse import urlsplit

from ansible_collections.arxos.platform.plugins.module_utils._guard import GuardError

_NO_CONNECTION = 2  # psql's exit code


class LocalHost:
    """Runs on the host, as root. C(run) is the module's run_command."""

    def __init__(
        self, run: Callable[..., tuple[int, str, str]], *, url: str = "", ca_cert: str = "", user: str = "", password: str = ""
    ) -> None:
        self._run = run
        self._url, self._ca_cert = url, ca_cert
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def systemctl(self, *words: str) -> str:
        rc, out, err = self._run(["systemctl", *words])
        if rc:
            raise GuardError(f"systemctl {' '.join(words)}: {(err or out).strip()}")
        return str(out)

    def active(self, unit: str) -> bool:
        return str(self._run(["systemctl", "is-active", unit])[1]).strip() == "active"

    def read(self, path: str) -> str:
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise GuardError(f"{path}: {error.strerror}") from error

    def write(self, path: str, text: str) -> None:
        try:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            os.replace(path + ".new", path)
        except OSError as error:
            raise GuardError(f"{path}: {error.strerror}") from error

    def remove(self, path: str) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        except OSError as error:
            raise GuardError(f"{path}: {error.strerror}") from error

    def terminate(self, process: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)

    def sql(self, statement: str, database: str = "postgres") -> str | None:
        rc, out, err = self._run(
            ["runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement], cwd="/"
        )
        if rc == _NO_CONNECTION:
            return None
        if rc:
            raise GuardError(f"PostgreSQL: {err.strip()}")
        return str(out).partition("\n")[0]

    def patroni(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        parts = urlsplit(self._url)
        try:
            context = ssl.create_default_context(cafile=self._ca_cert)
            connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=30, context=context)
            try:
                headers = {"Authorization": self._authorization, "Content-Type": "application/json"} if method != "GET" else {}
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                response = connection.getresponse()
                text = response.read().decode("utf-8", "replace")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise GuardError(f"{self._url} does not answer: {error}") from error
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text
