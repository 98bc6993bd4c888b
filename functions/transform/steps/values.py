"""Values: set them, compute them, change their kind, count them."""

import re
from functools import partial
from typing import Annotated, ClassVar, Literal, NamedTuple

from functions.transform import documents, paths
from functions.transform.step import Example, JsonSetting, Noted, Settings, Step, StepContext
from shared import casting, errors, expressions
from shared.config.rules import limits
from shared.event import Event, view_of
from shared.jsontext import Json, JsonObject, kind_of


class Value(NamedTuple):
    """A value that is set at a path.

    expression   computes the value from the event; None for a constant
    constant     the value as it is configured, which is used if there is no expression
    source       the path that the expression reads, if it does nothing else; else None
    """

    path: paths.Path
    expression: expressions.Expression | None
    constant: Json
    source: paths.Path | None

    @classmethod
    def parse(cls, path: str, value: Json) -> "Value":
        text = value.get("from") if isinstance(value, dict) and len(value) == 1 else None
        expression = expressions.over_event(text) if isinstance(text, str) else None
        source = paths.path_of(expression.tree) if expression else None
        return cls(paths.parse_path(path), expression, value, source)

    def compute(self, view: JsonObject) -> Json:
        return self.expression.search(view) if self.expression else self.constant


class Set(Settings, Step):
    """`path: value`, or `path: {from: <JMESPath over the event>}` for a computed value.

    All values are computed from the event before the step, then set in their order.
    """

    summary: ClassVar[str] = "Set paths to values, constant or computed from the event."
    example: ClassVar[Example] = Example(
        settings={"data.team": "north", "data.email": {"from": "data.user.mail"}, "subject": {"from": "data.user.id"}},
        before={"user": {"id": 7, "mail": "ada@example.com"}},
        after={"user": {"id": 7, "mail": "ada@example.com"}, "team": "north", "email": "ada@example.com"},
        attributes={"subject": "7"},
    )

    whole: Annotated[dict[paths.AnyPath, JsonSetting], limits(min_length=1)]

    def prepare(self) -> None:
        self._values = [Value.parse(path, value) for path, value in self.whole.items()]
        self._computes = any(each.expression for each in self._values)
        self._missing = paths.MissingPaths()

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        before = event
        view = view_of(event) if self._computes else {}
        data = event.data
        sources: list[paths.Path] = []
        for each in self._values:
            value = each.compute(view)
            if value is None and each.source is not None:
                sources.append(each.source)
            if each.path.root == "data":
                data = paths.with_value(data, each.path.parts, value)
            else:
                event = paths.with_attribute(event, each.path, value)
        after = event.with_data(data)
        return self._missing.noted(after, before, sources, "null is set") if sources else after


class Default(Settings, Step):
    """`path: value`, as for `set`. Only places without a value, or with null, are set."""

    summary: ClassVar[str] = "Set paths that have no value, or null."
    example: ClassVar[Example] = Example(
        settings={"data.country": "DE", "data.items[*].count": 1, "data.name": {"from": "data.user.login"}},
        before={"country": None, "items": [{}, {"count": 3}], "name": "Ada", "user": {"login": "ada"}},
        after={"country": "DE", "items": [{"count": 1}, {"count": 3}], "name": "Ada", "user": {"login": "ada"}},
    )

    whole: Annotated[dict[paths.DataPath, JsonSetting], limits(min_length=1)]

    def prepare(self) -> None:
        self._values = [Value.parse(path, value) for path, value in self.whole.items()]
        parsed = [each.path for each in self._values]
        self._objects = [paths.path_to(path.parts[:-1]) for path in parsed if len(path.parts) > 1]
        self._missing = paths.MissingPaths()

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        view = view_of(event)
        note = self._missing.note(event.data, self._objects, "it is added")
        for each in self._values:
            event = paths.update(event, each.path, partial(_or_default, each.compute(view)))
        # A missing object is what the step is for. A note says only that a similar one exists: the path may be wrong.
        return Noted(event, note) if "did you mean" in note else event


def _or_default(default: Json, value: paths.MaybeJson, _: str) -> paths.MaybeJson:
    return default if value is None or isinstance(value, paths.Missing) else value


class Cast(Settings, Step):
    """`path: text | integer | number | boolean | list`. A value that cannot be cast fails the step.

    Null and missing values stay as they are. `list` makes a list of one item of any other value, because XML gives an
    element that could be repeated only as itself.
    """

    summary: ClassVar[str] = "Cast values to text, integers, numbers, booleans or lists; reject all others."
    example: ClassVar[Example] = Example(
        settings={"data.age": "integer", "data.vip": "boolean", "data.id": "text", "data.tags": "list"},
        before={"age": "42", "vip": "yes", "id": 7, "tags": "new"},
        after={"age": 42, "vip": True, "id": "7", "tags": ["new"]},
    )

    whole: Annotated[dict[paths.DataPath, casting.Kind], limits(min_length=1)]

    def prepare(self) -> None:
        self._changes = []
        self._missing = paths.MissingPaths()
        for text, kind in self.whole.items():
            path = paths.parse_path(text)
            self._changes.append((path, path, partial(_cast, kind)))

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        return self._missing.updated(event, self._changes, "nothing is cast there")


def _cast(kind: casting.Kind, value: paths.MaybeJson, place: str) -> paths.MaybeJson:
    """Return the value as one of this kind. Raises Permanent (`cast_failed`)."""
    if value is None or isinstance(value, paths.Missing):
        return value
    try:
        return casting.CASTS[kind](value)
    except ValueError:
        rule = f"{place} is {kind_of(value)} that cannot be cast to {kind}"
        raise errors.Permanent("cast_failed", f"{rule}{_cast_hint(kind, value)}") from None


def _cast_hint(kind: casting.Kind, value: Json) -> str:
    """Return why a text that looks like a number is none; empty for any other value. The hint does not quote it."""
    if kind not in ("integer", "number") or not isinstance(value, str) or not re.search("[0-9]", value):
        return ""
    if re.fullmatch(r"\s*[+-]?[0-9]+,[0-9]+\s*", value):
        return ": it has a comma, and a number has a full stop"
    if kind == "integer" and re.fullmatch(r"\s*[+-]?[0-9]+\.[0-9]+\s*", value):
        return ": it has a fraction; cast it to number"
    if re.search(r"[^0-9eE.,+_\s-]", value):
        return ": it has other characters besides those of a number"
    return ""


class Count(paths.PathSettings, Step):
    """Replace a value with a count of what it contains.

    of  fields: of an object; all_fields: of an object and of all objects in it; items: of a list; characters: of a
        text; bytes: of a text in UTF-8, or of bytes
    """

    summary: ClassVar[str] = "Count the fields of an object, the items of a list, or the characters of a text."
    example: ClassVar[Example] = Example(
        settings={"of": "items", "path": "data.commits", "into": "data.commit_count"},
        before={"commits": ["c1", "c2", "c3"]},
        after={"commits": ["c1", "c2", "c3"], "commit_count": 3},
    )

    of: Literal["fields", "all_fields", "items", "characters", "bytes"]

    def apply(self, event: Event, _: StepContext) -> Event:
        return self.change(event, self._count)

    def _count(self, value: Json, place: str) -> Json:
        """Return the number of what `of` names. Raises Permanent (`not_countable`)."""
        match self.of:
            case "all_fields" if isinstance(value, dict | list):
                return _count_fields(value)
            case "fields" if isinstance(value, dict):
                return len(value)
            case "items" if isinstance(value, list):
                return len(value)
            case "characters" if isinstance(value, str):
                return len(value)
            case "bytes" if (content := documents.content_of(value)) is not None:
                return len(content)
        raise errors.Permanent(
            "not_countable", f"{place} is {kind_of(value)}, which has no {self.of.removeprefix('all_')}"
        )


def _count_fields(value: Json) -> int:
    """Return the number of fields of the value and of all objects in it."""
    if isinstance(value, dict):
        return len(value) + sum(map(_count_fields, value.values()))
    return sum(map(_count_fields, value)) if isinstance(value, list) else 0
