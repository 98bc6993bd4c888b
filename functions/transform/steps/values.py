"""Values: given, computed from the event, or made of another kind."""

from functools import partial
from typing import Annotated, ClassVar, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, PrivateAttr, RootModel

from functions.transform.attributes import with_attribute
from functions.transform.expression_text import over_event
from functions.transform.paths import Path, Unplaceable, parse_path, with_value
from functions.transform.places import ReadPath
from functions.transform.step import Example, Step, StepContext
from functions.transform.updates import Missing, Place, update
from shared.casting import CASTS, Kind
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.expressions import Expression, kind_of
from shared.jsontext import Json, JsonObject


def _settable(text: str) -> str:
    parse_path(text)
    return text


SetPath = Annotated[str, AfterValidator(_settable)]


class Value(NamedTuple):
    """What goes to a path: computed where there is an expression, else as it is given."""

    path: Path
    expression: Expression | None
    given: Json

    def in_view(self, view: JsonObject) -> Json:
        return self.expression.search(view) if self.expression else self.given


class Set(RootModel[Annotated[dict[SetPath, JsonValue], Field(min_length=1)]], Step):
    """`path: value`, or `path: {from: <JMESPath over the event>}` for a value that is computed.

    Every value is computed from the event as it is before the step; then they are set in their order.
    """

    summary: ClassVar[str] = "Set paths to values, given or computed from the event."
    example: ClassVar[Example] = Example(
        settings={"data.team": "north", "data.email": {"from": "data.user.mail"}, "subject": {"from": "data.user.id"}},
        before={"user": {"id": 7, "mail": "ada@example.com"}},
        after={"user": {"id": 7, "mail": "ada@example.com"}, "team": "north", "email": "ada@example.com"},
        attributes={"subject": "7"},
    )
    model_config = ConfigDict(frozen=True)
    _values: list[Value] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._values = [Value(parse_path(text), computed(value), value) for text, value in self.root.items()]

    def apply(self, event: Event, _: StepContext) -> Event:
        view = view_of(event)
        data = event.data
        for each in self._values:
            if each.path.root == "data":
                data = placed(data, each.path, each.in_view(view))
            else:
                event = with_attribute(event, each.path, each.in_view(view))
        return event.with_data(data)


def computed(value: Json) -> Expression | None:
    if isinstance(value, dict) and value.keys() == {"from"} and isinstance(value["from"], str):
        return over_event(value["from"])
    return None


def placed(data: Json, path: Path, value: Json) -> Json:
    try:
        return with_value(data, path.parts, value)
    except Unplaceable as error:
        raise Permanent("path", f"{path.text!r}: {error}") from error


class Default(RootModel[Annotated[dict[ReadPath, JsonValue], Field(min_length=1)]], Step):
    """As `set`, but only where nothing is there, or null."""

    summary: ClassVar[str] = "Set paths where nothing is there, or null."
    example: ClassVar[Example] = Example(
        settings={"data.country": "DE", "data.items[*].count": 1, "data.name": {"from": "data.user.login"}},
        before={"country": None, "items": [{}, {"count": 3}], "name": "Ada", "user": {"login": "ada"}},
        after={"country": "DE", "items": [{"count": 1}, {"count": 3}], "name": "Ada", "user": {"login": "ada"}},
    )
    model_config = ConfigDict(frozen=True)
    _values: list[Value] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._values = [Value(parse_path(text), computed(value), value) for text, value in self.root.items()]

    def apply(self, event: Event, _: StepContext) -> Event:
        view = view_of(event)
        for each in self._values:
            event = update(event, each.path, partial(_or_default, each.in_view(view)))
        return event


def _or_default(value: Json, there: Place, _: str) -> Place:
    return value if there is None or isinstance(there, Missing) else there


class Cast(RootModel[Annotated[dict[ReadPath, Kind], Field(min_length=1)]], Step):
    """`path: text | integer | number | boolean | list`. Null stays null, and what is not there is no fault.

    `list` makes a list of one of what is none, as XML gives an element that could be repeated.
    """

    summary: ClassVar[str] = "Make values text, integers, numbers, booleans or lists; refuse what is none."
    example: ClassVar[Example] = Example(
        settings={"data.age": "integer", "data.vip": "boolean", "data.id": "text", "data.tags": "list"},
        before={"age": "42", "vip": "yes", "id": 7, "tags": "new"},
        after={"age": 42, "vip": True, "id": "7", "tags": ["new"]},
    )
    model_config = ConfigDict(frozen=True)
    _kinds: list[tuple[Path, Kind]] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._kinds = [(parse_path(text), kind) for text, kind in self.root.items()]

    def apply(self, event: Event, _: StepContext) -> Event:
        for path, kind in self._kinds:
            event = update(event, path, partial(_cast, kind))
        return event


def _cast(kind: Kind, value: Place, place: str) -> Place:
    if value is None or isinstance(value, Missing):
        return value
    try:
        return CASTS[kind](value)
    except ValueError:
        raise Permanent("cast", f"{place} is {kind_of(value)} that is no {kind}") from None
