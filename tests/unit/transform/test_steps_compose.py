"""Steps that compose data: map, template, merge and split."""

import tracemalloc
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given

from functions.transform.program import read_chain
from shared.jsontext import Json
from shared.time_bound import bounded
from tests.fakes.steps import finished
from tests.unit.shared.json_values import json_values
from tests.unit.transform.written_steps import EVENT, chain, data_after, run

WORDS: Final = [f"a word of some length, as keys are: {number:04}" for number in range(2_000)]


def code_and_reason(step: Json, data: Json) -> tuple[str, str]:
    [fault] = run(step, data).faults
    return fault.code, fault.detail.partition(": ")[2].partition(": ")[2]


@pytest.mark.parametrize(
    ("step", "data"),
    [
        ({"flatten": "data"}, {"x" * 60_000: [1] * 5_000}),
        ({"flatten": "data"}, {"x" * 30_000: {"y" * 30_000: {"z": [1] * 5_000}}}),
        ({"split": {"path": "data.items", "into": "data.item"}}, {"items": [1] * 1_001, **dict.fromkeys(WORDS, 1)}),
        ({"split": {"path": "data.items", "into": "data.item"}}, {"items": [1] * 1_000, **dict.fromkeys(WORDS, 1)}),
        ({"split": "data"}, [1] * 200_000),
    ],
)
def test_what_an_event_says_once_and_a_step_again_and_again_fills_no_memory(step: Json, data: Json) -> None:
    tracemalloc.start()
    try:
        assert code_and_reason(step, data)[0] == "output_too_large"
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()


@given(json_values)
def test_flatten_keep_and_redact_answer_or_reject_whatever_they_are_given(data: Json) -> None:
    everything: Json = {"paths": ["data.a[*].b", "data.no"], "cards": True, "emails": True}
    steps: list[Json] = [{"flatten": "data"}, {"keep": ["data.no", "data.a[*].b"]}, {"redact": everything}]
    for step in steps:
        assert [fault.code for fault in run(step, data).faults] in ([], ["path_conflict"])


def test_map_makes_the_whole_data_and_names_its_fault_by_kind() -> None:
    assert data_after({"map": "{n: length(data.items), from: source}"}, {"items": [1, 2]}) == {"n": 2, "from": "crm"}
    code, message = code_and_reason({"map": "length(data.items)"}, {"items": 7})
    assert (code, message) == (
        "expression_failed",
        "'length(data.items)': length() takes string or array or object; found number",
    )


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ data.none }}", "undefined_field"),
        ("{{ 'x' * data.n }}", "output_too_large"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}",
            "output_too_large",
        ),
        ("{{ data.n + 'x' }}", "template_failed"),
        ("{{ data.__class__.__mro__ }}", "template_failed"),
    ],
)
def test_a_template_that_cannot_be_filled_says_so_with_a_code(template: str, code: str) -> None:
    course = run({"template": {"data.x": template}}, {"n": 10_000_000})

    assert [fault.code for fault in course.faults] == [code]


def test_a_template_that_would_run_for_days_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.05,))
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

    assert [fault.code for fault in run({"template": {"data.x": loops}}, {}).faults] == ["time_limit_exceeded"]


@pytest.mark.parametrize("template", ["{% include '/etc/passwd' %}", "{{ plan }}", "{{ data.x", "{% if %}"])
def test_a_template_at_fault_is_rejected_when_it_is_read(template: str) -> None:
    assert read_chain([{"template": {"data.x": template}}])[1]


def test_an_expression_whose_output_is_too_large_is_rejected() -> None:
    doubling: list[Json] = [{"map": "{a: data, b: data}"}] * 30

    [fault] = finished(chain(doubling).run(replace(EVENT, data="x" * 1_000))).faults
    assert fault.code == "output_too_large"


def test_merge_goes_into_objects_and_takes_the_last_of_anything_else() -> None:
    data: Json = {"a": {"x": 1, "y": [1]}, "b": {"x": {"z": 2}, "y": [2]}, "c": None}

    assert data_after({"merge": {"from": ["data.a", "data.b", "data.c", "data.none"], "into": "data.all"}}, data) == {
        "a": {"x": 1, "y": [1]},
        "b": {"x": {"z": 2}, "y": [2]},
        "c": None,
        "all": {"x": {"z": 2}, "y": [2]},
    }
    fault = code_and_reason({"merge": {"from": ["data.a"], "into": "data"}}, {"a": "hunter2"})
    assert fault == ("path_conflict", "data.a is text, not an object")


@pytest.mark.parametrize(
    ("data", "parts"),
    [({"items": [1, 2]}, [1, 2]), ({"items": {"a": 1}}, [{"a": 1}]), ({"items": []}, []), ({}, []), ("x", [])],
)
def test_split_makes_an_event_of_each_item_and_of_a_thing_that_is_no_list(data: Json, parts: list[Json]) -> None:
    assert [event.data for event in run({"split": "data.items"}, data).events] == parts
