"""The decision of receive, over fakes: what goes on to the bus, and what does not."""

import asyncio
import base64
import gzip
import json
from contextlib import nullcontext
from dataclasses import replace

import pytest

from shared.claim_check import checked_out
from shared.errors import Rejected, Temporary
from shared.event import event_id, from_cloudevent
from shared.http import Request
from shared.jsontext import Json
from shared.ports import EVENTS
from shared.signatures.signing import hmac_signature
from tests.fakes.bus import FakeBus
from tests.fakes.secrets import FakeSecrets
from tests.fakes.virtual_time import run
from tests.unit.receive.piped import JSON, PASSWORD, SECRETS, Pipe, basic


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


async def test_an_accepted_request_is_one_confirmed_event(pipe: Pipe) -> None:
    event = await pipe.post("/form", b'{"event": "signup", "n": 1}', JSON, basic("web"))
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
    await pipe.post(path, b"{}", JSON, *headers, query=query)
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
    assert await pipe.code(path, b"{}", JSON, *headers) == "password_mismatch"
    assert pipe.read == 0


async def test_a_forged_signature_is_rejected_before_the_body_is_parsed(pipe: Pipe) -> None:
    forged = hmac_signature(b"{", "another key", prefix="sha256=")
    assert await pipe.code("/hub", b"{", JSON, ("x-hub-signature-256", forged)) == "signature_mismatch"


async def test_a_true_signature_over_a_broken_body_is_a_parse_fault(pipe: Pipe) -> None:
    true = hmac_signature(b"{", SECRETS["key"], prefix="sha256=")
    assert await pipe.code("/hub", b"{", JSON, ("x-hub-signature-256", true)) == "malformed_body"


@pytest.mark.parametrize(("path", "code"), [("/lost", "secret_unavailable"), ("/weak", "secret_weak")])
async def test_a_secret_that_cannot_be_used_decides_nothing(pipe: Pipe, path: str, code: str) -> None:
    assert await pipe.code(path, b"{}", JSON, ("authorization", "Bearer changeme")) == code


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
    assert await pipe.code(path, b"{}", JSON) == code


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_a_method_that_the_source_does_not_take_is_rejected(pipe: Pipe, method: str) -> None:
    assert await pipe.code("/open", b"{}", JSON, method=method) == "method_not_allowed"


@pytest.mark.parametrize("length", ["-1", "1e3", "ten", "", "9" * 30, "٣"])
async def test_an_impossible_length_is_rejected(pipe: Pipe, length: str) -> None:
    assert await pipe.code("/open", b"{}", JSON, ("content-length", length)) == "invalid_content_length"


async def test_a_body_over_the_limit_is_rejected_by_its_announced_length_and_by_its_own(pipe: Pipe) -> None:
    assert await pipe.code("/small", b"{}", JSON, ("content-length", "11")) == "body_too_large"
    assert pipe.read == 0
    assert await pipe.code("/small", b'{"a": 123}  ', JSON) == "body_too_large"


@pytest.mark.parametrize("encoding", ["br", "zstd", "x-evil", "gzip, gzip"])
async def test_an_encoding_that_is_not_taken_is_rejected(pipe: Pipe, encoding: str) -> None:
    assert await pipe.code("/open", b"{}", JSON, ("content-encoding", encoding)) == "unsupported_encoding"


async def test_a_compressed_body_that_no_header_announces_is_named(pipe: Pipe) -> None:
    with pytest.raises(Rejected, match="the body is gzip: the sender must say so") as rejection:
        await pipe.post("/open", gzip.compress(b"{}"), JSON)
    assert rejection.value.code == "malformed_body"


async def test_the_same_delivery_id_is_the_same_event(pipe: Pipe) -> None:
    first = await pipe.post("/open", b'{"id": 7, "n": 1}', JSON)
    second = await pipe.post("/open", b'{"id": 7, "n": 2}', JSON)
    assert first.id == second.id == event_id("open", "7")
    assert first.payloadhash != second.payloadhash
    assert first.deliveryid == "7"


async def test_without_a_delivery_id_the_body_names_the_event_where_the_source_says_so(pipe: Pipe) -> None:
    ids = [(await pipe.post("/same", body, JSON)).id for body in (b"[1]", b"[1]", b"[2]")]
    assert ids[0] == ids[1] != ids[2]


async def test_the_actor_and_the_time_come_from_where_the_source_says(pipe: Pipe) -> None:
    body = json.dumps({"user": {"name": "Ann\r\nBcc: x"}, "at": 1_700_000_000}).encode()
    event = await pipe.post("/open", body, JSON)
    assert event.actor == "Ann  Bcc: x"
    assert event.time == "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize("at", ["yesterday", "nan", "1e400", "", [1], "9" * 400])
async def test_a_time_that_is_none_is_left_out(pipe: Pipe, at: Json) -> None:
    assert (await pipe.post("/open", json.dumps({"at": at}).encode(), JSON)).time is None


async def test_hostile_attributes_are_cut_and_cleaned(pipe: Pipe) -> None:
    event = await pipe.post("/open", json.dumps({"event": "a\x00b" + "x" * 1000}).encode(), JSON)
    assert len(event.type) == 255
    assert event.type.isprintable()


async def test_the_kept_body_and_headers_hold_no_credential_and_nothing_that_was_not_sent(pipe: Pipe) -> None:
    added = ("function-execution-id", "sg8CgqhqZIQY")
    event = await pipe.post("/kept", b'{"a": 1}', JSON, basic("web"), ("cookie", "s=1"), ("x-other", "yes"), added)
    assert event.rawbody == '{"a": 1}'
    assert event.rawheaders == '[["content-type","application/json"],["x-other","yes"]]'


async def test_a_body_that_is_not_utf8_is_kept_exactly(pipe: Pipe) -> None:
    content_type = "application/x-www-form-urlencoded; charset=iso-8859-1"
    event = await pipe.post("/kept", b"a=%E9&b=\xe9", ("content-type", content_type), basic("w"))
    assert event.data == {"a": "é", "b": "é"}
    assert base64.b64decode(event.rawbase64 or "") == b"a=%E9&b=\xe9"


async def test_a_large_event_rests_beside_the_bus(pipe: Pipe) -> None:
    event = await pipe.post("/open", json.dumps({"id": 1, "text": "x" * 300_000}).encode(), JSON)
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
        await pipe.post("/open", json.dumps(body).encode(), JSON)
    travelling = [from_cloudevent(json.loads(message.data)) for message in pipe.bus.on(EVENTS)]
    assert len({event.id for event in travelling}) == 1
    assert [(await checked_out(event, pipe.blobs)).data for event in travelling] == bodies


async def test_a_large_event_with_the_id_and_the_body_of_another_has_its_own_type(pipe: Pipe) -> None:
    body = json.dumps({"id": 1, "text": "x" * 300_000}).encode()
    types = ["order.created", "order.paid", "order.created"]
    for event_type in types:
        await pipe.post("/typed", body, JSON, ("x-type", event_type))
    travelling = [from_cloudevent(json.loads(message.data)) for message in pipe.bus.on(EVENTS)]
    assert len({event.id for event in travelling}) == 1
    assert [(await checked_out(event, pipe.blobs)).type for event in travelling] == types


async def test_what_a_large_event_kept_rests_with_it(pipe: Pipe) -> None:
    many = [(f"x-other-{number}", "y" * 500) for number in range(5)]
    body = json.dumps({"text": "x" * 300_000}).encode()
    event = await pipe.post("/kept", body, JSON, basic("web"), *many)
    [message] = pipe.bus.on(EVENTS)
    assert len(message.data) < 2_000
    assert event.rawbody == body.decode()
    assert event.rawheaders is not None
    assert len(event.rawheaders) > 2_000
    light = from_cloudevent(json.loads(message.data))
    assert await checked_out(light, pipe.blobs) == event
    [stored] = pipe.blobs.contents.values()
    assert stored.count(b"x" * 300_000) == 1


async def test_a_large_body_travels_whole_where_the_platform_has_no_blobs(pipe: Pipe) -> None:
    pipe.receiver = replace(pipe.receiver, blobs=None)
    event = await pipe.post("/kept", json.dumps({"text": "x" * 300_000}).encode(), JSON, basic("web"))
    [message] = pipe.bus.on(EVENTS)
    assert from_cloudevent(json.loads(message.data)) == event


async def test_a_bus_that_rejects_is_a_503_not_a_loss_in_silence(pipe: Pipe) -> None:
    pipe.bus.fault = "down"
    with pytest.raises(Temporary):
        await pipe.post("/open", b"{}", JSON)


async def test_a_bus_that_hangs_is_given_up_on_within_the_promised_time(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HangingBus(FakeBus):
        async def publish(self, topic: str, messages: object) -> None:
            await asyncio.sleep(3600)

    monkeypatch.setattr("functions.receive.receive.CONFIRM_SECONDS", 0.01)
    pipe.receiver = replace(pipe.receiver, bus=HangingBus())
    with pytest.raises(Temporary) as trouble:
        await pipe.post("/open", b"{}", JSON)
    assert trouble.value.code == "bus_unavailable"


@pytest.mark.parametrize(("path", "data"), [("/xml", {"a": "1", "b": "2"}), ("/open", {"event": {"a": "1", "b": "2"}})])
async def test_an_xml_document_is_unwrapped_where_its_source_says_so(pipe: Pipe, path: str, data: Json) -> None:
    event = await pipe.post(path, b"<event><a>1</a><b>2</b></event>", ("content-type", "application/xml"))
    assert event.data == data


async def test_delivery_ids_that_differ_only_at_their_end_are_two_events(pipe: Pipe) -> None:
    ids = ["x" * 300 + "1", "x" * 300 + "2", "a", "a\u0000"]
    events = [await pipe.post("/open", json.dumps({"id": text}).encode(), JSON) for text in ids]
    assert len({event.id for event in events}) == 4
    assert all(len(event.deliveryid or "") <= 255 for event in events)


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
        await pipe.post("/bearer", b"{}", JSON, ("authorization", f"Bearer {PASSWORD}"))


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
        run(pipe.receiver.receive(Request("POST", "/open", "", (JSON,), peer="127.0.0.1"), read_body))
