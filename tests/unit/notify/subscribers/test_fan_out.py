"""The fan-out of an event to the endpoints of subscribers, and the settings of such destinations."""

import json
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import example, given, strategies as st

from functions.notify.notifier import Acknowledged
from functions.notify.subscribers.fan_out import MAX_PAGE, tenants_in
from functions.notify.subscribers.subscribers import SubscriberSettings, read_subscriber_settings
from shared.delivery import Delivery, delivery_from
from shared.errors import Temporary
from shared.event import from_cloudevent
from shared.expressions import over_event
from shared.jsontext import Json, JsonObject, from_json
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.retention import Retention
from shared.store_ports import MAX_RECORD_BYTES
from tests.fakes.fan_out import OK, PAID, SIGNING, FakeWorld, endpoint_id, paid
from tests.fakes.subscribe_api import Subscribers


async def a_world(options: JsonObject | None = None, settings: SubscriberSettings | None = None) -> FakeWorld:
    world = FakeWorld(options, settings)
    await world.tenant()
    return world


async def test_an_event_becomes_a_delivery_to_each_endpoint_that_it_is_for() -> None:
    world = await a_world()
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
    world = await a_world()
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
    world = await a_world(settings=SubscriberSettings(keep_seconds=100.0))
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
    world = await a_world()
    for number, settings in enumerate(endpoints, 1):
        await world.endpoint(number, "acme", SIGNING, **settings)
    await world.deliver()
    assert (await world.row("customers")).answer == f"0 endpoints: {reason}"


async def test_whatever_is_repeated_is_delivered_once() -> None:
    world = await a_world()
    await world.endpoint()
    await world.deliver()
    messages = list(world.bus.on(DELIVERIES))
    world.start()
    assert [each.outcome for each in await world.deliver()] == ["finished"]
    for message in messages:
        assert (await world.notifier.take_message(message)).outcome == "finished"
    assert world.asked() == ["acme-1"]


async def test_an_operators_replay_that_is_forced_reaches_the_endpoints_once() -> None:
    world = await a_world()
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


async def test_many_endpoints_are_published_page_by_page() -> None:
    world = await a_world()
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
    assert all(len(each.text) <= MAX_RECORD_BYTES for each in world.stored.kept.values())


async def test_where_the_store_is_down_nothing_is_lost() -> None:
    world = await a_world()
    await world.endpoint()
    world.stored.fault = "down"
    with pytest.raises(Temporary, match="down"):
        await world.publish()
    world.stored.fault = None
    assert [each.outcome for each in await world.deliver()] == ["delivered", "delivered"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from(["acme", "a.b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"accountId": "nobody"}, "the event names a tenant that does not exist. Create it"),
        ({}, "'data.accountId' is not in this event; it must find the id of a tenant, as text, or a list of them"),
        ({"account_id": "acme"}, "did you mean 'data.account_id'? It must find the id of a tenant"),
        ({"accountId": 7}, "got a number. Write to_string(…) around it"),
        ({"accountId": ["acme", None]}, "got null"),
        ({"accountId": "a/../b"}, "got text that is not a tenant's id"),
        ({"accountId": "acme:ep_1"}, "got text that is not a tenant's id"),
        ({"accountId": [f"t{n}" for n in range(101)]}, "finds at most 100 tenants; got 101"),
    ],
)
async def test_an_event_without_a_tenant_that_is_known_is_a_dead_letter_that_says_why(data: Json, reason: str) -> None:
    world = await a_world()
    result = await world.publish(paid(1, data))
    assert (result.outcome, result.code) == ("dead_lettered", "unknown_tenant")
    assert reason in (result.reason or "")
    assert len(world.bus.on(DEAD_LETTERS)) == 1


async def test_of_several_tenants_those_that_are_known_get_the_event() -> None:
    world = await a_world()
    await world.endpoint()
    fanned, *delivered = await world.deliver(paid(1, {"accountId": ["acme", "gone", "acme"]}))
    assert fanned.code == "unknown_tenant"
    assert fanned.reason == (
        "`tenant`: the event names a tenant that does not exist, and 1 endpoint of the others got it. Create it, then "
        "replay this event"
    )
    assert (await world.row("customers")).answer == "there is no tenant 'gone'"
    assert [each.outcome for each in delivered] == ["delivered"]


IGNORING: Final[JsonObject] = {"settings": {"tenant": "data.accountId", "unknown_tenant": "ignore"}}


async def test_where_unknown_tenants_are_ignored_the_others_get_the_event_and_the_answer_names_them() -> None:
    world = await a_world(IGNORING)
    await world.endpoint()
    fanned, *delivered = await world.deliver(paid(1, {"accountId": ["acme", "gone"]}))
    assert [each.outcome for each in (fanned, *delivered)] == ["delivered", "delivered"]
    assert (await world.row("customers")).answer == "1 endpoint; there is no tenant 'gone', which is ignored"
    assert (await world.publish(paid(2, {"accountId": "gone"}))).outcome == "delivered"
    assert world.bus.on(DEAD_LETTERS) == []
    assert await world.messages("gone") == []
    assert (await world.publish(paid(3, {}))).code == "unknown_tenant", (
        "an event that names none is no unknown tenant's"
    )


async def test_the_type_is_a_template_and_must_result_in_a_type() -> None:
    world = await a_world({"settings": {"tenant": "data.accountId", "type": "shop.{{ type }}"}})
    await world.endpoint(types=["shop.order.paid"])
    await world.deliver()
    (asked,) = world.fetch.asked
    assert json.loads(asked.body)["type"] == "shop.order.paid"
    assert (await world.messages())[0].type == "shop.order.paid"
    result = await world.publish(replace(PAID, id="e2", type="order paid"))
    assert (result.outcome, result.code) == ("dead_lettered", "invalid_output")


async def test_a_filter_that_fails_matches_nothing_shows_on_the_endpoint_and_delays_nobody() -> None:
    world = await a_world()
    await world.endpoint(1, filter="length(data.total) > `1`")
    await world.endpoint(2)
    assert [each.outcome for each in await world.deliver()] == ["delivered", "delivered"]
    assert world.asked() == ["acme-2"]
    assert "length() takes" in (await world.read(1)).filter_fault
    writes = world.stored.writes
    for number in range(2, 5):
        world.clock.advance(15)
        await world.deliver(paid(number))
    assert world.stored.writes == writes + 3 * 2, "a message and its entry each, and no further note of the fault"


async def test_a_fault_is_taken_off_once_the_filter_works_again() -> None:
    world = await a_world()
    await world.endpoint(1, filter="data.total > `1`", filter_fault="it failed")
    await world.deliver()
    assert (await world.read(1)).filter_fault == ""


async def test_an_endpoint_that_has_to_prove_itself_gets_nothing_before() -> None:
    world = await a_world(settings=SubscriberSettings(is_verified_first=True))
    await world.endpoint(1, is_verified=False)
    await world.endpoint(2)
    await world.deliver()
    assert world.asked() == ["acme-2"]
    assert (await world.row("customers")).answer == "1 endpoint"
    others = FakeWorld()
    await others.tenant()
    await others.endpoint(1, is_verified=False)
    await others.deliver()
    assert others.asked() == ["acme-1"]


@pytest.mark.parametrize(("events", "bodies"), [(100.0, 40.0), (40.0, 100.0)])
def test_a_message_has_the_events_data_so_it_is_kept_no_longer_than_bodies_are(events: float, bodies: float) -> None:
    retention = Retention(events_seconds=events, bodies_seconds=bodies)
    assert read_subscriber_settings({"disable_after_seconds": 1}, retention).keep_seconds == 40.0


async def test_an_endpoint_that_is_disabled_gets_a_test_event_once_and_nothing_else() -> None:
    world = FakeWorld()
    api = Subscribers(documents=world.stored, clock=world.clock, secrets=world.secrets)
    key = await api.key()
    await api.tenant("acme", key)
    made = await api.endpoint("acme", key, url=URL)
    world.fetch.answers[URL] = OK
    await world.publish(paid(1))
    path = f"/v1/tenants/acme/endpoints/{made['id']}"
    await api.send("POST", f"{path}/disable", by=key)
    await api.send("POST", f"{path}/test", {"type": "order.paid"}, by=key)
    assert [each.code for each in await world.take_all()] == ["endpoint_disabled"]
    tested = [await world.notifier.take_message(each) for each in api.bus.on(DELIVERIES)]
    assert [each.outcome for each in tested] == ["delivered"]
    assert world.asked() == ["acme-1"]


@example([])
@given(VALUES)
def test_whatever_an_event_says_of_its_tenant_is_the_id_of_one_or_a_fault(found: Json) -> None:
    ids = tenants_in({"data": {"x": found}}, over_event("data.x"))
    if isinstance(ids, str):
        assert "data.x" in ids
    else:
        assert ids
        assert all(each and "/" not in each and ":" not in each and each.isascii() for each in ids)


URL = "https://acme-1.example.com/in"
