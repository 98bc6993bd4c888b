"""The functions' logs in Cloud Logging, read by `gcloud logging read` again and again.

Entries arrive late and out of order, so each look begins a little before the newest that was seen, and what was seen is
left out by its insertId.
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
from deploy.history.logs_records import Record, from_cloud
from shared.jsontext import Json
from shared.times import rfc3339

PAGE: Final = 1_000
LAG_SECONDS: Final = 30.0
POLL_SECONDS: Final = 2.0
READ_SECONDS: Final = 60.0
MOST_FAILURES: Final = 5
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_OWN_REQUESTS: Final = '(NOT log_id("run.googleapis.com/requests") OR severity>=WARNING)'
"""receive says of each request more than the platform's own request log, but for those that never reached it."""


class Cursor:
    """From where on to read next, and which entries were seen."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._start = since
        self._newest = since
        self._seen: dict[str, float] = {}

    def fresh(self, records: Sequence[Record], is_full_page: bool) -> list[Record]:
        """Those not seen before, oldest first."""
        new = {each.id: each for each in records if each.id not in self._seen}
        self._seen.update((key, each.at) for key, each in new.items())
        self._newest = max(self._newest, *(each.at for each in records), self._start)
        # A page that is full is gone on from at its end, or the same would be read for ever.
        self.since = self._newest if is_full_page else max(self._start, self._newest - LAG_SECONDS)
        self._seen = {key: at for key, at in self._seen.items() if at >= self._newest - LAG_SECONDS}
        return sorted(new.values(), key=lambda each: each.at)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`severity` is the least, `event` an event's id or its beginning."""

    functions: Sequence[str] = FUNCTIONS
    severity: str | None = None
    event: str | None = None


def log_filter(target: Target, wanted: Wanted, since: float) -> str:
    """https://cloud.google.com/logging/docs/view/logging-query-language"""
    services = " OR ".join(f'"{service(target, function)}"' for function in wanted.functions)
    clauses = ['resource.type="cloud_run_revision"', f"resource.labels.service_name=({services})", _OWN_REQUESTS]
    if wanted.severity is not None:
        clauses.append(f"severity>={wanted.severity}")
    if wanted.event is not None and _ID.fullmatch(wanted.event):
        clauses.append(f'jsonPayload.event_id=~"^{wanted.event}"')
    return " AND ".join([*clauses, f'timestamp>="{rfc3339(since)}"'])


def read_arguments(query: str, order: str, limit: int) -> list[str]:
    return ["logging", "read", query, f"--order={order}", f"--limit={limit}", "--format=json"]


def cloud_records(
    gcloud: Runner, target: Target, wanted: Wanted, since: float, limit: int, is_followed: bool
) -> Iterator[Record | None]:
    """The newest `limit` since then, oldest first; followed, then None, and then on without end.

    Raises GcloudFault and GcloudMissing.
    """
    newest = read_records(gcloud, target, log_filter(target, wanted, since), "desc", limit)
    # Where there is more than was asked for, what is older than the first shown is not wanted later either.
    cursor = Cursor(min(each.at for each in newest) if len(newest) == limit else since)
    yield from cursor.fresh(newest, is_full_page=False)
    failures = 0
    while is_followed:
        yield None
        time.sleep(POLL_SECONDS)
        try:
            records = read_records(gcloud, target, log_filter(target, wanted, cursor.since), "asc", PAGE)
        except GcloudFault as fault:
            failures += 1
            if failures == MOST_FAILURES:
                raise
            print(f"gcloud failed, trying again: {fault.said.strip().splitlines()[:1]}", file=sys.stderr)
            continue
        failures = 0
        yield from cursor.fresh(records, is_full_page=len(records) == PAGE)


def read_records(gcloud: Runner, target: Target, query: str, order: str, limit: int = PAGE) -> list[Record]:
    """Raises GcloudFault and GcloudMissing."""
    arguments = read_arguments(query, order, limit)
    answer = gcloud.run(arguments, timeout_seconds=READ_SECONDS)
    if answer.code:
        raise GcloudFault(shown(arguments, target.project), answer.stderr)
    try:
        entries: Json = json.loads(answer.stdout or "[]")
    except ValueError as error:
        raise GcloudFault(shown(arguments, target.project), "gcloud's answer is not JSON") from error
    listed = [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    found = (from_cloud(each, target.prefix) for each in listed)
    return [record for record in found if record is not None]
