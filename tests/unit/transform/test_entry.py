"""A pushed event, answered and logged: what is acknowledged, and what comes again."""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from functions.transform import entry
from functions.transform.entry import Service
from functions.transform.lambda_handler import handle
from functions.transform.program import read_program
from functions.transform.routes import Routes
from functions.transform.step import Services
from functions.transform.transform import Transformer
from shared.errors import Temporary
from shared.event import Event, to_cloudevent
from shared.fetch import Fetched
from shared.http import Reply, Request
from shared.jsontext import Json, JsonObject, texts_json, to_json
from shared.ports import BusMessage
from tests.aws.invoked import Context, FakeQueues, as_handed_over, failures, queue_event
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.pushes import from_anybody
from tests.fakes.secrets import FakeSecrets
from tests.unit.transform.transform_bench import EVENT, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def pushed(data: bytes) -> bytes:
    return to_json({"message": {"data": base64.b64encode(data).decode(), "messageId": "m1"}}).encode()


PUSH = pushed(to_json(to_cloudevent(EVENT)).encode())


async def test_what_the_bus_confirmed_is_acknowledged(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    reply = await bench.push(PUSH)

    assert (reply.status, reply.body) == (204, b"")
    failed, done = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (failed["message"], failed["route"], failed["code"]) == ("dead lettered", "broken", "path_conflict")
    assert (done["message"], done["outcome"], done["count"], done["event_id"]) == ("transformed", "routed", 3, "e1")


@pytest.mark.parametrize(
    ("route", "outcome", "reason"),
    [
        ({"types": ["order.*"]}, "no_route", "route 'r': the type does not match order.*"),
        ({"from": ["other"]}, "no_route", "none of 1 routes is for this source"),
        ({"steps": [{"filter": "data.paid"}]}, "filtered", "route 'r': step 1 'filter': data.paid is not true"),
        ({"steps": [{"set": {"data.plan.x": 1}}]}, "dead_lettered", ""),
        (
            {"steps": [{"set": {"data.plan.x": 1}}], "on_error": "drop"},
            "filtered",
            "route 'r': failed (path_conflict), and dropped as `on_error` says",
        ),
    ],
)
async def test_the_log_says_why_nothing_is_owed_without_any_text_of_the_event(
    bench: Bench, capsys: pytest.CaptureFixture[str], route: JsonObject, outcome: str, reason: str
) -> None:
    bench.routes = [{"name": "r", "to": ["crm"], **route}]
    event = replace(EVENT, type="card 4111 1111 1111 1111")

    await bench.push(pushed(to_json(to_cloudevent(event)).encode()))

    *_, line = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["outcome"], line.get("reason", "")) == (outcome, reason)
    assert "4111" not in line.get("reason", "")


async def test_without_the_bus_nothing_is_acknowledged(bench: Bench) -> None:
    bench.bus.fault = "down"

    assert (await bench.push(PUSH)).status == 503
    assert (await bench.push(pushed(b"junk"))).status == 503


async def test_a_fault_of_ours_is_not_acknowledged(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    class BrokenBus(FakeBus):
        async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
            raise ZeroDivisionError("hunter2")

    bench.bus = BrokenBus()

    assert (await bench.push(PUSH)).status == 503
    written = capsys.readouterr().out
    assert "ZeroDivisionError at test_entry.py" in written
    assert "hunter2" not in written


@pytest.mark.parametrize(
    ("method", "body", "status"), [("GET", b"", 405), ("POST", b'{"message": {"data": "!"}}', 400)]
)
async def test_what_is_no_push_is_rejected(bench: Bench, method: str, body: bytes, status: int) -> None:
    reply = await bench.push(body, method)

    assert reply.status == status
    assert bench.bus.sent == []


@pytest.mark.parametrize("path", ["/", "/chains/clean"])
async def test_no_sites_page_makes_events_through_a_browser_on_this_machine(bench: Bench, path: str) -> None:
    reply = await bench.push(PUSH, path=path, headers=(("origin", "https://elsewhere.example"),))

    assert (reply.status, bench.bus.sent) == (403, [])


def outside(answers: dict[str, Fetched] | None = None) -> Services:
    return Services(FakeSecrets({}), lambda: FakeFetch(answers), FakeOwners(), None)


FETCHING: Json = [{"fetch": {"url": "https://api.example.com/x", "into": "data.x"}}]


async def test_a_route_whose_secret_cannot_be_read_holds_back_no_other_and_brings_the_event_again(bench: Bench) -> None:
    bench.services = outside()
    signed: Json = [{"fetch": {"url": "https://api.example.com/x", "into": "data.x", "secret": "no-such-key"}}]
    bench.routes = [{"name": "asks", "steps": signed, "to": ["crm"]}, {"name": "audit", "to": ["crm"]}]

    with pytest.raises(Temporary, match="route 'asks': step 1 'fetch'"):
        await bench.take()

    assert [delivery.route for delivery in bench.deliveries] == ["audit"]
    assert bench.letters == []
    assert [(route.matched, route.code, route.destinations) for route in bench.journaled.routes] == [
        (True, None, ("crm",)),
        (True, None, ("crm",)),
    ]
    assert "to come again: route 'asks': step 1 'fetch'" in bench.journaled.routes[0].reason
    assert (await bench.push(PUSH)).status == 503


async def test_a_route_that_waits_is_acknowledged_and_logged(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.services = outside()
    bench.routes = [{"name": "asks", "steps": FETCHING, "to": ["crm"]}]

    assert (await bench.push(PUSH)).status == 204

    waiting, transformed = map(json.loads, capsys.readouterr().out.splitlines())
    assert (waiting["outcome"], waiting["route"], waiting["code"]) == ("waiting", "asks", "host_unreachable")
    assert waiting["reason"].startswith("route 'asks': step 1 'fetch': api.example.com")
    assert (transformed["outcome"], transformed["count"]) == ("waiting", 0)


async def test_a_duplicate_is_acknowledged_and_logged(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for facts in ("one", "two"):
        event = replace(EVENT, signedas=f"bytes.{facts}")
        assert (await bench.push(pushed(to_json(to_cloudevent(event)).encode()))).status == 204

    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["outcome"], line["reason"], line["event_id"]) == ("duplicate", "same_signed_bytes", "e1")
    assert "dedupe: delivery_id" in line["detail"]


MESSAGE = BusMessage(texts_json(to_cloudevent(EVENT)), {"ce-id": "e1"})


def invoke(
    event: JsonObject, bench: Bench | None = None, queues: FakeQueues | None = None, context: Context | None = None
) -> JsonObject:
    async def nobody(_: object) -> None:
        raise AssertionError("nobody pushes over HTTP here")

    chains = read_program({"routes": [], "chains": NAMED_CHAINS}).chains
    service = Service((bench or Bench()).transformer, chains, None, nobody)
    return handle(as_handed_over(event), context or Context(), lambda: service, lambda: queues or FakeQueues())


def test_the_events_of_a_batch_are_transformed_and_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    assert failures(invoke(queue_event("hookchain-events", [MESSAGE]), bench)) == []
    assert [delivery.route for delivery in bench.deliveries] == ["tell the list", "tell the list", "audit"]
    assert len(bench.letters) == 1  # of the broken route
    *_, line = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["function"], line["outcome"], line["event_id"]) == ("transform", "routed", "e1")


def test_what_can_never_succeed_is_a_dead_letter_and_without_the_bus_the_others_come_again_later_each_time() -> None:
    bench, queues = Bench(bus=FakeBus()), FakeQueues()
    assert failures(invoke(queue_event("events", [BusMessage(b"junk"), BusMessage(b"\xff")]), bench)) == []
    assert len(bench.letters) == 2
    bench.bus.fault = "down"
    answer = invoke(queue_event("events", [MESSAGE], receives=2), bench, queues)
    assert [queues.postponed[str(name)] for name in failures(answer)] == [20]


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ({"chain": "clean", "body": '{"name": "Zoë", "password": "x"}'}, '{"name":"Zoë"}'),
        ({"chain": "hex", "body": "hi", "headers": {"Content-Type": "text/plain"}}, "6869"),
        ({"chain": "hex", "body": "/wA=", "isBase64Encoded": True, "rawQueryString": "body=bytes"}, "ff00"),
    ],
)
def test_a_document_goes_through_a_named_chain(event: JsonObject, body: str) -> None:
    answer = invoke(event)
    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (200, body, False)


@pytest.mark.parametrize("event", [{"sweep": True}, {"requestContext": {"http": {"method": "POST"}}}])
def test_an_event_of_another_kind_is_an_error_that_says_so(event: JsonObject) -> None:
    with pytest.raises(ValueError, match="takes the messages of its queue"):
        invoke(event)


def test_whoever_may_call_chains_alone_can_push_no_event() -> None:
    bench, by_alias = Bench(), Context(invoked_function_arn=f"{Context().invoked_function_arn}:chains")
    with pytest.raises(PermissionError, match="only a chain can be called"):
        invoke(queue_event("events", [MESSAGE]), bench, context=by_alias)
    assert bench.bus.sent == []
    assert invoke({"chain": "clean", "body": "{}"}, context=by_alias)["statusCode"] == 200


NAMED_CHAINS: Final[Json] = {
    "yaml": [{"convert": {"to": "yaml"}}],
    "hex": [{"encode": {"to": "hex"}}],
    "md5": [{"digest": {"algorithm": "md5", "of": "body"}}],
    "clean": [{"drop": ["data.password"]}],
    "items": [{"split": "data.items"}],
    "paid": [{"filter": {"keep": "data.plan != 'free'", "reason": "a free plan"}}],
    "broken": [{"set": {"data.a.b": 1}}],
    "card": [{"fetch": {"url": "https://api.example.com/{{ data.card }}", "into": "data.details"}}],
}


def service() -> entry.Service:
    program = read_program({"routes": [], "chains": NAMED_CHAINS})
    services = Services(FakeSecrets({}), lambda: FakeFetch(), FakeOwners(), None)
    transformer = Transformer(Routes(), FakeBus(), FakeBlobs(), None, FakeClock())
    return entry.Service(transformer, program.chains, services, from_anybody)


async def asked(
    name: str,
    body: bytes,
    content_type: str = "application/json",
    method: str = "POST",
    query: str = "",
    hops: int = 0,
    encoding: str = "identity",
) -> Reply:
    headers = (("content-type", content_type), ("hookchain-hops", str(hops)), ("content-encoding", encoding))
    return await entry.answer(service(), Request(method, f"/chains/{name}", query, headers), reading(body))


def code(reply: Reply) -> tuple[int, str]:
    assert ("content-type", "application/problem+json") in reply.headers
    return reply.status, json.loads(reply.body)["code"]


@pytest.mark.parametrize(
    ("chain", "body", "content_type", "answer", "answered_type"),
    [
        ("yaml", b'{"a": "no", "b": 1}', "application/json", b'a: "no"\nb: 1\n', "application/yaml"),
        ("clean", b'{"a": 1, "password": "x"}', "application/json", b'{"a":1}', "application/json"),
        ("clean", b"<r><a>1</a></r>", "application/xml", b'{"r":{"a":"1"}}', "application/json"),
        ("items", b'{"items": [1, 2]}', "application/json", b"[1,2]", "application/json"),
        ("hex", b"hello", "text/plain", b"68656c6c6f", "text/plain; charset=utf-8"),
    ],
)
async def test_the_document_comes_back_converted_with_its_content_type(
    chain: str, body: bytes, content_type: str, answer: bytes, answered_type: str
) -> None:
    reply = await asked(chain, body, content_type)

    assert (reply.status, reply.body) == (200, answer)
    assert reply.headers == (("content-type", answered_type),)


async def test_a_document_is_accepted_as_text_where_that_is_asked_for() -> None:
    reply = await asked("hex", b'{"a": 1', query="body=text")

    assert (reply.status, reply.body) == (200, b'{"a": 1'.hex().encode())
    assert code(await asked("hex", b"{}", query="body=txt")) == (400, "malformed_body")


async def test_a_compressed_document_is_accepted_as_what_it_was() -> None:
    body = b'{"a" : 1}'

    assert (await asked("md5", gzip.compress(body), encoding="gzip")).body == hashlib.md5(body).hexdigest().encode()
    assert code(await asked("md5", body, encoding="gzip")) == (400, "malformed_body")
    assert code(await asked("md5", body, encoding="br")) == (415, "unsupported_encoding")
    assert code(await asked("md5", gzip.compress(bytes(6_000_000)), encoding="gzip")) == (413, "decoded_body_too_large")


async def test_a_cloudevent_is_the_event_itself() -> None:
    event = Event("e7", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00", {"password": 1, "b": 2})
    reply = await asked("clean", to_json(to_cloudevent(event)).encode(), "application/cloudevents+json; charset=utf-8")

    assert (reply.status, reply.body) == (200, b'{"b":2}')


async def test_a_cloudevent_with_half_a_surrogate_pair_has_no_document() -> None:
    event = Event("e7", "/sources/crm", "lead.created", "2026-03-01T12:00:00.000Z", "00", {"a": "\ud800"})
    body = to_json(to_cloudevent(event)).encode("utf-8", "backslashreplace")

    assert code(await asked("clean", body, "application/cloudevents+json")) == (422, "invalid_output")


@pytest.mark.parametrize(
    ("chain", "body", "status", "word"),
    [
        ("nothing", b"{}", 404, "unknown_chain"),
        ("clean", b"{", 400, "malformed_body"),
        ("clean", b"[" * 70 + b"]" * 70, 422, "nested_too_deeply"),
        ("broken", b'{"a": "hunter2"}', 422, "path_conflict"),
        ("paid", b'{"plan": "free"}', 422, "filtered"),
        ("card", b'{"card": "x"}', 503, "host_unreachable"),
    ],
)
async def test_a_problem_is_reported_without_the_value(chain: str, body: bytes, status: int, word: str) -> None:
    reply = await asked(chain, body)

    assert code(reply) == (status, word)
    assert b"hunter2" not in reply.body
    assert b"route" not in reply.body, "a chain that is asked by itself is no route's"


async def test_a_chain_takes_a_post_and_no_loop() -> None:
    assert code(await asked("clean", b"{}", method="GET")) == (405, "method_not_allowed")
    assert code(await asked("clean", b"{}", hops=9)) == (422, "too_many_hops")
    assert (await asked("clean", b"{}", hops=8)).status == 200
    assert code(await asked("clean", b"[]", "application/cloudevents+json")) == (422, "malformed_event")
