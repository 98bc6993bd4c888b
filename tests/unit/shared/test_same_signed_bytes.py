"""The same signed bytes are one event, whatever the unsigned headers around them say."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFile
from deploy.config.sections.catalogue import OfferedScheme, load_catalogue
from deploy.requests.samples import Fresh, load_sample, sample_names
from deploy.requests.sender_keys import generate_key_pair, is_asymmetric
from deploy.requests.signing import BY_CERTIFICATE, Signer, sign_request
from functions.receive.source import Source, read_sources
from functions.transform.transform import first_with_signed_bytes
from shared.errors import Rejected
from shared.event import Event
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.auth_scheme import read_scheme
from shared.signatures.locations import RequestFields
from shared.signatures.signature_scheme import SignatureScheme
from tests.fakes.owners import FakeOwners
from tests.in_process.posting import Posting
from tests.in_process.receiving import NAME, URL, Receiving

NOW: Final = 1_790_000_000.0
LATER: Final = NOW + 3
KEY: Final = "5eed" * 16  # hex and base64 too

NAMELESS: Final = frozenset({"attio", "dropbox", "plaid"})
"""Whose bodies repeat, and have nothing signed that tells a redelivery from another event."""
FORMS: Final = {
    "gitea": b'payload={"ref": "refs/heads/main"}',
    "mailgun": b"timestamp=1&token=a-token&signature=&event=opened",
}
"""Where the samples are JSON, and a form is signed otherwise."""


def _signs(offered: OfferedScheme) -> bool:
    scheme = read_scheme(offered.scheme.model_dump(exclude_none=True))
    return scheme.signs_content and scheme.scheme not in BY_CERTIFICATE


SIGNING: Final = [
    (key, str(offered.scheme.variant))
    for key, entry in load_catalogue().items()
    for offered in entry.auth
    if _signs(offered) and key not in NAMELESS
]


class Sender:
    """A provider that signs by one of its ways."""

    def __init__(self, provider: str, variant: str, **settings: Json) -> None:
        entry = load_catalogue()[provider]
        params: Json = {name: "a-name" for name, param in entry.params.items() if param.required}
        self.provider = provider
        self.settings = {"provider": provider, "secret": "key", "params": params, "variant": variant, **settings}
        config = ConfigFile("test", Path(), {"sources": {NAME: {"public_url": URL, **self.settings}}})
        self.source: Source = read_sources(compile_config(config)["receive"])[NAME]
        [self.way] = self.source.auth
        pair = generate_key_pair(self.way) if is_asymmetric(self.way) else None
        self.private, self.public = (pair.private, pair.public) if pair else (KEY, KEY)

    def signed(self, request: Request, now: float = NOW) -> Request:
        for place, wanted in self.way.when:
            if place.kind == "header" and wanted:
                text = wanted if isinstance(wanted, str) else "present"
                request = replace(request, headers=(*request.headers, (place.name, text)))
        digest = self.way.body_digest if isinstance(self.way, SignatureScheme) else None
        if digest and digest.kind == "query":
            request = replace(request, query="bodySHA256=")
        signer = Signer(self.way, self.private, lambda each: f"{URL}?{each.query}" if each.query else URL, now, "msg_1")
        return sign_request(request, signer)

    async def events(self, request: Request, now: float = NOW) -> tuple[Event, ...]:
        """Raises Rejected."""
        secrets = {"key": self.public, "a-name": "a-value-of-enough"}
        url = f"{URL}?{request.query}" if request.query else URL
        receiving = Receiving(self.settings, secrets, now, url, weak_allowed=True)
        return await receiving.events(request.headers, request.body)

    async def request(self) -> Request:
        """Of the first sample that this way signs, and whose events do not go by an unsigned delivery id."""
        for name in sample_names(self.provider):
            sample = load_sample(self.provider, name, Fresh(NOW, "abcdefabcdef", "9876543210"))
            if sample.is_handshake:
                continue
            if "form" in str(self.way.variant):
                return self._form(sample.request)
            request = self.signed(sample.request)
            try:
                events = await self.events(request)
            except (Rejected, AssertionError):
                continue
            if events and not self.goes_by_delivery_id(events[0]):
                return sample.request
        raise LookupError(f"no sample of {self.provider} is signed by {self.way.variant}")

    def _form(self, request: Request) -> Request:
        headers = [pair for pair in request.headers if pair[0] != "content-type"]
        form_type = ("content-type", "application/x-www-form-urlencoded")
        return replace(request, headers=(*headers, form_type), body=FORMS.get(self.provider, request.body))

    def goes_by_delivery_id(self, event: Event) -> bool:
        body = RequestFields(Request("POST", "/", body=json.dumps(event.data).encode()))
        return any(body.meets(when) for when in self.source.repeats)


@pytest.mark.parametrize(("provider", "variant"), SIGNING)
async def test_a_redelivery_that_is_signed_anew_is_the_same_event(provider: str, variant: str) -> None:
    sender = Sender(provider, variant)
    request = await sender.request()
    first = await sender.events(sender.signed(request, NOW), NOW)
    again = await sender.events(sender.signed(request, LATER), LATER)
    assert [one.id for one in first] == [one.id for one in again]
    assert "f" * 32 not in {one.id for one in first}  # the random one


def repeats_of(request: Request) -> Iterator[Request]:
    """As whoever has seen it can send it again: each header changed, gone, or of another content type."""
    for changed, _ in request.headers:
        others = tuple(pair for pair in request.headers if pair[0] != changed)
        yield replace(request, headers=others)
        yield replace(request, headers=(*others, (changed, "another")))
    others = tuple(pair for pair in request.headers if pair[0] != "content-type")
    for content_type in ("text/html", "image/png", "text/csv", "application/x-ndjson", "application/xml"):
        yield replace(request, headers=(*others, ("content-type", content_type)))
    for name in ("x-request-id", "svix-id", "webhook-id"):
        yield replace(request, headers=(*request.headers, (name, "msg_another")))


@pytest.mark.parametrize(("provider", "variant"), SIGNING)
async def test_signed_bytes_have_one_effect_under_any_header(provider: str, variant: str) -> None:
    sender, owners = Sender(provider, variant), FakeOwners()
    request = sender.signed(await sender.request())
    first = {(event.id, event.type) for event in await sender.events(request)}
    for event in await sender.events(request):
        assert await first_with_signed_bytes(event, owners) is None
    tried = 0
    for repeat in repeats_of(request):
        try:
            events = await sender.events(repeat)
        except (Rejected, AssertionError):  # refused, or answered as a handshake
            continue
        tried += 1
        for event in events:
            if await first_with_signed_bytes(event, owners) is None:
                assert (event.id, event.type) in first, [pair for pair in repeat.headers if pair not in request.headers]
    assert tried > 3


def github(body: Json, *headers: tuple[str, str]) -> Request:
    written = (("content-type", "application/json"), ("x-github-event", "push"), *headers)
    return Sender("github", "sha256").signed(Request("POST", "/", headers=written, body=json.dumps(body).encode()))


async def ids(request: Request, **settings: Json) -> list[str]:
    return [event.id for event in await Sender("github", "sha256", **settings).events(request)]


PUSH: Final[Json] = {"ref": "refs/heads/main", "after": "5eed", "repository": {"full_name": "a/b"}}
DISPATCH: Final[Json] = {"ref": "refs/heads/main", "workflow": ".github/workflows/ci.yaml", "inputs": None}
ONE: Final = ("x-github-delivery", "one")
TWO: Final = ("x-github-delivery", "two")


async def test_an_unsigned_delivery_id_names_no_event_and_stays_readable() -> None:
    [first] = await Sender("github", "sha256").events(github(PUSH, ONE))
    assert first.deliveryid == "one"
    assert await ids(github(PUSH, TWO)) == await ids(github(PUSH)) == [first.id]
    assert await ids(github({"after": "another"}, ONE)) != [first.id]


async def test_events_whose_bodies_repeat_are_distinguished_by_their_delivery_id_and_by_no_event_type() -> None:
    first = await ids(github(DISPATCH, ONE))
    assert await ids(github(DISPATCH, TWO)) != first == await ids(github(DISPATCH, ONE))
    push = github(PUSH, TWO)
    headers = tuple(pair for pair in push.headers if pair[0] != "x-github-event")
    called = replace(push, headers=(*headers, ("x-github-event", "workflow_dispatch")))
    assert await ids(called) == await ids(github(PUSH, ONE))


@pytest.mark.parametrize(("dedupe", "body", "is_same"), [("delivery_id", PUSH, False), ("signed", DISPATCH, True)])
async def test_the_source_may_say_what_makes_two_requests_one_event(dedupe: str, body: Json, is_same: bool) -> None:
    one, two = github(body, ONE), github(body, TWO)
    assert (await ids(one, dedupe=dedupe) == await ids(two, dedupe=dedupe)) is is_same


async def test_without_an_id_a_body_that_repeats_is_an_event_each_time_and_a_captured_one_is_not() -> None:
    sender = Sender("plaid", "jwt")
    request = Request("POST", "/", body=b'{"webhook_type": "TRANSACTIONS", "webhook_code": "SYNC_UPDATES_AVAILABLE"}')
    [first] = await sender.events(sent := sender.signed(request, NOW), NOW)
    [replayed] = await sender.events(sent, LATER)
    [other] = await sender.events(sender.signed(request, LATER), LATER)
    assert first.id == replayed.id != other.id


def shop(**settings: Json) -> Posting:
    auth: Json = {"scheme": "hmac", "header": "X-Sig", "secret": "key"}
    return Posting(f"shop: {json.dumps({'auth': auth, **settings})}", {"key": KEY})


def signature(body: bytes) -> tuple[str, str]:
    return "x-sig", hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("right", "body"),
    [
        ("application/json", b'{"orderId": 7}'),
        ("application/xml", b"<o><orderId>7</orderId></o>"),
        ("application/x-www-form-urlencoded", b"orderId=7"),
        ("application/yaml", b"orderId: 7"),
    ],
)
async def test_a_signed_body_of_an_own_sender_has_one_effect_under_any_content_type(right: str, body: bytes) -> None:
    posting, owners = shop(id="data.orderId", unwrap=True), FakeOwners()
    for content_type in (right, "text/html", "image/png", "text/csv", "application/yaml", "application/x-ndjson"):
        await posting.send("/shop", body, signature(body), ("content-type", content_type))
    events = posting.events
    counted = [event for event in events if await first_with_signed_bytes(event, owners) is None]
    assert len(events) > 3
    assert len({event.id for event in counted}) == 1


async def test_a_header_that_is_gone_does_not_lead_to_the_next_choice_of_an_id() -> None:
    body, posting = b'{"orderId": 7}', shop(id=["header.X-Delivery", "data.orderId"])
    await posting.send("/shop", body, signature(body), ("x-delivery", "1"))
    await posting.send("/shop", body, signature(body))
    one, two = posting.events
    assert one.id == two.id
    assert (one.deliveryid, two.deliveryid) == ("1", "7")
