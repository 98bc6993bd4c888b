from typing import Final

import jmespath
import pytest
from hypothesis import given, strategies as st

from shared.expressions import is_true
from shared.jsontext import Json
from shared.subscribers import matching
from shared.subscribers.model import Endpoint


def view(data: Json) -> dict[str, Json]:
    return matching.filter_view("e1", "order.paid", "2026-01-01T00:00:00Z", data)


def is_matched(text: str, data: Json) -> bool:
    return matching.Filter(text).matches(view(data))


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_glob_means_what_a_regular_expression_of_it_means(glob: str, type_: str) -> None:
    def naive(glob: str, type_: str) -> bool:
        if not glob:
            return not type_
        if glob[0] == "*":
            return any(naive(glob[1:], type_[at:]) for at in range(len(type_) + 1))
        return bool(type_) and glob[0] == type_[0] and naive(glob[1:], type_[1:])

    assert not glob or matching.type_matches([glob], type_) is naive(glob, type_)


@pytest.mark.parametrize(
    "text",
    [
        "data.total > `100`",
        "data.items[?price > `50`].sku | contains(@, 'b')",
        "type == 'order.paid' && !(data.is_test)",
        "sum(data.items[].price) > `80`",
        'contains(`["de", "at"]`, data.country)',
    ],
)
def test_a_filter_reads_the_id_type_timestamp_and_data_of_an_event(text: str) -> None:
    data: Json = {
        "total": 120,
        "country": "at",
        "items": [{"sku": "a", "price": 30, "tags": ["x", "y"]}, {"sku": "b", "price": 60}],
    }
    assert is_matched(text, data)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{{ data.total }}", "must be a JMESPath expression: column 2"),
        ("subject == 'x'", "must be a JMESPath expression: there is no 'subject'"),
        ("nope(data)", "must be a JMESPath expression: JMESPath has no function 'nope'"),
        ("[data, data]", "that makes a list"),
        ("sort_by(data, &a)", "has no sort_by"),
        ("length(&data)", "has no `&`"),
        ("a" * (matching.MAX_FILTER_CHARACTERS + 1), "at most 500 characters"),
        ("!" * 400 + "data", "nested too deeply|levels deep"),
        ("data" + " || data" * 30, "at most 20 levels deep"),
    ],
)
def test_a_filter_that_cannot_be_used_is_rejected_when_it_is_saved(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        matching.Filter(text)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("length(data.total)", {"total": 1}),
        ("data.a > data.b", {"a": 1, "b": "x"}),
        ("data[*].a", [{"a": 1}] * 20_000),
        ("data.a == data.b", {"a": [1] * 20_000, "b": [1] * 20_000}),
        ("contains(data, 'ab')", "a" * 2_000_000),
        ("data[1:][1:][1:][1:][1:][1:]", [1] * 3_000),
    ],
)
def test_a_filter_that_fails_or_works_too_long_says_why_and_quotes_no_event(text: str, data: Json) -> None:
    with pytest.raises(matching.FilterFailed) as failed:
        is_matched(text, data)
    assert "2_000" not in str(failed.value)
    assert len(str(failed.value)) < 700


def test_no_filter_works_for_long_whatever_it_says() -> None:
    """Each of these has more steps than it may take; without a bound, some take minutes."""
    data: Json = {"a": [{"b": list(range(50))} for _ in range(2_000)], "text": "a" * 5_000_000}
    hostile = (
        "data.a[?b[?@ == `1`]][?b[?@ == `2`]][?b[?@ == `3`]][?b[?@ == `4`]]",
        "data.a[*].b[*][] | @[] | @[] | contains(@, `-1`)",
        " || ".join(["contains(data.text, 'b')"] * 15),
        " || ".join(["data.a != data.a"] * 15),
        "sum(data.a[].b[]) > `0` || max(data.a[].b[]) > `0`",
        f"not_null({', '.join(['to_number(data.text)'] * 20)})",
    )
    for text in hostile:
        with pytest.raises(matching.FilterFailed, match="more than 10,000 steps"):
            matching.Filter(text).matches(view(data))


VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)
PIECES: Final = ("data", ".a", ".b", "[0]", "[]", "[*]", ".*", "[?a]", "[1:]", " == ", " && ", " || ", "`1`", "!", "|@")


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), VALUES)
def test_a_filter_decides_as_jmespath_does(pieces: list[str], data: Json) -> None:
    text = "".join(pieces)
    try:
        own = matching.Filter(text)
    except ValueError:
        return
    try:
        decided = own.matches(view(data))
    except matching.FilterFailed:
        return
    theirs = is_true(jmespath.search(text, view(data)))
    assert decided is theirs or "==" in text  # there, jmespath takes 1 for true inside of lists and objects


def test_an_endpoint_is_matched_by_its_types_and_then_by_its_filter() -> None:
    endpoint = Endpoint(id="ep_1", tenant="acme", url="", types=("order.*",), filter="data.total > `100`")
    assert matching.matches(endpoint, "order.paid", view({"total": 101}))
    assert not matching.matches(endpoint, "order.paid", view({"total": 1}))
    assert not matching.matches(endpoint, "invoice.paid", view({"total": 101}))
