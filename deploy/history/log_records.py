"""A log record, read from the log of `hookchain dev` or from Cloud Logging, and its line for people."""

import json
from dataclasses import dataclass
from typing import Final

from deploy.terminal.log_view import LogView, parse_log_line
from shared.jsontext import Json, JsonObject, to_json
from shared.logs import SEVERITIES
from shared.times import rfc3339, unix_seconds

_CLOUD_SEVERITIES: Final = {"DEFAULT": "INFO", "": "INFO", "ALERT": "CRITICAL", "EMERGENCY": "CRITICAL"}
_REQUEST_FIELDS: Final = {"requestMethod": "method", "status": "status", "latency": "duration", "remoteIp": "address"}


@dataclass(frozen=True, slots=True)
class Record:
    """A log record. `process` is a function's name, or another process of `hookchain dev`; `id` is unique."""

    at: float
    process: str
    severity: str
    document: JsonObject
    id: str = ""

    def text(self, view: LogView) -> str:
        shown = view.line(self.process, to_json(self.document), clock(self.at))
        return shown or ""

    def is_at_least(self, severity: str) -> bool:
        return SEVERITIES.index(self.severity) >= SEVERITIES.index(severity)


def clock(seconds: float) -> str:
    """Return a time such as `2026-03-01T12:00:00.123Z`, which `--since` accepts."""
    return rfc3339(seconds)[:23].ljust(23, "0") + "Z"


def parse_local_line(line: str) -> Record | None:
    """Read a line of log.jsonl; None if it is incomplete."""
    document = parse_log_line(line)
    if document is None:
        return None
    process = str(document.pop("process", "dev"))
    return _record(str(document.get("time")), process, str(document.get("severity", "")), document)


def parse_cloud_entry(entry: JsonObject, prefix: str) -> Record | None:
    """Read an entry as `gcloud logging read --format=json` prints it; None for one without a time."""
    severity = str(entry.get("severity", ""))
    document = {"severity": severity, **_payload(entry)}
    found = _record(str(entry.get("timestamp")), _service(entry).removeprefix(prefix), severity, document)
    return (
        None if found is None else Record(found.at, found.process, found.severity, document, str(entry.get("insertId")))
    )


def _record(time: str, process: str, severity: str, document: JsonObject) -> Record | None:
    try:
        at = unix_seconds(time)
    except (ValueError, OverflowError):
        return None
    known = _CLOUD_SEVERITIES.get(severity, severity)
    return Record(at, process, known if known in SEVERITIES else "INFO", document)


def _service(entry: JsonObject) -> str:
    resource = entry.get("resource")
    labels = resource.get("labels") if isinstance(resource, dict) else None
    return str(labels.get("service_name", "")) if isinstance(labels, dict) else ""


def _payload(entry: JsonObject) -> JsonObject:
    """Return our own JSON line, a text of the platform's, or a request as the platform saw it."""
    own = entry.get("jsonPayload")
    if isinstance(own, dict):
        return {"message": "", **own}
    text = entry.get("textPayload")
    if isinstance(text, str):
        return {"message": text.rstrip("\n")}
    request = entry.get("httpRequest")
    if isinstance(request, dict):
        fields: JsonObject = {ours: request[theirs] for theirs, ours in _REQUEST_FIELDS.items() if theirs in request}
        return {"message": "request, as the platform saw it", **fields}
    proto = entry.get("protoPayload")
    return {"message": _status_message(proto) if isinstance(proto, dict) else json.dumps(entry)[:500]}


def _status_message(proto: JsonObject) -> str:
    status: Json = proto.get("status")
    message = status.get("message") if isinstance(status, dict) else None
    return str(message or proto.get("methodName") or "a change to the service")
