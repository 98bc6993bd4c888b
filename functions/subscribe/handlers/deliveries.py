"""The log of deliveries."""

from collections.abc import Sequence
from typing import Final

from functions.subscribe.delivery_rows import (
    Position,
    await_all,
    delivery_view,
    newest_rows,
    read_delivery_id,
    row_at,
)
from functions.subscribe.handlers.endpoints import endpoint_of
from functions.subscribe.handlers.tenants import tenant_of
from functions.subscribe.kept_messages import endpoint_names, kept_message, message_of_row, whole_event
from functions.subscribe.listing import make_cursor, read_cursor
from functions.subscribe.models.base import NoQuery, Page
from functions.subscribe.models.deliveries import (
    AttemptView,
    DeliveryDetail,
    DeliveryQuery,
    DeliveryView,
    RequestView,
)
from functions.subscribe.problems import ApiProblem
from functions.subscribe.route import Call
from shared.jsontext import Json
from shared.ledger import LedgerRow
from shared.subscribers.directory import endpoints_of
from shared.subscribers.model import Endpoint, MessageEntry
from shared.subscribers.names import EndpointName
from shared.subscribers.payload import shown_request
from shared.times import rfc3339, unix_seconds

MAX_ENDPOINTS: Final = 100
"""Of a tenant whose deliveries are listed together."""
MAX_LOOKED_THROUGH: Final = 500
"""Rows of one answer. Where few of them match, it has fewer items than asked for, and a cursor."""
MAX_BODY_CHARACTERS: Final = 262_144


async def list_endpoint_deliveries(call: Call, given: DeliveryQuery) -> Page[DeliveryView]:
    """List the deliveries to an endpoint, newest first."""
    endpoint = await endpoint_of(call)
    return await _page(call, given, endpoint_names(call.service, call.tenant, endpoint.id), endpoint.id)


async def list_tenant_deliveries(call: Call, given: DeliveryQuery) -> Page[DeliveryView]:
    """List the deliveries to all endpoints of a tenant, newest first."""
    endpoints = await call.service.directory.page(Endpoint, endpoints_of(call.tenant), MAX_ENDPOINTS + 1)
    if len(endpoints) > MAX_ENDPOINTS:
        rule = f"the tenant has more than {MAX_ENDPOINTS} endpoints; list the deliveries of one"
        raise ApiProblem("limit_reached", rule)
    names = [name for each in endpoints for name in endpoint_names(call.service, call.tenant, each.id)]
    return await _page(call, given, names, "")


async def get_delivery(call: Call, given: NoQuery) -> DeliveryDetail:
    """Return a delivery with its request and its attempts."""
    address = read_delivery_id(call.service, call.tenant, call.params["delivery"])
    row = await row_at(call.service, address, tenant_of(call))
    entry = await message_of_row(call.service, call.tenant, row)
    attempts = [
        AttemptView(
            number=each.attempt_number,
            started_at=rfc3339(each.started_at),
            duration_ms=max(0, round((each.ended_at - each.started_at) * 1000)),
            outcome=each.outcome,
            reason=each.reason,
            answer=each.answer,
        )
        for each in row.attempts
    ]
    request = await _request_of(call, row, entry, address.name)
    return DeliveryDetail(**delivery_view(row, entry).model_dump(), request=request, attempts=attempts)


async def _request_of(call: Call, row: LedgerRow, entry: MessageEntry | None, name: EndpointName) -> RequestView | None:
    """Return the request as it would be made now; None where the message or the endpoint is gone."""
    message = await kept_message(call.service, tenant_of(call), entry.id) if entry else None
    endpoint = await call.service.directory.read(Endpoint, endpoints_of(call.tenant), name.endpoint)
    event = await whole_event(call.service, message) if message else None
    if endpoint is None or event is None:
        return None
    style = call.service.settings.destinations[name.destination].payload
    request = shown_request(endpoint[0], event, style, row.key, int(row.updated_at))
    return RequestView(
        method="POST",
        url=request.url,
        headers=dict(request.headers),
        body=request.body.decode("utf-8", "replace")[:MAX_BODY_CHARACTERS],
    )


async def _page(call: Call, given: DeliveryQuery, names: Sequence[EndpointName], endpoint: str) -> Page[DeliveryView]:
    filters = given.model_dump(mode="json", exclude={"limit", "cursor"})
    list_: Json = ["deliveries", call.tenant, endpoint, filters]
    since = unix_seconds(given.since) if given.since else 0.0
    before = _position(await read_cursor(call.service, list_, given.cursor))
    if before is None and given.until:
        before = (unix_seconds(given.until), "")
    items: list[DeliveryView] = []
    for _ in range(0, MAX_LOOKED_THROUGH, given.limit):
        rows = await newest_rows(call.service, names, given.state, before, given.limit)
        recent = [row for row in rows if row.created_at >= since]
        entries = await await_all(message_of_row(call.service, call.tenant, row) for row in recent)
        for row, entry in zip(recent, entries, strict=True):
            view = delivery_view(row, entry)
            if _is_wanted(view, given):
                items.append(view)
            before = (row.created_at, row.key)
            if len(items) == given.limit:
                break
        else:
            if len(rows) < given.limit or len(recent) < len(rows):
                return Page[DeliveryView](items=items)
            continue
        break
    assert before
    return Page[DeliveryView](items=items, next=await make_cursor(call.service, list_, list(before)))


def _position(found: list[Json]) -> Position | None:
    match found:
        case [float() | int() as at, str() as key]:
            return float(at), key
    return None


def _is_wanted(view: DeliveryView, given: DeliveryQuery) -> bool:
    if given.type is not None and view.type != given.type:
        return False
    searched = (view.event_id, view.message_id or "", view.type, view.webhook_id, view.id)
    return not given.search or any(text.startswith(given.search) for text in searched)
