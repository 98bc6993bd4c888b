"""The models and rules that all resources of the API share: the kinds of models, single values, pages and problems.

A model is built at its first use, because a start does not need it. The body of a request is read strictly: a number is
not accepted for a text, and an unknown field is a fault.
"""

import re
from typing import Annotated, Final, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from shared import event, times
from shared.jsontext import Json, texts_json
from shared.subscribers import names

MAX_PAGE: Final = 100
"""The most items of a page of a list."""
MAX_CURSOR_CHARACTERS: Final = 2_000
_LATEST_SECONDS: Final = 10_000_000_000.0
"""The latest time that is accepted, in Unix seconds: in the year 2286."""
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
Item = TypeVar("Item")


class Input(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Query(BaseModel):
    """The query of a request. Its values are texts, which are converted to the types of the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Output(BaseModel):
    """The body of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class NoQuery(Query):
    """No query."""


class NoBody(Input):
    """An empty object, or no body at all."""


def _verify_line(text: str) -> str:
    if re.search(event.UNFIT, text):
        raise ValueError("must have no line breaks, control characters or lone surrogates")
    return text


def _verify_time(text: str) -> str:
    try:
        seconds = times.unix_seconds(text)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a time in RFC 3339, such as 2026-03-01T12:00:00Z") from error
    if not 0 <= seconds <= _LATEST_SECONDS:
        raise ValueError("must be a time between 1970 and 2286")
    return text


def _verify_email(text: str) -> str:
    if text and (len(text) > 254 or not _EMAIL.fullmatch(text)):
        raise ValueError("must be an email address, such as ops@example.com")
    return text


def verify_bytes(value: Json, max_bytes: int) -> None:
    """Raise ValueError for a value that takes more bytes as JSON."""
    size = len(texts_json(value))
    if size > max_bytes:
        raise ValueError(f"must have at most {max_bytes} bytes as JSON; got {size}")


Line = Annotated[str, AfterValidator(_verify_line)]
"""Text of one line."""
Time = Annotated[str, AfterValidator(_verify_time), Field(json_schema_extra={"format": "date-time"}, max_length=40)]
Email = Annotated[str, AfterValidator(_verify_email), Field(max_length=254)]
TypeName = Annotated[str, StringConstraints(pattern=f"^{names.TYPE_PATTERN}$")]


class ListQuery(Query):
    """A page of a list, of at most `limit` items. `cursor` is the `next` of the previous page; empty for the first."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARACTERS)] = ""


class Page(Output, Generic[Item]):
    """A page of a list. `next` is the cursor of the next page; null for the last page."""

    items: list[Item]
    next: str | None = None


class Fault(Output):
    """A value of the request that breaks a rule. `path` is a JSON pointer to it, or `?name` for one of the query."""

    path: str
    rule: str


class Problem(Output):
    """A request that was not done (RFC 9457). `code` is stable, `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: list[Fault] = []
