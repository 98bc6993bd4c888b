"""Sign a request as its sender does, with the source's secret or with a private key (see sender_keys.py).

    X-Hub-Signature-256: sha256=…    for a source whose auth scheme is `hmac`, in this header and with this prefix

shared/signatures has the counterpart, which verifies these requests.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from deploy.client.hookchain.auth import Auth, Basic, Bearer, Password, auth_headers
from shared.http import Request
from shared.jsontext import JsonObject, to_json
from shared.signatures import contentful, passwords
from shared.signatures.auth_scheme import AuthScheme
from shared.signatures.content_signing import ContentSigner, shared_key_signature, sign_content, with_header, with_text
from shared.signatures.jwt import JwtScheme
from shared.signatures.key_schemes import PublicKeyScheme
from shared.signatures.keys import hash_of, padding_of
from shared.signatures.locations import Location, RequestFields
from shared.signatures.signature_scheme import SignatureScheme
from shared.signatures.signed_times import timestamp_text
from shared.signatures.signing import encode_bytes, hmac_text
from shared.signatures.standard_webhooks import StandardWebhooksScheme, sign_standard

_KEY_ID: Final = "trigger"
"""The `kid` of our JSON Web Tokens. The keys that are generated here have no id, so any text will do."""
TOKEN_SECONDS: Final = 300
"""How long our JSON Web Tokens are valid."""
BY_CERTIFICATE: Final = frozenset({"aws-sns", "paypal"})
"""The auth schemes whose certificate is fetched from the provider, so that nobody else can sign."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The inputs of a signature besides the request.

    auth         the scheme by which the receiver verifies the request
    key          the shared secret, or the private key (PEM) whose public half is the source's secret
    url_of       returns the URL that the receiver assumes that a request was sent to
    now          Unix seconds
    delivery_id  the sender's id of the event, which some schemes sign
    """

    auth: AuthScheme
    key: str
    url_of: Callable[[Request], str]
    now: float
    delivery_id: str


def sign_request(request: Request, signer: Signer) -> Request:
    """Return the request with the credentials that its auth scheme requires.

    Raises ValueError for a scheme that only the provider can sign, and Temporary for a secret that is not a key.
    """
    match signer.auth:
        case passwords.NoScheme():
            return request
        case passwords.BasicScheme(username=username):
            return _add_headers(request, signer, Basic(username or "hookchain"))
        case passwords.HeaderScheme(header=header):
            return _add_headers(request, signer, Password(header))
        case passwords.BearerScheme():
            return _add_headers(request, signer, Bearer())
        case passwords.PathScheme():
            return replace(request, path=f"{request.path}/{quote(signer.key, safe='')}")
        case passwords.QueryScheme(parameter=parameter):
            return with_text(request, Location("query", (parameter,)), signer.key)
        case passwords.TokenScheme(at=at, prefix=prefix):
            return with_text(request, at, prefix + signer.key)
        case StandardWebhooksScheme() as auth:
            return _sign_standard_webhook(request, signer, auth)
        case contentful.ContentfulScheme():
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
    signature = sign_standard(signer.key, signer.delivery_id, at, request.body, auth.key_encoding)
    for name, value in (("id", signer.delivery_id), ("timestamp", str(at)), ("signature", signature)):
        request = with_header(request, f"{auth.header_prefix}-{name}", value)
    return request


def _sign_contentful(request: Request, signer: Signer) -> Request:
    request = with_header(request, contentful.TIMESTAMP, timestamp_text(signer.now, "ms"))
    # Contentful's library signs them in this order.
    names = sorted([contentful.TOPIC, contentful.TIMESTAMP, contentful.SIGNED_HEADERS])
    request = with_header(request, contentful.SIGNED_HEADERS, ",".join(names))
    content = contentful.canonical_request(request, signer.url_of(request), names)
    return with_header(request, contentful.SIGNATURE, hmac_text(content, signer.key.encode(), "sha256", "hex"))


def _content_signature(fields: RequestFields, key: str, auth: SignatureScheme, timestamp: str) -> str:
    """Return the signature of the scheme's content, in its encoding, with a private or a shared key."""
    if not isinstance(auth, PublicKeyScheme):
        return shared_key_signature(fields, key, auth, timestamp)
    content = auth.contents(fields, timestamp)[0]
    return encode_bytes(sign_with_private_key(key, content, auth.algorithm, auth.form, auth.padding), auth.encoding)


def _json_web_token(signer: Signer, auth: JwtScheme, body: bytes) -> str:
    """Return a token with the claims that the scheme requires, signed with the first algorithm that it accepts."""
    algorithm = auth.algorithms[0]
    header: JsonObject = {"alg": algorithm, "kid": _KEY_ID, "typ": "JWT"}
    claims: JsonObject = {"iat": int(signer.now), "exp": int(signer.now) + TOKEN_SECONDS}
    claims.update((name, wanted[0]) for name, wanted in auth.claims.items() if wanted)
    if auth.digest_claim:
        claims[auth.digest_claim] = hashlib.sha256(body).hexdigest()
    content = ".".join(encode_bytes(to_json(each).encode(), "base64url") for each in (header, claims))
    return f"{content}.{_token_signature(content.encode(), signer.key, algorithm)}"


def _token_signature(content: bytes, key: str, algorithm: str) -> str:
    digest = f"sha{algorithm[2:]}"  # RS256: sha256. For EdDSA it is meaningless and not used
    if algorithm.startswith("HS"):
        return hmac_text(content, key.encode(), digest, "base64url")
    padding = "pss" if algorithm.startswith("PS") else "pkcs1"
    return encode_bytes(sign_with_private_key(key, content, digest, "raw", padding), "base64url")


def sign_with_private_key(private: str, content: bytes, algorithm: str, form: str, padding: str) -> bytes:
    """Return the signature of the content.

    `algorithm` is a hash such as `sha256`, which Ed25519 does not need. `form` (der, raw) is for ECDSA, `padding`
    (pkcs1, pss) for RSA. Raises ValueError for a key that cannot sign.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private.encode(), None)
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(content)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(content, ec.ECDSA(hash_of(algorithm)))
        return signature if form == "der" else _fixed_size(signature, (key.key_size + 7) // 8)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding_of(padding, algorithm), hash_of(algorithm))
    raise ValueError("private key: must be Ed25519, EC or RSA")


def _fixed_size(signature: bytes, size: int) -> bytes:
    """Return an ECDSA signature in DER as its two numbers, each of `size` bytes."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
