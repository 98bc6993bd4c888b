"""The lists of the ledger's rows: which index finds the rows that are asked for, and how they are read."""

from collections.abc import AsyncIterator, Sequence
from math import inf, nextafter
from typing import Final

from shared import ledger_rules as rules
from shared.cloud.aws import tables
from shared.cloud.aws.dynamo import Dynamo, read_shards
from shared.cloud.aws.dynamo_values import Fields
from shared.cloud.aws.ledger_items import FOUND, LISTED, endpoint_at, row_of
from shared.ledger import LedgerRow, Place
from shared.ledger_writes import newest_of
from shared.subscribers.names import endpoint_name

ROWS_AT_ONCE: Final = 18
"""The number of rows for which one answer has room. A row has a message of 200 KiB, which base64 makes a third longer,
and MAX_ATTEMPTS_BYTES, which JSON's escapes at most double."""
ROWS_READ: Final = 100
"""The chunk of a search that reads whole rows, because no index finds the state."""
ENTRIES_READ: Final = 1_000
"""The chunk of a search that reads only the entries of an index, to find those of a destination."""
MAX_CHUNKS: Final = 10
"""The most chunks that are read if no index lists the rows in the state."""
MAX_DELIVERIES: Final = 100_000
"""The most deliveries of an event that are read: one for each route and destination, and one for each endpoint."""


class LedgerLists:
    """The searches for rows. An index gives keys, and may be a moment behind. Then the rows are read as they are now.

    Each method raises Temporary.
    """

    def __init__(self, store: Dynamo) -> None:
        self._store = store

    async def rows(
        self, limit: int, event_id: str | None, destination: str | None, state: str | None, before: Place | None
    ) -> Sequence[LedgerRow]:
        """Return the newest rows that match all arguments, as `Ledger.rows`. Only rows of an event have their attempts.

        A search without an index ends after MAX_CHUNKS chunks, and may then return fewer rows than there are.
        """
        if event_id is not None:
            return await self._event_rows(limit, event_id, destination, state, before)
        # An endpoint's rows that wait or are held are few among all that do, and many are in the endpoint's own index.
        if destination is not None and endpoint_name(destination) and state not in {rules.RETRY_SCHEDULED, rules.HELD}:
            return await self._endpoint_rows(limit, destination, state, before)
        indexed_state = state if state in FOUND else None
        if state != indexed_state:
            chunk = ROWS_READ  # whole rows are read to see their state
        elif destination is not None:
            chunk = ENTRIES_READ  # an entry names its destination
        else:
            chunk = limit
        rows: list[LedgerRow] = []
        # The index knows only the time of `before`. Of the rows of that moment, `newest_of` returns those after it.
        latest = inf if before is None else before[0]
        async for keys in self.keys(indexed_state, destination, chunk, latest):
            rows += newest_of(await self.read(keys, LISTED), limit - len(rows), destination, state, before)
            if len(rows) >= limit:
                break
        return rows

    async def _event_rows(
        self, limit: int, event_id: str, destination: str | None, state: str | None, before: Place | None
    ) -> Sequence[LedgerRow]:
        # A filter may leave out any of the event's rows, so all of them are read.
        most = limit if destination is None and state is None and before is None else MAX_DELIVERIES
        entries = await self._store.query_index(
            tables.DELIVERIES, tables.DELIVERIES_BY_EVENT, event_id, most, descending=True
        )
        return newest_of(await self.read(keys_of(entries)), limit, destination, state, before)

    async def _endpoint_rows(
        self, limit: int, destination: str, state: str | None, before: Place | None
    ) -> list[LedgerRow]:
        """Return the newest rows of an endpoint. Its index shows only which rows are dead-lettered (`failed`).

        For any other state, the rows that are not dead-lettered are read, ENTRIES_READ * MAX_CHUNKS at most.
        """
        at = "" if before is None else endpoint_at(before)
        chunk = ROWS_READ if state else limit
        looked_through = 0
        condition = ""
        if state == rules.DEAD_LETTERED:
            condition = f"attribute_exists(#{tables.FAILED})"
        elif state:
            condition = f"attribute_not_exists(#{tables.FAILED})"
        rows: list[LedgerRow] = []
        while len(rows) < limit and looked_through < ENTRIES_READ * MAX_CHUNKS:
            entries = await self._store.query_text_index(
                tables.DELIVERIES, tables.DELIVERIES_BY_ENDPOINT, destination, chunk, at, condition
            )
            rows += newest_of(await self.read(keys_of(entries), LISTED), limit - len(rows), destination, state)
            if len(entries) < chunk:
                break
            at = str(entries[-1][tables.ENDPOINT_AT])
            looked_through += chunk
        return rows

    async def keys(
        self, state: str | None, destination: str | None = None, chunk: int = ENTRIES_READ, latest: float = inf
    ) -> AsyncIterator[list[str]]:
        """Yield the keys of rows that an index lists, `chunk` entries at a time, newest first.

        With a state, all rows in this state are searched; without one, at most MAX_CHUNKS chunks of rows. Only the keys
        of the destination's rows are yielded, so a list may be shorter than a chunk, or empty. `latest` is the latest
        time of creation. Some rows may be in another state meanwhile.
        """
        index = tables.DELIVERIES_BY_STATE if state else tables.LISTED_DELIVERIES
        chunks = 0
        while state is not None or chunks < MAX_CHUNKS:
            entries = await read_shards(
                self._store, tables.DELIVERIES, index, chunk, state=state or "", high=latest, descending=True
            )
            yield keys_of([entry for entry in entries if destination in (None, entry["destination"])])
            if len(entries) < chunk:
                return
            chunks += 1
            # The next chunk begins just before the last entry. Others of the same moment may be left out.
            latest = nextafter(float(str(entries[-1]["created_at"])), -inf)

    async def read(self, keys: Sequence[str], fields: Sequence[str] = ()) -> list[LedgerRow]:
        """Return the rows that exist, in no order, with strong consistency. `fields`: those to read; none for all."""
        items = await self._store.get_all(tables.DELIVERIES, keys, fields, ROWS_AT_ONCE)
        return [row_of(item) for item in items.values()]


def keys_of(entries: Sequence[Fields]) -> list[str]:
    """Return the keys of the rows that these entries of an index stand for."""
    return [str(entry[tables.KEY]) for entry in entries]
