"""Receive a message that the platform brought: one of a source's own bus, or a recovered event.

A recovered event is a request that its sender could not deliver. notify's sweep or `hookchain recover` has fetched it
from the provider and published it, as shared/recovered.py describes. There are two ways to authenticate it. The
provider's entry in functions/notify/recovery/ says which is used:

    signature  The message has the headers of the original request. The body is written in several forms (json_forms.py)
               until the signature verifies one of them. So the event has the bytes of the original.
    listed     The message has the event as the provider's API lists it, over TLS, to the holder of a token. The body
               has the id of the original, but other parts may differ.
"""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from functions.receive import admission, parsing, receive
from functions.receive.bus import read_push, rejected_letter
from functions.receive.events import build_events
from functions.receive.identity import SignedRequest
from functions.receive.json_forms import json_forms
from functions.receive.source import RECOVERED_KIND, Source
from shared import errors, ports
from shared.event import Event
from shared.http import ReadBody, Request, body_too_large
from shared.push import Push, VerifyPush
from shared.signatures import auth_scheme, locations

if TYPE_CHECKING:
    from shared.recovered import RecoveredRequest


class _Content(NamedTuple):
    """The events of a message, with their source and the body that they were made of."""

    source: Source
    parsed: parsing.ReadData
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

    `source` is the one that the bus belongs to. A recovered event names its own source.

    A message that can never be an event becomes a dead letter, which the bus has confirmed. Raises Temporary for
    anything else that fails: the platform must deliver the message again.
    """
    assert source.bus
    deadline = asyncio.get_running_loop().time() + receive.CONFIRM_SECONDS
    now = receiver.clock.now()
    try:
        if source.bus.kind == RECOVERED_KIND:
            content = await _read_recovered(receiver, push, now)
        else:
            content = _read_message(receiver, source, push, now)
    except errors.Rejected as error:
        shown_source, shown_push = _as_shown_to_people(receiver, source, push)
        letter = rejected_letter(shown_source.name, shown_push, error, now)
        await receiver.confirm(shown_source, receiver.bus.publish(ports.DEAD_LETTERS, [letter]), deadline)
        return receive.DeadLettered(shown_source, error)
    accepted = receive.Accepted(content.source, content.events)
    if accepted.events:
        await receiver.confirm(content.source, receiver.publish(accepted, content.parsed, now), deadline)
    return accepted


def _read_message(receiver: receive.Receiver, source: Source, push: Push, now: float) -> _Content:
    """Return the content of a message of the source's own bus. Raises Rejected."""
    assert source.bus
    request = source.bus.request_of(push)
    parsed = parsing.read_data(source, request, receiver.limits)
    data = receive.checked_data(source, parsed.data)
    return _Content(source, parsed, build_events(source, request, data, now, receiver.random_id))


async def _read_recovered(receiver: receive.Receiver, push: Push, now: float) -> _Content:
    """Return the content of a recovered event, with the source that it names. Raises Rejected and Temporary.

    What `admission.admit` checks of a sender does not apply: its address, and the method and the headers that it uses.
    The signature, the body and the data are checked as for any request.
    """
    # Imported here, because few configurations have a source with `recover`.
    from shared.recovered import read_recovered

    sent = read_recovered(push.data)
    source = receiver.sources.get(sent.source)
    if source is None or not source.recover:
        raise errors.Rejected("unknown_source", "the source of this recovered event has no `recover`")
    secrets = await receiver.secrets_of(source)
    signed: SignedRequest | None = None  # stays None for an event that is listed
    if source.recover == "signature":
        request, auth = await _verified_request(receiver, source, sent, secrets, now)
        parsed = parsing.read_data(source, request, receiver.limits, auth)
        fields = locations.RequestFields(request, admission.requested_url(request, source))
        signed = receive.signed_request(source, auth, fields, parsed)
    else:
        request = _request_with_body(sent, source, sent.body)
        parsed = parsing.read_data(source, request, receiver.limits)
    data = receive.checked_data(source, parsed.data)
    events = build_events(source, request, data, now, receiver.random_id, signed, secrets, is_recovered=True)
    if signed is None and any(event.deliveryid is None for event in events):
        # If the original arrives after all, nothing could tell that both are the same event.
        raise errors.Rejected("invalid_delivery_id", "the event that the provider's API lists has no id")
    return _Content(source, parsed, events)


async def _verified_request(
    receiver: receive.Receiver, source: Source, sent: "RecoveredRequest", secrets: admission.SecretValues, now: float
) -> tuple[Request, auth_scheme.AuthScheme]:
    """Return the request with the bytes that its signature verifies, and the auth scheme that verified it.

    Raises Rejected and Temporary.
    """
    for body in json_forms(sent.body):
        request = parsing.with_content_type_of_body(source, _request_with_body(sent, source, body))
        fields = locations.RequestFields(request, admission.requested_url(request, source))
        try:
            return request, await receiver.authenticate_body(source, request, fields, secrets, now)
        except errors.Rejected as error:
            if error.code != "signature_mismatch":
                raise
    raise errors.Rejected(
        "signature_mismatch",
        "the event that the provider's API lists cannot be written so that its recorded signature verifies it. Deliver "
        "it again in the provider's own settings",
    )


def _as_shown_to_people(receiver: receive.Receiver, source: Source, push: Push) -> tuple[Source, Push]:
    """Return the source and the message that a dead letter shows: for a recovered event its own source and readable
    data, and for any other message those given.

    The source is read from the message's attributes, because its data may be unreadable. If they name no source of this
    deployment, return `source`, that of all recovered events.
    """
    if source.bus is None or source.bus.kind != RECOVERED_KIND:
        return source, push
    from shared.recovered import readable

    named_source = receiver.sources.get(push.attributes.get("source", ""), source)
    return named_source, replace(push, data=readable(push.data))


def _request_with_body(recovered: "RecoveredRequest", source: Source, text: str) -> Request:
    """Return the recovered request with this text as its body. Raises Rejected."""
    body = text.encode("utf-8", "surrogatepass")
    if len(body) > source.max_body_bytes:
        raise body_too_large(source.max_body_bytes)
    return Request("POST", f"/{source.name}", "", recovered.headers, body)
