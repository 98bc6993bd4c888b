"""Rows in real databases: PostgreSQL, MariaDB and SQLite."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from functions.notify.destinations.sql.database import INSERTED, NEWER, THERE, UPSERTED
from shared.delivery import Delivered
from shared.jsontext import Json
from tests.sql_server import COLUMNS, Server, answers, rows_of, settings_of, sql_server, written

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
