"""The fan-out: from one delivery to those of a tenant's endpoints."""

import json

import pytest

from functions.notify.notifier import Acknowledged
from functions.notify.subscribers.fan_out import MAX_PAGE
from functions.notify.subscribers.subscribers import SubscriberSettings
from shared.delivery import Delivery, delivery_from
from shared.errors import Temporary
from shared.event import from_cloudevent
from shared.jsontext import from_json
from shared.ports import DELIVERIES
from shared.store_ports import MAX_RECORD_BYTES
from tests.fakes.fan_out import PAID, SIGNING, FakeWorld, endpoint_id, paid


async def test_an_event_becomes_a_delivery_to_each_endpoint_that_it_is_for() -> None:
    world = FakeWorld()
    await world.tenant()
    first = await world.endpoint(1, types=["order.*"])
    second = await world.endpoint(2, filter="data.total > `100`")
    await world.endpoint(3, types=["invoice.*"])
    await world.endpoint(4, filter="data.total > `1000`")
    await world.endpoint(5, disabled_by="tenant")
    fanned, *delivered = await world.deliver()
    assert (type(fanned), fanned.outcome) == (Acknowledged, "delivered")
    assert [each.delivery.destination for each in delivered if each.delivery] == [first, second]
    assert {each.outcome for each in delivered} == {"delivered"}
    assert world.asked() == ["acme-1", "acme-2"]
    assert (await world.row("customers")).answer == "2 endpoints"


async def test_the_tenants_message_is_kept_before_anything_is_published() -> None:
    world = FakeWorld()
    await world.tenant()
    await world.endpoint()
    world.bus.fault = "down"
    with pytest.raises(Temporary):
        await world.publish()
    (message,) = await world.messages()
    assert (message.type, message.route, message.destination) == ("order.paid", "to customers", "customers")
    assert from_cloudevent(from_json(message.event.encode())) == PAID
    world.bus.fault = None
    assert [each.outcome for each in await world.deliver()] == ["delivered", "delivered"]
    assert len(await world.messages()) == 1


async def test_a_message_is_kept_for_a_tenant_without_endpoints_and_as_long_as_events_are() -> None:
    world = FakeWorld(settings=SubscriberSettings(keep_seconds=100.0))
    await world.tenant()
    await world.publish()
    assert len(await world.messages()) == 1
    (until,) = [until for (partition, _), until in world.stored.expires_at.items() if partition == "messages.acme"]
    assert until == world.clock.now() + 100.0


@pytest.mark.parametrize(
    ("endpoints", "reason"),
    [
        ([], "no tenant of this event has one"),
        ([{"disabled_by": "tenant"}], "of the tenant's 1 endpoint, each is disabled or not verified"),
        (
            [{"types": ["invoice.*"]}, {"filter": "data.total > `1000`"}],
            "of the tenant's 2 endpoints, none takes the type 'order.paid' with this data",
        ),
    ],
)
async def test_an_event_for_no_endpoint_says_why(endpoints: list[dict[str, object]], reason: str) -> None:
    world = FakeWorld()
    await world.tenant()
    for number, settings in enumerate(endpoints, 1):
        await world.endpoint(number, "acme", SIGNING, **settings)
    await world.deliver()
    assert (await world.row("customers")).answer == f"0 endpoints: {reason}"


async def test_whatever_is_repeated_is_delivered_once() -> None:
    world = FakeWorld()
    await world.tenant()
    await world.endpoint()
    await world.deliver()
    messages = list(world.bus.on(DELIVERIES))
    world.start()
    assert [each.outcome for each in await world.deliver()] == ["finished"]
    for message in messages:
        assert (await world.notifier.take_message(message)).outcome == "finished"
    assert world.asked() == ["acme-1"]


async def test_a_fan_out_that_was_cut_off_continues_with_the_same_deliveries() -> None:
    world = FakeWorld()
    await world.tenant()
    for number in range(3):
        await world.endpoint(number)
    await world.publish()
    ids = [json.loads(each.data)["id"] for each in world.published()]
    other = FakeWorld()
    await other.tenant()
    for number in range(3):
        await other.endpoint(number)
    other.clock.advance(1_000)
    await other.publish()
    assert [json.loads(each.data)["id"] for each in other.published()] == ids


async def test_an_operators_replay_that_is_forced_reaches_the_endpoints_once() -> None:
    world = FakeWorld()
    await world.tenant()
    await world.endpoint()
    await world.deliver()
    for _ in range(2):
        await world.deliver(replay="r1", force="true")
    assert world.asked() == ["acme-1", "acme-1"]
    ids = [dict(each.headers)["webhook-id"] for each in world.fetch.asked]
    assert ids[1] == f"{ids[0]}-r1"


async def test_a_replay_of_a_fan_out_that_failed_for_one_tenant_repeats_nothing_to_the_others() -> None:
    world = FakeWorld()
    await world.tenant("acme")
    await world.endpoint(1, "acme")
    event = paid(1, {"accountId": ["acme", "bolt"]})
    assert (await world.deliver(event))[0].outcome == "dead_lettered"
    world.clock.advance(60)
    await world.tenant("bolt")
    await world.endpoint(1, "bolt")
    await world.deliver(event, replay="r1", force="true")
    assert world.asked() == ["acme-1", "bolt-1"]
    await world.deliver(event, replay="r2", force="true")  # of what was delivered: all of it again
    assert world.asked() == ["acme-1", "bolt-1", "acme-1", "bolt-1"]


async def test_such_a_replay_repeats_nothing_on_the_following_pages_either() -> None:
    world = FakeWorld()
    await world.tenant()
    for number in range(MAX_PAGE + 3):
        await world.endpoint(number, secrets=[])
    event = paid(1, {"accountId": ["acme", "bolt"]})
    await world.publish(event)
    await world.notifier.take_message(world.published()[-1])
    world.published()
    await world.tenant("bolt")
    await world.endpoint(1, "bolt", secrets=[])
    await world.publish(event, replay="r1", force="true")
    *first, next_page = world.published()
    assert (await world.notifier.take_message(next_page)).outcome == "delivered"
    second = world.published()
    assert {each.attributes["force"] for each in first} == {"failed"}
    assert [each.attributes["force"] for each in second] == ["failed"] * 4


async def test_many_endpoints_are_published_page_by_page() -> None:
    world = FakeWorld()
    await world.tenant()
    for number in range(2 * MAX_PAGE + 3):
        await world.endpoint(number, secrets=[])
    await world.publish()
    pages = [list(world.published())]
    while json.loads(pages[-1][-1].data)["data"].get("after"):
        last = pages[-1].pop()
        assert (await world.notifier.take_message(last)).outcome == "delivered"
        pages.append(list(world.published()))
    names = [delivery_from(from_json(each.data)).destination for page in pages for each in page]
    assert [len(page) for page in pages] == [MAX_PAGE, MAX_PAGE, 3]
    assert names == [f"customers:acme:{endpoint_id(number)}" for number in range(2 * MAX_PAGE + 3)]
    assert len({json.loads(each.data)["id"] for page in pages for each in page}) == len(names)
    assert len(await world.messages()) == 1


async def test_a_large_event_is_published_in_parts_that_fit_the_memory() -> None:
    world = FakeWorld()
    await world.tenant()
    for number in range(60):
        await world.endpoint(number, secrets=[])
    sizes: list[int] = []
    publish = world.bus.publish

    async def counted(topic: str, messages: object) -> None:
        assert isinstance(messages, list)
        sizes.append(sum(len(each.data) for each in messages))
        await publish(topic, messages)

    world.bus.publish = counted  # type: ignore[method-assign]
    await world.publish(paid(1, {"accountId": "acme", "text": "x" * 150_000}))
    assert len(world.published()) == 60
    assert max(sizes) < 5_000_000


async def test_an_event_that_grows_too_large_when_it_is_kept_is_kept_by_reference() -> None:
    world = FakeWorld()
    await world.tenant()
    event = paid(1, {"accountId": "acme", "text": '"' * 190_000})
    assert (await world.publish(event)).outcome == "delivered"
    (message,) = await world.messages()
    kept = from_cloudevent(from_json(message.event.encode()))
    assert kept.dataref is not None
    assert from_cloudevent(from_json(await world.blobs.get(kept.dataref) or b"")) == event
    assert all(len(each.text) <= MAX_RECORD_BYTES for each in world.stored.kept.values())


async def test_what_one_route_keeps_by_reference_is_not_replaced_by_what_another_makes_of_the_same_event() -> None:
    """A route may take out of an event what the customers of another may see."""
    world = FakeWorld()
    for tenant in ("acme", "bolt"):
        await world.tenant(tenant)
    texts = {"acme": '"' * 190_000, "bolt": "'" + '"' * 190_000}
    for tenant, text in texts.items():
        event = paid(1, {"accountId": tenant, "text": text})
        await world.notifier.take(Delivery(event, f"to {tenant}", "customers"))
    for tenant, text in texts.items():
        (message,) = await world.messages(tenant)
        kept = from_cloudevent(from_json(message.event.encode()))
        whole = from_cloudevent(from_json(await world.blobs.get(kept.dataref or "") or b""))
        assert whole.data == {"accountId": tenant, "text": text}


async def test_where_the_store_is_down_nothing_is_lost() -> None:
    world = FakeWorld()
    await world.tenant()
    await world.endpoint()
    world.stored.fault = "down"
    with pytest.raises(Temporary, match="down"):
        await world.publish()
    world.stored.fault = None
    assert [each.outcome for each in await world.deliver()] == ["delivered", "delivered"]
