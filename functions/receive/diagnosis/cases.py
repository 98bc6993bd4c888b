"""A rejected request as a case, and a guess: its cause, and the case with one change, which is right if it passes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from shared import errors, http
from shared.signatures.auth_scheme import AuthScheme, TimedScheme, verify_request
from shared.signatures.content import Content, parse_content
from shared.signatures.locations import parse_location
from shared.signatures.signature_scheme import HmacScheme, SignatureScheme

if TYPE_CHECKING:
    from shared.signatures.standard_webhooks import StandardWebhooksScheme


ANY_TIME_SECONDS: Final = 10**12
"""A tolerance within which every time is."""
_KEY_PAIR_PREFIXES: Final = ("whpk_", "whsk_")
"""The beginnings of the secrets of Standard Webhooks that are public or private keys."""
WHSEC: Final = "whsec_"
"""The beginning of the secrets of Standard Webhooks that are shared keys."""
_STANDARD: Final[Content] = parse_content("{id}.{timestamp}.{body}")
"""The template of Standard Webhooks."""


@dataclass(frozen=True, slots=True)
class Case:
    """A rejected request, and the scheme and the secrets by which it was rejected.

    url               the request's URL as its sender knows it; None for the URL that the request shows
    is_content_fixed  a provider or a standard defines what the scheme signs, so that the operator cannot set it
    """

    request: http.Request
    auth: AuthScheme
    secrets: Sequence[str]
    url: str | None = None
    is_content_fixed: bool = False


@dataclass(frozen=True, slots=True)
class SignedCase(Case):
    """A rejected request whose signature is over a template."""

    auth: SignatureScheme


@dataclass(frozen=True, slots=True)
class Guess:
    """A cause, and the case with the one change that makes it right if this is the cause."""

    cause: str
    case: Case


def holds(case: Case) -> bool:
    """Return whether the signature is right, whenever it was made."""
    auth = case.auth
    if isinstance(auth, TimedScheme):
        auth = replace(auth, tolerance_seconds=ANY_TIME_SECONDS)
    try:
        verify_request(case.request, auth, case.secrets, {}, 0, case.url)
    except errors.HookchainError:  # also Temporary, because in another encoding a secret may be no key
        return False
    return True


def first_cause(guesses: Iterable[Guess]) -> str | None:
    """Return the cause of the first guess that is right; None if none is."""
    return next((guess.cause for guess in guesses if holds(guess.case)), None)


def as_signed(case: Case) -> Case:
    """Return a SignedCase if the scheme signs a template, else the case itself.

    Standard Webhooks v1 is an HMAC of a template, and becomes one, so that the same guesses are tried.
    """
    if isinstance(case.auth, SignatureScheme):
        return SignedCase(case.request, case.auth, case.secrets, case.url, case.is_content_fixed)
    has_key_pair = any(secret.startswith(_KEY_PAIR_PREFIXES) for secret in case.secrets)
    if case.auth.scheme != "standard-webhooks" or has_key_pair:
        return case
    # Imported here, because few sources have this scheme.
    from shared.signatures.standard_webhooks import StandardWebhooksScheme

    assert isinstance(case.auth, StandardWebhooksScheme)
    if case.auth.key_encoding != "either":
        return _as_hmac(case, case.auth, case.auth.key_encoding)
    # If neither encoding of the key makes the signature, the likelier one counts.
    is_base64 = all(secret.startswith(WHSEC) for secret in case.secrets)
    key_encodings = ("base64", "utf8") if is_base64 else ("utf8", "base64")
    cases = [_as_hmac(case, case.auth, key_encoding) for key_encoding in key_encodings]
    return next(filter(holds, cases), cases[0])


def _as_hmac(case: Case, standard: "StandardWebhooksScheme", key_encoding: str) -> SignedCase:
    """Return the case with Standard Webhooks v1 as an HMAC of a template."""
    is_svix = standard.header_prefix == "svix" and case.request.header("svix-signature") is not None
    prefix = "svix" if is_svix else "webhook"
    auth = HmacScheme(
        secret=standard.secret,
        variant=standard.variant,
        when=standard.when,
        tolerance_seconds=standard.tolerance_seconds,
        key_encoding=key_encoding,
        at=parse_location(f"header.{prefix}-signature"),
        layout="versions",
        take=frozenset({"v1"}),
        encoding="base64",
        content=_STANDARD,
        timestamp=parse_location(f"header.{prefix}-timestamp"),
        id=parse_location(f"header.{prefix}-id"),
        key_prefix=WHSEC if key_encoding == "base64" else "",
    )
    # As signing.standard_key reads them, without the version that some senders show before the secret.
    secrets = [secret.removeprefix("v1,") for secret in case.secrets] if key_encoding == "base64" else case.secrets
    return SignedCase(case.request, auth, secrets, case.url, case.is_content_fixed)
