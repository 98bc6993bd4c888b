"""Sources whose messages Pub/Sub pushes."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.event import event_id
from shared.ports import BusMessage
from tests.fakes.bus import FakeBus
from tests.posting import JSON, code
from tests.unit.receive.buses import JOBS, Bus, rejecting, unset


@pytest.fixture(autouse=True)
def _prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.receive.wiring.prefix", lambda: "hookchain-")


async def test_a_push_makes_an_event_of_its_message_whose_id_is_the_buses() -> None:
    bus = Bus()
    attributes = {"ce-type": "order.created", "ce-subject": "1042", "ce-time": "2026-03-01T12:00:04Z", "Team": "é"}

    reply = await bus.push("orders", b'{"total": 12}', attributes)

    [event] = bus.events
    assert reply.status == 200
    assert (event.id, event.deliveryid) == (event_id("orders", "m1"), "m1")
    assert (event.type, event.subject, event.data) == ("order.created", "1042", {"total": 12})
    await bus.push("orders", b'{"total": 12}', attributes)
    assert bus.events[1].id == event.id


async def test_hops_and_the_trace_go_on_so_that_a_loop_ends() -> None:
    bus = Bus()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await bus.push("orders", b"{}", {"hookchain-hops": "3", "traceparent": trace})
    assert (bus.events[0].hops, bus.events[0].traceparent) == (3, trace)


async def test_nobody_else_can_push() -> None:
    for verify, status in ((rejecting, 401), (None, 401), (unset, 503)):
        bus = Bus(verify)
        assert (await bus.push("orders", b"{}")).status == status
        assert bus.posting.bus.sent == []


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
async def test_a_push_is_a_post(method: str) -> None:
    assert (await Bus().posting.send("/orders", b"{}", JSON, method=method)).status == 405


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"message": {"data": "?"}}', b'{"message": 1}'])
async def test_what_is_no_push_is_rejected(body: bytes) -> None:
    bus = Bus()
    reply = await bus.posting.send("/orders", body, JSON)
    assert (reply.status, code(reply)) == (400, "malformed_body")
    assert bus.posting.bus.sent == []


@pytest.mark.parametrize(
    ("data", "attributes", "reason"),
    [
        (b'{"a": ', {"content-type": "application/json"}, "malformed_body"),
        (b"[1]", {}, "schema_mismatch"),
        (b"[" * 2_000 + b"]" * 2_000, {}, "nested_too_deeply"),
        (b"x" * 1_048_577, {}, "body_too_large"),
        (b"x", {"content-encoding": "br"}, "unsupported_encoding"),
    ],
)
async def test_a_message_that_can_never_be_an_event_is_a_dead_letter_and_does_not_come_again(
    data: bytes, attributes: dict[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = Bus()

    reply = await bus.push("orders", data, attributes)

    [letter] = bus.letters
    assert (reply.status, bus.events) == (204, [])
    assert letter.code == "message_rejected"
    assert reason in letter.reason
    assert data.startswith(letter.message)
    assert ("the first 131,072 of its" in letter.reason) == (data != letter.message)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["outcome"], line["source"], line["code"]) == ("dead_lettered", "orders", reason)


async def test_a_message_is_acknowledged_only_once_the_bus_has_confirmed_its_event_or_its_dead_letter() -> None:
    bus = Bus(bus=FakeBus())
    bus.posting.bus.fault = "down"
    for data in (b"{}", b"[1]"):
        assert (await bus.push("orders", data)).status == 503


def test_a_fault_of_ours_has_the_message_brought_again() -> None:
    class Broken(FakeBus):
        async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
            raise ZeroDivisionError("hunter2")

    bus = Bus(bus=Broken())
    reply = asyncio.run(bus.push("orders", b"{}"))
    assert (reply.status, b"hunter2" in reply.body) == (503, False)
    assert bus.invoke(JOBS, {"MessageBody": "{}", "MessageId": "m7"}) == ["m7"]


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
async def test_a_notification_with_a_number_that_json_lacks_is_a_dead_letter(number: str) -> None:
    bus = Bus()
    said = {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "o", "objectGeneration": "1"}
    reply = await bus.push("uploads", f'{{"size": {number}}}'.encode(), said)
    assert (reply.status, [letter.code for letter in bus.letters]) == (204, ["message_rejected"])


@given(
    st.binary(max_size=200),
    st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=5),
    st.sampled_from(["orders", "uploads"]),
)
async def test_no_message_is_answered_with_a_fault_of_ours(data: bytes, attributes: dict[str, str], name: str) -> None:
    bus = Bus()
    named = {"content-type": attributes.get("", "é; charset=\x00"), **attributes}
    for each in (attributes, named):
        reply = await bus.push(name, data, each)
        assert reply.status in {200, 204}
    assert len(bus.posting.bus.sent) == 2
