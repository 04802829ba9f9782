"""The application: what is around the routes."""

import asyncio
import os
import random
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from minio.error import MinioException
from psycopg.errors import OperationalError, ReadOnlySqlTransaction
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from urllib3.exceptions import HTTPError

from . import __version__, api, logs, metrics
from .access import Services
from .backends import CACHE_AWAY, Database, Files, make_cache
from .bim import Model
from .exports import EXPORTS
from .health import Check, Health
from .security import Cipher, Tokens
from .settings import Behaviour, Settings

BODY_LIMIT, UPLOAD_LIMIT = 2 * 1024 * 1024, api.MAXIMUM_UPLOAD + 1024 * 1024  # multipart has a weight of its own
AWAY = (OperationalError, ReadOnlySqlTransaction, MinioException, HTTPError, *CACHE_AWAY)  # a backend is
TINY_MODEL: Model = {
    "name": "tiny",
    "walls": [{"id": "W1", "start": (0.0, 0.0), "end": (1.0, 0.0), "height": 2.8, "thickness": 0.2}],
    "rooms": [{"id": "R1", "name": "R1", "points": [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)], "area": 0.5, "perimeter": 3.414}],
}


class Envelope:
    """Around every request: its id, limits on its body, how this release misbehaves, metrics, and a line in the log."""

    def __init__(self, app: ASGIApp, behaviour: Behaviour) -> None:
        self._app, self._behaviour = app, behaviour

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        scope["arxos_id"] = uuid.uuid4().hex[:16]

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", scope["arxos_id"].encode())]
            await send(message)

        try:
            await (await self._refuse(scope) or self._app)(scope, receive, answer)
        finally:
            seconds, method = time.perf_counter() - started, scope["method"]
            route = getattr(scope.get("route"), "path", "unmatched")
            metrics.REQUESTS.labels(method, route, status).inc()
            metrics.SECONDS.labels(method, route).observe(seconds)
            if not route.startswith(("/health/", "/metrics")):
                user, client = scope.get("arxos_user"), (scope.get("client") or [""])[0]
                entry = {"method": method, "route": route, "status": status, "duration_ms": round(seconds * 1000, 1), "client": client}
                logs.log.getChild("access").info("request", extra={**entry, "user": user and user.name, "request_id": scope["arxos_id"]})

    async def _refuse(self, scope: Scope) -> Response | None:
        headers, path = dict(scope["headers"]), scope["path"]
        length = headers.get(b"content-length", b"0")
        if b"transfer-encoding" in headers or not length.isdigit():
            return JSONResponse({"detail": "say how long the body is"}, 411)
        if int(length) > (UPLOAD_LIMIT if path == "/api/v1/svg/upload" else BODY_LIMIT):
            return JSONResponse({"detail": "the body is too large"}, 413, {"Connection": "close"})
        if path == "/" or path.startswith("/api/"):
            await asyncio.sleep(self._behaviour.delay_ms / 1000)
            if random.random() < self._behaviour.error_rate:
                return JSONResponse({"detail": "this release leaks errors"}, 500)
        return None


def make_checks(services: Services, behaviour: Behaviour) -> dict[str, Check]:
    me = f"{socket.gethostname()}-{os.getpid()}"

    async def check_cache() -> None:
        await services.cache.set(f"arxos:health:{me}", me, ex=60)
        if await services.cache.get(f"arxos:health:{me}") != me:
            raise OSError("the value came back changed")

    async def check_security() -> None:
        if services.cipher.decrypt(services.cipher.encrypt(me)) != me:
            raise OSError("the text came back changed")
        services.tokens.verify(services.tokens.issue("health", me, "viewer", "health", 10), "health")

    async def check_exports() -> None:
        if behaviour.health == "fail":
            raise RuntimeError("this release was told to fail")
        for write, _, _ in EXPORTS.values():
            await asyncio.to_thread(write, TINY_MODEL)

    return {
        "database": services.database.check,
        "cache": check_cache,
        "file_storage": lambda: services.files.check(f"health/{socket.gethostname()}"),
        "security_services": check_security,
        "export_services": check_exports,
    }


def create_app() -> FastAPI:
    settings, behaviour = Settings.from_environment(), Behaviour.of_release()
    logs.configure(settings.log_file, settings.log_level)
    database, cache = Database(settings), make_cache(settings)
    services = Services(settings, database, cache, Files(settings), Tokens(settings.jwt_secrets), Cipher(settings.encryption_keys))
    health = Health(make_checks(services, behaviour), settings.health_timeout, settings.health_cache)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await database.open()
        metrics.RELEASE.labels(__version__).set(1)
        logs.log.info("started", extra={"version": __version__, "pid": os.getpid()})
        yield
        await database.close()
        await cache.aclose()
        logs.log.info("stopped", extra={"version": __version__, "pid": os.getpid()})

    app = FastAPI(
        title="Arxos API", version=__version__, lifespan=lifespan, openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None
    )
    app.state.services = services
    app.include_router(api.router)
    app.add_middleware(Envelope, behaviour=behaviour)

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        logs.log.error("a backend failed", extra={"error": type(error).__name__, "reason": str(error)[:300]})
        return JSONResponse({"detail": "a service behind this one is away for the moment"}, 503, {"Retry-After": "2"})

    for kind in AWAY:
        app.add_exception_handler(kind, unavailable)

    @app.get("/")
    async def read_root() -> dict[str, str]:
        return {"service": "arxos-api", "version": __version__}

    @app.get("/health/")
    async def read_health() -> JSONResponse:
        report = await health.report()
        healthy = report["status"] == "healthy"
        metrics.HEALTHY.set(int(healthy))
        return JSONResponse({**report, "version": __version__}, 200 if healthy else 503)

    @app.get("/health/ready")
    async def read_ready() -> JSONResponse:
        """For a load balancer. The file `drain` in the runtime directory drains this host; a restart removes it."""
        draining = os.path.exists(os.path.join(settings.runtime_directory, "drain"))
        return JSONResponse({"status": "draining"}, 503) if draining else JSONResponse({"status": "ready"})

    @app.get("/health/live")
    async def read_live() -> dict[str, str]:
        return {"status": "alive", "version": __version__}

    @app.get("/metrics")
    def read_metrics() -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app
