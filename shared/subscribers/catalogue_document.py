"""The catalogue of event types as documents: read from, and written as, OpenAPI webhooks, JSON Schema or our own form.

openapi_webhooks.py has the first form.

OpenAPI 3.1    `webhooks` (or `x-webhooks` of 3.0): the body of each is what an endpoint gets, with `payload: standard`
               the envelope `{type, timestamp, data}`. The schema of an event type is that of `data`: it is put into
               the envelope and taken out of it
JSON Schema    one schema, or one for each event type under `$defs`
our own        {order.paid: {description, group, schema, examples, deprecated}}
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, TypeAlias

from shared.jsontext import Json, JsonObject
from shared.subscribers import standalone_schema
from shared.subscribers.event_types import event_type_fields, event_type_from, make_event_type, sorted_types
from shared.subscribers.json_pointer import pointer
from shared.subscribers.model import EventType
from shared.subscribers.openapi_webhooks import event_type_of_webhook, is_openapi, modernized, webhooks_of

MAX_TYPES: Final = 1_000
SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TYPE_KEY: Final = "x-event-type"
"""The key of an exported schema that has the facts about its event type, such as its name."""
_SCHEMA_KEYS: Final = frozenset({"$schema", "$id", "$defs", "type", "properties", "allOf", "anyOf", "oneOf", "$ref"})
"""Keys at the top of a JSON Schema."""
_EVENT_TYPE_KEYS: Final = frozenset({"description", "group", "schema", "examples", "deprecated"})
"""The fields of an event type in our own form."""
_Make: TypeAlias = Callable[[], EventType]
"""Makes one event type of a document. Raises CatalogueFault."""


def read_catalogue(document: Json, name: str = "") -> tuple[EventType, ...]:
    """Return the event types of a document in one of the three forms, in the order of the document.

    `name` is the event type of a file that is a single JSON Schema, which does not say it: the file's name, for
    example. Raises CatalogueFaults.
    """
    types: dict[str, EventType] = {}
    faults: list[standalone_schema.CatalogueFault] = []
    try:
        standalone_schema.require_shallow(document)
        if not isinstance(document, dict):
            raise standalone_schema.CatalogueFault(
                "", "must be an object: an OpenAPI document, a JSON Schema, or event types by name"
            )
        for path, type_name, make in _entries(document, name):
            if len(types) >= MAX_TYPES:
                raise standalone_schema.CatalogueFault("", f"must have at most {MAX_TYPES:,} event types")
            try:
                if type_name in types:
                    raise standalone_schema.CatalogueFault(path, f"the event type {type_name!r} is there twice")
                types[type_name] = make()
            except standalone_schema.CatalogueFault as fault:  # it must not hide the faults of other event types
                faults.append(fault)
                if len(faults) >= standalone_schema.MAX_FAULTS:
                    break
    except standalone_schema.CatalogueFault as fault:  # of the document as a whole
        raise standalone_schema.CatalogueFaults([fault]) from fault
    if faults:
        raise standalone_schema.CatalogueFaults(faults)
    return tuple(types.values())


def catalogue_document(event_types: Iterable[EventType]) -> JsonObject:
    """Return the event types in the form of the configuration's `event_types`."""
    return {event_type.name: event_type_fields(event_type) for event_type in sorted_types(event_types)}


def json_schema_document(event_types: Iterable[EventType]) -> JsonObject:
    """Return one JSON Schema 2020-12 document with each event type's schema under `$defs`."""
    schemas: JsonObject = {
        event_type.name: _schema_with_facts(event_type, pointer("/$defs", event_type.name))
        for event_type in sorted_types(event_types)
    }
    return {"$schema": SCHEMA_DIALECT, "$defs": schemas}


def _schema_with_facts(event_type: EventType, base: str) -> JsonObject:
    """Return the schema for the path `base` of a document, with the other fields of the event type beside it."""
    schema = standalone_schema.rebased(event_type.schema_, base)
    facts = {key: value for key, value in event_type_fields(event_type).items() if key != "schema"}
    return {TYPE_KEY: {"name": event_type.name, **facts}, **(schema if isinstance(schema, dict) else {})}


def _entries(document: JsonObject, name: str) -> Iterator[tuple[str, str, _Make]]:
    """Yield each event type's pointer, name and maker. Raises CatalogueFault.

    `name` is the event type of a document that is a single schema without a name. The makers share the hashes of the
    schemas that were checked, so that each is checked once.
    """
    checked_hashes: set[bytes] = set()
    if is_openapi(document):
        modern = modernized(document)
        for path, type_name, item in webhooks_of(modern):
            yield path, type_name, partial(event_type_of_webhook, modern, path, type_name, item, checked_hashes)
    elif not _is_schema(document):
        for type_name, fields in document.items():
            path = pointer("", type_name)
            yield path, type_name, partial(event_type_from, type_name, fields, path)
    elif _is_collection(document):
        definitions = document["$defs"]
        for type_name, schema in definitions.items() if isinstance(definitions, dict) else ():
            path = pointer("/$defs", type_name)
            yield path, type_name, partial(_type_of_schema, document, path, type_name, schema, checked_hashes)
    else:
        own_name = _name_of(document) or name
        if not own_name:
            rule = f"the schema does not say which event type it is of: add {TYPE_KEY}: {{name: order.paid}}"
            raise standalone_schema.CatalogueFault("", rule)
        yield "", own_name, partial(_type_of_schema, document, "", own_name, document, checked_hashes)


def is_own_form(document: Json) -> bool:
    """Return whether it is event types by name, and neither an OpenAPI document nor a JSON Schema."""
    return isinstance(document, dict) and not is_openapi(document) and not _is_schema(document)


def _is_schema(document: JsonObject) -> bool:
    """Return whether the document is a JSON Schema, and not our own form.

    A key such as `type` or `properties` is a keyword of JSON Schema, unless its value has the fields of an event type:
    then it is the name of an event type in our own form.
    """
    if TYPE_KEY in document or "$schema" in document:
        return True
    return any(key in _SCHEMA_KEYS and not _is_event_type(value) for key, value in document.items())


def _is_event_type(value: Json) -> bool:
    return isinstance(value, dict) and bool(value) and value.keys() <= _EVENT_TYPE_KEYS


def _is_collection(document: JsonObject) -> bool:
    """Return whether the document is nothing but a place for the schemas under `$defs`."""
    return "$defs" in document and document.keys() <= {"$schema", "$id", "$defs", "title", "description", "$comment"}


def _name_of(schema: Json) -> str:
    """Return the event type that the schema names; empty if it names none."""
    facts = schema.get(TYPE_KEY) if isinstance(schema, dict) else None
    name = facts.get("name") if isinstance(facts, dict) else facts
    return name if isinstance(name, str) else ""


def _type_of_schema(document: JsonObject, path: str, name: str, schema: Json, checked_hashes: set[bytes]) -> EventType:
    """Return the event type of a schema. If there are no facts of our own beside it, its annotations are used."""
    if not isinstance(schema, dict):
        raise standalone_schema.CatalogueFault(path, "must be a JSON Schema, an object")
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
        description=facts.get("description"),
        group=facts.get("group"),
        schema=standalone_schema.standalone_schema(bare, path, document, checked=checked_hashes),
        examples=facts.get("examples"),
        deprecated=facts.get("deprecated", False),
    )
