import contextlib
import json
from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from functions.transform.step import Noted, Switch
from functions.transform.steps.lint import Lint
from functions.transform.verifying import verified_step
from shared.errors import Permanent
from shared.formats.text_body import binary
from shared.jsontext import Json
from tests.fakes.steps import EVENT, data_after, memory_below, result_of
from tests.unit.shared.json_values import json_values

SIGNUP: dict[str, Json] = {
    "type": "object",
    "required": ["email"],
    "properties": {
        "email": {"type": "string", "format": "email"},
        "age": {"type": "integer", "minimum": 18},
        "at": {"format": "date-time"},
        "plan": {"enum": ["free", "pro"]},
        "tags": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/tag"}},
    },
    "additionalProperties": False,
    "$defs": {"tag": {"type": ["string", "null"], "maxLength": 5}},
}


def faults(settings: Json, data: Json) -> str:
    with pytest.raises(Permanent) as caught:
        data_after(Lint, settings, data)
    assert caught.value.code == "lint_failed"
    return caught.value.detail


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("json", '{"a":\n  }', "data: not JSON: Expecting value: line 2 column 3 (char 8)"),
        ("json", '{"a": 1, "a": 2}', "data: an object has the same key twice"),
        ("xml", "<a>\n<b></a>", "data: not XML: line 2, column 6: mismatched tag"),
        ("xml", "<a>Smith & Sons</a>", "data: not XML: line 1, column 11: not well-formed (invalid token), such as &"),
        ("yaml", "a: 1\nb: [", "data: not YAML: line 3, column 1"),
        ("plist", "<plist><dict><key>a</key></dict></plist>", "data: the XML is not a property list"),
    ],
)
def test_a_fault_in_a_document_says_where(name: str, text: str, message: str) -> None:
    assert faults({"format": name}, text).startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "data lacks 'email'"),
        ({"email": 1}, "data.email is not of type string: it is a number"),
        ({"email": "hunter2"}, 'data.email breaks format: "email"'),
        ({"email": "a@b", "age": 3}, "data.age breaks minimum: 18"),
        ({"email": "a@b", "plan": "hunter2"}, 'data.plan breaks enum: ["free","pro"]'),
        ({"email": "a@b", "hunter2": 1}, "data has a field that the schema does not name"),
        ({"email": "a@b", "tags": [1]}, "data.tags[0] is not of type string or null: it is a number"),
        ({"email": "a@b", "tags": ["x", "x"]}, "data.tags holds an item twice"),
    ],
)
def test_a_fault_against_a_schema_names_place_and_rule_and_no_value(data: Json, message: str) -> None:
    assert faults({"schema": SIGNUP}, data) == message


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("email", "data.email"),
        ("1a", 'data["1a"]'),
        ("ns:a", 'data["ns:a"]'),
        ("ada@example.com", "data.*"),
        ("4111 1111 1111 1111", "data.*"),
        ("é", "data.*"),
        ("a" * 65, "data.*"),
    ],
)
def test_a_fault_shows_a_key_of_the_sender_only_if_it_is_the_name_of_a_field(key: str, place: str) -> None:
    schema: Json = {"additionalProperties": {"type": "string"}}
    assert faults({"schema": schema}, {key: 1}) == f"{place} is not of type string: it is a number"


def test_every_fault_is_reported_at_once_up_to_ten() -> None:
    assert faults({"schema": SIGNUP}, {"age": 1, "plan": 2}).count(";") == 2
    assert faults({"schema": {"items": {"type": "null"}}}, [1] * 1_000).count(";") == 9


def test_a_file_brings_the_schema_as_text_or_in_base64() -> None:
    text = json.dumps(SIGNUP)

    forms: list[Json] = [text, {"base64": b64encode(text.encode()).decode()}]
    for settings in forms:
        assert faults({"schema": settings}, {}) == "data lacks 'email'"


def test_what_text_says_is_checked_against_the_schema() -> None:
    settings: Json = {"format": "yaml", "schema": SIGNUP, "path": "data.form"}

    assert faults(settings, {"form": "email: 7"}) == "data.form.email is not of type string: it is a number"
    assert faults(settings, {}) == "data.form is not there"


@pytest.mark.parametrize(
    ("types", "data", "message"),
    [
        ({"data.a": "integer"}, {"a": 1.5}, "data.a is a number, not integer"),
        ({"data.a": "number"}, {"a": True}, "data.a is a boolean, not number"),
        ({"data.a": "text"}, {}, "data.a is not there"),
        ({"data.a[*].b": "boolean"}, {"a": [{"b": True}, {"b": None}]}, "data.a[1].b is null, not boolean"),
        ({"data.a": "text", "data.b": "text"}, {"a": 1, "b": 2}, "data.a is a number, not text; data.b is a number"),
    ],
)
def test_fields_of_another_type_are_named(types: dict[str, Json], data: Json, message: str) -> None:
    assert faults({"types": types}, data).startswith(message)


def test_what_fits_passes() -> None:
    signup: Json = {"email": "a@b", "age": 36, "at": "2026-03-01T12:00:00Z", "plan": "pro", "tags": ["x", None]}
    assert data_after(Lint, {"schema": SIGNUP}, signup) == signup
    types: dict[str, Json] = {
        "data.n": "integer",
        "data.x": "text or null",
        "data.o": "object?",
        "data.l": "list",
    }
    data: Json = {"n": 7.0, "x": None, "l": []}
    assert data_after(Lint, {"types": types}, data) == data


def test_a_warning_is_noted_and_the_event_goes_on_as_it_was() -> None:
    event = replace(EVENT, data={"age": "7"})
    settings: Json = {"types": {"data.age": "integer"}, "on_fault": "warn"}

    assert result_of(Lint, settings, event) == Noted(event, "data.age is text, not integer")
    assert result_of(Lint, settings, replace(event, data={"age": 7})) == replace(event, data={"age": 7})


def test_what_is_faulty_goes_on_in_another_chain() -> None:
    settings: Json = {"format": "json", "on_fault": "switch", "chain": "mend"}
    event = replace(EVENT, data="{")

    assert result_of(Lint, settings, event) == Switch(event, "mend")
    assert verified_step(Lint, settings).chains() == ("mend",)


@given(st.text() | st.binary(), json_values)
def test_any_document_or_value_passes_or_is_rejected(content: str | bytes, value: Json) -> None:
    document: Json = content if isinstance(content, str) else binary(content, "")
    for name in ("json", "xml", "yaml", "plist"):
        with contextlib.suppress(Permanent):
            data_after(Lint, {"format": name}, document)
    with contextlib.suppress(Permanent):
        data_after(Lint, {"schema": SIGNUP}, value)


def test_a_long_list_of_different_objects_is_compared_in_no_time() -> None:
    items: Json = [{"n": number} for number in range(20_000)]

    assert data_after(Lint, {"schema": {"uniqueItems": True}}, items) == items
    assert faults({"schema": {"uniqueItems": True}}, [{"a": 1}, {"a": 1.0}]) == "data holds an item twice"


@pytest.mark.parametrize(
    ("schema", "data"),
    [({"multipleOf": 0.01}, 10**4_000), ({"format": "regex"}, "(" * 5_000), ({"$ref": "#"}, 1)],
    ids=["number", "regex", "circle"],
)
def test_what_cannot_be_checked_is_a_fault(schema: Json, data: Json) -> None:
    assert faults({"schema": schema}, data) == "data cannot be checked against the schema"


@pytest.mark.parametrize("rule", ["anyOf", "oneOf"])
def test_what_is_wrong_under_each_of_several_schemas_fills_no_memory(rule: str) -> None:
    schema: Json = {rule: [{"items": {"type": "object"}}, {"items": {"type": "null"}}]}
    with memory_below(4):
        assert faults({"schema": schema}, [1] * 20_000) == f"data breaks {rule}"
