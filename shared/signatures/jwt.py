"""JSON Web Tokens, signed by one of the algorithms that the scheme names, never by the one that the token asks for.

Own code, not joserfc, whose import adds 115 ms to the first request and which takes 21 µs for a token beside 12 here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from shared import errors, http
from shared.jsontext import Json, JsonObject
from shared.signatures import auth_scheme, locations, signing
from shared.signatures.keys import is_key_for, is_signed_by, jwk_key, public_key

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


class Unproven(NamedTuple):
    """A token that passed every check that needs no key."""

    header: JsonObject
    algorithm: str
    signed: bytes
    signature: str


@dataclass(eq=False, repr=False, kw_only=True)
class JwtScheme(auth_scheme.TimedScheme):
    """Settings are those of JwtAuth in deploy/config/sections/auth.py. `digest_claim` is its `body_digest`."""

    scheme = "jwt"
    header: str = "authorization"
    prefix: str = ""
    algorithms: tuple[str, ...]
    keys_url: str = ""
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    digest_claim: str = ""
    max_age: bool = False
    without_exp: bool = False
    leeway_seconds: int = 0

    def __post_init__(self) -> None:
        self.signs_content = self.signs_body_alone = bool(self.digest_claim)
        self.needs_key = bool(self.keys_url)

    @classmethod
    def read(cls, entry: auth_scheme.SchemeEntry) -> Self:
        claims = entry.settings.get("claims")
        return cls(
            algorithms=entry.texts("algorithms"),
            claims={name: auth_scheme.text_list(each) for name, each in claims.items()}
            if isinstance(claims, dict)
            else {},
            digest_claim=str(entry.settings.get("body_digest", "")),
            max_age=entry.settings.get("max_age") is True,
            without_exp=entry.settings.get("without_exp") is True,
            leeway_seconds=entry.seconds("leeway_seconds", 0),
            tolerance_seconds=entry.seconds("tolerance_seconds", auth_scheme.TOLERANCE_SECONDS),
            when=entry.when,
            **entry.strings("algorithms", "body_digest"),
        )

    @property
    def is_shared_key(self) -> bool:
        return any(name.startswith("HS") for name in self.algorithms)

    @property
    def credentials(self) -> tuple[locations.Location, ...]:
        return (locations.Location("header", (self.header.lower(),)),)

    def verify(
        self, fields: locations.RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float
    ) -> None:
        token = self._read_unproven(fields.request, now)
        if not _is_signed(token, self._keys(token.header, secrets, keys)):
            raise auth_scheme.mismatch("the token's signature does not match, or its key is not known")

    def needed_key(self, fields: locations.RequestFields, now: float) -> auth_scheme.NeededKey | None:
        if not self.keys_url:
            return None
        self._read_unproven(fields.request, now)
        return auth_scheme.NeededKey(self.keys_url, is_configured=True)

    def _read_unproven(self, request: http.Request, now: float) -> Unproven:
        """Check all that needs no key: algorithm, claims, times, the body's digest. Raises Rejected
        (`signature_mismatch`, `timestamp_out_of_range`)."""
        token = self._token(request)
        signed, _, signature = token.rpartition(".")
        header, claims = (_object(part) for part in signed.split("."))
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self.algorithms:
            raise auth_scheme.mismatch(f"the token is not signed by {' or '.join(self.algorithms)}")
        if "crit" in header:
            raise auth_scheme.mismatch("the token has critical extensions, of which none is known")
        self.verify_claims(claims, now)
        if self.digest_claim:
            expected = hashlib.sha256(request.body).hexdigest()
            if not signing.matches_any([str(claims.get(self.digest_claim)).lower()], [expected]):
                raise auth_scheme.mismatch(f"the token's claim {self.digest_claim} is not the body's SHA-256")
        return Unproven(header, algorithm, signed.encode(), signature)

    def _token(self, request: http.Request) -> str:
        text = request.header(self.header)
        if not text:
            raise auth_scheme.NotAttempted(f"the request has no token: it is expected in the header {self.header}")
        if text[: len(self.prefix)].lower() != self.prefix.lower():
            raise auth_scheme.mismatch(f"the header {self.header} does not begin with {self.prefix!r}")
        token = text[len(self.prefix) :].strip()
        if token.count(".") != 2 or len(token) > _MAX_CHARACTERS or not token.isascii() or not _has_signature(token):
            raise auth_scheme.mismatch("the token is not a JSON Web Token")
        return token

    def _keys(self, header: JsonObject, secrets: Sequence[str], keys: Mapping[str, bytes]) -> list[str | PublicKey]:
        """Return the keys that may have signed the token; shared ones as text."""
        kid = header.get("kid")
        if self.keys_url:
            jwks = _jwks(auth_scheme.fetched_key(keys, self.keys_url))
            return [key for jwk in jwks if jwk.get("kid") == kid and (key := _jwk_key(jwk))]
        if self.is_shared_key:
            return list(secrets)
        return [key for secret in secrets if (key := _secret_key(secret, kid, self.algorithms))]

    def verify_claims(self, claims: JsonObject, now: float) -> None:
        """Raises Rejected: `signature_mismatch` or `timestamp_out_of_range`."""
        for name, wanted in self.claims.items():
            if set(auth_scheme.text_list(claims.get(name))).isdisjoint(wanted):
                raise auth_scheme.mismatch(f"the token's claim {name} is not one that the source accepts")
        if "email" in self.claims and claims.get("email_verified") is False:
            raise auth_scheme.mismatch("the token's e-mail address is not verified")
        self._verify_times(claims, now)

    def _verify_times(self, claims: JsonObject, now: float) -> None:
        """Check `exp` with the leeway alone, `nbf` and `iat` with the tolerance. `exp` is the first second too late."""
        expires, begins, issued = (_seconds(claims, name) for name in ("exp", "nbf", "iat"))
        if expires is None and not (self.max_age or self.without_exp):
            rule = "must have `exp`, the time from which on it is not valid; otherwise it could be used for ever"
            raise errors.Rejected("timestamp_out_of_range", f"the token {rule}")
        if expires is not None and now >= expires + self.leeway_seconds:
            raise errors.Rejected("timestamp_out_of_range", "the token has expired")
        for time in (begins, issued):
            if time is not None and time > now + self.tolerance_seconds:
                raise errors.Rejected("timestamp_out_of_range", "the token is from the future")
        if self.max_age:
            if issued is None:
                raise errors.Rejected("timestamp_out_of_range", "the token does not say when it was issued")
            auth_scheme.verify_age(issued, now, self.tolerance_seconds)

    def coverage(self, unpacked: str, request: http.Request) -> auth_scheme.Coverage:
        return auth_scheme.Coverage(True, True)

    def signed_time(self, fields: locations.RequestFields) -> str:
        return fields.request.header(self.header) or ""


def _has_signature(token: str) -> bool:
    try:
        return bool(_bytes(token.rpartition(".")[2]))
    except ValueError:
        return False


def unverified_claims(token: str) -> JsonObject:
    """Return what the token says, whoever signed it. Raises Rejected for one that is no JSON Web Token."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _MAX_CHARACTERS or not token.isascii():
        raise auth_scheme.mismatch("the token is not a JSON Web Token")
    return _object(parts[1])


def _object(part: str) -> JsonObject:
    try:
        value: Json = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise auth_scheme.mismatch("the token is not a JSON Web Token")
    return value


def _bytes(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _jwks(content: bytes) -> list[JsonObject]:
    try:
        document: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise auth_scheme.unusable("what was fetched as the provider's keys is no JWKS") from error
    found = document.get("keys") if isinstance(document, dict) else None
    return [jwk for jwk in found if isinstance(jwk, dict)] if isinstance(found, list) else []


def _jwk_key(jwk: JsonObject) -> PublicKey | None:
    try:
        return jwk_key(jwk)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _secret_key(secret: str, kid: Json, algorithms: Sequence[str]) -> PublicKey | None:
    """Return the secret's key: a JWK's `kid` must be the token's. Raises Temporary for a key of no use."""
    if secret.lstrip().startswith("{"):
        try:
            named = json.loads(secret).get("kid")
        except ValueError:
            named = None
        if named is not None and named != kid:
            return None
    key = public_key(secret)
    if not any(is_key_for(key, _ALGORITHMS[name][0]) for name in algorithms):
        raise auth_scheme.unusable(f"the secret is not a key for {' or '.join(algorithms)}")
    return key


def _is_signed(token: Unproven, keys: Sequence[str | PublicKey]) -> bool:
    if token.algorithm.startswith("HS"):
        name = f"sha{token.algorithm[2:]}"
        expected = [
            signing.hmac_text(token.signed, key.encode(), name, "base64url") for key in keys if isinstance(key, str)
        ]
        return signing.matches_any([token.signature], expected)
    signature = _bytes(token.signature)
    scheme, name, padding = _ALGORITHMS[token.algorithm]
    # The token chose its algorithm, and by `kid` its key: one of another kind has not signed it.
    public = [key for key in keys if not isinstance(key, str) and is_key_for(key, scheme)]
    checks = [
        is_signed_by(key, scheme, signature, token.signed, algorithm=name, form="raw", padding=padding)
        for key in public
    ]
    return True in checks


def _seconds(claims: JsonObject, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise errors.Rejected("timestamp_out_of_range", f"the token's {name} is not a time")
    return value


SCHEMES: Final = {"jwt": JwtScheme}
