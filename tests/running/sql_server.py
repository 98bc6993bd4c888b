"""Databases for tests of rows: each is a server, or a file of SQLite, and a connection of its own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text

from functions.notify.destinations.sql.database import Database
from functions.notify.destinations.sql.place import Place, database_place, engine_of
from functions.notify.destinations.sql.rows import Row, RowMaker
from functions.notify.destinations.sql.settings import Settings
from shared.delivery import Delivered, Outcome
from shared.jsontext import Json
from tests.running.databases import mariadb, postgresql

TIMEOUT: Final = 1.0
COLUMNS: Final[Mapping[str, Json]] = {"number": {"value": "data.n", "type": "integer"}, "name": "data.name"}


@dataclass
class Server:
    """A database for tests. `run` is a connection of its own."""

    url: str
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


@contextmanager
def sql_server(kind: str, folder: Path) -> Iterator[Server]:
    """Yield a database of the kind `postgresql`, `mariadb` or `sqlite`. Skip the test where its server is not here."""
    with ExitStack() as stage:
        if kind == "sqlite":
            url = f"sqlite:///{folder / 'rows.db'}"
        else:
            url = stage.enter_context((postgresql if kind == "postgresql" else mariadb)())
        server = started(url)
        stage.callback(server.engine.dispose)
        yield server


def started(url: str) -> Server:
    place = database_place(settings_of(COLUMNS), {"database-url": (url,)})
    return Server(url, place, engine_of(place, 1, 10.0))


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
