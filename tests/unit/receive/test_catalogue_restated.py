"""Every entry whose key a test can hold: signed by code that knows nothing of the catalogue, through receive."""

import base64

import pytest

from deploy.config.sections.catalogue import load_catalogue
from shared.jsontext import Json
from tests.receiving import Receiving
from tests.unit.receive.restated import SIGNED
from tests.unit.receive.sent import JSON, NOW, SECRET, URL, Sent, sha256

# The key is the sender's alone: test_catalogue_public_keys.py and test_catalogue_certificates.py make their own.
PUBLIC_KEYS = {
    "travis", "sendgrid", "telnyx", "discord", "plaid", "google_pubsub", "aws_sns", "paypal", "ebay", "monday",
}  # fmt: skip
IN_HEAD = {"basic", "header", "bearer", "query"}
WAYS = sorted(SIGNED)
TIMED = [key for key in WAYS if SIGNED[key]().stale_after]


def receiving(provider: str, variant: str, sent: Sent, now: float = NOW, secret: str | None = None) -> Receiving:
    return Receiving(
        {"provider": provider, "variant": variant, "secret": "the-secret", "params": dict(sent.params)},
        {"the-secret": sent.secret if secret is None else secret},
        now,
        f"{URL}?{sent.query}" if sent.query else URL,
    )


async def code(where: Receiving, sent: Sent, body: bytes | None = None) -> str:
    return await where.code(list(sent.headers.items()), sent.body if body is None else body)


def scheme_of(provider: str, variant: str) -> str:
    return next(
        offered.scheme.scheme for offered in load_catalogue()[provider].auth if offered.scheme.variant == variant
    )


OVER_CONTENT = [way for way in WAYS if scheme_of(*way) not in {*IN_HEAD, "token"}]


def test_every_way_of_every_entry_is_tried_here_or_with_public_keys() -> None:
    offered = {(key, str(offered.scheme.variant)) for key, entry in load_catalogue().items() for offered in entry.auth}
    same_as = {key for key in offered if key[1] == "v1a"}  # tried with keys of its own
    assert offered - same_as - {key for key in offered if key[0] in PUBLIC_KEYS} == set(SIGNED)


async def test_what_the_sender_signed_is_accepted() -> None:
    codes = {}
    for way in WAYS:
        sent = SIGNED[way]()
        codes[way] = await code(receiving(*way, sent), sent)
    assert codes == dict.fromkeys(WAYS, "")


async def test_another_secret_is_rejected() -> None:
    codes = {}
    for way in WAYS:
        sent = SIGNED[way]()
        other = sent.secret[:-4] + ("AAA=" if sent.secret.endswith("=") else "0000")
        codes[way] = await code(receiving(*way, sent, secret=other), sent)
    assert {way: each for way, each in codes.items() if each not in {"signature_mismatch", "password_mismatch"}} == {}


async def test_the_secret_before_the_newest_is_accepted_too() -> None:
    codes = {}
    for way in WAYS:
        sent = SIGNED[way]()
        newest = sent.secret[:-4] + sent.secret[-4:][::-1].replace("=", "A")
        codes[way] = await code(receiving(*way, sent, secret=f"{newest}\n{sent.secret}\n"), sent)
    assert codes == dict.fromkeys(WAYS, "")


async def test_one_more_byte_in_the_body_is_rejected() -> None:
    codes = {}
    for way in [each for each in OVER_CONTENT if each[0] != "mailgun"]:
        sent = SIGNED[way]()
        changed = sent.body.replace(b"true", b"false") if way[1] == "standard_item" else sent.body + b"x"
        codes[way] = await code(receiving(*way, sent), sent, changed)
    assert codes == dict.fromkeys(codes, "signature_mismatch")


async def test_without_its_signature_it_is_rejected() -> None:
    codes = {}
    for way in OVER_CONTENT:
        sent = SIGNED[way]()
        bare = Sent({"Content-Type": sent.headers["Content-Type"]}, b"{}")
        where = receiving(*way, sent)
        if way[0] == "vercel_log_drain":  # which asks whose URL it is in such a request
            assert (await where.reply("POST", list(bare.headers.items()), bare.body)).body == b""
        else:
            codes[way] = await code(where, bare)
    assert codes == dict.fromkeys(codes, "signature_mismatch")


async def test_it_is_accepted_within_the_senders_tolerance_and_no_longer() -> None:
    codes = {}
    for way in TIMED:
        sent = SIGNED[way]()
        assert sent.stale_after
        edges = sent.stale_after - 1, sent.stale_after + 1, -sent.stale_after - 1
        codes[way] = [await code(receiving(*way, sent, NOW + edge), sent) for edge in edges]
    assert codes == {way: ["", "timestamp_out_of_range", "timestamp_out_of_range"] for way in TIMED}


async def test_a_source_may_be_more_patient_than_its_provider() -> None:
    sent = SIGNED["paddle", "h1"]()
    patient = receiving("paddle", "h1", sent, NOW + 60)
    patient.source["tolerance"] = "2m"
    assert await code(patient, sent) == ""


async def test_the_variant_needs_no_naming_unless_it_is_on_request() -> None:
    rejected, on_request = set(), set()
    for provider, variant in WAYS:
        sent = SIGNED[provider, variant]()
        where = receiving(provider, variant, sent)
        del where.source["variant"]
        if await code(where, sent):
            rejected.add((provider, variant))
        if any(each.on_request for each in load_catalogue()[provider].auth if each.scheme.variant == variant):
            on_request.add((provider, variant))
    assert rejected == on_request


@pytest.mark.parametrize("provider", ["microsoft_graph", "microsoft_sharepoint"])
async def test_one_item_without_the_token_rejects_all(provider: str) -> None:
    sent = SIGNED[provider, "client_state"]()
    one_wrong = sent.body.replace(SECRET.encode(), b"wrong", 1)
    assert await code(receiving(provider, "client_state", sent), sent, one_wrong) == "password_mismatch"
    assert await code(receiving(provider, "client_state", sent), sent, b'{"value": []}') == "password_mismatch"


async def test_a_json_body_cannot_hide_behind_a_signature_over_no_form() -> None:
    sent = SIGNED["twilio", "form"]()
    signed_bare = SIGNED["mandrill", "sha1"]()
    for provider, variant, given in (("twilio", "form", sent), ("mandrill", "sha1", signed_bare)):
        as_json = Sent({**given.headers, "Content-Type": "application/json"}, b'{"forged": true}', given.query)
        assert await code(receiving(provider, variant, given), as_json) == "signature_mismatch"


async def test_gitlabs_plain_token_is_no_signing_token_whatever_a_stranger_sends_and_both_may_be_kept() -> None:
    signed, plain = SIGNED["gitlab", "signing_token"](), SIGNED["gitlab", "token"]()
    source: dict[str, Json] = {"provider": "gitlab", "secret": "the-secret"}
    assert await code(Receiving(source, {"the-secret": SECRET}, NOW), signed) == "signature_mismatch"
    for sent in (signed, plain):
        assert await code(Receiving(source, {"the-secret": f"{signed.secret}\n{SECRET}"}, NOW), sent) == ""


async def test_what_two_sources_of_cloudevents_call_the_same_are_two_events() -> None:
    where = Receiving({"provider": "cloudevents_webhook", "secret": "the-secret"}, {"the-secret": SECRET}, NOW)
    token = {"Authorization": f"Bearer {SECRET}"}
    ids = set()
    for source in ("/a", "/b", "/b"):
        headers = [*(JSON | token).items(), ("ce-source", source), ("ce-id", "1")]
        [binary] = await where.events(headers, b"{}")
        [structured] = await where.events(list((JSON | token).items()), f'{{"source": "{source}", "id": "1"}}'.encode())
        assert binary.id == structured.id
        ids.add(binary.id)
    assert len(ids) == 2


async def test_two_orders_that_woocommerce_sends_in_one_second_are_two_events() -> None:
    where = Receiving({"provider": "woocommerce", "secret": "the-secret"}, {"the-secret": SECRET}, NOW)
    ids = []
    for body in (b'{"id": 1}', b'{"id": 2}', b'{"id": 2}', b'{"action": "a"}'):
        signature = base64.b64encode(sha256(body)).decode()
        headers = {"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Delivery-ID": "hook-and-second"}
        [event] = await where.events(list((JSON | headers).items()), body)
        ids.append(event.id)
    assert ids[1] == ids[2]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("variant", ["json", "form"])
async def test_a_signature_of_mailguns_that_was_seen_makes_no_second_event_of_another_body(variant: str) -> None:
    sent = SIGNED["mailgun", variant]()
    where = receiving("mailgun", variant, sent)
    [genuine] = await where.events(list(sent.headers.items()), sent.body)
    [forged] = await where.events(list(sent.headers.items()), sent.body.replace(b"opened", b"complained"))
    assert (genuine.deliveryid, genuine.id) == (forged.deliveryid, forged.id) == ("token", genuine.id)
    assert forged.payloadhash != genuine.payloadhash


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (b'{"update_id": 1, "message": {"text": "hi"}}', "message"),
        (b'{"callback_query": {}, "update_id": 1}', "callback_query"),
        (b'{"update_id": 1, "message": {}, "other": {}}', "received"),
        (b'{"update_id": 1}', "received"),
        (b'{"message": {}, "event": "e"}', "e"),
        (b"[1, 2]", "received"),
    ],
)
async def test_an_update_of_telegrams_is_of_the_type_that_its_other_key_names(body: bytes, type_: str) -> None:
    sent = SIGNED["telegram", "secret_token"]()
    [event] = await receiving("telegram", "secret_token", sent).events(list(sent.headers.items()), body)
    assert event.type == type_


async def test_shopifys_events_say_of_which_shop_they_are_as_their_bodies_do_not() -> None:
    sent = SIGNED["shopify", "sha256"]()
    headers = [*sent.headers.items(), ("X-Shopify-Shop-Domain", "apples.myshopify.com")]
    [event] = await receiving("shopify", "sha256", sent).events(headers, sent.body)
    assert event.subject == "apples.myshopify.com"
