"""Any body made `data`. A format's parser is imported when a body of that format first comes; JSON's is at hand."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from shared.errors import Rejected
from shared.formats import json_body
from shared.formats.media_type import MediaType, media_type, named_format
from shared.jsontext import Json
from shared.limits import DEFAULT, Limits

Parser = Callable[[bytes, MediaType, Limits], Json]


class Parsed(NamedTuple):
    """`format`: json, ndjson, xml, yaml, form, multipart, plist, csv, text or bytes."""

    data: Json
    format: str


def parse_body(body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Raises Rejected and nothing else.

    What the content type names must parse, but for JSON that is called a form. Where it names nothing, a body that
    begins like JSON, XML or a property list and parses is one; any other is text, or bytes where it is no text. A limit
    passed is refused either way.
    """
    media = media_type(content_type or "")
    format_name = named_format(media.name)
    if format_name == "form" and body.lstrip()[:1] in (b"{", b"["):
        return _parse_mistaken_form(body, media, limits)
    if format_name:
        return Parsed(_parse(format_name, body, media, limits), format_name)
    return _parse_unnamed(body, media, limits)


def parse_as(format_name: str, body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """In the format that the source's configuration says, whatever the content type. Raises Rejected."""
    return Parsed(_parse(format_name, body, media_type(content_type or ""), limits), format_name)


def _parse_mistaken_form(body: bytes, media: MediaType, limits: Limits) -> Parsed:
    """JSON under the content type that curl gives whatever `-d` sends: so does everybody's first try."""
    try:
        return Parsed(_parse("json", body, media, limits), "json")
    except Rejected as error:
        if error.code != "parse":
            raise
    return Parsed(_parse("form", body, media, limits), "form")


def _parse_unnamed(body: bytes, media: MediaType, limits: Limits) -> Parsed:
    from shared.formats.media_type import is_text, structured_format

    format_name = structured_format(body)
    if format_name:
        try:
            return Parsed(_parse(format_name, body, media, limits), format_name)
        except Rejected as error:
            if error.code != "parse":
                raise
    format_name = "text" if media.charset or media.name.startswith("text/") or is_text(body) else "bytes"
    return Parsed(_parse(format_name, body, media, limits), format_name)


def _parse(format_name: str, body: bytes, media: MediaType, limits: Limits) -> Json:
    try:
        return _parser(format_name)(body, media, limits)
    except (RecursionError, MemoryError):  # the limits keep parsers far from both; a full machine may not
        raise Rejected("nodes", f"the {format_name} body needs more memory than there is") from None


def _parser(format_name: str) -> Parser:
    if format_name == "json":
        return json_body.parse
    parser: Parser = import_module(f"shared.formats.{format_name}_body").parse
    return parser
