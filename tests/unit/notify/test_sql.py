"""The kind `sql`, with SQLite. tests/functional/test_sql_databases.py has the servers."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from functions.notify.destination import Attempt, Context
from functions.notify.destinations.sql import sql
from functions.notify.destinations.sql.faults import Fault
from functions.notify.destinations.sql.place import database_place
from functions.notify.destinations.sql.settings import Settings
from functions.notify.destinations.sql.sql import SqlDestination
from functions.notify.http_kind import ATTEMPT, example_delivery
from shared.claim_check import checked_in
from shared.delivery import Delivered, Disabled, Failed, RetryLater, Unknown
from shared.errors import Permanent, Temporary
from shared.jsontext import Json
from shared.settings import read_settings
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

ORDERS: Final[Mapping[str, Json]] = {
    "url_secret": "orders-database",
    "table": "orders",
    "columns": {"number": "subject", "name": "data.name", "total": {"value": "data.total", "type": "number"}},
    "create": True,
}
LOCAL: Final = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"}


@contextmanager
def destination(
    path: Path, written: Mapping[str, Json] = ORDERS, environ: Mapping[str, str] = LOCAL
) -> Iterator[tuple[SqlDestination, FakeSecrets]]:
    secrets = FakeSecrets({"orders-database": f"sqlite:///{path / 'orders.db'}"})
    settings = Settings.model_validate(written)
    context = Context(secrets, read_settings(environ), FakeBlobs(), FakeClock())
    with closing(sql.connect("orders", settings, context)) as made:
        yield made, secrets


def rows(path: Path, statement: str = "SELECT name, total, delivery_id FROM orders") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path / "orders.db")) as connection:
        return list(connection.execute(statement))


def an_attempt(key: str, number: int = 1) -> Attempt:
    return replace(ATTEMPT, idempotency_key=key, attempt_number=number)


async def test_a_delivery_becomes_a_row_with_its_id_and_a_repeat_adds_none(tmp_path: Path) -> None:
    delivery = example_delivery({"name": "Ada", "total": 9.5})
    with destination(tmp_path) as (orders, _):
        assert orders.dedupes_repeats
        assert await orders.attempt(delivery, an_attempt("d1")) == Delivered("inserted")
        assert await orders.attempt(delivery, an_attempt("d1", 2)) == Delivered("was there already")
        assert await orders.attempt(delivery, an_attempt("d1-r1")) == Delivered("inserted")
    assert rows(tmp_path) == [("Ada", 9.5, "d1"), ("Ada", 9.5, "d1-r1")]


async def test_a_replay_writes_the_same_row_unless_it_was_delivered(tmp_path: Path) -> None:
    delivery = example_delivery({"name": "Ada"})
    replay = replace(an_attempt("d1-r1"), generation=1)
    with destination(tmp_path) as (orders, _):
        await orders.attempt(delivery, an_attempt("d1"))
        assert await orders.attempt(delivery, replay) == Delivered("was there already")
        assert await orders.attempt(delivery, replace(replay, undelivered_since=1)) == Delivered("inserted")
    assert rows(tmp_path, "SELECT delivery_id FROM orders") == [("d1",), ("d1-r1",)]


async def test_an_older_delivery_does_not_replace_a_newer_row(tmp_path: Path) -> None:
    written: Mapping[str, Json] = {**ORDERS, "key": "number", "newer_by": "total"}
    with destination(tmp_path, written) as (orders, _):
        for number, total in enumerate((2, 3, 1)):
            await orders.attempt(example_delivery({"name": f"v{total}", "total": total}), an_attempt(f"d{number}"))
    assert rows(tmp_path, "SELECT name, total FROM orders") == [("v3", 3.0)]


async def test_a_value_that_does_not_fit_is_a_dead_letter_that_names_its_column(tmp_path: Path) -> None:
    with destination(tmp_path) as (orders, _), pytest.raises(Permanent) as raised:
        await orders.attempt(example_delivery({"total": "a lot"}), ATTEMPT)
    assert raised.value.code == "conversion_failed"
    assert raised.value.detail.startswith("column 'total' must be of the type number; got text: write")


async def test_the_data_of_a_large_event_is_read_from_where_it_is_kept(tmp_path: Path) -> None:
    with destination(tmp_path) as (orders, _):
        delivery = example_delivery({"name": "x" * 300_000})
        delivery.event, _ = await checked_in(delivery.event, orders._context.blobs, "large")
        assert delivery.event.dataref
        assert await orders.attempt(delivery, ATTEMPT) == Delivered("inserted")
    assert rows(tmp_path, "SELECT length(name) FROM orders") == [(300_000,)]


async def test_another_value_of_the_secret_is_another_database(tmp_path: Path) -> None:
    with destination(tmp_path) as (orders, secrets):
        await orders.attempt(example_delivery({"name": "Ada"}), an_attempt("d1"))
        secrets.texts["orders-database"] = f"sqlite:///{tmp_path / 'other.db'}"
        assert await orders.attempt(example_delivery({"name": "Bob"}), an_attempt("d2")) == Delivered("inserted")
    assert rows(tmp_path, "SELECT name FROM orders") == [("Ada",)]


async def test_an_attempt_ends_in_time_and_says_whether_its_row_may_have_been_written(tmp_path: Path) -> None:
    with destination(tmp_path) as (orders, _), closing(sqlite3.connect(tmp_path / "orders.db")) as other:
        other.execute("BEGIN EXCLUSIVE")  # SQLite has one thread, which waits for the lock as long as an attempt may
        long, short = (replace(an_attempt(key), timeout_seconds=seconds) for key, seconds in (("d1", 1.0), ("d2", 0.1)))
        first = asyncio.create_task(orders.attempt(example_delivery({}), long))
        await asyncio.sleep(0.1)
        waiting = await orders.attempt(example_delivery({}), short)
        assert waiting == RetryLater("the row waited for the database for 0.1 s, and was not written")
        assert isinstance(await first, Unknown | RetryLater)
        other.rollback()


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "is empty"),
        ("no url", "must hold a URL"),
        ("oracle://u:p@h/d", "must hold the URL of a database, its host and user"),
        ("postgresql://u:p@h", "must hold the URL of a database, its host and user"),
        ("postgresql://u:p@ss/word@h/d", "write `@` in the password as %40"),
        ("postgresql://u:p@h:x/d", "must hold a URL"),
        ("postgresql://h/d", "must hold the URL of a database, its host and user"),
        ("postgresql://u:p@a-password@h/d", "write `@` in the password as %40"),
        ("sqlite://u@/d", "must hold the URL of a database, its host and user"),
        ("sqlite://h/d", "must hold the URL of a database, its host and user"),
        ("postgresql://u:a-password@h/d?host=/tmp", "has the parameter 'host'"),
    ],
)
async def test_a_secret_that_holds_no_url_holds_the_destination(tmp_path: Path, url: str, rule: str) -> None:
    with destination(tmp_path) as (orders, secrets):
        secrets.texts["orders-database"] = url
        outcome = await orders.attempt(example_delivery({}), ATTEMPT)
    assert isinstance(outcome, Disabled)
    assert rule in outcome.reason
    assert "a-password" not in outcome.reason


async def test_a_cloud_has_no_disk_for_sqlite(tmp_path: Path) -> None:
    with destination(tmp_path, environ={}) as (orders, _):
        outcome = await orders.attempt(example_delivery({}), ATTEMPT)
    assert isinstance(outcome, Disabled)
    assert "make dev" in outcome.reason


PLACE: Final = {"driver": "postgresql", "host": "db.example.com", "database": "d", "user": "u", "password_secret": "p"}


def place(written: Mapping[str, Json], url: str = "") -> tuple[object, ...]:
    settings = Settings.model_validate({"table": "t", "columns": {"a": "data"}, **written})
    found = database_place(settings, {"p": ("key",), "url": (url,)})
    return found.driver, found.host, found.port, found.database, found.user, found.password, found.socket, found.tls


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p%40ss@db.example.com/d", ("postgresql", "db.example.com", None, "d", "u", "p@ss", None, True)),
        ("mysql://u@127.0.0.1:3307/d", ("mysql", "127.0.0.1", 3307, "d", "u", None, None, False)),
        ("mariadb://u:p@10.0.0.7/d?ssl-mode=DISABLED", ("mysql", "10.0.0.7", None, "d", "u", "p", None, False)),
        ("postgresql://u:p@localhost/d?sslmode=require", ("postgresql", "localhost", None, "d", "u", "p", None, True)),
    ],
)
def test_a_url_says_where_the_database_is_and_tls_is_the_default(url: str, expected: tuple[object, ...]) -> None:
    assert place({"url_secret": "url"}, url) == expected
    assert place({**PLACE, "tls": "off", "port": 6432})[2:] == (6432, "d", "u", "key", None, False)


@pytest.mark.parametrize(
    ("driver", "socket"), [("postgresql", "/cloudsql/p:r:i/.s.PGSQL.5432"), ("mysql", "/cloudsql/p:r:i")]
)
def test_cloud_sql_is_reached_by_the_socket_that_cloud_run_has(driver: str, socket: str) -> None:
    written = {**PLACE, "driver": driver, "cloud_sql": "p:r:i", "host": None}
    assert place(written) == (driver, "", None, "d", "u", "key", socket, False)


async def test_a_secret_store_that_is_slow_fails_the_attempt_before_anything_is_sent(tmp_path: Path) -> None:
    class Slow(FakeSecrets):
        async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
            await asyncio.sleep(10)
            raise AssertionError

    context = Context(Slow({}), read_settings({}), None, FakeClock())
    made = sql.connect("orders", Settings.model_validate(ORDERS), context)
    with pytest.raises(Temporary) as raised:
        await made.attempt(example_delivery({}), replace(ATTEMPT, timeout_seconds=0.01))
    assert raised.value.code == "attempt_timeout"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("row", "22001", ""), "the database rejects the row (22001): a text is longer than its column allows"),
        (
            Fault("row", "23502, shop", ""),
            "the database rejects the row (23502, shop): a column that needs a value has none",
        ),
        (Fault("row", "1406", ""), "the database rejects the row (1406): a text is longer than its column allows"),
        (Fault("row", "P0001", ""), "the database rejects the row (P0001)"),
        (Fault("connection", "", "[Errno 111] Connection refused"), "the database is not reachable"),
        (
            Fault("connection", "", "Server refuses SSL"),
            "the database is not reachable: the server offers no TLS: turn it on there, or set `tls: off`",
        ),
        (
            Fault("connection", "", "certificate verify failed: IP address mismatch"),
            "the database is not reachable: the server's certificate is for another name: connect by the name in it",
        ),
    ],
)
def test_the_reason_says_what_to_do_where_that_is_known(fault: Fault, reason: str) -> None:
    assert isinstance(fault.outcome, Failed | RetryLater)
    assert fault.outcome.reason == reason
