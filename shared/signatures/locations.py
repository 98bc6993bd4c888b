"""Locations in a request, and the texts there. One language names them: `header.NAME`, `query.NAME`, `form.NAME`, or a
dotted path in the parsed body such as `data.sender.login`, in which `*` stands for each element of a list.

Some settings take more: `signature.KEY` is an item of a signature header that is a list of pairs; `body.path` looks in
the whole body where `data` is one item of it; `beside.KEY` is the name of the one other key in `data`; ` + ` joins two;
`data.a if data.b` holds nothing unless there is a value at `data.b`.

Own code, not JMESPath: importing jmespath takes 9 ms, and a sender waits for receive's start.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from shared import errors, http, limits
from shared.formats import content_encoding, parse
from shared.formats.media_type import MediaType, media_type
from shared.jsontext import Json, JsonObject

MAX_QUERY_FIELDS: Final = 200
_DOTTED: Final = frozenset({"data", "body"})
_FORM: Final = "application/x-www-form-urlencoded"


class Location(NamedTuple):
    """`kind` is header, query, form, data, body, beside or signature. A header's name is in lower case.

    `condition` is a path in the data, of an event's facts only: without a value there, the location holds nothing.
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
    text, _, condition = text.partition(" if data.")
    kind, _, rest = text.partition(".")
    if kind in _DOTTED:
        return Location(kind, tuple(rest.split(".")), tuple(condition.split(".")) if condition else ())
    return Location(kind, (rest.lower() if kind == "header" else rest,))


def parse_choices(written: Json) -> Choices:
    """Parse a location or a list of them that the configuration's model has checked; `None` is an empty list."""
    texts = written if isinstance(written, list) else [written]
    return tuple(tuple(map(parse_location, text.split(" + "))) for text in texts if isinstance(text, str))


def read_conditions(value: Json) -> Conditions:
    """Read a `when` that the configuration's model has checked. None means no conditions."""
    if not isinstance(value, dict):
        return ()
    return tuple(
        (parse_location(at), wanted if isinstance(wanted, bool) else str(wanted)) for at, wanted in value.items()
    )


def first_value_at(path: Sequence[str], value: Json) -> Json:
    """Return the value that a path leads to, the first where `*` leads to several; None if it leads nowhere."""
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
    found: list[Json] = [value]
    for step in path:
        if step == "*":
            found = [item for each in found for item in (each if isinstance(each, list) else [None])]
        else:
            found = [first_value_at((step,), each) for each in found]
    return found


def without(value: Json, path: Sequence[str]) -> Json:
    """Return a copy without the values that the path leads to. `*` stands for each element. An element of a list
    becomes null."""
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
    return items[int(step)] if step.isdecimal() and len(step) < 7 and int(step) < len(items) else None


@dataclass(eq=False, repr=False)
class RequestFields:
    """The texts of a request by location, before the request is trusted. Each part is parsed at most once, only if
    needed, and within limits. A part that cannot be parsed has no texts.

    The body is parsed in the same way as for the event's data. Otherwise a signature could be verified over one reading
    of the body, and the data be another. `known_url` is the request's URL as its sender knows it. `item`, if given, is
    used as the data in place of the body.
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
            return parse.parse_json(_content(self.request), _media(self.request), limits.DEFAULT)
        except (errors.Rejected, RecursionError, MemoryError):
            return None

    @cached_property
    def form(self) -> JsonObject:
        """A text by name, or a list of texts where a name is repeated; empty where the body is no form."""
        return _form_of(self.request)

    @property
    def query(self) -> Mapping[str, str]:
        return query_fields(self.request.query)

    @property
    def is_form(self) -> bool:
        return _media(self.request).name == _FORM

    def text(self, location: Location) -> str | None:
        """Return the text at a location; the first where there are several."""
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
    """Return the first value of each name, of the first `most` fields. Verification and extraction use the same one.

    A field that is not UTF-8 is left out: with its bytes replaced, two ids would be one.
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
    """Raises Rejected."""
    encoding = request.header("content-encoding")
    return content_encoding.decode_content(request.body, encoding) if encoding else request.body


def _form_of(request: http.Request) -> JsonObject:
    # Imported here, because few senders sign a form's fields.
    from shared.formats import form_body

    media = _media(request)
    if media.name != _FORM:
        return {}
    try:
        content = _content(request)
        if content.lstrip()[:1] in (b"{", b"["):  # its data may be taken as JSON
            return {}
        parsed = form_body.parse(content, media, limits.DEFAULT)
    except (errors.Rejected, MemoryError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
