"""The log of a deployment on Google Cloud, from Cloud Logging by `gcloud logging read`."""

import json
import re
from dataclasses import dataclass
from typing import ClassVar, Final

from deploy.cloud_access import gcp, gcp_names
from deploy.history.logs import PAGE, LogQuery, Record, make_record
from shared import times
from shared.jsontext import JsonObject, objects_at, value_at

_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_OWN_REQUESTS: Final = '(NOT log_id("run.googleapis.com/requests") OR severity>=WARNING)'
"""The platform's own request log is read for warnings only: receive logs more about each request that reaches it."""
_REQUEST_FIELDS: Final = {"requestMethod": "method", "status": "status", "latency": "duration", "remoteIp": "address"}


def log_filter(target: gcp_names.Target, query: LogQuery, since: float) -> str:
    """Return the filter in the language of https://cloud.google.com/logging/docs/view/logging-query-language."""
    services = " OR ".join(f'"{target.name_of(function)}"' for function in query.functions)
    clauses = ['resource.type="cloud_run_revision"', f"resource.labels.service_name=({services})", _OWN_REQUESTS]
    if query.severity is not None:
        clauses.append(f"severity>={query.severity}")
    if query.is_of_source:
        clauses.append("jsonPayload.source:*")
    if query.event is not None and _ID.fullmatch(query.event):
        clauses.append(f'jsonPayload.event_id=~"^{query.event}"')
    return " AND ".join([*clauses, f'timestamp>="{times.rfc3339(since)}"'])


@dataclass(frozen=True, slots=True)
class GoogleLog:
    """The log of a deployment. Besides `fault`, each method raises GcloudMissing, which does not pass."""

    fault: ClassVar = gcp.GcloudFault
    gcloud: gcp.Runner
    target: gcp_names.Target
    query: LogQuery

    def newest(self, since: float, limit: int) -> list[Record]:
        return self._read(since, "desc", limit)

    def oldest(self, since: float) -> list[Record]:
        return self._read(since, "asc", PAGE)

    def _read(self, since: float, order: str, limit: int) -> list[Record]:
        wanted = log_filter(self.target, self.query, since)
        arguments = ["logging", "read", wanted, f"--order={order}", f"--limit={limit}"]
        entries = gcp.read_json(self.gcloud, arguments, self.target.project)
        found = (parse_entry(each, self.target.prefix) for each in objects_at(entries))
        return [record for record in found if record is not None]


def parse_entry(entry: JsonObject, prefix: str) -> Record | None:
    """Read an entry as `gcloud logging read --format=json` prints it; None for one without a time."""
    severity = str(entry.get("severity", ""))
    document = {"severity": severity, **_payload(entry)}
    service = str(value_at(entry, "resource", "labels", "service_name") or "")
    process = service.removeprefix(prefix)
    return make_record(str(entry.get("timestamp")), process, severity, document, str(entry.get("insertId")))


def _payload(entry: JsonObject) -> JsonObject:
    """Return the content: our own JSON line, a text, a request as the platform saw it, or a change to the service.

    Of an entry in another form, the beginning of its JSON is the message.
    """
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
    if isinstance(proto, dict):
        message = value_at(proto, "status", "message") or proto.get("methodName") or "a change to the service"
        return {"message": str(message)}
    return {"message": json.dumps(entry)[:500]}
