"""The parts that the ledgers of all platforms share: their writes, and how rows are stored and listed.

A platform's ledger is a LedgerWrites, which makes each write of the Ledger port by the rule of the same name in
shared/ledger_rules.py.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from secrets import randbits
from typing import Final, TypeAlias, TypeVar

from shared import batching, errors, journal, jsontext, ledger_rules as rules
from shared.delivery import Delivery
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Move, Place, Settlement
from shared.outcomes import DeliveryState

FENCE_BITS: Final = 53
"""The size of a claim's fence. It is random, so that no two claims have the same one."""

Answer = TypeVar("Answer")
DecideClaim: TypeAlias = Callable[[LedgerRow], tuple[Claim, LedgerRow]]
"""Takes the stored row. Returns the answer, and the row to store: the same object if nothing changes."""


class LedgerWrites(ABC):
    """The base class of the ledgers.

    A subclass implements the three abstract methods, and the reads of the port. It may override a write for which its
    store has a cheaper call. The methods without a docstring do what `Ledger` in shared/ledger.py says.
    """

    _moves_at_once = 1_000
    """The number of rows that `postpone_all` and `merge_all` write at the same time. A subclass whose writes each need
    a connection has fewer."""

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        """Claim the delivery for `lease_seconds`. The attempt is stored as begun before this returns."""
        fence = randbits(FENCE_BITS)
        payload_hash = delivery.event.claimed_hash
        # Most deliveries have no row. This is `claim` of its `new_row`, in one step.
        first_row = rules.new_row(
            delivery, delivery.id, now, rules.ATTEMPTED, fence, attempt_number=1, lease_seconds=lease_seconds
        )

        def claim_row(row: LedgerRow) -> tuple[Claim, LedgerRow]:
            return rules.claim(
                row,
                payload_hash=payload_hash,
                message=message,
                now=now,
                lease_seconds=lease_seconds,
                due_fence=due_fence,
                fence=fence,
            )

        return await self._insert_or_change(first_row, Claimed(first_row, message), claim_row, is_new=due_fence is None)

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        """Let the delivery wait in its group. Return Gathered once that is stored, or why it does not wait there."""
        fence = randbits(FENCE_BITS)
        payload_hash = delivery.event.claimed_hash

        def gather_row(row: LedgerRow) -> tuple[Claim, LedgerRow]:
            return rules.gather(row, payload_hash, message, group, reason, now, at, fence)

        first_answer, first_row = gather_row(rules.new_row(delivery, delivery.id, now))
        return await self._insert_or_change(first_row, first_answer, gather_row)

    @abstractmethod
    def _insert_or_change(
        self, first_row: LedgerRow, first_answer: Claim, decide: DecideClaim, *, is_new: bool = True
    ) -> Awaitable[Claim]:
        """Insert `first_row` and return `first_answer`, if the delivery has no row yet.

        If it has one, let `decide` change that row, and return the answer of `decide`, with no other write in between.
        `is_new`: it probably has none, so a store may try to insert the row before it reads. Raises Temporary.
        """

    async def disable(self, destination: str, reason: str, now: float) -> None:
        """Hold the deliveries to the destination until `release`."""
        await self._write_destination(destination, {"disabled_reason": reason, "updated_at": now})

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        """Let the destination's deliveries wait until that time, or until `release`."""
        await self._write_destination(destination, {"paused_until": until, "pause_reason": reason, "updated_at": now})

    @abstractmethod
    async def _write_destination(self, destination: str, fields: Mapping[str, str | float]) -> None:
        """Store these fields of the destination's state, and leave its other fields as they are."""

    @abstractmethod
    async def _change(self, key: str, rule: rules.Rule) -> LedgerRow | None:
        """Change the row by the rule, and store it, with no other write in between. Return the stored row.

        Return None if there is no row, or if the rule does not allow the change. The rule may be called several times,
        each time with the row as it is then. Raises Temporary.
        """

    async def _change_claimed(self, claim: Claimed, rule: rules.Rule) -> Claimed | None:
        """Change the row of a claim as `_change` does. Overridden by a store that need not read the row for that."""
        row = await self._change(claim.row.key, rule)
        return None if row is None else claim._replace(row=row)

    async def begin(self, claim: Claimed, now: float) -> Claimed | None:
        return await self._change_claimed(claim, lambda row: rules.begin(row, claim.row.fence, now))

    async def give_back(self, claim: Claimed, now: float) -> bool:
        return await self._change_claimed(claim, lambda row: rules.give_back(row, claim.row.fence, now)) is not None

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        settled = await self._change_claimed(claim, lambda row: rules.settle(row, claim, settlement))
        return settled is not None

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        row = await self._change(key, lambda row: rules.postpone(row, fence, now, at))
        return None if row is None else row.fence

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | errors.Temporary | None]:
        new_times = {(key, fence): at for key, fence, at in moves}
        rows = [(key, fence) for key, fence, _ in moves]
        return await self._move_all(rows, lambda key, fence: self.postpone(key, fence, now, new_times[key, fence]))

    async def merge_all(
        self, moves: Sequence[tuple[str, int]], now: float, digest_id: str
    ) -> Sequence[bool | errors.Temporary]:
        return await self._move_all(moves, lambda key, fence: self._merge(key, fence, now, digest_id))

    async def _merge(self, key: str, fence: int, now: float, digest_id: str) -> bool:
        return await self._change(key, lambda row: rules.merge(row, fence, now, digest_id)) is not None

    async def _move_all(
        self, moves: Sequence[tuple[str, int]], move: Callable[[str, int], Awaitable[Answer]]
    ) -> list[Answer | errors.Temporary]:
        """Call `move` for each row, and return the answers in the order of the rows."""
        answers: list[Answer | errors.Temporary] = []
        for some_moves in batching.batches(moves, self._moves_at_once):
            answers += await asyncio.gather(*(_answer_or_error(move(key, fence)) for key, fence in some_moves))
        return answers

    async def reopen(
        self, key: str, now: float, replay: str = "", only: frozenset[DeliveryState] | None = None
    ) -> int | None:
        row = await self._change(key, lambda row: rules.reopen(row, now, replay, only))
        return None if row is None else row.generation

    async def forget(self, key: str, now: float) -> LedgerRow | None:
        return await self._change(key, lambda row: rules.forget(row, now))


async def _answer_or_error(move: Awaitable[Answer]) -> Answer | errors.Temporary:
    """Return the answer, or the error of this row: a row that cannot be moved must not keep the others from it."""
    try:
        return await move
    except errors.Temporary as error:
        return error


# The text of a row's attempts, the order of rows, and a destination's state


def attempts_text(row: LedgerRow) -> str:
    """Return the row's attempts as JSON, without the fields that the row has already."""
    if not row.attempts:
        return "[]"
    values: list[jsontext.Json] = [
        [each.attempt_number, each.started_at, each.ended_at, each.outcome, each.reason, each.answer]
        for each in row.attempts
    ]
    # orjson may write a float differently, but the same number is read.
    return jsontext.texts_json(values).decode()


def with_attempts(row: LedgerRow, text: str) -> LedgerRow:
    """Return the row with the attempts that `attempts_text` wrote."""
    row_values = [row.key, row.event_id, row.route, row.destination]  # the first fields of AttemptEntry
    attempts = [journal.AttemptEntry._make([*row_values, *values]) for values in json.loads(text)]
    return row._replace(attempts=tuple(attempts))


def newest_of(
    rows: Sequence[LedgerRow],
    limit: int,
    destination: str | None = None,
    state: str | None = None,
    before: Place | None = None,
) -> list[LedgerRow]:
    """Return the newest of the rows that match, the newest first. An argument that is None matches every row.

    `before` is the place of the last row of the page before.
    """
    matching = [
        row
        for row in rows
        if destination in (None, row.destination)
        and state in (None, row.state)
        and (before is None or place_of(row) < before)
    ]
    return sorted(matching, key=place_of, reverse=True)[:limit]


def place_of(row: LedgerRow) -> Place:
    """Return the row's place in the order of rows: by the time of their creation, then by their keys."""
    return row.created_at, row.key


def destination_state_of(fields: Mapping[str, object]) -> DestinationState:
    """Return the destination's state from its stored fields. Without fields, it is neither paused nor disabled."""
    reason, until, pause_reason = (fields.get(name) for name in ("disabled_reason", "paused_until", "pause_reason"))
    return DestinationState(
        reason if isinstance(reason, str) else None,
        float(until) if isinstance(until, int | float) else None,
        pause_reason if isinstance(pause_reason, str) else "",
    )
