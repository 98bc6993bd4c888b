"""What a destination is, and what a module of a kind exposes.

The kind `email` is the module `functions.notify.destinations.email`. It exposes

    Settings    a pydantic model, frozen, extra="forbid", with a docstring of one line: what a slice's `settings` hold
    connect     `(name, settings, context) -> Destination`; it opens nothing: connections are made at the first attempt
"""

from dataclasses import dataclass
from typing import Protocol

from shared.delivery import Delivery, Outcome
from shared.ports import Blobs, Clock, Secrets
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a delivery.

    idempotency_key   the delivery's id, `<id>-r<generation>` once it was reopened: the same through all retries
    attempt_number    from 1 in each generation
    generation        0, and one more each time an operator reopens the delivery
    now               Unix seconds at its start
    timeout_seconds   it is cancelled after that long; what cannot be cancelled (a thread) limits itself to it
    """

    idempotency_key: str
    attempt_number: int
    generation: int
    now: float
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Context:
    """What every destination may use. `blobs` is None where the platform has none."""

    secrets: Secrets
    settings: Settings
    blobs: Blobs | None
    clock: Clock


class Destination(Protocol):
    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        """Try once; whether and when to try again is not decided here. Many attempts run at once.

        Raises Temporary where one of our own parts (the secret store, the blobs) fails before anything was sent: the
        attempt does not count. Raises Permanent for what this delivery can never become (its template fails): a dead
        letter with that code, as Refused. Raises TimeoutError where something was sent and no answer came: whether it
        was taken is not known, and the destination's `on_unknown` decides.
        """
        ...
