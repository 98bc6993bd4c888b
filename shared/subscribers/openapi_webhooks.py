"""Event types as the webhooks of an OpenAPI document, which is written and read here.

`event_type_of_webhook` reads what `openapi_document` writes, and the documents of other programs, too. The body of a
webhook may be the envelope of Standard Webhooks, or the data alone. `modernized` rewrites the schemas of OpenAPI 3.0 as
those of 3.1.

The functions that follow references return an object and its path, by which a fault names its place.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from shared.jsontext import Json, JsonObject
from shared.subscribers.event_types import make_event_type, sorted_types
from shared.subscribers.json_pointer import pointer, pointer_of, reference_to, value_at
from shared.subscribers.model import EventType
from shared.subscribers.standalone_schema import MAX_HOPS, CatalogueFault, rebased, standalone_schema

Payload: TypeAlias = Literal["standard", "data"]
"""What an endpoint gets: the envelope, or the data alone."""
SCHEMAS: Final = "/components/schemas"
PAYLOAD_KEY: Final = "x-hookchain-payload"
"""The key by which an exported document names its payload, so that it can be imported again without guessing."""
EXAMPLE_TIME: Final = "2026-01-01T00:00:00Z"
METHODS: Final = ("post", "put", "patch", "delete", "get")
"""The methods of a webhook, of which the first one that it has is read."""
_DATA_KEYS: Final = frozenset({"example", "examples", "enum", "default", "const"})
"""Keywords whose values are data and no schemas."""
_NAMED_SCHEMAS: Final = frozenset({"properties", "schemas"})
"""Keywords whose values are schemas by names that somebody chose."""
_ENVELOPE: Final = frozenset({"type", "timestamp", "data"})


def openapi_document(
    event_types: Sequence[EventType], title: str = "Webhooks", version: str = "1", payload: Payload = "standard"
) -> JsonObject:
    """Return an OpenAPI 3.1 document with a webhook for each event type."""
    ordered = sorted_types(event_types)
    groups = sorted({event_type.group for event_type in ordered if event_type.group})
    schemas: JsonObject = {
        event_type.name: rebased(event_type.schema_, pointer(SCHEMAS, event_type.name)) for event_type in ordered
    }
    document: JsonObject = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "webhooks": {event_type.name: {"post": _operation(event_type, payload)} for event_type in ordered},
        "components": {"schemas": schemas},
    }
    return {**document, "tags": [{"name": group} for group in groups]} if groups else document


def _operation(event_type: EventType, payload: Payload) -> JsonObject:
    """Return the operation of an event type's webhook, whose schema is in the components."""
    schema: JsonObject = {"$ref": reference_to(pointer(SCHEMAS, event_type.name))}
    is_enveloped = payload == "standard"
    content: JsonObject = {"schema": _envelope(event_type.name, schema) if is_enveloped else schema}
    if event_type.examples:
        envelope: JsonObject = {"type": event_type.name, "timestamp": EXAMPLE_TIME}
        bodies = [{**envelope, "data": data} if is_enveloped else data for data in event_type.examples]
        content["examples"] = {f"example-{number}": {"value": body} for number, body in enumerate(bodies, 1)}
    operation: JsonObject = {
        "operationId": event_type.name,
        "description": event_type.description,
        "tags": [event_type.group] if event_type.group else None,
        "deprecated": event_type.is_deprecated,
        PAYLOAD_KEY: payload,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"2XX": {"description": "The endpoint has the event. After any other answer it is sent again."}},
    }
    return {key: value for key, value in operation.items() if value}


def _envelope(name: str, schema: JsonObject) -> JsonObject:
    properties: JsonObject = {
        "type": {"const": name},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": schema,
    }
    return {"type": "object", "properties": properties, "required": ["type", "timestamp", "data"]}


# Reading it


def is_openapi(document: JsonObject) -> bool:
    return "openapi" in document or "webhooks" in document or "x-webhooks" in document


def webhooks_of(document: JsonObject) -> Iterator[tuple[str, str, Json]]:
    """Yield each webhook's pointer, name and path item. Raises CatalogueFault."""
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith("3."):
        raise CatalogueFault("/openapi", "must be the version of OpenAPI, 3.0 or later")
    if "webhooks" not in document and "x-webhooks" not in document:
        raise CatalogueFault("/webhooks", "must have an entry for each event type; there is none")
    for key in ("webhooks", "x-webhooks"):
        webhooks = document.get(key, {})
        if not isinstance(webhooks, dict):
            raise CatalogueFault(f"/{key}", "must be an object: each webhook's name and its path item")
        yield from ((pointer("", key, name), name, item) for name, item in webhooks.items())


def event_type_of_webhook(
    document: JsonObject, path: str, name: str, item: Json, checked_hashes: set[bytes]
) -> EventType:
    """Return the event type of a path item. Raises CatalogueFault.

    `checked_hashes` has the hashes of the document's schemas that were checked before; that of this schema is added.
    """
    path_item, item_path = _resolved(document, item, path)
    method = next((method for method in METHODS if method in path_item), None)
    if method is None:
        raise CatalogueFault(item_path, "must have the operation `post`")
    operation, operation_path = _resolved(document, path_item[method], pointer(item_path, method))
    content, content_path = _content(document, operation, operation_path)
    schema, schema_path = content.get("schema", {}), pointer(content_path, "schema")
    is_data_alone = operation.get(PAYLOAD_KEY) == "data"
    enveloped = None if is_data_alone else _in_envelope(document, name, schema, schema_path)
    is_enveloped = enveloped is not None
    if enveloped is not None:
        schema, schema_path = enveloped
    tags = operation.get("tags")
    return make_event_type(
        operation_path,
        name,
        description=operation.get("description") or operation.get("summary"),
        group=tags[0] if isinstance(tags, list) and tags else "",
        schema=standalone_schema(schema, schema_path, document, checked=checked_hashes),
        examples=[_data(example, is_enveloped=is_enveloped) for example in _examples(document, content, content_path)],
        deprecated=operation.get("deprecated", False),
    )


def _content(document: JsonObject, operation: JsonObject, path: str) -> tuple[JsonObject, str]:
    """Return the body's JSON content; an empty one where the webhook has no JSON body."""
    body, body_path = _resolved(document, operation.get("requestBody", {}), pointer(path, "requestBody"))
    contents = body.get("content", {})
    if not isinstance(contents, dict):
        raise CatalogueFault(pointer(body_path, "content"), "must be an object: each media type and its schema")
    for media_type, content in contents.items():
        plain = media_type.partition(";")[0].strip().lower()
        if plain in {"application/json", "*/*", "application/*"} or plain.endswith("+json"):
            return _resolved(document, content, pointer(body_path, "content", media_type))
    return {}, body_path


def _in_envelope(document: JsonObject, name: str, schema: Json, path: str) -> tuple[Json, str] | None:
    """Return the schema of `data` and its path, if the schema describes an envelope for this event type; otherwise
    None."""
    if not isinstance(schema, dict):  # `true`, for example, is a schema too
        return None
    body_schema, where = _resolved(document, schema, path)
    properties = body_schema.get("properties")
    if not isinstance(properties, dict) or properties.keys() != _ENVELOPE:
        return None
    type_, _ = _resolved(document, properties["type"], pointer(where, "properties", "type"))
    if type_.get("const") != name and type_.get("enum") != [name]:
        return None
    return properties["data"], pointer(where, "properties", "data")


def _examples(document: JsonObject, content: JsonObject, path: str) -> list[Json]:
    """Return the examples of a body. An example that is only a URL is left out, because nothing is fetched."""
    examples = content.get("examples")
    if not isinstance(examples, dict):
        return [content["example"]] if "example" in content else []
    resolved = [_resolved(document, example, pointer(path, "examples", key))[0] for key, example in examples.items()]
    return [example["value"] for example in resolved if "value" in example]


def _data(example: Json, *, is_enveloped: bool) -> Json:
    """Return the event's data in an example of a body."""
    return example["data"] if is_enveloped and isinstance(example, dict) and example.keys() == _ENVELOPE else example


def _resolved(document: JsonObject, value: Json, path: str) -> tuple[JsonObject, str]:
    """Return the object to which local references lead, or the value itself, and its path. Raises CatalogueFault."""
    for _ in range(MAX_HOPS):
        if not isinstance(value, dict):
            raise CatalogueFault(path, "must be an object")
        reference = value.get("$ref")
        if not isinstance(reference, str):
            return value, path
        if (where := pointer_of(reference)) is None:
            raise CatalogueFault(path, f"{reference[:200]!r} leads out of the document, and nothing is fetched")
        try:
            value, path = value_at(document, where), where
        except LookupError:
            raise CatalogueFault(path, f"the reference {reference[:200]!r} leads to nothing in the document") from None
    raise CatalogueFault(path, "its references lead in a circle")


def modernized(document: JsonObject) -> JsonObject:
    """Return an OpenAPI 3.0 document with its schemas as JSON Schema 2020-12 writes them; any other as it is."""
    if not str(document.get("openapi")).startswith("3.0"):
        return document
    return {key: _modern(value) for key, value in document.items()}


def _modern(value: Json, *, are_names: bool = False) -> Json:
    """Return the value with `nullable` and boolean bounds, which only OpenAPI 3.0 has, as JSON Schema writes them.

    `are_names`: the keys of the value are names that somebody chose, such as those of properties.
    """
    if isinstance(value, list):
        return [_modern(item) for item in value]
    if not isinstance(value, dict):
        return value
    if are_names:
        return {name: _modern(item) for name, item in value.items()}
    modern = {
        key: item if key in _DATA_KEYS else _modern(item, are_names=key in _NAMED_SCHEMAS)
        for key, item in value.items()
    }
    if modern.get("nullable") is True and isinstance(modern.get("type"), str):
        modern["type"] = [modern["type"], "null"]
        del modern["nullable"]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        is_exclusive = modern.get(exclusive)
        if isinstance(is_exclusive, bool):
            del modern[exclusive]
        if is_exclusive is True and bound in modern:
            modern[exclusive] = modern.pop(bound)
    return modern
