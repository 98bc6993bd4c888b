"""Test events."""

from functions.subscribe.models.endpoints import TestInput, TestSent
from functions.subscribe.route import Call


async def send_test(call: Call, given: TestInput) -> TestSent:
    """Send a test event to an endpoint."""
    raise NotImplementedError
