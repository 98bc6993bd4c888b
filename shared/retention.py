"""The retention of stored events and dead letters, and the clock by which they are purged."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.jsontext import JsonObject

DAY_SECONDS: Final = 86_400.0
JUMP_SECONDS: Final = 365 * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Retention:
    """`bodies`: after this time, the path of an event can still be seen, but not its content, and it cannot be
    replayed.

    In a cloud, bodies that go before their events cost a document more for each event.
    """

    events_seconds: float = 30 * DAY_SECONDS
    bodies_seconds: float = 30 * DAY_SECONDS
    dead_letters_seconds: float = 45 * DAY_SECONDS

    @property
    def messages_seconds(self) -> float:
        """Return how long a tenant's messages are kept, which have the events' data."""
        return min(self.events_seconds, self.bodies_seconds)


def retention_of(compiled: JsonObject) -> Retention:
    """Return the retention that a slice holds, or the defaults."""
    written = compiled.get("retention")
    if not isinstance(written, dict):
        return Retention()
    return Retention(**{name: float(value) for name, value in written.items() if isinstance(value, int | float)})


class PurgeClock:
    """A clock to purge by, which a jump of the system's clock by a year or more does not carry along.

    `newest_at` is when the newest row was written, None without rows: a start that is a year later is not believed
    either. It is believed again after a restart, once there is a newer row.
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
