"""Composition: compute data, fill templates, merge objects, split an event.

Each class is a step. Its annotated attributes are its settings; `whole` stands for a step whose settings are one value,
as in `map: data.order`. `short_form` is the setting that a text sets alone: `split: data.commits` is `split: {path:
data.commits}`. step.py describes the other class attributes and the methods.
"""

from typing import Annotated, ClassVar, Final

from functions.transform import output, paths
from functions.transform.step import Example, Many, Noted, Settings, Step, StepContext, Stop
from functions.transform.steps.shape import without
from shared import errors, expressions
from shared.config.rules import LISTED, limits, verified_by
from shared.event import NAMES, Event, view_of
from shared.jsontext import Json, JsonObject, kind_of
from shared.writers.writing import is_field_name


class Map(Settings, Step):
    """A JMESPath expression over the event. Its result becomes the data."""

    summary: ClassVar[str] = "Compute new data with a JMESPath expression over the event."
    example: ClassVar[Example] = Example(
        settings="{who: data.user.name, skus: data.items[].sku}",
        before={"user": {"name": "Ada"}, "items": [{"sku": "A"}, {"sku": "B"}]},
        after={"who": "Ada", "skus": ["A", "B"]},
    )

    whole: paths.ExpressionText

    def prepare(self) -> None:
        self._expression = expressions.Expression(self.whole)
        self._sources = _path_of_keys(self._expression)
        self._missing = paths.MissingPaths()

    def removes(self) -> tuple[str, ...]:
        return ("data",)

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        data = self._expression.search(view_of(event))
        after = event.with_data(data)
        if not isinstance(data, dict):
            return after
        # If a key is null because the path that it reads is missing, a note says so.
        sources = [path for key, path in self._sources.items() if data.get(key) is None]
        return self._missing.noted(after, event, sources, "null is set")


def _path_of_keys(expression: expressions.Expression) -> dict[str, paths.Path]:
    """Return the paths that an expression such as `{name: data.user.name}` reads, by its keys.

    A key whose value is computed is left out, and so is every key of an expression of another form.
    """
    pairs = expression.tree["children"] if expression.tree["type"] == "multi_select_dict" else []
    paths_by_key: dict[str, paths.Path] = {}
    for pair in pairs:
        [value_node] = pair["children"]
        if path := paths.path_of(value_node):
            paths_by_key[str(pair["value"])] = path
    return paths_by_key


class Template(Settings, Step):
    """`path: template` for each path to set. Templates are Jinja2, such as `{{ data.name }}`, in a sandbox.

    A field that a template names must exist, or have a default. All texts are made from the event before the step.
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

    whole: Annotated[dict[paths.AnyPath, str], limits(min_length=1)]

    def prepare(self) -> None:
        # Imported here, because Jinja2 is an extra.
        from shared.templating.template import Template as Compiled, TemplateFault

        known = frozenset(NAMES)
        self._templates = []
        for path, text in self.whole.items():
            try:
                self._templates.append((paths.parse_path(path), Compiled(path, text, known=known)))
            except TemplateFault as fault:
                raise ValueError(f"{path}: {fault}") from fault

    def apply(self, event: Event, _: StepContext) -> Event:
        view = view_of(event)
        data = event.data
        for path, template in self._templates:
            text = template.render(view)
            if path.root == "data":
                data = paths.with_value(data, path.parts, text)
            else:
                event = paths.with_attribute(event, path, text)
        return event.with_data(data)


class Merge(Settings, Step):
    """Merge objects, one after the other, into the object at `into`.

    Objects are merged into each other at every level; of other values the last one counts. A missing object, or null,
    adds nothing.

    from  one path, or a list
    into  the object to merge into (default: all of `data`)
    """

    summary: ClassVar[str] = "Merge objects, at every level, into one; of other values the last one counts."
    example: ClassVar[Example] = Example(
        settings={"from": ["data.card"], "into": "data"},
        before={"id": 7, "labels": {"a": 1}, "card": {"name": "Ada", "labels": {"b": 2}}},
        after={"id": 7, "labels": {"a": 1, "b": 2}, "card": {"name": "Ada", "labels": {"b": 2}}, "name": "Ada"},
    )
    from_: Annotated[list[paths.SingleDataPath], LISTED, limits(min_length=1)]
    into: paths.SingleDataPath = "data"

    def prepare(self) -> None:
        self._from = [paths.parse_path(text) for text in self.from_]
        self._into = paths.parse_path(self.into)
        self._missing = paths.MissingPaths()

    def apply(self, event: Event, _: StepContext) -> Event | Noted:
        result: JsonObject = {}
        for path in (self._into, *self._from):
            value = paths.find_value(event.data, path.parts)
            if value is not None and not isinstance(value, dict):
                raise errors.Permanent("path_conflict", f"{path.text} is {kind_of(value)}, not an object")
            result = merge(result, value or {})
        merged = paths.put(event, self._into, result)
        return self._missing.noted(merged, event, self._from, "nothing is merged")


def merge(base: JsonObject, over: JsonObject) -> JsonObject:
    """Return the fields of both objects. Of a field of both, objects are merged; else the value of `over` counts."""
    merged = {**base, **over}
    for key in base.keys() & over.keys():
        base_value, over_value = base[key], over[key]
        if isinstance(base_value, dict) and isinstance(over_value, dict):
            merged[key] = merge(base_value, over_value)
    return merged


_EVERY_ITEM: Final = "[*]"


def _verify_list_path(text: str) -> str:
    """Return the path of one list in `data`, which may end in `[*]`. Raises ValueError for any other."""
    paths.verify_data_path(text)
    paths.verify_single(text.removesuffix(_EVERY_ITEM))
    return text


class Split(Settings, Step):
    """A path, or `{path, into}`: each item of the list continues as an event of its own, `<id>-1`, `<id>-2` …

    A value that is not a list is one item. If there is nothing at the path, the event ends here.

    path  the list, also as `data.items[*]`. A list in each item of a list takes two steps: `split: data.orders`, then
          `split: data.lines`
    into  where each item goes, beside the rest of the data (default: the item becomes the data)
    """

    summary: ClassVar[str] = "Make an event of each item of a list; each continues through the rest of the chain."
    example: ClassVar[Example] = Example(
        settings={"path": "data.commits", "into": "data.commit"},
        before={"repository": "hookchain", "commits": [{"id": "a"}, {"id": "b"}]},
        after=[
            {"repository": "hookchain", "commit": {"id": "a"}},
            {"repository": "hookchain", "commit": {"id": "b"}},
        ],
    )

    short_form: ClassVar[str] = "path"

    path: Annotated[str, verified_by(_verify_list_path)]
    into: paths.DataPath | None = None

    def prepare(self) -> None:
        self._path = paths.parse_path(self.path.removesuffix(_EVERY_ITEM))
        self._into = None if self.into is None else paths.parse_path(self.into)
        self._missing = paths.MissingPaths()

    def removes(self) -> tuple[str, ...]:
        return (self.path if self.into else "data",)

    def apply(self, event: Event, context: StepContext) -> Many | Stop:
        value = paths.find_value(event.data, self._path.parts)
        if value is None:
            missing = self._missing.note(event.data, [self._path])
            return Stop(f"the event has nothing at {self.path}", missing=f"; {missing}" if missing else "")
        if isinstance(value, list):
            items, note = value, ""
        else:
            items, note = [value], _single_item_note(self.path, value, context.original)
        if self._into is None:
            output.verify_events(len(items))
            return Many(tuple(event.with_data(item) for item in items), note)
        rest: Json = without(event.data, self._path.parts) if self._path.parts else {}
        # Each event has a copy of the rest of the data, so all copies together count.
        output.verify_events(len(items), characters=len(items) * output.count_characters(rest))
        data_of_events = [paths.with_value(rest, self._into.parts, item) for item in items]
        return Many(tuple(map(event.with_data, data_of_events)), note)


def _single_item_note(path: str, value: Json, original: Event) -> str:
    """Return a note that the value is not a list, and which field in it is one.

    The note is empty for an element of XML, because only a repeated element is a list.
    """
    fields = value if isinstance(value, dict) else {}
    names_of_lists = [key for key, item in fields.items() if isinstance(item, list)]
    if not names_of_lists and "xml" in (original.rawtype or ""):
        return ""
    note = f"{path} is {kind_of(value)} and not a list, so it makes one event"
    for name in names_of_lists:
        # A name that is not short and plain could be any text that a sender chooses, so a note must not show it.
        if is_field_name(name):
            path_of_list = f"{path}.{name}"
            return f"{note}; did you mean {path_of_list!r}, which is a list?"
    return note
