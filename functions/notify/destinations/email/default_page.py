"""The page of the default mail, as text and as HTML.

Plain formatting instead of templates, because it was measured: 5 µs instead of 15 µs a mail. What it is given is text,
and becomes HTML only here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Final

from functions.notify.message_text import visible

MORE: Final = "There are more fields; the body has them all."
MAX_RULE: Final = 72
MAX_PREVIEW_ROWS: Final = 6
MAX_PREVIEW_CHARACTERS: Final = 200

_STYLE: Final = """\
@media (prefers-color-scheme: dark) {
  .page { background: #15181d !important; }
  .card { background: #1f242b !important; border-color: #343b45 !important; }
  .strong, .value { color: #eceff3 !important; }
  .soft { color: #a3adba !important; }
  .line { border-color: #343b45 !important; }
  .code { background: #171b20 !important; border-color: #343b45 !important; color: #d7dde5 !important; }
  .link { color: #7fb0ff !important; }
}
@media (max-width: 480px) {
  .side { padding-left: 18px !important; padding-right: 18px !important; }
}"""
_FONT: Final = 'font-family:-apple-system,BlinkMacSystemFont,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;'
_MONO: Final = 'font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;'
BREAK: Final = "word-break:break-word;"
LAYOUT: Final = "cellpadding='0' cellspacing='0' border='0'"
_PAGE: Final = f"role='presentation' class='page' width='100%' {LAYOUT} style='background:#f3f4f6;'"
_CARD: Final = (
    f"role='presentation' class='card' width='100%' {LAYOUT} style='max-width:640px;background:#ffffff;"
    f"border:1px solid #dfe3e8;border-radius:10px;border-collapse:separate;{_FONT}text-align:left;'"
)
_H1: Final = (
    f"class='strong' dir='auto' style='margin:0;font-size:21px;line-height:28px;font-weight:600;color:#12161c;{BREAK}'"
)
_FACT: Final = "class='soft' valign='top' style='padding:2px 18px 2px 0;color:#667080;white-space:nowrap;'"
_FACT_VALUE: Final = f"class='value' valign='top' dir='auto' style='padding:2px 0;color:#12161c;{BREAK}'"
_ROWS: Final = (
    f"class='line' width='100%' {LAYOUT} style='border-top:2px solid #dfe3e8;border-collapse:collapse;"
    "font-size:14px;line-height:20px;'"
)
_ROW: Final = (
    "class='soft line' scope='row' align='left' valign='top' width='34%' style='padding:8px 14px 8px 0;"
    f"border-bottom:1px solid #eceff2;color:#667080;font-weight:400;{BREAK}'"
)
_ROW_VALUE: Final = (
    "class='value line' valign='top' dir='auto' style='padding:8px 0;border-bottom:1px solid #eceff2;color:#12161c;"
    f"white-space:pre-wrap;{BREAK}'"
)
_FACT_START: Final = f"\n<tr>\n<td {_FACT}>"
_FACT_MIDDLE: Final = f"</td>\n<td {_FACT_VALUE}>"
_ROWS_START: Final = f"\n<tr><td class='side' style='padding:0 30px 20px;'>\n<table {_ROWS}>"
_ROW_START: Final = f"\n<tr>\n<th {_ROW}>"
_ROW_MIDDLE: Final = f"</th>\n<td {_ROW_VALUE}>"
_ROW_END: Final = "</td>\n</tr>"
_SOFT: Final = "class='soft' style='color:#667080;'"
NOTE: Final = "class='soft' style='margin:0 0 8px;font-size:13px;line-height:18px;color:#667080;'"
_STRONG: Final = "class='strong' style='color:#12161c;font-weight:600;'"
_CODE: Final = (
    "class='code' style='margin:0;padding:12px 14px;background:#f6f7f9;border:1px solid #e4e7eb;border-radius:6px;"
    f"{_MONO}font-size:12px;line-height:18px;color:#2b323b;white-space:pre-wrap;{BREAK}'"
)
_ORIGIN: Final = f"class='soft' style='margin:0;font-size:12px;line-height:17px;color:#7a8494;{BREAK}'"
_MORE: Final = f"\n<p class='soft' style='margin:8px 0 0;font-size:13px;line-height:18px;color:#667080;'>{MORE}</p>"


_FACTS_START: Final = f"""\
<tr><td class='side' style='padding:10px 30px 18px;'>
<table role='presentation' {LAYOUT} style='font-size:14px;line-height:20px;'>"""
_FACTS_END: Final = "\n</table>\n</td></tr>"
_BODY_START: Final = f"\n<tr><td class='side' style='padding:2px 30px 24px;'>\n<p {NOTE}><span {_STRONG}>"
_BODY_MIDDLE: Final = "</span> &nbsp;"
_TOP, _TITLE_END, _PREVIEW_END, _HEAD_END, _ORIGIN_START, _BOTTOM = f"""\
<!DOCTYPE html>
<html lang='en'>
<head>
<meta charset='utf-8'>
<meta name='viewport' content='width=device-width, initial-scale=1'>
<meta name='color-scheme' content='light dark'>
<meta name='supported-color-schemes' content='light dark'>
<title>\0</title>
<style>
{_STYLE}
</style>
</head>
<body class='page' style='margin:0;padding:0;background:#f3f4f6;-webkit-text-size-adjust:100%;'>
<div style='display:none;max-height:0;overflow:hidden;opacity:0;'>\0</div>
<table {_PAGE}>
<tr><td align='center' style='padding:24px 12px;'>
<!--[if mso]><table role='presentation' width='640' {LAYOUT}><tr><td><![endif]-->
<table {_CARD}>
<tr><td class='side' style='padding:26px 30px 4px;'>
<h1 {_H1}>\0</h1>
</td></tr>
\0
<tr><td class='side line' style='padding:14px 30px 18px;border-top:1px solid #eceff2;'>
<p {_ORIGIN}>\0</p>
</td></tr>
</table>
<!--[if mso]></td></tr></table><![endif]-->
</td></tr>
</table>
</body>
</html>""".split("\0")


@dataclass(slots=True)
class Rows:
    """The rows of a table. No name has a line break.

    names, values  of each row its name and its value
    links          the numbers of the rows whose value is a web address and nothing else
    cuts           how much of a longer value is shown, by the number of its row
    """

    names: list[str]
    values: list[str]
    links: Sequence[int]
    cuts: Mapping[int, str]


@dataclass(slots=True)
class Page:
    """The facts are names and values. `note` is about the body, which is None if it is attached."""

    title: str
    facts: Sequence[tuple[str, str]]
    rows: Rows
    has_more_rows: bool
    body_title: str
    note: str
    body: str | None
    event_id: str


def write_page(page: Page, route: str, destination: str) -> tuple[str, str]:
    """Return the page as text and as HTML. The route and the destination stand below it.

    The text has all that the HTML shows. So it tells whether the page has anything to replace, which few have.
    """
    text = _text_of_page(page)
    if visible(text) is not text:
        page, text = _changed(page, visible), visible(text)
    rows = page.rows
    preview = _joined(" · ", rows.names[:MAX_PREVIEW_ROWS], ": ", rows.values[:MAX_PREVIEW_ROWS], "")[3:]
    if "  " in preview or "\n" in preview or "\t" in preview or not text.isascii():  # to split it takes long
        preview = " ".join(preview.split())
    preview = preview.strip()[:MAX_PREVIEW_CHARACTERS]
    if escape(text, quote=False) != text:
        page, preview = _changed(page, as_html), as_html(preview)
    text_origin, html_origin = _origin(route, destination)
    return text + text_origin, _html_of_page(page, preview.replace("·", "&middot;"), html_origin)


def _changed(page: Page, change: Callable[[str], str]) -> Page:
    """Return the page with each of its texts as `change` returns it."""
    rows = page.rows
    return Page(
        title=change(page.title),
        facts=[(name, change(value)) for name, value in page.facts],
        rows=Rows([*map(change, rows.names)], [*map(change, rows.values)], rows.links, rows.cuts),
        has_more_rows=page.has_more_rows,
        body_title=page.body_title,
        note=change(page.note),
        body=None if page.body is None else change(page.body),
        event_id=change(page.event_id),
    )


@lru_cache(maxsize=256)
def _origin(route: str, destination: str) -> tuple[str, str]:
    """Return the end of the text and of the HTML.

    Its quotation marks are no ASCII in the text: to look through that takes more time.
    """
    route, destination = visible(route), visible(destination)
    return (
        f", by the route “{route}” to “{destination}”.",
        f", by the route &ldquo;{as_html(route)}&rdquo; to &ldquo;{as_html(destination)}&rdquo;.",
    )


def _text_of_page(page: Page) -> str:
    """Return the text up to the route that it comes by."""
    width = max([len(name) for name, _ in page.facts])
    facts = "".join([f"\n{name.ljust(width)}  {value}" for name, value in page.facts])
    rows, values = page.rows, page.rows.values
    if "\n" in "".join(values):
        values = [value.replace("\n", "\n    ") for value in values]
    if rows.cuts:
        values = [*values]
        for number, cut in rows.cuts.items():
            values[number] += f" {cut}"
    table = "\n" + _joined("\n", rows.names, ": ", values, "") if values else ""
    more = f"\n{MORE}" if page.has_more_rows else ""
    body = f"\n\n{page.body}" if page.body else ""
    rule = "=" * min(len(page.title), MAX_RULE)
    return (
        f"{page.title}\n{rule}\n{facts}{table}{more}\n\n{page.body_title} ({page.note}){body}"
        f"\n\n-- \nEvent {page.event_id}"
    )


def _html_of_page(page: Page, preview: str, origin: str) -> str:
    """Return the page. Its texts, the preview and the origin are HTML.

    All that is ours in it is ASCII, as most events are, and without double quotes, which JSON escapes: such text takes
    less time to write.
    """
    facts = "".join([f"{_FACT_START}{name}{_FACT_MIDDLE}{value}{_ROW_END}" for name, value in page.facts])
    more = _MORE if page.has_more_rows else ""
    rows = f"{_ROWS_START}{_html_rows(page.rows)}\n</table>{more}\n</td></tr>" if page.rows.names else ""
    body = f"\n<div {_CODE}>{page.body}</div>" if page.body else ""
    content = (
        f"{_FACTS_START}{facts}{_FACTS_END}{rows}"
        f"{_BODY_START}{page.body_title}{_BODY_MIDDLE}{page.note}</p>{body}\n</td></tr>"
    )
    return framed(page.title, preview, content, f"Event {page.event_id}{origin}")


def framed(title: str, preview: str, content: str, origin: str) -> str:
    """Return the whole page of a mail. All of it is HTML; the content is rows of a table."""
    return (
        f"{_TOP}{title}{_TITLE_END}{preview}{_PREVIEW_END}{title}{_HEAD_END}{content}{_ORIGIN_START}{origin}{_BOTTOM}"
    )


def _html_rows(rows: Rows) -> str:
    """Return the rows, whose texts are HTML. A line of a name may break after each full stop."""
    names = "\n".join(rows.names).replace(".", ".<wbr>").split("\n")
    values = [*rows.values]
    for number in rows.links:  # no web address has a quotation mark
        values[number] = f"<a class='link' href='{values[number]}' style='color:#1d5fd1;'>{values[number]}</a>"
    for number, cut in rows.cuts.items():
        values[number] += f"<span {_SOFT}> {cut}</span>"
    return _joined(_ROW_START, names, _ROW_MIDDLE, values, _ROW_END)


def _joined(start: str, names: Sequence[str], middle: str, values: Sequence[str], end: str) -> str:
    """Return all rows, each with these texts around its name and its value."""
    pieces = [start, "", middle, "", end] * len(names)
    pieces[1::5] = names
    pieces[3::5] = values
    return "".join(pieces)


def as_html(text: str) -> str:
    """Return text between tags as HTML."""
    return escape(text, quote=False)
