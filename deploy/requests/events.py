"""Events made to try a source: with type and id where the source looks for them, and marked where they are a test.

Their data fits the source's schema and has the fields that the destinations they reach read.
"""

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from deploy.client.hookchain.formats import FORMATS, encode_body
from deploy.requests.samples import Fresh, load_sample, sample_names
from deploy.requests.sources import destinations_from, may_match, page_headers, route_types, routes_from
from deploy.terminal.command_line import CommandError
from functions.receive.admission import type_fits
from shared.formats.parse import named_format
from shared.http import Request
from shared.jsontext import Json, JsonObject, list_at, mapping_at, texts_at, value_at
from shared.subscribers.schema_example import example_of

CONTENT_TYPES: Final[Mapping[str, str]] = {name: content_type for name, (_, content_type) in FORMATS.items()}
"""By the name of a format, which is also the extension of its files."""
DEFAULT_DATA: Final[Mapping[str, Json]] = {
    "customerName": "Chuck U Farley",
    "customerEmail": "chuckufarley@example.com",
    "plan": "free",
}
"""The data of an event whose source describes none."""
DEFAULT_TYPE: Final = "password_created"
"""The type of an event if no route names one."""
MARK: Final = "hookchainSmokeTest"
"""The field by which a person recognises a test event. Its value is unique."""
WEBHOOK_ID: Final = "header.webhook-id"
"""The location of the header with the event's id that Standard Webhooks defines."""
_TEST_PERSON: Final[Mapping[str, Json]] = {"customerName": "Smoke Test", "customerEmail": "smoke.test@example.com"}


@dataclass(slots=True)
class MadeEvent:
    """An event to post. `data` is written in `format`; bytes are in it already, and are sent unchanged."""

    data: "Json | bytes"
    format: str = "json"
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)

    def to_body(self) -> bytes:
        return self.data if isinstance(self.data, bytes) else encode_body(self.data, self.format)[0]

    def to_request(self, mark: str) -> Request:
        """Return an unsigned request to `/`. Its header `webhook-id` is `mark`, unless the headers have another."""
        headers = {"content-type": CONTENT_TYPES[self.format], "webhook-id": mark}
        headers |= {name.lower(): value for name, value in self.headers.items()}
        return Request("POST", "/", urlencode(self.query), tuple(headers.items()), self.to_body())

    def put(self, location: str, value: str) -> None:
        """Write the value at `header.X-Event`, `query.kind` or `data.path.to.field`.

        Does nothing at another place, in a body of bytes, and below a field that is no object.
        """
        place, _, rest = location.partition(".")
        if place == "header":
            self.headers[rest] = value
        elif place == "query":
            self.query[rest] = value
        elif place == "data" and isinstance(self.data, dict):
            *parents, name = rest.split(".")
            if (parent := _object_at(self.data, parents)) is not None:
                parent[name] = value


def format_headers(source: JsonObject, format: str) -> dict[str, str]:
    """Return the header with a content type that the source accepts for a body in the format.

    It is empty if the format's usual one will do, or if the source accepts none for this format.
    """
    usual = CONTENT_TYPES[format]
    patterns = texts_at(source, "content_types")
    if not patterns or any(type_fits(usual, pattern) for pattern in patterns):
        return {}
    named = [_type_of_pattern(pattern, format) for pattern in patterns]
    fitting = [each for each in named if named_format(each) == format]
    if format == "json":  # which receive recognizes below a type that stands for any format
        fitting += [each for each in named if named_format(each) is None]
    return {"Content-Type": fitting[0]} if fitting else {}


def _type_of_pattern(pattern: str, format: str) -> str:
    """Return a content type that fits a source's pattern, such as `text/*` or `*+json`."""
    return f"application/vnd.example{pattern[1:]}" if pattern.startswith("*") else pattern.replace("/*", f"/{format}")


def _object_at(data: JsonObject, path: Sequence[str]) -> JsonObject | None:
    """Return the object at the path, with new objects where nothing is; None if something else is on the way."""
    for name in path:
        inner = data.setdefault(name, {})
        if not isinstance(inner, dict):
            return None
        data = inner
    return data


def may_have(schema: Json, name: str) -> bool:
    """Return whether a body that fits the schema may have a field of this name; True without a schema."""
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    is_described = isinstance(properties, dict) and name in properties
    return is_described or schema.get("additionalProperties", True) is not False


def make_event_without_id(source: JsonObject, event_type: str, data: Json) -> MadeEvent:
    """Return an event with that data, in JSON. Its id is not set, so each time that it is sent, it is another event."""
    places = first_places(source.get("type"))
    if not places and may_have(source.get("schema"), "event"):
        places = ("data.event",)
    # The type comes first where a person reads it.
    if isinstance(data, dict):
        data = {"event": event_type, **data} if places == ("data.event",) else {**data}
    event = MadeEvent(data)
    event.headers.update(page_headers(source))
    for place, text in typed_places(places, event_type).items():
        event.put(place, text)
    return event


def make_example_event(source: JsonObject, event_type: str, data: Json, identity: str = "example-1") -> MadeEvent:
    """Return an event with its id where the source reads it, if it reads it at plain places."""
    event = make_event_without_id(source, event_type, data)
    for place in id_places(source):  # each gets the whole id, because the source reads no id if one has no text
        event.put(place, identity)
    return event


def make_test_event(source: JsonObject, event_type: str, mark: str, data: Json) -> MadeEvent:
    """Return an event that is marked as a test, where the source's schema leaves room for that.

    `mark` is its id, so that no earlier test is its duplicate.
    """
    schema = source.get("schema")
    if isinstance(data, dict):
        person = _TEST_PERSON if schema is None else {}
        data = {**data, **person, **({MARK: mark} if may_have(schema, MARK) else {})}
    return make_example_event(source, event_type, data, mark)


def make_provider_event(provider: str, types: Sequence[str], mark: str, now: float) -> Request | None:
    """Return a sample of the provider, of one of the types if there is one; None if it has no sample.

    `mark` ends in a dash and 12 or more hexadecimal digits, from which the ids in the sample are made.
    """
    names = sample_names(provider)
    matching = [name for name in names if may_match(types, name)]
    if not names:
        return None
    digits = mark.rpartition("-")[2]
    fresh = Fresh(now, digits[:12], str(int(digits, 16))[-10:].zfill(10))
    return load_sample(provider, (matching or names)[0], fresh).request


def read_event_file(path: Path, source: JsonObject, mark: str, event_type: str | None) -> MadeEvent:
    """Return an event with the file's body, and with `mark` as its id if the source reads that elsewhere or in JSON.

    Any other body keeps its own id, and is sent unchanged. The type is written only into a header or the query, because
    in the body the file has its own. Raises CommandError.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    format = {"yml": "yaml"}.get(path.suffix.removeprefix("."), path.suffix.removeprefix("."))
    if format not in CONTENT_TYPES:
        raise CommandError(f"{path}: its extension must be one of {', '.join(CONTENT_TYPES)}")
    event = MadeEvent(content, format, {**page_headers(source), **format_headers(source, format)})
    places_of_id = id_places(source)
    if format == "json" and any(place.startswith("data.") for place in places_of_id):
        event.data = _json_object(path, content)
    for place in places_of_id:
        event.put(place, mark)
    for place, text in typed_places(first_places(source.get("type")), event_type or "").items():
        if text and not place.startswith("data."):
            event.put(place, text)
    return event


def sample_beside(config: Path | None) -> Path | None:
    """Return `sample.json`, or the sample in another format, in the configuration's folder, as in deploy/recipes."""
    paths = [config.parent / f"sample.{name}" for name in CONTENT_TYPES] if config else []
    return next((path for path in paths if path.is_file()), None)


def routed_type(transform: JsonObject, source: str) -> str:
    """Return an event type that some route from this source accepts; DEFAULT_TYPE if no route names one."""
    patterns = route_types(routes_from(transform, source))
    return patterns[0].replace("*", "created") if patterns else DEFAULT_TYPE


def declared_example(transform: JsonObject, source: str, event_types: Json) -> tuple[str, JsonObject] | None:
    """Return the first event type that subscribers can get from this source and that has an example, and that."""
    patterns = [pattern for route in routes_from(transform, source) for pattern in texts_at(route, "types") or ["*"]]
    for name, declared in mapping_at(event_types).items():
        example = value_at(declared, "examples", 0)
        if isinstance(example, dict) and any(fnmatch.fnmatchcase(name, each) for each in patterns):
            return name, example
    return None


def _json_object(path: Path, content: bytes) -> JsonObject:
    try:
        document: Json = json.loads(content)
    except ValueError as error:
        raise CommandError(f"{path} is not JSON") from error
    if not isinstance(document, dict):
        raise CommandError(f"{path}: must be a JSON object")
    return document


def first_places(locations: Json) -> tuple[str, ...]:
    """Return the first choice among a source's locations at which texts can be put: one place such as `data.id`, or
    several that are joined. Empty if all choices are expressions."""
    for choice in locations if isinstance(locations, list) else [locations]:
        places = tuple(choice.split(" + ")) if isinstance(choice, str) else ()
        if places and all(map(_is_place, places)):
            return places
    return ()


def id_places(source: JsonObject) -> tuple[str, ...]:
    """Return the places at which to write an event's id; empty if the source reads it at none where a text can be put.

    Of joined places, that of the type is left out, because the text there is the type. If one header of several will
    do, it is `webhook-id`, which every client of ours sends. Beside `svix-id`, a source would expect the signature in
    Svix's headers too.
    """
    places = first_places(source.get("id"))
    if len(places) == 1:
        is_header = places[0].startswith("header.")
        return (WEBHOOK_ID,) if is_header and WEBHOOK_ID in list_at(source, "id") else places
    type_places = first_places(source.get("type"))
    return tuple(place for place in places if place not in type_places)


def typed_places(places: Sequence[str], event_type: str) -> dict[str, str]:
    """Return the text for each of a type's places: one word of the type, and for the last place the rest.

    A place for which no word is left gets no text: the source joins only the texts that it finds.
    """
    type_parts = event_type.split(".", len(places) - 1) if places else []
    return dict(zip(places, type_parts, strict=False))


def _is_place(location: str) -> bool:
    """Return whether the location is a place such as `data.id`, and not an expression such as `data.id if data.new`."""
    return "." in location and " if " not in location


# Data that fits


MAX_FIELDS: Final = 20
"""The most fields that are added for columns and templates."""
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
"""By the end of a field's name, in any case. The last end is empty, so it fits any other field."""
_COLUMN_SCHEMAS: Final[Mapping[str | None, JsonObject]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"const": "2026-03-01"},
    "time": {"const": "2026-03-01T12:00:00Z"},
}
"""By the type of a column: the schema of a value that fits it."""
_PATH: Final = re.compile(r"(?<![\w.$-])data((?:\.[A-Za-z_]\w*)+)(?![\w(])")
"""A plain path below the event's data, such as `data.customer.email`, and no call of a function."""
_IN_TEMPLATE: Final = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)


def described_data(schema: Json) -> Json:
    """Return data of the schema's form; the same data for every source without a schema."""
    return example_of(schema, _BY_NAME) if isinstance(schema, dict) else {**DEFAULT_DATA}


def fitting_data(slices: Mapping[str, JsonObject], source: str, event_type: str) -> Json:
    """Return data with the fields that the schema describes and that a destination reads by a plain path.

    A destination reads columns, its tenant and templates. Without any of them, the data is the same for every source.
    What an expression computes, and what a step or a `where` wants, is not looked for.
    """
    schema = value_at(slices.get("receive", {}), "sources", source, "schema")
    data = described_data(schema)
    if not isinstance(data, dict):
        return data
    fields = dict(_fields(slices, source, event_type))
    for path in sorted(fields, key=len, reverse=True)[:MAX_FIELDS]:
        if schema is None or may_have(schema, path[0]):
            _add(data, path, example_of(_COLUMN_SCHEMAS.get(fields[path], {}), _BY_NAME, path[-1]))
    return data


def _fields(
    slices: Mapping[str, JsonObject], source: str, event_type: str
) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Yield the paths below `data` that destinations read, with the type of a column."""
    for name in destinations_from(slices.get("transform", {}), source, event_type):
        yield from _read_paths(value_at(slices.get("notify", {}), "destinations", name, "settings"))


def _read_paths(settings: Json) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Yield the paths in a part of a destination's settings: columns, the tenant, or the text of a template."""
    if isinstance(settings, dict):
        column = settings.get("value")
        if isinstance(column, str) and "type" in settings and (found := _PATH.fullmatch(column)):
            kind = settings["type"]
            yield _parts(found), str(kind) if kind else None
            return
        for each in (settings.get("tenant"), *mapping_at(settings, "columns").values()):
            if isinstance(each, str) and (found := _PATH.fullmatch(each)):
                yield _parts(found), None
    if isinstance(settings, dict | list):
        for each in settings.values() if isinstance(settings, dict) else settings:
            yield from _read_paths(each)
    elif isinstance(settings, str):
        for shown in _IN_TEMPLATE.findall(settings):
            yield from ((_parts(found), None) for found in _PATH.finditer(shown))


def _parts(found: re.Match[str]) -> tuple[str, ...]:
    """Return the names below `data` of a match of _PATH."""
    return tuple(found[1].split(".")[1:])


def _add(data: JsonObject, path: tuple[str, ...], value: Json) -> None:
    """Put the value at the path, unless something is there or on the way."""
    *parents, name = path
    if (parent := _object_at(data, parents)) is not None:
        parent.setdefault(name, value)
