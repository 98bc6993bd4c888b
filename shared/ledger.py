"""The ledger: claims and outcomes of deliveries, by idempotency key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from shared import errors, journal, outcomes
from shared.delivery import Delivery

POSTPONE_SECONDS: Final = 600.5
"""So far a sweep moves a row's `retry_at` before it publishes the delivery, which is due again if the message is lost.
No destination's schedule and no rate has this wait, so that it tells which rows were published."""
_STORED_SECONDS: Final = 0.001
"""More than the stores round times by."""


class LedgerRow(NamedTuple):
    """A delivery as the ledger stores it. A named tuple: an event changes it twice, which took a dataclass 8 µs, not 2.

    state            claimed, attempted, delivered, retry_scheduled, held, dead_lettered or merged
    message          the delivery's CloudEvent, to publish it again: from when it first waits or is held, until it is
                     final. On its first attempt it is empty, because the bus has the message and brings it again
    attempt_number   counts the attempts of this generation that began
    generation       0, and one more for each time an operator reopened the delivery
    lease_until      matters in claimed and attempted: until then nobody else may claim the delivery
    crashes          the attempts in a row that ended without a record of their outcome
    unknown_count    the attempts in a row that the destination may have accepted or not: those without a record, and
                     those recorded as unknown
    group            the group whose closing it waits for, in retry_scheduled, if any; once merged, the id of the
                     digest's event
    merged           how many deliveries it stands for, where it is a digest or a burst; else 0
    replays          the ids of the replays that reopened it
    slot_at          the slot that a cap gave to the delivery, or 0: it may be tried then
    undelivered_since
                     the generation after the last one that was delivered, or 0
    needs_release    in held: whether it was held because its last attempt may have been accepted
    attempts         the attempts that ended, oldest first; empty in rows that were listed, not looked up by event
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
        """When the delivery is to be tried: at `retry_at`, or when its message was published, which is on the bus."""
        waits = -1.0 if self.retry_at is None else self.retry_at - self.updated_at
        return self.updated_at if abs(waits - POSTPONE_SECONDS) < _STORED_SECONDS else self.retry_at


class Claimed(NamedTuple):
    """Ours until the lease is over.

    `row` is the delivery as the claim left it: attempted, or claimed where it is a suspect, an attempt of which ended
    without a record of its outcome. `message` is what the claim was made with: the row has it once the delivery waits.
    `version` is the store's own mark of that write, where it has one.
    """

    row: LedgerRow
    message: bytes
    version: str = ""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker has it: nack."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The sweep will publish it again when its time has come: acknowledge."""

    until: float


@dataclass(frozen=True, slots=True)
class Gathered:
    """It waits in its group from now on: acknowledge."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Done, failed, merged or held: acknowledge."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key is known with another payload hash, and neither event was recovered: dead letter `delivery_id_reused`."""


Unclaimed: TypeAlias = Busy | Waiting | Gathered | Finished | Conflict
Claim: TypeAlias = Claimed | Unclaimed


class Settlement(NamedTuple):
    """The state that a claimed delivery goes to, and why. `now` and `retry_at` are Unix seconds.

    `state` is delivered, retry_scheduled, held (until `release`) or dead_lettered. `attempt` is None if no attempt was
    made: then its number is used again. `group`, only of retry_scheduled: the group that it waits in, as by `gather`.
    `has_slot`: a cap gave it the time `retry_at`. `needs_release`, only of held: the attempt may have been accepted.
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

    disabled_reason  it takes none until it is released
    paused_until     its deliveries wait until then, in Unix seconds: its breaker is open, or an operator paused it
    pause_reason     why, for people; empty where it is not known
    """

    disabled_reason: str | None = None
    paused_until: float | None = None
    pause_reason: str = ""

    def is_paused_by_failures(self, now: float) -> bool:
        """Return whether a circuit breaker lets its deliveries wait. The decisions of an operator are not part of
        it."""
        by_operator = self.disabled_reason is not None or self.pause_reason == PAUSED_BY_OPERATOR
        return (self.paused_until or 0.0) > now and not by_operator


Move: TypeAlias = tuple[str, int, float]
"""A row that waits, as key and fence, and the time to move its `retry_at` to."""


Place: TypeAlias = tuple[float, str]
"""A row's place in a list: its `created_at` and its key."""


class Ledger(Protocol):
    """The record of every delivery: `claim → settle`, each write conditional on the claim's fence.

    A delivery that goes well costs two writes: `claim`, which marks the attempt as begun, and `settle`, which records
    it. Each method returns once its write is stored. It raises Temporary (`ledger_unavailable`) if the store fails: the
    write may have been stored or not, and a claim or settlement that is repeated finds its own write. Times are Unix
    seconds.
    """

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        """Take the delivery for an attempt, which counts as begun from now on.

        An attempt whose lease is over is recorded as unknown; the delivery is a suspect then, and stays one until an
        outcome is known. A suspect's attempt counts as begun only from `begin` on. `retry_scheduled` answers
        Waiting, whether or not its time has come, unless `due_fence` is the row's fence: only the sweep's message
        starts a retry. The message is not stored yet: until the claim is settled, the bus has it.
        """

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        """Let the delivery wait in a group, which may be closed from `at` on. Return Gathered, or why it does not.

        It is in `retry_scheduled` then, with `at` as its `retry_at`. A delivery that is seen for the first time takes
        one write and no read. A delivery that already waits answers Waiting. So does a message of the sweep, which is
        for `claim`. An attempt whose lease is over is recorded as unknown, as in `claim`. Never answers Claimed.
        """

    async def begin(self, claim: Claimed, now: float) -> Claimed | None:
        """Begin a suspect's attempt, and renew its lease. Return None if the lease was over already."""

    async def give_back(self, claim: Claimed, now: float) -> bool:
        """Undo the claim before anything was sent: the next claim takes it with the same attempt number."""

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        """Record what became of a claim. Return False where the fence has moved on.

        If the delivery waits or is held from now on, its row has the claim's message, to publish it again.

        If the fence has moved on, another worker owns the delivery, and what this one found is not recorded.
        """

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the rows in `retry_scheduled` whose time has come, at `since` or later, oldest first.

        Those that wait in a group are among them. A row may be found late, and is returned as it is stored at this
        moment: no row that was postponed, merged or claimed before the call is among them.
        """

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        """Move a due row's `retry_at` to `at`; the row's new fence, or None if another was faster."""

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | errors.Temporary | None]:
        """Postpone many rows. Return for each what `postpone` returns or raises."""

    async def merge_all(
        self, moves: Sequence[tuple[str, int]], now: float, digest_id: str
    ) -> Sequence[bool | errors.Temporary]:
        """Make rows in `retry_scheduled`, given as key and fence, part of a digest: `merged`, which is final.

        One that was postponed meanwhile is merged too: it is part of the digest since it was listed.

        Return for each whether it is part of that digest, from now on or since before; or what went wrong.
        """

    async def reopen(
        self, key: str, now: float, replay: str = "", only: frozenset[outcomes.DeliveryState] | None = None
    ) -> int | None:
        """Begin a finished delivery's next generation, attempts from 1; its number, or None if not finished.

        The next claim takes it. A replay that has an id reopens a delivery once, however often its message comes.
        `only`: the states in which it is reopened; None: all that are final.
        """

    async def forget(self, key: str, now: float) -> LedgerRow | None:
        """Erase what the delivery's row holds of its event. One that is not final becomes dead-lettered.

        Return the row as it then is; None if there is none.
        """

    async def disable(self, destination: str, reason: str, now: float) -> None:
        """Hold the destination's deliveries until `release`. The reason is for people."""

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        """Let the destination's deliveries wait until that time. A later call replaces it, also by an earlier time."""

    async def release(self, destination: str, now: float, *, releases_unknown: bool = False) -> int:
        """Enable the destination, and make the deliveries that are held for it due now. Return the number of those
        deliveries.

        A delivery that may have been accepted (`needs_release`) stays held unless `releases_unknown`: only an operator
        decides to send it again.
        """

    async def destination_state(self, destination: str) -> DestinationState:
        """Return whether the destination is disabled or paused. A destination that never was has an empty state."""

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        """Return a delivery's row with its attempts, of an event that may have thousands of others."""

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        """Return rows, newest first; with their attempts where `event_id` is given.

        `before`, only with `destination`: the rows after that row, in the order by `created_at` and then by key. So an
        endpoint's rows can be read page by page without leaving one out. A cloud's page may miss a row of a configured
        destination that was made in the same microsecond as another.
        """

    async def purge(self, before: float) -> int:
        """Forget finished rows that were last written before that time. Return their number."""
