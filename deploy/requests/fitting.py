"""The data of an event that fits a source's schema, and the columns and templates of the destinations it reaches."""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.requests.events import EVENT, may_have
from deploy.requests.sources import compiled_sources, routes_from, text_list
from shared.jsontext import Json, JsonObject
from shared.subscribers.schema_example import example_of

MAX_FIELDS: Final = 20
_BY_NAME: Final[Mapping[str, Json]] = {
    "email": "chuckufarley@example.com",
    "name": "Chuck U Farley",
    "url": "https://example.com/",
    "id": "1001",
    "at": "2026-03-01T12:00:00Z",
    "date": "2026-03-01",
    "amount": 12.5,
    "price": 12.5,
    "total": 12.5,
    "count": 3,
    "quantity": 3,
    "": "example",
}
"""By the end of a field's name, in any case; any other field is the last."""
_COLUMN_SCHEMAS: Final[Mapping[str | None, JsonObject]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"const": "2026-03-01"},
    "time": {"const": "2026-03-01T12:00:00Z"},
}
_PATH: Final = re.compile(r"(?<![\w.$-])data((?:\.[A-Za-z_]\w*)+)(?![\w(])")
_IN_TEMPLATE: Final = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)


def fitting_data(slices: Mapping[str, JsonObject], source: str, event_type: str) -> JsonObject:
    """Return data with the fields that the schema describes and that columns and templates read by a plain path.

    Without any of them it is the same for every source. What an expression computes, and what a step or a `where`
    wants, is not looked for.
    """
    settings = compiled_sources(slices.get("receive", {})).get(source)
    schema = settings.get("schema") if isinstance(settings, dict) else None
    described = example_of(schema, _BY_NAME) if isinstance(schema, dict) else None
    data: JsonObject = described if isinstance(described, dict) else {**EVENT}
    fields = dict(_fields(slices, source, event_type))
    for path in sorted(fields, key=len, reverse=True)[:MAX_FIELDS]:
        if schema is None or may_have(schema, path[0]):
            _add(data, path, example_of(_COLUMN_SCHEMAS.get(fields[path], {}), _BY_NAME, path[-1]))
    return data


def _fields(
    slices: Mapping[str, JsonObject], source: str, event_type: str
) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Yield the paths below `data` that destinations read, with the type of a column."""
    destinations = slices.get("notify", {}).get("destinations")
    for name in _destinations(slices, source, event_type):
        destination = destinations.get(name) if isinstance(destinations, dict) else None
        if isinstance(destination, dict):
            yield from _read_paths(destination.get("settings"))


def _destinations(slices: Mapping[str, JsonObject], source: str, event_type: str) -> dict[str, None]:
    reached: dict[str, None] = {}
    for route in routes_from(slices.get("transform", {}), source):
        types = text_list(route.get("types"))
        if not types or any(fnmatch.fnmatchcase(event_type, each) for each in types):
            reached |= dict.fromkeys(text_list(route.get("to")))
    return reached


def _read_paths(settings: Json) -> Iterator[tuple[tuple[str, ...], str | None]]:
    if isinstance(settings, dict):
        column = settings.get("value")
        if isinstance(column, str) and "type" in settings and (found := _PATH.fullmatch(column)):
            kind = settings["type"]
            yield _parts(found), str(kind) if kind else None
            return
        columns = settings.get("columns")
        for each in columns.values() if isinstance(columns, dict) else ():
            if isinstance(each, str) and (found := _PATH.fullmatch(each)):
                yield _parts(found), None
    if isinstance(settings, dict | list):
        for each in settings.values() if isinstance(settings, dict) else settings:
            yield from _read_paths(each)
    elif isinstance(settings, str):
        for shown in _IN_TEMPLATE.findall(settings):
            yield from ((_parts(found), None) for found in _PATH.finditer(shown))


def _parts(found: re.Match[str]) -> tuple[str, ...]:
    return tuple(found[1].split(".")[1:])


def _add(data: JsonObject, path: tuple[str, ...], value: Json) -> None:
    """Put the value at the path, unless something is there or on the way."""
    *folders, name = path
    inner = data
    for folder in folders:
        deeper = inner.setdefault(folder, {})
        if not isinstance(deeper, dict):
            return
        inner = deeper
    inner.setdefault(name, value)
