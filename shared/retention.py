"""The time for which events and dead letters are stored, and the clock by which they are purged."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.jsontext import JsonObject

DAY_SECONDS: Final = 86_400.0
JUMP_SECONDS: Final = 365 * DAY_SECONDS
"""A jump of the system's clock by this time or more is not believed."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The times for which records are stored.

    After `bodies_seconds`, the path of an event can still be seen, but its content is deleted, and it cannot be
    replayed. In a cloud, a shorter time for bodies than for events costs one more document for each event.
    """

    events_seconds: float = 30 * DAY_SECONDS
    bodies_seconds: float = 30 * DAY_SECONDS
    dead_letters_seconds: float = 45 * DAY_SECONDS

    @property
    def messages_seconds(self) -> float:
        """Return the time for which a tenant's messages are stored, which contain the data of events."""
        return min(self.events_seconds, self.bodies_seconds)


def retention_of(compiled: JsonObject) -> Retention:
    """Return the retention that a slice holds, or the defaults."""
    written = compiled.get("retention")
    if not isinstance(written, dict):
        return Retention()
    return Retention(**{name: float(value) for name, value in written.items() if isinstance(value, int | float)})


class PurgeClock:
    """A clock to purge by. It does not follow a jump of the system's clock by a year or more, which would purge all.

    `newest_at` is the time at which the newest row was written; None if there are no rows. If the process starts a year
    after it, the system's clock is not believed either, until a restart after a newer row was written.
    """

    def __init__(
        self,
        newest_at: float | None,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._elapsed = elapsed
        began_at = now()
        has_jumped = newest_at is not None and began_at - newest_at >= JUMP_SECONDS
        self._offset = (newest_at if newest_at is not None and has_jumped else began_at) - elapsed()

    def now(self) -> float:
        expected = self._offset + self._elapsed()
        return expected if self.ahead_seconds else self._now()

    @property
    def ahead_seconds(self) -> float:
        """Return by how much the system's clock has jumped; 0 if it has not."""
        ahead = self._now() - self._offset - self._elapsed()
        return ahead if ahead >= JUMP_SECONDS else 0.0
