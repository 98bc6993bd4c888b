"""An example of what fits a JSON Schema that stands alone: for a test event, the documentation and a first request."""

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeGuard

from shared.jsontext import Json, JsonObject, list_at, mapping_at, texts_at
from shared.subscribers.json_pointer import pointer_of, value_at

MAX_DEPTH: Final = 12
MAX_DEPTH_OF_OPTIONAL: Final = 4
"""Optional fields of deeper levels are left out: a schema that contains itself ends there."""
MAX_VALUES: Final = 1_000
MAX_ITEMS: Final = 10
MAX_CHARACTERS: Final = 1_000
MAX_MULTIPLE: Final = 2**53
"""A larger whole number has no exact float."""
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
_NO_NAMES: Final[Mapping[str, Json]] = {}
_LOWEST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_HIGHEST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_KEEPS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "minimum": operator.ge,
    "exclusiveMinimum": operator.gt,
    "maximum": operator.le,
    "exclusiveMaximum": operator.lt,
}
"""The comparison of a number with each of its bounds."""


def example_of(schema: Json, by_name: Mapping[str, Json] = _NO_NAMES, name: str = "") -> Json:
    """Return a value that has the schema's fields and types.

    It fits schemas of usual forms, not every one: a `pattern`, for example, is not looked at. `by_name` has values for
    fields whose names end with a key, in any case; the first key that fits counts. `name` is the field's name.
    """
    return _Maker(schema, by_name).make(schema, name, 0)


def resolved(schema: Json, root: Json) -> JsonObject:
    """Follow the references of a schema at its top, and merge what `allOf` adds to it."""
    merged: JsonObject = {}
    for each in _parts(schema, root, 0):
        for key, value in each.items():
            merged[key] = _both(key, merged[key], value) if key in merged else value
    return merged


def _both(key: str, first: Json, second: Json) -> Json:
    """Return the value of a keyword that meets both of its values; the first if there is no rule for it."""
    if isinstance(first, dict) and isinstance(second, dict) and key == "properties":
        common: JsonObject = {name: {"allOf": [first[name], second[name]]} for name in first if name in second}
        return {**first, **second, **common}
    if isinstance(first, list) and isinstance(second, list):
        if key == "required":
            return [*first, *(name for name in second if name not in first)]
        if key in ("enum", "type"):
            return [each for each in first if each in second] or first
    if isinstance(first, int | float) and isinstance(second, int | float) and key in (*_LOWEST, *_HIGHEST):
        return max(first, second) if key in _LOWEST else min(first, second)
    return first


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
    for each in list_at(schema, "allOf"):
        yield from _parts(each, root, depth + 1)


class _Maker:
    def __init__(self, root: Json, by_name: Mapping[str, Json]) -> None:
        self._root = root
        self._by_name = by_name
        self._left = MAX_VALUES

    def make(self, schema: Json, name: str, depth: int) -> Json:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            return None
        found = self._with_first_choices(schema)
        for key in ("const", "default", "example"):
            if key in found:
                return found[key]
        for key in ("examples", "enum"):
            if isinstance(listed := found.get(key), list) and listed:
                return listed[0]
        near = next((value for end, value in self._by_name.items() if name.lower().endswith(end)), None)
        match _kind(found):
            case "object":
                return self._object(found, depth)
            case "array":
                return self._array(found, name, depth)
            case "string":
                return _text(found, "text" if near is None else str(near))
            case "integer":
                return _number(found, near if isinstance(near, int) else 1, is_whole=True)
            case "number":
                return _number(found, near if isinstance(near, int | float) else 1, is_whole=False)
            case "boolean":
                return True
            case "null":
                return None
        return near

    def _with_first_choices(self, schema: Json) -> JsonObject:
        """Return the schema with the first alternative of each `oneOf` and `anyOf` that is not null alone."""
        found = resolved(schema, self._root)
        for _ in range(MAX_DEPTH):
            key = next((each for each in ("oneOf", "anyOf") if each in found), None)
            if key is None:
                break
            choices = found.pop(key)
            if isinstance(choices, list) and choices:
                chosen = min(choices, key=lambda each: isinstance(each, dict) and each.get("type") == "null")
                found = resolved({"allOf": [found, chosen]}, self._root)
        return found

    def _object(self, schema: JsonObject, depth: int) -> Json:
        properties, names = mapping_at(schema, "properties"), texts_at(schema, "required")
        optional = [name for name, each in properties.items() if name not in names and each is not False]
        other = schema.get("additionalProperties", {})
        wanted = [*names, *optional] if depth < MAX_DEPTH_OF_OPTIONAL else names
        return {name: self.make(properties.get(name, other), name, depth + 1) for name in wanted}

    def _array(self, schema: JsonObject, name: str, depth: int) -> Json:
        leading = list_at(schema, "prefixItems")
        least, most = schema.get("minItems"), schema.get("maxItems")
        at_least = min(least, MAX_ITEMS) if isinstance(least, int) else 0
        has_optional = depth < MAX_DEPTH_OF_OPTIONAL and isinstance(schema.get("items"), dict)
        count = max(len(leading), at_least, int(has_optional))
        if isinstance(most, int):
            count = min(count, most)
        following = [schema.get("items", {})] * (count - len(leading))
        return [self.make(each, name, depth + 1) for each in [*leading, *following][:count]]


def _kind(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else ""


def _text(schema: JsonObject, usual: str) -> str:
    text = _TEXTS.get(str(schema.get("format")), usual)
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int):
        text = text.ljust(min(least, MAX_CHARACTERS), "x")
    return text[:most] if isinstance(most, int) and most >= 0 else text


def _number(schema: JsonObject, usual: int | float, is_whole: bool) -> float:
    """Return the usual number; one near a bound of the schema, or between its bounds, where that does not fit."""
    multiple = schema.get("multipleOf")
    step = multiple if _is_number(multiple) and multiple > 0 else 1
    bounds = {key: bound for key in _KEEPS if _is_number(bound := schema.get(key))}
    edges = list(bounds.values())
    candidates = [usual, *edges, *(each + step for each in edges), *(each - step for each in edges)]
    candidates += [sum(edges) / len(edges)] if edges else []
    if is_whole or "multipleOf" in schema:
        candidates = [math.ceil(each / step) * step for each in candidates if abs(each / step) < MAX_MULTIPLE]
    fitting = (each for each in candidates if all(_KEEPS[key](each, bound) for key, bound in bounds.items()))
    return next(fitting, usual)


def _is_number(value: Json) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
