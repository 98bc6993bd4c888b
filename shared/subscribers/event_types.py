"""Make an event type of the catalogue, such as `order.paid`, from a file, a request or the configuration.

An event type has the fields description, group, schema, examples and deprecated. This module has their limits too.
"""

import re
from collections.abc import Iterable
from typing import Final

from shared.jsontext import Json, JsonObject, canonical
from shared.subscribers import model, names
from shared.subscribers.json_pointer import pointer
from shared.subscribers.standalone_schema import CatalogueFault, standalone_schema

MAX_DESCRIPTION_CHARACTERS: Final = 10_000
MAX_GROUP_CHARACTERS: Final = 100
MAX_EXAMPLES: Final = 20
MAX_EXAMPLES_BYTES: Final = 100_000
"""The schema and the examples are stored in one document of at most MAX_RECORD_BYTES."""

_NAME: Final = re.compile(names.TYPE_PATTERN)
_FIELDS: Final = ("description", "group", "schema", "examples", "deprecated")


def make_event_type(
    path: str,
    name: str,
    *,
    description: Json = "",
    group: Json = "",
    schema: JsonObject | None = None,
    examples: Json = None,
    deprecated: Json = False,
) -> model.EventType:
    """Return the event type. `schema` is what `standalone_schema` returns, and is not verified again.

    Raises CatalogueFault with a JSON Pointer: `path`, then the field.
    """
    _require_name(path, name)
    if not isinstance(deprecated, bool):
        raise CatalogueFault(pointer(path, "deprecated"), "must be true or false")
    return model.EventType(
        name=name,
        description=_text(pointer(path, "description"), description, MAX_DESCRIPTION_CHARACTERS),
        group=_text(pointer(path, "group"), group, MAX_GROUP_CHARACTERS),
        schema_=schema or {},
        examples=_examples(pointer(path, "examples"), examples),
        is_deprecated=deprecated,
    )


def event_type_from(name: str, fields: Json, path: str = "") -> model.EventType:
    """Return the event type from its fields as the configuration and the API have them. None stands for no fields.

    Raises CatalogueFault.
    """
    if fields is None:
        return make_event_type(path, name)
    if not isinstance(fields, dict):
        raise CatalogueFault(path, "must be an object with description, group, schema, examples and deprecated")
    if unknown := [key for key in fields if key not in _FIELDS]:
        raise CatalogueFault(
            pointer(path, unknown[0]), f"is not an event type's field; there are: {', '.join(_FIELDS)}"
        )
    _require_name(path, name)  # before the schema, whose verification takes far longer
    schema = fields.get("schema")
    standalone = {} if schema is None else standalone_schema(schema, reported_path=pointer(path, "schema"))
    return make_event_type(
        path,
        name,
        description=fields.get("description", ""),
        group=fields.get("group", ""),
        schema=standalone,
        examples=fields.get("examples"),
        deprecated=fields.get("deprecated", False),
    )


def event_type_fields(event_type: model.EventType) -> JsonObject:
    """Return the fields from which `event_type_from` makes the same event type, without empty ones."""
    fields: JsonObject = {
        "description": event_type.description,
        "group": event_type.group,
        "schema": event_type.schema_,
        "examples": [*event_type.examples],
        "deprecated": event_type.is_deprecated,
    }
    return {key: value for key, value in fields.items() if value}


def _require_name(path: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        rule = (
            "the name of an event type must be 1 to 128 letters, digits, '.', '_' and '-', the first a letter or digit"
        )
        raise CatalogueFault(path, f"{rule}; got {name[:200]!r}")


def _text(path: str, value: Json, limit: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CatalogueFault(path, "must be a text")
    if len(value) > limit:
        raise CatalogueFault(path, f"must have at most {limit:,} characters; it has {len(value):,}")
    return value


def _examples(path: str, value: Json) -> tuple[Json, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise CatalogueFault(path, "must be a list")
    if len(value) > MAX_EXAMPLES:
        raise CatalogueFault(path, f"must be at most {MAX_EXAMPLES}; there are {len(value):,}")
    if (size := len(canonical(value))) > MAX_EXAMPLES_BYTES:
        raise CatalogueFault(path, f"must have at most {MAX_EXAMPLES_BYTES:,} bytes together; they have {size:,}")
    return tuple(value)


def sorted_types(event_types: Iterable[model.EventType]) -> list[model.EventType]:
    """Return the event types in the order of their names."""
    return sorted(event_types, key=lambda event_type: event_type.name)
