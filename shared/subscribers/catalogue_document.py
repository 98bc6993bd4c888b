"""The catalogue of event types as documents: read from, and written as, OpenAPI webhooks, JSON Schema or our own form.

OpenAPI 3.1    `webhooks` (or `x-webhooks` of 3.0): the body of each is what an endpoint gets, with `payload: standard`
               the envelope `{type, timestamp, data}`. The schema of an event type is that of `data`: it is put into
               the envelope and taken out of it
JSON Schema    one schema, or one for each event type under `$defs`
our own        {order.paid: {description, group, schema, examples, deprecated}}
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
SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TYPE_KEY: Final = "x-event-type"
"""The key of an exported schema that has the facts about its event type, such as its name."""
Payload: TypeAlias = Literal["standard", "data"]
"""What an endpoint gets: the envelope, or the data alone."""
SCHEMAS: Final = "/components/schemas"
PAYLOAD_KEY: Final = "x-hookchain-payload"
"""The key by which an exported document names its payload, so that it can be imported again without guessing."""
EXAMPLE_TIME: Final = "2026-01-01T00:00:00Z"
METHODS: Final = ("post", "put", "patch", "delete", "get")
"""The methods of a webhook, of which the first one that it has is read."""
_SCHEMA_KEYS: Final = frozenset({"$schema", "$id", "$defs", "type", "properties", "allOf", "anyOf", "oneOf", "$ref"})
"""Keys at the top of a JSON Schema."""
_DATA_KEYS: Final = frozenset({"example", "examples", "enum", "default", "const"})
"""Keywords whose values are data and no schemas."""
_ENVELOPE: Final = frozenset({"type", "timestamp", "data"})
_Make: TypeAlias = Callable[[], EventType]
"""Makes one event type of a document. Raises CatalogueFault."""


def read_catalogue(document: Json, name: str = "") -> tuple[EventType, ...]:
    """Return the event types of a document in one of the three forms, in the order of the document.

    `name` is the event type of a file that is a single JSON Schema, which does not say it: the file's name, for
    example. Raises CatalogueFaults.
    """
    try:
        require_shallow(document)
        if not isinstance(document, dict):
            raise CatalogueFault("", "must be an object: an OpenAPI document, a JSON Schema, or event types by name")
        reading = _Reading()
        for path, type_name, make in _entries(document, name):
            reading.add(path, type_name, make)
    except CatalogueFault as fault:
        raise CatalogueFaults([fault]) from fault
    return reading.event_types()


def catalogue_document(event_types: Iterable[EventType]) -> JsonObject:
    """Return the event types in the form of the configuration's `event_types`."""
    return {event_type.name: event_type_fields(event_type) for event_type in _ordered(event_types)}


def json_schema_document(event_types: Iterable[EventType]) -> JsonObject:
    """Return one JSON Schema 2020-12 document with each event type's schema under `$defs`."""
    schemas: JsonObject = {
        event_type.name: _schema_with_facts(event_type, pointer("/$defs", event_type.name))
        for event_type in _ordered(event_types)
    }
    return {"$schema": SCHEMA_DIALECT, "$defs": schemas}


def _ordered(event_types: Iterable[EventType]) -> Sequence[EventType]:
    return sorted(event_types, key=lambda event_type: event_type.name)


def _schema_with_facts(event_type: EventType, base: str) -> JsonObject:
    """Return the schema for the path `base` of a document, with the other fields of the event type beside it."""
    schema = rebased(event_type.schema_, base)
    facts = {key: value for key, value in event_type_fields(event_type).items() if key != "schema"}
    return {TYPE_KEY: {"name": event_type.name, **facts}, **(schema if isinstance(schema, dict) else {})}


class _Reading:
    """The event types of a document that were read so far, and the faults of the others."""

    def __init__(self) -> None:
        self._types: dict[str, EventType] = {}
        self._faults: list[CatalogueFault] = []

    def add(self, path: str, name: str, make: _Make) -> None:
        """Add an event type, or the fault with which `make` fails.

        Raises CatalogueFault and CatalogueFaults once there are too many event types or faults.
        """
        if len(self._types) >= MAX_TYPES:
            raise CatalogueFault("", f"must have at most {MAX_TYPES:,} event types")
        try:
            if name in self._types:
                raise CatalogueFault(path, f"the event type {name!r} is there twice")
            self._types[name] = make()
        except CatalogueFault as fault:
            self._faults.append(fault)
            if len(self._faults) >= MAX_FAULTS:
                raise CatalogueFaults(self._faults) from fault

    def event_types(self) -> tuple[EventType, ...]:
        """Return the event types in the order of the document. Raises CatalogueFaults if any of them has a fault."""
        if self._faults:
            raise CatalogueFaults(self._faults)
        return tuple(self._types.values())


def _entries(document: JsonObject, name: str) -> Iterator[tuple[str, str, _Make]]:
    """Yield each event type's pointer, name and maker. Raises CatalogueFault.

    `name` is the event type of a document that is a single schema without a name.
    """
    checked: set[bytes] = set()
    if is_openapi(document):
        modern = modernized(document)
        for path, type_name, item in webhooks_of(modern):
            yield path, type_name, partial(event_type_of_webhook, modern, path, type_name, item, checked)
    elif not _is_schema(document):
        for type_name, fields in document.items():
            path = pointer("", type_name)
            yield path, type_name, partial(event_type_from, type_name, fields, path)
    elif _is_collection(document):
        definitions = document["$defs"]
        for type_name, schema in definitions.items() if isinstance(definitions, dict) else ():
            path = pointer("/$defs", type_name)
            yield path, type_name, partial(_type_of_schema, document, path, type_name, schema, checked)
    else:
        own_name = _name_of(document) or name
        if not own_name:
            rule = f"the schema does not say which event type it is of: add {TYPE_KEY}: {{name: order.paid}}"
            raise CatalogueFault("", rule)
        yield "", own_name, partial(_type_of_schema, document, "", own_name, document, checked)


def is_own_form(document: Json) -> bool:
    """Return whether it is event types by name, and neither an OpenAPI document nor a JSON Schema."""
    return isinstance(document, dict) and not is_openapi(document) and not _is_schema(document)


def _is_schema(document: JsonObject) -> bool:
    """Return whether the document is a JSON Schema, and not our own form: there, each value is an object with an event
    type's fields."""
    if TYPE_KEY in document or "$schema" in document:
        return True
    return any(key in _SCHEMA_KEYS and not _is_event_type(value) for key, value in document.items())


def _is_event_type(value: Json) -> bool:
    return isinstance(value, dict) and bool(value) and value.keys() <= {
        "description", "group", "schema", "examples", "deprecated"
    }  # fmt: skip


def _is_collection(document: JsonObject) -> bool:
    """Return whether the document is nothing but a place for the schemas under `$defs`."""
    return "$defs" in document and document.keys() <= {"$schema", "$id", "$defs", "title", "description", "$comment"}


def _name_of(schema: Json) -> str:
    """Return the event type that the schema names; empty if it names none."""
    facts = schema.get(TYPE_KEY) if isinstance(schema, dict) else None
    name = facts.get("name") if isinstance(facts, dict) else facts
    return name if isinstance(name, str) else ""


def _type_of_schema(document: JsonObject, path: str, name: str, schema: Json, checked: set[bytes]) -> EventType:
    """Return the event type of a schema. If there are no facts of our own beside it, its annotations are used."""
    if not isinstance(schema, dict):
        raise CatalogueFault(path, "must be a JSON Schema, an object")
    facts = schema.get(TYPE_KEY)
    bare = {key: value for key, value in schema.items() if key != TYPE_KEY}
    if not isinstance(facts, dict):
        facts = {
            "description": schema.get("description") or schema.get("title"),
            "examples": schema.get("examples"),
            "deprecated": schema.get("deprecated", False),
        }
    return make_event_type(
        path,
        name,
        facts.get("description"),
        facts.get("group"),
        standalone_schema(bare, path, document, checked=checked),
        facts.get("examples"),
        facts.get("deprecated", False),
    )


# OpenAPI: writing it


def openapi_document(
    event_types: Sequence[EventType], title: str = "Webhooks", version: str = "1", payload: Payload = "standard"
) -> JsonObject:
    """Return an OpenAPI 3.1 document with a webhook for each event type."""
    ordered = _ordered(event_types)
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
        bodies = [_example(event_type.name, data) if is_enveloped else data for data in event_type.examples]
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


# OpenAPI: reading it


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


def event_type_of_webhook(document: JsonObject, path: str, name: str, item: Json, checked: set[bytes]) -> EventType:
    """Return the event type of a path item. Raises CatalogueFault."""
    path_item, item_path = _resolved(document, item, path)
    method = next((method for method in METHODS if method in path_item), None)
    if method is None:
        raise CatalogueFault(item_path, "must have the operation `post`")
    operation, operation_path = _resolved(document, path_item[method], pointer(item_path, method))
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
        [_data(example, is_enveloped=inner is not None) for example in _examples(document, content, content_path)],
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
    """Return the schema of `data` and its path, if the schema describes an envelope for this event type; otherwise
    None."""
    body_schema, where = _resolved(document, schema, path) if isinstance(schema, dict) else ({}, path)
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


def _data(example: Json, is_enveloped: bool) -> Json:
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


def _modern(value: Json) -> Json:
    """Return the value with `nullable` and boolean bounds, which only OpenAPI 3.0 has, as JSON Schema writes them."""
    if isinstance(value, list):
        return [_modern(item) for item in value]
    if not isinstance(value, dict):
        return value
    modern = {key: item if key in _DATA_KEYS else _modern(item) for key, item in value.items()}
    if modern.get("nullable") is True and isinstance(modern.get("type"), str):
        modern["type"] = [modern["type"], "null"]
        del modern["nullable"]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(modern.get(exclusive), bool) and modern.pop(exclusive) and bound in modern:
            modern[exclusive] = modern.pop(bound)
    return modern
