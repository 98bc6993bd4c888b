"""The catalogue of event types: those of the configuration, and those of the API. The configuration's stand first."""

from collections.abc import Sequence
from typing import Final

from functions.subscribe.models.event_types import EventTypeView
from functions.subscribe.service import Service
from shared.subscribers.directory import EVENT_TYPES
from shared.subscribers.model import EventType

PAGE: Final = 500
MAX_TYPES: Final = 5_000
"""That are shown on a page, and exported."""


async def find_event_type(service: Service, name: str) -> EventType | None:
    configured = service.settings.event_types.get(name)
    if configured is not None:
        return configured
    from functions.subscribe.params import PARAMS

    if not PARAMS["type"].is_valid(name):
        return None
    found = await service.directory.read(EventType, EVENT_TYPES, name)
    return found[0] if found else None


async def event_types_after(service: Service, after: str, limit: int) -> list[EventType]:
    """Return the types whose names come after that one, in their order."""
    configured = sorted(name for name in service.settings.event_types if name > after)[:limit]
    kept = await service.directory.page(EventType, EVENT_TYPES, limit, after)
    both = {each.name: each for each in kept}
    both |= {name: service.settings.event_types[name] for name in configured}
    return [both[name] for name in sorted(both)][:limit]


async def all_event_types(service: Service) -> Sequence[EventType]:
    found: list[EventType] = []
    while len(found) < MAX_TYPES:
        page = await event_types_after(service, found[-1].name if found else "", PAGE)
        found += page
        if len(page) < PAGE:
            break
    return found


def event_type_view(service: Service, event_type: EventType) -> EventTypeView:
    return EventTypeView(
        name=event_type.name,
        description=event_type.description,
        group=event_type.group,
        schema_=event_type.schema_,
        examples=list(event_type.examples),
        deprecated=event_type.is_deprecated,
        source="configuration" if event_type.name in service.settings.event_types else "api",
    )
