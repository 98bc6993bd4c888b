"""The HTML of a mail that an operator's template made: its links, and its text for readers of plain text.

A link may come from a sender. Of links, only those stay that a mail program opens without running anything.
"""

import html
import re
from html.parser import HTMLParser
from typing import Final

_LINK_ATTRIBUTES: Final = "href|src|srcset|action|formaction|background|poster|cite|data|xlink:href"
_ATTRIBUTE: Final = re.compile(
    rf"""(?<=[\s"'/])(?:{_LINK_ATTRIBUTES})\s{{0,20}}=\s{{0,20}}(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'>]+))""",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_IGNORED_CHARACTERS: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff]")
"""What mail programs skip when they read a URL."""
_SAFE_SCHEMES: Final = frozenset({"http", "https", "mailto", "tel", "cid"})
_SAFE_IMAGE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,", re.IGNORECASE)


def without_unsafe_links(document: str) -> str:
    """Return the document without the attributes whose link has another scheme than these: http, https, mailto, tel and
    cid, which is an attachment. A picture in a `data:` link stays, and so does a link without a scheme."""
    return _ATTRIBUTE.sub(lambda found: found[0] if _is_safe(found) else "", document)


def _is_safe(attribute: re.Match[str]) -> bool:
    value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
    target = _IGNORED_CHARACTERS.sub("", html.unescape(value))
    scheme = _SCHEME.match(target)
    return scheme is None or scheme[1].lower() in _SAFE_SCHEMES or _SAFE_IMAGE.match(target) is not None


class _TextParser(HTMLParser):
    """Collects the visible text of a document. `pieces` are parts of it; a line break is a piece of its own."""

    BREAKS: Final = frozenset({"p", "br", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "ul", "ol", "hr"})
    SILENT: Final = frozenset({"style", "script", "head", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0  # how many elements without visible text are open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self.SILENT
        if tag in self.BREAKS:
            self.pieces.append("\n")
        elif tag in {"td", "th"}:
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in self.SILENT))
        if tag in self.BREAKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(re.sub(r"\s+", " ", data))


def text_of(document: str) -> str:
    """Return the text of an HTML document, for readers of plain text."""
    parser = _TextParser()
    parser.feed(document)
    parser.close()
    lines = [" ".join(line.split()) for line in "".join(parser.pieces).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() or " "
