"""The decision of receive, over fakes: what goes on to the bus, and what does not."""

import asyncio
import base64
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from urllib.parse import quote_plus

import jwt
import pytest
from hypothesis import given, strategies as st

from functions.receive.flood_limits import MAX_TOKENS, MAX_UNCONFIRMED
from shared.claim_check import checked_out
from shared.errors import HookchainError, Temporary
from shared.event import Event, event_id
from shared.http import ReadBody, Reply, Request
from shared.jsontext import Json, JsonObject, canonical
from shared.ports import EVENTS, BusMessage
from shared.signatures.signing import hmac_signature
from shared.time_bound import Deadlines
from shared.times import unix_seconds
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.secrets import FakeSecrets
from tests.fakes.virtual_time import run
from tests.in_process.posting import FORM, JSON, Posting, basic, code, header
from tests.unit.shared.json_values import json_values

PASSWORD = "correct horse battery"
SECRETS = {
    "pass": PASSWORD,
    "key": "an hmac key of some length",
    "weak": "changeme",
    "two": f"newest-value\n{PASSWORD}\n",
}
SOURCES = """
form: {auth: {scheme: basic, username: web, secret: pass}, keep_raw: true}
anyuser: {auth: [{scheme: basic, secret: pass}, {scheme: header, header: x-webhook-password, secret: pass}]}
path: {auth: {scheme: path, secret: pass}}
query: {auth: {scheme: query, parameter: token, secret: pass}}
open: {auth: none, id: data.id, time: data.at}
hub: {auth: {scheme: hmac, header: x-sig, secret: key}, id: header.x-id}
weak: {auth: {scheme: bearer, secret: weak}}
lost: {auth: {scheme: bearer, secret: nowhere}}
rotated: {auth: {scheme: bearer, secret: two}}
small: {auth: none, max_body_bytes: 10}
same: {auth: none, dedupe: body}
"""


@pytest.fixture(scope="module")
def compiled() -> Posting:
    return Posting(SOURCES, SECRETS)


@pytest.fixture
def posting(compiled: Posting) -> Posting:
    compiled.bus.sent.clear()
    return compiled


async def accepted(posting: Posting, path: str, body: Json, *headers: tuple[str, str]) -> Event:
    reply = await posting.send(path, json.dumps(body).encode(), *(headers or (JSON,)))
    assert reply.status == 200, reply.body
    return posting.events[-1]


async def rejection(
    posting: Posting, path: str, body: bytes, *headers: tuple[str, str], read_body: ReadBody | None = None
) -> str:
    """Return the code with which the request is not accepted. Nothing was published then."""
    head = Request("POST", path, "", (JSON, *headers), peer="127.0.0.1")
    with pytest.raises(HookchainError) as caught:
        await posting.receiver.receive(head, read_body or reading(body))
    assert posting.bus.sent == []
    return caught.value.code


async def unread(_: int) -> bytes:
    raise AssertionError("the body was read")


async def test_an_accepted_request_is_one_confirmed_event(posting: Posting) -> None:
    event = await accepted(posting, "/form", {"event": "signup", "n": 1}, JSON, basic("web", PASSWORD))
    [message] = posting.bus.on(EVENTS)
    assert (event.type, event.source, event.data) == ("signup", "/sources/form", {"event": "signup", "n": 1})
    assert message.attributes == {"ce-id": event.id, "ce-type": "signup", "ce-source": "/sources/form"}


@pytest.mark.parametrize(
    ("path", "headers", "query"),
    [
        ("/form", [basic("web", PASSWORD)], ""),
        ("/anyuser", [basic("whoever", PASSWORD)], ""),
        ("/anyuser", [("x-webhook-password", PASSWORD)], ""),
        ("/path/correct%20horse%20battery", [], ""),
        ("/query", [], "token=correct%20horse%20battery"),
        ("/rotated", [("authorization", f"Bearer {PASSWORD}")], ""),
        ("/rotated", [("authorization", "Bearer newest-value")], ""),
        ("/%6Fpen", [], ""),
    ],
)
async def test_right_credentials_pass(posting: Posting, path: str, headers: list[tuple[str, str]], query: str) -> None:
    assert (await posting.send(path, b"{}", JSON, *headers, query=query)).status == 200
    assert len(posting.events) == 1


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/form", [], "password_mismatch"),
        ("/form", [basic("web", "wrong")], "password_mismatch"),
        ("/form", [basic("other", PASSWORD)], "password_mismatch"),
        ("/form", [("authorization", "Basic " + base64.b64encode(b"\xff\xfe").decode())], "password_mismatch"),
        ("/anyuser", [("x-webhook-password", PASSWORD + " ")], "password_mismatch"),
        ("/anyuser", [("x-webhook-password", "")], "password_mismatch"),
        ("/rotated", [("authorization", "Bearer ")], "password_mismatch"),
        ("/rotated", [("authorization", PASSWORD)], "password_mismatch"),
        ("/path", [], "password_mismatch"),
        ("/path/wrong", [], "password_mismatch"),
        ("/query", [], "password_mismatch"),
        ("/lost", [("authorization", "Bearer changeme")], "secret_unavailable"),
        ("/weak", [("authorization", "Bearer changeme")], "secret_weak"),
        *((path, [], "unknown_source") for path in ("/", "/form/extra", "/path/a/b", "//form")),
        *(("/open", [("content-length", n)], "invalid_content_length") for n in ("-1", "1e3", "", "9" * 30, "٣")),
        ("/small", [("content-length", "11")], "body_too_large"),
    ],
)
async def test_a_head_that_fails_is_rejected_before_the_body_is_read(
    posting: Posting, path: str, headers: list[tuple[str, str]], code: str
) -> None:
    assert await rejection(posting, path, b"", *headers, read_body=unread) == code


async def test_a_body_without_an_announced_length_is_rejected_by_its_own(posting: Posting) -> None:
    assert await rejection(posting, "/small", b'{"a": 123}  ') == "body_too_large"


async def test_a_signature_is_verified_before_the_body_is_parsed(posting: Posting) -> None:
    forged, true = hmac_signature(b"{", "another key"), hmac_signature(b"{", SECRETS["key"])
    assert await rejection(posting, "/hub", b"{", ("x-sig", forged)) == "signature_mismatch"
    assert await rejection(posting, "/hub", b"{", ("x-sig", true)) == "malformed_body"


async def test_a_compressed_body_that_no_header_announces_is_named(posting: Posting) -> None:
    reply = await posting.send("/open", gzip.compress(b"{}"), JSON)
    assert (reply.status, code(reply)) == (400, "malformed_body")
    assert b"the body is gzip: the sender must say so" in reply.body


async def test_the_same_delivery_id_is_the_same_event(posting: Posting) -> None:
    first, second = [await accepted(posting, "/open", {"id": 7, "n": n}) for n in (1, 2)]
    assert first.id == second.id == event_id("open", "7")
    assert first.payloadhash != second.payloadhash
    assert first.deliveryid == "7"


async def test_a_rejections_log_names_harmless_headers(posting: Posting, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "mfkq9r8gkyqrtwjupd8ilpzio2lalasw"  # entered as the header's name
    await posting.send("/hub", b"[1]", ("x-event", "canary"), ("x-12345678-canary", "1"), (secret, "x-token"))
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["headers"] == "x-event, other"
    assert "canary" not in json.dumps(line)
    assert secret not in json.dumps(line)


async def test_without_a_delivery_id_the_body_names_the_event_where_the_source_says_so(posting: Posting) -> None:
    ids = [(await accepted(posting, "/same", {"n": n})).id for n in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        *((text, 1_772_366_405) for text in ("2026-03-01T13:00:05+01:00", "20260301T120005Z", "1772366405")),
        *((text, 1_772_366_405) for text in ("2026-03-01 12:00:05 UTC", "2026-03-01 13:00:05 +0100")),
        *((at, 1_772_366_405) for at in ("2026-03-01 07:00:05 -0500", 1_772_366_405, 1_772_366_405_000)),
        (99_999_999_999, 99_999_999_999),
        (100_000_000_000, 100_000_000),  # from here on, numbers are milliseconds
        *((none, None) for none in ("yesterday", "nan", "1e400", [1], "9" * 400)),
    ],
)
async def test_a_time_is_rfc_3339_or_unix_seconds_or_milliseconds_and_is_left_out_otherwise(
    posting: Posting, at: Json, seconds: float | None
) -> None:
    time = (await accepted(posting, "/open", {"at": at})).time
    assert (time and unix_seconds(time)) == seconds


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ({"action": "d", "event_type": "c", "type": "b", "event": "a"}, "a"),
        ({"action": "d", "event_type": "c", "type": "b", "event": ""}, "b"),
        ({"action": "d", "event_type": "c"}, "c"),
        ({"order": {"action": "d"}}, "d"),
        ({"type": True}, "received"),
    ],
)
async def test_without_a_setting_the_type_is_one_of_four_fields(posting: Posting, body: JsonObject, type_: str) -> None:
    assert (await accepted(posting, "/open", body)).type == type_


async def test_what_is_not_confirmed_says_when_to_send_it_again() -> None:
    posting = Posting(SOURCES, SECRETS)
    posting.bus.fault = "down"
    reply = await posting.send("/open", b"{}")
    assert (reply.status, header(reply, "retry-after")) == (503, "5")


async def test_hostile_attributes_are_cut_and_cleaned(posting: Posting) -> None:
    event = await accepted(posting, "/open", {"event": "a\x00b" + "x" * 1000})
    assert len(event.type) == 255
    assert event.type.isprintable()


async def test_the_kept_body_and_headers_hold_no_credential_and_nothing_that_was_not_sent(posting: Posting) -> None:
    added = ("function-execution-id", "sg8CgqhqZIQY")
    headers = (JSON, basic("web", PASSWORD), ("cookie", "s=1"), ("x-other", "yes"), added)
    event = await accepted(posting, "/form", {"a": 1}, *headers)
    assert event.rawbody == '{"a": 1}'
    assert event.rawheaders == '[["content-type","application/json"],["x-other","yes"]]'


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ("{scheme: hmac, header: X-Sig, secret: key}", "x-sig"),
        ("{scheme: jwt, header: X-Token, algorithms: HS256, secret: key}", "x-token"),
        ("{scheme: standard-webhooks, secret: key}", "webhook-signature"),
        ("{scheme: standard-webhooks, names: svix, secret: key}", "svix-signature"),
        ("{scheme: paypal, webhook_id: w}", "paypal-transmission-sig"),
        ("{scheme: contentful, secret: key}", "x-contentful-signature"),
    ],
)
def test_the_header_of_a_signature_is_not_kept(auth: str, header: str) -> None:
    source = Posting(f"s: {{auth: {auth}, keep_raw: true}}").sources["s"]
    assert header in source.left_out_headers


async def test_a_body_that_is_not_utf8_is_kept_exactly(posting: Posting) -> None:
    content_type = ("content-type", "application/x-www-form-urlencoded; charset=iso-8859-1")
    assert (await posting.send("/form", b"a=%E9&b=\xe9", content_type, basic("web", PASSWORD))).status == 200
    [event] = posting.events
    assert event.data == {"a": "é", "b": "é"}
    assert base64.b64decode(event.rawbase64 or "") == b"a=%E9&b=\xe9"


async def test_large_events_rest_beside_the_bus_and_an_id_used_again_overwrites_nothing(posting: Posting) -> None:
    """The first would be lost without a word, and the other delivered in its name."""
    bodies: list[Json] = [{"id": 1, "text": letter * 300_000} for letter in "xyx"]
    for body in bodies:
        travelling = await accepted(posting, "/open", body)
        assert travelling.data is None
    assert len({event.id for event in posting.events}) == 1
    assert posting.receiver.blobs
    assert [(await checked_out(event, posting.receiver.blobs)).data for event in posting.events] == bodies


@pytest.mark.parametrize(
    ("secret_seconds", "body_seconds", "bus_seconds", "is_confirmed"),
    [(0, 9, 3.7, True), (0, 9, 3.9, False), (1, 0, 2.7, True), (1, 0, 2.9, False)],
)
def test_a_slow_secret_store_takes_time_from_the_bus_and_a_slow_sender_does_not(
    posting: Posting, secret_seconds: float, body_seconds: float, bus_seconds: float, is_confirmed: bool
) -> None:
    class SlowSecrets(FakeSecrets):
        async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
            await asyncio.sleep(secret_seconds)
            return await super().values(name, fresh=fresh)

    class SlowBus(FakeBus):
        async def publish(self, topic: str, messages: object) -> None:
            await asyncio.sleep(bus_seconds)

    async def read_body(_: int) -> bytes:
        await asyncio.sleep(body_seconds)
        return b"{}"

    receiver = replace(posting.receiver, secrets=SlowSecrets(SECRETS), bus=SlowBus(), deadlines=Deadlines())
    head = Request("POST", "/rotated", "", (JSON, ("authorization", f"Bearer {PASSWORD}")), peer="127.0.0.1")
    with nullcontext() if is_confirmed else pytest.raises(Temporary, match="the bus did not confirm"):
        run(receiver.receive(head, read_body))


async def test_a_source_that_floods_is_told_to_retry_and_another_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    class BusyBus(FakeBus):
        def __init__(self) -> None:
            super().__init__()
            self.confirms = asyncio.Event()

        async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
            await self.confirms.wait()
            await super().publish(topic, messages)

    bus = BusyBus()
    posting = Posting("loud: {auth: none}\nquiet: {auth: none}", bus=bus)
    flood = [asyncio.create_task(posting.send("/loud")) for _ in range(1_000)]
    await asyncio.sleep(0)
    quiet = [asyncio.create_task(posting.send("/quiet")) for _ in range(20)]
    await asyncio.sleep(0)
    bus.confirms.set()
    statuses = Counter([(await each).status for each in flood])
    assert statuses == {200: MAX_UNCONFIRMED * 4 // 5, 503: 1_000 - MAX_UNCONFIRMED * 4 // 5}
    assert [(await each).status for each in quiet] == [200] * 20
    told = next(reply for each in flood if (reply := each.result()).status == 503)
    assert (code(told), header(told, "retry-after")) == ("unavailable", "5")
    logged = [line for line in capsys.readouterr().out.splitlines() if "queue_full" in line]
    assert len(logged) == MAX_TOKENS
    assert (await posting.send("/loud")).status == 200


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
    assert (first.type, first.actor, first.subject) == ("a", "Ann", "acme")
    assert first.data == {"type": "a", "id": 1, "by": "Ann"}
    assert (second.type, second.actor, second.subject) == ("b", None, "acme")
    assert first.payloadhash == hashlib.sha256(canonical(first.data)).hexdigest()


@pytest.mark.parametrize(
    ("settings", "body", "note"),
    [
        ("id: data.order_id", {"orderId": 1}, "`id` finds nothing at data.order_id, so the same request again is"),
        ("id: data.order_id", {"order_id": 1}, None),
        (
            "id: [header.x-id, data.a + data.b], dedupe: body",
            {},
            "`id` finds nothing at header.x-id or data.a + data.b",
        ),
        ("batch: 'data.*', id: data.order_id", [{}, {}], "`id` finds nothing at data.order_id, so"),
        ("batch: 'data.*', id: data.order_id", [{}, {"order_id": 1}], None),
        ("type: data.evnt", {"event": "a"}, "`type` finds nothing at data.evnt, so the type is read from `event`"),
        ("type: data.t if data.u", {"t": "a"}, "`type` finds nothing at data.t if data.u"),
        ("type: data.evnt", {}, "`type` finds nothing at data.evnt"),
        ("type: [header.x-type, data.event]", {"event": "a"}, None),
    ],
)
async def test_an_id_or_a_type_that_finds_nothing_is_noted(
    settings: str, body: Json, note: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    await batch(settings, body)
    detail = json.loads(capsys.readouterr().out.splitlines()[-1]).get("detail")
    assert str(detail).startswith(str(note))


@pytest.mark.parametrize(
    ("settings", "body", "items"),
    [
        ("batch: 'data.*'", [1, "two", None], [1, "two", None]),
        ("batch: 'data.items.*.Item'", {"items": [{"Item": {"n": 1}}, {"n": 2}]}, [{"n": 1}, {"n": 2}]),
        (
            *("batch: 'data.entry.*.changes.*'", {"entry": [{"changes": [1, 2]}, {"changes": [3]}, {"other": 4}]}),
            [1, 2, 3, {"other": 4}],
        ),
    ],
)
async def test_items_are_found_by_a_path_and_numbered(settings: str, body: Json, items: list[Json]) -> None:
    found = [(event.item, event.data) for event in (await batch(settings, body)).events]
    assert found == list(enumerate(items, 1))
    assert [event.item for event in (await batch("type: data.type", body)).events] == [0]


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


async def test_a_batch_has_a_bound() -> None:
    posting = Posting("a: {auth: none, batch: 'data.*'}")
    assert code(await posting.send("/a", json.dumps([0] * 5_001).encode(), JSON)) == "too_many_items"
    assert (await posting.send("/a", json.dumps([0] * 5_000).encode(), JSON)).status == 200
    assert len(posting.events) == 5_000


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


def source(at: str, more: str = "") -> str:
    return f"s: {{auth: {{scheme: token, at: {at}, secret: key}}, keep_raw: true{more}}}"


@pytest.mark.parametrize(
    ("at", "sent", "data"),
    [
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
        *(f"Basic {base64.b64encode(user + TOKEN.encode()).decode()}" for user in (b"user:", b"u:", b"ab:")),
        *(base64.urlsafe_b64encode(user + TOKEN.encode()).decode().rstrip("=") for user in (b"user:", b"u:", b"ab:")),
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
    assert not re.search(r'\*\*\*[^b"\\]["=]', shown), "the last character in base64 has bits of the token"
    for spelling in (TOKEN, quote_plus(TOKEN), TOKEN.encode().hex(), base64.b64encode(TOKEN.encode()).decode()[:20]):
        assert spelling.lower() not in shown


@pytest.mark.parametrize("padding", ["", "x" * 220])  # with it, the content type is cut within the password
async def test_a_password_in_the_content_type_is_not_kept(padding: str) -> None:
    posting = Posting("s: {auth: {scheme: bearer, secret: key}, keep_raw: true}", TOKENS)
    media_type = ("content-type", f"application/json; {padding}token={TOKEN}")
    assert (await posting.send("/s", b"{}", media_type, ("authorization", f"Bearer {TOKEN}"))).status == 200
    [event] = posting.events
    assert event.rawtype == f"application/json; {padding}token=***"
    assert TOKEN not in (event.rawheaders or "")


async def test_a_json_web_token_that_a_proxy_copied_is_not_kept_and_a_signatures_headers_are() -> None:
    token_auth = "{scheme: jwt, header: x-token, algorithms: HS256, secret: key, max_age: true}"
    auth = f"[{token_auth}, {{scheme: hmac, header: X-Sig, secret: key}}]"
    posting = Posting(f"s: {{auth: {auth}, keep_raw: true}}", {"key": TOKEN * 2})
    token = jwt.encode({"iat": int(posting.clock.now())}, TOKEN * 2, algorithm="HS256")
    signature = hmac_signature(b"[]", TOKEN * 2)
    for body, name, value in ((b"{}", "x-token", f"Bearer {token}"), (b"[]", "x-sig", signature)):
        assert (await posting.send("/s", body, JSON, (name, value), ("x-copy", value))).status == 200
    assert [json.loads(event.rawheaders or "")[1:] for event in posting.events] == [
        [["x-copy", "Bearer ***"]],
        [["x-copy", signature]],
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
    st.dictionaries(st.sampled_from(["a", "id", "items", "n", "u", "s", "payload", "h", "at"]), json_values).map(
        lambda value: json.dumps(value).encode()
    ),
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


POSTING = Posting(ANY_SOURCES, ANY_SECRETS)


def test_only_a_field_of_the_form_itself_can_have_the_body_in_it() -> None:
    sources = Posting("top: {auth: none, unpack: data.payload}\ndeep: {auth: none, unpack: data.a.payload}").sources
    assert sources["top"].unpacked_field == "payload"
    assert sources["deep"].unpacked_field == "", "a signed field `payload` would count as all of the data"
