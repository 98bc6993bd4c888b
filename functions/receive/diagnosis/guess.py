"""A guess at what went wrong: the request, the way or the secrets with one thing changed, and words for that change.

A guess is true where the changed request passes the same verification that refused the real one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.errors import HookchainError
from shared.http import Request
from shared.signatures.content import Content, parse_content
from shared.signatures.places import parse_place
from shared.signatures.verify import verify
from shared.signatures.way import Way

ANY_TIME_SECONDS: Final = 10**12
_PAIRS: Final = ("whpk_", "whsk_")
_STANDARD: Final[Content] = parse_content("{id}.{timestamp}.{body}")


@dataclass(frozen=True, slots=True)
class Case:
    """What was refused. `url` is the source's as its sender knows it."""

    request: Request
    way: Way
    secrets: Sequence[str]
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    words: str
    case: Case


def with_body(case: Case, body: bytes) -> Case:
    return replace(case, request=replace(case.request, body=body))


def holds(case: Case) -> bool:
    """Whether its proof is right, whenever it was made."""
    way = replace(case.way, tolerance_seconds=ANY_TIME_SECONDS)
    try:
        verify(case.request, way, case.secrets, {}, 0, case.url)
    except HookchainError:  # Temporary too: with another decoding a secret may be no key
        return False
    return True


def as_signed(case: Case) -> Case:
    """Standard Webhooks v1 written out as the HMAC that it is, so that one list of guesses serves both."""
    if case.way.scheme != "standard-webhooks" or any(secret.startswith(_PAIRS) for secret in case.secrets):
        return case
    prefix = _names_used(case.request, case.way.names)
    way = replace(
        case.way,
        scheme="hmac",
        header=f"{prefix}-signature",
        at=parse_place(f"header.{prefix}-signature"),
        layout="versions",
        take=frozenset({"v1"}),
        encoding="base64",
        content=_STANDARD,
        timestamp=parse_place(f"header.{prefix}-timestamp"),
        id=parse_place(f"header.{prefix}-id"),
        key_prefix="whsec_" if case.way.key == "base64" else "",
    )
    return replace(case, way=way)


def _names_used(request: Request, names: str) -> str:
    return "svix" if names == "svix" and request.header("svix-signature") is not None else "webhook"
