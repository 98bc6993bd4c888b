"""The default mail: what happened, when and by whom, every field, and the body as received.

`default_body` finds the parts of the mail, and mail_page.py writes them. The event is a sender's: each value is escaped
in HTML.
"""

import json
import re
from datetime import UTC
from functools import lru_cache
from typing import Final

import orjson

from functions.notify.destinations.email import mail_page
from functions.notify.destinations.email.mail import Attachment, MailBody
from functions.notify.message_text import title_of, visible
from shared import jsontext, times
from shared.delivery import Delivery
from shared.event import Event

MAX_INLINE_BYTES: Final = 10 * 1024
"""A longer body is attached."""
MAX_GROWTH: Final = 4
"""How many times longer than its compact form indented JSON may be, beside MAX_INLINE_BYTES."""
MAX_ROWS: Final = 100
"""The rows of the table of fields."""
MAX_VALUE_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 120
MAX_JOINED: Final = 10
MAX_JOINED_CHARACTERS: Final = 80
"""A list of so many values, each of so many characters, is one row."""
MAX_PREVIEW_ROWS: Final = 6
MAX_PREVIEW_CHARACTERS: Final = 200
"""What a mail program shows beside the subject: the first rows."""
NOTHING: Final = "—"
NAMELESS: Final = "value"
"""The name of a value that is all of the data."""

MAX_KEY_CHARACTERS: Final = 80
_PLAIN_KEY: Final = re.compile(rf"[^\s.\[\]\"]{{1,{MAX_KEY_CHARACTERS}}}")
_PLAIN_TEXT: Final = bytes({0x0A, *range(0x20, 0x7F)} - set(b"&<>"))
"""Visible ASCII without `&`, `<` and `>`: nothing in text of these has to be escaped or replaced. To escape each value,
a mail takes 1.9 times as long."""
_WEB_LINK: Final = re.compile(r"https?://[^\s<>\"'`\\^{|}\x00-\x20\x7f-\x9f]{1,2000}", re.IGNORECASE)
# strftime takes 4.7 µs instead of 1.3.
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
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


def default_body(delivery: Delivery, event: Event) -> MailBody:
    """Return the text and HTML of a mail about the event, which is the delivery's, whole."""
    body = received_body(event)
    rows, has_more_rows = rows_of(event.data)
    first_fields = " · ".join([f"{row.name}: {row.value}" for row in rows[:MAX_PREVIEW_ROWS]])
    preview = " ".join(first_fields.split())[:MAX_PREVIEW_CHARACTERS]
    facts = [("When", _when(event)), ("Who", event.actor), ("About", event.subject), ("Source", event.source_name)]
    known_facts = [(name, value) for name, value in facts if value]
    page = mail_page.MailPage(
        title=title_of(event),
        preview=preview,
        facts=known_facts,
        rows=rows,
        has_more_rows=has_more_rows,
        body=body,
        event_id=event.id,
    )
    text_origin, html_origin = _origin(delivery.route, delivery.destination)
    text = mail_page.text_of_page(page)
    special_characters = text.encode("utf-8", "surrogatepass").translate(None, _PLAIN_TEXT)
    if not special_characters:
        # Nothing has to be escaped: all that the HTML shows is in the text, and the preview is made of the rows.
        html = mail_page.html_of_page(mail_page.HtmlPage(page), html_origin)
    else:
        text = visible(text)
        html = visible(mail_page.html_of_page(mail_page.escaped(page), html_origin))
    return MailBody(text + text_origin, html, (body.attachment,) if body.attachment else ())


@lru_cache(maxsize=256)
def _origin(route: str, destination: str) -> tuple[str, str]:
    """Return how the event came, as text and as HTML."""
    origin = visible(f", by the route “{route}” to “{destination}”.")
    return origin, mail_page.as_html(origin).encode("ascii", "xmlcharrefreplace").decode()


def _when(event: Event) -> str:
    """Return the time in UTC, because the reader may be anywhere; a text that is no time, unchanged."""
    text = event.time or event.receivedat
    try:
        at = times.read_time(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return text
    received = "" if event.time else " (received)"
    day = f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year}"
    return f"{day}, {at.time().isoformat('seconds')} UTC{received}"


def received_body(event: Event) -> mail_page.ReceivedBody:
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
        return mail_page.ReceivedBody(title, note, text, None)
    attachment = _attachment(media_type, content, is_text=text is not None)
    return mail_page.ReceivedBody(title, f"{note}, attached as {attachment.filename}", None, attachment)


def _attachment(media_type: str, content: bytes, is_text: bool) -> Attachment:
    """Return the body as a file. Its name and type are chosen by the end of the sender's media type."""
    for ending, filename, attached_type in _ATTACHED_AS:
        if media_type.endswith(ending):
            return Attachment(filename, attached_type, content)
    if is_text:
        return Attachment("body.txt", "text/plain", content)
    return Attachment("body.bin", "application/octet-stream", content)


def indented(data: jsontext.Json) -> str:
    """Return the data as JSON, or a text as it is.

    JSON is indented if its compact form has at most MAX_INLINE_BYTES, and if it does not grow by more than MAX_GROWTH
    times by that, as deeply nested lists do.
    """
    if isinstance(data, str):
        return data
    try:
        compact = orjson.dumps(data).decode()
        is_short = len(compact) <= MAX_INLINE_BYTES
        whole = orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() if is_short else compact
    except TypeError:  # an integer of more than 64 bits, half a surrogate pair, or deeper than orjson goes
        compact = jsontext.to_json(data)
        is_short = len(compact) <= MAX_INLINE_BYTES
        whole = json.dumps(data, ensure_ascii=False, indent=2) if is_short else compact
    return whole if len(whole) <= MAX_INLINE_BYTES + MAX_GROWTH * len(compact) else compact


def _decoded(text: str) -> bytes:
    try:
        return jsontext.decode_base64(text, strict=False)
    except ValueError:  # not from receive: shown unchanged
        return text.encode()


def rows_of(data: jsontext.Json) -> tuple[list[mail_page.Row], bool]:
    """Return a row for each value, however deep it stands: the first MAX_ROWS of them, and True if there are more.

    Data that is one value has none: the body shows it.
    """
    if not isinstance(data, dict | list):
        return [], False
    rows: list[mail_page.Row] = []
    _add_rows(rows, "", data)
    return rows[:MAX_ROWS], len(rows) > MAX_ROWS


def _row(name: str, value: str) -> mail_page.Row:
    """Return the row of a value, cut if it is long. A value that is a web address becomes a link."""
    shown_name = name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 1] + "…"
    if len(value) > MAX_VALUE_CHARACTERS:
        cut = f"… {MAX_VALUE_CHARACTERS} of {len(value):,} characters"
        return mail_page.Row(shown_name, value[:MAX_VALUE_CHARACTERS], cut)
    is_link = "://" in value and _WEB_LINK.fullmatch(visible(value)) is not None
    return mail_page.Row(shown_name, value, "", is_link)


def _add_rows(rows: list[mail_page.Row], name: str, value: jsontext.Json) -> None:
    """Add a row for each value, one after another, until there are more than MAX_ROWS."""
    if isinstance(value, dict) and value:
        name = name[: MAX_NAME_CHARACTERS + 1]  # the name of a deeply nested field could have megabytes
        parent = f"{name}." if name else ""
        for key, item in value.items():
            # Most keys are identifiers, which takes a fifth of the time to find out.
            is_plain = (key.isidentifier() and len(key) <= MAX_KEY_CHARACTERS) or _PLAIN_KEY.fullmatch(key)
            _add_rows(rows, parent + key if is_plain else f"{name}[{jsontext.to_json(key)}]", item)
            if len(rows) > MAX_ROWS:
                return
    elif isinstance(value, list) and value:
        joined = _joined(value)
        if joined is not None:
            rows.append(_row(name or NAMELESS, joined))
            return
        name = name[: MAX_NAME_CHARACTERS + 1]
        for number, item in enumerate(value):
            _add_rows(rows, f"{name}[{number}]", item)
            if len(rows) > MAX_ROWS:
                return
    else:
        rows.append(_row(name or NAMELESS, _text(value)))


def _joined(items: list[jsontext.Json]) -> str | None:
    """Return a short list of plain values on one line, else None."""
    if len(items) > MAX_JOINED or any(isinstance(item, dict | list) for item in items):
        return None
    texts = [_text(item) for item in items]
    is_short = all(len(text) <= MAX_JOINED_CHARACTERS and "\n" not in text for text in texts)
    return ", ".join(texts) if is_short else None


def _text(value: jsontext.Json) -> str:
    if isinstance(value, str):
        return value if value.strip() else NOTHING
    if type(value) is int:  # most values that are no texts
        return str(value)
    return NOTHING if value is None or value in ([], {}) else jsontext.to_json(value)
