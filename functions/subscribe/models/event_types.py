"""The models of event types and of their catalogue."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from functions.subscribe.models.values import Input, Line, ListQuery, Output, Query
from shared.subscribers import event_types


class EventTypeInput(Input):
    """An event type. `schema` is the JSON Schema of an event's data, and the first example is sent as a test."""

    model_config = ConfigDict(populate_by_name=True)

    description: Annotated[str, Field(max_length=event_types.MAX_DESCRIPTION)] = ""
    group: Annotated[Line, Field(max_length=event_types.MAX_GROUP)] = ""
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")] = {}
    examples: Annotated[list[JsonValue], Field(max_length=event_types.MAX_EXAMPLES)] = []
    deprecated: bool = False


class EventTypeView(Output):
    """An event type. One with the `source` configuration can only be changed in the configuration."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    description: str
    group: str
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")]
    examples: list[JsonValue]
    deprecated: bool
    source: Literal["configuration", "api"]


class EventTypeQuery(ListQuery):
    group: Annotated[Line, Field(max_length=event_types.MAX_GROUP)] = ""


class ExportQuery(Query):
    """With a `group`, only the event types of that group."""

    group: Annotated[Line, Field(max_length=event_types.MAX_GROUP)] = ""


class ImportInput(Input):
    """A catalogue to import: an OpenAPI document with `webhooks`, a JSON Schema, or event types by name."""

    document: dict[str, JsonValue]
    dry_run: bool = False


class Imported(Output):
    """The names of the event types that were written, or with `dry_run` would be, and of the unchanged ones."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]


class Exported(Output):
    """An OpenAPI 3.1 document whose `webhooks` are the event types."""

    model_config = ConfigDict(extra="allow")

    openapi: str
