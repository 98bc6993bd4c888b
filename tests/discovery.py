"""Checking JSON against Google's own description of an API, as google-api-python-client ships it."""

import base64
import re
from typing import Final

from shared.jsontext import Json, JsonObject, mapping_at
from shared.times import unix_seconds

_DURATION: Final = re.compile(r"\d+(\.\d+)?s")
_INT64: Final = re.compile(r"-?\d{1,19}")


def faults_in(value: Json, schema: JsonObject, schemas: JsonObject, path: str = "answer") -> list[str]:
    """What in `value` is not as `schema` says: unknown members, other types, other formats."""
    if isinstance(name := schema.get("$ref"), str):
        return faults_in(value, mapping_at(schemas[name]), schemas, path)
    match schema.get("type"):
        case "object":
            return _faults_in_object(value, schema, schemas, path)
        case "array":
            if not isinstance(value, list):
                return [f"{path} is no array"]
            items = mapping_at(schema["items"])
            return [fault for n, each in enumerate(value) for fault in faults_in(each, items, schemas, f"{path}[{n}]")]
        case "string" if value is None and schema.get("enum") == ["NULL_VALUE"]:
            return []
        case "string":
            return [] if isinstance(value, str) and _is_formed(value, schema) else [f"{path} is not as its format says"]
        case "integer":
            return [] if isinstance(value, int) and not isinstance(value, bool) else [f"{path} is no integer"]
        case "number":
            return [] if isinstance(value, int | float) and not isinstance(value, bool) else [f"{path} is no number"]
        case "boolean":
            return [] if isinstance(value, bool) else [f"{path} is neither true nor false"]
        case "any":
            return []
        case other:
            raise AssertionError(f"{path}: the type {other!r} is not known here")


def _faults_in_object(value: Json, schema: JsonObject, schemas: JsonObject, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path} is no object"]
    properties, others = mapping_at(schema.get("properties", {})), schema.get("additionalProperties")
    faults: list[str] = []
    for name, member in value.items():
        inner = properties.get(name, others)
        if inner is None:
            faults.append(f"{path}.{name} is not in Google's description")
        else:
            faults += faults_in(member, mapping_at(inner), schemas, f"{path}.{name}")
    return faults


def _is_formed(text: str, schema: JsonObject) -> bool:
    allowed = schema.get("enum")
    if isinstance(allowed, list) and text not in allowed:
        return False
    match schema.get("format"):
        case "google-duration":
            return bool(_DURATION.fullmatch(text))
        case "int64":
            return bool(_INT64.fullmatch(text))
        case "google-datetime":
            return text.endswith("Z") and unix_seconds(text) > 0
        case "byte":
            return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
        case _:
            return True
