"""The ports: all that the functions need of a platform. `shared/cloud/` has one implementation for each platform.

Every implementation, and every fake, passes the contract suite of its port in tests/contract. A port raises Temporary
when the platform fails. Its docstrings name every other exception. All calls are asynchronous; a call that is cancelled
before it begins its work does nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

EVENTS: Final = "events"
DELIVERIES: Final = "deliveries"
DEAD_LETTERS: Final = "dead-letters"
TOPIC_NAMES: Final = (EVENTS, DELIVERIES, DEAD_LETTERS)


class Clock(Protocol):
    def now(self) -> float:
        """Return Unix seconds."""
        ...


class Secrets(Protocol):
    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        """Return the values, newest first, never none. Raises Temporary (`secret_unavailable`, `secret_weak`).

        Values may be minutes old, unless they are to be `fresh`.
        """
        ...


@dataclass(slots=True)
class BusMessage:
    """A message of a topic. The bus keeps it back for `delay_seconds` where it can: see `Bus.max_delay_seconds`."""

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


class Bus(Protocol):
    @property
    def max_delay_seconds(self) -> float:
        """The longest delay of a message: 0 where the bus has none, and ignores it."""
        ...

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        """Return once the bus has confirmed all of them. Raises Temporary: they may have arrived or not.

        Cancelled before its batch is sent, none of the messages is published.
        """
        ...


class Blobs(Protocol):
    async def put(self, name: str, content: bytes) -> None:
        """Write the blob. The same name again replaces it."""
        ...

    async def create(self, name: str, content: bytes) -> None:
        """Write a blob under a new name. Where the name exists already, its content stays."""
        ...

    async def get(self, name: str) -> bytes | None: ...

    async def delete(self, name: str) -> None: ...


class Owners(Protocol):
    """The record of which event was first with a key."""

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        """Return the id of the event that owns the key. If none has owned it within the window, `event_id` does now."""
        ...
