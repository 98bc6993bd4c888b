from html.parser import HTMLParser
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shared.jsontext import JsonObject
from shared.subscribers.catalogue_page import Field, catalogue_page, fields_of
from shared.subscribers.event_types import event_type_from
from shared.subscribers.model import EventType
from shared.subscribers.schema_example import example_of
from tests.unit.shared.json_values import json_values
from tests.unit.shared.subscribers.test_catalogue import ORDER, event_types

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
def test_the_page_is_well_formed_whatever_the_catalogue_says(
    types: list[EventType], title: str, max_bytes: float
) -> None:
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


def test_a_schema_inside_itself_is_described_once() -> None:
    paths = ["id", "lines", "lines[].parent", "lines[].whole"]
    assert [field.path for field in fields_of(ORDER)] == paths


def test_an_example_fits_the_schema_that_it_is_made_from() -> None:
    schema: JsonObject = {
        **ORDER,
        "properties": {
            **{"id": {"type": "integer", "minimum": 7}, "mail": {"type": "string", "format": "email"}},
            **{
                "one": {"oneOf": [{"type": "boolean"}, {"type": "string"}]},
                "short": {"type": "string", "maxLength": 2},
            },
            **{
                "lines": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/Line"}},
                "n": {"type": ["null", "number"]},
            },
        },
        "required": ["id", "mail", "one", "short", "lines", "n"],
    }
    Draft202012Validator(schema).validate(example_of(schema))


@given(json_values)
def test_an_example_can_be_made_of_anything(schema: object) -> None:
    example_of(schema)  # type: ignore[arg-type]
