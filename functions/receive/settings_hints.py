"""Hints for the operator, where the events show that a source lacks `batch` or `unpack`, or has a `batch`, an `id` or a
`type` that does not fit the bodies."""

import re
from collections.abc import Sequence
from typing import Final

from functions.receive.facts import Item, fact
from functions.receive.source import Source
from shared.event import NO_TYPE, Event
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.locations import Choices, Location

_USUAL_FIELDS: Final = frozenset({"body", "data", "event", "json", "message", "payload"})
"""Fields in which senders put JSON."""
FROM_USUAL_FIELD: Final = ", so the type is read from `event`, `type`, `event_type` or `action`"
"""The effect of a `type` that finds nothing, where another field has a type."""
_LIKE_JSON: Final = re.compile(r"\s*(?:\{\s*[\"}]|\[\s*[\[{\"])")
"""The beginning of an object, or of a list of objects, lists or texts."""


def settings_hint(source: Source, events: Sequence[Event]) -> str | None:
    """Return a hint for the log about the events of a request; None if they show no fault in the settings."""
    is_one_event = len(events) == 1 and not events[0].item  # the items of a batch are counted from 1
    if not is_one_event:
        return None
    [event] = events
    if source.batch:
        rule = f"the body has no list at data.{'.'.join(source.batch)} (`batch`), so it is one event"
        is_list = isinstance(event.data, list)
        return f"{rule}; it is itself a list, whose items are `batch: data.*`" if is_list else rule
    if event.type == NO_TYPE and isinstance(event.data, list):
        return "no type was found, and the body is a list: with `batch: data.*`, each of its items becomes an event"
    field = packed_field(event.data) if event.type == NO_TYPE else None
    if field is None:
        return None
    # A log line contains no part of a body, so any other name stays out of it.
    return packed_hint(field) if field in _USUAL_FIELDS else "no type was found, and a field holds JSON (`unpack`)"


def missing_fact_hint(source: Source, events: Sequence[Event], head: Request) -> str | None:
    """Return a hint for the log about an `id` or `type` that finds nothing; None if they find something.

    It is only for a source with locations of its own, because many providers send some events without an id or a type.
    """
    if source.formats or not events:
        return None
    hints: list[str] = []
    if (choices := source.fact_locations.id) and not any(event.deliveryid for event in events):
        # A request that a signature authenticated is identified by its signed bytes.
        is_new_event = source.dedupe != "body" and not any(auth.signs_content for auth in source.auth)
        effect = ", so the same request again is another event" if is_new_event else ""
        hints.append(f"`id` finds nothing at {_locations_text(choices)}{effect}")
    if (choices := source.fact_locations.type) and lacks_fact(source, choices, events[0], head):
        effect = FROM_USUAL_FIELD if events[0].type != NO_TYPE else ""
        hints.append(f"`type` finds nothing at {_locations_text(choices)}{effect}")
    return "; ".join(hints) or None


def lacks_fact(source: Source, choices: Choices, event: Event, head: Request) -> bool:
    """Return whether the choices found nothing for the event; False also where that cannot be told.

    It cannot be told for the messages of a bus, because their attributes are not in the head, and for an item of a
    batch, because the whole body is not known here.
    """
    return not source.bus and not event.item and fact(choices, Item(head, event.data, event.data)) is None


def _locations_text(choices: Choices) -> str:
    """Return the locations as the settings have them."""
    return " or ".join(" + ".join(map(_location_text, joined)) for joined in choices)


def _location_text(location: Location) -> str:
    return f"{location} if data.{'.'.join(location.condition)}" if location.condition else str(location)


def packed_field(data: Json) -> str | None:
    """Return the first field of the data that holds JSON as text; None if there is none."""
    fields = data.items() if isinstance(data, dict) else ()
    return next((name for name, text in fields if isinstance(text, str) and _LIKE_JSON.match(text)), None)


def packed_hint(field: str) -> str:
    """Return the hint for an event without a type whose field holds JSON. It contains the field's name."""
    return f"no type was found, and the field {field!r} holds JSON: set `unpack: data.{field}`"
