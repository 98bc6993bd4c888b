"""Rows that wait at once are written together, by few threads."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from functions.notify.destinations.sql import sql as writer_module
from functions.notify.destinations.sql.rows import Row
from functions.notify.destinations.sql.sql import MAX_BYTES, RowWriter
from shared.delivery import Delivered, Outcome, Unknown
from shared.errors import Temporary


class FakeTable:
    """It keeps the batches. While it is `closed`, writing waits."""

    def __init__(self) -> None:
        self.batches: list[list[Row]] = []
        self.open = threading.Event()
        self.open.set()
        self.most_threads = 0
        self._threads = 0

    def write(self, rows: Sequence[Row]) -> list[Outcome]:
        self._threads += 1
        self.most_threads = max(self.most_threads, self._threads)
        assert self.open.wait(60)
        self._threads -= 1
        self.batches.append(list(rows))
        return [Delivered(str(row.key[0])) for row in rows]


@contextmanager
def writing(table: FakeTable, threads: int = 2, most_rows: int = 100) -> Iterator[RowWriter]:
    with closing(RowWriter(table.write, threads, most_rows)) as writer:
        yield writer
        table.open.set()


async def until_threads_write(table: FakeTable, threads: int) -> None:
    while table.most_threads < threads:
        await asyncio.sleep(0.001)


async def written(writer: RowWriter, row: Row) -> Outcome:
    return await writer.submit(row).future


def row(number: int, size: int = 1) -> Row:
    return Row(("x" * size,), (number,))


async def test_each_row_gets_its_own_outcome_and_few_threads_write() -> None:
    table = FakeTable()
    table.open.clear()
    with writing(table) as writer:
        tasks = [asyncio.create_task(written(writer, row(number))) for number in range(250)]
        await asyncio.sleep(0.01)
        table.open.set()
        assert await asyncio.gather(*tasks) == [Delivered(str(number)) for number in range(250)]
    assert table.most_threads == 1  # they came at once
    assert sorted(len(batch) for batch in table.batches) == [50, 100, 100]


async def test_a_row_that_still_waits_can_be_withdrawn_and_is_never_written() -> None:
    table = FakeTable()
    table.open.clear()
    with writing(table, threads=1) as writer:
        first = writer.submit(row(1))
        await until_threads_write(table, 1)
        second = writer.submit(row(2))
        assert not writer.withdraw(first)
        assert writer.withdraw(second)
        table.open.set()
        assert await first.future == Delivered("1")
        assert await written(writer, row(3)) == Delivered("3")
    assert [each.key[0] for batch in table.batches for each in batch] == [1, 3]


async def test_large_rows_go_into_transactions_of_their_own() -> None:
    table = FakeTable()
    table.open.clear()
    with writing(table, threads=1) as writer:
        sizes = [1, MAX_BYTES, MAX_BYTES, 1, 1]
        tasks = [asyncio.create_task(written(writer, row(n, size))) for n, size in enumerate(sizes)]
        await asyncio.sleep(0.01)
        table.open.set()
        await asyncio.gather(*tasks)
    assert [[each.key[0] for each in batch] for batch in table.batches] == [[0], [1], [2], [3, 4]]


async def test_a_second_thread_writes_while_the_first_one_waits_for_the_database() -> None:
    table = FakeTable()
    table.open.clear()
    with writing(table) as writer:
        tasks = []
        for number in range(4):
            tasks.append(asyncio.create_task(written(writer, row(number))))
            await until_threads_write(table, min(number + 1, 2))
        await asyncio.sleep(0)  # in which the last is submitted
        table.open.set()
        await asyncio.gather(*tasks)
    assert table.most_threads == 2
    assert sorted(len(batch) for batch in table.batches) in ([1, 1, 2], [1, 1, 1, 1])


async def test_a_driver_that_fails_leaves_an_unknown_outcome_and_the_thread_goes_on() -> None:
    calls: list[int] = []

    def write(rows: Sequence[Row]) -> list[Outcome]:
        calls.append(len(rows))
        if len(calls) == 1:
            raise KeyError("a secret of the event")
        return [Delivered()] * len(rows)

    with closing(RowWriter(write, 1)) as writer:
        outcome = await written(writer, row(1))
        assert isinstance(outcome, Unknown)
        assert "secret" not in outcome.reason
        assert await written(writer, row(2)) == Delivered()


async def test_a_row_beyond_the_bound_of_those_that_wait_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_WAITING", 3)
    table = FakeTable()
    table.open.clear()
    with writing(table, threads=1, most_rows=1) as writer:
        tasks = [asyncio.create_task(written(writer, row(number))) for number in range(8)]
        await asyncio.sleep(0.05)
        table.open.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    rejected = [each.code for each in outcomes if isinstance(each, Temporary)]
    assert set(rejected) == {"queue_full"}
    assert len(rejected) in (4, 5)  # the thread may have one already


def test_a_writer_serves_one_event_loop_after_another() -> None:
    table = FakeTable()
    with writing(table) as writer:
        for number in range(3):
            assert asyncio.run(written(writer, row(number))) == Delivered(str(number))
