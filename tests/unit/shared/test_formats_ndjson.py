from functools import partial

import pytest
from hypothesis import given, strategies as st

from shared.jsontext import Json, to_json
from shared.limits import DEFAULT
from tests.unit.shared import format_outcomes
from tests.unit.shared.format_outcomes import assert_taken_or_refused, depth_of, nodes_of

NDJSON = "application/x-ndjson"
SMALL = DEFAULT._replace(max_depth=4, max_nodes=20, max_keys=5)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


parsed = partial(format_outcomes.parsed, content_type=NDJSON)
rejection = partial(format_outcomes.rejection, content_type=NDJSON)


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ("", []),
        ("\n \r\n\t\n", []),
        ('{"a": 1}\n{"b": 2}\n', [{"a": 1}, {"b": 2}]),
        ('1\n"x"\nnull\n[]', [1, "x", None, []]),
        ('\x1e{"a": 1}\n\x1e{"b": 2}\n', [{"a": 1}, {"b": 2}]),
        ('\ufeff{"a": "\u2028"}\n', [{"a": "\u2028"}]),
    ],
)
def test_each_line_is_a_value(body: str, values: Json) -> None:
    assert parsed(body) == values


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("1\nx", "malformed_body"),
        ('{"a":\n1}', "malformed_body"),
        ("1,2", "malformed_body"),
        ("1\n1e400", "number_out_of_range"),
        ('1\n{"a": 1, "a": 2}', "duplicate_key"),
        ("[" * 64 + "]" * 64, "nested_too_deeply"),
        ("1\n" * 250_000, "too_many_values"),
        ("[1,1]\n" * 90_000, "too_many_values"),
    ],
)
def test_each_line_is_held_to_jsons_rules_and_all_together_to_the_limits(body: str, code: str) -> None:
    assert rejection(body) == code


@given(st.lists(VALUES, max_size=8))
def test_the_count_before_parsing_is_the_count_after_it(values: list[Json]) -> None:
    body = "\n".join(map(to_json, values))
    depth, nodes = depth_of(values), nodes_of(values)
    assert parsed(body, limits=DEFAULT._replace(max_depth=depth, max_nodes=nodes)) == values
    if depth > 1:
        assert rejection(body, limits=DEFAULT._replace(max_depth=depth - 1)) == "nested_too_deeply"
    if values:
        assert rejection(body, limits=DEFAULT._replace(max_nodes=nodes - 1)) == "too_many_values"


@given(st.binary(max_size=200) | st.text('[]{}",:\n\r1 \x1e', max_size=200).map(str.encode))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes) -> None:
    assert_taken_or_refused(body, NDJSON, SMALL)
