"""The settings of the destination `bigquery`, validated when a configuration is compiled."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from functions.notify.columns import ColumnSettings, ColumnType, written_column
from functions.notify.kind_settings import KindSettings, ServerAddress
from shared.config.rules import SecretName

TYPES: Final[Mapping[ColumnType, str]] = {
    "text": "STRING",
    "integer": "INTEGER",
    "number": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "time": "TIMESTAMP",
    "json": "JSON",
}
"""The type of a column that `create` makes."""
FITTING: Final[Mapping[ColumnType, frozenset[str]]] = {
    "text": frozenset({"STRING"}),
    "integer": frozenset({"INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"}),
    "number": frozenset({"FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"}),
    "boolean": frozenset({"BOOLEAN", "BOOL"}),
    "date": frozenset({"DATE", "STRING"}),
    "time": frozenset({"TIMESTAMP", "STRING"}),
    "json": frozenset({"JSON", "STRING"}),
}
"""The types of columns that take the values of a type of the mapping."""

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,299}$")]


class Settings(KindSettings):
    """A row in a table of BigQuery.

    project, dataset, table  the table
    columns        for each column the JMESPath expression of its value over the event, or `{value: …, type: …}` with
                   the type `text`, `integer`, `number`, `boolean`, `date`, `time` or `json`
    delivery_id    the column that keeps the delivery's id, by which a query finds repeated rows; null for none
    create         create the table if it is missing, partitioned by the day
    secret         a service account's key (JSON); without, this deployment's own account writes
    api_url        another server with the same interface
    allow_private  allow an `api_url` at a private address, and plain http
    """

    extras_with_secret: ClassVar[tuple[str, ...]] = ("crypto",)  # the key signs by RSA

    project: Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,63}$")]
    dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,1024}$")]
    table: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
    columns: Annotated[
        Mapping[ColumnName, Annotated[ColumnSettings, BeforeValidator(written_column)]],
        Field(min_length=1, max_length=1_000),
    ]
    delivery_id: ColumnName | None = "delivery_id"
    create: bool = False
    secret: SecretName | None = None
    api_url: ServerAddress | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        names = [name.lower() for name in self.columns_written]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            rule = "names differ in more than case, and `delivery_id` names a column of its own"
            raise ValueError(f"columns: {twice[0]!r} is there twice; {rule}")
        return self

    @property
    def table_text(self) -> str:
        """Return the table's name for people."""
        return f"{self.project}.{self.dataset}.{self.table}"

    def type_of(self, column: str) -> ColumnType | None:
        """Return the column's type; None where values go to BigQuery as they are."""
        if column == self.delivery_id:
            return "text"
        return self.columns[column].type or ("text" if self.create else None)

    @property
    def columns_written(self) -> tuple[str, ...]:
        return tuple(self.columns) if self.delivery_id is None else (*self.columns, self.delivery_id)
