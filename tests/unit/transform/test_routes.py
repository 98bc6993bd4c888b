from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transform.program import read_program
from functions.transform.routes import Route, match, match_all
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.settings import SliceFault

EVENT = Event("e1", "/sources/signup-form", "signup.created", "2026-03-01T12:00:00.000Z", "00", {"plan": "pro"})


def route(**settings: Json) -> Route:
    entry: JsonObject = {"name": "tell the list", "from": None, "types": None, "where": None, "to": ["crm"], **settings}
    [read] = read_program({"routes": [entry]}).routes
    return read


def else_route(**settings: Json) -> Route:
    settings["else"] = True
    return route(**settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "it takes every event"),
        ({"from": ["crm", "signup-form"]}, "from 'signup-form'"),
        ({"types": ["signup.*"]}, "type 'signup.created' matches signup.*"),
        ({"types": ["trial.*", "*.created"]}, "type 'signup.created' matches one of trial.*, *.created"),
        ({"where": "data.plan != 'free'"}, "where data.plan != 'free' is true"),
        (
            {"from": ["signup-form"], "types": ["signup.?reated"], "where": "data.plan"},
            "from 'signup-form'; type 'signup.created' matches signup.?reated; where data.plan is true",
        ),
    ],
)
def test_a_route_that_takes_an_event_says_why(settings: JsonObject, reason: str) -> None:
    found = match(route(**settings), EVENT)

    assert (found.matched, found.reason) == (True, reason)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"from": ["crm"]}, "from 'signup-form', which is not crm"),
        ({"from": ["erp", "crm"]}, "from 'signup-form', which is not one of crm, erp"),
        ({"types": ["push"]}, "type 'signup.created' does not match push"),
        (
            {"types": ["SIGNUP.*", "signup"]},
            "type 'signup.created' does not match one of SIGNUP.*, signup: types are case-sensitive",
        ),
        ({"where": "data.plan == 'free'"}, "where data.plan == 'free' is false"),
        ({"where": "data.vip"}, "where data.vip is null, which counts as false"),
        (
            {"where": "data.[plan][?@ == 'x']"},
            "where data.[plan][?@ == 'x'] is a list that is empty, which counts as false",
        ),
        (
            {"where": "contains(data.labels, 'bug')"},
            "where cannot be computed for this event, which counts as false: "
            "\"contains(data.labels, 'bug')\": contains() takes array or string; found null",
        ),
    ],
)
def test_a_route_that_takes_no_event_says_the_first_condition_that_failed(settings: JsonObject, reason: str) -> None:
    found = match(route(**settings), EVENT)

    assert (found.matched, found.reason) == (False, reason)


@pytest.mark.parametrize(
    ("types", "is_matched", "reasons"),
    [
        (["push"], [False, True], ["type", "it takes every event; no other route took it"]),
        (["signup.*"], [True, False], ["type", "it is for what nothing else takes; 'tell the list' took it"]),
    ],
)
def test_an_else_route_takes_what_no_other_route_took(
    types: list[Json], is_matched: list[bool], reasons: list[str]
) -> None:
    routes = [route(types=types), else_route(name="rest")]
    found = match_all(routes, EVENT)
    assert [each.matched for each in found] == is_matched
    assert found[0].reason.startswith(reasons[0])
    assert found[1].reason == reasons[1]


def test_several_else_routes_take_what_no_other_route_took_and_their_own_conditions_hold() -> None:
    routes = [
        else_route(name="rest"),
        else_route(name="trials", types=["trial.*"]),
        else_route(name="all the rest"),
    ]
    found = match_all(routes, EVENT)
    assert [each.matched for each in found] == [True, False, True]


@pytest.mark.parametrize(
    "where",
    ["source == 'signup-form'", "type == 'signup.created'", "actor == 'ada'", "id == 'e1'", "!subject", "hops == `0`"],
)
def test_where_sees_the_whole_event(where: str) -> None:
    assert match(route(where=where), replace(EVENT, actor="ada")).matched


@given(st.text(max_size=40))
def test_any_type_matches_a_star_and_itself_without_special_characters(text: str) -> None:
    event = replace(EVENT, type=text)

    assert match(route(types=["*"]), event).matched
    if not set(text) & set("*?["):
        assert match(route(types=[text]), event).matched or not text


def test_destinations_named_twice_are_owed_once() -> None:
    assert route(to=["crm", "list", "crm"]).destinations == ("crm", "list")


def test_every_fault_of_the_routes_is_reported_at_once() -> None:
    entries: Json = [
        {"name": "one", "where": "a = 1", "to": []},
        {"name": "two", "steps": [{"dorp": []}, {"drop": ["x"]}], "to": []},
    ]

    with pytest.raises(SliceFault) as caught:
        read_program({"routes": entries})

    assert "route 'one': where: 'a = 1' is not JMESPath" in caught.value.detail
    assert "route 'two': step 1 'dorp': there is no such step" in caught.value.detail
    assert "route 'two': step 2 'drop'" in caught.value.detail
