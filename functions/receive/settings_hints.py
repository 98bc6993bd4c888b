"""Hints for the operator, where the events show that a source lacks `batch` or `unpack`, or has a `batch` that does not
fit the bodies."""

import re
from collections.abc import Sequence
from typing import Final

from functions.receive.source import Source
from shared.event import NO_TYPE, Event
from shared.jsontext import Json

_USUAL_FIELDS: Final = frozenset({"body", "data", "event", "json", "message", "payload"})
"""Fields in which senders put JSON."""
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
    field = packed_field(event.data) if event.type == NO_TYPE else None
    if field is None:
        return None
    # A log line contains no part of a body, so any other name stays out of it.
    return packed_hint(field) if field in _USUAL_FIELDS else "no type was found, and a field holds JSON (`unpack`)"


def packed_field(data: Json) -> str | None:
    """Return the first field of the data that holds JSON as text; None if there is none."""
    fields = data.items() if isinstance(data, dict) else ()
    return next((name for name, text in fields if isinstance(text, str) and _LIKE_JSON.match(text)), None)


def packed_hint(field: str) -> str:
    """Return the hint for an event without a type whose field holds JSON. It contains the field's name."""
    return f"no type was found, and the field {field!r} holds JSON: set `unpack: data.{field}`"
