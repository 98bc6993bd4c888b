"""A request as it is read before it is trusted: each part is parsed at most once, only if needed, and within limits."""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from shared.errors import Rejected
from shared.formats import json_body
from shared.formats.decode import decode_content
from shared.formats.media_type import MediaType, media_type
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.limits import DEFAULT
from shared.signatures.locations import Conditions, Location, text_of, value_at, values_at

MAX_QUERY_FIELDS: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"
_NOT_READ: Final[list[Json]] = []
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
# HubSpot's documentation can be read in two ways. Both are tried, beside the URL as it is.
_ESCAPES: Final = (
    "%3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B",
    "%3A %2F %40 %26 %3D %2B %24 %60 %22 %2C %3B %3E %3C %3F",
)


class RequestFields:
    """A request's parts by place. A part that does not parse holds nothing.

    A body is read as its data will be. Otherwise the signed bytes and the data could be two readings of one body.
    `url` is the request's URL as its sender knows it. `item`, where given, is the data in place of the parsed body.
    """

    __slots__ = ("_data", "_form", "_url", "request")

    def __init__(self, request: Request, url: str | None = None, item: Json = None) -> None:
        self.request = request
        self._url = url
        self._data = _NOT_READ if item is None else [item]
        self._form: JsonObject | None = None

    @property
    def url(self) -> str:
        return https_url(self.request) if self._url is None else self._url

    def text(self, place: Location) -> str | None:
        """Return the text at a place; the first where there are several."""
        match place.kind:
            case "header":
                return self.request.header(place.path[0])
            case "data":
                return text_of(value_at(place.path, self.data()))
            case "query":
                return self.query().get(place.path[0])
            case "form":
                # A field that is repeated has no text: the sender and the receiver may each take another value.
                value = self.form().get(place.path[0])
                return value if isinstance(value, str) else None
        return None

    def meets(self, conditions: Conditions) -> bool:
        for place, wanted in conditions:
            text = self.text(place)
            if (text != wanted) if isinstance(wanted, str) else (bool(text) is not wanted):
                return False
        return True

    def data_texts(self, place: Location) -> list[str | None]:
        """Return a text for each element that the path leads to; None where an element has none."""
        return [text_of(value) for value in values_at(place.path, self.data())]

    def data(self) -> Json:
        if self._data is _NOT_READ:
            self._data = [_parsed(self.request)]
        return self._data[0]

    def query(self) -> Mapping[str, str]:
        return query_fields(self.request.query)

    def form(self) -> JsonObject:
        """Return a text by name, or a list of texts where a name is repeated; empty where the body is no form."""
        if self._form is None:
            self._form = _form_of(self.request)
        return self._form

    @property
    def is_form(self) -> bool:
        return _media(self.request).name == _FORM


@lru_cache(maxsize=4)
def query_fields(query: str, most: int | None = MAX_QUERY_FIELDS) -> Mapping[str, str]:
    """Return the first value of each name, of the first `most` fields. Verification and extraction use the same one."""
    fields: dict[str, str] = {}
    for pair in query.split("&")[:most]:
        name, _, value = pair.partition("=")
        fields.setdefault(unquote_plus(name), unquote_plus(value))
    return MappingProxyType(fields)


def https_url(request: Request) -> str:
    """Return the URL that the request itself names, over https. A configured `public_url` takes precedence."""
    query = f"?{request.query}" if request.query else ""
    return f"https://{request.header('host') or ''}{request.path}{query}"


def spellings(url: str, which: str) -> tuple[str, ...]:
    """Return the spellings of the URL that its sender may have signed. `which` is exact, ports or unescaped."""
    if which == "ports":
        return tuple(dict.fromkeys((url, _with_other_port(url))))
    if which == "unescaped":
        return tuple(dict.fromkeys((url, *(_unescaped(url, escapes) for escapes in _ESCAPES))))
    return (url,)


def _media(request: Request) -> MediaType:
    return media_type(request.header("content-type") or "")


def _content(request: Request) -> bytes:
    """Raises Rejected."""
    encoding = request.header("content-encoding")
    return decode_content(request.body, encoding) if encoding else request.body


def _parsed(request: Request) -> Json:
    try:
        return json_body.parse(_content(request), _media(request), DEFAULT)
    except (Rejected, RecursionError, MemoryError):
        return None


def _form_of(request: Request) -> JsonObject:
    from shared.formats import form_body  # few senders sign a form's fields

    media = _media(request)
    if media.name != _FORM:
        return {}
    try:
        content = _content(request)
        if content.lstrip()[:1] in (b"{", b"["):  # its data may be taken as JSON
            return {}
        parsed = form_body.parse(content, media, DEFAULT)
    except (Rejected, MemoryError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _with_other_port(url: str) -> str:
    """Remove the URL's port, or add the default one of its scheme."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    host = parts.netloc.rpartition("@")[2]
    user = parts.netloc[: len(parts.netloc) - len(host)]
    if port is not None:
        return url.replace(parts.netloc, user + host[: host.rindex(":")], 1)
    if parts.scheme not in _DEFAULT_PORT:
        return url
    return url.replace(parts.netloc, f"{user}{host}:{_DEFAULT_PORT[parts.scheme]}", 1)


def _unescaped(url: str, escapes: str) -> str:
    decoded = frozenset(escapes.split())
    return re.sub(
        r"%[0-9A-Fa-f]{2}", lambda found: chr(int(found[0][1:], 16)) if found[0].upper() in decoded else found[0], url
    )
