"""XML by the usual convention: `{"root": {"@attribute": "…", "child": "text", "many": ["…", "…"], "#text": "…"}}`.

An element that holds nothing is null, one that holds only text is a string, repeated ones are a list. White space at
the ends of a text goes; that between elements is no text. Names keep their prefixes as written.
"""

from collections.abc import Mapping

from shared.formats.media_type import MediaType
from shared.formats.objects import gather, put
from shared.formats.xml_events import SPACE, decode_xml, read_xml
from shared.jsontext import Json, JsonObject
from shared.limits import Limits


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    tree = _Tree(limits)
    read_xml(decode_xml(body, media), tree, limits)
    return tree.document


class _Tree:
    """Each open element is what it holds so far and the pieces of its text; the outermost one is the document."""

    def __init__(self, limits: Limits) -> None:
        self.document: JsonObject = {}
        self._limits = limits
        self._open: list[tuple[JsonObject, list[str]]] = [(self.document, [])]

    def start(self, _: str, attributes: Mapping[str, str]) -> None:
        held: JsonObject = {}
        for attribute, value in attributes.items():
            put(held, "@" + attribute, value, self._limits)
        self._open.append((held, []))

    def text(self, text: str) -> None:
        self._open[-1][1].append(text)

    def end(self, name: str) -> None:
        held, pieces = self._open.pop()
        text = "".join(pieces).strip(SPACE)
        value: Json
        if held:
            if text:
                held["#text"] = text
            value = held
        else:
            value = text or None
        gather(self._open[-1][0], name, value, self._limits)
