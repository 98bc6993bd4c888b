"""The catalogue of event types as documents: read from, and written as, OpenAPI webhooks, JSON Schema or our own form.

OpenAPI 3.1    `webhooks` (or `x-webhooks` of 3.0): see openapi_webhooks.py
JSON Schema    one schema, or one for each event type under `$defs`
our own        {order.paid: {description, group, schema, examples, deprecated}}
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, TypeAlias

from shared.jsontext import Json, JsonObject
from shared.subscribers.catalogue_faults import MAX_FAULTS, CatalogueFault, CatalogueFaults, pointer
from shared.subscribers.event_types import event_type_fields, event_type_from, make_event_type
from shared.subscribers.model import EventType
from shared.subscribers.openapi_webhooks import event_type_of_webhook, is_openapi, modernized, webhooks_of
from shared.subscribers.standalone_schema import rebased, require_shallow, standalone_schema

MAX_TYPES: Final = 1_000
SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TYPE_KEY: Final = "x-event-type"
"""Keys of an exported schema with facts about its event type."""

_SCHEMA_KEYS: Final = frozenset({"$schema", "$id", "$defs", "type", "properties", "allOf", "anyOf", "oneOf", "$ref"})
_Make: TypeAlias = Callable[[], EventType]


def read_catalogue(document: Json, name: str = "") -> tuple[EventType, ...]:
    """Return the event types of a document in one of the three forms, in the order of the document.

    `name` is the event type of a file that is a single JSON Schema, which does not say it: the file's name, for
    example. Raises CatalogueFaults.
    """
    try:
        require_shallow(document)
        if not isinstance(document, dict):
            raise CatalogueFault("", "must be an object: an OpenAPI document, a JSON Schema, or event types by name")
        made = _Made()
        for path, each, make in _entries(document, name):
            made.add(path, each, make)
    except CatalogueFault as fault:
        raise CatalogueFaults([fault]) from fault
    return made.event_types()


def catalogue_document(event_types: Iterable[EventType]) -> JsonObject:
    """Return the event types in the form of the configuration's `event_types`."""
    return {each.name: event_type_fields(each) for each in _ordered(event_types)}


def json_schema_document(event_types: Iterable[EventType]) -> JsonObject:
    """Return one JSON Schema 2020-12 document with each event type's schema under `$defs`."""
    return {
        "$schema": SCHEMA_DIALECT,
        "$defs": {each.name: _schema_with_facts(each, pointer("/$defs", each.name)) for each in _ordered(event_types)},
    }


def json_schema_file(event_type: EventType) -> JsonObject:
    """Return a JSON Schema 2020-12 document of one event type."""
    return {"$schema": SCHEMA_DIALECT, **_schema_with_facts(event_type, "")}


def _ordered(event_types: Iterable[EventType]) -> Sequence[EventType]:
    return sorted(event_types, key=lambda each: each.name)


def _schema_with_facts(event_type: EventType, base: str) -> JsonObject:
    schema = rebased(event_type.schema_, base)
    facts = {key: value for key, value in event_type_fields(event_type).items() if key != "schema"}
    return {TYPE_KEY: {"name": event_type.name, **facts}, **(schema if isinstance(schema, dict) else {})}


class _Made:
    """The event types that were read and the faults of the others."""

    def __init__(self) -> None:
        self._types: dict[str, EventType] = {}
        self._faults: list[CatalogueFault] = []

    def add(self, path: str, name: str, make: _Make) -> None:
        """Raises CatalogueFault once there are too many event types or faults to continue."""
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
        """Raises CatalogueFaults."""
        if self._faults:
            raise CatalogueFaults(self._faults)
        return tuple(self._types.values())


def _entries(document: JsonObject, name: str) -> Iterator[tuple[str, str, _Make]]:
    """Yield each event type's pointer, name and maker. Raises CatalogueFault."""
    checked: set[bytes] = set()
    if is_openapi(document):
        modern = modernized(document)
        for path, each, item in webhooks_of(modern):
            yield path, each, partial(event_type_of_webhook, modern, path, each, item, checked)
    elif not _is_schema(document):
        for each, fields in document.items():
            path = pointer("", each)
            yield path, each, partial(event_type_from, each, fields, path)
    elif _is_collection(document):
        definitions = document["$defs"]
        for each, schema in definitions.items() if isinstance(definitions, dict) else ():
            path = pointer("/$defs", each)
            yield path, each, partial(_type_of_schema, document, path, each, schema, checked)
    else:
        own = _name_of(document) or name
        if not own:
            rule = f"the schema does not say which event type it is of: add {TYPE_KEY}: {{name: order.paid}}"
            raise CatalogueFault("", rule)
        yield "", own, partial(_type_of_schema, document, "", own, document, checked)


def is_own_form(document: Json) -> bool:
    """Return whether it is event types by name, and neither an OpenAPI document nor a JSON Schema."""
    return isinstance(document, dict) and not is_openapi(document) and not _is_schema(document)


def _is_schema(document: JsonObject) -> bool:
    """Tell a JSON Schema from our own form, in which each value is an object with an event type's fields."""
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
    facts = schema.get(TYPE_KEY) if isinstance(schema, dict) else None
    name = facts.get("name") if isinstance(facts, dict) else facts
    return name if isinstance(name, str) else ""


def _type_of_schema(document: JsonObject, path: str, name: str, schema: Json, checked: set[bytes]) -> EventType:
    """Return the event type of a schema. Without our own facts beside it, its annotations say what they can."""
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
