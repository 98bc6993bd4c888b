"""The log of a deployment on Google Cloud, from Cloud Logging by `gcloud logging read`."""

import re
from dataclasses import dataclass
from typing import Final

from deploy.cloud_access import gcp, gcp_names
from deploy.history.logs import PAGE, LogQuery, Record, parse_cloud_entry
from shared import times
from shared.jsontext import objects_at

_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_OWN_REQUESTS: Final = '(NOT log_id("run.googleapis.com/requests") OR severity>=WARNING)'
"""The platform's own request log is read for warnings only: receive logs more about each request that reaches it."""


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

    gcloud: gcp.Runner
    target: gcp_names.Target
    query: LogQuery

    @property
    def fault(self) -> type[Exception]:
        return gcp.GcloudFault

    def newest(self, since: float, limit: int) -> list[Record]:
        return self._read(since, "desc", limit)

    def oldest(self, since: float) -> list[Record]:
        return self._read(since, "asc", PAGE)

    def _read(self, since: float, order: str, limit: int) -> list[Record]:
        wanted = log_filter(self.target, self.query, since)
        arguments = ["logging", "read", wanted, f"--order={order}", f"--limit={limit}"]
        entries = gcp.read_json(self.gcloud, arguments, self.target.project)
        found = (parse_cloud_entry(each, self.target.prefix) for each in objects_at(entries))
        return [record for record in found if record is not None]
