"""What Prometheus reads: every worker writes to files in one directory, and any worker answers for all of them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
REQUESTS = Counter("arxos_http_requests_total", "Requests that were answered.", ["method", "route", "status"])
SECONDS = Histogram("arxos_http_request_duration_seconds", "Time to answer.", ["method", "route"], buckets=_BUCKETS)
LOGINS = Counter("arxos_logins_total", "Logins.", ["outcome"])
UPLOADS = Counter("arxos_uploads_total", "Floor plans that were stored.", ["type"])
EXPORTS = Counter("arxos_exports_total", "Models that were exported.", ["format"])
HEALTHY = Gauge("arxos_health", "1 where the last look at GET /health/ found everything healthy.", multiprocess_mode="mostrecent")
RELEASE = Gauge("arxos_release_info", "The release that runs.", ["version"], multiprocess_mode="max")


def render() -> bytes:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
