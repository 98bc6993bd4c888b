"""When an endpoint counts as failing, when it is disabled for that, and who is told."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Final

import pytest

from functions.notify.destinations.webhook import webhook
from functions.notify.http_kind import compile_settings
from functions.notify.subscribers.subscribers import SubscriberSettings
from shared.delivery import Delivery, delivery_from
from shared.event import Event
from shared.fetch import Fetched
from shared.jsontext import JsonObject, from_json, mapping_at
from shared.ports import DELIVERIES
from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.names import SUBSCRIBERS_SOURCE
from shared.subscribers.operational_events import operational_event
from tests.fakes.fan_out import OK, PAID, FakeWorld, endpoint_id, paid

URL: Final = "https://acme-1.example.com/in"
DOWN: Final = Fetched(500, (), b"")
DAY: Final = 86_400.0
TOLD: Final = SubscriberSettings(operator="ops", owners="owners")
OTHERS: Final[JsonObject] = {
    name: {
        "kind": "webhook",
        "settings": compile_settings(webhook, {"url": f"https://{name}.example.com/"}),
        "retry_seconds": [5.0],
        "timeout_seconds": 15.0,
        "on_unknown": "resend",
    }
    for name in ("ops", "owners")
}


async def a_world(email: str = "", settings: SubscriberSettings = TOLD) -> FakeWorld:
    world = FakeWorld({"retry_seconds": [5.0, *[6 * 3_600.0] * 30]}, settings, OTHERS)
    for name in ("ops", "owners"):
        world.fetch.answers[f"https://{name}.example.com/"] = OK
    await world.tenant(email=email)
    await world.endpoint()
    world.fetch.answers[URL] = DOWN
    return world


async def fail(world: FakeWorld, seconds: float) -> None:
    """Let retries fail for so long."""
    until = world.clock.now() + seconds
    while world.clock.now() < until:
        world.clock.advance(6 * 3_600)
        await world.sweep()


def told(world: FakeWorld) -> list[tuple[str, Event]]:
    """The operational events that were published, with who is told."""
    deliveries = [delivery_from(from_json(each.data)) for each in world.bus.on(DELIVERIES)]
    found: dict[str, Delivery] = {each.id: each for each in deliveries if each.event.source == SUBSCRIBERS_SOURCE}
    return [(each.destination, each.event) for each in found.values()]


def kinds(world: FakeWorld) -> list[tuple[str, str]]:
    return [(name, event.type) for name, event in told(world)]


async def test_an_endpoint_fails_from_the_second_attempt_at_a_delivery_until_one_goes_well() -> None:
    world = await a_world()
    await world.deliver()
    assert (await world.read()).failing_since is None
    world.clock.advance(7)
    await world.sweep()
    assert (await world.read()).failing_since == world.clock.now()
    world.fetch.answers[URL] = OK
    world.clock.advance(8 * 3_600)
    await world.sweep()
    assert (await world.read()).failing_since is None
    assert kinds(world) == [("ops", "endpoint.failing"), ("ops", "endpoint.recovered")]


async def test_an_endpoint_that_failed_for_the_whole_time_is_disabled_and_its_owner_told() -> None:
    world = await a_world(email="ada@acme.example")
    await world.deliver()
    await fail(world, 4.5 * DAY)
    assert (await world.read()).is_enabled
    await fail(world, 1 * DAY)
    endpoint = await world.read()
    assert endpoint.disabled_by == "failures"
    assert endpoint.disabled_reason == "all deliveries failed for 5 days, the last: the receiver answered 500"
    assert endpoint.notices == ()
    assert kinds(world) == [("ops", "endpoint.failing"), ("ops", "endpoint.disabled"), ("owners", "endpoint.disabled")]
    event = told(world)[-1][1]
    told_data = {"email": "ada@acme.example", "endpoint": endpoint.id, "reason": endpoint.disabled_reason}
    assert told_data.items() <= mapping_at(event.data).items()
    asked = world.asked()
    assert (asked.count("ops"), asked.count("owners")) == (2, 1)
    row = await world.row(f"customers:acme:{endpoint_id(1)}")
    await fail(world, 1 * DAY)
    row = await world.row(f"customers:acme:{endpoint_id(1)}")
    assert (row.state, row.reason.partition(":")[0]) == ("dead_lettered", "endpoint_disabled")


async def test_a_notice_that_a_dying_process_left_is_published_by_the_next_event_under_the_same_id() -> None:
    world = await a_world()
    notices = (("disabled", world.clock.now(), "gone"),)
    await world.endpoint(1, disabled_by="receiver", disabled_reason="gone", notices=notices)
    await world.deliver()
    assert told(world) == []
    world.clock.advance(61)
    await world.deliver(paid(2))
    ((_, event),) = told(world)
    endpoint = Endpoint(id=endpoint_id(1), tenant="acme", url="")
    assert event.id == operational_event("disabled", endpoint, Tenant(id="acme"), notices[0][1], "gone").id
    assert (await world.read()).notices == ()


async def test_where_the_store_is_down_the_delivery_counts_and_the_health_is_noted_by_the_next() -> None:
    world = await a_world()
    await world.deliver()
    world.clock.advance(7)
    await world.notifier.sweep()
    (message,) = world.published()[-1:]
    assert world.notifier.parts.endpoints is not None
    await world.notifier.parts.endpoints.resolve(Delivery(PAID, "to customers", f"customers:acme:{endpoint_id(1)}"))
    world.stored.fault = "down"
    assert (await world.notifier.take_message(message)).outcome == "retry_scheduled"
    world.stored.fault = None
    assert (await world.read()).failing_since is None
    await fail(world, DAY)
    assert (await world.read()).failing_since is not None


async def test_an_endpoint_that_was_enabled_again_is_not_disabled_by_what_was_known_before() -> None:
    world = await a_world()
    await world.endpoint(1, failing_since=world.clock.now() - 6 * DAY)
    await world.publish()
    (message,) = world.published()
    assert world.notifier.parts.endpoints is not None
    await world.notifier.parts.endpoints.resolve(Delivery(PAID, "to customers", f"customers:acme:{endpoint_id(1)}"))
    await world.endpoint(1)
    await world.notifier.take_message(message)
    assert (await world.read()).is_enabled


def end_after(last: int, calls: Iterator[int]) -> None:
    if next(calls) > last:
        raise ConnectionAbortedError


async def test_a_process_that_ends_anywhere_leaves_a_state_that_the_next_one_continues() -> None:
    """Whichever call of the store or of the bus is the last that works."""
    for last in range(1, 40):
        world = await a_world("ada@acme.example")
        await world.endpoint(1, failing_since=world.clock.now() - 6 * DAY)
        await world.publish()
        (message,) = world.published()
        calls = count(1)
        world.stored.before = partial(end_after, last, calls)
        with suppress(ConnectionAbortedError):
            await world.notifier.take_message(message)
        world.stored.before = None
        world.start()
        world.clock.advance(120)
        await world.sweep()
        await world.notifier.take_message(message)
        await world.deliver(paid(2))
        assert not (await world.read()).is_enabled
        assert sorted({each for each in kinds(world) if each[1] == "endpoint.disabled"}) == [
            ("ops", "endpoint.disabled"),
            ("owners", "endpoint.disabled"),
        ]
        if next(calls) <= last:
            return
    pytest.fail("it never ended")


async def test_what_the_former_url_of_an_endpoint_answers_says_nothing_of_the_new_one() -> None:
    """What is known of an endpoint is some seconds old."""
    world = await a_world()
    world.fetch.answers[URL] = OK
    await world.deliver()
    world.fetch.answers[URL] = Fetched(410, (), b"")
    moved = (await world.read()).model_copy(update={"url": "https://moved.example.com/in"})
    await world.documents.write("endpoints.acme", moved.id, moved.text())
    await world.deliver(paid(2))
    assert (await world.read()).is_enabled


async def test_where_an_operational_event_cannot_be_published_its_notice_stays() -> None:
    world = await a_world()
    await world.deliver()
    world.clock.advance(7)
    await world.notifier.sweep()
    world.bus.fault = "down"
    assert (await world.notifier.take_message(world.published()[-1])).outcome == "retry_scheduled"
    world.bus.fault = None
    assert [kind for kind, *_ in (await world.read()).notices] == ["failing"]
