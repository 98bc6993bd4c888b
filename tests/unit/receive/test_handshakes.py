"""What providers ask of an endpoint, answered through the real decision; none of it makes an event."""

import base64
import hashlib
import hmac
import json
from typing import Final
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, strategies as st

from shared.errors import Rejected
from shared.http import Reply
from shared.jsontext import Json
from tests.in_process.receiving import URL, Receiving

NOW: Final = 1_790_000_000
SECRET: Final = "a-secret-of-the-provider-s-own"
JSON: Final = ("content-type", "application/json")


def receiving(provider: str, query: str = "", secrets: dict[str, str] | None = None, **more: Json) -> Receiving:
    source: dict[str, Json] = {"provider": provider, "secret": "the-secret", **more}
    url = f"{URL}?{query}" if query else URL
    return Receiving(source, {"the-secret": SECRET} if secrets is None else secrets, NOW, url)


def mac(content: str) -> bytes:
    return hmac.new(SECRET.encode(), content.encode(), hashlib.sha256).digest()


def data(reply: Reply) -> Json:
    value: Json = json.loads(reply.body)
    return value


def is_plain_text(reply: Reply, text: str) -> bool:
    headers = dict(reply.headers)
    is_safe = headers["content-type"].startswith("text/plain") and headers["x-content-type-options"] == "nosniff"
    return reply.status == 200 and is_safe and reply.body == text.encode()


# Signed, so answered to nobody else


def v0(body: bytes, time_header: str, signature_header: str) -> list[tuple[str, str]]:
    return [JSON, (time_header, str(NOW)), (signature_header, "v0=" + mac(f"v0:{NOW}:{body.decode()}").hex())]


async def test_slacks_challenge_is_answered_once_it_is_proven() -> None:
    body = b'{"type": "url_verification", "challenge": "3eZb"}'
    names = ("X-Slack-Request-Timestamp", "X-Slack-Signature")
    assert is_plain_text(await receiving("slack").reply("POST", v0(body, *names), body), "3eZb")
    assert await receiving("slack").code(v0(b"other", *names), body) == "signature_mismatch"


async def test_zooms_token_comes_back_signed() -> None:
    body = b'{"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8"}}'
    reply = await receiving("zoom").reply("POST", v0(body, "x-zm-request-timestamp", "x-zm-signature"), body)
    assert data(reply) == {"plainToken": "qgg8", "encryptedToken": mac("qgg8").hex()}
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
    body, at, name = b'{"challenge": "kappa"}', "2026-09-21T14:13:20Z", "Twitch-Eventsub-Message"
    headers = [JSON, (f"{name}-Id", "1"), (f"{name}-Timestamp", at), (f"{name}-Type", "webhook_callback_verification")]
    signature = (f"{name}-Signature", "sha256=" + mac("1" + at + body.decode()).hex())
    assert is_plain_text(await receiving("twitch").reply("POST", [*headers, signature], body), "kappa")
    assert await receiving("twitch").code(headers, body) == "signature_mismatch"


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
    query = "hub.mode=subscribe&hub.challenge=15f7&hub.verify_token="
    where = receiving(provider, query + "the-token-we-both-know", secrets, **more)
    if provider == "strava":
        del where.source["secret"]
    reply = await where.reply("GET")
    if is_json:
        assert data(reply) == {"hub.challenge": "15f7"}
    else:
        assert is_plain_text(reply, "15f7")
    where.url = f"{URL}?{query}wrong"
    assert await where.code([], b"", "GET") == "password_mismatch"


async def test_metas_verify_token_is_the_sources_own_secret_where_no_other_is_named() -> None:
    query = f"hub.mode=subscribe&hub.challenge=42&hub.verify_token={SECRET}"
    assert is_plain_text(await receiving("meta", query).reply("GET"), "42")


@pytest.mark.parametrize(
    ("provider", "query", "headers", "answer"),
    [
        ("x_twitter", "crc_token=c1", [], {"response_token": "sha256=" + base64.b64encode(mac("c1")).decode()}),
        ("linkedin", "challengeCode=c1", [], {"challengeCode": "c1", "challengeResponse": mac("c1").hex()}),
        ("okta", "", [("X-Okta-Verification-Challenge", 'quo"te')], {"verification": 'quo"te'}),
        ("ebay", "challenge_code=c1", [], {"challengeResponse": hashlib.sha256(f"c1tok_1{URL}".encode()).hexdigest()}),
    ],
)
async def test_a_question_by_get_has_its_answer_in_json(
    provider: str, query: str, headers: list[tuple[str, str]], answer: Json
) -> None:
    params: Json = {"verification_token": "tok_1"} if provider == "ebay" else {}
    assert data(await receiving(provider, query, params=params).reply("GET", headers)) == answer


@pytest.mark.parametrize("asked", ['{"forged":true}', "two words", "", "a" * 600])
async def test_no_handshake_signs_what_could_be_an_event(asked: str) -> None:
    where = receiving("x_twitter", f"crc_token={quote(asked)}")
    assert await where.code([], b"", "GET") == "malformed_body"


@pytest.mark.parametrize("body", [b"123", b"true", b"word"])
async def test_what_a_handshake_would_sign_for_anyone_is_no_event(body: bytes) -> None:
    signature = ("X-Twitter-Webhooks-Signature", "sha256=" + base64.b64encode(mac(body.decode())).decode())
    assert await receiving("x_twitter").code([signature], body) == "signature_mismatch"


async def test_nor_is_what_a_handshake_signs_with_the_word_that_stands_before_an_event() -> None:
    signature = mac("hmacsha256=word").hex()
    where = receiving("linkedin", f"challengeCode={quote('hmacsha256=word')}")
    assert signature.encode() in (await where.reply("GET")).body
    assert await receiving("linkedin").code([("X-LI-Signature", signature)], b"word") == "signature_mismatch"


@pytest.mark.parametrize(
    ("provider", "method", "query"),
    [
        ("dropbox", "GET", "challenge"),
        ("nylas", "GET", "challenge"),
        ("microsoft_graph", "POST", "validationToken"),
        ("microsoft_sharepoint", "POST", "validationtoken"),
    ],
)
async def test_a_challenge_in_the_query_comes_back_as_plain_text(provider: str, method: str, query: str) -> None:
    where = receiving(provider, f"{query}=%3Ca%3E%3A%20b")
    assert is_plain_text(await where.reply(method), "<a>: b")


@pytest.mark.parametrize("text", ["", "a%0D%0Ab", "a%7Fb", "%C3%A9"])
async def test_a_challenge_that_is_no_printable_ascii_does_not_come_back(text: str) -> None:
    assert await receiving("dropbox", f"challenge={text}").code([], b"", "GET") == "malformed_body"


@pytest.mark.parametrize("provider", ["mandrill", "trello"])
async def test_the_url_is_checked_before_there_is_a_key(provider: str) -> None:
    reply = await receiving(provider, secrets={}).reply("HEAD")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("provider", ["cloudevents_webhook", "azure_event_grid"])
async def test_a_sender_that_asks_whether_it_may_send_may(provider: str) -> None:
    auth: dict[str, Json] = {"auth": "none"} if provider == "azure_event_grid" else {"secret": "the-secret"}
    where = Receiving({"provider": provider, **auth}, {"the-secret": SECRET}, NOW)
    headers = dict((await where.reply("OPTIONS", [("WebHook-Request-Origin", "eventemitter.example.com")])).headers)
    assert (headers["webhook-allowed-origin"], headers["allow"]) == ("eventemitter.example.com", "POST")
    assert headers["webhook-allowed-rate"] == "*"


@pytest.mark.parametrize(
    ("provider", "method"), [("slack", "GET"), ("x_twitter", "GET"), ("dropbox", "HEAD"), ("github", "OPTIONS")]
)
async def test_a_method_without_its_handshake_is_rejected(provider: str, method: str) -> None:
    assert await receiving(provider).code([], b"", method) == "method_not_allowed"


async def test_azures_validation_code_comes_back() -> None:
    body = json.dumps([{"eventType": "x", "data": {"validationCode": "512d38b6"}}]).encode()
    where = Receiving({"provider": "azure_event_grid", "auth": "none"}, {}, NOW)
    reply = await where.reply("POST", [JSON, ("aeg-event-type", "SubscriptionValidation")], body)
    assert data(reply) == {"validationResponse": "512d38b6"}


async def test_asana_gets_the_secret_it_made_back_before_there_is_one() -> None:
    reply = await receiving("asana", secrets={}).reply("POST", [JSON, ("X-Hook-Secret", "b537")], b"{}")
    assert dict(reply.headers)["x-hook-secret"] == "b537"


async def test_monday_and_front_get_their_challenges_back() -> None:
    reply = await receiving("monday").reply("POST", [JSON], b'{"challenge": "3eZb"}')
    assert data(reply) == {"challenge": "3eZb"}
    assert is_plain_text(await receiving("front").reply("POST", [JSON, ("X-Front-Challenge", "c1")], b"{}"), "c1")


async def test_woocommerces_ping_passes_and_a_signed_event_is_none() -> None:
    form = ("content-type", "application/x-www-form-urlencoded")
    assert (await receiving("woocommerce").reply("POST", [form], b"webhook_id=7")).status == 200
    signed = [form, ("X-WC-Webhook-Signature", base64.b64encode(mac("webhook_id=7")).decode())]
    assert len(await receiving("woocommerce").events(signed, b"webhook_id=7")) == 1


async def test_vercel_finds_its_text_in_what_answers_its_unsigned_question_alone() -> None:
    params: Json = {"verification_token": "v1a2b3"}
    where = receiving("vercel_log_drain", params=params)
    reply = await where.reply("POST", [JSON], b"[]")
    assert (reply.status, dict(reply.headers)["x-vercel-verify"]) == (200, "v1a2b3")
    log = b'[{"id": "1"}]'
    signature = hmac.new(SECRET.encode(), log, "sha1").hexdigest()
    assert len(await where.events([JSON, ("x-vercel-signature", signature)], log)) == 1
    where = receiving("vercel_log_drain", params=params)
    assert await where.code([JSON, ("x-vercel-signature", "00")], log) == "signature_mismatch"


async def test_no_event_is_taken_for_vercels_question_where_events_are_proven_otherwise() -> None:
    source: dict[str, Json] = {"provider": "vercel_log_drain", "params": {"verification_token": "v1a2b3"}}
    source |= {"auth": {"scheme": "bearer", "secret": "the-secret"}}
    where = Receiving(source, {"the-secret": SECRET}, NOW)
    assert len(await where.events([JSON, ("Authorization", f"Bearer {SECRET}")], b"[]")) == 1


async def test_xeros_probes_get_the_200_and_the_401_they_want() -> None:
    body = b'{"events": [], "firstEventSequence": 0}'
    good = base64.b64encode(mac(body.decode())).decode()
    assert await receiving("xero").events([JSON, ("x-xero-signature", good)], body) == ()
    assert await receiving("xero").code([JSON, ("x-xero-signature", good[::-1])], body) == "signature_mismatch"


async def test_an_operators_own_way_of_proof_leaves_out_what_only_the_providers_secret_could_answer() -> None:
    source: dict[str, Json] = {"provider": "x_twitter", "auth": {"scheme": "bearer", "secret": "the-secret"}}
    where = Receiving(source, {"the-secret": SECRET}, NOW, f"{URL}?crc_token=abc")
    assert await where.code([], b"", "GET") == "method_not_allowed"


@pytest.mark.parametrize("provider", ["dropbox", "x_twitter", "okta", "ebay", "cloudevents_webhook"])
@given(method=st.sampled_from(["GET", "HEAD", "OPTIONS", "POST"]), query=st.text(), header=st.text(), body=st.binary())
async def test_no_question_gets_anything_but_an_answer_or_a_rejection(
    provider: str, method: str, query: str, header: str, body: bytes
) -> None:
    given = query.replace("#", "")
    asked = "&".join(f"{name}={given}" for name in ("challenge", "crc_token", "challengeCode", "challenge_code"))
    more: dict[str, Json] = {"params": {"verification_token": "a-token-of-ours"}} if provider == "ebay" else {}
    where = receiving(provider, f"{asked}&hub.mode=subscribe", None, **more)
    headers = [(name, header) for name in ("WebHook-Request-Origin", "X-Okta-Verification-Challenge", "content-type")]
    try:
        await where.outcome(method, headers, body)
    except Rejected as rejection:
        assert 400 <= rejection.status < 500
