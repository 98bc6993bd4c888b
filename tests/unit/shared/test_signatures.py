"""Signatures: what verifies, and the part of a request that each scheme of the catalogue covers."""

import base64
import hmac
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given, settings, strategies as st

from deploy.config.sections.catalogue import load_catalogue
from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.signatures.locations import RequestFields
from shared.signatures.passwords import verify_password
from shared.signatures.signing import hmac_signature
from shared.signatures.standard_webhooks import sign_standard, verify_standard
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
