"""Transform on AWS Lambda: batches of events from its queue, and documents for its named chains."""

import base64
import json

import pytest

from functions.transform.entry import Service
from functions.transform.lambda_handler import handle
from functions.transform.program import read_program
from shared.event import to_cloudevent
from shared.jsontext import JsonObject, texts_json
from shared.ports import BusMessage
from tests.aws.invoked import Context, FakeQueues, as_handed_over, failures, queue_event
from tests.fakes.bus import FakeBus
from tests.unit.transform.transform_bench import EVENT, Bench

CHAINS: JsonObject = {
    "clean": [{"drop": ["data.password"]}],
    "hex": [{"encode": {"to": "hex"}}],
    "a name": [],
    "broken": [{"set": {"data.a.b": 1}}],
}
MESSAGE = BusMessage(texts_json(to_cloudevent(EVENT)), {"ce-id": "e1"})


def invoke(
    event: JsonObject, bench: Bench | None = None, queues: FakeQueues | None = None, context: Context | None = None
) -> JsonObject:
    async def nobody(_: object) -> None:
        raise AssertionError("nobody pushes over HTTP here")

    chains = read_program({"routes": [], "chains": CHAINS}).chains
    service = Service((bench or Bench()).transformer, chains, None, nobody)
    return handle(as_handed_over(event), context or Context(), lambda: service, lambda: queues or FakeQueues())


def test_the_events_of_a_batch_are_transformed_and_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    assert failures(invoke(queue_event("hookchain-events", [MESSAGE]), bench)) == []
    assert [delivery.route for delivery in bench.deliveries] == ["tell the list", "tell the list", "audit"]
    assert len(bench.letters) == 1  # of the broken route
    *_, line = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["function"], line["outcome"], line["event_id"]) == ("transform", "routed", "e1")


def test_what_can_never_succeed_is_a_dead_letter_and_acknowledged() -> None:
    bench = Bench()
    assert failures(invoke(queue_event("events", [BusMessage(b"junk"), BusMessage(b"\xff"), MESSAGE]), bench)) == []
    assert len(bench.letters) == 3


def test_without_the_bus_the_events_come_again_later_each_time() -> None:
    bench, queues = Bench(bus=FakeBus()), FakeQueues()
    bench.bus.fault = "down"
    answer = invoke(queue_event("events", [MESSAGE], receives=2), bench, queues)
    assert [queues.postponed[str(name)] for name in failures(answer)] == [20]


@pytest.mark.parametrize(
    ("event", "status", "body"),
    [
        ({"chain": "clean", "body": '{"name": "Zoë", "password": "x"}'}, 200, '{"name":"Zoë"}'),
        ({"chain": "hex", "body": "hi", "headers": {"Content-Type": "text/plain"}}, 200, "6869"),
        (
            {
                "chain": "hex",
                "body": base64.b64encode(b"\xff\x00").decode(),
                "isBase64Encoded": True,
                "rawQueryString": "body=bytes",
            },
            200,
            "ff00",
        ),
        ({"chain": "a name", "body": "[1]"}, 200, "[1]"),
    ],
)
def test_a_document_goes_through_a_named_chain(event: JsonObject, status: int, body: str) -> None:
    answer = invoke(event)
    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (status, body, False)


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ({"chain": "nowhere"}, 404, "unknown_chain"),
        ({"chain": "../clean"}, 404, "unknown_chain"),
        ({"chain": None}, 404, "unknown_chain"),
        ({"chain": "half a pair \ud800"}, 404, "unknown_chain"),
        ({"chain": "clean", "body": "abc", "isBase64Encoded": True}, 400, "malformed_body"),
        ({"chain": "clean", "body": "é", "isBase64Encoded": True}, 400, "malformed_body"),
        ({"chain": "clean", "body": "half a pair \ud800"}, 400, "malformed_body"),
        ({"chain": "broken", "body": '{"a": 1}'}, 422, "path_conflict"),
        ({"chain": "clean", "body": "{", "headers": {"content-type": "application/json"}}, 400, "malformed_body"),
    ],
)
def test_a_document_that_cannot_go_through_is_answered_with_a_code(event: JsonObject, status: int, code: str) -> None:
    answer = invoke(event)
    assert (answer["statusCode"], json.loads(str(answer["body"]))["code"]) == (status, code)


@pytest.mark.parametrize("event", [{}, {"sweep": True}, {"requestContext": {"http": {"method": "POST"}}}])
def test_an_event_of_another_kind_is_an_error_that_says_so(event: JsonObject) -> None:
    with pytest.raises(ValueError, match="takes the messages of its queue"):
        invoke(event)


def test_whoever_may_call_chains_alone_can_push_no_event() -> None:
    bench, by_alias = Bench(), Context(invoked_function_arn=f"{Context().invoked_function_arn}:chains")
    with pytest.raises(PermissionError, match="only a chain can be called"):
        invoke(queue_event("events", [MESSAGE]), bench, context=by_alias)
    assert bench.bus.sent == []
    assert invoke({"chain": "a name", "body": "[1]"}, context=by_alias)["statusCode"] == 200
