"""The default mail: what happened, when and by whom, every field, and the body as received.

This module collects what a mail shows; templates/event.txt and templates/event.html lay it out. The event is a
sender's: Jinja escapes each value in HTML, and no value reaches a template's source.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from functions.notify.destinations.email.mail import Attachment, MailBody
from functions.notify.message_text import title_of, visible
from shared import base64_text, times
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, to_json

MAX_INLINE_BYTES: Final = 10 * 1024
"""A longer body is attached."""
MAX_GROWTH: Final = 4
"""How many times longer than its compact form indented JSON may be, beside MAX_INLINE_BYTES."""
MAX_ROWS: Final = 100
MAX_VALUE_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 120
MAX_JOINED: Final = 10
MAX_JOINED_CHARACTERS: Final = 80
MAX_PREVIEW_ROWS: Final = 6
MAX_PREVIEW_CHARACTERS: Final = 200
NOTHING: Final = "—"
NAMELESS: Final = "value"
"""The name of a value that is all of the data."""

_PLAIN_KEY: Final = re.compile(r"[^\s.\[\]\"]{1,80}")
_WEB_LINK: Final = re.compile(r"https?://[^\s<>\"'`\\^{|}\x00-\x20\x7f-\x9f]{1,2000}", re.IGNORECASE)
# By the end of the media type. The name and the type of an attachment are never the sender's words.
_ATTACHED_AS: Final = (
    ("json", "body.json", "application/json"),
    ("xml", "body.xml", "application/xml"),
    ("yaml", "body.yaml", "application/yaml"),
    ("csv", "body.csv", "text/csv"),
    ("plist", "body.plist", "application/x-plist"),
    ("x-www-form-urlencoded", "body.txt", "text/plain"),
    ("plain", "body.txt", "text/plain"),
    ("html", "body.html.txt", "text/plain"),
)


class Row(NamedTuple):
    """A row of the table of fields. `cut` says how much of a longer value is shown; empty if all of it is."""

    name: str
    value: str
    cut: str = ""
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class ReceivedBody:
    """The body of the event: `text` if the mail shows it, `attachment` if it is attached; always one of them."""

    title: str
    note: str
    text: str | None
    attachment: Attachment | None


def default_body(delivery: Delivery, event: Event) -> MailBody:
    """Return the text and HTML of a mail about the event, which is the delivery's, whole."""
    body = received_body(event)
    facts = _facts(event)
    rows, has_more_rows = rows_of(event.data)
    view = {
        "title": title_of(event),
        "preview": _preview(rows),
        "facts": facts,
        "fact_width": max(len(name) for name, _ in facts),
        "rows": rows,
        "has_more_rows": has_more_rows,
        "body": body,
        "origin": f"Event {event.id}, by the route “{delivery.route}” to “{delivery.destination}”.",
    }
    return MailBody(
        filled("event.txt", view), filled("event.html", view), (body.attachment,) if body.attachment else ()
    )


def filled(template: str, view: Mapping[str, object]) -> str:
    """Fill a template of this kind's folder `templates`. In HTML, values are escaped.

    Invisible characters are replaced in the result, which takes 6 µs less than in each value.
    """
    return visible(_templates().get_template(template).render(view))


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: str) -> Markup:
    """Return the name as HTML in which a line may break after each full stop."""
    return escape(name).replace(".", Markup(".<wbr>"))


def _preview(rows: list[Row]) -> str:
    """Return the line that a mailbox shows beside the subject."""
    fields = " · ".join(f"{row.name}: {row.value}" for row in rows[:MAX_PREVIEW_ROWS])
    return " ".join(visible(fields).split())[:MAX_PREVIEW_CHARACTERS]


def _facts(event: Event) -> list[tuple[str, str]]:
    """Return names and values."""
    facts = [("When", _when(event)), ("Who", event.actor), ("About", event.subject), ("Source", event.source_name)]
    return [(name, value) for name, value in facts if value]


def _when(event: Event) -> str:
    """Return the time in UTC, because the reader may be anywhere; a text that is no time, unchanged."""
    text = event.time or event.receivedat
    try:
        at = times.read_time(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return text
    received = "" if event.time else " (received)"
    return f"{at:%A}, {at.day} {at:%B} {at.year}, {at:%H:%M:%S} UTC{received}"


def received_body(event: Event) -> ReceivedBody:
    """Return the body as the source stored it, byte for byte; otherwise the data as JSON."""
    text: str | None
    if event.rawbody is not None or event.rawbase64 is not None:
        title = "Body as received"
        text = event.rawbody
        media_type = (event.rawtype or "").partition(";")[0].strip().lower()
    else:
        title = "Data"
        text = indented(event.data)
        media_type = "application/json"
    content = _decoded(event.rawbase64 or "") if text is None else text.encode("utf-8", "replace")
    note = f"{media_type or 'no content type'}, {len(content):,} bytes"
    if text is not None and len(content) <= MAX_INLINE_BYTES:
        return ReceivedBody(title, note, text, None)
    attachment = _attachment(media_type, content, is_text=text is not None)
    return ReceivedBody(title, f"{note}, attached as {attachment.filename}", None, attachment)


def _attachment(media_type: str, content: bytes, is_text: bool) -> Attachment:
    for ending, filename, attached_type in _ATTACHED_AS:
        if media_type.endswith(ending):
            return Attachment(filename, attached_type, content)
    if is_text:
        return Attachment("body.txt", "text/plain", content)
    return Attachment("body.bin", "application/octet-stream", content)


def indented(data: Json) -> str:
    """Return the data as JSON, indented if the result is short: deeply nested lists grow by indenting."""
    if isinstance(data, str):
        return data
    compact = to_json(data)
    if len(compact) > MAX_INLINE_BYTES:
        return compact
    try:
        whole = orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # an integer of more than 64 bits, half a surrogate pair, or deeper than orjson goes
        whole = json.dumps(data, ensure_ascii=False, indent=2)
    return whole if len(whole) <= MAX_INLINE_BYTES + MAX_GROWTH * len(compact) else compact


def _decoded(text: str) -> bytes:
    try:
        return base64_text.decode_base64(text, strict=False)
    except ValueError:  # not from receive: shown unchanged
        return text.encode()


def rows_of(data: Json) -> tuple[list[Row], bool]:
    """Return a row for each value, however deep it stands: the first MAX_ROWS of them, and True if there are more.

    Data that is one value has none: the body shows it.
    """
    if not isinstance(data, dict | list):
        return [], False
    fields = list(islice(_fields("", data), MAX_ROWS + 1))
    return [_row(name, value) for name, value in fields[:MAX_ROWS]], len(fields) > MAX_ROWS


def _row(name: str, value: str) -> Row:
    shown_name = name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 1] + "…"
    if len(value) > MAX_VALUE_CHARACTERS:
        cut = f"… {MAX_VALUE_CHARACTERS} of {len(value):,} characters"
        return Row(shown_name, value[:MAX_VALUE_CHARACTERS], cut)
    is_link = "://" in value and _WEB_LINK.fullmatch(visible(value)) is not None
    return Row(shown_name, value, is_link=is_link)


def _fields(name: str, value: Json) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each value, one after another: of much data, few are read."""
    # The name of a deeply nested field could have megabytes.
    name = name[: MAX_NAME_CHARACTERS + 1]
    if isinstance(value, dict) and value:
        parent = f"{name}." if name else ""
        for key, item in value.items():
            path = parent + key if _PLAIN_KEY.fullmatch(key) else f"{name}[{to_json(key)}]"
            yield from _fields(path, item)
        return
    text = _joined(value) if isinstance(value, list) and value else _text(value)
    if text is not None:
        yield name or NAMELESS, text
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _fields(f"{name}[{number}]", item)


def _joined(items: list[Json]) -> str | None:
    """Return a short list of plain values on one line, else None."""
    if len(items) > MAX_JOINED or any(isinstance(item, dict | list) for item in items):
        return None
    texts = [_text(item) for item in items]
    is_short = all(len(text) <= MAX_JOINED_CHARACTERS and "\n" not in text for text in texts)
    return ", ".join(texts) if is_short else None


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value if value.strip() else NOTHING
    return NOTHING if value is None or value in ([], {}) else to_json(value)
