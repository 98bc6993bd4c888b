"""Print how many rows a second of CPU brings into PostgreSQL, and a second: by the destination, then one INSERT for
each connection: `rows.py PORT`."""

import asyncio
import json
import statistics
import sys
import time
from typing import Final

import uvloop
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from functions.notify.destination import Attempt
from functions.notify.destinations.sql import sql
from functions.notify.destinations.sql.settings import Settings
from functions.notify.examples import example_delivery
from shared.jsontext import JsonObject
from tests.fakes.destinations import a_context

ROUNDS: Final = 5
ROWS: Final = 2_000
SINGLE_ROWS: Final = 100
AT_ONCE: Final = 40
"""The deliveries that an instance on Cloud Run has at once."""
RUN: Final = time.time_ns()
COLUMNS: Final = {
    "event_id": "data.id",
    "name": "data.customer.name",
    "email": "data.customer.email",
    "at": {"value": "receivedat", "type": "time"},
}
DATA: Final[JsonObject] = {"id": "1", "customer": {"name": "Chuck U Farley", "email": "chuckufarley@example.com"}}


def main(port: int) -> list[list[float]]:
    own = [uvloop.run(_by_destination(port, number)) for number in range(ROUNDS)]
    single = [_single(port, number) for number in range(ROUNDS)]
    return [[statistics.median(figures) for figures in zip(*each, strict=True)] for each in (own, single)]


async def _by_destination(port: int, round_: int) -> tuple[float, float]:
    settings = {
        **{"driver": "postgresql", "host": "127.0.0.1", "port": port, "database": "postgres", "user": "app"},
        **{"table": "rows", "columns": COLUMNS, "create": True},
    }
    rows = sql.connect("rows", Settings.model_validate(settings), a_context())
    gate = asyncio.Semaphore(AT_ONCE)

    async def attempt(number: int) -> None:
        async with gate:
            outcome = await rows.attempt(
                example_delivery(DATA), Attempt(f"{RUN}-{round_}-{number}", 1, 0, 1.79e9, 15.0)
            )
            assert type(outcome).__name__ == "Delivered", outcome

    await attempt(-1)  # it connects, and creates the table
    began, began_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(attempt, range(ROWS)))
    figures = ROWS / (time.process_time() - began_cpu), ROWS / (time.perf_counter() - began)
    rows.close()
    return figures


def _single(port: int, round_: int) -> tuple[float, float]:
    """Insert as a small function would: connect, insert, commit, close."""
    text = "INSERT INTO rows (event_id, name, email, at, delivery_id) VALUES (%s, %s, %s, %s, %s)"
    values = ("1", "Chuck U Farley", "chuckufarley@example.com", "2026-03-01T12:00:05Z")
    url = URL.create("postgresql+pg8000", "app", None, "127.0.0.1", port, "postgres")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:  # what SQLAlchemy asks a server at first does not count
        connection.rollback()
    began, began_cpu = time.perf_counter(), time.process_time()
    for number in range(SINGLE_ROWS):
        with engine.begin() as connection:
            connection.exec_driver_sql(text, (*values, f"{RUN}-single-{round_}-{number}"))
    return SINGLE_ROWS / (time.process_time() - began_cpu), SINGLE_ROWS / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
