"""The mail that nobody had to write: what happened, when, by whom, every field, and the body as it was received."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from functions.notify.destinations.email.fields import rows_of, visible
from functions.notify.destinations.email.mail import Attachment
from shared.delivery import Delivery
from shared.event import Event, oneline
from shared.jsontext import Json, JsonObject, to_json
from shared.templates import Template
from shared.times import unix_seconds

FOLDER: Final = Path(__file__).parent
NAMES: Final = frozenset({"title", "rule", "preview", "facts", "rows", "more", "body", "origin"})
MORE: Final = "There are more fields; the body has them all."
NAMELESS: Final = "received"
"""The type of an event whose sender gave it none."""
MAX_INLINE_BYTES: Final = 10 * 1024
"""A longer body is attached."""
MAX_GROWTH: Final = 4
_INDENTING: Final = json.JSONEncoder(ensure_ascii=False, indent=2)

# By the end of the media type; the name and the type of an attachment are never the sender's words.
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


@dataclass(frozen=True, slots=True)
class DefaultBody:
    text: str
    html: str
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class ReceivedBody:
    """The body of the event. `text` where the mail shows it, `attachment` where it is attached: always one of them."""

    title: str
    note: str
    text: str | None = None
    attachment: Attachment | None = None


@cache
def _templates() -> tuple[Template, Template]:
    text, html = (FOLDER / "default.txt.j2").read_text("utf-8"), (FOLDER / "default.html.j2").read_text("utf-8")
    return Template("default text", text, known=NAMES), Template("default html", html, html=True, known=NAMES)


def default_body(delivery: Delivery, event: Event) -> DefaultBody:
    """Return the text and HTML of a mail about the event, which is the delivery's, whole."""
    body, rows, title, facts = received_body(event), rows_of(event.data), title_of(event), _facts(event)
    width = max(len(name) for name, _ in facts)
    view: JsonObject = {
        "title": title,
        "rule": "=" * min(len(title), 72),
        "preview": oneline(" · ".join(f"{row.name}: {row.value}" for row in rows.rows[:6]))[:200],
        "facts": [{"name": name, "padded": name.ljust(width), "value": value} for name, value in facts],
        "rows": [
            {
                "name": row.name,
                "value": row.value,
                "indented": row.value.replace("\n", "\n    "),
                "link": row.link,
                "cut": row.cut,
            }
            for row in rows.rows
        ],
        "more": MORE if rows.more else None,
        "body": {
            "title": body.title,
            "note": body.note,
            "text": body.text,
            "filename": body.attachment.filename if body.attachment else None,
        },
        "origin": f"Event {event.id}, by the route “{visible(delivery.route)}” to “{delivery.destination}”.",
    }
    text, html = _templates()
    return DefaultBody(text.render(view), html.render(view), (body.attachment,) if body.attachment else ())


def title_of(event: Event) -> str:
    """Return `Password created` for the type `password_created`."""
    words = "" if event.type == NAMELESS else re.sub(r"[\s._:/-]+", " ", visible(event.type)).strip()
    return words[:1].upper() + words[1:] if words else f"Webhook from {event.source_name}"


def _facts(event: Event) -> list[tuple[str, str]]:
    """Return names and values. The time is in UTC, to the second: the reader may be anywhere."""
    when = event.time or event.receivedat
    try:
        moment = datetime.fromtimestamp(unix_seconds(when), UTC)
        received = "" if event.time else " (received)"
        when = f"{moment:%A}, {moment.day} {moment:%B %Y, %H:%M:%S} UTC{received}"
    except (ValueError, OverflowError, OSError):
        pass  # not a time that a calendar has: as it is
    facts = [("When", when), ("Who", event.actor), ("About", event.subject), ("Source", event.source_name)]
    return [(name, visible(value)) for name, value in facts if value]


def received_body(event: Event) -> ReceivedBody:
    """Return what the source stored of the body, byte for byte; else the data as JSON."""
    title, media_type, text = "Body as received", event.rawtype, event.rawbody
    if text is not None:
        content = text.encode("utf-8", "replace")
    elif event.rawbase64 is not None:
        content = _decoded(event.rawbase64)
    else:
        title, media_type, text = "Data", "application/json", indented(event.data)
        content = text.encode("utf-8", "replace")
    kind = (media_type or "").partition(";")[0].strip().lower()
    note = f"{visible(kind) or 'no content type'}, {len(content):,} bytes"
    if text is not None and len(content) <= MAX_INLINE_BYTES:
        return ReceivedBody(title, note, text=visible(text))
    return ReceivedBody(title, note, attachment=_attachment(kind, content, is_text=text is not None))


def _attachment(media_type: str, content: bytes, is_text: bool) -> Attachment:
    for ending, filename, attached_type in _ATTACHED_AS:
        if media_type.endswith(ending):
            return Attachment(filename, attached_type, content)
    if is_text:
        return Attachment("body.txt", "text/plain", content)
    return Attachment("body.bin", "application/octet-stream", content)


def indented(data: Json) -> str:
    """Indent JSON, unless that makes much more of it, as of lists in lists in lists."""
    if isinstance(data, str):
        return data
    compact = to_json(data)
    room = MAX_INLINE_BYTES + MAX_GROWTH * len(compact)
    pieces: list[str] = []
    for piece in _INDENTING.iterencode(data):
        room -= len(piece)
        if room < 0:
            return compact
        pieces.append(piece)
    return "".join(pieces)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:  # not from receive: shown as it is
        return text.encode()
