"""The authentication of a request: any of the source's schemes will do.

Credentials in the head (a password, a token) are verified before the body is read. Signatures are verified over the raw
body before anything is parsed.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.signatures.auth_scheme import AuthScheme, NeededKey, NotAttempted, verify
from shared.signatures.locations import RequestFields

if TYPE_CHECKING:
    from functions.receive.source import Source

SecretValues = Mapping[str, Sequence[str]]

NO_KEYS: Final[Mapping[str, bytes]] = MappingProxyType({})


def verify_head(request: Request, source: "Source", secrets: SecretValues, now: float) -> bool:
    """Return True where the head alone authenticates the sender, False where a signature still has to.

    Raises Rejected (`password_mismatch`) where no scheme is left.
    """
    rejection: Rejected | None = None
    for auth in source.head_schemes:
        try:
            verify(request, auth, secrets.get(auth.secret, ()), NO_KEYS, now)
        except Rejected as error:
            rejection = rejection or error
        else:
            return True
    if rejection and not source.body_schemes:
        raise rejection
    return False


def needed_keys(fields: RequestFields, source: "Source", now: float) -> set[NeededKey]:
    """Return the keys that verify_body needs.

    None where the request fails a check that needs no key: verify_body makes the same check, and rejects it.
    """
    needed: set[NeededKey] = set()
    for auth in source.body_schemes:
        if auth.needs_key and fields.meets(auth.when):
            try:
                key = auth.needed_key(fields, now)
            except Rejected:
                continue
            if key:
                needed.add(key)
    return needed


def verify_body(
    fields: RequestFields,
    source: "Source",
    secrets: SecretValues,
    now: float,
    keys: Mapping[str, bytes] = NO_KEYS,
) -> AuthScheme:
    """Return the scheme that authenticates the request.

    `keys` are those that needed_keys named. Raises Rejected, and Temporary for a secret or a key that is unusable.
    """
    rejection: Rejected | None = None
    for auth in source.body_schemes:
        if auth.when and not fields.meets(auth.when):
            continue
        try:
            auth.verify(fields, secrets.get(auth.secret, ()), keys, now)
        except NotAttempted:
            continue
        except Rejected as error:
            rejection = rejection or error
        except Temporary as error:
            # A secret is of one kind, and the sender chooses the scheme: no key for one may be another's password.
            serves_head = any(other.secret == auth.secret for other in source.head_schemes)
            if error.code != "secret_unusable" or not serves_head:
                raise
            rejection = rejection or Rejected(
                "signature_mismatch", f"{error.detail}; it serves another of the source's schemes"
            )
        else:
            return auth
    raise rejection or _no_credentials(source)


def _no_credentials(source: "Source") -> Rejected:
    locations = dict.fromkeys(auth.credentials_text for auth in source.body_schemes)
    if not locations:
        return Rejected("signature_mismatch", "the source takes no signature")
    return Rejected("signature_mismatch", f"the request has no signature: it is expected in {' or '.join(locations)}")
