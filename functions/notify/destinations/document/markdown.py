"""Markdown as paragraphs of texts with styles, which doc_updates.py writes into a Google Doc.

The library markdown-it-py reads the Markdown (CommonMark, and tables); it is imported at the first use. The values of
an event stand in the Markdown as hexadecimal digits between two characters of the private use area, which Google's
documents do not hold. So a value is text wherever the template puts it, in code and in tables too.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from shared import errors, jsontext

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_BEGIN: Final = "\ue000"
_END: Final = "\ue001"
"""The characters around a value."""
_VALUE: Final = re.compile(f"{_BEGIN}([0-9a-f]*){_END}")
_QUOTED: Final = re.compile(f"{quote(_BEGIN)}|{quote(_END)}")
_STRIPPED: Final = re.compile("[\x00-\x08\x0c-\x1f\ud800-\udfff\ue000-\uf8ff]")
"""Characters that Google leaves out of a text, and halves of surrogate pairs. With them, each index would be wrong.

https://developers.google.com/workspace/docs/api/reference/rest/v1/documents/request#inserttextrequest
"""
_BREAKS: Final = re.compile("\r\n|[\r\n\u0085\u2028\u2029]")
_LINE_BREAK: Final = "\v"
"""A line break within a paragraph."""
_LINK: Final = re.compile(r"(https?://|mailto:)[\x21-\x7e\xa1-\U0010ffff]+", re.IGNORECASE)

_RULE_LINE: Final = "―" * 20
_STYLES: Final[dict[str, jsontext.JsonObject]] = {
    "strong": {"bold": True},
    "em": {"italic": True},
    "s": {"strikethrough": True},
    "th": {"bold": True},
}
_CODE: Final[jsontext.JsonObject] = {"weightedFontFamily": {"fontFamily": "Courier New"}}


def encoded(value: str) -> str:
    """Return the value as it stands in Markdown."""
    return f"{_BEGIN}{value.encode('utf-8', 'replace').hex()}{_END}"


def _document_text(text: str) -> str:
    """Return a text of Markdown as the document has it: with its values, and without characters that Google strips.

    Line breaks begin no paragraph. The values come first, because the characters around them are stripped, too.
    """
    return stripped(_BREAKS.sub(_LINE_BREAK, _with_values(text, lambda value: value)))


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
    """Return the text without the characters that Google leaves out."""
    return _STRIPPED.sub("", text)


def _with_values(text: str, write: Callable[[str], str]) -> str:
    """Return the text with each value in it as `write` writes it."""
    return _VALUE.sub(lambda found: write(bytes.fromhex(found[1]).decode()), text)


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
    list_number  the number of the outermost list, counted from 1; 0 for none
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
                if not self._lists:
                    self._list_number += 1
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
                self.paragraphs[-1].add(_document_text(token.content.removesuffix("\n")), _CODE)
            case "hr":
                self._begin_block()
                self.paragraphs[-1].add(_RULE_LINE, {})

    def _begin_block(self, heading: int = 0) -> None:
        """Begin a paragraph; in a list item, a new line of its paragraph."""
        if self._item is None:
            self._begin(heading)
        elif self._item.runs:
            self._item.add(_LINE_BREAK, {})

    def _begin(self, heading: int = 0) -> Paragraph:
        """Begin a paragraph of the quotes and lists that are open."""
        paragraph = Paragraph(heading=heading, quotes=self._quotes, depth=len(self._lists) - 1)
        if self._lists:
            paragraph.list_number = self._list_number
            paragraph.is_numbered = self._lists[0]
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
                paragraph.add(_document_text(token.content), {**style, **_CODE})
            elif kind in {"softbreak", "hardbreak"}:
                paragraph.add(" " if kind == "softbreak" else _LINE_BREAK, style)
            else:  # text; of an image, its description
                paragraph.add(_document_text(token.content), style)
