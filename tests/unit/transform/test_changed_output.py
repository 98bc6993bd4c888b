"""What is verified of an event whose size is known: its change, with the answers that all of it would have."""

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from functions.transform import output
from functions.transform.output import MOST_COUNTED, verify_change, verify_output
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, to_json
from tests.fakes.steps import finished
from tests.unit.shared.json_values import json_values, texts
from tests.unit.transform.chain_steps import EVENT, Answering, chain, configured, the_fault

objects = st.dictionaries(texts, json_values, max_size=6)
LIMIT = 40


def outcome(verify: Callable[[], int]) -> int | tuple[str, str]:
    try:
        return verify()
    except Permanent as error:
        return error.code, error.detail


@st.composite
def changes(draw: st.DrawFn) -> tuple[Json, Json]:
    """Return a value, and another one that shares some of it, perhaps at a key of another name or several times."""
    before: JsonObject = draw(objects)
    shared: list[Json] = [before, *before.values(), float("inf")]
    shared.append([before, before])
    new = st.sampled_from(shared) | json_values
    kept: JsonObject = {key: value for key, value in before.items() if draw(st.booleans())}
    after: Json = {**kept, **draw(st.dictionaries(texts | st.sampled_from([*before, ""]), new, max_size=3))}
    return before, draw(st.just(after) | new)


@given(changes(), st.integers(0, 30))
def test_a_change_has_the_answer_of_the_whole(values: tuple[Json, Json], more: int) -> None:
    before, after = values
    with pytest.MonkeyPatch.context() as patch:
        known = verify_output(before) + more
        patch.setattr(output, "MAX_OUTPUT_CHARACTERS", max(LIMIT, known))
        whole, change = outcome(lambda: verify_output(after)), outcome(lambda: verify_change(after, before, known))

    if isinstance(whole, int):
        assert isinstance(change, int)
        assert whole <= change <= max(LIMIT, known)
    else:
        assert change == whole


@given(objects)
def test_the_text_of_an_event_says_how_many_characters_its_data_has_at_most(data: JsonObject) -> None:
    assert verify_output(data) <= MOST_COUNTED * len(to_json(data).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("data", [{"a": [8] * 1_000}, {"a": [""] * 9}, {"": [[[]], {}]}, {"a": [10**4_299]}])
def test_what_counts_most_for_its_text(data: Json) -> None:
    assert verify_output(data) <= MOST_COUNTED * len(to_json(data))


STEPS: tuple[Json, ...] = (
    {"drop": "data.a"},
    {"set": {"data.b": 1, "data.c.d": {"from": "data"}}},
    {"set": {"data.a": "x" * 30}},
    {"rename": {"data.b": "a"}},
    {"map": "{a: data, b: data.b}"},
    {"split": {"path": "data.list", "into": "data.a"}},
)


@given(st.dictionaries(st.sampled_from("abc"), json_values), st.lists(st.sampled_from(STEPS), max_size=6))
def test_a_chain_has_the_same_result_whether_the_size_is_known_or_not(data: JsonObject, steps: list[Json]) -> None:
    event = EVENT.with_data({**data, "list": [1, "two"]})
    size = verify_output(event.data)
    assume(size <= 400)  # what comes is within the limits; what steps make of it may not be
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "MAX_OUTPUT_CHARACTERS", 400)
        known = finished(configured(steps).run(event, characters=size))
        unknown = finished(configured(steps).run(event))

    assert known.events == unknown.events
    assert [fault.detail for fault in known.faults] == [fault.detail for fault in unknown.faults]


def test_data_that_becomes_too_large_by_and_by_is_rejected() -> None:
    data: JsonObject = {"a": "x" * 100}
    doubled: list[Json] = [{"set": {"data.b": {"from": "data"}}}, {"set": {"data.c": {"from": "data"}}}] * 16

    assert "larger than" in the_fault(finished(configured(doubled).run(EVENT.with_data(data), characters=300))).detail


def test_an_event_of_another_size_than_the_one_before_is_looked_through() -> None:
    answer = EVENT.with_data([float("nan")])

    assert the_fault(finished(chain(Answering(answer)).run(EVENT, characters=100))).code == "invalid_output"
