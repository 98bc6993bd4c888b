"""The catalogue of event types, and its page."""

import json
from html.parser import HTMLParser
from math import inf
from typing import Final

import pytest
from hypothesis import assume, given, strategies as st
from jsonschema import Draft202012Validator

from shared.jsontext import Json, JsonObject
from shared.subscribers.catalogue_document import (
    MAX_TYPES,
    catalogue_document,
    json_schema_document,
    read_catalogue,
)
from shared.subscribers.catalogue_page import Field, catalogue_page, fields_of
from shared.subscribers.event_types import event_type_from
from shared.subscribers.model import EventType
from shared.subscribers.openapi_webhooks import Payload, openapi_document
from shared.subscribers.schema_example import MAX_DEPTH, example_of
from shared.subscribers.standalone_schema import (
    MAX_SCHEMA_BYTES,
    CatalogueFaults,
    standalone_schema,
)
from tests.unit.shared.format_outcomes import depth_of
from tests.unit.shared.json_values import json_values, texts

ORDER: Final[JsonObject] = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}}},
    "required": ["id"],
    "$defs": {"Line": {"type": "object", "properties": {"parent": {"$ref": "#/$defs/Line"}, "whole": {"$ref": "#"}}}},
}
PETS: Final[JsonObject] = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1"},
    "webhooks": {
        "pet.created": {"$ref": "#/components/pathItems/created"},
        "pet.fed": {"post": {"requestBody": {"content": {"application/json": {"schema": {"type": "string"}}}}}},
        "pet.gone": {"post": {"summary": "A pet is gone.", "deprecated": True}},
    },
    "components": {
        "pathItems": {
            "created": {
                "post": {
                    "description": "A pet was added.",
                    "tags": ["pets"],
                    "requestBody": {"$ref": "#/components/requestBodies/pet"},
                }
            }
        },
        "requestBodies": {
            "pet": {
                "content": {
                    "application/json; charset=utf-8": {
                        "schema": {"$ref": "#/components/schemas/Pet"},
                        "examples": {"a": {"$ref": "#/components/examples/rex"}},
                    }
                }
            }
        },
        "examples": {"rex": {"value": {"name": "Rex"}}},
        "schemas": {
            "Pet": {
                "type": "object",
                "properties": {
                    "name": {"$ref": "#/components/schemas/Name"},
                    "mother": {"$ref": "#/components/schemas/Pet"},
                },
            },
            "Name": {"type": "string"},
        },
    },
}

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
flat_schemas: st.SearchStrategy[JsonObject] = st.sampled_from(
    [{"type": "integer"}, {"enum": [1, {"$ref": "no reference"}]}, {"$ref": "#/$defs/It em"}, {"items": {"$ref": "#"}}]
)
schemas = st.dictionaries(texts, flat_schemas, max_size=4).map(
    lambda properties: standalone_schema({"properties": {**properties}, "$defs": {"It em": {"type": "string"}}})
)
event_types = st.builds(
    EventType,
    name=names,
    description=st.text(max_size=20),
    group=st.text(max_size=5),
    schema_=schemas | st.just({}),
    examples=st.lists(json_values, max_size=3).map(tuple),
    is_deprecated=st.booleans(),
)
catalogues = st.lists(event_types, max_size=4, unique_by=lambda each: each.name).map(
    lambda types: tuple(sorted(types, key=lambda each: each.name))
)


def as_file(document: JsonObject) -> Json:
    read: Json = json.loads(json.dumps(document))
    return read


@given(catalogues)
def test_what_is_exported_in_any_form_is_imported_as_it_was(types: tuple[EventType, ...]) -> None:
    payloads: tuple[Payload, ...] = ("standard", "data")
    openapi = [openapi_document(types, payload=payload) for payload in payloads]
    for document in (*openapi, json_schema_document(types), catalogue_document(types)):
        assert read_catalogue(as_file(document)) == types


@given(json_values | st.dictionaries(st.sampled_from(["openapi", "webhooks", "$defs", "a", "$ref"]), json_values))
def test_a_document_is_read_or_has_faults_and_nothing_else_is_raised(document: Json) -> None:
    try:
        read_catalogue(document)
    except CatalogueFaults as faults:
        assert faults.faults


def test_a_webhook_becomes_an_event_type_with_all_that_its_schema_refers_to() -> None:
    created, fed, gone = read_catalogue(PETS)
    assert created == EventType(
        name="pet.created",
        description="A pet was added.",
        group="pets",
        schema_={
            "type": "object",
            "properties": {"name": {"$ref": "#/$defs/Name"}, "mother": {"$ref": "#"}},
            "$defs": {"Name": {"type": "string"}},
        },
        examples=({"name": "Rex"},),
    )
    assert fed.schema_ == {"type": "string"}
    assert gone == EventType(name="pet.gone", description="A pet is gone.", is_deprecated=True)


def test_the_envelope_of_standard_webhooks_is_taken_off_and_another_body_is_not() -> None:
    envelope: JsonObject = {
        "type": "object",
        "properties": {"type": {"enum": ["order.paid"]}, "timestamp": {}, "data": {"type": "integer"}},
    }
    content: JsonObject = {"schema": envelope, "example": {"type": "order.paid", "timestamp": "now", "data": 7}}
    operation: JsonObject = {"requestBody": {"content": {"application/json": content}}}
    paid, sent = read_catalogue(
        {"openapi": "3.1.0", "webhooks": {"order.paid": {"post": operation}, "order.sent": {"post": operation}}}
    )
    assert (paid.schema_, paid.examples) == ({"type": "integer"}, (7,))
    assert sent.schema_ == envelope


def test_schemas_of_openapi_3_0_are_modernized() -> None:
    schema: JsonObject = {"type": "number", "nullable": True, "minimum": 1, "exclusiveMinimum": True}
    modern: JsonObject = {"type": ["number", "null"], "exclusiveMinimum": 1}
    with_property: JsonObject = {"properties": {"default": schema}}
    modern_property: JsonObject = {"properties": {"default": modern}}
    for written, expected in ((schema, modern), (with_property, modern_property)):
        operation: JsonObject = {"requestBody": {"content": {"application/json": {"schema": written}}}}
        (found,) = read_catalogue({"openapi": "3.0.3", "x-webhooks": {"a": {"post": operation}}})
        assert found.schema_ == expected


def test_a_foreign_json_schema_tells_its_event_type_in_annotations_and_its_name_in_the_files() -> None:
    schema: JsonObject = {"$schema": "https://json-schema.org/draft/2020-12/schema", "description": "Paid.", **ORDER}
    (found,) = read_catalogue(schema, "order.paid")
    assert (found.name, found.description) == ("order.paid", "Paid.")
    with pytest.raises(CatalogueFaults, match="which event type it is of"):
        read_catalogue(schema)


A_LOOP: Final[JsonObject] = {
    "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}},
    "$ref": "#/$defs/a",
}
DEEP: Final = json.loads('{"items":' * 70 + "{}" + "}" * 70)


@pytest.mark.parametrize(
    ("schema", "rule"),
    [
        ({"$ref": "https://example.com/order.json"}, "leads out of the document"),
        ({"items": {"$ref": "file:///etc/passwd"}}, "leads out of the document"),
        ({"items": {"$ref": "#/$defs/none"}}, "leads to nothing"),
        ({"items": {"$ref": "#/required"}, "required": ["a"]}, "not a schema"),
        ({"$ref": "#"}, "circle"),
        (A_LOOP, "leads back to itself"),
        ({"items": {"$id": "https://example.com/"}}, "at the top of a schema only"),
        ({"type": "text"}, "not a JSON Schema 2020-12: /type"),
        ({"properties": {"a": {"pattern": "("}}}, "not a JSON Schema 2020-12: /properties/a/pattern"),
        (DEEP, "nested more than 64 deep"),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "at most 200,000 bytes"),
        ({"allOf": [{"type": "string"}] * 20_001}, "at most 20,000 values"),
        ("x", "must be an object"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_stand_alone_is_rejected(schema: Json, rule: str) -> None:
    with pytest.raises(CatalogueFaults, match=rule):
        read_catalogue({"order.paid": {"schema": schema}})


def test_references_that_multiply_are_rejected_before_they_are_followed() -> None:
    many: JsonObject = {f"s{n}": {"allOf": [{"$ref": f"#/components/schemas/s{n + 1}"}] * 10} for n in range(50)}
    many["s50"] = {"enum": ["x" * 500] * 500}
    content: JsonObject = {"application/json": {"schema": {"$ref": "#/components/schemas/s0"}}}
    hostile: JsonObject = {
        "openapi": "3.1.0",
        "webhooks": {f"w{n}": {"post": {"requestBody": {"content": content}}} for n in range(60)},
        "components": {"schemas": many},
    }
    with pytest.raises(CatalogueFaults, match="at most 200,000 bytes") as raised:
        read_catalogue(hostile)
    assert len(raised.value.faults) == 50


@pytest.mark.parametrize(
    ("document", "path", "rule"),
    [
        ({"a": {"desc": "x"}}, "/a/desc", "not an event type's field"),
        ({"a": {"description": 1}}, "/a/description", "must be a text"),
        ({"a": {"examples": [0] * 21}}, "/a/examples", "at most 20"),
        ({"openapi": "2.0", "webhooks": {}}, "/openapi", "3.0 or later"),
        ([], "", "must be an object"),
        ({f"t{n}": {} for n in range(MAX_TYPES + 1)}, "", "at most 1,000 event types"),
    ],
)  # fmt: skip
def test_a_fault_says_where_it_is_and_which_rule_it_breaks(document: Json, path: str, rule: str) -> None:
    with pytest.raises(CatalogueFaults) as raised:
        read_catalogue(document)
    assert raised.value.faults[0].path == path
    assert rule in raised.value.faults[0].rule


OWN_TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "div", "nav", "h2", "ul", "li", "main", "p",
    "section", "code", "article", "h3", "span", "h4", "table", "thead", "tr", "th", "tbody", "td", "pre", "details",
    "summary", "img",
}  # fmt: skip


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(
    st.lists(event_types, max_size=3, unique_by=lambda each: each.name),
    st.text(max_size=20),
    st.sampled_from([0, 1_000, 2_000, inf]),
)
def test_the_page_is_well_formed_for_any_catalogue(types: list[EventType], title: str, max_bytes: float) -> None:
    tags = Tags(catalogue_page(types, title, max_bytes=max_bytes))
    assert not tags.open
    assert tags.seen <= OWN_TAGS
    inside = [link.removeprefix("#") for link in tags.links if link.startswith("#")]
    assert set(inside) <= set(tags.ids)


def test_what_the_operator_writes_is_text_and_never_a_tag() -> None:
    hostile = "<script>alert(1)</script>"
    schema: JsonObject = {"properties": {hostile: {"description": hostile, "enum": [hostile]}}}
    fields: JsonObject = {"description": hostile, "group": hostile, "schema": schema, "examples": [{hostile: hostile}]}
    page = catalogue_page([event_type_from("a", fields)], hostile, logo='"><script>')
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_event_type_is_shown_with_its_fields_and_an_example() -> None:
    schema: JsonObject = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "description": "The order's number."},
            "paid_at": {"type": ["string", "null"], "format": "date-time"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            "state": {"enum": ["open", "paid"]},
        },
        "required": ["id"],
        "$defs": {"Line": {"type": "object", "allOf": [{"properties": {"sku": {"type": "string"}}}]}},
    }
    assert [*fields_of(schema)] == [
        Field("id", "integer", True, "The order's number."),
        Field("paid_at", "string or null, date-time", False, ""),
        Field("lines", "array of object", False, ""),
        Field("lines[].sku", "string", False, ""),
        Field("state", '"open" or "paid"', False, ""),
    ]
    page = catalogue_page([event_type_from("order.paid", {"schema": schema, "deprecated": True})])
    assert "deprecated" in page
    assert "&quot;sku&quot;: &quot;text&quot;" in page


SCHEMAS: st.SearchStrategy[JsonObject] = st.deferred(
    lambda: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("string")}, optional={"minLength": st.integers(0, 20), "maxLength": st.integers(20, 30)}
        ),
        st.fixed_dictionaries(
            {"type": st.sampled_from(["integer", "number"])},
            optional={
                "minimum": st.integers(-9, 9),
                "exclusiveMinimum": st.integers(-9, 9),
                "maximum": st.integers(20, 30),
                "exclusiveMaximum": st.integers(20, 30),
                "multipleOf": st.sampled_from([2, 5]),
            },
        ),
        st.sampled_from([{"type": ["null", "boolean"]}, {"enum": ["a", 1]}, {"const": {"a": [None]}}, {}]),
        st.builds(
            lambda properties, more: {
                "type": "object",
                "properties": properties,
                "required": [*properties, *more],
                "additionalProperties": {"type": "string"},
            },
            st.dictionaries(st.sampled_from(["email", "id", "count"]), SCHEMAS, max_size=2),
            st.sampled_from([[], ["more"]]),
        ),
        st.builds(
            lambda first, items, least: {"type": "array", "prefixItems": first, "items": items, "minItems": least},
            st.lists(SCHEMAS, min_size=1, max_size=2),
            st.one_of(SCHEMAS, st.just({})),
            st.integers(0, 4),
        ),
        st.builds(
            lambda a, b: {
                "allOf": [{"properties": {"a": a}, "required": ["a"]}, {"properties": {"b": b}, "required": ["b"]}]
            },
            SCHEMAS,
            SCHEMAS,
        ),
        st.builds(lambda a, b: {"anyOf": [a, b]}, SCHEMAS, SCHEMAS),
        st.just({"$ref": "#/$defs/part"}),
    )
)


@given(SCHEMAS, st.sampled_from([{}, {"email": "a@example.com", "count": 3, "": "example"}]))
def test_an_example_fits_the_schema_that_it_is_made_from(schema: JsonObject, by_name: JsonObject) -> None:
    assume(depth_of(schema) <= MAX_DEPTH)  # what is nested more deeply has null in its place
    whole: JsonObject = {**schema, "$defs": {"part": {"type": "array", "items": {"type": "string", "format": "email"}}}}
    Draft202012Validator(whole).validate(example_of(whole, by_name))


def test_an_example_of_a_schema_inside_itself_ends() -> None:
    Draft202012Validator(ORDER).validate(example_of(ORDER))


@given(json_values)
def test_an_example_can_be_made_of_anything(schema: object) -> None:
    example_of(schema)  # type: ignore[arg-type]
