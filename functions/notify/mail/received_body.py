"""The body as it was received: in the mail where it is short, else attached."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Final

from functions.notify.mail.fields import visible
from functions.notify.mail.mail import Attachment
from shared.event import Event
from shared.jsontext import Json, to_json

MAX_INLINE_BYTES: Final = 10 * 1024
MAX_GROWTH: Final = 4
_INDENTING: Final = json.JSONEncoder(ensure_ascii=False, indent=2)

# By the end of the media type; the name and the type of an attachment are never the sender's words.
_KINDS: Final = (
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
class ReceivedBody:
    """`text` where it stands in the mail, `attachment` where it is attached: always one of them."""

    title: str
    note: str
    text: str | None = None
    attachment: Attachment | None = None


def received_body(event: Event) -> ReceivedBody:
    """What the source kept of it, byte for byte; else, where it keeps none or a step changed it, the data as JSON."""
    if event.rawbody is not None:
        return _body("Body as received", event.rawtype, event.rawbody.encode("utf-8", "replace"), event.rawbody)
    if event.rawbase64 is not None:
        content = _decoded(event.rawbase64)
        return _body("Body as received", event.rawtype, content, None)
    text = pretty(event.data)
    return _body("Data", "application/json", text.encode("utf-8", "replace"), text)


def _body(title: str, media_type: str | None, content: bytes, text: str | None) -> ReceivedBody:
    kind = (media_type or "").partition(";")[0].strip().lower()
    note = f"{visible(kind) or 'no content type'}, {len(content):,} bytes"
    if text is not None and len(content) <= MAX_INLINE_BYTES:
        return ReceivedBody(title, note, text=visible(text))
    filename, attached_type = _kind(kind, is_text=text is not None)
    return ReceivedBody(title, note, attachment=Attachment(filename, attached_type, content))


def _kind(media_type: str, is_text: bool) -> tuple[str, str]:
    for ending, filename, attached_type in _KINDS:
        if media_type.endswith(ending):
            return filename, attached_type
    return ("body.txt", "text/plain") if is_text else ("body.bin", "application/octet-stream")


def pretty(data: Json) -> str:
    """Indented, unless that makes much more of it, as of lists in lists in lists."""
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
