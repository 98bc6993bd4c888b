"""The entries whose signing key is the sender's alone: the tests make keys of their own."""

import base64
import hashlib
import json
from typing import Final
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm
from sendgrid.helpers.eventwebhook import EventWebhook  # type: ignore[import-untyped] # the library has none

from shared.jsontext import Json
from tests.receiving import URL, Receiving
from tests.unit.receive.sender_keys import BODY, EC, ED, JSON, NOW, RSA, b64, code, pem_of, raw_ed25519, receiving

JWKS_URL: Final = "https://www.googleapis.com/oauth2/v3/certs"


# Ed25519 and ECDSA


def signed_discord() -> dict[str, str]:
    at = str(NOW)
    return JSON | {"X-Signature-Ed25519": ED.sign(at.encode() + BODY).hex(), "X-Signature-Timestamp": at}


@pytest.mark.parametrize("secret", [raw_ed25519().hex(), b64(raw_ed25519()), pem_of(ED)], ids=["hex", "base64", "pem"])
async def test_discord_is_proven_by_its_public_key_in_any_writing(secret: str) -> None:
    assert await code(receiving("discord", secret), signed_discord()) == ""
    assert await code(receiving("discord", secret), signed_discord(), BODY + b" ") == "signature_mismatch"
    assert await code(receiving("discord", secret, NOW + 301), signed_discord()) == "timestamp_out_of_range"
    other = ed25519.Ed25519PrivateKey.generate()
    assert await code(receiving("discord", pem_of(other)), signed_discord()) == "signature_mismatch"


async def test_telnyx_is_proven_by_its_public_key() -> None:
    signature = b64(ED.sign(f"{NOW}|".encode() + BODY))
    headers = JSON | {"telnyx-signature-ed25519": signature, "telnyx-timestamp": str(NOW)}
    assert await code(receiving("telnyx", b64(raw_ed25519())), headers) == ""
    assert await code(receiving("telnyx", b64(raw_ed25519())), headers, b"{}") == "signature_mismatch"


async def test_sendgrids_signature_is_over_time_and_body() -> None:
    signature = b64(EC.sign(str(NOW).encode() + BODY, ec.ECDSA(hashes.SHA256())))
    name = "X-Twilio-Email-Event-Webhook"
    headers = JSON | {f"{name}-Signature": signature, f"{name}-Timestamp": str(NOW)}
    der = b64(EC.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert EventWebhook(der).verify_signature(BODY.decode(), signature, str(NOW))  # so says their own library
    assert await code(receiving("sendgrid", der), headers) == ""
    assert await code(receiving("sendgrid", der), headers, b"[]") == "signature_mismatch"


async def test_ebays_signature_stands_in_a_json_header() -> None:
    signature = b64(EC.sign(BODY, ec.ECDSA(hashes.SHA1())))
    header = b64(json.dumps({"alg": "ecdsa", "kid": "1", "signature": signature, "digest": "SHA1"}).encode())
    where = receiving("ebay", pem_of(EC), params={"verification_token": "a-token-of-ours"})
    for junk in (b64(b"[]"), "%%%"):
        assert await code(where, JSON | {"x-ebay-signature": junk}) == "signature_mismatch"
    assert await code(where, JSON | {"x-ebay-signature": header}, b"{}") == "signature_mismatch"
    assert await code(where, JSON | {"x-ebay-signature": header}) == ""


async def test_travis_signs_a_field_of_its_form() -> None:
    payload = '{"state": "passed"}'
    signature = b64(RSA.sign(payload.encode(), padding.PKCS1v15(), hashes.SHA1()))
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Signature": signature}
    body = urlencode({"payload": payload}).encode()
    [event] = await receiving("travis", pem_of(RSA)).events(list(headers.items()), body)
    assert event.data == {"state": "passed"}
    changed = body.replace(b"passed", b"failed")
    assert await code(receiving("travis", pem_of(RSA)), headers, changed) == "signature_mismatch"


# JSON Web Tokens, made by PyJWT


def plaid_token(body: bytes = BODY, at: int = NOW, **header: str) -> str:
    claims = {"iat": at, "request_body_sha256": hashlib.sha256(body).hexdigest()}
    return jwt.encode(claims, EC, algorithm="ES256", headers={"kid": "k1", **header})


def jwk(kid: str = "k1") -> str:
    numbers = EC.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).decode().rstrip("=") for n in (numbers.x, numbers.y))
    return json.dumps({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})


async def test_plaid_is_proven_by_the_key_with_the_tokens_kid() -> None:
    headers = JSON | {"Plaid-Verification": plaid_token()}
    assert await code(receiving("plaid", f"{jwk('other')}\n{jwk()}"), headers) == ""
    assert await code(receiving("plaid", jwk("other")), headers) == "signature_mismatch"
    assert await code(receiving("plaid", jwk()), headers, b"{}") == "signature_mismatch"
    assert await code(receiving("plaid", jwk(), NOW + 301), headers) == "timestamp_out_of_range"


async def test_a_token_chooses_no_algorithm_of_its_own() -> None:
    unsigned = jwt.encode({"iat": NOW}, "", algorithm="none")
    with_public_key_as_secret = jwt.encode({"iat": NOW}, "x" * 32, algorithm="HS256")
    for token in (unsigned, with_public_key_as_secret, "a.b.c", "..", "", "a" * 20_000):
        assert await code(receiving("plaid", jwk()), JSON | {"Plaid-Verification": token}) == "signature_mismatch"


def written_out(keys: Json, secret: str = "") -> Receiving:
    auth: dict[str, Json] = {"scheme": "jwt", "algorithms": ["RS256", "ES256"]}
    auth |= {"secret": "the-secret"} if secret else {"keys_url": JWKS_URL}
    return Receiving({"auth": auth}, {"the-secret": secret}, NOW, fetched={JWKS_URL: json.dumps(keys).encode()})


async def test_keys_of_two_kinds_stand_side_by_side_and_a_token_that_names_the_other_is_rejected() -> None:
    keys: Json = {"keys": [json.loads(RSAAlgorithm.to_jwk(RSA.public_key())) | {"kid": "r"}, json.loads(jwk("e"))]}
    tokens = {
        (algorithm, kid): jwt.encode({"iat": NOW, "exp": NOW + 60}, key, algorithm=algorithm, headers={"kid": kid})
        for algorithm, key in (("RS256", RSA), ("ES256", EC))
        for kid in ("r", "e")
    }
    for (algorithm, kid), token in tokens.items():
        headers = JSON | {"Authorization": f"Bearer {token}"}
        rejection = "" if (algorithm, kid) in {("RS256", "r"), ("ES256", "e")} else "signature_mismatch"
        assert await code(written_out(keys), headers) == rejection
        assert await code(written_out(None, pem_of(RSA) + pem_of(EC)), headers) == ""
        for secret in (pem_of(ED), '{"kid":' + "[" * 100_000):
            assert await code(written_out(None, secret), headers) == "secret_unusable"


async def test_a_token_that_asks_for_what_nobody_knows_or_has_no_end_is_rejected() -> None:
    claims: dict[str, Json] = {"iat": NOW, "request_body_sha256": hashlib.sha256(BODY).hexdigest()}
    header: dict[str, Json] = {"kid": "k1"}

    async def code_of(more_claims: dict[str, Json], more_header: dict[str, Json]) -> str:
        token = jwt.encode({**claims, **more_claims}, EC, algorithm="ES256", headers={**header, **more_header})
        return await code(receiving("plaid", jwk()), JSON | {"Plaid-Verification": token})

    assert await code_of({"x": "y" * 1_000}, {"unknown": 1}) == ""
    assert await code_of({}, {"crit": ["exp"]}) == "signature_mismatch"
    assert await code_of({"x": "y" * 20_000}, {}) == "signature_mismatch"


def google(**claims: Json) -> dict[str, str]:
    usual = {
        "iss": "https://accounts.google.com",
        "aud": URL,
        "email": "push@project.iam.gserviceaccount.com",
        "email_verified": True,
        "iat": NOW,
        "exp": NOW + 3600,
    }
    token = jwt.encode({**usual, **claims}, RSA, algorithm="RS256", headers={"kid": "g1"})
    return JSON | {"Authorization": f"Bearer {token}"}


def google_receiving(now: float = NOW) -> Receiving:
    params: dict[str, Json] = {"audience": URL, "email": "push@project.iam.gserviceaccount.com"}
    where = receiving("google_pubsub", now=now, params=params)
    numbers = RSA.public_key().public_numbers()
    n = base64.urlsafe_b64encode(numbers.n.to_bytes(256, "big")).decode().rstrip("=")
    where.fetched = {JWKS_URL: json.dumps({"keys": [{"kty": "RSA", "kid": "g1", "n": n, "e": "AQAB"}]}).encode()}
    return where


async def test_a_token_by_googles_own_key_and_an_algorithm_that_the_source_does_not_list_is_rejected() -> None:
    claims = jwt.decode(google()["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    token = jwt.encode(claims, RSA, algorithm="PS256", headers={"kid": "g1"})
    assert await code(google_receiving(), JSON | {"Authorization": f"Bearer {token}"}) == "signature_mismatch"


async def test_googles_push_is_proven_by_a_token_for_us_from_its_service_account() -> None:
    assert await code(google_receiving(), google()) == ""
    assert await code(google_receiving(), google(aud="https://other.example.com")) == "signature_mismatch"
    assert await code(google_receiving(), google(email="other@project.iam.gserviceaccount.com")) == "signature_mismatch"
    assert await code(google_receiving(), google(email_verified=False)) == "signature_mismatch"
    assert await code(google_receiving(), google(iss="https://evil.example.com")) == "signature_mismatch"
    assert await code(google_receiving(), google(exp="soon")) == "timestamp_out_of_range"


@pytest.mark.parametrize(("settings", "accepted_seconds"), [({}, 0), ({"leeway": "10s"}, 10), ({"tolerance": "1h"}, 0)])
async def test_a_token_ends_with_its_exp_and_the_leeway(settings: dict[str, Json], accepted_seconds: int) -> None:
    for seconds_after, rejection in ((accepted_seconds - 1, ""), (accepted_seconds, "timestamp_out_of_range")):
        where = google_receiving(NOW + 3600 + seconds_after)
        where.source |= settings
        assert await code(where, google()) == rejection


@pytest.mark.parametrize(
    ("claims", "settings", "rejection"),
    [
        ({}, {}, "timestamp_out_of_range"),
        ({"exp": NOW + 1}, {}, ""),
        ({}, {"without_exp": True}, ""),
        ({"exp": NOW}, {"without_exp": True}, "timestamp_out_of_range"),
        ({"iat": NOW}, {"max_age": True}, ""),
        ({"iat": NOW - 86_400}, {"max_age": True}, "timestamp_out_of_range"),
    ],
)
async def test_a_token_that_never_expires_is_rejected_unless_the_source_says_otherwise(
    claims: dict[str, Json], settings: dict[str, Json], rejection: str
) -> None:
    token = jwt.encode(claims, "a-shared-secret-of-thirty-two-bytes!", algorithm="HS256")
    auth: Json = {"scheme": "jwt", "algorithms": "HS256", "secret": "the-secret", **settings}
    where = Receiving({"auth": auth}, {"the-secret": "a-shared-secret-of-thirty-two-bytes!"}, NOW)
    assert await code(where, JSON | {"Authorization": f"Bearer {token}"}) == rejection


async def test_a_token_that_cannot_be_right_makes_nobody_fetch_googles_keys() -> None:
    for token, rejection in (
        (google(aud="https://other.example.com"), "signature_mismatch"),
        (google(email="other@project.iam.gserviceaccount.com"), "signature_mismatch"),
        (google(exp=NOW - 3600, iat=NOW - 7200), "timestamp_out_of_range"),
        (google(iat=NOW + 3600), "timestamp_out_of_range"),
        (JSON | {"Authorization": "Bearer " + jwt.encode({"iat": NOW}, EC, algorithm="ES256")}, "signature_mismatch"),
        (JSON | {"Authorization": google()["Authorization"].rpartition(".")[0] + ".%"}, "signature_mismatch"),
    ):
        where = google_receiving()
        assert await code(where, token) == rejection
        assert where.fetch.asked == []


async def test_mondays_token_is_signed_with_the_shared_secret() -> None:
    secret = "a-shared-secret-of-thirty-two-bytes!"
    token = jwt.encode({"iat": NOW, "exp": NOW + 300}, secret, algorithm="HS256")
    assert await code(receiving("monday", secret), JSON | {"Authorization": token}) == ""
    other = receiving("monday", "another-shared-secret")
    assert await code(other, JSON | {"Authorization": token}) == "signature_mismatch"


# Standard Webhooks, v1a


def v1a(body: bytes = BODY) -> dict[str, str]:
    signature = "v1a," + b64(ED.sign(f"msg_1.{NOW}.".encode() + body))
    return JSON | {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": signature}


async def test_v1a_is_proven_by_a_public_key_beside_shared_ones() -> None:
    key = "whpk_" + b64(raw_ed25519())
    shared = "whsec_" + b64(b"0123456789abcdef01234567")
    for secret in (key, f"{shared}\n{key}"):
        assert await code(receiving("standard_webhooks", secret), v1a()) == ""
        assert await code(receiving("standard_webhooks", secret), v1a(), b"{}") == "signature_mismatch"
    assert await code(receiving("standard_webhooks", shared), v1a()) == "signature_mismatch"


async def test_a_signature_of_one_version_never_passes_for_the_other() -> None:
    key = "whpk_" + b64(raw_ed25519())
    as_v1 = v1a() | {"webhook-signature": v1a()["webhook-signature"].replace("v1a,", "v1,")}
    assert await code(receiving("standard_webhooks", key), as_v1) == "signature_mismatch"
