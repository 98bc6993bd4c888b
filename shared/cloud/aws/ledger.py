"""The Ledger port on DynamoDB. The protocol itself is in shared/ledger_rules.py.

A write puts the whole row, with a new version, on the condition that the stored row has the version by which the write
was decided. So a delivery that succeeds at once costs two writes and no read: its claim creates the row, and its
outcome is written over the version of the claim. If the condition does not hold, DynamoDB's answer has the stored row,
and the write is decided again by that row. If the stored row has the version of the write itself, the write had been
made, and only its answer was lost.

ledger_items.py has the item of a row, and ledger_lists.py how rows are found.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from typing import Final, NamedTuple, TypeVar

from shared import batching, errors, ledger_rules as rules, ledger_writes, outcomes
from shared.cloud.aws import client, tables
from shared.cloud.aws.dynamo import TRIES, Condition, Dynamo, is_expired, read_shards
from shared.cloud.aws.dynamo_values import Fields
from shared.cloud.aws.ledger_items import VERSION, item_of, merged_fields, row_of
from shared.cloud.aws.ledger_lists import LedgerLists, keys_of
from shared.delivery import REMEMBERED_SECONDS
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Place

AT_ONCE: Final = 25
"""The number of writes at the same time. Each needs its own connection."""
VERSION_BYTES: Final = 4
"""The size of a version. It need only differ from those of the other writes of the same moment to the same row."""
ABSENT_OR_EXPIRED: Final = f"attribute_not_exists(#{tables.KEY}) OR #{tables.EXPIRES_AT} <= :now"
"""The condition of a write that creates a row. DynamoDB may delete an expired row days later, so it counts as none."""

Answer = TypeVar("Answer")


class _Known(NamedTuple):
    """The content of a row as far as the caller knows it: as it was read, or as its claim left it.

    row      None if the store has no row
    version  the version of the stored row; empty if there is none
    """

    row: LedgerRow | None
    version: str = ""


Decide = Callable[[LedgerRow | None], tuple[Answer, LedgerRow | None]]
"""Takes the stored row, or None. Returns an answer, and the row to write, or None to write nothing."""


class DynamoLedger(ledger_writes.LedgerWrites):
    """The ledger of a stack. Its methods run on the event loop.

    A write is one conditional call, which is decided again if another write was faster. It is stored when the method
    returns. If a method raises Temporary (`ledger_unavailable`), the write may have been made or not, and it is safe to
    call the method again.
    """

    _moves_at_once = AT_ONCE

    def __init__(self, place: client.AwsPlace, table_prefix: str) -> None:
        self._store = Dynamo(place, table_prefix, "ledger_unavailable")
        self._lists = LedgerLists(self._store)

    async def _insert_or_change(
        self, first_row: LedgerRow, first_answer: Claim, decide: ledger_writes.DecideClaim, *, is_new: bool = True
    ) -> Claim:
        def decide_stored(stored: LedgerRow | None) -> tuple[Claim, LedgerRow | None]:
            if stored is None:
                return first_answer, first_row
            answer, decided_row = decide(stored)
            return answer, None if decided_row is stored else decided_row

        known = _Known(None) if is_new else None  # nothing is read first for a delivery that is probably new
        answer, version = await self._write(first_row.key, decide_stored, known, first_row.created_at)
        return answer._replace(version=version) if isinstance(answer, Claimed) else answer

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        """Apply rules.postpone in one write: its condition compares what the rule compares, so nothing is read first.

        If the stored row has the version of this write, the write had been made, and its first answer was lost.
        """
        version = token_hex(VERSION_BYTES)
        changes: Fields = {"fence": fence + 1, "retry_at": at, "updated_at": now, VERSION: version}
        found = await self._store.update(tables.DELIVERIES, key, changes, _is_waiting(fence))
        return fence + 1 if found is None or found.get(VERSION) == version else None

    async def _merge(self, key: str, fence: int, now: float, digest_id: str) -> bool:
        """Apply rules.merge in one write, with the rule's own condition. Return whether the row is part of the digest.

        If it was part of it already, or this write was repeated, the condition fails and the stored row shows it.
        """
        found = await self._store.update(
            tables.DELIVERIES, key, merged_fields(fence, now, digest_id), _waits_since(fence)
        )
        return found is None or (found.get("state") == rules.MERGED and found.get("group") == digest_id)

    async def reopen(
        self, key: str, now: float, replay: str = "", only: frozenset[outcomes.DeliveryState] | None = None
    ) -> int | None:
        def rule(row: LedgerRow) -> LedgerRow | None:
            # An expired row stays until DynamoDB deletes it, days later at times. It counts as gone at once.
            is_gone = row.state in rules.FINAL and row.updated_at + REMEMBERED_SECONDS <= now
            return None if is_gone else rules.reopen(row, now, replay, only)

        row = await self._change(key, rule)
        return None if row is None else row.generation

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the rows that are due between `since` and `now`, the first one first.

        The index, which may be a moment behind, gives their keys. Then the rows are read with strong consistency. So a
        row that was moved or merged before the call is never returned in its old state.
        """
        entries = await read_shards(self._store, tables.DELIVERIES, tables.DUE, limit, low=since, high=now)
        rows = await self._lists.read(keys_of(entries))
        return sorted((row for row in rows if rules.is_due(row, now)), key=lambda row: row.retry_at or 0.0)

    async def release(self, destination: str, now: float, *, releases_unknown: bool = False) -> int:
        """Forget that the destination is disabled or paused, then make the deliveries that are held for it due, a row
        at a time. If this fails part of the way, the remaining deliveries stay held, and it can be called again.
        """

        def rule(row: LedgerRow) -> LedgerRow | None:
            return rules.release(row, now, releases_unknown=releases_unknown)

        await self._store.delete(tables.DESTINATIONS, destination)
        count = 0
        # Until a pass finds none: the index is a moment behind, so a pass can miss rows that were held just before.
        while released := await self._change_held(destination, rule):
            count += released
        return count

    async def _change_held(self, destination: str, rule: rules.Rule) -> int:
        """Change each delivery that the index lists as held. Return how many of them the rule has changed.

        The index may still list deliveries that were released a moment ago, for which the rule returns None.
        """
        count = 0
        async for keys in self._lists.keys(rules.HELD, destination):
            for some_keys in batching.batches(keys, AT_ONCE):
                changed = await asyncio.gather(*(self._change(key, rule) for key in some_keys))
                count += sum(row is not None for row in changed)
        return count

    async def destination_state(self, destination: str) -> DestinationState:
        return ledger_writes.destination_state_of(await self._store.get(tables.DESTINATIONS, destination) or {})

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        """Return the delivery's row with its message and attempts; None if the event has no such delivery."""
        fields = await self._store.get(tables.DELIVERIES, key)
        return row_of(fields) if fields and fields["event_id"] == event_id else None

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        return await self._lists.rows(limit, event_id, destination, state, before)

    def close(self) -> None:
        self._store.close()

    async def _write_destination(self, destination: str, fields: Mapping[str, str | float]) -> None:
        await self._store.update(tables.DESTINATIONS, destination, fields)

    async def _change(self, key: str, rule: rules.Rule) -> LedgerRow | None:
        row, _ = await self._write(key, _deciding(rule), None)
        return row

    async def _change_claimed(self, claim: Claimed, rule: rules.Rule) -> Claimed | None:
        known = _Known(claim.row, claim.version) if claim.version else None
        row, version = await self._write(claim.row.key, _deciding(rule), known)
        return None if row is None else claim._replace(row=row, version=version)

    async def _write(
        self, key: str, decide: Decide[Answer], known: _Known | None, now: float = 0.0
    ) -> tuple[Answer, str]:
        """Decide by the row that is known, and write. Return the answer and the row's version. Raises Temporary.

        If `known` is None, the stored row is read first. It is also read before it is decided that nothing is written,
        because what the caller knows may be old. For a call that can create the row, `now` is the time at which an
        expired row counts as none; for any other call it is 0, so that no row counts as expired.
        """
        is_fresh = False  # whether `known` is what the store has answered in this call
        for _ in range(TRIES):
            if known is None:
                known = _known_of(await self._store.get(tables.DELIVERIES, key), now)
                is_fresh = True
            answer, row = decide(known.row)
            if row is None:
                if is_fresh:
                    return answer, known.version
                known = None  # so that the stored row is read, and decides
                continue
            version = token_hex(VERSION_BYTES)
            condition = _is_still(known.version) if known.row else Condition(ABSENT_OR_EXPIRED, {"now": now})
            stored = await self._store.put(tables.DELIVERIES, item_of(row, version), condition)
            if stored is None or stored.get(VERSION) == version:  # written now, or before its first answer was lost
                return answer, version
            known = _known_of(stored, now)
            is_fresh = True
        raise errors.Temporary(
            "ledger_unavailable", f"DynamoDB: others kept writing delivery {key}, {TRIES} times in a row"
        )


def _deciding(rule: rules.Rule) -> Decide[LedgerRow | None]:
    """Return the rule in the form that `_write` takes. Its answer is the row that is stored then."""

    def decide(stored: LedgerRow | None) -> tuple[LedgerRow | None, LedgerRow | None]:
        changed = rule(stored) if stored else None
        return changed, None if changed is stored else changed

    return decide


def _known_of(fields: Fields | None, now: float) -> _Known:
    if not fields or is_expired(fields, now):
        return _Known(None)
    return _Known(row_of(fields), str(fields[VERSION]))


def _is_waiting(fence: int) -> Condition:
    """Return the condition that the row waits and has this fence (see rules.postpone)."""
    return Condition("#fence = :fence AND #state = :state", {"fence": fence, "state": rules.RETRY_SCHEDULED})


def _waits_since(fence: int) -> Condition:
    """Return the condition that the row waits, and was only postponed after it had this fence (see rules.merge)."""
    most = fence + rules.MAX_POSTPONED
    values: Fields = {"fence": fence, "most": most, "state": rules.RETRY_SCHEDULED}
    return Condition("#fence BETWEEN :fence AND :most AND #state = :state", values)


def _is_still(version: str) -> Condition:
    return Condition(f"#{VERSION} = :version", {"version": version})
