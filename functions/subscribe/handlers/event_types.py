"""The catalogue of event types."""

from typing import Final

from functions.subscribe.catalogue import all_event_types, event_type_view, event_types_after, find_event_type
from functions.subscribe.cursors import cursor, position
from functions.subscribe.delivery_rows import gathered
from functions.subscribe.models.base import NoQuery, Page
from functions.subscribe.models.event_types import (
    EventTypeInput,
    EventTypeQuery,
    EventTypeView,
    Exported,
    Imported,
    ImportInput,
)
from functions.subscribe.problems import ApiProblem, invalid, not_found
from functions.subscribe.route import Call
from shared.jsontext import Json, canonical
from shared.subscribers.directory import EVENT_TYPES
from shared.subscribers.model import EventType

RESERVED: Final = frozenset({"export", "import"})
"""Names that are paths of the API themselves."""
MAX_LOOKED_THROUGH: Final = 500


async def list_event_types(call: Call, given: EventTypeQuery) -> Page[EventTypeView]:
    """List the event types."""
    list_: Json = [EVENT_TYPES, given.group]
    seen = await position(call.service, list_, given.cursor)
    found = await event_types_after(call.service, str(seen[0]) if seen else "", MAX_LOOKED_THROUGH)
    shown = [each for each in found if given.group in ("", each.group)]
    if len(shown) > given.limit:
        last = shown[given.limit - 1].name
    elif len(found) == MAX_LOOKED_THROUGH:
        last = found[-1].name
    else:
        last = ""
    next_ = await cursor(call.service, list_, [last]) if last else None
    items = [event_type_view(call.service, each) for each in shown[: given.limit]]
    return Page[EventTypeView](items=items, next=next_)


async def get_event_type(call: Call, given: NoQuery) -> EventTypeView:
    """Return an event type."""
    found = await find_event_type(call.service, call.params["type"])
    if found is None:
        raise not_found("event type")
    return event_type_view(call.service, found)


async def put_event_type(call: Call, given: EventTypeInput) -> EventTypeView:
    """Create or replace an event type."""
    name = call.params["type"]
    _verify_changeable(call, name)
    return event_type_view(call.service, await _keep(call, name, given))


async def delete_event_type(call: Call, given: NoQuery) -> None:
    """Delete an event type."""
    name = call.params["type"]
    _verify_changeable(call, name)
    if await call.service.documents.get(EVENT_TYPES, name) is None:
        raise not_found("event type")
    await call.service.documents.delete(EVENT_TYPES, name)


async def import_event_types(call: Call, given: ImportInput) -> Imported:
    """Import event types."""
    from functions.subscribe.catalogue_documents import imported

    types = imported(given.document)
    for name in types:
        _verify_changeable(call, name)
    known = await gathered(find_event_type(call.service, name) for name in types)
    created, updated, unchanged = [], [], []
    for (name, new), before in zip(types.items(), known, strict=True):
        if before is None:
            created.append(name)
        elif canonical(_content(before)) == canonical(_content(_stored(name, new, 0.0))):
            unchanged.append(name)
        else:
            updated.append(name)
    if not given.dry_run:
        await gathered(_keep(call, name, types[name]) for name in (*created, *updated))
    return Imported(created=created, updated=updated, unchanged=unchanged)


async def export_event_types(call: Call, given: NoQuery) -> Exported:
    """Export the event types as webhooks of an OpenAPI document."""
    from functions.subscribe.catalogue_documents import exported

    document = exported(await all_event_types(call.service), call.service.settings.portal_name)
    return Exported.model_validate(document)


def _verify_changeable(call: Call, name: str) -> None:
    """Raises ApiProblem."""
    if name in RESERVED:
        raise invalid("/name", f"must not be {name}, which is a path of the API")
    if name in call.service.settings.event_types:
        raise ApiProblem("already_configured", f"the event type {name} is in the configuration; change it there")


async def _keep(call: Call, name: str, given: EventTypeInput) -> EventType:
    stored = _stored(name, given, call.now)
    await call.service.documents.write(EVENT_TYPES, name, stored.text())
    return stored


def _stored(name: str, given: EventTypeInput, now: float) -> EventType:
    return EventType(
        name=name,
        description=given.description,
        group=given.group,
        schema_=given.schema_,
        examples=tuple(given.examples),
        is_deprecated=given.deprecated,
        updated_at=now,
    )


def _content(event_type: EventType) -> Json:
    content: Json = event_type.model_dump(mode="json", exclude={"updated_at"})
    return content
