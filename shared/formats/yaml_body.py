"""YAML, read event by event from libyaml's parser and bounded on the way, before anything is built.

PyYAML's loaders call themselves for each level of nesting. A body that is nested deeply enough makes the C loader
overflow the stack, which ends the process. Reading the events takes no such calls.

An alias becomes a copy of the value that it stands for, and counts like one.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import yaml
from yaml._yaml import CParser

from shared.errors import Rejected, RejectedCode
from shared.formats import json_body, text_body, yaml_scalars
from shared.formats.parse import MediaType, media_type
from shared.jsontext import Json, JsonObject
from shared.limits import Limits, put

_MERGE_KEY: Final = "<<"
_TAG_DIRECTIVE: Final = re.compile("^%TAG|[\n\r\x85\u2028\u2029]%TAG")
_MAX_TAG_DIRECTIVES: Final = 20
"""The most %TAG directives of a document. libyaml compares each one with all before it, so many of them take long. As
only the core schema's tags are accepted, nobody needs many."""
_JSON: Final = media_type("application/json")
_CAUSES: Final = {
    "mapping values are not allowed": ": a value that holds a colon and a space must be in quotes",
    "found character": ": no value can begin with this character, such as a tab, % or @",
    "did not find expected key": ": the line is indented as no line above it, or a quotation mark is too many",
    "did not find expected ',' or": ": a comma or a closing bracket is missing",
    "could not find expected ':'": ": a colon is missing",
    "found unexpected end of stream": ": a quotation mark is not closed",
    "block sequence entries are not allowed": ": no list can begin here",
}
"""The cause for the beginning of libyaml's texts, which may quote the document in their further words."""


class _Key(NamedTuple):
    """A scalar that is the key of a field. `is_merge`: it is a plain `<<`, whose value is merged into the object."""

    text: str
    is_merge: bool


class _Anchored(NamedTuple):
    """A value that an alias may stand for.

    nodes       how many lists, objects and scalars a copy of it adds to the document
    characters  how many characters the scalars of a copy have
    height      how many levels of lists and objects it has; 0 for a scalar
    key         the key that an alias becomes where a key is expected; None for a list or an object
    """

    value: Json
    nodes: int
    characters: int
    height: int
    key: _Key | None


# These have no `eq` and no `repr`, because nothing compares or prints them.


@dataclass(slots=True, eq=False, repr=False)
class _Container:
    """A list or an object that is being read.

    anchor                           the name by which aliases refer to it; None without one
    nodes_before, characters_before  the counts of the document before it; what is counted from there on is its own
    height                           how many levels it has so far
    """

    anchor: str | None
    nodes_before: int
    characters_before: int
    height: int = 1


@dataclass(slots=True, eq=False, repr=False)
class _List(_Container):
    value: list[Json] = field(default_factory=list)


@dataclass(slots=True, eq=False, repr=False)
class _Object(_Container):
    """An object that is being read.

    key     the key whose value comes next; None while a key is expected
    merged  the objects that the merge key takes in; None before it comes
    """

    value: JsonObject = field(default_factory=dict)
    key: _Key | None = None
    merged: list[JsonObject] | None = None

    def add_field(self, key: _Key, value: Json, limits: Limits) -> None:
        if not key.is_merge:
            put(self.value, key.text, value, limits)
            return
        if self.merged is not None:
            raise Rejected("duplicate_key", "an object has the merge key '<<' twice")
        self.merged = []
        for merged in value if isinstance(value, list) else [value]:
            if not isinstance(merged, dict):
                raise Rejected("invalid_key", "the merge key '<<' takes an object or a list of objects")
            self.merged.append(merged)

    def add_merged_fields(self, limits: Limits) -> None:
        """Add the fields of the merged objects, when the object's own fields are complete.

        The object's own fields take precedence, and then those of the merged object that is listed first.
        """
        for merged in self.merged or ():
            for key, value in merged.items():
                if key not in self.value:
                    put(self.value, key, value, limits)


class Builder:
    """A builder of the value of a document from its events. Each method may raise Rejected.

    For `a: [1]`, the calls are start_document, open_object, scalar "a", open_list, scalar "1", close, close.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._documents: list[Json] = []
        """The document, once it is complete."""
        self._open: list[_List | _Object] = []
        """The lists and objects that are being read, from the outermost to the innermost."""
        self._anchors: dict[str, _Anchored | _Container] = {}
        """The value of each anchor, or the list or object with the anchor while it is being read."""
        self._has_aliases = False
        self._nodes = 0
        self._characters = 0

    def document(self) -> Json:
        """Return the document, when all events have been read."""
        if not self._documents:
            raise Rejected("malformed_body", "not YAML: there is no document")
        return self._documents[0]

    def start_document(self) -> None:
        if self._documents:
            raise Rejected("multiple_documents", "the YAML holds more than one document")

    def scalar(self, text: str, anchor: str | None, tag: str | None, *, is_plain: bool) -> None:
        """Add a scalar. `is_plain` says that it has neither quotes nor a tag."""
        characters = len(text)
        self._count(1, characters)
        if tag is not None:
            value = yaml_scalars.tagged_scalar(tag, text, self._limits)
        else:
            value = yaml_scalars.plain_scalar(text, self._limits) if is_plain else text
        if anchor is not None:
            alias_key = _Key(text, is_merge=False)
            self._anchors[anchor] = _Anchored(value, nodes=1, characters=characters, height=0, key=alias_key)
        self._add(value, 0, _Key(text, is_merge=is_plain and text == _MERGE_KEY))

    def open_list(self, anchor: str | None, tag: str | None) -> None:
        self._start(_List(anchor, self._nodes, self._characters), tag, "seq")

    def open_object(self, anchor: str | None, tag: str | None) -> None:
        self._start(_Object(anchor, self._nodes, self._characters), tag, "map")

    def close(self) -> None:
        """End the innermost list or object."""
        closed = self._open.pop()
        if isinstance(closed, _Object):
            closed.add_merged_fields(self._limits)  # their values were counted when the merge key was read
        if closed.anchor is not None:
            nodes = self._nodes - closed.nodes_before
            characters = self._characters - closed.characters_before
            self._anchors[closed.anchor] = _Anchored(closed.value, nodes, characters, closed.height, key=None)
        self._add(closed.value, closed.height, key=None)

    def alias(self, anchor: str) -> None:
        """Add a copy of the value with the anchor, and count it like any other value."""
        if anchor not in self._anchors:
            raise Rejected("malformed_body", "not YAML: an alias refers to no anchor")
        anchored = self._anchors[anchor]
        if isinstance(anchored, _Container):  # the copy would contain itself, without end
            raise Rejected("expanded_too_large", "a YAML alias stands for what it is in")
        self._has_aliases = True
        self._count(anchored.nodes, anchored.characters)
        self._verify_depth(anchored.height)
        self._add(_copied(anchored.value), anchored.height, anchored.key)

    def _start(self, container: _List | _Object, tag: str | None, kind: str) -> None:
        if tag not in (None, "!", yaml_scalars.CORE_TAG + kind):
            raise yaml_scalars.tag_not_allowed()
        self._count(1, 0)
        self._verify_depth(1)
        if container.anchor is not None:
            self._anchors[container.anchor] = container
        self._open.append(container)

    def _add(self, value: Json, height: int, key: _Key | None) -> None:
        """Add a value to the innermost list or object; without one, the value is the document.

        `height` is the value's number of levels. `key` is the key that the value becomes if a key is expected; None for
        a list or an object, which cannot be a key.
        """
        if not self._open:
            self._documents.append(value)
            return
        container = self._open[-1]
        container.height = max(container.height, height + 1)
        if isinstance(container, _List):
            container.value.append(value)
        elif container.key is not None:
            container.add_field(container.key, value, self._limits)
            container.key = None
        elif key is not None:
            container.key = key
        else:
            raise Rejected("invalid_key", "a key in YAML is a scalar, not a list or an object")

    def _count(self, nodes: int, characters: int) -> None:
        """Count lists, objects and scalars, and the characters of the scalars. An alias counts like a copy."""
        self._nodes += nodes
        self._characters += characters
        if self._nodes > self._limits.max_nodes or self._characters > self._limits.max_expanded_characters:
            code: RejectedCode = "expanded_too_large" if self._has_aliases else "too_many_values"
            raise Rejected(code, f"the YAML expands to more than {self._limits.max_nodes} values, or too much text")

    def _verify_depth(self, levels: int) -> None:
        """Reject a value that would be too deep. `levels` is the number of levels that it adds to the open ones."""
        if len(self._open) + levels > self._limits.max_depth:
            raise Rejected("nested_too_deeply", f"the YAML is nested deeper than {self._limits.max_depth} levels")


def _copied(value: Json) -> Json:
    """Return a copy of the value. Calls itself once for each level, of which there are at most `max_depth`."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


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
        rejection = _rejection(error, limits)
        # JSON is YAML, but may write a character as two escapes (a pair of surrogates), which libyaml rejects.
        if "\\u" in text and text.lstrip()[:1] in {"{", "["}:
            with suppress(Rejected):  # not JSON either: libyaml's rejection is the one that fits YAML
                return json_body.parse(text.encode(), _JSON, limits)
        raise rejection from None
    except UnicodeError:  # a tag may spell bytes that are no UTF-8
        raise Rejected("malformed_body", "not YAML: a tag is not UTF-8") from None
    return builder.document()


def _read(text: str, builder: Builder) -> None:
    """Call the builder for each event. Raises Rejected, YAMLError and UnicodeError."""
    parser = CParser(text)
    try:
        while event := parser.get_event():
            match event:
                case yaml.ScalarEvent():
                    is_plain = event.implicit[0] and event.tag is None
                    builder.scalar(event.value, event.anchor, event.tag, is_plain=is_plain)
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
    """Return the rejection for an error of libyaml: its place and the cause, without the text of the document."""
    if isinstance(error, yaml.MarkedYAMLError):
        problem = error.problem or ""
        if "nesting" in problem:  # libyaml looks ahead, so it can come to its own limit before we count
            return Rejected("nested_too_deeply", f"the YAML is nested deeper than {limits.max_depth} levels")
        if mark := error.problem_mark:
            place = f"line {mark.line + 1}, column {mark.column + 1}"
            cause = next((cause for begin, cause in _CAUSES.items() if problem.startswith(begin)), "")
            return Rejected("malformed_body", f"not YAML: {place}{cause}")
    return Rejected("malformed_body", "not YAML: it holds characters that YAML does not allow")
