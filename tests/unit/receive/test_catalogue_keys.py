"""Providers of the catalogue that sign with a private key: their public keys and certificates."""

import base64
import hashlib
import json
import ssl
import zlib
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from jwt.algorithms import RSAAlgorithm
from sendgrid.helpers.eventwebhook import EventWebhook  # type: ignore[import-untyped] # the library has none

from functions.transform.transform import first_with_signed_bytes
from shared.errors import Temporary
from shared.jsontext import Json
from tests.fakes.owners import FakeOwners
from tests.in_process.receiving import URL, Receiving
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


# Certificates

SNS_CERT: Final = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem"
SNS_CONFIRM: Final = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
TOPIC: Final = "arn:aws:sns:eu-central-1:123456789012:orders"
VERSION_3: Final = b"\xa0\x03\x02\x01\x02"
VERSION_8: Final = b"\xa0\x03\x02\x01\x07"


def certificate(name: str, days: int = 30) -> bytes:
    now = datetime.fromtimestamp(NOW, UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(RSA.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(RSA, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def sns(**changes: str) -> dict[str, str]:
    return {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Subject": "hello",
        "Message": '{"order": 1}',
        "Timestamp": datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": "2",
        "SigningCertURL": SNS_CERT,
        **changes,
    }


def sns_signed(message: dict[str, str]) -> bytes:
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    content = "".join(f"{name}\n{message[name]}\n" for name in names if name in message).encode()
    digest = hashes.SHA256() if message["SignatureVersion"] == "2" else hashes.SHA1()
    return json.dumps({**message, "Signature": b64(RSA.sign(content, padding.PKCS1v15(), digest))}).encode()


def sns_receiving(now: float = NOW, topics: Json = TOPIC, days: int = 30) -> Receiving:
    where = receiving("aws_sns", now=now, params={"topics": topics})
    where.fetched = {SNS_CERT: certificate("sns.amazonaws.com", days), SNS_CONFIRM: b"<ok/>"}
    return where


TEXT: Final = {"Content-Type": "text/plain; charset=UTF-8"}


def confirmation(**changes: str) -> dict[str, str]:
    message = sns(Type="SubscriptionConfirmation", Token="t", SubscribeURL=SNS_CONFIRM, **changes)
    del message["Subject"]
    return message


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_notification_is_proven_by_the_certificate_it_names(version: str) -> None:
    body = sns_signed(sns(SignatureVersion=version))
    [event] = await sns_receiving().events(list(TEXT.items()), body)
    assert (event.type, event.deliveryid, event.subject) == ("Notification", "m-1", TOPIC)
    assert await code(sns_receiving(), TEXT, body.replace(b"hello", b"hallo")) == "signature_mismatch"


@pytest.mark.parametrize(
    ("where", "rejection"),
    [
        (sns_receiving(NOW + 3599), ""),
        (sns_receiving(NOW + 3601), "timestamp_out_of_range"),
        (sns_receiving(topics="999999999999"), "signature_mismatch"),
        (sns_receiving(days=-1), "signature_mismatch"),
    ],
    ids=["late by its retries", "too late", "anybody else's topic", "an expired certificate"],
)
async def test_a_genuine_notification_is_accepted_in_time_from_the_own_topic(where: Receiving, rejection: str) -> None:
    assert await code(where, TEXT, sns_signed(sns())) == rejection


def of_an_unknown_version(pem: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(pem.decode()).replace(VERSION_3, VERSION_8, 1)).encode()


@pytest.mark.parametrize(
    "fetched",
    [{}, {SNS_CERT: b"<html>"}, {SNS_CERT: of_an_unknown_version(certificate("sns.amazonaws.com"))}],
    ids=["out of reach", "no certificate", "an unknown version"],
)
async def test_a_genuine_message_is_not_rejected_while_its_certificate_cannot_be_had(fetched: dict[str, bytes]) -> None:
    where = sns_receiving()
    where.fetched = fetched
    with pytest.raises(Temporary, match="key_unavailable"):
        await where.outcome("POST", list(TEXT.items()), sns_signed(sns()))


async def test_what_a_strangers_topic_had_signed_is_not_read_as_a_trusted_accounts() -> None:
    """SNS signs its fields a line each: a stranger's message may hold lines that look like other fields."""
    at, theirs = sns()["Timestamp"], "arn:aws:sns:eu-central-1:666666666666:theirs"
    lines = f"forged\nMessageId\nm-2\nTimestamp\n{at}\nTopicArn\n{TOPIC}"
    signed = sns(TopicArn=theirs, Message=lines)
    del signed["Subject"]
    sent = json.loads(sns_signed(signed))
    rest = f"\nMessageId\nm-1\nTimestamp\n{at}\nTopicArn\n{theirs}"
    forged = {**sent, "Message": "forged", "MessageId": "m-2", "TopicArn": TOPIC + rest}
    for message, account in ((sent, "666666666666"), (forged, "123456789012")):
        expected = "" if message is sent else "signature_mismatch"
        assert await code(sns_receiving(topics=account), TEXT, json.dumps(message).encode()) == expected


async def test_a_subscription_is_confirmed_once_it_is_proven() -> None:
    where = sns_receiving()
    reply = await where.reply("POST", list(TEXT.items()), sns_signed(confirmation()))
    assert reply.status == 200
    assert [request.url for request in where.fetch.asked] == [SNS_CERT, SNS_CONFIRM]


async def test_a_forged_confirmation_is_not_followed() -> None:
    where = sns_receiving()
    body = sns_signed(confirmation()).replace(b'"Token": "t"', b'"Token": "u"')
    assert await code(where, TEXT, body) == "signature_mismatch"
    assert [request.url for request in where.fetch.asked] == [SNS_CERT]


PAYPAL_CERT: Final = "https://api.paypal.com/v1/notifications/certs/CERT-1"


def paypal(url: str = PAYPAL_CERT, algorithm: str = "SHA256withRSA") -> dict[str, str]:
    at = datetime.fromtimestamp(NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = f"t-1|{at}|WH-1|{zlib.crc32(BODY)}".encode()
    return JSON | {
        "PAYPAL-TRANSMISSION-ID": "t-1",
        "PAYPAL-TRANSMISSION-TIME": at,
        "PAYPAL-TRANSMISSION-SIG": b64(RSA.sign(content, padding.PKCS1v15(), hashes.SHA256())),
        "PAYPAL-CERT-URL": url,
        "PAYPAL-AUTH-ALGO": algorithm,
    }


def paypal_receiving(
    now: float = NOW, name: str = "messageverificationcerts.paypal.com", hook: str = "WH-1"
) -> Receiving:
    where = receiving("paypal", now=now, params={"webhook_id": hook})
    where.fetched = {PAYPAL_CERT: certificate(name)}
    return where


async def test_paypal_is_proven_by_its_own_certificate() -> None:
    assert await code(paypal_receiving(), paypal()) == ""
    assert await code(paypal_receiving(), paypal(), b"{}") == "signature_mismatch"
    assert await code(paypal_receiving(hook="WH-2"), paypal()) == "signature_mismatch"
    assert await code(paypal_receiving(NOW + 301), paypal()) == "timestamp_out_of_range"
    assert await code(paypal_receiving(name="messageverificationcerts.evil.com"), paypal()) == "signature_mismatch"
    assert await code(paypal_receiving(), paypal(algorithm="SHA1withRSA")) == "signature_mismatch"


ELSEWHERE: Final = "https://sns.eu-nowhere-9.amazonaws.com/a.pem"
IN_THE_PAST: Final = "2020-01-01T00:00:00"


def bearer(token: str) -> dict[str, str]:
    return JSON | {"Authorization": f"Bearer {token}"}


def unsigned(**changes: str) -> bytes:
    return json.dumps({**sns(), "Signature": "Zm9yZ2Vk", **changes}).encode()


Sent = tuple[Receiving, dict[str, str], bytes]
# bad_inputs.py has more URLs of SNS.
UNFETCHED: Final[list[tuple[Sent, str]]] = [
    *(
        ((google_receiving(), headers, BODY), code)
        for headers, code in (
            (google(aud="https://other.example.com"), "signature_mismatch"),
            (google(email="other@project.iam.gserviceaccount.com"), "signature_mismatch"),
            (google(exp=NOW - 3600, iat=NOW - 7200), "timestamp_out_of_range"),
            (google(iat=NOW + 3600), "timestamp_out_of_range"),
            (bearer(jwt.encode({"iat": NOW}, EC, algorithm="ES256")), "signature_mismatch"),
            (JSON | {"Authorization": google()["Authorization"].rpartition(".")[0] + ".%"}, "signature_mismatch"),
        )
    ),
    *(
        ((sns_receiving(), TEXT, body), code)
        for body, code in (
            (unsigned(TopicArn="arn:aws:sns:eu-central-1:666666666666:theirs"), "signature_mismatch"),
            (unsigned(Timestamp=f"{IN_THE_PAST}.000Z"), "timestamp_out_of_range"),
            (unsigned(SignatureVersion="3"), "signature_mismatch"),
            (unsigned(Signature="%"), "signature_mismatch"),
            (unsigned(SigningCertURL=ELSEWHERE), "certificate_url_not_allowed"),
            (unsigned(Type="SubscriptionConfirmation", SubscribeURL=ELSEWHERE), "subscribe_url_not_allowed"),
        )
    ),
    *(
        ((sns_receiving(), TEXT, sns_signed(sns(SigningCertURL=url))), "certificate_url_not_allowed")
        for url in (
            "https://sns.us-east-1.amazonaws.com@evil.com/a.pem",
            "https://evil.com\\@sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com:8443/a.pem",
            "https://sns.us-east-1.amazonaws.com/a.pem\n",
            "https://sns.us-east-1.amazonaws.com/a.pem?Action=GetTopicAttributes",
            "https://sns.s3-accelerate.amazonaws.com/a.pem",
            "",
        )
    ),
    (
        (sns_receiving(), TEXT, sns_signed(confirmation() | {"SubscribeURL": "https://evil.com/"})),
        "subscribe_url_not_allowed",
    ),
    *(
        ((paypal_receiving(), paypal(url), BODY), "certificate_url_not_allowed")
        for url in (
            PAYPAL_CERT.replace("paypal.com", "paypal.com.evil.com"),
            PAYPAL_CERT.replace("api.", "evil"),
            PAYPAL_CERT.replace("https", "http"),
            PAYPAL_CERT + "?x=1",
            PAYPAL_CERT + "/../../../../webapps/anything",
            "https://api.paypal.com/c",
        )
    ),
    *(
        ((paypal_receiving(), paypal() | changes, BODY), code)
        for changes, code in (
            ({"PAYPAL-TRANSMISSION-TIME": f"{IN_THE_PAST}Z"}, "timestamp_out_of_range"),
            ({"PAYPAL-TRANSMISSION-TIME": ""}, "timestamp_out_of_range"),
            ({"PAYPAL-AUTH-ALGO": "SHA1withRSA"}, "signature_mismatch"),
            ({"PAYPAL-TRANSMISSION-SIG": "%"}, "signature_mismatch"),
        )
    ),
]


@pytest.mark.parametrize(("sent", "rejection"), UNFETCHED)
async def test_what_cannot_be_right_or_names_a_url_elsewhere_is_rejected_and_fetches_nothing(
    sent: Sent, rejection: str
) -> None:
    where, headers, body = sent
    assert await code(where, headers, body) == rejection
    assert where.fetch.asked == []


async def test_of_requests_with_one_signature_of_paypals_or_amazons_the_first_counts_whatever_was_not_signed() -> None:
    message = json.loads(sns_signed(sns()))
    unsigned = {**message, "MessageAttributes": {"kind": {"Type": "String", "Value": "other"}}}
    with_the_crc_of_body = b'{"a": 2, "x": "CEECGEGACAEEACGACAAA"}'
    for where, headers, first, second in (
        (paypal_receiving(), paypal(), BODY, with_the_crc_of_body),
        (sns_receiving(), TEXT, json.dumps(message).encode(), json.dumps(unsigned).encode()),
    ):
        owners = FakeOwners()
        [one] = await where.events(list(headers.items()), first)
        [two] = await where.events(list(headers.items()), second)
        assert await first_with_signed_bytes(one, owners) is None
        assert await first_with_signed_bytes(two, owners) == one.id
        assert await first_with_signed_bytes(one, owners) is None
