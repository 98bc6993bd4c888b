"""Sending deliveries again: one of them, all that an endpoint missed since a time, or all that it got in a period.

Nothing runs after the answer: a request publishes page by page for a while, and its answer says where the next goes on.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from functions.subscribe.bodies import invalid_values
from functions.subscribe.delivery_rows import await_all, read_delivery_id, row_at, shown_state
from functions.subscribe.handlers.endpoints import endpoint_of
from functions.subscribe.handlers.tenants import tenant_of
from functions.subscribe.kept_messages import event_in, kept_message, message_of_row, messages_between, whole_event
from functions.subscribe.listing import make_cursor, read_cursor
from functions.subscribe.models.base import NoBody
from functions.subscribe.models.deliveries import RecoverInput, Replayed, ReplayInput, Resent, State
from functions.subscribe.problems import ApiProblem
from functions.subscribe.resend import Force, MessageToSend, publish_again, verify_active
from functions.subscribe.route import Call
from shared.delivery import delivery_id
from shared.jsontext import Json
from shared.ledger import LedgerRow
from shared.ledger_rules import RETRY_SCHEDULED
from shared.subscribers.model import Endpoint, Message
from shared.subscribers.names import EndpointName
from shared.times import unix_seconds

SECONDS: Final = 15.0
"""For which a request publishes. A page that has begun is finished."""
PAGE: Final = 100
MAX_COUNTED: Final = 2_000
"""Messages that a dry run looks at."""


async def recover_endpoint(call: Call, given: RecoverInput) -> Replayed:
    """Send again what failed or was never sent since a time."""
    return await _send_again(call, given, [], "failed")


async def replay_endpoint(call: Call, given: ReplayInput) -> Replayed:
    """Send again what was received in a time."""
    return await _send_again(call, given, given.types, _force(given.state))


async def resend_delivery(call: Call, given: NoBody) -> Resent:
    """Send a delivery again."""
    address = read_delivery_id(call.service, call.tenant, call.params["delivery"])
    row = await row_at(call.service, address, tenant_of(call))
    entry = await message_of_row(call.service, call.tenant, row)
    endpoint = await endpoint_of(call, address.name.endpoint)
    message = await kept_message(call.service, tenant_of(call), entry.id) if entry else None
    if message is None:
        raise ApiProblem("not_found", "the message of this delivery is no longer kept, so it cannot be sent again")
    verify_active(endpoint, call.service.settings)
    replay = call.new_id("replay")
    again, force = MessageToSend(message, _due(row)), _force(shown_state(row))
    await publish_again(call.service, [again], call.tenant, endpoint.id, replay, force)
    return Resent(id=call.params["delivery"], replay_id=replay)


def _force(state: State | None) -> Force:
    """Return the force for what was in that state. What was not delivered may be by now, and is then not sent again."""
    return "true" if state in (None, "delivered") else "failed"


def _due(row: LedgerRow | None) -> int | None:
    return row.fence if row is not None and row.state == RETRY_SCHEDULED else None


async def _send_again(call: Call, given: RecoverInput, types: Sequence[str], force: Force) -> Replayed:
    service, endpoint = call.service, await endpoint_of(call)
    since, until = unix_seconds(given.since), unix_seconds(given.until) if given.until else call.now
    if until < since:
        fault = ("/until", "must not be before `since`") if given.until else ("/since", "must not be in the future")
        raise invalid_values([fault])
    if not given.dry_run:
        verify_active(endpoint, service.settings)
    list_: Json = [force, call.tenant, endpoint.id, given.model_dump(mode="json", exclude={"cursor", "until"})]
    seen = await read_cursor(service, list_, given.cursor)
    replay, after = (str(seen[0]), str(seen[1])) if seen else (call.new_id("replay"), "")
    end = service.elapsed() + SECONDS
    count = looked_at = 0
    async for page in _pages(messages_between(service, tenant_of(call), since, until, after)):
        chosen = await _chosen(call, endpoint, page, types, force, getattr(given, "state", None))
        if chosen and not given.dry_run:
            await publish_again(service, chosen, call.tenant, endpoint.id, replay, force)
        count, looked_at, after = count + len(chosen), looked_at + len(page), page[-1].id
        is_over = service.elapsed() >= end or (given.dry_run and looked_at >= MAX_COUNTED)
        if is_over and len(page) == PAGE:
            next_ = await make_cursor(service, list_, [replay, after])
            return Replayed(count=count, is_more=True, id=replay, next=next_)
    return Replayed(count=count, is_more=False, id=replay)


async def _pages(messages: AsyncIterator[Message]) -> AsyncIterator[list[Message]]:
    page: list[Message] = []
    async for message in messages:
        page.append(message)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


async def _chosen(
    call: Call, endpoint: Endpoint, page: Sequence[Message], types: Sequence[str], force: Force, state: str | None
) -> list[MessageToSend]:
    """Return the messages of a page that are to be sent: those for this endpoint, in the state that is asked for."""
    from shared.subscribers.matching import type_matches  # with jmespath

    candidates = [
        each
        for each in page
        if type_matches(types, each.type) and type_matches(endpoint.types, each.type) and not each.is_test
    ]
    fits = await await_all(_is_for(call, endpoint, each) for each in candidates)
    matching = [each for each, does in zip(candidates, fits, strict=True) if does]
    if force == "true" and state is None:
        return [MessageToSend(each) for each in matching]
    rows = await await_all(_row_of(call, endpoint, each) for each in matching)
    wanted = {None, "failed"} if state is None else {state}
    return [
        MessageToSend(each, _due(row))
        for each, row in zip(matching, rows, strict=True)
        if (None if row is None else shown_state(row)) in wanted
    ]


async def _is_for(call: Call, endpoint: Endpoint, message: Message) -> bool:
    """Return whether the endpoint's filter is true for the message. One that fails is not."""
    if message.destination not in call.service.settings.destinations:
        return False
    if not endpoint.filter:
        return True
    from shared.subscribers.matching import FilterFailed, filter_view, matches
    from shared.subscribers.payload import event_timestamp

    event = await whole_event(call.service, message)
    if event is None:
        return False
    try:
        return matches(endpoint, message.type, filter_view(event.id, message.type, event_timestamp(event), event.data))
    except FilterFailed:
        return False


async def _row_of(call: Call, endpoint: Endpoint, message: Message) -> LedgerRow | None:
    """Return the row of the message's delivery to the endpoint; None where none was ever made."""
    name = str(EndpointName(message.destination, call.tenant, endpoint.id))
    event = event_in(message)
    key = delivery_id(event.id, message.route, name)
    return await call.service.ledger.row(event.origin, key)
