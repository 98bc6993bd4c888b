"""The messages of a tenant: found by a delivery's row, or by time, and read as events."""

from collections.abc import AsyncIterator
from typing import Final

from functions.subscribe.service import Service
from shared.claim_check import checked_out
from shared.delivery import delivery_id
from shared.errors import Permanent
from shared.event import Event, from_cloudevent
from shared.jsontext import Json, from_json, to_json
from shared.ledger import LedgerRow
from shared.subscribers.directory import entry_id, message_entries_of, messages_of, read_stored, route_mark, time_mark
from shared.subscribers.model import Message, MessageEntry, Tenant
from shared.subscribers.names import SEPARATOR, EndpointName

PAGE: Final = 100
MAX_PARTS: Final = 1_000
"""Of an event that a step split: how many of its parts are looked through for one delivery."""
MAX_SHOWN_BYTES: Final = 1_048_576
"""Of an event's data. Lambda answers at most 6 MB."""
_AFTER_HYPHEN: Final = "."


async def message_of_row(service: Service, tenant: str, row: LedgerRow) -> MessageEntry | None:
    """Return the entry of the message that the delivery is of; None if it is no longer kept."""
    id_ = entry_id(row.event_id, row.route, configured_name(row))
    found = await service.directory.read(MessageEntry, message_entries_of(tenant), id_)
    if found and delivery_id(row.event_id, row.route, row.destination) == row.key:
        return found[0]
    return await _part_of_row(service, tenant, row)


async def _part_of_row(service: Service, tenant: str, row: LedgerRow) -> MessageEntry | None:
    """The ledger knows the event that was received: the delivery may be of a part, whose id has a number more."""
    partition, suffix = message_entries_of(tenant), f"-{route_mark(row.route, configured_name(row))}"
    prefix = f"{row.event_id}-"
    parts = await service.documents.page(partition, MAX_PARTS, prefix, row.event_id + _AFTER_HYPHEN)
    for part in parts:
        if part.id.endswith(suffix):
            event_id = part.id.removesuffix(suffix)
            if delivery_id(event_id, row.route, row.destination) == row.key:
                return read_stored(MessageEntry, part)
    return None


def configured_name(row: LedgerRow) -> str:
    """Return the name of the configured destination that the row's endpoint is at."""
    return row.destination.partition(SEPARATOR)[0]


async def kept_message(service: Service, tenant: Tenant, id_: str) -> Message | None:
    """Return the tenant's message; None if it is no longer kept."""
    found = await service.directory.read(Message, messages_of(tenant.id), id_)
    return found[0] if found and found[0].is_of(tenant) else None


async def messages_between(
    service: Service, tenant: Tenant, since: float | None, until: float | None, after: str = ""
) -> AsyncIterator[Message]:
    """Yield the messages that were received from `since` to `until`, newest first, after the one with that id."""
    begin = after or ("" if until is None else time_mark(until))
    end = "" if since is None else time_mark(since) + _AFTER_HYPHEN
    while True:
        page = await service.directory.page(Message, messages_of(tenant.id), PAGE, begin, end)
        for message in page:
            if message.is_of(tenant):
                yield message
        if len(page) < PAGE:
            return
        begin = page[-1].id


def event_in(message: Message) -> Event:
    """Return the event as it travels, perhaps without its data."""
    return from_cloudevent(from_json(message.event.encode("utf-8", "surrogatepass")))


async def whole_event(service: Service, message: Message) -> Event | None:
    """Return the event with its data; None if the data is no longer kept."""
    try:
        return await checked_out(event_in(message), service.blobs)
    except Permanent:
        return None


def presentable(data: Json) -> tuple[Json, bool]:
    """Return data as it can be shown, and True; null and False for what is too large. Lone surrogates are replaced."""
    text = to_json(data)
    try:
        content = text.encode()
    except UnicodeEncodeError:
        content = text.encode("utf-8", "replace")
        data = from_json(content)
    return (data, True) if len(content) <= MAX_SHOWN_BYTES else (None, False)


def endpoint_names(service: Service, tenant: str, endpoint: str) -> list[EndpointName]:
    """Return the names by which the ledger may know the endpoint: one for each configured destination."""
    return [EndpointName(name, tenant, endpoint) for name in service.settings.destinations]
