"""Steps that change what an event holds."""

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, PrivateAttr, RootModel

from functions.transform.paths import Path, Unplaceable, later_places_first, parse_path, with_value, without
from functions.transform.step import Example, Step, StepContext
from shared.errors import Permanent
from shared.event import Event, attribute_text
from shared.event_view import view_of
from shared.expressions import Expression, kind_of
from shared.jsontext import Json, to_json


def _droppable(text: str) -> str:
    path = parse_path(text)
    if path.root == "type":
        raise ValueError("an event always has its 'type'")
    if path.root == "data" and not path.parts:
        raise ValueError("'data' is all there is; name what to drop in it")
    return text


def _settable(text: str) -> str:
    parse_path(text)
    return text


DropPath = Annotated[str, AfterValidator(_droppable)]
SetPath = Annotated[str, AfterValidator(_settable)]


class Drop(RootModel[Annotated[list[DropPath], Field(min_length=1)]], Step):
    """The listed paths, each as the event has it before the step. What is not there is no fault."""

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
                event = _with_attribute(event, path, None)
        return event if data is event.data else event.with_data(data)


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
    _values: list[tuple[Path, Expression | None, Json]] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._values = [(parse_path(text), _computed(value), value) for text, value in self.root.items()]

    def apply(self, event: Event, _: StepContext) -> Event:
        view = view_of(event)
        data = event.data
        for path, expression, literal in self._values:
            value = expression.search(view) if expression else literal
            if path.root == "data":
                data = _placed(data, path, value)
            else:
                event = _with_attribute(event, path, value)
        return event.with_data(data)


def _computed(value: Json) -> Expression | None:
    if isinstance(value, dict) and value.keys() == {"from"} and isinstance(value["from"], str):
        return Expression(value["from"])
    return None


def _placed(data: Json, path: Path, value: Json) -> Json:
    try:
        return with_value(data, path.parts, value)
    except Unplaceable as error:
        raise Permanent("path", f"{path.text!r}: {error}") from error


def _with_attribute(event: Event, path: Path, value: Json) -> Event:
    if isinstance(value, list | dict):
        raise Permanent("path", f"{path.text!r} is text; found {kind_of(value)}")
    text = attribute_text(value if isinstance(value, str) else to_json(value)) if value is not None else ""
    if path.root == "type":
        if not text:
            raise Permanent("path", "'type' cannot be empty")
        return replace(event, type=text)
    return replace(event, subject=text or None) if path.root == "subject" else replace(event, actor=text or None)
