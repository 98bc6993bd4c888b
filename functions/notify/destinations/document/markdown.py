"""Markdown as the requests that write it into a Google Doc: values, paragraphs, and one batchUpdate of them.

Values: each stands in the Markdown as hexadecimal digits between two characters of the private use area, which Google's
documents do not hold. So a value is text wherever the template puts it, in code and in tables too.
Paragraphs: the library markdown-it-py reads the text (CommonMark, and tables); it is imported at the first use.
Requests: Google does all of a batchUpdate or none. A named range marks what was written with the delivery's id: where
it is there, nothing is written again. Indices count units of UTF-16.
https://developers.google.com/workspace/docs/api/reference/rest/v1/documents/batchUpdate
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from shared import errors, jsontext

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_BEGIN: Final = "\ue000"
_END: Final = "\ue001"
_VALUE: Final = re.compile(f"{_BEGIN}([0-9a-f]*){_END}")
_QUOTED: Final = re.compile(f"{quote(_BEGIN)}|{quote(_END)}")
_STRIPPED: Final = re.compile("[\x00-\x08\x0c-\x1f\ud800-\udfff\ue000-\uf8ff]")
"""Characters that Google leaves out of a text, and halves of surrogate pairs. With them, each index would be wrong.

https://developers.google.com/workspace/docs/api/reference/rest/v1/documents/request#inserttextrequest
"""
_BREAKS: Final = re.compile("\r\n|[\r\n\u0085\u2028\u2029]")
LINE_BREAK: Final = "\v"
"""A line break within a paragraph."""
_LINK: Final = re.compile(r"(https?://|mailto:)[\x21-\x7e\xa1-\U0010ffff]+", re.IGNORECASE)

FONT_OF_CODE: Final = "Courier New"
RULE: Final = "―" * 20
_STYLES: Final[dict[str, jsontext.JsonObject]] = {
    "strong": {"bold": True},
    "em": {"italic": True},
    "s": {"strikethrough": True},
    "th": {"bold": True},
}
_CODE: Final[jsontext.JsonObject] = {"weightedFontFamily": {"fontFamily": FONT_OF_CODE}}

START: Final = 1
"""The first index of a body."""
INDENT_POINTS: Final = 36
"""The indent of a quote, in points: half an inch, as Google's own."""
_PRESETS: Final = {False: "BULLET_DISC_CIRCLE_SQUARE", True: "NUMBERED_DECIMAL_ALPHA_ROMAN"}


def encoded(value: str) -> str:
    """Return the value as it stands in a text of Markdown."""
    return f"{_BEGIN}{value.encode('utf-8', 'replace').hex()}{_END}"


def decoded(text: str) -> str:
    """Return the text with its values, without characters that Google strips. Line breaks begin no paragraph."""
    return stripped(_BREAKS.sub(LINE_BREAK, _with_values(text, lambda value: value)))


def link_of(address: str) -> str | None:
    """Return the address of a link, which may be a value or have values; None if it is no web or mail address.

    A value that is part of the address is quoted.
    """
    # The parser percent-encodes characters that are not ASCII.
    address = _QUOTED.sub(lambda link: unquote(link[0]), address)
    is_value = _VALUE.fullmatch(address) is not None
    link = _with_values(address, lambda value: value.strip() if is_value else quote(value, safe=""))
    return link if _LINK.fullmatch(link) else None


def stripped(text: str) -> str:
    return _STRIPPED.sub("", text)


def _with_values(text: str, written: Callable[[str], str]) -> str:
    return _VALUE.sub(lambda found: written(bytes.fromhex(found[1]).decode()), text)


@dataclass(frozen=True, slots=True)
class Run:
    """A text and its style, as Google's TextStyle."""

    text: str
    style: jsontext.JsonObject


@dataclass(slots=True)
class Paragraph:
    """A paragraph, and how it is written.

    heading      1 to 6; 0 for none
    quotes       how many quotes it is in
    depth        of its list, 0 for the outermost; -1 for none
    list_number  the number of the outermost list, counted from 1
    is_numbered  the outermost list is numbered
    """

    heading: int = 0
    quotes: int = 0
    depth: int = -1
    list_number: int = 0
    is_numbered: bool = False
    runs: list[Run] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the text. A list's depth is the number of tabs before it, which Google removes."""
        return "\t" * max(0, self.depth) + "".join(run.text for run in self.runs)

    def add(self, text: str, style: jsontext.JsonObject) -> None:
        """Add a text. In a list, tabs at the beginning would change the depth, so they are left out."""
        if self.depth >= 0 and not self.runs:
            text = text.lstrip("\t")
        if text:
            self.runs.append(Run(text, style))


def paragraphs_of(text: str) -> list[Paragraph]:
    """Return the paragraphs that have more than space. Raises Temporary where the library is not installed."""
    reader = _Reader()
    for token in _parser().parse(text):
        reader.read(token)
    return [paragraph for paragraph in reader.paragraphs if any(run.text.strip() for run in paragraph.runs)]


@cache
def _parser() -> "MarkdownIt":
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        rule = "the library markdown-it-py is not installed; bundle the function again, or install the extra `markdown`"
        raise errors.Temporary("destination_not_loaded", rule) from error
    return MarkdownIt("js-default", {"html": False, "linkify": False, "typographer": False})


class _Reader:
    """Reads the tokens of markdown-it-py in their order, and makes paragraphs of them.

    _item         the paragraph of the list item that is read; None outside
    _lists        of each list that is open, whether it is numbered, the outermost first
    _list_number  the number of outermost lists so far
    _quotes       how many quotes are open
    _is_in_row    a cell of the table's row was begun
    _style        the style of the cell that is read
    """

    def __init__(self) -> None:
        self.paragraphs: list[Paragraph] = []
        self._item: Paragraph | None = None
        self._lists: list[bool] = []
        self._list_number = 0
        self._quotes = 0
        self._is_in_row = False
        self._style: jsontext.JsonObject = {}

    def read(self, token: "Token") -> None:
        """Read the next token of a block. The paragraphs of a list's item become one, so that numbers go on."""
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                self._list_number += not self._lists
                self._lists.append(token.type == "ordered_list_open")
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
                self._item = None
            case "list_item_open":
                self._item = self._begin()
            case "blockquote_open" | "blockquote_close":
                self._quotes += token.nesting
            case "heading_open" | "paragraph_open" | "tr_open":
                self._is_in_row = False
                self._begin_block(int(token.tag[1:]) if token.type == "heading_open" else 0)
            case "th_open" | "td_open":
                if self._is_in_row:  # a cell before may be empty, and is one nevertheless
                    self.paragraphs[-1].add("\t", {})
                self._is_in_row = True
                self._style = _STYLES["th"] if token.type == "th_open" else {}
            case "th_close":
                self._style = {}
            case "inline":
                self._add_inline(token.children or ())
            case "fence" | "code_block":
                self._begin_block()
                self.paragraphs[-1].add(decoded(token.content.removesuffix("\n")), _CODE)
            case "hr":
                self._begin_block()
                self.paragraphs[-1].add(RULE, {})

    def _begin_block(self, heading: int = 0) -> None:
        """Begin a paragraph; in a list item, a new line of its paragraph."""
        if self._item is None:
            self._begin(heading)
        elif self._item.runs:
            self._item.add(LINE_BREAK, {})

    def _begin(self, heading: int = 0) -> Paragraph:
        is_numbered = bool(self._lists) and self._lists[0]
        paragraph = Paragraph(
            heading=heading,
            quotes=self._quotes,
            depth=len(self._lists) - 1,
            list_number=self._list_number,
            is_numbered=is_numbered,
        )
        self.paragraphs.append(paragraph)
        return paragraph

    def _add_inline(self, tokens: "Sequence[Token]") -> None:
        """Add the texts of a block to the last paragraph. Each has the styles of all elements that it is in."""
        paragraph = self.paragraphs[-1]
        styles: list[jsontext.JsonObject] = [self._style]
        for token in tokens:
            kind = token.type.removesuffix("_open")
            style: jsontext.JsonObject = {key: value for each in styles for key, value in each.items()}
            if token.nesting < 0:
                styles.pop()
            elif kind == "link":
                url = link_of(str(token.attrs.get("href")))
                styles.append({"link": {"url": url}} if url else {})
            elif token.nesting > 0:
                styles.append(_STYLES.get(kind, {}))
            elif kind == "code_inline":
                paragraph.add(decoded(token.content), {**style, **_CODE})
            elif kind in {"softbreak", "hardbreak"}:
                paragraph.add(" " if kind == "softbreak" else LINE_BREAK, style)
            else:  # text; of an image, its description
                paragraph.add(decoded(token.content), style)


def mark_of(key: str) -> str:
    """Return the name of the range that marks what a delivery wrote."""
    return f"hookchain {key}"


def section_requests(paragraphs: Sequence[Paragraph], key: str, end_index: int = START + 1) -> list[jsontext.Json]:
    """Return the requests that write the paragraphs at the end of a body that ends at `end_index`, empty by default."""
    index = end_index - 1  # before the line break that ends every body
    break_before = "\n" if index > START else ""
    body = "\n".join(paragraph.text for paragraph in paragraphs)
    begin = index + len(break_before)
    whole = _range(begin, begin + _units(body))
    requests: list[jsontext.Json] = [
        {"insertText": {"location": {"index": index}, "text": break_before + body}},
        {"deleteParagraphBullets": {"range": whole}},
        _paragraph_style(whole, {"namedStyleType": "NORMAL_TEXT"}, "namedStyleType,indentStart,indentFirstLine"),
        {"updateTextStyle": {"range": whole, "textStyle": {}, "fields": "*"}},
    ]
    places: list[tuple[Paragraph, int, int]] = []
    for paragraph in paragraphs:
        end = begin + _units(paragraph.text)
        places.append((paragraph, begin, end))
        requests += _style_requests(paragraph, begin, end)
        begin = end + 1  # after the line break
    requests.append(_mark_request(key, whole))
    return [*requests, *_bullet_requests(places)]


def fill_requests(values: Mapping[str, str], key: str) -> list[jsontext.Json]:
    """Return the requests that replace each {{name}} of a template by its value.

    They are done one after another. So that nothing in a value is replaced, each name becomes a text that no value has
    before it becomes the value, where a value has a name in it.
    """
    texts = {f"{{{{{name}}}}}": stripped(value) for name, value in values.items()}
    requests: list[jsontext.Json] = []
    if any(name in value for name in texts for value in texts.values()):
        digest = hashlib.sha256(jsontext.to_json({**texts}).encode()).hexdigest()[:32]
        stand_ins = {name: f"{{{digest}-{number}}}" for number, name in enumerate(texts)}
        requests += [_replace_request(name, stand_in) for name, stand_in in stand_ins.items()]
        texts = {stand_ins[name]: value for name, value in texts.items()}
    requests += [_replace_request(name, value) for name, value in texts.items()]
    return [*requests, _mark_request(key, _range(START, START + 1))]


def _replace_request(text: str, value: str) -> jsontext.JsonObject:
    return {"replaceAllText": {"containsText": {"text": text, "matchCase": True}, "replaceText": value}}


def _mark_request(key: str, whole: jsontext.JsonObject) -> jsontext.JsonObject:
    return {"createNamedRange": {"name": mark_of(key), "range": whole}}


def _style_requests(paragraph: Paragraph, begin: int, end: int) -> Iterator[jsontext.Json]:
    """Yield the requests for the heading, the indent and the texts' styles of a paragraph, except those of its list."""
    if paragraph.heading:
        style = {"namedStyleType": f"HEADING_{paragraph.heading}"}
        yield _paragraph_style(_range(begin, end), {**style}, "namedStyleType")
    if paragraph.quotes and paragraph.depth < 0:
        indent: jsontext.JsonObject = {"magnitude": INDENT_POINTS * paragraph.quotes, "unit": "PT"}
        indents: jsontext.JsonObject = {"indentStart": indent, "indentFirstLine": indent}
        yield _paragraph_style(_range(begin, end), indents, "indentStart,indentFirstLine")
    at = begin + max(0, paragraph.depth)  # after the tabs
    for run in paragraph.runs:
        after = at + _units(run.text)
        if run.style:
            fields = ",".join(sorted(run.style))
            yield {"updateTextStyle": {"range": _range(at, after), "textStyle": run.style, "fields": fields}}
        at = after


def _bullet_requests(places: Sequence[tuple[Paragraph, int, int]]) -> list[jsontext.Json]:
    """Return a request for each outermost list, the last one first: it removes tabs, and so moves what follows it."""
    requests: list[jsontext.Json] = []
    for number, grouped in groupby(places, lambda place: place[0].list_number if place[0].depth >= 0 else 0):
        items = list(grouped)
        if number:
            bounds = _range(items[0][1], items[-1][2])
            preset = _PRESETS[items[0][0].is_numbered]
            requests.append({"createParagraphBullets": {"range": bounds, "bulletPreset": preset}})
    return requests[::-1]


def _paragraph_style(bounds: jsontext.JsonObject, style: jsontext.JsonObject, fields: str) -> jsontext.JsonObject:
    return {"updateParagraphStyle": {"range": bounds, "paragraphStyle": style, "fields": fields}}


def _range(begin: int, end: int) -> jsontext.JsonObject:
    return {"startIndex": begin, "endIndex": end}


def _units(text: str) -> int:
    """Return the length of the text in Google's indices: in units of UTF-16, of which an emoji has two."""
    return len(text.encode("utf-16-le")) // 2
