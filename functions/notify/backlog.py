"""The deliveries that the sweeps of a minute found due, by destination, for the log, from which metrics are taken."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from shared.ledger import LedgerRow
from shared.subscribers.names import SEPARATOR

REPORT_SECONDS: Final = 59.0
"""A line for each destination in a minute. On the clouds, each sweep reports, which may come a little early."""


class Found(NamedTuple):
    """The number of deliveries that were due, and the age of the oldest in seconds."""

    due: int
    oldest: float


class Backlog:
    def __init__(self) -> None:
        self._found: dict[str, tuple[int, float]] = {}
        self._reported_at = 0.0

    def note(self, rows: Iterable[LedgerRow]) -> None:
        for row in rows:
            name = row.destination.partition(SEPARATOR)[0]  # no metric has a label for each endpoint
            count, oldest_at = self._found.get(name, (0, row.created_at))
            self._found[name] = count + 1, min(oldest_at, row.created_at)

    def report(self, now: float) -> Mapping[str, Found]:
        """Return what was found since the last report; nothing within a minute of it."""
        if now < self._reported_at + REPORT_SECONDS:
            return {}
        found = {name: Found(count, max(0.0, now - at)) for name, (count, at) in self._found.items()}
        self._found, self._reported_at = {}, now
        return found
