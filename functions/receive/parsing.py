"""The data of a request in any format, changed as the source's settings say.

A signature seldom covers the content type. So anyone who has a signed body could send it with another content type, to
have it parsed otherwise. Against this, receive first replaces the content type by the one that fits the body
(`with_content_type_of_body`). Once the signature is verified, it rejects a body that may have been extended
(`verify_not_extended`). Then it reads the data, and notes whether the body alone decided the format (`read_data`).
"""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

from functions.receive.source import Source
from shared import errors, http, jsontext
from shared.formats import json_body, parse
from shared.limits import DEFAULT, Limits
from shared.signatures.auth_scheme import AuthScheme

_CONTENT_TYPES: Final = MappingProxyType(
    {
        "json": "application/json",
        "ndjson": "application/x-ndjson",
        "xml": "application/xml",
        "form": "application/x-www-form-urlencoded",
    }
)
_CLOSED_FORMATS: Final = frozenset({"json", "xml"})
"""The formats that allow nothing after their document."""

_SNIFFED_BYTES: Final = 1_024
"""The part of a body that shows which of a provider's formats it has."""
_BEFORE_CONTENT: Final = b"\xef\xbb\xbf \t\r\n"
"""The bytes of a byte order mark, and white space."""

# `json` and `ndjson` begin alike: the first one among the provider's formats is chosen.
_BEGINS_LIKE: Final = MappingProxyType[str, Callable[[bytes], bool]](
    {
        "json": lambda start: start.startswith((b"{", b"[")),
        "ndjson": lambda start: start.startswith(b"{"),
        "xml": lambda start: start.startswith(b"<"),
        "multipart": lambda start: start.startswith(b"--"),
        "form": lambda start: start != b"",  # a form begins with any name
    }
)
_GZIP: Final = b"\x1f\x8b"
"""The first two bytes of gzip."""


class ReadData(NamedTuple):
    """The parsed body.

    body_decides_format  the body alone decided how it was parsed, so that no header could have it parsed otherwise
    text                 the data as JSON text, exactly as it was sent; None if the data was changed or is not JSON
    """

    data: jsontext.Json
    body_decides_format: bool
    text: bytes | None = None


def with_content_type_of_body(source: Source, request: http.Request) -> http.Request:
    """Return the request with the content type that fits its body best, of those that the source's provider sends.

    Signatures and data are read by this content type, because the header is not signed. Without a provider whose
    formats are known, and if the source sets the format, the request stays as it is.
    """
    if not source.formats or source.body or request.method == "GET":
        return request
    content_type = _CONTENT_TYPES.get(_sent_format(source.formats, request))
    # A multipart body's boundary stands in the header alone.
    if content_type is None or content_type == request.header("content-type"):
        return request
    headers = tuple(pair for pair in request.headers if pair[0] != "content-type")
    return replace(request, headers=(*headers, ("content-type", content_type)))


def _sent_format(formats: tuple[str, ...], request: http.Request) -> str:
    """Return the first format that the body begins like, else the provider's first one."""
    if len(formats) == 1:
        return formats[0]
    try:
        body = _decoded_body(request)
    except errors.Rejected:  # parsing the data rejects it again, once the sender is authenticated
        return formats[0]
    start = body[:_SNIFFED_BYTES].lstrip(_BEFORE_CONTENT)
    for format_name in formats:
        if _BEGINS_LIKE[format_name](start):
            return format_name
    return formats[0]


def verify_not_extended(source: Source, request: http.Request) -> None:
    """Reject a body that a length-extension attack could have made. Raises Rejected (`unsupported_content_type`).

    From the digest of a secret and a body, anybody can compute the digest of the same with more bytes at its end. So
    only what the provider sends is accepted: a document that nothing can follow, with its own content type.
    """
    if not source.formats:
        return  # the source has no provider whose content types are known
    accepted = {_CONTENT_TYPES[name] for name in source.formats if name in _CLOSED_FORMATS}
    sent = parse.media_type(request.header("content-type") or "").name
    if sent not in accepted:
        rule = "its digest could be that of a longer body, so only the provider's own content type is accepted"
        raise errors.Rejected("unsupported_content_type", rule)


def read_data(source: Source, request: http.Request, limits: Limits, auth: AuthScheme | None = None) -> ReadData:
    """Parse the request's body, and change the data as the source's settings say. Raises Rejected.

    `auth` authenticated the request; None if its head did, or a bus brought it.
    """
    if source.max_body_bytes > limits.max_decoded_bytes:  # the operator allows this source more
        limits = limits._replace(max_decoded_bytes=source.max_body_bytes)
    # A GET's body is made of its query, to which no header applies.
    body = request.body if request.method == "GET" else _decoded_body(request, limits)
    try:
        parsed, body_decides_format = _parse(source, request, body, limits, auth)
    except errors.Rejected as error:
        raise _explained(error, source, request, body) from None  # a cause could carry the body into a traceback
    if auth is not None and auth.signs_fields and not source.body:
        if parsed.format != "json":
            rule = f"fields of JSON are signed, but the body is {parsed.format}"
            raise errors.Rejected("unsupported_content_type", rule)
        body_decides_format = True  # any other format is rejected, so no header can have the body parsed otherwise
    data = _unwrapped(parsed.data) if source.unwrap and parsed.format == "xml" else parsed.data
    for step in source.data_steps:
        data = step(data, limits)
    is_as_sent = parsed.format == "json" and data is parsed.data
    text = json_body.quotable_json(body, parse.media_type(request.header("content-type") or "")) if is_as_sent else None
    return ReadData(data, body_decides_format, text)


def _parse(
    source: Source, request: http.Request, body: bytes, limits: Limits, auth: AuthScheme | None
) -> tuple[parse.Parsed, bool]:
    """Parse the body in the format that the first of these decides; raise Rejected if it cannot be parsed.

    1. the configuration, or the content of a GET's query
    2. the formats that the provider sends
    3. the signed bytes, if they are a document: JSON, XML or a property list
    4. the content type

    Return the parsed body, and whether the sent content type had no part in this.
    """
    content_type = request.header("content-type")
    if request.method == "GET":
        format_name = source.body or _query_format(source, request)
        return parse.parse_as(format_name, body, None, limits), True
    if source.body:
        return parse.parse_as(source.body, body, content_type, limits), True
    if source.formats:
        # with_content_type_of_body chose the content type by the body's first bytes.
        return parse.parse_body(body, content_type, limits), True
    if auth is not None and auth.signs_content and not auth.signs_fields:
        # The content type is not signed, so anybody may have changed it.
        signed_format = parse.structured_format(body)
        if signed_format and (document := parse.parse_if(signed_format, body, None, limits)):
            return document, True
    return parse.parse_body(body, content_type, limits), False


def _query_format(source: Source, request: http.Request) -> str:
    # Imported here, because few sources take GET.
    from functions.receive.query_body import query_body

    return query_body(source, request.query).format


def _explained(error: errors.Rejected, source: Source, request: http.Request, body: bytes) -> errors.Rejected:
    """Return the rejection of a body that cannot be parsed, with what its sender must correct, if that is known."""
    if request.body.startswith(_GZIP) and not request.header("content-encoding"):
        rule = "the body is gzip: the sender must say so, with the header `Content-Encoding: gzip`"
        return errors.Rejected("malformed_body", rule)
    if error.code != "malformed_body":
        return error
    from functions.receive.diagnosis.malformed_bodies import cause_of  # needed only after a rejection

    cause = cause_of(body, error.detail, source.body, parse.media_type(request.header("content-type") or "").format)
    return errors.Rejected("malformed_body", f"{error.detail}; {cause}") if cause else error


def _decoded_body(request: http.Request, limits: Limits = DEFAULT) -> bytes:
    """Return the body without its content encoding. Raises Rejected."""
    encoding = request.header("content-encoding")
    if not encoding:
        return request.body
    # Imported here, because few senders compress.
    from shared.formats.content_encoding import decode_content

    return decode_content(request.body, encoding, limits)


def _unwrapped(data: jsontext.Json) -> jsontext.Json:
    """Return the content of an XML document's one element; an element of text alone stays as it is."""
    if isinstance(data, dict) and len(data) == 1:
        [content] = data.values()
        return content if isinstance(content, dict) else data
    return data
