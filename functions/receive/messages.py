"""Receive a message that the platform brought: one of a source's own bus, or a recovered event.

A recovered event is a request that its sender could not deliver. notify has fetched it from the provider and published
it, as shared/recovered.py describes.
"""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from functions.receive import admission, parsing, receive
from functions.receive.bus import read_push, rejected_letter
from functions.receive.events import build_events, note_on
from functions.receive.identity import SignedRequest
from functions.receive.source import RECOVERED_KIND, Source
from shared import errors, jsontext, ports
from shared.event import Event
from shared.http import ReadBody, Request
from shared.push import Push, VerifyPush
from shared.signatures import auth_scheme, locations

if TYPE_CHECKING:
    from shared.recovered import RecoveredRequest


class _Content(NamedTuple):
    """The events of a message, with what they were made of. `data` has passed the source's checks."""

    source: Source
    parsed: parsing.ReadData
    data: jsontext.Json
    events: tuple[Event, ...]


def push_taker(verify_push: VerifyPush) -> receive.TakePush:
    """Return what takes the pushes of a bus. `verify_push` verifies that the platform sent them."""

    async def take_push(
        receiver: receive.Receiver, source: Source, head: Request, read_body: ReadBody
    ) -> receive.Accepted | receive.DeadLettered:
        return await take(receiver, source, await read_push(head, read_body, verify_push))

    return take_push


async def take(receiver: receive.Receiver, source: Source, push: Push) -> receive.Accepted | receive.DeadLettered:
    """Publish the events of a message, and return once the bus has confirmed them.

    A message that can never be an event becomes a dead letter, which the bus has confirmed. Raises Temporary for
    anything else that fails: the platform must deliver the message again.
    """
    assert source.bus
    deadline = asyncio.get_running_loop().time() + receive.CONFIRM_SECONDS
    now = receiver.clock.now()
    is_recovered = source.bus.kind == RECOVERED_KIND
    try:
        if is_recovered:
            content = await _read_recovered(receiver, push, now)
        else:
            content = _read_message(receiver, source, push, now)
    except errors.Rejected as error:
        named_source, shown_push = _readable(receiver, source, push) if is_recovered else (source, push)
        letter = rejected_letter(named_source.name, shown_push, error, now)
        await receiver.confirm(named_source, receiver.bus.publish(ports.DEAD_LETTERS, [letter]), deadline)
        return receive.DeadLettered(named_source, error)
    if content.events:
        times = receiver.times(content.source, now)
        await receiver.confirm(content.source, receiver.publish(content.events, content.parsed, times), deadline)
    return receive.Accepted(content.source, content.events, note_on(content.source, content.data, content.events))


def _read_message(receiver: receive.Receiver, source: Source, push: Push, now: float) -> _Content:
    """Return the content of a message of the source's own bus. Raises Rejected."""
    assert source.bus
    request = source.bus.request_of(push)
    parsed = parsing.read_data(source, request, receiver.limits)
    data = receive.checked_data(source, parsed.data)
    return _Content(source, parsed, data, build_events(source, request, data, now, receiver.random_id))


async def _read_recovered(receiver: receive.Receiver, push: Push, now: float) -> _Content:
    """Return the content of a recovered event, with the source that it names. Raises Rejected and Temporary.

    What `admission.admit` checks of a sender does not apply: its address, and the method and the headers that it uses.
    The signature, the body and the data are checked as for any request.
    """
    from functions.receive import recovered_bodies
    from shared.recovered import read_recovered

    sent = read_recovered(push.data)
    source = receiver.sources.get(sent.source)
    if source is None or not source.recover:
        raise errors.Rejected("unknown_source", "the source of this recovered event has no `recover`")
    secrets = await receiver.secrets_of(source)
    signed: SignedRequest | None = None
    if source.recover == recovered_bodies.SIGNATURE:
        request, auth = await _verified_request(receiver, source, sent, secrets, now)
        parsed = parsing.read_data(source, request, receiver.limits, auth)
        fields = locations.RequestFields(request, admission.requested_url(request, source))
        signed = receive.signed_request(source, auth, fields, parsed)
    else:
        request = recovered_bodies.request_with_body(sent, source, sent.body)
        parsed = parsing.read_data(source, request, receiver.limits)
    data = receive.checked_data(source, parsed.data)
    events = build_events(source, request, data, now, receiver.random_id, signed, secrets, is_recovered=True)
    if signed is None:
        recovered_bodies.verify_identified(events)
    return _Content(source, parsed, data, events)


async def _verified_request(
    receiver: receive.Receiver, source: Source, sent: "RecoveredRequest", secrets: admission.SecretValues, now: float
) -> tuple[Request, auth_scheme.AuthScheme]:
    """Return the request with the bytes that its signature verifies. Raises Rejected and Temporary."""
    from functions.receive import recovered_bodies

    for body in recovered_bodies.possible_bodies(sent.body):
        request = parsing.with_content_type_of_body(source, recovered_bodies.request_with_body(sent, source, body))
        fields = locations.RequestFields(request, admission.requested_url(request, source))
        try:
            return request, await receiver.verify_signature(source, request, fields, secrets, now)
        except errors.Rejected as error:
            if error.code != "signature_mismatch":
                raise
    raise errors.Rejected("signature_mismatch", recovered_bodies.NOT_WRITTEN)


def _readable(receiver: receive.Receiver, source: Source, push: Push) -> tuple[Source, Push]:
    """Return the source of a recovered event, and its message as a dead letter shows it to a person.

    The source is read from the message's attributes, because its data may be unreadable.
    """
    from shared.recovered import readable

    named_source = receiver.sources.get(push.attributes.get("source", ""), source)
    return named_source, replace(push, data=readable(push.data))
