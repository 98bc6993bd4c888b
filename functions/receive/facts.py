"""The facts that a source reads from an authenticated request: an event's type, id, subject, actor and time."""

from typing import NamedTuple

from shared.event import attribute_text
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.locations import Choices, Location, query_fields, text_of, value_at

_FILE = frozenset({"type", "size", "base64"})


class Item(NamedTuple):
    """One event of a request. `data` is its part of `body`, or `body` itself where the body is no batch."""

    request: Request
    data: Json
    body: Json


class Facts(NamedTuple):
    type: str | None
    subject: str | None
    actor: str | None
    time: str | None


def fact(choices: Choices, item: Item) -> str | None:
    """Return the first text, fit for an event's attribute; None if no location holds any."""
    for joined in choices:
        texts = [text for location in joined if (text := text_at(location, item))]
        if texts and (text := attribute_text(".".join(texts))):
            return text
    return None


def whole_fact(choices: Choices, item: Item) -> str | None:
    """Return the first text for an id: as it was sent, however long, since two events may differ only at its end.

    Of joined locations, all must hold a text: one alone may be common to many events.
    """
    for joined in choices:
        texts = [text for location in joined if (text := text_at(location, item))]
        if len(texts) == len(joined):
            return ".".join(texts)
    return None


def text_at(location: Location, item: Item) -> str | None:
    """Return the text or number at a location as it was sent; None for objects, lists, truth values and null."""
    match location.kind:
        case "data":
            value = value_at(location.path, item.data)
        case "header":
            return item.request.header(location.path[0])
        case "query":
            return query_fields(item.request.query, None).get(location.path[0])
        case "beside":
            return _other_key(location.path[0], item.data)
        case _:
            value = value_at(location.path, item.body)
    return value if value is None or isinstance(value, str) else None if isinstance(value, bool) else text_of(value)


def _other_key(key: str, data: Json) -> str | None:
    others = [name for name in data if name != key] if isinstance(data, dict) and key in data else []
    return others[0] if len(others) == 1 else None


def default_type(data: Json) -> str:
    """Return the first of a few usual fields, in the body or in an XML document's one element; else `received`.

    An object that stands for a file is skipped: its `type` is the media type that the parser put there.
    """
    objects = [data]
    if isinstance(data, dict) and len(data) == 1:
        objects.extend(data.values())
    for found in objects:
        if not isinstance(found, dict) or found.keys() >= _FILE:
            continue
        for name in ("event", "type", "event_type", "action"):
            value = found.get(name)
            if value is None or isinstance(value, bool):
                continue
            if text := attribute_text(text_of(value) or ""):
                return text
    return "received"
