from html.parser import HTMLParser
from math import inf

from hypothesis import assume, given, strategies as st
from jsonschema import Draft202012Validator

from shared.jsontext import JsonObject
from shared.subscribers.catalogue_page import Field, catalogue_page, fields_of
from shared.subscribers.event_types import event_type_from
from shared.subscribers.model import EventType
from shared.subscribers.schema_example import MAX_DEPTH, example_of
from tests.unit.shared.format_outcomes import depth_of
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
