"""The log of a tenant's deliveries, from the ledger's rows.

A row knows its event but not the message of that event. `message_entry_of` finds the message's entry, which has the
message's id, type and mark of a test. messages.py reads messages.

A delivery's id in the API (PublicId) identifies its row but not its tenant. The tenant is always the one in the path.
"""

from collections.abc import Mapping, Sequence
from heapq import merge
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field

from functions.subscribe import cursors, problems, route
from functions.subscribe.handlers import messages
from functions.subscribe.handlers.endpoints import endpoint_of
from functions.subscribe.handlers.tenants import tenant_of
from functions.subscribe.models import values
from functions.subscribe.service import Service
from shared import batching, delivery, ledger, outcomes, times
from shared.jsontext import Json, base64url, decode_base64url
from shared.subscribers import directory, payload
from shared.subscribers.model import Endpoint, MessageEntry, Tenant
from shared.subscribers.names import SEPARATOR, EndpointName, endpoint_name

MAX_ENDPOINTS: Final = 100
"""The most endpoints of a tenant whose deliveries are listed together."""
MAX_BODY_CHARACTERS: Final = 262_144
"""The most characters of a request's body that are shown."""
State = Literal["pending", "waiting", "delivered", "failed"]
"""The state of a delivery.

pending    an attempt is made now, or is about to be made
waiting    it waits for its next attempt, or for its time
delivered  the endpoint has accepted it
failed     no further attempt is made, unless it is sent again
"""
STATES: Final[Mapping[State, tuple[outcomes.DeliveryState, ...]]] = {
    "pending": ("claimed", "attempted"),
    "waiting": ("retry_scheduled", "held"),
    "delivered": ("delivered", "merged"),
    "failed": ("dead_lettered",),
}
"""The states of the ledger's rows, by the state that the API shows for them."""
_SHOWN_STATES: Final[Mapping[str, State]] = {
    row_state: state for state, row_states in STATES.items() for row_state in row_states
}
_KEY_BYTES: Final = 32
"""The bytes of an idempotency key, which is a SHA-256 hash in hexadecimal digits."""
PARTS_AT_ONCE: Final = 1_000
"""The parts of a split event that are read at a time, to find the part that a delivery has."""

Position = tuple[float, str]
"""`created_at` and key of the last row that was seen."""


class DeliveryQuery(values.ListQuery):
    """Filters of deliveries.

    state         the state of the deliveries
    type          the type of their events
    since, until  the time at which the deliveries were created
    search        the beginning of a type, or of the id of an event, a message or a delivery, or of a `webhook-id`
    """

    state: State | None = None
    type: values.TypeName | None = None
    since: values.Time | None = None
    until: values.Time | None = None
    search: Annotated[values.Line, Field(max_length=200)] = ""


class DeliveryView(values.Output):
    """A message at one endpoint.

    message_id  null once the message is no longer kept; `type` is empty then
    webhook_id  the header `webhook-id` of the requests to the endpoint
    """

    id: str
    message_id: str | None
    webhook_id: str
    event_id: str
    type: str
    endpoint: str
    state: State
    attempt_number: int
    reason: str
    created_at: str
    updated_at: str
    next_attempt_at: str | None
    test: bool = False


class RequestView(values.Output):
    """The request as it would be made now. Secrets and signatures are left out."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class AttemptView(values.Output):
    """An attempt. `answer` is the beginning of the endpoint's response."""

    number: int
    started_at: str
    duration_ms: int
    outcome: str
    reason: str
    answer: str


class DeliveryDetail(DeliveryView):
    """A delivery with its request (null once the message is gone) and its attempts, oldest first."""

    request: RequestView | None
    attempts: list[AttemptView]


class PublicId(NamedTuple):
    """The parts of a delivery's id in the API, whose text `public_id_text` makes.

    `key` is the idempotency key, which is the delivery's id everywhere else and the `webhook-id` of its requests.
    """

    name: EndpointName
    event_id: str
    key: str


async def list_endpoint_deliveries(call: route.Call, query: DeliveryQuery) -> values.Page[DeliveryView]:
    """List the deliveries to an endpoint, newest first."""
    endpoint = await endpoint_of(call)
    return await _delivery_page(call, query, endpoint_names(call.service, call.tenant, endpoint.id), endpoint.id)


async def list_tenant_deliveries(call: route.Call, query: DeliveryQuery) -> values.Page[DeliveryView]:
    """List the deliveries to all endpoints of a tenant, newest first."""
    endpoints = await call.service.directory.page(Endpoint, directory.endpoints_of(call.tenant), MAX_ENDPOINTS + 1)
    if len(endpoints) > MAX_ENDPOINTS:
        rule = f"the deliveries of at most {MAX_ENDPOINTS} endpoints are listed together; list those of one endpoint"
        raise problems.ApiProblem("limit_reached", rule)
    names = [name for endpoint in endpoints for name in endpoint_names(call.service, call.tenant, endpoint.id)]
    return await _delivery_page(call, query, names, "")


async def get_delivery(call: route.Call, _: values.NoQuery) -> DeliveryDetail:
    """Return a delivery with its request and its attempts."""
    public_id = read_public_id(call.service, call.tenant, call.params["delivery"])
    row = await row_of(call.service, public_id, tenant_of(call))
    entry = await message_entry_of(call.service, call.tenant, row)
    attempts = [
        AttemptView(
            number=attempt.attempt_number,
            started_at=times.rfc3339(attempt.started_at),
            # 0 if the clock was set back during the attempt.
            duration_ms=max(0, round((attempt.ended_at - attempt.started_at) * 1000)),
            outcome=attempt.outcome,
            reason=attempt.reason,
            answer=attempt.answer,
        )
        for attempt in row.attempts
    ]
    request = await _request_of(call, row, entry, public_id.name)
    return DeliveryDetail(**delivery_view(row, entry).model_dump(), request=request, attempts=attempts)


async def _request_of(
    call: route.Call, row: ledger.LedgerRow, entry: MessageEntry | None, name: EndpointName
) -> RequestView | None:
    """Return the request as it would be made now; None if the message or the endpoint is gone."""
    message = await messages.kept_message(call.service, tenant_of(call), entry.id) if entry else None
    endpoint = await call.service.directory.read(Endpoint, directory.endpoints_of(call.tenant), name.endpoint)
    event = await messages.whole_event(call.service, message) if message else None
    if endpoint is None or event is None:
        return None
    style = call.service.settings.destinations[name.destination].payload
    request = payload.shown_request(endpoint[0], event, style, row.key, int(row.updated_at))
    return RequestView(
        method="POST",
        url=request.url,
        headers=dict(request.headers),
        body=request.body.decode("utf-8", "replace")[:MAX_BODY_CHARACTERS],
    )


def endpoint_names(service: Service, tenant: str, endpoint: str) -> list[EndpointName]:
    """Return the names by which the ledger may know the endpoint: one for each configured destination."""
    return [EndpointName(name, tenant, endpoint) for name in service.settings.destinations]


async def _delivery_page(
    call: route.Call, query: DeliveryQuery, names: Sequence[EndpointName], endpoint: str
) -> values.Page[DeliveryView]:
    """Return the deliveries to these destinations that the query selects, newest first.

    `endpoint` is the endpoint of the list, or empty for the list of the tenant: a cursor is only for the same one.
    """
    filters = query.model_dump(mode="json", exclude={"limit", "cursor"})
    list_key: Json = ["deliveries", call.tenant, endpoint, filters]
    before = _position(await cursors.read_cursor(call.service, list_key, query.cursor))
    if before is None and query.until:
        before = (times.unix_seconds(query.until), "")
    items, last_seen = await _matching_deliveries(call, query, names, before)
    next_cursor = await cursors.make_cursor(call.service, list_key, list(last_seen)) if last_seen else None
    return values.Page[DeliveryView](items=items, next=next_cursor)


async def _matching_deliveries(
    call: route.Call, query: DeliveryQuery, names: Sequence[EndpointName], before: Position | None
) -> tuple[list[DeliveryView], Position | None]:
    """Return the next deliveries that the query selects, and the position of the last row that was seen.

    The position is None if no later row can match. Reads pages of `limit` rows until `limit` deliveries match or
    MAX_LOOKED_THROUGH rows are read.
    """
    since = times.unix_seconds(query.since) if query.since else 0.0
    items: list[DeliveryView] = []
    for _ in range(0, messages.MAX_LOOKED_THROUGH, query.limit):
        rows = await newest_rows(call.service, names, query.state, before, query.limit)
        recent = [row for row in rows if row.created_at >= since]
        entries = await batching.await_all(message_entry_of(call.service, call.tenant, row) for row in recent)
        for row, entry in zip(recent, entries, strict=True):
            before = (row.created_at, row.key)
            view = delivery_view(row, entry)
            if _is_wanted(view, query):
                items.append(view)
            if len(items) == query.limit:
                return items, before
        is_last_page = len(rows) < query.limit
        if is_last_page or len(recent) < len(rows):  # rows from before `since` are followed by older ones only
            return items, None
    return items, before


def _position(cursor_position: list[Json]) -> Position | None:
    """Return the position in a cursor; None if there was no cursor."""
    match cursor_position:
        case [float() | int() as at, str() as key]:
            return float(at), key
    return None


def _is_wanted(view: DeliveryView, query: DeliveryQuery) -> bool:
    """Return whether the delivery has the type and the text that the query looks for, which no index finds."""
    if query.type is not None and view.type != query.type:
        return False
    searched = (view.event_id, view.message_id or "", view.type, view.webhook_id, view.id)
    return not query.search or any(text.startswith(query.search) for text in searched)


async def newest_rows(
    service: Service, names: Sequence[EndpointName], state: State | None, before: Position | None, limit: int
) -> list[ledger.LedgerRow]:
    """Return the newest rows of all these destinations that come after a position, at most `limit`.

    The ledger lists the rows of one destination in one state, newest first. Each of these lists is asked for `limit`
    rows, because all of the newest may be in the same one, and then the lists are merged.
    """
    states: tuple[outcomes.DeliveryState | None, ...] = STATES[state] if state else (None,)
    lists = await batching.await_all(
        service.ledger.rows(limit, destination=str(name), state=row_state, before=before)
        for name in names
        for row_state in states
    )
    return list(merge(*lists, key=_newest_first))[:limit]


def _newest_first(row: ledger.LedgerRow) -> tuple[float, tuple[int, ...]]:
    """Return what sorts rows as the ledger lists them: by time, then by key, both descending."""
    return -row.created_at, tuple(-ord(character) for character in row.key)


def public_id_of_row(row: ledger.LedgerRow) -> str:
    """Return the id in the API of a row's delivery."""
    return public_id_text(EndpointName(*row.destination.split(SEPARATOR)), row.event_id, row.key)


def public_id_text(name: EndpointName, event_id: str, key: str) -> str:
    """Return the id in the API of the delivery with that idempotency key: base64url of the bytes of the key, and
    `<destination>:<endpoint>:<event>`. `read_public_id` reads it.
    """
    text = SEPARATOR.join([name.destination, name.endpoint, event_id])
    return base64url(bytes.fromhex(key) + text.encode())


def read_public_id(service: Service, tenant: str, id_: str) -> PublicId:
    """Return the parts of a delivery's id. Raises ApiProblem (`not_found`)."""
    try:
        content = decode_base64url(id_)
        destination, endpoint, event_id = content[_KEY_BYTES:].decode().split(SEPARATOR)
    except ValueError:
        raise problems.not_found("delivery") from None
    name = endpoint_name(SEPARATOR.join([destination, tenant, endpoint]))
    if destination not in service.settings.destinations or name is None or not event_id:
        raise problems.not_found("delivery")
    return PublicId(name, event_id, content[:_KEY_BYTES].hex())


async def row_of(service: Service, public_id: PublicId, tenant: Tenant) -> ledger.LedgerRow:
    """Return the row with its attempts. Raises ApiProblem (`not_found`).

    A row that is older than the tenant is of another, which had the same id and was deleted.
    """
    row = await service.ledger.row(public_id.event_id, public_id.key)
    if row is None or row.destination != str(public_id.name) or row.created_at < tenant.created_at:
        raise problems.not_found("delivery")
    return row


def shown_state(row: ledger.LedgerRow) -> State:
    return _SHOWN_STATES.get(row.state, "pending")  # a later version, before a rollback, may have stored another state


def delivery_view(row: ledger.LedgerRow, entry: MessageEntry | None) -> DeliveryView:
    """Return the delivery as the API shows it. `entry` is that of its message; None if it is no longer kept."""
    state = shown_state(row)
    return DeliveryView(
        id=public_id_of_row(row),
        message_id=entry.id if entry else None,
        webhook_id=row.key,
        event_id=row.event_id,
        type=entry.type if entry else "",
        endpoint=row.destination.split(SEPARATOR)[2],
        state=state,
        attempt_number=row.attempt_number,
        reason=row.reason,
        created_at=times.rfc3339(row.created_at),
        updated_at=times.rfc3339(row.updated_at),
        next_attempt_at=times.time_text(row.planned_at) if state == "waiting" else None,
        test=entry.is_test if entry else False,
    )


async def message_entry_of(service: Service, tenant: str, row: ledger.LedgerRow) -> MessageEntry | None:
    """Return the entry of the message that the delivery is of; None if it is no longer kept."""
    id_ = directory.entry_id(row.event_id, row.route, configured_name(row))
    stored = await service.directory.read(MessageEntry, directory.message_entries_of(tenant), id_)
    if stored and delivery.delivery_id(row.event_id, row.route, row.destination) == row.key:
        return stored[0]
    return await _part_of_row(service, tenant, row)


async def _part_of_row(service: Service, tenant: str, row: ledger.LedgerRow) -> MessageEntry | None:
    """Return the entry of the part of a split event that the delivery has; None if there is none.

    The row has the id of the event that was received. The id of a part is that id with a number. So all parts are
    listed, and the delivery's key, which is made of the part's id, shows which one it is.
    """
    partition = directory.message_entries_of(tenant)
    suffix = f"-{directory.route_mark(row.route, configured_name(row))}"
    after = f"{row.event_id}-"
    while True:
        parts = await service.documents.page(partition, PARTS_AT_ONCE, after, row.event_id + messages.AFTER_HYPHEN)
        for part in parts:
            if part.id.endswith(suffix):
                event_id = part.id.removesuffix(suffix)
                if delivery.delivery_id(event_id, row.route, row.destination) == row.key:
                    return directory.read_stored(MessageEntry, part)
        if len(parts) < PARTS_AT_ONCE:
            return None
        after = parts[-1].id


def configured_name(row: ledger.LedgerRow) -> str:
    """Return the name of the configured destination that the row's endpoint is at."""
    return row.destination.partition(SEPARATOR)[0]
