"""Two values as a diff for people."""

import time

from deploy.explain.differences import differences


def test_an_item_that_went_is_reported_and_those_it_moved_are_not() -> None:
    assert differences({"a": [1, 2, 3]}, {"a": [1, 3]}, "data") == ["- data.a[1]: 2"]


def test_a_senders_thousand_equal_items_are_reported_at_once() -> None:
    began = time.process_time()
    lines = differences([0] * 1_000, [0, 1] * 500, "data")

    assert time.process_time() - began < 1
    assert lines[:2] == ["- data[1]: 0", "+ data[1]: 1"]
