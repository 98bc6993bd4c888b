"""The database's place: where it is and how it is reached, from the settings and the secrets that they name.

No event takes part in it, so the guarded way out, which keeps events from choosing private addresses, is not needed.
"""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from functions.notify.destinations.sql.settings import Driver, Settings
from functions.notify.http_kind import SecretValues, unusable_secret
from shared.errors import Temporary
from shared.outgoing.connections import TlsContexts
from shared.ports import Tls

SOCKETS: Final = "/cloudsql"
"""The folder in which Cloud Run has the socket of each instance of Cloud SQL. Google's connector would cost every start
0.5 s of CPU and 50 MB: it brings gRPC, aiohttp and cryptography."""
RECYCLE_SECONDS: Final = 300
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
_TLS_OPTIONS: Final = frozenset({"sslmode", "ssl-mode", "ssl_mode", "channel_binding"})
_NO_TLS: Final = frozenset({"disable", "disabled"})
_SESSION: Final = "SET SESSION sql_mode = 'TRADITIONAL', time_zone = '+00:00'"
"""Without it, MySQL may cut a text that is too long, and say so in a warning only."""

_CONTEXTS: Final = TlsContexts()


@dataclass(frozen=True, slots=True)
class Place:
    """`host` is empty for a socket or a file. `socket` is a path. `tls` asks for a certificate that is valid."""

    driver: Driver
    host: str
    port: int | None
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    socket: str | None = None
    tls: bool = False
    authorities: str | None = None


def place_of(settings: Settings, secrets: SecretValues) -> Place:
    """Raises Temporary (`secret_unusable`) for a secret that holds no URL of a database."""
    if settings.url_secret is not None:
        place, tls = _place_in_url(settings.url_secret, secrets[settings.url_secret][0].strip())
        if settings.tls is not None:
            tls = settings.tls
    else:
        assert settings.driver is not None
        password = secrets[settings.password_secret][0] if settings.password_secret else None
        socket = _socket(settings.driver, settings.cloud_sql) if settings.cloud_sql else None
        database = str(settings.database)
        host = settings.host or ""
        place = Place(settings.driver, host, settings.port, database, settings.user, password, socket)
        tls = settings.tls
    is_remote = bool(place.host) and place.host.lower() not in _THIS_MACHINE
    is_verified = tls != "off" if is_remote else tls == "verify" or settings.authorities is not None
    return Place(
        place.driver,
        place.host,
        place.port,
        place.database,
        place.user,
        place.password,
        place.socket,
        is_verified and bool(place.host),
        settings.authorities,
    )


def _place_in_url(name: str, text: str) -> tuple[Place, str | None]:
    if text.count("@") > 1:  # or the rest of a password would be taken for the host, which messages show
        rule = "has a second `@`: write one in the user or the password as %40, and % as %25"
        raise unusable_secret(name, rule)
    try:
        url = make_url(text)
        port = url.port
    except (ArgumentError, ValueError) as error:
        raise unusable_secret(name, "must hold a URL such as postgresql://user:password@host/database") from error
    driver = _DRIVERS.get(url.drivername.partition("+")[0])
    is_place = not (url.host or url.username) if driver == "sqlite" else url.host
    if driver is None or not url.database or not is_place:
        rule = "must hold the URL of a database and its host: postgresql://…, mysql://…, or sqlite:///file"
        raise unusable_secret(name, rule)
    if unknown := sorted(url.query.keys() - _TLS_OPTIONS):
        rule = f"has the parameter {unknown[0]!r}: only `sslmode` is known; take the others out"
        raise unusable_secret(name, rule)
    modes = [str(value).lower() for key, value in url.query.items() if key != "channel_binding"]
    tls = None if not modes else "off" if modes[0] in _NO_TLS else "verify"
    password = None if url.password is None else str(url.password)
    return Place(driver, url.host or "", port, url.database, url.username, password), tls


def _socket(driver: Driver, instance: str) -> str:
    folder = f"{SOCKETS}/{instance}"
    return f"{folder}/.s.PGSQL.5432" if driver == "postgresql" else folder


def engine_of(place: Place, connections: int, timeout_seconds: float) -> Engine:
    """Return the database's engine, which connects at its first use.

    Every wait for the database ends after the timeout: a thread cannot be cancelled. Raises Temporary.
    """
    options: dict[str, object] = {}
    if place.driver == "postgresql":
        options = {"timeout": timeout_seconds, "application_name": "hookchain"}
    elif place.driver == "mysql":
        names = ("connect_timeout", "read_timeout", "write_timeout")
        options = {**dict.fromkeys(names, timeout_seconds), "charset": "utf8mb4", "init_command": _SESSION}
    else:
        options = {"timeout": timeout_seconds, "check_same_thread": False}
    if place.socket:
        options["unix_sock" if place.driver == "postgresql" else "unix_socket"] = place.socket
    if place.tls:
        options["ssl_context" if place.driver == "postgresql" else "ssl"] = _CONTEXTS.context(
            Tls(authorities=place.authorities) if place.authorities else None
        )
    url = URL.create(
        _NAMES[place.driver],
        place.user,
        place.password,
        place.host or None,
        (place.port or _PORTS[place.driver]) if place.host else None,
        place.database,
    )
    try:
        return create_engine(
            url,
            connect_args=options,
            paramstyle="qmark" if place.driver == "sqlite" else "format",
            pool_size=1 if place.driver == "sqlite" else connections,
            max_overflow=0,
            pool_timeout=timeout_seconds,
            pool_recycle=RECYCLE_SECONDS,
            hide_parameters=True,
            # One statement is a transaction by itself; database.py begins those of several.
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
        )
    except ImportError as error:
        rule = "the libraries of the extra `sql` are not installed; bundle the function again"
        raise Temporary("destination_not_loaded", rule) from error
