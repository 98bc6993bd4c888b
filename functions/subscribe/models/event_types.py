"""The catalogue of event types, as the API takes and shows it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from functions.subscribe.models.base import Input, Line, ListQuery, Output, Query
from shared.subscribers.event_types import MAX_DESCRIPTION, MAX_EXAMPLES, MAX_GROUP


class EventTypeInput(Input):
    """An event type. `schema` is the JSON Schema of an event's data, and the first example is sent as a test."""

    model_config = ConfigDict(populate_by_name=True)

    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] = ""
    group: Annotated[Line, Field(max_length=MAX_GROUP)] = ""
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")] = {}
    examples: Annotated[list[JsonValue], Field(max_length=MAX_EXAMPLES)] = []
    deprecated: bool = False


class EventTypeView(Output):
    """An event type. Those of the `source` configuration are changed there."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    description: str
    group: str
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")]
    examples: list[JsonValue]
    deprecated: bool
    source: Literal["configuration", "api"]


class EventTypeQuery(ListQuery):
    group: Annotated[Line, Field(max_length=MAX_GROUP)] = ""


class ExportQuery(Query):
    """With a `group`, the event types of that one."""

    group: Annotated[Line, Field(max_length=MAX_GROUP)] = ""


class ImportInput(Input):
    """A catalogue to take over: an OpenAPI document with `webhooks`, a JSON Schema, or event types by name."""

    document: dict[str, JsonValue]
    dry_run: bool = False


class Imported(Output):
    """The names of the types that were written, or with `dry_run` would be, and of those that stay as they are."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]


class Exported(Output):
    """An OpenAPI 3.1 document whose `webhooks` are the event types."""

    model_config = ConfigDict(extra="allow")

    openapi: str
