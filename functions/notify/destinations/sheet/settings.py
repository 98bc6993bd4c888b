"""The settings of the destination `sheet`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from functions.notify.kind_settings import EventExpression, GoogleId, KindSettings
from shared.config.rules import SecretName

MAX_COLUMNS: Final = 200


def _title(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable text without spaces around it")
    return text


Title = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_title)]


class Settings(KindSettings):
    """Rows in a Google Sheet, each delivery once.

    Share the spreadsheet with the service account of `notify`, or of `secret`, as an editor.

    spreadsheet   its URL or id
    sheet         the name of the sheet in it, as its tab shows it
    columns       for each column, from A on, a JMESPath expression over the event
    header        `make` the first row if it is empty, and check it; or only `check` it; or `none`: there is no header
    delivery_id   the name of the column for the delivery's id, by which a row is written once. It is the last one;
                  with `header: none` the first one
    secret        a service account's key (JSON); without, this deployment's own account writes
    """

    extras: ClassVar[tuple[str, ...]] = ("crypto",)  # a service account's key signs by RSA

    spreadsheet: GoogleId
    sheet: Title
    columns: Annotated[Mapping[Title, EventExpression], Field(min_length=1, max_length=MAX_COLUMNS)]
    header: Literal["make", "check", "none"] = "make"
    delivery_id: Title = "Delivery"
    secret: SecretName | None = None

    @model_validator(mode="after")
    def _id_has_a_column_of_its_own(self) -> "Settings":
        if self.delivery_id in self.columns:
            raise ValueError(f"column {self.delivery_id!r} is for the delivery's id: name another one in `delivery_id`")
        return self

    @property
    def titles(self) -> tuple[str, ...]:
        """Return the names of all columns, in their order."""
        return (self.delivery_id, *self.columns) if self.header == "none" else (*self.columns, self.delivery_id)

    @property
    def id_column(self) -> int:
        return 0 if self.header == "none" else len(self.columns)
