"""The log of deliveries and messages."""

import json

import pytest

from shared.subscribers.directory import message_id
from shared.subscribers.model import Message
from shared.times import rfc3339
from tests.fakes.subscribe_api import Subscribers
from tests.unit.subscribe.ledgers import attempted

TENANT = "/v1/tenants/acme"


async def test_a_delivery_is_shown_with_its_request_and_attempts(api: Subscribers, key: str, endpoint: str) -> None:
    message = await api.message("acme", 1)
    webhook_id = await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), "dead_lettered")
    (listed,) = (await api.send("GET", f"{TENANT}/endpoints/{endpoint}/deliveries", by=key)).items
    assert (listed["state"], listed["type"]) == ("failed", "order.paid")
    assert (listed["message_id"], listed["webhook_id"]) == (message.id, webhook_id)
    shown = (await api.send("GET", f"{TENANT}/deliveries/{listed['id']}", by=key)).json
    request, attempts = shown["request"], shown["attempts"]
    assert isinstance(request, dict)
    assert isinstance(attempts, list)
    assert json.loads(str(request["body"]))["data"] == {"number": 1}
    assert request["headers"]["webhook-signature"] == "***"  # type: ignore[call-overload, index]
    [attempt] = attempts
    assert isinstance(attempt, dict)
    facts = ("number", "duration_ms", "outcome", "reason", "answer")
    assert [attempt[name] for name in facts] == [1, 250, "dead_lettered", "it answered 500", "oh no"]


@pytest.mark.parametrize(
    ("kept", "shown"),
    [("claimed", "pending"), ("retry_scheduled", "waiting"), ("delivered", "delivered"), ("dead_lettered", "failed")],
)
async def test_a_state_is_shown_in_one_of_four_words(
    api: Subscribers, key: str, endpoint: str, kept: str, shown: str
) -> None:
    message = await api.message("acme", 1)
    await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), kept)  # type: ignore[arg-type]
    path = f"{TENANT}/endpoints/{endpoint}/deliveries"
    for state in ("pending", "waiting", "delivered", "failed"):
        items = (await api.send("GET", f"{path}?state={state}", by=key)).items
        assert [each["state"] for each in items] == ([shown] if state == shown else [])
    (item,) = (await api.send("GET", path, by=key)).items
    assert (item["next_attempt_at"] is not None) == (shown == "waiting")


async def test_the_deliveries_of_all_endpoints_are_read_newest_first_page_by_page(api: Subscribers, key: str) -> None:
    endpoints = [str((await api.endpoint("acme", key))["id"]) for _ in range(3)]
    made = []
    for number in range(25):
        message = await api.message("acme", number, "order.paid" if number % 2 else "order.lost")
        at = api.clock.now() + number // 3  # several at one moment
        made.append(await attempted(api.ledger, message, "acme", endpoints[number % 3], at, "delivered"))
    pages = await api.pages(f"{TENANT}/deliveries?limit=4", by=key)
    seen = [each for page in pages for each in page.items]
    assert sorted(str(each["webhook_id"]) for each in seen) == sorted(made)
    assert [each["created_at"] for each in seen] == sorted((str(each["created_at"]) for each in seen), reverse=True)

    lost = (await api.send("GET", f"{TENANT}/deliveries?type=order.lost&limit=100", by=key)).items
    assert len(lost) == 13
    (found,) = (await api.send("GET", f"{TENANT}/deliveries?search={made[7][:20]}", by=key)).items
    assert found["webhook_id"] == made[7]
    first, last = rfc3339(api.clock.now() + 2), rfc3339(api.clock.now() + 4)
    between = (await api.send("GET", f"{TENANT}/deliveries?since={first}&until={last}", by=key)).items
    assert len(between) == 6


async def test_a_cursor_goes_with_its_filters(api: Subscribers, key: str, endpoint: str) -> None:
    for number in range(3):
        message = await api.message("acme", number)
        await attempted(api.ledger, message, "acme", endpoint, api.clock.now() + number, "delivered")
    page = await api.send("GET", f"{TENANT}/deliveries?limit=1", by=key)
    other = await api.send("GET", f"{TENANT}/deliveries?limit=1&state=failed&cursor={page.json['next']}", by=key)
    assert (other.status, other.code) == (400, "invalid_cursor")


async def test_the_part_of_an_event_that_a_step_split_is_found(api: Subscribers, key: str, endpoint: str) -> None:
    whole = await api.message("acme", 1, "order.paid")
    event = json.loads(whole.event) | {"id": f"{whole.event_id}-2", "type": "order.lost"}
    part = Message(
        id=message_id(whole.received_at, f"{whole.event_id}-2", "all", "customers"),
        event_id=f"{whole.event_id}-2",
        type="order.lost",
        route="all",
        destination="customers",
        received_at=whole.received_at,
        event=json.dumps(event),
        kept_at=api.clock.now(),
    )
    await api.service.directory.keep_message("acme", part, api.clock.now() + 60)
    await attempted(api.ledger, part, "acme", endpoint, api.clock.now(), "delivered")
    (item,) = (await api.send("GET", f"{TENANT}/deliveries", by=key)).items
    assert (item["message_id"], item["type"]) == (part.id, "order.lost")


async def test_a_delivery_without_its_message_is_shown(api: Subscribers, key: str, endpoint: str) -> None:
    message = await api.message("acme", 1)
    await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), "dead_lettered")
    for name in [name for name in api.documents.kept if name[0].startswith("message")]:
        del api.documents.kept[name]
    (item,) = (await api.send("GET", f"{TENANT}/deliveries", by=key)).items
    assert (item["message_id"], item["type"]) == (None, "")
    shown = await api.send("GET", f"{TENANT}/deliveries/{item['id']}", by=key)
    assert shown.json["request"] is None
    assert (await api.send("POST", f"{TENANT}/deliveries/{item['id']}/resend", by=key)).status == 404


async def test_messages_are_listed_newest_first_and_shown_with_their_data(api: Subscribers, key: str) -> None:
    kept = [await api.message("acme", number, "order.paid" if number % 2 else "order.lost") for number in range(9)]
    pages = await api.pages(f"{TENANT}/messages?limit=2&type=order.paid", by=key)
    seen = [each["id"] for page in pages for each in page.items]
    assert seen == [each.id for each in reversed(kept) if each.type == "order.paid"]
    times = f"since={rfc3339(kept[3].received_at)}&until={rfc3339(kept[5].received_at)}"
    between = (await api.send("GET", f"{TENANT}/messages?{times}", by=key)).items
    assert [each["id"] for each in between] == [each.id for each in reversed(kept[3:6])]
    shown = await api.send("GET", f"{TENANT}/messages/{kept[4].id}", by=key)
    assert (shown.json["data"], shown.json["truncated"]) == ({"number": 4}, False)


async def test_data_that_no_reply_can_hold_is_left_out_or_replaced(api: Subscribers, key: str) -> None:
    large = await api.message("acme", 1, data="x" * 1_100_000)
    assert (await api.send("GET", f"{TENANT}/messages/{large.id}", by=key)).json["truncated"] is True
    odd = await api.message("acme", 2, data={"half \ud800": 10**30})
    shown = await api.send("GET", f"{TENANT}/messages/{odd.id}", by=key)
    assert shown.json["data"] == {"half ?": 10**30}
