"""Settings from the environment (ARXOS_<FIELD IN CAPITALS>, lists separated by commas), and how this release behaves."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json

Names = Annotated[list[str], BeforeValidator(lambda raw: [part.strip() for part in raw.split(",") if part.strip()])]
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)  # never a secret in a message

    database_password: str
    redis_password: str
    redis_user: str = "default"
    redis_nodes: Names  # host:port of some nodes; the cluster tells the others
    s3_endpoint: str  # https://host:port
    s3_bucket: str
    s3_access_key: str
    s3_secret_key: str
    jwt_secrets: Names  # the first signs, all are accepted: that is how they are rotated
    encryption_keys: Names  # base64 of 32 bytes each; the first encrypts, all decrypt
    users: Json[list[dict[str, str]]]  # name, role, password_hash, totp_secret
    host: str = "127.0.0.1"
    port: int = 8443
    workers: int = 2
    tls_certificate: str = "/etc/ssl/arxos/host.crt"
    tls_key: str = "/etc/ssl/arxos/host.key"
    ca_certificate: str = "/etc/ssl/arxos/ca.crt"
    trusted_proxies: Names = []  # whose X-Forwarded-For is believed
    runtime_directory: str = "/run/arxos-api"
    log_file: str = "/var/log/arxos/app.log"
    log_level: str = "INFO"
    database_host: str = "postgresql.arxos.internal"  # the name in the server's certificate
    database_hostaddr: str = "127.0.0.1"
    database_port: int = 5000
    database_read_only_port: int = 5001
    database_name: str = "arxos_production"
    database_read_only_name: str = ""  # at the read-only endpoint, where it is another
    database_user: str = "arxos_application"
    database_pool_size: int = 5  # connections of one worker to one endpoint
    s3_region: str = "us-east-1"
    s3_ca_certificate: str = "/etc/ssl/arxos/ca.crt"
    memory_cache_mb: int = 16  # of one worker
    quota_per_hour: int = 1000  # of one API client
    quota_exempt: Names = []  # networks and client names
    session_seconds: int = 28800  # without a request
    health_timeout: float = 4.0  # of each check
    health_cache: float = 1.0  # how long an answer serves
    graceful_seconds: int = 20  # for requests in flight when told to stop

    @classmethod
    def from_environment(cls) -> "Settings":
        values: dict[str, Any] = {
            name: os.environ[f"ARXOS_{name.upper()}"] for name in cls.model_fields if f"ARXOS_{name.upper()}" in os.environ
        }
        return cls(**values)


class Behaviour(BaseModel):
    """build_release.py can make a release that fails, dawdles or leaks errors, so that gates can be tried against it."""

    health: str = "pass"  # "fail": GET /health/ says 503
    delay_ms: int = 0  # added to every answer under / and /api
    error_rate: Share = 0.0  # of the answers under / and /api that are 500

    @classmethod
    def of_release(cls) -> "Behaviour":
        path = Path(__file__).with_name("behaviour.json")
        return cls(**json.loads(path.read_text())) if path.exists() else cls()
