"""A body that tells of several things is as many events, in one confirmed publish."""

import hashlib
import json
import time

import pytest

from shared.event import event_id
from shared.jsontext import Json, canonical
from tests.posting import JSON, Posting, code


async def batch(source: str, body: Json, *headers: tuple[str, str]) -> Posting:
    posting = Posting(f"a: {{auth: none, {source}}}")
    reply = await posting.send("/a", json.dumps(body).encode(), JSON, *headers)
    assert reply.status == 200, reply.body
    ids: Json = [event.id for event in posting.events]
    assert json.loads(reply.body) == ({"ids": ids} if len(posting.events) != 1 else {"id": posting.events[0].id})
    return posting


async def test_each_item_is_an_event_with_facts_of_its_own() -> None:
    body: Json = {"account": "acme", "events": [{"type": "a", "id": 1, "by": "Ann"}, {"type": "b", "id": 2}]}
    posting = await batch("batch: data.events.*, id: data.id, actor: data.by, subject: body.account", body)
    first, second = posting.events
    assert (first.type, first.actor, first.subject, first.data) == (
        "a",
        "Ann",
        "acme",
        {"type": "a", "id": 1, "by": "Ann"},
    )
    assert (second.type, second.actor, second.subject) == ("b", None, "acme")
    assert first.payloadhash == hashlib.sha256(canonical(first.data)).hexdigest()


async def test_the_whole_body_may_be_the_list_and_an_item_may_lie_deeper() -> None:
    assert [event.data for event in (await batch("batch: 'data.*'", [1, "two", None])).events] == [1, "two", None]
    body: Json = {"items": [{"Item": {"n": 1}}, {"n": 2}]}
    assert [event.data for event in (await batch("batch: 'data.items.*.Item'", body)).events] == [{"n": 1}, {"n": 2}]
    nested: Json = {"entry": [{"changes": [1, 2]}, {"changes": [3]}, {"other": 4}]}
    posting = await batch("batch: 'data.entry.*.changes.*'", nested)
    assert [event.data for event in posting.events] == [1, 2, 3, {"other": 4}]


async def test_what_is_no_list_is_one_event() -> None:
    assert [event.data for event in (await batch("batch: data.events.*", {"events": {"a": 1}})).events] == [
        {"events": {"a": 1}}
    ]
    assert [event.data for event in (await batch("batch: 'data.*'", {"a": 1})).events] == [{"a": 1}]


async def test_an_empty_batch_is_accepted_and_publishes_nothing() -> None:
    assert (await batch("batch: data.events.*", {"events": []})).bus.sent == []


async def test_items_are_distinguished_by_the_deliverys_id_and_their_own_or_their_number() -> None:
    source = "batch: 'data.*', id: [data.id, header.x-id]"
    items: Json = [{"id": "i"}, {}, {}]
    first = await batch(source, items, ("x-id", "d1"))
    again = await batch(source, items, ("x-id", "d1"))
    other = await batch(source, items, ("x-id", "d2"))
    assert [event.id for event in first.events] == [event.id for event in again.events]
    assert len({event.id for event in (*first.events, *other.events)}) == 6
    by_hand = hashlib.sha256(canonical(["a", "d1", "i"])).hexdigest()[:32]
    assert (first.events[0].id, first.events[0].deliveryid, first.events[1].deliveryid) == (by_hand, "i", "d1")


async def test_an_items_own_id_is_enough_in_whatever_delivery_it_comes() -> None:
    one = await batch("batch: 'data.*', id: data.id", [{"id": "x"}, {"id": "y"}])
    two = await batch("batch: 'data.*', id: data.id", [{"id": "y"}])
    assert one.events[1].id == two.events[0].id == event_id("a", "y")


async def test_an_items_id_may_be_joined_with_what_stands_outside_it() -> None:
    source = "batch: data.items.*, id: body.account + data.n"
    one, two = [await batch(source, {"account": account, "items": [{"n": 1}, {"n": 2}]}) for account in ("a", "b")]
    again = await batch(source, {"account": "b", "items": [{"n": 2}]})
    assert again.events[0].id == two.events[1].id == event_id("a", "b.2")
    assert len({event.id for event in (*one.events, *two.events)}) == 4


async def test_an_id_of_two_parts_of_which_one_is_missing_is_none() -> None:
    items: Json = [{"code": "AUTH", "ref": "1"}, {"code": "AUTH"}, {"code": "AUTH"}]
    receiving = await batch("batch: 'data.*', id: data.code + data.ref", items)
    assert receiving.events[0].id == event_id("a", "AUTH.1")
    assert len({event.id for event in receiving.events}) == 3
    assert receiving.events[1].deliveryid is None


async def test_without_ids_the_bodys_hash_and_the_number_tell_them_apart_where_the_source_says_so() -> None:
    one = await batch("batch: 'data.*', dedupe: body", [1, 1])
    two = await batch("batch: 'data.*', dedupe: body", [1, 1])
    assert [event.id for event in one.events] == [event.id for event in two.events]
    assert len({event.id for event in one.events}) == 2


async def test_an_item_keeps_the_headers_but_not_the_body_of_all() -> None:
    posting = await batch("batch: 'data.*', keep_raw: true", [1, 2])
    assert [(event.rawbody, bool(event.rawheaders)) for event in posting.events] == [(None, True)] * 2


@pytest.mark.parametrize(("items", "status"), [(5_000, 200), (5_001, 422)])
async def test_a_batch_has_a_bound(items: int, status: int) -> None:
    posting = Posting("a: {auth: none, batch: 'data.*'}")
    reply = await posting.send("/a", json.dumps([0] * items).encode(), JSON)
    assert (reply.status, len(posting.events)) == (status, items if status == 200 else 0)
    if status == 422:
        assert code(reply) == "too_many_items"


async def test_a_bus_that_rejects_takes_none_of_them() -> None:
    posting = Posting("a: {auth: none, batch: 'data.*'}")
    posting.bus.fault = "down"
    assert (await posting.send("/a", b"[1, 2]", JSON)).status == 503


async def test_headers_are_not_kept_with_each_of_many_items_where_they_are_long() -> None:
    posting = Posting("a: {auth: none, batch: 'data.*', keep_raw: true}")
    long = ("x-long", "a" * 60_000)
    assert code(await posting.send("/a", json.dumps([1] * 5_000).encode(), JSON, long)) == "too_many_items"
    assert (await posting.send("/a", json.dumps([1] * 50).encode(), JSON, long)).status == 200
    assert len(posting.events) == 50


async def test_a_deliverys_long_id_tells_its_items_from_anothers() -> None:
    first, second = "a" * 900_000 + "1", "a" * 900_000 + "2"
    ids: list[str] = []
    for long in (first, first, second):
        posting = await batch("batch: data.items.*, id: body.id", {"id": long, "items": [1, 2]})
        ids += [event.id for event in posting.events]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4


async def test_each_of_many_items_takes_its_facts_from_a_query_that_is_read_once() -> None:
    posting = Posting("a: {auth: none, batch: 'data.*', type: query.t, actor: query.who, subject: query.what}")
    query = "who=Ann&" + "x=1&" * 16_000 + "t=push"
    reply = await posting.send("/a", json.dumps([1] * 5_000).encode(), JSON, query=query)
    assert (reply.status, len(posting.events)) == (200, 5_000)
    assert {(event.type, event.actor, event.subject) for event in posting.events} == {("push", "Ann", None)}


@pytest.mark.parametrize("settings", ["dedupe: body", "id: header.X-Id", "id: [body.id, header.X-Id]"])
async def test_what_names_a_delivery_is_looked_for_once_for_all_its_items(settings: str) -> None:
    posting = Posting("a: {auth: none, max_body_bytes: 5000000, batch: data.items.*, " + settings + "}")
    body = json.dumps({"items": [1] * 5_000, "text": "x" * 4_000_000}).encode()
    headers = [("x-id", "x" * 4_000)] * 250
    before = time.process_time()
    assert (await posting.send("/a", body, JSON, *headers)).status == 200
    assert time.process_time() - before < 1
    assert len({event.id for event in posting.events}) == 5_000
