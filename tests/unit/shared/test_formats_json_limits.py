"""The limits of JSON: depth, values, keys and numbers."""

import json

import pytest

from shared.jsontext import to_json
from shared.limits import Limits
from tests.unit.shared.json_bodies import parsed, rejection


@pytest.mark.parametrize("body", ["[" * 64 + "]" * 64, '{"":' * 64 + "1" + "}" * 64, '[{"":' * 32 + "1" + "}]" * 32])
def test_sixty_four_levels_are_accepted(body: str) -> None:
    assert to_json(parsed(body)) == body


@pytest.mark.parametrize(
    "body", ["[" * 65 + "]" * 65, "[" * 65, "[" * 100_000, "[" * 1_000_000, '[{"":' * 50_000, '{"a":' * 65 + "1"]
)
def test_a_level_more_is_rejected_whether_or_not_it_is_closed(body: str) -> None:
    assert rejection(body) == "nested_too_deeply"


@pytest.mark.parametrize(
    "body",
    [
        '"' + "[" * 100_000 + '"',
        '["' + "[{" * 1_000 + '"]',
        '["\\"' + "[" * 1_000 + '\\\\"]',
        '{"' + "[" * 1_000 + '\\\\": "' + "{" * 1_000 + '"}',
        "[" + ",".join(["[]"] * 1_000) + "]",
        "[" + ",".join(['{"a": [{}]}'] * 1_000) + "]",
    ],
)
def test_brackets_in_strings_and_beside_one_another_are_no_depth(body: str) -> None:
    assert parsed(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        '["\\\\"' + "[" * 70,
        '["\\\\\\"' + "[" * 70 + '"' + "[" * 70,
        '["a", "\\"", ' + "[" * 70,
        '"' + "]" * 100 + '"["',
    ],
)
def test_depth_after_escaped_quotes_is_seen_for_what_it_is(body: str) -> None:
    assert rejection(body) in {"nested_too_deeply", "malformed_body"}


def test_a_fault_before_the_depth_is_a_fault_of_parsing_or_of_depth_but_never_an_exception() -> None:
    assert rejection('[\\"' + "[" * 100_000) in {"nested_too_deeply", "malformed_body"}
    assert rejection("]" * 100_000 + "[" * 100_000) in {"nested_too_deeply", "malformed_body"}


# nodes


def test_values_are_counted_to_the_last() -> None:
    assert parsed("[" + "1," * 249_998 + "1]") == [1] * 249_999
    assert rejection("[" + "1," * 249_999 + "1]") == "too_many_values"


@pytest.mark.parametrize("value", ["[]", "{}", "[ ]", '""', '"a,b"', "null", '{"a":1}'])
def test_too_many_values_of_any_kind_are_rejected(value: str) -> None:
    assert rejection("[" + (value + ",") * 250_000 + "1]") == "too_many_values"


def test_commas_in_strings_are_no_values() -> None:
    assert parsed('["' + "," * 300_000 + '"]') == ["," * 300_000]


def test_empty_lists_count_once() -> None:
    assert parsed("[" + "[]," * 200_000 + "{}]") == [[]] * 200_000 + [{}]


def test_an_object_has_at_most_ten_thousand_keys() -> None:
    body = {str(number): 1 for number in range(10_000)}
    assert parsed(json.dumps(body)) == body
    assert rejection(json.dumps({**body, "more": 1})) == "too_many_values"


def test_a_huge_key_is_rejected() -> None:
    assert rejection('{"' + "a" * 900_000 + '": 1}') == "too_many_values"
    assert rejection('{"b": {"' + "a" * 65_537 + '": 1}}') == "too_many_values"
    assert parsed('{"' + "a" * 65_536 + '": {}}') == {"a" * 65_536: {}}
    few_characters = Limits(max_keys=100, max_key_characters=5)
    assert rejection('{"abcdef": 1}', few_characters) == "too_many_values"


# numbers


@pytest.mark.parametrize("body", ["1e400", "-1e400", "[1e309]", '{"a": -1.5E+999}', "1" + "0" * 400 + ".5"])
def test_a_number_beyond_a_float_is_rejected(body: str) -> None:
    assert rejection(body) == "number_out_of_range"


@pytest.mark.parametrize("digits", [20, 100, 4_300])
def test_long_integers_are_exact(digits: int) -> None:
    body = "9" * digits
    assert to_json(parsed(body)) == body
    assert to_json(parsed("-" + body)) == "-" + body


@pytest.mark.parametrize("body", ["9" * 4_301, "-" + "9" * 4_301, "[1, " + "1" * 100_000 + "]", "1" * 1_000_000])
def test_longer_integers_are_rejected(body: str) -> None:
    assert rejection(body) == "number_out_of_range"
