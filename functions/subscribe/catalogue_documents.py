"""The catalogue as an OpenAPI 3.1 document with webhooks; and the event types in such a document, or in an object."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import ValidationError

from functions.subscribe.models.event_types import MAX_IMPORTED, EventTypeInput
from functions.subscribe.problems import ApiProblem, invalid
from shared.config.values import fault_text
from shared.jsontext import Json, JsonObject
from shared.subscribers.model import EventType
from shared.subscribers.names import TYPE_PATTERN

_NAME: Final = re.compile(TYPE_PATTERN)
_JSON: Final = "application/json"
MAX_REFERENCES: Final = 32


def exported(types: Iterable[EventType], title: str) -> JsonObject:
    webhooks: JsonObject = {each.name: {"post": _operation(each)} for each in types}
    return {"openapi": "3.1.0", "info": {"title": title, "version": "1.0.0"}, "webhooks": webhooks}


def _operation(event_type: EventType) -> JsonObject:
    content: JsonObject = {"schema": event_type.schema_}
    if event_type.examples:
        content["examples"] = {
            f"example{number}": {"value": each} for number, each in enumerate(event_type.examples, start=1)
        }
    operation: JsonObject = {
        "operationId": event_type.name,
        "requestBody": {"content": {_JSON: content}},
        "responses": {"2XX": {"description": "The event is accepted."}},
    }
    if event_type.description:
        operation["description"] = event_type.description
    if event_type.group:
        operation["tags"] = [event_type.group]
    if event_type.is_deprecated:
        operation["deprecated"] = True
    return operation


def imported(document: JsonObject) -> Mapping[str, EventTypeInput]:
    """Return the event types in it, by name. Raises ApiProblem (`invalid_value`)."""
    is_openapi = "openapi" in document
    written = document.get("webhooks", {}) if is_openapi else document
    path = "/document/webhooks" if is_openapi else "/document"
    if not isinstance(written, dict):
        raise invalid(path, "must be an object of event types by name")
    if len(written) > MAX_IMPORTED:
        raise invalid(path, f"must have at most {MAX_IMPORTED} event types; got {len(written)}")
    found: dict[str, EventTypeInput] = {}
    for name, value in written.items():
        where = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"[:200]
        if not _NAME.fullmatch(name):
            raise invalid(where, "must be named with letters, digits, `_`, `.` and `-`, at most 128 of them")
        found[name] = _input(where, _of_operation(document, value) if is_openapi else value)
    return found


def _input(where: str, value: Json) -> EventTypeInput:
    try:
        return EventTypeInput.model_validate(value)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        inner = "".join([f"/{part}" for part in detail["loc"]])
        raise invalid(f"{where}{inner}"[:200], fault_text(detail)) from None


def _of_operation(document: JsonObject, item: Json) -> Json:
    """Return the event type of a webhook: the body of its first operation."""
    item = _resolved(document, item)
    operations = [each for each in item.values() if isinstance(each, dict)] if isinstance(item, dict) else []
    if not operations:
        return None
    operation = operations[0]
    content = _member(document, _member(document, operation, "requestBody"), "content")
    media = _member(document, content, _JSON) or next(iter(content.values()), None) if isinstance(content, dict) else {}
    schema = media.get("schema", {}) if isinstance(media, dict) else {}
    tags, described = operation.get("tags"), operation.get("description") or operation.get("summary")
    return {
        "description": described if isinstance(described, str) else "",
        "group": tags[0] if isinstance(tags, list) and tags and isinstance(tags[0], str) else "",
        "schema": _with_components(document, schema) if isinstance(schema, dict) else {},
        "examples": _examples(document, media),
        "deprecated": operation.get("deprecated") is True,
    }


def _examples(document: JsonObject, media: Json) -> list[Json]:
    if not isinstance(media, dict):
        return []
    if "example" in media:
        return [media["example"]]
    written = media.get("examples")
    named = [_resolved(document, each) for each in written.values()] if isinstance(written, dict) else []
    return [each["value"] for each in named if isinstance(each, dict) and "value" in each]


def _with_components(document: JsonObject, schema: JsonObject) -> JsonObject:
    """Return the schema with the components that it refers to, so that it stands by itself."""
    components = document.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    if not isinstance(schemas, dict):
        return schema
    needed: JsonObject = {}
    waiting: list[Json] = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name in schemas and name not in needed:
                needed[name] = schemas[name]
                waiting.append(schemas[name])
    return {**schema, "components": {"schemas": needed}} if needed else schema


def _references(value: Json) -> Iterable[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/components/schemas/"):
            yield reference.rpartition("/")[2]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _member(document: JsonObject, value: Json, name: str) -> Json:
    return _resolved(document, value.get(name)) if isinstance(value, dict) else None


def _resolved(document: JsonObject, value: Json) -> Json:
    """Return what a reference within the document stands for. Raises ApiProblem for one that goes in circles."""
    for _ in range(MAX_REFERENCES):
        reference = value.get("$ref") if isinstance(value, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return value
        found: Json = document
        for part in reference[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        value = found
    raise ApiProblem("invalid_value", "the document has references that go in circles")
