"""JSON log, one object a line. Fields named password, token, key and the like are never written in clear."""

import json
import logging
import logging.handlers
from datetime import datetime, timezone
from typing import Any

_SECRET = ("password", "token", "key", "secret", "authorization", "otp")
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
log = logging.getLogger("arxos")


def mask(value: Any, name: str = "") -> Any:
    """A copy of `value` in which what stands under a secret-sounding name is replaced, at any depth."""
    if any(word in name.lower() for word in _SECRET):
        return "***"
    if isinstance(value, dict):
        return {str(key): mask(item, str(key)) for key, item in value.items()}
    return [mask(item) for item in value] if isinstance(value, (list, tuple)) else value


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        extra = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
        line = {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage(), **mask(extra)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(path: str, level: str) -> None:
    """Each worker appends whole lines to one file, and opens it anew when logrotate has moved it away."""
    handler = logging.handlers.WatchedFileHandler(path)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("psycopg.pool", "redis", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
