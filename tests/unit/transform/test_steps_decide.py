"""Steps that decide whether an event continues, and through which chain."""

from dataclasses import replace

import pytest

from functions.transform.program import read_chain
from functions.transform.step import Services
from shared.errors import Temporary
from shared.jsontext import Json
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.fakes.steps import finished
from tests.unit.transform.written_steps import EVENT, chain, run


def asking(owners: FakeOwners) -> Services:
    return Services(FakeSecrets({}), lambda: FakeFetch(), owners, None)


def test_filter_says_which_condition_was_not_true() -> None:
    assert run({"filter": "data.plan != 'free'"}, {"plan": "pro"}).events
    assert run({"filter": "data.plan != 'free'"}, {"plan": "free"}).stops == (
        "step 1 'filter': data.plan != 'free' is not true",
    )


def test_stop_without_a_condition_always_stops() -> None:
    assert run({"stop": "not yet"}, {}).stops == ("step 1 'stop': not yet",)
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


async def test_the_first_event_of_a_key_goes_on_and_goes_on_again() -> None:
    deduplicating, services = chain([{"deduplicate": "data.order"}]), asking(FakeOwners())
    event = replace(EVENT, data={"order": 7})

    assert (await deduplicating.run(event, services)).events
    second = await deduplicating.run(replace(event, id="e2"), services)
    assert second.stops == ("step 1 'deduplicate': the event e1 came first with this data.order",)
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
