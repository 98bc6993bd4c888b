import hashlib
import hmac
import json
import time
from base64 import b64decode, b64encode
from typing import Final

import pytest
from hypothesis import given, strategies as st
from standardwebhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook

from shared.errors import Temporary
from shared.event import Event
from shared.jsontext import Json
from shared.subscribers import payload
from shared.subscribers.model import Endpoint, EndpointAuth, EndpointSecret, SealedText

NOW: Final = 1_790_000_000
EVENT: Final = Event("e1", "/sources/app", "order.paid", "2026-01-01T00:00:00Z", "00", {"n": 1, "type": "x"}, hops=2)
KEYS: Final = tuple(f"whsec_{b64encode(bytes([number]) * 24).decode()}" for number in range(3))
SEALED: Final = SealedText(key_id="k", nonce="n", content="c")
STANDARD: Final = EndpointAuth()
HMAC: Final = EndpointAuth(kind="hmac", header="X-Signature", prefix="sha256=", encoding="base64")


def endpoint(auth: EndpointAuth = STANDARD, **others: object) -> Endpoint:
    fields = {"id": "ep_1", "tenant": "acme", "url": "https://acme.example.com/in", "auth": auth, **others}
    return Endpoint.model_validate(fields)


def request(auth: EndpointAuth = STANDARD, *secrets: str, **others: object) -> payload.EndpointRequest:
    return payload.endpoint_request(endpoint(auth, **others), secrets or KEYS[:1], EVENT, "standard", "d1", NOW)


def headers(made: payload.EndpointRequest) -> dict[str, str]:
    names = [name for name, _ in made.headers]
    assert len(names) == len(set(names)), "a header comes twice"
    return dict(made.headers)


def test_the_standard_payload_has_the_type_the_time_the_data_and_the_endpoints_fields() -> None:
    assert json.loads(payload.endpoint_body(EVENT, "standard", {"account": "a-1"})) == {
        "type": "order.paid",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {"n": 1, "type": "x"},
        "account": "a-1",
    }


def test_the_payload_data_is_the_events_data_and_the_endpoints_fields() -> None:
    assert json.loads(payload.endpoint_body(EVENT, "data", {"account": "a-1"})) == {
        "n": 1,
        "type": "x",
        "account": "a-1",
    }
    assert payload.endpoint_body(EVENT.with_data([1]), "data", {"account": "a-1"}) == b"[1]"


NAMES: Final = st.sampled_from(["type", "timestamp", "data", "n", "__proto__", "", "\ud800"]) | st.text(max_size=3)


@given(st.dictionaries(NAMES, st.none() | st.integers() | st.lists(st.integers())))
def test_no_field_of_an_endpoint_replaces_one_that_is_there(fields: dict[str, Json]) -> None:
    standard, data = (json.loads(payload.endpoint_body(EVENT, style, fields)) for style in ("standard", "data"))
    assert {name: standard[name] for name in ("type", "timestamp", "data")} == json.loads(
        payload.endpoint_body(EVENT, "standard", {})
    )
    assert data["n"] == 1
    assert data["type"] == "x"


def test_the_libraries_of_standard_webhooks_and_svix_verify_a_request_with_every_secret_that_is_valid() -> None:
    made = request(STANDARD, *KEYS[:2])
    fresh = payload.endpoint_request(endpoint(), KEYS[:2], EVENT, "standard", "d1", int(time.time()))
    for secret in KEYS[:2]:
        StandardWebhook(secret).verify(fresh.body, headers(fresh))
        SvixWebhook(secret).verify(fresh.body, headers(fresh))
    with pytest.raises(Exception, match=r"[Nn]o matching signature"):
        StandardWebhook(KEYS[2]).verify(fresh.body, headers(fresh))
    assert headers(made)["webhook-timestamp"] == str(NOW)


def test_a_password_a_token_and_an_hmac_are_sent_as_the_receiver_wants_them() -> None:
    basic = request(EndpointAuth(kind="basic", username="hook"), "p:w")
    assert b64decode(headers(basic)["authorization"].removeprefix("Basic ")) == b"hook:p:w"
    assert headers(request(EndpointAuth(kind="bearer"), "t0ken"))["authorization"] == "Bearer t0ken"
    signed = request(HMAC, "key", "older")
    digest = b64encode(hmac.digest(b"key", signed.body, hashlib.sha256)).decode()
    assert headers(signed)["x-signature"] == f"sha256={digest}"
    assert "webhook-signature" not in headers(signed)
    assert headers(signed)["webhook-id"] == "d1"
    assert headers(signed)["hookchain-hops"] == "3"


def test_a_secret_that_cannot_sign_is_no_request() -> None:
    for secrets in (("whsec_?",), ("whsk_AAAA",)):
        with pytest.raises(Temporary, match="cannot sign"):
            request(STANDARD, *secrets)
    with pytest.raises(Temporary, match="has no secret"):
        payload.endpoint_request(endpoint(), (), EVENT, "standard", "d1", NOW)


HOSTILE_NAMES: Final = ("Webhook-Id", "webhook-signature", "HOOKCHAIN-HOPS", "Content-Type", "x-signature")


def test_no_header_of_a_tenant_replaces_one_of_ours_even_if_it_was_saved() -> None:
    made = headers(request(HMAC, "key", headers=dict.fromkeys(HOSTILE_NAMES, "evil")))
    assert "evil" not in made.values() or [name for name, value in made.items() if value == "evil"] == [
        "webhook-signature"  # this endpoint's receiver verifies another header
    ]
    assert "evil" not in headers(request(STANDARD, headers=dict.fromkeys(HOSTILE_NAMES[:4], "evil"))).values()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Webhook-Id", "x"),
        ("hookchain-hops", "0"),
        ("X-Signature", "x"),
        ("x y", "x"),
        ("x\r\nhost", "x"),
        ("x-ok", "a\r\nhost: evil"),
        ("x-ok", "☃"),
        ("x-ok", "a" * 20_000),
    ],
)
def test_a_header_that_is_not_a_tenants_to_set_is_rejected_when_it_is_saved(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"header|Header"):
        payload.verify_header(name, value, HMAC)


def test_other_headers_are_the_tenants_and_an_authorization_too_where_the_endpoint_has_none() -> None:
    payload.verify_header("X-Account", "a-1", HMAC)
    payload.verify_header("Authorization", "Bearer t", STANDARD)
    with pytest.raises(ValueError, match="authenticates the request"):
        payload.verify_header("Authorization", "Bearer t", EndpointAuth(kind="bearer"))


@pytest.mark.parametrize(
    "auth",
    [
        EndpointAuth(kind="hmac", header="webhook-id"),
        EndpointAuth(kind="hmac", header="x-ok", prefix="a\nb"),
        EndpointAuth(kind="basic", username="a:b"),
    ],
)
def test_an_authentication_that_no_request_can_have_is_rejected(auth: EndpointAuth) -> None:
    with pytest.raises(ValueError, match=r"must|is set"):
        payload.verify_auth(auth)


@pytest.mark.parametrize(
    ("auth", "secret"),
    [
        (STANDARD, "whsec_?"),
        (STANDARD, "whsec_AAAA"),
        (EndpointAuth(kind="bearer"), "a\nb"),
        (EndpointAuth(kind="basic"), "☃"),
    ],
)
def test_a_secret_that_no_request_can_be_authenticated_with_is_rejected(auth: EndpointAuth, secret: str) -> None:
    with pytest.raises(ValueError, match=r"must|secret|key"):
        payload.verify_secret(auth, secret)


def test_after_a_rotation_both_secrets_sign_until_the_older_one_ends() -> None:
    new, old = EndpointSecret(sealed=SEALED, created_at=2), EndpointSecret(sealed=SEALED, created_at=1, valid_until=NOW)
    rotated = endpoint(secrets=(new, old))
    assert payload.valid_secrets(rotated, NOW - 1) == (new, old)
    assert payload.valid_secrets(rotated, NOW) == (new,)
    assert payload.valid_secrets(endpoint(HMAC, secrets=(new, old)), NOW - 1) == (new,)


def test_a_request_is_shown_with_a_mask_in_place_of_what_authenticates_it() -> None:
    for auth in (STANDARD, HMAC, EndpointAuth(kind="basic"), EndpointAuth(kind="bearer")):
        shown, sent = payload.shown_request(endpoint(auth), EVENT, "standard", "d1", NOW), request(auth)
        assert shown.body == sent.body
        assert headers(shown).keys() == headers(sent).keys()
        assert [name for name, value in shown.headers if value == payload.MASK] == [
            name for name, value in sent.headers if (name, value) not in shown.headers
        ]
