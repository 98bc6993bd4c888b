"""Sign a request as its sender does.

The templates of the auth scheme are filled and signed here; shared/signatures fills and compares them.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from deploy.client.hookchain.auth import Auth, Basic, Bearer, Password, auth_headers
from deploy.requests.edits import set_in, with_data, with_header, with_text
from deploy.requests.keys import ASYMMETRIC, sign_with_private_key
from shared.http import Request
from shared.jsontext import Json, JsonObject, to_json
from shared.signatures.content import Named, signed_content
from shared.signatures.contentful import SIGNATURE, SIGNED_HEADERS, TIMESTAMP, canonical_request
from shared.signatures.macs import shared_key
from shared.signatures.places import Place
from shared.signatures.reading import Reading, spellings
from shared.signatures.scheme import AuthScheme
from shared.signatures.signing import digest_text, encoded, hmac_text
from shared.signatures.standard_webhooks import sign_standard
from shared.signatures.timestamps import timestamp_text

_KEY_ID: Final = "trigger"
TOKEN_SECONDS: Final = 300
BY_CERTIFICATE: Final = frozenset({"aws-sns", "paypal"})


@dataclass(frozen=True, slots=True)
class Signer:
    """The inputs of a signature besides the request.

    key        the shared secret, or the private key (PEM) whose public half is the secret
    url_of     returns the URL that the receiver takes a request to have been sent to
    now        Unix seconds
    """

    way: AuthScheme
    key: str
    url_of: Callable[[Request], str]
    now: float
    delivery_id: str


def sign_request(request: Request, signer: Signer) -> Request:
    """Return the request with what its auth scheme asks for.

    Raises ValueError for a scheme that only the provider can sign, and Temporary for a secret that is not a key.
    """
    way = signer.way
    match way.scheme:
        case "none":
            return request
        case "basic" | "header" | "bearer":
            return _add_password(request, signer)
        case "path":
            return replace(request, path=f"{request.path}/{quote(signer.key, safe='')}")
        case "query":
            return with_text(request, Place("query", (way.parameter,)), signer.key)
        case "token":
            assert way.at
            return with_text(request, way.at, way.prefix + signer.key)
        case "standard-webhooks":
            return _sign_standard_webhook(request, signer)
        case "contentful":
            return _sign_contentful(request, signer)
        case "jwt":
            token = _json_web_token(signer, request.body)
            return with_header(request, way.header, way.prefix + token)
        case "hmac" | "digest" | "ed25519" | "ecdsa" | "rsa":
            return _sign_content(request, signer)
    raise ValueError(f"auth scheme {way.scheme!r}: only the provider can sign")


def _add_password(request: Request, signer: Signer) -> Request:
    way = signer.way
    ways: dict[str, Auth] = {
        "basic": Basic(way.username or "hookchain"),
        "header": Password(way.header),
        "bearer": Bearer(),
    }
    auth = ways[way.scheme]
    for name, value in auth_headers(auth, signer.key, request.body, signer.delivery_id, signer.now):
        request = with_header(request, name, value)
    return request


def _sign_standard_webhook(request: Request, signer: Signer) -> Request:
    names, at = signer.way.names, int(signer.now)
    signature = sign_standard(signer.key, signer.delivery_id, at, request.body, signer.way.key)
    for name, value in (("id", signer.delivery_id), ("timestamp", str(at)), ("signature", signature)):
        request = with_header(request, f"{names}-{name}", value)
    return request


def _sign_contentful(request: Request, signer: Signer) -> Request:
    request = with_header(request, TIMESTAMP, timestamp_text(signer.now, "ms"))
    names = sorted(["x-contentful-topic", TIMESTAMP, SIGNED_HEADERS])  # its library signs the list in this order
    request = with_header(request, SIGNED_HEADERS, ",".join(names))
    content = canonical_request(request, signer.url_of(request), names)
    return with_header(request, SIGNATURE, hmac_text(content, signer.key.encode(), "sha256", "hex"))


def _sign_content(request: Request, signer: Signer) -> Request:
    way = signer.way
    if way.body_digest:
        digest = hashlib.sha256(request.body).hexdigest()
        request = with_text(request, way.body_digest, digest)
    if way.id and not Reading(request).text(way.id):
        request = with_text(request, way.id, signer.delivery_id)
    timestamp = timestamp_text(signer.now, way.unit) if way.timestamp else ""
    if way.timestamp and way.timestamp.kind != "signature":
        request = with_text(request, way.timestamp, timestamp)
    if way.each:
        return _sign_each_item(request, signer, way.each.path)
    signature = _signature(Reading(request, signer.url_of(request)), signer, timestamp)
    text = way.prefix + _format_signature(signature, signer, timestamp)
    if way.layout == "numbered":
        return with_header(request, way.header.replace("{n}", "1"), text)
    assert way.at
    return with_text(request, way.at, text)


def _sign_each_item(request: Request, signer: Signer, path: Sequence[str]) -> Request:
    """Put a signature of its own into each item."""
    assert signer.way.at
    at = signer.way.at.path

    def within(value: Json, rest: Sequence[str]) -> Json:
        if not rest:
            signature = _signature(Reading(request, signer.url_of(request), value), signer, "")
            return set_in(value, at, signer.way.prefix + signature)
        if rest[0] == "*":
            return [within(item, rest[1:]) for item in value] if isinstance(value, list) else value
        fields: JsonObject = dict(value) if isinstance(value, dict) else {}
        fields[rest[0]] = within(fields.get(rest[0]), rest[1:])
        return fields

    return with_data(request, within(json.loads(request.body), path))


def _signature(reading: Reading, signer: Signer, timestamp: str) -> str:
    way = signer.way
    key = b"" if way.scheme in ASYMMETRIC else shared_key(signer.key, way.key, way.key_prefix)
    named = Named(
        reading=reading,
        timestamp=timestamp,
        id=(reading.text(way.id) or "") if way.id else "",
        url=spellings(reading.url, way.url)[0],
        secret=key,
        missing_is_empty=way.each is not None,
    )
    content = signed_content(way.content, named)
    if way.scheme == "hmac":
        return hmac_text(content, key, way.algorithm, way.encoding)
    if way.scheme == "digest":
        return digest_text(content, way.algorithm, way.encoding)
    return encoded(sign_with_private_key(signer.key, content, way.algorithm, way.form, way.padding), way.encoding)


def _format_signature(signature: str, signer: Signer, timestamp: str) -> str:
    way = signer.way
    take = min(way.take, default="")
    match way.layout:
        case "pairs":
            at = way.timestamp
            first = f"{at.name}={timestamp}{way.separator}" if at and at.kind == "signature" else ""
            return f"{first}{take}={signature}"
        case "versions":
            return f"{take},{signature}"
        case "base64-json":
            return base64.b64encode(json.dumps({"kid": _KEY_ID, take: signature}).encode()).decode()
    return signature


def _json_web_token(signer: Signer, body: bytes) -> str:
    way = signer.way
    algorithm = way.algorithms[0]
    header: JsonObject = {"alg": algorithm, "kid": _KEY_ID, "typ": "JWT"}
    claims: JsonObject = {"iat": int(signer.now), "exp": int(signer.now) + TOKEN_SECONDS}
    claims.update((name, wanted[0]) for name, wanted in way.claims.items() if wanted)
    if way.digest_claim:
        claims[way.digest_claim] = hashlib.sha256(body).hexdigest()
    content = ".".join(encoded(to_json(each).encode(), "base64url") for each in (header, claims))
    return f"{content}.{_token_signature(content.encode(), signer.key, algorithm)}"


def _token_signature(content: bytes, key: str, algorithm: str) -> str:
    digest = f"sha{algorithm[2:]}"
    if algorithm.startswith("HS"):
        return hmac_text(content, key.encode(), digest, "base64url")
    padding = "pss" if algorithm.startswith("PS") else "pkcs1"
    return encoded(sign_with_private_key(key, content, digest, "raw", padding), "base64url")
