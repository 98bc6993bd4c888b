"""Sign a request as its sender does.

The templates of the auth scheme are filled and signed here; shared/signatures fills and compares them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from deploy.client.hookchain.auth import Auth, Basic, Bearer, Password, auth_headers
from deploy.requests.generated_keys import sign_with_private_key
from shared.http import Request
from shared.jsontext import JsonObject, to_json
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.content_signing import ContentSigner, shared_key_signature, sign_content
from shared.signatures.contentful import (
    SIGNATURE,
    SIGNED_HEADERS,
    TIMESTAMP,
    TOPIC,
    ContentfulScheme,
    canonical_request,
)
from shared.signatures.edits import with_header, with_text
from shared.signatures.jwt import JwtScheme
from shared.signatures.key_schemes import PublicKeyScheme
from shared.signatures.locations import Location, RequestFields
from shared.signatures.passwords import (
    BasicScheme,
    BearerScheme,
    HeaderScheme,
    NoScheme,
    PathScheme,
    QueryScheme,
    TokenScheme,
)
from shared.signatures.signature_scheme import SignatureScheme
from shared.signatures.signing import encoded, hmac_text
from shared.signatures.standard_webhooks import StandardWebhooksScheme, sign_standard
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

    auth: AuthScheme
    key: str
    url_of: Callable[[Request], str]
    now: float
    delivery_id: str


def sign_request(request: Request, signer: Signer) -> Request:
    """Return the request with what its auth scheme asks for.

    Raises ValueError for a scheme that only the provider can sign, and Temporary for a secret that is not a key.
    """
    match signer.auth:
        case NoScheme():
            return request
        case BasicScheme(username=username):
            return _add_headers(request, signer, Basic(username or "hookchain"))
        case HeaderScheme(header=header):
            return _add_headers(request, signer, Password(header))
        case BearerScheme():
            return _add_headers(request, signer, Bearer())
        case PathScheme():
            return replace(request, path=f"{request.path}/{quote(signer.key, safe='')}")
        case QueryScheme(parameter=parameter):
            return with_text(request, Location("query", (parameter,)), signer.key)
        case TokenScheme(at=at, prefix=prefix):
            return with_text(request, at, prefix + signer.key)
        case StandardWebhooksScheme() as auth:
            return _sign_standard_webhook(request, signer, auth)
        case ContentfulScheme():
            return _sign_contentful(request, signer)
        case JwtScheme() as auth:
            return with_header(request, auth.header, auth.prefix + _json_web_token(signer, auth, request.body))
        case SignatureScheme() as auth:
            signing = ContentSigner([signer.key], signer.url_of, signer.now, signer.delivery_id, _content_signature)
            return sign_content(request, auth, signing)
    raise ValueError(f"auth scheme {signer.auth.scheme!r}: only the provider can sign")


def _add_headers(request: Request, signer: Signer, auth: Auth) -> Request:
    for name, value in auth_headers(auth, signer.key, request.body, signer.delivery_id, signer.now):
        request = with_header(request, name, value)
    return request


def _sign_standard_webhook(request: Request, signer: Signer, auth: StandardWebhooksScheme) -> Request:
    at = int(signer.now)
    signature = sign_standard(signer.key, signer.delivery_id, at, request.body, auth.key)
    for name, value in (("id", signer.delivery_id), ("timestamp", str(at)), ("signature", signature)):
        request = with_header(request, f"{auth.names}-{name}", value)
    return request


def _sign_contentful(request: Request, signer: Signer) -> Request:
    request = with_header(request, TIMESTAMP, timestamp_text(signer.now, "ms"))
    names = sorted([TOPIC, TIMESTAMP, SIGNED_HEADERS])  # its library signs the list in this order
    request = with_header(request, SIGNED_HEADERS, ",".join(names))
    content = canonical_request(request, signer.url_of(request), names)
    return with_header(request, SIGNATURE, hmac_text(content, signer.key.encode(), "sha256", "hex"))


def _content_signature(fields: RequestFields, key: str, auth: SignatureScheme, timestamp: str) -> str:
    if not isinstance(auth, PublicKeyScheme):
        return shared_key_signature(fields, key, auth, timestamp)
    content = auth.contents(fields, timestamp)[0]
    return encoded(sign_with_private_key(key, content, auth.algorithm, auth.form, auth.padding), auth.encoding)


def _json_web_token(signer: Signer, auth: JwtScheme, body: bytes) -> str:
    algorithm = auth.algorithms[0]
    header: JsonObject = {"alg": algorithm, "kid": _KEY_ID, "typ": "JWT"}
    claims: JsonObject = {"iat": int(signer.now), "exp": int(signer.now) + TOKEN_SECONDS}
    claims.update((name, wanted[0]) for name, wanted in auth.claims.items() if wanted)
    if auth.digest_claim:
        claims[auth.digest_claim] = hashlib.sha256(body).hexdigest()
    content = ".".join(encoded(to_json(each).encode(), "base64url") for each in (header, claims))
    return f"{content}.{_token_signature(content.encode(), signer.key, algorithm)}"


def _token_signature(content: bytes, key: str, algorithm: str) -> str:
    digest = f"sha{algorithm[2:]}"
    if algorithm.startswith("HS"):
        return hmac_text(content, key.encode(), digest, "base64url")
    padding = "pss" if algorithm.startswith("PS") else "pkcs1"
    return encoded(sign_with_private_key(key, content, digest, "raw", padding), "base64url")
