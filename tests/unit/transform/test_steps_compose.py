"""Steps that shape and compose data, redact it, and decide where an event goes."""

import tracemalloc
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transform.read_chains import read_chain
from functions.transform.step import Services
from shared.errors import Temporary
from shared.jsontext import Json, to_json
from shared.time_bound import bounded
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.fakes.steps import finished
from tests.unit.shared.json_values import json_values
from tests.unit.transform.written_steps import EVENT, chain, data_after, run

CARD: Final = "4111 1111 1111 1111"
WORDS: Final = [f"a word of some length, as keys are: {number:04}" for number in range(2_000)]


def code_and_reason(step: Json, data: Json) -> tuple[str, str]:
    [fault] = run(step, data).faults
    return fault.code, fault.detail.partition(": ")[2].partition(": ")[2]


@pytest.mark.parametrize(
    ("paths", "before", "after"),
    [
        (["data.a"], {"a": 1, "b": 2}, {"a": 1}),
        (["data.a.b", "data.a.c"], {"a": {"b": 1, "c": 2, "d": 3}}, {"a": {"b": 1, "c": 2}}),
        (["data.a", "data.a.b"], {"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 2}}),
        (["data.items[0]"], {"items": [1, 2, 3]}, {"items": [1]}),
        (["data.items[*].id"], {"items": [{"id": 1, "x": 2}, 7]}, {"items": [{"id": 1}, None]}),
        (["data.none"], {"a": 1}, {}),
        (["data.a"], [1], []),
        (['data["a.b"]'], {"a.b": 1, "a": 2}, {"a.b": 1}),
    ],
)
def test_keep_leaves_what_it_names_where_it_is(paths: list[Json], before: Json, after: Json) -> None:
    assert data_after({"keep": paths}, before) == after


def test_rename_keeps_the_place_among_the_others_and_overwrites_nothing() -> None:
    renamed = data_after({"rename": {"data.b": "beta"}}, {"a": 1, "b": 2, "c": 3})

    assert to_json(renamed) == '{"a":1,"beta":2,"c":3}'
    assert data_after({"rename": {"data.none.x": "y"}}, {"a": 1}) == {"a": 1}
    assert code_and_reason({"rename": {"data.a": "b"}}, {"a": 1, "b": "hunter2"}) == (
        "path",
        "data already has a field 'b'",
    )


@pytest.mark.parametrize("name", ["data.b", 'data["b"]'])
def test_rename_takes_a_name_and_no_path(name: str) -> None:
    _, [fault] = read_chain([{"rename": {"data.a": name}}])

    assert f"{name!r} is a path; write a name" in str(fault)


def test_flatten_refuses_what_would_be_two_fields_of_one_name() -> None:
    fault = code_and_reason({"flatten": "data"}, {"a.b": 1, "a": {"b": "hunter2"}})

    assert fault == ("path", "data has two fields that would get the same name")


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
        assert code_and_reason(step, data)[0] == "output"
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()


@given(json_values)
def test_flatten_keep_and_redact_answer_or_refuse_whatever_they_are_given(data: Json) -> None:
    everything: Json = {"paths": ["data.a[*].b", "data.no"], "cards": True, "emails": True}
    steps: list[Json] = [{"flatten": "data"}, {"keep": ["data.no", "data.a[*].b"]}, {"redact": everything}]
    for step in steps:
        assert [fault.code for fault in run(step, data).faults] in ([], ["path"])


def test_map_makes_the_whole_data_and_names_its_fault_by_kind() -> None:
    assert data_after({"map": "{n: length(data.items), from: source}"}, {"items": [1, 2]}) == {"n": 2, "from": "crm"}
    code, words = code_and_reason({"map": "length(data.items)"}, {"items": 7})
    assert (code, words) == (
        "expression",
        "'length(data.items)': length() takes string or array or object; found number",
    )


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("{{ data.none }}", "undefined"),
        ("{{ 'x' * data.n }}", "output"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}", "output"),
        ("{{ data.n + 'x' }}", "template"),
        ("{{ data.__class__.__mro__ }}", "template"),
    ],
)
def test_a_template_that_cannot_be_filled_says_so_with_a_code(template: str, code: str) -> None:
    course = run({"template": {"data.x": template}}, {"n": 10_000_000})

    assert [fault.code for fault in course.faults] == [code]


def test_a_template_that_would_run_for_days_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.05,))
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

    assert [fault.code for fault in run({"template": {"data.x": loops}}, {}).faults] == ["time"]


@pytest.mark.parametrize("template", ["{% include '/etc/passwd' %}", "{{ plan }}", "{{ data.x", "{% if %}"])
def test_a_template_at_fault_is_refused_when_it_is_read(template: str) -> None:
    assert read_chain([{"template": {"data.x": template}}])[1]


def test_an_expression_whose_output_is_too_large_is_refused() -> None:
    doubling: list[Json] = [{"map": "{a: data, b: data}"}] * 30

    [fault] = finished(chain(doubling).run(replace(EVENT, data="x" * 1_000))).faults
    assert fault.code == "output"


def test_merge_goes_into_objects_and_takes_the_last_of_anything_else() -> None:
    data: Json = {"a": {"x": 1, "y": [1]}, "b": {"x": {"z": 2}, "y": [2]}, "c": None}

    assert data_after({"merge": {"from": ["data.a", "data.b", "data.c", "data.none"], "into": "data.all"}}, data) == {
        "a": {"x": 1, "y": [1]},
        "b": {"x": {"z": 2}, "y": [2]},
        "c": None,
        "all": {"x": {"z": 2}, "y": [2]},
    }
    fault = code_and_reason({"merge": {"from": ["data.a"], "into": "data"}}, {"a": "hunter2"})
    assert fault == ("path", "data.a is text, not an object")


@pytest.mark.parametrize(
    ("data", "parts"),
    [({"items": [1, 2]}, [1, 2]), ({"items": {"a": 1}}, [{"a": 1}]), ({"items": []}, []), ({}, []), ("x", [])],
)
def test_split_makes_an_event_of_each_item_and_of_a_thing_that_is_no_list(data: Json, parts: list[Json]) -> None:
    assert [event.data for event in run({"split": "data.items"}, data).events] == parts


def test_redact_finds_cards_and_addresses_wherever_they_stand() -> None:
    event = replace(EVENT, subject=f"paid with {CARD}", data={"a": [f"{CARD}!"], "n": 4111111111111111, "m": 41111})

    [after] = finished(chain([{"redact": {"cards": True, "emails": True}}]).run(event)).events
    assert after.data == {"a": ["***!"], "n": "***", "m": 41111}
    assert (after.subject, after.actor) == ("paid with ***", "***@example.com")


@pytest.mark.parametrize("text", ["4111 1111 1111 1112", "1234567890123", "41111111111111111111111", "no", "1" * 12])
def test_redact_leaves_numbers_that_are_no_card(text: str) -> None:
    assert data_after({"redact": {"cards": True}}, text) == text


def test_redact_masks_the_whole_of_what_a_path_names() -> None:
    data: Json = {"pin": 1234, "token": "abcdefgh", "deep": {"a": 1}, "none": None}
    paths: list[Json] = ["data.pin", "data.token", "data.deep", "data.none", "data.missing", "actor"]
    step: Json = {"redact": {"paths": paths, "keep_last": 4, "mask": "#"}}

    [after] = finished(chain([step]).run(replace(EVENT, data=data))).events
    assert after.data == {"pin": "#", "token": "#efgh", "deep": "#:1}".replace(":1}", "") + '":1}', "none": None}
    assert after.actor == "#.com"


@given(st.text(alphabet="0123456789 -", max_size=30), st.text(alphabet="0123456789 -", max_size=30))
def test_no_card_number_is_left(before: str, after: str) -> None:
    left = data_after({"redact": {"cards": True}}, f"{before}, {CARD} {after}")

    assert CARD not in str(left)
    assert CARD not in str(data_after({"redact": {"cards": True}}, f"{before} {CARD}, {after}"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("378282246310005", "***"),
        ("4111111111111111", "***"),
        ("4111111111111112", "4111111111111112"),
        ("order 12 4111111111111111", "order 12 ***"),
        ("2 4111 1111 1111 1111 x", "2 *** x"),
        ("4111 1111 1111 1111 - 12 28", "*** - 12 28"),
        ("4111-1111-1111-1111 3782 822463 10005", "***"),
        ("4111\u00a01111\u202f1111\u20111111", "***"),
        (f"{CARD} 12/27 123", "*** 12/27 123"),
        ("4111111111111111 123", "*** 123"),
        (f"order 12 {CARD}", "order 12 ***"),
        (f"order 14 {CARD}", "order ***"),  # 14 and the first three groups prove each other as well
        (f"4111-1111-1111-1111 5, {CARD} {CARD}", "*** 5, ***"),
        ("3782 822463 10005 1234", "*** 1234"),
        ("x4111111111111111y", "x***y"),
    ],
)
def test_a_card_number_is_found_beside_other_digits(text: str, left: str) -> None:
    assert data_after({"redact": {"cards": True}}, text) == left


@pytest.mark.parametrize("text", ["1 " * 100_000, "1" * 1_000_000, "4111 " * 100_000, "11111111111111111 " * 50_000])
def test_many_digits_are_looked_through_in_the_time_of_a_chain_and_little_memory(text: str) -> None:
    assert run({"redact": {"cards": True}}, text).faults == []
    tracemalloc.start()
    try:
        run({"redact": {"cards": True}}, text)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("jörg@example.com", "***@example.com"),
        ("bob@münchen.de, x@例え.jp", "***@münchen.de, ***@例え.jp"),
        ("a@b", "a@b"),
    ],
)
def test_a_mail_address_in_any_script_is_masked(text: str, left: str) -> None:
    assert data_after({"redact": {"emails": True}}, text) == left


def test_filter_says_which_condition_was_not_true() -> None:
    assert run({"filter": "data.plan != 'free'"}, {"plan": "pro"}).events
    assert run({"filter": "data.plan != 'free'"}, {"plan": "free"}).stops == [
        "step 1 'filter': data.plan != 'free' is not true"
    ]


def test_stop_without_a_condition_always_stops() -> None:
    assert run({"stop": "not yet"}, {}).stops == ["step 1 'stop': not yet"]
    assert run({"stop": {"reason": "a test", "when": "data.test"}}, {"test": False}).events


def test_switch_takes_the_first_case_that_is_true() -> None:
    cases: Json = [{"when": "data.a", "to": "one"}, {"to": "two"}]
    chains: dict[str, Json] = {"one": [{"set": {"data.x": 1}}], "two": [{"set": {"data.x": 2}}]}
    switching = chain([{"switch": cases}, {"set": {"data.never": True}}], chains)

    assert [finished(switching.run(replace(EVENT, data={"a": a}))).events[0].data for a in (True, False)] == [
        {"a": True, "x": 1},
        {"a": False, "x": 2},
    ]


def test_a_sample_is_a_share_and_always_the_same_events() -> None:
    sampling = chain([{"sample": "25%"}])
    kept = {n for n in range(2_000) if finished(sampling.run(replace(EVENT, id=f"{n:032x}"))).events}

    assert 400 < len(kept) < 600
    assert kept == {n for n in range(2_000) if finished(sampling.run(replace(EVENT, id=f"{n:032x}"))).events}


@pytest.mark.parametrize("share", ["0%", "100%", "10", 10, "-5%", "x%"])
def test_a_sample_is_a_percentage(share: Json) -> None:
    assert read_chain([{"sample": share}])[1]


def asking(owners: FakeOwners) -> Services:
    return Services(FakeSecrets({}), FakeFetch(), owners, None)


async def test_the_first_event_of_a_key_goes_on_and_goes_on_again() -> None:
    deduplicating, services = chain([{"deduplicate": "data.order"}]), asking(FakeOwners())
    event = replace(EVENT, data={"order": 7})

    assert (await deduplicating.run(event, services)).events
    second = await deduplicating.run(replace(event, id="e2"), services)
    assert second.stops == ["step 1 'deduplicate': the event e1 came first with this data.order"]
    assert (await deduplicating.run(event, services)).events
    assert (await deduplicating.run(replace(event, id="e3", data={"order": 8}), services)).events
    assert (await deduplicating.run(replace(event, id="e4", data={}), services)).events


async def test_routes_deduplicate_each_for_itself_and_within_the_window() -> None:
    services = asking(FakeOwners())
    one = chain([{"deduplicate": {"key": "data.order", "window": "1h"}}])
    event = replace(EVENT, data={"order": 7})
    await one.run(event, services)

    assert (await replace(one, route="another").run(replace(event, id="e2"), services)).events
    later = replace(event, id="e3", receivedat="2026-03-01T13:00:00.000Z")
    assert (await one.run(later, services)).events


async def test_without_the_memory_the_event_comes_again() -> None:
    owners = FakeOwners()
    owners.fault = "down"

    with pytest.raises(Temporary, match="step 1 'deduplicate': down"):
        await chain([{"deduplicate": "data.order"}]).run(replace(EVENT, data={"order": 7}), asking(owners))
