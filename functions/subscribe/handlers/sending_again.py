"""Sending deliveries again: one, all that an endpoint missed since a time, or all of a period; and test events.

Nothing runs after the answer. A request publishes page by page for SECONDS, and its answer has a cursor with which the
next request continues.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from pydantic import Field

from functions.subscribe import catalogue, cursors
from functions.subscribe.handlers import deliveries, endpoints, messages, tenants
from functions.subscribe.models import endpoints as endpoint_models, values
from functions.subscribe.problems import ApiProblem, invalid, invalid_values
from functions.subscribe.route import Call
from functions.subscribe.service import Service
from functions.subscribe.settings import SubscribeSettings
from shared import batching, claim_check, jsontext, ledger, ledger_rules, ports, store_ports, times
from shared.delivery import Delivery, delivery_id, delivery_message
from shared.event import Event, event_json
from shared.subscribers import directory, names, schema_example
from shared.subscribers.model import Endpoint, EventType, Message

SECONDS: Final = 15.0
"""The time for which a request publishes. A page that has begun is finished."""
PAGE: Final = 100
"""The number of messages that are looked at and published together."""
MAX_COUNTED: Final = 2_000
"""The most messages that a dry run looks at."""
ROUTE: Final = "test"
"""The name that a test event has in place of a route's."""
_NOTHING_KNOWN: Final = "This is a test event."
Force: TypeAlias = Literal["failed", "true"]
"""The attribute `force` of the messages, by which notify knows which deliveries to send again.

failed  those that have failed or were never made
true    delivered ones too
"""
ATTEMPT_NOW: Final[Mapping[str, str]] = {"attempt": "now"}
"""The attribute of a delivery that ends its endpoint's pause after failures, because a person waits for it."""


class TestInput(values.Input):
    """A test event of this type. Its data is the type's first example, or is generated from the type's schema."""

    __test__ = False
    type: Annotated[values.Line, Field(min_length=1, max_length=128)]


class TestSent(values.Output):
    """The message that was published, and the delivery to look for.

    endpoint_enabled  false if the endpoint is disabled: it gets this test, which is tried once, and stays disabled
    """

    __test__ = False
    message_id: str
    delivery_id: str
    endpoint_enabled: bool


class RecoverInput(values.Input):
    """Send again the messages of a period, if they failed or were never sent.

    dry_run  only count them
    cursor   the `next` of the previous response, to continue where that one ended
    """

    since: values.Time
    until: values.Time | None = None
    dry_run: bool = False
    cursor: Annotated[str, Field(max_length=values.MAX_CURSOR_CHARACTERS)] = ""


class ReplayInput(RecoverInput):
    """Send again all messages of a period, or only those of some types or of one state."""

    types: Annotated[list[endpoint_models.Glob], Field(max_length=100)] = []
    state: deliveries.State | None = None


class Replayed(values.Output):
    """The deliveries that were published, or with `dry_run` would be.

    count    the number of them in this response alone
    is_more  true if there was no time for the rest: repeat the request with `next` as `cursor`
    id       the id of the whole replay, which sends each delivery again once, however often a request is repeated
    """

    count: int
    is_more: bool
    id: str
    next: str | None = None


class Resent(values.Output):
    """The delivery that is sent again."""

    id: str
    replay_id: str


class Selection(NamedTuple):
    """The deliveries to send again, of the messages whose type matches one of the globs `types`; none match every type.

    a state                    the deliveries in this state
    None, and force `failed`   the failed deliveries, and those that were never made
    None, and force `true`     all deliveries, also those that were never made

    What is held is never among them, because only the operator sends it again.
    """

    types: Sequence[str]
    state: deliveries.State | None
    force: Force


class MessageToSend(NamedTuple):
    """A message to send again. `due` is the fence of its delivery if that waits, to end its wait; otherwise None."""

    message: Message
    due: int | None = None


async def recover_endpoint(call: Call, body: RecoverInput) -> Replayed:
    """Send again what failed or was never sent since a time."""
    return await _send_again(call, body, Selection([], None, "failed"))


async def replay_endpoint(call: Call, body: ReplayInput) -> Replayed:
    """Send again what was received in a period."""
    return await _send_again(call, body, Selection(body.types, body.state, _force(body.state)))


async def resend_delivery(call: Call, _: values.NoBody) -> Resent:
    """Send a delivery again."""
    public_id = deliveries.read_public_id(call.service, call.tenant, call.params["delivery"])
    row = await deliveries.row_of(call.service, public_id, tenants.tenant_of(call))
    entry = await deliveries.message_entry_of(call.service, call.tenant, row)
    endpoint = await endpoints.endpoint_of(call, public_id.name.endpoint)
    message = await messages.kept_message(call.service, tenants.tenant_of(call), entry.id) if entry else None
    if message is None:
        raise ApiProblem("not_found", "the message of this delivery is no longer kept, so it cannot be sent again")
    verify_active(endpoint, call.service.settings)
    if row.state == ledger_rules.HELD:
        raise ApiProblem("delivery_held", "the delivery is held, and only the operator can send it again")
    replay = call.new_id("replay")
    force = _force(deliveries.shown_state(row))
    await publish_again(call.service, [MessageToSend(message, _due(row))], call.tenant, endpoint.id, replay, force)
    return Resent(id=call.params["delivery"], replay_id=replay)


def _force(state: deliveries.State | None) -> Force:
    """Return the force for deliveries that were in that state when the caller saw them; None is any state.

    It is `failed` for any state but `delivered`, so that what is delivered by now is not sent again.
    """
    return "true" if state in (None, "delivered") else "failed"


def _due(row: ledger.LedgerRow | None) -> int | None:
    """Return the fence of a row that waits for a retry, by which its message ends the wait; otherwise None."""
    return row.fence if row is not None and row.state == ledger_rules.RETRY_SCHEDULED else None


async def _send_again(call: Call, body: RecoverInput, selection: Selection) -> Replayed:
    """Publish the deliveries of a period page by page, for SECONDS at most, and return how far it came.

    The cursor has the id of the whole replay, by which each delivery is sent once, and that of the last message. Raises
    ApiProblem and Temporary.
    """
    service, endpoint = call.service, await endpoints.endpoint_of(call)
    since = times.unix_seconds(body.since)
    until = times.unix_seconds(body.until) if body.until else call.now
    if until < since:
        fault = ("/until", "must not be before `since`") if body.until else ("/since", "must not be in the future")
        raise invalid_values([fault])
    if not body.dry_run:
        verify_active(endpoint, service.settings)
    filters = body.model_dump(mode="json", exclude={"cursor", "until"})
    list_key: jsontext.Json = [selection.force, call.tenant, endpoint.id, filters]
    position = await cursors.read_cursor(service, list_key, body.cursor)
    replay, after = (str(position[0]), str(position[1])) if position else (call.new_id("replay"), "")
    end = service.elapsed() + SECONDS
    count = looked_at = 0
    async for page in _pages(messages.messages_between(service, tenants.tenant_of(call), since, until, after)):
        chosen = await _chosen(call, endpoint, page, selection)
        if chosen and not body.dry_run:
            await publish_again(service, chosen, call.tenant, endpoint.id, replay, selection.force)
        count += len(chosen)
        looked_at += len(page)
        after = page[-1].id
        is_over = service.elapsed() >= end or (body.dry_run and looked_at >= MAX_COUNTED)
        if is_over and len(page) == PAGE:  # a shorter page is the last one
            next_ = await cursors.make_cursor(service, list_key, [replay, after])
            return Replayed(count=count, is_more=True, id=replay, next=next_)
    return Replayed(count=count, is_more=False, id=replay)


async def _pages(newest_messages: AsyncIterator[Message]) -> AsyncIterator[list[Message]]:
    """Yield the messages in lists of PAGE. Only the last list may be shorter."""
    page: list[Message] = []
    async for message in newest_messages:
        page.append(message)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


async def _chosen(call: Call, endpoint: Endpoint, page: Sequence[Message], selection: Selection) -> list[MessageToSend]:
    """Return the messages of a page to send: those for this endpoint whose deliveries are selected."""
    # Imported here, because it imports jmespath, which few requests need.
    from shared.subscribers.matching import type_matches

    types, state, force = selection
    candidates = [
        message
        for message in page
        if type_matches(types, message.type) and type_matches(endpoint.types, message.type) and not message.is_test
    ]
    are_for_endpoint = await batching.await_all(_is_for(call, endpoint, message) for message in candidates)
    matching = [message for message, is_for in zip(candidates, are_for_endpoint, strict=True) if is_for]
    rows = await batching.await_all(_row_of(call, endpoint, message) for message in matching)
    not_held = [
        (message, row)
        for message, row in zip(matching, rows, strict=True)
        if row is None or row.state != ledger_rules.HELD
    ]
    if force == "true" and state is None:  # a delivery that waits for a retry goes on waiting
        return [MessageToSend(message) for message, _ in not_held]

    def is_selected(row: ledger.LedgerRow | None) -> bool:
        if row is None:  # the delivery was never made
            return state is None
        return deliveries.shown_state(row) == (state or "failed")

    return [MessageToSend(message, _due(row)) for message, row in not_held if is_selected(row)]


async def _is_for(call: Call, endpoint: Endpoint, message: Message) -> bool:
    """Return whether the endpoint's filter is true for the message. A filter that fails is not true."""
    if message.destination not in call.service.settings.destinations:
        return False
    if not endpoint.filter:
        return True
    # Imported here, because it imports jmespath, which few requests need.
    from shared.subscribers.matching import FilterFailed, filter_view, matches
    from shared.subscribers.payload import event_timestamp

    event = await messages.whole_event(call.service, message)
    if event is None:
        return False
    try:
        return matches(endpoint, message.type, filter_view(event.id, message.type, event_timestamp(event), event.data))
    except FilterFailed:
        return False


async def _row_of(call: Call, endpoint: Endpoint, message: Message) -> ledger.LedgerRow | None:
    """Return the row of the message's delivery to the endpoint; None if none was ever made."""
    name = str(names.EndpointName(message.destination, call.tenant, endpoint.id))
    event = messages.event_in(message)
    key = delivery_id(event.id, message.route, name)
    return await call.service.ledger.row(event.origin, key)


def verify_active(endpoint: Endpoint, settings: SubscribeSettings) -> None:
    """Raise ApiProblem (`endpoint_inactive`) if the endpoint gets no deliveries."""
    if not endpoint.is_enabled:
        raise ApiProblem("endpoint_inactive", "the endpoint is disabled; enable it first")
    verify_proven(endpoint, settings)


def verify_proven(endpoint: Endpoint, settings: SubscribeSettings) -> None:
    """Raise ApiProblem (`endpoint_inactive`) if the endpoint has not yet proved that it wants events."""
    if settings.verify != "none" and not endpoint.is_verified:
        raise ApiProblem("endpoint_inactive", "the endpoint is not verified; verify it first")


async def publish_again(
    service: Service, chosen: Sequence[MessageToSend], tenant: str, endpoint: str, replay: str, force: Force
) -> None:
    """Publish a delivery of each message to the endpoint. A replay delivers each at most once. Raises Temporary.

    Only the first delivery ends the pause of an endpoint that kept failing. If its attempt fails too, the pause begins
    again, and the others wait for its end.
    """
    now = times.rfc3339(service.clock.now())
    bus_messages = []
    for number, (message, due) in enumerate(chosen):
        name = names.EndpointName(message.destination, tenant, endpoint)
        delivery = Delivery(messages.event_in(message), message.route, str(name))
        content = message.event.encode("utf-8", "surrogatepass")
        attributes = {"replay": replay, "force": force}
        if due is not None:
            attributes["due"] = str(due)
        if number == 0:
            attributes |= ATTEMPT_NOW
        bus_messages.append(delivery_message(delivery, content, now, attributes))
    await service.bus.publish(ports.DELIVERIES, bus_messages)


# Test events


async def send_test(call: Call, body: TestInput) -> TestSent:
    """Send a test event to an endpoint."""
    service = call.service
    now = call.now
    endpoint = await endpoints.endpoint_of(call)
    _verify_testable(call, endpoint)
    destination = next(iter(service.settings.destinations), None)
    if destination is None:
        raise ApiProblem("endpoint_inactive", "no destination of the configuration sends to subscribers")
    data = _sample_of(await catalogue.find_event_type(service, body.type))
    event = Event(
        id=call.new_id("test"),
        source=names.SUBSCRIBERS_SOURCE,
        type=body.type,
        receivedat=times.rfc3339(now),
        payloadhash=hashlib.sha256(jsontext.canonical(data)).hexdigest(),
        data=data,
        time=times.rfc3339(now),
    )
    content = event_json(event)
    message = Message(
        id=directory.message_id(now, event.id, ROUTE, destination),
        event_id=event.id,
        type=body.type,
        route=ROUTE,
        destination=destination,
        received_at=now,
        event=content.decode(),
        is_test=True,
        kept_at=now,
    )
    if len(content) > claim_check.MAX_INLINE_BYTES or len(message.text().encode()) > store_ports.MAX_RECORD_BYTES:
        raise invalid("/type", "has an example that is too large to be sent")
    await service.directory.keep_message(call.tenant, message, now + service.settings.retention.messages_seconds)
    name = names.EndpointName(destination, call.tenant, endpoint.id)
    delivery = Delivery(event, ROUTE, str(name))
    await service.bus.publish(ports.DELIVERIES, [delivery_message(delivery, content, times.rfc3339(now), ATTEMPT_NOW)])
    id_ = deliveries.public_id_text(name, event.origin, delivery.id)
    return TestSent(message_id=message.id, delivery_id=id_, endpoint_enabled=endpoint.is_enabled)


def _verify_testable(call: Call, endpoint: Endpoint) -> None:
    """Raise ApiProblem if the endpoint cannot be tested. A disabled one can, to show that a repair works."""
    verify_proven(endpoint, call.service.settings)
    if endpoint.disabled_by == "operator" and not call.is_operator:
        raise ApiProblem("not_allowed", "the endpoint was disabled by the operator, who alone can test it")


def _sample_of(event_type: EventType | None) -> jsontext.Json:
    """Return the type's first example, else an example of its schema, else a text that says that it is a test."""
    if event_type is not None and event_type.examples:
        return event_type.examples[0]
    if event_type is not None and event_type.schema_:
        return schema_example.example_of(event_type.schema_)
    return {"message": _NOTHING_KNOWN}
