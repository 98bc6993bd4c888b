"""The Ledger port on Firestore. The protocol itself is in shared/ledger_rules.py.

A delivery that succeeds at once costs two writes and no read. Its claim creates the document if there is none, and its
outcome is written on the condition that the document still has the version of the claim. All other changes are
transactions. ledger_documents.py has the document of a row and the queries for rows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from shared import batching, ledger_rules as rules, ledger_writes
from shared.cloud.gcp import firestore, ledger_documents as stored
from shared.cloud.gcp.collections import DESTINATIONS, LEDGER
from shared.cloud.gcp.firestore_values import Fields, Write
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Move, Place, Settlement
from shared.subscribers.names import endpoint_name

AT_ONCE: Final = 25
"""The number of held rows that are changed at the same time, each in a transaction of its own."""
HELD_AT_ONCE: Final = 500
"""The number of held rows that one query returns."""
MOVED_AT_ONCE: Final = 100
"""The number of rows that one transaction moves. They have some 500 bytes each, far below the 10 MB of a commit. More
would have to be read again after each conflict."""
TRANSACTIONS_AT_ONCE: Final = 10
"""The number of transactions that move rows at the same time. Each needs its own connection."""
MESSAGES_AT_ONCE: Final = 30
"""The number of messages that one answer has room for, at 200 KiB each."""
CHUNK: Final = 100
"""The number of rows that a search without an index reads at once."""
MAX_LOOKED_THROUGH: Final = 1_000
"""The number of rows that a search reads at most if there is no index for the state."""


MoveRow: TypeAlias = Callable[[LedgerRow, int], LedgerRow | None]
"""Takes a row and the fence that it should have. Returns the moved row, or None if it may not be moved."""


class FirestoreLedger(ledger_writes.LedgerWrites):
    """The ledger of a deployment. Its methods run on the event loop.

    A write is one commit, or one transaction that is tried again if another one was faster. It is stored when the
    method returns. If a method raises Temporary (`ledger_unavailable`), the write may have been made or not, and it is
    safe to call the method again.
    """

    def __init__(self, store: firestore.Firestore) -> None:
        self._store = store

    async def _insert_or_change(
        self, first_row: LedgerRow, first_answer: Claim, decide: ledger_writes.DecideClaim, *, is_new: bool = True
    ) -> Claim:
        """Create the row and return `first_answer`; if there is a row already, change it as `decide` says.

        `is_new` says that there is probably none. A claim then has the version of the new document, so that `settle`
        needs no read.
        """
        # A transaction takes two calls. So a row that is probably new is created without one, and the transaction runs
        # only if there is a row already.
        if is_new:
            version = await self._store.write_if(stored.new_document(first_row))
            if version is not None:
                return first_answer._replace(version=version) if isinstance(first_answer, Claimed) else first_answer

        def decide_document(fields: Fields | None) -> tuple[Claim, Write | None]:
            if not fields:
                return first_answer, stored.new_document(first_row)
            row = stored.row_of(fields)
            answer, decided_row = decide(row)
            return answer, None if decided_row is row else stored.changed_document(decided_row, row)

        return await self._store.transact(LEDGER, first_row.key, stored.WHOLE, decide_document)

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        """Record the outcome of a claim. Return False, and store nothing, if the delivery was claimed or moved since.

        It takes one write if the document still has the version of the claim. Otherwise, the stored row is read.
        """
        settled_row = rules.settle(claim.row, claim, settlement) if claim.version else None
        if settled_row is not None:
            write = stored.changed_document(settled_row, claim.row, claim.version)
            if await self._store.write_if(write) is not None:
                return True
        return await super().settle(claim, settlement)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the rows that are due between `since` and `now`, the first one first, with their messages.

        With the lower bound, Firestore skips the index entries of rows that were moved a short time ago. The query sees
        every write that was confirmed before it, because it names no time to read at.
        """
        low, high = stored.microseconds(since), stored.microseconds(now) + 1  # `high` itself is not in the range
        documents = await firestore.read_shards(
            self._store, LEDGER, "due", limit, low=low, high=high, select=("row", "due")
        )
        rows = [stored.row_of(document.fields) for document in documents]
        searches_everything = not since
        if searches_everything:  # only such a search also looks for rows that an earlier version wrote
            rows += await self._rows(stored.old_due_query(now, limit))
        due = sorted((row for row in rows if rules.is_due(row, now)), key=lambda row: row.retry_at or 0.0)
        return await self._with_messages(due[:limit])

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | Temporary | None]:
        new_times = {(key, fence): at for key, fence, at in moves}
        rows = await self._move_many(
            [(key, fence) for key, fence, _ in moves],
            lambda row, fence: rules.postpone(row, fence, now, new_times[row.key, fence]),
        )
        return [row.fence if isinstance(row, LedgerRow) else row for row in rows]

    async def merge_all(
        self, moves: Sequence[tuple[str, int]], now: float, digest_id: str
    ) -> Sequence[bool | Temporary]:
        rows = await self._move_many(moves, lambda row, fence: rules.merge(row, fence, now, digest_id))
        return [row if isinstance(row, Temporary) else row is not None for row in rows]

    async def _move_many(self, moves: Sequence[tuple[str, int]], move: MoveRow) -> list[LedgerRow | Temporary | None]:
        """Move the rows in transactions of MOVED_AT_ONCE rows. Each takes two calls, as many as for a single row.

        Return for each row, in the order of `moves`, the moved row, None if it may not be moved, or the error.
        """
        moved: list[LedgerRow | Temporary | None] = []
        groups = [*batching.batches(moves, MOVED_AT_ONCE)]
        for some_groups in batching.batches(groups, TRANSACTIONS_AT_ONCE):
            for rows in await asyncio.gather(*(self._move_group(group, move) for group in some_groups)):
                moved += rows
        return moved

    async def _move_group(
        self, moves: Sequence[tuple[str, int]], move: MoveRow
    ) -> Sequence[LedgerRow | Temporary | None]:
        """Move these rows in one transaction. If it fails, move each row in a transaction of its own."""

        def decide(found: Mapping[str, Fields]) -> tuple[list[LedgerRow | None], list[Write]]:
            before = {key: stored.row_of(fields) for key, fields in found.items()}
            rows = [move(before[key], fence) if key in before else None for key, fence in moves]
            changed = [row for row in rows if row is not None and row is not before[row.key]]
            writes = [stored.document_write(row, {}) for row in changed]  # attempts and messages were not read
            return rows, writes

        try:
            return await self._store.transact_all(LEDGER, [key for key, _ in moves], stored.ROW, decide)
        except Temporary:  # a single row may be the reason, and must not keep the others from being moved

            async def move_alone(key: str, fence: int) -> LedgerRow | None:
                return await self._change(key, lambda row: move(row, fence))

            return await self._move_all(moves, move_alone)

    async def release(self, destination: str, now: float, *, releases_unknown: bool = False) -> int:
        """Forget that the destination is disabled or paused, then make the deliveries that are held for it due, a row
        at a time. If this fails part of the way, the remaining deliveries stay held, and it can be called again.
        """

        def rule(row: LedgerRow) -> LedgerRow | None:
            return rules.release(row, now, releases_unknown=releases_unknown)

        await self._store.commit([Write(DESTINATIONS, destination, None)])
        count = 0
        for state in (rules.HELD, stored.OLD_HELD):
            count += await self._change_held(destination, state, rule)
        return count

    async def _change_held(self, destination: str, state: str, rule: rules.Rule) -> int:
        """Change the held deliveries. Return how many were changed: the rule may leave some held."""
        count = 0
        async for keys in self._held_keys(destination, state):
            for some_keys in batching.batches(keys, AT_ONCE):
                changed = await asyncio.gather(*(self._change(key, rule) for key in some_keys))
                count += sum(row is not None for row in changed)
        return count

    async def _held_keys(self, destination: str, state: str) -> AsyncIterator[list[str]]:
        """Yield the keys of the held deliveries, page by page.

        A page begins at the place where the previous one ended, because two rows may have the same place. So it repeats
        the end of the previous page, whose keys are left out, and a page with nothing else is the last.
        """
        start = ""
        page: list[str] = []
        while True:
            held = await self._rows(stored.held_query(destination, HELD_AT_ONCE, state, start))
            previous, page = page, [row.key for row in held]
            keys = [key for key in page if key not in previous]
            yield keys
            if len(held) < HELD_AT_ONCE or not keys:
                return
            start = stored.place_in_index(f"{destination}/{state}", held[-1])

    async def destination_state(self, destination: str) -> DestinationState:
        fields_by_name = await self._store.get(DESTINATIONS, [destination])
        return ledger_writes.destination_state_of(fields_by_name.get(destination, {}))

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        """Return the delivery's row with its message and attempts; None if the event has no such delivery."""
        fields = (await self._store.get(LEDGER, [key], (*stored.WHOLE, "message"))).get(key)
        row = stored.row_of(fields) if fields else None
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
        """Return the newest rows that match all arguments, `limit` at most. The rows of an event have their attempts.

        If there is no index for the state, the search ends after MAX_LOOKED_THROUGH rows.
        """
        if event_id is not None:
            rows = ledger_writes.newest_of(await self._event_rows(event_id), limit, destination, state, before)
        elif destination is not None and endpoint_name(destination):
            rows = await self._rows(stored.endpoint_query(destination, state, limit, before))
        else:
            rows = await self._newest(limit, destination, state, before)
        return await self._with_messages(rows)

    async def _event_rows(self, event_id: str) -> list[LedgerRow]:
        """Return all rows of the event, with their attempts."""
        rows = page = await self._rows(stored.event_query(event_id))
        while len(page) == stored.DELIVERIES_AT_ONCE:  # a full page, so there may be another one
            page = await self._rows(stored.event_query(event_id, self._store.name(LEDGER, page[-1].key)))
            rows = rows + page
        return rows

    async def _newest(
        self, limit: int, destination: str | None, state: str | None, before: Place | None
    ) -> list[LedgerRow]:
        """Return the newest rows that match, as far as the search goes: see `rows`."""
        index = stored.index_of(destination, state)
        chunk = limit if index.is_exact else CHUNK
        looked_through = 0
        # The next rows are older than this. So a row of the same microsecond is left out, as `Ledger.rows` says.
        high = firestore.LAST if before is None else stored.microseconds(before[0])
        newest: list[LedgerRow] = []
        while len(newest) < limit and looked_through < MAX_LOOKED_THROUGH:
            documents = await firestore.read_shards(
                self._store,
                LEDGER,
                index.field,
                chunk,
                prefix=index.prefix,
                high=high,
                descending=True,
                select=("row", index.field),
            )
            rows = [stored.row_of(document.fields) for document in documents]
            newest += ledger_writes.newest_of(rows, limit - len(newest), destination, state, before)
            if len(documents) < chunk:
                break
            looked_through += chunk
            high = stored.microseconds(rows[-1].created_at)
        return newest

    def close(self) -> None:
        self._store.close()

    async def _change(self, key: str, rule: rules.Rule) -> LedgerRow | None:
        def decide(fields: Fields | None) -> tuple[LedgerRow | None, Write | None]:
            row = stored.row_of(fields) if fields else None
            changed = rule(row) if row else None
            if row is None or changed is None or changed is row:
                return changed, None
            return changed, stored.changed_document(changed, row)

        return await self._store.transact(LEDGER, key, stored.WHOLE, decide)

    async def _write_destination(self, destination: str, fields: Mapping[str, str | float]) -> None:
        await self._store.commit([Write(DESTINATIONS, destination, fields, mask=tuple(fields))])

    async def _rows(self, query: JsonObject) -> list[LedgerRow]:
        return [stored.row_of(document.fields) for document in await self._store.query(query)]

    async def _with_messages(self, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
        """Return the rows with their messages. A row that is final or has no message is returned as it is."""
        keys = [row.key for row in rows if row.state not in rules.FINAL]
        answers = await asyncio.gather(
            *(
                self._store.get(LEDGER, some_keys, ("message",))
                for some_keys in batching.batches(keys, MESSAGES_AT_ONCE)
            )
        )
        messages = {key: fields.get("message") for answer in answers for key, fields in answer.items()}
        return [
            row._replace(message=message) if isinstance(message := messages.get(row.key), bytes) else row
            for row in rows
        ]
