"""What becomes of rows when the table, the server or the connection is at fault, in real databases."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from functions.notify.destinations.sql.database import INSERTED, UPSERTED, Database
from functions.notify.destinations.sql.place import place_of
from functions.notify.destinations.sql.settings import Settings
from shared.delivery import Delivered, Disabled, Failed, RetryLater, Unknown
from shared.jsontext import Json
from tests.sql_server import COLUMNS, TIMEOUT, Server, answers, rows_of, settings_of, sql_server, written

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


on_servers = pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True, scope="module")


@pytest.fixture(autouse=True)
def empty(server: Server) -> None:
    server.run("DROP TABLE IF EXISTS people")


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
def test_a_row_that_somebody_else_locks_is_unknown_in_time_and_a_repeat_does_no_harm(server: Server) -> None:
    settings = settings_of(COLUMNS, create=True, key="number")
    written(server, settings, {"n": 1, "name": "Ada"})
    with server.engine.connect() as connection:
        connection.execute(text("BEGIN"))
        connection.execute(text("UPDATE people SET name = 'locked' WHERE number = 1"))
        [outcome] = written(server, settings, {"n": 1, "name": "Bob"})
        assert isinstance(outcome, Unknown), outcome
        connection.execute(text("ROLLBACK"))
    assert answers(written(server, settings, {"n": 1, "name": "Bob"})) == [UPSERTED]
    assert server.run("SELECT number, name FROM people") == [(1, "Bob")]


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
