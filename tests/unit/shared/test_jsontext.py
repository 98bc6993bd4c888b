"""The ways Hookchain writes JSON. Ids are hashes of it, so the faster way writes the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.jsontext import Json, canonical, texts_json, to_json
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
