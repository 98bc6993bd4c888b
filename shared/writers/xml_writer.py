"""XML by the convention of shared.formats: `@name` is an attribute, `#text` is the text, a list repeats the element.

    {"order": {"@id": 7, "item": ["tea", "milk"]}}   <order id="7"><item>tea</item><item>milk</item></order>

XML has only text: numbers and booleans are written as in JSON, null as an empty element. An undeclared prefix is
rejected, because readers that know namespaces would reject the whole document.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from xml.parsers.expat import ExpatError, ParserCreate

from shared.jsontext import Json, JsonObject, kind_of
from shared.writers.writing import BoundedText, FormatFault, Location, scalar_text

NAME_RULE: Final = "a letter, then letters, digits, `_`, `-` and `.`"
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MAYBE_NAME: Final = re.compile(r"[^\W\d][\w.\u00b7-]*(?::[^\W\d][\w.\u00b7-]*)?")
_DECLARATION: Final = "@xmlns:"
"""The beginning of a key that declares a prefix."""
# The prefixes `xml` and `xmlns` are declared in every document. No other prefix may stand for their namespaces
# (Namespaces in XML 1.0, section 3).
_NAMESPACE_OF_XML: Final = "http://www.w3.org/XML/1998/namespace"
_ALWAYS_DECLARED: Final = {"xml": _NAMESPACE_OF_XML, "xmlns": "http://www.w3.org/2000/xmlns/"}
_RESERVED: Final = frozenset(_ALWAYS_DECLARED.values())
# The characters that XML cannot hold. A pattern of the characters that it can hold would take 3 ms to compile.
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# A reader replaces line ends in a text, and all white space in an attribute, unless they are escaped.
_TEXT_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_IN_TEXT: Final = re.compile("[&<>\r]")
_SPACE: Final = " \t\r\n"
_EMPTY_CDATA: Final = "<![CDATA[]]>"
_ATTRIBUTE_ESCAPES: Final = {**_TEXT_ESCAPES, '"': "&quot;", "\n": "&#10;", "\t": "&#9;"}
_IN_ATTRIBUTE: Final = re.compile('[&<>\r"\n\t]')


def write_xml(value: Json, root: str | None) -> str:
    """Return the value as an XML document. Its element is named `root`, or as the only key of the value.

    Raises FormatFault, and Permanent (`output_too_large`).
    """
    location: Location = None
    if root is None:
        root, value, location = _only_entry(value)
    document = BoundedText('<?xml version="1.0" encoding="UTF-8"?>\n')
    _write_element(root, value, location, _ALWAYS_DECLARED, document)
    document.add("\n")
    return document.text()


def _only_entry(value: Json) -> tuple[str, Json, Location]:
    """Return the only key of an object, its value and the value's place. Raises FormatFault."""
    if not isinstance(value, dict) or len(value) != 1:
        kind = f"an object with {len(value)} keys" if isinstance(value, dict) else kind_of(value)
        raise FormatFault(None, f"is {kind}, and XML has one element around all: name it, such as `root: event`")
    [(name, inner)] = value.items()
    if isinstance(inner, list):
        raise FormatFault((None, name), "is a list, and XML has one element around all: name it, such as `root: event`")
    return name, inner, (None, name)


def _write_element(
    name: str, value: Json, location: Location, prefixes: Mapping[str, str], document: BoundedText
) -> None:
    """Write an element, and the elements in it. Raises FormatFault.

    `location` is the place of the value, for messages. `prefixes` has the namespace of each prefix that the elements
    around this one declare.
    """
    if isinstance(value, list):
        raise FormatFault(location, "is a list in a list, and XML has no name for what is in it")
    if name.startswith("xmlns:"):
        raise FormatFault(location, "has the prefix `xmlns`, which no element may have")
    if not isinstance(value, dict):
        _verify_name(name, location, prefixes)
        text = _escaped(value, location)
        document.add(f"<{name}>{text}</{name}>" if text else f"<{name}/>")
        return
    # An element may itself declare the prefixes of its name and of its attributes. So the declarations are read first.
    declared = {
        key.removeprefix(_DECLARATION): _text(item, (location, key))
        for key, item in value.items()
        if key.startswith(_DECLARATION)
    }
    prefixes_inside = {**prefixes, **declared} if declared else prefixes
    _verify_name(name, location, prefixes_inside)
    _verify_attributes(value, location, prefixes_inside)
    attributes = [
        _attribute(key[1:], item, (location, key), prefixes_inside)
        for key, item in value.items()
        if key.startswith("@")
    ]
    if len(attributes) == len(value):
        document.add(f"<{name}{''.join(attributes)}/>")
        return
    document.add(f"<{name}{''.join(attributes)}>")
    for key, item in value.items():
        if not key.startswith("@"):
            _write_content(key, item, (location, key), prefixes_inside, document)
    document.add(f"</{name}>")


def _attribute(name: str, value: Json, location: Location, prefixes: Mapping[str, str]) -> str:
    """Return an attribute with a space before it. Raises FormatFault."""
    _verify_name(name, location, prefixes)
    text = _text(value, location)
    is_declaration = name == "xmlns" or name.startswith("xmlns:")
    if is_declaration and not _may_declare(name, text):
        raise FormatFault(location, "declares a prefix in a way that namespaces do not allow")
    escaped = _IN_ATTRIBUTE.sub(lambda character: _ATTRIBUTE_ESCAPES[character[0]], text)
    return f' {name}="{escaped}"'


def _may_declare(name: str, namespace: str) -> bool:
    """Return whether the attribute `xmlns`, or `xmlns:PREFIX`, may have this namespace."""
    if name == "xmlns:xml":
        return namespace == _NAMESPACE_OF_XML
    if name == "xmlns:xmlns" or namespace in _RESERVED:
        return False
    # `xmlns=""` ends a default namespace. A prefix cannot be without a namespace.
    return namespace != "" or name == "xmlns"


def _write_content(
    key: str, value: Json, location: Location, prefixes: Mapping[str, str], document: BoundedText
) -> None:
    """Write an entry of an object: the text of the element, an element in it, or several of one name."""
    if key == "#text":
        document.add(_escaped(value, location))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _write_element(key, item, (location, number), prefixes, document)
    else:
        _write_element(key, value, location, prefixes, document)


def _escaped(value: Json, location: Location) -> str:
    """Return the value as the text of an element. Raises FormatFault.

    Readers such as ours remove white space at the ends of a text, except in a CDATA section. So a text that begins or
    ends with white space is written between two empty sections.
    """
    text = _text(value, location)
    escaped = _IN_TEXT.sub(lambda character: _TEXT_ESCAPES[character[0]], text) if _IN_TEXT.search(text) else text
    return escaped if text == text.strip(_SPACE) else f"{_EMPTY_CDATA}{escaped}{_EMPTY_CDATA}"


def _text(value: Json, location: Location) -> str:
    """Return the value as text that XML can hold. Raises FormatFault."""
    text = scalar_text(value, location)
    if _NOT_XML.search(text):
        raise FormatFault(location, "holds a control character, which XML cannot hold")
    return text


def _verify_attributes(value: JsonObject, location: Location, prefixes: Mapping[str, str]) -> None:
    """Reject two attributes with the same name under different prefixes that stand for the same namespace."""
    names = [key[1:].partition(":") for key in value if key.startswith("@") and ":" in key]
    expanded_names = {(prefixes.get(prefix, prefix), local_name) for prefix, _, local_name in names}
    if len(expanded_names) < len(names):
        raise FormatFault(location, "has the same attribute twice, under two prefixes of one namespace")


def _verify_name(name: str, location: Location, prefixes: Mapping[str, str]) -> None:
    """Raise FormatFault for a text that is not a name, or has a prefix that is not declared."""
    if _PLAIN_NAME.fullmatch(name):
        return
    if not is_xml_name(name):
        raise FormatFault(location, f"is not a name for an XML element: {NAME_RULE}")
    prefix, colon, _ = name.partition(":")
    if colon and prefix not in prefixes:
        raise FormatFault(
            location,
            f"has the prefix `{prefix}`, which no element around it declares: add `@xmlns:{prefix}`, or rename it",
        )


@lru_cache(maxsize=256)
def is_xml_name(name: str) -> bool:
    """Return whether XML accepts the name. The parser decides, since it has the long table of letters beyond ASCII."""
    if not _MAYBE_NAME.fullmatch(name):
        return False
    try:
        return ParserCreate("utf-8").Parse(f"<{name}/>".encode(), True) == 1
    except (ExpatError, UnicodeEncodeError):
        return False
