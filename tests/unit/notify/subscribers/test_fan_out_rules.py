"""Which tenants and endpoints an event is for, and of what type it is."""

import json
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.subscribers.fan_out import tenants_in
from functions.notify.subscribers.subscribers import SubscriberSettings
from shared.jsontext import Json, JsonObject
from shared.ports import DEAD_LETTERS
from tests.fakes.fan_out import PAID, FakeWorld, paid

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from(["acme", "a.b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"accountId": "nobody"}, "there is no tenant 'nobody'"),
        ({}, "must find the id of a tenant, as text, or a list of them; got null"),
        ({"accountId": 7}, "got a number. Write to_string(…) around it"),
        ({"accountId": ["acme", None]}, "got null"),
        ({"accountId": "a/../b"}, "got text that is not a tenant's id"),
        ({"accountId": "acme:ep_1"}, "got text that is not a tenant's id"),
        ({"accountId": [f"t{n}" for n in range(101)]}, "finds at most 100 tenants; got 101"),
    ],
)
async def test_an_event_without_a_tenant_that_is_known_is_a_dead_letter_that_says_why(data: Json, reason: str) -> None:
    world = FakeWorld()
    await world.tenant()
    result = await world.publish(paid(1, data))
    assert (result.outcome, result.code) == ("dead_lettered", "unknown_tenant")
    assert reason in (result.reason or "")
    assert len(world.bus.on(DEAD_LETTERS)) == 1


async def test_of_several_tenants_those_that_are_known_get_the_event() -> None:
    world = FakeWorld()
    await world.tenant()
    await world.endpoint()
    fanned, *delivered = await world.deliver(paid(1, {"accountId": ["acme", "gone", "acme"]}))
    assert fanned.code == "unknown_tenant"
    assert fanned.reason == (
        "`tenant`: there is no tenant 'gone', and 1 endpoint of the others got it. Create it, then replay this event"
    )
    assert [each.outcome for each in delivered] == ["delivered"]


IGNORING: Final[JsonObject] = {"settings": {"tenant": "data.accountId", "unknown_tenant": "ignore"}}


async def test_where_unknown_tenants_are_ignored_the_others_get_the_event_and_the_answer_names_them() -> None:
    world = FakeWorld(IGNORING)
    await world.tenant()
    await world.endpoint()
    fanned, *delivered = await world.deliver(paid(1, {"accountId": ["acme", "gone"]}))
    assert [each.outcome for each in (fanned, *delivered)] == ["delivered", "delivered"]
    assert (await world.row("customers")).answer == "1 endpoint; there is no tenant 'gone', which is ignored"
    assert (await world.publish(paid(2, {"accountId": "gone"}))).outcome == "delivered"
    assert world.bus.on(DEAD_LETTERS) == []
    assert await world.messages("gone") == []


async def test_an_event_that_names_no_tenant_is_a_dead_letter_also_where_unknown_ones_are_ignored() -> None:
    assert (await FakeWorld(IGNORING).publish(paid(1, {}))).code == "unknown_tenant"


async def test_the_type_is_a_template_and_must_result_in_a_type() -> None:
    world = FakeWorld({"settings": {"tenant": "data.accountId", "type": "shop.{{ type }}"}})
    await world.tenant()
    await world.endpoint(types=["shop.order.paid"])
    await world.deliver()
    (asked,) = world.fetch.asked
    assert json.loads(asked.body)["type"] == "shop.order.paid"
    assert (await world.messages())[0].type == "shop.order.paid"
    result = await world.publish(replace(PAID, id="e2", type="order paid"))
    assert (result.outcome, result.code) == ("dead_lettered", "invalid_output")


async def test_a_filter_that_fails_matches_nothing_shows_on_the_endpoint_and_delays_nobody() -> None:
    world = FakeWorld()
    await world.tenant()
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
    world = FakeWorld()
    await world.tenant()
    await world.endpoint(1, filter="data.total > `1`", filter_fault="it failed")
    await world.deliver()
    assert (await world.read(1)).filter_fault == ""


async def test_an_endpoint_that_has_to_prove_itself_gets_nothing_before() -> None:
    world = FakeWorld(settings=SubscriberSettings(is_verified_first=True))
    await world.tenant()
    await world.endpoint(1, is_verified=False)
    await world.endpoint(2)
    await world.deliver()
    assert world.asked() == ["acme-2"]
    others = FakeWorld()
    await others.tenant()
    await others.endpoint(1, is_verified=False)
    await others.deliver()
    assert others.asked() == ["acme-1"]


@given(VALUES)
def test_whatever_an_event_says_of_its_tenant_is_the_id_of_one_or_a_fault(found: Json) -> None:
    ids = tenants_in(found, "data.x")
    if isinstance(ids, str):
        assert "data.x" in ids
    else:
        assert all(each and "/" not in each and ":" not in each and each.isascii() for each in ids)
