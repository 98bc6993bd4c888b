"""One JSON line a decision, on standard output, as Cloud Logging and CloudWatch read them.

Only the fields listed here are written. Whatever else a caller has at hand (a header, a body, a secret) cannot get into
a log by mistake.
"""

import contextlib
import re
import sys
import time
from functools import lru_cache
from typing import Final

from shared import jsontext, times

FIELDS: Final = frozenset(
    {
        "attempt_ms",
        "attempt_number",
        "breaker",
        "bytes",
        "chain",
        "code",
        "count",
        "delivery_id",
        "destination",
        "detail",
        "duration_ms",
        "endpoint",
        "event_id",
        "fields",
        "function",
        "headers",
        "log",
        "method",
        "oldest_seconds",
        "outcome",
        "reason",
        "route",
        "secret_name",
        "source",
        "status",
        "step",
        "topic",
        "trace",
        "type",
    }
)
"""`headers` are the names of a rejected request's headers. `log` and `fields` belong to the destination `log`: what an
operator chose to log of an event is only in `fields`."""
OTHER_TYPE: Final = "other"
"""It replaces an event's type that may hold more than a type."""
_TYPE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,80}(?: [A-Za-z0-9_.:/-]{1,80})*")
_DIGITS: Final = re.compile(r"[0-9](?:[_.:/ -]?[0-9]){6}")
"""Seven digits or more, as in a card's, an account's or a person's number, whatever stands between them."""
TRACE_FIELD: Final = "logging.googleapis.com/trace"
"""Cloud Logging shows the lines of one trace together, those of all functions."""
SEVERITIES: Final = ("DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")


@lru_cache(maxsize=256)
def loggable_type(event_type: str, max_words: int = 1) -> str:
    """Return the type, or `other` where it does not look like one: a sender can write anything there."""
    looks_like_one = _TYPE.fullmatch(event_type) and event_type.count(" ") < max_words
    return event_type if looks_like_one and not _DIGITS.search(event_type) else OTHER_TYPE


_trace_project = ""


def set_trace_project(project: str) -> None:
    """Write each line's trace as a trace of this Google Cloud project from now on; empty: as a plain field."""
    global _trace_project
    _trace_project = project


def log(severity: str, message: str, started: float | None = None, /, **fields: jsontext.Json) -> None:
    """Write a line as `write_line` does. A line that standard output does not take is lost.

    The caller's work must not fail for it: a sender would repeat an event that was accepted.
    """
    with contextlib.suppress(OSError):
        write_line(severity, message, started, **fields)


def write_line(severity: str, message: str, started: float | None = None, /, **fields: jsontext.Json) -> None:
    """Write a line. Fields that are None are left out. `started`, a time of `perf_counter`, becomes `duration_ms`.

    Raises ValueError for a field that is not in FIELDS, and OSError where standard output does not take the line.
    """
    if not FIELDS.issuperset(fields):
        unknown = ", ".join(sorted(fields.keys() - FIELDS))
        raise ValueError(f"not a log field: {unknown}; the allowed ones are in shared/logs.py")
    line: jsontext.JsonObject = {"severity": severity, "message": message, "time": times.rfc3339(time.time())}
    if started is not None:
        line["duration_ms"] = int((time.perf_counter() - started) * 100_000) / 100
    for name, value in fields.items():
        if value is not None:
            line[name] = value
    if _trace_project and "trace" in line:
        line[TRACE_FIELD] = f"projects/{_trace_project}/traces/{line['trace']}"
    sys.stdout.write(jsontext.texts_json(line).decode() + "\n")
    sys.stdout.flush()
