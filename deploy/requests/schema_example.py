"""A value that fits a JSON Schema, made for a person to send: plain rules only, and no patterns."""

from collections.abc import Mapping
from typing import Final

from shared.jsontext import Json, JsonObject

MAX_DEPTH: Final = 6
_BY_FORMAT: Final[Mapping[str, str]] = {
    "date": "2026-03-01",
    "date-time": "2026-03-01T12:00:00Z",
    "email": "chuckufarley@example.com",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "3f2a9c1e-5b7d-4c8a-9e0f-1a2b3c4d5e6f",
}
_BY_NAME: Final[Mapping[str, Json]] = {
    "email": _BY_FORMAT["email"],
    "name": "Chuck U Farley",
    "url": _BY_FORMAT["uri"],
    "id": "1001",
    "at": _BY_FORMAT["date-time"],
    "date": _BY_FORMAT["date"],
    "amount": 12.5,
    "price": 12.5,
    "total": 12.5,
    "count": 3,
    "quantity": 3,
}
"""By the end of a field's name, in any case."""
_BY_TYPE: Final[Mapping[str, Json]] = {
    "text": "example",
    "string": "example",
    "integer": 1001,
    "number": 12.5,
    "boolean": True,
    "date": _BY_FORMAT["date"],
    "time": _BY_FORMAT["date-time"],
    "null": None,
}

_BOUNDS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def example_of_type(name: str, type_: str | None) -> Json:
    """Return a value for a field of that name, of a type of JSON Schema or of a column; any without a type."""
    near = next((value for end, value in _BY_NAME.items() if name.lower().endswith(end)), None)
    if near is None or type_ not in (None, "text", "string"):
        return _BY_TYPE.get(type_ or "text", "example")
    return str(near) if type_ else near


def schema_example(schema: Json, name: str = "") -> Json:
    return _example(schema, schema, name, 0)


def may_have(schema: Json, name: str) -> bool:
    """Return whether a body that fits the schema may have a field of this name; True without a schema."""
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    is_described = isinstance(properties, dict) and name in properties
    return is_described or schema.get("additionalProperties", True) is not False


def _example(schema: Json, root: Json, name: str, depth: int) -> Json:
    schema = _resolved(schema, root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        listed = schema.get(key)
        if isinstance(listed, list) and listed:
            return listed[0]
    for key in ("oneOf", "anyOf", "allOf"):
        listed = schema.get(key)
        if isinstance(listed, list) and listed and _type(schema) is None and depth < MAX_DEPTH:
            return _example(listed[0], root, name, depth + 1)
    match _type(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            return [_example(schema.get("items", {}), root, name, depth + 1)] if depth < MAX_DEPTH else []
        case "string":
            return _string(schema, name)
        case "integer" | "number" as kind:
            return _number(schema, kind)
        case kind:
            return example_of_type(name, kind)


def _resolved(schema: Json, root: Json) -> JsonObject:
    """Return the schema with what it refers to in one object."""
    merged: JsonObject = {}
    found = schema if isinstance(schema, dict) else {}
    for _ in range(MAX_DEPTH):
        merged = {**found, **merged}
        reference = merged.pop("$ref", None)
        if not isinstance(reference, str):
            break
        target = root
        for part in reference.removeprefix("#").split("/")[1:]:
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        found = target if isinstance(target, dict) else {}
    return merged


def _type(schema: JsonObject) -> str | None:
    found = schema.get("type")
    if isinstance(found, list):
        found = next((each for each in found if each != "null"), "null")
    if isinstance(found, str):
        return found
    return "object" if "properties" in schema or "required" in schema else None


def _object(schema: JsonObject, root: Json, depth: int) -> JsonObject:
    """Return an object with the properties that are described; deep down with the required ones."""
    described, required = schema.get("properties"), schema.get("required")
    properties = described if isinstance(described, dict) else {}
    names = [str(each) for each in required] if isinstance(required, list) else []
    wanted = [*names, *(name for name in properties if name not in names)] if depth < 3 else names
    if depth >= MAX_DEPTH:
        return {}
    return {
        name: _example(properties.get(name, {}), root, name, depth + 1)
        for name in wanted
        if properties.get(name) is not False
    }


def _string(schema: JsonObject, name: str) -> str:
    text = _BY_FORMAT.get(str(schema.get("format"))) or str(example_of_type(name, "string"))
    least, most = schema.get("minLength"), schema.get("maxLength")
    text = text.ljust(min(least, 1_000), "x") if isinstance(least, int) else text
    return text[:most] if isinstance(most, int) else text


def _number(schema: JsonObject, kind: str) -> Json:
    value: int | float = 1 if kind == "integer" else 12.5
    bounds = {name: bound for name in _BOUNDS if isinstance(bound := schema.get(name), int | float)}
    if (least := bounds.get("minimum")) is not None:
        value = max(value, least)
    if (above := bounds.get("exclusiveMinimum")) is not None and value <= above:
        value = above + 1
    if (most := bounds.get("maximum")) is not None:
        value = min(value, most)
    if (below := bounds.get("exclusiveMaximum")) is not None and value >= below:
        value = below - 1
    return value
