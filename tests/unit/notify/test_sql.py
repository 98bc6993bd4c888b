"""The kind `sql`, with SQLite: rows, statements and faults. tests/functional/test_sql_databases.py has the servers."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, strategies as st
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError as PoolTimeout

from functions.notify.columns import MAX_INTEGER
from functions.notify.destination import Attempt
from functions.notify.destinations.sql import sql
from functions.notify.destinations.sql.database import Statements
from functions.notify.destinations.sql.faults import fault_of
from functions.notify.destinations.sql.place import Place, database_place, engine_of
from functions.notify.destinations.sql.rows import Row, RowMaker, Value
from functions.notify.destinations.sql.settings import Driver, Settings
from functions.notify.destinations.sql.sql import MAX_BYTES, RowWriter, SqlDestination
from functions.notify.examples import ATTEMPT, example_delivery
from shared.claim_check import checked_in
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Permanent
from shared.jsontext import Json
from shared.settings import read_settings
from tests.fakes.destinations import a_context
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
    context = replace(a_context(secrets), settings=read_settings(environ))
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


async def test_the_data_of_a_large_event_is_read_from_where_it_is_kept(tmp_path: Path) -> None:
    with destination(tmp_path) as (orders, _):
        delivery = example_delivery({"name": "x" * 300_000})
        delivery.event, _ = await checked_in(delivery.event, orders._context.blobs, "large")
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
        outcome = await first
        assert isinstance(outcome, RetryLater)
        assert outcome.reason == "the database cannot write the row now (another program has locked it)"
        other.rollback()
        assert await orders.attempt(example_delivery({}), an_attempt("d3")) == Delivered("inserted")
    assert rows(tmp_path, "SELECT delivery_id FROM orders") == [("d3",)]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "is empty"),
        ("no url", "must hold a URL"),
        ("oracle://u:p@h/d", "must hold the URL of a database, its host and user"),
        ("postgresql://h/d", "must hold the URL of a database, its host and user"),
        ("postgresql://u:p@a-password@h/d", "write `@` in the password as %40"),
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
    assert outcome.reason.startswith("SQLite is not for a cloud")


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


def test_cloud_sql_is_reached_by_the_socket_that_cloud_run_has() -> None:
    for driver, socket in (("postgresql", "/cloudsql/p:r:i/.s.PGSQL.5432"), ("mysql", "/cloudsql/p:r:i")):
        written = {**PLACE, "driver": driver, "cloud_sql": "p:r:i", "host": None}
        assert place(written) == (driver, "", None, "d", "u", "key", socket, False)


TYPES: Final = (None, "text", "integer", "number", "boolean", "date", "time", "json")
NUMBER: Final = "must be of the type number; got text: write a point and no separators of thousands, as in 1204.50"
TIME: Final = (
    "must be of the type time; got text: write it as in 2026-03-01T12:00:00Z; without a time of day, its type is date"
)
DRIVERS: Final[tuple[Driver, ...]] = ("postgresql", "mysql", "sqlite")
SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES: Final = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def value_of(value: Json, type_: str | None = None, driver: Driver = "postgresql") -> Value:
    settings = Settings.model_validate(
        {"url_secret": "u", "table": "t", "columns": {"a": {"value": "data", "type": type_}}}
    )
    return RowMaker(settings, driver).row({"data": value}, "d1").values[0]


@given(value=VALUES, type_=st.sampled_from(TYPES), driver=st.sampled_from(DRIVERS))
def test_any_value_is_one_that_drivers_take_or_names_its_column(value: Json, type_: str | None, driver: Driver) -> None:
    try:
        found = value_of(value, type_, driver)
    except Permanent as error:
        assert error.code == "conversion_failed"
        assert "'a'" in error.detail
        return
    assert isinstance(found, str | int | float | None)
    if isinstance(found, str):
        assert found.encode().decode() == found  # no half of a surrogate pair is left
        assert driver != "postgresql" or "\0" not in found
    if isinstance(found, int):
        assert abs(found) <= MAX_INTEGER


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        (None, {"a": [1, True]}, '{"a":[1,true]}'),
        (None, 1.5, "1.5"),
        ("text", True, "true"),
        ("text", None, None),
        ("integer", 3.0, "3"),
        ("integer", " -42 ", "-42"),
        ("number", "0012.50", "0012.50"),
        ("number", 1e300, "1e+300"),
        ("boolean", "TRUE", "true"),
        ("date", "2026-03-01", "2026-03-01"),
        ("date", "2026-03-01T00:30:00+02:00", "2026-03-01"),
        ("date", "2026-03-01t00:30:00z", "2026-03-01"),
        ("time", 0, "1970-01-01T00:00:00.000000Z"),
        ("time", "2026-03-01T01:00:00.5+02:00", "2026-02-28T23:00:00.500000Z"),
        ("json", "a", '"a"'),
    ],
)
def test_a_value_is_converted_to_its_type(type_: str | None, value: Json, expected: Value) -> None:
    assert value_of(value, type_) == expected


@pytest.mark.parametrize(
    ("type_", "value", "rule"),
    [
        ("integer", True, "must be of the type integer; got a boolean"),
        ("integer", 2**63, "must be of the type integer; got a number beyond 64 bits"),
        ("integer", "1; DROP TABLE t", "must be of the type integer; got text: write digits only, as in 1204"),
        ("number", float("nan"), "must be of the type number; got a number that is not finite"),
        ("number", "NaN", NUMBER),
        ("number", "19,90", NUMBER),
        ("boolean", "yes", "must be of the type boolean; got text: write true or false"),
        ("date", 0, "must be of the type date; got a number"),
        ("date", "2026-02-30", "must be of the type date; got text: write it as in 2026-03-01"),
        ("time", "2026-03-01", TIME),
        ("time", 1e300, "must be of the type time; got a number"),
        (None, float("inf"), "must be a value that a database has; got a number that is not finite"),
        ("text", "a\0b", "has the character NUL, which PostgreSQL does not store"),
    ],
)
def test_a_value_that_its_type_does_not_have_fails_and_is_not_quoted(type_: str | None, value: Json, rule: str) -> None:
    with pytest.raises(Permanent) as raised:
        value_of(value, type_)
    assert raised.value.detail == f"column 'a' {rule}"


def test_each_driver_gets_times_and_booleans_as_its_database_reads_them() -> None:
    assert value_of(0, "time", "mysql") == "1970-01-01 00:00:00.000000"
    assert value_of(True, "boolean", "mysql") == 1
    assert value_of(True, "boolean", "sqlite") == 1


@pytest.mark.parametrize("value", ["1e400", "-1e400", "9" * 400, 10**400])
def test_a_number_that_sqlite_would_store_as_infinite_fails(value: Json) -> None:
    with pytest.raises(Permanent, match=r"got (a number|text) beyond 64-bit floats") as raised:
        value_of(value, "number", "sqlite")
    assert raised.value.code == "conversion_failed"
    assert value_of(value, "number", "postgresql") == str(value)
    assert value_of("1e308", "number", "sqlite") == "1e308"


@pytest.mark.parametrize("data", [{}, {"a": []}])
def test_an_event_without_a_value_for_the_key_fails(data: Json) -> None:
    settings = Settings.model_validate(
        {"url_secret": "u", "table": "t", "columns": {"a": "data.a", "b": "type"}, "key": "a"}
    )
    with pytest.raises(Permanent) as raised:
        RowMaker(settings, "postgresql").row({"data": data, "type": "x"}, "d1")
    assert raised.value.detail == "column 'a' is part of the key, and the event has no value for it"


COLUMNS: Final[Mapping[str, Json]] = {"a": "data.a", "select": "data.b", "c d": "data.c"}


def statements(driver: Driver, **others: Json) -> Statements:
    settings = Settings.model_validate({"url_secret": "u", "table": "a table", "columns": COLUMNS, **others})
    place = Place(driver, "" if driver == "sqlite" else "db.example.com", None, "d")
    return Statements(settings, engine_of(place, 1, 1.0), driver)


@pytest.mark.parametrize(
    "others", [{}, {"key": "a"}, {"key": "a", "newer_by": "select"}, {"key": ["a", "select", "c d"]}]
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_statement_for_many_rows_is_that_of_sqlalchemy(driver: Driver, others: Mapping[str, Json]) -> None:
    made = statements(driver, **others)
    assert made.insert_text(1) == made._compiled(1)
    assert made.insert_text(3) == made._compiled(3)


def outcome_of(driver: Driver, *arguments: object) -> Outcome:
    return fault_of(DBAPIError("INSERT", None, Exception(*arguments)), driver).outcome


WRAPAROUND: Final = 'database is not accepting commands to avoid wraparound data loss in database "shop"'
POSTGRESQL: Final[Mapping[type[Outcome], str]] = {
    RetryLater: "08006 57P01 57014 40001 40P01 53300 25006 55P03",
    Failed: "22021 22003 23502 23505 54000",
    Disabled: "55000 28P01 3D000 42501 42P01 42703 42P10",
}
MYSQL: Final[Mapping[type[Outcome], str]] = {
    RetryLater: "2006 2013 1040 1927 1047 1205 1213 1290",
    Failed: "1048 1062 1264 1366 1406 1118 1526",
    Disabled: "1045 1049 1054 1142 1146",
}


def test_postgresql_and_mysql_say_by_their_codes_what_follows() -> None:
    for kind, states in POSTGRESQL.items():
        for state in states.split():
            outcome = outcome_of("postgresql", {"C": state, "M": "what\nhappened", "n": "a_constraint"})
            assert (type(outcome), outcome.answer) == (kind, "what happened")
            assert f"({state}, a_constraint)" in str(outcome)
    for kind, numbers in MYSQL.items():
        for number in numbers.split():
            outcome = outcome_of("mysql", int(number), "what happened")
            assert isinstance(outcome, kind)
            assert f"({number})" in str(outcome)
    assert isinstance(outcome_of("postgresql", {"C": "54000", "M": WRAPAROUND}), RetryLater)


@pytest.mark.parametrize(
    ("message", "act"),
    [
        ("no such table: orders", "create the table, or set `create: true`"),
        ("table orders has no column named a", "the table lacks a column of `columns`"),
        ("unable to open database file", "the folder of the file `database` must exist"),
        (
            "ON CONFLICT clause does not match any PRIMARY KEY or UNIQUE constraint",
            "rejects every row: the table needs a unique index over `key`",
        ),
    ],
)
def test_sqlite_says_by_its_text_what_to_do(message: str, act: str) -> None:
    outcome = fault_of(OperationalError("INSERT", None, sqlite3.OperationalError(message)), "sqlite").outcome
    assert isinstance(outcome, RetryLater | Disabled)
    assert act in outcome.reason


def test_an_error_that_is_not_the_databases_is_of_the_connection_or_of_a_value() -> None:
    assert isinstance(fault_of(OSError("no route"), "postgresql").outcome, RetryLater)
    assert isinstance(fault_of(PoolTimeout("full"), "mysql").outcome, RetryLater)
    assert isinstance(fault_of(OverflowError("a value of the event"), "sqlite").outcome, Failed)
    assert isinstance(fault_of(RuntimeError("cryptography is required"), "mysql").outcome, Disabled)
    assert isinstance(
        fault_of(OperationalError("x", None, Exception("database is locked")), "sqlite").outcome, RetryLater
    )


async def test_rows_that_wait_go_into_transactions_of_a_bounded_number_and_size() -> None:
    sizes: list[list[int]] = []

    def write(rows: Sequence[Row]) -> list[Outcome]:
        sizes.append([row.weight for row in rows])
        return [Delivered(str(row.key[0])) for row in rows]

    with closing(RowWriter(write, threads=1)) as writer:
        weights = [1, MAX_BYTES, MAX_BYTES, *[1] * 150]
        rows = [Row(("x" * weight,), (number,)) for number, weight in enumerate(weights)]
        assert await asyncio.gather(*map(writer.write, rows)) == [Delivered(str(n)) for n in range(len(weights))]
    assert all(each.is_sent for each in rows)
    assert sizes == [[1], [MAX_BYTES], [MAX_BYTES], [1] * 128, [1] * 22]


async def test_a_driver_that_fails_leaves_an_unknown_outcome_and_the_thread_goes_on() -> None:
    faults = [KeyError("a secret of the event")]

    def write(rows: Sequence[Row]) -> list[Outcome]:
        if faults:
            raise faults.pop()
        return [Delivered()] * len(rows)

    with closing(RowWriter(write, threads=1)) as writer:
        outcome = await writer.write(Row((), ()))
        assert isinstance(outcome, Unknown)
        assert "secret" not in outcome.reason
        assert await writer.write(Row((), ())) == Delivered()
