"""The database's place: its address and credentials, from the settings and the secrets that they name; and its engine.

Only the operator chooses the place. So unlike a webhook's URL, it may be a private address.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError

from functions.notify.destinations.sql.settings import Driver, Settings
from functions.notify.http_kind import SecretValues, unusable_secret
from shared import errors, fetch
from shared.outgoing.tls_contexts import TlsContexts

SOCKETS: Final = "/cloudsql"
"""The folder in which Cloud Run has the socket of each instance of Cloud SQL. Google's connector would cost every start
0.5 s of CPU and 50 MB: it brings gRPC, aiohttp and cryptography."""
RECYCLE_SECONDS: Final = 300
"""The age at which a connection is replaced: servers and firewalls drop old connections without notice."""
_DRIVERS_BY_SCHEME: Final[dict[str, Driver]] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
}
_SQLALCHEMY_NAMES: Final = {"postgresql": "postgresql+pg8000", "mysql": "mysql+pymysql", "sqlite": "sqlite+pysqlite"}
_PORTS: Final = {"postgresql": 5432, "mysql": 3306}
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST: Final = re.compile(r"[\w.:-]{1,253}")
_TLS_OPTIONS: Final = frozenset({"sslmode", "ssl-mode", "ssl_mode", "channel_binding"})
_NO_TLS: Final = frozenset({"disable", "disabled"})
STATEMENT_SHARE: Final = 0.8
"""The part of the timeout after which the server ends a statement, so that its answer arrives in time. Without it, the
server would continue for a client that has left: connections pile up, and rows are written much later."""
LOCK_SHARE: Final = 0.1
"""The part of the timeout for which a statement waits for a lock, so that time is left to write rows that are not
locked."""
_SESSION: Final = (
    "SET SESSION sql_mode = 'TRADITIONAL', time_zone = '+00:00',"
    " lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}"
)
"""Without this mode, MySQL may cut a text that is too long and only return a warning."""

_CONTEXTS: Final = TlsContexts()


@dataclass(frozen=True, slots=True)
class Place:
    """The address and the credentials of a database.

    host         empty for a socket or a file
    port         None for the driver's usual port
    database     the database's name, or the path of a file of SQLite
    socket       the path of a socket, in place of a host
    tls          the connection uses TLS, and the server's certificate is verified
    authorities  the certificates, in PEM, of the authorities that are trusted; None for those of the system
    """

    driver: Driver
    host: str
    port: int | None
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    socket: str | None = None
    tls: bool = False
    authorities: str | None = None


def database_place(settings: Settings, secrets: SecretValues) -> Place:
    """Return the place that the settings and their secrets name.

    TLS is verified by default, except on this machine and over a socket. Raises Temporary (`secret_unusable`) if the
    secret is not the URL of a database.
    """
    if settings.url_secret is not None:
        place, tls = _place_in_url(settings.url_secret, secrets[settings.url_secret][0].strip())
        if settings.tls is not None:
            tls = settings.tls
    else:
        assert settings.driver is not None
        password = secrets[settings.password_secret][0] if settings.password_secret else None
        socket = _socket(settings.driver, settings.cloud_sql) if settings.cloud_sql else None
        place = Place(
            driver=settings.driver,
            host=settings.host or "",
            port=settings.port,
            database=str(settings.database),
            user=settings.user,
            password=password,
            socket=socket,
        )
        tls = settings.tls
    if not place.host:
        uses_tls = False
    elif place.host.lower() in _THIS_MACHINE:
        uses_tls = tls == "verify" or settings.authorities is not None
    else:
        uses_tls = tls != "off"
    return replace(place, tls=uses_tls, authorities=settings.authorities)


def _place_in_url(name: str, text: str) -> tuple[Place, str | None]:
    """Return the place in the URL `text`, and its `sslmode` as `off` or `verify`; None without `sslmode`.

    `name` is the name of the secret. Raises Temporary (`secret_unusable`). The error has no part of the URL, except the
    name of a parameter: the rest may contain the password.
    """
    try:
        url = make_url(text)
        port = url.port
    except (ArgumentError, ValueError) as error:
        raise unusable_secret(name, "must hold a URL such as postgresql://user:password@host/database") from error
    driver = _DRIVERS_BY_SCHEME.get(url.drivername.partition("+")[0])
    # A file has neither a host nor a user; a server has both.
    is_complete = not (url.host or url.username) if driver == "sqlite" else url.host and url.username
    if driver is None or not url.database or not is_complete:
        rule = "must hold the URL of a database, its host and user: postgresql://…, mysql://…, or sqlite:///file"
        raise unusable_secret(name, rule)
    # An unescaped `@` or `/` ends the password too early: the rest of it then seems to be the host or the database.
    if url.host and not _HOST.fullmatch(url.host):
        raise unusable_secret(name, "has a character in the host that no host has: write `@` in the password as %40")
    if url.host and "@" in url.database:
        raise unusable_secret(name, "has an `@` behind the host: write `@` in the password as %40")
    if unknown := sorted(url.query.keys() - _TLS_OPTIONS):
        rule = f"has the parameter {unknown[0]!r}: only `sslmode` is known; take the others out"
        raise unusable_secret(name, rule)
    modes = [str(value).lower() for key, value in url.query.items() if key != "channel_binding"]
    tls: Literal["off", "verify"] | None = None
    if modes:
        tls = "off" if modes[0] in _NO_TLS else "verify"
    password = None if url.password is None else str(url.password)
    return Place(driver, url.host or "", port, url.database, user=url.username, password=password), tls


def _socket(driver: Driver, instance: str) -> str:
    """Return the path of the socket of an instance of Cloud SQL, in the folder where Cloud Run has all sockets."""
    folder = f"{SOCKETS}/{instance}"
    return f"{folder}/.s.PGSQL.5432" if driver == "postgresql" else folder


def engine_of(place: Place, connections: int, timeout_seconds: float) -> Engine:
    """Return the database's engine, which connects at its first use.

    Every wait for the database ends after the timeout, because it is in a thread, which cannot be cancelled. Raises
    Temporary (`destination_not_loaded`).
    """
    # SQLAlchemy logs the tracebacks of lost connections, and a database's messages, which can contain values of rows.
    logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL + 1)
    options: dict[str, object] = {}
    if place.driver == "postgresql":
        options = {"timeout": timeout_seconds, "application_name": "hookchain"}
    elif place.driver == "mysql":
        names = ("connect_timeout", "read_timeout", "write_timeout")
        options = {**dict.fromkeys(names, timeout_seconds), "charset": "utf8mb4"}
        options["init_command"] = _SESSION.format(seconds=max(1, int(timeout_seconds * LOCK_SHARE)))
        # As bytes, because the driver encodes a text in Latin-1.
        options["password"] = (place.password or "").encode()
    else:
        # The wait for another program's lock ends before the attempt does, whose outcome would otherwise be unknown.
        options = {"timeout": timeout_seconds * STATEMENT_SHARE, "check_same_thread": False}
    if place.socket:
        options["unix_sock" if place.driver == "postgresql" else "unix_socket"] = place.socket
    if place.tls:
        tls = fetch.Tls(authorities=place.authorities) if place.authorities else None
        options["ssl_context" if place.driver == "postgresql" else "ssl"] = _CONTEXTS.context(tls)
    url = URL.create(
        drivername=_SQLALCHEMY_NAMES[place.driver],
        username=place.user,
        password=place.password,
        host=place.host or None,
        port=(place.port or _PORTS[place.driver]) if place.host else None,
        database=place.database,
    )
    try:
        engine = create_engine(
            url,
            connect_args=options,
            paramstyle="qmark" if place.driver == "sqlite" else "format",
            pool_size=1 if place.driver == "sqlite" else connections,
            max_overflow=0,
            pool_timeout=timeout_seconds,
            pool_recycle=RECYCLE_SECONDS,
            hide_parameters=True,
            # A single statement is a transaction by itself. database.py begins transactions of several statements.
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
        )
    except ImportError as error:
        rule = "the libraries of the extra `sql` are not installed; bundle the function again"
        raise errors.Temporary("destination_not_loaded", rule) from error
    if place.driver == "postgresql":
        event.listen(engine, "connect", _set_timeouts(timeout_seconds))
    return engine


def _set_timeouts(timeout_seconds: float) -> Callable[[DBAPIConnection, object], None]:
    """Return a function that sets the timeouts of a new connection to PostgreSQL.

    They are set by a statement, because some connection poolers reject them as parameters of the connection.
    """
    # At least 1 ms, because 0 means no limit.
    statement_ms = max(1, int(timeout_seconds * STATEMENT_SHARE * 1000))
    lock_ms = max(1, int(timeout_seconds * LOCK_SHARE * 1000))

    def on_connect(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET statement_timeout = {statement_ms}; SET lock_timeout = {lock_ms}")
        cursor.close()

    return on_connect
