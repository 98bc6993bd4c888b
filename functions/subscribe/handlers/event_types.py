"""The catalogue of event types."""

from typing import Final

from functions.subscribe.bodies import invalid_values
from functions.subscribe.catalogue import (
    MAX_ANSWER_BYTES,
    MAX_TYPES,
    catalogue_part,
    event_type_view,
    event_types_from,
    find_event_type,
)
from functions.subscribe.delivery_rows import await_all
from functions.subscribe.listing import make_cursor, read_cursor
from functions.subscribe.models.base import NoQuery, Page
from functions.subscribe.models.event_types import (
    EventTypeInput,
    EventTypeQuery,
    EventTypeView,
    Exported,
    ExportQuery,
    Imported,
    ImportInput,
)
from functions.subscribe.problems import ApiProblem, invalid, not_found
from functions.subscribe.route import Call
from shared.jsontext import Json, texts_json
from shared.subscribers.directory import EVENT_TYPES
from shared.subscribers.event_types import event_type_fields, event_type_from
from shared.subscribers.model import EventType
from shared.subscribers.standalone_schema import CatalogueFault, CatalogueFaults

RESERVED: Final = frozenset({"export", "import"})
"""Names that are paths of the API themselves."""
MAX_LOOKED_THROUGH: Final = 500
"""Types of one answer. Where few of them are of the group, it has fewer items than asked for, and a cursor."""


async def list_event_types(call: Call, given: EventTypeQuery) -> Page[EventTypeView]:
    """List the event types."""
    list_: Json = [EVENT_TYPES, given.group]
    seen = await read_cursor(call.service, list_, given.cursor)
    items: list[EventTypeView] = []
    last, size, looked_at = str(seen[0]) if seen else "", 0, 0
    async for each in event_types_from(call.service, last):
        if len(items) == given.limit or looked_at == MAX_LOOKED_THROUGH:
            return Page[EventTypeView](items=items, next=await make_cursor(call.service, list_, [last]))
        if given.group in ("", each.group):
            size += len(each.text().encode())
            if items and size > MAX_ANSWER_BYTES:
                return Page[EventTypeView](items=items, next=await make_cursor(call.service, list_, [last]))
            items.append(event_type_view(call.service, each))
        last, looked_at = each.name, looked_at + 1
    return Page[EventTypeView](items=items)


async def get_event_type(call: Call, given: NoQuery) -> EventTypeView:
    """Return an event type."""
    found = await find_event_type(call.service, call.params["type"])
    if found is None:
        raise not_found(f"event type: {call.params['type']}")
    return event_type_view(call.service, found)


async def put_event_type(call: Call, given: EventTypeInput) -> EventTypeView:
    """Create or replace an event type."""
    name = call.params["type"]
    _verify_changeable(call, name)
    try:
        event_type = event_type_from(name, given.model_dump(by_alias=True))
    except CatalogueFault as error:
        raise invalid_values([(error.path, error.rule)]) from error
    return event_type_view(call.service, await _keep(call, event_type))


async def delete_event_type(call: Call, given: NoQuery) -> None:
    """Delete an event type."""
    name = call.params["type"]
    _verify_changeable(call, name)
    if await call.service.documents.get(EVENT_TYPES, name) is None:
        raise not_found("event type")
    await call.service.documents.delete(EVENT_TYPES, name)


async def import_event_types(call: Call, given: ImportInput) -> Imported:
    """Import event types."""
    from shared.subscribers.catalogue_document import read_catalogue  # with what checks schemas

    try:
        types = read_catalogue(given.document)
    except CatalogueFaults as error:
        raise invalid_values([(f"/document{each.path}", each.rule) for each in error.faults]) from error
    for each in types:
        _verify_changeable(call, each.name)
    known = await await_all(find_event_type(call.service, each.name) for each in types)
    created, updated, unchanged = [], [], []
    for each, before in zip(types, known, strict=True):
        if before is None:
            created.append(each)
        elif event_type_fields(before) == event_type_fields(each):
            unchanged.append(each)
        else:
            updated.append(each)
    if not given.dry_run:
        await await_all(_keep(call, each) for each in (*created, *updated))
    names = [[each.name for each in some] for some in (created, updated, unchanged)]
    return Imported(created=names[0], updated=names[1], unchanged=names[2])


async def export_event_types(call: Call, given: ExportQuery) -> Exported:
    """Export the event types as webhooks of an OpenAPI document."""
    from shared.subscribers.catalogue_document import openapi_document

    settings, part = call.service.settings, await catalogue_part(call.service, given.group)
    document = openapi_document(part.types, settings.portal_name, payload=settings.payload)
    if not part.is_whole or len(texts_json(document)) > MAX_ANSWER_BYTES:
        rule = f"the document would have more than {MAX_ANSWER_BYTES // 1_000_000} MB, or {MAX_TYPES:,} event types"
        act = "export one `group` at a time, or list the event types page by page"
        raise ApiProblem("answer_too_large", f"{rule}; {act}")
    return Exported.model_validate(document)


def _verify_changeable(call: Call, name: str) -> None:
    """Raises ApiProblem."""
    if name in RESERVED:
        raise invalid("/name", f"must not be {name}, which is a path of the API")
    if name in call.service.settings.event_types:
        raise ApiProblem("already_configured", f"the event type {name} is in the configuration; change it there")


async def _keep(call: Call, event_type: EventType) -> EventType:
    stored = event_type.model_copy(update={"updated_at": call.now})
    await call.service.documents.write(EVENT_TYPES, stored.name, stored.text())
    return stored
