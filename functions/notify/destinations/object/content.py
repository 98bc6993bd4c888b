"""The content of an object: an event in the format of the settings.

The same event and settings always make the same bytes.
"""

import gzip
from typing import Final, NamedTuple

from functions.notify import bounded_texts, http_kind
from functions.notify.destinations.object.settings import MEDIA_TYPE, Format, Settings
from shared import errors, jsontext
from shared.event import Event, view_of
from shared.formats.text_body import bytes_in
from shared.writers import text_writers, writing

CONTENT_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "raw": "application/octet-stream",
}
GZIP_TYPE: Final = "application/gzip"


class Content(NamedTuple):
    """The content of an object.

    body          the bytes that are stored, compressed if `gzip` is set
    content_type  the type of `body`
    plain         the bytes before the compression, for people to read
    """

    body: bytes
    content_type: str
    plain: bytes


def content_of(event: Event, settings: Settings) -> Content:
    """Return the content of the event's object.

    Raises Permanent: `expression_failed`, `conversion_failed` or `output_too_large`.
    """
    try:
        write = _write_raw if settings.format == "raw" else _write_value
        plain, content_type = write(event, settings)
    except writing.FormatFault as fault:
        rule = f"the object as {settings.format}: {fault.message('value')}"
        raise errors.Permanent("conversion_failed", rule) from None
    except (ValueError, RecursionError) as error:  # a number that is not finite, or data that is nested too deeply
        raise errors.Permanent(
            "conversion_failed", f"the object as {settings.format}: JSON has no such value"
        ) from error
    if not settings.gzip:
        return Content(plain, settings.content_type or content_type, plain)
    # Without `mtime`, gzip writes the time into the content. 6 is the usual level of gzip.
    compressed = gzip.compress(plain, compresslevel=6, mtime=0)
    return Content(compressed, settings.content_type or GZIP_TYPE, plain)


def _write_value(event: Event, settings: Settings) -> tuple[bytes, str]:
    """Return `value` in one of the formats json, ndjson and csv, by default the whole event; and the content type."""
    if settings.value is not None:
        value = bounded_texts.compiled_expression(settings.value).search(view_of(event))
    elif settings.format == "csv":
        value = view_of(event)  # what the expressions of `columns` read
    else:
        value = http_kind.public_cloudevent(event)
    content_type = CONTENT_TYPES[settings.format]
    if settings.format == "json":
        return http_kind.json_body(value), content_type
    items: list[jsontext.Json] = value if isinstance(value, list) else [value]
    if settings.format == "ndjson":
        return http_kind.utf8(text_writers.write_ndjson(items)), content_type
    rows: list[jsontext.Json] = [_row(item, settings.columns) for item in items]
    return http_kind.utf8(text_writers.write_csv(rows, ",")), content_type


def _row(item: jsontext.Json, columns: dict[str, str]) -> jsontext.JsonObject:
    """Return the row of an item, with a cell for each column. A list or an object becomes JSON in its cell."""
    row: jsontext.JsonObject = {}
    for name, expression in columns.items():
        value = bounded_texts.compiled_expression(expression).search(item)
        row[name] = jsontext.to_json(value) if isinstance(value, list | dict) else value
    return row


def _write_raw(event: Event, settings: Settings) -> tuple[bytes, str]:
    """Return `value`, by default the body as it was received; and the content type.

    If the source does not keep the body, the event's data is written instead. Bytes and text are written as they are,
    and any other value as JSON. The sender states the type of a body, and of the event's data.
    """
    if settings.value is not None:
        value = bounded_texts.compiled_expression(settings.value).search(view_of(event))
        stated_type = None
    elif event.rawbody is not None:
        return event.rawbody.encode(), _safe_type(event.rawtype)
    elif event.rawbase64 is not None:
        return jsontext.decode_base64(event.rawbase64, strict=False), _safe_type(event.rawtype)
    else:
        value = event.data
        stated_type = event.datatype
    if as_bytes := bytes_in(value):
        body, bytes_type = as_bytes
        return body, _safe_type(bytes_type)
    body = http_kind.utf8(text_writers.write_text(value))
    if isinstance(value, str):
        return body, _safe_type(stated_type, "text/plain; charset=utf-8")
    return body, CONTENT_TYPES["json"]


def _safe_type(stated_type: str | None, default: str = CONTENT_TYPES["raw"]) -> str:
    """Return the content type that the sender stated, or `default` if it does not have the form of a content type."""
    return stated_type if stated_type is not None and MEDIA_TYPE.fullmatch(stated_type) else default
