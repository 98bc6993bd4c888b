"""The ways Hookchain writes JSON. Ids are hashes of it, so the faster way writes the same bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jsontext import Json, canonical, has_long_number, may_hold_string, outline, texts_json, to_json
from tests.unit.shared.json_values import texts, values_of

wild_texts = texts | st.text(st.sampled_from('\\"/\x00\x1f\b\x7f\x9f\u2028\ud800\udfff\U0001f600a'))
integers = st.integers() | st.integers(2**63 - 1, 2**64 + 1)


@given(values_of(st.none() | st.booleans() | integers | wild_texts))
def test_texts_json_writes_the_bytes_of_to_json(value: Json) -> None:
    try:
        expected = to_json(value).encode()
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            texts_json(value)
    else:
        assert texts_json(value) == expected


@given(st.lists(st.none() | integers | wild_texts.filter(str.isascii)))
def test_texts_json_of_a_list_is_canonical(value: list[Json]) -> None:
    assert texts_json(value) == canonical(value)


@pytest.mark.parametrize("marks", [0, 998, 1_998, 40_000])
def test_a_text_of_many_strings_is_its_own_outline(marks: int) -> None:
    text = b'["%b",%b"%b"]' % (b"a" * 40_000, b'"",' * (marks // 2), b"a" * 40_000)
    assert outline(text) == (b'["",%b""]' % (b'"",' * (marks // 2)) if marks < 1_996 else text)


@pytest.mark.parametrize("strings", [400, 40_000])
@pytest.mark.parametrize(("digits", "is_long"), [("1" * 18, False), ("1" * 19, True)])
def test_a_long_number_is_found_in_a_text_of_few_or_many_strings(strings: int, digits: str, is_long: bool) -> None:
    text = b"[%b%b]" % (b'"abc",' * strings, digits.encode())
    assert has_long_number(outline(text)) is is_long


def longest_string(value: Json) -> int:
    """Return the bytes of the longest string as it is written."""
    if isinstance(value, dict):
        return max([0, *map(longest_string, [*value, *value.values()])])
    if isinstance(value, list):
        return max([0, *map(longest_string, value)])
    return len(json.dumps(value)) - 2 if isinstance(value, str) else 0


@given(values_of(st.none() | integers | wild_texts), st.integers(1, 30))
def test_a_text_with_a_long_string_may_hold_one(value: Json, length: int) -> None:
    if longest_string(value) > length:
        assert may_hold_string(json.dumps(value).encode(), length)
