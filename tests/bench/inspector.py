"""What watching costs: the pipe with the page open and without, and a search among 100,000 events."""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.history.journal_view import EventQuery
from deploy.history.local_read import JournalReader
from shared.cloud.local.journal import FILE_NAME, LocalJournal
from shared.event import Event
from shared.journal import EventEntry, RouteDecision
from shared.jsontext import JsonObject
from shared.times import rfc3339
from tests.bench import pipe
from tests.stack import Stack

NOW = 1_790_000_000.0
NAMES = ("ada", "grace", "edsger", "barbara", "donald", "frances", "alan", "margaret")


def watched_ratio(seconds: int, rounds: int = 2) -> float:
    """The rate with the page open, of the rate without it, in turns on one stack."""
    alone, watched = [], []
    with pipe.stack() as stack:
        pipe.under_load(stack, 1)  # warm
        for _ in range(rounds):
            alone.append(pipe.under_load(stack, seconds).per_second)
            with _page_open(stack):
                watched.append(pipe.under_load(stack, seconds).per_second)
    return statistics.mean(watched) / statistics.mean(alone)


@contextmanager
def _page_open(stack: Stack) -> Iterator[None]:
    """What an open page asks for: the live stream, read to the end."""
    read = "import sys, urllib.request as u\nfor _ in u.urlopen(sys.argv[1]): pass"
    reader = subprocess.Popen([sys.executable, "-c", read, f"http://127.0.0.1:{stack.base + 10}/api/live"])
    try:
        yield
        assert reader.poll() is None, "the live stream ended"
    finally:
        reader.terminate()
        reader.wait()


def search_milliseconds(events: int) -> float:
    """The slowest of a few searches, by text, source and type."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_fill(Path(folder) / FILE_NAME, events))
        with JournalReader(Path(folder) / FILE_NAME) as reader:
            while reader.index(5_000):
                pass
            queries = [
                EventQuery(text="grace"),
                EventQuery(text=f"customer-{events // 2}"),
                EventQuery(text="nowhere-to-be-found"),
                EventQuery(source="shop", type="order.7"),
                EventQuery(text="ada", since=NOW + events - 100),
            ]
            return max(_milliseconds(reader, query) for query in queries)


def _milliseconds(reader: JournalReader, query: EventQuery) -> float:
    began = time.perf_counter()
    reader.events(query)
    return (time.perf_counter() - began) * 1000


async def _fill(path: Path, events: int) -> None:
    journal = LocalJournal(path)
    for first in range(0, events, 500):
        await journal.record([_entry(number) for number in range(first, min(first + 500, events))])
    await journal.close()


def _entry(number: int) -> EventEntry:
    data: JsonObject = {"customer": f"customer-{number}", "name": NAMES[number % len(NAMES)], "total": number % 997}
    event = Event(
        id=f"{number:032x}",
        source="/sources/shop",
        type=f"order.{number % 10}",
        receivedat=rfc3339(NOW + number),
        payloadhash="0" * 64,
        data=data,
    )
    return EventEntry(event, (RouteDecision("all", True, "it takes every event", ("inbox",)),), NOW + number)
