"""What transform makes of an event: deliveries, dead letters and the journal."""

import json
from dataclasses import replace

import pytest

from shared.claim_check import MAX_INLINE_BYTES, checked_in, checked_out
from shared.dead_letter_message import DEAD_LETTER_TYPE
from shared.delivery import delivery_from
from shared.errors import Permanent
from shared.event import from_cloudevent, to_cloudevent
from shared.jsontext import Json, to_json
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.push import Push
from tests.fakes.clock import FakeClock
from tests.unit.transform.transform_bench import EVENT, Bench


async def test_one_delivery_is_owed_to_each_destination_of_each_route_that_matches(bench: Bench) -> None:
    await bench.take()

    assert [(delivery.route, delivery.destination) for delivery in bench.deliveries] == [
        ("tell the list", "list"),
        ("tell the list", "crm"),
        ("audit", "crm"),
    ]
    assert [delivery.event.data for delivery in bench.deliveries] == [
        {"plan": "pro", "team": "north"},
        {"plan": "pro", "team": "north"},
        {"plan": "pro"},
    ]


async def test_a_delivery_is_published_under_its_idempotency_key(bench: Bench) -> None:
    await bench.take()

    message = bench.bus.on(DELIVERIES)[0]
    delivery = delivery_from(json.loads(message.data))
    assert message.attributes == {
        "ce-id": delivery.id,
        "ce-type": "hookchain.delivery",
        "ce-source": "/routes/tell the list",
    }


async def test_a_chain_that_fails_is_that_routes_dead_letter_and_stops_no_other(bench: Bench) -> None:
    await bench.take()

    [letter] = bench.letters
    document = json.loads(letter.data)
    assert (document["id"], document["type"]) == ("e1:broken", DEAD_LETTER_TYPE)
    assert document["data"]["code"] == "path_conflict"
    assert document["data"]["reason"].startswith("route 'broken': step 1 'set': ")
    assert from_cloudevent(json.loads(document["data"]["message"])) == EVENT
    assert len(bench.deliveries) == 3


async def test_dead_letters_are_confirmed_before_deliveries(bench: Bench) -> None:
    await bench.take()

    assert [topic for topic, _ in bench.bus.sent] == [DEAD_LETTERS, DELIVERIES, DELIVERIES, DELIVERIES]


async def test_the_journal_says_what_each_route_decided_and_why(bench: Bench) -> None:
    await bench.take()

    entry = bench.journaled
    assert (entry.event, entry.at) == (EVENT, FakeClock().now())
    assert [(route.route, route.matched, route.destinations, route.code) for route in entry.routes] == [
        ("tell the list", True, ("list", "crm"), None),
        ("audit", True, ("crm",), None),
        ("broken", True, (), "path_conflict"),
        ("pushes", False, (), None),
    ]
    assert entry.routes[0].reason == "type 'signup.created' matches signup.*"
    assert entry.routes[2].reason.startswith("it takes every event; failed at step 1 'set': ")
    assert entry.routes[3].reason == "type 'signup.created' does not match push"


async def test_what_a_step_noted_and_why_parts_stopped_is_journaled_once_each() -> None:
    checked: Json = {"lint": {"types": {"data.n": "integer"}, "on_fault": "warn"}}
    steps: Json = [{"split": {"path": "data.items", "into": "data"}}, checked, {"filter": "data.n == `1`"}]
    bench = Bench([{"name": "items", "steps": steps, "to": ["crm"]}])

    await bench.take(EVENT.with_data({"items": [{"n": 1}, {"n": "x"}, {"n": "y"}]}))

    assert bench.journaled.routes[0].reason == (
        "it takes every event; noted at step 2 'lint': data.n is text, not integer (2 times);"
        " filtered at step 3 'filter': data.n == `1` is not true (2 times)"
    )
    assert [delivery.event.data for delivery in bench.deliveries] == [{"n": 1}]


async def test_of_many_different_reasons_a_few_are_journaled() -> None:
    noting: Json = {"lint": {"schema": {"maxItems": 0}, "on_fault": "warn"}}
    bench = Bench([{"name": "items", "steps": [noting] * 7, "to": ["crm"]}])

    await bench.take(EVENT.with_data([1]))

    *_, last, more = bench.journaled.routes[0].reason.split("; ")
    assert (last, more) == ("noted at step 5 'lint': data breaks maxItems: 0", "2 more like these")


async def test_an_event_that_nothing_takes_is_journaled_and_owed_to_nobody() -> None:
    bench = Bench([{"name": "pushes", "types": ["push"], "to": ["chat"]}])

    await bench.take()

    assert bench.bus.sent == []
    assert [route.matched for route in bench.journaled.routes] == [False]


async def test_the_same_event_again_makes_the_same_deliveries(bench: Bench) -> None:
    await bench.take()
    first = list(bench.bus.sent)
    await bench.take()

    assert bench.bus.sent == first * 2


async def test_an_event_of_nine_hops_is_a_loop_and_goes_nowhere(bench: Bench) -> None:
    with pytest.raises(Permanent, match="too_many_hops"):
        await bench.take(replace(EVENT, hops=9))

    [letter] = bench.letters
    assert (letter.attributes["id"], letter.attributes["code"]) == ("e1", "too_many_hops")
    assert bench.deliveries == []
    assert [route.code for route in bench.journaled.routes] == ["too_many_hops"]


async def test_an_event_of_eight_hops_goes_on(bench: Bench) -> None:
    await bench.take(replace(EVENT, hops=8))

    assert bench.deliveries[0].event.hops == 8


async def test_a_replay_for_one_destination_is_owed_to_it_alone(bench: Bench) -> None:
    await bench.take(replay="r1", only="list", force="true", other="x")

    assert [delivery.destination for delivery in bench.deliveries] == ["list"]
    attributes = bench.bus.on(DELIVERIES)[0].attributes
    assert (attributes["replay"], attributes["force"]) == ("r1", "true")
    assert not {"only", "other"} & attributes.keys()
    assert bench.letters == []
    assert bench.journaled.routes[1].reason == "it takes every event; but this replay is for 'list' only"


async def test_a_large_event_is_fetched_before_it_is_matched_and_travels_on_by_reference(bench: Bench) -> None:
    text = "x" * MAX_INLINE_BYTES
    light, _ = await checked_in(replace(EVENT, data={"plan": "pro", "text": text}), bench.blobs, "e1")
    bench.routes = [
        {"name": "changed", "where": "data.plan == 'pro'", "steps": [{"set": {"data.n": 1}}], "to": ["crm"]},
        {"name": "as it came", "to": ["crm"]},
    ]

    await bench.take(light)

    changed, as_it_came = bench.deliveries
    assert as_it_came.event == light
    assert changed.event.data is None
    assert changed.event.dataref is not None
    assert changed.event.dataref.startswith("e1-")
    assert (await checked_out(changed.event, bench.blobs)).data == {"plan": "pro", "text": text, "n": 1}


async def test_only_a_message_that_comes_again_writes_over_the_blob_that_a_route_made_of_it(bench: Bench) -> None:
    texts = ["x" * MAX_INLINE_BYTES, "y" * MAX_INLINE_BYTES]
    one, other = [(await checked_in(replace(EVENT, data={"text": text}), bench.blobs, text[0]))[0] for text in texts]
    for event, version, second in ((one, "v1", 2), (one, "v1", 2), (one, "v2", 3), (other, "v2", 3)):
        bench.version = version
        bench.routes = [
            {"name": name, "steps": [{"set": {"data.n": n}}], "to": ["crm"]}
            for name, n in (("one", 1), ("two", second))
        ]
        await bench.take(event)

    refs = [delivery.event.dataref for delivery in bench.deliveries]
    assert refs[:2] == refs[2:4]
    assert len({*refs}) == 6
    events = [await checked_out(delivery.event, bench.blobs) for delivery in bench.deliveries]
    found = [(event.data["text"], event.data["n"]) for event in events if isinstance(event.data, dict)]
    numbers = [1, 2, 1, 2, 1, 3, 1, 3]
    assert found == [(texts[place > 5], n) for place, n in enumerate(numbers)]


async def test_an_event_that_no_step_changed_is_delivered_and_journaled_as_the_bus_brought_it(bench: Bench) -> None:
    content = to_json(to_cloudevent(EVENT)).encode().replace(b'"plan"', b'"pl\\u0061n"')

    await bench.transformer.take(Push(content, {}, "m1"))

    changed, _, as_it_came = bench.bus.on(DELIVERIES)
    assert content in as_it_came.data
    assert content not in changed.data
    assert bench.journaled.document == content


async def test_what_a_step_made_small_travels_whole_again(bench: Bench) -> None:
    light, _ = await checked_in(replace(EVENT, data={"a": 1, "b": "x" * MAX_INLINE_BYTES}), bench.blobs, "e1")
    bench.routes = [{"name": "short", "steps": [{"drop": ["data.b"]}], "to": ["crm"]}]

    await bench.take(light)

    assert bench.deliveries[0].event.data == {"a": 1}


async def test_an_event_whose_blob_is_gone_is_a_dead_letter(bench: Bench) -> None:
    with pytest.raises(Permanent):
        await bench.take(replace(EVENT, data=None, dataref="gone"))

    assert bench.letters[0].attributes["code"] == "missing_body"


async def test_each_part_of_a_split_event_is_a_delivery_with_a_key_of_its_own(bench: Bench) -> None:
    bench.routes = [{"name": "parts", "steps": [{"split": "data.items"}], "to": ["crm", "list"]}]
    event = replace(EVENT, data={"items": [1, 2]})
    await bench.take(event)
    first = [delivery.id for delivery in bench.deliveries]
    await bench.take(event)

    assert [(each.event.id, each.event.data, each.destination) for each in bench.deliveries[:4]] == [
        ("e1-1", 1, "crm"),
        ("e1-1", 1, "list"),
        ("e1-2", 2, "crm"),
        ("e1-2", 2, "list"),
    ]
    assert len(set(first)) == 4
    assert [delivery.id for delivery in bench.deliveries[4:]] == first
    assert {each.event.origin for each in bench.deliveries} == {"e1"}


async def test_a_part_that_fails_is_one_dead_letter_of_the_route_and_the_others_go_out(bench: Bench) -> None:
    steps: Json = [{"split": "data.items"}, {"cast": {"data": "integer"}}]
    bench.routes = [{"name": "parts", "steps": steps, "to": ["crm"]}]
    await bench.take(replace(EVENT, data={"items": ["1", "x", "3", "y"]}))

    assert [delivery.event.data for delivery in bench.deliveries] == [1, 3]
    [letter] = bench.letters
    reason = json.loads(letter.data)["data"]["reason"]
    assert reason.startswith("route 'parts': step 2 'cast': data is text that cannot be cast to integer")
    assert "(and so for 1 more" in reason
    assert reason.endswith("; done before: step 1 'split'")
    [decision] = bench.journaled.routes
    assert (decision.code, decision.destinations, decision.events) == ("cast_failed", ("crm",), 2)


async def test_what_stops_a_route_is_journaled_with_its_reason(bench: Bench) -> None:
    steps: Json = [{"filter": {"keep": "data.plan == 'free'", "reason": "only free ones"}}]
    bench.routes = [{"name": "free", "steps": steps, "to": ["crm"]}]
    await bench.take()

    assert bench.bus.sent == []
    [decision] = bench.journaled.routes
    assert (decision.matched, decision.code, decision.destinations) == (True, None, ())
    assert decision.reason.endswith("filtered at step 1 'filter': only free ones: data.plan == 'free' is not true")
