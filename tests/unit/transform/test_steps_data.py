"""Steps that change the structure of the data: drop, set, keep, rename and flatten."""

import contextlib
import copy
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, strategies as st

from functions.transform.paths import Every, Part, PathFault, parse_path, with_value
from functions.transform.program import read_chain
from functions.transform.step import Noted, Services, SettingsFault, StepContext, StepResult, Stop
from functions.transform.steps.decide import Filter
from functions.transform.steps.shape import Drop, without
from functions.transform.steps.values import Set
from functions.transform.verifying import verified_step
from shared.errors import Permanent, Temporary
from shared.event import Event
from shared.jsontext import Json, JsonObject, to_json
from shared.time_bound import bounded
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.fakes.steps import finished, memory_below
from tests.unit.shared.json_values import json_values
from tests.unit.transform.written_steps import WRITTEN_EVENT, chain, run, written_data_after

small_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=10,
)
parts: st.SearchStrategy[Part] = st.sampled_from(["a", "b", 0, 1, Every()])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("data.items[0].x", ("items", 0, "x")),
        ('data["a.b"].c', ("a.b", "c")),
        (r'data["\"é"]', ('"é',)),
        ("data.items[*].card-number", ("items", Every(), "card-number")),
    ],
)
def test_a_path_is_read_into_its_parts(text: str, parts: tuple[Part, ...]) -> None:
    path = parse_path(text)

    assert (path.root, path.parts) == ("data", parts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("password", "must begin with 'data', or be one of type, subject, actor; did you mean 'data.password'?"),
        ("date.items[0]", "did you mean 'data.items[0]'?"),
        ("actor.name", "must begin with 'data', or be one of type, subject, actor"),
        ("data.a b", "column 7"),
        ("data['a']", "column 5"),
        (r'data["\x"]', "not a JSON string"),
        ("data." + "a" * 1_000, "at most 1000 characters"),
    ],
)
def test_a_faulty_path_is_rejected_with_its_place(text: str, message: str) -> None:
    with pytest.raises(PathFault) as caught:
        parse_path(text)

    assert message in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_a_path_or_a_fault(text: str) -> None:
    for candidate in (text, f"data{text}", f"data[{text}]", f"data.{text}"):
        try:
            assert parse_path(candidate).text == candidate
        except PathFault:
            continue


@given(small_values, st.lists(parts, min_size=1, max_size=4))
def test_the_value_it_began_with_stays_as_it_was(value: Json, path: list[Part]) -> None:
    before = copy.deepcopy(value)

    without(value, tuple(path))
    with contextlib.suppress(Permanent):
        with_value(value, tuple(path), "new")

    assert value == before


SHAPED_EVENT = Event(
    "e1",
    "/sources/crm",
    "lead.created",
    "2026-03-01T12:00:00.000Z",
    "00",
    {"name": "Ada", "password": "hunter2", "items": ["a", "b", "c", "d"]},
    subject="lead/7",
    actor="ada@example.com",
    rawbody='{"password": "hunter2"}',
    rawtype="application/json",
)
CONTEXT = StepContext(SHAPED_EVENT)


def drop(*paths: str) -> Event:
    return event_of(verified_step(Drop, list(paths)).apply(SHAPED_EVENT, CONTEXT))


def set_(values: Json, event: Event = SHAPED_EVENT) -> Event:
    return event_of(verified_step(Set, values).apply(event, CONTEXT))


def event_of(result: StepResult) -> Event:
    assert isinstance(result, Event | Noted)
    return result.event if isinstance(result, Noted) else result


def test_what_is_dropped_is_in_the_body_as_it_came_no_longer() -> None:
    after = drop("data.password")

    assert after.data == {"name": "Ada", "items": ["a", "b", "c", "d"]}
    assert "hunter2" not in repr(after)


@pytest.mark.parametrize("path", ["type", "data"])
def test_what_an_event_cannot_be_without_is_not_dropped(path: str) -> None:
    with pytest.raises(SettingsFault):
        verified_step(Drop, [path])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": {"from": "data.nothing"}}, "'type' cannot be empty"),
        ({"actor": {"from": "data.items"}}, "'actor' is text; found a list"),
        ({"data.name.first": 1}, "data.name is text, not an object"),
        ({"data.name[0]": 1}, "data.name is text, not a list"),
        ({"data.items[9]": 1}, "data.items has 4 items; there is no [9]"),
    ],
)
def test_what_cannot_be_set_is_permanent_and_says_no_value(values: Json, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        set_(values)

    assert (caught.value.code, caught.value.detail) == ("path_conflict", message)


@pytest.mark.parametrize("found", ["to_number('inf')", "sum([`1e308`, `1e308`])", "sum(data.prices)"])
def test_an_attribute_is_no_number_that_cannot_be_written(found: str) -> None:
    event = SHAPED_EVENT.with_data({"prices": [10**4_300 - 1, 1]})
    with pytest.raises(Permanent) as caught:
        set_({"actor": {"from": found}}, event)
    assert caught.value.code == "invalid_output"


def reason(step: Json, data: Json) -> str:
    [fault] = run(step, data).faults
    return f"{fault.code}: {fault.detail.partition(': ')[2].partition(': ')[2]}"


def test_keep_keeps_what_any_of_its_paths_names() -> None:
    first: Json = {"x": 1, "y": 2, "z": 3}
    data: Json = {"a": [first, {"x": 4, "y": 5}]}
    kept = run({"keep": ["data.a[*].x", "data.a[0].y"]}, data).events[0].data
    assert kept == {"a": [{"x": 1, "y": 2}, {"x": 4}]}
    assert run({"keep": ["data.a[0]", "data.a[*].x"]}, data).events[0].data == {"a": [first, {"x": 4}]}


def test_rename_keeps_the_place_among_the_others_and_overwrites_nothing() -> None:
    renamed = written_data_after({"rename": {"data.b": "beta"}}, {"a": 1, "b": 2, "c": 3})

    assert to_json(renamed) == '{"a":1,"beta":2,"c":3}'
    assert written_data_after({"rename": {"data.none.x": "y"}}, {"a": 1}) == {"a": 1}
    taken = reason({"rename": {"data.a": "b"}}, {"a": 1, "b": "hunter2"})
    assert taken == "path_conflict: data already has a field 'b'"


@pytest.mark.parametrize("name", ["data.b", 'data["b"]'])
def test_rename_takes_a_name_and_no_path(name: str) -> None:
    _, [fault] = read_chain([{"rename": {"data.a": name}}])

    assert f"{name!r} is a path; write a name" in str(fault)


def test_flatten_leaves_null_as_it_is() -> None:
    assert written_data_after({"flatten": "data.a"}, {"a": None}) == {"a": None}


def test_flatten_rejects_what_would_be_two_fields_of_one_name() -> None:
    fault = reason({"flatten": "data"}, {"a.b": 1, "a": {"b": "hunter2"}})

    assert fault == "path_conflict: data has two fields that would get the same name"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": {"b": 1}}),
        ({"a": {"b": None}}, {"a": {"b": 1}}),
        ({"a": {"b": False, "c": 2}}, {"a": {"b": False, "c": 2}}),
    ],
)
def test_a_default_counts_where_nothing_is_there_or_null(before: Json, after: Json) -> None:
    assert written_data_after({"default": {"data.a.b": 1}}, before) == after


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("integer", "12", 12),
        ("integer", True, 1),
        ("integer", "9" * 4_300, int("9" * 4_300)),
        ("number", "1.50", 1.5),
        ("boolean", "Yes", True),
        ("text", True, "true"),
        ("text", {"a": 1}, '{"a":1}'),
        ("list", "x", ["x"]),
        ("integer", None, None),
    ],
)
def test_a_cast_keeps_what_the_value_says(kind: str, before: Json, after: Json) -> None:
    found = written_data_after({"cast": {"data.x": kind}}, {"x": before})

    assert found == {"x": after}
    assert isinstance(found, dict)
    assert type(found["x"]) is type(after)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("integer", 1.5, "a number that cannot be cast to integer"),
        ("integer", "١٢", "text that cannot be cast to integer"),
        ("number", "1e400", "text that cannot be cast to number"),
        ("number", "1_000", "text that cannot be cast to number"),
        (
            "number",
            "12,50",
            "text that cannot be cast to number: it has a comma, and a number has a full stop",
        ),
        ("integer", "12.50", "text that cannot be cast to integer: it has a fraction; cast it to number"),
        ("number", "€ 12", "text that cannot be cast to number: it has other characters besides those of a number"),
        ("number", {}, "an object that cannot be cast to number"),
        ("boolean", 2, "a number that cannot be cast to boolean"),
    ],
)
def test_a_cast_that_would_change_the_value_names_the_place_and_the_kinds(kind: str, value: Json, message: str) -> None:
    found = reason({"cast": {"data.list[*].x": kind}}, {"list": [{}, {"x": value}]})
    assert found == f"cast_failed: data.list[1].x is {message}"


def at(**settings: Json) -> Json:
    return {"path": "data.at", **settings}


@pytest.mark.parametrize(
    ("settings", "before", "after"),
    [
        ("data.at", "2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00.000Z"),
        ("data.at", "Sun, 01 Mar 2026 12:00:00 +0200", "2026-03-01T10:00:00.000Z"),
        ("data.at", 1_772_366_400, "2026-03-01T12:00:00.000Z"),
        ("data.at", 1_772_366_400_250, "2026-03-01T12:00:00.250Z"),
        (at(zone="Europe/Berlin"), "2026-07-01T12:00", "2026-07-01T10:00:00.000Z"),
        (at(to="unix_ms"), "2026-03-01T12:00:00.250Z", 1_772_366_400_250),
        (at(to="%d %B %Y, %H:%M", to_zone="Europe/Berlin"), "2026-03-01T12:00:00Z", "01 March 2026, 13:00"),
        (at(formats=["%m/%d/%Y", "%d.%m.%Y"], zone="UTC"), "24.12.2026", "2026-12-24T00:00:00.000Z"),
    ],
)
def test_a_time_is_read_as_it_is_written(settings: Json, before: Json, after: Json) -> None:
    assert written_data_after({"parse_time": settings}, {"at": before}) == {"at": after}


@pytest.mark.parametrize(
    ("settings", "value", "message"),
    [
        ("data.at", "yesterday", "data.at is not a time in a known format; set `formats`"),
        ("data.at", "2026-03-01T12:00:00", "data.at has no zone; set `zone`"),
        ("data.at", [1], "data.at is a list, not a time"),
        (
            at(to="%Y", to_zone="-05:00"),
            "0001-01-01T00:00:00Z",
            "data.at is a time that cannot be written in this format",
        ),
        (at(formats="%Y", zone="UTC"), "hunter2", "data.at is in none of the formats"),
    ],
)
def test_what_is_no_time_is_rejected_without_its_text(settings: Json, value: Json, message: str) -> None:
    assert reason({"parse_time": settings}, {"at": value}) == f"invalid_time: {message}"


WORDS: Final = [f"a word of some length, as keys are: {number:04}" for number in range(2_000)]


@pytest.mark.parametrize(
    ("step", "data"),
    [
        ({"flatten": "data"}, {"x" * 60_000: [1] * 5_000}),
        ({"flatten": "data"}, {"x" * 30_000: {"y" * 30_000: {"z": [1] * 5_000}}}),
        ({"split": {"path": "data.items", "into": "data.item"}}, {"items": [1] * 1_001, **dict.fromkeys(WORDS, 1)}),
        ({"split": {"path": "data.items", "into": "data.item"}}, {"items": [1] * 1_000, **dict.fromkeys(WORDS, 1)}),
    ],
)
def test_what_an_event_says_once_and_a_step_again_and_again_fills_no_memory(step: Json, data: Json) -> None:
    with memory_below(32):
        assert reason(step, data).startswith("output_too_large")


CODES: Final[list[tuple[Json, str]]] = [
    ({"cast": {"data": "integer"}}, "cast_failed"),
    ({"cast": {"data": "number"}}, "cast_failed"),
    ({"cast": {"data": "boolean"}}, "cast_failed"),
    ({"cast": {"data": "text"}}, "cast_failed"),
    ({"parse_time": {"path": "data", "zone": "UTC"}}, "invalid_time"),
    ({"flatten": "data"}, "path_conflict"),
    ({"keep": ["data.no", "data.a[*].b"]}, "path_conflict"),
    ({"redact": {"paths": ["data.a[*].b"], "cards": True, "emails": True}}, "path_conflict"),
]


@given(json_values)
def test_a_step_answers_or_rejects_whatever_it_is_given(data: Json) -> None:
    for step, code in CODES:
        assert [fault.code for fault in run(step, data).faults] in ([], [code])


def test_a_template_that_would_run_for_days_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded.__init__, "__defaults__", (0.05,))
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

    assert [fault.code for fault in run({"template": {"data.x": loops}}, {}).faults] == ["time_limit_exceeded"]


@pytest.mark.parametrize(
    ("data", "parts"), [({"items": [1, 2]}, [1, 2]), ({"items": {"a": 1}}, [{"a": 1}]), ({"items": []}, []), ("x", [])]
)
def test_split_makes_an_event_of_each_item_and_of_a_thing_that_is_no_list(data: Json, parts: list[Json]) -> None:
    for path in ("data.items", "data.items[*]"):
        assert [event.data for event in run({"split": path}, data).events] == parts


def test_split_says_whether_there_is_no_list_or_an_empty_one() -> None:
    documents: list[Json] = [{"order": {}}, {"item": []}]
    assert [run({"split": "data.item"}, data).stops for data in documents] == [
        ("step 1 'split': the event has nothing at data.item",),
        ("step 1 'split': the list is empty, so there is nothing to make events of",),
    ]


def test_a_filter_notes_that_a_text_which_reads_like_false_is_true() -> None:
    for text, count in (("false", 1), ("true", 0)):
        result = run({"filter": "data.paid"}, {"paid": text})
        assert [note.endswith("or `cast` it to boolean on the source") for note in result.notes] == [True] * count
        assert result.events


def asking(owners: FakeOwners) -> Services:
    return Services(FakeSecrets({}), lambda: FakeFetch(), owners, None)


def test_switch_takes_the_first_case_that_is_true() -> None:
    cases: Json = [{"when": "data.a", "to": "one"}, {"to": "two"}]
    chains: dict[str, Json] = {"one": [{"set": {"data.x": 1}}], "two": [{"set": {"data.x": 2}}]}
    switching = chain([{"switch": cases}, {"set": {"data.never": True}}], chains)

    assert [finished(switching.run(replace(WRITTEN_EVENT, data={"a": a}))).events[0].data for a in (True, False)] == [
        {"a": True, "x": 1},
        {"a": False, "x": 2},
    ]


def test_a_sample_is_a_share_and_always_the_same_events() -> None:
    sampling = chain([{"sample": "25%"}])
    first, second = [
        {n for n in range(1_000) if finished(sampling.run(replace(WRITTEN_EVENT, id=f"{n:032x}"))).events}
        for _ in range(2)
    ]
    assert 200 < len(first) < 300
    assert first == second


async def test_the_first_event_of_a_key_goes_on_and_goes_on_again() -> None:
    deduplicating, services = chain([{"deduplicate": "data.order"}]), asking(FakeOwners())
    event = replace(WRITTEN_EVENT, data={"order": 7})

    assert (await deduplicating.run(event, services)).events
    second = await deduplicating.run(replace(event, id="e2"), services)
    assert second.stops == ("step 1 'deduplicate': the event e1 came first with this data.order",)
    assert (await deduplicating.run(event, services)).events
    assert (await deduplicating.run(replace(event, id="e3", data={"order": 8}), services)).events
    assert (await deduplicating.run(replace(event, id="e4", data={}), services)).events


@pytest.mark.parametrize("key", ["data.items[*].oder", "[data.items[*].oder, data.shop]", "data.name"])
async def test_what_is_empty_is_no_key(key: str) -> None:
    deduplicating, services = chain([{"deduplicate": key}]), asking(FakeOwners())
    for event_id in ("e1", "e2"):
        event = replace(WRITTEN_EVENT, id=event_id, data={"items": [{"order": 7}], "name": ""})
        assert (await deduplicating.run(event, services)).events


async def test_a_list_of_missing_values_is_no_key() -> None:
    deduplicating, services = chain([{"deduplicate": "[data.shop, data.order]"}]), asking(FakeOwners())
    for event_id in ("e1", "e2"):
        event = replace(WRITTEN_EVENT, id=event_id, data={"oder": 7})
        result = await deduplicating.run(event, services)
        assert result.events
        assert "did you mean 'data.oder'" in str(result.notes)
    for event_id, goes_on in (("e3", True), ("e4", False)):
        partly = await deduplicating.run(replace(WRITTEN_EVENT, id=event_id, data={"order": 7}), services)
        assert bool(partly.events) is goes_on


async def test_routes_deduplicate_each_for_itself_and_within_the_window() -> None:
    services = asking(FakeOwners())
    one = chain([{"deduplicate": {"key": "data.order", "window": "1h"}}])
    event = replace(WRITTEN_EVENT, data={"order": 7})
    await one.run(event, services)

    assert (await replace(one, route="another").run(replace(event, id="e2"), services)).events
    later = replace(event, id="e3", receivedat="2026-03-01T13:00:00.000Z")
    assert (await one.run(later, services)).events


async def test_without_the_memory_the_event_comes_again() -> None:
    owners = FakeOwners()
    owners.fault = "down"

    with pytest.raises(Temporary, match="step 1 'deduplicate': down"):
        await chain([{"deduplicate": "data.order"}]).run(replace(WRITTEN_EVENT, data={"order": 7}), asking(owners))


ORDER: Final[JsonObject] = {
    "number": "A1",
    "card": {"number": "4111"},
    "items": [{"sku": "X"}, {"sku": "Y"}],
    "order": {"lines": {"line": [1, 2]}},
    "note": None,
}


@pytest.mark.parametrize(
    ("step", "note"),
    [
        ({"drop": "data.card_number"}, "'data.card_number' is not in this event; did you mean 'data.card.number'?"),
        (
            {"drop": ["data.number", "data.crd"]},
            "'data.crd' is not in this event; did you mean 'data.card'? Nothing is",
        ),
        ({"drop": "data.items.sku"}, "'data.items' is a list; write 'data.items[*].sku' for each item"),
        ({"drop": "data.items[5]"}, "'data.items[5]' is not in this event; nothing is removed there"),
        ({"drop": "data.items[*].price"}, "'data.items[*].price' is not in this event; nothing is removed there"),
        ({"drop": 'data["card.numbr"]'}, "'data[\"card.numbr\"]' is not in this event; nothing is removed there"),
        ({"keep": ["data.number", "data.card.numbr"]}, "did you mean 'data.card.number'? Nothing is kept there"),
        ({"rename": {"data.nmber": "id"}}, "did you mean 'data.number'? Nothing is renamed there"),
        ({"flatten": "data.cards"}, "did you mean 'data.card'? Nothing is flattened there"),
        ({"redact": "data.card.nummer"}, "did you mean 'data.card.number'? Nothing is masked there"),
        ({"cast": {"data.total": "number"}}, "'data.total' is not in this event; nothing is cast there"),
        ({"parse_time": "data.at"}, "'data.at' is not in this event; nothing is rewritten there"),
        ({"set": {"data.a": {"from": "data.nmber"}}}, "did you mean 'data.number'? Null is set"),
        ({"map": "{a: data.nmber, b: data.note}"}, "'data.nmber' is not in this event; did you mean 'data.number'?"),
        (
            {"default": {"data.crd.kind": "visa"}},
            "'data.crd' is not in this event; did you mean 'data.card'? It is added",
        ),
        (
            {"default": {"data.crd.kind": 1, 'data["a.b"]["c.d"]': 1}},
            "It is added; 'data[\"a.b\"]' is not in this event; it is added",
        ),
        ({"convert": {"from": "csv", "path": "data.items", "to": "json"}}, "data.items is not a text to read as csv"),
        ({"merge": {"from": "data.cards"}}, "did you mean 'data.card'? Nothing is merged"),
        ({"split": "data.card"}, "data.card is an object and not a list, so it makes one event"),
        ({"split": "data.number"}, "data.number is text and not a list, so it makes one event"),
        ({"split": "data.order.lines"}, "did you mean 'data.order.lines.line', which is a list?"),
    ],
)
def test_a_path_that_finds_nothing_is_noted_with_the_most_similar_one(step: JsonObject, note: str) -> None:
    [found] = run(step, ORDER).notes
    assert note in found


@pytest.mark.parametrize(
    "step",
    [
        {"drop": ["data.note", "data.items[*].sku", "actor"]},
        {"keep": ["data.note", "data.items[0].sku"]},
        {"redact": "data.note"},
        {"default": {"data.zzz.kind": "visa", "data.card.kind": "visa", "data.x": 1}},
        {"cast": {"data.note": "number", "data.number": "text"}},
        {"set": {"data.a": {"from": "data.note"}}},
        {"map": "{a: data.note, b: data.items[0].price}"},
    ],
)
def test_a_place_that_has_null_or_needs_no_change_is_not_noted(step: JsonObject) -> None:
    assert run(step, ORDER).notes == ()


def test_an_element_of_xml_that_is_not_repeated_is_split_without_a_note() -> None:
    event = replace(WRITTEN_EVENT, data=ORDER, rawtype="text/xml")
    result = finished(chain([{"split": "data.card"}]).run(event))
    assert (len(result.events), result.notes) == (1, ())


def test_a_note_is_made_again_for_events_of_another_shape() -> None:
    step = verified_step(Drop, ["data.nmber"])
    shapes: list[Json] = [{"number": 1}, {"name": 1}, {"number": 2}, "text"]
    results = [step.apply(replace(SHAPED_EVENT, data=data), CONTEXT) for data in shapes]
    notes = [each.note.partition("; ")[2] if isinstance(each, Noted) else "" for each in results]
    assert [note.startswith("did you mean 'data.number'?") for note in notes] == [True, False, True, False]


def test_two_paths_that_read_alike_have_notes_of_their_own() -> None:
    filters = [verified_step(Filter, {"keep": keep}) for keep in ('data."crd.kind"', "data.crd.kind")]
    stops = [step.apply(replace(SHAPED_EVENT, data={"crd": {"king": 1}}), CONTEXT) for step in filters]
    assert [each.missing for each in stops if isinstance(each, Stop)] == [
        "; 'data[\"crd.kind\"]' is not in this event",
        "; 'data.crd.kind' is not in this event; did you mean 'data.crd.king'?",
    ]


def test_a_filter_and_a_switch_name_the_fields_that_their_conditions_lack() -> None:
    filtered = run({"filter": "data.nmber == 'A1'"}, ORDER)
    assert filtered.stops == filtered.logged_stops == ("step 1 'filter': data.nmber == 'A1' is not true",)
    assert filtered.journal_stops == (
        f"{filtered.stops[0]}; 'data.nmber' is not in this event; did you mean 'data.number'?",
    )
    switch: Json = {"switch": [{"to": "a", "when": "data.nmber == 'A1'"}, {"to": "a", "when": "data.number == 'a1'"}]}
    [named] = read_chain([switch])[0]
    note = named.step.apply(replace(SHAPED_EVENT, data=ORDER), CONTEXT)
    assert isinstance(note, Noted)
    assert note.note == (
        "no case is true, so the event continues here: data.number differs only in upper and lower case;"
        " 'data.nmber' is not in this event; did you mean 'data.number'?"
    )
