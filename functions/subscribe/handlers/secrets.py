"""The secrets of an endpoint."""

from functions.subscribe.models.base import NoQuery
from functions.subscribe.models.endpoints import SecretRotation, SecretView
from functions.subscribe.route import Call


async def reveal_secret(call: Call, given: NoQuery) -> SecretView:
    """Show the secret of an endpoint."""
    raise NotImplementedError


async def rotate_secret(call: Call, given: SecretRotation) -> SecretView:
    """Replace the secret; the one before is used beside it for 24 hours."""
    raise NotImplementedError
