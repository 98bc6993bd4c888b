"""Parse a body of any format. A format's parser is imported with the first body of that format, JSON's at once."""

from collections.abc import Callable
from importlib import import_module
from typing import Final, NamedTuple

from shared.errors import Rejected
from shared.formats import json_body
from shared.formats.media_type import MediaType, is_text, media_type, structured_format
from shared.jsontext import Json
from shared.limits import DEFAULT, Limits

Parser = Callable[[bytes, MediaType, Limits], Json]

_ELSEWHERE: Final = {"ndjson": ("json_body", "parse_lines"), "text": ("bytes_body", "parse_text")}
"""The parsers that are not `parse` in `<format>_body.py`."""


class Parsed(NamedTuple):
    """`format`: json, ndjson, xml, yaml, form, multipart, plist, csv, text or bytes."""

    data: Json
    format: str


def parse_body(body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Parse a body by its content type. Raises Rejected and nothing else.

    A body must parse as the named format, except that JSON may be called a form. Where none is named, a body that
    begins like JSON, XML or a property list and parses is one; any other is text, or bytes where it is no text. A limit
    that is passed is rejected either way.
    """
    media = media_type(content_type or "")
    format_name = media.format
    if format_name == "form" and body.lstrip()[:1] in (b"{", b"["):
        return _parse_mistaken_form(body, media, limits)
    if format_name:
        return Parsed(_parse(format_name, body, media, limits), format_name)
    return _parse_unnamed(body, media, limits)


def parse_as(format_name: str, body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Parse a body in the format that the configuration names, whatever the content type. Raises Rejected."""
    return Parsed(_parse(format_name, body, media_type(content_type or ""), limits), format_name)


def _parse_mistaken_form(body: bytes, media: MediaType, limits: Limits) -> Parsed:
    """Parse a form, or JSON under the content type that curl gives whatever `-d` sends."""
    try:
        return Parsed(_parse("json", body, media, limits), "json")
    except Rejected as error:
        if error.code != "malformed_body":
            raise
    return Parsed(_parse("form", body, media, limits), "form")


def _parse_unnamed(body: bytes, media: MediaType, limits: Limits) -> Parsed:
    format_name = structured_format(body)
    if format_name:
        try:
            return Parsed(_parse(format_name, body, media, limits), format_name)
        except Rejected as error:
            if error.code != "malformed_body":
                raise
    format_name = "text" if media.charset or media.name.startswith("text/") or is_text(body) else "bytes"
    return Parsed(_parse(format_name, body, media, limits), format_name)


def _parse(format_name: str, body: bytes, media: MediaType, limits: Limits) -> Json:
    try:
        if format_name == "json":
            return json_body.parse(body, media, limits)
        module, function = _ELSEWHERE.get(format_name, (f"{format_name}_body", "parse"))
        parser: Parser = getattr(import_module(f"shared.formats.{module}"), function)
        return parser(body, media, limits)
    except (RecursionError, MemoryError):  # the limits keep parsers far from both; a full machine may not
        raise Rejected("too_many_values", f"the {format_name} body needs more memory than there is") from None
