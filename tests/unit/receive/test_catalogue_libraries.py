"""Requests made by the senders' own libraries, or by independent ones, through receive.

tests/functional/test_vendor_libraries.py has the libraries that verify our samples. The requests here differ from every
sample: in their URL, in their key, or in the names of their headers.
"""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Final

import pytest
from standardwebhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped] # the library has none

from shared.signatures.signing import hmac_text
from tests.in_process.receiving import URL
from tests.unit.receive.sender_keys import NOW, receiving

BODY: Final = '{"type": "invoice.paid", "id": "evt_1", "text": "é"}'
JSON: Final = ("content-type", "application/json")
WHSEC: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize("url", [f"{URL}?a=b", URL.replace("example.com", "example.com:443"), URL])
async def test_twilios_library_agrees(url: str) -> None:
    secret = "twilio-auth-token-0123"
    form = {"From": "+15551234", "Body": "hi & bye", "Empty": ""}
    signature = RequestValidator(secret).compute_signature(url, form)
    headers = [("content-type", "application/x-www-form-urlencoded"), ("X-Twilio-Signature", signature)]
    asked = url.replace(":443", "")
    body = b"From=%2B15551234&Body=hi+%26+bye&Empty="
    assert await receiving("twilio", secret, url=asked).code(headers, body) == ""
    assert await receiving("twilio", secret, url=asked).code(headers, body + b"x") == "signature_mismatch"


@pytest.mark.parametrize("algorithm", ["HMAC_SHA256", "HMAC_SHA1"])
@pytest.mark.parametrize("is_json", [False, True])
async def test_twilios_library_signs_with_a_shared_key_as_its_settings_say(algorithm: str, is_json: bool) -> None:
    secret = "twilio-shared-key-0123"
    body = b'{"From": "+15551234"}' if is_json else b"From=%2B15551234"
    url = f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}" if is_json else URL
    signature = RequestValidator(secret).compute_signature(url, {} if is_json else {"From": "+15551234"}, algorithm)
    headers = [
        ("content-type", "application/json" if is_json else "application/x-www-form-urlencoded"),
        ("X-Twilio-Signature", signature),
        ("X-Twilio-Webhooks-Signature-Settings", f"key=webhooks_sharedkey_1,algorithm={algorithm}"),
    ]
    assert await receiving("twilio", f"the-auth-token\n{secret}", url=url).code(headers, body) == ""
    assert await receiving("twilio", "the-auth-token", url=url).code(headers, body) == "signature_mismatch"
    assert await receiving("twilio", secret, url=url).code(headers, body + b" ") == "signature_mismatch"
    without_settings = [*headers[:2]]
    expected = "" if algorithm == "HMAC_SHA1" else "signature_mismatch"
    assert await receiving("twilio", secret, url=url).code(without_settings, body) == expected


@pytest.mark.parametrize("secret", [f"v1,{WHSEC}", WHSEC, f"v1,whsec_c29tZSBvdGhlciBrZXk=\nv1,{WHSEC}"])
async def test_supabase_signs_by_each_secret_that_it_shows_and_names_an_attempt_anew(secret: str) -> None:
    body = b'{"metadata": {"uuid": "3f8c1a52", "name": "send-email"}, "user": {"id": "91d7e0b4"}}'
    ids = set()
    for attempt in ("one", "two"):
        others = StandardWebhook("whsec_YW5vdGhlciBrZXk=").sign(
            attempt, datetime.fromtimestamp(NOW, UTC), body.decode()
        )
        signature = StandardWebhook(WHSEC).sign(attempt, datetime.fromtimestamp(NOW, UTC), body.decode())
        for signatures in (f"{signature}, {others}", f"{others}, {signature}"):
            headers = [("webhook-id", attempt), ("webhook-timestamp", str(NOW)), ("webhook-signature", signatures)]
            [event] = await receiving("supabase", secret).events([JSON, *headers], body)
            assert (event.type, event.subject, event.deliveryid) == ("send-email", "91d7e0b4", "3f8c1a52")
            ids.add(event.id)
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("secret", "key", "code"),
    [
        ("polar_whs_0123456789abcdef", b"polar_whs_0123456789abcdef", ""),
        (WHSEC, WHSEC.encode(), ""),
        (WHSEC, base64.b64decode(WHSEC.removeprefix("whsec_")), ""),
        (f"other\n{WHSEC}", base64.b64decode(WHSEC.removeprefix("whsec_")), ""),
        (WHSEC, WHSEC.removeprefix("whsec_").encode(), "signature_mismatch"),
        ("polar_whs_0123456789abcdef", b"another-key", "signature_mismatch"),
    ],
)
async def test_polars_key_is_the_secrets_text_or_what_it_holds_in_base64(secret: str, key: bytes, code: str) -> None:
    signature = "v1," + hmac_text(f"msg_1.{NOW}.{BODY}".encode(), key, "sha256", "base64")
    headers = [JSON, ("webhook-id", "msg_1"), ("webhook-timestamp", str(NOW)), ("webhook-signature", signature)]
    assert await receiving("polar", secret).code(headers, BODY.encode()) == code


async def test_shopifys_events_have_headers_without_x_and_may_repeat_their_body() -> None:
    body = b'{"topic": "Product", "action": "update", "handle": "prices", "fields_changed": {}}'
    signature = hmac_text(body, b"client-secret-0123", "sha256", "base64")
    ids = set()
    for delivery in ("one", "two", "two"):
        headers = [
            JSON,
            ("Shopify-Topic", "Product"),
            ("Shopify-Action", "update"),
            ("Shopify-Webhook-Id", delivery),
            ("Shopify-Shop-Domain", "orchard.myshopify.com"),
            ("Shopify-Triggered-At", "2026-11-30T09:00:00.123456789Z"),
            ("Shopify-Hmac-Sha256", signature),
        ]
        [event] = await receiving("shopify", "client-secret-0123").events(headers, body)
        assert (event.type, event.action) == ("Product", "update")
        assert (event.subject, event.deliveryid) == ("orchard.myshopify.com", delivery)
        assert event.time == "2026-11-30T09:00:00.123Z"
        ids.add(event.id)
    assert len(ids) == 2
    assert await receiving("shopify", "client-secret-0123").code(headers, body + b" ") == "signature_mismatch"
    assert await receiving("shopify", "client-secret-0123", variant="sha256").code(headers, body) != ""


@pytest.mark.parametrize("provider", ["resend", "clerk", "recall_ai"])
@pytest.mark.parametrize("names", ["svix", "webhook"])
async def test_svixs_library_agrees_under_either_name(provider: str, names: str) -> None:
    signature = SvixWebhook(WHSEC).sign("msg_1", datetime.fromtimestamp(NOW, UTC), BODY)
    headers = [JSON, (f"{names}-id", "msg_1"), (f"{names}-timestamp", str(NOW)), (f"{names}-signature", signature)]
    assert await receiving(provider, WHSEC).code(headers, BODY.encode()) == ""
    assert await receiving(provider, WHSEC).code(headers, b"{}") == "signature_mismatch"


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("", "2ef80370d510553ab54d730a20b9d46580941d52d078f98a22fc7dd2cc8c446d"),
        ("a=b%20c&d=%C3%A9", "2b637f5e64c66024ce6e609b1047b498b5d666d41c2ebc255b9da848fcb4b3b3"),
    ],
)
async def test_what_contentfuls_library_signed_verifies(query: str, signature: str) -> None:
    # signRequest of @contentful/node-apps-toolkit 3.16.1 made these
    prefix = "x-contentful-"
    headers = [
        ("X-Contentful-Topic", "ContentManagement.Entry.publish"),
        ("Content-Type", "application/vnd.contentful.management.v1+json"),
        ("X-Contentful-Timestamp", f"{NOW}000"),
        ("X-Contentful-Signed-Headers", f"content-type,{prefix}signed-headers,{prefix}timestamp,{prefix}topic"),
        ("X-Contentful-Signature", signature),
    ]
    body = '{"sys":{"type":"Entry","id":"42"},"title":"é"}'.encode()
    secret = "contentful-signing-secret-of-64-characters-0123456789abcdefghijk"
    url = f"{URL}?{query}" if query else URL
    assert await receiving("contentful", secret, url=url).code(headers, body) == ""
    assert await receiving("contentful", secret, url=url).code(headers, body + b" ") == "signature_mismatch"


async def test_two_changes_of_a_record_of_attios_are_two_events_although_their_bodies_are_the_same() -> None:
    body = b'{"webhook_id": "w", "events": [{"event_type": "record.updated", "id": {"record_id": "r"}}]}'
    signature = ("Attio-Signature", hmac_text(body, b"attio-secret-0123", "sha256", "hex"))
    ids = []
    for delivery in ("one", "two", "two"):
        headers = [JSON, signature, ("Idempotency-Key", delivery)]
        [event] = await receiving("attio", "attio-secret-0123").events(headers, body)
        assert (event.type, event.subject) == ("record.updated", "r")
        ids.append(event.id)
    assert ids[0] != ids[1] == ids[2]


async def test_what_sanitys_library_signed_verifies() -> None:
    # encodeSignatureHeader of @sanity/webhook 4.0.4 made this
    signature = f"t={NOW}123,v1=jNVlW-CnXC_pb3InfBArUhAlZ2gurMWhL0hVcq2Gc9s"
    body, secret = '{"_id":"doc-42","title":"é"}'.encode(), "sanity-webhook-secret-of-our-own"
    headers = [JSON, ("sanity-webhook-signature", signature)]
    assert await receiving("sanity", secret).code(headers, body) == ""
    assert await receiving("sanity", secret).code(headers, body + b" ") == "signature_mismatch"


@pytest.mark.parametrize("provider", ["bitbucket", "jira"])
async def test_atlassians_published_example_verifies(provider: str) -> None:
    signature = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    where = receiving(provider, "It's a Secret to Everybody")
    assert await where.code([("X-Hub-Signature", signature)], b"Hello World!") == "malformed_body"  # it is no JSON
