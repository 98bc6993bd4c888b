"""Make an event type from a file, a request or the configuration; and the limits of an event type."""

import re
from collections.abc import Iterable
from typing import Final

from shared.jsontext import Json, JsonObject, canonical
from shared.subscribers import model, names
from shared.subscribers.json_pointer import pointer
from shared.subscribers.standalone_schema import CatalogueFault, standalone_schema

MAX_DESCRIPTION: Final = 10_000
MAX_GROUP: Final = 100
MAX_EXAMPLES: Final = 20
MAX_EXAMPLES_BYTES: Final = 100_000
"""With the schema, they are in one document of at most MAX_RECORD_BYTES."""

_NAME: Final = re.compile(names.TYPE_PATTERN)


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
    """Return the event type. `schema` stands alone, and is not checked again.

    Raises CatalogueFault. Its path is `path`, and the field after it.
    """
    _require_name(path, name)
    if not isinstance(deprecated, bool):
        raise CatalogueFault(pointer(path, "deprecated"), "must be true or false")
    return model.EventType(
        name=name,
        description=_text(pointer(path, "description"), description, MAX_DESCRIPTION),
        group=_text(pointer(path, "group"), group, MAX_GROUP),
        schema_=schema or {},
        examples=_examples(pointer(path, "examples"), examples),
        is_deprecated=deprecated,
    )


def event_type_from(name: str, fields: Json, path: str = "") -> model.EventType:
    """Return the event type from the fields that the configuration and the API have. Raises CatalogueFault."""
    fields = {} if fields is None else fields
    if not isinstance(fields, dict):
        raise CatalogueFault(path, "must be an object with description, group, schema, examples and deprecated")
    known = ("description", "group", "schema", "examples", "deprecated")
    if unknown := [key for key in fields if key not in known]:
        raise CatalogueFault(pointer(path, unknown[0]), f"is not an event type's field; there are: {', '.join(known)}")
    _require_name(path, name)
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
    """Return the fields from which `event_type_from` makes it, without those that say nothing."""
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
