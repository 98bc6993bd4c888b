"""YAML, read event by event from libyaml's parser and bounded on the way, before anything is built.

PyYAML's loaders recurse once a level, and its C one takes the process with it; the stream of events does not. An alias
counts as all that it stands for, and becomes a copy.
"""

import re
from dataclasses import dataclass, field
from typing import Final

import yaml
from yaml._yaml import CParser

from shared.errors import Rejected, RejectedCode
from shared.formats import json_body, text_body
from shared.formats.media_type import MediaType, media_type
from shared.jsontext import Json, JsonObject
from shared.limits import Limits, finite, integer, put

PREFIX: Final = "tag:yaml.org,2002:"

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST_OF_NUMBER: Final = frozenset("+-.0123456789")
_NUMBER: Final = re.compile(
    r"(?P<decimal>[-+]?[0-9]++)"
    r"|0o(?P<octal>[0-7]++)"
    r"|0x(?P<hexadecimal>[0-9a-fA-F]++)"
    r"|(?P<real>[-+]?(?:\.[0-9]++|[0-9]++(?:\.[0-9]*+)?)(?:[eE][-+]?[0-9]++)?)"
    r"|(?P<not_finite>[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_BASES: Final = {"decimal": 10, "octal": 8, "hexadecimal": 16}


def plain_scalar(text: str, limits: Limits) -> Json:
    """Convert a scalar without quotes and tag. Raises Rejected (`number_out_of_range`)."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text, limits) if text[0] in _FIRST_OF_NUMBER else text


def tagged_scalar(tag: str, text: str, limits: Limits) -> Json:
    """Raises Rejected (`tag_not_allowed`, `number_out_of_range`)."""
    kind = tag.removeprefix(PREFIX)
    value = text if kind in ("!", "str") else plain_scalar(text, limits)
    if kind == "float" and type(value) is int:
        value = finite(text)
    if type(value).__name__ != {"!": "str", "null": "NoneType"}.get(kind, kind):
        raise Rejected("tag_not_allowed", "YAML tags are those of the core schema, on values that fit them")
    return value


def _number(text: str, limits: Limits) -> Json:
    found = _NUMBER.fullmatch(text)
    if found is None or found.lastgroup is None:
        return text
    if found.lastgroup in _BASES:
        return integer(found[found.lastgroup], _BASES[found.lastgroup], limits)
    if found.lastgroup == "not_finite":
        raise Rejected("number_out_of_range", "JSON has neither infinity nor NaN")
    return finite(text)


_MERGE_KEY: Final = "<<"


@dataclass(slots=True)
class _Node:
    """A whole value with an anchor. `nodes` and `characters` are what it adds to a document, `height` how many levels.

    `text` is a scalar as it was written, which is its name where it is a key.
    """

    value: Json
    nodes: int
    characters: int
    height: int
    text: str | None


@dataclass(slots=True)
class _List:
    anchor: str | None
    nodes_before: int
    characters_before: int
    value: list[Json] = field(default_factory=list)
    height: int = 1

    def take(self, value: Json, _text: str | None, _is_plain: bool, _limits: Limits) -> None:
        self.value.append(value)

    def finish(self, _limits: Limits) -> None:
        pass


@dataclass(slots=True)
class _Object:
    """Takes a key, then its value. What `<<` brings is put in at the end: the object's own keys go first."""

    anchor: str | None
    nodes_before: int
    characters_before: int
    value: JsonObject = field(default_factory=dict)
    height: int = 1
    key: str | None = None
    is_merging: bool = False
    merged: list[JsonObject] | None = None

    def take(self, value: Json, text: str | None, is_plain: bool, limits: Limits) -> None:
        key = self.key
        if key is None:
            if text is None:
                raise Rejected("invalid_key", "a key in YAML is a scalar, not a list or an object")
            self.key = text
            self.is_merging = is_plain and text == _MERGE_KEY
            return
        self.key = None
        if self.is_merging:
            self._merge(value)
        else:
            put(self.value, key, value, limits)

    def _merge(self, value: Json) -> None:
        if self.merged is not None:
            raise Rejected("duplicate_key", "an object has the merge key '<<' twice")
        self.merged = []
        for brought in value if isinstance(value, list) else [value]:
            if not isinstance(brought, dict):
                raise Rejected("invalid_key", "the merge key '<<' takes an object or a list of objects")
            self.merged.append(brought)

    def finish(self, limits: Limits) -> None:
        for brought in self.merged or ():
            for key, value in brought.items():
                if key not in self.value:
                    put(self.value, key, value, limits)


class Builder:
    """Raises Rejected from any method."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._documents = _List(None, 0, 0)
        self._open: list[_List | _Object] = [self._documents]
        self._anchors: dict[str, _Node | None] = {}  # None while the value is open
        self._has_document = False
        self._has_aliases = False
        self._nodes = 0
        self._characters = 0

    def document(self) -> Json:
        if not self._documents.value:
            raise Rejected("malformed_body", "not YAML: there is no document")
        return self._documents.value[0]

    def start_document(self) -> None:
        if self._has_document:
            raise Rejected("multiple_documents", "the YAML holds more than one document")
        self._has_document = True

    def scalar(self, text: str, anchor: str | None, tag: str | None, is_plain: bool) -> None:
        self._count(1, len(text))
        if tag is not None:
            value = tagged_scalar(tag, text, self._limits)
        else:
            value = plain_scalar(text, self._limits) if is_plain else text
        if anchor is not None:
            self._anchors[anchor] = _Node(value, 1, len(text), 0, text)
        self._open[-1].take(value, text, is_plain, self._limits)

    def open_list(self, anchor: str | None, tag: str | None) -> None:
        self._start(_List(anchor, self._nodes, self._characters), tag, "seq")

    def open_object(self, anchor: str | None, tag: str | None) -> None:
        self._start(_Object(anchor, self._nodes, self._characters), tag, "map")

    def close(self) -> None:
        made = self._open.pop()
        made.finish(self._limits)
        if made.anchor is not None:
            nodes, characters = self._nodes - made.nodes_before, self._characters - made.characters_before
            self._anchors[made.anchor] = _Node(made.value, nodes, characters, made.height, None)
        self._place(made.value, None, made.height)

    def alias(self, anchor: str) -> None:
        if anchor not in self._anchors:
            raise Rejected("malformed_body", "not YAML: an alias refers to no anchor")
        node = self._anchors[anchor]
        if node is None:
            raise Rejected("expanded_too_large", "a YAML alias stands for what it is in")
        self._has_aliases = True
        self._count(node.nodes, node.characters)
        self._verify_depth(node.height)
        self._place(_copied(node.value), node.text, node.height)

    def _start(self, container: _List | _Object, tag: str | None, kind: str) -> None:
        if tag not in (None, "!", PREFIX + kind):
            raise Rejected("tag_not_allowed", "YAML tags are those of the core schema, on values that fit them")
        self._count(1, 0)
        self._verify_depth(1)
        if container.anchor is not None:
            self._anchors[container.anchor] = None
        self._open.append(container)

    def _place(self, value: Json, text: str | None, height: int) -> None:
        into = self._open[-1]
        into.height = max(into.height, height + 1)
        into.take(value, text, False, self._limits)

    def _count(self, nodes: int, characters: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > self._limits.max_nodes or self._characters > self._limits.max_expanded_characters:
            code: RejectedCode = "expanded_too_large" if self._has_aliases else "too_many_values"
            raise Rejected(code, f"the YAML expands to more than {self._limits.max_nodes} values, or too much text")

    def _verify_depth(self, levels: int) -> None:
        if len(self._open) - 1 + levels > self._limits.max_depth:
            raise Rejected("nested_too_deeply", f"the YAML is nested deeper than {self._limits.max_depth} levels")


def _copied(value: Json) -> Json:
    """Recurses no deeper than the depth that was checked."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


# libyaml compares each with all before it. Only the core schema's tags are taken, so nobody needs many.
_TAG_DIRECTIVE: Final = re.compile("^%TAG|[\n\r\x85\u2028\u2029]%TAG")
_MAX_TAG_DIRECTIVES: Final = 20
_JSON: Final = media_type("application/json")


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Parse one document by the core schema of YAML 1.2, with `<<` as a merge key. A key stays as it is written.

    Raises Rejected: `multiple_documents`, `nested_too_deeply`, `too_many_values`, `expanded_too_large`,
    `tag_not_allowed`, `invalid_key`, `duplicate_key`, `number_out_of_range`, `malformed_body`.
    """
    text = text_body.decode_text(body, media.charset)
    if text.startswith("\ufeff"):  # libyaml would drop it
        raise Rejected("malformed_body", "not YAML: it begins with a second byte order mark")
    if sum(1 for _ in _TAG_DIRECTIVE.finditer(text)) > _MAX_TAG_DIRECTIVES:
        raise Rejected("tag_not_allowed", f"the YAML has more than {_MAX_TAG_DIRECTIVES} %TAG directives")
    builder = Builder(limits)
    try:
        _read(text, builder)
    except yaml.YAMLError as error:
        if text.lstrip()[:1] in {"{", "["} and "\\u" in text:
            return _as_json(text, limits, _rejection(error, limits))
        raise _rejection(error, limits) from None
    except UnicodeError:  # a tag may spell bytes that are no UTF-8
        raise Rejected("malformed_body", "not YAML: a tag is not UTF-8") from None
    return builder.document()


def _as_json(text: str, limits: Limits, rejection: Rejected) -> Json:
    """JSON is YAML, but libyaml takes no pair of surrogates for the character it is. Raises the rejection otherwise."""
    try:
        return json_body.parse(text.encode(), _JSON, limits)
    except Rejected:
        raise rejection from None


def _read(text: str, builder: Builder) -> None:
    parser = CParser(text)
    try:
        while event := parser.get_event():
            match event:
                case yaml.ScalarEvent():
                    plain = event.implicit[0] and event.tag is None
                    builder.scalar(event.value, event.anchor, event.tag, plain)
                case yaml.SequenceStartEvent():
                    builder.open_list(event.anchor, event.tag)
                case yaml.MappingStartEvent():
                    builder.open_object(event.anchor, event.tag)
                case yaml.CollectionEndEvent():
                    builder.close()
                case yaml.AliasEvent():
                    builder.alias(event.anchor or "")
                case yaml.DocumentStartEvent():
                    builder.start_document()
    finally:
        parser.dispose()


def _rejection(error: yaml.YAMLError, limits: Limits) -> Rejected:
    if isinstance(error, yaml.MarkedYAMLError):
        if "nesting" in (error.problem or ""):  # libyaml's own limit, where its look-ahead comes before our count
            return Rejected("nested_too_deeply", f"the YAML is nested deeper than {limits.max_depth} levels")
        if mark := error.problem_mark:
            return Rejected("malformed_body", f"not YAML: line {mark.line + 1}, column {mark.column + 1}")
    return Rejected("malformed_body", "not YAML: it holds characters that YAML does not allow")
