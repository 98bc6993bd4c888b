"""A sample of what a JSON Schema describes: small, made without chance, and good enough to try an endpoint with."""

from collections.abc import Callable, Mapping
from typing import Final

from shared.jsontext import Json, JsonObject
from shared.subscribers.model import EventType

MAX_DEPTH: Final = 12
MAX_VALUES: Final = 2_000
TEXTS: Final[Mapping[str, str]] = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "person@example.com",
    "hostname": "example.com",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
NOTHING_KNOWN: Final[JsonObject] = {"message": "This is a test event."}


def sample_of(event_type: EventType | None) -> Json:
    """Return the type's first example; without one, a sample of its schema; without that, a text that says so."""
    if event_type is not None and event_type.examples:
        return event_type.examples[0]
    if event_type is not None and event_type.schema_:
        return _Sampler(event_type.schema_).sample(event_type.schema_, 0)
    return dict(NOTHING_KNOWN)


class _Sampler:
    """It ends, whatever the schema refers to: at a depth, or at a number of values, what remains is null."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._left = MAX_VALUES

    def sample(self, schema: Json, depth: int) -> Json:
        self._left -= 1
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._left < 0:
            return None
        for name in ("const", "default"):
            if name in schema:
                return schema[name]
        for name in ("examples", "enum"):
            choices = schema.get(name)
            if isinstance(choices, list) and choices:
                return choices[0]
        if isinstance(reference := schema.get("$ref"), str):
            return self.sample(self._resolved(reference), depth + 1)
        return self._of_kind(schema, depth)

    def _of_kind(self, schema: JsonObject, depth: int) -> Json:
        if isinstance(parts := schema.get("allOf"), list) and parts:
            samples = [self.sample(part, depth + 1) for part in parts]
            objects = [each for each in samples if isinstance(each, dict)]
            merged: JsonObject = {name: value for each in objects for name, value in each.items()}
            return {**merged, **self._object(schema, depth)} if objects else samples[0]
        for name in ("oneOf", "anyOf"):
            choices = schema.get(name)
            if isinstance(choices, list) and choices:
                return self.sample(choices[0], depth + 1)
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) and kind else kind
        makers: dict[Json, Callable[[], Json]] = {
            "object": lambda: self._object(schema, depth),
            "array": lambda: [self.sample(schema["items"], depth + 1)] if "items" in schema else [],
            "string": lambda: TEXTS.get(str(schema.get("format")), "text"),
            "integer": lambda: _number(schema),
            "number": lambda: _number(schema),
            "boolean": lambda: True,
        }
        if isinstance(kind, str) and kind in makers:
            return makers[kind]()
        return self._object(schema, depth) if "properties" in schema else None

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        return {name: self.sample(each, depth + 1) for name, each in properties.items()}

    def _resolved(self, reference: str) -> Json:
        found: Json = self._root
        for part in reference.removeprefix("#").split("/")[1:] if reference.startswith("#") else ["?"]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        return found


def _number(schema: JsonObject) -> Json:
    least = schema.get("minimum")
    return least if isinstance(least, int | float) and not isinstance(least, bool) else 1
