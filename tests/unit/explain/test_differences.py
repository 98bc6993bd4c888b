"""Two values as a diff for people."""

import time

import pytest

from deploy.explain.differences import differences, same
from shared.jsontext import Json


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, ["- a: 1", "+ a: true"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "d": 3}}, ["- a.b: 1", "+ a.d: 3"]),
        ([{"a": 1}], [{"a": 2}], ["- [0].a: 1", "+ [0].a: 2"]),
        ({"a.b": 1}, {}, ['- ["a.b"]: 1']),
        ("x" * 400, "y", [f'- "{"x" * 299}…', '+ "y"']),
    ],
)
def test_a_difference_names_the_place_and_both_values(before: Json, after: Json, lines: list[str]) -> None:
    assert differences(before, after) == lines


def test_an_item_that_went_is_reported_and_those_it_moved_are_not() -> None:
    assert differences({"a": [1, 2, 3]}, {"a": [1, 3]}, "data") == ["- data.a[1]: 2"]


def test_a_senders_thousand_equal_items_are_reported_at_once() -> None:
    began = time.process_time()
    lines = differences([0] * 1_000, [0, 1] * 500, "data")

    assert time.process_time() - began < 1
    assert lines[:2] == ["- data[1]: 0", "+ data[1]: 1"]


@pytest.mark.parametrize(
    ("found", "is_equal"),
    [
        ("hc1.2026-03.AAEC.ZUWU", True),
        ("eyJh.AAAA.BBBB.CCCC.DDDD", True),
        ("GB33BUKB", False),
        ("a.b", False),
        (7, False),
    ],
)
def test_a_test_can_expect_a_text_that_encrypt_makes(found: Json, is_equal: bool) -> None:
    assert same({"iban": "<encrypted>"}, {"iban": found}) is is_equal
    assert (differences({"iban": "<encrypted>"}, {"iban": found}) == []) is is_equal
