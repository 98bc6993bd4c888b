"""Compose: new data out of what an event holds, text out of templates, several events out of one."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, RootModel

from functions.transform.attributes import with_attribute
from functions.transform.expression_text import ExpressionText
from functions.transform.output import verify_output, verify_several
from functions.transform.paths import Path, parse_path, without
from functions.transform.places import ReadPath, put
from functions.transform.step import Example, Many, Step, StepContext
from functions.transform.steps.values import SetPath, placed
from functions.transform.updates import value_at
from shared.config.values import listed
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.expressions import Expression, kind_of
from shared.jsontext import Json, JsonObject

if TYPE_CHECKING:
    from shared.templates import Template as Compiled


class Map(RootModel[ExpressionText], Step):
    """What the JMESPath expression over the event finds is the data."""

    summary: ClassVar[str] = "Compute new data with a JMESPath expression over the event."
    example: ClassVar[Example] = Example(
        settings="{who: data.user.name, skus: data.items[].sku}",
        before={"user": {"name": "Ada"}, "items": [{"sku": "A"}, {"sku": "B"}]},
        after={"who": "Ada", "skus": ["A", "B"]},
    )
    model_config = ConfigDict(frozen=True)
    _expression: Expression = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._expression = Expression(self.root)

    def apply(self, event: Event, _: StepContext) -> Event:
        return event.with_data(self._expression.search(view_of(event)))


class Template(RootModel[Annotated[dict[SetPath, str], Field(min_length=1)]], Step):
    """`path: text with {{ data.name }}` in Jinja2, sandboxed. What a template names must be there, or have a default.

    Every text is made from the event as it is before the step.
    """

    summary: ClassVar[str] = "Fill Jinja2 templates from the event and set paths to the texts."
    example: ClassVar[Example] = Example(
        settings={
            "data.text": "{{ data.user }} pushed {{ data.commits | length }} commits",
            "subject": "{{ data.branch | default('main') }}",
        },
        before={"user": "ada", "commits": ["a", "b"]},
        after={"user": "ada", "commits": ["a", "b"], "text": "ada pushed 2 commits"},
        attributes={"subject": "main"},
    )
    extras: ClassVar[tuple[str, ...]] = ("templates",)
    model_config = ConfigDict(frozen=True)
    _templates: "list[tuple[Path, Compiled]]" = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        from shared.event import NAMES
        from shared.templates import Template as Compiled
        from shared.templates import TemplateFault

        known = frozenset(NAMES)
        self._templates = []
        for path, text in self.root.items():
            try:
                self._templates.append((parse_path(path), Compiled(path, text, known=known)))
            except TemplateFault as fault:
                raise ValueError(f"{path}: {fault}") from fault

    def apply(self, event: Event, _: StepContext) -> Event:
        view = view_of(event)
        data = event.data
        for path, template in self._templates:
            text = template.render(view)
            if path.root == "data":
                data = placed(data, path, text)
            else:
                event = with_attribute(event, path, text)
        return event.with_data(data)


class Merge(BaseModel, Step):
    """Objects from paths, one after the other, into the one at `into`: objects go into each other, and of anything else
    the last counts. What is not there, or null, adds nothing."""

    summary: ClassVar[str] = "Merge objects, however deep, into one; of other values the last counts."
    example: ClassVar[Example] = Example(
        settings={"from": ["data.card"], "into": "data"},
        before={"id": 7, "labels": {"a": 1}, "card": {"name": "Ada", "labels": {"b": 2}}},
        after={"id": 7, "labels": {"a": 1, "b": 2}, "card": {"name": "Ada", "labels": {"b": 2}}, "name": "Ada"},
    )
    model_config = ConfigDict(frozen=True, extra="forbid")

    from_: Annotated[list[ReadPath], BeforeValidator(listed)] = Field(alias="from", min_length=1)
    into: ReadPath = "data"
    _from: list[Path] = PrivateAttr()
    _into: Path = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._from = [parse_path(text) for text in self.from_]
        self._into = parse_path(self.into)

    def apply(self, event: Event, _: StepContext) -> Event:
        both: JsonObject = {}
        for path in (self._into, *self._from):
            value = value_at(event.data, path.parts)
            if value is not None and not isinstance(value, dict):
                raise Permanent("path", f"{path.text} is {kind_of(value)}, not an object")
            both = merged(both, value or {})
        return put(event, self._into, both)


def merged(base: JsonObject, over: JsonObject) -> JsonObject:
    both = {**base, **over}
    for key in base.keys() & over.keys():
        first, second = base[key], over[key]
        if isinstance(first, dict) and isinstance(second, dict):
            both[key] = merged(first, second)
    return both


def _split(settings: object) -> object:
    return {"path": settings} if isinstance(settings, str) else settings


class SplitSettings(BaseModel):
    """`into` names where each item goes, beside all else that the data holds; without it the item is the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: ReadPath
    into: ReadPath | None = None


class Split(
    RootModel[Annotated[SplitSettings, BeforeValidator(_split, json_schema_input_type=str | SplitSettings)]], Step
):
    """`path`, or `{path, into}`: each item of the list there goes on as an event of its own. A thing that is no list
    is one item; where nothing is there, nothing goes on."""

    summary: ClassVar[str] = "Make an event of each item of a list; each goes on through the rest."
    example: ClassVar[Example] = Example(
        settings={"path": "data.commits", "into": "data.commit"},
        before={"repository": "hookchain", "commits": [{"id": "a"}, {"id": "b"}]},
        after=[
            {"repository": "hookchain", "commit": {"id": "a"}},
            {"repository": "hookchain", "commit": {"id": "b"}},
        ],
    )
    model_config = ConfigDict(frozen=True)
    _path: Path = PrivateAttr()
    _into: Path | None = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._path = parse_path(self.root.path)
        self._into = None if self.root.into is None else parse_path(self.root.into)

    def apply(self, event: Event, _: StepContext) -> Many:
        found = value_at(event.data, self._path.parts)
        items = found if isinstance(found, list) else [] if found is None else [found]
        verify_several(len(items))
        if self._into is None:
            return Many(tuple(event.with_data(item) for item in items))
        rest: Json = without(event.data, self._path.parts) if self._path.parts else {}
        verify_several(len(items), len(items) * verify_output(rest))  # each has a copy of it
        return Many(tuple(event.with_data(placed(rest, self._into, item)) for item in items))
