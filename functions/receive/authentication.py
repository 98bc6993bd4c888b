"""The authentication of a request: any of the source's schemes will do.

Credentials in the head (a password, a token) are verified before the body is read. Signatures are verified over the raw
body before anything is parsed.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from functions.receive.admission import source_name
from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.signatures.reading import Reading
from shared.signatures.scheme import AuthScheme
from shared.signatures.signed import place_text
from shared.signatures.verify import NeededKey, is_attempted, key_needed, verify

SecretValues = Mapping[str, Sequence[str]]

NO_KEYS: Final[Mapping[str, bytes]] = MappingProxyType({})


def verify_head(request: Request, schemes: Sequence[AuthScheme], secrets: SecretValues, now: float) -> bool:
    """Return True where the head alone authenticates the sender, False where a signature still has to.

    Raises Rejected (`password_mismatch`) where no scheme is left.
    """
    rejection: Rejected | None = None
    for auth in schemes:
        if auth.is_in_head:
            try:
                _verify_in_head(request, auth, secrets.get(auth.secret, ()), now)
            except Rejected as error:
                rejection = rejection or error
            else:
                return True
    if rejection and all(auth.is_in_head for auth in schemes):
        raise rejection
    return False


def _verify_in_head(request: Request, auth: AuthScheme, secrets: Sequence[str], now: float) -> None:
    if auth.scheme == "link":
        from functions.receive.links import verify_link  # where links are taken only

        if request.method != "GET":
            raise Rejected(
                "signature_mismatch",
                "a link's signature is over its query alone, so it proves a GET and nothing posted",
            )
        verify_link(source_name(request.path), request.query, secrets, now)
    else:
        verify(request, auth, secrets, NO_KEYS, now)


def needed_keys(request: Request, schemes: Sequence[AuthScheme], now: float) -> set[NeededKey]:
    """Return the keys that verify_body needs.

    None where the request fails a check that needs no key: verify_body makes the same check, and rejects it.
    """
    needed: set[NeededKey] = set()
    reading = Reading(request)
    for auth in schemes:
        if auth.is_in_head or not is_attempted(reading, auth):
            continue
        try:
            key = key_needed(reading, auth, now)
        except Rejected:
            continue
        if key:
            needed.add(key)
    return needed


def verify_body(
    request: Request,
    schemes: Sequence[AuthScheme],
    secrets: SecretValues,
    now: float,
    url: str | None = None,
    keys: Mapping[str, bytes] = NO_KEYS,
) -> AuthScheme:
    """Return the scheme that authenticates the request.

    `url` is the request's as its sender knows it. `keys` are those that needed_keys named. Raises Rejected, and
    Temporary for a secret or a key that is unusable.
    """
    rejection: Rejected | None = None
    reading = Reading(request, url)
    for auth in schemes:
        if auth.is_in_head or not is_attempted(reading, auth):
            continue
        try:
            verify(reading, auth, secrets.get(auth.secret, ()), keys, now)
        except Rejected as error:
            rejection = rejection or error
        except Temporary as error:
            # A secret is of one kind, and the sender chooses the scheme: no key for one may be another's password.
            serves_head = any(other.secret == auth.secret and other.is_in_head for other in schemes)
            if error.code != "secret_unusable" or not serves_head:
                raise
            rejection = rejection or Rejected(
                "signature_mismatch", f"{error.detail}; it serves another of the source's schemes"
            )
        else:
            return auth
    raise rejection or _no_credentials(schemes)


def _no_credentials(schemes: Sequence[AuthScheme]) -> Rejected:
    places = dict.fromkeys(place_text(auth) for auth in schemes if not auth.is_in_head)
    if not places:
        return Rejected("signature_mismatch", "the source takes no signature")
    return Rejected("signature_mismatch", f"the request has no signature: it is expected in {' or '.join(places)}")
