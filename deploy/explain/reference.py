"""The reference that commands print: the steps and the kinds of destinations, in a list or in full.

The texts about settings come from the docstrings of their models.
"""

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from types import ModuleType
from typing import Final

import yaml
from pydantic import BaseModel, ValidationError

from deploy.config.sections import destination
from deploy.config.sections.kinds import destination_kinds, kind_summary, settings_model
from deploy.explain.rendering import body_value
from deploy.terminal.output import BOLD, DIM, Screen, listing_lines
from functions.notify import http_kind, own_kinds
from functions.notify.examples import example_request
from functions.notify.kind_settings import KindSettings
from functions.transform import step_classes, verifying
from functions.transform.step import AskingStep, Example, Settings, Step
from shared import errors
from shared.config import values
from shared.jsontext import Json, JsonObject

WIDTH: Final = 100
"""The characters of a line of prose."""
PAGE: Final = "functions/notify/README.md"
EXAMPLES_FOLDER: Final = Path(__file__).parent / "destination_examples"
_BASE_CLASSES: Final = (Settings, KindSettings)
"""The classes whose docstrings are for those who write a step or a kind."""


def setting_texts(model: type[Settings] | type[BaseModel] | type[Step]) -> Iterator[str]:
    """Yield the docstrings of the model or step, of the settings that it shares, and of its short form's model."""
    inner = (_inner(model),) if issubclass(model, BaseModel) else ()
    for part in dict.fromkeys((*model.__mro__, *inner)):
        describes_settings = part not in _BASE_CLASSES and not part.__module__.startswith("pydantic")
        text = vars(part).get("__doc__")
        if describes_settings and issubclass(part, Settings | BaseModel) and isinstance(text, str):
            yield inspect.cleandoc(text)


def _inner(model: type[BaseModel]) -> type[BaseModel]:
    """Return the model of the settings if `model` is a RootModel, which also accepts a short form; else `model`."""
    root = model.model_fields.get("root")
    inner = root.annotation if root else None
    return inner if inspect.isclass(inner) and issubclass(inner, BaseModel) else model


def undocumented_settings(model: type[BaseModel], documentation: str) -> Iterator[str]:
    """Yield the settings that no docstring names, which an operator's own step may have."""
    fields = {field.alias or name: field for name, field in _inner(model).model_fields.items() if name != "root"}
    undocumented = {
        name: field for name, field in fields.items() if not re.search(rf"\b{re.escape(name)}\b", documentation)
    }
    width = max(map(len, undocumented), default=0)
    for name, field in undocumented.items():
        default = "required" if field.is_required() else f"default: {json.dumps(field.default, default=str)}"
        yield f"{name.ljust(width)}  {'; '.join(filter(None, (field.description, default)))}"


# Steps


def step_listing(own: step_classes.StepClasses, screen: Screen) -> Iterator[str]:
    """Yield the families of steps, with one line for each step."""
    groups = [*step_classes.families(), ("Your own steps.", own)]
    summaries = [
        (heading, {name: each.summary for name, each in models.items()}) for heading, models in groups if models
    ]
    yield from listing_lines(summaries, screen)
    yield "`hookchain steps NAME` shows a step's settings and an example."


def step_page(name: str, step: type[Step], screen: Screen) -> Iterator[str]:
    yield screen.coloured(name, BOLD) + f": {step.summary}"
    texts = list(setting_texts(step))
    for text in texts:
        yield from ("", *text.splitlines())
    if others := list(undocumented_settings(verifying.settings_model(step), " ".join(texts))):
        yield from ("", *others)
    if issubclass(step, AskingStep):
        yield from ("", "It reads something besides the event: a secret, another system, or earlier events.")
    yield from ("", screen.coloured("Example", DIM))
    yield from _example(name, step.example)


def step_document(name: str, step: type[Step]) -> JsonObject:
    example = step.example
    after: Json = {"stops": example.stops} if example.stops else example.after
    return {
        "name": name,
        "summary": step.summary,
        "settings": verifying.settings_model(step).model_json_schema(),
        "example": {"settings": example.settings, "before": example.before, "after": after},
    }


def _example(name: str, example: Example) -> Iterator[str]:
    yield from _indented(yaml.safe_dump({"steps": [{name: example.settings}]}, sort_keys=False, allow_unicode=True))
    yield f"  before    {json.dumps(example.before, ensure_ascii=False)}"
    yield f"  after     {_result_text(example)}"
    for attribute, value in example.attributes.items():
        yield f"  {attribute.ljust(8)}  {value}"


def _result_text(example: Example) -> str:
    if example.stops:
        return f"nothing: the event is filtered ({example.stops})"
    to = f", which continues in the chain {example.leads_to!r}" if example.leads_to else ""
    variation = ", for example: the value differs each time" if example.varies else ""
    return json.dumps(example.after, ensure_ascii=False) + to + variation


def _indented(text: str) -> Iterator[str]:
    yield from (f"  {line}" for line in text.splitlines())


# Kinds of destinations


def known_kinds(own: own_kinds.OwnKinds) -> list[str]:
    return [*destination_kinds(), *own]


def kind_listing(own: own_kinds.OwnKinds, screen: Screen) -> Iterator[str]:
    """Yield one line for each kind."""
    groups = [("Kinds of destinations.", destination_kinds()), ("Your own kinds.", tuple(own))]
    summaries = [(heading, {kind: kind_summary(kind, own) for kind in kinds}) for heading, kinds in groups if kinds]
    yield from listing_lines(summaries, screen)
    yield "`hookchain destinations NAME` shows a kind's settings and examples."


def kind_page(kind: str, own: own_kinds.OwnKinds, screen: Screen) -> Iterator[str]:
    """Yield the settings and the examples of one kind."""
    model = settings_model(kind, own)
    yield screen.coloured(kind, BOLD) + f": {kind_summary(kind, own)}"
    texts = list(setting_texts(model))
    for text in texts:
        if lines := text.splitlines()[1:]:  # the first line of a kind is its summary
            yield from ("", *(lines if lines[0] else lines[1:]))
    if others := list(undocumented_settings(model, " ".join(texts))):
        yield from ("", *others)
    names = ", ".join(destination.DestinationConfig.model_fields)
    yield from ("", *wrap(f"Beside its kind, every destination can have: {names}. See {PAGE}.", WIDTH))
    if examples := kind_examples(kind, own):
        yield from ("", "The examples are about an event `order.created` from the source `shop`.")
    for example in examples:
        yield from ("", screen.coloured("Example", DIM), *_destination(kind, example.settings))
        yield f"  data      {_json(example.data)}"
        yield from _request_lines(example)
    if settings := _example_settings(model):
        yield from ("", screen.coloured("Example", DIM), *_destination(kind, settings))


def kind_document(kind: str, own: own_kinds.OwnKinds) -> JsonObject:
    """Return what `kind_page` shows as one JSON document."""
    model = settings_model(kind, own)
    examples: list[Json] = [
        {"settings": each.settings, "data": each.data, "method": each.method, "url": each.url, "body": each.body}
        for each in kind_examples(kind, own)
    ]
    if settings := _example_settings(model):
        examples.append({"settings": settings})
    return {
        "name": kind,
        "summary": kind_summary(kind, own),
        "settings": model.model_json_schema(),
        "examples": examples,
    }


def _example_settings(model: type[BaseModel]) -> JsonObject | None:
    """Return the settings that the model of a kind without requests has as its example; None if it has none."""
    example = getattr(model, "example", None)
    return example if isinstance(example, dict) else None


def example_faults(module: ModuleType, example: http_kind.HttpExample) -> list[str]:
    """Return how an example differs from the request that a kind's module makes of it; nothing if it is correct."""
    try:
        request = example_request(module, example)
    except ValidationError as error:
        return [f"its settings: {values.fault_text(detail)}" for detail in error.errors()]
    except errors.Permanent as error:
        return [error.detail]
    headers = {name.lower(): value for name, value in request.headers}
    expected: list[tuple[str, Json, Json]] = [
        ("method", example.method, request.method),
        ("url", example.url, request.url),
        ("body", example.body, body_value(request, as_text=isinstance(example.body, str))),
    ]
    expected += [(f"header {name}", value, headers.get(name)) for name, value in example.headers.items()]
    return [
        line
        for name, written, made in expected
        if written != made
        for line in (f"- {name}: {_json(written)}", f"+ {name}: {_json(made)}")
    ]


def kind_examples(kind: str, own: own_kinds.OwnKinds) -> Sequence[http_kind.HttpExample]:
    """Return the examples of a kind that speaks HTTP: an own kind has them in its module, any other in a file here."""
    if kind in own:
        examples: Sequence[http_kind.HttpExample] = own[kind].EXAMPLES
        return examples
    file = EXAMPLES_FOLDER / f"{kind}.yaml"
    return [http_kind.HttpExample(**each) for each in yaml.safe_load(file.read_bytes())] if file.exists() else []


def _destination(kind: str, settings: Json) -> Iterator[str]:
    document = {"destinations": {"example": {kind: settings}}}
    yield from _indented(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100))


def _request_lines(example: http_kind.HttpExample) -> Iterator[str]:
    yield f"  request   {example.method} {example.url}"
    yield from (f"            {name}: {value}" for name, value in example.headers.items())
    first, *more = (example.body if isinstance(example.body, str) else _json(example.body)).splitlines() or [""]
    yield f"  body      {first}"
    yield from (f"            {line}" for line in more)


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
