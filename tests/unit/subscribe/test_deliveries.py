"""The deliveries to an endpoint: how they are listed and shown, and how they are sent again."""

import json
from dataclasses import replace

import pytest

from functions.subscribe.handlers import deliveries
from shared.event import event_json
from shared.jsontext import JsonObject
from shared.ports import DELIVERIES
from shared.subscribers.directory import message_id
from shared.subscribers.model import EventType, Message
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
async def test_a_state_is_one_of_four_words(api: Subscribers, key: str, endpoint: str, kept: str, shown: str) -> None:
    message = await api.message("acme", 1)
    await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), kept)  # type: ignore[arg-type]
    path = f"{TENANT}/endpoints/{endpoint}/deliveries"
    for state in ("pending", "waiting", "delivered", "failed"):
        items = (await api.send("GET", f"{path}?state={state}", by=key)).items
        assert [each["state"] for each in items] == ([shown] if state == shown else [])
    (item,) = (await api.send("GET", path, by=key)).items
    assert (item["next_attempt_at"] is not None) == (shown == "waiting")


async def test_the_deliveries_of_very_many_endpoints_are_listed_for_one_of_them_at_a_time(
    api: Subscribers, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_ENDPOINTS", 1)
    for _ in range(2):
        await api.endpoint("acme", key)
    assert (await api.send("GET", f"{TENANT}/deliveries", by=key)).code == "limit_reached"


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


@pytest.mark.parametrize("parts_at_once", [deliveries.PARTS_AT_ONCE, 1, 2])
async def test_the_part_of_an_event_that_a_step_split_is_found(
    api: Subscribers, key: str, endpoint: str, parts_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "PARTS_AT_ONCE", parts_at_once)
    whole = await api.message("acme", 1, "order.paid")
    for id_ in (f"{whole.event_id}-1", f"{whole.event_id}-2"):
        event = json.loads(whole.event) | {"id": id_, "type": "order.lost"}
        part = Message(
            id=message_id(whole.received_at, id_, "all", "customers"),
            event_id=id_,
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


# Sending again


def since(api: Subscribers, seconds: float = 2_000) -> str:
    return rfc3339(api.clock.now() - seconds)


async def test_what_was_delivered_is_sent_again_by_a_replay(api: Subscribers, key: str, endpoint: str) -> None:
    message = await api.message("acme", 1)
    webhook_id = await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), "delivered")
    (item,) = (await api.send("GET", f"{TENANT}/deliveries", by=key)).items
    answer = await api.send("POST", f"{TENANT}/deliveries/{item['id']}/resend", by=key)
    assert answer.status == 202
    (sent,) = api.bus.on(DELIVERIES)
    assert (sent.attributes["force"], sent.attributes["replay"]) == ("true", answer.json["replay_id"])
    assert api.published()[0].id == webhook_id


async def test_what_failed_is_sent_again_once(api: Subscribers, key: str, endpoint: str) -> None:
    """The second request comes when the first has brought a success: notify reopens nothing then."""
    message = await api.message("acme", 1)
    await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), "dead_lettered")
    (item,) = (await api.send("GET", f"{TENANT}/deliveries", by=key)).items
    for path, body in (
        (f"deliveries/{item['id']}/resend", {}),
        (f"endpoints/{endpoint}/replay", {"since": since(api), "state": "failed"}),
    ):
        await api.send("POST", f"{TENANT}/{path}", {**body}, by=key)
    assert [each.attributes["force"] for each in api.bus.on(DELIVERIES)] == ["failed", "failed"]


async def test_what_waits_is_sent_again_now(api: Subscribers, key: str, endpoint: str) -> None:
    message = await api.message("acme", 1)
    await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), "retry_scheduled")
    (row,) = await api.ledger.rows(5, destination=f"customers:acme:{endpoint}")
    (item,) = (await api.send("GET", f"{TENANT}/deliveries", by=key)).items
    await api.send("POST", f"{TENANT}/deliveries/{item['id']}/resend", by=key)
    body: JsonObject = {"since": since(api), "state": "waiting"}
    await api.send("POST", f"{TENANT}/endpoints/{endpoint}/replay", body, by=key)
    sent = [each.attributes for each in api.bus.on(DELIVERIES)]
    assert [(each["due"], each["force"], each["attempt"]) for each in sent] == [(str(row.fence), "failed", "now")] * 2


async def test_what_is_held_is_sent_again_by_the_operator_alone(api: Subscribers, key: str, endpoint: str) -> None:
    message = await api.message("acme", 1)
    await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), "held")
    (item,) = (await api.send("GET", f"{TENANT}/deliveries", by=key)).items
    answer = await api.send("POST", f"{TENANT}/deliveries/{item['id']}/resend", by=key)
    assert (answer.status, answer.code) == (409, "delivery_held")
    for path, state in (("replay", {}), ("replay", {"state": "waiting"}), ("recover", {})):
        body: JsonObject = {"since": since(api), **state}
        answer = await api.send("POST", f"{TENANT}/endpoints/{endpoint}/{path}", body, by=key)
        assert (answer.status, answer.json["count"]) == (200, 0)
    assert api.bus.sent == []


async def test_sending_again_and_testing_end_a_pause(api: Subscribers, key: str, endpoint: str) -> None:
    for number in range(3):
        await api.message("acme", number)
    await api.send("POST", f"{TENANT}/endpoints/{endpoint}/recover", {"since": since(api)}, by=key)
    await api.send("POST", f"{TENANT}/endpoints/{endpoint}/test", {"type": "order.paid"}, by=key)
    assert [each.attributes.get("attempt") for each in api.bus.on(DELIVERIES)] == ["now", None, None, "now"]


async def test_recover_sends_what_failed_or_was_never_sent(api: Subscribers, key: str, endpoint: str) -> None:
    messages = [await api.message("acme", number) for number in range(6)]
    await api.message("acme", 7, "user.created")
    for message, state in zip(messages, ("dead_lettered", "delivered", "retry_scheduled", "claimed"), strict=False):
        await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), state)  # type: ignore[arg-type]
    await api.send("PATCH", f"{TENANT}/endpoints/{endpoint}", {"types": ["order.*"]}, by=key)
    path = f"{TENANT}/endpoints/{endpoint}/recover"
    dry = await api.send("POST", path, {"since": since(api), "dry_run": True}, by=key)
    assert (dry.json["count"], dry.json["is_more"], api.bus.sent) == (3, False, [])
    done = await api.send("POST", path, {"since": since(api)}, by=key)
    assert done.json["count"] == 3
    assert {each.event.id for each in api.published()} == {messages[n].event_id for n in (0, 4, 5)}
    assert {each.attributes["force"] for each in api.bus.on(DELIVERIES)} == {"failed"}
    assert {each.attributes["replay"] for each in api.bus.on(DELIVERIES)} == {done.json["id"]}


async def test_recover_heeds_the_time_and_the_filter(api: Subscribers, key: str, endpoint: str) -> None:
    messages = [await api.message("acme", number) for number in range(6)]
    path = f"{TENANT}/endpoints/{endpoint}"
    body: JsonObject = {"since": rfc3339(messages[1].received_at), "until": rfc3339(messages[4].received_at)}
    for filter_, expected in (
        ("data.number > `2`", {messages[3].event_id, messages[4].event_id}),
        ("abs(data)", set()),
    ):
        api.bus.sent.clear()
        await api.send("PATCH", path, {"filter": filter_}, by=key)
        done = await api.send("POST", f"{path}/recover", body, by=key)
        assert (done.status, done.json["count"]) == (200, len(expected))
        assert {each.event.id for each in api.published()} == expected


async def test_a_time_that_ends_before_it_begins_is_rejected(api: Subscribers, key: str, endpoint: str) -> None:
    path, later = f"{TENANT}/endpoints/{endpoint}/recover", rfc3339(api.clock.now() + 60)
    assert (await api.send("POST", path, {"since": later}, by=key)).paths == ["/since"]
    assert (await api.send("POST", path, {"since": later, "until": since(api)}, by=key)).paths == ["/until"]


async def test_replay_sends_by_type_and_state_what_was_delivered_too(api: Subscribers, key: str, endpoint: str) -> None:
    for number in range(4):
        message = await api.message("acme", number, "order.paid" if number % 2 else "order.lost")
        state = "delivered" if number < 2 else "dead_lettered"
        await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), state)  # type: ignore[arg-type]
    path = f"{TENANT}/endpoints/{endpoint}/replay"

    async def count(**fields: object) -> object:
        body: JsonObject = {"since": since(api), "dry_run": True, **fields}  # type: ignore[dict-item]
        return (await api.send("POST", path, body, by=key)).json["count"]

    assert await count() == 4
    assert await count(types=["order.p*"]) == 2
    assert await count(types=["order.lost"], state="failed") == 1
    await api.send("POST", path, {"since": since(api), "state": "delivered"}, by=key)
    assert [each.attributes["force"] for each in api.bus.on(DELIVERIES)] == ["true"] * 2


async def test_a_long_replay_goes_on_by_its_cursor_as_the_same_replay_until_all_is_sent(
    api: Subscribers, key: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.subscribe.handlers.sending_again.SECONDS", 0.0)  # one page a request
    for number in range(250):
        await api.message("acme", number)
    path, body = f"{TENANT}/endpoints/{endpoint}/replay", {"since": since(api)}
    counts, ids, cursor = [], set(), ""
    while True:
        answer = (await api.send("POST", path, {**body, "cursor": cursor}, by=key)).json
        counts.append(answer["count"])
        ids.add(answer["id"])
        if not answer["is_more"]:
            break
        cursor = str(answer["next"])
    assert (counts, len(ids)) == ([100, 100, 50], 1)
    assert len({each.id for each in api.published()}) == 250
    changed = await api.send("POST", path, {"since": since(api, 5), "cursor": cursor}, by=key)
    assert (changed.status, changed.code) == (400, "invalid_cursor")


async def test_nothing_is_sent_again_to_a_disabled_endpoint(api: Subscribers, key: str, endpoint: str) -> None:
    message = await api.message("acme", 1)
    await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), "dead_lettered")
    await api.send("POST", f"{TENANT}/endpoints/{endpoint}/disable", by=key)
    (item,) = (await api.send("GET", f"{TENANT}/deliveries", by=key)).items
    for path, body in (
        (f"endpoints/{endpoint}/recover", {"since": since(api)}),
        (f"endpoints/{endpoint}/replay", {"since": since(api)}),
        (f"deliveries/{item['id']}/resend", {}),
    ):
        answer = await api.send("POST", f"{TENANT}/{path}", {**body}, by=key)
        assert (answer.status, answer.code) == (409, "endpoint_inactive"), path
    assert api.bus.sent == []


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("order.paid", {"total": 12}),
        ("order.lost", {"why": "text"}),
        ("unknown.type", {"message": "This is a test event."}),
    ],
)
async def test_a_test_event_goes_to_one_endpoint_and_is_in_the_log(
    api: Subscribers, key: str, endpoint: str, type_: str, data: JsonObject
) -> None:
    await api.endpoint("acme", key)
    answer = await api.send("POST", f"{TENANT}/endpoints/{endpoint}/test", {"type": type_}, by=key)
    (sent,) = api.published()
    assert (sent.destination, sent.event.type, sent.event.data) == (f"customers:acme:{endpoint}", type_, data)
    message = Message(
        id=answer.text("message_id"),
        event_id=sent.event.id,
        type=type_,
        route=sent.route,
        destination="customers",
        received_at=api.clock.now(),
        event=event_json(sent.event).decode(),
    )
    await attempted(api.ledger, message, "acme", endpoint, api.clock.now(), "delivered")
    shown = await api.send("GET", f"{TENANT}/deliveries/{answer.text('delivery_id')}", by=key)
    assert (shown.json["test"], shown.json["type"], shown.json["state"]) == (True, type_, "delivered")
    listed = (await api.send("GET", f"{TENANT}/messages", by=key)).items
    assert [each["test"] for each in listed] == [True]
    replayed = await api.send("POST", f"{TENANT}/endpoints/{endpoint}/replay", {"since": since(api)}, by=key)
    assert replayed.json["count"] == 0


async def test_whoever_may_enable_an_endpoint_may_test_it(api: Subscribers, key: str, endpoint: str) -> None:
    path, body = f"{TENANT}/endpoints/{endpoint}", {"type": "order.paid"}
    tenant = await api.token("acme", key)
    await api.send("POST", f"{path}/disable", by=tenant)
    answer = await api.send("POST", f"{path}/test", {**body}, by=tenant)
    assert (answer.status, answer.json["endpoint_enabled"], len(api.published())) == (202, False, 1)
    await api.send("POST", f"{path}/disable", by=key)
    answer = await api.send("POST", f"{path}/test", {**body}, by=tenant)
    assert (answer.status, answer.code, len(api.published())) == (403, "not_allowed", 1)
    assert (await api.send("POST", f"{path}/test", {**body}, by=key)).status == 202
    assert (await api.send("GET", path, by=tenant)).json["enabled"] is False


async def test_an_example_that_no_message_can_hold_is_not_sent(api: Subscribers, key: str, endpoint: str) -> None:
    settings = api.settings
    large = EventType(name="order.large", examples=("x" * 250_000,))
    api.service = replace(api.service, settings=replace(settings, event_types={"order.large": large}))
    answer = await api.send("POST", f"{TENANT}/endpoints/{endpoint}/test", {"type": "order.large"}, by=key)
    assert (answer.status, answer.paths, api.bus.sent) == (422, ["/type"], [])
