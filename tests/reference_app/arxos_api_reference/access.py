"""Who is asking, may they, and how often: sessions, quota, failed logins and the audit trail, all in Redis."""

import asyncio
import ipaddress
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, HTTPException, Request, Response
from redis.asyncio.cluster import RedisCluster

from .backends import CACHE_AWAY, Database, Files
from .logs import log, mask
from .security import ACCESS_SECONDS, REFRESH_SECONDS, Cipher, SecurityError, Tokens, allowed
from .settings import Settings

MAXIMUM_FAILURES, FAILURE_SECONDS = 5, 900
_TRAIL, _TRAIL_LENGTH = "arxos:audit", 10_000


@dataclass(frozen=True)
class Services:
    settings: Settings
    database: Database
    cache: RedisCluster
    files: Files
    tokens: Tokens
    cipher: Cipher


@dataclass(frozen=True)
class User:
    name: str
    role: str
    session: str


class Call:
    """One request, and what serves it."""

    def __init__(self, request: Request, response: Response) -> None:
        self.scope, self.answer = request.scope, response
        self.services: Services = request.app.state.services
        self.cache = self.services.cache
        self.address = request.client.host if request.client else "0.0.0.0"

    @property
    def user(self) -> User:
        user: User = self.scope["arxos_user"]
        return user

    def _key(self, user: User, kind: str, name: object) -> str:
        return f"arxos:{{{user.name}}}:{kind}:{name}"  # braces: what belongs to one user is on one node

    async def log_in(self, name: str, role: str) -> dict[str, Any]:
        user = User(name, role, uuid.uuid4().hex)
        await self.cache.set(self._key(user, "session", user.session), "open", ex=self.services.settings.session_seconds)
        return self.make_tokens(user)

    def make_tokens(self, user: User) -> dict[str, Any]:
        issue, of = self.services.tokens.issue, (user.name, user.role, user.session)
        tokens = {"access_token": issue("access", *of, ACCESS_SECONDS), "refresh_token": issue("refresh", *of, REFRESH_SECONDS)}
        return {**tokens, "token_type": "bearer", "expires_in": ACCESS_SECONDS, "refresh_expires_in": REFRESH_SECONDS}

    async def log_out(self) -> None:
        await self.cache.delete(self._key(self.user, "session", self.user.session))

    async def authenticate(self, kind: str, token: str) -> User:
        """Raises HTTPException 401 and 429. While Redis is away, a signed token that is not over is enough, and nothing is counted."""
        try:
            claims = self.services.tokens.verify(token, kind)
        except SecurityError as error:
            raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from error
        user = self.scope["arxos_user"] = User(claims["sub"], claims["role"], claims["sid"])
        settings, now = self.services.settings, int(time.time())
        exempt = is_exempt(settings.quota_exempt, user.name, self.address)
        session, quota = self._key(user, "session", user.session), self._key(user, "quota", now // 3600)
        try:
            async with asyncio.timeout(3):
                pipe = self.cache.pipeline()
                pipe.expire(session, settings.session_seconds).incrby(quota, 0 if exempt else 1).expire(quota, 3600)
                is_open, used, _ = await pipe.execute()
        except CACHE_AWAY as error:
            log.warning("session and quota were not looked up", extra={"error": type(error).__name__})
            return user
        if not is_open:
            raise HTTPException(401, "the session is over: log in again", {"WWW-Authenticate": "Bearer"})
        if not exempt:
            self.answer.headers["X-RateLimit-Limit"] = str(settings.quota_per_hour)
            self.answer.headers["X-RateLimit-Remaining"] = str(max(settings.quota_per_hour - used, 0))
            if used > settings.quota_per_hour:
                raise HTTPException(429, "the quota of this hour is used up", {"Retry-After": str(3600 - now % 3600)})
        return user

    async def refuse_guessing(self, name: str, good: bool | None = None) -> None:
        """Counts the failed logins of a name from an address, and raises HTTPException 429 where there were too many. A good one forgets them."""
        key = f"arxos:failures:{name}:{self.address}"
        if good:
            await self.cache.delete(key)
        elif good is False:
            await self.cache.incr(key)
            await self.cache.expire(key, FAILURE_SECONDS)
        elif int(await self.cache.get(key) or 0) >= MAXIMUM_FAILURES:
            raise HTTPException(429, "too many failed logins", {"Retry-After": str(FAILURE_SECONDS)})

    async def audit(self, event: str, outcome: str = "success", user: str = "", **details: Any) -> None:
        """One line in the log, which is what lasts, and one in the trail that GET /security/audit reads."""
        who = user or (self.user.name if "arxos_user" in self.scope else "")
        entry = {
            "event": event,
            "outcome": outcome,
            "user": who,
            "client": self.address,
            "request_id": self.scope["arxos_id"],
            **mask(details),
        }
        log.getChild("audit").info(event, extra=entry)
        try:
            await self.cache.xadd(_TRAIL, {"entry": json.dumps({"time": time.time(), **entry})}, maxlen=_TRAIL_LENGTH)
        except CACHE_AWAY as error:
            log.warning("the audit trail is in the log only", extra={"error": type(error).__name__})

    async def last_events(self, count: int) -> list[dict[str, Any]]:
        return [json.loads(fields["entry"]) for _, fields in await self.cache.xrevrange(_TRAIL, count=count)]


def is_exempt(exempt: list[str], user: str, address: str) -> bool:
    networks = [ipaddress.ip_network(item) for item in exempt if "/" in item]
    return user in exempt or any(ipaddress.ip_address(address) in network for network in networks)


def needs(permission: str = "") -> Any:
    """Only with a good token, and of a role that has the permission."""

    async def dependency(request: Request, response: Response) -> None:
        call = Call(request, response)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise HTTPException(401, "a bearer token is required", {"WWW-Authenticate": "Bearer"})
        user = await call.authenticate("access", token)
        if permission and not allowed(user.role, permission):
            await call.audit("access", "refused", permission=permission)
            raise HTTPException(403, f"role {user.role} may not {permission}")

    return Depends(dependency)
