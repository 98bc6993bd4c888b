"""Shape: what an event holds, and under which names."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PrivateAttr, RootModel

from functions.transform.attributes import with_attribute
from functions.transform.expressions import kind_of
from functions.transform.fields import readable
from functions.transform.output import Room
from functions.transform.paths import Every, Part, Path, later_places_first, parse_path, without
from functions.transform.step import Example, Step, StepContext
from functions.transform.updates import MISSING, Place, update
from shared.config.values import listed
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json


def _droppable(text: str) -> str:
    path = parse_path(text)
    if path.root == "type":
        raise ValueError("an event always has its 'type'")
    return text if path.root != "data" else _in_data(text)


def _in_data(text: str) -> str:
    if not parse_path(text).parts:
        raise ValueError("'data' is all there is; name what is meant in it")
    return readable(text)


def _key_path(text: str) -> str:
    if not isinstance(parse_path(_in_data(text)).parts[-1], str):
        raise ValueError(f"{text!r} ends in no name")
    return text


DropPath = Annotated[str, AfterValidator(_droppable)]
InData = Annotated[str, AfterValidator(_in_data)]
KeyPath = Annotated[str, AfterValidator(_key_path)]


class Drop(RootModel[Annotated[list[DropPath], BeforeValidator(listed), Field(min_length=1)]], Step):
    """A path, or a list of them, each as the event has it before the step. What is not there is no fault."""

    summary: ClassVar[str] = "Take out what the paths name."
    example: ClassVar[Example] = Example(
        settings=["data.password", "data.cards[*].number"],
        before={"name": "Ada", "password": "hunter2", "cards": [{"number": "4111", "kind": "visa"}]},
        after={"name": "Ada", "cards": [{"kind": "visa"}]},
    )
    model_config = ConfigDict(frozen=True)
    _paths: list[Path] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._paths = later_places_first([parse_path(text) for text in self.root])

    def apply(self, event: Event, _: StepContext) -> Event:
        data = event.data
        for path in self._paths:
            if path.root == "data":
                data = without(data, path.parts)
            else:
                event = with_attribute(event, path, None)
        return event if data is event.data else event.with_data(data)


Kept = dict[Part, "Kept | None"]


class Keep(RootModel[Annotated[list[InData], BeforeValidator(listed), Field(min_length=1)]], Step):
    """Of `data`, what a path, or a list of them, names, where it is; all else goes. The event's attributes stay."""

    summary: ClassVar[str] = "Keep what the paths name and take out the rest of the data."
    example: ClassVar[Example] = Example(
        settings=["data.name", "data.cards[*].kind"],
        before={"name": "Ada", "password": "hunter2", "cards": [{"number": "4111", "kind": "visa"}]},
        after={"name": "Ada", "cards": [{"kind": "visa"}]},
    )
    model_config = ConfigDict(frozen=True)
    _kept: "Kept" = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._kept = {}
        for text in self.root:
            _grow(self._kept, parse_path(text).parts)

    def apply(self, event: Event, _: StepContext) -> Event:
        return event.with_data(_of(event.data, self._kept))


def _grow(tree: "Kept", parts: tuple[Part, ...]) -> None:
    """`None` keeps all that is below."""
    first, rest = parts[0], parts[1:]
    if not rest:
        tree[first] = None
    elif (below := tree.setdefault(first, {})) is not None:
        _grow(below, rest)


def _of(value: Json, tree: "Kept") -> Json:
    if isinstance(value, dict):
        return {key: _below(item, tree[key]) for key, item in value.items() if key in tree}
    if not isinstance(value, list):
        return None
    every = Every()
    if every in tree:
        return [_below(item, tree[every]) for item in value]
    return [_below(item, tree[number]) for number, item in enumerate(value) if number in tree]


def _below(value: Json, tree: "Kept | None") -> Json:
    return value if tree is None else _of(value, tree)


def _no_path(name: str) -> str:
    if re.match(r"data[.\[]", name):
        raise ValueError(f"{name!r} is a path, and a new name is none: the thing stays where it is")
    return name


NewName = Annotated[str, Field(min_length=1), AfterValidator(_no_path)]


class Rename(RootModel[Annotated[dict[KeyPath, NewName], Field(min_length=1)]], Step):
    """`path: new name`: the thing stays where it is. What is not there is no fault."""

    summary: ClassVar[str] = "Give fields other names, each where it is."
    example: ClassVar[Example] = Example(
        settings={"data.mail": "email", "data.items[*].qty": "quantity"},
        before={"mail": "ada@example.com", "items": [{"qty": 2}, {"sku": "B"}]},
        after={"email": "ada@example.com", "items": [{"quantity": 2}, {"sku": "B"}]},
    )
    model_config = ConfigDict(frozen=True)
    _names: list[tuple[Path, str, str]] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._names = []
        for text, name in self.root.items():
            path = parse_path(text)
            self._names.append((Path(path.text, path.root, path.parts[:-1]), str(path.parts[-1]), name))

    def apply(self, event: Event, _: StepContext) -> Event:
        for parent, old, new in self._names:
            event = update(event, parent, partial(_renamed, old, new))
        return event


def _renamed(old: str, new: str, value: Place, place: str) -> Place:
    if not isinstance(value, dict) or old not in value or old == new:
        return value
    if new in value:
        raise Permanent("path", f"{place} has a {new!r} already")
    return {new if key == old else key: item for key, item in value.items()}


class Flatten(RootModel[Annotated[str, AfterValidator(readable)]], Step):
    """The object there, with a single level: `a.b.0.c` for what lay in objects and lists. Empty ones stay."""

    summary: ClassVar[str] = "Make one level of an object: a.b.0.c for what lay deeper."
    example: ClassVar[Example] = Example(
        settings="data",
        before={"user": {"name": "Ada", "tags": ["a", "b"]}, "none": {}},
        after={"user.name": "Ada", "user.tags.0": "a", "user.tags.1": "b", "none": {}},
    )
    model_config = ConfigDict(frozen=True)
    _path: Path = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._path = parse_path(self.root)

    def apply(self, event: Event, _: StepContext) -> Event:
        return update(event, self._path, _flat)


def _flat(value: Place, place: str) -> Place:
    if value is MISSING or value is None:
        return value
    if not isinstance(value, dict):
        raise Permanent("path", f"{place} is {kind_of(value)}, not an object")  # type: ignore[arg-type] # not missing
    flat: dict[str, Json] = {}
    _flatten(value, "", flat, Room(), place)
    return flat


def _flatten(value: Mapping[str, Json], prefix: str, flat: dict[str, Json], room: Room, place: str) -> None:
    for key, item in value.items():
        name = f"{prefix}{key}"
        inner = {str(number): each for number, each in enumerate(item)} if isinstance(item, list) else item
        if isinstance(inner, dict) and inner:
            _flatten(inner, f"{name}.", flat, room, place)
        elif name in flat:
            raise Permanent("path", f"{place} has two fields that would have one name")
        else:
            room.take(len(name))
            flat[name] = item
