"""An example of what fits a JSON Schema that stands alone: for a test event, the documentation and a first request."""

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from shared.casting import is_number
from shared.jsontext import Json, JsonObject, list_at, mapping_at, texts_at
from shared.subscribers.json_pointer import pointer_of, value_at

MAX_DEPTH: Final = 12
"""Values of deeper levels are null, whether they are required or not."""
MAX_DEPTH_OF_OPTIONAL: Final = 4
"""Optional fields of deeper levels are left out: a schema that contains itself ends there."""
MAX_VALUES: Final = 1_000
"""The most values of an example. A schema whose fields each contain it several times would make millions."""
MAX_ITEMS: Final = 10
MAX_CHARACTERS: Final = 1_000
"""The most items of a list and characters of a text, even if the schema asks for more."""
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
"""An example for each `format`."""
_NO_NAMES: Final[Mapping[str, Json]] = {}
_LOWEST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_HIGHEST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
"""The keywords of bounds. Of two lowest ones the larger applies, and of two highest ones the smaller."""
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
    for part in _parts(schema, root, 0):
        for key, value in part.items():
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
            return [value for value in first if value in second] or first
    if isinstance(first, int | float) and isinstance(second, int | float) and key in (*_LOWEST, *_HIGHEST):
        return max(first, second) if key in _LOWEST else min(first, second)
    return first


def _parts(schema: Json, root: Json, depth: int) -> Iterator[JsonObject]:
    """Yield the schema without its references, then the schemas that it refers to and those of `allOf`."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return
    yield {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}
    reference = schema.get("$ref")
    where = pointer_of(reference) if isinstance(reference, str) else None
    if where is not None:
        with suppress(LookupError):
            yield from _parts(value_at(root, where), root, depth + 1)
    for inner in list_at(schema, "allOf"):
        yield from _parts(inner, root, depth + 1)


class _Maker:
    """Makes the values of one example. `root` is the whole schema, to which references lead."""

    def __init__(self, root: Json, by_name: Mapping[str, Json]) -> None:
        self._root = root
        self._by_name = by_name
        self._values_left = MAX_VALUES

    def make(self, schema: Json, name: str, depth: int) -> Json:
        """Return a value for the field `name`: what the schema gives itself, or else one of its type; null if there is
        no room for it."""
        self._values_left -= 1
        if depth > MAX_DEPTH or self._values_left < 0:
            return None
        chosen = self._with_first_choices(schema)
        for key in ("const", "default", "example"):
            if key in chosen:
                return chosen[key]
        for key in ("examples", "enum"):
            if isinstance(choices := chosen.get(key), list) and choices:
                return choices[0]
        usual = next((value for end, value in self._by_name.items() if name.lower().endswith(end)), None)
        match _kind(chosen):
            case "object":
                return self._object(chosen, depth)
            case "array":
                return self._array(chosen, name, depth)
            case "string":
                return _text(chosen, "text" if usual is None else str(usual))
            case "integer":
                return _number(chosen, usual if isinstance(usual, int) else 1, is_whole=True)
            case "number":
                return _number(chosen, usual if isinstance(usual, int | float) else 1, is_whole=False)
            case "boolean":
                return True
            case "null":
                return None
        return usual

    def _with_first_choices(self, schema: Json) -> JsonObject:
        """Return the schema with the first alternative of each `oneOf` and `anyOf` that is not null alone."""
        merged = resolved(schema, self._root)
        for _ in range(MAX_DEPTH):
            key = next((keyword for keyword in ("oneOf", "anyOf") if keyword in merged), None)
            if key is None:
                break
            choices = merged.pop(key)
            if isinstance(choices, list) and choices:
                # `min` returns the first one of the least, and False is less than True.
                chosen = min(choices, key=lambda choice: isinstance(choice, dict) and choice.get("type") == "null")
                merged = resolved({"allOf": [merged, chosen]}, self._root)
        return merged

    def _object(self, schema: JsonObject, depth: int) -> Json:
        properties, names = mapping_at(schema, "properties"), texts_at(schema, "required")
        # A property whose schema is `false` must not be there.
        optional = [name for name, schema_of in properties.items() if name not in names and schema_of is not False]
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
        return [self.make(item, name, depth + 1) for item in [*leading, *following][:count]]


def _kind(schema: JsonObject) -> str:
    """Return the type of the values, by `type` or by other keywords; empty if the schema allows any."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else ""


def _text(schema: JsonObject, usual: str) -> str:
    """Return a text of the schema's format, or the usual one, with as many characters as the schema allows."""
    text = _TEXTS.get(str(schema.get("format")), usual)
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int):
        text = text.ljust(min(least, MAX_CHARACTERS), "x")
    return text[:most] if isinstance(most, int) and most >= 0 else text


def _number(schema: JsonObject, usual: int | float, is_whole: bool) -> float:
    """Return the usual number if it fits; otherwise one near a bound of the schema, or between its bounds.

    If no such number fits either, return the usual one.
    """
    multiple = schema.get("multipleOf")
    step = multiple if is_number(multiple) and multiple > 0 else 1
    bounds = {key: bound for key in _KEEPS if is_number(bound := schema.get(key))}
    edges = list(bounds.values())
    candidates = [usual, *edges, *(edge + step for edge in edges), *(edge - step for edge in edges)]
    candidates += [sum(edges) / len(edges)] if edges else []
    if is_whole or "multipleOf" in schema:
        candidates = [math.ceil(number / step) * step for number in candidates if abs(number / step) < MAX_MULTIPLE]
    fitting = (number for number in candidates if all(_KEEPS[key](number, bound) for key, bound in bounds.items()))
    return next(fitting, usual)
