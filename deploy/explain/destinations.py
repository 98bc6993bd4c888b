"""Kinds of destinations on the command line: a list of all kinds, one kind in full, and the examples of own kinds."""

import json
from collections.abc import Iterator
from textwrap import wrap
from types import ModuleType
from typing import Final

import yaml
from pydantic import ValidationError

from deploy.config.checks.kinds import destination_kinds, kind_module_of, kind_summary, settings_model
from deploy.config.models.destination import DestinationConfig
from deploy.explain.outgoing_request import body_value
from deploy.explain.setting_texts import setting_texts, undocumented_settings
from deploy.terminal.output import BOLD, DIM, Screen, listing_lines
from functions.notify.http_kind import HttpExample, example_request
from functions.notify.registry import OwnKinds
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject

WIDTH: Final = 100
PAGE: Final = "functions/notify/README.md"


def known_kinds(own: OwnKinds) -> list[str]:
    return [*destination_kinds(), *own]


def kind_listing(own: OwnKinds, screen: Screen) -> Iterator[str]:
    """Yield one line for each kind. Raises KindFault."""
    groups = [("Kinds of destinations.", destination_kinds()), ("Your own kinds.", list(own))]
    summaries = [(heading, {kind: kind_summary(kind, own) for kind in kinds}) for heading, kinds in groups if kinds]
    yield from listing_lines(summaries, screen)
    yield "`hookchain destinations NAME` shows a kind's settings and examples."


def kind_page(kind: str, own: OwnKinds, screen: Screen) -> Iterator[str]:
    """Yield the settings and the examples of one kind. Raises KindFault."""
    model = settings_model(kind, own)
    yield screen.coloured(kind, BOLD) + f": {kind_summary(kind, own)}"
    texts = list(setting_texts(model))
    for text in texts:
        if lines := text.splitlines()[1:]:
            yield from ("", *(lines if lines[0] else lines[1:]))
    if others := list(undocumented_settings(model, " ".join(texts))):
        yield from ("", *others)
    names = ", ".join(DestinationConfig.model_fields)
    yield from ("", *wrap(f"Beside its kind, every destination can have: {names}. See {PAGE}.", WIDTH))
    if examples := _examples(kind_module_of(kind, own)):
        yield from ("", "The examples are about an event `order.created` from the source `shop`.")
    for example in examples:
        yield from ("", screen.coloured("Example", DIM), *_destination(kind, example.settings))
        yield f"  data      {_json(example.data)}"
        yield from _request_lines(example)
    if isinstance(settings := getattr(model, "example", None), dict):
        yield from ("", screen.coloured("Example", DIM), *_destination(kind, settings))


def kind_document(kind: str, own: OwnKinds) -> JsonObject:
    """Return the same as one JSON document. Raises KindFault."""
    model = settings_model(kind, own)
    examples: list[Json] = [
        {"settings": each.settings, "data": each.data, "method": each.method, "url": each.url, "body": each.body}
        for each in _examples(kind_module_of(kind, own))
    ]
    if isinstance(settings := getattr(model, "example", None), dict):
        examples.append({"settings": settings})
    return {
        "name": kind,
        "summary": kind_summary(kind, own),
        "settings": model.model_json_schema(),
        "examples": examples,
    }


def example_faults(kind: ModuleType, example: HttpExample) -> list[str]:
    """Return the differences between an example and the request that the kind makes of it; none if it is correct."""
    try:
        request = example_request(kind, example)
    except ValidationError as error:
        return [f"its settings: {detail['msg']}" for detail in error.errors()]
    except Permanent as error:
        return [error.detail]
    headers = {name.lower(): value for name, value in request.headers}
    expected: list[tuple[str, Json, Json]] = [
        ("method", example.method, request.method),
        ("url", example.url, request.url),
        ("body", example.body, body_value(request, example.body)),
    ]
    expected += [(f"header {name}", value, headers.get(name)) for name, value in example.headers.items()]
    return [
        line
        for name, written, made in expected
        if written != made
        for line in (f"- {name}: {_json(written)}", f"+ {name}: {_json(made)}")
    ]


def _examples(kind: ModuleType) -> tuple[HttpExample, ...]:
    examples: tuple[HttpExample, ...] = getattr(kind, "EXAMPLES", ())
    return examples


def _destination(kind: str, settings: Json) -> Iterator[str]:
    document = {"destinations": {"example": {kind: settings}}}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    yield from (f"  {line}" for line in text.splitlines())


def _request_lines(example: HttpExample) -> Iterator[str]:
    yield f"  request   {example.method} {example.url}"
    yield from (f"            {name}: {value}" for name, value in example.headers.items())
    first, *more = (example.body if isinstance(example.body, str) else _json(example.body)).splitlines() or [""]
    yield f"  body      {first}"
    yield from (f"            {line}" for line in more)


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
