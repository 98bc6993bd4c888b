"""Reading event types from documents of three forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jsontext import Json, JsonObject
from shared.subscribers.catalogue import CatalogueFault, event_types_in

ORDER: JsonObject = {"type": "object", "properties": {"number": {"type": "string"}}}


def openapi(body: Json, **more: Json) -> JsonObject:
    operation: JsonObject = {"requestBody": {"content": {"application/json": body}}, **more}
    return {
        "openapi": "3.1.0",
        "webhooks": {"order.paid": {"post": operation}},
        "components": {
            "schemas": {
                "Order": {**ORDER, "properties": {"buyer": {"$ref": "#/components/schemas/Buyer"}}},
                "Buyer": {"properties": {"orders": {"items": {"$ref": "#/components/schemas/Order"}}}},
                "Message": {
                    "properties": {
                        "type": {"const": "order.paid"},
                        "timestamp": {"type": "string"},
                        "data": {"$ref": "#/components/schemas/Order"},
                    }
                },
            }
        },
    }


def test_event_types_are_read_as_they_are_written() -> None:
    document: JsonObject = {"order.paid": {"schema": ORDER}, "order.sent": {}}
    assert event_types_in(document) == document


def test_a_schema_is_the_event_type_of_its_file() -> None:
    schema: JsonObject = {**ORDER, "title": "An order", "examples": [{"number": "1"}]}
    assert event_types_in(schema, "order.paid") == {
        "order.paid": {"description": "An order", "schema": schema, "examples": [{"number": "1"}]}
    }


def test_a_webhook_of_openapi_is_an_event_type() -> None:
    document = openapi(
        {"schema": ORDER, "example": {"number": "1"}, "examples": {"other": {"value": {"number": "2"}}}},
        summary="An order is paid",
        tags=["orders"],
        deprecated=True,
    )
    assert event_types_in(document) == {
        "order.paid": {
            "description": "An order is paid",
            "group": "orders",
            "deprecated": True,
            "schema": ORDER,
            "examples": [{"number": "1"}, {"number": "2"}],
        }
    }


def test_schemas_that_refer_to_each_other_stand_alone() -> None:
    found = event_types_in(openapi({"schema": {"$ref": "#/components/schemas/Order"}}))
    assert found["order.paid"]["schema"] == {
        "$ref": "#/$defs/Order",
        "$defs": {
            "Order": {**ORDER, "properties": {"buyer": {"$ref": "#/$defs/Buyer"}}},
            "Buyer": {"properties": {"orders": {"items": {"$ref": "#/$defs/Order"}}}},
        },
    }


def test_of_a_standard_body_the_data_counts() -> None:
    body: JsonObject = {
        "schema": {"$ref": "#/components/schemas/Message"},
        "example": {"type": "order.paid", "timestamp": "2026-01-01T00:00:00Z", "data": {"number": "1"}},
    }
    found = event_types_in(openapi(body))["order.paid"]
    assert found["examples"] == [{"number": "1"}]
    assert isinstance(found["schema"], dict)
    assert found["schema"]["$ref"] == "#/$defs/Order"


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], "must be an object"),
        ({"order.paid": "paid"}, "order.paid: must be an object"),
        ({"openapi": "3.0.3", "paths": {}}, "must be 3.1"),
        ({"openapi": "3.1.0", "paths": {}}, "webhooks: must have an entry"),
        ({"openapi": "3.1.0", "webhooks": {"a": {"get": {}}}}, "webhooks.a: must have `post`"),
        ({"openapi": "3.1.0", "webhooks": {"a": {"$ref": "#/webhooks/a"}}}, "leads in a circle"),
        ({"openapi": "3.1.0", "webhooks": {"a": {"$ref": "other.yaml#/a"}}}, "leads to nothing"),
        (openapi({"schema": {"$ref": "#/components/schemas/Missing"}}), "leads to nothing"),
    ],
)
def test_a_fault_names_its_place(document: Json, fault: str) -> None:
    with pytest.raises(CatalogueFault, match=fault):
        event_types_in(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "openapi",
                    "webhooks",
                    "post",
                    "requestBody",
                    "content",
                    "application/json",
                    "schema",
                    "$ref",
                    "examples",
                ]
            ),
            inner | st.sampled_from(["3.1.0", "#/webhooks/post", "#/components/schemas/schema"]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_document_is_read_or_is_a_fault(document: Json) -> None:
    try:
        found = event_types_in(document, "a")
    except CatalogueFault:
        return
    assert all(isinstance(each, dict) for each in found.values())


def test_a_deep_document_is_a_fault() -> None:
    deep: Json = {}
    for _ in range(50_000):
        deep = {"items": deep}
    with pytest.raises(CatalogueFault, match="nested too deeply"):
        event_types_in(openapi({"schema": deep}))
