"""The data of a request, whatever its format is."""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.receive.locations import value_at
from functions.receive.signed_part import signs_content
from functions.receive.sources import Source
from shared.errors import Rejected
from shared.formats.decode import decode_content
from shared.formats.media_type import media_type
from shared.formats.parse import Parsed, parse_as, parse_body
from shared.formats.sniff import structured_format
from shared.http import ReadBody, Request
from shared.jsontext import Json
from shared.limits import Limits
from shared.signatures.way import Way

if TYPE_CHECKING:
    from functions.receive.query_event import QueryBody


_CONTENT_TYPES: Final = MappingProxyType(
    {
        "json": "application/json",
        "ndjson": "application/x-ndjson",
        "xml": "application/xml",
        "form": "application/x-www-form-urlencoded",
    }
)
_LOOKED_AT: Final = 1_024

_WHOLE: Final = frozenset({"json", "xml"})
"""The formats that refuse whatever follows their document."""

_BEGINS_LIKE: Final = MappingProxyType[str, Callable[[bytes], bool]](
    {
        "json": lambda body: body[:1] in {b"{", b"["},
        "ndjson": lambda body: body[:1] == b"{",
        "xml": lambda body: body[:1] == b"<",
        "multipart": lambda body: body[:2] == b"--",
    }
)


class ReadData(NamedTuple):
    """`by_body`: the body alone decided how it was read, so that no header could have it read otherwise."""

    data: Json
    by_body: bool


def as_sent_by_provider(source: Source, request: Request) -> Request:
    """The request with the content type that its body shows, of those that the source's provider sends.

    What a signature is looked for in and what is taken are read by it. A header that nobody signed has no say.
    """
    if not source.formats or source.body or request.method == "GET":
        return request
    content_type = _CONTENT_TYPES.get(_sent_format(source.formats, request))
    if content_type is None:  # a multipart body's boundary stands in the header alone
        return request
    headers = tuple(pair for pair in request.headers if pair[0] != "content-type")
    return replace(request, headers=(*headers, ("content-type", content_type)))


def refuse_extended(source: Source, request: Request, by: Way) -> None:
    """Of a signature that can be made for longer content, only what its provider sends is taken: a document that
    nothing can follow, under its own content type. Raises Rejected (`content_type`)."""
    if not by.can_be_extended or not source.formats:
        return
    sent = media_type(request.header("content-type") or "").name
    if sent not in {_CONTENT_TYPES[name] for name in source.formats if name in _WHOLE}:
        rule = "its digest could be that of a longer body, so only the provider's own content type is taken"
        raise Rejected("content_type", rule)


def _sent_format(formats: tuple[str, ...], request: Request) -> str:
    if len(formats) == 1:
        return formats[0]
    try:
        body = decode_content(request.body, request.header("content-encoding"))
    except Rejected:  # reading the data says so again, once the sender is proven
        return formats[0]
    start = body[:_LOOKED_AT].lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((name for name in formats if _BEGINS_LIKE.get(name, bool)(start)), formats[0])


async def body_of(source: Source, head: Request, read_body: ReadBody) -> bytes:
    """What the sender posted, or what a GET's query holds in its place. Raises Rejected."""
    if head.method == "GET":
        return _query_body(source, head).content
    return await read_body(source.max_body_bytes)


def read_data(source: Source, request: Request, limits: Limits, by: Way | None = None) -> ReadData:
    """`by` is the way that proved it, where its head did not. Raises Rejected."""
    if source.max_body_bytes > limits.max_decoded_bytes:
        limits = replace(limits, max_decoded_bytes=source.max_body_bytes)
    parsed, by_body = _parsed(source, request, limits, by)
    if by and by.signs_fields and not source.body and parsed.format != "json":
        raise Rejected("content_type", f"fields of JSON are signed, and the body is called {parsed.format}")
    data = _unwrapped(parsed.data) if source.unwrap and parsed.format == "xml" else parsed.data
    data = _unpacked(source, data, limits)
    for cast in source.casts:
        data = cast.apply(data)
    return ReadData(data, by_body)


def without_tokens(source: Source, data: Json) -> Json:
    from functions.receive.body_tokens import data_without_tokens  # few senders put their token there

    return data_without_tokens(data, source.body_tokens)


def _parsed(source: Source, request: Request, limits: Limits, by: Way | None) -> tuple[Parsed, bool]:
    """And whether the body alone decided how it was read."""
    if request.method == "GET":
        return _of_query(source, request, limits), True
    body = decode_content(request.body, request.header("content-encoding"), limits)
    content_type = request.header("content-type")
    if source.body:
        return parse_as(source.body, body, content_type, limits), True
    if by and signs_content(by) and not source.formats and not by.signs_fields:
        found = _signed_document(body, limits)
        if found:
            return found, True
    return parse_body(body, content_type, limits), bool(source.formats) or bool(by and by.signs_fields)


def _signed_document(body: bytes, limits: Limits) -> Parsed | None:
    """A body that is a document by its own bytes: the content type is not signed, and may be anybody's."""
    name = structured_format(body)
    if name is None:
        return None
    try:
        return parse_as(name, body, None, limits)
    except Rejected as error:
        if error.code != "parse":
            raise
    return None


def _of_query(source: Source, request: Request, limits: Limits) -> Parsed:
    return parse_as(source.body or _query_body(source, request).format, request.body, None, limits)


def _query_body(source: Source, request: Request) -> "QueryBody":
    from functions.receive.query_event import query_body  # where a source takes GET only

    return query_body(source, request.query)


def _unwrapped(data: Json) -> Json:
    """What an XML document's one element holds; an element of text alone stays as it is."""
    if isinstance(data, dict) and len(data) == 1:
        [content] = data.values()
        return content if isinstance(content, dict) else data
    return data


def _unpacked(source: Source, data: Json, limits: Limits) -> Json:
    """The object or list that a field of text holds as JSON, where it does: a form's way to carry one."""
    for [location] in source.unpack:
        packed = value_at(location.path, data)
        if isinstance(packed, str) and packed.lstrip()[:1] in {"{", "["}:
            try:
                return parse_as("json", packed.encode(), None, limits).data
            except Rejected as error:
                if error.code != "parse":
                    raise
    return data
