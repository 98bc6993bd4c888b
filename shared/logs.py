"""One JSON line a decision, on standard output, as Cloud Logging and CloudWatch read them.

Only the fields listed here are written. Whatever else a caller has at hand (a header, a body, a secret) cannot get into
a log by mistake.
"""

import sys
import time
from typing import Final

from shared.jsontext import Json, JsonObject, to_json
from shared.times import rfc3339

FIELDS: Final = frozenset(
    {
        "attempt_number",
        "bytes",
        "chain",
        "code",
        "count",
        "delivery_id",
        "destination",
        "detail",
        "duration_ms",
        "event_id",
        "function",
        "method",
        "outcome",
        "reason",
        "route",
        "secret_name",
        "source",
        "status",
        "step",
        "topic",
        "traceparent",
        "type",
    }
)
SEVERITIES: Final = ("DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")


def log_line(severity: str, message: str, at: float, fields: JsonObject) -> str:
    """Raises ValueError for a field that is not in FIELDS. Fields that are None are left out."""
    unknown = fields.keys() - FIELDS
    if unknown:
        raise ValueError(f"not a log field: {', '.join(sorted(unknown))}; the allowed ones are in shared/logs.py")
    line: JsonObject = {"severity": severity, "message": message, "time": rfc3339(at)}
    line.update((name, value) for name, value in fields.items() if value is not None)
    return to_json(line)


def log(severity: str, message: str, **fields: Json) -> None:
    sys.stdout.write(log_line(severity, message, time.time(), fields) + "\n")
    sys.stdout.flush()
