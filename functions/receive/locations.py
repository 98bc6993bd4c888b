"""Where in a request a fact stands: `header.X-GitHub-Event`, `query.type`, or a dotted path as `data.sender.login`;
`beside.update_id` is the name of the one key that stands beside that one, where it says what the body is about.

Own code, not JMESPath: receive's start is what a sender waits for, and this is all it needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from shared.event import attribute_text
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.reading import one_step

PLACES: Final = ("header", "query", "data", "body", "beside")
_FILE: Final = frozenset({"type", "size", "base64"})


@dataclass(frozen=True, slots=True)
class Location:
    """`place` is header, query, data, beside (a key of `data`) or body: all of it, where `data` is an item."""

    place: str
    path: tuple[str, ...]


class Seen(NamedTuple):
    """What locations are looked up in. `body` is `data` itself where the body is no batch."""

    request: Request
    data: Json
    body: Json


Choice = tuple[Location, ...]
"""Its texts go together, joined by full stops."""

Choices = tuple[Choice, ...]
"""Of several, the first that holds something counts."""


def parse_choices(written: Json) -> Choices:
    """A location, or a list of them; `header.X-GitHub-Event + data.action` joins two. Raises ValueError."""
    texts = written if isinstance(written, list) else [written]
    return tuple(parse_choice(text) for text in texts if isinstance(text, str))


def parse_choice(text: str) -> Choice:
    return tuple(parse_location(part) for part in text.split(" + "))


def parse_location(text: str) -> Location:
    """Raises ValueError, whose text says the rule."""
    place, _, rest = text.partition(".")
    if place not in PLACES or not rest or rest.endswith("."):
        raise ValueError(f"{text!r} is not a location: write header.NAME, query.NAME or data.path.to.field")
    path = tuple(rest.split(".")) if place in {"data", "body"} else (rest,)
    if "" in path:
        raise ValueError(f"{text!r} has an empty part between two full stops")
    return Location(place, path)


def text_of(choices: Choices, seen: Seen) -> str | None:
    """The text or number that stands there, fit for an event's attribute; None where there is none."""
    for choice in choices:
        if text := attribute_text(_joined(choice, seen)):
            return text
    return None


def whole_text_of(choices: Choices, seen: Seen) -> str | None:
    """The same as it was sent, however long, for an id: what two events differ by may stand at its end.

    Of what is joined, all must be there: a part alone could be of many.
    """
    for choice in choices:
        texts = [whole_text_at(location, seen) for location in choice]
        if all(texts):
            return ".".join(text for text in texts if text)
    return None


def _joined(choice: Choice, seen: Seen) -> str:
    if len(choice) == 1:  # as good as always
        return whole_text_at(choice[0], seen) or ""
    return ".".join(text for location in choice if (text := whole_text_at(location, seen)))


def whole_text_at(location: Location, seen: Seen) -> str | None:
    match location.place:
        case "header":
            return seen.request.header(location.path[0])
        case "query":
            return _fields(seen.request.query).get(location.path[0])
        case "data":
            return _text(value_at(location.path, seen.data))
        case "beside":
            return _other_key(location.path[0], seen.data)
    return _text(value_at(location.path, seen.body))


@lru_cache(maxsize=4)
def _fields(query: str) -> Mapping[str, str]:
    """Kept, as each item of a batch asks anew."""
    return MappingProxyType(dict(parse_qsl(query)))


def value_at(path: tuple[str, ...], value: Json) -> Json:
    """None where the path leads nowhere."""
    for part in path:
        value = one_step(value, part)
    return value


def _text(value: Json) -> str | None:
    """Numbers as text; nothing of containers and truth values."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)


def _other_key(key: str, data: Json) -> str | None:
    others = [name for name in data if name != key] if isinstance(data, dict) and key in data else []
    return others[0] if len(others) == 1 else None


def default_type(data: Json) -> str:
    """The first of a few usual fields, in the body or in an XML document's one element; else `received`.

    What stands for a file has a `type` that is ours, and its media type.
    """
    places = [data]
    if isinstance(data, dict) and len(data) == 1:
        places.extend(data.values())
    for place in places:
        if isinstance(place, dict) and place.keys() >= _FILE:
            continue
        for name in ("event", "type", "event_type", "action"):
            if isinstance(place, dict) and (text := attribute_text(_text(place.get(name)) or "")):
                return text
    return "received"
