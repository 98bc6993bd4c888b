"""Rows in real databases, and what becomes of them when the table, the server or the connection is at fault."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from functions.notify.destinations.sql.database import INSERTED, NEWER, THERE, UPSERTED, Database
from functions.notify.destinations.sql.place import database_place
from functions.notify.destinations.sql.settings import Settings
from shared.delivery import Delivered, Disabled, Failed, RetryLater
from shared.jsontext import Json
from tests.running.sql_server import COLUMNS, TIMEOUT, Server, answers, rows_of, settings_of, sql_server, written

pytestmark = [
    pytest.mark.slow,
    # pg8000 leaves a connection that failed to the garbage collector, which closes it.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <(socket|_io):pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
]


@pytest.fixture(scope="module", params=["postgresql", "mariadb", "sqlite"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sql_server(request.param, tmp_path_factory.mktemp("sql")) as started:
        yield started


@pytest.fixture(autouse=True)
def empty(server: Server) -> None:
    server.run("DROP TABLE IF EXISTS people")


def test_a_row_is_inserted_once_however_often_its_delivery_comes(server: Server) -> None:
    settings = settings_of(COLUMNS, create=True)
    with closing(server.connected(settings)) as database:
        both = rows_of(server, settings, {"n": 1, "name": "Ada"}, {"n": 2, "name": "Bob"})
        assert answers(database.write(both)) == [INSERTED, INSERTED]
        assert all(isinstance(each, Delivered) for each in database.write(both))
        assert answers(database.write(both[:1])) == [THERE]
        three = rows_of(server, settings, {"n": 1}, {"n": 2}, {"n": 3, "name": "Cleo"}, is_retry=True)
        assert answers(database.write(three)) == [THERE, THERE, INSERTED]
    found = server.run("SELECT number, name, delivery_id FROM people ORDER BY number")
    assert found == [(1, "Ada", "d0"), (2, "Bob", "d1"), (3, "Cleo", "d2")]


def test_a_row_with_a_key_replaces_the_row_that_has_it(server: Server) -> None:
    settings = settings_of(COLUMNS, create=True, key="number")
    several: list[Json] = [{"n": 1, "name": "Ada"}, {"n": 2, "name": "Bob"}, {"n": 1, "name": "Grace"}]
    assert answers(written(server, settings, *several)) == [UPSERTED] * 3
    assert answers(written(server, settings, {"n": 2, "name": "Cleo"})) == [UPSERTED]
    assert server.run("SELECT number, name FROM people ORDER BY number") == [(1, "Grace"), (2, "Cleo")]


def test_an_older_row_does_not_replace_a_newer_one(server: Server) -> None:
    columns: dict[str, Json] = {**COLUMNS, "at": {"value": "data.at", "type": "time"}}
    settings = settings_of(columns, create=True, key="number", newer_by="at")
    written(server, settings, {"n": 1, "name": "new", "at": "2026-03-02T12:00:00Z"})
    [outcome] = written(server, settings, {"n": 1, "name": "old", "at": "2026-03-01T12:00:00Z"})
    assert outcome in (Delivered(NEWER), Delivered(UPSERTED))  # MySQL does not say which
    assert server.run("SELECT name FROM people") == [("new",)]
    written(server, settings, {"n": 1, "name": "newest", "at": "2026-03-02T14:00:00+01:00"})
    assert server.run("SELECT name FROM people") == [("newest",)]


def test_a_key_of_texts_tells_all_texts_apart(server: Server) -> None:
    settings = settings_of({"name": "data"}, create=True, key="name")
    names: list[Json] = ["ada", "ADA", "ada", "ada ", "ad\u00e4", "ada\u0308"]
    written(server, settings, *names)
    assert {name for (name,) in server.run("SELECT name FROM people")} == set(names)


def test_a_created_table_has_the_types_of_the_mapping(server: Server) -> None:
    types = ("text", "integer", "number", "boolean", "time", "json", "date")
    columns: dict[str, Json] = {f"a_{type_}": {"value": f"data.{type_}", "type": type_} for type_ in types}
    full: Json = {
        "text": "Zoë 🚀",
        "integer": 2**63 - 1,
        "number": "12345678901234567890.125",
        "boolean": True,
        "time": "2026-03-01T13:00:04.25+01:00",
        "json": {"a": [1, None, "ü"]},
        "date": "2026-03-01",
    }
    outcomes = written(server, settings_of(columns, create=True), full, {})
    assert answers(outcomes) == [INSERTED, INSERTED]
    found, nothing = server.run("SELECT * FROM people ORDER BY delivery_id")
    assert nothing == (*[None] * 7, "d1")
    assert found[:2] == ("Zoë 🚀", 2**63 - 1)
    assert float(str(found[2])) == 12345678901234567890.125
    assert found[3] in (True, 1)
    assert str(found[4]).replace("T", " ").startswith("2026-03-01 12:00:04.25")
    assert found[5] == {"a": [1, None, "ü"]} or json.loads(str(found[5])) == {"a": [1, None, "ü"]}
    assert str(found[6]) == "2026-03-01"


@pytest.mark.parametrize(
    "value",
    [
        "'); DROP TABLE people; --",
        "back\\slash \\' and \\\" and %s and :name and $1 and ?",
        "half a pair of surrogates \ud83d",
        "Z͑ͫ̓̒ͭ 🏳️‍🌈 \u202e",
        "x" * 100_000,
        "",
    ],
)
def test_a_hostile_text_is_stored_as_it_is(server: Server, value: str) -> None:
    assert answers(written(server, settings_of({"name": "data"}, create=True), value)) == [INSERTED]
    assert server.run("SELECT name FROM people") == [(value.encode("utf-8", "replace").decode(),)]


def test_hostile_names_of_the_configuration_are_quoted(server: Server) -> None:
    settings = settings_of({"select": "data", "Group By": "data", "a-b": "data"}, create=True, key="select")
    assert answers(written(server, settings, "x")) == [UPSERTED]
    assert server.run(f"SELECT {server.quoted('Group By')}, {server.quoted('a-b')} FROM people") == [("x", "x")]


on_servers = pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True, scope="module")


def test_a_row_that_the_table_rejects_fails_alone(server: Server) -> None:
    server.run("CREATE TABLE people (number int, name varchar(10) NOT NULL, delivery_id varchar(80) PRIMARY KEY)")
    data: list[Json] = [{"n": number, "name": f"n{number}"} for number in range(7)]
    data[3] = {"n": 3}  # no name
    outcomes = written(server, settings_of(COLUMNS), *data)
    assert answers(outcomes) == [INSERTED] * 3 + ["Failed"] + [INSERTED] * 3
    failed = outcomes[3]
    assert isinstance(failed, Failed)
    assert failed.code == "request_rejected"
    assert "name" in failed.reason + failed.answer
    assert server.run("SELECT count(*) FROM people") == [(6,)]


@on_servers
def test_a_value_that_does_not_fit_its_column_fails_and_is_never_cut(server: Server) -> None:
    server.run("CREATE TABLE people (number int, name varchar(10), delivery_id varchar(80) PRIMARY KEY)")
    settings = settings_of({"number": "data.n", "name": "data.name"})
    outcomes = written(server, settings, {"n": 10**12}, {"name": "x" * 11}, {"n": "no number"}, {"n": 2})
    assert answers(outcomes) == ["Failed", "Failed", "Failed", INSERTED]
    assert server.run("SELECT number, name FROM people") == [(2, None)]


def test_a_key_or_a_row_that_is_too_long_fails_alone(server: Server) -> None:
    """PostgreSQL takes 2,704 bytes in an index, which a text that cannot be compressed exceeds."""
    settings = settings_of({"name": "data"}, create=True, key="name")
    long = "".join(chr(33 + number * number % 8_209 % 94) for number in range(20_000))
    outcomes = written(server, settings, "a", long, "b")
    expected = UPSERTED if server.place.driver == "sqlite" else "Failed"
    assert answers(outcomes) == [UPSERTED, expected, UPSERTED]


def test_a_conflict_with_another_index_is_an_error_and_not_a_repeat(server: Server) -> None:
    """MySQL's own upsert would drop the row, and call it done."""
    server.run("CREATE TABLE people (number int UNIQUE, name varchar(10), delivery_id varchar(80) PRIMARY KEY)")
    outcomes = written(server, settings_of(COLUMNS), {"n": 1}, {"n": 1}, {"n": 2})
    assert answers(outcomes) == [INSERTED, "Failed", INSERTED]


def test_a_row_never_replaces_one_that_has_another_key(server: Server) -> None:
    """MySQL replaces whichever row collides, by any unique index."""
    server.run("CREATE TABLE people (number int PRIMARY KEY, name varchar(10) UNIQUE)")
    server.run("INSERT INTO people VALUES (1, 'Ada')")
    [outcome] = written(server, settings_of(COLUMNS, key="number"), {"n": 2, "name": "Ada"})
    assert isinstance(outcome, Disabled if server.place.driver == "mysql" else Failed), outcome
    assert "name" in outcome.reason + outcome.answer
    assert server.run("SELECT number, name FROM people") == [(1, "Ada")]


def test_an_index_of_columns_that_are_not_written_or_with_the_key_does_no_harm(server: Server) -> None:
    numbered = {"postgresql": "serial", "mysql": "int AUTO_INCREMENT", "sqlite": "integer"}[server.place.driver]
    columns = f"id {numbered} PRIMARY KEY, number int UNIQUE, name varchar(10), UNIQUE (name, number)"
    server.run(f"CREATE TABLE people ({columns})")
    assert answers(written(server, settings_of(COLUMNS, key="number"), {"n": 1, "name": "Ada"})) == [UPSERTED]


def test_what_concerns_every_row_holds_the_destination_and_says_what_to_do(server: Server) -> None:
    def reason(settings: Settings) -> str:
        [outcome] = written(server, settings, {"n": 1, "name": "Ada"})
        assert isinstance(outcome, Disabled), outcome
        return f"{outcome.reason} {outcome.answer}"

    assert "people" in reason(settings_of(COLUMNS))
    server.run("CREATE TABLE people (number int, name varchar(10), delivery_id varchar(80))")
    assert "unique" in reason(settings_of(COLUMNS)).lower()
    assert "unique" in reason(settings_of(COLUMNS, key="number")).lower()
    server.run("DROP TABLE people")
    server.run("CREATE TABLE people (number int, delivery_id varchar(80) PRIMARY KEY)")
    assert "name" in reason(settings_of(COLUMNS))


def test_a_table_is_used_once_it_is_repaired(server: Server) -> None:
    server.run("CREATE TABLE people (number int, name varchar(10), delivery_id varchar(80))")
    settings = settings_of(COLUMNS)
    with closing(server.connected(settings)) as database:
        rows = rows_of(server, settings, {"n": 1, "name": "Ada"})
        assert isinstance(database.write(rows)[0], Disabled)
        server.run("CREATE UNIQUE INDEX once ON people (delivery_id)")
        assert answers(database.write(rows)) == [INSERTED]


@on_servers
def test_a_connection_that_the_server_closed_is_made_again(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_of(COLUMNS, create=True, key="number")
    with closing(server.connected(settings)) as database:
        assert answers(database.write(rows_of(server, settings, {"n": 1}))) == [UPSERTED]
        if server.place.driver == "postgresql":
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            server.run(f"{others} AND backend_type = 'client backend'")
        else:
            listed = server.run("SELECT id FROM information_schema.processlist WHERE id <> connection_id()")
            for (number,) in listed:
                server.run(f"KILL {number}")
        twice: list[Json] = [{"n": 2}, {"n": 2}]  # which is a transaction of several statements
        assert answers(database.write(rows_of(server, settings, *twice))) == [UPSERTED, UPSERTED]
    assert caplog.records == []


@pytest.mark.parametrize("server", ["postgresql"], indirect=True, scope="module")
def test_a_connection_to_a_replica_is_not_used_again_once_the_name_leads_to_the_primary(server: Server) -> None:
    """A session that began read only, as one of a former primary after a failover, stays so."""
    settings = settings_of(COLUMNS, create=True)
    written(server, settings, {"n": 1})
    server.run("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        with closing(server.connected(settings)) as database:
            rows = rows_of(server, settings, {"n": 1}, {"n": 2})[1:]
            assert answers(database.write(rows)) == ["RetryLater"]
            server.run("ALTER DATABASE postgres RESET default_transaction_read_only")
            assert answers(database.write(rows)) == [INSERTED]
    finally:
        server.run("ALTER DATABASE postgres RESET default_transaction_read_only")


@on_servers
def test_a_row_that_somebody_else_locks_is_tried_later_and_holds_no_other_back(server: Server) -> None:
    """The server ends the statement: if it waited on for a client that left, the row could replace a newer one."""
    settings = settings_of(COLUMNS, create=True, key="number")
    written(server, settings, {"n": 1, "name": "Ada"})
    with server.engine.connect() as connection:
        connection.execute(text("BEGIN"))
        connection.execute(text("UPDATE people SET name = 'locked' WHERE number = 1"))
        with closing(Database(server.place, settings, 10.0)) as database:
            rows = rows_of(server, settings, {"n": 1, "name": "Bob"}, {"n": 2, "name": "Cleo"})
            assert answers(database.write(rows)) == ["RetryLater", UPSERTED]
        connection.execute(text("ROLLBACK"))
    assert server.run("SELECT number, name FROM people ORDER BY number") == [(1, "Ada"), (2, "Cleo")]
    assert answers(written(server, settings, {"n": 1, "name": "Bob"})) == [UPSERTED]


@on_servers
def test_a_server_that_is_away_is_tried_later(server: Server) -> None:
    url = f"{server.place.driver}://app:x@127.0.0.1:1/app"
    settings = settings_of(COLUMNS)
    place = database_place(settings, {"database-url": (url,)})
    with closing(Database(place, settings, TIMEOUT)) as database:
        [outcome] = database.write(rows_of(server, settings, {"n": 1}))
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == 60


@on_servers
def test_a_wrong_password_or_database_holds_the_destination(server: Server) -> None:
    settings = settings_of(COLUMNS)
    user = "app:wrong" if server.place.driver == "mysql" else "app"
    place = database_place(
        settings, {"database-url": (f"{server.place.driver}://{user}@127.0.0.1:{server.place.port}/no",)}
    )
    with closing(Database(place, settings, TIMEOUT)) as database:
        [outcome] = database.write(rows_of(server, settings, {"n": 1}))
    assert isinstance(outcome, Disabled)
    assert "set the secret again" in outcome.reason
