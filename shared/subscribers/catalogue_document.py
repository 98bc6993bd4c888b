"""The catalogue of event types as documents: read from, and written as, OpenAPI webhooks or our own form.

OpenAPI 3.1    `webhooks`: the body of each is what an endpoint gets, with `payload: standard` the envelope
               `{type, timestamp, data}`. The schema of an event type is that of `data`: it is put into the envelope
               and taken out of it
our own        {order.paid: {description, group, schema, examples, deprecated}}

A JSON Schema is read, too: it is the schema of one event type.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, Literal, TypeAlias

from shared.jsontext import Json, JsonObject
from shared.subscribers.event_types import event_type_fields, event_type_from, make_event_type
from shared.subscribers.json_pointer import pointer, pointer_of, reference_to, value_at
from shared.subscribers.model import EventType
from shared.subscribers.standalone_schema import (
    MAX_FAULTS,
    MAX_HOPS,
    CatalogueFault,
    CatalogueFaults,
    rebased,
    require_shallow,
    standalone_schema,
)

MAX_TYPES: Final = 1_000
_SCHEMA_KEYS: Final = frozenset({"$schema", "$id", "$defs", "type", "properties", "allOf", "anyOf", "oneOf", "$ref"})


def read_catalogue(document: Json, name: str = "") -> tuple[EventType, ...]:
    """Return the event types of a document, in its order. Raises CatalogueFaults with the first MAX_FAULTS faults.

    `name` is the event type of a JSON Schema, which does not say it: the file's name, for example.
    """
    event_types: list[EventType] = []
    faults: list[CatalogueFault] = []
    try:
        require_shallow(document)
        if not isinstance(document, dict):
            raise CatalogueFault("", "must be an object: an OpenAPI document, a JSON Schema, or event types by name")
        for make in _makers(document, name):
            if len(event_types) >= MAX_TYPES:
                raise CatalogueFault("", f"must have at most {MAX_TYPES:,} event types")
            try:
                event_types.append(make())
            except CatalogueFault as fault:
                faults.append(fault)
                if len(faults) >= MAX_FAULTS:
                    break
    except CatalogueFault as fault:
        raise CatalogueFaults([fault]) from fault
    if faults:
        raise CatalogueFaults(faults)
    return tuple(event_types)


def catalogue_document(event_types: Iterable[EventType]) -> JsonObject:
    """Return the event types in the form of the configuration's `event_types`."""
    ordered = sorted(event_types, key=lambda each: each.name)
    return {each.name: event_type_fields(each) for each in ordered}


def _makers(document: JsonObject, name: str) -> Iterator[Callable[[], EventType]]:
    """Yield a function for each event type that makes it, or raises CatalogueFault. Raises CatalogueFault."""
    checked: set[bytes] = set()
    if is_openapi(document):
        for path, each, item in webhooks_of(document):
            yield partial(event_type_of_webhook, document, path, each, item, checked)
    elif not _is_schema(document):
        for each, fields in document.items():
            yield partial(event_type_from, each, fields, pointer("", each))
    elif name:
        yield partial(_type_of_schema, document, name)
    else:
        rule = "a JSON Schema does not say which event type it is of: write it as {order.paid: {schema: …}}"
        raise CatalogueFault("", rule)


def is_own_form(document: Json) -> bool:
    """Return whether it is event types by name, and neither an OpenAPI document nor a JSON Schema."""
    return isinstance(document, dict) and not is_openapi(document) and not _is_schema(document)


def _is_schema(document: JsonObject) -> bool:
    """Tell a JSON Schema from our own form, in which each value is an object with an event type's fields."""
    if "$schema" in document:
        return True
    return any(key in _SCHEMA_KEYS and not _is_event_type(value) for key, value in document.items())


def _is_event_type(value: Json) -> bool:
    return isinstance(value, dict) and bool(value) and value.keys() <= {
        "description", "group", "schema", "examples", "deprecated"
    }  # fmt: skip


def _type_of_schema(schema: JsonObject, name: str) -> EventType:
    """Return the event type of a schema, whose annotations describe it."""
    return make_event_type(
        "",
        name,
        schema.get("description") or schema.get("title"),
        schema=standalone_schema(schema),
        examples=schema.get("examples"),
        deprecated=schema.get("deprecated", False),
    )


Payload: TypeAlias = Literal["standard", "data"]
SCHEMAS: Final = "/components/schemas"
PAYLOAD_KEY: Final = "x-hookchain-payload"
"""The key by which an exported document names its payload, so that it can be imported again without guessing."""
EXAMPLE_TIME: Final = "2026-01-01T00:00:00Z"
METHODS: Final = ("post", "put", "patch", "delete", "get")
_ENVELOPE: Final = frozenset({"type", "timestamp", "data"})


def openapi_document(
    event_types: Sequence[EventType], title: str = "Webhooks", version: str = "1", payload: Payload = "standard"
) -> JsonObject:
    """Return an OpenAPI 3.1 document with a webhook for each event type."""
    ordered = sorted(event_types, key=lambda each: each.name)
    groups = sorted({each.group for each in ordered if each.group})
    document: JsonObject = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "webhooks": {each.name: {"post": _operation(each, payload)} for each in ordered},
        "components": {"schemas": {each.name: rebased(each.schema_, pointer(SCHEMAS, each.name)) for each in ordered}},
    }
    return {**document, "tags": [{"name": group} for group in groups]} if groups else document


def _operation(event_type: EventType, payload: Payload) -> JsonObject:
    schema: JsonObject = {"$ref": reference_to(pointer(SCHEMAS, event_type.name))}
    is_enveloped = payload == "standard"
    content: JsonObject = {"schema": _envelope(event_type.name, schema) if is_enveloped else schema}
    if event_type.examples:
        bodies = [_example(event_type.name, each) if is_enveloped else each for each in event_type.examples]
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


def _example(name: str, data: Json) -> JsonObject:
    return {"type": name, "timestamp": EXAMPLE_TIME, "data": data}


# Reading


def is_openapi(document: JsonObject) -> bool:
    return "openapi" in document or "webhooks" in document


def webhooks_of(document: JsonObject) -> Iterator[tuple[str, str, Json]]:
    """Yield each webhook's pointer, name and path item. Raises CatalogueFault."""
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith("3.") or version.startswith("3.0"):
        raise CatalogueFault("/openapi", "must be the version of OpenAPI, 3.1 or later")
    webhooks = document.get("webhooks")
    if not isinstance(webhooks, dict):
        raise CatalogueFault("/webhooks", "must be an object: each webhook's name and its path item")
    yield from ((pointer("/webhooks", name), name, item) for name, item in webhooks.items())


def event_type_of_webhook(document: JsonObject, path: str, name: str, item: Json, checked: set[bytes]) -> EventType:
    """Return the event type of a path item. Raises CatalogueFault."""
    found, item_path = _resolved(document, item, path)
    method = next((each for each in METHODS if each in found), None)
    if method is None:
        raise CatalogueFault(item_path, "must have the operation `post`")
    operation, operation_path = _resolved(document, found[method], pointer(item_path, method))
    content, content_path = _content(document, operation, operation_path)
    schema, schema_path = content.get("schema", {}), pointer(content_path, "schema")
    payload = operation.get(PAYLOAD_KEY)
    inner = None if payload == "data" else _in_envelope(document, name, schema, schema_path)
    if inner is not None:
        schema, schema_path = inner
    tags = operation.get("tags")
    return make_event_type(
        operation_path,
        name,
        operation.get("description") or operation.get("summary"),
        tags[0] if isinstance(tags, list) and tags else "",
        standalone_schema(schema, schema_path, document, checked=checked),
        [_data(each, is_enveloped=inner is not None) for each in _examples(document, content, content_path)],
        operation.get("deprecated", False),
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
    """Return the schema of `data`, if the schema describes an envelope for this event type."""
    found, where = _resolved(document, schema, path) if isinstance(schema, dict) else ({}, path)
    properties = found.get("properties")
    if not isinstance(properties, dict) or properties.keys() != _ENVELOPE:
        return None
    type_, _ = _resolved(document, properties["type"], pointer(where, "properties", "type"))
    if type_.get("const") != name and type_.get("enum") != [name]:
        return None
    return properties["data"], pointer(where, "properties", "data")


def _examples(document: JsonObject, content: JsonObject, path: str) -> list[Json]:
    examples = content.get("examples")
    if not isinstance(examples, dict):
        return [content["example"]] if "example" in content else []
    found = [_resolved(document, each, pointer(path, "examples", key))[0] for key, each in examples.items()]
    return [each["value"] for each in found if "value" in each]


def _data(example: Json, is_enveloped: bool) -> Json:
    return example["data"] if is_enveloped and isinstance(example, dict) and example.keys() == _ENVELOPE else example


def _resolved(document: JsonObject, value: Json, path: str) -> tuple[JsonObject, str]:
    """Follow local references to an object. Raises CatalogueFault."""
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
