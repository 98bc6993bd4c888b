"""A JSON Web Token as a provider would send it."""

import hashlib
from typing import Final

from deploy.requests.private_keys import signed_by
from shared.jsontext import JsonObject, to_json
from shared.signatures.macs import encoded, hmac_text
from shared.signatures.scheme import AuthScheme

KEY_ID: Final = "trigger"
VALID_SECONDS: Final = 300


def signed_token(way: AuthScheme, key: str, body: bytes, now: float) -> str:
    algorithm = way.algorithms[0]
    header: JsonObject = {"alg": algorithm, "kid": KEY_ID, "typ": "JWT"}
    claims: JsonObject = {"iat": int(now), "exp": int(now) + VALID_SECONDS}
    claims.update((name, wanted[0]) for name, wanted in way.claims.items() if wanted)
    if way.digest_claim:
        claims[way.digest_claim] = hashlib.sha256(body).hexdigest()
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{_signature(signed.encode(), key, algorithm)}"


def _part(value: JsonObject) -> str:
    return encoded(to_json(value).encode(), "base64url")


def _signature(signed: bytes, key: str, algorithm: str) -> str:
    bits = f"sha{algorithm[2:]}"
    if algorithm.startswith("HS"):
        return hmac_text(signed, key.encode(), bits, "base64url")
    padding = "pss" if algorithm.startswith("PS") else "pkcs1"
    return encoded(signed_by(key, signed, bits, "raw", padding), "base64url")
