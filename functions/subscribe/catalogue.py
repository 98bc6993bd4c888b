"""The catalogue of event types: those of the configuration, and those that the API has stored.

If both have a type of the same name, the configuration's counts. The types are in the order of their names.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from functions.subscribe import route
from functions.subscribe.service import Service
from shared.subscribers import directory, model

READ_AT_ONCE: Final = 25
"""The number of types that are read at a time: each may have 350 kB."""
MAX_TYPES: Final = 5_000
"""The most types that are shown on a page, or exported."""
MAX_ANSWER_BYTES: Final = 2_000_000
"""The most bytes of an answer with event types. AWS accepts 6 MB, and escapes may make the answer longer."""


class CataloguePart(NamedTuple):
    """Event types in the order of their names. `is_whole`: these are all."""

    types: Sequence[model.EventType]
    is_whole: bool


async def find_event_type(service: Service, name: str) -> model.EventType | None:
    """Return the event type of this name: the configuration's, or else the stored one; None if there is none."""
    configured = service.settings.event_types.get(name)
    if configured is not None:
        return configured
    if not route.PARAMS["type"].is_valid(name):
        return None
    stored = await service.directory.read(model.EventType, directory.EVENT_TYPES, name)
    return stored[0] if stored else None


async def event_types_after(service: Service, after: str) -> AsyncIterator[model.EventType]:
    """Yield all types whose names come after that name, in the order of their names."""
    while types := await _next_event_types(service, after, READ_AT_ONCE):
        for event_type in types:
            yield event_type
        if len(types) < READ_AT_ONCE:
            return
        after = types[-1].name


async def _next_event_types(service: Service, after: str, limit: int) -> list[model.EventType]:
    """Return the first `limit` types whose names come after that name, in the order of their names.

    From each place, as many are read: all of them may come before those of the other.
    """
    configured = sorted(name for name in service.settings.event_types if name > after)[:limit]
    stored = await service.directory.page(model.EventType, directory.EVENT_TYPES, limit, after)
    types_by_name = {event_type.name: event_type for event_type in stored}
    types_by_name |= {name: service.settings.event_types[name] for name in configured}
    return [types_by_name[name] for name in sorted(types_by_name)][:limit]


async def catalogue_part(service: Service, group: str = "") -> CataloguePart:
    """Return the first types, or the first types of a group: as many as an answer can contain."""
    types: list[model.EventType] = []
    size = 0
    async for event_type in event_types_after(service, ""):
        if group in ("", event_type.group):
            size += len(event_type.text().encode())
            if size > MAX_ANSWER_BYTES or len(types) == MAX_TYPES:
                return CataloguePart(types, is_whole=False)
            types.append(event_type)
    return CataloguePart(types, is_whole=True)
