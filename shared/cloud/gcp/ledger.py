"""The Ledger port on Firestore. The protocol itself is shared/ledger_rules.py.

A delivery that goes well costs three writes and two reads: it is made by create-if-absent, which is its claim, and
`attempted` and `done` are each a transaction on its document.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from shared import ledger_rules as rules
from shared.cloud.gather import batches
from shared.cloud.gcp.collections import DESTINATIONS, LEDGER
from shared.cloud.gcp.firestore import MAX_WRITES, Firestore
from shared.cloud.gcp.firestore_values import Fields, Write, query_document
from shared.cloud.gcp.ledger_documents import (
    ROW,
    changed_document,
    due_query,
    new_document,
    newest_of,
    old_query,
    removed_document,
    row_of,
    rows_query,
)
from shared.cloud.ledger_writes import LedgerWrites
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.ledger import Claim, DestinationState, LedgerRow
from shared.ledger_rules import Rule

AT_ONCE: Final = 25
MOVED_AT_ONCE: Final = 100
"""A row is some 500 bytes: far below the 10 MB of a commit, and what one conflict makes be read again."""
MAX_PURGED: Final = 1_000
MESSAGES_AT_ONCE: Final = 30
"""At 200 KiB each, what one answer can hold."""


class FirestoreLedger(LedgerWrites):
    def __init__(self, store: Firestore) -> None:
        self._store = store

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        key = delivery.id

        def take(row: LedgerRow | None) -> tuple[Claim, LedgerRow | None]:
            known = row or rules.new_row(delivery, key, message, now)
            answer, taken = rules.claim(known, delivery.event.payloadhash, message, now, lease_seconds, due_fence)
            return answer, None if taken is row else taken

        if due_fence is None:  # seen for the first time, most likely
            answer, taken = take(None)
            if taken is not None and await self._store.create(new_document(taken)):
                return answer

        def decide(fields: Fields | None) -> tuple[Claim, Write | None]:
            answer, taken = take(row_of(fields) if fields else None)
            if taken is None:
                return answer, None
            return answer, changed_document(taken, with_message=True) if fields else new_document(taken)

        return await self._store.transact(LEDGER, key, ROW, decide)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        found = await self._rows(due_query(now, limit, since))
        return await self._with_messages([row for row in found if rules.is_due(row, now)])

    async def postpone_all(
        self, moves: Sequence[tuple[str, int]], now: float, at: float
    ) -> Sequence[int | Temporary | None]:
        """Move many rows in one transaction of two calls, which is what each row alone would cost."""
        groups = batches(moves, MOVED_AT_ONCE)
        moved = await asyncio.gather(*(self._postpone_group(group, now, at) for group in groups))
        return [fence for group in moved for fence in group]

    async def _postpone_group(
        self, moves: Sequence[tuple[str, int]], now: float, at: float
    ) -> Sequence[int | Temporary | None]:
        def decide(found: Mapping[str, Fields]) -> tuple[list[int | None], list[Write]]:
            rows = [
                rules.postpone(row_of(found[key]), fence, now, at) if key in found else None for key, fence in moves
            ]
            writes = [changed_document(row, with_message=False) for row in rows if row is not None]
            return [None if row is None else row.fence for row in rows], writes

        try:
            return await self._store.transact_all(LEDGER, [key for key, _ in moves], ROW, decide)
        except Temporary:  # perhaps because of one of them, which is to hold up no other
            return await super().postpone_all(moves, now, at)

    async def disable(self, destination: str, reason: str, now: float) -> None:
        await self._set(destination, {"disabled_reason": reason, "updated_at": now})

    async def pause(self, destination: str, until: float, now: float) -> None:
        await self._set(destination, {"paused_until": until, "updated_at": now})

    async def release(self, destination: str, now: float) -> int:
        await self._store.commit([Write(DESTINATIONS, destination, None)])
        count = 0
        while held := await self._rows(rows_query(MAX_WRITES, None, destination, rules.HELD)):
            released = 0
            for keys in batches([row.key for row in held], AT_ONCE):
                released += sum(await asyncio.gather(*(self._release(key, now) for key in keys)))
            count += released
            if not released:  # others release them
                break
        return count

    async def destination_state(self, destination: str) -> DestinationState:
        found = await self._store.get(DESTINATIONS, [destination])
        return state_of(found.get(destination, {}))

    async def rows(
        self, limit: int, *, event_id: str | None = None, destination: str | None = None, state: str | None = None
    ) -> Sequence[LedgerRow]:
        found = await self._rows(rows_query(limit, event_id, destination, state))
        return await self._with_messages(newest_of(found, limit, event_id, destination, state))

    async def held(self, destination: str, limit: int) -> int:
        """Count the deliveries that wait for its release, up to the limit, without reading them."""
        return await self._store.count(rows_query(limit, None, destination, rules.HELD))

    async def destination_states(self) -> dict[str, DestinationState]:
        """Return the states of those that were disabled or paused, and not released since."""
        found = await self._store.query(query_document(DESTINATIONS, limit=MAX_WRITES))
        return {document.id: state_of(document.fields) for document in found}

    async def purge(self, before: float) -> int:
        """Delete at most MAX_PURGED a call: most expire by themselves, by the collection's TTL policy.

        A row last written before that time was made before it too.
        """
        old = [
            row
            for row in await self._rows(old_query(before, MAX_PURGED))
            if row.state in rules.FINAL and row.updated_at < before
        ]
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
            return changed, changed_document(changed, with_message=False) if changed and is_written else None

        return await self._store.transact(LEDGER, key, ROW, decide)

    async def _set(self, destination: str, fields: Fields) -> None:
        await self._store.commit([Write(DESTINATIONS, destination, fields, mask=tuple(fields))])

    async def _rows(self, query: JsonObject) -> list[LedgerRow]:
        return [row_of(document.fields) for document in await self._store.query(query)]

    async def _with_messages(self, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
        """Read by themselves, so many at a time as an answer can hold. What is gone by now is left out."""
        groups = [[row.key for row in some] for some in batches(rows, MESSAGES_AT_ONCE)]
        answers = await asyncio.gather(*(self._store.get(LEDGER, keys, ("message",)) for keys in groups))
        messages = {key: fields.get("message") for found in answers for key, fields in found.items()}
        return [replace(row, message=message) for row in rows if isinstance(message := messages.get(row.key), bytes)]


def state_of(fields: Fields) -> DestinationState:
    reason, until = fields.get("disabled_reason"), fields.get("paused_until")
    return DestinationState(
        reason if isinstance(reason, str) else None, float(until) if isinstance(until, int | float) else None
    )
