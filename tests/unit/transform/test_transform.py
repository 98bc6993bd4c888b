"""What transform makes of an event: deliveries, dead letters and the journal."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from functions.transform import entry, tracing
from functions.transform.chain import Chain
from functions.transform.routes import Route, Routes
from functions.transform.step import Many, NamedStep, StepResult
from functions.transform.transform import Transformer
from shared import logs
from shared.claim_check import MAX_INLINE_BYTES, checked_in, checked_out
from shared.dead_letter_message import DEAD_LETTER_TYPE
from shared.errors import Permanent, Temporary
from shared.event import from_cloudevent, to_cloudevent
from shared.journal import EventEntry
from shared.jsontext import Json, to_json
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.push import Push
from shared.telemetry import spans
from shared.telemetry.spans import Span
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal
from tests.fakes.pushes import from_anybody
from tests.unit.transform.chain_steps import Answering
from tests.unit.transform.transform_bench import EVENT, Bench


async def test_one_delivery_is_owed_to_each_destination_of_each_route_that_matches(bench: Bench) -> None:
    await bench.take()

    changed, as_it_came = {"plan": "pro", "team": "north"}, {"plan": "pro"}
    assert [(each.route, each.destination, each.event.data) for each in bench.deliveries] == [
        ("tell the list", "list", changed),
        ("tell the list", "crm", changed),
        ("audit", "crm", as_it_came),
    ]
    attributes = {"ce-id": bench.deliveries[0].id, "ce-type": "hookchain.delivery"}
    assert bench.bus.on(DELIVERIES)[0].attributes == {**attributes, "ce-source": "/routes/tell the list"}


async def test_a_chain_that_fails_is_that_routes_dead_letter_and_stops_no_other(bench: Bench) -> None:
    await bench.take()

    [letter] = bench.letters
    document = json.loads(letter.data)
    assert (document["id"], document["type"]) == ("e1:broken", DEAD_LETTER_TYPE)
    assert document["data"]["code"] == "path_conflict"
    assert document["data"]["reason"].startswith("route 'broken': step 1 'set': ")
    assert from_cloudevent(json.loads(document["data"]["message"])) == EVENT
    assert [topic for topic, _ in bench.bus.sent] == [DEAD_LETTERS, DELIVERIES, DELIVERIES, DELIVERIES]


async def test_what_a_step_noted_and_why_parts_stopped_is_journaled_once_each() -> None:
    checked: Json = {"lint": {"types": {"data.n": "integer"}, "on_fault": "warn"}}
    steps: Json = [{"split": {"path": "data.items", "into": "data"}}, checked, {"filter": "data.n == `1`"}]
    bench = Bench([{"name": "items", "steps": steps, "to": ["crm"]}])

    await bench.take(EVENT.with_data({"items": [{"n": 1}, {"n": "x"}, {"n": "y"}]}))

    assert bench.journaled.routes[0].reason == (
        "it takes every event; noted at step 2 'lint': data.n is text, not integer (2 times);"
        " filtered at step 3 'filter': data.n == `1` is not true: data.n is text that is not written as a number,"
        " such as 12.50, so neither `cast` nor to_number() converts it (2 times)"
    )
    assert [delivery.event.data for delivery in bench.deliveries] == [{"n": 1}]


async def test_an_event_of_nine_hops_is_a_loop_and_goes_nowhere(bench: Bench) -> None:
    with pytest.raises(Permanent, match="too_many_hops"):
        await bench.take(replace(EVENT, hops=9))

    [letter] = bench.letters
    assert (letter.attributes["id"], letter.attributes["code"]) == ("e1", "too_many_hops")
    assert bench.deliveries == []
    assert [route.code for route in bench.journaled.routes] == ["too_many_hops"]


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


async def test_the_same_signed_bytes_under_another_type_are_routed_nowhere(bench: Bench) -> None:
    first = replace(EVENT, signedas="bytes.pro")
    await bench.take(first)
    owed = len(bench.deliveries)
    await bench.take(replace(first, type="push", deliveryid="another", signedas="bytes.other"))

    assert len(bench.deliveries) == owed
    entries = [entry for entry in bench.journal.entries if isinstance(entry, EventEntry)]
    first_id, duplicate_id = [entry.event.id for entry in entries]
    assert first_id == "e1" != duplicate_id
    assert entries[1].event.origin == duplicate_id  # its own, should the operator have it delivered all the same
    [decision] = entries[1].routes
    assert (decision.outcome, entries[1].broken) == ("duplicate", 0)
    assert "same_signed_bytes" in decision.reason
    assert "dedupe: delivery_id" in decision.reason

    await bench.take(first)  # which the bus or its sender gave again
    assert len(bench.deliveries) == 2 * owed


async def test_while_it_cannot_be_told_which_event_came_first_none_is_routed(bench: Bench) -> None:
    await bench.take()
    assert bench.owners.owners == {}  # signed as a whole: there is nothing to remember
    bench.bus.sent.clear()
    bench.owners.fault = "down"
    with pytest.raises(Temporary):
        await bench.take(replace(EVENT, signedas="bytes.pro"))
    assert bench.bus.sent == []


async def test_a_replay_that_is_forced_is_routed_though_it_is_a_duplicate(bench: Bench) -> None:
    await bench.take(replace(EVENT, signedas="bytes.pro"))
    await bench.take(replace(EVENT, id="e2", signedas="bytes.other"), force="1")
    assert {delivery.event.id for delivery in bench.deliveries} == {"e1", "e2"}


NOT_JSON_TO_OTHERS: Final = to_json(to_cloudevent(EVENT)).replace('"pro"', "NaN").encode()
IN_UTF_16: Final = to_json(to_cloudevent(EVENT)).encode("utf-16")


@pytest.mark.parametrize("data", [b"not json", b"[]", b'{"id": "e1"}', b"[" * 100_000, NOT_JSON_TO_OTHERS, IN_UTF_16])
async def test_what_is_no_event_is_a_dead_letter_under_its_messages_id(bench: Bench, data: bytes) -> None:
    with pytest.raises(Permanent):
        await bench.transformer.take(Push(data, {}, "m1"))

    [letter] = bench.letters
    assert (letter.attributes["id"], letter.attributes["code"]) == ("m1", "malformed_event")


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (EVENT.with_data({b"bytes": 1}), "TypeError at output.py"),  # type: ignore[dict-item]
        (EVENT.with_data({"a": [{"b": "half a pair \ud800"}]}), "half a surrogate pair"),
        (replace(EVENT, subject=object()), "an attribute that JSON cannot hold"),  # type: ignore[arg-type]
        (replace(EVENT, subject=5), "the CloudEvent's 'subject' is text; found a number"),  # type: ignore[arg-type]
        (replace(EVENT, payloadhash=""), "the CloudEvent has no 'payloadhash'"),
        (Many((replace(EVENT, hops=float("nan")),)), "the CloudEvent's 'hops' is an integer"),  # type: ignore[arg-type]
    ],
)
async def test_what_an_own_step_returns_costs_its_route_alone(bench: Bench, returned: StepResult, reason: str) -> None:
    """None of it could be written or read, and the whole event came again and again. Such a step returns anything."""
    own = NamedStep(1, "own", Answering(returned), is_own=True)
    routes = Routes([Route("own", Chain("own", (own,)), ("crm",)), Route("other", Chain("other"), ("crm",))])

    await replace(bench.transformer, routes=routes).take(Push(to_json(to_cloudevent(EVENT)).encode(), {}, "m1"))

    assert [(each.route, each.event) for each in bench.deliveries] == [("other", EVENT)]
    [letter] = bench.letters
    assert reason in letter.attributes["reason"]


async def test_without_the_bus_nothing_is_journaled_and_the_event_comes_again(bench: Bench) -> None:
    bench.bus.fault = "down"

    with pytest.raises(Temporary):
        await bench.take()

    assert bench.journal.entries == []


@pytest.mark.parametrize("fault", ["disk full", None])
async def test_a_journal_that_fails_or_hangs_is_logged_and_blocks_nothing(
    bench: Bench, fault: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.transform.transform.JOURNAL_SECONDS", 0.01)
    bench.journal.fault = fault
    if not fault:
        monkeypatch.setattr(FakeJournal, "record", lambda *_: asyncio.Event().wait())

    await bench.take()

    assert len(bench.deliveries) == 3
    line = json.loads(capsys.readouterr().out)
    assert (line["message"], line["detail"]) == ("not journaled", fault or "not written within 0.01 s")


EVENT_ID: Final = "5d03509d68ce534406a308d4b4ddf7f7"
NOW: Final = 1_772_366_400.0
"""The time at which EVENT was received."""


@dataclass
class TracedBench:
    """A transformer that records its spans."""

    bench: Bench = field(default_factory=Bench)
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW + 1))
    spans: list[Span] = field(default_factory=list)

    async def take(self, data: bytes, sent: str = "", **attributes: str) -> bool:
        recorder = tracing.TransformSpans(self.spans.append, "gcp_pubsub", "https", self.clock, {"signup-form": 1})
        logs.set_ids(recorder.ids)
        made = self.bench.transformer
        transformer = Transformer(
            made.routes, recorder.recording(made.bus), made.blobs, made.journal, self.clock, spans=recorder
        )
        push = Push(data, attributes, "m1", sent)
        return await entry.take_event(entry.Service(transformer, {}, None, from_anybody), push, 0.0)

    def named(self, name: str) -> list[Span]:
        return [each for each in self.spans if each.name == name]


@pytest.fixture
def traced() -> Iterator[TracedBench]:
    yield TracedBench()
    logs.set_ids(None)


def content(event_id: str = EVENT_ID) -> bytes:
    return to_json(to_cloudevent(replace(EVENT, id=event_id))).encode()


async def test_an_event_s_spans_and_its_lines_are_in_one_trace(
    traced: TracedBench, capsys: pytest.CaptureFixture[str]
) -> None:
    times = spans.received_attribute(NOW, NOW + 0.25, "POST", 200)
    assert await traced.take(content(), "2026-03-01T12:00:00.500Z", **times)
    assert {each.place.trace_id for each in traced.spans} == {EVENT_ID}
    [receive], [process] = traced.named("POST /signup-form"), traced.named("process events")
    assert receive.ended_at == NOW + 0.5
    assert process.place.parent_id == traced.named("publish events")[0].span_id
    assert (process.error, process.attributes[spans.OUTCOME]) == ("path_conflict", "routed")
    assert [(each.error, each.attributes[spans.ROUTE]) for each in traced.named("step set")] == [
        ("", "tell the list"),
        ("path_conflict", "broken"),
    ]
    published = traced.named("publish deliveries")[0]
    assert traced.bench.bus.on(DELIVERIES)[0].attributes["traceparent"] == f"00-{EVENT_ID}-{published.span_id}-01"
    kept = traced.bench.journaled.spans
    assert [each["id"] for each in kept] == [each.span_id for each in traced.spans]
    names = [str(each["name"]) for each in kept]
    assert [name for name in names if "step" in name] == ["tell the list: step 1 'set'", "broken: step 1 'set'"]
    assert kept[-1] == {
        **{"service": "transform", "name": "process events", "id": process.span_id, "parent": process.place.parent_id},
        **{"at": NOW + 1, "ms": 0.0},
    }
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(each["trace"], each["span"]) for each in lines} == {(EVENT_ID, process.span_id)}


async def test_a_replay_days_later_has_a_trace_of_its_own(traced: TracedBench) -> None:
    traced.clock.advance(3 * 86_400)
    await traced.take(content(), replay="r1")
    [process] = traced.named("process events")
    assert process.place.trace_id != EVENT_ID
    assert (process.place.parent_id, process.place.links) == ("", (spans.event_ids(EVENT_ID, EVENT.receivedat),))


async def test_the_further_run_of_a_route_that_waited_names_it(traced: TracedBench) -> None:
    await traced.take(content(), route="tell the list")
    [process] = traced.named("process events")
    assert process.attributes[spans.ROUTE] == "tell the list"


async def test_what_comes_again_says_why(traced: TracedBench) -> None:
    async def publish(*_: object) -> None:
        raise Temporary("bus_unavailable", "no answer")

    traced.bench.bus.publish = publish  # type: ignore[assignment,method-assign] # a bus that is down
    assert not await traced.take(content())
    [process] = traced.named("process events")
    assert process.error == "bus_unavailable"
    assert {each.error for each in traced.spans if each.kind == spans.PRODUCER} == {"bus_unavailable"}


async def test_an_event_of_no_time_is_processed_all_the_same(traced: TracedBench) -> None:
    assert await traced.take(to_json(to_cloudevent(replace(EVENT, id=EVENT_ID, receivedat="soon"))).encode())
    assert {each.place.trace_id for each in traced.spans} == {EVENT_ID}


async def test_a_message_that_is_no_event_has_no_span(traced: TracedBench) -> None:
    assert await traced.take(b"no event")
    assert traced.spans == []


@pytest.mark.parametrize(
    ("sent", "ended_at"),
    [("1772366400500", NOW + 0.5), ("", NOW + 1), ("soon", NOW + 1), ("2999-01-01T00:00:00Z", NOW + 1)],
)
async def test_receive_ends_when_the_bus_had_the_message(traced: TracedBench, sent: str, ended_at: float) -> None:
    await traced.take(content(), sent, **spans.received_attribute(NOW, NOW + 0.25, "POST", 200))
    assert traced.named("POST /signup-form")[0].ended_at == ended_at
