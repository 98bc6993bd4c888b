"""Portal tokens and sessions."""

from functions.subscribe.models.access import PortalInfo, PortalTokenCreated, PortalTokenInput
from functions.subscribe.models.base import NoQuery
from functions.subscribe.route import Call


async def create_token(call: Call, given: PortalTokenInput) -> PortalTokenCreated:
    """Create a portal token for a tenant."""
    raise NotImplementedError


async def revoke_sessions(call: Call, given: NoQuery) -> None:
    """Revoke all portal tokens of a tenant."""
    raise NotImplementedError


async def revoke_session(call: Call, given: NoQuery) -> None:
    """Revoke a portal session."""
    raise NotImplementedError


async def get_portal_info(call: Call, given: NoQuery) -> PortalInfo:
    """Return what the page shows and allows."""
    raise NotImplementedError
