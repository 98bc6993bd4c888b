"""Where in a request a fact stands: `header.X-GitHub-Event`, `query.type`, or a dotted path as `data.sender.login`.

Own code, not JMESPath: receive's start is what a sender waits for, and this is all it needs.
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl

from shared.event import attribute_text
from shared.http import Request
from shared.jsontext import Json


@dataclass(frozen=True, slots=True)
class Location:
    place: str
    path: tuple[str, ...]


def parse_location(text: str) -> Location:
    """Raises ValueError, whose text says the rule."""
    place, _, rest = text.partition(".")
    if place not in {"header", "query", "data"} or not rest or rest.endswith("."):
        raise ValueError(f"{text!r} is not a location: write header.NAME, query.NAME or data.path.to.field")
    path = tuple(rest.split(".")) if place == "data" else (rest,)
    if "" in path:
        raise ValueError(f"{text!r} has an empty part between two full stops")
    return Location(place, path)


def text_at(location: Location, request: Request, data: Json) -> str | None:
    """The text or number that stands there, fit for an event's attribute; None where there is none."""
    return attribute_text(whole_text_at(location, request, data) or "") or None


def whole_text_at(location: Location, request: Request, data: Json) -> str | None:
    """The same as it was sent, however long: what two events differ by may stand at its end."""
    if location.place == "header":
        return request.header(location.path[0])
    if location.place == "query":
        return dict(parse_qsl(request.query)).get(location.path[0])
    value = data
    for part in location.path:
        value = _step(value, part)
    return _text(value)


def _step(value: Json, part: str) -> Json:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and part.isdecimal() and len(part) < 7 and int(part) < len(value):
        return value[int(part)]
    return None


def _text(value: Json) -> str | None:
    """Numbers as text; nothing of containers and truth values."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)


def default_type(data: Json) -> str:
    """The first of a few usual fields, in the body or in an XML document's one element; else `received`."""
    places = [data]
    if isinstance(data, dict) and len(data) == 1:
        places.extend(data.values())
    for place in places:
        for name in ("event", "type", "event_type", "action"):
            if isinstance(place, dict) and (text := attribute_text(_text(place.get(name)) or "")):
                return text
    return "received"
