"""XML by the usual convention: `{"root": {"@attribute": "…", "child": "text", "many": ["…", "…"], "#text": "…"}}`.

An element that holds nothing is null, one that holds only text is a string, repeated ones are a list. White space at
the ends of a text goes; that between elements is no text. Names keep their prefixes as written.

A DOCTYPE is rejected, which is where expat's dangers are. Prefixes are verified (https://www.w3.org/TR/xml-names/) by
own code, because expat's own check writes a namespace's whole name in place of each prefix: a document of 640 KB with
one long name costs it 45 s.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol
from xml.parsers import expat

from shared.errors import Rejected
from shared.formats import media_type, text_body
from shared.jsontext import Json, JsonObject
from shared.limits import Limits, gather, put

XML: Final = "http://www.w3.org/XML/1998/namespace"
XMLNS: Final = "http://www.w3.org/2000/xmlns/"
_ASCII_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*+")

Undone = list[tuple[str, str | None]]
"""Prefixes that an element declares, with the namespaces that they had before it; the default one has the prefix ``."""


class NamespaceFault(ValueError):
    """Its text is a rule, and holds nothing of the document."""


class Namespaces:
    """The prefixes that are declared at one place of a document."""

    def __init__(self) -> None:
        self._names: dict[str, str | None] = {"xml": XML}
        self._undone: dict[int, Undone] = {}
        self._expanded: dict[str, tuple[str, str]] = {}

    def start(self, name: str, attributes: Mapping[str, str], depth: int) -> None:
        """Raises NamespaceFault. `depth` is that of the element, by which `end` knows it."""
        prefixed: list[str] = []
        for attribute in attributes:
            if attribute.startswith("xmlns") and (attribute == "xmlns" or attribute[5] == ":"):
                self._declare(attribute, attributes[attribute], depth)
            elif ":" in attribute:
                prefixed.append(attribute)
        if ":" in name and name not in self._expanded:
            self._expand(name)
        if prefixed and len({self._expanded.get(each) or self._expand(each) for each in prefixed}) < len(prefixed):
            raise NamespaceFault("an element has the same attribute twice, under two prefixes of one namespace")

    def end(self, depth: int) -> None:
        if self._undone and depth in self._undone:
            for prefix, before in reversed(self._undone.pop(depth)):
                self._names[prefix] = before
            self._expanded.clear()

    def _declare(self, attribute: str, name: str, depth: int) -> None:
        prefix = ""
        if attribute != "xmlns":
            _, prefix = _split(attribute)
            if not name:
                raise NamespaceFault("a prefix is declared with no namespace")
        if prefix == "xmlns" or name == XMLNS or (prefix == "xml") != (name == XML):
            raise NamespaceFault("the prefixes xml and xmlns and their namespaces are reserved")
        self._undone.setdefault(depth, []).append((prefix, self._names.get(prefix)))
        self._names[prefix] = name
        self._expanded.clear()

    def _expand(self, name: str) -> tuple[str, str]:
        prefix, local = _split(name)
        namespace = self._names.get(prefix)
        if namespace is None:
            raise NamespaceFault("a prefix is not declared")
        self._expanded[name] = expanded = namespace, local
        return expanded


@lru_cache(maxsize=1_024)
def _split(name: str) -> tuple[str, str]:
    """Raises NamespaceFault."""
    prefix, _, local = name.partition(":")
    if ":" in local or not _is_name(prefix) or not _is_name(local):
        raise NamespaceFault("a name with a colon is a prefix, the colon and a name")
    return prefix, local


def _is_name(text: str) -> bool:
    """expat found it good within a longer name; what is left is how it begins."""
    if text.isascii():
        return bool(_ASCII_NAME.fullmatch(text))
    try:
        expat.ParserCreate().Parse(f"<{text}/>", True)
    except expat.ExpatError:
        return False
    return True


def parse(body: bytes, media: media_type.MediaType, limits: Limits) -> Json:
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


SPACE: Final = " \t\r\n"
_ENCODING: Final = re.compile(rb"""(?:\xef\xbb\xbf)?\s*+<\?xml[^>]*?\sencoding\s*+=\s*+["']([^"'>]*+)["']""")
# A declaration can only stand before the root, among comments and instructions.
PROLOG: Final = r"(?:\s++|<!--(?s:.)*?-->|<\?(?s:.)*?\?>)*+"
_DOCTYPE: Final = re.compile(PROLOG + r"<!DOCTYPE")
_ATTRIBUTE: Final = re.compile(r"=\s*+[\"']")
# After a handler raises, expat goes on to the end of what it was given, so it is given a little at a time.
_CHUNK: Final = 65_536


class Target(Protocol):
    """A receiver of the events. It may raise Rejected."""

    def start(self, name: str, attributes: Mapping[str, str], /) -> None: ...

    def end(self, name: str, /) -> None: ...

    def text(self, text: str, /) -> None:
        """Take some of an element's text; there may be more."""
        ...


def decode_xml(body: bytes, media: media_type.MediaType) -> str:
    """Decode by the sender's charset, the byte order mark or the XML declaration, in that order. Raises Rejected.

    White space before the declaration goes: XML allows none there, and scripts that build it by hand leave some.
    """
    declared = _ENCODING.match(body)
    charset = media.charset
    if charset is None and declared and text_body.marked_codec(body) == "utf-8":
        charset = declared[1].decode("latin-1").lower()
        if text_body.codec_of(charset).startswith(("utf-16", "utf-32")):
            charset = None  # a declaration that reads as ASCII is neither, whatever it says
    text = text_body.decode_text(body, charset).lstrip(SPACE)
    if text.startswith("\ufeff"):  # expat would drop it
        raise Rejected("malformed_body", "not XML: it begins with a second byte order mark")
    return text


def refuse_doctype(text: str) -> None:
    if _DOCTYPE.match(text):
        raise Rejected("dtd_not_allowed", "XML with a DOCTYPE is not taken")


_INVALID_TOKEN: Final = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]


def read_xml(text: str, target: Target, limits: Limits) -> None:
    """Raises Rejected: `dtd_not_allowed`, `nested_too_deeply`, `too_many_values`, `malformed_body`, and what the target
    raises."""
    refuse_doctype(text)
    if sum(1 for _ in _ATTRIBUTE.finditer(text)) > limits.max_nodes:  # expat has no bound on those of one element
        raise _too_many(limits)
    parser = _bounded_parser(target, limits)
    try:
        for start in range(0, len(text), _CHUNK):
            parser.Parse(text[start : start + _CHUNK], False)
        parser.Parse("", True)
    except expat.ExpatError as error:
        rule = expat.ErrorString(error.code)
        if error.code == _INVALID_TOKEN:
            rule += ", such as & for &amp; or < for &lt;"
        place = f"line {error.lineno}, column {error.offset + 1}"
        raise Rejected("malformed_body", f"not XML: {place}: {rule}") from None


def _bounded_parser(target: Target, limits: Limits) -> expat.XMLParserType:
    depth = nodes = 0
    namespaces = Namespaces()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, nodes
        depth += 1
        nodes += 1 + len(attributes)
        if depth > limits.max_depth:
            raise Rejected("nested_too_deeply", f"the XML is nested deeper than {limits.max_depth} elements")
        if nodes > limits.max_nodes:
            raise _too_many(limits)
        if attributes or ":" in name:
            try:
                namespaces.start(name, attributes, depth)
            except NamespaceFault as fault:
                raise misplaced(fault) from None
        target.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        namespaces.end(depth)
        depth -= 1
        target.end(name)

    def instruction(target: str, _: str) -> None:
        if ":" in target:
            raise misplaced(NamespaceFault("the target of a processing instruction has a colon"))

    def misplaced(fault: NamespaceFault) -> Rejected:
        line, column = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        return Rejected("malformed_body", f"not XML: line {line}, column {column}: {fault}")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.buffer_size = _CHUNK
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = target.text
    parser.ProcessingInstructionHandler = instruction
    parser.XmlDeclHandler = _verify_version
    parser.StartDoctypeDeclHandler = _refuse_declaration
    return parser


def _refuse_declaration(*_: object) -> None:
    raise Rejected("dtd_not_allowed", "XML with a DOCTYPE is not taken")


def _verify_version(version: str, *_: object) -> None:
    if version != "1.0":
        raise Rejected("malformed_body", "XML is taken in version 1.0 only; the declaration says another one")


def _too_many(limits: Limits) -> Rejected:
    return Rejected("too_many_values", f"the XML holds more than {limits.max_nodes} elements and attributes")
