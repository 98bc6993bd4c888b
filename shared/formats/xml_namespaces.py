"""Namespaces in XML 1.0 (https://www.w3.org/TR/xml-names/): what a document may do with prefixes.

Own code, because expat's is no bound: it writes a namespace's whole name in place of each prefix, so that a document of
640 KB with one long name costs it 45 s.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from xml.parsers import expat  # it reads one name

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
