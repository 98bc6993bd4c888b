"""Search a local journal of many events: `search.py COUNT FOLDER ROUNDS`.

Prints `{"search": [ms …], "overview": [ms …]}`: the slowest search of each round, and what the page counts.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from deploy.history.journal_view import EventQuery
from deploy.history.local_journal import JournalReader
from shared.cloud.local.journal import FILE_NAME, LocalJournal
from shared.event import Event
from shared.journal import EventEntry, RouteDecision
from shared.jsontext import JsonObject
from shared.times import rfc3339

NOW: Final = 1_790_000_000.0
NAMES: Final = ("ada", "grace", "edsger", "barbara", "donald", "frances", "alan", "margaret")
WRITTEN: Final = 1_000
"""This many events are recorded by the journal itself. The rest are copies with other ids."""
COLUMNS: Final = {
    "id": "printf('%032x', {first} + seq)",
    "event_seq": "event_seq + {first}",
    "received_at": "received_at + {first}",
    "routed_at": "routed_at + {first}",
    "document": "replace(document, 'customer-', 'customer-{first}-')",
}


def main(count: int, folder: Path, rounds: int) -> JsonObject:
    path = folder / FILE_NAME
    asyncio.run(_record(path))
    _copy(path, count)
    with JournalReader(path) as reader:
        while reader.index(20_000):
            pass
        queries = [
            EventQuery(text="grace"),
            EventQuery(text=f"customer-{count // 2 // WRITTEN * WRITTEN}-77"),
            EventQuery(text="nowhere-to-be-found"),
            EventQuery(source="shop", type="order.7"),
            EventQuery(text="ada", since=NOW + count - 100),
        ]
        searches = [max(_milliseconds(partial(reader.events, query)) for query in queries) for _ in range(rounds)]
        overviews = [
            _milliseconds(lambda: (reader.counts(), reader.totals(), reader.series(NOW + count, 3_600, 60)))
            for _ in range(rounds)
        ]
    return {"search": [*searches], "overview": [*overviews]}


async def _record(path: Path) -> None:
    journal = LocalJournal(path)
    await journal.record([_entry(number) for number in range(WRITTEN)])
    await journal.close()


def _entry(number: int) -> EventEntry:
    data: JsonObject = {"customer": f"customer-{number}", "name": NAMES[number % len(NAMES)], "total": number % 997}
    event = Event(
        id=f"{number + 1:032x}",
        source="/sources/shop",
        type=f"order.{number % 10}",
        receivedat=rfc3339(NOW + number),
        payloadhash="0" * 64,
        data=data,
    )
    return EventEntry(event, (RouteDecision("all", True, "it takes every event", ("inbox",)),), NOW + number)


def _copy(path: Path, count: int) -> None:
    """Multiply the first events, which is ten times as fast as recording each."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")
        for table in ("events", "bodies"):
            columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})") if name != "seq"]
            for first in range(WRITTEN, count, WRITTEN):
                values = ", ".join(COLUMNS.get(name, name).format(first=first) for name in columns)
                insert = (
                    f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE seq <= {WRITTEN}"
                )
                database.execute(insert)
        database.commit()


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
