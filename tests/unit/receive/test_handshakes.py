"""What providers ask of an endpoint, answered through the real decision; none of it makes an event."""

import base64
import hashlib
import hmac
import json
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.jsontext import Json
from tests.receiving import URL, Receiving
from tests.unit.receive.handshaking import JSON, NOW, SECRET, data, is_plain_text, mac, receiving

# Signed, so answered to nobody else


def slack(body: bytes) -> list[tuple[str, str]]:
    signature = "v0=" + hmac.new(SECRET.encode(), f"v0:{NOW}:".encode() + body, hashlib.sha256).hexdigest()
    return [JSON, ("X-Slack-Request-Timestamp", str(NOW)), ("X-Slack-Signature", signature)]


async def test_slacks_challenge_is_answered_once_it_is_proven() -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a"}).encode()
    assert is_plain_text(await receiving("slack").reply("POST", slack(body), body), "3eZbrw1a")
    assert await receiving("slack").code(slack(b"other"), body) == "signature_mismatch"


async def test_an_event_that_is_no_handshake_stays_an_event() -> None:
    body = json.dumps({"type": "event_callback", "event_id": "Ev1", "event": {"type": "message"}}).encode()
    [event] = await receiving("slack").events(slack(body), body)
    assert (event.type, event.deliveryid) == ("message", "Ev1")


async def test_zooms_token_comes_back_signed() -> None:
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZ"}}).encode()
    signature = "v0=" + hmac.new(SECRET.encode(), f"v0:{NOW}:".encode() + body, hashlib.sha256).hexdigest()
    headers = [JSON, ("x-zm-request-timestamp", str(NOW)), ("x-zm-signature", signature)]
    reply = await receiving("zoom").reply("POST", headers, body)
    assert data(reply) == {"plainToken": "qgg8vlvZ", "encryptedToken": mac("qgg8vlvZ").hex()}
    assert await receiving("zoom").code([JSON], body) == "signature_mismatch"


@pytest.mark.parametrize(("kind", "status", "answer"), [(1, 200, b'{"type":1}'), (0, 204, b"")])
async def test_discords_pings_are_answered_as_each_wants(kind: int, status: int, answer: bytes) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    body = json.dumps({"type": kind}).encode()
    signature = key.sign(str(NOW).encode() + body).hex()
    headers = [JSON, ("X-Signature-Ed25519", signature), ("X-Signature-Timestamp", str(NOW))]
    reply = await receiving("discord", secrets={"the-secret": public}).reply("POST", headers, body)
    assert (reply.status, reply.body) == (status, answer)
    assert dict(reply.headers)["content-type"]


async def test_twitchs_challenge_is_answered_once_it_is_proven() -> None:
    body = b'{"challenge": "pogchamp-kappa"}'
    at = "2026-09-21T14:13:20Z"
    headers = [
        JSON,
        ("Twitch-Eventsub-Message-Id", "1"),
        ("Twitch-Eventsub-Message-Timestamp", at),
        ("Twitch-Eventsub-Message-Type", "webhook_callback_verification"),
        ("Twitch-Eventsub-Message-Signature", "sha256=" + mac("1" + at + body.decode()).hex()),
    ]
    assert is_plain_text(await receiving("twitch").reply("POST", headers, body), "pogchamp-kappa")
    assert await receiving("twitch").code(headers[:-1], body) == "signature_mismatch"


async def test_tebex_gets_the_id_of_its_validation_back() -> None:
    body = b'{"type": "validation.webhook", "id": "0b1"}'
    signature = mac(hashlib.sha256(body).hexdigest()).hex()
    assert data(await receiving("tebex").reply("POST", [JSON, ("X-Signature", signature)], body)) == {"id": "0b1"}


# By GET, HEAD and OPTIONS


@pytest.mark.parametrize(("provider", "is_json"), [("meta", False), ("strava", True)])
async def test_a_subscription_is_confirmed_for_whoever_has_the_verify_token(provider: str, is_json: bool) -> None:
    secrets = {"the-secret": SECRET, "verify-token": "the-token-we-both-know"}
    more: dict[str, Json] = {"params": {"verify_token": "verify-token"}}
    if provider == "strava":
        more |= {"auth": {"scheme": "path", "secret": "the-secret"}}
    query = "hub.mode=subscribe&hub.challenge=15f7d1a91c1f40f8a748fd134752feb3&hub.verify_token="
    where = receiving(provider, query + "the-token-we-both-know", secrets, **more)
    if provider == "strava":
        del where.source["secret"]
    reply = await where.reply("GET")
    if is_json:
        assert data(reply) == {"hub.challenge": "15f7d1a91c1f40f8a748fd134752feb3"}
    else:
        assert is_plain_text(reply, "15f7d1a91c1f40f8a748fd134752feb3")
    where.url = f"{URL}?{query}wrong"
    assert await where.code([], b"", "GET") == "password_mismatch"


async def test_metas_verify_token_is_the_sources_own_secret_where_no_other_is_named() -> None:
    query = f"hub.mode=subscribe&hub.challenge=42&hub.verify_token={SECRET}"
    assert is_plain_text(await receiving("meta", query).reply("GET"), "42")


async def test_xs_crc_is_answered_under_the_consumer_secret() -> None:
    reply = await receiving("x_twitter", "crc_token=MDEyMzQ1Njc4OQ").reply("GET")
    expected = "sha256=" + base64.b64encode(mac("MDEyMzQ1Njc4OQ")).decode()
    assert data(reply) == {"response_token": expected}


@pytest.mark.parametrize("asked", ['{"forged":true}', "two words", "", "[1]", "a" * 600])
async def test_no_handshake_signs_what_could_be_an_event(asked: str) -> None:
    where = receiving("x_twitter", f"crc_token={quote(asked)}")
    assert await where.code([], b"", "GET") == "malformed_body"


@pytest.mark.parametrize("body", [b"123", b"true", b"word", b"field=value"])
async def test_what_a_handshake_would_sign_for_anyone_is_no_event(body: bytes) -> None:
    signature = "sha256=" + base64.b64encode(mac(body.decode())).decode()
    assert (
        await receiving("x_twitter").code([("X-Twitter-Webhooks-Signature", signature)], body) == "signature_mismatch"
    )


@pytest.mark.parametrize("body", [b"", b"word"])
async def test_nor_is_what_a_handshake_signs_with_the_word_that_stands_before_an_event(body: bytes) -> None:
    where = receiving("linkedin", f"challengeCode={quote(b'hmacsha256=' + body)}")
    signature = mac("hmacsha256=" + body.decode()).hex()
    assert signature.encode() in (await where.reply("GET")).body
    assert await receiving("linkedin").code([("X-LI-Signature", signature)], body) == "signature_mismatch"


async def test_linkedin_gets_its_code_back_and_signed() -> None:
    reply = await receiving("linkedin", "challengeCode=890e4665-4dfe").reply("GET")
    assert data(reply) == {"challengeCode": "890e4665-4dfe", "challengeResponse": mac("890e4665-4dfe").hex()}


@pytest.mark.parametrize("provider", ["dropbox", "nylas"])
async def test_a_challenge_in_the_query_comes_back_as_plain_text(provider: str) -> None:
    assert is_plain_text(await receiving(provider, "challenge=%3Cscript%3E").reply("GET"), "<script>")


async def test_okta_gets_its_challenge_back() -> None:
    reply = await receiving("okta").reply("GET", [("X-Okta-Verification-Challenge", 'quo"te')])
    assert data(reply) == {"verification": 'quo"te'}


async def test_ebay_gets_the_digest_of_code_token_and_endpoint() -> None:
    more: dict[str, Json] = {"params": {"verification_token": "tok_1"}}
    reply = await receiving("ebay", "challenge_code=c1", None, **more).reply("GET")
    assert data(reply) == {"challengeResponse": hashlib.sha256(f"c1tok_1{URL}".encode()).hexdigest()}


@pytest.mark.parametrize("provider", ["mandrill", "trello"])
async def test_the_url_is_checked_before_there_is_a_key(provider: str) -> None:
    reply = await receiving(provider, secrets={}).reply("HEAD")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("provider", ["cloudevents_webhook", "azure_event_grid"])
async def test_a_sender_that_asks_whether_it_may_send_may(provider: str) -> None:
    where = receiving(provider)
    if provider == "azure_event_grid":
        where = Receiving({"provider": provider, "auth": "none"}, {}, NOW)
    reply = await where.reply("OPTIONS", [("WebHook-Request-Origin", "eventemitter.example.com")])
    headers = dict(reply.headers)
    assert (headers["webhook-allowed-origin"], headers["allow"]) == ("eventemitter.example.com", "POST")
    assert headers["webhook-allowed-rate"] == "*"


@pytest.mark.parametrize(
    ("provider", "method"),
    [("slack", "GET"), ("x_twitter", "GET"), ("dropbox", "HEAD"), ("github", "OPTIONS"), ("okta", "GET")],
)
async def test_a_method_without_its_handshake_is_rejected(provider: str, method: str) -> None:
    assert await receiving(provider).code([], b"", method) == "method_not_allowed"
