"""The ledger: claims and results of deliveries, by idempotency key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from shared.delivery import Delivery
from shared.errors import Temporary


@dataclass(frozen=True, slots=True)
class Claimed:
    """Ours until the lease is over. `unknown`: an attempt before this one ended without a record of its outcome.

    `crashes` counts the attempts in a row that ended so; `generation` is 0, and one more for each `reopen`.
    `unknown_count` counts the attempts in a row before this one that the destination may have accepted or not: those
    that ended without a record, and those recorded as unknown.
    """

    fence: int
    attempt_number: int
    unknown: bool = False
    generation: int = 0
    crashes: int = 0
    unknown_count: int = 0


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker has it: nack."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The sweep will publish it again when its time has come: acknowledge."""

    until: float


@dataclass(frozen=True, slots=True)
class Finished:
    """Done, failed or held: acknowledge."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key is known with another payload hash: dead letter `delivery_id_reused`."""


Claim: TypeAlias = Claimed | Busy | Waiting | Finished | Conflict


@dataclass(frozen=True, slots=True)
class DestinationState:
    """`disabled_reason`: takes nothing until released. `paused_until`: its breaker is open (Unix seconds)."""

    disabled_reason: str | None = None
    paused_until: float | None = None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A delivery as the ledger has it.

    `state` is claimed, attempted, delivered, retry_scheduled, held or dead_lettered.
    `message` is the delivery's CloudEvent as bytes, all that is needed to publish it again. `attempt_number` counts
    the attempts of this generation that began. `lease_until` matters in claimed and attempted, `crashes` and
    `unknown_count` are as in Claimed, `replays` are the ids of the replays that reopened it.
    """

    key: str
    event_id: str
    route: str
    destination: str
    state: str
    fence: int
    generation: int
    attempt_number: int
    retry_at: float | None
    reason: str
    answer: str
    created_at: float
    updated_at: float
    message: bytes
    payload_hash: str = ""
    lease_until: float = 0.0
    crashes: int = 0
    unknown_count: int = 0
    replays: tuple[str, ...] = ()


class Ledger(Protocol):
    """`claimed → attempted → delivered | retry_scheduled | held | dead_lettered`, each write conditional on the fence.

    The writes answer False where the fence has moved on: another worker owns the delivery, and what this one found
    is not recorded. Times are Unix seconds.
    """

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        """Take the delivery for one attempt.

        A new key is claimed. A lease that is over in `claimed` is taken again with the same attempt number; one that
        is over in `attempted` is taken as `unknown` with the next number. `retry_scheduled` answers Waiting, whether or
        not its time has come, unless `due_fence` is the row's fence: only the sweep's own message starts a retry.
        """
        ...

    async def attempted(self, key: str, fence: int, now: float) -> bool:
        """Note that the attempt begins, and renew the lease. Return False where the lease was over already."""
        ...

    async def give_back(self, key: str, fence: int, now: float) -> bool:
        """Undo the claim, and `attempted`, before anything was sent: the next claim takes it with the same number."""
        ...

    async def done(self, key: str, fence: int, now: float, answer: str) -> bool: ...

    async def failed(self, key: str, fence: int, now: float, reason: str, answer: str) -> bool: ...

    async def retry_at(
        self, key: str, fence: int, now: float, at: float, reason: str, answer: str, *, is_unknown: bool = False
    ) -> bool:
        """Schedule the next attempt. `is_unknown`: the destination may have accepted this one."""
        ...

    async def hold(self, key: str, fence: int, now: float, reason: str, answer: str) -> bool:
        """Move the delivery to `held`, where it stays until `release`."""
        ...

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the rows in `retry_scheduled` whose time has come, at `since` or later, oldest first."""
        ...

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        """Move a due row's `retry_at` to `at`; the row's new fence, or None where another was faster."""
        ...

    async def postpone_all(
        self, moves: Sequence[tuple[str, int]], now: float, at: float
    ) -> Sequence[int | Temporary | None]:
        """Postpone many due rows, given as key and fence. Return for each what `postpone` returns or raises."""
        ...

    async def reopen(self, key: str, now: float, replay: str = "") -> int | None:
        """Begin a finished delivery's next generation, attempts from 1; its number, or None where not finished.

        The next claim takes it. A replay that has an id reopens a delivery once, however often its message comes.
        """
        ...

    async def disable(self, destination: str, reason: str, now: float) -> None: ...

    async def pause(self, destination: str, until: float, now: float) -> None: ...

    async def release(self, destination: str, now: float) -> int:
        """Enable the destination, and make what is held for it due now. Answers how many deliveries that is."""
        ...

    async def destination_state(self, destination: str) -> DestinationState: ...

    async def rows(
        self, limit: int, *, event_id: str | None = None, destination: str | None = None, state: str | None = None
    ) -> Sequence[LedgerRow]:
        """Return rows, newest first."""
        ...

    async def purge(self, before: float) -> int:
        """Forget finished rows last written before that time. Answers how many."""
        ...
