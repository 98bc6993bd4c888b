"""The content of an object, in its format. The same event makes the same bytes."""

import gzip
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from functions.notify.destinations.object.settings import CONTENT_TYPES, MEDIA_TYPE, Settings
from functions.notify.event_content import bytes_in, public_cloudevent
from shared.base64_text import decode_base64
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.expressions import Expression
from shared.jsontext import Json, JsonObject, to_json
from shared.writers.text_writers import write_csv, write_ndjson, write_text
from shared.writers.writing import Unwritable

GZIP_TYPE: Final = "application/gzip"


@dataclass(frozen=True, slots=True)
class Content:
    """`plain` is the text before its compression, for people to read."""

    body: bytes
    content_type: str
    plain: bytes


def content_of(event: Event, settings: Settings) -> Content:
    """Raises Permanent: `expression_failed`, `conversion_failed` or `output_too_large`."""
    try:
        plain, type_ = _written(event, settings)
    except Unwritable as fault:
        rule = f"the object as {settings.format}: {fault.message('value')}"
        raise Permanent("conversion_failed", rule) from None
    except (ValueError, RecursionError) as error:
        raise Permanent("conversion_failed", f"the object as {settings.format}: JSON has no such value") from error
    body = gzip.compress(plain, compresslevel=6, mtime=0) if settings.gzip else plain
    if settings.content_type is not None:
        type_ = settings.content_type
    elif settings.gzip:
        type_ = GZIP_TYPE
    return Content(body, type_, plain)


def _written(event: Event, settings: Settings) -> tuple[bytes, str]:
    type_ = CONTENT_TYPES[settings.format]
    if settings.format == "raw":
        return _raw(event, settings)
    value = _value(event, settings)
    if settings.format == "csv":
        items = value if isinstance(value, list) and settings.value is not None else [value]
        rows: list[Json] = [_row(item, settings) for item in items]
        return _encoded(write_csv(rows, ",")), type_
    if settings.format == "json":
        return _encoded(to_json(value)), type_
    return _encoded(write_ndjson(value if isinstance(value, list) else [value])), type_


def _value(event: Event, settings: Settings) -> Json:
    if settings.value is not None:
        return _expression(settings.value).search(view_of(event))
    return view_of(event) if settings.format == "csv" else public_cloudevent(event)


def _row(item: Json, settings: Settings) -> JsonObject:
    return {name: _cell(_expression(text).search(item)) for name, text in settings.columns.items()}


def _cell(value: Json) -> Json:
    return to_json(value) if isinstance(value, list | dict) else value


def _raw(event: Event, settings: Settings) -> tuple[bytes, str]:
    """Return the body as it came where the source keeps it; else text and bytes as they are, and all else as JSON."""
    if settings.value is None and (event.rawbody is not None or event.rawbase64 is not None):
        encoded = event.rawbase64 or ""
        body = decode_base64(encoded, strict=False) if event.rawbody is None else event.rawbody.encode()
        return body, _safe_type(event.rawtype)
    data = event.data if settings.value is None else _expression(settings.value).search(view_of(event))
    if found := bytes_in(data):
        return found[0], _safe_type(found[1])
    named = event.datatype if isinstance(data, str) and settings.value is None else None
    usual = "text/plain; charset=utf-8" if isinstance(data, str) else CONTENT_TYPES["json"]
    return _encoded(write_text(data)), _safe_type(named, usual)


def _safe_type(named: str | None, usual: str = CONTENT_TYPES["raw"]) -> str:
    """Return the content type that a sender named, if it is written as one."""
    return named if named is not None and MEDIA_TYPE.fullmatch(named) else usual


def _encoded(text: str) -> bytes:
    """Encode the text. Half a surrogate pair, which a sender may have written, becomes a question mark."""
    return text.encode("utf-8", "replace")


@lru_cache(maxsize=1_000)
def _expression(text: str) -> Expression:
    return Expression(text)
