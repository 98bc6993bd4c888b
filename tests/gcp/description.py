"""Google's own description of an API, as google-api-python-client ships it: what a stand-in holds each request to."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pytest

from shared.jsontext import Json, JsonObject, mapping_at, mappings_at
from shared.times import unix_seconds

_DURATION: Final = re.compile(r"\d+(\.\d+)?s")
_INT64: Final = re.compile(r"-?\d{1,19}")


@dataclass(frozen=True)
class Method:
    """`path` as a pattern. An upload has a path of its own, and a body that is no JSON."""

    name: str
    verb: str
    path: re.Pattern[str]
    parameters: frozenset[str]
    request: JsonObject | None
    response: JsonObject | None
    is_upload: bool = False


class Description:
    def __init__(self, api: str, version: str) -> None:
        cache = pytest.importorskip(
            "googleapiclient.discovery_cache", reason="pip install google-api-python-client: it describes the API"
        )
        self._document: JsonObject = json.loads(cache.get_static_doc(api, version))
        self._methods = list(_methods(self._document, _text(self._document, "servicePath")))
        self._common = mapping_at(self._document, "parameters").keys()

    def method(self, verb: str, path: str, query: Mapping[str, str], body: Json) -> Method:
        """The method that the request calls. Raises AssertionError for one that Google would not take."""
        found = [each for each in self._methods if each.verb == verb and each.path.fullmatch(path)]
        assert found, f"{verb} {path} is no method of the API"
        fitting = [each for each in found if query.keys() <= each.parameters | self._common]
        method = (fitting or found)[-1]
        unknown = set(query) - method.parameters - self._common
        assert not unknown, f"{method.name} has no parameters {unknown}"
        if method.request is None or method.is_upload:
            assert body is None or method.is_upload, f"{method.name} takes no body"
        else:
            faults = faults_in(body, method.request, self.schemas, "request")
            assert not faults, faults
        return method

    def check_answer(self, method: Method, answer: Json) -> None:
        """A stream of answers is an array of what is described."""
        for each in answer if isinstance(answer, list) else [answer]:
            faults = faults_in(each, method.response, self.schemas) if method.response else []
            assert not faults, faults

    def faults(self, value: Json, schema: str) -> list[str]:
        """Return what in the value is not as the schema with this name says."""
        return faults_in(value, mapping_at(self.schemas, schema), self.schemas, schema)

    @property
    def schemas(self) -> JsonObject:
        return mapping_at(self._document, "schemas")


def _methods(value: JsonObject, service_path: str) -> Iterator[Method]:
    for method in mappings_at(value, "methods").values():
        yield _method(method, service_path + _text(method, "path"))
        simple = mapping_at(method, "mediaUpload", "protocols", "simple")
        if simple:
            yield _method(method, _text(simple, "path").removeprefix("/"), is_upload=True)
    for resource in mappings_at(value, "resources").values():
        yield from _methods(resource, service_path)


def _method(method: JsonObject, path: str, is_upload: bool = False) -> Method:
    parts = re.split(r"(\{\+?\w+\})", path)
    pattern = "".join(
        (r".+" if part.startswith("{+") else r"[^/:]+") if part.startswith("{") else re.escape(part) for part in parts
    )
    return Method(
        _text(method, "id"),
        _text(method, "httpMethod"),
        re.compile("/" + pattern),
        frozenset(mapping_at(method, "parameters")),
        mapping_at(method, "request") or None,
        mapping_at(method, "response") or None,
        is_upload,
    )


def _text(value: JsonObject, name: str) -> str:
    return str(value.get(name, ""))


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
