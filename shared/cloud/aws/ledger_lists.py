"""The lists of the ledger's rows: which index finds the rows that are asked for, and how they are read."""

from collections.abc import AsyncIterator, Sequence
from math import inf, nextafter
from typing import Final

from shared import ledger_rules as rules
from shared.cloud import ledger_writes
from shared.cloud.aws import tables
from shared.cloud.aws.dynamo import Dynamo, read_shards
from shared.cloud.aws.dynamo_values import Fields
from shared.cloud.aws.ledger_items import FOUND, LISTED, endpoint_at, row_of
from shared.ledger import LedgerRow, Place
from shared.subscribers.names import endpoint_name

ROWS_AT_ONCE: Final = 18
"""The number of rows for which one answer has room. A row has a message of 200 KiB, which base64 makes a third longer,
and MAX_ATTEMPTS_BYTES, which JSON's escapes at most double."""
CHUNK: Final = 100
"""The number of rows that are read at once if no index finds the state."""
MANY: Final = 1_000
"""The number of entries of an index that are read at once to find those of a destination."""
MAX_CHUNKS: Final = 10
MAX_DELIVERIES: Final = 100_000
"""The most deliveries of an event that are read: one for each route and destination, and one for each endpoint."""


class LedgerLists:
    def __init__(self, store: Dynamo) -> None:
        self._store = store

    async def rows(
        self, limit: int, event_id: str | None, destination: str | None, state: str | None, before: Place | None
    ) -> Sequence[LedgerRow]:
        if event_id is not None:
            most = limit if destination is None and state is None and before is None else MAX_DELIVERIES
            found = await self._store.query(
                tables.DELIVERIES, tables.DELIVERIES_BY_EVENT, event_id, most, descending=True
            )
            return ledger_writes.newest_of(await self.read(keys_of(found)), limit, destination, state, before)
        if destination is not None and endpoint_name(destination) and state not in {rules.RETRY_SCHEDULED, rules.HELD}:
            return await self._endpoint_rows(limit, destination, state, before)
        is_indexed = state in FOUND
        chunk = CHUNK if state and not is_indexed else MANY if destination else limit
        rows: list[LedgerRow] = []
        high = inf if before is None else before[0]
        async for keys in self.keys(state if state and is_indexed else "", destination, chunk, high):
            rows += ledger_writes.newest_of(
                await self.read(keys, LISTED), limit - len(rows), destination, state, before
            )
            if len(rows) >= limit:
                break
        return rows

    async def _endpoint_rows(
        self, limit: int, destination: str, state: str | None, before: Place | None
    ) -> list[LedgerRow]:
        """Find the failed rows by the index, and of the others those in a state by reading them: most went well."""
        at = "" if before is None else endpoint_at(before)
        chunk = CHUNK if state else limit
        looked_through = 0
        condition = ""
        if state == rules.DEAD_LETTERED:
            condition = f"attribute_exists(#{tables.FAILED})"
        elif state:
            condition = f"attribute_not_exists(#{tables.FAILED})"
        rows: list[LedgerRow] = []
        while len(rows) < limit and looked_through < MANY * MAX_CHUNKS:
            found = await self._store.query_newest(
                tables.DELIVERIES, tables.DELIVERIES_BY_ENDPOINT, destination, chunk, at, condition
            )
            rows += ledger_writes.newest_of(
                await self.read(keys_of(found), LISTED), limit - len(rows), destination, state
            )
            if len(found) < chunk:
                break
            at = str(found[-1][tables.ENDPOINT_AT])
            looked_through += chunk
        return rows

    async def keys(
        self, state: str, destination: str | None = None, chunk: int = MANY, high: float = inf
    ) -> AsyncIterator[list[str]]:
        """Yield the keys of rows, newest first; some may be in another state meanwhile.

        With a state, all rows in this state are searched; without one, at most MAX_CHUNKS chunks of rows.
        """
        index = tables.DELIVERIES_BY_STATE if state else tables.LISTED_DELIVERIES
        chunks = 0
        while state or chunks < MAX_CHUNKS:
            found = await read_shards(
                self._store, tables.DELIVERIES, index, chunk, state=state, high=high, descending=True
            )
            yield keys_of([each for each in found if destination in (None, each["destination"])])
            if len(found) < chunk:
                return
            chunks, high = chunks + 1, nextafter(float(str(found[-1]["created_at"])), -inf)

    async def read(self, keys: Sequence[str], fields: Sequence[str] = ()) -> list[LedgerRow]:
        found = await self._store.get_all(tables.DELIVERIES, keys, fields, ROWS_AT_ONCE)
        return [row_of(each) for each in found.values()]


def keys_of(entries: Sequence[Fields]) -> list[str]:
    return [str(each[tables.KEY]) for each in entries]
