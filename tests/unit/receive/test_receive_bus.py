"""Sources whose messages Pub/Sub pushes."""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, strategies as st

from functions.notify.destinations import bus as bus_kind
from functions.notify.destinations.object import object as object_kind
from functions.receive import messages
from functions.receive.lambda_handler import handle, take_messages
from shared.dead_letter_message import dead_letter_from
from shared.errors import Rejected, Temporary
from shared.event import Event, event_id
from shared.http import Reply, Request
from shared.journal import DeadLetter
from shared.jsontext import Json, JsonObject, to_json
from shared.ports import DEAD_LETTERS, BusMessage
from shared.push import VerifyPush
from tests.aws.invoked import Context, FakeQueues, failures, url_event
from tests.aws.sqs_stand_in import lambda_record
from tests.fakes.bus import FakeBus
from tests.in_process.posting import JSON, Posting, code
from tests.unit.notify.http_kinds import delivery_of, request_of

SOURCES: Final = """
orders: {bus: {pubsub: orders}, schema: {type: object}}
uploads: {bus: {bucket: my-files}}
jobs: {bus: {sqs: "arn:aws:sqs:eu-central-1:123456789012:jobs"}}
cloud: {bus: {eventbridge: {source: [com.example.shop]}}}
shop: {auth: none}
"""
JOBS: Final = "arn:aws:sqs:eu-central-1:123456789012:jobs"
CLOUD: Final = "arn:aws:sqs:eu-central-1:123456789012:hookchain-bus-cloud"
UPLOADS: Final = "arn:aws:sqs:eu-central-1:123456789012:hookchain-bus-uploads"
NOTIFICATION: Final = {
    "notificationConfig": "projects/_/buckets/my-files/notificationConfigs/1",
    "eventType": "OBJECT_FINALIZE",
    "payloadFormat": "JSON_API_V1",
    "bucketId": "my-files",
    "objectId": "in/é.csv",
    "objectGeneration": "1772366404",
    "eventTime": "2026-03-01T12:00:04.123456Z",
}
RESOURCE: Final[JsonObject] = {"kind": "storage#object", "name": "in/é.csv", "size": "12", "metageneration": "1"}
S3: Final[JsonObject] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "account": "111122223333",
    "time": "2026-03-01T12:00:04Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:s3:::my-files"],
    "detail": {
        "version": "0",
        "bucket": {"name": "my-files"},
        "object": {"key": "in/é.csv", "size": 12, "etag": "b1", "sequencer": "617f08299329d189"},
        "reason": "PutObject",
    },
}


async def nobody(_: Request) -> None:
    """Let every push in."""


async def rejecting(_: Request) -> None:
    raise Rejected("push_identity_mismatch", "not a push of this deployment")


async def unset(_: Request) -> None:
    raise Temporary("push_identity_unset", "not set")


class Bus:
    """Receive with these sources, met by a bus."""

    def __init__(self, verify: VerifyPush | None = nobody, bus: FakeBus | None = None) -> None:
        self.posting = Posting(SOURCES, bus=bus)
        self.posting.receiver.take_push = messages.push_taker(verify) if verify else None

    async def push(
        self, source: str, data: bytes, attributes: "dict[str, str] | None" = None, message_id: str = "m1"
    ) -> Reply:
        message: JsonObject = {
            "data": base64.b64encode(data).decode(),
            "attributes": {**(attributes or {})},
            "messageId": message_id,
        }
        body = to_json({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()
        return await self.posting.send(f"/{source}", body, JSON)

    def invoke(self, arn: str, *entries: JsonObject, queues: FakeQueues | None = None) -> list[Json]:
        """Return the ids of the messages that are to come again."""
        records: list[Json] = [{**lambda_record(each), "eventSourceARN": arn} for each in entries]
        answer = take_messages(
            {"Records": records}, Context(), lambda: self.posting.receiver, lambda: queues or FakeQueues()
        )
        return failures(answer)

    @property
    def events(self) -> list[Event]:
        return self.posting.events

    @property
    def letters(self) -> list[DeadLetter]:
        return [dead_letter_from(json.loads(each.data)) for each in self.posting.bus.on(DEAD_LETTERS)]


@pytest.fixture(autouse=True)
def _prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.receive.wiring.prefix", lambda: "hookchain-")


async def test_a_push_makes_an_event_of_its_message_whose_id_is_the_buses() -> None:
    bus = Bus()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    attributes = {"ce-type": "order.created", "ce-subject": "1042", "hookchain-hops": "3", "traceparent": trace}
    for _ in range(2):
        assert (await bus.push("orders", b'{"total": 12}', attributes)).status == 200
    event, again = bus.events
    assert event.id == again.id == event_id("orders", "m1")
    assert (event.type, event.subject, event.data) == ("order.created", "1042", {"total": 12})
    assert (event.deliveryid, event.hops, event.traceparent) == ("m1", 3, trace)


async def test_nobody_else_can_push() -> None:
    for verify, status in ((rejecting, 401), (None, 401), (unset, 503)):
        bus = Bus(verify)
        assert (await bus.push("orders", b"{}")).status == status
        assert bus.posting.bus.sent == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"message": {"data": "?"}}'])
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


def test_an_object_in_a_bucket_is_the_same_event_on_both_clouds() -> None:
    bus = Bus()
    asyncio.run(bus.push("uploads", json.dumps(RESOURCE).encode(), NOTIFICATION))
    assert bus.invoke(UPLOADS, {"MessageBody": json.dumps(S3)}) == []

    google, amazon = bus.events
    for event in (google, amazon):
        assert (event.type, event.subject) == ("finalize", "in/é.csv")
        assert (event.time or "").startswith("2026-03-01T12:00:04")
        assert isinstance(event.data, dict)
        named = {name: event.data[name] for name in ("event", "bucket", "name", "size")}
        assert named == {"event": "finalize", "bucket": "my-files", "name": "in/é.csv", "size": 12}
    assert amazon.deliveryid == S3["id"]


async def test_cloud_storage_that_tells_twice_of_one_change_makes_one_event() -> None:
    bus = Bus()
    for message_id in ("m1", "m2"):
        await bus.push("uploads", json.dumps(RESOURCE).encode(), NOTIFICATION, message_id)
    changed = {**NOTIFICATION, "eventType": "OBJECT_METADATA_UPDATE"}
    await bus.push("uploads", json.dumps({**RESOURCE, "metageneration": "2"}).encode(), changed)

    first, second, third = (event.id for event in bus.events)
    assert first == second != third


@pytest.mark.parametrize(
    ("data", "attributes"),
    [
        (b"{}", {}),
        (b"[]", NOTIFICATION),
        (b'{"size": NaN}', NOTIFICATION),
        (b"{}", {**NOTIFICATION, "eventType": "OBJECT_MELTED"}),
        (b'{"detail-type": "Object Created", "id": "1", "detail": {"bucket": [], "object": {"key": 1}}}', {}),
    ],
)
async def test_what_is_no_notification_of_a_bucket_is_a_dead_letter(data: bytes, attributes: dict[str, str]) -> None:
    bus = Bus()
    assert (await bus.push("uploads", data, attributes)).status == 204
    assert [letter.code for letter in bus.letters] == ["message_rejected"]


def test_a_queue_brings_messages_with_their_attributes() -> None:
    bus = Bus()
    attributes: JsonObject = {"ce-type": {"DataType": "String", "StringValue": "job.done"}}
    assert bus.invoke(JOBS, {"MessageBody": '{"n": 1}', "MessageId": "m1", "MessageAttributes": attributes}) == []
    [event] = bus.events
    assert (event.source_name, event.type, event.deliveryid, event.data) == ("jobs", "job.done", "m1", {"n": 1})


def test_eventbridge_brings_events_whose_id_is_its_own() -> None:
    bus = Bus()
    sent: JsonObject = {"id": "e7", "detail-type": "order.created", "time": "2026-03-01T12:00:04Z", "detail": {"n": 1}}
    entries: list[JsonObject] = [{"MessageBody": json.dumps(sent), "MessageId": each} for each in ("m1", "m2")]
    assert bus.invoke(CLOUD, *entries) == []
    first, second = bus.events
    assert first.id == second.id == event_id("cloud", "e7")
    assert (first.type, first.time) == ("order.created", "2026-03-01T12:00:04.000Z")


def test_a_bad_message_is_a_dead_letter_and_what_the_bus_does_not_confirm_comes_again_later() -> None:
    bus, queues = Bus(bus=FakeBus()), FakeQueues()
    assert bus.invoke(CLOUD, {"MessageBody": "{"}, {"MessageBody": '{"id": "e1"}', "MessageId": "m2"}) == []
    assert (len(bus.letters), len(bus.events)) == (1, 1)
    bus.posting.bus.fault = "down"
    assert bus.invoke(JOBS, {"MessageBody": "{}", "MessageId": "m1"}, queues=queues) == ["m1"]
    assert len(queues.postponed) == 1


@pytest.mark.parametrize("queue", ["other", "hookchain-bus-jobs", "hookchain-bus-orders-2"])
def test_a_queue_of_no_source_keeps_its_messages(queue: str) -> None:
    bus = Bus()
    arn = f"arn:aws:sqs:eu-central-1:123456789012:{queue}"
    assert bus.invoke(arn, {"MessageBody": "{}", "MessageId": "m1"}) == ["m1"]
    assert bus.posting.bus.sent == []


def test_a_request_to_the_url_never_passes_as_messages() -> None:
    bus = Bus()
    event = url_event(Request("POST", "/shop", "", (JSON,), b'{"Records": [{"eventSourceARN": "x"}]}'))
    event["Records"] = [{"eventSourceARN": JOBS, "body": "{}", "messageId": "m1"}]
    assert handle(event, Context(), lambda: bus.posting.receiver)["statusCode"] == 200
    assert [each.source_name for each in bus.events] == ["shop"]


def _from_eventbridge(hops: int) -> JsonObject:
    """Return the event that a rule of EventBridge hands to a queue, for one that a destination has published."""
    delivery = delivery_of({"n": 1})
    delivery = replace(delivery, event=replace(delivery.event, hops=hops))
    settings: JsonObject = {"eventbridge": "arn:aws:events:eu-central-1:123456789012:event-bus/default"}
    [entry] = json.loads(request_of(bus_kind, settings, delivery).body)["Entries"]
    detail = json.loads(entry["Detail"])
    return {"id": "e1", "detail-type": entry["DetailType"], "resources": entry["Resources"], "detail": detail}


@pytest.mark.parametrize("arn", [CLOUD, JOBS])
def test_a_destination_that_feeds_a_source_adds_a_hop(arn: str) -> None:
    bus = Bus()
    assert bus.invoke(arn, {"MessageBody": json.dumps(_from_eventbridge(3))}) == []
    assert [event.hops for event in bus.events] == [4]


async def test_an_object_that_a_destination_wrote_into_the_bucket_of_a_source_adds_a_hop() -> None:
    delivery = delivery_of({"n": 1})
    delivery = replace(delivery, event=replace(delivery.event, hops=3))
    upload = request_of(object_kind, {"bucket": "gs://my-files"}, delivery).body
    described = json.loads(upload.split(b"\r\n")[3])
    bus = Bus()
    await bus.push("uploads", json.dumps({**RESOURCE, "metadata": described["metadata"]}).encode(), NOTIFICATION)
    assert [event.hops for event in bus.events] == [4]


@pytest.mark.parametrize(
    ("document", "hops"),
    [
        ({"Type": "Notification", "MessageAttributes": {"hookchain-hops": {"Type": "String", "Value": "4"}}}, 4),
        ({"MessageAttributes": {"hookchain-hops": {"Value": "\ud800"}}}, 0),
        ({"resources": "urn:hookchain:hops:1"}, 0),
        ({"resources": [1, "urn:hookchain:hops:1000", "urn:hookchain:hops:x"]}, 0),
        (["urn:hookchain:hops:1"], 0),
    ],
)
def test_hops_are_read_where_a_service_puts_them_and_nowhere_else(document: Json, hops: int) -> None:
    bus = Bus()
    assert bus.invoke(JOBS, {"MessageBody": json.dumps(document)}) == []
    assert [event.hops for event in bus.events] == [hops]
