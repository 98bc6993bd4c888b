"""Connections to a real PostgreSQL: by TLS with an authority of its own, as RDS has, and by a socket, as Cloud SQL."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from functions.notify.destinations.sql.database import INSERTED, Database
from functions.notify.destinations.sql.place import Place, database_place
from functions.notify.destinations.sql.rows import RowMaker
from functions.notify.destinations.sql.settings import Settings
from shared.delivery import Delivered, Outcome, RetryLater
from tests.running.databases import postgresql
from tests.unit.shared.outgoing_worlds import Issued, issue

pytestmark = [
    pytest.mark.slow,
    # pg8000 leaves a connection that failed to the garbage collector, which closes it.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <(socket|_io|ssl):pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(scope="module")
def authority() -> Issued:
    return issue("an authority")


@pytest.fixture(scope="module")
def port(authority: Issued) -> Iterator[int]:
    """The port of a server that has a certificate for `localhost`, and takes connections with TLS only."""
    own = issue("localhost", authority)
    files = {
        "server.crt": own.certificate,
        "server.key": own.key,
        "hba.conf": "hostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\n",
    }
    options = ["ssl=on", "ssl_cert_file={folder}/server.crt", "ssl_key_file={folder}/server.key"]
    options += ["hba_file={folder}/hba.conf"]
    with postgresql(*[part for option in options for part in ("-c", option)], files=files) as url:
        found = urlsplit(url).port
        assert found is not None
        yield found


def written(place: Place) -> Outcome:
    settings = Settings.model_validate(
        {"url_secret": "u", "table": "t", "columns": {"name": "data"}, "create": True, "delivery_id": "id"}
    )
    with closing(Database(place, settings, 5.0)) as database:
        [outcome] = database.write([RowMaker(settings, "postgresql").row({"data": "x"}, "d1", is_retry=False)])
    return outcome


def place_with(port: int, host: str, authorities: str | None, tls: str = "verify") -> Place:
    settings = Settings.model_validate(
        {"url_secret": "u", "table": "t", "columns": {"a": "data"}, "tls": tls, "authorities": authorities}
    )
    return database_place(settings, {"u": (f"postgresql://app@{host}:{port}/postgres",)})


def test_a_server_whose_authority_is_named_is_trusted(port: int, authority: Issued) -> None:
    assert isinstance(written(place_with(port, "localhost", authority.certificate)), Delivered)


@pytest.mark.parametrize(
    ("host", "is_known"), [("localhost", False), ("127.0.0.1", True)], ids=["another authority", "another name"]
)
def test_a_server_that_nobody_vouches_for_gets_no_row(port: int, authority: Issued, host: str, is_known: bool) -> None:
    other = authority if is_known else issue("another authority")
    outcome = written(place_with(port, host, other.certificate))
    assert isinstance(outcome, RetryLater)
    assert "certificate" in outcome.answer.lower()


def test_off_verifies_nothing_though_postgresql_may_encrypt(port: int) -> None:
    assert isinstance(written(place_with(port, "127.0.0.1", None, "off")), Delivered)


def test_cloud_sql_is_a_socket_in_a_folder() -> None:
    with tempfile.TemporaryDirectory(prefix="sql-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        with postgresql("-k", name) as url:
            settings = Settings.model_validate(
                {
                    **{"driver": "postgresql", "cloud_sql": "p:r:i", "database": "postgres", "user": "app"},
                    **{"table": "t", "columns": {"a": "data"}},
                }
            )
            place = database_place(settings, {})
            assert place.socket == "/cloudsql/p:r:i/.s.PGSQL.5432"
            socket = folder / f".s.PGSQL.{urlsplit(url).port}"
            assert written(replace(place, socket=str(socket))) == Delivered(INSERTED)
