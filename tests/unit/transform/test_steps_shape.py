"""Steps that change the structure of the data: drop, set, keep, rename and flatten."""

from dataclasses import replace

import pytest

from functions.transform.program import read_chain
from functions.transform.step import SettingsFault, StepContext
from functions.transform.steps.shape import Drop
from functions.transform.steps.values import Set
from functions.transform.verifying import verified_step
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json, to_json
from tests.unit.transform.written_steps import data_after, run

EVENT = Event(
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
CONTEXT = StepContext(EVENT)


def drop(*paths: str) -> Event:
    return verified_step(Drop, list(paths)).apply(EVENT, CONTEXT)


def set_(values: Json, event: Event = EVENT) -> Event:
    return verified_step(Set, values).apply(event, CONTEXT)


def test_what_is_dropped_is_in_the_body_as_it_came_no_longer() -> None:
    after = drop("data.password")

    assert after.data == {"name": "Ada", "items": ["a", "b", "c", "d"]}
    assert "hunter2" not in repr(after)


def test_dropping_what_is_not_there_changes_nothing() -> None:
    assert drop("data.nothing", "data.items[9]") is EVENT


def test_each_place_is_dropped_as_the_event_had_it_before_the_step() -> None:
    after = drop("data.items[0]", "data.items[2]")

    assert isinstance(after.data, dict)
    assert after.data["items"] == ["b", "d"]


def test_who_and_what_it_is_about_can_be_dropped() -> None:
    after = drop("actor", "subject")

    assert (after.actor, after.subject, after.rawbody) == (None, None, EVENT.rawbody)


@pytest.mark.parametrize("path", ["type", "data"])
def test_what_an_event_cannot_be_without_is_not_dropped(path: str) -> None:
    with pytest.raises(SettingsFault):
        verified_step(Drop, [path])


def test_a_value_can_be_given_or_computed() -> None:
    after = set_({"data.team": "north", "data.who": {"from": "data.name"}, "data.note": {"from": "x", "and": "y"}})

    assert isinstance(after.data, dict)
    assert (after.data["team"], after.data["who"], after.data["note"]) == ("north", "Ada", {"from": "x", "and": "y"})


def test_values_are_computed_from_the_event_as_it_was_before_the_step() -> None:
    after = set_({"data.name": "Bob", "data.before": {"from": "data.name"}})

    assert isinstance(after.data, dict)
    assert (after.data["name"], after.data["before"]) == ("Bob", "Ada")


def test_all_of_the_data_can_be_set() -> None:
    assert set_({"data": {"from": "{who: data.name, about: subject}"}}).data == {"who": "Ada", "about": "lead/7"}


def test_a_number_in_the_place_of_a_truth_value_is_a_change() -> None:
    event = replace(EVENT, data={"on": 1})

    data = set_({"data.on": True}, event).data

    assert isinstance(data, dict)
    assert data["on"] is True


@pytest.mark.parametrize(
    ("value", "text"), [("x\r\nBcc: y", "x  Bcc: y"), (7, "7"), (True, "true"), (1.5, "1.5"), (None, None), ("", None)]
)
def test_an_attribute_becomes_printable_text(value: Json, text: str | None) -> None:
    assert set_({"subject": value}).subject == text


def test_type_and_actor_can_be_set() -> None:
    after = set_({"type": "signup", "actor": {"from": "data.name"}})

    assert (after.type, after.actor, after.data) == ("signup", "Ada", EVENT.data)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": ""}, "'type' cannot be empty"),
        ({"type": {"from": "data.nothing"}}, "'type' cannot be empty"),
        ({"actor": {"from": "data.items"}}, "'actor' is text; found a list"),
        ({"data.name.first": 1}, "data.name is text, not an object"),
        ({"data.items[9]": 1}, "data.items has 4 items; there is no [9]"),
    ],
)
def test_what_cannot_be_set_is_permanent_and_says_no_value(values: Json, message: str) -> None:
    with pytest.raises(Permanent) as caught:
        set_(values)

    assert (caught.value.code, caught.value.detail) == ("path_conflict", message)


@pytest.mark.parametrize("found", ["to_number('inf')", "sum([`1e308`, `1e308`])", "sum(data.prices)"])
def test_an_attribute_is_no_number_that_cannot_be_written(found: str) -> None:
    event = EVENT.with_data({"prices": [10**4_300 - 1, 1]})
    with pytest.raises(Permanent) as caught:
        set_({"actor": {"from": found}}, event)
    assert caught.value.code == "invalid_output"


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
        "path_conflict",
        "data already has a field 'b'",
    )


@pytest.mark.parametrize("name", ["data.b", 'data["b"]'])
def test_rename_takes_a_name_and_no_path(name: str) -> None:
    _, [fault] = read_chain([{"rename": {"data.a": name}}])

    assert f"{name!r} is a path; write a name" in str(fault)


def test_flatten_rejects_what_would_be_two_fields_of_one_name() -> None:
    fault = code_and_reason({"flatten": "data"}, {"a.b": 1, "a": {"b": "hunter2"}})

    assert fault == ("path_conflict", "data has two fields that would get the same name")
