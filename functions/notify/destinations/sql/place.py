"""The database's place: where it is and how it is reached, from the settings and the secrets that they name.

No event takes part in it, so the guarded fetch, which keeps events from choosing private addresses, is not needed.
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
"""The age from which on a connection is replaced: servers and firewalls drop old ones without a word."""
_DRIVERS: Final[dict[str, Driver]] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
}
_NAMES: Final = {"postgresql": "postgresql+pg8000", "mysql": "mysql+pymysql", "sqlite": "sqlite+pysqlite"}
_PORTS: Final = {"postgresql": 5432, "mysql": 3306}
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST: Final = re.compile(r"[\w.:-]{1,253}")
_TLS_OPTIONS: Final = frozenset({"sslmode", "ssl-mode", "ssl_mode", "channel_binding"})
_NO_TLS: Final = frozenset({"disable", "disabled"})
STATEMENT_SHARE: Final = 0.8
"""Of the timeout: the server ends a statement so soon that its answer arrives in time. A server that is not told so
goes on for a client that has left: connections pile up, and rows are written much later."""
LOCK_SHARE: Final = 0.1
"""The part of the timeout for which a statement waits for a lock, so that time is left to write rows that are not
locked."""
_SESSION: Final = (
    "SET SESSION sql_mode = 'TRADITIONAL', time_zone = '+00:00',"
    " lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}"
)
"""Without the mode, MySQL may cut a text that is too long, and say so in a warning only."""

_CONTEXTS: Final = TlsContexts()


@dataclass(frozen=True, slots=True)
class Place:
    """The database and how it is reached.

    host         empty for a socket or a file
    port         None for the usual one
    database     its name; of SQLite the path of its file
    socket       the path of a socket, in place of a host
    tls          the server has to show a certificate that is valid
    authorities  the certificates, in PEM, that the server's must come from; None for the system's
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
    is_remote = bool(place.host) and place.host.lower() not in _THIS_MACHINE
    is_verified = tls != "off" if is_remote else tls == "verify" or settings.authorities is not None
    return replace(place, tls=is_verified and bool(place.host), authorities=settings.authorities)


def _place_in_url(name: str, text: str) -> tuple[Place, str | None]:
    """Return the place in the URL `text`, and its `sslmode` as `off` or `verify`; None without one.

    `name` is the secret's. Raises Temporary (`secret_unusable`), with no part of the URL but a parameter's name.
    """
    try:
        url = make_url(text)
        port = url.port
    except (ArgumentError, ValueError) as error:
        raise unusable_secret(name, "must hold a URL such as postgresql://user:password@host/database") from error
    driver = _DRIVERS.get(url.drivername.partition("+")[0])
    is_complete = not (url.host or url.username) if driver == "sqlite" else url.host and url.username
    if driver is None or not url.database or not is_complete:
        rule = "must hold the URL of a database, its host and user: postgresql://…, mysql://…, or sqlite:///file"
        raise unusable_secret(name, rule)
    if url.host and not _HOST.fullmatch(url.host):  # it may be the end of a password, so it is not quoted
        raise unusable_secret(name, "has a character in the host that no host has: write `@` in the password as %40")
    if url.host and "@" in url.database:  # the host is a part of a password
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
    """Return the path of the socket of an instance of Cloud SQL."""
    folder = f"{SOCKETS}/{instance}"
    return f"{folder}/.s.PGSQL.5432" if driver == "postgresql" else folder


def engine_of(place: Place, connections: int, timeout_seconds: float) -> Engine:
    """Return the database's engine, which connects at its first use.

    Every wait for the database ends after the timeout: a thread cannot be cancelled. Raises Temporary.
    """
    # Its messages are tracebacks of connections that are lost anyway, and hold what a database says of values.
    logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL + 1)
    options: dict[str, object] = {}
    if place.driver == "postgresql":
        options = {"timeout": timeout_seconds, "application_name": "hookchain"}
    elif place.driver == "mysql":
        names = ("connect_timeout", "read_timeout", "write_timeout")
        options = {**dict.fromkeys(names, timeout_seconds), "charset": "utf8mb4"}
        options["init_command"] = _SESSION.format(seconds=max(1, int(timeout_seconds * LOCK_SHARE)))
        # In bytes, because the driver takes a text only in Latin-1.
        options["password"] = (place.password or "").encode()
    else:
        # A lock of another program is met before the attempt's time is over, which would leave its outcome unknown.
        options = {"timeout": timeout_seconds * STATEMENT_SHARE, "check_same_thread": False}
    if place.socket:
        options["unix_sock" if place.driver == "postgresql" else "unix_socket"] = place.socket
    if place.tls:
        options["ssl_context" if place.driver == "postgresql" else "ssl"] = _CONTEXTS.context(
            fetch.Tls(authorities=place.authorities) if place.authorities else None
        )
    url = URL.create(
        drivername=_NAMES[place.driver],
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
        event.listen(engine, "connect", _timeouts(timeout_seconds))
    return engine


def _timeouts(timeout_seconds: float) -> Callable[[DBAPIConnection, object], None]:
    """Return what begins a session. It is no parameter of the connection's start, which some poolers reject."""
    # In milliseconds, of which 0 would mean no limit.
    statement_ms, lock_ms = (max(1, int(timeout_seconds * share * 1000)) for share in (STATEMENT_SHARE, LOCK_SHARE))
    text = f"SET statement_timeout = {statement_ms}; SET lock_timeout = {lock_ms}"

    def begin(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(text)
        cursor.close()

    return begin
