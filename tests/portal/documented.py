"""The API's OpenAPI document, with which each answer of the stand-in is compared."""

import json
from functools import cache
from typing import Final

import jsonschema

from shared.jsontext import Json, JsonObject
from tests.emulation import ROOT

DOCUMENT: Final = ROOT / "functions/subscribe/openapi.json"


@cache
def _document() -> JsonObject:
    document: JsonObject = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return document


def assert_documented(method: str, path: str, status: int, body: bytes) -> None:
    """The route answers with that status, and the body is as its schema says."""
    answers = _at(_document(), "paths", path, method.lower(), "responses")
    answer = _at(answers, str(status))
    if "$ref" in answer:
        answer = _at(_document(), *str(answer["$ref"]).removeprefix("#/").split("/"))
    content = answer.get("content")
    if not isinstance(content, dict):
        assert body == b"", f"{method} {path} answers {status} without a body"
        return
    (form,) = content.values()
    assert isinstance(form, dict)
    schema: JsonObject = {**_at(form, "schema"), "components": _document()["components"]}
    value: Json = json.loads(body)
    jsonschema.Draft202012Validator(schema).validate(value)


def _at(value: JsonObject, *keys: str) -> JsonObject:
    for key in keys:
        inner = value[key]
        assert isinstance(inner, dict)
        value = inner
    return value
