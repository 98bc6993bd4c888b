"""A named chain asked by itself over HTTP."""

import gzip
import hashlib
import json
from typing import Final

import pytest

from functions.transform import entry
from functions.transform.program import read_program
from functions.transform.routes import Routes
from functions.transform.step import Services
from functions.transform.transform import Transformer
from shared.event import Event, to_cloudevent
from shared.http import Reply, Request
from shared.jsontext import Json, to_json
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.owners import FakeOwners
from tests.fakes.pushes import from_anybody
from tests.fakes.secrets import FakeSecrets

CHAINS: Final[Json] = {
    "plist": [{"convert": {"to": "plist"}}],
    "yaml": [{"convert": {"to": "yaml"}}],
    "from-yaml": [{"convert": {"from": "yaml", "to": "json"}}],
    "hex": [{"encode": {"to": "hex"}}],
    "md5": [{"digest": {"algorithm": "md5", "of": "body"}}],
    "clean": [{"drop": ["data.password"]}],
    "items": [{"split": "data.items"}],
    "paid": [{"filter": {"keep": "data.plan != 'free'", "reason": "a free plan"}}],
    "broken": [{"set": {"data.a.b": 1}}],
    "card": [{"fetch": {"url": "https://api.example.com/{{ data.card }}", "into": "data.details"}}],
}


def service() -> entry.Service:
    program = read_program({"routes": [], "chains": CHAINS})
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
        ("from-yaml", b'a: "no"\n', "text/plain", b'{"a":"no"}', "application/json"),
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


async def test_a_plist_comes_back_as_one() -> None:
    reply = await asked("plist", b'{"a": [true]}')

    assert reply.status == 200
    assert reply.body.startswith(b"<?xml")
    assert b"<true/>" in reply.body


async def test_the_body_as_it_came_is_digested_whatever_it_parses_to() -> None:
    body = b'{"a" : 1}'

    assert (await asked("md5", body)).body == hashlib.md5(body).hexdigest().encode()


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
        ("clean", b"", 400, "malformed_body"),
        ("clean", b"[" * 70 + b"]" * 70, 422, "nested_too_deeply"),
        ("broken", b'{"a": "hunter2"}', 422, "path_conflict"),
        ("paid", b'{"plan": "free"}', 422, "filtered"),
        ("card", b'{"card": "x"}', 503, "host_unreachable"),
    ],
)
async def test_a_problem_is_reported_with_a_code_and_without_the_value(
    chain: str, body: bytes, status: int, word: str
) -> None:
    reply = await asked(chain, body)

    assert code(reply) == (status, word)
    assert b"hunter2" not in reply.body
    assert b"route" not in reply.body, "a chain that is asked by itself is no route's"


async def test_a_chain_takes_a_post_and_no_loop() -> None:
    assert code(await asked("clean", b"{}", method="GET")) == (405, "method_not_allowed")
    assert code(await asked("clean", b"{}", hops=9)) == (422, "too_many_hops")
    assert (await asked("clean", b"{}", hops=8)).status == 200
    assert code(await asked("clean", b"[]", "application/cloudevents+json")) == (422, "malformed_event")
