"""PostgreSQL, Redis Cluster and S3. None of them has to be there when the process starts; all of them may go and come back."""

import asyncio
import io
from collections import OrderedDict
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import psycopg
import urllib3
from minio import Minio
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from redis.asyncio.cluster import PRIMARY, ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from .settings import Settings

CACHE_AWAY = (RedisError, RedisClusterException, OSError)
Row = dict[str, Any]
Pool = AsyncConnectionPool[psycopg.AsyncConnection[Row]]


class Database:
    """A pool to the read/write endpoint and one to the read-only endpoint."""

    def __init__(self, settings: Settings) -> None:
        self.primary = self._pool(settings, settings.database_port, settings.database_name)
        self.replicas = self._pool(settings, settings.database_read_only_port, settings.database_read_only_name or settings.database_name)

    @staticmethod
    def _pool(settings: Settings, port: int, name: str) -> Pool:
        """Behind the endpoint may be PgBouncer, which gives a connection to the server for one transaction: nothing here outlives one."""
        where = {"host": settings.database_host, "hostaddr": settings.database_hostaddr, "port": port, "dbname": name}
        who = {"user": settings.database_user, "password": settings.database_password, "application_name": "arxos-api"}
        safe = {"sslmode": "verify-full", "sslrootcert": settings.ca_certificate, "prepare_threshold": None}
        limits = {"connect_timeout": 3, "tcp_user_timeout": 5000, "options": "-c statement_timeout=10s -c lock_timeout=5s"}
        return AsyncConnectionPool(
            kwargs={**where, **who, **safe, **limits, "autocommit": True, "row_factory": dict_row},
            open=False,
            min_size=1,
            max_size=settings.database_pool_size,
            timeout=5,
            reconnect_timeout=5,  # the pause between attempts doubles: give up early and begin anew with the next request
            check=AsyncConnectionPool.check_connection,
        )

    async def open(self) -> None:
        await asyncio.gather(self.primary.open(wait=False), self.replicas.open(wait=False))

    async def close(self) -> None:
        await asyncio.gather(self.primary.close(), self.replicas.close())

    async def write(self, statement: str, *parameters: Any) -> list[Row]:
        return await self._run(self.primary, statement, parameters)

    async def read(self, statement: str, *parameters: Any) -> list[Row]:
        """From a replica, and from the primary where that finds nothing: a replica may be a moment behind."""
        try:
            rows = await self._run(self.replicas, statement, parameters)
        except psycopg.OperationalError:
            rows = []
        return rows or await self._run(self.primary, statement, parameters)

    async def _run(self, pool: Pool, statement: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        async with pool.connection() as connection:
            return await (await connection.execute(statement.encode(), parameters)).fetchall()

    async def check(self) -> None:
        await asyncio.gather(self._run(self.primary, "SELECT 1"), self._run(self.replicas, "SELECT 1"))


class Cache(RedisCluster):
    """Follows a key also to an instance that has just joined, of which redis-py up to 8.1 makes an AttributeError."""

    def get_node(self, host: str | None = None, port: int | None = None, node_name: str | None = None) -> ClusterNode | None:
        found = super().get_node(host, port, node_name)
        if found is None and node_name:
            name, _, number = node_name.rpartition(":")
            found = ClusterNode(name, int(number), PRIMARY, **self.nodes_manager.connection_kwargs)
            self.nodes_manager.set_nodes(self.nodes_manager.nodes_cache, {found.name: found})
        return found


def make_cache(settings: Settings) -> RedisCluster:
    """Connects with the first command, and looks for the cluster anew whenever it lost it."""
    nodes = [ClusterNode(host, int(port)) for host, _, port in (node.rpartition(":") for node in settings.redis_nodes)]
    tls: dict[str, Any] = {
        "ssl": True,
        "ssl_ca_certs": settings.ca_certificate,
        "username": settings.redis_user,
        "password": settings.redis_password,
        "decode_responses": True,
    }
    return Cache(startup_nodes=nodes, dynamic_startup_nodes=False, socket_timeout=2, socket_connect_timeout=1, **tls)


class Files:
    """Objects of one bucket, the last ones also in memory. The client blocks, so it works in threads."""

    def __init__(self, settings: Settings) -> None:
        endpoint, patience = urlsplit(settings.s3_endpoint), urllib3.Timeout(connect=2, read=15)
        retries = urllib3.Retry(total=2, backoff_factor=0.2, status_forcelist=[502, 503, 504])
        http = urllib3.PoolManager(ca_certs=settings.s3_ca_certificate, maxsize=10, timeout=patience, retries=retries)
        secure, keys = endpoint.scheme == "https", (settings.s3_access_key, settings.s3_secret_key)
        self._client = Minio(endpoint.netloc, *keys, secure=secure, region=settings.s3_region, http_client=http)
        self._bucket = settings.s3_bucket
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._room = settings.memory_cache_mb * 1024 * 1024

    async def put(self, name: str, data: BinaryIO, size: int, media_type: str) -> None:
        put, part = self._client.put_object, 10 * 1024 * 1024
        await asyncio.to_thread(put, self._bucket, name, data, size, media_type, part_size=part)

    async def get(self, name: str) -> bytes:
        with await asyncio.to_thread(self._client.get_object, self._bucket, name) as response:
            return await asyncio.to_thread(response.read)

    async def get_remembered(self, name: str) -> bytes:
        """For objects that never change."""
        if name not in self._memory:
            self._memory[name] = await self.get(name)
        self._memory.move_to_end(name)
        while sum(map(len, self._memory.values())) > self._room:
            self._memory.popitem(last=False)
        return self._memory[name] if name in self._memory else await self.get(name)

    async def check(self, name: str) -> None:
        """Puts, gets and removes one tiny object, so that a bucket that keeps versions does not fill with them."""

        def work() -> bool:  # in one thread, which finishes also where nobody waits for it any more
            version = self._client.put_object(self._bucket, name, io.BytesIO(b"healthy"), 7).version_id
            try:
                with self._client.get_object(self._bucket, name, version_id=version) as response:
                    return response.read() == b"healthy"
            finally:
                self._client.remove_object(self._bucket, name, version_id=version)

        if not await asyncio.to_thread(work):
            raise OSError("the object came back changed")
