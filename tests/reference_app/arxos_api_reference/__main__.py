"""The command `arxos-api`: some workers behind one socket."""

import os
from pathlib import Path

import uvicorn

from . import logs
from .settings import Settings


def main() -> None:
    settings = Settings.from_environment()
    logs.configure(settings.log_file, settings.log_level)
    metrics_directory = Path(settings.runtime_directory, "metrics")
    metrics_directory.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_directory)
    uvicorn.run(
        "arxos_api_reference.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        forwarded_allow_ips=settings.trusted_proxies or "",
        timeout_graceful_shutdown=settings.graceful_seconds,
        timeout_keep_alive=75,  # longer than the load balancer keeps a connection, so that it is the one who closes
        timeout_worker_healthcheck=30,
        access_log=False,
        log_config=None,
        server_header=False,
    )


if __name__ == "__main__":
    main()
