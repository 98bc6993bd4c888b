"""The tap: copies for developers with a lease, and for nobody else; and what it costs the event: nothing."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

import pytest
from hypothesis import given, strategies as st

from functions.transform import tap as transform_tap
from functions.transform.program import read_program
from functions.transform.steps.redact import Redact
from functions.transform.tap import Tap
from functions.transform.transform import Transformer
from shared import tap
from shared.claim_check import MAX_INLINE_BYTES, checked_in, checked_out
from shared.delivery import delivery_from
from shared.errors import Permanent, Temporary
from shared.event import Event, event_json, from_cloudevent, without_raw
from shared.journal import EventEntry
from shared.jsontext import Json, JsonObject, to_json
from shared.ports import DELIVERIES, TAP, BusMessage
from shared.push import Push
from shared.store_ports import Document
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.documents import FakeDocuments
from tests.fakes.journal import FakeJournal

NOW: Final = FakeClock().now()
BODY: Final = '{"card": "4111", "items": [{"n": 1}]}'
EVENT: Final = Event(
    "e1",
    "/sources/github",
    "push",
    "2026-03-01T12:00:00.000Z",
    "00",
    json.loads(BODY),
    actor="ada",
    deliveryid="d1",
    rawbody=BODY,
    rawtype="application/json",
    rawheaders='[["x-github-event","push"]]',
)
ADA: Final = tap.Lease("github", "ada", "ada@laptop", NOW, NOW + 3_600)


class FaultyBus(FakeBus):
    """A bus on which the topics of `faults` fail as they say."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: dict[str, Callable[[], Awaitable[None]]] = {}

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        if topic in self.faults:
            await self.faults[topic]()
        await super().publish(topic, messages)


class Bench:
    def __init__(self, keeps: Mapping[str, str] | None = None, redact: Redact | None = None) -> None:
        self.bus, self.blobs, self.documents, self.clock = FaultyBus(), FakeBlobs(), FakeDocuments(), FakeClock(NOW)
        self.journal = FakeJournal()
        self.tap = Tap(
            {"github"},
            redact,
            lambda: self.documents,
            self.bus,
            lambda name: f"{TAP}-{name}",
            self.blobs,
            self.clock,
        )
        routes = read_program({"routes": [{"name": "all", "to": ["crm"]}]}).routes
        self.transformer = Transformer(
            routes, self.bus, self.blobs, self.journal, self.clock, tap=self.tap, kept_parts=keeps or {}
        )

    async def lease(self, lease: tap.Lease = ADA, **changes: Json) -> None:
        text = to_json({**asdict(lease), **changes})
        await self.documents.write(tap.PARTITION, lease.name, text, None, NOW + tap.KEPT_SECONDS)

    async def take(self, event: Event = EVENT, **attributes: str) -> None:
        named = {"ce-source": event.source, **attributes}
        await self.transformer.take(Push(event_json(event), named, "m1"))

    def copies(self, lease: tap.Lease = ADA) -> list[BusMessage]:
        return self.bus.on(f"{TAP}-{lease.name}")

    def delivered(self) -> Event:
        return delivery_from(json.loads(self.bus.on(DELIVERIES)[-1].data)).event


def event_of(message: BusMessage) -> Event:
    return from_cloudevent(json.loads(message.data))


async def test_a_copy_is_the_request_without_what_was_read_in_it() -> None:
    bench = Bench()
    await bench.lease()
    await bench.take()
    [copy] = bench.copies()
    assert copy.attributes == {"listener": ADA.name}
    event = event_of(copy)
    assert (event.rawbody, event.rawheaders, event.deliveryid) == (BODY, EVENT.rawheaders, "d1")
    assert (event.data, event.actor, event.payloadhash) == (None, None, "none")
    assert [topic for topic, _ in bench.bus.sent] == [DELIVERIES, f"{TAP}-{ADA.name}"]  # the event's own work is first


@pytest.mark.parametrize(
    ("keeps", "body", "headers"), [("no", False, False), ("body", True, False), ("all", True, True)]
)
async def test_routes_and_journal_get_what_a_source_keeps_without_a_tap(keeps: str, body: bool, headers: bool) -> None:
    bench = Bench({"github": keeps})
    await bench.take()
    [entry] = bench.journal.entries
    assert isinstance(entry, EventEntry)
    assert entry.document is not None
    for event in (bench.delivered(), entry.event, from_cloudevent(json.loads(entry.document))):
        assert (event.rawbody is not None, event.rawheaders is not None) == (body, headers)
        assert event.data == EVENT.data


@pytest.mark.parametrize("has_tap", [True, False])
@pytest.mark.parametrize("attributes", [{"ce-source": EVENT.source}, {}, {"ce-source": EVENT.source, "route": "all"}])
@pytest.mark.parametrize("size", [1, MAX_INLINE_BYTES])
@pytest.mark.parametrize("keeps", ["no", "all"])
async def test_no_route_gets_a_request_that_it_has_not_asked_for_also_without_a_tap_or_when_it_runs_again(
    keeps: str, size: int, attributes: Mapping[str, str], has_tap: bool
) -> None:
    bench = Bench({"github": keeps})
    if not has_tap:  # `develop` was removed, and receive is still that of before
        bench.transformer = replace(bench.transformer, tap=None)
    text = json.dumps({"text": "x" * size})
    whole = replace(EVENT, data=json.loads(text), rawbody=text)
    light, _ = await checked_in(whole, bench.blobs, "e1")
    await bench.transformer.take(Push(event_json(light), attributes, "m1"))
    delivered = await checked_out(bench.delivered(), bench.blobs)
    kept = whole if keeps == "all" else replace(whole, rawbody=None, rawtype=None, rawheaders=None)
    assert delivered == kept


async def test_a_large_event_travels_on_without_the_request_and_is_copied_through_a_blob_of_the_tap() -> None:
    bench = Bench()
    await bench.lease()
    text = json.dumps({"text": "x" * MAX_INLINE_BYTES})
    whole = replace(EVENT, data=json.loads(text), rawbody=text)
    light, _ = await checked_in(whole, bench.blobs, "e1")
    await bench.take(light)
    delivered = await checked_out(bench.delivered(), bench.blobs)
    assert (delivered.data, delivered.rawbody, delivered.rawheaders) == (whole.data, None, None)
    [copy] = bench.copies()
    assert event_of(copy).dataref == "tap-e1-request"
    assert (await checked_out(event_of(copy), bench.blobs)).rawbody == text


@pytest.mark.parametrize(
    "changes",
    [
        {"until": NOW},
        {"until": NOW + tap.MAX_LEASE_SECONDS + 400},
        {"until": 1e18},
        {"until": "tomorrow"},
        {"source": "other"},
        {"developer": "bob"},
        {"developer": "../events"},
        {"queue": "https://evil.example"},
        {"source": "\ud800"},
        {"source": None},
        {"holder": ["ada"]},
        {"until": 10**400},
        {"until": True},
        {"since": 10**400},
        {"since": None},
    ],
    ids=str,
)
async def test_what_is_no_open_lease_gets_nothing(changes: JsonObject, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    await bench.documents.write(tap.PARTITION, ADA.name, json.dumps({**asdict(ADA), **changes}))
    await bench.documents.write(tap.PARTITION, "text", "no JSON")
    for _ in range(3):
        bench.clock.advance(tap.REMEMBERED_SECONDS)
        await bench.take()
    assert [topic for topic, _ in bench.bus.sent] == [DELIVERIES] * 3
    assert capsys.readouterr().out.count("'text' is no lease") == 1


async def test_a_lease_ends_at_its_second_also_while_it_is_remembered_and_each_developer_has_their_own() -> None:
    bench = Bench()
    bob = tap.Lease("github", "bob", "bob@desk", NOW, NOW + 7_200)
    await bench.lease(replace(ADA, until=NOW + 10))
    await bench.lease(bob)
    for _ in range(11):
        await bench.take()
        bench.clock.advance(1)
    assert (len(bench.copies()), len(bench.copies(bob))) == (10, 11)


async def test_a_source_without_a_tap_is_not_copied_and_costs_no_read() -> None:
    bench = Bench({"shop": "all"})
    await bench.lease(tap.Lease("shop", "ada", "ada@laptop", NOW, NOW + 60))
    await bench.take(replace(EVENT, source="/sources/shop"))
    assert [topic for topic, _ in bench.bus.sent] == [DELIVERIES]
    assert bench.documents.calls == 1  # the write
    assert bench.delivered().rawbody == BODY  # its own `keep_raw`


async def test_leases_are_read_once_in_thirty_seconds_for_all_events_that_come_together() -> None:
    bench = Bench()
    await asyncio.gather(*[bench.take() for _ in range(50)])
    assert bench.documents.calls == 1
    await bench.lease()
    bench.clock.advance(tap.REMEMBERED_SECONDS - 1)
    await bench.take()
    assert not bench.copies()
    bench.clock.advance(1)
    await asyncio.gather(*[bench.take() for _ in range(50)])
    assert (len(bench.copies()), bench.documents.calls) == (50, 3)


FAULTS: Final = (
    Temporary("bus_unavailable", "the queue is gone"),
    Permanent("message_rejected", "the message is too large"),
    OSError("reset"),
    ValueError("surrogates"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_an_event_that_cannot_be_copied_and_leases_that_cannot_be_read_harm_nothing(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise fault

    bench = Bench()
    await bench.lease()
    await bench.take(replace(EVENT, rawbody="\ud83d", data=None))
    assert len(bench.copies()) == 0
    await bench.take()
    assert [copy.attributes.get("missed") for copy in bench.copies()] == ["1"]  # the fault was the other event's
    monkeypatch.setattr(bench.documents, "page", fail)
    bench.clock.advance(tap.REMEMBERED_SECONDS)
    await bench.take()
    assert (len(bench.bus.on(DELIVERIES)), len(bench.copies())) == (3, 2)


async def test_a_replay_is_not_copied() -> None:
    bench = Bench()
    await bench.lease()
    await bench.take(EVENT, replay="r1")
    assert not bench.copies()


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
async def test_a_copy_that_fails_is_counted_and_stops_neither_the_event_nor_other_developers(
    fault: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse() -> None:
        raise fault

    bench = Bench()
    bob = tap.Lease("github", "bob", "bob@desk", NOW, NOW + 7_200)
    await bench.lease()
    await bench.lease(bob)
    bench.bus.faults[f"{TAP}-{ADA.name}"] = refuse
    for _ in range(3):
        await bench.take()
    assert (len(bench.bus.on(DELIVERIES)), len(bench.copies()), len(bench.copies(bob))) == (3, 0, 3)
    assert capsys.readouterr().out.count("not copied") == 1  # then it gets none until the leases are read again
    del bench.bus.faults[f"{TAP}-{ADA.name}"]
    bench.clock.advance(tap.REMEMBERED_SECONDS)
    await bench.take()
    await bench.take()
    assert [copy.attributes.get("missed") for copy in bench.copies()] == ["3", None]


async def test_a_bus_and_a_store_that_hang_delay_one_event_each_by_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(transform_tap, "COPY_SECONDS", 0.05)
    bench = Bench()
    await bench.lease()
    bench.bus.faults[f"{TAP}-{ADA.name}"] = hang
    began = asyncio.get_running_loop().time()
    for _ in range(20):
        await bench.take()
    assert asyncio.get_running_loop().time() - began < 0.5
    assert len(bench.bus.on(DELIVERIES)) == 20

    bench.documents.fault = "down"
    bench.clock.advance(tap.REMEMBERED_SECONDS)
    await bench.take()
    await bench.take()
    assert len(bench.bus.on(DELIVERIES)) == 22


async def test_leases_that_cannot_be_read_stop_no_copies_and_what_came_before_the_first_reading_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(*_: object) -> Sequence[Document]:
        await asyncio.sleep(60)
        return ()

    async def take_without_leases(count: int) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(bench.documents, "page", hang)
            for _ in range(count):
                await bench.take()
        bench.clock.advance(tap.REMEMBERED_SECONDS)

    monkeypatch.setattr(transform_tap, "COPY_SECONDS", 0.1)
    bench = Bench()
    await bench.lease()
    await take_without_leases(3)
    assert bench.copies() == []
    await bench.take()
    bench.clock.advance(tap.REMEMBERED_SECONDS)
    await take_without_leases(2)
    assert [copy.attributes.get("missed") for copy in bench.copies()] == ["3", None, None]


async def test_a_blob_store_that_hangs_delays_one_event_by_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    async def hang(*_: object) -> None:
        calls.append(0.0)
        await asyncio.sleep(60)

    monkeypatch.setattr(transform_tap, "COPY_SECONDS", 0.05)
    bench = Bench()
    await bench.lease()
    monkeypatch.setattr(bench.blobs, "put", hang)
    async with asyncio.timeout(30):
        for _ in range(3):
            await bench.take(replace(EVENT, rawbody="x" * MAX_INLINE_BYTES))
    assert (len(calls), len(bench.bus.on(DELIVERIES))) == (1, 3)


async def test_the_first_listeners_keep_their_copies_and_a_lease_that_gets_none_is_logged_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = Bench()
    first = [tap.Lease("github", f"dev{number}", "x@y", NOW - 1, NOW + 60) for number in range(tap.MAX_LISTENERS)]
    newcomer = tap.Lease("github", "aaa", "new@desk", NOW, NOW + 60)
    ahead = tap.Lease("github", "bob", "bob@desk", NOW + 360, NOW + 360 + tap.MAX_LEASE_SECONDS)
    elsewhere = tap.Lease("shop", "eve", "eve@desk", NOW, NOW + 60)
    for lease in (*first, newcomer, ahead, elsewhere):
        await bench.lease(lease)
    await bench.take()
    bench.clock.advance(tap.REMEMBERED_SECONDS)
    await bench.take()
    assert {len(bench.copies(each)) for each in first} == {2}
    assert (bench.copies(newcomer), bench.copies(ahead)) == ([], [])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["detail"] for each in lines if each["message"] == "lease ignored"] == [
        f"{newcomer.name!r} of new@desk is not among the first 20 leases of 'github'",
        f"{ahead.name!r} of bob@desk ends more than 8 h from now: a clock is wrong",
        f"{elsewhere.name!r} of eve@desk is for 'shop', which is not under `develop` in this deployment",
    ]


FORM: Final = "card=4111&name=A+da&tag=a&tag=b"
FORM_DATA: Final[Json] = {"card": "4111", "name": "A da", "tag": ["a", "b"]}
XML: Final = "<order><card>4111</card></order>"
HASHES: Final = (
    *("content-digest", "repr-digest", "Digest", "content-md5", "x-hub-signature", "x-amz-content-sha256"),
    *("x-body-checksum", "x-crc32c", "content-length"),
)


@pytest.mark.parametrize(
    ("declared", "body", "data", "copied"),
    [
        ("json", BODY, json.loads(BODY), '{"card":"***","items":[{"n":1}]}'),
        ("octet-stream", BODY, json.loads(BODY), '{"card":"***","items":[{"n":1}]}'),
        ("x-www-form-urlencoded", BODY, json.loads(BODY), '{"card":"***","items":[{"n":1}]}'),  # of `curl -d`
        ("x-www-form-urlencoded", FORM, FORM_DATA, "card=%2A%2A%2A&name=A+da&tag=a&tag=b"),
        ("json", FORM, FORM_DATA, None),
        ("json", '{"payload":"{\\"card\\":\\"4111\\"}"}', {"card": "4111"}, None),  # `unpack`
        ("xml", XML, {"order": {"card": "4111"}}, None),
        ("xml", XML, {XML: ""}, None),  # read as a form, as a source with fixed formats does
        ("x-www-form-urlencoded", XML, {XML: ""}, None),
        ("yaml", "card: 4111", {"card: 4111": ""}, None),
        ("x-www-form-urlencoded", "card: 4111", {"card: 4111": ""}, None),
        ("x-www-form-urlencoded; charset=utf-16", "c%00=4111", {"c\0": "4111"}, None),
        ("json; charset=UTF-8", BODY, json.loads(BODY), '{"card":"***","items":[{"n":1}]}'),
        ("yaml", '{"card": "4111"}', {"card": "4111"}, None),
        ("json", '{"card": "4111"}', {"card": 4111}, None),  # `cast`
        ("json", '{"card": ["4111"]}', {"card": ["4111"]}, '{"card":"***"}'),
        ("json", '["4111"]', ["4111"], None),
    ],
)
async def test_what_is_redacted_leaves_in_no_form(declared: str, body: str, data: Json, copied: str | None) -> None:
    bench = Bench(redact=Redact(paths=["data.card"]))
    await bench.lease()
    hashes: list[Json] = [[name, "0badc0de"] for name in HASHES]
    headers = to_json([["x-github-event", "push"], *hashes])
    body_hash = hashlib.sha256(body.encode()).hexdigest()[:32]  # such is the id of an event whose signed id has none
    trace = f"00-{body_hash}-{body_hash[:16]}-01"
    event = replace(EVENT, id=body_hash, rawbody=body, data=data, subject="4111", rawheaders=headers, traceparent=trace)
    await bench.take(replace(event, rawtype=f"application/{declared}"))
    facts = replace(event, deliveryid=body_hash, time="4111", action="4111")
    await bench.take(replace(facts, rawtype=f"application/{declared}"))
    kept = None if copied is None else EVENT.rawheaders
    assert [event_of(copy).rawheaders for copy in bench.copies()] == [kept] * 2
    assert [event_of(copy).rawbody for copy in bench.copies()] == [copied] * 2
    ids = [event_of(copy).id for copy in bench.copies()]
    without_ids = [copy.data.decode().replace(id, "") for copy, id in zip(bench.copies(), ids, strict=True)]  # random
    assert not any(text in content for content in without_ids for text in ("4111", body_hash[:16]))
    assert len({*ids}) == 2
    assert bench.delivered().data == data


async def test_a_redacted_copy_has_only_the_headers_that_cannot_tell_a_masked_value() -> None:
    bench = Bench(redact=Redact(paths=["data.card"]))
    await bench.lease()
    leaks = ("x-note", "paid with 4111"), ("content-length", "13"), ("x-other", "anything")
    kept = ("x-github-event", "push"), ("content-type", "application/vnd.4111+json; card=4111"), ("webhook-id", "msg_1")
    headers = to_json([[*each] for each in (*leaks, *kept)])
    await bench.take(
        replace(EVENT, data={"card": 4111}, rawbody='{"card":4111}', rawheaders=headers, deliveryid="msg_1")
    )
    [copy] = map(event_of, bench.copies())
    expected = [["x-github-event", "push"], ["content-type", "application/json"], ["webhook-id", copy.id]]
    assert json.loads(copy.rawheaders or "") == expected


async def test_a_masked_body_that_needs_a_blob_is_not_copied_because_forget_would_not_find_it() -> None:
    bench = Bench(redact=Redact(paths=["data.card"]))
    await bench.lease()
    for size in (MAX_INLINE_BYTES - 1_000, MAX_INLINE_BYTES):
        data: Json = {"card": "4111", "text": "x" * size}
        await bench.take(replace(EVENT, rawbody=to_json(data), data=data))
    assert [event_of(copy).rawbody is not None for copy in bench.copies()] == [True, False]
    assert [event_of(copy).dataref for copy in bench.copies()] == [None, None]
    assert not any(name.startswith("tap-") for name in bench.blobs.contents)


async def test_a_body_that_takes_long_to_mask_is_not_copied_and_holds_up_nothing() -> None:
    bench = Bench(redact=Redact(paths=["data.a[*].b"]))
    await bench.lease()
    data: Json = {"a": [{"b": 1}] * 100_000}
    await bench.take(replace(EVENT, rawbody=to_json(data), data=data))
    [copy] = map(event_of, bench.copies())
    assert (copy.rawbody, copy.rawheaders) == (None, None)


HOSTILE: Final = '","data":1,"rawheaders":"x","datatype":"y" \\",\\"hops\\":3'


TEXTS: Final = st.none() | st.text() | st.just(HOSTILE)


@given(
    raw=st.tuples(TEXTS, TEXTS, TEXTS),
    headers=st.lists(st.lists(st.text() | st.just(HOSTILE), min_size=2, max_size=2)),
    others=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS),
    hops=st.integers(0, 2),
)
def test_a_request_is_cut_from_the_text_of_an_event_whatever_its_texts_are(
    raw: Sequence[str | None], headers: Json, others: Sequence[str | None], hops: int
) -> None:
    body, base64, kind = raw
    subject, signed_as, data_type, action = others
    plain = Event("e1", "/sources/a", "t", "r", "p", HOSTILE, subject, hops=hops, datatype=data_type, action=action)
    plain.signedas = signed_as
    with_body = replace(plain, rawbody=body, rawbase64=base64, rawtype=kind)
    whole = replace(with_body, rawheaders=to_json(headers))
    text = to_json(HOSTILE).encode()
    assert without_raw(event_json(whole, text), keeps_body=False) == event_json(plain, text)
    assert without_raw(event_json(whole, text), keeps_body=True) == event_json(with_body, text)


def test_a_lease_is_read_as_it_was_written() -> None:
    assert tap.read_lease(ADA.name, ADA.text) == ADA
