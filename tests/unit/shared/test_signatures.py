"""Signatures: what verifies, whatever stands in a request, and what an attacker can compare or extend."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings, strategies as st

from deploy.config.sections.catalogue import load_catalogue
from deploy.config.warnings import auth_texts
from functions.receive.admission import needed_keys, verify_body, verify_head
from functions.receive.source import Source
from shared.config.signed import DigestAuth, HmacAuth
from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.jsontext import Json
from shared.signatures.auth_scheme import AuthScheme, is_attempted, read_scheme, verify_request
from shared.signatures.links import link_signature, verify_link
from shared.signatures.locations import RequestFields
from shared.signatures.passwords import verify_password
from shared.signatures.signature_scheme import HmacScheme, SignatureScheme
from shared.signatures.signing import digest_text, hmac_signature, hmac_text, matches_any
from shared.signatures.standard_webhooks import StandardWebhooksScheme, sign_standard, verify_standard
from tests.in_process.receiving import Receiving
from tests.unit.receive.sender_keys import pem_of
from tests.unit.shared.hmac_verification import verify_hmac

NOW = 1_790_000_000
KEY = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OLD_KEY = "whsec_" + base64.b64encode(b"another-key-another-key!").decode()
BODY = b'{"a":1}'


def standard(
    signatures: str | None,
    *,
    webhook_id: str | None = "msg_1",
    timestamp: str | None = str(NOW),
    body: bytes = BODY,
    secrets: Sequence[str] = (KEY, OLD_KEY),
) -> None:
    verify_standard(
        webhook_id=webhook_id,
        timestamp=timestamp,
        signatures=signatures,
        body=body,
        secrets=secrets,
        now=NOW,
    )


def refused_code(signatures: str | None, **changes: str | None) -> str:
    with pytest.raises(Rejected) as rejection:
        standard(signatures, **changes)  # type: ignore[arg-type] # only text is passed below
    return rejection.value.code


def valid(secret: str = KEY, timestamp: int = NOW) -> str:
    return sign_standard(secret, "msg_1", timestamp, BODY)


def test_the_published_example_of_standard_webhooks_verifies() -> None:
    # from the specification's reference libraries' tests
    secret, webhook_id, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    body = b'{"test": 2432232314}'
    assert sign_standard(secret, webhook_id, at, body) == signature
    verify_standard(webhook_id=webhook_id, timestamp=str(at), signatures=signature, body=body, secrets=[secret], now=at)


def test_more_than_ten_signatures_are_not_tried() -> None:
    standard(" ".join(["v1,AAAA"] * 9 + [valid()]))
    assert refused_code(" ".join(["v1,AAAA"] * 10 + [valid()])) == "signature_mismatch"


@pytest.mark.parametrize("timestamp", [None, "-1", "1e9", "٣٣٣", "9" * 30])
def test_a_timestamp_that_is_no_plain_number_is_rejected(timestamp: str | None) -> None:
    assert refused_code(valid(), timestamp=timestamp) == "timestamp_out_of_range"


def test_an_id_is_signed_in_the_bytes_that_came() -> None:
    signed = f"msg_é.{NOW}.".encode() + BODY
    key = base64.b64decode(KEY.removeprefix("whsec_"))
    signature = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    as_servers_hand_it_on = "msg_é".encode().decode("latin-1")
    standard(signature, webhook_id=as_servers_hand_it_on)


def test_a_secret_that_is_not_base64_is_our_trouble_not_the_senders() -> None:
    with pytest.raises(Temporary) as trouble:
        standard(valid(), secrets=("whsec_not base64",))
    assert trouble.value.code == "secret_unusable"


@pytest.mark.parametrize("encoding", ["hex", "base64url"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_what_is_signed_verifies_and_nothing_else_does(algorithm: str, encoding: str) -> None:
    signature = hmac_signature(BODY, "a secret", algorithm, encoding, "sha=")
    verify_hmac(signature, BODY, ["other", "a secret"], algorithm, encoding, "sha=")
    for wrong in (signature[4:], signature[:-1], "", "sha=", signature + "0"):
        with pytest.raises(Rejected):
            verify_hmac(wrong, BODY, ["a secret"], algorithm, encoding, "sha=")
    with pytest.raises(Rejected):
        verify_hmac(signature, BODY + b" ", ["a secret"], algorithm, encoding, "sha=")


def test_hex_digits_may_be_upper_case() -> None:
    verify_hmac(hmac_signature(BODY, "s").upper(), BODY, ["s"], "sha256", "hex", "")


HEADERS = st.one_of(st.none(), st.text())


@given(HEADERS, st.binary())
def test_no_header_makes_the_verifiers_raise_anything_else(header: str | None, body: bytes) -> None:
    for encoding in ("hex", "base64", "base64url"):
        with pytest.raises(Rejected):
            verify_hmac(header, body, ["s"], "sha256", encoding, "p=")
    with pytest.raises(Rejected):
        verify_password(header, ["a secret that no example finds"])


@given(HEADERS)
def test_no_header_of_standard_webhooks_raises_anything_else(header: str | None) -> None:
    """One header at a time: with all of them hostile, the first check rejects each request."""
    for headers in ({"webhook_id": header}, {"timestamp": header}, {"signatures": header}):
        with pytest.raises(Rejected):
            standard(**{"signatures": valid(), **headers})  # type: ignore[arg-type] # texts and None


def test_a_secret_that_is_no_key_keeps_no_other_from_proving_the_sender() -> None:
    standard(valid(), secrets=("whsec_not base64", KEY))


# Coverage

SCHEMES: Final = {
    f"{key}-{offered.scheme.variant}": read_scheme(offered.scheme.model_dump(exclude_none=True))
    for key, entry in load_catalogue().items()
    for offered in entry.auth
}
SIGNING: Final = {name: scheme for name, scheme in SCHEMES.items() if scheme.signs_content}


@st.composite
def requests(draw: st.DrawFn, scheme: AuthScheme) -> Request:
    named = [each.name for each in scheme.locations if each.kind == "header"]
    name = st.sampled_from([*named, "svix-id", "svix-signature", "webhook-id", "x-contentful-signed-headers", "x"])
    headers = draw(st.lists(st.tuples(name, st.text(max_size=9)), max_size=4))
    return Request("POST", "/hook", draw(st.text(max_size=9)), tuple(headers), draw(st.binary(max_size=40)))


@settings(max_examples=150)
@given(st.sampled_from(sorted(SIGNING)), st.data())
def test_the_coverage_of_a_scheme_varies_only_where_it_says_so(name: str, data: st.DataObject) -> None:
    scheme = SIGNING[name]
    request = data.draw(requests(scheme))
    if not scheme.coverage_varies:
        assert scheme.coverage("", request) == scheme.coverage("", Request("POST", "/"))


@settings(max_examples=150)
@given(st.sampled_from(sorted(name for name, scheme in SIGNING.items() if scheme.signs_body_alone)), st.data())
def test_a_scheme_that_signs_the_body_alone_is_named_by_the_bodys_own_hash(name: str, data: st.DataObject) -> None:
    request = data.draw(requests(SIGNING[name]))
    assert SIGNING[name].signed_content(RequestFields(request)) == request.body


SECRET: Final = "whsec_" + base64.b64encode(b"no example finds this key").decode()


KEYS: Final = {
    "rsa": pem_of(rsa.generate_private_key(65537, 2048)),
    "ecdsa": pem_of(ec.generate_private_key(ec.SECP256R1())),
    "ed25519": pem_of(ed25519.Ed25519PrivateKey.generate()),
}
ATTEMPTS: Final = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "", ",", "=", "v1=", "v1,", "t=1,v1=", f"t={NOW},v1=00", f"t={NOW},t={NOW},v1=00", "sha256=", "sha256=é",
            "v0=" + "0" * 64, "v1,AAAA v1a,AAAA", "v1a,é", "Bearer a.b.c", "Bearer e30.e30.", "Basic é", "Basic ====",
            "e30.e30.e30", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "eyJhbGciOiJSUzI1NiJ9.bnVsbA.AAAA", "bnVsbA", "W10=",
            str(NOW), str(NOW * 1000), "9" * 400, "-1", "1e9", "٣٣٣", "2026-09-21T14:13:20Z", "9999-99-99T99:99:99Z",
            "0001-01-01T00:00:00+23:59", "Mon, 21 Sep 2026 14:13:20 GMT", "Mon, 99 Foo 0000 99:99:99 GMT",
            "\ud800", "\x00", "a" * 5000, "🦆", "ÿ" * 90, "x-contentful-signed-headers,x-contentful-timestamp,",
            "https://sns.us-east-1.amazonaws.com/a.pem", "https://api.paypal.com/v1/notifications/certs/c",
            "SHA256withRSA", "v1", "v2",
        ]
    ),
)  # fmt: skip
BODIES: Final = st.one_of(
    st.binary(max_size=80),
    st.sampled_from(
        [
            b"", b"{}", b"[]", b"null", b'"\\ud800"', b"[" * 70, b"{" * 100_000, b'{"a":1,"a":2}', b"1e400",
            b"9" * 5000,
            b'{"signature": {"signature": [], "timestamp": {}, "token": null}}',
            b'{"signature": {"signature": "00", "timestamp": 1790000000, "token": ""}}',
            b'{"notificationItems": [{"NotificationRequestItem": {"additionalData": {"hmacSignature": 1}}}, 5]}',
            b'{"notificationItems": [{"NotificationRequestItem": {"additionalData": {"hmacSignature": "AA=="}}}]}',
            b'{"value": [{"clientState": "x"}, null, 1, {}]}', b'{"value": {"0": {}}}', b'{"webhookTimestamp": 1e308}',
            b'{"Type": "Notification", "SigningCertURL": "https://sns.us-east-1.amazonaws.com/a.pem"}',
            b'{"Type": "SubscriptionConfirmation", "SigningCertURL": [], "SubscribeURL": 5}',
            b"signature=%00&timestamp=1790000000&token=%ff", b"payload=%", b"&" * 5000, b"=&=&a", b"\xff\xfe",
        ]
    ),
)  # fmt: skip


def names_of(auth: AuthScheme) -> list[str]:
    own = [location.name.replace("{n}", "1") for location in auth.locations if location.kind == "header"]
    fixed = "paypal-cert-url paypal-auth-algo paypal-transmission-id paypal-transmission-time paypal-transmission-sig"
    prefix = auth.header_prefix if isinstance(auth, StandardWebhooksScheme) else ""
    named = [f"{prefix}-{part}" for part in ("id", "timestamp", "signature")]
    contentful = [f"x-contentful-{part}" for part in ("signature", "signed-headers", "timestamp")]
    known = {"paypal": fixed.split(), "contentful": contentful, "standard-webhooks": named}
    return [*own, *known.get(auth.scheme, []), "authorization", "content-type"]


@st.composite
def hostile_requests(draw: st.DrawFn, auth: AuthScheme) -> Request:
    headers = [(name, draw(ATTEMPTS)) for name in names_of(auth) if draw(st.booleans())]
    form = ("content-type", "application/x-www-form-urlencoded")
    if draw(st.booleans()):
        headers = [pair for pair in headers if pair[0] != "content-type"] + [form]
    query = draw(
        st.one_of(st.text(max_size=40), st.sampled_from(["bodySHA256=00", "token=%zz", "a" * 9000, "&&=", "%"]))
    )
    return Request(draw(st.sampled_from(["POST", "GET", "é"])), "/hook/é", query, tuple(headers), draw(BODIES))


@pytest.mark.parametrize("name", sorted(SCHEMES))
@settings(max_examples=8)
@given(data=st.data())
def test_any_request_is_rejected_and_raises_nothing_else(name: str, data: st.DataObject) -> None:
    auth = SCHEMES[name]
    secret = KEYS.get(auth.scheme) or (json.dumps({"kty": "oct"}) if auth.scheme == "jwt" else SECRET)
    if isinstance(auth, HmacScheme):
        secret = {"hex": "00" * 32, "base64": "AAAA"}.get(auth.key_encoding, secret)
    request = data.draw(hostile_requests(auth))
    is_attempted(RequestFields(request), auth)
    try:
        auth.needed_key(RequestFields(request), NOW)
    except Rejected as rejection:
        assert rejection.status == 401
    try:
        verify_request(request, auth, [secret], {}, NOW, data.draw(st.one_of(st.none(), st.text(max_size=50))))
    except Rejected as rejection:
        assert rejection.status in {400, 401}
    except Temporary as trouble:  # the keys are not fetched here, and one secret is no key
        assert trouble.code in {"key_unavailable", "secret_unusable"}
        assert auth.scheme in {"jwt", "aws-sns", "paypal"}
    else:
        pytest.fail("a request that nobody signed was accepted")


@given(data=st.data())
def test_of_many_ways_none_lets_a_stranger_in(data: st.DataObject) -> None:
    offered = [auth for auth in SCHEMES.values() if auth.is_in_head or auth.scheme == "hmac"]
    schemes = data.draw(st.lists(st.sampled_from(offered), min_size=1))
    request = data.draw(hostile_requests(schemes[0]))
    source = Source("hook", tuple(schemes))
    secrets = {"the-source-s-own": ["0" * 64]}
    try:
        assert verify_head(request, source, secrets, NOW) is False
        needed_keys(RequestFields(request), source, NOW)
        verify_body(RequestFields(request), source, secrets, NOW)
    except Rejected as rejection:
        assert rejection.status in {400, 401}
    else:
        pytest.fail("a request that nobody signed was accepted")


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_without_any_secret_nothing_is_accepted(name: str) -> None:
    auth = SCHEMES[name]
    with pytest.raises((Rejected, Temporary)):
        verify_request(
            Request("POST", "/hook", headers=(("authorization", "Basic Og=="),), body=b"{}"), auth, [], {}, NOW
        )


@pytest.mark.parametrize("host", ["[", "a]b", "x\u2100", ":", "a:99999999", "@", "", "\x00"])
@pytest.mark.parametrize(
    "name", sorted(name for name, auth in SCHEMES.items() if auth.coverage("", Request("POST", "/")).query)
)
def test_a_host_header_that_is_no_host_is_rejected_where_the_url_is_signed(name: str, host: str) -> None:
    auth = SCHEMES[name]
    has_seconds = isinstance(auth, SignatureScheme) and auth.unit == "s"
    stamp = str(NOW if has_seconds else NOW * 1000)
    names = "x-contentful-signed-headers,x-contentful-timestamp"
    headers = {"host": host, "x-contentful-signature": "a", "x-contentful-signed-headers": names}
    headers |= {"x-contentful-timestamp": stamp, "x-hubspot-request-timestamp": stamp}
    headers |= {location.name: "a" for location in auth.credentials}
    with pytest.raises(Rejected) as error:
        verify_request(Request("POST", "/hook", headers=tuple(headers.items())), auth, [SECRET], {}, NOW)
    assert error.value.status == 401


SECRETS: Final = ["newest-secret-0123456789-0123456789", "older-secret-0123456789-0123456789"]
WHSECS: Final = ["whsec_bmV3ZXN0LXNlY3JldC0wMTIzNDU2Nzg5", "whsec_b2xkZXItc2VjcmV0LTAxMjM0NTY3ODk="]
COMPARED_BODY: Final = b'{"a": 1}'


class Comparisons:
    """Counts calls of hmac.compare_digest, which still compares."""

    def __init__(self) -> None:
        self.count = 0
        self._compare = hmac.compare_digest

    def __call__(self, one: bytes, other: bytes) -> bool:
        self.count += 1
        return self._compare(one, other)


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> Comparisons:
    counting = Comparisons()
    monkeypatch.setattr(hmac, "compare_digest", counting)
    return counting


@pytest.mark.parametrize("given", [["right", "other"], ["other", "right"], ["other", "another"]])
@pytest.mark.parametrize("expected", [["right", "old"], ["old", "right"]])
def test_every_pair_is_compared_even_after_one_has_matched(
    given: Sequence[str], expected: Sequence[str], comparisons: Comparisons
) -> None:
    assert matches_any(given, expected) is ("right" in given)
    assert comparisons.count == len(given) * len(expected)


@pytest.mark.parametrize("newest_signs", [True, False])
def test_a_links_signature_is_compared_with_that_of_every_secret(newest_signs: bool, comparisons: Comparisons) -> None:
    secret = SECRETS[0 if newest_signs else 1]
    verify_link("hook", f"a=1&hc_sig={link_signature('hook', [('a', '1')], secret)}", SECRETS, NOW)
    assert comparisons.count == len(SECRETS)
    with pytest.raises(Rejected):
        verify_link("hook", "a=1&hc_sig=forged", SECRETS, NOW)
    assert comparisons.count == 2 * len(SECRETS)


def request(
    headers: Mapping[str, str] | None = None, path: str = "/hook", query: str = "", body: bytes = COMPARED_BODY
) -> Request:
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    return Request("POST", path, query, tuple({"content-type": "application/json", **lower}.items()), body)


def password_headers(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", "X-Password": secret}


def schemes(secret: str) -> dict[str, tuple[dict[str, Json], Request]]:
    """By scheme: how it is configured, and a request that this secret proves."""
    token = jwt.encode({"iat": NOW, "exp": NOW + 60}, secret, algorithm="HS256")
    return {
        "bearer": ({}, request(password_headers(secret))),
        "header": ({"header": "X-Password"}, request(password_headers(secret))),
        "path": ({}, request(path=f"/hook/{secret}")),
        "query": ({"parameter": "token"}, request(query=f"token={secret}")),
        "token": ({"at": "data.token"}, request(body=json.dumps({"token": secret}).encode())),
        "hmac": ({"header": "X-Sig"}, request({"X-Sig": hmac_text(COMPARED_BODY, secret.encode(), "sha256", "hex")})),
        "digest": (
            {"header": "X-Sig", "content": "{secret}{body}"},
            request({"X-Sig": digest_text(secret.encode() + COMPARED_BODY, "sha256", "hex")}),
        ),
        "jwt": (
            {"header": "authorization", "prefix": "Bearer ", "algorithms": "HS256"},
            request({"Authorization": f"Bearer {token}"}),
        ),
    }


@pytest.mark.parametrize("scheme", sorted(schemes(SECRETS[0])))
@pytest.mark.parametrize("secret", SECRETS)
def test_each_scheme_compares_with_every_secret(scheme: str, secret: str, comparisons: Comparisons) -> None:
    settings, sent = schemes(secret)[scheme]
    verify_request(sent, read_scheme({"scheme": scheme, "secret": "s", **settings}), SECRETS, {}, NOW)
    assert comparisons.count == len(SECRETS)


@pytest.mark.parametrize("secret", WHSECS)
def test_a_standard_webhook_is_compared_with_every_secret(secret: str, comparisons: Comparisons) -> None:
    signature = sign_standard(secret, "msg_1", NOW, COMPARED_BODY)
    sent = request({"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": signature})
    verify_request(sent, read_scheme({"scheme": "standard-webhooks", "secret": "s"}), WHSECS, {}, NOW)
    assert comparisons.count == len(WHSECS)


EXTENDED_AT: Final = 1_790_000_000.0
EXTENDED_SECRET: Final = "a client secret, long enough"
SEEN: Final = b'[{"eventId": 1, "subscriptionId": 7, "objectId": 123, "occurredAt": 1790000000000}]'
FORGED: Final = b'\n[{"eventId": 2, "subscriptionId": 7, "objectId": 666, "occurredAt": 1790000000000}]'

# What SHA-256 adds to the secret and the body that were seen: with it between them, a longer body has a digest that
# anybody can compute from the one that was seen.
_PADDING: Final = b"\x80" + b"\0" * 42


def hubspot(**settings: Json) -> Receiving:
    return Receiving({"provider": "hubspot", "secret": "key", **settings}, {"key": EXTENDED_SECRET}, EXTENDED_AT)


def sent(version: str, content_type: str, *, longer: bool) -> tuple[list[tuple[str, str]], bytes]:
    before = f"{EXTENDED_SECRET}POSThttps://hooks.example.com/hook" if version == "v2" else EXTENDED_SECRET
    body = SEEN + _PADDING + FORGED if longer else SEEN
    signature = hashlib.sha256(before.encode() + body).hexdigest()
    headers = [("X-HubSpot-Signature", signature), ("X-HubSpot-Signature-Version", version)]
    return [*headers, ("Content-Type", content_type)], body


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/json", "malformed_body"),
        ("text/csv", "unsupported_content_type"),
        ("text/plain", "unsupported_content_type"),
        ("", "unsupported_content_type"),
    ],
)
async def test_a_lengthened_body_of_hubspots_is_no_event(version: str, content_type: str, code: str) -> None:
    receiving = hubspot(variant=version)
    assert await receiving.code(*sent(version, content_type, longer=True)) == code
    assert await receiving.code(*sent(version, "application/json; charset=utf-8", longer=False)) == ""


async def test_hubspots_v1_is_accepted_only_where_the_source_asks_for_it() -> None:
    assert await hubspot().code(*sent("v1", "application/json", longer=False)) == "signature_mismatch"


@pytest.mark.parametrize(
    ("content", "is_warned"), [("{secret}{body}", True), ("{secret}|{url}{body}", True), ("{body}{secret}", False)]
)
def test_lint_warns_of_a_digest_that_can_be_lengthened(content: str, is_warned: bool) -> None:
    auth = DigestAuth(scheme="digest", header="X-Sig", content=content, secret="key")
    assert any("longer body" in warning for warning in auth_texts(auth)) is is_warned
    hmac = HmacAuth(scheme="hmac", header="X-Sig", secret="key")
    assert not any("longer body" in warning for warning in auth_texts(hmac))
