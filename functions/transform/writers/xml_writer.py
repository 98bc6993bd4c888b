"""XML by the convention of shared.formats: `@name` is an attribute, `#text` the text, a list the same element again.

XML knows text only: numbers and booleans are written as JSON writes them, null as an element that holds nothing.
A prefix that nothing declares is refused: readers that know namespaces would take none of the document.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from xml.parsers.expat import ExpatError, ParserCreate

from functions.transform.expressions import kind_of
from functions.transform.writers.pieces import Pieces
from functions.transform.writers.scalars import scalar_text
from functions.transform.writers.writing import Trail, Unwritable
from shared.jsontext import Json, JsonObject

NAME_RULE: Final = "a letter, then letters, digits, `_`, `-` and `.`"
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MAYBE_NAME: Final = re.compile(r"[^\W\d][\w.\u00b7-]*(?::[^\W\d][\w.\u00b7-]*)?")
_DECLARES: Final = "@xmlns:"
# Namespaces in XML 1.0, section 3: these two are bound from the start, and nothing else to the same.
_NAMESPACE_OF_XML: Final = "http://www.w3.org/XML/1998/namespace"
_BOUND: Final = {"xml": _NAMESPACE_OF_XML, "xmlns": "http://www.w3.org/2000/xmlns/"}
_RESERVED: Final = frozenset(_BOUND.values())
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TEXT: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_IN_TEXT: Final = re.compile("[&<>\r]")
_ATTRIBUTE: Final = {**_TEXT, '"': "&quot;", "\n": "&#10;", "\t": "&#9;"}
_IN_ATTRIBUTE: Final = re.compile('[&<>\r"\n\t]')


def write_xml(value: Json, root: str | None) -> str:
    """`root` names the element around all of it; without it, the value is an object whose one key does.

    Raises Unwritable, and Permanent (`output`).
    """
    name, inner, trail = (root, value, None) if root is not None else _only_entry(value)
    pieces = Pieces('<?xml version="1.0" encoding="UTF-8"?>\n')
    _write_element(name, inner, trail, _BOUND, pieces)
    pieces.add("\n")
    return pieces.text()


def _only_entry(value: Json) -> tuple[str, Json, Trail]:
    if not isinstance(value, dict) or len(value) != 1:
        found = f"an object with {len(value)} keys" if isinstance(value, dict) else kind_of(value)
        raise Unwritable(None, f"is {found}, and XML has one element around all: name it, as in `root: event`")
    [(name, inner)] = value.items()
    if isinstance(inner, list):
        raise Unwritable((None, name), "is a list, and XML has one element around all: name it, as in `root: event`")
    return name, inner, (None, name)


def _write_element(name: str, value: Json, trail: Trail, prefixes: Mapping[str, str], pieces: Pieces) -> None:
    """`prefixes` are those that the elements around it declare, with their namespaces."""
    if isinstance(value, list):
        raise Unwritable(trail, "is a list in a list, and XML has no name for what is in it")
    if name.startswith("xmlns:"):
        raise Unwritable(trail, "has the prefix `xmlns`, which no element may have")
    if not isinstance(value, dict):
        _verify_name(name, trail, prefixes)
        text = _escaped(value, trail)
        pieces.add(f"<{name}>{text}</{name}>" if text else f"<{name}/>")
        return
    if declared := {key.removeprefix(_DECLARES): key for key in value if key.startswith(_DECLARES)}:
        prefixes = {**prefixes, **{prefix: _text(value[key], (trail, key)) for prefix, key in declared.items()}}
    _verify_name(name, trail, prefixes)
    _verify_attributes(value, trail, prefixes)
    attributes = [_attribute(key[1:], item, (trail, key), prefixes) for key, item in value.items() if key[:1] == "@"]
    if len(attributes) == len(value):
        pieces.add(f"<{name}{''.join(attributes)}/>")
        return
    pieces.add(f"<{name}{''.join(attributes)}>")
    for key, item in value.items():
        if not key.startswith("@"):
            _write_content(key, item, (trail, key), prefixes, pieces)
    pieces.add(f"</{name}>")


def _attribute(name: str, value: Json, trail: Trail, prefixes: Mapping[str, str]) -> str:
    _verify_name(name, trail, prefixes)
    text = _text(value, trail)
    if (name == "xmlns" or name.startswith("xmlns:")) and not _may_declare(name, text):
        raise Unwritable(trail, "declares a prefix in a way that no reader of namespaces takes")
    return f' {name}="{_IN_ATTRIBUTE.sub(lambda found: _ATTRIBUTE[found[0]], text)}"'


def _may_declare(name: str, namespace: str) -> bool:
    if name == "xmlns:xml":
        return namespace == _NAMESPACE_OF_XML
    return name != "xmlns:xmlns" and namespace not in _RESERVED and (namespace != "" or name == "xmlns")


def _write_content(key: str, value: Json, trail: Trail, prefixes: Mapping[str, str], pieces: Pieces) -> None:
    if key == "#text":
        pieces.add(_escaped(value, trail))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _write_element(key, item, (trail, number), prefixes, pieces)
    else:
        _write_element(key, value, trail, prefixes, pieces)


def _escaped(value: Json, trail: Trail) -> str:
    text = _text(value, trail)
    return _IN_TEXT.sub(lambda found: _TEXT[found[0]], text) if _IN_TEXT.search(text) else text


def _text(value: Json, trail: Trail) -> str:
    text = scalar_text(value, trail)
    if _NOT_XML.search(text):
        raise Unwritable(trail, "holds a control character, which XML cannot say")
    return text


def _verify_attributes(value: JsonObject, trail: Trail, prefixes: Mapping[str, str]) -> None:
    """No two attributes are the same by two prefixes of one namespace."""
    names = [key[1:].partition(":") for key in value if key[:1] == "@" and ":" in key]
    if len(names) > 1 and len({(prefixes.get(prefix, prefix), local) for prefix, _, local in names}) < len(names):
        raise Unwritable(trail, "has the same attribute twice, under two prefixes of one namespace")


def _verify_name(name: str, trail: Trail, prefixes: Mapping[str, str]) -> None:
    if _PLAIN_NAME.fullmatch(name):
        return
    if not is_xml_name(name):
        raise Unwritable(trail, f"is no name for an XML element: {NAME_RULE}")
    prefix, colon, _ = name.partition(":")
    if colon and prefix not in prefixes:
        raise Unwritable(
            trail,
            f"has the prefix `{prefix}`, which no element around it declares: add `@xmlns:{prefix}`, or rename it",
        )


@lru_cache(maxsize=256)
def is_xml_name(name: str) -> bool:
    """Which letters beyond ASCII make a name is a long table, and the parser has it."""
    if not _MAYBE_NAME.fullmatch(name):
        return False
    try:
        return ParserCreate("utf-8").Parse(f"<{name}/>".encode(), True) == 1
    except (ExpatError, UnicodeEncodeError):
        return False
