"""The functions' logs in Cloud Logging, read and followed with `gcloud logging read`.

Entries arrive late and out of order, so each read begins a little before the newest entry seen, and entries seen before
are left out by their insertId.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from deploy.google.gcloud import GcloudFault, Runner, shown
from deploy.google.names import service
from deploy.google.target import Target
from deploy.history.cloud_log import PAGE, LogQuery
from deploy.history.log_records import Record, parse_cloud_entry
from shared.jsontext import Json
from shared.times import rfc3339

READ_SECONDS: Final = 60.0
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_OWN_REQUESTS: Final = '(NOT log_id("run.googleapis.com/requests") OR severity>=WARNING)'
"""The platform's own request log is read for warnings only: receive logs more about each request that reaches it."""


def log_filter(target: Target, query: LogQuery, since: float) -> str:
    """https://cloud.google.com/logging/docs/view/logging-query-language"""
    services = " OR ".join(f'"{service(target, function)}"' for function in query.functions)
    clauses = ['resource.type="cloud_run_revision"', f"resource.labels.service_name=({services})", _OWN_REQUESTS]
    if query.severity is not None:
        clauses.append(f"severity>={query.severity}")
    if query.event is not None and _ID.fullmatch(query.event):
        clauses.append(f'jsonPayload.event_id=~"^{query.event}"')
    return " AND ".join([*clauses, f'timestamp>="{rfc3339(since)}"'])


def read_arguments(filter: str, order: str, limit: int) -> list[str]:
    return ["logging", "read", filter, f"--order={order}", f"--limit={limit}", "--format=json"]


@dataclass(frozen=True, slots=True)
class GoogleLog:
    """The log of a deployment. Raises GcloudMissing too."""

    gcloud: Runner
    target: Target
    query: LogQuery

    @property
    def fault(self) -> type[Exception]:
        return GcloudFault

    def newest(self, since: float, limit: int) -> list[Record]:
        return read_records(self.gcloud, self.target, log_filter(self.target, self.query, since), "desc", limit)

    def oldest(self, since: float) -> list[Record]:
        return read_records(self.gcloud, self.target, log_filter(self.target, self.query, since), "asc")


def read_records(gcloud: Runner, target: Target, filter: str, order: str, limit: int = PAGE) -> list[Record]:
    """Raises GcloudFault and GcloudMissing."""
    arguments = read_arguments(filter, order, limit)
    answer = gcloud.run(arguments, timeout_seconds=READ_SECONDS)
    if answer.code:
        raise GcloudFault(shown(arguments, target.project), answer.stderr)
    try:
        entries: Json = json.loads(answer.stdout or "[]")
    except ValueError as error:
        raise GcloudFault(shown(arguments, target.project), "gcloud's answer is not JSON") from error
    listed = [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    found = (parse_cloud_entry(each, target.prefix) for each in listed)
    return [record for record in found if record is not None]
