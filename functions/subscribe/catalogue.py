"""The catalogue of event types: those of the configuration, and those of the API. The configuration's stand first."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from functions.subscribe.models.event_types import EventTypeView
from functions.subscribe.service import Service
from shared.subscribers.directory import EVENT_TYPES
from shared.subscribers.model import EventType

READ_AT_ONCE: Final = 25
MAX_TYPES: Final = 5_000
"""That are shown on a page, and exported."""
MAX_ANSWER_BYTES: Final = 2_000_000
"""Of an answer with event types. The platform may write it with escapes, and AWS takes 6 MB of it then."""


class CataloguePart(NamedTuple):
    """Event types in the order of their names. `is_whole`: these are all."""

    types: Sequence[EventType]
    is_whole: bool


async def find_event_type(service: Service, name: str) -> EventType | None:
    configured = service.settings.event_types.get(name)
    if configured is not None:
        return configured
    from functions.subscribe.path_parameters import PARAMS

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


async def event_types_from(service: Service, after: str) -> AsyncIterator[EventType]:
    """Yield the types whose names come after that one, in their order. Few are read at once: a type may have 350 kB."""
    while found := await event_types_after(service, after, READ_AT_ONCE):
        for each in found:
            yield each
        if len(found) < READ_AT_ONCE:
            return
        after = found[-1].name


async def catalogue_part(service: Service, group: str = "") -> CataloguePart:
    """Return as many of the types, or of those of a group, as one answer can have."""
    types: list[EventType] = []
    size = 0
    async for each in event_types_from(service, ""):
        if group in ("", each.group):
            size += len(each.text().encode())
            if size > MAX_ANSWER_BYTES or len(types) == MAX_TYPES:
                return CataloguePart(types, is_whole=False)
            types.append(each)
    return CataloguePart(types, is_whole=True)


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
