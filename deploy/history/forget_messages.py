"""Forgetting the messages of subscribers: a tenant's copy of an event, from which it can be sent again.

A tenant's messages are found by the event's id. Looked through are the tenants that there are, and those that the
event's deliveries name: the messages of a tenant that was deleted go with `hookchain forget --tenant`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from shared.batching import batches
from shared.ledger import LedgerRow
from shared.store_ports import Documents
from shared.subscribers.directory import TENANTS, message_entries_of, messages_of, read_stored
from shared.subscribers.model import MessageEntry
from shared.subscribers.names import endpoint_name

PAGE: Final = 500
AT_ONCE: Final = 20


class Copy(NamedTuple):
    """A tenant's copy of an event, or of a part that a step split off: its message, and the entry that finds it."""

    tenant: str
    entry_id: str
    message_id: str


async def find_copies(documents: Documents | None, event_id: str, rows: Iterable[LedgerRow]) -> tuple[Copy, ...]:
    """Raises Temporary."""
    if documents is None:
        return ()
    named = [name.tenant for row in rows if (name := endpoint_name(row.destination))]
    tenants = dict.fromkeys([*named, *[id async for id in _tenants(documents)]])
    found: list[Copy] = []
    for some in batches([*tenants], AT_ONCE):
        for copies in await asyncio.gather(*(_copies_of(documents, tenant, event_id) for tenant in some)):
            found += copies
    return tuple(found)


async def erase_copies(documents: Documents, copies: Iterable[Copy]) -> None:
    """Delete each message, and then its entry, without which the message would not be found again."""
    for tenant, entry_id, message_id in copies:
        await documents.delete(messages_of(tenant), message_id)
        await documents.delete(message_entries_of(tenant), entry_id)


async def _copies_of(documents: Documents, tenant: str, event_id: str) -> list[Copy]:
    """Return the tenant's copies: the ids of their entries begin with the event's id and a hyphen."""
    found: list[Copy] = []
    after = f"{event_id}-"
    while page := await documents.page(message_entries_of(tenant), PAGE, after, f"{event_id}."):
        found += [Copy(tenant, each.id, read_stored(MessageEntry, each).id) for each in page]
        after = page[-1].id
    return found


async def _tenants(documents: Documents) -> AsyncIterator[str]:
    after = ""
    while page := await documents.page(TENANTS, PAGE, after):
        for document in page:
            yield document.id
        after = page[-1].id
