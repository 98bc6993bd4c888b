"""The index of routes finds what a decision about every route finds, from the routes of the event's source alone."""

from dataclasses import replace
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from deploy.explain.transform_stage import unlisted_decisions
from functions.transform.program import read_program
from functions.transform.routes import decide, run_routes
from shared.event import Event, to_cloudevent
from shared.journal import MAX_LISTED_ROUTES, EventEntry, RouteDecision, route_documents
from shared.jsontext import JsonObject
from tests.unit.transform.transform_bench import Bench

EVENT: Final = Event("e1", "/sources/a", "x", "2026-03-01T12:00:00.000Z", "00", {"n": 1})
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


few_or_many: Final = st.lists(route_settings, max_size=8) | st.lists(route_settings, min_size=25, max_size=50)


@given(few_or_many, NAMES, st.sampled_from(["x", "y", "x.z", "q"]), st.integers(1, 2))
async def test_the_index_and_what_is_computed_later_say_together_what_every_route_decides(
    settings: list[JsonObject], source: str, event_type: str, number: int
) -> None:
    transform = slice_of(settings)
    routes = read_program(transform).routes
    event = replace(EVENT, source=f"/sources/{source}", type=event_type, data={"n": number})

    every = await run_routes(event, tuple(routes), None)
    decision = await decide(event, routes, None)
    computed = unlisted_decisions(to_cloudevent(event), decision.routes, transform)

    assert decision.owed == tuple(owed for each in every for owed in each.owed)
    assert decision.others == len(computed)
    assert not any(each.matched for each in computed)
    assert by_name([*decision.routes, *computed]) == by_name([each.decision for each in every])


def test_an_event_is_decided_about_by_the_routes_of_its_source_and_type() -> None:
    others: list[JsonObject] = [{"from": [f"source-{number}"]} for number in range(1_000)]
    types: list[JsonObject] = [{"from": ["a"], "types": [f"t{number}"]} for number in range(1_000)]

    of_one_source = read_program(slice_of([*others, {"from": ["a"]}])).routes
    of_one_type = read_program(slice_of([*types, {"from": ["a"], "types": ["x"]}])).routes

    assert [route.name for route in of_one_source.considered(EVENT)] == ["r1000"]
    assert len(of_one_type.considered(EVENT)) == MAX_LISTED_ROUTES


async def test_the_journal_lists_at_most_20_decisions_and_counts_the_others() -> None:
    bench = Bench(slice_of([{"types": ["push"]} if number % 2 else {} for number in range(100)])["routes"])

    await bench.take()

    entry = bench.journaled
    *listed, last = route_documents(entry.routes, entry.others)
    assert len(listed) == MAX_LISTED_ROUTES
    assert last == {"others": 80}
    assert all(isinstance(each, dict) and each["matched"] for each in listed)
    assert entry.expected == 50


def test_of_too_many_decisions_those_of_failed_routes_are_listed_first() -> None:
    decisions = [
        RouteDecision(f"r{number}", number > 30, "", code="step" if number == 40 else None) for number in range(41)
    ]
    first, second, *_ = route_documents(EventEntry(EVENT, tuple(decisions), 0.0).routes)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["route"], second["route"]) == ("r40", "r31")


async def test_the_log_says_why_no_route_took_an_event_and_counts_the_rest() -> None:
    routes: list[JsonObject] = [{"from": ["a"], "types": [f"t{number}"]} for number in range(100)]
    decision = await decide(EVENT, read_program(slice_of(routes)).routes, None)
    *_, last, more = decision.reason.split("; ")
    assert (last, more) == ("route 'r4': the type does not match t4", "95 more")


def test_a_route_without_a_source_considers_events_of_every_source() -> None:
    routes: list[JsonObject] = [{"from": ["b"]}, {}, {"from": ["a"]}]
    considered = read_program(slice_of(routes)).routes.considered(EVENT)
    assert [route.name for route in considered] == ["r1", "r2"]
