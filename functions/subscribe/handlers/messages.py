"""The messages of a tenant: its events, kept so that they can be sent again."""

from collections.abc import AsyncIterator
from typing import Final

from pydantic import JsonValue

from functions.subscribe import cursors, problems, route
from functions.subscribe.handlers.tenants import tenant_of
from functions.subscribe.models import values
from functions.subscribe.service import Service
from shared import claim_check, errors, times
from shared.event import Event, from_cloudevent
from shared.jsontext import Json, from_json, to_json
from shared.subscribers import directory
from shared.subscribers.model import Message, Tenant

MAX_LOOKED_THROUGH: Final = 500
"""The most messages, or rows of deliveries, that are read for one answer. If few of them match, it has fewer items and
a cursor."""
PAGE: Final = 100
"""The number of messages that are read at a time."""
MAX_SHOWN_BYTES: Final = 1_048_576
"""The most bytes of an event's data that are shown. Lambda answers at most 6 MB."""
AFTER_HYPHEN: Final = "."
"""The character after `-`, so that `x.` sorts after all ids that begin with `x-`."""


class MessageView(values.Output):
    """An event for the tenant.

    `data` is null in lists, if it is no longer kept, and if it is too large: then `truncated` is true.
    """

    id: str
    event_id: str
    type: str
    received_at: str
    data: JsonValue = None
    truncated: bool = False
    test: bool = False


class MessageQuery(values.ListQuery):
    type: values.TypeName | None = None
    since: values.Time | None = None
    until: values.Time | None = None


async def list_messages(call: route.Call, query: MessageQuery) -> values.Page[MessageView]:
    """List the messages of a tenant, newest first."""
    list_key: Json = ["messages", call.tenant, query.type, query.since, query.until]  # a cursor is only for these
    position = await cursors.read_cursor(call.service, list_key, query.cursor)
    last_id = str(position[0]) if position else ""
    since = times.unix_seconds(query.since) if query.since else None
    until = times.unix_seconds(query.until) if query.until else None
    items: list[MessageView] = []
    next_: str | None = None
    looked_through = 0
    async for message in messages_between(call.service, tenant_of(call), since, until, last_id):
        if len(items) == query.limit or looked_through == MAX_LOOKED_THROUGH:
            # This message is the first of the next page, which begins after the last one that was looked at.
            next_ = await cursors.make_cursor(call.service, list_key, [last_id])
            break
        last_id = message.id
        looked_through += 1
        if query.type in (None, message.type):
            items.append(message_view(message))
    return values.Page[MessageView](items=items, next=next_)


async def get_message(call: route.Call, _: values.NoQuery) -> MessageView:
    """Return a message with its data."""
    message = await kept_message(call.service, tenant_of(call), call.params["message"])
    if message is None:
        raise problems.not_found("message")
    view = message_view(message)
    event = await whole_event(call.service, message)
    if event is None:
        return view
    content = to_json(event.data).encode("utf-8", "replace")  # UTF-8 has no lone surrogates: each becomes `?`
    if len(content) > MAX_SHOWN_BYTES:
        return view.model_copy(update={"truncated": True})
    return view.model_copy(update={"data": from_json(content)})


def message_view(message: Message) -> MessageView:
    return MessageView(
        id=message.id,
        event_id=message.event_id,
        type=message.type,
        received_at=times.rfc3339(message.received_at),
        test=message.is_test,
    )


async def kept_message(service: Service, tenant: Tenant, id_: str) -> Message | None:
    """Return the tenant's message; None if it is no longer kept."""
    stored = await service.directory.read(Message, directory.messages_of(tenant.id), id_)
    if stored is None:
        return None
    message, _ = stored
    return message if message.is_of(tenant) else None


async def messages_between(
    service: Service, tenant: Tenant, since: float | None, until: float | None, after: str = ""
) -> AsyncIterator[Message]:
    """Yield the tenant's messages that were received from `since` to `until`, newest first.

    If the list was read in part before, `after` is the id of the last message that was seen; `until` is ignored then.
    """
    # An id is `<mark>-<event>-<route>`, and a later time has a smaller mark: the ids sort the newest message first. So
    # the ids of the period begin at the mark of `until`, and end after all ids with the mark of `since`.
    last_seen = after or ("" if until is None else directory.time_mark(until))
    end = "" if since is None else directory.time_mark(since) + AFTER_HYPHEN
    while True:
        page = await service.directory.page(Message, directory.messages_of(tenant.id), PAGE, last_seen, end)
        for message in page:
            if message.is_of(tenant):
                yield message
        if len(page) < PAGE:
            return
        last_seen = page[-1].id


def event_in(message: Message) -> Event:
    """Return the event as it is kept: if its data is large, without it (see `whole_event`)."""
    return from_cloudevent(from_json(message.event.encode("utf-8", "surrogatepass")))


async def whole_event(service: Service, message: Message) -> Event | None:
    """Return the event with its data; None if the data is no longer kept."""
    try:
        return await claim_check.checked_out(event_in(message), service.blobs)
    except errors.Permanent:
        return None
