"""An example of what fits a JSON Schema that stands alone, for a test event and for the documentation."""

from collections.abc import Callable, Iterator
from typing import Final

from shared.jsontext import Json, JsonObject
from shared.subscribers.catalogue_faults import pointer_of, value_at

MAX_DEPTH: Final = 12
MAX_VALUES: Final = 1_000
_TEXTS: Final = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "email": "ada@example.com",
    "idn-email": "ada@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


def example_of(schema: Json) -> Json:
    """Return a value that has the schema's fields and types.

    It fits schemas of usual forms, not every one: a `pattern`, for example, is not looked at.
    """
    return _Maker(schema).make(schema, 0)


def resolved(schema: Json, root: Json) -> JsonObject:
    """Follow the references of a schema at its top, and merge what `allOf` adds to it."""
    merged: JsonObject = {}
    for each in _parts(schema, root, 0):
        for key, value in each.items():
            before = merged.get(key)
            if isinstance(before, dict) and isinstance(value, dict) and key == "properties":
                merged[key] = {**before, **value}
            elif isinstance(before, list) and isinstance(value, list) and key == "required":
                merged[key] = [*before, *value]
            else:
                merged.setdefault(key, value)
    return merged


def _parts(schema: Json, root: Json, depth: int) -> Iterator[JsonObject]:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return
    yield {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}
    reference = schema.get("$ref")
    where = pointer_of(reference) if isinstance(reference, str) else None
    if where is not None:
        try:
            yield from _parts(value_at(root, where), root, depth + 1)
        except LookupError:
            return
    inner = schema.get("allOf")
    for each in inner if isinstance(inner, list) else ():
        yield from _parts(each, root, depth + 1)


class _Maker:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._left = MAX_VALUES

    def make(self, schema: Json, depth: int) -> Json:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            return None
        found = resolved(schema, self._root)
        for key in ("const", "default"):
            if key in found:
                return found[key]
        for key in ("examples", "enum"):
            if isinstance(listed := found.get(key), list) and listed:
                return listed[0]
        if "example" in found:
            return found["example"]
        for key in ("oneOf", "anyOf"):
            if isinstance(choices := found.get(key), list) and choices and not _kind(found):
                return self.make(choices[0], depth + 1)
        makers: dict[str, Callable[[JsonObject, int], Json]] = {
            "object": self._object,
            "array": self._array,
            "string": _text,
            "integer": _number,
            "number": _number,
            "boolean": lambda *_: True,
        }
        make = makers.get(_kind(found))
        return make(found, depth) if make else None

    def _object(self, schema: JsonObject, depth: int) -> Json:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        required = schema.get("required")
        names = required if isinstance(required, list) else []
        # Optional fields of deeper levels are left out: a schema that contains itself ends there.
        return {name: self.make(each, depth + 1) for name, each in properties.items() if depth < 4 or name in names}

    def _array(self, schema: JsonObject, depth: int) -> Json:
        first = schema.get("prefixItems")
        if isinstance(first, list):
            return [self.make(each, depth + 1) for each in first]
        least = schema.get("minItems")
        count = least if isinstance(least, int) and 0 < least <= 10 else 1
        if depth >= 4 and not least:
            return []
        return [self.make(schema.get("items"), depth + 1) for _ in range(count)] if "items" in schema else []


def _kind(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if "items" in schema or "prefixItems" in schema else ""


def _text(schema: JsonObject, _: int) -> Json:
    text = _TEXTS.get(str(schema.get("format")), "text")
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int) and len(text) < least <= 1_000:
        text += "x" * (least - len(text))
    return text[:most] if isinstance(most, int) and most >= 0 else text


def _number(schema: JsonObject, _: int) -> Json:
    least, above, most = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if isinstance(least, int | float):
        return least
    if isinstance(above, int | float):
        return above + 1
    return min(1, most) if isinstance(most, int | float) else 1
