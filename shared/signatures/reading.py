"""A request as a scheme reads it before it is trusted: each part parsed once at most, if asked for, and bounded."""

from urllib.parse import unquote_plus

from shared.errors import Rejected
from shared.formats import json_body
from shared.formats.decode import decode_content
from shared.formats.media_type import MediaType, media_type
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.limits import DEFAULT
from shared.signatures.places import Place
from shared.signatures.urls import https_url

MAX_QUERY_FIELDS = 200
_FORM = "application/x-www-form-urlencoded"


class Reading:
    """What does not parse holds nothing: whoever looks for a signature there finds none.

    A body is read as its data will be, or what is signed and what is taken could be two readings of the same bytes.
    `url` is the request's URL as its sender knows it; `item`, where given, is what data's paths begin in.
    """

    __slots__ = ("_data", "_form", "_query", "request", "url")

    def __init__(self, request: Request, url: str | None = None, item: Json = None) -> None:
        self.request = request
        self.url = https_url(request) if url is None else url
        self._data: tuple[Json] | None = None if item is None else (item,)
        self._form: JsonObject | None = None
        self._query: dict[str, str] | None = None

    def text(self, place: Place) -> str | None:
        """The first of the texts there."""
        match place.kind:
            case "header":
                return self.request.header(place.name)
            case "query":
                return self.query().get(place.name)
            case "form":
                return _one_text(self.form().get(place.name))
            case "data":
                return next(iter(self.data_texts(place)), None)
        return None

    def data_texts(self, place: Place) -> list[str | None]:
        """A text for each element that the path leads to; None where an element has none there."""
        return [text_of(value) for value in self.values(place)]

    def values(self, place: Place) -> list[Json]:
        """Where a step leads nowhere, the value is None; a `*` on what is no list leads nowhere too."""
        found: list[Json] = [self.data()]
        for step in place.path:
            if step == "*":
                found = [item for value in found for item in (value if isinstance(value, list) else [None])]
            else:
                found = [one_step(value, step) for value in found]
        return found

    def data(self) -> Json:
        if self._data is None:
            self._data = (_parsed(self.request),)
        return self._data[0]

    def query(self) -> dict[str, str]:
        """The first of each name: what a program behind may read and what was signed are the same."""
        if self._query is None:
            self._query = {}
            for pair in self.request.query.split("&")[:MAX_QUERY_FIELDS]:
                name, _, value = pair.partition("=")
                self._query.setdefault(unquote_plus(name), unquote_plus(value))
        return self._query

    def form(self) -> JsonObject:
        """Name to text, or to a list of texts where a name comes again; empty where the body is no form."""
        if self._form is None:
            self._form = _form_of(self.request)
        return self._form

    @property
    def is_form(self) -> bool:
        return _media(self.request).name == _FORM


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


def one_step(value: Json, step: str) -> Json:
    """A key's value, or the item at a position; None where there is none. So locations lead, and so proofs do."""
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isdecimal() and len(step) < 7 and int(step) < len(value):
        return value[int(step)]
    return None


def text_of(value: Json) -> str | None:
    """Numbers and truth values as JSON writes them; nothing of containers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _one_text(value: Json) -> str | None:
    """None of a field that comes again: which of them counts, the sender and we may see differently."""
    return value if isinstance(value, str) else None
