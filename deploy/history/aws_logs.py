"""The log of a stack on AWS, from CloudWatch Logs: what is read of it, and how its lines become records."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from deploy.cloud_access.aws import AwsApi, AwsFault
from deploy.cloud_access.aws_names import StackTarget, log_group
from deploy.history.logs import PAGE, LogQuery, Record
from deploy.terminal.parallel import run_in_parallel
from shared import logs
from shared.jsontext import JsonObject, json_or_none, objects_at

FIRST_WINDOW_SECONDS: Final = 300.0
WINDOW_GROWTH: Final = 4
"""The newest records are looked for in windows of time, backwards: each is this many times as long as the last one."""
AHEAD_SECONDS: Final = 60.0
"""A function's clock may be ahead of this machine's."""
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_PLATFORM_TEXTS: Final = ("Task timed out", "Runtime exited", "Runtime.", "[ERROR]", "Traceback", "Status: ")
"""The texts by which lines about a failure are found that have no field for the severity, such as Lambda's own.

Each also matches some other lines: `parse_log_event` then decides which severity a line has.
"""


@dataclass(frozen=True, slots=True)
class CloudWatchLog:
    """The log of a stack: one log group a function, which CloudWatch Logs reads oldest first."""

    fault: ClassVar = AwsFault
    api: AwsApi
    target: StackTarget
    query: LogQuery

    def newest(self, since: float, limit: int) -> list[Record]:
        end = time.time() + AHEAD_SECONDS
        window = FIRST_WINDOW_SECONDS + AHEAD_SECONDS
        records: list[Record] = []
        while end > since and len(records) < limit:
            start = max(since, end - window)
            records += self._read(start, end, None)
            end = start - 0.001  # CloudWatch Logs counts in milliseconds, and both ends belong to a window
            window *= WINDOW_GROWTH
        return sorted(records, key=lambda each: each.at)[-limit:]

    def oldest(self, since: float) -> list[Record]:
        return sorted(self._read(since, None, PAGE), key=lambda each: each.at)[:PAGE]

    def _read(self, since: float, until: float | None, enough: int | None) -> list[Record]:
        """Return the records between two times, in no order.

        With `enough`, reading a log group ends with the page that has the oldest `enough` records of a filter pattern.
        """
        reads = [(function, pattern) for function in self.query.functions for pattern in filter_patterns(self.query)]
        found = run_in_parallel(lambda read: self._records(*read, since, until, enough), reads)
        if all(each is None for each in found):
            group = log_group(self.target.prefix, self.query.functions[0])
            raise AwsFault("", f"there is no log group {group} in {self.target.region}: make deploy-aws")
        by_id = {record.id: record for records in found for record in records or ()}
        return list(by_id.values())

    def _records(
        self, function: str, pattern: str, since: float, until: float | None, enough: int | None
    ) -> list[Record] | None:
        """Return the function's records; None if it has no log group."""
        arguments: JsonObject = {"logGroupName": log_group(self.target.prefix, function), "startTime": _ms(since)}
        if until is not None:
            arguments["endTime"] = _ms(until)
        if pattern:
            arguments["filterPattern"] = pattern
        records: list[Record] = []
        try:
            for page in self.api.pages("logs", "filter_log_events", "nextToken", **arguments):
                events = objects_at(page, "events")
                records += filter(None, (parse_log_event(event, function) for event in events))
                if enough is not None and len(records) >= enough:
                    break
        except AwsFault as fault:
            if not fault.is_missing:
                raise
            return None
        return records


def filter_patterns(query: LogQuery) -> Sequence[str]:
    """Return the patterns that together match the wanted records, and some others.

    If an event is looked for, it is one pattern with its id. Without a severity, or with one below WARNING, it is one
    empty pattern, which matches all.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    if query.event is not None and _ID.fullmatch(query.event):
        return (f'{{ $.event_id = "{query.event}*" }}',)
    if query.severity is None or logs.SEVERITIES.index(query.severity) < logs.SEVERITIES.index("WARNING"):
        return ("",)
    severities = logs.SEVERITIES[logs.SEVERITIES.index(query.severity) :]
    own = " || ".join(f'$.severity = "{each}" || $.level = "{each}"' for each in severities)
    if query.is_of_source:
        return (f'{{ ({own}) && $.source = "*" }}',)
    failed = '($.type = "platform.report" && $.record.status != "success")'
    platform_texts = " ".join(f'?"{text}"' for text in _PLATFORM_TEXTS)
    return (f"{{ {own} || {failed} }}", platform_texts)


_ROUTINE: Final = re.compile(r"(START|END|INIT_START|EXTENSION|XRAY) ")
"""Lambda's own lines that a call writes however it ends."""
_REPORT: Final = re.compile(r"(INIT_)?REPORT ")
_FAILED_REPORT: Final = re.compile(r"\bStatus: (timeout|error)\b")
_ERROR: Final = re.compile(r"\[ERROR\]|\[CRITICAL\]|Traceback|Task timed out|Runtime exited|Runtime\.\w+Error|Error: ")
"""A line of text that is an error, of Lambda or of Python."""


def parse_log_event(event: JsonObject, function: str) -> Record | None:
    """Read an event of CloudWatch Logs; None for Lambda's own lines about a call that ended well."""
    at = event.get("timestamp")
    text = str(event.get("message", "")).rstrip("\n")
    found = _from_json(text) if text.startswith("{") else _from_text(text)
    if found is None or not isinstance(at, int | float):
        return None
    severity, document = found
    return Record(at / 1000, function, severity, document, f"{function}/{event.get('eventId')}")


def _from_json(text: str) -> tuple[str, JsonObject] | None:
    """Read a line of ours, of Lambda in its JSON format, or of Python's logging in that format."""
    document = json_or_none(text.encode(errors="surrogatepass"))
    if not isinstance(document, dict):
        return _from_text(text)
    kind, record = document.get("type"), document.get("record")
    if isinstance(kind, str) and kind.startswith("platform.") and isinstance(record, dict):
        status = record.get("status", "success")
        if kind != "platform.report" or status == "success":
            return None
        return "ERROR", {"severity": "ERROR", "message": f"the call ended with {status}", "detail": text[:500]}
    severity = _severity(str(document.get("severity") or document.get("level") or "INFO"))
    return severity, {"message": "", **document, "severity": severity}


def _from_text(text: str) -> tuple[str, JsonObject] | None:
    """Read a line of text; None for Lambda's own lines about a call that ended well."""
    if _ROUTINE.match(text) or (_REPORT.match(text) and not _FAILED_REPORT.search(text)):
        return None
    severity = "ERROR" if _REPORT.match(text) or _ERROR.search(text) else "INFO"
    if text.startswith("[WARNING]"):
        severity = "WARNING"
    return severity, {"severity": severity, "message": text}


def _severity(text: str) -> str:
    known = {"WARN": "WARNING", "FATAL": "CRITICAL", "TRACE": "DEBUG"}.get(text, text)
    return known if known in logs.SEVERITIES else "INFO"


def _ms(seconds: float) -> int:
    return max(0, int(seconds * 1000))
