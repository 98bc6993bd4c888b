"""Log records, read from the log of `hookchain dev` or of a cloud, and followed as new ones come.

A cloud's entries arrive late and out of order, so each read begins a little before the newest entry seen, and entries
seen before are left out by their id.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from deploy.terminal.log_view import LogView
from deploy.topology.functions import FUNCTIONS
from shared import logs, times
from shared.jsontext import JsonObject, to_json

PAGE: Final = 1_000
"""The most records of one read."""
LAG_SECONDS: Final = 30.0
"""The time after which an entry may still arrive in the log of a cloud."""
POLL_SECONDS: Final = 2.0
MAX_FAILURES: Final = 5
"""The number of failed reads in a row after which a log is no longer followed."""
ALL_FUNCTIONS: Final = tuple(each.name for each in FUNCTIONS)


@dataclass(frozen=True, slots=True)
class Record:
    """A log record. `process` is a function's name, or another process of `hookchain dev`; `id` is unique."""

    at: float
    process: str
    severity: str
    document: JsonObject
    id: str = ""

    def text(self, view: LogView) -> str:
        shown = view.process_line(self.process, to_json(self.document), log_time(self.at))
        return shown or ""

    def is_at_least(self, severity: str) -> bool:
        return logs.SEVERITIES.index(self.severity) >= logs.SEVERITIES.index(severity)


def log_time(seconds: float) -> str:
    """Return a time such as `2026-03-01T12:00:00.123Z`, which `--since` accepts."""
    return times.rfc3339(seconds)[:23].ljust(23, "0") + "Z"


def make_record(timestamp: str, process: str, severity: str, document: JsonObject, entry_id: str = "") -> Record | None:
    """Return the record; None if `timestamp` is no time. A severity that we do not have becomes one of ours."""
    try:
        at = times.unix_seconds(timestamp)
    except (ValueError, OverflowError):
        return None
    if severity in ("ALERT", "EMERGENCY"):
        severity = "CRITICAL"
    return Record(at, process, severity if severity in logs.SEVERITIES else "INFO", document, entry_id)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The records to read from a cloud's log.

    severity      the lowest severity; None for all
    event         an event's id or its beginning; None for all
    is_of_source  only records that name a source: one about a request to an unknown path names none
    """

    functions: Sequence[str] = ALL_FUNCTIONS
    severity: str | None = None
    event: str | None = None
    is_of_source: bool = False


class CloudLog(Protocol):
    """The log of a deployment. Each method raises `fault`, which may pass."""

    @property
    def fault(self) -> type[Exception]: ...

    def newest(self, since: float, limit: int) -> list[Record]:
        """Return the newest records since then, in any order."""

    def oldest(self, since: float) -> list[Record]:
        """Return the oldest PAGE records since then, in any order."""


class Cursor:
    """The time that the next read begins at, `since`, and the entries already seen.

    Reads begin again a little before the newest record, but never before the start.
    """

    def __init__(self, start: float) -> None:
        self.since = start
        self._start = start
        self._newest = start
        self._seen: dict[str, float] = {}

    def take_new(self, records: Sequence[Record], is_full_page: bool) -> list[Record]:
        """Return the records not seen before, oldest first."""
        new = {each.id: each for each in records if each.id not in self._seen}
        self._seen.update((key, each.at) for key, each in new.items())
        self._newest = max([self._newest, *(each.at for each in records)])
        # After a full page, read on from its end; else the same page would be read for ever.
        self.since = self._newest if is_full_page else max(self._start, self._newest - LAG_SECONDS)
        self._seen = {key: at for key, at in self._seen.items() if at >= self._newest - LAG_SECONDS}
        return sorted(new.values(), key=lambda each: each.at)


def cloud_records(log: CloudLog, since: float, limit: int, is_followed: bool) -> Iterator[Record | None]:
    """Yield the newest `limit` records since then, oldest first.

    A log that is followed then yields None, and new records without end. Raises the log's fault.
    """
    newest = log.newest(since, limit)
    # With more records than the limit, those older than the first one shown are not shown later either.
    cursor = Cursor(min(each.at for each in newest) if len(newest) == limit else since)
    yield from cursor.take_new(newest, is_full_page=False)
    failures = 0
    while is_followed:
        yield None
        time.sleep(POLL_SECONDS)
        try:
            records = log.oldest(cursor.since)
        except log.fault as fault:
            failures += 1
            if failures == MAX_FAILURES:
                raise
            first_line, *_ = str(fault).splitlines() or [""]
            print(f"the log was not read, trying again: {first_line}", file=sys.stderr)
            continue
        failures = 0
        yield from cursor.take_new(records, is_full_page=len(records) == PAGE)
