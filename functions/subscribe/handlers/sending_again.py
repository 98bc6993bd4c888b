"""Deliveries that are sent again."""

from functions.subscribe.models.base import NoBody
from functions.subscribe.models.deliveries import RecoverInput, Replayed, ReplayInput, Resent
from functions.subscribe.route import Call


async def recover_endpoint(call: Call, given: RecoverInput) -> Replayed:
    """Send again what failed or was never sent since a time."""
    raise NotImplementedError


async def replay_endpoint(call: Call, given: ReplayInput) -> Replayed:
    """Send again what was received in a time."""
    raise NotImplementedError


async def resend_delivery(call: Call, given: NoBody) -> Resent:
    """Send a delivery again."""
    raise NotImplementedError
