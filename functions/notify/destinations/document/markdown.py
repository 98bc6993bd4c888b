"""Markdown as paragraphs, read by the library markdown-it-py (CommonMark, and tables)."""

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from functions.notify.destinations.document.encoding import LINE_BREAK, decoded, link_of
from shared.errors import Temporary
from shared.jsontext import JsonObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

FONT_OF_CODE: Final = "Courier New"
RULE: Final = "―" * 20
_STYLES: Final[dict[str, JsonObject]] = {
    "strong": {"bold": True},
    "em": {"italic": True},
    "s": {"strikethrough": True},
    "th": {"bold": True},
}
_CODE: Final[JsonObject] = {"weightedFontFamily": {"fontFamily": FONT_OF_CODE}}


@dataclass(frozen=True, slots=True)
class Run:
    """A text and its style, as Google's TextStyle."""

    text: str
    style: JsonObject


@dataclass(slots=True)
class Paragraph:
    """heading  1 to 6; 0 for none
    quotes      how many quotes it is in
    depth       of its list, 0 for the outermost; -1 for none
    list_number counts the outermost lists; `is_numbered` is how the outermost one is
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

    def add(self, text: str, style: JsonObject) -> None:
        if self.depth >= 0 and not self.runs:
            text = text.lstrip("\t")
        if text:
            self.runs.append(Run(text, style))


def paragraphs_of(text: str) -> list[Paragraph]:
    """Return the paragraphs that have more than space. Raises Temporary where the library is not installed."""
    reader = _Reader()
    for token in _parser().parse(text):
        reader.read(token)
    return [each for each in reader.paragraphs if any(run.text.strip() for run in each.runs)]


@cache
def _parser() -> "MarkdownIt":
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        rule = "the library markdown-it-py is not installed; bundle the function again, or install the extra `markdown`"
        raise Temporary("destination_not_loaded", rule) from error
    return MarkdownIt("js-default", {"html": False, "linkify": False, "typographer": False})


class _Reader:
    def __init__(self) -> None:
        self.paragraphs: list[Paragraph] = []
        self._item: Paragraph | None = None
        self._lists: list[bool] = []
        self._list_number = 0
        self._quotes = 0
        self._is_in_row = False
        self._style: JsonObject = {}

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
        if self._item is None:
            self._begin(heading)
        elif self._item.runs:
            self._item.add(LINE_BREAK, {})

    def _begin(self, heading: int = 0) -> Paragraph:
        is_numbered = bool(self._lists) and self._lists[0]
        begun = Paragraph(heading, self._quotes, len(self._lists) - 1, self._list_number, is_numbered)
        self.paragraphs.append(begun)
        return begun

    def _add_inline(self, tokens: "Sequence[Token]") -> None:
        paragraph = self.paragraphs[-1]
        styles: list[JsonObject] = [self._style]
        for token in tokens:
            kind = token.type.removesuffix("_open")
            style: JsonObject = {key: value for each in styles for key, value in each.items()}
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
