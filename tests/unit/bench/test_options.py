"""The options of the benchmark, and its table of rows."""

import pytest

from tests.bench.__main__ import MEASURES, chosen_rows, parser
from tests.bench.rows import ROWS, Limit


def test_every_row_has_a_name_of_its_own_and_a_measure() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
    assert {row.group for row in ROWS} == set(MEASURES)


def test_every_ratio_names_what_it_is_compared_with() -> None:
    assert not [row.name for row in ROWS if row.unit == "×" and not row.compared_with]


def test_all_rows_are_measured_unless_some_are_named() -> None:
    assert chosen_rows(None) == list(ROWS)


def test_a_row_or_a_group_is_measured_alone() -> None:
    assert [row.name for row in chosen_rows(["receive"])] == ["receive"]
    assert {row.group for row in chosen_rows(["search", "receive"])} == {"search", "events"}
    assert chosen_rows(["peers"]) == []


def test_a_row_brings_those_that_are_measured_with_it() -> None:
    names = [row.name for row in chosen_rows(["neighbours-key"])]
    assert names == ["neighbours-key", "neighbours-key-p50", "neighbours-key-wrong"]
    assert [row.part for row in chosen_rows(["neighbours-slow-writes"])] == ["neighbours-slow"] * 2


def test_an_unknown_row_is_named() -> None:
    with pytest.raises(ValueError, match="got 'recieve'"):
        chosen_rows(["recieve"])


def test_options_have_defaults() -> None:
    options = parser().parse_args([])
    assert (options.against, options.only, options.json, options.peers) == (None, None, False, False)


def test_options_are_read() -> None:
    options = parser().parse_args(["--against", "main", "--only", "receive", "--only", "notify", "--events", "1000000"])
    assert (options.against, options.only, options.events) == ("main", ["receive", "notify"], 1_000_000)


@pytest.mark.parametrize("text", ["0", "-1", "many"])
def test_a_count_is_at_least_one(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--rounds", text])
    assert "--rounds" in capsys.readouterr().err


def test_a_limit_is_met_on_its_own_side() -> None:
    assert Limit(2.5).is_met(2.5)
    assert not Limit(2.5).is_met(2.6)
    assert Limit(0.9, is_most=False).is_met(0.95)
    assert not Limit(0.9, is_most=False).is_met(0.8)
