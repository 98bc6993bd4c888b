"""The messages of a tenant."""

from typing import Final

from functions.subscribe.handlers.tenants import tenant_of
from functions.subscribe.kept_messages import kept_message, messages_between, presentable, whole_event
from functions.subscribe.listing import make_cursor, read_cursor
from functions.subscribe.models.base import NoQuery, Page
from functions.subscribe.models.deliveries import MessageQuery, MessageView
from functions.subscribe.problems import not_found
from functions.subscribe.route import Call
from shared.jsontext import Json
from shared.subscribers.model import Message
from shared.times import rfc3339, unix_seconds

MAX_LOOKED_THROUGH: Final = 500
"""Messages of one answer. Where few of them match, it has fewer items than asked for, and a cursor."""


async def list_messages(call: Call, given: MessageQuery) -> Page[MessageView]:
    """List the messages of a tenant, newest first."""
    list_: Json = ["messages", call.tenant, *given.model_dump(exclude={"limit", "cursor"}).values()]
    seen = await read_cursor(call.service, list_, given.cursor)
    since = unix_seconds(given.since) if given.since else None
    until = unix_seconds(given.until) if given.until else None
    items: list[MessageView] = []
    last, looked_through = "", 0
    async for message in messages_between(call.service, tenant_of(call), since, until, str(seen[0]) if seen else ""):
        if len(items) == given.limit or looked_through == MAX_LOOKED_THROUGH:
            return Page[MessageView](items=items, next=await make_cursor(call.service, list_, [last]))
        last, looked_through = message.id, looked_through + 1
        if given.type in (None, message.type):
            items.append(message_view(message))
    return Page[MessageView](items=items)


async def get_message(call: Call, given: NoQuery) -> MessageView:
    """Return a message with its data."""
    message = await kept_message(call.service, tenant_of(call), call.params["message"])
    if message is None:
        raise not_found("message")
    event = await whole_event(call.service, message)
    data, is_whole = (None, False) if event is None else presentable(event.data)
    return message_view(message).model_copy(update={"data": data, "truncated": not is_whole})


def message_view(message: Message) -> MessageView:
    return MessageView(
        id=message.id,
        event_id=message.event_id,
        type=message.type,
        received_at=rfc3339(message.received_at),
        test=message.is_test,
    )
