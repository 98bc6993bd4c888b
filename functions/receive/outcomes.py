"""What a request came to, where it was not refused."""

from dataclasses import dataclass

from functions.receive.sources import Source
from shared.event import Event
from shared.http import Reply


@dataclass(frozen=True, slots=True)
class Accepted:
    """Confirmed by the bus: one event, or one for each item of a batch, which may be none."""

    source: Source
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """Taken, and no event: a handshake, a question of the browser's. `reason` is for the log."""

    source: Source
    reply: Reply
    reason: str
