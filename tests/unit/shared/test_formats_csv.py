import csv
import io
from functools import partial

import pytest
from hypothesis import given, strategies as st

from shared.jsontext import Json
from shared.limits import DEFAULT
from tests.unit.shared import format_outcomes
from tests.unit.shared.format_outcomes import assert_taken_or_refused

CSV = "text/csv"
SMALL = DEFAULT._replace(max_nodes=20, max_keys=5, max_key_characters=10, max_expanded_characters=100)


parsed = partial(format_outcomes.parsed, content_type=CSV)
rejection = partial(format_outcomes.rejection, content_type=CSV)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ("", []),
        ("a,b\n1,2\n3,4", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        ("a,b\r\n1,2\r\n", [{"a": "1", "b": "2"}]),
        ('a,b\n"x,y","say ""hi""\n twice"\n', [{"a": "x,y", "b": 'say "hi"\n twice'}]),
        ("a,b\n1\n", [{"a": "1", "b": None}]),
        ("a,b\n1,2,,\n", [{"a": "1", "b": "2"}]),
        ("a;b\n1,5;2\n", [{"a": "1,5", "b": "2"}]),
        ("\ufeffa,b\n1,2\n", [{"a": "1", "b": "2"}]),
    ],
)
def test_each_row_is_an_object_named_by_the_header(body: str, rows: Json) -> None:
    assert parsed(body) == rows


@pytest.mark.parametrize("body", ['a\n"1', 'a\n"1"2\n', "a,b\n1,2,3\n", "a\rb,c\r1,2"])
def test_what_no_header_fits_does_not_parse(body: str) -> None:
    assert rejection(body) == "malformed_body"


def test_two_columns_of_one_name_are_rejected() -> None:
    assert rejection("a,b,a\n1,2,3\n") == "duplicate_key"


def test_values_are_counted() -> None:
    rows = 124_999
    assert parsed("a\n" + "1\n" * rows) == [{"a": "1"}] * rows
    assert rejection("a\n" + "1\n" * (rows + 1)) == "too_many_values"
    assert rejection("," * 5_000_000) == "too_many_values"
    assert rejection(",".join(f"c{number}" for number in range(10_001))) == "too_many_values"
    assert rejection("a" * 900_000) == "too_many_values"


def test_a_long_header_is_not_said_again_in_thousands_of_rows() -> None:
    assert rejection("a" * 60_000 + "\n" + "1\n" * 100_000) == "expanded_too_large"


@given(st.lists(st.fixed_dictionaries({"a": st.text("xé,;\"\n '"), "b c": st.text("0.-\t")}), max_size=5))
def test_what_an_independent_writer_writes_comes_out_as_it_was(rows: list[dict[str, str]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["a", "b c"])
    writer.writeheader()
    writer.writerows(rows)
    assert parsed(out.getvalue()) == rows


@given(st.binary(max_size=200) | st.text('ab,;\t"\r\n\0é', max_size=200).map(str.encode))
def test_any_bytes_are_parsed_within_limits_or_rejected(body: bytes) -> None:
    assert_taken_or_refused(body, CSV, SMALL)
