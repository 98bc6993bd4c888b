"""The messages of a tenant."""

from functions.subscribe.models.base import NoQuery, Page
from functions.subscribe.models.deliveries import MessageQuery, MessageView
from functions.subscribe.route import Call


async def list_messages(call: Call, given: MessageQuery) -> Page[MessageView]:
    """List the messages of a tenant, newest first."""
    raise NotImplementedError


async def get_message(call: Call, given: NoQuery) -> MessageView:
    """Return a message with its data."""
    raise NotImplementedError
