"""The data of a request, whatever its format is."""

from dataclasses import replace
from typing import TYPE_CHECKING

from functions.receive.locations import value_at
from functions.receive.sources import Source
from shared.errors import Rejected
from shared.formats.decode import decode_content
from shared.formats.parse import Parsed, parse_as, parse_body
from shared.http import ReadBody, Request
from shared.jsontext import Json
from shared.limits import Limits
from shared.signatures.way import Way

if TYPE_CHECKING:
    from functions.receive.query_event import QueryBody


async def body_of(source: Source, head: Request, read_body: ReadBody) -> bytes:
    """What the sender posted, or what a GET's query holds in its place. Raises Rejected."""
    if head.method == "GET":
        return _query_body(source, head).content
    return await read_body(source.max_body_bytes)


def read_data(source: Source, request: Request, limits: Limits, by: Way | None = None) -> Json:
    """`by` is the way that proved it, where its head did not. Raises Rejected."""
    if source.max_body_bytes > limits.max_decoded_bytes:
        limits = replace(limits, max_decoded_bytes=source.max_body_bytes)
    parsed = (_of_query if request.method == "GET" else _of_body)(source, request, limits)
    if by and by.signs_fields and not source.body and parsed.format != "json":
        raise Rejected("content_type", f"fields of JSON are signed, and the body is called {parsed.format}")
    data = _unwrapped(parsed.data) if source.unwrap and parsed.format == "xml" else parsed.data
    data = _unpacked(source, data, limits)
    for cast in source.casts:
        data = cast.apply(data)
    return data


def without_tokens(source: Source, data: Json) -> Json:
    from functions.receive.body_tokens import data_without_tokens  # few senders put their token there

    return data_without_tokens(data, source.body_tokens)


def _of_body(source: Source, request: Request, limits: Limits) -> Parsed:
    body = decode_content(request.body, request.header("content-encoding"), limits)
    content_type = request.header("content-type")
    return parse_as(source.body, body, content_type, limits) if source.body else parse_body(body, content_type, limits)


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
