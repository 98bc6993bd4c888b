"""JSON Web Tokens, signed by one of the algorithms that the way names, never by what the token itself asks for."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.errors import Rejected
from shared.jsontext import Json, JsonObject
from shared.signatures.asymmetric import is_key_for, is_signed_by
from shared.signatures.certificates import fetched
from shared.signatures.compare import matches_any
from shared.signatures.jwt_claims import verify_claims
from shared.signatures.keys import jwk_key, public_key, unusable
from shared.signatures.reading import Reading
from shared.signatures.signing import hmac_text
from shared.signatures.way import Way

if TYPE_CHECKING:
    from shared.signatures.keys import PublicKey

_MAX_CHARACTERS: Final = 16_384
# Algorithm of the token: scheme, hash, padding (RFC 7518, RFC 8037).
_ALGORITHMS: Final = {
    "RS256": ("rsa", "sha256", "pkcs1"),
    "RS384": ("rsa", "sha384", "pkcs1"),
    "RS512": ("rsa", "sha512", "pkcs1"),
    "PS256": ("rsa", "sha256", "pss"),
    "ES256": ("ecdsa", "sha256", ""),
    "ES384": ("ecdsa", "sha384", ""),
    "EdDSA": ("ed25519", "", ""),
}


@dataclass(frozen=True, slots=True)
class Unproven:
    """A token that passed every check that needs no key."""

    header: JsonObject
    algorithm: str
    signed: bytes
    signature: str


def read_unproven(reading: Reading, way: Way, now: float) -> Unproven:
    """Check all that needs no key: algorithm, claims, times, the body's digest. Raises Rejected (`sig`, `ts`)."""
    token = _token(reading, way)
    signed, _, signature = token.rpartition(".")
    header, claims = (_object(part) for part in signed.split("."))
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in way.algorithms:
        raise Rejected("sig", f"the token is not signed by {' or '.join(way.algorithms)}")
    if "crit" in header:
        raise Rejected("sig", "the token has critical extensions, of which none is known")
    verify_claims(claims, way, now)
    if way.digest_claim:
        expected = hashlib.sha256(reading.request.body).hexdigest()
        if not matches_any([str(claims.get(way.digest_claim)).lower()], [expected]):
            raise Rejected("sig", f"the token's claim {way.digest_claim} is not the body's SHA-256")
    return Unproven(header, algorithm, signed.encode(), signature)


def verify_jwt(reading: Reading, way: Way, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
    """Raises Rejected: `sig` or `ts`; Temporary without the keys, or for a secret that is none."""
    token = read_unproven(reading, way, now)
    if not _is_signed(token.signed, token.signature, token.algorithm, _keys(token.header, way, secrets, keys)):
        raise Rejected("sig", "the token's signature does not match, or its key is not known")


def _token(reading: Reading, way: Way) -> str:
    text = reading.request.header(way.header)
    if not text or not text[: len(way.prefix)].lower() == way.prefix.lower():
        raise Rejected("sig", f"the request has no token: it is expected in the header {way.header}")
    token = text[len(way.prefix) :].strip()
    if token.count(".") != 2 or len(token) > _MAX_CHARACTERS or not token.isascii() or not _has_signature(token):
        raise Rejected("sig", "the token is no JSON Web Token")
    return token


def _has_signature(token: str) -> bool:
    try:
        return bool(_bytes(token.rpartition(".")[2]))
    except ValueError:
        return False


def unverified_claims(token: str) -> JsonObject:
    """Return what the token says, whoever signed it. Raises Rejected (`sig`) for one that is no JSON Web Token."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _MAX_CHARACTERS or not token.isascii():
        raise Rejected("sig", "the token is no JSON Web Token")
    return _object(parts[1])


def _object(part: str) -> JsonObject:
    try:
        value: Json = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Rejected("sig", "the token is no JSON Web Token")
    return value


def _bytes(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _keys(header: JsonObject, way: Way, secrets: Sequence[str], keys: Mapping[str, bytes]) -> list[str | PublicKey]:
    """Shared ones as text."""
    kid = header.get("kid")
    if way.keys_url:
        jwks = _jwks(fetched(keys, way.keys_url))
        return [key for jwk in jwks if jwk.get("kid") == kid and (key := _jwk_key(jwk))]
    if any(name.startswith("HS") for name in way.algorithms):
        return list(secrets)
    return [key for secret in secrets if (key := _secret_key(secret, kid, way.algorithms))]


def _jwks(content: bytes) -> list[JsonObject]:
    try:
        document: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise unusable("what was fetched as the provider's keys is no JWKS") from error
    found = document.get("keys") if isinstance(document, dict) else None
    return [jwk for jwk in found if isinstance(jwk, dict)] if isinstance(found, list) else []


def _jwk_key(jwk: JsonObject) -> PublicKey | None:
    try:
        return jwk_key(jwk)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _secret_key(secret: str, kid: Json, algorithms: Sequence[str]) -> PublicKey | None:
    """A JWK with a `kid` is for tokens with the same; any other key is for all. Raises Temporary for one of no use."""
    if secret.lstrip().startswith("{"):
        try:
            named = json.loads(secret).get("kid")
        except ValueError:
            named = None
        if named is not None and named != kid:
            return None
    key = public_key(secret)
    if not any(is_key_for(key, _ALGORITHMS[name][0]) for name in algorithms):
        raise unusable(f"the secret is no key for {' or '.join(algorithms)}")
    return key


def _is_signed(signed: bytes, signature_text: str, algorithm: str, keys: Sequence[str | PublicKey]) -> bool:
    if algorithm.startswith("HS"):
        name = f"sha{algorithm[2:]}"
        expected = [hmac_text(signed, key.encode(), name, "base64url") for key in keys if isinstance(key, str)]
        return matches_any([signature_text], expected)
    signature = _bytes(signature_text)
    scheme, name, padding = _ALGORITHMS[algorithm]
    # The token chose its algorithm, and by `kid` its key: one of another kind has not signed it.
    public = [key for key in keys if not isinstance(key, str) and is_key_for(key, scheme)]
    checks = [
        is_signed_by(key, scheme, signature, signed, algorithm=name, form="raw", padding=padding) for key in public
    ]
    return True in checks
