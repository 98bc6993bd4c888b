"""Structure: drop, keep, rename and flatten fields."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, ClassVar

from functions.transform import paths
from functions.transform.step import Example, Noted, Settings, Step, StepContext
from shared.config.rules import LISTED, limits, verified_by
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, kind_of
from shared.writers.writing import Room


def _verify_droppable(text: str) -> str:
    """Return the path of something that an event can be without. Raises ValueError."""
    path = paths.parse_path(text)
    if path.root == "type":
        raise ValueError("'type' cannot be dropped")
    return text if path.root != "data" else _verify_inner(text)


def _verify_inner(text: str) -> str:
    """Return the path of something in the data. Raises ValueError for any other path."""
    if not paths.parse_path(text).parts:
        raise ValueError("'data' is the whole document; name a place in it")
    return paths.verify_data_path(text)


def _verify_key(text: str) -> str:
    """Return the path of a field. Raises ValueError for any other path."""
    last_part = paths.parse_path(_verify_inner(text)).parts[-1]
    if not isinstance(last_part, str):
        raise ValueError(f"{text!r} does not end in a name")
    return text


DropPath = Annotated[str, verified_by(_verify_droppable)]
InnerPath = Annotated[str, verified_by(_verify_inner)]
KeyPath = Annotated[str, verified_by(_verify_key)]


class Drop(Settings, Step):
    """A path, or a list. All paths apply to the event before the step; missing values are ignored."""

    summary: ClassVar[str] = "Remove the values at paths."
    example: ClassVar[Example] = Example(
        settings=["data.password", "data.cards[*].number"],
        before={"name": "Ada", "password": "hunter2", "cards": [{"number": "4111", "kind": "visa"}]},
        after={"name": "Ada", "cards": [{"kind": "visa"}]},
    )
    only_removes: ClassVar[bool] = True

    whole: Annotated[list[DropPath], LISTED, limits(min_length=1)]

    def prepare(self) -> None:
        written = [paths.parse_path(text) for text in self.whole]
        # Later items first, so that dropping [0] does not move [1] before its turn.
        self._paths = sorted(written, key=lambda path: [_order(part) for part in path.parts], reverse=True)
        self._missing = paths.MissingPaths()

    def removes(self) -> tuple[str, ...]:
        return (*self.whole,)

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        before, data = event, event.data
        untouched: list[paths.Path] = []
        for path in self._paths:
            if path.root != "data":
                event = paths.with_attribute(event, path, None)
                continue
            rest = without(data, path.parts)
            if rest is data:
                untouched.append(path)
            data = rest
        after = event if data is event.data else event.with_data(data)
        return self._missing.noted(after, before, untouched, "nothing is removed there") if untouched else after


def without(value: Json, parts: tuple[paths.Part, ...]) -> Json:
    """Return the value without what is at the path; the same object if there is nothing."""
    part, rest = parts[0], parts[1:]
    if isinstance(part, paths.Every):
        if not isinstance(value, list):
            return value
        items_left = [without(item, rest) for item in value] if rest else []
        return paths.same_or(value, items_left)
    if isinstance(part, str):
        if not isinstance(value, dict) or part not in value:
            return value
        if not rest:
            return {key: item for key, item in value.items() if key != part}
        inner = without(value[part], rest)
        return value if inner is value[part] else {**value, part: inner}
    if not isinstance(value, list) or part >= len(value):
        return value
    item_left = [without(value[part], rest)] if rest else []
    return paths.same_or(value, [*value[:part], *item_left, *value[part + 1 :]])


def _order(part: paths.Part) -> tuple[int, int, str]:
    """Return a key by which parts of different types can be sorted: `[*]`, then indexes, then names."""
    if isinstance(part, paths.Every):
        return 0, 0, ""
    return (1, part, "") if isinstance(part, int) else (2, 0, part)


Tree = dict[paths.Part, "Tree | None"]
"""Several paths, as a tree of their parts. None is the end of a path: everything below is kept."""


class Keep(Settings, Step):
    """A path, or a list. All other data is removed; the event's attributes stay."""

    summary: ClassVar[str] = "Keep the values at paths and remove the rest of the data."
    example: ClassVar[Example] = Example(
        settings=["data.name", "data.cards[*].kind"],
        before={"name": "Ada", "password": "hunter2", "cards": [{"number": "4111", "kind": "visa"}]},
        after={"name": "Ada", "cards": [{"kind": "visa"}]},
    )
    only_removes: ClassVar[bool] = True

    whole: Annotated[list[InnerPath], LISTED, limits(min_length=1)]

    def prepare(self) -> None:
        self._tree: Tree = {}
        for text in self.whole:
            _grow(self._tree, paths.parse_path(text).parts)
        self._paths = [paths.parse_path(text) for text in self.whole]
        self._missing = paths.MissingPaths()

    def removes(self) -> tuple[str, ...]:
        return ("data",)

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        kept = event.with_data(_select(event.data, self._tree))
        return self._missing.noted(kept, event, self._paths, "nothing is kept there")


def _grow(tree: "Tree", parts: tuple[paths.Part, ...]) -> None:
    """Add a path to the tree. It adds nothing below the end of another path, where everything is kept."""
    first, rest = parts[0], parts[1:]
    if not rest:
        tree[first] = None
        return
    below = tree.setdefault(first, {})
    if below is not None:
        _grow(below, rest)


def _select(value: Json, tree: "Tree") -> Json:
    """Return what the tree keeps of the value; null for a scalar, in which no path leads further."""
    if isinstance(value, dict):
        return {key: _select_below(item, tree[key]) for key, item in value.items() if key in tree}
    if not isinstance(value, list):
        return None
    every = paths.Every()
    if every not in tree:
        return [_select_below(item, tree[number]) for number, item in enumerate(value) if number in tree]
    every_tree = tree[every]
    return [_select_below(item, _with_both(every_tree, tree.get(number, {}))) for number, item in enumerate(value)]


def _with_both(first: "Tree | None", second: "Tree | None") -> "Tree | None":
    """Return a tree that keeps what either tree keeps."""
    if first is None or second is None:
        return None
    shared_parts = first.keys() & second.keys()
    return {**first, **second, **{part: _with_both(first[part], second[part]) for part in shared_parts}}


def _select_below(value: Json, tree: "Tree | None") -> Json:
    return value if tree is None else _select(value, tree)


def _verify_name(name: str) -> str:
    if re.match(r"data[.\[]", name):
        raise ValueError(f"{name!r} is a path; write a name, because a renamed field stays where it is")
    return name


NewName = Annotated[str, limits(min_length=1), verified_by(_verify_name)]


class Rename(Settings, Step):
    """`path: new name`. A field stays where it is; a missing field is ignored."""

    summary: ClassVar[str] = "Rename fields, each in its place."
    example: ClassVar[Example] = Example(
        settings={"data.mail": "email", "data.items[*].qty": "quantity"},
        before={"mail": "ada@example.com", "items": [{"qty": 2}, {"sku": "B"}]},
        after={"email": "ada@example.com", "items": [{"quantity": 2}, {"sku": "B"}]},
    )

    whole: Annotated[dict[KeyPath, NewName], limits(min_length=1)]

    def prepare(self) -> None:
        self._changes = []
        self._missing = paths.MissingPaths()
        for text, name in self.whole.items():
            path = paths.parse_path(text)
            parent = paths.Path(path.text, path.root, path.parts[:-1])
            self._changes.append((path, parent, partial(_rename, str(path.parts[-1]), name)))

    def removes(self) -> tuple[str, ...]:
        return (*self.whole,)

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        return self._missing.updated(event, self._changes, "nothing is renamed there")


def _rename(old: str, new: str, value: paths.MaybeJson, place: str) -> paths.MaybeJson:
    """Return the object with a field renamed. Raises Permanent (`path_conflict`) if it has a field of the new name."""
    if not isinstance(value, dict) or old not in value or old == new:
        return value
    if new in value:
        raise Permanent("path_conflict", f"{place} already has a field {new!r}")
    return {new if key == old else key: item for key, item in value.items()}


class Flatten(Settings, Step):
    """A path to an object. Values in nested objects and lists get names such as `a.b.0.c`; empty ones stay."""

    summary: ClassVar[str] = "Flatten an object to one level, with names such as a.b.0.c."
    example: ClassVar[Example] = Example(
        settings="data",
        before={"user": {"name": "Ada", "tags": ["a", "b"]}, "none": {}},
        after={"user.name": "Ada", "user.tags.0": "a", "user.tags.1": "b", "none": {}},
    )

    whole: Annotated[str, verified_by(paths.verify_data_path)]

    def prepare(self) -> None:
        self._path = paths.parse_path(self.whole)
        self._missing = paths.MissingPaths()

    def removes(self) -> tuple[str, ...]:
        return (self.whole,)

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        return self._missing.updated(event, [(self._path, self._path, _flatten_value)], "nothing is flattened there")


def _flatten_value(value: paths.MaybeJson, place: str) -> paths.MaybeJson:
    if value is None or isinstance(value, paths.Missing):
        return value
    if not isinstance(value, dict):
        raise Permanent("path_conflict", f"{place} is {kind_of(value)}, not an object")
    flat: dict[str, Json] = {}
    _flatten(value, "", flat, Room(), place)
    return flat


def _flatten(value: Mapping[str, Json], prefix: str, flat: dict[str, Json], room: Room, place: str) -> None:
    """Add the values to `flat`, by names that begin with the prefix. Raises Permanent."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        # The items of a list are like fields with numbers for names.
        fields = {str(number): each for number, each in enumerate(item)} if isinstance(item, list) else item
        if isinstance(fields, dict) and fields:
            _flatten(fields, f"{name}.", flat, room, place)
        elif name in flat:
            raise Permanent("path_conflict", f"{place} has two fields that would get the same name")
        else:
            room.take(len(name))
            flat[name] = item
