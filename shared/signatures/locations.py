"""Locations in a request, and the texts there.

    header.NAME         a header
    query.NAME          a parameter of the query
    form.NAME           a field of a form
    data.sender.login   a path in the parsed body; `*` in it stands for each element of a list

Some settings accept more:

    signature.KEY       an item of a signature header that is a list of pairs
    body.path           a path in the whole body, where `data` is one item of it
    beside.KEY          the name of the one key in `data` besides this one
    A + B               the texts at both locations, joined
    data.a if data.b    the text at `data.a` if there is a value at `data.b`, else none

The paths are not JMESPath, because importing jmespath takes 9 ms, and a sender waits for receive's start.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from shared import errors, http, limits
from shared.formats import content_encoding, json_body
from shared.formats.parse import MediaType, media_type
from shared.jsontext import Json, JsonObject

MAX_QUERY_FIELDS: Final = 200
"""The fields of a query that are looked at, the first ones."""
_MAX_INDEX_DIGITS: Final = 6
"""No list is so long that an index has more digits: see `max_nodes` of Limits."""
_DOTTED: Final = frozenset({"data", "body"})
"""The kinds of locations with a path of several names."""
_FORM: Final = "application/x-www-form-urlencoded"


class Location(NamedTuple):
    """A place in a request.

    kind        header, query, form, data, body, beside or signature
    path        the names that lead there; the name alone for other kinds than data and body, a header's in lower case
    condition   a path in the data; without a value there, the location has no text; only facts of events have it
    """

    kind: str
    path: tuple[str, ...]
    condition: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path[0]

    def __str__(self) -> str:
        return f"{self.kind}.{'.'.join(self.path)}"


Joined = tuple[Location, ...]
"""Locations whose texts are joined by full stops."""

Choices = tuple[Joined, ...]
"""Alternatives: the first of them that has a text is used."""


Conditions = tuple[tuple[Location, str | bool], ...]
"""For each location, the text that it must have, or whether it must have a text at all. All conditions must be met."""


@lru_cache(maxsize=512)
def parse_location(text: str) -> Location:
    """Parse a location that the configuration's model has checked."""
    place, _, condition = text.partition(" if data.")
    kind, _, name = place.partition(".")
    if kind in _DOTTED:
        condition_path = tuple(condition.split(".")) if condition else ()
        return Location(kind, tuple(name.split(".")), condition_path)
    return Location(kind, (name.lower() if kind == "header" else name,))


def parse_choices(written: Json) -> Choices:
    """Parse a location, or a list of them, that the configuration's model has checked. None is an empty list."""
    texts = written if isinstance(written, list) else [written]
    choices: list[Joined] = []
    for text in texts:
        if isinstance(text, str):
            joined_texts = text.split(" + ")
            choices.append(tuple(map(parse_location, joined_texts)))
    return tuple(choices)


def read_conditions(value: Json) -> Conditions:
    """Read a `when` that the configuration's model has checked. None means no conditions."""
    if not isinstance(value, dict):
        return ()
    conditions: list[tuple[Location, str | bool]] = []
    for location, wanted in value.items():
        conditions.append((parse_location(location), wanted if isinstance(wanted, bool) else str(wanted)))
    return tuple(conditions)


def first_value_at(path: Sequence[str], value: Json) -> Json:
    """Return the value that a path leads to; None if it leads nowhere. A `*` leads to the first element of a list."""
    for step in path:
        if isinstance(value, dict):
            value = None if step == "*" else value.get(step)
        elif isinstance(value, list):
            value = _item(value, "0" if step == "*" else step)
        else:
            return None
    return value


def values_at(path: Sequence[str], value: Json) -> list[Json]:
    """Return the value for each element that a path leads to; None for an element where it leads nowhere."""
    values: list[Json] = [value]
    for step in path:
        if step == "*":
            lists = [value if isinstance(value, list) else [None] for value in values]
            values = [item for items in lists for item in items]
        else:
            values = [first_value_at((step,), value) for value in values]
    return values


def without(value: Json, path: Sequence[str]) -> Json:
    """Return a copy of the value without what the path leads to. An element of a list becomes null, so that the others
    keep their indexes."""
    if not path:
        return None
    first, rest = path[0], path[1:]
    if isinstance(value, list):
        return [without(item, rest) if first in {"*", str(at)} else item for at, item in enumerate(value)]
    if not isinstance(value, dict) or first not in value:
        return value
    others: JsonObject = {name: item for name, item in value.items() if name != first}
    return {**others, first: without(value[first], rest)} if rest else others


def text_of(value: Json) -> str | None:
    """Return a text as it is, and numbers and truth values as JSON writes them; None for objects, lists and null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def _item(items: list[Json], step: str) -> Json:
    """Return the element whose index the step is; None if there is none."""
    is_index = step.isdecimal() and len(step) <= _MAX_INDEX_DIGITS
    return items[int(step)] if is_index and int(step) < len(items) else None


@dataclass(eq=False, repr=False)
class RequestFields:
    """The texts of a request by location, before the request is trusted.

    Each part is parsed at most once, only if it is needed, and within limits. A part that cannot be parsed has no
    texts. The body is parsed as it is for the event's data. Otherwise a signature could be verified over one reading of
    the body, while the data is another.

    known_url   the request's URL as its sender knows it; None for the URL that the request shows
    item        the data, if it is not the whole body; None if it is
    """

    request: http.Request
    known_url: str | None = None
    item: Json = None

    @cached_property
    def url(self) -> str:
        return https_url(self.request) if self.known_url is None else self.known_url

    @cached_property
    def data(self) -> Json:
        if self.item is not None:
            return self.item
        try:
            return json_body.parse(_content(self.request), _media(self.request), limits.DEFAULT)
        except (errors.Rejected, RecursionError, MemoryError):
            return None

    @cached_property
    def form(self) -> JsonObject:
        """The text of each field by its name, or the texts of a repeated field as a list; empty if it is no form."""
        return _form_of(self.request)

    @property
    def query(self) -> Mapping[str, str]:
        return query_fields(self.request.query)

    @property
    def is_form(self) -> bool:
        return _media(self.request).name == _FORM

    def text(self, location: Location) -> str | None:
        """Return the text at a location, the first one if there are several; None if there is none."""
        match location.kind:
            case "header":
                return self.request.header(location.path[0])
            case "data":
                value = first_value_at(location.path, self.data)
                return value if isinstance(value, str) else text_of(value)
            case "query":
                return self.query.get(location.path[0])
            case "form":
                # A field that is repeated has no text: the sender and the receiver may each take another value.
                value = self.form.get(location.path[0])
                return value if isinstance(value, str) else None
        return None

    def meets(self, conditions: Conditions) -> bool:
        """Return whether the request meets every condition. An empty text counts as missing."""
        for location, wanted in conditions:
            text = self.text(location)
            is_met = text == wanted if isinstance(wanted, str) else bool(text) == wanted
            if not is_met:
                return False
        return True

    def data_texts(self, location: Location) -> list[str | None]:
        """Return a text for each element that the path leads to; None if an element has none."""
        return [text_of(value) for value in values_at(location.path, self.data)]


@lru_cache(maxsize=4)
def query_fields(query: str, most: int | None = MAX_QUERY_FIELDS) -> Mapping[str, str]:
    """Return the first value of each name, of the first `most` fields.

    A field that is not UTF-8 is left out. If its bytes were replaced, two different ids could become the same.
    """
    fields: dict[str, str] = {}
    for pair in query.split("&")[:most]:
        name, _, value = pair.partition("=")
        with suppress(UnicodeDecodeError):
            fields.setdefault(unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict"))
    return MappingProxyType(fields)


def https_url(request: http.Request) -> str:
    """Return the URL that the request itself names, over https. A configured `public_url` takes precedence."""
    query = f"?{request.query}" if request.query else ""
    return f"https://{request.header('host') or ''}{request.path}{query}"


def _media(request: http.Request) -> MediaType:
    return media_type(request.header("content-type") or "")


def _content(request: http.Request) -> bytes:
    """Return the body without its content encoding. Raises Rejected."""
    encoding = request.header("content-encoding")
    return content_encoding.decode_content(request.body, encoding) if encoding else request.body


def _form_of(request: http.Request) -> JsonObject:
    """Return the fields of the form in the body; no fields if the body is not a form, or cannot be parsed."""
    # Imported here, because few senders sign a form's fields.
    from shared.formats import form_body

    media = _media(request)
    if media.name != _FORM:
        return {}
    try:
        content = _content(request)
        if content.lstrip()[:1] in (b"{", b"["):  # JSON that is called a form, whose data is JSON: see parse_body
            return {}
        parsed = form_body.parse(content, media, limits.DEFAULT)
    except (errors.Rejected, MemoryError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
