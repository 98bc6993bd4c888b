"""The Ledger port on SQLite, in `ledger.db`. The protocol itself is shared/ledger_rules.py."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, cast

from shared import ledger_rules as rules
from shared.cloud.gather import Gatherer
from shared.cloud.ledger_writes import LedgerWrites
from shared.cloud.local import ledger_tables as destinations
from shared.cloud.local import ledger_tables as tables
from shared.cloud.local.database import reason_of, transaction
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.ledger import Claim, DestinationState, LedgerRow
from shared.ledger_rules import Rule

MAX_BATCH: Final = 200
MAX_WAITING: Final = 20_000
PURGE_ROWS: Final = 1_000  # in one transaction, so that no claim waits long behind a purge

Answer = TypeVar("Answer")
Operation = Callable[[sqlite3.Connection], object]


class LocalLedger(LedgerWrites):
    """A ledger in one file: calls of the same moment share a transaction, on the event loop itself.

    Measured: in a thread, the two wait for each other's turn more than SQLite takes, a commit some 50 µs without a
    sync; the whole pipe was a third slower. With one, a commit takes what the disk takes, and the claims that wait for
    it share the next. Reads wait for no lock, so that a page or a command that looks on slows no
    claim.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writes = Gatherer[Operation, object](
            partial(self._run, self._write_all), max_batch=MAX_BATCH, max_waiting=MAX_WAITING
        )
        self._reads = Gatherer[Operation, object](
            partial(self._run, self._read_all), max_batch=MAX_BATCH, max_waiting=MAX_WAITING
        )
        self._connection: sqlite3.Connection | None = None

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        key = delivery.id

        def operation(connection: sqlite3.Connection) -> Claim:
            row = tables.find_row(connection, key)
            known = row or rules.new_row(delivery, key, message, now)
            answer, taken = rules.claim(known, delivery.event.payloadhash, message, now, lease_seconds, due_fence)
            if row is None:
                tables.insert_row(connection, taken)
            elif taken is not row:
                tables.update_row(connection, taken)
                tables.update_message(connection, key, message)
            return answer

        return await self._write(operation)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        # The literal is what lets SQLite use the partial index.
        rest = "WHERE state = 'retry_at' AND retry_at >= ? AND retry_at <= ? ORDER BY retry_at LIMIT ?"
        return await self._read(lambda connection: tables.read_rows(connection, rest, (since, now, limit)))

    async def disable(self, destination: str, reason: str, now: float) -> None:
        await self._write(lambda connection: destinations.set_disabled(connection, destination, reason, now))

    async def pause(self, destination: str, until: float, now: float) -> None:
        await self._write(lambda connection: destinations.set_paused(connection, destination, until, now))

    async def release(self, destination: str, now: float) -> int:
        return await self._write(lambda connection: destinations.release(connection, destination, now))

    async def destination_state(self, destination: str) -> DestinationState:
        return await self._read(lambda connection: destinations.destination_state(connection, destination))

    async def rows(
        self, limit: int, *, event_id: str | None = None, destination: str | None = None, state: str | None = None
    ) -> Sequence[LedgerRow]:
        wanted = {"event_id": event_id, "destination": destination, "state": state}
        rest, values = tables.conditions({name: value for name, value in wanted.items() if value is not None})
        return await self._read(lambda connection: tables.read_rows(connection, rest, (*values, limit)))

    async def purge(self, before: float) -> int:
        count = 0
        while forgotten := await self._write(lambda connection: tables.forget(connection, before, PURGE_ROWS)):
            count += forgotten
        return count

    async def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        return await self._write(lambda connection: tables.change_row(connection, key, rule))

    async def _write(self, operation: Callable[[sqlite3.Connection], Answer]) -> Answer:
        return cast("Answer", await self._writes.submit(operation))

    async def _read(self, operation: Callable[[sqlite3.Connection], Answer]) -> Answer:
        return cast("Answer", await self._reads.submit(operation))

    async def _run(
        self, run_all: Callable[[Sequence[Operation]], Sequence[object]], batch: Sequence[Operation]
    ) -> Sequence[object]:
        await asyncio.sleep(0)  # so that all who are ready now are in the batch after this one
        try:
            return run_all(batch)
        except (sqlite3.Error, OSError) as error:
            raise Temporary("ledger_unavailable", f"{self._path.name} does not answer: {reason_of(error)}") from error

    def _write_all(self, batch: Sequence[Operation]) -> Sequence[object]:
        connection = self._opened()
        with transaction(connection):
            return [operation(connection) for operation in batch]

    def _read_all(self, batch: Sequence[Operation]) -> Sequence[object]:
        connection = self._opened()
        return [operation(connection) for operation in batch]

    def _opened(self) -> sqlite3.Connection:
        self._connection = self._connection or tables.open_ledger(self._path)
        return self._connection
