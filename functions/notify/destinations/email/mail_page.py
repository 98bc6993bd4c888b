"""The page of a default mail: its parts, and how they are written as text and as HTML.

The frame of the HTML is templates/page.html, which the digest's mail has, too. Its own rows are written here without
templates: with Jinja2, notify took 617 µs of CPU for an event and its mail, and takes 410 µs.
"""

from dataclasses import dataclass, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import Final, NamedTuple, NewType

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from functions.notify.destinations.email.mail import Attachment

MAX_RULE: Final = 72
"""The length of the line under the title in the text: no longer than a line of a mail."""
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
    """The parts of a mail about an event. `facts` are names and values; `preview` is shown beside the subject."""

    title: str
    preview: str
    facts: list[tuple[str, str]]
    rows: list[Row]
    has_more_rows: bool
    body: ReceivedBody
    event_id: str


HtmlPage = NewType("HtmlPage", MailPage)
"""A page whose texts are HTML: `escaped` made it, or none of its texts has a character that is escaped."""


def text_of_page(page: MailPage) -> str:
    """Return the text up to the route that the event came by."""
    name_width = max([len(name) for name, _ in page.facts])
    lines = [page.title, "=" * min(len(page.title), MAX_RULE), ""]
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
    lines += ["", "-- ", f"Event {page.event_id}"]
    return "\n".join(lines)


# The HTML of a page

# Attributes have single quotes and the page is ASCII, because JSON for a mail service takes six times longer otherwise.
_TABLE: Final = "cellpadding='0' cellspacing='0' border='0'"
_TABLE_STYLE: Final = "border-top:2px solid #dfe3e8;border-collapse:collapse;font-size:14px;line-height:20px;"
_BREAKS: Final = "word-break:break-word;"
_FACT_START: Final = (
    "<tr>\n<td class='soft' valign='top' style='padding:2px 18px 2px 0;color:#667080;white-space:nowrap;'>"
)
_FACT_MIDDLE: Final = f"</td>\n<td class='value' valign='top' dir='auto' style='padding:2px 0;color:#12161c;{_BREAKS}'>"
_ROW_START: Final = (
    "<tr>\n<th class='soft line' scope='row' align='left' valign='top' width='34%' style='padding:8px 14px 8px 0;"
    f"border-bottom:1px solid #eceff2;color:#667080;font-weight:400;{_BREAKS}'>"
)
_ROW_MIDDLE: Final = (
    "</th>\n<td class='value line' valign='top' dir='auto' style='padding:8px 0;border-bottom:1px solid #eceff2;"
    f"color:#12161c;white-space:pre-wrap;{_BREAKS}'>"
)
_ROW_END: Final = "</td>\n</tr>\n"
_MORE: Final = "class='soft' style='margin:8px 0 0;font-size:13px;line-height:18px;color:#667080;'"
_NOTE: Final = "class='soft' style='margin:0 0 8px;font-size:13px;line-height:18px;color:#667080;'"
_STRONG: Final = "class='strong' style='color:#12161c;font-weight:600;'"
_CODE: Final = (
    "class='code' style='margin:0;padding:12px 14px;background:#f6f7f9;border:1px solid #e4e7eb;border-radius:6px;"
    'font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:12px;'
    f"line-height:18px;color:#2b323b;white-space:pre-wrap;{_BREAKS}'"
)


def escaped(page: MailPage) -> HtmlPage:
    """Return the page with each text of the sender or of the configuration as HTML. The others are our own."""
    escaped_page = page._replace(
        title=as_html(page.title),
        preview=as_html(page.preview),
        facts=[(name, as_html(value)) for name, value in page.facts],
        rows=[row._replace(name=as_html(row.name), value=as_html(row.value)) for row in page.rows],
        body=replace(page.body, note=as_html(page.body.note), text=as_html(page.body.text or "")),
        event_id=as_html(page.event_id),
    )
    return HtmlPage(escaped_page)


def as_html(text: str) -> str:
    """Return text between tags as HTML."""
    return escape(text, quote=False)


def html_of_page(page: HtmlPage, origin: str) -> str:
    """Return the HTML of a page. `origin` is HTML, too."""
    facts = "".join([f"{_FACT_START}{name}{_FACT_MIDDLE}{value}{_ROW_END}" for name, value in page.facts])
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
    body_text = f"<div {_CODE}>{page.body.text}</div>\n" if page.body.text else ""
    content = f"""\
<tr><td class='side' style='padding:10px 30px 18px;'>
<table role='presentation' {_TABLE} style='font-size:14px;line-height:20px;'>
{facts}</table>
</td></tr>
{table}<tr><td class='side' style='padding:2px 30px 24px;'>
<p {_NOTE}><span {_STRONG}>{page.body.title}</span> &nbsp;{page.body.note}</p>
{body_text}</td></tr>
"""
    preview = page.preview.replace("·", "&middot;")
    frame = _frame()
    head = f"{frame.before_title}{page.title}{frame.before_preview}{preview}{frame.before_heading}{page.title}"
    return f"{head}{frame.before_content}{content}{frame.before_origin}Event {page.event_id}{origin}{frame.end}"


def _row_html(row: Row) -> str:
    """Return a row of the table. A line of its name may break after each full stop."""
    value = row.value
    if row.is_link:  # a web address has no quotation mark
        value = f"<a class='link' href='{value}' style='color:#1d5fd1;'>{value}</a>"
    if row.cut:
        value += f"<span class='soft' style='color:#667080;'> {row.cut}</span>"
    return f"{_ROW_START}{row.name.replace('.', '.<wbr>')}{_ROW_MIDDLE}{value}{_ROW_END}"


class _Frame(NamedTuple):
    """The pieces of templates/page.html between its values. The title is there twice: also as a heading."""

    before_title: str
    before_preview: str
    before_heading: str
    before_content: str
    before_origin: str
    end: str


@cache
def _frame() -> _Frame:
    mark = "\0"  # the template itself does not have this character
    page = templates().get_template("page.html").render(title=mark, preview=mark, content=mark, origin=mark)
    return _Frame(*page.split(mark))


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
