"""Parse a body of any format. The parser of a format is imported with the first body of that format."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Final, NamedTuple

from shared import errors
from shared.formats.media_type import MediaType, is_text, media_type, structured_format
from shared.jsontext import Json
from shared.limits import DEFAULT, Limits

Parser = Callable[[bytes, MediaType, Limits], Json]

_ELSEWHERE: Final = {"bytes": ("text_body", "parse_bytes"), "ndjson": ("json_body", "parse_lines")}
"""The module and the function of each parser that is not `parse` in `<format>_body.py`."""


class Parsed(NamedTuple):
    """`format`: json, ndjson, xml, yaml, form, multipart, plist, csv, text or bytes."""

    data: Json
    format: str


def parse_body(body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Parse a body by its content type. Raises Rejected and nothing else.

    A body must parse as the format that the content type names. One exception: JSON may be called a form, because
    `curl -d` calls everything a form. A body that begins like JSON and has no `=` is not a form.

    If the content type names no format, a body that begins like JSON, XML or a property list, and parses as such, is
    one. Any other body is text, or bytes if it is not text. A body that passes a limit is rejected in every case.
    """
    media = media_type(content_type or "")
    if media.format == "form" and body.lstrip()[:1] in (b"{", b"["):
        if b"=" not in body:
            return parse_as("json", body, content_type, limits)
        return parse_if("json", body, content_type, limits) or parse_as("form", body, content_type, limits)
    if media.format:
        return parse_as(media.format, body, content_type, limits)
    format_name = structured_format(body)
    if format_name and (parsed := parse_if(format_name, body, content_type, limits)):
        return parsed
    is_any_text = media.charset or media.name.startswith("text/") or is_text(body)
    return parse_as("text" if is_any_text else "bytes", body, content_type, limits)


def parse_as(format_name: str, body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Parse a body in the format that the configuration names, whatever the content type. Raises Rejected."""
    media = media_type(content_type or "")
    try:
        return Parsed(_parser_of(format_name)(body, media, limits), format_name)
    except (RecursionError, MemoryError):  # within the limits, only on a machine whose memory is full
        raise errors.Rejected("too_many_values", f"the {format_name} body needs more memory than there is") from None


@cache
def _parser_of(format_name: str) -> Parser:
    module, function = _ELSEWHERE.get(format_name, (f"{format_name}_body", "parse"))
    parser: Parser = getattr(import_module(f"shared.formats.{module}"), function)
    return parser


def parse_if(format_name: str, body: bytes, content_type: str | None, limits: Limits) -> Parsed | None:
    """Return the parsed body; None if it does not parse. Raises Rejected if it passes a limit."""
    try:
        return parse_as(format_name, body, content_type, limits)
    except errors.Rejected as error:
        if error.code != "malformed_body":
            raise
    return None
