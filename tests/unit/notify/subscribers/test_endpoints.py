"""A delivery to one endpoint: what follows an answer, what is final, and what is kept of endpoints."""

import json
from dataclasses import replace
from typing import Final

import pytest

from functions.notify.notifier import Target
from functions.notify.subscribers import endpoints, subscribers
from functions.notify.subscribers.subscribers import ENDPOINT_SECONDS, SubscriberSettings
from functions.notify.waiting.caps import Caps
from shared.delivery import Delivery
from shared.event import Event
from shared.fetch import Fetched
from shared.jsontext import Json
from shared.ledger import DestinationState
from shared.ports import DEAD_LETTERS
from shared.subscribers.directory import endpoints_of
from tests.fakes.fan_out import OK, PAID, FakeWorld, endpoint_id, paid
from tests.fakes.grants import FakeGrants

URL: Final = "https://acme-1.example.com/in"


async def a_world(settings: SubscriberSettings | None = None, **fields: object) -> FakeWorld:
    world = FakeWorld(settings=settings)
    await world.tenant()
    await world.endpoint(1, **fields)  # type: ignore[arg-type]
    return world


def headers(world: FakeWorld) -> dict[str, str]:
    return dict(world.fetch.asked[-1].headers)


async def test_a_receiver_that_repeats_the_tenants_own_headers_leaves_none_of_them_in_the_log() -> None:
    world = FakeWorld()
    await world.tenant()
    name = await world.endpoint(headers={"X-Api-Key": "a-key-of-acme"})
    world.fetch.answers[URL] = Fetched(500, (), b"bad key a-key-of-acme")
    await world.deliver()
    assert (await world.row(name)).answer == "500 bad key ***"


@pytest.mark.parametrize("answer", [Fetched(410, (), b""), Fetched(200, (("webhook-delivery", "disable"),), b"")])
async def test_a_receiver_that_wants_no_more_disables_its_endpoint(answer: Fetched) -> None:
    world = await a_world()
    world.fetch.answers[URL] = answer
    _, result = await world.deliver()
    assert (result.outcome, result.code) == ("dead_lettered", "endpoint_disabled")
    endpoint = await world.read()
    assert (endpoint.disabled_by, endpoint.disabled_at) == ("receiver", world.clock.now())
    assert endpoint.disabled_reason == result.reason
    assert world.bus.on(DEAD_LETTERS) == []
    world.clock.advance(11)
    assert [each.outcome for each in await world.deliver(paid(2))] == ["delivered"], "the fan-out alone"
    assert len(await world.messages()) == 2


async def test_a_delivery_that_failed_for_good_has_no_dead_letter_because_the_message_is_kept() -> None:
    world = await a_world()
    world.fetch.answers[URL] = Fetched(500, (), b"")
    await world.deliver()
    for _ in range(3):
        world.clock.advance(2 * 3_600)
        results = await world.sweep()
    assert [(each.outcome, each.code) for each in results] == [("dead_lettered", "retries_exhausted")]
    assert world.bus.on(DEAD_LETTERS) == []
    row = await world.row(f"customers:acme:{endpoint_id(1)}")
    assert (row.state, row.reason) == (
        "dead_lettered",
        "retries_exhausted: attempt 4, the last: the receiver answered 500",
    )
    assert len(await world.messages()) == 1


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_what_is_owed_to_an_endpoint_that_is_gone_or_disabled_is_final(is_deleted: bool) -> None:
    world = await a_world()
    world.fetch.answers[URL] = Fetched(500, (), b"")
    await world.deliver()
    if is_deleted:
        await world.documents.delete(endpoints_of("acme"), endpoint_id(1))
    else:
        await world.endpoint(1, disabled_by="tenant", disabled_reason="not needed")
    world.clock.advance(11)
    (result,) = await world.sweep()
    expected = ("endpoint_deleted", "the endpoint was deleted")
    if not is_deleted:
        expected = ("endpoint_disabled", "the endpoint is disabled: not needed")
    assert (result.outcome, result.code, result.reason) == ("dead_lettered", *expected)
    assert len(world.fetch.asked) == 1
    assert world.bus.on(DEAD_LETTERS) == []


async def test_an_endpoint_of_a_destination_that_is_not_configured_is_final() -> None:
    world = await a_world()
    for name in ("crm:acme:" + endpoint_id(1), "customers:acme:x", "customers:acme"):
        await world.notifier.take(replace(delivery_to(name)))
        row = await world.row(name)
        assert row.reason.startswith("unknown_destination: the configuration has no destination")


def delivery_to(name: str, event: Event = PAID) -> Delivery:
    return Delivery(event, "to customers", name)


async def test_an_endpoint_that_keeps_failing_is_paused_by_itself() -> None:
    world = FakeWorld({"breaker": {"failures": 2, "pause_seconds": 60.0, "max_pause_seconds": 3_600.0}})
    await world.tenant()
    await world.endpoint(1)
    await world.endpoint(2)
    world.fetch.answers[URL] = Fetched(500, (), b"")
    for number in range(1, 5):
        await world.deliver(paid(number))
    assert world.asked().count("acme-1") == 2
    assert world.asked().count("acme-2") == 4
    assert (await world.ledger.destination_state("customers")) == DestinationState()
    assert (await world.ledger.destination_state(f"customers:acme:{endpoint_id(1)}")).paused_until is not None
    world.clock.advance(30)
    assert await world.sweep() == [], "the sweep leaves what waits for a paused endpoint where it is"
    world.fetch.answers[URL] = OK
    for _ in range(6):
        world.clock.advance(60)
        await world.sweep()
    assert {row.state for row in await world.ledger.rows(100)} == {"delivered"}


async def test_the_log_names_the_destination_and_the_endpoint_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    from functions.notify.entry import _log_result

    world = await a_world()
    for result in await world.deliver():
        _log_result(result, 0.0)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    named = [(line["destination"], line.get("endpoint")) for line in lines if line.get("outcome") == "delivered"]
    assert named == [("customers", None), ("customers", f"acme:{endpoint_id(1)}")]


async def test_the_backlog_has_no_name_for_each_endpoint() -> None:
    world = FakeWorld()
    await world.tenant()
    for number in range(3):
        await world.endpoint(number)
    world.fetch.answers.clear()
    await world.deliver()
    world.clock.advance(100)
    sweeper = world.notifier.new_sweeper()
    await sweeper.sweep()
    assert {name: found.due for name, found in sweeper.found().items()} == {"customers": 3}


@pytest.mark.parametrize(
    ("own", "configured", "held"),
    [
        ("2/h", None, (2, 3_600.0)),
        ("2/h", [5, 3_600.0], (2, 3_600.0)),
        ("9/s", [3, 3_600.0], (3, 3_600.0)),
        ("", [3, 3_600.0], (3, 3_600.0)),
        ("often", None, None),
    ],
)
async def test_an_endpoints_own_rate_holds_where_it_is_slower_than_the_destinations(
    own: str, configured: Json, held: tuple[int, float] | None
) -> None:
    world = FakeWorld({"rate": configured} if configured else {})
    name = await world.endpoint(1, rate=own)
    assert world.notifier.parts.endpoints is not None
    place = await world.notifier.parts.endpoints.resolve(Delivery(PAID, "all", name))
    assert isinstance(place, Target)
    assert place.configured.rate == held


async def test_another_rate_of_an_endpoint_holds_at_once_and_not_behind_the_slots_of_the_former_one() -> None:
    world = FakeWorld()
    grants, delivery, found = FakeGrants(), Delivery(PAID, "all", "customers:acme:1"), []
    gate = Caps(lambda: grants, world.clock)
    for rate in ("1/d", "100/s"):
        name = await world.endpoint(1, rate=rate)
        world.clock.advance(ENDPOINT_SECONDS)
        assert world.notifier.parts.endpoints is not None
        place = await world.notifier.parts.endpoints.resolve(Delivery(PAID, "all", name))
        assert isinstance(place, Target)
        found.append([await gate.enter(place.configured, delivery, 0.0) for _ in range(2)])
    assert [[closed is None for closed in each] for each in found] == [[True, False], [True, True]]


async def test_what_is_kept_in_memory_of_endpoints_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (subscribers, endpoints):
        monkeypatch.setattr(module, "MAX_ENDPOINTS", 20)
    monkeypatch.setattr("shared.outgoing.gate.MAX_REMEMBERED", 20)
    monkeypatch.setattr("functions.notify.waiting.pauses.MAX_KNOWN", 20)
    monkeypatch.setattr("functions.notify.registry.MAX_KNOWN", 20)
    monkeypatch.setattr("functions.notify.waiting.caps.MAX_BUCKETS", 20)
    world = FakeWorld({"breaker": {"failures": 9, "pause_seconds": 60.0, "max_pause_seconds": 60.0}, "in_flight": 5})
    await world.tenant()
    for number in range(100):
        await world.endpoint(number)
    await world.deliver()
    assert len(world.fetch.asked) == 100
    parts = world.notifier.parts
    sizes = [len(kept) for kept in held_in(parts.endpoints, parts.states, parts.breakers, parts.gate, parts.caps)]
    assert sizes
    assert max(sizes) <= 20


def held_in(*parts: object) -> list[dict[object, object]]:
    """The dictionaries in these objects, and in those that they hold."""
    found: list[dict[object, object]] = []
    for part in parts:
        names = getattr(part, "__dict__", None) or {
            name: getattr(part, name, None) for name in getattr(part, "__slots__", ())
        }
        for value in names.values():
            if isinstance(value, dict):
                found.append(value)
            elif type(value).__module__.startswith("functions.notify.subscribers"):
                found += held_in(value)
    return found
