"""Places in an event, the values there, and the notes about places that an event lacks (MissingPaths).

A path names a place: `data.user.email`, `data.items[0].price`, `data.items[*].price`, `data["a.b"]`. Unlike an
expression, it names places that can be written. The functions take a value and the `parts` of a path, or an event and a
path. An argument `place` is the text of the place for messages. None of them changes its argument: they copy the
objects and lists along the path, and share the others. So in a new value only what changed is new:

    with_value({"a": {"b": 1}, "c": 2}, ("a", "b"), 5)   {"a": {"b": 5}, "c": 2}

A change that changes nothing returns the very same object, by which steps and the chain find out that nothing changed.
The functions differ in what they do about a place where there is nothing:

                              a missing key             an item that a list lacks    a value of another kind on the way
    find_value                None                      None                         None
    iterate_values            raises Permanent          raises Permanent             raises Permanent
    change_values             raises Permanent          raises Permanent             raises Permanent
    with_value                is made                   raises Permanent             raises Permanent
    update_value, update      `change` gets MISSING     is left out                  raises Permanent
    put                       as with_value, or sets an attribute of the event
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

from functions.transform.step import Noted, Settings
from shared import did_you_mean, errors, expressions, missing_paths
from shared.config.rules import verified_by
from shared.event import Event, attribute_text
from shared.jsontext import Json, kind_of, to_json
from shared.writers.writing import SHOWN_CHARACTERS, is_field_name

if TYPE_CHECKING:
    from jmespath.visitor import _TreeNode

ATTRIBUTES: Final = ("type", "subject", "actor")
"""The attributes of an event that a path can name."""
MAX_CHARACTERS: Final = 1_000
"""The most characters of a path."""
MAX_SHAPES: Final = 64
"""The most notes about missing paths that a step remembers."""

_PART: Final = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)
      | \[(?P<index>0|[1-9][0-9]{0,8})\]
      | \[(?P<every>\*)\]
      | \[(?P<quoted>"(?:[^"\\]|\\.)*")\]""",
    re.VERBOSE,
)


class PathFault(ValueError):
    """A path that cannot be used: an error of the configuration."""


@dataclass(frozen=True, slots=True)
class Every:
    """`[*]`: each item of a list."""


Part: TypeAlias = str | int | Every


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. `root` is `data` or one of ATTRIBUTES; only `data` has parts."""

    text: str
    root: str
    parts: tuple[Part, ...] = ()

    @property
    def names_several(self) -> bool:
        return any(isinstance(part, Every) for part in self.parts)


def parse_path(text: str) -> Path:
    """Return the parsed path. Raises PathFault."""
    if text in ATTRIBUTES:
        return Path(text, text)
    if len(text) > MAX_CHARACTERS:
        raise PathFault(f"a path has at most {MAX_CHARACTERS} characters; this one has {len(text)}")
    if not text.startswith("data"):
        rule = f"path {text!r} must begin with 'data', or be one of {', '.join(ATTRIBUTES)}"
        raise PathFault(f"{rule}{_hint(text)}")
    parts: list[Part] = []
    position = len("data")
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            hint = 'write .name, ["any name"], [0] or [*]'
            raise PathFault(f"path {text!r}: column {position + 1} cannot be read; {hint}")
        parts.append(_part(text, match))
        position = match.end()
    return Path(text, "data", tuple(parts))


def _hint(text: str) -> str:
    plain = text.removeprefix("$json").removeprefix("$").lstrip("./")
    if plain != text:  # JSONPath, a JSON pointer, or a path of n8n
        meant = plain if plain.startswith("data") else f"data.{plain}"
        return f"; did you mean {meant.replace('/', '.')!r}?" if plain else ""
    root, dot, rest = text.partition(".")
    if not root:
        return ""
    nearest_root = did_you_mean.nearest(root, ("data", *ATTRIBUTES))
    if nearest_root is None:
        return f"; did you mean {f'data.{text}'!r}?"
    if nearest_root == "data" or not dot:
        return f"; did you mean {f'{nearest_root}{dot}{rest}'!r}?"
    return ""


def _part(text: str, match: re.Match[str]) -> Part:
    if match["name"] is not None:
        return match["name"]
    if match["index"] is not None:
        return int(match["index"])
    if match["every"] is not None:
        return Every()
    try:
        return str(json.loads(match["quoted"]))
    except ValueError as error:
        raise PathFault(f"path {text!r}: column {match.start() + 1} is not a JSON string in brackets") from error


def path_to(parts: tuple[Part, ...]) -> Path:
    """Return the path in the data that has these parts."""
    text = "data"
    for part in parts:
        text = _place_of_key(text, part) if isinstance(part, str) else f"{text}[{'*' if part == Every() else part}]"
    return Path(text, "data", parts)


def path_of(node: "_TreeNode") -> Path | None:
    """Return the path in the data that the parsed expression is; None if it is none."""
    names = expressions.names_of_path(node) or ()
    return path_to(names[1:]) if names[:1] == ("data",) and len(names) > 1 else None


def verify_path(text: str) -> str:
    """Return the text. Raises PathFault."""
    parse_path(text)
    return text


def verify_data_path(text: str) -> str:
    """Return the text. Raises ValueError if the path is not in `data`."""
    if parse_path(text).root != "data":
        raise ValueError(f"{text!r} is not a path in 'data'")
    return text


def verify_single(text: str) -> str:
    """Return the text. Raises ValueError if the path names several places."""
    if parse_path(text).names_several:
        raise ValueError(f"{text!r} names several places; only one place can be read or written here")
    return text


AnyPath = Annotated[str, verified_by(verify_path)]
DataPath = Annotated[str, verified_by(verify_data_path)]
SinglePath = Annotated[str, verified_by(verify_single)]
SingleDataPath = Annotated[str, verified_by(verify_data_path), verified_by(verify_single)]


class Missing:
    """The mark for a place where there is nothing, not even null."""


MISSING: Final = Missing()
MaybeJson: TypeAlias = "Json | Missing"
Change: TypeAlias = Callable[[Json, str], Json]
"""A function that takes a value and its place, such as `data.items[0].price`, and returns the new value."""
MaybeChange: TypeAlias = Callable[[MaybeJson, str], MaybeJson]
"""A function that takes a value and its place, and returns the new value. The value is MISSING if nothing is there. If
the function returns MISSING, nothing is written."""


def _place_of_key(place: str, key: str) -> str:
    """Return the text of the key's place: `data.a`, or `data["a b"]` for a key that is not plain. A long key is cut."""
    if is_field_name(key):
        return f"{place}.{key}"
    shown = attribute_text(key[:SHOWN_CHARACTERS])
    return f'{place}["{shown}{"…" if len(key) > SHOWN_CHARACTERS else ""}"]'


def find_value(value: Json, parts: tuple[Part, ...]) -> Json:
    """Return the value at the place; None if there is nothing. For `[*]`, return the list itself."""
    for part in parts:
        if isinstance(part, str):
            value = value.get(part) if isinstance(value, dict) else None
        elif isinstance(part, int):
            value = value[part] if isinstance(value, list) and part < len(value) else None
    return value


def is_there(value: Json, parts: tuple[Part, ...]) -> bool:
    """Return whether the place exists, even if its value is null.

    With `[*]`, the place exists if it exists in one item, or if the list is empty.
    """
    for position, part in enumerate(parts):
        if isinstance(part, Every):
            rest = parts[position + 1 :]
            return isinstance(value, list) and (not value or any(is_there(item, rest) for item in value))
        if isinstance(part, str):
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        elif not isinstance(value, list) or part >= len(value):
            return False
        else:
            value = value[part]
    return True


def iterate_values(value: Json, parts: tuple[Part, ...], place: str = "data") -> Iterator[tuple[str, Json]]:
    """Yield each place that the path names, and its value. Raises Permanent (`path_conflict`) if there is nothing."""
    if not parts:
        yield place, value
        return
    part, rest = parts[0], parts[1:]
    if isinstance(part, str):
        if not isinstance(value, dict):
            raise _not_an_object(value, place, part)
        inner_place = _place_of_key(place, part)
        if part not in value:
            raise errors.Permanent("path_conflict", f"{inner_place}{missing_paths.IS_NOT_THERE}")
        yield from iterate_values(value[part], rest, inner_place)
        return
    items = _list_with(value, part, place)
    for number in range(len(items)) if isinstance(part, Every) else (part,):
        yield from iterate_values(items[number], rest, f"{place}[{number}]")


def change_values(value: Json, parts: tuple[Part, ...], change: Change) -> Json:
    """Return the value with the result of `change` at each place that the path names.

    Raises Permanent (`path_conflict`) if there is nothing at the place.
    """

    def change_present(present: MaybeJson, place: str) -> Json:
        if isinstance(present, Missing):
            raise errors.Permanent("path_conflict", f"{place}{missing_paths.IS_NOT_THERE}")
        return change(present, place)

    return update_value(value, parts, change_present, strict=True)


def with_value(value: Json, parts: tuple[Part, ...], new: Json) -> Json:
    """Return the value with `new` at each place that the path names.

    Objects that are missing along the path are made; items of lists are not. Raises Permanent (`path_conflict`).
    """
    return update_value(value, parts, lambda _, __: new, strict=True)


def update_value(value: Json, parts: tuple[Part, ...], change: MaybeChange, *, strict: bool = False) -> Json:
    """Return the value with the result of `change` at each place that the path names, also where there is nothing.

    A path to an item that a list lacks, or to items of a list that is missing, changes nothing. With `strict`, it
    raises Permanent; keys that are missing along the path are made in both cases. Raises Permanent (`path_conflict`) if
    the path leads through a value of another kind, such as a name in a text.
    """
    updated = _update(value, parts, change, "data", strict)
    return None if isinstance(updated, Missing) else updated


def _update(value: MaybeJson, parts: tuple[Part, ...], change: MaybeChange, place: str, strict: bool) -> MaybeJson:
    if not parts:
        return change(value, place)
    part, rest = parts[0], parts[1:]
    if isinstance(part, str):
        fields: Json = {} if value is None or isinstance(value, Missing) else value
        if not isinstance(fields, dict):
            raise _not_an_object(fields, place, part)
        before = fields.get(part, MISSING)
        after = _update(before, rest, change, _place_of_key(place, part), strict)
        if after is before or isinstance(after, Missing):
            return value
        return {**fields, part: after}
    if not strict and _is_nothing_at(value, part):
        return value
    items = list(_list_with(value, part, place))
    for number in range(len(items)) if isinstance(part, Every) else (part,):
        updated = _update(items[number], rest, change, f"{place}[{number}]", strict)
        items[number] = None if isinstance(updated, Missing) else updated
    return same_or(value, items) if isinstance(value, list) else items


def _not_an_object(value: Json, place: str, key: str) -> errors.Permanent:
    """Return the error for a place that must have an object with the key, and has a value of another kind."""
    advice = f"; write {_place_of_key(f'{place}[*]', key)} for each item" if isinstance(value, list) else ""
    return errors.Permanent("path_conflict", f"{place} is {kind_of(value)}, not an object{advice}")


def _is_nothing_at(value: MaybeJson, part: int | Every) -> bool:
    if value is None or isinstance(value, Missing):
        return True
    return isinstance(value, list) and isinstance(part, int) and part >= len(value)


def _list_with(value: MaybeJson, part: int | Every, place: str) -> list[Json]:
    """Return the value, which must be a list with an item at this position. Raises Permanent (`path_conflict`)."""
    if isinstance(value, Missing):
        raise errors.Permanent("path_conflict", f"{place}{missing_paths.IS_NOT_THERE}")
    if not isinstance(value, list):
        raise errors.Permanent("path_conflict", f"{place} is {kind_of(value)}, not a list")
    if isinstance(part, int) and part >= len(value):
        raise errors.Permanent("path_conflict", f"{place} has {len(value)} items; there is no [{part}]")
    return value


def same_or(before: list[Json], after: list[Json]) -> list[Json]:
    """Return `before` if `after` has the very same items. So a change that changes nothing makes no new event."""
    unchanged = len(before) == len(after) and all(a is b for a, b in zip(before, after, strict=True))
    return before if unchanged else after


def update(event: Event, path: Path, change: MaybeChange) -> Event:
    """Return the event with its data updated at the path, whose root must be `data`.

    Raises Permanent (`path_conflict`).
    """
    return event.with_data(update_value(event.data, path.parts, change))


def put(event: Event, path: Path, value: Json, datatype: str | None = None) -> Event:
    """Return the event with the value at the path; `datatype` is its content type if it becomes all of the data.

    Raises Permanent (`path_conflict`).
    """
    if path.root == "data":
        return event.with_data(with_value(event.data, path.parts, value), None if path.parts else datatype)
    return with_attribute(event, path, value)


def with_attribute(event: Event, path: Path, value: Json) -> Event:
    """Return the event with the attribute set.

    Raises Permanent: `path_conflict` for a list or an object and for an empty type, `invalid_output` for a number
    that JSON lacks.
    """
    if isinstance(value, list | dict):
        raise errors.Permanent("path_conflict", f"{path.text!r} is text; found {kind_of(value)}")
    if value is None:
        text = ""
    elif isinstance(value, str):
        text = attribute_text(value)
    else:
        try:
            text = attribute_text(to_json(value))
        except ValueError:
            reason = f"{path.text!r} would be a number that JSON lacks, or one of too many digits"
            raise errors.Permanent("invalid_output", reason) from None
    if path.root == "type":
        if not text:
            raise errors.Permanent("path_conflict", "'type' cannot be empty")
        return replace(event, type=text)
    return replace(event, subject=text or None) if path.root == "subject" else replace(event, actor=text or None)


def _verify_expression(text: str) -> str:
    expressions.over_event(text)
    return text


ExpressionText = Annotated[str, verified_by(_verify_expression)]
"""A JMESPath expression over the event."""


class PathSettings(Settings):
    """
    path  the value, or with `[*]` the values, to change (default: all of `data`)
    into  where the result goes (default: to the same place)
    """

    path: DataPath = "data"
    into: SinglePath | None = None

    def prepare(self) -> None:
        self._path = parse_path(self.path)
        self._into = None if self.into is None else parse_path(self.into)

    def change(self, event: Event, change: Change, datatype: str | None = None) -> Event:
        """Return the event with the change; `datatype` is the content type of a result that becomes all of the data.

        Raises Permanent (`path_conflict`), and what `change` raises.
        """
        if self._into is None:
            data = change_values(event.data, self._path.parts, change)
            return event.with_data(data, None if self._path.parts else datatype)
        results = [change(value, place) for place, value in iterate_values(event.data, self._path.parts)]
        result: Json = list(results) if self._path.names_several else results[0]
        return put(event, self._into, result, datatype)


class MissingPaths:
    """The notes of one step about paths that an event lacks: `'data.user' is not in this event; did you mean …?`.

    To find the most similar path takes 2 ms, and for an event with 2,000 long names 100 ms. So a note is made once for
    all events with the same top-level fields, and at most `max_shapes` notes are remembered. Instead of the fields,
    their hash is remembered, because an event can have very many.
    """

    def __init__(self, max_shapes: int = MAX_SHAPES) -> None:
        self._notes: dict[tuple[tuple[Part, ...], int], str] = {}
        self._max_shapes = max_shapes

    def updated(self, event: Event, changes: Iterable[tuple[Path, Path, MaybeChange]], act: str) -> Event | Noted:
        """Return the event with each change, and with a note about the paths that lead to nothing.

        A change is the path that the settings name, for the note, the path that is written, and the function that makes
        the new value. `act` says what the step does about a missing path, such as `nothing is rewritten there`.
        """
        before = event
        untouched: list[Path] = []
        for path, place, change in changes:
            changed = update(event, place, change)
            if changed is event:
                untouched.append(path)
            event = changed
        return self.noted(event, before, untouched, act) if untouched else event

    def noted(self, event: Event, before: Event, untouched: Iterable[Path], act: str) -> Event | Noted:
        """Return the event, with a note about those of the `untouched` paths that were missing before the step.

        `act` says what the step does about a missing path.
        """
        note = self.note(before.data, untouched, act)
        return Noted(event, note) if note else event

    def note(self, data: Json, paths: Iterable[Path], act: str = "") -> str:
        """Return the note about those of the paths that are missing in the data; empty if none is missing."""
        missing = [path for path in paths if not is_there(data, path.parts)]
        if not missing:
            return ""
        shape = hash(frozenset(data)) if isinstance(data, dict) else 0
        return "; ".join([self._note(path, data, shape, act) for path in missing])

    def _note(self, path: Path, data: Json, shape: int, act: str) -> str:
        note = self._notes.get((path.parts, shape))
        if note is None and len(self._notes) < self._max_shapes:
            note = _missing_note(path, data, act)
            self._notes[path.parts, shape] = note
        return note or missing_paths.plain_message(path.text, act)


def _missing_note(path: Path, data: Json, act: str) -> str:
    """Return the note about one missing path, with the path that is probably meant."""
    names = [part for part in path.parts if isinstance(part, str) and is_field_name(part)]
    if len(names) < len(path.parts):  # an item of a list is missing, or a field in it, or a name has a full stop
        return missing_paths.plain_message(path.text, act)
    for position in range(1, len(names)):
        if isinstance(find_value(data, path.parts[:position]), list):
            list_text = ".".join(["data", *names[:position]])
            item_path = f"{list_text}[*].{'.'.join(names[position:])}"
            advice = f"{list_text!r} is a list; write {item_path!r} for each item"
            return f"{path.text!r}{missing_paths.IS_MISSING}: {advice}"
    return missing_paths.missing_path_message(".".join(["data", *names]), {"data": data}, act)
