"""Passwords and tokens: the secret itself, sent along."""

from collections.abc import Sequence

from shared.errors import Rejected
from shared.signatures.compare import matches_any


def verify_password(given: str | None, secrets: Sequence[str]) -> None:
    """Raises Rejected (`password`)."""
    if given is None:
        raise Rejected("password", "the request has no password or token where this source takes it")
    if not matches_any([given], secrets):
        raise Rejected("password", "the password or token is not this source's")
