"""XML by the usual convention: `{"root": {"@attribute": "…", "child": "text", "many": ["…", "…"], "#text": "…"}}`.

An element without content is null, an element that has only text is a string, and several elements of one name are a
list. Names keep their prefixes as written.

White space between elements is no text, and white space at both ends of a text is removed: most documents are indented.
It stays in a CDATA section, and in an element without elements for which `xml:space="preserve"` holds
(https://www.w3.org/TR/xml/#sec-white-space).

A DOCTYPE is rejected, because the dangers of expat (entities, external files) come from it. Namespace prefixes
(https://www.w3.org/TR/xml-names/) are verified by own code: expat's own check writes the whole name of a namespace in
place of each prefix, so a document of 640 KB with one long name takes it 45 s.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol
from xml.parsers import expat

from shared.errors import Rejected
from shared.formats import text_body
from shared.formats.parse import MediaType
from shared.jsontext import Json, JsonObject
from shared.limits import Limits, gather, put

SPACE: Final = " \t\r\n"
_CDATA_EDGE: Final = "\x00"
"""The mark in a text where a CDATA section begins or ends: no white space is removed beyond it. XML has no NUL."""
PROLOG: Final = r"(?:\s++|<!--(?s:.)*?-->|<\?(?s:.)*?\?>)*+"
"""The white space, comments and processing instructions that may stand before a DOCTYPE or the root element."""

# A possessive quantifier such as `*+` gives nothing back, so that a long text without a match takes linear time.
_DECLARED_ENCODING: Final = re.compile(rb"""(?:\xef\xbb\xbf)?\s*+<\?xml[^>]*?\sencoding\s*+=\s*+["']([^"'>]*+)["']""")
_DOCTYPE: Final = re.compile(PROLOG + r"<!DOCTYPE")
_ATTRIBUTE: Final = re.compile(r"=\s*+[\"']")
_ASCII_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*+")

_CHUNK_CHARACTERS: Final = 65_536
"""The size of the pieces in which expat gets a document. After a handler raises, expat still reads its piece to the
end."""
_INVALID_TOKEN: Final = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]

_XML_NAMESPACE: Final = "http://www.w3.org/XML/1998/namespace"
_XMLNS_NAMESPACE: Final = "http://www.w3.org/2000/xmlns/"


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Return the document as JSON. Raises Rejected, as `decode_xml` and `read_xml` do."""
    builder = _TreeBuilder(limits)
    read_xml(decode_xml(body, media), builder, limits)
    return builder.document


def decode_xml(body: bytes, media: MediaType) -> str:
    """Decode by the sender's charset, the byte order mark or the XML declaration, in that order. Raises Rejected.

    White space before the declaration is removed. XML allows none there, but scripts that write XML by hand often leave
    some.
    """
    charset = _declared_charset(body) if media.charset is None else media.charset
    text = text_body.decode_text(body, charset).lstrip(SPACE)
    if text.startswith("\ufeff"):  # expat would ignore it
        raise Rejected("malformed_body", "not XML: it begins with a second byte order mark")
    return text


def _declared_charset(body: bytes) -> str | None:
    """Return the charset of the XML declaration, in lower case; None if there is none, or if it cannot be true."""
    declaration = _DECLARED_ENCODING.match(body)
    if declaration is None or text_body.marked_codec(body) != "utf-8":
        return None
    charset = declaration[1].decode("latin-1").lower()
    # The declaration was found as ASCII bytes, so the body cannot be in UTF-16 or UTF-32, even if it says so.
    if text_body.codec_of(charset).startswith(("utf-16", "utf-32")):
        return None
    return charset


class Target(Protocol):
    """A receiver of the elements and texts of a document, in their order. Its methods may raise Rejected."""

    def start(self, name: str, attributes: Mapping[str, str], /) -> None: ...

    def end(self, name: str, /) -> None: ...

    def text(self, text: str, /) -> None:
        """Receive a piece of the current element's text. One text may come in several pieces."""

    def cdata_edge(self) -> None:
        """Note that a CDATA section begins or ends here."""


@dataclass(slots=True)
class _OpenElement:
    """An element whose end has not come yet: its attributes and elements so far, and the pieces of its text.

    `keeps_space`: `xml:space="preserve"` holds for it.
    """

    members: JsonObject
    keeps_space: bool
    pieces: list[str] = field(default_factory=list)


class _TreeBuilder:
    """A target that builds the document as JSON."""

    def __init__(self, limits: Limits) -> None:
        self.document: JsonObject = {}
        self._limits = limits
        # The document, and each open element in it.
        self._open = [_OpenElement(self.document, keeps_space=False)]

    def start(self, _: str, attributes: Mapping[str, str]) -> None:
        members: JsonObject = {}
        for attribute, value in attributes.items():
            put(members, "@" + attribute, value, self._limits)
        keeps_space = self._open[-1].keeps_space
        if "xml:space" in attributes:
            keeps_space = attributes["xml:space"] == "preserve"
        self._open.append(_OpenElement(members, keeps_space))

    def text(self, text: str) -> None:
        self._open[-1].pieces.append(text)

    def cdata_edge(self) -> None:
        self._open[-1].pieces.append(_CDATA_EDGE)

    def end(self, name: str) -> None:
        element = self._open.pop()
        members = element.members
        text = "".join(element.pieces)
        has_elements = any(not key.startswith("@") for key in members)
        if has_elements or not element.keeps_space:
            text = text.strip(SPACE)
        text = text.replace(_CDATA_EDGE, "")
        value: Json
        if members:
            if text:
                members["#text"] = text
            value = members
        else:
            value = text or None
        gather(self._open[-1].members, name, value, self._limits)


def read_xml(text: str, target: Target, limits: Limits) -> None:
    """Read the document into the target.

    Raises Rejected: `dtd_not_allowed`, `nested_too_deeply`, `too_many_values` or `malformed_body`; and what the target
    raises.
    """
    if _DOCTYPE.match(text):
        raise _doctype_rejected()
    # expat collects all attributes of an element before it calls a handler, which would be too late.
    if sum(1 for _ in _ATTRIBUTE.finditer(text)) > limits.max_nodes:
        raise _too_many(limits)
    parser = _BoundedParser(target, limits).expat_parser
    try:
        for start in range(0, len(text), _CHUNK_CHARACTERS):
            parser.Parse(text[start : start + _CHUNK_CHARACTERS], False)
        parser.Parse("", True)
    except expat.ExpatError as error:
        rule = expat.ErrorString(error.code)
        if error.code == _INVALID_TOKEN:
            rule += ", such as & for &amp; or < for &lt;"
        raise _malformed(error.lineno, error.offset, rule) from None


class _BoundedParser:
    """An expat parser that calls a target, within the limits. Its handlers raise Rejected."""

    def __init__(self, target: Target, limits: Limits) -> None:
        self._target = target
        self._limits = limits
        self._depth = 0
        self._nodes = 0
        self._namespaces = Namespaces()
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.buffer_size = _CHUNK_CHARACTERS
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = target.text
        parser.StartCdataSectionHandler = parser.EndCdataSectionHandler = target.cdata_edge
        parser.ProcessingInstructionHandler = self._instruction
        parser.XmlDeclHandler = _verify_version
        parser.StartDoctypeDeclHandler = _reject_doctype
        self.expat_parser = parser

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        """Count and verify an element, and pass it on to the target."""
        self._depth += 1
        self._nodes += 1 + len(attributes)
        if self._depth > self._limits.max_depth:
            detail = f"the XML is nested deeper than {self._limits.max_depth} elements"
            raise Rejected("nested_too_deeply", detail)
        if self._nodes > self._limits.max_nodes:
            raise _too_many(self._limits)
        if attributes or ":" in name:
            try:
                self._namespaces.start(name, attributes, self._depth)
            except NamespaceFault as fault:
                raise self._malformed_here(str(fault)) from None
        self._target.start(name, attributes)

    def _end(self, name: str) -> None:
        self._namespaces.end(self._depth)
        self._depth -= 1
        self._target.end(name)

    def _instruction(self, name: str, _: str) -> None:
        if ":" in name:
            raise self._malformed_here("the target of a processing instruction has a colon")

    def _malformed_here(self, rule: str) -> Rejected:
        return _malformed(self.expat_parser.CurrentLineNumber, self.expat_parser.CurrentColumnNumber, rule)


def _reject_doctype(*_: object) -> None:
    raise _doctype_rejected()


def _verify_version(version: str, *_: object) -> None:
    if version != "1.0":
        raise Rejected("malformed_body", "XML is taken in version 1.0 only; the declaration says another one")


def _doctype_rejected() -> Rejected:
    return Rejected("dtd_not_allowed", "XML with a DOCTYPE is not taken")


def _malformed(line: int, column: int, rule: str) -> Rejected:
    """Return the error for a place in the document. `column` counts from 0, as expat does."""
    return Rejected("malformed_body", f"not XML: line {line}, column {column + 1}: {rule}")


def _too_many(limits: Limits) -> Rejected:
    return Rejected("too_many_values", f"the XML holds more than {limits.max_nodes} elements and attributes")


class NamespaceFault(ValueError):
    """A breach of the rules of namespaces. Its text is the rule, and quotes nothing of the document."""


class Namespaces:
    """The namespaces by prefix at the current element of a document. The default namespace has the prefix ``."""

    def __init__(self) -> None:
        self._namespaces: dict[str, str | None] = {"xml": _XML_NAMESPACE}
        # The prefixes that elements declare, by the depth of the element, with the namespaces that they had outside it.
        self._outer: dict[int, list[tuple[str, str | None]]] = {}
        # A cache of the namespace and local name of each name as written. It is valid until a prefix changes.
        self._expanded: dict[str, tuple[str, str]] = {}

    def start(self, name: str, attributes: Mapping[str, str], depth: int) -> None:
        """Declare the prefixes of an element, and verify the names that have a prefix. Raises NamespaceFault."""
        prefixed: list[str] = []
        for attribute in attributes:
            if attribute == "xmlns":
                self._declare("", attributes[attribute], depth)
            elif attribute.startswith("xmlns:"):
                _, prefix = _split(attribute)
                self._declare(prefix, attributes[attribute], depth)
            elif ":" in attribute:
                prefixed.append(attribute)
        if ":" in name:
            self._expand(name)
        if prefixed:
            self._verify_different(prefixed)

    def end(self, depth: int) -> None:
        """Restore the prefixes that the element at this depth has declared."""
        if depth not in self._outer:
            return
        for prefix, outer_namespace in reversed(self._outer.pop(depth)):
            self._namespaces[prefix] = outer_namespace
        self._expanded.clear()

    def _declare(self, prefix: str, namespace: str, depth: int) -> None:
        if prefix and not namespace:
            raise NamespaceFault("a prefix is declared with no namespace")
        is_xml_redeclared = (prefix == "xml") != (namespace == _XML_NAMESPACE)
        if prefix == "xmlns" or namespace == _XMLNS_NAMESPACE or is_xml_redeclared:
            raise NamespaceFault("the prefixes xml and xmlns and their namespaces are reserved")
        self._outer.setdefault(depth, []).append((prefix, self._namespaces.get(prefix)))
        self._namespaces[prefix] = namespace
        self._expanded.clear()

    def _verify_different(self, prefixed_attributes: Sequence[str]) -> None:
        """Raise NamespaceFault for `a:x` beside `b:x` if both prefixes have one namespace."""
        expanded = {self._expand(attribute) for attribute in prefixed_attributes}
        if len(expanded) < len(prefixed_attributes):
            raise NamespaceFault("an element has the same attribute twice, under two prefixes of one namespace")

    def _expand(self, name: str) -> tuple[str, str]:
        """Return the namespace and the local name. Raises NamespaceFault."""
        cached = self._expanded.get(name)
        if cached is not None:
            return cached
        prefix, local = _split(name)
        namespace = self._namespaces.get(prefix)
        if namespace is None:
            raise NamespaceFault("a prefix is not declared")
        self._expanded[name] = namespace, local
        return namespace, local


@lru_cache(maxsize=1_024)
def _split(name: str) -> tuple[str, str]:
    """Return the prefix and the local name of a name with a colon. Raises NamespaceFault."""
    prefix, _, local = name.partition(":")
    if ":" in local or not _is_name(prefix) or not _is_name(local):
        raise NamespaceFault("a name with a colon is a prefix, the colon and a name")
    return prefix, local


def _is_name(text: str) -> bool:
    """Return whether a part of a name is a name by itself: expat has verified its characters, but not its first one."""
    if text.isascii():
        return bool(_ASCII_NAME.fullmatch(text))
    try:
        expat.ParserCreate().Parse(f"<{text}/>", True)
    except expat.ExpatError:
        return False
    return True
