"""Deliveries as the API shows them: the ledger's rows of endpoints, merged, newest first, and their ids.

A delivery's id in the API names its row but not its tenant, which is always that of the path.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from heapq import merge
from typing import Final, NamedTuple, TypeVar

from functions.subscribe.endpoint_views import time_text
from functions.subscribe.models.deliveries import DeliveryView, State
from functions.subscribe.problems import not_found
from functions.subscribe.service import Service
from shared.ledger import LedgerRow
from shared.outcomes import DeliveryState
from shared.subscribers.model import MessageEntry, Tenant
from shared.subscribers.names import SEPARATOR, EndpointName, endpoint_name
from shared.times import rfc3339

STATES: Final[Mapping[State, tuple[DeliveryState, ...]]] = {
    "pending": ("claimed", "attempted"),
    "waiting": ("retry_scheduled", "held"),
    "delivered": ("delivered", "merged"),
    "failed": ("dead_lettered",),
}
AT_ONCE: Final = 20
"""How many reads are under way at one time."""
_SHOWN: Final[Mapping[str, State]] = {each: state for state, kept in STATES.items() for each in kept}
_KEY_BYTES: Final = 32

Position = tuple[float, str]
"""`created_at` and key of the last row that was seen."""
Found = TypeVar("Found")


class Address(NamedTuple):
    """The parts of a delivery's id. `key` is the idempotency key."""

    name: EndpointName
    event_id: str
    key: str


async def await_all(calls: Iterable[Awaitable[Found]]) -> list[Found]:
    """Await all of them, few at a time, and return their answers in order."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(call: Awaitable[Found]) -> Found:
        async with turns:
            return await call

    return await asyncio.gather(*map(in_turn, calls))


async def newest_rows(
    service: Service, names: Sequence[EndpointName], state: State | None, before: Position | None, limit: int
) -> list[LedgerRow]:
    """Return the newest rows of all these destinations that come after a position."""
    states: tuple[DeliveryState | None, ...] = STATES[state] if state else (None,)
    lists = await await_all(
        service.ledger.rows(limit, destination=str(name), state=each, before=before)
        for name in names
        for each in states
    )
    return list(merge(*lists, key=_newest_first))[:limit]


def _newest_first(row: LedgerRow) -> tuple[float, tuple[int, ...]]:
    return -row.created_at, tuple(-ord(character) for character in row.key)


def delivery_id_of(row: LedgerRow) -> str:
    return address_text(EndpointName(*row.destination.split(SEPARATOR)), row.event_id, row.key)


def address_text(name: EndpointName, event_id: str, key: str) -> str:
    """Return the id in the API of the delivery with that idempotency key."""
    text = SEPARATOR.join([name.destination, name.endpoint, event_id])
    return urlsafe_b64encode(bytes.fromhex(key) + text.encode()).decode().rstrip("=")


def read_delivery_id(service: Service, tenant: str, id_: str) -> Address:
    """Raises ApiProblem (`not_found`)."""
    try:
        content = urlsafe_b64decode(id_ + "=" * (-len(id_) % 4))
        parts = content[_KEY_BYTES:].decode().split(SEPARATOR)
    except ValueError:
        raise not_found("delivery") from None
    if len(parts) == 3 and parts[0] in service.settings.destinations:
        name = endpoint_name(SEPARATOR.join([parts[0], tenant, parts[1]]))
        if name is not None and parts[2]:
            return Address(name, parts[2], content[:_KEY_BYTES].hex())
    raise not_found("delivery")


async def row_at(service: Service, address: Address, tenant: Tenant) -> LedgerRow:
    """Return the row with its attempts. Raises ApiProblem (`not_found`).

    A row that is older than the tenant is of another, which had the same id and was deleted.
    """
    row = await service.ledger.row(address.event_id, address.key)
    if row is None or row.destination != str(address.name) or row.created_at < tenant.created_at:
        raise not_found("delivery")
    return row


def shown_state(row: LedgerRow) -> State:
    return _SHOWN.get(row.state, "pending")


def delivery_view(row: LedgerRow, entry: MessageEntry | None) -> DeliveryView:
    state = shown_state(row)
    return DeliveryView(
        id=delivery_id_of(row),
        message_id=entry.id if entry else None,
        webhook_id=row.key,
        event_id=row.event_id,
        type=entry.type if entry else "",
        endpoint=row.destination.split(SEPARATOR)[2],
        state=state,
        attempt_number=row.attempt_number,
        reason=row.reason,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
        next_attempt_at=time_text(row.planned_at) if state == "waiting" else None,
        test=entry.is_test if entry else False,
    )
