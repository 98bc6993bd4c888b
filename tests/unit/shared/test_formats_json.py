"""JSON bodies: what is accepted, what is rejected, and the limits of depth, values, keys and numbers."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from shared.errors import REJECTION_STATUS, Rejected
from shared.formats import json_body
from shared.jsontext import Json, to_json
from shared.limits import DEFAULT, Limits
from tests.unit.shared import format_outcomes
from tests.unit.shared.format_outcomes import depth_of, nodes_of, outcome

parsed = partial(format_outcomes.parsed, content_type="application/json")
rejection = partial(format_outcomes.rejection, content_type="application/json")


SMALL = DEFAULT._replace(max_depth=4, max_nodes=20, max_keys=5, max_key_characters=10, max_number_digits=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text('[]{}",\\a'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("18446744073709551616", 18446744073709551616),
        ("-0", 0),
        ("1e-400", 0.0),
        ("1.0", 1.0),
    ],
)
def test_a_number_keeps_its_value_and_whether_it_is_an_integer(body: str, value: float) -> None:
    found = parsed(body)
    assert found == value
    assert type(found) is type(value)


# what is no JSON (after the classes of the public JSON parsing suite)


@pytest.mark.parametrize("body", ["", " \n"])
def test_of_an_empty_body_the_rejection_says_so(body: str) -> None:
    with pytest.raises(Rejected, match="the body is empty"):
        parsed(body)


def test_the_public_parsing_suite_is_judged_as_its_authors_do(node_package: Callable[[str], Path]) -> None:
    """Duplicate keys aside, which we refuse. Their implementation-defined cases have any answer but an exception."""
    source = (node_package("json-test-suite") / "data" / "parsing.js").read_text(encoding="utf-8")
    cases = json.loads(source.partition("export default")[2])
    assert len(cases) > 300
    for case in cases:
        found = outcome(case["input"].encode("utf-8", "surrogatepass"), "application/json")
        is_taken = not isinstance(found, str) or found == "duplicate_key"
        assert case["name"][0] in {"i", "y" if is_taken else "n"}, case["name"]


# properties


@given(VALUES)
def test_what_json_can_say_comes_out_as_it_went_in(value: Json) -> None:
    assert parsed(to_json(value)) == value
    assert parsed(json.dumps(value)) == value


@given(st.binary(max_size=200) | st.text('[]{}",:\\u0d8e1. ntf', max_size=200).map(str.encode))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes) -> None:
    found = outcome(body, "application/json", SMALL)
    if isinstance(found, str):
        assert 400 <= REJECTION_STATUS[found] < 500
        return
    to_json(found.data).encode()
    assert depth_of(found.data) <= SMALL.max_depth
    assert nodes_of(found.data) <= SMALL.max_nodes


@given(VALUES)
def test_the_count_before_parsing_is_the_count_after_it(value: Json) -> None:
    """Depth and values, both exact: at the limit it is taken, a step below it is refused."""
    depth, nodes = depth_of(value), nodes_of(value)
    body = json.dumps(value, indent=1)
    parsed(body, limits=DEFAULT._replace(max_depth=depth, max_nodes=nodes))
    if depth:
        assert rejection(body, limits=DEFAULT._replace(max_depth=depth - 1)) == "nested_too_deeply"
    assert rejection(body, limits=DEFAULT._replace(max_nodes=nodes - 1)) == "too_many_values"


def test_no_rejection_holds_any_of_the_body() -> None:
    for body in ('{"secret-7F": tru}', '{"secret-7F": 1, "secret-7F": 2}', '"secret-7F', '["secret-7F", 1e999]'):
        with pytest.raises(Rejected) as caught:
            parsed(body)
        assert "secret-7F" not in caught.value.detail
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


written = st.recursive(
    st.sampled_from(["0", "-0", "1.0", "1E5", "1e400", "0.1", "18446744073709551615", "18446744073709551616", "null"])
    | st.integers().map(str)
    | st.floats().map(repr)
    | st.text(st.sampled_from('\\"u005cdn{},:é ')).map('"{}"'.format)
    | st.text().map(json.dumps),
    lambda inner: (
        st.lists(inner).map(lambda texts: f"[{','.join(texts)}]")
        | st.lists(st.tuples(st.sampled_from(['"a"', '"\\u0061"', '"b"', '"\\""', '"\\\\"', '"a" ']), inner)).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        )
    ),
)


@given(written)
def test_orjson_and_the_exact_scanner_read_the_same(text: str) -> None:
    """Only the exact one reads a text as long as this."""
    padded = text + " " * DEFAULT.max_key_characters
    assert repr(outcome(text.encode(), "application/json")) == repr(outcome(padded.encode(), "application/json"))


long_keys = st.text(st.sampled_from('\\"u005cdn{},:é '), min_size=4, max_size=14).map(json.dumps)


@given(st.lists(st.tuples(long_keys | st.sampled_from(['"a"', '"b"']), written), max_size=4), st.integers(0, 40))
def test_a_long_key_is_found_wherever_it_stands(pairs: list[tuple[str, str]], cut: int) -> None:
    text = ("{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}")[: -cut or None].encode()
    found = outcome(text, "application/json", SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "may_hold_string", lambda *_: True)
        assert repr(found) == repr(outcome(text, "application/json", SMALL))


LONG = "[{,:1234567890123456789" * 3_000 + '\\\\\\"' * 300
MANY_BACKSLASHES = "\\" * 65_664


@given(
    written | st.text('[]{}",:\\u0d8e1. ntf', max_size=200),
    st.sampled_from([LONG, MANY_BACKSLASHES, MANY_BACKSLASHES + '\\"']),
    st.sampled_from([DEFAULT, SMALL]),
)
def test_a_text_is_judged_the_same_beside_a_long_string(text: str, string: str, limits: Limits) -> None:
    """What is in a long string is not looked through."""
    short, long = (outcome(f'["{first}",{text}]'.encode(), "application/json", limits) for first in ("", string))
    if isinstance(short, str) or isinstance(long, str):
        assert short == long
    else:
        assert isinstance(short.data, list)
        assert repr(long.data) == repr([json.loads(f'"{string}"'), *short.data[1:]])


@pytest.mark.parametrize(
    "body", ["[" * 65 + "]" * 65, "[" * 1_000_000, '{"a":' * 65 + "1", '["\\\\"' + "[" * 70, '["a", "\\"", ' + "[" * 70]
)
def test_a_level_more_is_rejected_whether_or_not_it_is_closed(body: str) -> None:
    assert rejection(body) == "nested_too_deeply"


def test_an_object_has_at_most_ten_thousand_keys() -> None:
    body = {str(number): 1 for number in range(10_000)}
    assert parsed(json.dumps(body)) == body
    assert rejection(json.dumps({**body, "more": 1})) == "too_many_values"
