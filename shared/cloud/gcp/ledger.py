"""The Ledger port on Firestore. The protocol itself is shared/ledger_rules.py.

A delivery that goes well costs two writes and no read: it is made by create-if-absent, which is its claim, and settled
by a write that is conditional on the version which the claim made. All else is a transaction on its document.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from secrets import randbits
from typing import Final, TypeAlias

from shared import ledger_rules as rules
from shared.batching import batches
from shared.cloud.gcp.collections import DESTINATIONS, LEDGER
from shared.cloud.gcp.firestore import MAX_WRITES, Firestore
from shared.cloud.gcp.firestore_values import Fields, Write, query_document
from shared.cloud.gcp.ledger_documents import (
    DELIVERIES_AT_ONCE,
    OLD_HELD,
    ROW,
    WHOLE,
    changed_document,
    endpoint_query,
    event_query,
    held_query,
    index_of,
    microseconds,
    new_document,
    old_due_query,
    removed_document,
    row_of,
)
from shared.cloud.gcp.shards import LAST, read_shards
from shared.cloud.ledger_writes import FENCE_BITS, LedgerWrites, newest_of
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Move, Place, Settlement
from shared.ledger_rules import Rule
from shared.subscribers.names import endpoint_name

AT_ONCE: Final = 25
MOVED_AT_ONCE: Final = 100
"""A row is some 500 bytes: far below the 10 MB of a commit, and what one conflict makes be read again."""
TRANSACTIONS_AT_ONCE: Final = 10
MAX_PURGED: Final = 1_000
MESSAGES_AT_ONCE: Final = 30
"""At 200 KiB each, what one answer can hold."""
CHUNK: Final = 100
MAX_LOOKED_THROUGH: Final = 1_000
"""Rows that a search reads where no index finds the state that it asks for."""


Take: TypeAlias = Callable[[LedgerRow], tuple[Claim, LedgerRow]]
MoveRow: TypeAlias = Callable[[LedgerRow, int], LedgerRow | None]
"""From a row and the fence that it is to have, to the row as it is moved; None if the move is rejected."""


class FirestoreLedger(LedgerWrites):
    def __init__(self, store: Firestore) -> None:
        self._store = store

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        key, payload_hash, fence = delivery.id, delivery.event.payloadhash, randbits(FENCE_BITS)

        return await self._take(
            rules.new_row(delivery, key, now),
            lambda row: rules.claim(row, payload_hash, message, now, lease_seconds, due_fence, fence),
            is_new=due_fence is None,
        )

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        key, payload_hash, fence = delivery.id, delivery.event.payloadhash, randbits(FENCE_BITS)
        return await self._take(
            rules.new_row(delivery, key, now),
            lambda row: rules.gather(row, payload_hash, message, group, reason, now, at, fence),
        )

    async def _take(self, new: LedgerRow, take: Take, *, is_new: bool = True) -> Claim:
        """Create the row as it is to be, or change the one that there is. `is_new`: there is none, most likely."""
        if is_new:
            answer, changed = take(new)
            version = await self._store.write_if(new_document(changed))
            if version is not None:
                return answer._replace(version=version) if isinstance(answer, Claimed) else answer

        def decide(fields: Fields | None) -> tuple[Claim, Write | None]:
            row = row_of(fields) if fields else new
            answer, changed = take(row)
            if changed is row:
                return answer, None
            return answer, changed_document(changed, row) if fields else new_document(changed)

        return await self._store.transact(LEDGER, new.key, WHOLE, decide)

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        if claim.version:
            settled = rules.settle(claim.row, claim, settlement)
            write = None if settled is None else changed_document(settled, claim.row, claim.version)
            if write is not None and await self._store.write_if(write) is not None:
                return True
        return await super().settle(claim, settlement)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Ask with a lower bound, so that Firestore skips the index entries of rows that were moved lately.

        Without a time to read at, a query sees every write that was confirmed before it.
        """
        low, high = microseconds(since), microseconds(now) + 1
        found = await read_shards(self._store, LEDGER, "due", limit, low=low, high=high, select=("row", "due"))
        rows = [row_of(each.fields) for each in found]
        if not since:
            rows += await self._rows(old_due_query(now, limit))
        due = sorted((row for row in rows if rules.is_due(row, now)), key=lambda row: row.retry_at or 0.0)
        return await self._with_messages(due[:limit])

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | Temporary | None]:
        times = {(key, fence): at for key, fence, at in moves}
        rows = await self._move_many(
            [(key, fence) for key, fence, _ in moves],
            lambda row, fence: rules.postpone(row, fence, now, times[row.key, fence]),
        )
        return [row.fence if isinstance(row, LedgerRow) else row for row in rows]

    async def merge_all(
        self, moves: Sequence[tuple[str, int]], now: float, digest_id: str
    ) -> Sequence[bool | Temporary]:
        rows = await self._move_many(moves, lambda row, fence: rules.merge(row, fence, now, digest_id))
        return [row if isinstance(row, Temporary) else row is not None for row in rows]

    async def _move_many(self, moves: Sequence[tuple[str, int]], move: MoveRow) -> list[LedgerRow | Temporary | None]:
        """Move many rows in one transaction of two calls, which is what each row alone would cost."""
        moved: list[LedgerRow | Temporary | None] = []
        for some in batches([*batches(moves, MOVED_AT_ONCE)], TRANSACTIONS_AT_ONCE):
            for rows in await asyncio.gather(*(self._move_group(group, move) for group in some)):
                moved += rows
        return moved

    async def _move_group(
        self, moves: Sequence[tuple[str, int]], move: MoveRow
    ) -> Sequence[LedgerRow | Temporary | None]:
        def decide(found: Mapping[str, Fields]) -> tuple[list[LedgerRow | None], list[Write]]:
            before = {key: row_of(fields) for key, fields in found.items()}
            rows = [move(before[key], fence) if key in before else None for key, fence in moves]
            writes = [changed_document(row) for row in rows if row is not None and row is not before[row.key]]
            return rows, writes

        try:
            return await self._store.transact_all(LEDGER, [key for key, _ in moves], ROW, decide)
        except Temporary:  # perhaps because of one of them, which is to hold up no other
            return await self._move_all(moves, lambda key, fence: self._change(key, lambda row: move(row, fence)))

    async def disable(self, destination: str, reason: str, now: float) -> None:
        await self._set(destination, {"disabled_reason": reason, "updated_at": now})

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        await self._set(destination, {"paused_until": until, "pause_reason": reason, "updated_at": now})

    async def release(self, destination: str, now: float) -> int:
        await self._store.commit([Write(DESTINATIONS, destination, None)])
        count = 0
        while held := await self._held(destination):
            released = 0
            for keys in batches([row.key for row in held], AT_ONCE):
                released += sum(await asyncio.gather(*(self._release(key, now) for key in keys)))
            count += released
            if not released:  # others release them
                break
        return count

    async def _held(self, destination: str) -> list[LedgerRow]:
        held = await self._rows(held_query(destination, MAX_WRITES))
        return held or await self._rows(held_query(destination, MAX_WRITES, OLD_HELD))

    async def destination_state(self, destination: str) -> DestinationState:
        found = await self._store.get(DESTINATIONS, [destination])
        return state_of(found.get(destination, {}))

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        fields = (await self._store.get(LEDGER, [key], (*WHOLE, "message"))).get(key)
        row = row_of(fields) if fields else None
        if fields is None or row is None or row.event_id != event_id:
            return None
        message = fields.get("message")
        return row._replace(message=message) if isinstance(message, bytes) else row

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        if event_id is not None:
            rows = newest_of(await self._event_rows(event_id), limit, destination, state, before)
        elif destination is not None and endpoint_name(destination):
            rows = await self._rows(endpoint_query(destination, state, limit, before))
        else:
            rows = await self._newest(limit, destination, state, before)
        return await self._with_messages(rows)

    async def _event_rows(self, event_id: str) -> list[LedgerRow]:
        rows = await self._rows(event_query(event_id))
        while rows and len(rows) % DELIVERIES_AT_ONCE == 0:
            found = await self._rows(event_query(event_id, self._store.name(LEDGER, rows[-1].key)))
            if not found:
                break
            rows += found
        return rows

    async def _newest(
        self, limit: int, destination: str | None, state: str | None, before: Place | None
    ) -> list[LedgerRow]:
        field, prefix = index_of(destination, state)
        is_filtered = state is not None and field not in {"by_state", "by_destination_state"}
        chunk, looked_through = CHUNK if is_filtered else limit, 0
        high = LAST if before is None else microseconds(before[0])
        found: list[LedgerRow] = []
        while len(found) < limit and looked_through < MAX_LOOKED_THROUGH:
            documents = await read_shards(
                self._store, LEDGER, field, chunk, prefix=prefix, high=high, descending=True, select=("row", field)
            )
            rows = [row_of(each.fields) for each in documents]
            found += newest_of(rows, limit - len(found), destination, state, before)
            if len(documents) < chunk:
                break
            looked_through, high = looked_through + chunk, microseconds(rows[-1].created_at)
        return found

    async def held(self, destination: str, limit: int) -> int:
        """Count the deliveries that wait for its release, up to the limit, without reading them."""
        return await self._store.count(held_query(destination, limit))

    async def destination_states(self) -> dict[str, DestinationState]:
        """Return the states of those that were disabled or paused, and not released since."""
        found = await self._store.query(query_document(DESTINATIONS, limit=MAX_WRITES))
        return {document.id: state_of(document.fields) for document in found}

    async def purge(self, before: float) -> int:
        """Delete at most MAX_PURGED a call: most expire by themselves, by the collection's TTL policy.

        A row last written before that time was made before it too.
        """
        select, high = ("row", "created"), microseconds(before)
        found = await read_shards(self._store, LEDGER, "created", MAX_PURGED, high=high, select=select)
        known = [row_of(each.fields) for each in found]
        old = [row for row in known if row.state in rules.FINAL and row.updated_at < before]
        for rows in batches(old, MAX_WRITES):
            await self._store.commit([removed_document(row.key) for row in rows])
        return len(old)

    def close(self) -> None:
        self._store.close()

    async def _release(self, key: str, now: float) -> bool:
        return await self._change(key, lambda row: rules.release(row, now)) is not None

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        def decide(fields: Fields | None) -> tuple[LedgerRow | None, Write | None]:
            row = row_of(fields) if fields else None
            changed = rule(row) if row else None
            is_written = changed is not None and changed is not row
            return changed, changed_document(changed, row) if changed and is_written else None

        return await self._store.transact(LEDGER, key, WHOLE, decide)

    async def _set(self, destination: str, fields: Fields) -> None:
        await self._store.commit([Write(DESTINATIONS, destination, fields, mask=tuple(fields))])

    async def _rows(self, query: JsonObject) -> list[LedgerRow]:
        return [row_of(document.fields) for document in await self._store.query(query)]

    async def _with_messages(self, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
        """Read by themselves, so many at a time as an answer can hold. A row without one is left as it is."""
        keys = [row.key for row in rows if row.state not in rules.FINAL]
        answers = await asyncio.gather(
            *(self._store.get(LEDGER, some, ("message",)) for some in batches(keys, MESSAGES_AT_ONCE))
        )
        messages = {key: fields.get("message") for found in answers for key, fields in found.items()}
        return [
            row._replace(message=message) if isinstance(message := messages.get(row.key), bytes) else row
            for row in rows
        ]


def state_of(fields: Fields) -> DestinationState:
    reason, until, pause_reason = (fields.get(name) for name in ("disabled_reason", "paused_until", "pause_reason"))
    return DestinationState(
        reason if isinstance(reason, str) else None,
        float(until) if isinstance(until, int | float) else None,
        pause_reason if isinstance(pause_reason, str) else "",
    )
