"""The data of a request in any format, changed as the source's settings say."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from shared.errors import Rejected
from shared.formats.json_body import quotable
from shared.formats.media_type import is_text, media_type, structured_format
from shared.formats.parse import parse_as, parse_body, parse_if
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.limits import Limits
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.locations import Choices, Location, RequestFields, value_at, without

if TYPE_CHECKING:
    from functions.receive.source import Source


DataStep = Callable[[Json, Limits], Json]
"""A change of the parsed data that a source's settings ask for. Raises Rejected."""

_CONTENT_TYPES: Final = MappingProxyType(
    {
        "json": "application/json",
        "ndjson": "application/x-ndjson",
        "xml": "application/xml",
        "form": "application/x-www-form-urlencoded",
    }
)
_SNIFFED_BYTES: Final = 1_024

_WHOLE: Final = frozenset({"json", "xml"})
"""The formats that allow nothing after their document."""

_BEGINS_LIKE: Final = MappingProxyType[str, Callable[[bytes], bool]](
    {
        "json": lambda body: body[:1] in {b"{", b"["},
        "ndjson": lambda body: body[:1] == b"{",
        "xml": lambda body: body[:1] == b"<",
        "multipart": lambda body: body[:2] == b"--",
    }
)
_GZIP: Final = b"\x1f\x8b"
_REMOVED: Final = "[removed]"
_SHORTEST_TOKEN: Final = 8
"""A shorter token is not removed from the raw body: the same text may stand elsewhere."""


class ReadData(NamedTuple):
    """The parsed body.

    by_body  the body alone decided how it was parsed, so that no header could have it parsed otherwise
    text     the data as JSON text, exactly as it was sent; None for any other body
    """

    data: Json
    by_body: bool
    text: bytes | None = None


def as_sent_by_provider(source: "Source", request: Request) -> Request:
    """Return the request with the content type that its body has, among those that the source's provider sends.

    Signatures and data are read by this content type, because the header is not signed.
    """
    if not source.formats or source.body or request.method == "GET":
        return request
    content_type = _CONTENT_TYPES.get(_sent_format(source.formats, request))
    # A multipart body's boundary stands in the header alone.
    if content_type is None or content_type == request.header("content-type"):
        return request
    headers = tuple(pair for pair in request.headers if pair[0] != "content-type")
    return replace(request, headers=(*headers, ("content-type", content_type)))


def _sent_format(formats: tuple[str, ...], request: Request) -> str:
    if len(formats) == 1:
        return formats[0]
    try:
        body = _decoded(request) if request.header("content-encoding") else request.body
    except Rejected:  # parsing the data rejects it again, once the sender is authenticated
        return formats[0]
    start = body[:_SNIFFED_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((name for name in formats if _BEGINS_LIKE.get(name, bool)(start)), formats[0])


def verify_not_extended(source: "Source", request: Request) -> None:
    """Reject a body that a length-extension attack could have made. Raises Rejected (`unsupported_content_type`).

    Only what the provider sends is accepted: a document that nothing can follow, with its own content type.
    """
    sent = media_type(request.header("content-type") or "").name
    if source.formats and sent not in {_CONTENT_TYPES[name] for name in source.formats if name in _WHOLE}:
        rule = "its digest could be that of a longer body, so only the provider's own content type is accepted"
        raise Rejected("unsupported_content_type", rule)


def read_data(source: "Source", request: Request, limits: Limits, auth: AuthScheme | None = None) -> ReadData:
    """Parse the request's body. `auth` authenticated it, where its head did not. Raises Rejected."""
    if source.max_body_bytes > limits.max_decoded_bytes:
        limits = limits._replace(max_decoded_bytes=source.max_body_bytes)
    content_type = request.header("content-type")
    # A GET's body is made of its query, to which no header applies.
    is_encoded = request.header("content-encoding") and request.method != "GET"
    body = _decoded(request, limits) if is_encoded else request.body
    by_body = True
    try:
        if request.method == "GET":
            parsed = parse_as(source.body or query_body(source, request.query).format, request.body, None, limits)
        elif source.body:
            parsed = parse_as(source.body, body, content_type, limits)
        elif source.formats:
            parsed = parse_body(body, content_type, limits)
        elif auth and auth.signs_content and not auth.signs_fields and (name := structured_format(body)):
            # A document by its own bytes: the content type is not signed, and may be anybody's.
            document = parse_if(name, body, None, limits)
            parsed, by_body = (document, True) if document else (parse_body(body, content_type, limits), False)
        else:
            parsed, by_body = parse_body(body, content_type, limits), auth is not None and auth.signs_fields
    except Rejected as error:
        raise _unannounced(request) or _misdeclared(error, body, content_type) or error from None
    if auth and auth.signs_fields and not source.body and parsed.format != "json":
        raise Rejected("unsupported_content_type", f"fields of JSON are signed, but the body is {parsed.format}")
    data = _unwrapped(parsed.data) if source.unwrap and parsed.format == "xml" else parsed.data
    for step in source.data_steps:
        data = step(data, limits)
    is_as_sent = parsed.format == "json" and data is parsed.data
    return ReadData(data, by_body, quotable(body, media_type(content_type or "")) if is_as_sent else None)


def _unannounced(request: Request) -> Rejected | None:
    """Return the reason why a body did not parse that is compressed and does not say so."""
    if request.body[:2] != _GZIP or request.header("content-encoding"):
        return None
    rule = "the body is gzip: the sender must say so, with the header `Content-Encoding: gzip`"
    return Rejected("malformed_body", rule)


def _misdeclared(error: Rejected, body: bytes, content_type: str | None) -> Rejected | None:
    """Return the rejection with its reason, where the body did not parse and begins like another format."""
    declared, begins_like = media_type(content_type or "").format, structured_format(body)
    if error.code != "malformed_body" or None in (declared, begins_like) or declared == begins_like:
        return None
    rule = f"the content type says {declared}, and the body begins like {begins_like}: the sender must correct one"
    return Rejected("malformed_body", f"{error.detail}; {rule}")


def _decoded(request: Request, limits: Limits | None = None) -> bytes:
    """Raises Rejected."""
    encoding = request.header("content-encoding")
    if not encoding:
        return request.body
    from shared.formats.content_encoding import decode_content  # few senders compress

    return decode_content(request.body, encoding, limits) if limits else decode_content(request.body, encoding)


def _unwrapped(data: Json) -> Json:
    """Return the content of an XML document's one element; an element of text alone stays as it is."""
    if isinstance(data, dict) and len(data) == 1:
        [content] = data.values()
        return content if isinstance(content, dict) else data
    return data


def unpack(choices: Choices) -> DataStep:
    """Return the step that replaces the data by the object or list that a text field contains as JSON, if it does."""

    def apply(data: Json, limits: Limits) -> Json:
        for [place] in choices:
            packed = value_at(place.path, data)
            if isinstance(packed, str) and packed.lstrip()[:1] in {"{", "["}:
                try:
                    return parse_as("json", packed.encode(), None, limits).data
                except Rejected as error:
                    if error.code != "malformed_body":
                        raise
        return data

    return apply


def cast_values(settings: JsonObject) -> DataStep:
    """Return the step that converts values to the kinds of a source's `cast`: dotted paths, each with its kind.

    A path through a list applies to each item. A value that cannot be converted stays as it is.
    """
    from shared.casting import CASTS  # few sources cast

    conversions = {str(kind): convert for kind, convert in CASTS.items()}
    casts = [(tuple(path.split(".")[1:]), str(kind)) for path, kind in settings.items()]

    def apply(data: Json, _: Limits) -> Json:
        for path, kind in casts:
            data = _converted(data, path, conversions[kind], kind == "list")
        return data

    return apply


def _converted(value: Json, path: tuple[str, ...], convert: Callable[[Json], Json], to_list: bool) -> Json:
    if isinstance(value, list) and not (to_list and not path):
        return [_converted(item, path, convert, to_list) for item in value]
    if path:
        if not isinstance(value, dict) or path[0] not in value:
            return value
        return {**value, path[0]: _converted(value[path[0]], path[1:], convert, to_list)}
    try:
        return convert(value)
    except ValueError:
        return value


def data_without_tokens(data: Json, places: Sequence[Location]) -> Json:
    """Remove tokens: a token in a body authenticates its sender, so it is not passed on."""
    for place in places:
        data = without(data, place.path)
    return data


def body_without_tokens(request: Request, places: Sequence[Location]) -> bytes | None:
    """Remove tokens from a raw body; None if they cannot be found in it, for example because it is compressed."""
    body = request.body
    for text in _tokens(request, places):
        if len(text) >= _SHORTEST_TOKEN:
            body = body.replace(text.encode("utf-8", "replace"), _REMOVED.encode())
    return None if any(_tokens(replace(request, body=body), places)) else body


def _tokens(request: Request, places: Sequence[Location]) -> Iterator[str]:
    reading = RequestFields(request)
    for place in places:
        for text in reading.data_texts(place) if place.kind == "data" else [reading.text(place)]:
            if text and text != _REMOVED:
                yield text


BODY: Final = b"body"
_BASE64: Final = rb"[A-Za-z0-9_/ +-]{2,}={0,2}"
"""Both alphabets of base64: a text without `-` and `_` is the same in either. A `+` that was not escaped has become a
space."""


class QueryBody(NamedTuple):
    """`content` is the body that the sender would have posted; `format` is the one that it looks like."""

    content: bytes
    format: str


def query_body(source: "Source", query: str) -> QueryBody:
    """Return the event that a query holds, without what authenticates its sender."""
    from shared.signatures.links import OWN  # few sources take GET

    proof = OWN | {each.name for auth in source.auth for each in auth.credentials if each.kind == "query"}
    parts = [part for part in query.encode("latin-1", "replace").split(b"&") if part]
    for part in parts:
        name, equals, value = part.partition(b"=")
        if equals and _unescaped(name) == BODY:
            return document_in(_unescaped(value))
    fields = [part for part in parts if _unescaped(part.partition(b"=")[0]).decode(errors="replace") not in proof]
    return QueryBody(b"&".join(fields), "form")


def _unescaped(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def document_in(content: bytes) -> QueryBody:
    if re.fullmatch(_BASE64, content) and (inner := _from_base64(content)) and (kind := _kind(inner)) != "text":
        return QueryBody(inner, kind)
    return QueryBody(content, _kind(content))


def _from_base64(content: bytes) -> bytes | None:
    bare = content.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/").replace(b" ", b"+")
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4))
    except binascii.Error:
        return None


def _kind(content: bytes) -> str:
    """Return the format that the content looks like: YAML for an object or a list, since a word alone is text."""
    if name := structured_format(content):
        return name
    if not is_text(content):
        return "text"
    try:
        return "yaml" if isinstance(parse_as("yaml", content, None).data, dict | list) else "text"
    except Rejected as error:
        return "text" if error.code == "malformed_body" else "yaml"
