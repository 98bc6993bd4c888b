"""One JSON line a decision, on standard output, as Cloud Logging and CloudWatch read them.

Only the fields listed here are written. Whatever else a caller has at hand (a header, a body, a secret) cannot get into
a log by mistake.
"""

import re
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

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
        "recovered",
        "route",
        "secret_name",
        "source",
        "span",
        "status",
        "step",
        "topic",
        "trace",
        "type",
    }
)
"""The names that a line may have. Some of them:

headers      the names, not the values, of a rejected request's headers; `other` for a name that may be something else
recovered    the number of recovered events that the line is about
log, fields  written by destinations of the kind `log` only: the destination's name for the line, and the parts of an
             event that the operator chose to log
"""
OTHER_TYPE: Final = "other"
"""Logged in place of an event type or a header's name that could contain personal data or a secret."""
_PLAIN_TYPE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,80}(?: [A-Za-z0-9_.:/-]{1,80})*")
_LONG_NUMBER: Final = re.compile(r"[0-9](?:[_.:/ -]?[0-9]){6}")
"""Seven digits or more, as in a card's, an account's or a person's number, whatever stands between them."""
_NAME_WORD: Final = r"(?:[0-9]{0,3}[A-Za-z]{1,16}[0-9]{0,5}|[0-9]{1,3})"
_PLAIN_NAME: Final = re.compile(rf"{_NAME_WORD}(?:[-_.]{_NAME_WORD})*")
TRACE_FIELD: Final = "logging.googleapis.com/trace"
"""Cloud Logging shows the lines of one trace together, those of all functions."""
SPAN_FIELD: Final = "logging.googleapis.com/spanId"
SEVERITIES: Final = ("DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")


@lru_cache(maxsize=256)
def loggable_type(event_type: str, max_words: int = 1) -> str:
    """Return the type if it can be logged, otherwise `other`.

    The sender chooses the type, and can write anything into it. It is logged if it consists of at most `max_words`
    words of letters, digits and usual marks, and has no long number.
    """
    is_plain = _PLAIN_TYPE.fullmatch(event_type) is not None and event_type.count(" ") < max_words
    has_long_number = _LONG_NUMBER.search(event_type) is not None
    return event_type if is_plain and not has_long_number else OTHER_TYPE


@lru_cache(maxsize=256)
def is_loggable_name(name: str) -> bool:
    """Return whether the name of a header or parameter can be logged.

    The sender chooses the name, and may have entered the secret in its place. It is logged if it consists of words, as
    in `x-hub-signature-256`, and has no long number. A random text mixes letters and digits, or is longer than a word.
    """
    return _PLAIN_NAME.fullmatch(name) is not None and loggable_type(name) == name


_trace_project = ""


def set_trace_project(project: str) -> None:
    """Add the trace to each further line in the form in which Cloud Logging finds the traces of this project.

    Lines have the plain field `trace` in any case. An empty project adds nothing more to them.
    """
    global _trace_project
    _trace_project = project


Ids: TypeAlias = Callable[[jsontext.JsonObject], tuple[str, str | None] | None]
"""Returns the ids of the trace and the span that a line belongs to; None if it belongs to no trace. The span's id is
None if it is not known."""
_ids: Ids | None = None


def set_ids(ids: Ids | None) -> None:
    """Give each further line the ids of its trace and span, while telemetry is on."""
    global _ids
    _ids = ids


def log(severity: str, message: str, started: float | None = None, /, **fields: jsontext.Json) -> None:
    """Write a line as `write_line` does, but drop it if standard output fails.

    The caller's work must not fail because of a log line: a sender would repeat an event that was accepted.
    """
    try:
        write_line(severity, message, fields, started)
    except OSError:
        return


def write_line(severity: str, message: str, fields: jsontext.JsonObject, started: float | None = None) -> None:
    """Write a line. Fields that are None are left out.

    `started` is a time of `time.perf_counter`: the field `duration_ms` is the time since then. Raises ValueError for a
    field that is not in FIELDS, and OSError if standard output fails.
    """
    if not FIELDS.issuperset(fields):
        unknown = ", ".join(sorted(fields.keys() - FIELDS))
        raise ValueError(f"not a log field: {unknown}; the allowed ones are in shared/logs.py")
    line: jsontext.JsonObject = {"severity": severity, "message": message, "time": times.rfc3339(time.time())}
    if started is not None:
        duration_ms = (time.perf_counter() - started) * 1_000
        line["duration_ms"] = int(duration_ms * 100) / 100  # two decimals, cut off
    for name, value in fields.items():
        if value is not None:
            line[name] = value
    if _ids is not None and (ids := _ids(line)):
        line["trace"], span_id = ids
        if span_id is not None:
            line["span"] = span_id
    if _trace_project and "trace" in line:
        line[TRACE_FIELD] = f"projects/{_trace_project}/traces/{line['trace']}"
        if "span" in line:
            line[SPAN_FIELD] = line["span"]
    sys.stdout.write(jsontext.texts_json(line).decode() + "\n")
    sys.stdout.flush()
