"""Handshakes by POST that nobody signs: answered, and never taken for an event."""

import base64
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Rejected
from shared.jsontext import Json
from tests.receiving import URL, Receiving
from tests.unit.receive.handshaking import JSON, NOW, SECRET, data, is_plain_text, mac, receiving


@pytest.mark.parametrize(
    ("provider", "name"), [("microsoft_graph", "validationToken"), ("microsoft_sharepoint", "validationtoken")]
)
async def test_microsofts_token_comes_back_decoded_as_plain_text(provider: str, name: str) -> None:
    assert is_plain_text(
        await receiving(provider, f"{name}=Validation%3A%20Testing").reply("POST"), "Validation: Testing"
    )


async def test_azures_validation_code_comes_back() -> None:
    body = json.dumps([{"eventType": "x", "data": {"validationCode": "512d38b6"}}]).encode()
    where = Receiving({"provider": "azure_event_grid", "auth": "none"}, {}, NOW)
    reply = await where.reply("POST", [JSON, ("aeg-event-type", "SubscriptionValidation")], body)
    assert data(reply) == {"validationResponse": "512d38b6"}


async def test_asana_gets_the_secret_it_made_back_before_there_is_one() -> None:
    reply = await receiving("asana", secrets={}).reply("POST", [JSON, ("X-Hook-Secret", "b537207f20cbfa02")], b"{}")
    assert dict(reply.headers)["x-hook-secret"] == "b537207f20cbfa02"


async def test_monday_gets_its_challenge_back() -> None:
    reply = await receiving("monday").reply("POST", [JSON], b'{"challenge": "3eZbrw1aBm2rZgRN"}')
    assert data(reply) == {"challenge": "3eZbrw1aBm2rZgRN"}


async def test_front_gets_its_challenge_back() -> None:
    assert is_plain_text(await receiving("front").reply("POST", [JSON, ("X-Front-Challenge", "c1")], b"{}"), "c1")


async def test_woocommerces_ping_passes_and_a_signed_event_is_none() -> None:
    form = ("content-type", "application/x-www-form-urlencoded")
    assert (await receiving("woocommerce").reply("POST", [form], b"webhook_id=7")).status == 200
    signed = [form, ("X-WC-Webhook-Signature", base64.b64encode(mac("webhook_id=7")).decode())]
    assert len(await receiving("woocommerce").events(signed, b"webhook_id=7")) == 1


async def test_vercel_finds_its_text_in_what_answers_its_unsigned_question_alone() -> None:
    params: Json = {"verification_token": "v1a2b3"}
    reply = await receiving("vercel_log_drain", secrets={}, params=params).reply("POST", [JSON], b"[]")
    assert (reply.status, dict(reply.headers)["x-vercel-verify"]) == (200, "v1a2b3")
    log = b'[{"id": "1"}]'
    signature = hmac.new(SECRET.encode(), log, "sha1").hexdigest()
    assert (
        len(await receiving("vercel_log_drain", params=params).events([JSON, ("x-vercel-signature", signature)], log))
        == 1
    )
    assert (
        await receiving("vercel_log_drain", params=params).code([JSON, ("x-vercel-signature", "00")], log)
        == "signature_mismatch"
    )


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
    where = Receiving(
        {"provider": "x_twitter", "auth": {"scheme": "bearer", "secret": "the-secret"}},
        {"the-secret": SECRET},
        NOW,
        f"{URL}?crc_token=abc",
    )
    assert await where.code([], b"", "GET") == "method_not_allowed"


@pytest.mark.parametrize(
    "provider", ["dropbox", "x_twitter", "meta", "okta", "ebay", "linkedin", "cloudevents_webhook"]
)
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
