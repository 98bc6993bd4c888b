from functools import partial
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, strategies as st

from shared.jsontext import Json
from shared.limits import DEFAULT
from tests.unit.shared import format_outcomes
from tests.unit.shared.format_outcomes import assert_taken_or_refused

FORM = "application/x-www-form-urlencoded"
LATIN = f"{FORM}; charset=iso-8859-1"
SMALL = DEFAULT._replace(max_fields=5, max_key_characters=10)


parsed = partial(format_outcomes.parsed, content_type=FORM)
rejection = partial(format_outcomes.rejection, content_type=FORM)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("a=1&a=2", {"a": ["1", "2"]}),
        ("a=1&b=x&a=2&a=", {"a": ["1", "2", ""], "b": "x"}),
        ("a", {"a": ""}),
        ("=a", {"": "a"}),
        ("a=1;b=2", {"a": "1;b=2"}),
        ("a=b+c%2B%20d", {"a": "b c+ d"}),
        ("a%20b=%C3%A9%26%3D", {"a b": "é&="}),
        ("a[b][]=1", {"a[b][]": "1"}),
        ("payload=%7B%22a%22%3A1%7D", {"payload": '{"a":1}'}),
        ("a=%00", {"a": "\0"}),
    ],
)
def test_fields_are_strings_and_repeated_ones_lists(body: str, value: Json) -> None:
    assert parsed(body) == value


def test_a_thousand_fields_are_accepted_and_one_more_is_not() -> None:
    assert parsed("&".join(["a=1"] * 1_000)) == {"a": ["1"] * 1_000}
    assert rejection("&".join(["a=1"] * 1_001)) == "too_many_fields"
    assert rejection("&".join(f"{number}" for number in range(1_001))) == "too_many_fields"
    assert parsed("&" * 5_000_000) == {}


def test_a_huge_name_is_rejected_and_a_huge_value_is_not() -> None:
    assert rejection("a" * 900_000) == "too_many_values"
    assert parsed("a=" + "b" * 900_000) == {"a": "b" * 900_000}


@given(st.dictionaries(st.text(), st.text(), max_size=20))
def test_what_an_independent_writer_writes_comes_out_as_it_was(form: dict[str, str]) -> None:
    assert parsed(urlencode(form)) == form


@given(st.text("%0aAfF9gz=\n\r+é", max_size=60))
def test_escapes_are_read_as_the_standard_library_reads_them(text: str) -> None:
    expected = dict(parse_qsl("a=" + text, keep_blank_values=True, encoding="latin-1"))
    assert format_outcomes.parsed(("a=" + text).encode("latin-1"), LATIN) == expected


@given(st.binary(max_size=200) | st.text("ab&=%;+0fF", max_size=200).map(str.encode))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes) -> None:
    assert_taken_or_refused(body, FORM, SMALL)
