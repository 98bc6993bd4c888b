"""The requests that write a section, or fill a template, in one batchUpdate: Google does all of them or none.

A named range marks what was written with the delivery's id: where it is there, nothing is written again. Indices count
units of UTF-16. https://developers.google.com/workspace/docs/api/reference/rest/v1/documents/batchUpdate
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from functions.notify.destinations.document.encoding import stripped
from functions.notify.destinations.document.markdown import Paragraph
from shared.jsontext import Json, JsonObject, to_json

START: Final = 1
"""The first index of a body."""
INDENT_POINTS: Final = 36
_PRESETS: Final = {False: "BULLET_DISC_CIRCLE_SQUARE", True: "NUMBERED_DECIMAL_ALPHA_ROMAN"}


def mark_of(key: str) -> str:
    """Return the name of the range that marks what a delivery wrote."""
    return f"hookchain {key}"


def section_requests(paragraphs: Sequence[Paragraph], key: str, end_index: int = START + 1) -> list[Json]:
    """Return the requests that write the paragraphs at the end of a body that ends at `end_index`, empty by default."""
    index = end_index - 1
    break_before = "\n" if index > START else ""
    body = "\n".join(paragraph.text for paragraph in paragraphs)
    begin = index + len(break_before)
    whole = _range(begin, begin + _units(body))
    found: list[Json] = [
        {"insertText": {"location": {"index": index}, "text": break_before + body}},
        {"deleteParagraphBullets": {"range": whole}},
        _paragraph_style(whole, {"namedStyleType": "NORMAL_TEXT"}, "namedStyleType,indentStart,indentFirstLine"),
        {"updateTextStyle": {"range": whole, "textStyle": {}, "fields": "*"}},
    ]
    places: list[tuple[Paragraph, int, int]] = []
    for paragraph in paragraphs:
        end = begin + _units(paragraph.text)
        places.append((paragraph, begin, end))
        found += _style_requests(paragraph, begin, end)
        begin = end + 1
    found.append(_mark_request(key, whole))
    return [*found, *_bullet_requests(places)]


def fill_requests(values: Mapping[str, str], key: str) -> list[Json]:
    """Return the requests that replace each {{name}} of a template by its value.

    They are done one after another. So that nothing in a value is replaced, each name becomes a text that no value has
    before it becomes the value, where a value has a name in it.
    """
    texts = {f"{{{{{name}}}}}": stripped(value) for name, value in values.items()}
    found: list[Json] = []
    if any(name in value for name in texts for value in texts.values()):
        digest = hashlib.sha256(to_json({**texts}).encode()).hexdigest()[:32]
        stand_ins = {name: f"{{{digest}-{number}}}" for number, name in enumerate(texts)}
        found += [_replace_request(name, stand_in) for name, stand_in in stand_ins.items()]
        texts = {stand_ins[name]: value for name, value in texts.items()}
    found += [_replace_request(name, value) for name, value in texts.items()]
    return [*found, _mark_request(key, _range(START, START + 1))]


def _replace_request(text: str, value: str) -> JsonObject:
    return {"replaceAllText": {"containsText": {"text": text, "matchCase": True}, "replaceText": value}}


def _mark_request(key: str, whole: JsonObject) -> JsonObject:
    return {"createNamedRange": {"name": mark_of(key), "range": whole}}


def _style_requests(paragraph: Paragraph, begin: int, end: int) -> Iterator[Json]:
    if paragraph.heading:
        style = {"namedStyleType": f"HEADING_{paragraph.heading}"}
        yield _paragraph_style(_range(begin, end), {**style}, "namedStyleType")
    if paragraph.quotes and paragraph.depth < 0:
        indent: JsonObject = {"magnitude": INDENT_POINTS * paragraph.quotes, "unit": "PT"}
        indents: JsonObject = {"indentStart": indent, "indentFirstLine": indent}
        yield _paragraph_style(_range(begin, end), indents, "indentStart,indentFirstLine")
    at = begin + max(0, paragraph.depth)
    for run in paragraph.runs:
        after = at + _units(run.text)
        if run.style:
            fields = ",".join(sorted(run.style))
            yield {"updateTextStyle": {"range": _range(at, after), "textStyle": run.style, "fields": fields}}
        at = after


def _bullet_requests(places: Sequence[tuple[Paragraph, int, int]]) -> list[Json]:
    """Return a request for each outermost list, the last one first: it removes tabs, and so moves what follows it."""
    found: list[Json] = []
    for number, grouped in groupby(places, lambda place: place[0].list_number if place[0].depth >= 0 else 0):
        items = list(grouped)
        if number:
            bounds = _range(items[0][1], items[-1][2])
            preset = _PRESETS[items[0][0].is_numbered]
            found.append({"createParagraphBullets": {"range": bounds, "bulletPreset": preset}})
    return found[::-1]


def _paragraph_style(bounds: JsonObject, style: JsonObject, fields: str) -> JsonObject:
    return {"updateParagraphStyle": {"range": bounds, "paragraphStyle": style, "fields": fields}}


def _range(begin: int, end: int) -> JsonObject:
    return {"startIndex": begin, "endIndex": end}


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
