"""The ledger: claims and outcomes of deliveries, by idempotency key.

A worker claims a delivery, makes an attempt, and settles the claim with the outcome. If it dies, another worker can
claim the delivery once the lease of the claim is over.

    fence       a row's number that changes with most of its writes. A write that names an old fence does nothing
    generation  the number of times that an operator reopened the delivery, after it was final
    suspect     a delivery whose latest attempt ended without a record of its outcome. The destination may have
                accepted it
    group       deliveries that wait together, to become one digest
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from shared import errors, journal, outcomes
from shared.delivery import Delivery

POSTPONE_SECONDS: Final = 600.5
"""A sweep moves a row's `retry_at` this far, then publishes the delivery. If the message is lost, the row is due again.
The half second tells these rows from those that wait for a retry, because no schedule or rate has this wait."""
_ROUNDING_SECONDS: Final = 0.001
"""No store rounds a time by more."""


class LedgerRow(NamedTuple):
    """A delivery as the ledger stores it.

    It is a named tuple, because an event changes it twice, which takes 2 µs. With a dataclass it took 8 µs.

    key                the idempotency key
    state              claimed, attempted, delivered, retry_scheduled, held, dead_lettered or merged
    attempt_number     the number of attempts of this generation that began
    message            the delivery's CloudEvent, to publish it again. It is there from when the delivery first waits or
                       is held until it is final. Before, the bus has the message, and brings it again
    lease_until        in claimed and attempted, the time until which nobody else may claim the delivery
    crashes            the number of latest attempts that ended without a record of their outcome
    unknown_count      the number of latest attempts that the destination may have accepted or not: those without a
                       record, and those recorded as unknown
    group              in retry_scheduled, the group that the delivery waits in, if any; in merged, the id of the
                       digest's event
    merged             the number of deliveries that a digest or a burst stands for; 0 for any other delivery
    replays            the ids of the replays that reopened it
    slot_at            the time that a cap gave to the delivery; 0 if no cap did
    undelivered_since  the number of the first generation after the last one that was delivered; 0 if none was
    needs_release      in held, true if the last attempt may have been accepted
    attempts           the attempts that ended, oldest first; empty if the row was listed and not looked up by its event
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
    group: str = ""
    merged: int = 0
    replays: tuple[str, ...] = ()
    slot_at: float = 0.0
    undelivered_since: int = 0
    needs_release: bool = False
    attempts: tuple[journal.AttemptEntry, ...] = ()

    @property
    def planned_at(self) -> float | None:
        """The time of the next attempt. For a delivery that a sweep published, it is the time of that: it is on the
        bus."""
        return self.updated_at if self._is_published else self.retry_at

    @property
    def _is_published(self) -> bool:
        if self.retry_at is None:
            return False
        wait = self.retry_at - self.updated_at
        return abs(wait - POSTPONE_SECONDS) < _ROUNDING_SECONDS


class Claimed(NamedTuple):
    """The caller has the delivery until the lease is over.

    row      the delivery as the claim left it: claimed if it is a suspect, else attempted
    message  the message that the claim was made with. The row gets it if the delivery then waits or is held
    version  the store's own mark of that write; empty if it has none
    """

    row: LedgerRow
    message: bytes
    version: str = ""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker has the delivery: do not acknowledge the message."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The sweep will publish the delivery again at `until` or later: acknowledge the message."""

    until: float


@dataclass(frozen=True, slots=True)
class Gathered:
    """The delivery waits in its group from now on: acknowledge the message."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The delivery is delivered, dead-lettered, merged or held: acknowledge the message."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key has a row with another payload hash: the sender used one id for two events. The message becomes a dead
    letter (`delivery_id_reused`). An event that was read from its provider's API may look different, and never
    conflicts."""


Unclaimed: TypeAlias = Busy | Waiting | Gathered | Finished | Conflict
Claim: TypeAlias = Claimed | Unclaimed


class Settlement(NamedTuple):
    """The next state of a claimed delivery, and the reason. Times are Unix seconds.

    state          delivered, retry_scheduled, held or dead_lettered
    attempt        None if no attempt was made: the next one then has the same number
    group          in retry_scheduled, the group that the delivery waits in, as by `gather`; empty for none
    has_slot       a cap gave the delivery the time `retry_at`
    needs_release  in held, the attempt may have been accepted
    """

    state: outcomes.DeliveryState
    now: float
    reason: str = ""
    attempt: journal.AttemptEntry | None = None
    retry_at: float | None = None
    group: str = ""
    has_slot: bool = False
    needs_release: bool = False


PAUSED_BY_OPERATOR: Final = "paused by an operator"
"""The reason with which `hookchain pause` or the page disables or pauses a destination."""


@dataclass(frozen=True, slots=True)
class DestinationState:
    """The state of a destination.

    disabled_reason  the reason why it gets nothing until it is released; None if it is not disabled
    paused_until     the time, in Unix seconds, until which its deliveries wait, because its breaker is open or an
                     operator paused it; None if it was never paused
    pause_reason     the reason of the pause, for people; empty if it is not known
    """

    disabled_reason: str | None = None
    paused_until: float | None = None
    pause_reason: str = ""

    def is_paused_by_failures(self, now: float) -> bool:
        """Return whether a circuit breaker has paused the destination, and not an operator."""
        by_operator = self.disabled_reason is not None or self.pause_reason == PAUSED_BY_OPERATOR
        return (self.paused_until or 0.0) > now and not by_operator


Move: TypeAlias = tuple[str, int, float]
"""The key and the fence of a row that waits, and the time to move its `retry_at` to."""


Place: TypeAlias = tuple[float, str]
"""A row's place in a list: its `created_at` and its key."""


class Ledger(Protocol):
    """The record of every delivery. Each write is conditional on the row's fence.

    A delivery that succeeds at once takes two writes: `claim`, which marks the attempt as begun, and `settle`, which
    records its outcome. Each method returns once its write is stored. It raises Temporary (`ledger_unavailable`) if the
    store fails. The write may then have been stored or not, and it is safe to repeat a claim or settlement: it finds
    its own write. Times are Unix seconds.
    """

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        """Claim the delivery for an attempt, which counts as begun from now on.

        If the lease of an earlier attempt is over, that attempt is recorded as unknown. The delivery is then a suspect,
        until an outcome is known. A suspect's attempt counts as begun only once `begin` was called.

        Only the sweep's message starts a retry. So the answer for a delivery in `retry_scheduled` is Waiting, even if
        its time has come, unless `due_fence` is the row's fence.

        The message is not stored before the claim is settled. Until then, the bus has it.
        """

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        """Let the delivery wait in a group, which may be closed from `at` on. Return Gathered, or why it does not wait.

        The delivery is then in `retry_scheduled`, and its `retry_at` is `at`. A new delivery takes one write and no
        read. The answer for a delivery that already waits is Waiting, also for a message of the sweep, which is for
        `claim`. An attempt whose lease is over is recorded as unknown, as in `claim`. Never returns Claimed.
        """

    async def begin(self, claim: Claimed, now: float) -> Claimed | None:
        """Begin a suspect's attempt, and renew its lease. Return None if the lease was over already."""

    async def give_back(self, claim: Claimed, now: float) -> bool:
        """Undo the claim before anything was sent: the next claim has the same attempt number.

        Return False if the claim is not the delivery's last one, or was settled.
        """

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        """Record the outcome of a claim.

        If the delivery waits or is held from now on, its row gets the claim's message, to publish it again. Return
        False, and record nothing, if the fence has changed since the claim: another worker then has the delivery.
        """

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the rows in `retry_scheduled` with a `retry_at` from `since` to `now`, oldest first.

        Rows that wait in a group are among them. No row is among them that was postponed, merged or claimed before the
        call. A row that was stored a moment ago may be missing.
        """

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        """Move a waiting row's `retry_at` to `at`. Return the row's new fence, or None if the row does not wait, or has
        another fence than `fence`."""

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | errors.Temporary | None]:
        """Postpone many rows. Return for each what `postpone` returns or raises."""

    async def merge_all(
        self, moves: Sequence[tuple[str, int]], now: float, digest_id: str
    ) -> Sequence[bool | errors.Temporary]:
        """Make rows in `retry_scheduled`, each given as its key and fence, part of a digest. They become `merged`.

        A row that was postponed meanwhile is merged too. Return for each row whether it is part of the digest, which it
        may have been before; or the error.
        """

    async def reopen(
        self, key: str, now: float, replay: str = "", only: frozenset[outcomes.DeliveryState] | None = None
    ) -> int | None:
        """Begin the next generation of a delivery that is final, so that the next claim gets it.

        Return the generation's number; None if the delivery is in none of the states `only`, by default all final ones.
        The replay with the id `replay` reopens a delivery once, however often its message comes.
        """

    async def forget(self, key: str, now: float) -> LedgerRow | None:
        """Erase what the delivery's row contains of its event. A delivery that is not final becomes dead-lettered.

        Return the changed row; None if there is none.
        """

    async def disable(self, destination: str, reason: str, now: float) -> None:
        """Hold the destination's deliveries until `release`. The reason is for people."""

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        """Let the destination's deliveries wait until that time. A later call replaces it, even by an earlier time."""

    async def release(self, destination: str, now: float, *, releases_unknown: bool = False) -> int:
        """Enable the destination, and make the deliveries that are held for it due now. Return their number.

        A delivery that may have been accepted (`needs_release`) stays held unless `releases_unknown`, because only an
        operator decides to send it again.
        """

    async def destination_state(self, destination: str) -> DestinationState:
        """Return whether the destination is disabled or paused. A destination that never was has the default state."""

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        """Return a delivery's row with its attempts; None if there is none. The event's other rows are not read."""

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        """Return the newest rows that match all arguments, with their attempts if `event_id` is given.

        `before` is the place of the last row of the previous page, and needs `destination`. So the rows of an endpoint
        can be read page by page, and none is left out. On a cloud, a page may lack a row of a configured destination
        that was created in the same microsecond as another one.
        """
