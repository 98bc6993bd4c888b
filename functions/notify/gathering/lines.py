"""The line of an event in a digest, where the operator wrote no template that fits it. Pure.

opened: Fix the roof · octo/house · by ada
"""

from collections.abc import Iterator
from typing import Final

from functions.notify.bounded_texts import cut
from functions.notify.message_text import first_fields, title_of, visible
from shared.event import Event, oneline
from shared.jsontext import Json

ACTIONS: Final = ("action", "state", "status", "conclusion")
HEADLINES: Final = ("title", "headline", "summary", "subject", "message", "text", "description", "name", "body")
"""Fields that say what an event is about, in the order of preference; those that stand less deep come first."""
MAX_DEPTH: Final = 3
MAX_FIELDS: Final = 300
MAX_PART_CHARACTERS: Final = 120


def event_line(event: Event) -> str:
    """Return what happened, to what, and who caused it, as far as the event says so in one of the usual fields."""
    action, headline = _action(event.data), _headline(event.data)
    is_news = headline not in (event.subject or "")
    about = ": ".join([part for part in (action, headline if is_news else "") if part])
    parts = [about, _part(event.subject), f"by {_part(event.actor)}" if event.actor else ""]
    line = " · ".join([part for part in dict.fromkeys(parts) if part])
    return (
        line if about or event.subject else " · ".join([*_fields(event), *([line] if line else [])]) or title_of(event)
    )


def _fields(event: Event) -> list[str]:
    return [f"{_part(name)}: {_part(value)}" for name, value in first_fields(event.data)[:3]]


def _action(data: Json) -> str:
    for name in ACTIONS:
        if isinstance(data, dict) and isinstance(value := data.get(name), str) and value:
            return _part(value)
    return ""


def _headline(data: Json) -> str:
    """Return the best of the usual fields; an empty text where there is none."""
    best: tuple[int, int] | None = None
    found = ""
    for depth, name, value in _texts(data):
        rank = (HEADLINES.index(name), depth)
        if best is None or rank < best:
            best, found = rank, value
    return _part(found)


def _texts(data: Json) -> Iterator[tuple[int, str, str]]:
    """Yield the depth, name and text of the first of the usual fields, level by level."""
    level, count = [data], 0
    for depth in range(MAX_DEPTH):
        inner: list[Json] = []
        for value in level:
            for name, item in value.items() if isinstance(value, dict) else ():
                count += 1
                if count > MAX_FIELDS:
                    return
                if isinstance(item, str) and name in HEADLINES and item.strip():
                    yield depth, name, item
                elif isinstance(item, dict):
                    inner.append(item)
        level = inner


def _part(text: str | None) -> str:
    return cut(visible(oneline((text or "")[: 4 * MAX_PART_CHARACTERS])), MAX_PART_CHARACTERS)
