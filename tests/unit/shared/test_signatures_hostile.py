"""Whatever stands in a request, every scheme answers with a rejection and nothing else."""

import base64
import json
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings, strategies as st

from deploy.config.sections.catalogue import load_catalogue
from functions.receive.admission import needed_keys, verify_body, verify_head
from functions.receive.source import Source
from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.signatures.auth_scheme import AuthScheme, is_attempted, read_scheme, verify_request
from shared.signatures.locations import RequestFields
from shared.signatures.signature_scheme import HmacScheme, SignatureScheme
from shared.signatures.standard_webhooks import StandardWebhooksScheme
from tests.unit.receive.sender_keys import pem_of

NOW: Final = 1_790_000_000
SECRET: Final = "whsec_" + base64.b64encode(b"no example finds this key").decode()


KEYS: Final = {
    "rsa": pem_of(rsa.generate_private_key(65537, 2048)),
    "ecdsa": pem_of(ec.generate_private_key(ec.SECP256R1())),
    "ed25519": pem_of(ed25519.Ed25519PrivateKey.generate()),
}
SCHEMES: Final = {
    f"{key}-{offered.scheme.variant}": read_scheme(offered.scheme.model_dump(exclude_none=True))
    for key, entry in load_catalogue().items()
    for offered in entry.auth
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
def requests(draw: st.DrawFn, auth: AuthScheme) -> Request:
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
    request = data.draw(requests(auth))
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
    request = data.draw(requests(schemes[0]))
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
