"""The updates that write into a Google Doc: paragraphs at its end, or values in place of a template's names.

Google does all requests of a batchUpdate, one after another, or none. Among them is one for a named range that marks
with the delivery's id what was written: where it is there, nothing is written again. Indices count units of UTF-16.
https://developers.google.com/workspace/docs/api/reference/rest/v1/documents/batchUpdate
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from functions.notify.destinations.document.markdown import Paragraph, stripped
from shared import jsontext

START: Final = 1
"""The first index of a body."""
EMPTY_END: Final = START + 1
"""The index at which an empty body ends: a line break ends every body."""
_INDENT_POINTS: Final = 36
"""The indent of a quote, in points: half an inch, as Google's own."""
_BULLETS: Final = "BULLET_DISC_CIRCLE_SQUARE"
_NUMBERS: Final = "NUMBERED_DECIMAL_ALPHA_ROMAN"


class _Placed(NamedTuple):
    """A paragraph, and the indices of its begin and end in the document."""

    paragraph: Paragraph
    begin: int
    end: int


def mark_of(key: str) -> str:
    """Return the name of the range that marks what a delivery wrote."""
    return f"hookchain {key}"


def section_requests(paragraphs: Sequence[Paragraph], key: str, end_index: int = EMPTY_END) -> list[jsontext.Json]:
    """Return the requests that write the paragraphs at the end of a body that ends at `end_index`, empty by default."""
    insert_at = end_index - 1  # before the line break that ends every body
    break_before = "" if insert_at == START else "\n"
    text = "\n".join(paragraph.text for paragraph in paragraphs)
    begin = insert_at + len(break_before)
    whole = _range(begin, begin + _units(text))
    requests: list[jsontext.Json] = [
        {"insertText": {"location": {"index": insert_at}, "text": break_before + text}},
        # The text takes the styles of what is before it, which do not belong to it.
        {"deleteParagraphBullets": {"range": whole}},
        _paragraph_style(whole, {"namedStyleType": "NORMAL_TEXT"}, "namedStyleType,indentStart,indentFirstLine"),
        {"updateTextStyle": {"range": whole, "textStyle": {}, "fields": "*"}},
    ]
    all_placed: list[_Placed] = []
    for paragraph in paragraphs:
        placed = _Placed(paragraph, begin, end=begin + _units(paragraph.text))
        all_placed.append(placed)
        requests += _style_requests(placed)
        begin = placed.end + 1  # after the line break
    requests.append(_mark_request(key, whole))
    return [*requests, *_bullet_requests(all_placed)]


def fill_requests(values: Mapping[str, str], key: str) -> list[jsontext.Json]:
    """Return the requests that replace each {{name}} of a template by its value.

    If a value contains a name in braces, a later request would replace that, too. Then the requests first replace each
    name by a stand-in, a text that no value contains, and only then each stand-in by its value.
    """
    texts = {f"{{{{{name}}}}}": stripped(value) for name, value in values.items()}
    requests: list[jsontext.Json] = []
    if any(name in value for name in texts for value in texts.values()):
        digest = hashlib.sha256(jsontext.to_json({**texts}).encode()).hexdigest()[:32]
        stand_ins = {name: f"{{{digest}-{number}}}" for number, name in enumerate(texts)}  # {3fd2…-0}
        requests += [_replace_request(name, stand_in) for name, stand_in in stand_ins.items()]
        texts = {stand_ins[name]: value for name, value in texts.items()}
    requests += [_replace_request(name, value) for name, value in texts.items()]
    return [*requests, _mark_request(key, _range(START, START + 1))]


def _replace_request(text: str, value: str) -> jsontext.JsonObject:
    return {"replaceAllText": {"containsText": {"text": text, "matchCase": True}, "replaceText": value}}


def _mark_request(key: str, whole: jsontext.JsonObject) -> jsontext.JsonObject:
    return {"createNamedRange": {"name": mark_of(key), "range": whole}}


def _style_requests(placed: _Placed) -> Iterator[jsontext.Json]:
    """Yield the requests for the heading, the indent and the texts' styles of a paragraph, except those of its list."""
    paragraph, begin, end = placed
    if paragraph.heading:
        style = {"namedStyleType": f"HEADING_{paragraph.heading}"}
        yield _paragraph_style(_range(begin, end), {**style}, "namedStyleType")
    if paragraph.quotes and paragraph.depth < 0:
        indent: jsontext.JsonObject = {"magnitude": _INDENT_POINTS * paragraph.quotes, "unit": "PT"}
        indents: jsontext.JsonObject = {"indentStart": indent, "indentFirstLine": indent}
        yield _paragraph_style(_range(begin, end), indents, "indentStart,indentFirstLine")
    at = begin + max(0, paragraph.depth)  # after the tabs
    for run in paragraph.runs:
        after = at + _units(run.text)
        if run.style:
            fields = ",".join(sorted(run.style))
            yield {"updateTextStyle": {"range": _range(at, after), "textStyle": run.style, "fields": fields}}
        at = after


def _bullet_requests(all_placed: Sequence[_Placed]) -> list[jsontext.Json]:
    """Return a request for each outermost list, the last one first: it removes tabs, and so moves what follows it."""
    requests: list[jsontext.Json] = []
    for list_number, grouped in groupby(all_placed, lambda placed: placed.paragraph.list_number):
        items = list(grouped)
        if list_number:
            bounds = _range(items[0].begin, items[-1].end)
            preset = _NUMBERS if items[0].paragraph.is_numbered else _BULLETS
            requests.append({"createParagraphBullets": {"range": bounds, "bulletPreset": preset}})
    return requests[::-1]


def _paragraph_style(bounds: jsontext.JsonObject, style: jsontext.JsonObject, fields: str) -> jsontext.JsonObject:
    return {"updateParagraphStyle": {"range": bounds, "paragraphStyle": style, "fields": fields}}


def _range(begin: int, end: int) -> jsontext.JsonObject:
    return {"startIndex": begin, "endIndex": end}


def _units(text: str) -> int:
    """Return the length of the text in Google's indices: in units of UTF-16, of which an emoji has two."""
    return len(text.encode("utf-16-le")) // 2
