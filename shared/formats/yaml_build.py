"""A value made of YAML's events, each limit checked before what would pass it is made."""

from dataclasses import dataclass, field
from typing import Final

from shared.errors import Rejected
from shared.formats.objects import put
from shared.formats.yaml_scalars import PREFIX, plain_scalar, tagged_scalar
from shared.jsontext import Json, JsonObject
from shared.limits import Limits

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
                raise Rejected("key", "a key in YAML is a scalar, not a list or an object")
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
            raise Rejected("dup_key", "an object has the merge key '<<' twice")
        self.merged = []
        for brought in value if isinstance(value, list) else [value]:
            if not isinstance(brought, dict):
                raise Rejected("key", "the merge key '<<' takes an object or a list of objects")
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
            raise Rejected("parse", "not YAML: there is no document")
        return self._documents.value[0]

    def start_document(self) -> None:
        if self._has_document:
            raise Rejected("multi", "the YAML holds more than one document")
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
            raise Rejected("parse", "not YAML: an alias stands for nothing")
        node = self._anchors[anchor]
        if node is None:
            raise Rejected("expansion", "a YAML alias stands for what it is in")
        self._has_aliases = True
        self._count(node.nodes, node.characters)
        self._verify_depth(node.height)
        self._place(_copied(node.value), node.text, node.height)

    def _start(self, container: _List | _Object, tag: str | None, kind: str) -> None:
        if tag not in (None, "!", PREFIX + kind):
            raise Rejected("tag", "YAML tags are those of the core schema, on values that fit them")
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
            code = "expansion" if self._has_aliases else "nodes"
            raise Rejected(code, f"the YAML stands for more than {self._limits.max_nodes} values, or too much text")

    def _verify_depth(self, levels: int) -> None:
        if len(self._open) - 1 + levels > self._limits.max_depth:
            raise Rejected("depth", f"the YAML is nested deeper than {self._limits.max_depth} levels")


def _copied(value: Json) -> Json:
    """Recurses no deeper than the depth that was checked."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
