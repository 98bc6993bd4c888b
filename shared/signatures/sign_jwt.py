"""Making the token that a JWT way takes."""

import base64
from dataclasses import replace
from typing import Final

from shared.jsontext import Json, JsonObject, to_json
from shared.signatures.macs import hmac_text
from shared.signatures.private_keys import private_signature
from shared.signatures.way import Way

_LIFETIME_SECONDS: Final = 3600


def signed_token(way: Way, secret: str, now: float, body_digest: str) -> str:
    """By the first of the way's algorithms, with the first text of each claim it asks for."""
    algorithm = way.algorithms[0]
    claims: JsonObject = {name: texts[0] for name, texts in way.claims.items() if texts}
    claims |= {"iat": int(now), "exp": int(now) + _LIFETIME_SECONDS}
    if way.digest_claim:
        claims[way.digest_claim] = body_digest
    signed = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(claims)}"
    return f"{signed}.{_signature(algorithm, way, secret, signed.encode())}"


def _signature(algorithm: str, way: Way, secret: str, signed: bytes) -> str:
    name = f"sha{algorithm[2:]}"
    if algorithm.startswith("HS"):
        return hmac_text(signed, secret.encode(), name, "base64url")
    padding = "pss" if algorithm.startswith("PS") else "pkcs1"
    as_signed = replace(way, algorithm=name, form="raw", padding=padding)
    return _text(private_signature(secret, as_signed, signed))


def _part(value: Json) -> str:
    return _text(to_json(value).encode())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
