"""The event types in the API: to list, change, import and export them. catalogue.py reads them."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, JsonValue

from functions.subscribe import catalogue, cursors, problems, route
from functions.subscribe.models import values
from functions.subscribe.service import Service
from shared import batching
from shared.jsontext import Json, texts_json
from shared.subscribers import directory, event_types, model, standalone_schema

RESERVED: Final = frozenset({"export", "import"})
"""Names that are paths of the API themselves."""
MAX_LOOKED_THROUGH: Final = 500
"""The most types that are read for one answer. If few of them belong to the group, it has fewer items and a cursor."""


class EventTypeInput(values.Input):
    """An event type. `schema` is the JSON Schema of an event's data, and the first example is sent as a test."""

    model_config = ConfigDict(populate_by_name=True)

    description: Annotated[str, Field(max_length=event_types.MAX_DESCRIPTION_CHARACTERS)] = ""
    group: Annotated[values.Line, Field(max_length=event_types.MAX_GROUP_CHARACTERS)] = ""
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")] = {}
    examples: Annotated[list[JsonValue], Field(max_length=event_types.MAX_EXAMPLES)] = []
    deprecated: bool = False


class EventTypeView(values.Output):
    """An event type. One with the `source` configuration can only be changed in the configuration."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    description: str
    group: str
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")]
    examples: list[JsonValue]
    deprecated: bool
    source: Literal["configuration", "api"]


class EventTypeQuery(values.ListQuery):
    group: Annotated[values.Line, Field(max_length=event_types.MAX_GROUP_CHARACTERS)] = ""


class ExportQuery(values.Query):
    """With a `group`, only the event types of that group."""

    group: Annotated[values.Line, Field(max_length=event_types.MAX_GROUP_CHARACTERS)] = ""


class ImportInput(values.Input):
    """A catalogue to import: an OpenAPI document with `webhooks`, a JSON Schema, or event types by name."""

    document: dict[str, JsonValue]
    dry_run: bool = False


class Imported(values.Output):
    """The names of the event types that were written, or with `dry_run` would be, and of the unchanged ones."""

    created: list[str]
    updated: list[str]
    unchanged: list[str]


class Exported(values.Output):
    """An OpenAPI 3.1 document whose `webhooks` are the event types."""

    model_config = ConfigDict(extra="allow")

    openapi: str


async def list_event_types(call: route.Call, query: EventTypeQuery) -> values.Page[EventTypeView]:
    """List the event types."""
    list_key: Json = [directory.EVENT_TYPES, query.group]
    position = await cursors.read_cursor(call.service, list_key, query.cursor)
    last_name = str(position[0]) if position else ""
    items: list[EventTypeView] = []
    next_cursor: str | None = None
    size = looked_at = 0
    async for event_type in catalogue.event_types_after(call.service, last_name):
        is_in_group = query.group in ("", event_type.group)
        if is_in_group:
            size += len(event_type.text().encode())
        # The first type is returned even if it is too large: otherwise, the list could not go on.
        is_too_large = is_in_group and size > catalogue.MAX_ANSWER_BYTES and bool(items)
        if is_too_large or len(items) == query.limit or looked_at == MAX_LOOKED_THROUGH:
            next_cursor = await cursors.make_cursor(call.service, list_key, [last_name])
            break
        if is_in_group:
            items.append(event_type_view(call.service, event_type))
        last_name = event_type.name
        looked_at += 1
    return values.Page[EventTypeView](items=items, next=next_cursor)


async def get_event_type(call: route.Call, _: values.NoQuery) -> EventTypeView:
    """Return an event type."""
    event_type = await catalogue.find_event_type(call.service, call.params["type"])
    if event_type is None:
        raise problems.not_found(f"event type: {call.params['type']}")
    return event_type_view(call.service, event_type)


async def put_event_type(call: route.Call, body: EventTypeInput) -> EventTypeView:
    """Create or replace an event type."""
    name = call.params["type"]
    _verify_changeable(call, name)
    try:
        event_type = event_types.event_type_from(name, body.model_dump(by_alias=True))
    except standalone_schema.CatalogueFault as error:
        raise problems.invalid_values([(error.path, error.rule)]) from error
    return event_type_view(call.service, await _store(call, event_type))


async def delete_event_type(call: route.Call, _: values.NoQuery) -> None:
    """Delete an event type."""
    name = call.params["type"]
    _verify_changeable(call, name)
    if await call.service.documents.get(directory.EVENT_TYPES, name) is None:
        raise problems.not_found("event type")
    await call.service.documents.delete(directory.EVENT_TYPES, name)


async def import_event_types(call: route.Call, body: ImportInput) -> Imported:
    """Import event types."""
    # Imported here, because it imports jsonschema, which few requests need.
    from shared.subscribers.catalogue_document import read_catalogue

    try:
        types = read_catalogue(body.document)
    except standalone_schema.CatalogueFaults as error:
        raise problems.invalid_values([(f"/document{fault.path}", fault.rule) for fault in error.faults]) from error
    for event_type in types:
        _verify_changeable(call, event_type.name)
    types_before = await batching.await_all(
        catalogue.find_event_type(call.service, event_type.name) for event_type in types
    )
    created, updated, unchanged = [], [], []
    for event_type, before in zip(types, types_before, strict=True):
        if before is None:
            created.append(event_type)
        elif event_types.event_type_fields(before) == event_types.event_type_fields(event_type):
            unchanged.append(event_type)
        else:
            updated.append(event_type)
    # If a write fails, some types are stored, and the same import stores the others.
    if not body.dry_run:
        await batching.await_all(_store(call, event_type) for event_type in (*created, *updated))
    return Imported(created=_names(created), updated=_names(updated), unchanged=_names(unchanged))


async def export_event_types(call: route.Call, query: ExportQuery) -> Exported:
    """Export the event types as webhooks of an OpenAPI document."""
    # Imported here, because few requests need it.
    from shared.subscribers.openapi_webhooks import openapi_document

    settings = call.service.settings
    part = await catalogue.catalogue_part(call.service, query.group)
    document = openapi_document(part.types, settings.portal_name, payload=settings.payload)
    if not part.is_whole or len(texts_json(document)) > catalogue.MAX_ANSWER_BYTES:
        megabytes = catalogue.MAX_ANSWER_BYTES // 1_000_000
        rule = f"the document would have more than {megabytes} MB, or {catalogue.MAX_TYPES:,} event types"
        advice = "export one `group` at a time, or list the event types page by page"
        raise problems.ApiProblem("answer_too_large", f"{rule}; {advice}")
    return Exported.model_validate(document)


def _names(types: Sequence[model.EventType]) -> list[str]:
    return [event_type.name for event_type in types]


def _verify_changeable(call: route.Call, name: str) -> None:
    """Raise ApiProblem if the API cannot change the event type of that name."""
    if name in RESERVED:
        raise problems.invalid("/name", f"must not be {name}, which is a path of the API")
    if name in call.service.settings.event_types:
        raise problems.ApiProblem(
            "already_configured", f"the event type {name} is in the configuration; change it there"
        )


async def _store(call: route.Call, event_type: model.EventType) -> model.EventType:
    """Store the event type, and return it as it is stored."""
    stored = event_type.model_copy(update={"updated_at": call.now})
    await call.service.documents.write(directory.EVENT_TYPES, stored.name, stored.text())
    return stored


def event_type_view(service: Service, event_type: model.EventType) -> EventTypeView:
    return EventTypeView(
        name=event_type.name,
        description=event_type.description,
        group=event_type.group,
        schema_=event_type.schema_,
        examples=list(event_type.examples),
        deprecated=event_type.is_deprecated,
        source="configuration" if event_type.name in service.settings.event_types else "api",
    )
