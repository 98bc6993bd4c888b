"""The ports: all that the functions need of a platform. `shared/cloud/` has one implementation for each platform.

Every implementation, and every fake, passes the contract suite of its port in tests/contract. A port raises Temporary
if the platform fails; its docstrings name every other exception. Its methods run on the event loop of the caller. A
call that is cancelled before it begins its work does nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

EVENTS: Final = "events"
DELIVERIES: Final = "deliveries"
DEAD_LETTERS: Final = "dead-letters"
TOPIC_NAMES: Final = (EVENTS, DELIVERIES, DEAD_LETTERS)
UNDELIVERED: Final = "-undelivered"
"""The end of the name of a further queue of a topic, for messages that were received too often. Only AWS has these."""
RECOVERED: Final = "bus-recovered-b7cf7d5d"
"""The topic of events that a provider could not deliver, which receive takes as the messages of a source's bus. Only a
configuration with `recover` has it. The digits are those of `resource_name`: no source's bus has this name."""

TAP: Final = "tap"
"""The topic of copies for developers. Where each of them has a queue, it is the beginning of their names. Only a
configuration with `develop` has it."""


class Clock(Protocol):
    def now(self) -> float:
        """Return Unix seconds."""


class Secrets(Protocol):
    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        """Return the secret's values, newest first, and at least one.

        Raises Temporary (`secret_unavailable`, `secret_weak`). The values may be five minutes old, unless `fresh` asks
        for values that are read now.
        """


@dataclass(slots=True)
class BusMessage:
    """A message of a topic. The bus delivers it after `delay_seconds` if it can: see `Bus.max_delay_seconds`."""

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


class Bus(Protocol):
    @property
    def max_delay_seconds(self) -> float:
        """The longest delay of a message; 0 for a bus that delivers each message at once and ignores its delay."""

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        """Publish the messages, and return once the bus has confirmed all of them.

        Raises Temporary: any of them may have been published or not. If the call is cancelled before its batch is sent,
        none is published.
        """


class Blobs(Protocol):
    async def put(self, name: str, content: bytes) -> None:
        """Write the blob. The same name again replaces it."""

    async def create(self, name: str, content: bytes) -> None:
        """Write a blob under a new name. Where the name exists already, its content stays."""

    async def get(self, name: str) -> bytes | None:
        """Return the content; None if there is no such blob."""

    async def delete(self, name: str) -> None:
        """Delete the blob. Does nothing if there is none."""


class Owners(Protocol):
    """The record of which event was first with a key."""

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        """Return the id of the event that owns the key: `event_id`, if no event has owned it within the window.

        Of several events that ask at the same time, one becomes the owner, and all get its id.
        """
