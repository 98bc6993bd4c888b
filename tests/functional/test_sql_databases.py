"""Rows in real databases: PostgreSQL, MariaDB and SQLite."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine, text

from functions.notify.destinations.sql.database import INSERTED, NEWER, THERE, UPSERTED, Database
from functions.notify.destinations.sql.place import Place, engine_of, place_of
from functions.notify.destinations.sql.rows import Row, RowMaker
from functions.notify.destinations.sql.settings import Settings
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater
from shared.jsontext import Json
from tests.databases import mariadb, postgresql

pytestmark = [
    pytest.mark.slow,
    # pg8000 leaves a connection that failed to the garbage collector, which closes it.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
]

TIMEOUT: Final = 1.0
COLUMNS: Final[Mapping[str, Json]] = {"number": {"value": "data.n", "type": "integer"}, "name": "data.name"}


@dataclass
class Server:
    """A database for tests. `run` is a connection of its own."""

    place: Place
    engine: Engine

    def run(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        with self.engine.begin() as connection:
            done = connection.execute(text(statement), values)
            return [tuple(row) for row in done] if done.returns_rows else []

    def connected(self, settings: "Settings") -> Database:
        return Database(self.place, settings, TIMEOUT)

    def quoted(self, name: str) -> str:
        return self.engine.dialect.identifier_preparer.quote_identifier(name)


@pytest.fixture(scope="module", params=["postgresql", "mariadb", "sqlite"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with contextlib.ExitStack() as stage:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'rows.db'}"
        else:
            url = stage.enter_context((postgresql if request.param == "postgresql" else mariadb)())
        server = started(url)
        stage.callback(server.engine.dispose)
        yield server


def started(url: str) -> Server:
    place = place_of(settings_of(COLUMNS), {"database-url": (url,)})
    return Server(place, engine_of(place, 1, 10.0))


on_servers = pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True, scope="module")


@pytest.fixture(autouse=True)
def empty(server: Server) -> None:
    server.run("DROP TABLE IF EXISTS people")


def settings_of(columns: Mapping[str, Json], **others: Json) -> Settings:
    return Settings.model_validate({"url_secret": "database-url", "table": "people", "columns": columns, **others})


def rows_of(server: Server, settings: Settings, *data: Json, is_retry: bool = False) -> list[Row]:
    maker = RowMaker(settings, server.place.driver)
    return [maker.row({"data": each}, f"d{number}", is_retry) for number, each in enumerate(data)]


def written(server: Server, settings: Settings, *data: Json) -> list[Outcome]:
    with closing(server.connected(settings)) as database:
        return database.write(rows_of(server, settings, *data))


def answers(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.answer if isinstance(outcome, Delivered) else type(outcome).__name__ for outcome in outcomes]


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


def test_a_key_of_texts_tells_cases_apart(server: Server) -> None:
    settings = settings_of({"name": "data"}, create=True, key="name")
    written(server, settings, "ada", "ADA", "ada")
    assert server.run("SELECT count(*) FROM people") == [(2,)]


def test_a_created_table_has_the_types_of_the_mapping(server: Server) -> None:
    types = ("text", "integer", "number", "boolean", "time", "json")
    columns: dict[str, Json] = {f"a_{type_}": {"value": f"data.{type_}", "type": type_} for type_ in types}
    full: Json = {
        "text": "Zoë 🚀",
        "integer": 2**63 - 1,
        "number": "12345678901234567890.125",
        "boolean": True,
        "time": "2026-03-01T13:00:04.25+01:00",
        "json": {"a": [1, None, "ü"]},
    }
    outcomes = written(server, settings_of(columns, create=True), full, {})
    assert answers(outcomes) == [INSERTED, INSERTED]
    found, nothing = server.run("SELECT * FROM people ORDER BY delivery_id")
    assert nothing == (*[None] * 6, "d1")
    assert found[:2] == ("Zoë 🚀", 2**63 - 1)
    assert float(str(found[2])) == 12345678901234567890.125
    assert found[3] in (True, 1)
    assert str(found[4]).replace("T", " ").startswith("2026-03-01 12:00:04.25")
    assert found[5] == {"a": [1, None, "ü"]} or json.loads(str(found[5])) == {"a": [1, None, "ü"]}


@pytest.mark.parametrize(
    "value",
    [
        "'); DROP TABLE people; --",
        'a "quoted" name',
        "back\\slash \\' and \\\" and %s and :name and $1 and ?",
        "line\nbreaks\r\n\ttabs\x01\x1b",
        "Z͑ͫ̓̒ͭ 🏳️‍🌈 \u202e",
        "x" * 100_000,
        "",
    ],
)
def test_a_hostile_text_is_stored_as_it_is(server: Server, value: str) -> None:
    assert answers(written(server, settings_of({"name": "data"}, create=True), value)) == [INSERTED]
    assert server.run("SELECT name FROM people") == [(value,)]


def test_a_number_without_bounds_keeps_its_digits_as_text(server: Server) -> None:
    assert answers(written(server, settings_of({"name": "data"}, create=True), 10**40, 1.5, True)) == [INSERTED] * 3
    found = server.run("SELECT name FROM people ORDER BY delivery_id")
    assert found == [(str(10**40),), ("1.5",), ("true",)]


def test_half_a_surrogate_pair_becomes_a_question_mark(server: Server) -> None:
    assert answers(written(server, settings_of({"name": "data"}, create=True), "a\ud83d")) == [INSERTED]
    assert server.run("SELECT name FROM people") == [("a?",)]


def test_hostile_names_of_the_configuration_are_quoted(server: Server) -> None:
    settings = settings_of({"select": "data", "Group By": "data", "a-b": "data"}, create=True, key="select")
    assert answers(written(server, settings, "x")) == [UPSERTED]
    assert server.run(f"SELECT {server.quoted('Group By')}, {server.quoted('a-b')} FROM people") == [("x", "x")]


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


def test_a_conflict_with_another_index_is_an_error_and_not_a_repeat(server: Server) -> None:
    """MySQL's own upsert would drop the row, and call it done."""
    server.run("CREATE TABLE people (number int UNIQUE, name varchar(10), delivery_id varchar(80) PRIMARY KEY)")
    outcomes = written(server, settings_of(COLUMNS), {"n": 1}, {"n": 1}, {"n": 2})
    assert answers(outcomes) == [INSERTED, "Failed", INSERTED]


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
def test_a_connection_that_the_server_closed_is_made_again(server: Server) -> None:
    settings = settings_of(COLUMNS, create=True)
    with closing(server.connected(settings)) as database:
        assert answers(database.write(rows_of(server, settings, {"n": 1}))) == [INSERTED]
        if server.place.driver == "postgresql":
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            server.run(f"{others} AND backend_type = 'client backend'")
        else:
            listed = server.run("SELECT id FROM information_schema.processlist WHERE id <> connection_id()")
            for (number,) in listed:
                server.run(f"KILL {number}")
        assert answers(database.write(rows_of(server, settings, {}, {"n": 2})[1:])) == [INSERTED]


@on_servers
def test_a_locked_row_is_written_later_and_the_thread_ends(server: Server) -> None:
    settings = settings_of(COLUMNS, create=True, key="number")
    written(server, settings, {"n": 1, "name": "Ada"})
    with server.engine.connect() as connection:
        connection.execute(text("UPDATE people SET name = 'locked' WHERE number = 1"))
        [outcome] = written(server, settings, {"n": 1, "name": "Bob"})
        assert isinstance(outcome, RetryLater), outcome
        connection.rollback()
    assert server.run("SELECT name FROM people") == [("Ada",)]
    assert answers(written(server, settings, {"n": 1, "name": "Bob"})) == [UPSERTED]


@on_servers
def test_a_server_that_is_away_is_tried_later(server: Server) -> None:
    url = f"{server.place.driver}://app:x@127.0.0.1:1/app"
    settings = settings_of(COLUMNS)
    place = place_of(settings, {"database-url": (url,)})
    with closing(Database(place, settings, TIMEOUT)) as database:
        [outcome] = database.write(rows_of(server, settings, {"n": 1}))
    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == 60


@on_servers
def test_a_wrong_password_or_database_holds_the_destination(server: Server) -> None:
    settings = settings_of(COLUMNS)
    user = "app:wrong" if server.place.driver == "mysql" else "app"
    place = place_of(settings, {"database-url": (f"{server.place.driver}://{user}@127.0.0.1:{server.place.port}/no",)})
    with closing(Database(place, settings, TIMEOUT)) as database:
        [outcome] = database.write(rows_of(server, settings, {"n": 1}))
    assert isinstance(outcome, Disabled)
    assert "set the secret again" in outcome.reason


def test_the_time_for_rows_after_an_error_is_bounded(server: Server, tmp_path: Path) -> None:
    server.run("CREATE TABLE people (number int, name varchar(10) NOT NULL, delivery_id varchar(80) PRIMARY KEY)")
    settings = settings_of(COLUMNS)
    many: list[Json] = [{"n": 2, "name": "Bob"}] * 99
    with closing(Database(server.place, settings, 0.0001 if server.place.driver == "sqlite" else TIMEOUT)) as database:
        outcomes = database.write(rows_of(server, settings, {"n": 1}, *many))
    kinds = {type(each) for each in outcomes}
    assert Failed in kinds or RetryLater in kinds
    assert kinds <= {Failed, RetryLater, Delivered}
