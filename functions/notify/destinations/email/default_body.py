"""The default mail: what happened, when and by whom, every field, and the body as received."""

import json
import re
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import Final, NamedTuple

import orjson

from functions.notify.destinations.email.default_page import Page, Rows, write_page
from functions.notify.destinations.email.mail import Attachment
from functions.notify.message_text import title_of, visible
from shared.base64_text import decode_base64
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, to_json
from shared.times import read_time

MAX_INLINE_BYTES: Final = 10 * 1024
"""A longer body is attached."""
MAX_GROWTH: Final = 4
MAX_ROWS: Final = 100
MAX_VALUE_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 120
MAX_JOINED: Final = 10
MAX_JOINED_CHARACTERS: Final = 80
NOTHING: Final = "—"
NAMELESS: Final = "value"
"""The name of a value that is all of the data."""
_NESTED: Final = (dict, list)

_INDENTING: Final = json.JSONEncoder(ensure_ascii=False, indent=2)
MAX_PLAIN_CHARACTERS: Final = 80
_PLAIN_KEY: Final = re.compile(rf"[^\s.\[\]\"]{{1,{MAX_PLAIN_CHARACTERS}}}")
_WEB_LINK: Final = re.compile(r"https?://[^\s<>\"'`\\^{|}\x00-\x20\x7f-\x9f]{1,2000}", re.IGNORECASE)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

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


class MailBody(NamedTuple):
    """The body of a mail: `text`, `html` or both."""

    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...] = ()


@dataclass(slots=True)
class ReceivedBody:
    """The body of the event: `text` if the mail shows it, `attachment` if it is attached; always one of them."""

    title: str
    note: str
    text: str | None
    attachment: Attachment | None


def default_body(delivery: Delivery, event: Event) -> MailBody:
    """Return the text and HTML of a mail about the event, which is the delivery's, whole."""
    body, (rows, has_more) = received_body(event), rows_of(event.data)
    page = Page(
        title_of(event),
        _facts(event),
        rows,
        has_more,
        body.title,
        body.note,
        body.text,
        event.id,
    )
    text, html = write_page(page, delivery.route, delivery.destination)
    return MailBody(text, html, (body.attachment,) if body.attachment else ())


def _facts(event: Event) -> list[tuple[str, str]]:
    """Return names and values. The time is in UTC, to the second: the reader may be anywhere."""
    when = event.time or event.receivedat
    try:
        moment = read_time(when).astimezone(UTC)
        # Most texts have the time as it is shown: to write it takes half the time of this function.
        is_shown = when.endswith("Z") and when[13:17:3] == "::"
        time = when[11:19] if is_shown else moment.isoformat()[11:19]
        received = "" if event.time else " (received)"
        when = (
            f"{_DAYS[moment.weekday()]}, {moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {time} UTC{received}"
        )
    except (ValueError, OverflowError, OSError):
        pass  # no time of the calendar: shown unchanged
    facts = [("When", when)]
    if event.actor:
        facts.append(("Who", event.actor))
    if event.subject:
        facts.append(("About", event.subject))
    if source := event.source_name:
        facts.append(("Source", source))
    return facts


def received_body(event: Event) -> ReceivedBody:
    """Return the body as the source stored it, byte for byte; otherwise the data as JSON."""
    title, text, kind = "Body as received", event.rawbody, "application/json"
    if text is not None or event.rawbase64 is not None:
        kind = (event.rawtype or "").partition(";")[0].strip().lower()
    else:
        title, text = "Data", indented(event.data)
    content = _decoded(event.rawbase64 or "") if text is None else text.encode("utf-8", "replace")
    note = f"{kind or 'no content type'}, {len(content):,} bytes"
    if text is not None and len(content) <= MAX_INLINE_BYTES:
        return ReceivedBody(title, note, text, None)
    attachment = _attachment(kind, content, is_text=text is not None)
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
    try:
        compact = orjson.dumps(data).decode()
        is_short = len(compact) <= MAX_INLINE_BYTES
        whole = orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() if is_short else compact
    except TypeError:  # an integer of more than 64 bits, half a surrogate pair, or deeper than orjson goes
        compact = to_json(data)
        whole = _INDENTING.encode(data) if len(compact) <= MAX_INLINE_BYTES else compact
    return whole if len(whole) <= MAX_INLINE_BYTES + MAX_GROWTH * len(compact) else compact


def _decoded(text: str) -> bytes:
    try:
        return decode_base64(text, strict=False)
    except ValueError:  # not from receive: shown unchanged
        return text.encode()


def rows_of(data: Json) -> tuple[Rows, bool]:
    """Return a row for each value, however deep it stands: the first MAX_ROWS of them, and True if there are more.

    Data that is one value has none: the body shows it.
    """
    names: list[str] = []
    values: list[str] = []
    keys: list[str] = []
    if isinstance(data, _NESTED):
        _add_rows(names, values, "", data, keys)
    longest = max(map(len, names), default=0)
    if longest > MAX_PLAIN_CHARACTERS or not _are_plain(keys):
        names, values = [], []
        _add_rows(names, values, "", data, None)
        longest = max(map(len, names))
    has_more = len(names) > MAX_ROWS
    if has_more:
        del names[MAX_ROWS:], values[MAX_ROWS:]
    if longest > MAX_NAME_CHARACTERS:
        names = [name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 1] + "…" for name in names]
    text = "".join(values)
    is_cut = len(text) > MAX_VALUE_CHARACTERS and max(map(len, values)) > MAX_VALUE_CHARACTERS
    cuts = _cut(values) if is_cut else {}
    links: list[int] = []
    if "://" in text:
        links = [
            number
            for number, text in enumerate(values)
            if "://" in text and number not in cuts and _WEB_LINK.fullmatch(visible(text))
        ]
    return Rows(names, values, links, cuts), has_more


def _are_plain(keys: list[str]) -> bool:
    """Return whether all keys match _PLAIN_KEY, apart from their lengths."""
    text = "".join(keys)
    if "." in text or "[" in text or "]" in text or '"' in text or "" in keys:
        return False
    return not text or text.split() == [text]


def _add_rows(names: list[str], values: list[str], name: str, value: Json, keys: list[str] | None) -> None:
    """Add a row for each value in `value`, until there are more than the mail shows.

    Where `keys` is given, names have keys as they are, which are added to it; otherwise as each needs to be written.
    """
    if isinstance(value, dict) and value:
        name = name[: MAX_NAME_CHARACTERS + 1]  # deep data has names of megabytes
        parent = f"{name}." if name else ""
        shown = value if len(value) <= MAX_ROWS else dict(islice(value.items(), MAX_ROWS + 1))
        if keys is not None:
            keys += shown
        for key, item in shown.items():
            path = parent + key if keys is not None or _PLAIN_KEY.fullmatch(key) else f"{name}[{to_json(key)}]"
            if isinstance(item, str):
                names.append(path)
                values.append(item if item.strip() else NOTHING)
            elif isinstance(item, _NESTED):
                _add_rows(names, values, path, item, keys)
                if len(names) > MAX_ROWS:
                    return
            else:
                names.append(path)
                values.append(str(item) if type(item) is int else _text(item))
    elif isinstance(value, list) and value:
        name = name[: MAX_NAME_CHARACTERS + 1]
        joined = _joined(value)
        if joined is not None:
            names.append(name or NAMELESS)
            values.append(joined)
            return
        for number, item in enumerate(value):
            _add_rows(names, values, f"{name}[{number}]", item, keys)
            if len(names) > MAX_ROWS:
                return
    else:
        names.append(name or NAMELESS)
        values.append(_text(value))


def _joined(items: list[Json]) -> str | None:
    """Return a short list of plain values on one line, else None."""
    if len(items) > MAX_JOINED:
        return None
    texts: list[str] = []
    for item in items:
        if isinstance(item, _NESTED):
            return None
        text = _text(item)
        if len(text) > MAX_JOINED_CHARACTERS or "\n" in text:
            return None
        texts.append(text)
    return ", ".join(texts)


def _cut(values: list[str]) -> dict[int, str]:
    """Cut the long values; return how much of each is shown, by the number of its row."""
    cuts: dict[int, str] = {}
    for number, text in enumerate(values):
        if len(text) > MAX_VALUE_CHARACTERS:
            cuts[number] = f"… {MAX_VALUE_CHARACTERS} of {len(text):,} characters"
            values[number] = text[:MAX_VALUE_CHARACTERS]
    return cuts


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value if value.strip() else NOTHING
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return NOTHING if value is None or value in ([], {}) else to_json(value)
