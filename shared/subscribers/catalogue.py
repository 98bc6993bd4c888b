"""The event types of a document: written plainly, in an OpenAPI 3.1 document with `webhooks`, or as a JSON Schema.

An event type is an object with `description`, `group`, `schema`, `examples` and `deprecated`, all of them optional.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from shared.jsontext import Json, JsonObject
from shared.subscribers.names import TYPE_PATTERN

SCHEMAS: Final = "#/components/schemas/"
STANDARD: Final = frozenset({"type", "timestamp", "data"})
"""The fields of a body with the payload `standard`, in which `data` has the event's data."""
MAX_REFERENCES: Final = 20
_VALUES: Final = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords of a schema that hold values, in which `$ref` has no meaning."""
_NAME: Final = re.compile(TYPE_PATTERN)


class CatalogueFault(ValueError):
    """The document has no event types that can be used. The text says where and why, and what to do."""


def event_types_in(document: Json, name: str = "") -> dict[str, JsonObject]:
    """Return the event types by name. `name` is that of a document which is the JSON Schema of one event type.

    The names, schemas and examples are not verified. Raises CatalogueFault.
    """
    try:
        if not isinstance(document, dict):
            raise CatalogueFault("must be an object with an event type under each name")
        if "openapi" in document or "webhooks" in document:
            return dict(_in_openapi(document))
        if is_schema(document):
            return {name: _schema_type(document)}
        return {each: _written(each, value) for each, value in document.items()}
    except RecursionError as error:
        raise CatalogueFault("is nested too deeply") from error


def is_schema(document: JsonObject) -> bool:
    """Return whether the document is the schema of one event type, and not a mapping of event types."""
    return "$schema" in document or isinstance(document.get("type"), str | list)


def is_event_type_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _written(name: str, value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise CatalogueFault(f"{name}: must be an object with `description`, `group`, `schema`, `examples`")
    return value


def _schema_type(schema: JsonObject) -> JsonObject:
    """Return the event type of a schema, whose own texts and examples are those of the type."""
    examples = schema.get("examples")
    found: JsonObject = {
        "description": schema.get("description") or schema.get("title"),
        "schema": schema,
        "examples": examples if isinstance(examples, list) else None,
        "deprecated": schema.get("deprecated"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _in_openapi(document: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    version, webhooks = str(document.get("openapi", "")), document.get("webhooks")
    if not version.startswith(("3.1", "3.2")):
        raise CatalogueFault(
            f"openapi: must be 3.1, which has `webhooks` and JSON Schema; got {version or 'nothing'!r}"
        )
    if not isinstance(webhooks, dict) or not webhooks:
        raise CatalogueFault("webhooks: must have an entry for each event type; got none")
    for name, written in webhooks.items():
        item = _followed(document, written, f"webhooks.{name}")
        operation = next((item[verb] for verb in ("post", "put") if verb in item), None)
        if not isinstance(operation, dict):
            raise CatalogueFault(f"webhooks.{name}: must have `post`, the request that a receiver gets")
        yield name, _operation_type(document, operation, f"webhooks.{name}.post")


def _operation_type(document: JsonObject, operation: JsonObject, place: str) -> JsonObject:
    tags, description = operation.get("tags"), operation.get("description") or operation.get("summary")
    found: JsonObject = {
        "description": description if isinstance(description, str) else None,
        "group": str(tags[0]) if isinstance(tags, list) and tags else None,
        "deprecated": True if operation.get("deprecated") is True else None,
        **_body_settings(document, operation, place),
    }
    return {key: value for key, value in found.items() if value is not None}


def _body_settings(document: JsonObject, operation: JsonObject, place: str) -> JsonObject:
    """Return the schema and the examples of the request's JSON body, or of the data in a standard body."""
    if "requestBody" not in operation:
        return {}
    content = _followed(document, operation["requestBody"], f"{place}.requestBody").get("content")
    media = next((value for key, value in _entries(content) if "json" in key), None)
    if not isinstance(media, dict):
        raise CatalogueFault(f"{place}.requestBody: must have a JSON body; got {', '.join(_entries_names(content))}")
    schema, examples = media.get("schema"), list(_examples(document, media, place))
    if not isinstance(schema, dict):
        return {"examples": examples} if examples else {}
    body = _followed(document, schema, f"{place}.requestBody")
    properties = body.get("properties")
    if isinstance(properties, dict) and properties.keys() >= STANDARD:
        schema = properties["data"] if isinstance(properties["data"], dict) else {}
        examples = [each["data"] if isinstance(each, dict) and each.keys() >= STANDARD else each for each in examples]
    found: JsonObject = {"schema": _standalone(document, schema, place)}
    return {**found, "examples": examples} if examples else found


def _examples(document: JsonObject, media: JsonObject, place: str) -> Iterator[Json]:
    if "example" in media:
        yield media["example"]
    for _, written in _entries(media.get("examples")):
        example = _followed(document, written, f"{place}.requestBody")
        if "value" in example:
            yield example["value"]


def _entries(value: Json) -> list[tuple[str, Json]]:
    return list(value.items()) if isinstance(value, dict) else []


def _entries_names(value: Json) -> list[str]:
    return [name for name, _ in _entries(value)] or ["nothing"]


def _followed(document: JsonObject, value: Json, place: str) -> JsonObject:
    """Return the object, or the one in the same document that its `$ref` names."""
    for _ in range(MAX_REFERENCES):
        if not isinstance(value, dict):
            raise CatalogueFault(f"{place}: must be an object")
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value
        value = _pointed_to(document, reference, place)
    raise CatalogueFault(f"{place}: its `$ref` leads in a circle")


def _pointed_to(document: JsonObject, reference: str, place: str) -> Json:
    found: Json = document
    for part in reference.removeprefix("#/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not reference.startswith("#/") or not isinstance(found, dict) or key not in found:
            raise CatalogueFault(f"{place}: {reference!r} leads to nothing in the document, and nothing is fetched")
        found = found[key]
    return found


def _standalone(document: JsonObject, schema: JsonObject, place: str) -> JsonObject:
    """Return the schema with the document's schemas that it refers to, directly or indirectly, under `$defs`."""
    used: dict[str, Json] = {}

    def inside(value: Json) -> Json:
        if isinstance(value, list):
            return [inside(each) for each in value]
        if not isinstance(value, dict):
            return value
        made: JsonObject = {key: each if key in _VALUES else inside(each) for key, each in value.items()}
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith(SCHEMAS):
            name = reference.removeprefix(SCHEMAS).partition("/")[0]
            if name not in used:
                used[name] = None  # before what refers back to it
                used[name] = inside(_pointed_to(document, SCHEMAS + name, place))
            made["$ref"] = f"#/$defs/{reference.removeprefix(SCHEMAS)}"
        return made

    made = inside(schema)
    assert isinstance(made, dict)
    own = made.get("$defs")
    names: Mapping[str, Json] = {name.replace("~1", "/").replace("~0", "~"): each for name, each in used.items()}
    return {**made, "$defs": {**(own if isinstance(own, dict) else {}), **names}} if names else made
