"""The default mail: what happened, when and by whom, every field, and the body as received.

`default_body` makes a MailPage of the event, and writes it as text and as HTML. The values of the page are a sender's,
so they are escaped in the HTML.

The frame of the HTML is templates/page.html, which the digest's mail has, too. The rows of a page are written here
without templates: with Jinja2, they would add two fifths to the CPU time of notify for an event and its mail.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date
from functools import cache, lru_cache
from html import escape
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from functions.notify.destinations.email.mail import Attachment, MailBody
from functions.notify.message_text import title_of, visible
from shared import jsontext, times
from shared.delivery import Delivery
from shared.event import Event

MAX_INLINE_BYTES: Final = 10 * 1024
"""A longer body is attached."""
MAX_GROWTH: Final = 4
"""See `indented`."""
MAX_ROWS: Final = 100
"""The rows of the table of fields."""
MAX_VALUE_CHARACTERS: Final = 500
MAX_NAME_CHARACTERS: Final = 120
MAX_JOINED_VALUES: Final = 10
MAX_JOINED_CHARACTERS: Final = 80
"""A list of at most so many values, each of at most so many characters, is one row."""
MAX_PREVIEW_ROWS: Final = 6
MAX_PREVIEW_CHARACTERS: Final = 200
"""What a mail program shows beside the subject: the first rows."""
NOTHING: Final = "—"
NAMELESS: Final = "value"
"""The name of a value that is all of the data."""

MAX_KEY_CHARACTERS: Final = 80
_PLAIN_KEY: Final = re.compile(rf"[^\s.\[\]\"]{{1,{MAX_KEY_CHARACTERS}}}")
_WEB_LINK: Final = re.compile(r"https?://[^\s<>\"'`\\^{|}\x00-\x20\x7f-\x9f]{1,2000}", re.IGNORECASE)
_ATTACHED_AS: Final = {
    "json": ("body.json", "application/json"),
    "xml": ("body.xml", "application/xml"),
    "yaml": ("body.yaml", "application/yaml"),
    "csv": ("body.csv", "text/csv"),
    "plist": ("body.plist", "application/x-plist"),
    "x-www-form-urlencoded": ("body.txt", "text/plain"),
    "plain": ("body.txt", "text/plain"),
    "html": ("body.html.txt", "text/plain"),
}
"""The name and the type of the attachment, by the end of the body's media type. They are never the sender's words."""
MAX_UNDERLINE: Final = 72
"""The most characters of the line under the title in the text: the length of a line of a mail."""
MORE_ROWS: Final = "There are more fields; the body has them all."


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


class MailPage(NamedTuple):
    """The parts of a mail about an event.

    preview  is shown beside the subject
    facts    names and values
    origin   the event's id and the route that it came by, at the end of the mail
    """

    title: str
    preview: str
    facts: list[tuple[str, str]]
    rows: list[Row]
    has_more_rows: bool
    body: ReceivedBody
    origin: str


def default_body(delivery: Delivery) -> MailBody:
    """Return the text and HTML of a mail about the delivery's event, which has the whole body."""
    page = page_of(delivery)
    attachment = page.body.attachment
    return MailBody(visible(text_of_page(page)), visible(html_of_page(page)), (attachment,) if attachment else ())


def page_of(delivery: Delivery) -> MailPage:
    """Return the parts of the mail as the event has them: nothing is escaped or made visible yet."""
    event = delivery.event
    rows, has_more_rows = rows_of(event.data)
    first_fields = " | ".join([f"{row.name}: {row.value}" for row in rows[:MAX_PREVIEW_ROWS]])
    facts = [("When", _when(event)), ("Who", event.actor), ("About", event.subject), ("Source", event.source_name)]
    return MailPage(
        title=title_of(event),
        preview=" ".join(first_fields.split())[:MAX_PREVIEW_CHARACTERS],
        facts=[(name, value) for name, value in facts if value],
        rows=rows,
        has_more_rows=has_more_rows,
        body=received_body(event),
        origin=f'Event {event.id}, by the route "{delivery.route}" to "{delivery.destination}".',
    )


def _when(event: Event) -> str:
    """Return the time in UTC, because the reader may be anywhere; a text that is no time, unchanged."""
    text = event.time or event.receivedat
    try:
        at = times.read_time(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return text
    received = "" if event.time else " (received)"
    return f"{_day(at.date())}, {at.time().isoformat('seconds')} UTC{received}"


@lru_cache(maxsize=64)  # most events are of one day, and to format it takes 4 µs
def _day(day: date) -> str:
    return f"{day:%A}, {day.day} {day:%B} {day.year}"


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
        return ReceivedBody(title, note, text, attachment=None)
    attachment = _attachment(media_type, content, is_text=text is not None)
    return ReceivedBody(title, f"{note}, attached as {attachment.filename}", text=None, attachment=attachment)


def _attachment(media_type: str, content: bytes, is_text: bool) -> Attachment:
    """Return the body as a file. Its name and type are chosen by the end of the sender's media type."""
    for ending, (filename, attached_type) in _ATTACHED_AS.items():
        if media_type.endswith(ending):
            return Attachment(filename, attached_type, content)
    if is_text:
        return Attachment("body.txt", "text/plain", content)
    return Attachment("body.bin", "application/octet-stream", content)


def indented(data: jsontext.Json) -> str:
    """Return the data as indented JSON, or a text as it is.

    JSON of more than MAX_INLINE_BYTES characters stays compact. So does JSON that would have more than MAX_INLINE_BYTES
    and MAX_GROWTH times its compact length together, because deeply nested lists consist of indentation only.
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


def rows_of(data: jsontext.Json) -> tuple[list[Row], bool]:
    """Return a row for each value, however deep it stands: the first MAX_ROWS of them, and True if there are more.

    Data that is one value has none: the body shows it.
    """
    if not isinstance(data, dict | list):
        return [], False
    rows = list(islice(_rows("", data), MAX_ROWS + 1))
    return rows[:MAX_ROWS], len(rows) > MAX_ROWS


def _rows(name: str, value: jsontext.Json) -> Iterator[Row]:
    """Yield a row for each value in a value. `name` is the path of that value; empty for all of the data."""
    name_start = name[: MAX_NAME_CHARACTERS + 1]  # the name of a deeply nested field could have megabytes
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _rows(_field_name(name_start, key), item)
    elif isinstance(value, list) and value:
        joined = _joined(value)
        if joined is not None:
            yield _row(name or NAMELESS, joined)
            return
        for number, item in enumerate(value):
            yield from _rows(f"{name_start}[{number}]", item)
    else:
        yield _row(name or NAMELESS, _text(value))


def _field_name(parent: str, key: str) -> str:
    """Return the name of a field, such as `user.mail` or `user["e mail"]`."""
    # Most keys are identifiers, which takes a fifth of the time to find out.
    is_plain = (key.isidentifier() and len(key) <= MAX_KEY_CHARACTERS) or _PLAIN_KEY.fullmatch(key)
    if not is_plain:
        return f"{parent}[{jsontext.to_json(key)}]"
    return f"{parent}.{key}" if parent else key


def _row(name: str, value: str) -> Row:
    """Return the row of a value, cut if it is long. A value that is a web address becomes a link."""
    shown_name = name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 1] + "…"
    if len(value) > MAX_VALUE_CHARACTERS:
        cut = f"… {MAX_VALUE_CHARACTERS} of {len(value):,} characters"
        return Row(shown_name, value[:MAX_VALUE_CHARACTERS], cut)
    is_link = "://" in value and _WEB_LINK.fullmatch(visible(value)) is not None
    return Row(shown_name, value, is_link=is_link)


def _joined(items: list[jsontext.Json]) -> str | None:
    """Return a short list of plain values on one line, else None."""
    if len(items) > MAX_JOINED_VALUES or any(isinstance(item, dict | list) for item in items):
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


# The text of a page


def text_of_page(page: MailPage) -> str:
    """Return the text of the mail."""
    name_width = max([len(name) for name, _ in page.facts])
    lines = [page.title, "=" * min(len(page.title), MAX_UNDERLINE), ""]
    lines += [f"{name.ljust(name_width)}  {value}" for name, value in page.facts]
    if page.rows:
        lines.append("")
    for row in page.rows:
        line = f"{row.name}: {row.value} {row.cut}" if row.cut else f"{row.name}: {row.value}"
        lines.append(line.replace("\n", "\n    "))
    if page.has_more_rows:
        lines.append(MORE_ROWS)
    lines += ["", f"{page.body.title} ({page.body.note})"]
    if page.body.text:
        lines += ["", page.body.text]
    lines += ["", "-- ", page.origin]
    return "\n".join(lines)


# The HTML of a page

# The attributes of the elements. They have single quotes, and our own text is ASCII: where characters must be escaped,
# to write the JSON for a mail service takes six times longer.
_TABLE: Final = "cellpadding='0' cellspacing='0' border='0'"
_TABLE_STYLE: Final = "border-top:2px solid #dfe3e8;border-collapse:collapse;font-size:14px;line-height:20px;"
_BREAKS: Final = "word-break:break-word;"
_FACT_NAME: Final = "class='soft' valign='top' style='padding:2px 18px 2px 0;color:#667080;white-space:nowrap;'"
_FACT_VALUE: Final = f"class='value' valign='top' dir='auto' style='padding:2px 0;color:#12161c;{_BREAKS}'"
_ROW_NAME: Final = (
    "class='soft line' scope='row' align='left' valign='top' width='34%' style='padding:8px 14px 8px 0;"
    f"border-bottom:1px solid #eceff2;color:#667080;font-weight:400;{_BREAKS}'"
)
_ROW_VALUE: Final = (
    "class='value line' valign='top' dir='auto' style='padding:8px 0;border-bottom:1px solid #eceff2;"
    f"color:#12161c;white-space:pre-wrap;{_BREAKS}'"
)
_MORE: Final = "class='soft' style='margin:8px 0 0;font-size:13px;line-height:18px;color:#667080;'"
_NOTE: Final = "class='soft' style='margin:0 0 8px;font-size:13px;line-height:18px;color:#667080;'"
_STRONG: Final = "class='strong' style='color:#12161c;font-weight:600;'"
_CODE: Final = (
    "class='code' style='margin:0;padding:12px 14px;background:#f6f7f9;border:1px solid #e4e7eb;border-radius:6px;"
    'font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:12px;'
    f"line-height:18px;color:#2b323b;white-space:pre-wrap;{_BREAKS}'"
)


def as_html(text: str) -> str:
    """Return text between tags as HTML."""
    return escape(text, quote=False)


def html_of_page(page: MailPage) -> str:
    """Return the HTML of the mail."""
    facts = "".join([_fact_html(name, value) for name, value in page.facts])
    table = ""
    if page.rows:
        rows = "".join([_row_html(row) for row in page.rows])
        more = f"<p {_MORE}>{MORE_ROWS}</p>\n" if page.has_more_rows else ""
        table = f"""\
<tr><td class='side' style='padding:0 30px 20px;'>
<table class='line' width='100%' {_TABLE} style='{_TABLE_STYLE}'>
{rows}</table>
{more}</td></tr>
"""
    body_text = f"<div {_CODE}>{as_html(page.body.text)}</div>\n" if page.body.text else ""
    content = f"""\
<tr><td class='side' style='padding:10px 30px 18px;'>
<table role='presentation' {_TABLE} style='font-size:14px;line-height:20px;'>
{facts}</table>
</td></tr>
{table}<tr><td class='side' style='padding:2px 30px 24px;'>
<p {_NOTE}><span {_STRONG}>{page.body.title}</span> &nbsp;{as_html(page.body.note)}</p>
{body_text}</td></tr>
"""
    frame = templates().get_template("page.html")
    safe_content = Markup(content)  # noqa: S704 each value in it is escaped
    return frame.render(title=page.title, preview=page.preview, content=safe_content, origin=page.origin)


def _fact_html(name: str, value: str) -> str:
    return f"<tr>\n<td {_FACT_NAME}>{name}</td>\n<td {_FACT_VALUE}>{as_html(value)}</td>\n</tr>\n"


def _row_html(row: Row) -> str:
    """Return a row of the table. A line of its name may break after each full stop."""
    value = as_html(row.value)
    if row.is_link:  # a web address has no quotation mark
        value = f"<a class='link' href='{value}' style='color:#1d5fd1;'>{value}</a>"
    if row.cut:
        value += f"<span class='soft' style='color:#667080;'> {row.cut}</span>"
    name = as_html(row.name).replace(".", ".<wbr>")
    return f"<tr>\n<th {_ROW_NAME}>{name}</th>\n<td {_ROW_VALUE}>{value}</td>\n</tr>\n"


@cache
def templates() -> Environment:
    """Return the templates of the folder `templates`. In HTML, values are escaped."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
