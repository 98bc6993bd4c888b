"""The settings of the destination `sql`, validated when a configuration is compiled."""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from functions.notify.columns import ColumnSettings, ColumnType, as_column
from functions.notify.kind_settings import KindSettings
from shared.config.rules import SecretName, listed
from shared.jsontext import JsonObject

Driver: TypeAlias = Literal["postgresql", "mysql", "sqlite"]

MAX_COLUMNS: Final = 100
MAX_NAME_BYTES: Final = 63
"""PostgreSQL silently cuts a longer name."""
_IDENTIFIER: Final = re.compile(r"[^\W\d][\w $-]*(?<! )")
"""Such as `orders`, `_total` or `Größe in cm`. It begins with a letter or `_`, and does not end with a space."""
_INSTANCE: Final = r"^[a-z0-9.:-]{1,100}:[a-z0-9-]{1,40}:[a-z0-9-]{1,98}$"
"""Such as `my-project:europe-west1:orders`. A project can have a domain in front: `example.com:my-project`."""


def _identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text) or len(text.encode()) > MAX_NAME_BYTES:
        rule = f"must be a name of at most {MAX_NAME_BYTES} bytes: letters, digits, `_`, `-`, `$` and spaces"
        raise ValueError(f"{rule}; a letter or `_` comes first, and no space last")
    return text


def _tls_mode(value: object) -> object:
    return "off" if value is False else value  # YAML reads `off` without quotation marks as false


Identifier = Annotated[str, AfterValidator(_identifier)]
"""The name of a schema, a table or a column."""


class Settings(KindSettings):
    """A row in a table of PostgreSQL, MySQL, MariaDB or SQLite.

    url_secret       the name of a secret with the database's URL, such as postgresql://user:password@host/database
    driver           without `url_secret`: `postgresql`, `mysql` (MariaDB too) or `sqlite`, which is not for a cloud
    host, port, database, user, password_secret
                     without `url_secret`; `database` of SQLite is the path of its file
    cloud_sql        instead of `host`: project:region:instance of Cloud SQL, which Cloud Run connects to
    tls              `verify` the server's certificate, or `off`; default: off on this machine and for `cloud_sql`
    authorities      PEM certificates of the authorities that sign the server's, such as `{file: global-bundle.pem}` of
                     RDS; default: the public ones
    schema, table    the table's name, without quotation marks
    columns          for each column the JMESPath expression of its value over the event, or `{value: …, type: …}` with
                     the type `text`, `integer`, `number`, `boolean`, `date`, `time` or `json`
    key              columns that identify a row: a row with the same ones is replaced. Without it, rows are added
    newer_by         with `key`: the column by which a row is replaced only if the new one is not older
    delivery_id      without `key`: the column that keeps the delivery's id, so that no row is added twice
    create           create the table if it is missing
    connections      the maximum number of connections in one instance of notify
    """

    example: ClassVar[JsonObject] = {
        "url_secret": "orders-database",
        "table": "orders",
        "columns": {"number": "data.number", "total": {"value": "data.total", "type": "number"}},
        "key": ["number"],
        "create": True,
    }
    extras: ClassVar[tuple[str, ...]] = ("sql",)

    url_secret: SecretName | None = None
    driver: Driver | None = None
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$", examples=["db.example.com"])] | None = None
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    database: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    user: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    password_secret: SecretName | None = None
    cloud_sql: Annotated[str, Field(pattern=_INSTANCE, examples=["my-project:europe-west1:orders"])] | None = None
    tls: Annotated[Literal["verify", "off"] | None, BeforeValidator(_tls_mode)] = None
    authorities: str | None = None
    schema_: Identifier | None = Field(default=None, alias="schema")
    table: Identifier
    columns: Annotated[
        Mapping[Identifier, Annotated[ColumnSettings, BeforeValidator(as_column)]],
        Field(min_length=1, max_length=MAX_COLUMNS),
    ]
    key: Annotated[tuple[Identifier, ...], BeforeValidator(listed)] = ()
    newer_by: Identifier | None = None
    delivery_id: Identifier = "delivery_id"
    create: bool = False
    connections: Annotated[int, Field(ge=1, le=20)] = 2

    @model_validator(mode="after")
    def _place_is_complete(self) -> Self:
        place_settings = ("driver", "host", "port", "database", "user", "password_secret", "cloud_sql")
        written = [name for name in place_settings if getattr(self, name) is not None]
        if self.url_secret is not None:
            if written:
                raise ValueError(f"`url_secret` has the database's place; take `{written[0]}` out")
            return self
        is_file = self.driver == "sqlite"
        for name in ("driver", "database") if is_file else ("driver", "database", "user"):
            if name not in written:
                raise ValueError(f"must name the database: set `url_secret`, or `{name}`")
        if is_file:
            for name in written:
                if name not in ("driver", "database"):
                    raise ValueError(f"`driver: sqlite` is a file: take `{name}` out")
            return self
        if (self.host is None) == (self.cloud_sql is None):
            raise ValueError("must have one of `host` and `cloud_sql`")
        if self.cloud_sql is not None and self.port is not None:
            raise ValueError("`cloud_sql` has no port; take `port` out")
        return self

    @model_validator(mode="after")
    def _tls_fits(self) -> Self:
        if self.authorities is None:
            return self
        if "-----BEGIN CERTIFICATE-----" not in self.authorities:
            raise ValueError("authorities: must hold certificates in PEM, such as `{file: global-bundle.pem}`")
        if self.tls == "off":
            raise ValueError("`tls: off` verifies nothing; take it or `authorities` out")
        return self

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        for name in (*self.key, self.newer_by):
            if name is not None and name not in self.columns:
                raise ValueError(f"`key` and `newer_by` must name columns; `columns` has no {name!r}")
        if len(set(self.key)) < len(self.key):
            raise ValueError("key: must name each column once")
        if self.newer_by is not None and (not self.key or self.newer_by in self.key):
            raise ValueError("newer_by: must be a column besides those of `key`, which it needs")
        lower_names = [name.lower() for name in self.columns]
        if not self.key and self.delivery_id.lower() in lower_names:
            raise ValueError(f"column {self.delivery_id!r} is for the delivery's id: name another one in `delivery_id`")
        if twice := {name for name in lower_names if lower_names.count(name) > 1}:
            raise ValueError(f"columns: {min(twice)!r} is there twice; MySQL and SQLite do not tell cases apart")
        return self

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Return the names of the columns of a row, in their order."""
        return tuple(self.columns) if self.key else (*self.columns, self.delivery_id)

    @property
    def unique_columns(self) -> tuple[str, ...]:
        """Return the columns that identify a row. The table needs a unique index over them."""
        return self.key or (self.delivery_id,)

    def type_of(self, column: str) -> ColumnType | None:
        """Return the column's type; None if its values are not converted."""
        if column not in self.columns:  # the column of the delivery's id
            return "text"
        # A table that is created needs a type for each column.
        return self.columns[column].type or ("text" if self.create else None)

    @property
    def table_text(self) -> str:
        """Return the table's name as messages show it."""
        return f"{self.schema_}.{self.table}" if self.schema_ else self.table
