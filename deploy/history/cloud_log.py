"""The functions' logs in a cloud: the newest records, and then new ones as they come.

Entries arrive late and out of order, so each read begins a little before the newest entry seen, and entries seen before
are left out by their id.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from deploy.history.log_records import Record
from deploy.topology.functions import FUNCTIONS

PAGE: Final = 1_000
LAG_SECONDS: Final = 30.0
POLL_SECONDS: Final = 2.0
MAX_FAILURES: Final = 5
ALL: Final = tuple(each.name for each in FUNCTIONS)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The records to read. `severity` is the lowest, `event` an event's id or its beginning."""

    functions: Sequence[str] = ALL
    severity: str | None = None
    event: str | None = None


class CloudLog(Protocol):
    """The log of a deployment. Each method raises `fault`, which may pass."""

    @property
    def fault(self) -> type[Exception]: ...

    def newest(self, since: float, limit: int) -> list[Record]:
        """Return the newest records since then, in any order."""
        ...

    def oldest(self, since: float) -> list[Record]:
        """Return the oldest PAGE records since then, in any order."""
        ...


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
            print(f"the log was not read, trying again: {str(fault).partition(chr(10))[0]}", file=sys.stderr)
            continue
        failures = 0
        yield from cursor.take_new(records, is_full_page=len(records) == PAGE)
