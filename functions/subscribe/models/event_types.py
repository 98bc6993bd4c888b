"""The catalogue of event types, as the API takes and shows it."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, JsonValue, field_validator

from functions.subscribe.models.base import Input, Line, ListQuery, Output, within_bytes

MAX_TYPE_BYTES: Final = 200_000
MAX_IMPORTED: Final = 1_000


class EventTypeInput(Input):
    """An event type. `schema` is the JSON Schema of an event's data, and the first example is sent as a test."""

    model_config = ConfigDict(populate_by_name=True)

    description: Annotated[str, Field(max_length=2_000)] = ""
    group: Annotated[Line, Field(max_length=100)] = ""
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")] = {}
    examples: Annotated[list[JsonValue], Field(max_length=20)] = []
    deprecated: bool = False

    @field_validator("schema_")
    @classmethod
    def _small_schema(cls, schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
        within_bytes(schema, MAX_TYPE_BYTES)
        return schema

    @field_validator("examples")
    @classmethod
    def _small_examples(cls, examples: list[JsonValue]) -> list[JsonValue]:
        within_bytes(examples, MAX_TYPE_BYTES // 2)
        return examples


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
    group: Annotated[Line, Field(max_length=100)] = ""


class ImportInput(Input):
    """A catalogue to take over: an OpenAPI document with `webhooks`, or an object of event types by name."""

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
