"""The decision of receive, over fakes: what goes on to the bus, and what does not."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import itertools
import json
from contextlib import nullcontext
from dataclasses import asdict, replace
from urllib.parse import quote_plus

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.receive.receive import Receiver
from functions.receive.replies import Accepted
from functions.receive.source import read_sources
from shared.claim_check import checked_out
from shared.errors import HookchainError, Rejected, Temporary
from shared.event import Event, event_id, from_cloudevent
from shared.http import Reply, Request
from shared.jsontext import Json, canonical
from shared.ports import EVENTS
from shared.signatures.signing import hmac_signature
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets
from tests.fakes.virtual_time import run
from tests.posting import FORM, JSON, Posting, code

PASSWORD = "correct horse battery"
SECRETS = {
    "pass": PASSWORD,
    "key": "an hmac key of some length",
    "weak": "changeme",
    "two": f"newest-value\n{PASSWORD}\n",
}
SOURCES: dict[str, Json] = {
    "form": {"auth": [{"scheme": "basic", "username": "web", "secret": "pass"}]},
    "anyuser": {
        "auth": [
            {"scheme": "basic", "secret": "pass"},
            {"scheme": "header", "header": "x-webhook-password", "secret": "pass"},
        ]
    },
    "bearer": {"auth": [{"scheme": "bearer", "secret": "pass"}]},
    "path": {"auth": [{"scheme": "path", "secret": "pass"}]},
    "query": {"auth": [{"scheme": "query", "parameter": "token", "secret": "pass"}]},
    "open": {"auth": [{"scheme": "none"}], "id": "data.id", "actor": "data.user.name", "time": "data.at"},
    "typed": {"auth": [{"scheme": "none"}], "id": "data.id", "type": "header.x-type"},
    "hub": {
        "auth": [{"scheme": "hmac", "header": "x-hub-signature-256", "prefix": "sha256=", "secret": "key"}],
        "type": "header.x-github-event",
        "id": "header.x-github-delivery",
    },
    "weak": {"auth": [{"scheme": "bearer", "secret": "weak"}]},
    "lost": {"auth": [{"scheme": "bearer", "secret": "nowhere"}]},
    "rotated": {"auth": [{"scheme": "bearer", "secret": "two"}]},
    "small": {"auth": [{"scheme": "none"}], "max_body_bytes": 10},
    "kept": {"auth": [{"scheme": "basic", "secret": "pass"}], "keep_raw": "all"},
    "xml": {"auth": [{"scheme": "none"}], "unwrap": True},
    "same": {"auth": [{"scheme": "none"}], "dedupe": "body"},
}
DEFAULTS: dict[str, Json] = {"methods": ["POST"], "max_body_bytes": 1_048_576, "keep_raw": "no"}
JSON_TYPE = ("content-type", "application/json")


class Pipe:
    """A receiver over fakes, and what a test asks of it."""

    def __init__(self) -> None:
        self.bus = FakeBus()
        self.blobs = FakeBlobs()
        self.read = 0
        sources = read_sources(
            {"sources": {name: {**DEFAULTS, **s} for name, s in SOURCES.items() if isinstance(s, dict)}}
        )
        numbers = itertools.count()
        self.receiver = Receiver(
            sources, FakeSecrets(SECRETS), self.bus, self.blobs, FakeClock(), random_id=lambda: f"{next(numbers):032x}"
        )

    async def post(
        self, path: str, body: bytes = b"{}", *headers: tuple[str, str], method: str = "POST", query: str = ""
    ) -> Event:
        async def read_body(max_bytes: int) -> bytes:
            self.read += 1
            if len(body) > max_bytes:
                raise Rejected("body_too_large", "too large")
            return body

        head = Request(method, path, query, headers, peer="127.0.0.1")
        accepted = await self.receiver.receive(head, read_body)
        assert isinstance(accepted, Accepted)
        return accepted.events[0]

    async def code(
        self, path: str, body: bytes = b"{}", *headers: tuple[str, str], method: str = "POST", query: str = ""
    ) -> str:
        """The code with which it is not accepted; nothing was published then."""
        with pytest.raises(HookchainError) as rejection:
            await self.post(path, body, *headers, method=method, query=query)
        assert self.bus.sent == []
        return rejection.value.code


def basic(user: str, password: str = PASSWORD) -> tuple[str, str]:
    return "authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


async def test_an_accepted_request_is_one_confirmed_event(pipe: Pipe) -> None:
    event = await pipe.post("/form", b'{"event": "signup", "n": 1}', JSON_TYPE, basic("web"))
    [message] = pipe.bus.on(EVENTS)
    assert from_cloudevent(json.loads(message.data)) == event
    assert (event.type, event.source, event.data) == ("signup", "/sources/form", {"event": "signup", "n": 1})
    assert message.attributes == {"ce-id": event.id, "ce-type": "signup", "ce-source": "/sources/form"}


@pytest.mark.parametrize(
    ("path", "headers", "query"),
    [
        ("/form", [basic("web")], ""),
        ("/anyuser", [basic("whoever")], ""),
        ("/anyuser", [("x-webhook-password", PASSWORD)], ""),
        ("/bearer", [("authorization", f"Bearer {PASSWORD}")], ""),
        ("/path/correct%20horse%20battery", [], ""),
        ("/query", [], "token=correct%20horse%20battery"),
        ("/rotated", [("authorization", f"Bearer {PASSWORD}")], ""),
        ("/rotated", [("authorization", "Bearer newest-value")], ""),
        ("/open", [], ""),
        ("/%6Fpen", [], ""),
    ],
)
async def test_the_right_credentials_pass(pipe: Pipe, path: str, headers: list[tuple[str, str]], query: str) -> None:
    await pipe.post(path, b"{}", JSON_TYPE, *headers, query=query)
    assert len(pipe.bus.on(EVENTS)) == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/form", []),
        ("/form", [basic("web", "wrong")]),
        ("/form", [basic("other")]),
        ("/form", [("authorization", "Basic ====")]),
        ("/form", [("authorization", "Basic " + base64.b64encode(b"\xff\xfe").decode())]),
        ("/form", [("authorization", "Basic")]),
        ("/anyuser", [("x-webhook-password", PASSWORD + " ")]),
        ("/anyuser", [("x-webhook-password", "")]),
        ("/bearer", [("authorization", "Bearer ")]),
        ("/bearer", [("authorization", PASSWORD)]),
        ("/path", []),
        ("/path/wrong", []),
        ("/query", []),
    ],
)
async def test_wrong_credentials_are_rejected_before_the_body_is_read(
    pipe: Pipe, path: str, headers: list[tuple[str, str]]
) -> None:
    assert await pipe.code(path, b"{}", JSON_TYPE, *headers) == "password_mismatch"
    assert pipe.read == 0


async def test_a_forged_signature_is_rejected_before_the_body_is_parsed(pipe: Pipe) -> None:
    forged = hmac_signature(b"{", "another key", prefix="sha256=")
    assert await pipe.code("/hub", b"{", JSON_TYPE, ("x-hub-signature-256", forged)) == "signature_mismatch"


async def test_a_true_signature_over_a_broken_body_is_a_parse_fault(pipe: Pipe) -> None:
    true = hmac_signature(b"{", SECRETS["key"], prefix="sha256=")
    assert await pipe.code("/hub", b"{", JSON_TYPE, ("x-hub-signature-256", true)) == "malformed_body"


@pytest.mark.parametrize(("path", "code"), [("/lost", "secret_unavailable"), ("/weak", "secret_weak")])
async def test_a_secret_that_cannot_be_used_decides_nothing(pipe: Pipe, path: str, code: str) -> None:
    assert await pipe.code(path, b"{}", JSON_TYPE, ("authorization", "Bearer changeme")) == code


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/", "unknown_source"),
        ("/nobody", "unknown_source"),
        ("/form/extra", "unknown_source"),
        ("/path/a/b", "unknown_source"),
        ("/..%2f..%2fetc", "unknown_source"),
        ("/" + "a" * 4096, "unknown_source"),
        ("//form", "unknown_source"),
    ],
)
async def test_a_path_that_is_no_source_is_not_found(pipe: Pipe, path: str, code: str) -> None:
    assert await pipe.code(path, b"{}", JSON_TYPE) == code


@pytest.mark.parametrize("length", ["-1", "1e3", "ten", "", "9" * 30, "٣"])
async def test_an_impossible_length_is_rejected(pipe: Pipe, length: str) -> None:
    assert await pipe.code("/open", b"{}", JSON_TYPE, ("content-length", length)) == "invalid_content_length"


async def test_a_body_over_the_limit_is_rejected_by_its_announced_length_and_by_its_own(pipe: Pipe) -> None:
    assert await pipe.code("/small", b"{}", JSON_TYPE, ("content-length", "11")) == "body_too_large"
    assert pipe.read == 0
    assert await pipe.code("/small", b'{"a": 123}  ', JSON_TYPE) == "body_too_large"


async def test_a_compressed_body_that_no_header_announces_is_named(pipe: Pipe) -> None:
    with pytest.raises(Rejected, match="the body is gzip: the sender must say so") as rejection:
        await pipe.post("/open", gzip.compress(b"{}"), JSON_TYPE)
    assert rejection.value.code == "malformed_body"


async def test_the_same_delivery_id_is_the_same_event(pipe: Pipe) -> None:
    first = await pipe.post("/open", b'{"id": 7, "n": 1}', JSON_TYPE)
    second = await pipe.post("/open", b'{"id": 7, "n": 2}', JSON_TYPE)
    assert first.id == second.id == event_id("open", "7")
    assert first.payloadhash != second.payloadhash
    assert first.deliveryid == "7"


async def test_the_same_signed_bytes_are_the_same_event_whatever_an_unsigned_header_says() -> None:
    posting = Posting("a: {auth: {scheme: hmac, header: X-Sig, secret: key}, id: header.x-id}", {"key": PASSWORD})
    for body, sent_id in ((b"[1]", "1"), (b"[1]", "2"), (b"[2]", "1")):
        signature = hmac.new(PASSWORD.encode(), body, "sha256").hexdigest()
        assert (await posting.send("/a", body, ("x-sig", signature), ("x-id", sent_id))).status == 200
    first, repeated, other = (event.id for event in posting.events)
    assert first == repeated != other


async def test_the_log_of_a_rejection_names_headers_that_can_hold_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    posting = Posting("a: {auth: {scheme: hmac, header: X-Sig, secret: key}}", {"key": PASSWORD})
    await posting.send("/a", b"[1]", ("x-event", "canary"), ("x-12345678-canary", "1"))
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["headers"] == "x-event, other"
    assert "canary" not in json.dumps(line)


async def test_without_a_delivery_id_the_body_names_the_event_where_the_source_says_so(pipe: Pipe) -> None:
    ids = [(await pipe.post("/same", body, JSON_TYPE)).id for body in (b"[1]", b"[1]", b"[2]")]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("at", ["yesterday", "nan", "1e400", "", [1], "9" * 400])
async def test_a_time_that_is_none_is_left_out(pipe: Pipe, at: Json) -> None:
    assert (await pipe.post("/open", json.dumps({"at": at}).encode(), JSON_TYPE)).time is None


async def test_hostile_attributes_are_cut_and_cleaned(pipe: Pipe) -> None:
    event = await pipe.post("/open", json.dumps({"event": "a\x00b" + "x" * 1000}).encode(), JSON_TYPE)
    assert len(event.type) == 255
    assert event.type.isprintable()


async def test_the_kept_body_and_headers_hold_no_credential_and_nothing_that_was_not_sent(pipe: Pipe) -> None:
    added = ("function-execution-id", "sg8CgqhqZIQY")
    event = await pipe.post("/kept", b'{"a": 1}', JSON_TYPE, basic("web"), ("cookie", "s=1"), ("x-other", "yes"), added)
    assert event.rawbody == '{"a": 1}'
    assert event.rawheaders == '[["content-type","application/json"],["x-other","yes"]]'


async def test_a_body_that_is_not_utf8_is_kept_exactly(pipe: Pipe) -> None:
    content_type = "application/x-www-form-urlencoded; charset=iso-8859-1"
    event = await pipe.post("/kept", b"a=%E9&b=\xe9", ("content-type", content_type), basic("w"))
    assert event.data == {"a": "é", "b": "é"}
    assert base64.b64decode(event.rawbase64 or "") == b"a=%E9&b=\xe9"


async def test_a_large_event_rests_beside_the_bus(pipe: Pipe) -> None:
    event = await pipe.post("/open", json.dumps({"id": 1, "text": "x" * 300_000}).encode(), JSON_TYPE)
    [message] = pipe.bus.on(EVENTS)
    travelling = from_cloudevent(json.loads(message.data))
    assert travelling.data is None
    assert len(message.data) < 2_000
    content = await pipe.blobs.get(travelling.dataref or "")
    assert content is not None
    assert from_cloudevent(json.loads(content)) == event


async def test_an_id_used_again_for_a_large_body_overwrites_nothing(pipe: Pipe) -> None:
    """The first would be lost without a word, and the other delivered in its name."""
    bodies = [{"id": 1, "text": letter * 300_000} for letter in "xyx"]
    for body in bodies:
        await pipe.post("/open", json.dumps(body).encode(), JSON_TYPE)
    travelling = [from_cloudevent(json.loads(message.data)) for message in pipe.bus.on(EVENTS)]
    assert len({event.id for event in travelling}) == 1
    assert [(await checked_out(event, pipe.blobs)).data for event in travelling] == bodies


async def test_a_bus_that_rejects_is_a_503_not_a_loss_in_silence(pipe: Pipe) -> None:
    pipe.bus.fault = "down"
    with pytest.raises(Temporary):
        await pipe.post("/open", b"{}", JSON_TYPE)


async def test_a_bus_that_hangs_is_given_up_on_within_the_promised_time(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HangingBus(FakeBus):
        async def publish(self, topic: str, messages: object) -> None:
            await asyncio.sleep(3600)

    monkeypatch.setattr("functions.receive.receive.CONFIRM_SECONDS", 0.01)
    pipe.receiver = replace(pipe.receiver, bus=HangingBus())
    with pytest.raises(Temporary) as trouble:
        await pipe.post("/open", b"{}", JSON_TYPE)
    assert trouble.value.code == "bus_unavailable"


async def test_a_slow_secret_store_leaves_the_bus_less_time(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowSecrets(FakeSecrets):
        async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
            await asyncio.sleep(0.05)
            return await super().values(name, fresh=fresh)

    class SlowBus(FakeBus):
        async def publish(self, topic: str, messages: object) -> None:
            await asyncio.sleep(0.08)

    monkeypatch.setattr("functions.receive.receive.CONFIRM_SECONDS", 0.1)
    pipe.receiver = replace(pipe.receiver, secrets=SlowSecrets(SECRETS), bus=SlowBus())
    with pytest.raises(Temporary):
        await pipe.post("/bearer", b"{}", JSON_TYPE, ("authorization", f"Bearer {PASSWORD}"))


@pytest.mark.parametrize(("bus_seconds", "is_confirmed"), [(3.7, True), (3.9, False)])
def test_a_slow_sender_leaves_the_bus_its_whole_time(pipe: Pipe, bus_seconds: float, is_confirmed: bool) -> None:
    class SlowBus(FakeBus):
        async def publish(self, topic: str, messages: object) -> None:
            await asyncio.sleep(bus_seconds)

    async def read_body(_: int) -> bytes:
        await asyncio.sleep(9)
        return b"{}"

    pipe.receiver = replace(pipe.receiver, bus=SlowBus())
    with nullcontext() if is_confirmed else pytest.raises(Temporary):
        run(pipe.receiver.receive(Request("POST", "/open", "", (JSON_TYPE,), peer="127.0.0.1"), read_body))


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


async def test_without_ids_the_bodys_hash_and_the_number_tell_them_apart_where_the_source_says_so() -> None:
    one = await batch("batch: 'data.*', dedupe: body", [1, 1])
    two = await batch("batch: 'data.*', dedupe: body", [1, 1])
    assert [event.id for event in one.events] == [event.id for event in two.events]
    assert len({event.id for event in one.events}) == 2


@pytest.mark.parametrize(("items", "status"), [(5_000, 200), (5_001, 422)])
async def test_a_batch_has_a_bound(items: int, status: int) -> None:
    posting = Posting("a: {auth: none, batch: 'data.*'}")
    reply = await posting.send("/a", json.dumps([0] * items).encode(), JSON)
    assert (reply.status, len(posting.events)) == (status, items if status == 200 else 0)
    if status == 422:
        assert code(reply) == "too_many_items"


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


TOKEN = "a-token-that-is/long enough"
TOKENS = {"key": TOKEN}


def hmac_of(body: bytes) -> str:
    return hmac.new((TOKEN * 2).encode(), body, "sha256").hexdigest()


def source(at: str, more: str = "") -> str:
    return f"s: {{auth: {{scheme: token, at: {at}, secret: key}}, keep_raw: true{more}}}"


@pytest.mark.parametrize(
    ("at", "sent", "data"),
    [
        ("data.token", {"token": TOKEN, "n": 1}, {"n": 1}),
        ("data.a.token", {"a": {"token": TOKEN, "b": 2}}, {"a": {"b": 2}}),
        ("data.a.*.token", {"a": [{"token": TOKEN, "b": 1}, {"token": TOKEN}]}, {"a": [{"b": 1}, {}]}),
        ("data.a.1", {"a": ["x", TOKEN]}, {"a": ["x", None]}),
    ],
)
async def test_a_token_in_a_body_is_removed_before_the_body_is_kept(at: str, sent: Json, data: Json) -> None:
    posting = Posting(source(at), TOKENS)
    assert (await posting.send("/s", json.dumps(sent).encode(), JSON)).status == 200
    [event] = posting.events
    assert event.data == data
    assert TOKEN not in str(asdict(event))
    assert "[removed]" in (event.rawbody or "")


async def test_a_body_in_which_the_token_is_escaped_is_not_kept_as_it_came() -> None:
    posting = Posting(source("form.token"), TOKENS)
    body = b"token=a-token-that-is%2Flong+enough&n=1"
    assert (await posting.send("/s", body, FORM)).status == 200
    [event] = posting.events
    assert (event.data, event.rawbody, event.rawbase64) == ({"n": "1"}, None, None)


async def test_each_item_of_a_batch_is_without_it() -> None:
    posting = Posting("s: {provider: microsoft_graph, secret: key}", TOKENS)
    item = {"clientState": TOKEN, "changeType": "updated", "id": "1"}
    await posting.send("/s", json.dumps({"value": [item, {**item, "id": "2"}]}).encode(), JSON)
    assert [event.data for event in posting.events] == [
        {"changeType": "updated", "id": "1"},
        {"changeType": "updated", "id": "2"},
    ]


@pytest.mark.parametrize(
    "copy",
    [
        "Bearer {0}",
        "{0}",
        f"Basic {base64.b64encode(b'user:' + TOKEN.encode()).decode()}",
        f"x={quote_plus(TOKEN)}",
        json.dumps(TOKEN).upper(),
        TOKEN.encode().hex(),
    ],
)
@pytest.mark.parametrize(
    ("auth", "presented"),
    [
        ("{scheme: bearer, secret: key}", ("authorization", f"Bearer {TOKEN}")),
        ("{scheme: header, header: X-Api-Key, secret: key}", ("x-api-key", TOKEN)),
    ],
)
async def test_a_password_that_a_proxy_copied_is_not_kept(auth: str, presented: tuple[str, str], copy: str) -> None:
    posting = Posting(f"s: {{auth: {auth}, keep_raw: true}}", TOKENS)
    text = copy.format(TOKEN)
    headers = (JSON, presented, ("x-forwarded-authorization", text), ("x-second", f"a{text}b"), ("x-other", "kept"))
    assert (await posting.send("/s", json.dumps({"n": text}).encode(), *headers)).status == 200
    [event] = posting.events
    kept = json.loads(event.rawheaders or "")
    assert ["x-other", "kept"] in kept
    shown = f"{event.rawheaders}{event.rawbody}".lower()
    assert shown.count("***") == 3
    for spelling in (TOKEN, quote_plus(TOKEN), TOKEN.encode().hex(), base64.b64encode(TOKEN.encode()).decode()[:20]):
        assert spelling.lower() not in shown


@pytest.mark.parametrize("header", ["authorization", "x-token"])
async def test_a_json_web_token_that_a_proxy_copied_is_not_kept_and_a_signatures_headers_are(header: str) -> None:
    token_auth = f"{{scheme: jwt, header: {header}, algorithms: HS256, secret: key, max_age: true}}"
    auth = f"[{token_auth}, {{scheme: hmac, header: X-Sig, secret: key}}]"
    posting = Posting(f"s: {{auth: {auth}, keep_raw: true}}", {"key": TOKEN * 2})
    token = jwt.encode({"iat": int(posting.clock.now())}, TOKEN * 2, algorithm="HS256")
    headers = (JSON, (header, f"Bearer {token}"), ("x-forwarded-authorization", f"Bearer {token}"))
    assert (await posting.send("/s", b"{}", *headers)).status == 200
    assert (await posting.send("/s", b"[]", JSON, ("x-sig", hmac_of(b"[]")), ("x-copy", hmac_of(b"[]")))).status == 200
    assert [json.loads(event.rawheaders or "")[1:] for event in posting.events] == [
        [["x-forwarded-authorization", "Bearer ***"]],
        [["x-copy", hmac_of(b"[]")]],
    ]


ANY_SECRETS = {"key": "a secret of some length, for all", "public": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
ANY_SOURCES = """
open: {auth: none, id: [data.id, header.x-id], type: [header.x-type + data.action], time: data.at, dedupe: body}
kept: {auth: none, keep_raw: true, methods: [POST, PUT, GET], unwrap: true, unpack: data.payload}
batch: {auth: none, batch: 'data.items.*.item', id: [data.id, body.id]}
checked: {auth: none, schema: {properties: {n: {multipleOf: 0.1}, u: {uniqueItems: true}, s: {pattern: '^a+$'}}}}
yaml: {auth: none, body: yaml}
said: {auth: none, respond: {status: 201, body: {id: '{{ id }}', x: 'x {{ data.a.b }}'}}}
office: {auth: none, allow: 203.0.113.0/24, trusted_proxies: 1}
typed: {auth: none, content_types: [application/json, '*+xml']}
go: {methods: [GET], auth: {scheme: link, secret: key}}
deep: {methods: [GET], auth: none}
form: {auth: none, form: {origins: https://a.example, honeypot: h, thanks: https://a.example/}}
in: {auth: [{scheme: basic, secret: key}, {scheme: path, secret: key}, {scheme: query, secret: key}]}
signed: {auth: [{scheme: hmac, header: x-sig, secret: key}, {scheme: standard-webhooks, secret: public}]}
github: {provider: github, secret: key}
slack: {provider: slack, secret: key}
"""
NAMES = [line.partition(":")[0] for line in ANY_SOURCES.strip().splitlines()]
METHODS = ["POST", "PUT", "GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "", "\x00"]
HEADERS = [
    *("content-type", "content-length", "content-encoding", "authorization", "x-sig", "origin", "referer"),
    *("x-forwarded-for", "x-forwarded-host", "x-type", "x-id", "webhook-id", "webhook-signature", "traceparent"),
    *("webhook-timestamp", "hookchain-hops", "x-hub-signature-256", "x-slack-signature", "host", "sec-purpose"),
]
VALUES = [
    *("application/json", "application/xml", "text/yaml", "application/x-www-form-urlencoded", "multipart/form-data"),
    *("gzip", "https://a.example", "203.0.113.9", "Basic Og==", "Basic OmFi", "v1,AAAA", "sha256=00", "1", "text/csv"),
    "application/x-plist",
]
LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.sampled_from(["a", "b", "id", "items", "item", "n", "u", "s", "payload", "h", "at"]), inner
            ),
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [b"<a><b>1</b></a>", b"a: &x [1]\nb: *x", b"a=1&a=2", b"a,b\n1,2", b"bplist00", b"[" * 300, b"\xff\xfe"]
    ),
)


@given(
    method=st.sampled_from(METHODS),
    path=st.one_of(st.sampled_from([f"/{name}" for name in NAMES]), st.sampled_from(NAMES).map("/{}/x".format), LATIN),
    query=LATIN,
    headers=st.lists(st.tuples(st.sampled_from(HEADERS), st.one_of(st.sampled_from(VALUES), LATIN)), max_size=5),
    body=BODIES,
    peer=st.sampled_from(["127.0.0.1", "203.0.113.9", "", "::1", "unix:"]),
)
def test_any_request_is_answered_and_never_with_a_fault(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes, peer: str
) -> None:
    reply = asyncio.run(POSTING.send(path, body, *headers, method=method, query=query, peer=peer))
    assert reply.status < 500, reply
    assert _can_be_sent(reply)


def _can_be_sent(reply: Reply) -> bool:
    return all("\n" not in value and "\r" not in value and value.encode("latin-1") for _, value in reply.headers)


@pytest.mark.parametrize("name", NAMES)
async def test_each_of_these_sources_is_there(name: str) -> None:
    assert (await POSTING.send(f"/{name}", b"{}")).status != 404


POSTING = Posting(ANY_SOURCES, ANY_SECRETS)
