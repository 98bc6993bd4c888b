"""The functions' logs in Cloud Logging, read and followed with `gcloud logging read`.

Entries arrive late and out of order, so each read begins a little before the newest entry seen, and entries seen before
are left out by their insertId.
"""

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.config.compiler import FUNCTIONS
from deploy.google.gcloud import GcloudFault, Runner, shown
from deploy.google.names import service
from deploy.google.target import Target
from deploy.history.log_records import Record, parse_cloud_entry
from shared.jsontext import Json
from shared.times import rfc3339

PAGE: Final = 1_000
LAG_SECONDS: Final = 30.0
POLL_SECONDS: Final = 2.0
READ_SECONDS: Final = 60.0
MAX_FAILURES: Final = 5
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_OWN_REQUESTS: Final = '(NOT log_id("run.googleapis.com/requests") OR severity>=WARNING)'
"""The platform's own request log is read for warnings only: receive logs more about each request that reaches it."""


class Cursor:
    """The time to read from next, and the entries already seen."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._start = since
        self._newest = since
        self._seen: dict[str, float] = {}

    def take_new(self, records: Sequence[Record], is_full_page: bool) -> list[Record]:
        """Return the records not seen before, oldest first."""
        new = {each.id: each for each in records if each.id not in self._seen}
        self._seen.update((key, each.at) for key, each in new.items())
        self._newest = max(self._newest, *(each.at for each in records), self._start)
        # After a full page, read on from its end; else the same page would be read for ever.
        self.since = self._newest if is_full_page else max(self._start, self._newest - LAG_SECONDS)
        self._seen = {key: at for key, at in self._seen.items() if at >= self._newest - LAG_SECONDS}
        return sorted(new.values(), key=lambda each: each.at)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The records to read. `severity` is the lowest, `event` an event's id or its beginning."""

    functions: Sequence[str] = FUNCTIONS
    severity: str | None = None
    event: str | None = None


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


def cloud_records(
    gcloud: Runner, target: Target, query: LogQuery, since: float, limit: int, is_followed: bool
) -> Iterator[Record | None]:
    """Yield the newest `limit` records since then, oldest first.

    A log that is followed then yields None, and new records without end. Raises GcloudFault and GcloudMissing.
    """
    newest = read_records(gcloud, target, log_filter(target, query, since), "desc", limit)
    # With more records than the limit, those older than the first one shown are not shown later either.
    cursor = Cursor(min(each.at for each in newest) if len(newest) == limit else since)
    yield from cursor.take_new(newest, is_full_page=False)
    failures = 0
    while is_followed:
        yield None
        time.sleep(POLL_SECONDS)
        try:
            records = read_records(gcloud, target, log_filter(target, query, cursor.since), "asc", PAGE)
        except GcloudFault as fault:
            failures += 1
            if failures == MAX_FAILURES:
                raise
            print(f"gcloud failed, trying again: {fault.message.strip().splitlines()[:1]}", file=sys.stderr)
            continue
        failures = 0
        yield from cursor.take_new(records, is_full_page=len(records) == PAGE)


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
