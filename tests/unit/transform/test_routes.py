"""The index of routes finds what a decision about every route finds, from the routes of the event's source alone."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, cast

import pytest
from hypothesis import given, strategies as st

from deploy.explain.transform_stage import unlisted_decisions
from functions.transform.chain import Chain
from functions.transform.program import read_program
from functions.transform.route_runs import decide, run_routes
from functions.transform.routes import Route, match, match_all
from functions.transform.step import AskingStep, NamedStep, Services, Step, StepContext
from shared import time_bound
from shared.errors import Temporary
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.journal import MAX_LISTED_ROUTES, RouteDecision, route_documents
from shared.jsontext import Json, JsonObject
from shared.ports import DELIVERIES
from shared.settings import SliceFault
from tests.unit.transform.asked_hosts import Hosts, asking_route
from tests.unit.transform.transform_bench import Bench

if TYPE_CHECKING:
    from shared.expressions import Expression

EVENT = Event(
    "e1",
    "/sources/signup-form",
    "signup.created",
    "2026-03-01T12:00:00.000Z",
    "00",
    {"plan": "pro", "seats": "3", "payload": '{"ref": "main"}'},
)


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
        ({"where": "action == `null`"}, "where action == `null` is true"),
        ({"from": ["crm", "signup-form"]}, "from 'signup-form'"),
        ({"types": ["trial.*", "*.created"]}, "type 'signup.created' matches one of trial.*, *.created"),
        (
            {"types": ["*.?reated"], "where": "data.plan"},
            "type 'signup.created' matches *.?reated; where data.plan is true",
        ),
    ],
)
def test_a_route_that_takes_an_event_says_why(settings: JsonObject, reason: str) -> None:
    found = match(route(**settings), EVENT)

    assert (found.matched, found.reason) == (True, reason)


OPENED: Final = replace(EVENT, type="issues", action="opened")


@pytest.mark.parametrize(
    ("types", "reason"),
    [
        (["issues"], "type 'issues' matches issues"),
        (["issues.opened"], "type 'issues.opened' matches issues.opened"),
        (["push", "issues.*"], "type 'issues.opened' matches one of push, issues.*"),
        (["*.opened"], "type 'issues.opened' matches *.opened"),
    ],
)
def test_a_pattern_matches_the_type_or_the_type_and_the_action(types: list[Json], reason: str) -> None:
    assert match(route(types=types), OPENED).reason == reason


@pytest.mark.parametrize(
    ("types", "reason"),
    [
        (["issues.closed"], "type 'issues' with the action 'opened' does not match issues.closed"),
        (["Issues.opened"], "does not match Issues.opened: types are case-sensitive"),
        (["opened"], "does not match opened"),
    ],
)
def test_a_pattern_of_another_action_does_not_match(types: list[Json], reason: str) -> None:
    found = match(route(types=types), OPENED)
    assert not found.matched
    assert reason in found.reason
    assert "'opened'" not in found.logged


@pytest.mark.parametrize(("types", "is_matched"), [("issues", True), ("issues.opened", False), ("issues.*", False)])
def test_an_event_of_an_earlier_version_has_no_action_and_matches_by_its_type(types: str, is_matched: bool) -> None:
    message = to_cloudevent(OPENED)
    del message["action"]
    assert match(route(types=[types]), from_cloudevent(message)).matched is is_matched


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"from": ["crm"]}, "from 'signup-form', which is not crm"),
        ({"types": ["push"]}, "type 'signup.created' does not match push"),
        ({"types": ["SIGNUP.*", "signup"]}, "does not match one of SIGNUP.*, signup: types are case-sensitive"),
        ({"where": "data.plan == 'free'"}, "where data.plan == 'free' is false"),
        ({"where": "data.plan == 'Pro'"}, "is false: data.plan differs only in upper and lower case"),
        ({"where": "data.plan == `true`"}, "data.plan is text, which never equals true or false; compare with a text"),
        ({"where": "data.pln == 'pro'"}, "is false; 'data.pln' is not in this event; did you mean 'data.plan'?"),
        ({"where": "[data.plan] == 'pro'"}, "a list never equals a text or a number; write contains(LIST, VALUE)"),
        ({"where": "contains('pro', data.seats && `3`)"}, "contains() takes first where to search, then the value"),
        ({"where": "contains([{a: data.plan}], 'pro')"}, "are objects, which contain no text; write LIST[?FIELD == "),
        ({"where": "data.vip"}, "where data.vip is null, which counts as false"),
        ({"where": "data.seats > `2`"}, "data.seats is text, which never equals or exceeds a number; write to_number("),
        ({"where": "data.plan > `2`"}, "data.plan is text that is not written as a number, such as 12.50, so neither"),
        ({"where": "to_number(data.plan) > `2`"}, "is null, which counts as false: data.plan is text that is not"),
        (
            {"where": "data.ref"},
            "is not in this event; data.payload holds it, as JSON in a text: set `unpack: data.pay",
        ),
        (
            {"where": "contains(data.labels, 'bug')"},
            "which counts as false: \"contains(data.labels, 'bug')\": contains()",
        ),
    ],
)
def test_a_route_that_takes_no_event_says_the_first_condition_that_failed(settings: JsonObject, reason: str) -> None:
    found = match(route(**settings), EVENT)

    assert not found.matched
    assert reason in found.reason


def test_the_log_has_no_name_of_a_field_of_the_event() -> None:
    found = match(route(where="data.pln == 'pro'"), EVENT)
    assert (found.logged, "data.plan" in found.reason) == ("where data.pln == 'pro' is false", True)


@pytest.mark.parametrize(
    "where",
    ["data.total == '250'", "data.paid == 'true'", "data.id && 'true' == data.paid", "data.rows[0][1] == '2'"],
)
def test_a_number_or_a_boolean_compared_with_a_text_is_named(where: str) -> None:
    found = match(route(where=where), EVENT.with_data({"id": "1", "total": 250, "paid": True, "rows": [[1, 2]]}))
    assert not found.matched
    assert "in backticks instead of quotes" in found.reason


def test_a_text_that_reads_like_false_is_true_and_the_reason_says_so() -> None:
    found = match(route(where="data.paid"), EVENT.with_data({"paid": "false"}))
    assert found.matched
    assert "a text that reads like false" in found.reason


@pytest.mark.parametrize(
    ("types", "is_matched", "reason"),
    [
        (["push"], [False, True], "it takes every event; no other route took it"),
        (["signup.*"], [True, False], "it is for what nothing else takes; 'tell the list' took it"),
    ],
)
def test_an_else_route_takes_what_no_other_took(types: list[Json], is_matched: list[bool], reason: str) -> None:
    found = match_all([route(types=types), else_route(name="rest")], EVENT)
    assert [each.matched for each in found] == is_matched
    assert found[1].reason == reason


@given(st.text(max_size=40))
def test_any_type_matches_a_star_and_itself_without_special_characters(text: str) -> None:
    event = replace(EVENT, type=text)

    assert match(route(types=["*"]), event).matched
    if not set(text) & set("*?["):
        assert match(route(types=[text]), event).matched or not text


def test_every_fault_of_the_routes_is_reported_at_once() -> None:
    entries: Json = [
        {"name": "one", "where": "a = 1", "to": []},
        {"name": "two", "steps": [{"dorp": []}, {"drop": ["x"]}], "to": []},
    ]

    with pytest.raises(SliceFault) as caught:
        read_program({"routes": entries})

    assert "route 'one': where: 'a = 1' is not JMESPath" in caught.value.detail
    assert "route 'two': step 2 'drop'" in caught.value.detail


INDEXED_EVENT: Final = Event("e1", "/sources/a", "x", "2026-03-01T12:00:00.000Z", "00", {"n": 1})
NAMES: Final = st.sampled_from(["a", "b", "c"])
TYPES: Final = st.sampled_from(["x", "y", "x.z", "x*", "[xy]", "*"])

route_settings: Final = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(NAMES, min_size=1, max_size=3),
        "types": st.lists(TYPES, min_size=1, max_size=3),
        "where": st.sampled_from(["data.n == `1`", "data.n == `2`", "length(data.m) > `0`"]),
        "else": st.booleans(),
        "enabled": st.booleans(),
        "steps": st.just([{"filter": "data.n == `2`"}]),
    },
)


def slice_of(routes: list[JsonObject]) -> JsonObject:
    return {"routes": [{"name": f"r{number}", "to": ["crm"], **each} for number, each in enumerate(routes)]}


def by_name(decisions: list[RouteDecision]) -> dict[str, RouteDecision]:
    return {decision.route: decision for decision in decisions}


few_or_many: Final = st.lists(route_settings, max_size=8) | st.lists(route_settings, min_size=25, max_size=30)


ACTIONS: Final = st.sampled_from([None, "z", "y"])


@given(few_or_many, NAMES, st.sampled_from(["x", "y", "x.z", "q"]), ACTIONS, st.integers(1, 2))
async def test_the_index_and_what_is_computed_later_say_together_what_every_route_decides(
    settings: list[JsonObject], source: str, event_type: str, action: str | None, number: int
) -> None:
    transform = slice_of(settings)
    routes = read_program(transform).routes
    event = replace(INDEXED_EVENT, source=f"/sources/{source}", type=event_type, action=action, data={"n": number})

    every = await run_routes(event, tuple(routes), None)
    decision = await decide(event, routes, None)
    computed = unlisted_decisions(to_cloudevent(event), decision.routes, transform)

    assert decision.owed == tuple(owed for each in every for owed in each.owed)
    assert decision.others == len(computed)
    assert not any(each.matched for each in computed)
    assert by_name([*decision.routes, *computed]) == by_name([each.decision for each in every])


class Busy(Step):
    """Computes for longer than one turn of the event loop may take, as a step or as a condition."""

    text = "busy"
    computed = 0

    def apply(self, event: Event, _: StepContext) -> Event:
        time.sleep(time_bound.LATE_SECONDS)
        Busy.computed += 1
        return event

    def search(self, _: JsonObject) -> bool:
        self.apply(EVENT, StepContext(EVENT))
        return True


class BusyAsking(AskingStep):
    asks_others = True

    async def ask(self, event: Event, context: StepContext, _: Services) -> Event:
        return Busy().apply(event, context)


@pytest.mark.parametrize("busy", ["where", Busy(), BusyAsking()])
async def test_other_events_go_on_between_long_computations_of_several_routes(
    busy: str | Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_bound, "LATE_SECONDS", 0.001)
    monkeypatch.setattr(time_bound, "REST_SECONDS", 0.001)
    if isinstance(busy, str):
        routes = [replace(route(), where=cast("Expression", Busy()))] * 6
    else:
        routes = [replace(route(), chain=Chain("busy", (NamedStep(1, "busy", busy),)))] * 6
    seen = [Busy.computed]
    running = asyncio.create_task(run_routes(EVENT, routes, Hosts().services))
    while not running.done():
        await asyncio.sleep(0)
        seen.append(Busy.computed)
    assert all(each.owed for each in await running)
    assert seen[-1] == seen[0] + 6
    assert max(after - before for before, after in pairwise(seen)) == 1


def test_an_event_is_decided_about_by_the_routes_of_its_source_and_type() -> None:
    others: list[JsonObject] = [{"from": [f"source-{number}"]} for number in range(1_000)]
    types: list[JsonObject] = [{"from": ["a"], "types": [f"t{number}"]} for number in range(1_000)]

    of_one_source = read_program(slice_of([*others, {"from": ["a"]}])).routes
    of_one_type = read_program(slice_of([*types, {"from": ["a"], "types": ["x"]}])).routes

    assert [route.name for route in of_one_source.considered(INDEXED_EVENT)] == ["r1000"]
    assert len(of_one_type.considered(INDEXED_EVENT)) == MAX_LISTED_ROUTES
    of_one_action = read_program(slice_of([*types, {"from": ["a"], "types": ["x.z"]}])).routes
    assert "r1000" in [route.name for route in of_one_action.considered(replace(INDEXED_EVENT, action="z"))]


async def test_the_journal_lists_at_most_20_decisions_and_counts_the_others() -> None:
    bench = Bench(slice_of([{"types": ["push"]} if number % 2 else {} for number in range(100)])["routes"])

    await bench.take()

    entry = bench.journaled
    *listed, last = route_documents(entry.routes, entry.others)
    assert len(listed) == MAX_LISTED_ROUTES
    assert last == {"others": 80}
    assert all(isinstance(each, dict) and each["matched"] for each in listed)
    assert entry.expected == 50


SLOW: Final = asking_route("slow", "slow.example")
QUICK: Final = asking_route("quick", "quick.example")
PLAIN: Final[JsonObject] = {"name": "plain", "to": ["crm"]}


def routes_published(bench: Bench) -> list[str]:
    return [each.route for each in bench.deliveries]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


async def test_a_route_whose_step_hangs_holds_up_no_other_route_of_the_event() -> None:
    hosts = Hosts(hanging={"slow.example": asyncio.Event()})
    bench = Bench([SLOW, PLAIN, QUICK], services=hosts.services)

    taking = asyncio.create_task(bench.take())
    await until(lambda: routes_published(bench) == ["plain", "quick"])
    assert not taking.done()
    assert bench.journal.entries == []

    hosts.hanging["slow.example"].set()
    await taking
    assert routes_published(bench) == ["plain", "quick", "slow"]
    assert [each.route for each in bench.journaled.routes] == ["slow", "plain", "quick"]
    assert [each.outcome for each in bench.journaled.routes] == ["matched"] * 3


async def test_routes_that_ask_nobody_are_published_together_before_any_is_asked() -> None:
    hosts = Hosts()
    bench = Bench([QUICK, PLAIN, {"name": "other", "to": ["crm", "list"]}], services=hosts.services)
    published: list[int] = []

    async def publish(topic: str, messages: list[object]) -> None:
        assert topic == DELIVERIES
        published.append(len(messages))
        assert bool(hosts.asked) == (len(published) > 1)

    bench.bus.publish = publish  # type: ignore[method-assign, assignment] # it only counts
    await bench.take()
    assert published == [3, 1]


async def test_a_publish_that_fails_ends_the_event_once_the_other_routes_have_ended() -> None:
    hosts = Hosts(hanging={"slow.example": asyncio.Event()})
    bench = Bench([SLOW, QUICK], services=hosts.services)
    bench.bus.fault = "down"
    taking = asyncio.create_task(bench.take())
    await until(lambda: len(hosts.asked) == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not taking.done()
    bench.bus.fault = None
    hosts.hanging["slow.example"].set()
    with pytest.raises(Temporary, match="down"):
        await taking
    assert routes_published(bench) == ["slow"]


async def test_an_event_whose_time_is_over_asks_no_longer() -> None:
    hosts = Hosts(hanging={"slow.example": asyncio.Event()})
    taking = asyncio.create_task(Bench([SLOW, SLOW | {"name": "second"}], services=hosts.services).take())
    await until(lambda: len(hosts.asked) == 2)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert len(asyncio.all_tasks()) == 1
